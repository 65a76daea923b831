// Elementary functions on the vectors of vec.h, for float and double. Everything is in the anonymous namespace of the target.
//
// Largest errors in units in the last place, results that are denormal flushed to zero, all inputs including infinities and NaN:
//   vexp 1, vexpm1 1.6, vlog 0.8, vlog1p 1.5, vtanh 2.5, vsigmoid 2.5, verf 2.5, vnormal_cdf 7 (without fma 300 in the left tail),
//   near_sin and near_cos 1.6, beside large multiples of pi / 2 2.2, up to kTrigLimit.
// The polynomials are minimax fits (Remez, weighted for relative error) of the functions named beside them.
#pragma once

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
struct MathTable;

// kExp:  (e^r - 1 - r) / r^2            in r,        |r| <= ln(2) / 2
// kLog:  (2 atanh(s) - 2 s) / s^3       in s^2,      |s| <= (sqrt(2) - 1) / (sqrt(2) + 1)
// kErf:  erf(x) / x                     in x^2,      |x| <= 1
// kErfc: erfc(x) e^(x^2) / t            in t = 2 / (2 + x), kErfcStart <= x <= kErfcLimit
// kSin:  (sin(r) - r) / r^3             in r^2,      |r| <= pi / 4
// kCos:  (cos(r) - 1 + r^2 / 2) / r^4   in r^2,      |r| <= pi / 4
template <>
struct MathTable<float> {
  static constexpr float kExp[] = {
      0x1.p-1f, 0x1.555554p-3f, 0x1.5554bp-5f, 0x1.11118ap-7f, 0x1.6d723ep-10f, 0x1.a032c6p-13f};
  static constexpr float kLog[] = {
      0x1.55557ap-1f, 0x1.995e9cp-2f, 0x1.31e678p-2f};
  static constexpr float kErf[] = {
      0x1.20dd74p+0f, -0x1.81273ep-2f, 0x1.ce2cf8p-4f, -0x1.b7f90cp-6f, 0x1.5405b2p-8f, -0x1.a3f7p-11f,
      0x1.496a3p-14f};
  static constexpr float kErfc[] = {
      0x1.20dc0ap-2f, 0x1.210170p-2f, 0x1.f68becp-3f, 0x1.79b388p-3f, 0x1.e407f4p-5f, 0x1.a0af7ap-6f,
      -0x1.92002cp-8f, -0x1.3996b6p-2f, 0x1.91fa6ep-2f, -0x1.9005acp-3f, 0x1.2aef9cp-5f};
  static constexpr float kSin[] = {-0x1.555546p-3f, 0x1.110736p-7f, -0x1.994222p-13f};
  static constexpr float kCos[] = {0x1.55554ap-5f, -0x1.6c0c2ep-10f, 0x1.99ea06p-16f};
  static constexpr float kHalfPi[] = {0x1.9218p+0f, 0x1.ed5p-14f, 0x1.10bp-30f, 0x1.184p-44f, 0x1.a62634p-58f};  // their sum
  static constexpr float kTwoOverPi = 0x1.45f306p-1f;
  static constexpr float kTrigLimit = 1024.0f;  // a whole number of quarter turns up to it times all parts but the last is exact
  static constexpr float kLog2e = 0x1.715476p+0f;
  static constexpr float kLn2High = 0x1.63p-1f;  // few bits, so that a whole number times it is exact
  static constexpr float kLn2Low = -0x1.bd0106p-13f;
  static constexpr float kRound = 0x1.8p+23f;  // adding it leaves the nearest whole number in the low bits
  static constexpr float kExpLow = -104.0f;    // e^x is zero below and infinite above
  static constexpr float kExpHigh = 89.0f;
  static constexpr float kExpm1Low = -20.0f;  // e^x - 1 rounds to -1 below
  static constexpr float kTanhLimit = 9.1f;   // tanh(x) rounds to 1 above
  static constexpr float kSigmoidLimit = 88.0f;  // sigmoid(-x) is denormal above, and e^x finite below
  static constexpr float kErfcStart = 0.0f;
  static constexpr float kErfcLimit = 10.5f;  // erfc(x) is zero above
  static constexpr float kTiny = 0x1p-25f;    // f(x) = x rounds to itself below, for expm1 and log1p
  static constexpr float kMax = 0x1.fffffep+127f;
  static constexpr float kMinNormal = 0x1p-126f;
  static constexpr std::int32_t kSignBit = INT32_MIN;
  static constexpr std::int32_t kOneBits = 0x3f800000;
  static constexpr std::int32_t kSqrtHalfBits = 0x3f3504f3;
  static constexpr int kMantissaBits = 23;
};
template <>
struct MathTable<double> {
  static constexpr double kExp[] = {
      0x1.p-1, 0x1.5555555555559p-3, 0x1.555555555553ep-5, 0x1.111111110f6c5p-7, 0x1.6c16c16c1f0e5p-10,
      0x1.a01a01afdd8cdp-13, 0x1.a01a017bb0462p-16, 0x1.71ddf863bc6e1p-19, 0x1.27e53643b6d75p-22,
      0x1.af5ea84c51e61p-26, 0x1.1ee887d98ea2ep-29};
  static constexpr double kLog[] = {
      0x1.5555555555593p-1, 0x1.999999997fb31p-2, 0x1.2492494217a3cp-2, 0x1.c71c51e7f534ep-3, 0x1.7466462d0ac72p-3,
      0x1.39a0f4f47802ap-3, 0x1.2f0d8f2f1bd71p-3};
  static constexpr double kErf[] = {
      0x1.20dd750429b6dp+0, -0x1.812746b0379e6p-2, 0x1.ce2f21a042b2p-4, -0x1.b82ce3128499cp-6, 0x1.565bcd0db02e6p-8,
      -0x1.c02db3d8ed2bp-11, 0x1.f9a321a11eb23p-14, -0x1.f4d1df395db6dp-17, 0x1.b9def19eeb8ddp-20,
      -0x1.5f1d36cac691ap-23, 0x1.f7a4128bd6207p-27, -0x1.386ac1ea45dcdp-30, 0x1.0579add6e5743p-34};
  static constexpr double kErfc[] = {
      0x1.20dd75042ad45p-2, 0x1.20dd7503be806p-2, 0x1.f9838cebba62fp-3, 0x1.6914ce90022f4p-3, 0x1.57077b8b7272ep-4,
      -0x1.213e961ccd0ddp-8, -0x1.d07d9904f1257p-5, -0x1.b80ed82598fcdp-5, -0x1.930240d557eb2p-9,
      0x1.b27d72861369fp-5, 0x1.01d681d1ba231p-9, 0x1.52076b2ea1f75p-2, -0x1.91deb99bdd80dp+0, 0x1.30b6acdf9fd21p+2,
      -0x1.7a1f7e2f5bd0fp+3, 0x1.64444668fad9p+4, -0x1.e4bf603527401p+4, 0x1.d4f4052c31775p+4, -0x1.3cc693c5a8136p+4,
      0x1.1dfe9dad539d3p+3, -0x1.37d72295c226fp+1, 0x1.37e89633bfc8ep-2};
  static constexpr double kSin[] = {-0x1.5555555555548p-3, 0x1.111111110f7bp-7, -0x1.a01a019bf9b5fp-13, 0x1.71de356409439p-19,
                                    -0x1.ae5e5781eca2cp-26, 0x1.5d8ee7dfe0e24p-33};
  static constexpr double kCos[] = {0x1.555555555554bp-5, -0x1.6c16c16c14f6cp-10, 0x1.a01a019c809cfp-16, -0x1.27e4f7e807f0ap-22,
                                    0x1.1ee9d5cd29ad9p-29, -0x1.8fa397bedd215p-37};
  static constexpr double kHalfPi[] = {0x1.921fb54442p+0, 0x1.a308d31318p-41, 0x1.8a2e037072p-81, 0x1.44a40938222ap-121};
  static constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  static constexpr double kTrigLimit = 1024.0;
  static constexpr double kLog2e = 0x1.71547652b82fep+0;
  static constexpr double kLn2High = 0x1.62e42fefp-1;
  static constexpr double kLn2Low = 0x1.473de6af278edp-34;
  static constexpr double kRound = 0x1.8p+52;
  static constexpr double kExpLow = -746.0;
  static constexpr double kExpHigh = 710.0;
  static constexpr double kExpm1Low = -40.0;
  static constexpr double kTanhLimit = 20.0;
  static constexpr double kSigmoidLimit = 709.0;
  static constexpr double kErfcStart = 0.9;
  static constexpr double kErfcLimit = 27.5;
  static constexpr double kTiny = 0x1p-54;
  static constexpr double kMax = 0x1.fffffffffffffp+1023;
  static constexpr double kMinNormal = 0x1p-1022;
  static constexpr std::int64_t kSignBit = INT64_MIN;
  static constexpr std::int64_t kOneBits = 0x3ff0000000000000;
  static constexpr std::int64_t kSqrtHalfBits = 0x3fe6a09e667f3bcd;
  static constexpr int kMantissaBits = 52;
};

#if defined(PYNN_TARGET_AVX512)
// y 2^n for whole n, rounded once.
PYNN_INLINE VecF scale_by(VecF y, VecF n) { return (VecF)_mm512_scalef_ps((__m512)y, (__m512)n); }
PYNN_INLINE VecD scale_by(VecD y, VecD n) { return (VecD)_mm512_scalef_pd((__m512d)y, (__m512d)n); }
#endif

// ---- building blocks -----------------------------------------------------------------------------------------------

template <class V>
struct ScalarOf;
template <>
struct ScalarOf<VecF> {
  typedef float T;
};
template <>
struct ScalarOf<VecD> {
  typedef double T;
};
template <class V>
using Scalar = typename ScalarOf<V>::T;
template <class V>
using Mask = typename Simd<Scalar<V>>::M;
template <class V>
using Integer = typename Simd<Scalar<V>>::Int;
template <class V>
using Table = MathTable<Scalar<V>>;

template <class V>
PYNN_INLINE V constant(double value) {
  return broadcast(static_cast<Scalar<V>>(value));
}

// c[0] + c[1] x + c[2] x^2 + ...
template <class V, class T, int N>
PYNN_INLINE V horner(V x, const T (&c)[N]) {
  V sum = broadcast(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, broadcast(c[i]));
  return sum;
}

// Like min and max with a bound; NaN stays NaN.
template <class V, class T>
PYNN_INLINE V at_most(V x, T bound) {
  return lower_of(broadcast(bound), x);
}
template <class V, class T>
PYNN_INLINE V at_least(V x, T bound) {
  return higher_of(broadcast(bound), x);
}

template <class V>
PYNN_INLINE V magnitude(V x) {
  return value_of(bits_of(x) & broadcast_bits(~Table<V>::kSignBit));
}
// x >= 0 with the sign of y.
template <class V>
PYNN_INLINE V with_sign(V x, V y) {
  return value_of(bits_of(x) | (bits_of(y) & broadcast_bits(Table<V>::kSignBit)));
}

// x = n ln(2) + r: gives e^r - 1, and n as the low bits of an integer whose other low bits are zero.
template <class V>
PYNN_INLINE V reduced_expm1(V x, Mask<V>* n_bits) {
  const V shifted = fma(x, broadcast(Table<V>::kLog2e), broadcast(Table<V>::kRound));
  const V n = shifted - broadcast(Table<V>::kRound);
  V r = fma(n, broadcast(-Table<V>::kLn2High), x);
  r = fma(n, broadcast(-Table<V>::kLn2Low), r);
  *n_bits = bits_of(shifted);
  return fma(r * r, horner(r, Table<V>::kExp), r);
}

// Sums and differences of bits modulo 2^32 and 2^64: those of signed integers must not overflow.
#if defined(PYNN_VECTOR_EXTENSIONS)
PYNN_INLINE VecI wrapped_sum(VecI a, VecI b) { return (VecI)((VecUnsignedI)a + (VecUnsignedI)b); }
PYNN_INLINE VecL wrapped_sum(VecL a, VecL b) { return (VecL)((VecUnsignedL)a + (VecUnsignedL)b); }
PYNN_INLINE VecI wrapped_difference(VecI a, VecI b) { return (VecI)((VecUnsignedI)a - (VecUnsignedI)b); }
PYNN_INLINE VecL wrapped_difference(VecL a, VecL b) { return (VecL)((VecUnsignedL)a - (VecUnsignedL)b); }
#else
template <class M>
PYNN_INLINE M wrapped_sum(M a, M b) {
  return a + b;
}
template <class M>
PYNN_INLINE M wrapped_difference(M a, M b) {
  return a - b;
}
#endif

// 2^n for n in the low bits, within the exponent range.
template <class M>
PYNN_INLINE auto power_of_two(M n_bits) -> decltype(value_of(n_bits)) {
  typedef decltype(value_of(n_bits)) V;
  return value_of(wrapped_sum(shift_left(n_bits, Table<V>::kMantissaBits), broadcast_bits(Table<V>::kOneBits)));
}

// y 2^n for n in the low bits, past both ends of the exponent range.
template <class V>
PYNN_INLINE V scaled(V y, Mask<V> n_bits) {
#if defined(PYNN_TARGET_AVX512)
  return scale_by(y, value_of(n_bits) - broadcast(Table<V>::kRound));
#else
  const Mask<V> half = shift_right(n_bits, 1);  // in two factors
  return y * power_of_two(half) * power_of_two(wrapped_difference(n_bits, half));
#endif
}

// e^x
template <class V>
PYNN_INLINE V vexp(V x) {
  Mask<V> n;
  const V y = constant<V>(1) + reduced_expm1(at_most(at_least(x, Table<V>::kExpLow), Table<V>::kExpHigh), &n);
  return scaled(y, n);
}

// e^x - 1
template <class V>
PYNN_INLINE V vexpm1(V x) {
  Mask<V> n;
  const V p = reduced_expm1(at_most(at_least(x, Table<V>::kExpm1Low), Table<V>::kExpHigh), &n);
  const V half_scale = power_of_two(wrapped_difference(n, broadcast_bits(Integer<V>(1))));
  const V half = fma(half_scale, p, half_scale - constant<V>(0.5));
  return select((magnitude(x) < broadcast(Table<V>::kTiny)), x, half + half);
}

// The natural logarithm.
template <class V>
PYNN_INLINE V vlog(V x) {
  // x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); s = f / (2 + f), ln(1 + f) = 2 atanh(s).
  const Mask<V> bits = wrapped_sum(bits_of(x), broadcast_bits(Table<V>::kOneBits - Table<V>::kSqrtHalfBits));
  const Mask<V> mantissa = bits & broadcast_bits((Integer<V>(1) << Table<V>::kMantissaBits) - 1);
  const V f = value_of(mantissa + broadcast_bits(Table<V>::kSqrtHalfBits)) - constant<V>(1);
  const Scalar<V> whole = Scalar<V>(std::int64_t(1) << Table<V>::kMantissaBits);  // its low bits count in ones
  const V counted = value_of(shift_right(bits, Table<V>::kMantissaBits) | bits_of(broadcast(whole)));
  const V k = counted - broadcast(whole + Scalar<V>(Table<V>::kOneBits >> Table<V>::kMantissaBits));
  const V s = f / (constant<V>(2) + f);
  const V z = s * s;
  const V half_square = constant<V>(0.5) * f * f;
  const V rest = fma(s, fma(z, horner(z, Table<V>::kLog), half_square), k * broadcast(Table<V>::kLn2Low));
  const V y = fma(k, broadcast(Table<V>::kLn2High), f - (half_square - rest));
  const V positive = select((x <= broadcast(Table<V>::kMax)), y, x);
  const V below = select((x < zero<Scalar<V>>()), constant<V>(NAN), constant<V>(-INFINITY));
  return select((x < broadcast(Table<V>::kMinNormal)), below, positive);
}

// ln(1 + x)
template <class V>
PYNN_INLINE V vlog1p(V x) {
  const V one = constant<V>(1);
  const V u = one + x;
  const V kept = u - one;
  const V lost = (one - (u - kept)) + (x - kept);  // 1 + x = u + lost exactly
  const V y = vlog(u);
  const V corrected = select(((x > -one) & (x <= broadcast(Table<V>::kMax))), y + lost / u, y);
  return select((magnitude(x) < broadcast(Table<V>::kTiny)), x, corrected);
}

template <class V>
PYNN_INLINE V vtanh(V x) {
  // t = e^(2|x|) - 1, tanh(|x|) = t / (t + 2)
  const V a = at_most(magnitude(x), Table<V>::kTanhLimit);
  Mask<V> n;
  const V p = reduced_expm1(a + a, &n);
  const V scale = power_of_two(n);
  const V t = fma(scale, p, scale - constant<V>(1));
  return with_sign(t / (t + constant<V>(2)), x);
}

// 1 / (1 + e^-x)
template <class V>
PYNN_INLINE V vsigmoid(V x) {
  Mask<V> n;
  const V p = reduced_expm1(at_most(at_least(-x, -Table<V>::kSigmoidLimit), Table<V>::kSigmoidLimit), &n);
  const V scale = power_of_two(n);
  return constant<V>(1) / (constant<V>(1) + fma(scale, p, scale));
}

// x - k pi / 2. The first two parts times k are exact, and so is the first difference; what the second one rounds away comes back with the rest.
template <class V>
PYNN_INLINE V less_quarters(V x, V k) {
  constexpr int parts = static_cast<int>(sizeof(Table<V>::kHalfPi) / sizeof(Scalar<V>));
  const V first = fma(k, broadcast(-Table<V>::kHalfPi[0]), x);
  const V second = k * broadcast(Table<V>::kHalfPi[1]);
  const V difference = first - second;
  const V taken = first - difference, kept = difference + taken;
  V rest = (first - kept) + (taken - second);
  for (int i = 2; i < parts; ++i) rest = fma(k, broadcast(-Table<V>::kHalfPi[i]), rest);
  return difference + rest;
}

// sin(x + quarters pi / 2) for |x| <= kTrigLimit; the sign of a zero may be lost.
template <class V>
PYNN_INLINE V turned_sin(V x, int quarters) {
  const V shifted = fma(x, broadcast(Table<V>::kTwoOverPi), broadcast(Table<V>::kRound));
  const V k = shifted - broadcast(Table<V>::kRound);
  const V r = less_quarters(x, k), z = r * r;
  const V odd = fma(r * z, horner(z, Table<V>::kSin), r);
  const V even = fma(z * z, horner(z, Table<V>::kCos), fma(constant<V>(-0.5), z, constant<V>(1)));
  const Mask<V> quadrant = wrapped_sum(bits_of(shifted), broadcast_bits(Integer<V>(quarters)));
  const Mask<V> one = broadcast_bits(Integer<V>(1)), two = broadcast_bits(Integer<V>(2));
  const Mask<V> sign = shift_left(quadrant & two, static_cast<int>(8 * sizeof(Integer<V>)) - 2);
  return value_of(wrapped_sum(bits_of(select((quadrant & one) == one, even, odd)), sign));
}
template <class V>
PYNN_INLINE V near_sin(V x) {
  return select((magnitude(x) < broadcast(Table<V>::kTiny)), x, turned_sin(x, 0));
}
template <class V>
PYNN_INLINE V near_cos(V x) {
  return turned_sin(x, 1);
}

// erf(x) for |x| < 1.
template <class V>
PYNN_INLINE V erf_near(V x) {
  return x * horner(x * x, Table<V>::kErf);
}
// erfc(x) e^(x^2) for x >= kErfcStart.
template <class V>
PYNN_INLINE V erfc_scaled(V x) {
  const V t = constant<V>(2) / (constant<V>(2) + x);
  return t * horner(t, Table<V>::kErfc);
}
// e^-(square + lost): the exact argument in two parts, or as near as the target can get.
template <class V>
PYNN_INLINE V exp_of_minus(V square, V lost) {
  const V y = vexp(-square);
  return y - y * lost;
}

template <class V>
PYNN_INLINE V verf(V x) {
  const V a = at_most(magnitude(x), Table<V>::kErfcLimit);
  const V square = a * a;
  const V far = constant<V>(1) - erfc_scaled(a) * exp_of_minus(square, fma(a, a, -square));
  return select((a < constant<V>(1)), erf_near(x), with_sign(far, x));
}

// The normal distribution function, erfc(-x / sqrt(2)) / 2, accurate in both tails, and the bell e^(-x^2 / 2).
template <class V>
PYNN_INLINE V vnormal_cdf(V x, V* bell) {
  const V half = constant<V>(0.5);
  const V a = at_most(magnitude(x), Table<V>::kErfcLimit * Scalar<V>(1.4));
  const V z = a * constant<V>(0.70710678118654752440);
  const V square = a * a;
  *bell = exp_of_minus(half * square, half * fma(a, a, -square));
  const V tail = half * erfc_scaled(z) * *bell;
  const V far = select((x < zero<Scalar<V>>()), tail, constant<V>(1) - tail);
  if constexpr (Table<V>::kErfcStart == 0) return far;
  return select((z < constant<V>(1)), fma(half, erf_near(with_sign(z, x)), half), far);
}

// f of each lane, for functions too rare to deserve a vector version.
template <class V, class F>
PYNN_INLINE V map_lanes(V x, F f) {
  for (int i = 0; i < Simd<Scalar<V>>::kLanes; ++i) x[i] = f(x[i]);
  return x;
}
template <class V, class F>
PYNN_INLINE V map_lanes(V x, V y, F f) {
  for (int i = 0; i < Simd<Scalar<V>>::kLanes; ++i) x[i] = f(x[i], y[i]);
  return x;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
