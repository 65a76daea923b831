// The index of the first largest or smallest float along an axis; the first NaN wins over all.
#include "kernels/arg_extreme.h"
#include "kernels/rows.h"
#include "registry.h"

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
    const int count = static_cast<int>(least(lanes, n - i));
    const V v = load_lanes(x + i, count);
    best[0] = vmax(best[0], keep_lanes(negated ? -v : v, best[0][0], count));
  }
  return fold_max(vmax(vmax(best[0], best[1]), vmax(best[2], best[3])));
}

constexpr std::int64_t kRowPart = 512;  // of a row: only that which has the extreme is searched for its place

template <class T>
std::int64_t index_in_row(const T* x, std::int64_t n, bool smallest) {
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes;
  std::int64_t part = 0;
  T largest = largest_of(x, least(kRowPart, n), smallest);
  for (std::int64_t i = kRowPart; i < n && largest == largest; i += kRowPart) {
    const T here = largest_of(x + i, least(kRowPart, n - i), smallest);
    if (here <= largest) continue;
    largest = here;
    part = i;
  }
  const V wanted = broadcast(smallest ? -largest : largest);
  const bool number = largest == largest;
  for (std::int64_t i = part;; i += lanes) {
    const V v = load_lanes(x + i, static_cast<int>(least(lanes, n - i)));
    const typename Simd<T>::M found = number ? v == wanted : v != v;
    const int lane = first_lane(found);
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

template <class T>
AlongAxis along_axis(const Problem& problem) {
  return AlongAxis(problem, Simd<T>::kLanes);
}

template <class T>
bool prepare_index(const Problem* problem, Plan* plan) {
  return problem->specs[0].rank > 0 && plan_index(*problem, along_axis<T>(*problem), plan);
}

template <class T>
void run_index(const Call* call, std::int64_t begin, std::int64_t end) {
  find_indices<T>(call, along_axis<T>(*call->problem), begin, end, index_in_row<T>, index_in_columns<T>);
}

}  // namespace

bool prepare_arg_extreme_f32(const Problem* problem, Plan* plan) noexcept { return prepare_index<float>(problem, plan); }
void run_arg_extreme_f32(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  run_index<float>(call, begin, end);
}
bool prepare_arg_extreme_f64(const Problem* problem, Plan* plan) noexcept { return prepare_index<double>(problem, plan); }
void run_arg_extreme_f64(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  run_index<double>(call, begin, end);
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(arg_extreme_f32)
PYNN_KERNEL(arg_extreme_f64)
