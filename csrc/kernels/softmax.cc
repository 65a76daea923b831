// Softmax over the last axis, its logarithm, their gradients, and the losses built on them. A row is one of all leading axes'
// slices; each is done in one piece, so its value depends on nothing else. The largest element is taken off before exp.
#include "kernels/operands.h"
#include "kernels/rows.h"
#include "kernels/specs.h"
#include "registry.h"
#include "simd/math.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kChunkElements = 2048;
constexpr std::int32_t kLabelFailure = 1;

template <class T>
constexpr T kLowest = -__builtin_huge_val();

template <class T>
PYNN_INLINE T row_max(const T* x, std::int64_t n) {
  typename Simd<T>::V best = broadcast(kLowest<T>);
  for_vectors<T>(n, [&](std::int64_t i, int count) {
    const typename Simd<T>::V v = keep_lanes<T>(load_lanes(x + i, count), kLowest<T>, count);
    best = select((v > best), v, best);
  });
  return fold_max(best);
}

// y = e^(x - max); returns the sum. A NaN anywhere makes the sum NaN.
template <class T>
PYNN_INLINE T exponentials(const T* x, T max, T* y, std::int64_t n) {
  const typename Simd<T>::V shift = broadcast(max);
  return sum_vectors<T>(n, [&](std::int64_t i, int count) {
    const typename Simd<T>::V e = keep_lanes<T>(vexp(load_lanes(x + i, count) - shift), T(0), count);
    store_lanes(y + i, e, count);
    return e;
  });
}

template <class T>
PYNN_INLINE void scale_row(T* y, T factor, std::int64_t n) {
  const typename Simd<T>::V scale = broadcast(factor);
  for_vectors<T>(n, [&](std::int64_t i, int count) { store_lanes(y + i, load_lanes(y + i, count) * scale, count); });
}

// The largest element of a row and the sum of e^(x - max).
template <class T>
struct RowTotal {
  T max, sum;
};

// y = softmax(x). A row within a vector stays in registers, with the bits of a longer one's passes.
template <class T>
PYNN_INLINE RowTotal<T> normalize_row(const T* x, T* y, std::int64_t n) {
  if (n > Simd<T>::kLanes) {
    const T max = row_max(x, n), sum = exponentials(x, max, y, n);
    scale_row(y, T(1) / sum, n);
    return {max, sum};
  }
  const int count = static_cast<int>(n);
  const typename Simd<T>::V v = load_lanes(x, count);
  const T max = fold_max(keep_lanes<T>(v, kLowest<T>, count));
  const typename Simd<T>::V e = keep_lanes<T>(vexp(v - broadcast(max)), T(0), count);
  const T sum = fold_add(e);
  store_lanes(y, e * broadcast(T(1) / sum), count);
  return {max, sum};
}

template <class T>
struct Softmax {
  PYNN_INLINE static void row(const T* x, T* y, std::int64_t n) { normalize_row(x, y, n); }
};

// y = x - max - ln(sum of e^(x - max))
template <class T>
struct LogSoftmax {
  PYNN_INLINE static void row(const T* x, T* y, std::int64_t n) {
    const T max = row_max(x, n);
    const typename Simd<T>::V log_sum = vlog(broadcast(exponentials(x, max, y, n)));
    for_vectors<T>(n, [&](std::int64_t i, int count) {
      store_lanes(y + i, load_lanes(x + i, count) - broadcast(max) - log_sum, count);
    });
  }
};

// dx = (dy - sum(dy * y)) * y
template <class T>
struct SoftmaxGrad {
  PYNN_INLINE static void row(const T* dy, const T* y, T* dx, std::int64_t n) {
    const typename Simd<T>::V sum = broadcast(
        sum_vectors<T>(n, [&](std::int64_t i, int count) { return load_lanes(dy + i, count) * load_lanes(y + i, count); }));
    for_vectors<T>(n, [&](std::int64_t i, int count) {
      store_lanes(dx + i, (load_lanes(dy + i, count) - sum) * load_lanes(y + i, count), count);
    });
  }
};

// dx = dy - e^y * sum(dy)
template <class T>
struct LogSoftmaxGrad {
  PYNN_INLINE static void row(const T* dy, const T* y, T* dx, std::int64_t n) {
    const typename Simd<T>::V sum =
        broadcast(sum_vectors<T>(n, [&](std::int64_t i, int count) { return load_lanes(dy + i, count); }));
    for_vectors<T>(n, [&](std::int64_t i, int count) {
      store_lanes(dx + i, load_lanes(dy + i, count) - vexp(load_lanes(y + i, count)) * sum, count);
    });
  }
};

// An estimate for an element of float, or of double.
template <class T>
constexpr double ns_of(double f32, double f64) { return sizeof(T) == 4 ? f32 : f64; }

// Positions in Plan::params: rows (or elements) of a chunk, the length of a row, the number of rows.
enum Param { kChunkLength, kColumns, kNumRows };

bool plan_rows(const Spec& x, double ns_per_element, Plan* plan) {
  const std::int64_t columns = x.rank > 0 ? x.dims[x.rank - 1] : 0;
  if (columns <= 0) return false;
  const std::int64_t rows = x.size / columns;
  plan->params[kColumns] = columns;
  plan->params[kNumRows] = rows;
  plan->params[kChunkLength] = split(plan, 0, rows, kChunkElements / columns, 1);
  plan->cost_ns = static_cast<double>(x.size) * ns_per_element + static_cast<double>(rows) * 15;
  return true;
}

PYNN_INLINE Range planned_rows(const Call* call, std::int64_t begin, std::int64_t end) {
  return chunk_range(begin, end, call->plan->params[kChunkLength], call->plan->params[kNumRows]);
}

template <class T, class Op>
void run_rows(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = call->plan->params[kColumns];
  const Range rows = planned_rows(call, begin, end);
  const T* x = operand<const T>(call, 0);
  T* y = operand<T>(call, 1);
  for (std::int64_t row = rows.first; row < rows.last; ++row) Op::row(x + row * n, y + row * n, n);
}

template <class T, class Op>
void run_grad_rows(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = call->plan->params[kColumns];
  const Range rows = planned_rows(call, begin, end);
  const T* dy = operand<const T>(call, 0);
  const T* y = operand<const T>(call, 1);
  T* dx = operand<T>(call, 2);
  for (std::int64_t row = rows.first; row < rows.last; ++row) Op::row(dy + row * n, y + row * n, dx + row * n, n);
}

// ---- cross entropy of labels y with softmax(x): sum(y) * ln(sum e^(x - max)) - sum(y * (x - max)) ------------------------------

// Class indices. The label of a row, or -1 after reporting one that is out of range.
struct Classes {
  const void* labels;
  std::int32_t dtype;
  std::int64_t classes;
  Failure* failure;

  Classes(const Call* call, int operand)
      : labels(call->data[operand]), dtype(call->problem->specs[operand].dtype), classes(call->plan->params[kColumns]),
        failure(call->failure) {}
  std::int64_t at(std::int64_t row) const {
    const std::int64_t label = index_at(labels, dtype, row);
    if (label >= 0 && label < classes) return label;
    fail(failure, kLabelFailure, label, row, classes);
    return -1;
  }
};

// Dense labels, smoothed: y * (1 - smoothing) + smoothing / classes.
template <class T>
struct Smoothed {
  typename Simd<T>::V keep, rest;
  Smoothed(const Call* call)
      : keep(broadcast(static_cast<T>(1 - call->problem->floats[0]))),
        rest(broadcast(static_cast<T>(call->problem->floats[0] / static_cast<double>(call->plan->params[kColumns])))) {}
  PYNN_INLINE typename Simd<T>::V at(const T* y, int count) const {
    return keep_lanes<T>(load_lanes(y, count) * keep + rest, T(0), count);
  }
  T sum(const T* y, std::int64_t n) const {
    return sum_vectors<T>(n, [&](std::int64_t i, int count) { return at(y + i, count); });
  }
};

// losses[k] = weights[k] * ln(sums[k]) - dots[k] for a group of rows, one logarithm for all.
template <class T>
struct LossGroup {
  static constexpr int kRows = Simd<T>::kLanes;
  T weights[kRows], sums[kRows], dots[kRows];

  LossGroup() {
    for (int k = 0; k < kRows; ++k) weights[k] = sums[k] = dots[k] = 1;
  }
  void finish(T* losses, int count) const {
    store_lanes(losses, load(weights) * vlog(load(sums)) - load(dots), count);
  }
};

// (logits, labels) -> loss, probabilities; `target(row, x, max, group, k)` sets weight and dot of row k of the group.
template <class T, class F>
PYNN_INLINE void run_cross_entropy(const Call* call, std::int64_t begin, std::int64_t end, const F& target) {
  const std::int64_t n = call->plan->params[kColumns];
  const Range rows = planned_rows(call, begin, end);
  const T* x = operand<const T>(call, 0);
  T* losses = operand<T>(call, 2);
  T* p = operand<T>(call, 3);
  for (std::int64_t first = rows.first; first < rows.last; first += LossGroup<T>::kRows) {
    const int count = static_cast<int>(least(LossGroup<T>::kRows, rows.last - first));
    LossGroup<T> group;
    for (int k = 0; k < count; ++k) {
      const std::int64_t row = first + k;
      const RowTotal<T> total = normalize_row(x + row * n, p + row * n, n);
      group.sums[k] = total.sum;
      if (!target(row, x + row * n, total.max, &group, k)) return;
    }
    group.finish(losses + first, count);
  }
}

template <class T>
void run_sparse(const Call* call, std::int64_t begin, std::int64_t end) {
  const Classes classes(call, 1);
  run_cross_entropy<T>(call, begin, end, [&](std::int64_t row, const T* x, T max, LossGroup<T>* group, int k) {
    const std::int64_t label = classes.at(row);
    if (label < 0) return false;
    group->dots[k] = x[label] - max;
    return true;
  });
}

template <class T>
void run_dense(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = call->plan->params[kColumns];
  const T* labels = operand<const T>(call, 1);
  const Smoothed<T> smoothed(call);
  run_cross_entropy<T>(call, begin, end, [&](std::int64_t row, const T* x, T max, LossGroup<T>* group, int k) {
    const T* y = labels + row * n;
    const typename Simd<T>::V shift = broadcast(max);
    group->weights[k] = smoothed.sum(y, n);
    group->dots[k] = sum_vectors<T>(n, [&](std::int64_t i, int count) {
      const typename Simd<T>::V weight = smoothed.at(y + i, count);  // a class without weight counts nothing, even at -infinity
      return select((weight != zero<T>()), weight * (load_lanes(x + i, count) - shift), zero<T>());
    });
    return true;
  });
}

// (dloss, probabilities, labels) -> dlogits = (p - one_hot(label)) * dloss
template <class T>
void run_sparse_grad(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = call->plan->params[kColumns];
  const Range rows = planned_rows(call, begin, end);
  const Classes classes(call, 2);
  const T* dloss = operand<const T>(call, 0);
  const T* p = operand<const T>(call, 1);
  T* dx = operand<T>(call, 3);
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const std::int64_t label = classes.at(row);
    if (label < 0) return;
    const typename Simd<T>::V scale = broadcast(dloss[row]);
    for_vectors<T>(n, [&](std::int64_t i, int count) {
      store_lanes(dx + row * n + i, load_lanes(p + row * n + i, count) * scale, count);
    });
    dx[row * n + label] = (p[row * n + label] - T(1)) * dloss[row];
  }
}

// (dloss, probabilities, labels) -> dlogits = (p * sum(y) - y) * dloss
template <class T>
void run_dense_grad(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = call->plan->params[kColumns];
  const Range rows = planned_rows(call, begin, end);
  const Smoothed<T> smoothed(call);
  const T* dloss = operand<const T>(call, 0);
  T* dx = operand<T>(call, 3);
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const T* p = operand<const T>(call, 1) + row * n;
    const T* y = operand<const T>(call, 2) + row * n;
    const typename Simd<T>::V scale = broadcast(dloss[row]), sum = broadcast(smoothed.sum(y, n));
    for_vectors<T>(n, [&](std::int64_t i, int count) {
      store_lanes(dx + row * n + i, (load_lanes(p + i, count) * sum - smoothed.at(y + i, count)) * scale, count);
    });
  }
}

// loss = max(x, 0) - x * z + ln(1 + e^-|x|), the cross entropy of z with sigmoid(x), element by element
template <class T>
void run_sigmoid(const Call* call, std::int64_t begin, std::int64_t end) {
  const Range range = chunk_range(begin, end, call->plan->params[kChunkLength], call->problem->specs[0].size);
  const T* x = operand<const T>(call, 0) + range.first;
  const T* z = operand<const T>(call, 1) + range.first;
  T* y = operand<T>(call, 2) + range.first;
  for_vectors<T>(range.length(), [&](std::int64_t i, int count) {
    const typename Simd<T>::V v = load_lanes(x + i, count);
    store_lanes(y + i, vmax(v, zero<T>()) - v * load_lanes(z + i, count) + vlog1p(vexp(-magnitude(v))), count);
  });
}

bool plan_sigmoid(const Spec& x, Plan* plan) {
  plan->params[kChunkLength] = split(plan, 0, x.size, kChunkElements, 64);
  plan->cost_ns = static_cast<double>(x.size) * 1.5;
  return true;
}

}  // namespace

PYNN_FLOAT_ENTRIES(softmax, plan_rows(problem->specs[0], ns_of<T>(1.2, 3), plan), run_rows<T, Softmax<T>>(call, begin, end))
PYNN_FLOAT_ENTRIES(log_softmax, plan_rows(problem->specs[0], ns_of<T>(1.2, 3), plan), run_rows<T, LogSoftmax<T>>(call, begin, end))
PYNN_FLOAT_ENTRIES(softmax_grad, plan_rows(problem->specs[0], ns_of<T>(0.5, 1), plan), run_grad_rows<T, SoftmaxGrad<T>>(call, begin, end))
PYNN_FLOAT_ENTRIES(log_softmax_grad, plan_rows(problem->specs[0], ns_of<T>(1, 3), plan), run_grad_rows<T, LogSoftmaxGrad<T>>(call, begin, end))
PYNN_FLOAT_ENTRIES(softmax_cross_entropy, plan_rows(problem->specs[0], ns_of<T>(1.5, 4), plan), run_dense<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(softmax_cross_entropy_grad, plan_rows(problem->specs[1], ns_of<T>(0.5, 1), plan), run_dense_grad<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(sparse_softmax_cross_entropy, is_index(problem->specs[1]) && plan_rows(problem->specs[0], ns_of<T>(1.2, 3), plan),
                   run_sparse<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(sparse_softmax_cross_entropy_grad,
                   is_index(problem->specs[2]) && plan_rows(problem->specs[1], ns_of<T>(0.3, 0.6), plan),
                   run_sparse_grad<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(sigmoid_cross_entropy, plan_sigmoid(problem->specs[0], plan), run_sigmoid<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(softmax)
PYNN_FLOAT_KERNELS(log_softmax)
PYNN_FLOAT_KERNELS(softmax_grad)
PYNN_FLOAT_KERNELS(log_softmax_grad)
PYNN_FLOAT_KERNELS(softmax_cross_entropy)
PYNN_FLOAT_KERNELS(softmax_cross_entropy_grad)
PYNN_FLOAT_KERNELS(sparse_softmax_cross_entropy)
PYNN_FLOAT_KERNELS(sparse_softmax_cross_entropy_grad)
PYNN_FLOAT_KERNELS(sigmoid_cross_entropy)
