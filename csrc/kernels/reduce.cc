// Sum, mean, max, min, product, any and all over any axes of a float tensor; see reduce_stages.h for the order of the arithmetic.
#include "kernels/micro.h"
#include "kernels/reduce_passes.h"
#include "kernels/specs.h"
#include "registry.h"
#include "simd/math.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- the operations: a neutral element, what is made of an element, and how two are joined --------------------------------------

struct Addition {
  template <class T>
  static T neutral() { return T(0); }
  template <class V>
  static PYNN_INLINE V of(V x) { return x; }
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return a + b; }
};
struct Product : Addition {
  template <class T>
  static T neutral() { return T(1); }
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return a * b; }
  template <class T>
  static PYNN_INLINE T fold(typename Simd<T>::V v) {
    T part[Simd<T>::kLanes];
    store(part, v);
    for (int half = Simd<T>::kLanes / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) part[i] *= part[i + half];
    return part[0];
  }
};
struct Largest : Addition {
  template <class T>
  static T neutral() { return T(-INFINITY); }
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return vmax(a, b); }
  template <class T>
  static PYNN_INLINE T fold(typename Simd<T>::V v) { return fold_max(v); }
};
struct Smallest : Addition {
  template <class T>
  static T neutral() { return T(INFINITY); }
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return vmin(a, b); }
  template <class T>
  static PYNN_INLINE T fold(typename Simd<T>::V v) { return -fold_max(-v); }
};
// 1 where an element isn't 0. Joining only sees ones and zeros, which `of` leaves as they are.
struct AnyTrue : Addition {
  template <class V>
  static PYNN_INLINE V of(V x) {
    const V none = zero<Scalar<V>>();
    return select((x != none), constant<V>(1), none);
  }
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return vmax(a, b); }
  template <class T>
  static PYNN_INLINE T fold(typename Simd<T>::V v) { return fold_max(v); }
};
struct AllTrue : AnyTrue {
  template <class T>
  static T neutral() { return T(1); }
  template <class V>
  static PYNN_INLINE V join(V a, V b) { return vmin(a, b); }
  template <class T>
  static PYNN_INLINE T fold(typename Simd<T>::V v) { return -fold_max(-v); }
};

// ---- rows and columns -------------------------------------------------------------------------------------------------

template <class T, class Op>
struct Row {
  static T reduce(const T* x, std::int64_t n) {
    typedef typename Simd<T>::V V;
    constexpr int lanes = Simd<T>::kLanes, wide = 4;
    if (n <= lanes) {
      const int count = static_cast<int>(n);
      return Op::template fold<T>(keep_lanes(Op::of(load_lanes(x, count)), Op::template neutral<T>(), count));
    }
    V sums[wide];
    for (int k = 0; k < wide; ++k) sums[k] = broadcast(Op::template neutral<T>());
    std::int64_t i = 0;
    for (; i + wide * lanes <= n; i += wide * lanes)
      for (int k = 0; k < wide; ++k) sums[k] = Op::join(sums[k], Op::of(load(x + i + k * lanes)));
    PYNN_UNROLL
    for (int k = 0; k < wide; ++k) {
      const int count = lanes_left<T>(n - i - k * lanes);
      if (count > 0) sums[k] = Op::join(sums[k], keep_lanes(Op::of(load_lanes(x + i + k * lanes, count)), Op::template neutral<T>(), count));
    }
    return Op::template fold<T>(Op::join(Op::join(sums[0], sums[1]), Op::join(sums[2], sums[3])));
  }
};
template <class T>
struct Row<T, Addition> {
  static T reduce(const T* x, std::int64_t n) {
    return n <= SumLanes<T>::kLogical ? sum_few(x, static_cast<int>(n), Same()) : sum_group(x, n);
  }
};

// out[c] = the join of x[r * stride + c] over r < rows, in order, for c < columns; out has room for whole vectors.
template <class T, class Op, int kWide>
PYNN_INLINE void reduce_strip(const T* x, std::int64_t rows, std::int64_t stride, int count, T* out) {
  constexpr int lanes = Simd<T>::kLanes;
  typename Simd<T>::V sums[kWide];
  for (int k = 0; k < kWide; ++k) sums[k] = broadcast(Op::template neutral<T>());
  for (std::int64_t r = 0; r < rows; ++r, x += stride)
    for (int k = 0; k < kWide; ++k) sums[k] = Op::join(sums[k], Op::of(load_lanes(x + k * lanes, count)));
  for (int k = 0; k < kWide; ++k) store(out + k * lanes, sums[k]);
}

template <class T, class Op>
void reduce_columns(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t columns, T* out) {
  constexpr int lanes = Simd<T>::kLanes;
  constexpr int kMost = kVectorRegisters >= 32 ? 16 : 8;
  std::int64_t c = 0;
  for (; c + kMost * lanes <= columns; c += kMost * lanes) reduce_strip<T, Op, kMost>(x + c, rows, stride, lanes, out + c);
  for (; c + 4 * lanes <= columns; c += 4 * lanes) reduce_strip<T, Op, 4>(x + c, rows, stride, lanes, out + c);
  for (; c + lanes <= columns; c += lanes) reduce_strip<T, Op, 1>(x + c, rows, stride, lanes, out + c);
  if (c < columns) reduce_strip<T, Op, 1>(x + c, rows, stride, static_cast<int>(columns - c), out + c);
}

// ---- the reducers -------------------------------------------------------------------------------------------------------

template <class T, class Op>
struct Floats {
  typedef T Element;
  typedef T Partial;
  typedef T Out;
  static T row(const T* x, std::int64_t n) { return Row<T, Op>::reduce(x, n); }
  static void columns(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t columns, T* out) {
    reduce_columns<T, Op>(x, rows, stride, columns, out);
  }
  static T result(T value, std::int64_t) { return value; }
};
template <class T>
struct Mean : Floats<T, Addition> {
  static T result(T sum, std::int64_t count) { return sum / static_cast<T>(count); }
};
template <class T, class Op>
struct Truth : Floats<T, Op> {
  typedef std::uint8_t Out;
  static Out result(T value, std::int64_t) { return value != 0; }
};

// visit(reducer) for the kind of a reduction.
template <class T, class Visit>
PYNN_INLINE void with_reducer(std::int64_t kind, const Visit& visit) {
  switch (kind) {
    case kSum: return visit(Floats<T, Addition>());
    case kMean: return visit(Mean<T>());
    case kLargest: return visit(Floats<T, Largest>());
    case kSmallest: return visit(Floats<T, Smallest>());
    case kProduct: return visit(Floats<T, Product>());
    case kAny: return visit(Truth<T, AnyTrue>());
    default: return visit(Truth<T, AllTrue>());
  }
}

// ---- as micro-operations: size[0] results of size[1] elements each, divided by p if size[2] says so -------------------------------

template <class T, class Op>
struct SlotRow : Row<T, Op> {};
template <class T>
struct SlotRow<T, Addition> {
  static T reduce(const T* x, std::int64_t n) {
    if (n > SumLanes<T>::kLogical) return sum_group(x, n);
    if (n <= Simd<T>::kLanes) return fold_add_first(zero<T>() + keep_lanes(load(x), T(0), static_cast<int>(n)), static_cast<int>(n));
    return sum_few(x, static_cast<int>(n), InSlot());
  }
};

// Sums, or the means of a micro-operation that says so.
template <class T>
PYNN_INLINE typename Simd<T>::V divided(const MicroOp* op, typename Simd<T>::V sums) {
  return op->size[2] ? sums / broadcast(static_cast<T>(op->p)) : sums;
}

template <class T, class Op>
void micro_rows(const MicroOp* op) noexcept {
  const T* x = micro_input<T>(op, 0);
  const int n = op->size[1];
  micro_gather<T>(micro_output<T>(op), op->size[0], [&](int i) { return SlotRow<T, Op>::reduce(x + i * n, n); },
                  [&](typename Simd<T>::V sums, int) { return divided<T>(op, sums); });
}

// One sum of at most a vector.
template <class T>
void micro_sum(const MicroOp* op) noexcept {
  const T sum = SlotRow<T, Addition>::reduce(micro_input<T>(op, 0), least(Simd<T>::kLanes, op->size[1]));
  store(micro_output<T>(op), divided<T>(op, broadcast(sum)));
}

template <class T, class Op>
void micro_columns(const MicroOp* op) noexcept {
  const int columns = op->size[0], rows = op->size[1];
  for (int c = 0; c < columns; c += Simd<T>::kLanes) {
    const T* x = micro_input<T>(op, 0) + c;
    typename Simd<T>::V value = broadcast(Op::template neutral<T>());
    for (int r = 0; r < rows; ++r) value = Op::join(value, Op::of(load(x + r * columns)));
    store(micro_output<T>(op) + c, divided<T>(op, value));
  }
}

template <class T, class Op>
MicroCode micro_reduction(const Stage& stage) {
  MicroCode code = micro_code(stage.rows() ? micro_rows<T, Op> : micro_columns<T, Op>, 0, kMicroAbsent, kMicroAbsent, 1);
  code.op.size[0] = static_cast<std::int16_t>(stage.rows() ? stage.outer : stage.inner);
  code.op.size[1] = static_cast<std::int16_t>(stage.n);
  return code;
}

template <class T>
int micro_reduce(const Problem*, const Plan* plan, MicroCode* codes) noexcept {
  const Stage stage = restored_stage(*plan, 0);
  const std::int64_t kind = plan->params[kKindParam];
  if (!stage.rows() && stage.outer > 1) return 0;
  codes[0] = kind == kLargest    ? micro_reduction<T, Largest>(stage)
             : kind == kSmallest ? micro_reduction<T, Smallest>(stage)
                                 : micro_reduction<T, Addition>(stage);
  if ((kind == kSum || kind == kMean) && stage.rows() && stage.outer == 1 && stage.n <= Simd<T>::kLanes) codes[0].op.run = micro_sum<T>;
  codes[0].op.size[2] = kind == kMean;
  codes[0].op.p = static_cast<double>(plan->params[kCountParam]);
  return 1;
}

template <class T>
bool prepare_reduce(const Problem* problem, Plan* plan) {
  const std::int64_t kind = problem->ints[0];
  constexpr std::int32_t dtype = dtype_of<T>();
  if (problem->specs[0].dtype != dtype || kind < 0 || kind >= kReduceEnd) return false;
  if (problem->specs[1].dtype != (kind == kAny || kind == kAll ? kBool : dtype)) return false;
  Stages stages;
  if (!plan_passes(*problem, sizeof(T), &stages, plan)) return false;
  plan->cost_ns = streaming_ns(problem->specs[0].size * kSizeOf<T>, 1.5);
  if (is_simple(stages)) with_reducer<T>(kind, [&](auto reducer) { plan->run = run_simple<decltype(reducer)>; });
  if (is_simple(stages) && kind <= kSmallest) plan->micro = micro_reduce<T>;
  return true;
}

template <class T>
void run_reduce(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  with_reducer<T>(call->plan->params[kKindParam], [&](auto reducer) { run_pass<decltype(reducer)>(call, phase, begin, end); });
}

}  // namespace

PYNN_FLOAT_ENTRIES(reduce, prepare_reduce<T>(problem, plan), run_reduce<T>(call, phase, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(reduce)
