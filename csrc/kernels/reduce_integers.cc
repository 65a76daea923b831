// Sum, max, min, product, any and all over any axes of integers and bools, and the index of an extreme along one. Sums and products are
// int64 and wrap around, as they do in NumPy. The order of the arithmetic is a matter of speed alone, so this file is left to the compiler's
// vectoriser (CMakeLists.txt).
#include <limits>

#include "kernels/arg_extreme.h"
#include "kernels/reduce_passes.h"
#include "registry.h"
#include "simd/bytes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- the operations: type between passes, neutral element, what is made of an element, how two are joined ------------------------------

PYNN_INLINE std::uint64_t bits(std::int64_t x) { return static_cast<std::uint64_t>(x); }

template <class T>
struct Addition {
  typedef std::int64_t Partial;
  typedef std::int64_t Out;
  static constexpr Partial kNeutral = 0;
  static constexpr bool kAdds = true;
  template <class From>
  static PYNN_INLINE Partial of(From x) { return x; }
  static PYNN_INLINE Partial join(Partial a, Partial b) { return static_cast<Partial>(bits(a) + bits(b)); }
};
template <class T>
struct Product : Addition<T> {
  static constexpr std::int64_t kNeutral = 1;
  static constexpr bool kAdds = false;
  static PYNN_INLINE std::int64_t join(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(bits(a) * bits(b)); }
};
template <class T>
struct Largest {
  typedef T Partial;
  typedef T Out;
  static constexpr T kNeutral = std::numeric_limits<T>::min();
  static constexpr bool kAdds = false;
  static PYNN_INLINE T of(T x) { return x; }
  static PYNN_INLINE T join(T a, T b) { return a > b ? a : b; }
};
template <class T>
struct Smallest : Largest<T> {
  static constexpr T kNeutral = std::numeric_limits<T>::max();
  static PYNN_INLINE T join(T a, T b) { return a < b ? a : b; }
};
template <class T>
struct AnyTrue {
  typedef std::uint8_t Partial;
  typedef std::uint8_t Out;
  static constexpr Partial kNeutral = 0;
  static constexpr bool kAdds = false;
  template <class From>
  static PYNN_INLINE Partial of(From x) { return x != 0; }
  static PYNN_INLINE Partial join(Partial a, Partial b) { return a | b; }
};
template <class T>
struct AllTrue : AnyTrue<T> {
  static constexpr std::uint8_t kNeutral = 1;
  static PYNN_INLINE std::uint8_t join(std::uint8_t a, std::uint8_t b) { return a & b; }
};

template <class T, template <class> class Operation>
struct Integers {
  typedef Operation<T> Op;
  typedef T Element;
  typedef typename Op::Partial Partial;
  typedef typename Op::Out Out;

  template <class From>
  static Partial row(const From* x, std::int64_t n) {
    Partial joined = Op::kNeutral;
    for (std::int64_t i = 0; i < n; ++i) joined = Op::join(joined, Op::of(x[i]));
    return joined;
  }
  static Partial row(const std::uint8_t* x, std::int64_t n) {
    if constexpr (Op::kAdds) return static_cast<Partial>(sum_of_bytes(x, n));
    else return row<std::uint8_t>(x, n);
  }
  template <class From>
  static void columns(const From* x, std::int64_t rows, std::int64_t stride, std::int64_t columns, Partial* PYNN_RESTRICT out) {
    for (std::int64_t c = 0; c < columns; ++c) out[c] = Op::kNeutral;
    for (std::int64_t r = 0; r < rows; ++r, x += stride)
      for (std::int64_t c = 0; c < columns; ++c) out[c] = Op::join(out[c], Op::of(x[c]));
  }
  static Out result(Partial value, std::int64_t) { return value; }
};

// visit(reducer) for the kind of a reduction; false if integers don't have it.
template <class T, class Visit>
PYNN_INLINE bool with_reducer(std::int64_t kind, const Visit& visit) {
  switch (kind) {
    case kSum: visit(Integers<T, Addition>()); return true;
    case kProduct: visit(Integers<T, Product>()); return true;
    case kLargest: visit(Integers<T, Largest>()); return true;
    case kSmallest: visit(Integers<T, Smallest>()); return true;
    case kAny: visit(Integers<T, AnyTrue>()); return true;
    case kAll: visit(Integers<T, AllTrue>()); return true;
    default: return false;
  }
}

std::int32_t result_dtype(std::int64_t kind, std::int32_t dtype) {
  if (kind == kAny || kind == kAll) return kBool;
  return kind == kLargest || kind == kSmallest ? dtype : static_cast<std::int32_t>(kI64);
}

template <class T>
bool prepare_reduce(const Problem* problem, Plan* plan, std::int32_t dtype) {
  const std::int64_t kind = problem->ints[0];
  if (problem->specs[0].dtype != dtype || problem->specs[1].dtype != result_dtype(kind, dtype)) return false;
  Stages stages;
  if (!plan_passes(*problem, sizeof(std::int64_t), &stages, plan)) return false;
  plan->cost_ns = static_cast<double>(problem->specs[0].size) * 0.3;
  return with_reducer<T>(kind, [&](auto reducer) {
    if (is_simple(stages)) plan->run = run_simple<decltype(reducer)>;
  });
}

template <class T>
void run_reduce(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  with_reducer<T>(call->plan->params[kKindParam], [&](auto reducer) { run_pass<decltype(reducer)>(call, phase, begin, end); });
}

// ---- the index of an extreme ---------------------------------------------------------------------------------------------------------------

constexpr int kColumnsTogether = 64;
constexpr std::int64_t kSearched = 64;  // elements looked at before the search may end

// The first place of `value`, which is there.
template <class T>
std::int64_t first_place(const T* x, std::int64_t n, T value) {
  std::int64_t i = 0;
  for (; i + kSearched <= n; i += kSearched) {
    T found = 0;  // as wide as the elements, for the vectoriser
    for (std::int64_t k = 0; k < kSearched; ++k) found = static_cast<T>(found | (x[i + k] == value));
    if (found) break;
  }
  while (x[i] != value) ++i;
  return i;
}

template <class T>
std::int64_t index_in_row(const T* x, std::int64_t n, bool smallest) {
  T best = x[0];
  if (smallest) for (std::int64_t i = 1; i < n; ++i) best = x[i] < best ? x[i] : best;
  else for (std::int64_t i = 1; i < n; ++i) best = x[i] > best ? x[i] : best;
  return first_place(x, n, best);
}

template <class T>
void index_in_columns(const T* x, std::int64_t n, std::int64_t stride, int count, bool smallest, std::int64_t* PYNN_RESTRICT out) {
  T best[kColumnsTogether];
  for (int c = 0; c < count; ++c) {
    best[c] = x[c];
    out[c] = 0;
  }
  for (std::int64_t i = 1; i < n; ++i) {
    const T* row = x + i * stride;
    for (int c = 0; c < count; ++c) {
      const bool better = smallest ? row[c] < best[c] : row[c] > best[c];
      best[c] = better ? row[c] : best[c];
      out[c] = better ? i : out[c];
    }
  }
}

bool prepare_index(const Problem* problem, Plan* plan) {
  return has_axis(problem->specs[0], problem->ints[1]) && plan_index(*problem, AlongAxis(*problem, kColumnsTogether), plan);
}

template <class T>
void run_index(const Call* call, std::int64_t begin, std::int64_t end) {
  find_indices<T>(call, AlongAxis(*call->problem, kColumnsTogether), begin, end, index_in_row<T>, index_in_columns<T>);
}

}  // namespace

PYNN_TYPED_ENTRY(arg_extreme_i32, std::int32_t, prepare_index(problem, plan), run_index<T>(call, begin, end))
PYNN_TYPED_ENTRY(arg_extreme_i64, std::int64_t, prepare_index(problem, plan), run_index<T>(call, begin, end))
PYNN_TYPED_ENTRY(arg_extreme_u8, std::uint8_t, prepare_index(problem, plan), run_index<T>(call, begin, end))
PYNN_TYPED_ENTRY(arg_extreme_bool, std::uint8_t, prepare_index(problem, plan), run_index<T>(call, begin, end))

PYNN_TYPED_ENTRY(reduce_i32, std::int32_t, prepare_reduce<T>(problem, plan, kI32), run_reduce<T>(call, phase, begin, end))
PYNN_TYPED_ENTRY(reduce_i64, std::int64_t, prepare_reduce<T>(problem, plan, kI64), run_reduce<T>(call, phase, begin, end))
PYNN_TYPED_ENTRY(reduce_u8, std::uint8_t, prepare_reduce<T>(problem, plan, kU8), run_reduce<T>(call, phase, begin, end))
PYNN_TYPED_ENTRY(reduce_bool, std::uint8_t, prepare_reduce<T>(problem, plan, kBool), run_reduce<T>(call, phase, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(reduce_i32)
PYNN_KERNEL(reduce_i64)
PYNN_KERNEL(reduce_u8)
PYNN_KERNEL(reduce_bool)
PYNN_KERNEL(arg_extreme_i32)
PYNN_KERNEL(arg_extreme_i64)
PYNN_KERNEL(arg_extreme_u8)
PYNN_KERNEL(arg_extreme_bool)
