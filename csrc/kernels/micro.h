// What micro-operations of all kernels are made of; see base/micro_op.h.
#pragma once

#include "base/micro_op.h"
#include "simd/fold.h"
#include "simd/lanes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

PYNN_INLINE MicroCode micro_code(void (*run)(const MicroOp*) noexcept, int a, int b, int c, int out) {
  MicroCode code{};
  code.op.run = run;
  const int operands[4] = {a, b, c, out};
  for (int k = 0; k < 4; ++k) code.operand[k] = static_cast<std::int8_t>(operands[k]);
  return code;
}

template <class T>
PYNN_INLINE const T* micro_input(const MicroOp* op, int k) {
  return static_cast<const T*>(op->data[k]);
}
template <class T>
PYNN_INLINE T* micro_output(const MicroOp* op) {
  return static_cast<T*>(op->data[3]);
}

// out[i] = element(i), i < n, after finish(vector, its first element). By whole vectors: an element stored alone couldn't be read as part
// of a vector for a while.
template <class T, class Element, class Finish>
PYNN_INLINE void micro_gather(T* out, int n, const Element& element, const Finish& finish) {
  constexpr int lanes = Simd<T>::kLanes;
  for (int first = 0; first < n; first += lanes) {
    typename Simd<T>::V v = zero<T>();
    const int here = n - first < lanes ? n - first : lanes;
    for (int i = 0; i < here; ++i) v = select_first(i, v, broadcast(element(first + i)));
    store(out + first, finish(v, first));
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
