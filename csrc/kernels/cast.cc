// Conversion between dtypes, element by element: floats to integers towards zero, anything to bool as x != 0.
#include "kernels/ranges.h"
#include "registry.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kCastChunk = 8192;
constexpr int kGroup = 8;  // elements converted together, so that the compiler can use its vector conversions

struct Bool {
  std::uint8_t value;
};

template <class To, class From>
struct Convert {
  static PYNN_INLINE To of(From x) { return static_cast<To>(x); }
};
template <class From>
struct Convert<Bool, From> {
  static PYNN_INLINE Bool of(From x) { return {static_cast<std::uint8_t>(x != From(0))}; }
};
// Through a wide integer, as a negative float has no value in an unsigned one.
template <>
struct Convert<std::uint8_t, float> {
  static PYNN_INLINE std::uint8_t of(float x) { return static_cast<std::uint8_t>(static_cast<std::int64_t>(x)); }
};
template <>
struct Convert<std::uint8_t, double> {
  static PYNN_INLINE std::uint8_t of(double x) { return static_cast<std::uint8_t>(static_cast<std::int64_t>(x)); }
};

template <class To, class From>
PYNN_INLINE void convert(To* PYNN_RESTRICT to, const From* PYNN_RESTRICT from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = Convert<To, From>::of(from[i]);
}

#if defined(PYNN_VECTOR_EXTENSIONS)
// Eight at once; conversions that the target has no instruction for are still right.
template <class To, class From>
PYNN_INLINE void convert_groups(To* to, const From* from, std::int64_t n) {
  typedef To ToGroup __attribute__((vector_size(kGroup * sizeof(To)), aligned(1), may_alias));
  typedef From FromGroup __attribute__((vector_size(kGroup * sizeof(From)), aligned(1), may_alias));
  std::int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup)
    *reinterpret_cast<ToGroup*>(to + i) = __builtin_convertvector(*reinterpret_cast<const FromGroup*>(from + i), ToGroup);
  convert(to + i, from + i, n - i);
}
#else
template <class To, class From>
PYNN_INLINE void convert_groups(To* to, const From* from, std::int64_t n) {
  convert(to, from, n);
}
#endif

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
// Pixels: the compiler would convert bytes one by one.
PYNN_INLINE void convert_groups(float* to, const std::uint8_t* from, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)));
  }
  convert(to + i, from + i, n - i);
}
#endif

template <class From>
void convert_to(std::int32_t dtype, void* to, const From* from, Range range) {
  const std::int64_t first = range.first, n = range.last - range.first;
  switch (dtype) {
    case kF32: return convert_groups(static_cast<float*>(to) + first, from + first, n);
    case kF64: return convert_groups(static_cast<double*>(to) + first, from + first, n);
    case kI32: return convert(static_cast<std::int32_t*>(to) + first, from + first, n);
    case kI64: return convert(static_cast<std::int64_t*>(to) + first, from + first, n);
    case kU8: return convert(static_cast<std::uint8_t*>(to) + first, from + first, n);
    default: return convert(static_cast<Bool*>(to) + first, from + first, n);
  }
}

}  // namespace

bool prepare_cast(const Problem* problem, Plan* plan) noexcept {
  plan->params[0] = split(plan, 0, problem->specs[0].size, kCastChunk, 64);
  plan->cost_ns = static_cast<double>(problem->specs[0].size) * 0.3;
  return true;
}
void run_cast(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const Range range = chunk_range(begin, end, call->plan->params[0], call->problem->specs[0].size);
  const void* x = call->data[0];
  void* out = call->data[1];
  const std::int32_t dtype = call->problem->specs[1].dtype;
  switch (call->problem->specs[0].dtype) {
    case kF32: return convert_to(dtype, out, static_cast<const float*>(x), range);
    case kF64: return convert_to(dtype, out, static_cast<const double*>(x), range);
    case kI32: return convert_to(dtype, out, static_cast<const std::int32_t*>(x), range);
    case kI64: return convert_to(dtype, out, static_cast<const std::int64_t*>(x), range);
    default: return convert_to(dtype, out, static_cast<const std::uint8_t*>(x), range);
  }
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(cast)
