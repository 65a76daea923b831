// Conversion between dtypes, element by element: floats to integers towards zero, anything to bool as x != 0.
#include "kernels/ranges.h"
#include "registry.h"

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
template <class T>
struct GroupOf {
  typedef T type __attribute__((vector_size(kGroup * sizeof(T)), aligned(1), may_alias));
};
template <class T>
using Group = typename GroupOf<T>::type;

template <class T>
PYNN_INLINE Group<T>& group_at(T* p) { return *reinterpret_cast<Group<T>*>(p); }
template <class T>
PYNN_INLINE const Group<T>& group_at(const T* p) { return *reinterpret_cast<const Group<T>*>(p); }

// Of groups in memory: a vector that the target doesn't have is no value to return.
template <class To, class From>
struct ConvertGroup {
  static PYNN_INLINE void put(To* to, const From* from) { group_at(to) = __builtin_convertvector(group_at(from), Group<To>); }
};
template <class From>
struct ConvertGroup<Bool, From> {
  static PYNN_INLINE void put(Bool* to, const From* from) {
    group_at(&to->value) = __builtin_convertvector(group_at(from) != From(0), Group<std::uint8_t>) & 1;
  }
};
template <>
struct ConvertGroup<std::uint8_t, double> {
  static PYNN_INLINE void put(std::uint8_t* to, const double* from) {
    group_at(to) = __builtin_convertvector(__builtin_convertvector(group_at(from), Group<std::int64_t>), Group<std::uint8_t>);
  }
};
template <>
struct ConvertGroup<std::uint8_t, float> {
  static PYNN_INLINE void put(std::uint8_t* to, const float* from) {
    double wide[kGroup];
    ConvertGroup<double, float>::put(wide, from);
    ConvertGroup<std::uint8_t, double>::put(to, wide);
  }
};

// Eight at once; conversions that the target has no instruction for are still right.
template <class To, class From>
PYNN_INLINE void convert_groups(To* to, const From* from, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) ConvertGroup<To, From>::put(to + i, from + i);
  convert(to + i, from + i, n - i);
}
#else
template <class To, class From>
PYNN_INLINE void convert_groups(To* to, const From* from, std::int64_t n) {
  convert(to, from, n);
}
#endif

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
// Pixels and masks: the compiler would convert bytes one by one.
PYNN_INLINE __m256i widened(const std::uint8_t* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))); }
PYNN_INLINE void convert_groups(float* to, const std::uint8_t* from, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) _mm256_storeu_ps(to + i, _mm256_cvtepi32_ps(widened(from + i)));
  convert(to + i, from + i, n - i);
}
PYNN_INLINE void convert_groups(std::int32_t* to, const std::uint8_t* from, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), widened(from + i));
  convert(to + i, from + i, n - i);
}
#endif

template <class From>
void convert_to(std::int32_t dtype, void* to, const From* from, Range range) {
  const std::int64_t first = range.first, n = range.length();
  switch (dtype) {
    case kF32: return convert_groups(static_cast<float*>(to) + first, from + first, n);
    case kF64: return convert_groups(static_cast<double*>(to) + first, from + first, n);
    case kI32: return convert_groups(static_cast<std::int32_t*>(to) + first, from + first, n);
    case kI64: return convert_groups(static_cast<std::int64_t*>(to) + first, from + first, n);
    case kU8: return convert_groups(static_cast<std::uint8_t*>(to) + first, from + first, n);
    default: return convert_groups(static_cast<Bool*>(to) + first, from + first, n);
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
