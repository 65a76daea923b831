// The index of the first largest or smallest float along an axis; the first NaN wins over all.
#include "kernels/arg_extreme.h"
#include "registry.h"
#include "simd/fold.h"
#include "simd/lanes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// The largest element of the row, or of its negative: NaN if there is one.
template <class T>
PYNN_INLINE T largest_of(const T* x, std::int64_t n, bool negated) {
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes, wide = 4;
  V best[wide];
  for (int k = 0; k < wide; ++k) best[k] = broadcast(negated ? -*x : *x);
  std::int64_t i = 0;
  for (; i + wide * lanes <= n; i += wide * lanes)
    for (int k = 0; k < wide; ++k) {
      const V v = load(x + i + k * lanes);
      best[k] = vmax(best[k], negated ? -v : v);
    }
  for (; i < n; i += lanes) {
    const int count = lanes_left<T>(n - i);
    const V v = load_lanes(x + i, count);
    best[0] = vmax(best[0], keep_lanes(negated ? -v : v, best[0][0], count));
  }
  return fold_max(vmax(vmax(best[0], best[1]), vmax(best[2], best[3])));
}

constexpr std::int64_t kRowPart = 512;  // of a row: only that which has the extreme is searched for its place

template <class T>
PYNN_INLINE bool beats(T x, T best, bool smallest) {
  return (smallest ? x < best : x > best) || (x != x && best == best);
}

// The first lane that holds the extreme, which is NaN if there is one.
template <class T>
PYNN_INLINE int lane_of(typename Simd<T>::V v, T extreme) {
  const typename Simd<T>::M found = extreme == extreme ? v == broadcast(extreme) : v != v;
  return first_lane(found);
}

constexpr std::int64_t kShortRow = 4;

template <class T>
std::int64_t index_in_row(const T* x, std::int64_t n, bool smallest) {
  if (n <= kShortRow) {
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < n; ++i) best = beats(x[i], x[best], smallest) ? i : best;
    return best;
  }
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes;
  if (n <= lanes) {
    const V v = keep_lanes(load_lanes(x, static_cast<int>(n)), *x, static_cast<int>(n));
    return lane_of<T>(v, smallest ? -fold_max(-v) : fold_max(v));
  }
  std::int64_t part = 0;
  T largest = largest_of(x, least(kRowPart, n), smallest);
  for (std::int64_t i = kRowPart; i < n && largest == largest; i += kRowPart) {
    const T here = largest_of(x + i, least(kRowPart, n - i), smallest);
    if (here <= largest) continue;
    largest = here;
    part = i;
  }
  for (std::int64_t i = part;; i += lanes) {
    const V v = load_lanes(x + i, lanes_left<T>(n - i));
    const int lane = lane_of<T>(v, smallest ? -largest : largest);
    if (lane < lanes || i + lanes >= n) return i + lane;
  }
}

// The extremes of up to kLanes neighbouring columns and their rows.
template <class T>
struct Extremes {
  typename Simd<T>::V best;
  typename Simd<T>::M index;
};

template <class T>
PYNN_INLINE Extremes<T> extremes_of_columns(const T* x, std::int64_t n, std::int64_t stride, int count, bool smallest) {
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
  return Extremes<T>{best, index};
}

// All columns of a matrix with so few of them that a vector holds several rows.
template <class T>
void index_in_few_columns(const T* x, std::int64_t n, int columns, bool smallest, std::int64_t* out) {
  const int rows = Simd<T>::kLanes / columns;
  const Extremes<T> found = extremes_of_columns(x, n / rows, rows * columns, rows * columns, smallest);
  for (int c = 0; c < columns; ++c) {
    T best = found.best[c];
    std::int64_t at = found.index[c] * static_cast<std::int64_t>(rows);
    for (int r = 1; r < rows; ++r) {
      const T x_r = found.best[r * columns + c];
      const std::int64_t row = found.index[r * columns + c] * static_cast<std::int64_t>(rows) + r;
      const bool as_good = !beats(best, x_r, smallest) && row < at;
      if (!beats(x_r, best, smallest) && !as_good) continue;
      best = x_r;
      at = row;
    }
    for (std::int64_t row = n / rows * rows; row < n; ++row)
      if (beats(x[row * columns + c], best, smallest)) best = x[row * columns + c], at = row;
    out[c] = at;
  }
}

template <class T>
void index_in_columns(const T* x, std::int64_t n, std::int64_t stride, int count, bool smallest, std::int64_t* out) {
  if (count == stride && 2 * count <= Simd<T>::kLanes && n >= Simd<T>::kLanes) return index_in_few_columns(x, n, count, smallest, out);
  const Extremes<T> found = extremes_of_columns(x, n, stride, count, smallest);
  for (int i = 0; i < count; ++i) out[i] = found.index[i];
}

template <class T>
AlongAxis along_axis(const Problem& problem) {
  return AlongAxis(problem, Simd<T>::kLanes);
}

template <class T>
bool prepare_index(const Problem* problem, Plan* plan) {
  return has_axis(problem->specs[0], problem->ints[1]) && plan_index(*problem, along_axis<T>(*problem), plan);
}

template <class T>
void run_index(const Call* call, std::int64_t begin, std::int64_t end) {
  find_indices<T>(call, along_axis<T>(*call->problem), begin, end, index_in_row<T>, index_in_columns<T>);
}

}  // namespace

PYNN_FLOAT_ENTRIES(arg_extreme, prepare_index<T>(problem, plan), run_index<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(arg_extreme)
