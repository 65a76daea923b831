// What kernels ask of a spec when a call is prepared.
#pragma once

#include "base/kernel.h"
#include "simd/types.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
constexpr std::int32_t dtype_of() {
  return sizeof(T) == 4 ? kF32 : kF64;
}
PYNN_INLINE bool is_float(const Spec& spec) { return spec.dtype == kF32 || spec.dtype == kF64; }
PYNN_INLINE bool is_index(const Spec& spec) { return spec.dtype == kI32 || spec.dtype == kI64; }

PYNN_INLINE bool has_axis(const Spec& spec, std::int64_t axis) { return axis >= 0 && axis < spec.rank; }

// Elements over the axes [first, last): one if there are none.
PYNN_INLINE std::int64_t elements(const std::int64_t* dims, std::int64_t first, std::int64_t last) {
  std::int64_t size = 1;
  for (std::int64_t axis = first; axis < last; ++axis) size *= dims[axis];
  return size;
}
PYNN_INLINE std::int64_t elements(const Spec& spec, std::int64_t first, std::int64_t last) { return elements(spec.dims, first, last); }

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
