// Running sums and products along an axis, and the gradient of the products.
//
//   cumulative:   out[i] = x[0] + ... + x[i], or x[0] * ... * x[i]; ints = [kind, axis, exclusive, reverse]
//   cumprod_grad: x, dy -> out[i] = p[i] * s[i], where p is the exclusive running product of x and s[i] = dy[i] + x[i + 1] * s[i + 1];
//                 ints = [axis, exclusive, reverse]
//
// `exclusive` leaves out element i itself (then s[i] = dy[i + 1] + x[i + 1] * s[i + 1]), `reverse` runs from the end. A line is one chain of
// operations, whatever its neighbours. Lines that are neighbours in memory go side by side in vectors; along the last axis a few of
// them go together, so that one computes while another waits.
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "kernels/specs.h"
#include "registry.h"
#include "simd/lanes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

enum CumulativeKind { kRunningSum = 0, kRunningProduct, kCumulativeEnd };

constexpr std::int64_t kChunkElements = 8192;
constexpr int kLinesTogether = 8;    // along the last axis
constexpr int kVectorsTogether = 4;  // of lines that are neighbours

struct Sum {
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return a + b; }
};
struct Product {
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return a * b; }
};

// ---- a bundle of lines ------------------------------------------------------------------------------------------------------------------

// Where its first elements lie in the direction of running, the step to the next ones, the distance of its lines.
struct Course {
  std::int64_t start, step, distance;
  int last;  // lanes in use of the last vector
};

// Lines that are neighbours in memory, a vector of them in a cell.
template <class T>
struct Neighbours {
  typedef typename Simd<T>::V Cell;
  static constexpr int kLines = Simd<T>::kLanes;
  static PYNN_INLINE Cell at(const T* p, int k, bool last, const Course& c) { return load_lanes<T>(p + k * kLines, last ? c.last : kLines); }
  static PYNN_INLINE void put(T* p, int k, bool last, const Course& c, Cell v) { store_lanes<T>(p + k * kLines, v, last ? c.last : kLines); }
  static PYNN_INLINE Cell all(T x) { return broadcast(x); }
};
// Integers one by one, unsigned: they wrap around, as they do in NumPy.
template <>
struct Neighbours<std::uint64_t> {
  typedef std::uint64_t Cell;
  static constexpr int kLines = 1;
  static PYNN_INLINE Cell at(const std::uint64_t* p, int k, bool, const Course&) { return p[k]; }
  static PYNN_INLINE void put(std::uint64_t* p, int k, bool, const Course&, Cell v) { p[k] = v; }
  static PYNN_INLINE Cell all(std::uint64_t x) { return x; }
};

// Lines some distance apart, one in a cell.
template <class T>
struct Apart {
  typedef T Cell;
  static PYNN_INLINE Cell at(const T* p, int k, bool, const Course& c) { return p[k * c.distance]; }
  static PYNN_INLINE void put(T* p, int k, bool, const Course& c, Cell v) { p[k * c.distance] = v; }
  static PYNN_INLINE Cell all(T x) { return x; }
};

// The elements at one place of all its layout.
template <class T, template <class> class Where, int kCells>
struct Bundle {
  typename Where<T>::Cell cell[kCells];

  static PYNN_INLINE Bundle at(const T* p, const Course& c) {
    Bundle b;
    PYNN_UNROLL
    for (int k = 0; k < kCells; ++k) b.cell[k] = Where<T>::at(p, k, k + 1 == kCells, c);
    return b;
  }
  static PYNN_INLINE Bundle all(T x) {
    Bundle b;
    PYNN_UNROLL
    for (int k = 0; k < kCells; ++k) b.cell[k] = Where<T>::all(x);
    return b;
  }
  PYNN_INLINE void put(T* p, const Course& c) const {
    PYNN_UNROLL
    for (int k = 0; k < kCells; ++k) Where<T>::put(p, k, k + 1 == kCells, c, cell[k]);
  }
  friend PYNN_INLINE Bundle operator+(Bundle a, const Bundle& b) {
    PYNN_UNROLL
    for (int k = 0; k < kCells; ++k) a.cell[k] = a.cell[k] + b.cell[k];
    return a;
  }
  friend PYNN_INLINE Bundle operator*(Bundle a, const Bundle& b) {
    PYNN_UNROLL
    for (int k = 0; k < kCells; ++k) a.cell[k] = a.cell[k] * b.cell[k];
    return a;
  }
};

// ---- how a tensor consists of lines ---------------------------------------------------------------------------------------------------

struct Layout {
  std::int64_t outer, n, inner;  // x as (outer, n, inner)
  bool exclusive, reverse;

  template <class T>
  std::int64_t width() const { return inner == 1 ? kLinesTogether : kVectorsTogether * Neighbours<T>::kLines; }
  // Bundles, of `width` lines or what is left.
  template <class T>
  std::int64_t items() const { return inner == 1 ? ceil_divide(outer, width<T>()) : outer * ceil_divide(inner, width<T>()); }
};

Layout layout_of(const Spec& x, const std::int64_t* ints) {
  const std::int64_t axis = ints[0];
  return Layout{elements(x, 0, axis), x.dims[axis], elements(x, axis + 1, x.rank), ints[1] != 0, ints[2] != 0};
}

// visit(bundle type, course) for the bundles [items.first, items.last).
template <class T, class Visit>
PYNN_INLINE void for_each_bundle(const Layout& layout, Range items, const Visit& visit) {
  const std::int64_t step = layout.reverse ? -layout.inner : layout.inner, start = layout.reverse ? (layout.n - 1) * layout.inner : 0;
  if (layout.inner == 1) {
    const std::int64_t last = least(items.last * kLinesTogether, layout.outer);
    std::int64_t line = items.first * kLinesTogether;
    for (; line + kLinesTogether <= last; line += kLinesTogether)
      visit(Bundle<T, Apart, kLinesTogether>(), Course{start + line * layout.n, step, layout.n, 0});
    for (; line < last; ++line) visit(Bundle<T, Apart, 1>(), Course{start + line * layout.n, step, layout.n, 0});
    return;
  }
  constexpr int lanes = Neighbours<T>::kLines;
  const std::int64_t width = layout.width<T>(), groups = ceil_divide(layout.inner, width);
  for (std::int64_t item = items.first; item < items.last; ++item) {
    const std::int64_t end = least(layout.inner, (item % groups + 1) * width);
    std::int64_t column = item % groups * width;
    const std::int64_t base = start + item / groups * layout.n * layout.inner;
    if (column + width <= end) {
      visit(Bundle<T, Neighbours, kVectorsTogether>(), Course{base + column, step, 0, lanes});
      continue;
    }
    for (; column < end; column += lanes)
      visit(Bundle<T, Neighbours, 1>(), Course{base + column, step, 0, static_cast<int>(least(lanes, end - column))});
  }
}

// ---- running along a bundle -------------------------------------------------------------------------------------------------------

template <class Op, class B, class T>
PYNN_INLINE void run_along(const Course& c, std::int64_t n, bool exclusive, T unit, const T* x, T* out) {
  x += c.start;
  out += c.start;
  B total = B::at(x, c);
  (exclusive ? B::all(unit) : total).put(out, c);
  for (std::int64_t i = 1; i < n; ++i) {
    x += c.step;
    out += c.step;
    if (exclusive) total.put(out, c);
    total = Op::join(total, B::at(x, c));
    if (!exclusive) total.put(out, c);
  }
}

// out *= s, from the last element to the first.
template <class B, class T>
PYNN_INLINE void multiply_by_tails(const Course& c, std::int64_t n, bool exclusive, const T* x, const T* dy, T* out) {
  std::int64_t at = c.start + (n - 1) * c.step;
  B tail = exclusive ? B::all(T(0)) : B::at(dy + at, c);
  (B::at(out + at, c) * tail).put(out + at, c);
  for (std::int64_t i = 1; i < n; ++i) {
    const std::int64_t after = at;
    at -= c.step;
    tail = B::at(dy + (exclusive ? after : at), c) + B::at(x + after, c) * tail;
    (B::at(out + at, c) * tail).put(out + at, c);
  }
}

template <class T>
bool plan_lines(const Layout& layout, std::int64_t size, Plan* plan) {
  const std::int64_t elements = layout.n * layout.width<T>();
  plan->params[0] = split(plan, 0, layout.items<T>(), kChunkElements / most(1, elements), 1);
  if (size == 0) plan->chunks[0] = 0;
  plan->cost_ns = static_cast<double>(size) * 0.5;
  return true;
}

template <class T>
Range planned_items(const Call* call, const Layout& layout, std::int64_t begin, std::int64_t end) {
  return chunk_range(begin, end, call->plan->params[0], layout.items<T>());
}

template <class T>
bool prepare_cumulative(const Problem* problem, Plan* plan) {
  const Spec &x = problem->specs[0], &out = problem->specs[1];
  const std::int64_t kind = problem->ints[0];
  if (kind < 0 || kind >= kCumulativeEnd || x.dtype != out.dtype || x.size != out.size || !has_axis(x, problem->ints[1])) return false;
  return plan_lines<T>(layout_of(x, problem->ints + 1), x.size, plan);
}

template <class T, class Op>
void run_kind(const Call* call, std::int64_t begin, std::int64_t end, T unit) {
  const Layout layout = layout_of(call->problem->specs[0], call->problem->ints + 1);
  const T* x = operand<const T>(call, 0);
  T* out = operand<T>(call, 1);
  for_each_bundle<T>(layout, planned_items<T>(call, layout, begin, end), [&](auto bundle, const Course& course) {
    run_along<Op, decltype(bundle)>(course, layout.n, layout.exclusive, unit, x, out);
  });
}

template <class T>
void run_cumulative(const Call* call, std::int64_t begin, std::int64_t end) {
  if (call->problem->ints[0] == kRunningSum) run_kind<T, Sum>(call, begin, end, T(0));
  else run_kind<T, Product>(call, begin, end, T(1));
}

template <class T>
bool prepare_grad(const Problem* problem, Plan* plan) {
  const Spec& x = problem->specs[0];
  if (!has_axis(x, problem->ints[0]) || problem->specs[1].size != x.size || problem->specs[2].size != x.size) return false;
  if (problem->specs[1].dtype != x.dtype || problem->specs[2].dtype != x.dtype) return false;
  plan_lines<T>(layout_of(x, problem->ints), x.size, plan);
  plan->cost_ns *= 2;
  return true;
}

template <class T>
void run_grad(const Call* call, std::int64_t begin, std::int64_t end) {
  const Layout layout = layout_of(call->problem->specs[0], call->problem->ints);
  const T *x = operand<const T>(call, 0), *dy = operand<const T>(call, 1);
  T* out = operand<T>(call, 2);
  for_each_bundle<T>(layout, planned_items<T>(call, layout, begin, end), [&](auto bundle, const Course& course) {
    run_along<Product, decltype(bundle)>(course, layout.n, true, T(1), x, out);
    multiply_by_tails<decltype(bundle)>(course, layout.n, layout.exclusive, x, dy, out);
  });
}

}  // namespace

PYNN_FLOAT_ENTRIES(cumulative, prepare_cumulative<T>(problem, plan), run_cumulative<T>(call, begin, end))
PYNN_TYPED_ENTRY(cumulative_i64, std::uint64_t, prepare_cumulative<T>(problem, plan), run_cumulative<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(cumprod_grad, prepare_grad<T>(problem, plan), run_grad<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(cumulative)
PYNN_KERNEL(cumulative_i64)
PYNN_FLOAT_KERNELS(cumprod_grad)
