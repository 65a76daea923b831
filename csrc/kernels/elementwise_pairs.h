// Two instructions as one micro-operation, the first one's result in a register: half of a step on a few numbers is waiting for what the
// operation before has stored.
#pragma once

#include "kernels/elementwise_blocks.h"
#include "kernels/micro.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr bool may_pair(int code) { return code == kAdd || code == kSubtract || code == kMultiply; }

// out = second(first(a, b), c), or second(c, first(a, b)) if kRight; bit k of kScalars: operand k is a scalar.
template <class T, int kFirst, int kSecond, bool kRight, int kScalars>
void micro_pair(const MicroOp* op) noexcept {
  typedef typename Simd<T>::V V;
  const Source<T, true, (kScalars & 1) != 0> a(micro_input<T>(op, 0));
  const Source<T, true, (kScalars & 2) != 0> b(micro_input<T>(op, 1));
  const Source<T, true, (kScalars & 4) != 0> c(micro_input<T>(op, 2));
  const V none = zero<T>(), between = Function<kFirst>::of(a.at(0), b.at(0), none, none, none);
  store(micro_output<T>(op), kRight ? Function<kSecond>::of(c.at(0), between, none, none, none)
                                    : Function<kSecond>::of(between, c.at(0), none, none, none));
}

template <class T, int kFirst, int kSecond, bool kRight>
PYNN_INLINE auto pair_over(int scalars) {
  switch (scalars) {
    case 1: return micro_pair<T, kFirst, kSecond, kRight, 1>;
    case 2: return micro_pair<T, kFirst, kSecond, kRight, 2>;
    case 4: return micro_pair<T, kFirst, kSecond, kRight, 4>;
    case 5: return micro_pair<T, kFirst, kSecond, kRight, 5>;
    case 6: return micro_pair<T, kFirst, kSecond, kRight, 6>;
    default: return micro_pair<T, kFirst, kSecond, kRight, 0>;
  }
}

template <class T, int kFirst>
PYNN_INLINE auto pair_with(int second, bool right, int scalars) {
  if (second == kAdd) return pair_over<T, kFirst, kAdd, false>(scalars);
  if (second == kMultiply) return pair_over<T, kFirst, kMultiply, false>(scalars);
  return right ? pair_over<T, kFirst, kSubtract, true>(scalars) : pair_over<T, kFirst, kSubtract, false>(scalars);
}

// `scalars` never has both operands of the first.
template <class T>
PYNN_NOINLINE auto find_pair(int first, int second, bool right, int scalars) {
  if (first == kAdd) return pair_with<T, kAdd>(second, right, scalars);
  if (first == kMultiply) return pair_with<T, kMultiply>(second, right, scalars);
  return pair_with<T, kSubtract>(second, right, scalars);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
