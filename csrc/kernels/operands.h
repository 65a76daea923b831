// The operands of a call as a kernel's run takes them, and how it reports data that it can't accept.
#pragma once

#include "base/kernel.h"
#include "simd/types.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Operand k, inputs before outputs, as an array of T or const T; null if it is absent.
template <class T>
PYNN_INLINE T* operand(const Call* call, int k) {
  return static_cast<T*>(call->data[k]);
}
// Output k.
template <class T>
PYNN_INLINE T* output(const Call* call, int k) {
  return operand<T>(call, call->problem->num_inputs + k);
}

// The workspace that all chunks and phases of the call see.
template <class T>
PYNN_INLINE T* workspace(const Call* call) {
  return static_cast<T*>(call->shared);
}

// Element i of an operand that is_index.
PYNN_INLINE std::int64_t index_at(const void* indices, std::int32_t dtype, std::int64_t i) {
  return dtype == kI32 ? static_cast<const std::int32_t*>(indices)[i] : static_cast<const std::int64_t*>(indices)[i];
}

// The first failure of some chunks stays.
PYNN_INLINE void fail(Failure* failure, std::int32_t code, std::int64_t a, std::int64_t b = 0, std::int64_t c = 0) {
  if (failure->code) return;
  failure->values[0] = a;
  failure->values[1] = b;
  failure->values[2] = c;
  failure->code = code;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
