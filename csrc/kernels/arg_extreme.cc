// out[o, i] = the index of the first largest (ints[0] == 0) or smallest (1) element of x[o, :, i]; the first NaN wins over all.
// ints[1] is the axis; out is int64.
#include <limits>

#include "kernels/rows.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kChunkElements = 8192;

// Columns that an item takes.
template <class T>
constexpr int columns_together() {
  if constexpr (std::numeric_limits<T>::is_integer) return 16;
  else return Simd<T>::kLanes;
}

struct Shape {
  std::int64_t outer = 1, n, inner = 1;

  explicit Shape(const Problem& problem) {
    const Spec& x = problem.specs[0];
    const int axis = static_cast<int>(problem.ints[1]);
    n = x.dims[axis];
    for (int k = 0; k < x.rank; ++k) (k < axis ? outer : inner) *= k == axis ? 1 : x.dims[k];
  }
  // An item is a row, or a few columns.
  template <class T>
  std::int64_t width() const { return inner == 1 ? 1 : columns_together<T>(); }
  template <class T>
  std::int64_t items() const { return outer * ceil_divide(inner, width<T>()); }
};

// The largest element of the row, or of its negative: NaN if there is one.
template <class T>
PYNN_INLINE T largest_of(const T* x, std::int64_t n, bool negated) {
  typename Simd<T>::V best = broadcast(negated ? -*x : *x);
  for_vectors<T>(n, [&](std::int64_t i, int count) {
    const typename Simd<T>::V v = load_lanes(x + i, count);
    best = vmax(best, keep_lanes(negated ? -v : v, best[0], count));
  });
  return fold_max(best);
}

template <class T>
std::int64_t index_in_row(const T* x, std::int64_t n, bool smallest) {
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes;
  const T largest = largest_of(x, n, smallest);
  const V wanted = broadcast(smallest ? -largest : largest);
  const bool number = largest == largest;
  for (std::int64_t i = 0;; i += lanes) {
    const V v = load_lanes(x + i, static_cast<int>(least(lanes, n - i)));
    const int lane = first_lane(number ? v == wanted : v != v);
    if (lane < lanes || i + lanes >= n) return i + lane;
  }
}

// For up to kLanes neighbouring columns.
template <class T>
void index_in_columns(const T* x, std::int64_t n, std::int64_t stride, int count, bool smallest, std::int64_t* out) {
  typedef typename Simd<T>::V V;
  typedef typename Simd<T>::M M;
  typedef typename Simd<T>::Int Int;
  V best = load_lanes(x, count);
  M index = broadcast_bits(Int(0));
  for (std::int64_t i = 1; i < n; ++i) {
    const V v = load_lanes(x + i * stride, count);
    const M better = smallest ? v < best : v > best;
    const M taken = better | ((v != v) & (best == best));
    best = select(taken, v, best);
    index = select(taken, broadcast_bits(static_cast<Int>(i)), index);
  }
  for (int i = 0; i < count; ++i) out[i] = index[i];
}

// Integers one by one, for up to columns_together of them, `stride` apart in the axis.
template <class T>
void index_of_integers(const T* x, std::int64_t n, std::int64_t stride, int count, bool smallest, std::int64_t* out) {
  T best[columns_together<T>()];
  for (int c = 0; c < count; ++c) {
    best[c] = x[c];
    out[c] = 0;
  }
  for (std::int64_t i = 1; i < n; ++i)
    for (int c = 0; c < count; ++c) {
      const T value = x[i * stride + c];
      if (smallest ? value >= best[c] : value <= best[c]) continue;
      best[c] = value;
      out[c] = i;
    }
}

template <class T>
PYNN_INLINE void index_of(const T* x, const Shape& shape, int count, bool smallest, std::int64_t* out) {
  if constexpr (std::numeric_limits<T>::is_integer) index_of_integers(x, shape.n, shape.inner, count, smallest, out);
  else if (shape.inner == 1) *out = index_in_row(x, shape.n, smallest);
  else index_in_columns(x, shape.n, shape.inner, count, smallest, out);
}

template <class T>
bool prepare_index(const Problem* problem, Plan* plan) {
  if (problem->specs[1].dtype != kI64 || problem->specs[0].rank < 1) return false;
  const Shape shape(*problem);
  if ((shape.n < 1 && shape.outer * shape.inner > 0) || shape.n > INT32_MAX) return false;
  plan->params[0] = split(plan, 0, shape.items<T>(), kChunkElements / most(1, shape.n * shape.width<T>()), 1);
  plan->cost_ns = static_cast<double>(problem->specs[0].size) * 0.4;
  return true;
}

template <class T>
void run_index(const Call* call, std::int64_t begin, std::int64_t end) {
  const Shape shape(*call->problem);
  const bool smallest = call->problem->ints[0] != 0;
  const T* x = static_cast<const T*>(call->data[0]);
  std::int64_t* out = static_cast<std::int64_t*>(call->data[1]);
  const Range items = chunk_range(begin, end, call->plan->params[0], shape.items<T>());
  const std::int64_t groups = ceil_divide(shape.inner, shape.width<T>());
  for (std::int64_t item = items.first; item < items.last; ++item) {
    const std::int64_t outer = item / groups, column = item % groups * shape.width<T>();
    const int count = static_cast<int>(least(shape.width<T>(), shape.inner - column));
    index_of(x + outer * shape.n * shape.inner + column, shape, count, smallest, out + outer * shape.inner + column);
  }
}

}  // namespace

#define PYNN_ARG_EXTREME(name, T)                                                                          \
  bool prepare_##name(const Problem* problem, Plan* plan) noexcept { return prepare_index<T>(problem, plan); } \
  void run_##name(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {  \
    run_index<T>(call, begin, end);                                                                        \
  }

PYNN_ARG_EXTREME(arg_extreme_f32, float)
PYNN_ARG_EXTREME(arg_extreme_f64, double)
PYNN_ARG_EXTREME(arg_extreme_i32, std::int32_t)
PYNN_ARG_EXTREME(arg_extreme_i64, std::int64_t)
PYNN_ARG_EXTREME(arg_extreme_u8, std::uint8_t)
PYNN_ARG_EXTREME(arg_extreme_bool, std::uint8_t)

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(arg_extreme_f32)
PYNN_KERNEL(arg_extreme_f64)
PYNN_KERNEL(arg_extreme_i32)
PYNN_KERNEL(arg_extreme_i64)
PYNN_KERNEL(arg_extreme_u8)
PYNN_KERNEL(arg_extreme_bool)
