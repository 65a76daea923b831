// Functions too rare to deserve polynomials in two precisions. For floats they are computed in double, where a formula may lose half of the
// digits and the result still is the nearest float or the one beside it; for doubles lane by lane by the C library.
//
// vtan, vasin, vacos, vatan, vsinh, vcosh, vasinh, vacosh, vatanh, vatan2, vpow: as <cmath>'s, special values included.
// Formulas: Abramowitz and Stegun, Handbook of Mathematical Functions, 4.3 to 4.6.
#pragma once

#include "simd/fold.h"
#include "simd/math.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// (atan(t) - t) / t^3 in t^2, |t| <= tan(pi / 8)
constexpr double kAtanSeries[] = {-0x1.555554c5dad8ep-2, 0x1.99991881dfd34p-3, -0x1.247ed6b7b9e2ep-3,
                                  0x1.c4639efbe8255p-4, -0x1.5b2e0135003ebp-4, 0x1.8498cd5bddcdfp-5};

constexpr double kPi = 3.14159265358979323846;

// ---- floats as doubles ------------------------------------------------------------------------------------------------

PYNN_INLINE VecD first_half(VecF v) {
#if defined(PYNN_TARGET_AVX512)
  return (VecD)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v));
#elif defined(PYNN_TARGET_AVX2)
  return (VecD)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v));
#elif defined(PYNN_SSE2)
  return (VecD)_mm_cvtps_pd((__m128)v);
#elif defined(PYNN_NEON)
  return (VecD)vcvt_f64_f32(vget_low_f32((float32x4_t)v));
#else
  VecD half;
  for (int i = 0; i < Simd<double>::kLanes; ++i) half[i] = v[i];
  return half;
#endif
}
PYNN_INLINE VecD second_half(VecF v) {
#if defined(PYNN_TARGET_AVX512)
  return (VecD)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)v, 1));
#elif defined(PYNN_TARGET_AVX2)
  return (VecD)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1));
#elif defined(PYNN_SSE2)
  return (VecD)_mm_cvtps_pd(_mm_movehl_ps((__m128)v, (__m128)v));
#elif defined(PYNN_NEON)
  return (VecD)vcvt_high_f64_f32((float32x4_t)v);
#else
  VecD half;
  for (int i = 0; i < Simd<double>::kLanes; ++i) half[i] = v[Simd<double>::kLanes + i];
  return half;
#endif
}
PYNN_INLINE VecF joined(VecD first, VecD second) {
#if defined(PYNN_TARGET_AVX512)
  return (VecF)_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)first)), _mm512_cvtpd_ps((__m512d)second), 1);
#elif defined(PYNN_TARGET_AVX2)
  return (VecF)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)second), _mm256_cvtpd_ps((__m256d)first));
#elif defined(PYNN_SSE2)
  return (VecF)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)first), _mm_cvtpd_ps((__m128d)second));
#elif defined(PYNN_NEON)
  return (VecF)vcvt_high_f32_f64(vcvt_f32_f64((float64x2_t)first), (float64x2_t)second);
#else
  VecF v;
  for (int i = 0; i < Simd<double>::kLanes; ++i) v[i] = static_cast<float>(first[i]), v[Simd<double>::kLanes + i] = static_cast<float>(second[i]);
  return v;
#endif
}

template <class F>
PYNN_INLINE VecF in_double(VecF x, F f) {
  return joined(f(first_half(x)), f(second_half(x)));
}
template <class F>
PYNN_INLINE VecF in_double(VecF x, VecF y, F f) {
  return joined(f(first_half(x), first_half(y)), f(second_half(x), second_half(y)));
}

// `y` where |x| <= kTrigLimit; elsewhere f(x), lane by lane, for numbers so large that hardly anybody has them.
template <class V, class F>
PYNN_INLINE V far_by_lanes(V x, V y, const F& f) {
  constexpr int lanes = Simd<Scalar<V>>::kLanes;
  const Mask<V> near = magnitude(x) <= broadcast(Table<V>::kTrigLimit);
  if (first_lane(~near) == lanes) return y;
  for (int i = 0; i < lanes; ++i) y[i] = near[i] ? y[i] : f(x[i]);
  return y;
}

// ---- in double, to the digits of a float ------------------------------------------------------------------------------

PYNN_INLINE Mask<VecD> is_negative(VecD x) { return bits_of(x) < broadcast_bits(std::int64_t(0)); }

// 0 <= t <= 1
PYNN_INLINE VecD atan_of_fraction(VecD t) {
  const VecD one = broadcast(1.0);
  const Mask<VecD> steep = t > broadcast(0.41421356237309503);
  const VecD u = select(steep, (t - one) / (t + one), t);
  const VecD z = u * u;
  return fma(u * z, horner(z, kAtanSeries), u) + select(steep, broadcast(kPi / 4), zero<double>());
}
PYNN_NOINLINE VecD wide_atan(VecD x) {
  const VecD a = magnitude(x), one = broadcast(1.0);
  const Mask<VecD> large = a > one;
  const VecD y = atan_of_fraction(select(large, one / a, a));
  return with_sign(select(large, broadcast(kPi / 2) - y, y), x);
}
PYNN_NOINLINE VecD wide_asin(VecD x) {
  const VecD one = broadcast(1.0);
  return wide_atan(x / vsqrt((one - x) * (one + x)));
}
PYNN_NOINLINE VecD wide_acos(VecD x) {
  const VecD one = broadcast(1.0);
  return broadcast(2.0) * wide_atan(vsqrt((one - x) / (one + x)));
}
PYNN_NOINLINE VecD wide_atan2(VecD y, VecD x) {
  const VecD none = zero<double>(), height = magnitude(y), width = magnitude(x);
  const Mask<VecD> steep = height > width;
  const VecD less = select(steep, width, height), more = select(steep, height, width);
  const VecD slope = select(less == none, none, select(less == more, broadcast(1.0), less / more));
  VecD angle = atan_of_fraction(slope);
  angle = select(steep, broadcast(kPi / 2) - angle, angle);
  angle = select(is_negative(x), broadcast(kPi) - angle, angle);
  return select((x == x) & (y == y), with_sign(angle, y), x + y);
}

PYNN_NOINLINE VecD wide_tan(VecD x) {
  const VecD tan = near_sin(x) / near_cos(x);
  return far_by_lanes(x, tan, [](double a) { return std::tan(a); });
}
PYNN_NOINLINE VecD wide_sinh(VecD x) {
  const VecD u = vexpm1(at_most(magnitude(x), 200.0));  // infinite as a float
  return with_sign(broadcast(0.5) * (u + u / (u + broadcast(1.0))), x);
}
PYNN_NOINLINE VecD wide_cosh(VecD x) {
  const VecD u = vexp(at_most(magnitude(x), 200.0));
  return broadcast(0.5) * (u + broadcast(1.0) / u);
}
PYNN_NOINLINE VecD wide_asinh(VecD x) {
  const VecD a = magnitude(x), one = broadcast(1.0), square = a * a;
  const VecD y = vlog1p(a + square / (one + vsqrt(one + square)));
  return select((a <= broadcast(Table<VecD>::kMax)), with_sign(y, x), x);
}
PYNN_NOINLINE VecD wide_acosh(VecD x) {
  const VecD one = broadcast(1.0);
  return select((x >= one), vlog(x + vsqrt((x - one) * (x + one))), constant<VecD>(NAN));
}
PYNN_NOINLINE VecD wide_atanh(VecD x) {
  const VecD a = magnitude(x);
  return with_sign(broadcast(0.5) * vlog1p((a + a) / (broadcast(1.0) - a)), x);
}

PYNN_NOINLINE VecD wide_pow(VecD x, VecD y) {
  const VecD one = broadcast(1.0), none = zero<double>(), a = magnitude(x), half = broadcast(0.5) * y;
  const Mask<VecD> whole = vround(y) == y, odd = whole & (vround(half) != half);
  VecD z = vexp(y * vlog(a));
  z = select((x < none) & (x >= broadcast(-Table<VecD>::kMax)) & ~whole, constant<VecD>(NAN), z);
  z = select(odd, with_sign(z, x), z);
  const Mask<VecD> unmoved = (a == one) & (magnitude(y) > broadcast(Table<VecD>::kMax));
  return select(unmoved | (x == one) | (y == none), one, z);
}

// ---- for both types ---------------------------------------------------------------------------------------------------

#define PYNN_RARE(name)                                                                              \
  PYNN_INLINE VecF v##name(VecF x) {                                                                 \
    return in_double(x, [](VecD a) { return wide_##name(a); });                                      \
  }                                                                                                  \
  PYNN_INLINE VecD v##name(VecD x) {                                                                 \
    return map_lanes(x, [](double a) { return std::name(a); });                                      \
  }
#define PYNN_RARE_OF_TWO(name)                                                                       \
  PYNN_INLINE VecF v##name(VecF x, VecF y) {                                                         \
    return in_double(x, y, [](VecD a, VecD b) { return wide_##name(a, b); });                        \
  }                                                                                                  \
  PYNN_INLINE VecD v##name(VecD x, VecD y) {                                                         \
    return map_lanes(x, y, [](double a, double b) { return std::name(a, b); });                      \
  }
PYNN_RARE(tan)
PYNN_RARE(asin)
PYNN_RARE(acos)
PYNN_RARE(atan)
PYNN_RARE(sinh)
PYNN_RARE(cosh)
PYNN_RARE(asinh)
PYNN_RARE(acosh)
PYNN_RARE(atanh)
PYNN_RARE_OF_TWO(atan2)
PYNN_RARE_OF_TWO(pow)
#undef PYNN_RARE
#undef PYNN_RARE_OF_TWO

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
