// Normal numbers from pairs of 32-bit words, eight or so at a time: Box and Muller (1958) in float.
#pragma once

#include "simd/math.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

PYNN_INLINE VecF float_of(VecI m) {
#if defined(PYNN_VECTOR_EXTENSIONS)
  return __builtin_convertvector(m, VecF);
#else
  VecF r;
  for (int i = 0; i < Simd<float>::kLanes; ++i) r[i] = static_cast<float>(m[i]);
  return r;
#endif
}

// An unsigned word times 2^-32, rounded once.
PYNN_INLINE VecF fraction_of(VecI words) {
  const VecF high = float_of(shift_right(words, 8)) * broadcast(0x1p-24f);
  return high + float_of(words & broadcast_bits(std::int32_t{255})) * broadcast(0x1p-32f);
}

// -2 ln((word + 1) / 2^32), with all its digits for words near 0 and near 2^32
PYNN_INLINE VecF squared_radius(VecI words) {
  const VecI last = broadcast_bits(std::int32_t{-1});
  const VecF u = fraction_of(words) + broadcast(0x1p-32f);
  const VecF rest = fraction_of(last - words);  // 1 - u
  return select((u < broadcast(0.5f)), vlog(u), vlog1p(zero<float>() - rest)) * broadcast(-2.0f);
}

// cos(2 pi (word / 2^32 + quarters / 4)): the nearest quarter turn, and a Taylor series for what is left, |x| <= pi / 4
PYNN_INLINE VecF cosine_of_turn(VecI words, VecI quarters) {
  const VecI turn = shift_right(wrapped_sum(words, broadcast_bits(std::int32_t{1} << 29)), 30);
  const VecF x = float_of(wrapped_difference(words, shift_left(turn, 30))) * broadcast(1.4629180792671596e-9f);  // 2 pi / 2^32
  const VecI quarter = turn + quarters;
  const VecF x2 = x * x;
  const float even[6] = {1.0f, -0.5f, 4.16666667e-2f, -1.38888889e-3f, 2.48015873e-5f, -2.75573192e-7f};
  const float odd[5] = {1.0f, -1.66666667e-1f, 8.33333333e-3f, -1.98412698e-4f, 2.75573192e-6f};
  const VecF cosine = horner(x2, even), sine = horner(x2, odd) * x;
  const VecI one = broadcast_bits(std::int32_t{1});
  const VecF value = select((broadcast_bits(std::int32_t{0}) - (quarter & one)), sine, cosine);
  // cos(x + q pi / 2) is cos x, -sin x, -cos x, sin x: negative where the upper bit of q + 1 is set.
  const VecF negative = float_of(shift_right(quarter + one, 1) & one);
  return value * (broadcast(1.0f) - (negative + negative));
}

// z[2j] and z[2j + 1] from words 2j and 2j + 1: radius times cosine and sine of the angle.
PYNN_INLINE VecF normal_pairs(const std::uint32_t* words) {
  VecL pairs;
  std::memcpy(&pairs, words, sizeof pairs);
  const VecL low = shift_right(shift_left(pairs, 32), 32), high = shift_right(pairs, 32);
  const VecI radius_words = same_bits<VecI>(low | shift_left(low, 32)), angle_words = same_bits<VecI>(high | shift_left(high, 32));
  const VecL sines = shift_left(broadcast_bits(std::int64_t{3}), 32);  // three quarter turns on: cosine becomes sine
  return vsqrt(squared_radius(radius_words)) * cosine_of_turn(angle_words, same_bits<VecI>(sines));
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
