// Batch normalisation over all axes but the last, its gradient, and its form for inference.
//
// Variances are two-pass inside a block of rows, and blocks are joined by sum(m_b + n_b (mean_b - mean)^2), so no digits cancel.
#include "kernels/columns.h"
#include "kernels/operands.h"
#include "registry.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// out = (x - mean) * scale + shift, by columns, for some rows
template <class T>
PYNN_INLINE void scale_rows(const T* x, const T* mean, const T* scale, const T* shift, T* out, const Shape& shape, Range rows) {
  for (std::int64_t row = rows.first; row < rows.last; ++row)
    for_vectors<T>(shape.columns, [&](std::int64_t c, int count) {
      const std::int64_t at = row * shape.columns + c;
      store_lanes(out + at, fma(load_lanes(x + at, count) - load_lanes(mean + c, count), load_lanes(scale + c, count),
                                load_lanes(shift + c, count)), count);
    });
}

// ---- batch_norm: (x, gamma?, beta?) -> y, mean, variance, inv = 1 / sqrt(variance + epsilon) ----------------------------------

// Workspace: block sums, block squares (blocks * columns each), then scale and shift (columns each).
template <class T>
struct BatchWorkspace {
  T *sums, *squares, *scale, *shift;
  BatchWorkspace(void* shared, const Shape& shape) : sums(static_cast<T*>(shared)) {
    squares = sums + shape.blocks * shape.columns;
    scale = squares + shape.blocks * shape.columns;
    shift = scale + shape.columns;
  }
  static std::int64_t bytes(const Shape& shape) {
    return 2 * (shape.blocks + 1) * shape.columns * kSizeOf<T>;
  }
};

template <class T>
bool prepare_batch(const Problem* problem, Plan* plan, double passes) {
  if (!covered(problem->specs[0])) return false;
  const Shape shape(problem->specs[0]);
  plan->phases = 3;
  split_items(shape, 0, plan);
  split_columns(shape, 1, plan);
  split_rows(shape, 2, plan);
  plan->shared_bytes = BatchWorkspace<T>::bytes(shape);
  plan->cost_ns = streaming_ns(problem->specs[0].size * kSizeOf<T>, passes);
  return true;
}

// Sums of a block, and squares around the block's own mean.
template <class T>
void block_moments(const T* x, const BatchWorkspace<T>& work, const Shape& shape, Range items) {
  typedef typename Simd<T>::V V;
  const std::int64_t n = shape.columns;
  for_items(shape, items, [&](std::int64_t block, std::int64_t first, std::int64_t last, Range columns) {
    T* sums = work.sums + block * shape.columns;
    const V share = broadcast(T(1) / static_cast<T>(last - first));
    sum_columns<T>(first, last, columns, sums,
                   [&](V acc, std::int64_t row, std::int64_t c, int count) { return acc + load_lanes(x + row * n + c, count); });
    sum_columns<T>(first, last, columns, work.squares + block * shape.columns,
                   [&](V acc, std::int64_t row, std::int64_t c, int count) {
                     const V d = load_lanes(x + row * n + c, count) - load_lanes(sums + c, count) * share;
                     return fma(d, d, acc);
                   });
  });
}

// Sum over the blocks of squares + n_b (mean_b - mean)^2.
template <class T>
PYNN_INLINE typename Simd<T>::V join_squares(const BatchWorkspace<T>& work, const Shape& shape, typename Simd<T>::V mean,
                                             std::int64_t c, int count) {
  typedef typename Simd<T>::V V;
  V total = zero<T>();
  for (std::int64_t block = 0; block < shape.blocks; ++block) {
    const T rows = static_cast<T>(least(kColumnSumRows, shape.rows - block * kColumnSumRows));
    const V d = load_lanes(work.sums + block * shape.columns + c, count) * broadcast(T(1) / rows) - mean;
    total = total + fma(d * broadcast(rows), d, load_lanes(work.squares + block * shape.columns + c, count));
  }
  return total;
}

template <class T>
void join_moments(const Call* call, const BatchWorkspace<T>& work, const Shape& shape, Range columns) {
  typedef typename Simd<T>::V V;
  const T *gamma = operand<const T>(call, 1), *beta = operand<const T>(call, 2);
  const V share = broadcast(T(1) / static_cast<T>(shape.rows)), one = broadcast(T(1));
  const V epsilon = broadcast(static_cast<T>(call->problem->floats[0]));
  for_vectors<T>(columns.length(), [&](std::int64_t i, int count) {
    const std::int64_t c = columns.first + i;
    const V mean = join_blocks(work.sums, shape, c, count) * share;
    const V variance = join_squares(work, shape, mean, c, count) * share;
    const V inverse = one / vsqrt(variance + epsilon);
    store_lanes(output<T>(call, 1) + c, mean, count);
    store_lanes(output<T>(call, 2) + c, variance, count);
    store_lanes(output<T>(call, 3) + c, inverse, count);
    store_lanes(work.scale + c, inverse * vector_or(gamma, c, count, T(1)), count);
    store_lanes(work.shift + c, vector_or(beta, c, count, T(0)), count);
  });
}

template <class T>
void run_batch(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  const Shape shape(call->problem->specs[0]);
  const BatchWorkspace<T> work(call->shared, shape);
  const std::int64_t length = call->plan->params[phase];
  const T* x = operand<const T>(call, 0);
  if (phase == 0) return block_moments(x, work, shape, chunk_range(begin, end, length, shape.blocks * shape.groups));
  if (phase == 1) return join_moments(call, work, shape, chunk_range(begin, end, length, shape.columns));
  scale_rows(x, output<T>(call, 1), work.scale, work.shift, output<T>(call, 0), shape,
             chunk_range(begin, end, length, shape.rows));
}

// ---- batch_norm_grad: (dy, x, mean, inv, gamma?) -> dx, dgamma, dbeta ----------------------------------------------------------
// xhat = (x - mean) * inv; dbeta = sum dy, dgamma = sum dy * xhat, dx = gamma * inv * (dy - dbeta / n - xhat * dgamma / n)

template <class T>
void block_products(const Call* call, T* sums, T* products, const Shape& shape, Range items) {
  typedef typename Simd<T>::V V;
  const std::int64_t n = shape.columns;
  const T *dy = operand<const T>(call, 0), *x = operand<const T>(call, 1), *mean = operand<const T>(call, 2);
  for_items(shape, items, [&](std::int64_t block, std::int64_t first, std::int64_t last, Range columns) {
    sum_columns<T>(first, last, columns, sums + block * shape.columns,
                   [&](V acc, std::int64_t row, std::int64_t c, int count) { return acc + load_lanes(dy + row * n + c, count); });
    sum_columns<T>(first, last, columns, products + block * shape.columns,
                   [&](V acc, std::int64_t row, std::int64_t c, int count) {
                     const V centered = load_lanes(x + row * n + c, count) - load_lanes(mean + c, count);
                     return fma(load_lanes(dy + row * n + c, count), centered, acc);
                   });
  });
}

// dx = a * dy + (x - mean) * b + d by columns: a goes to sums, b to scale, d to shift.
template <class T>
void join_products(const Call* call, const BatchWorkspace<T>& work, const Shape& shape, Range columns) {
  typedef typename Simd<T>::V V;
  const T *inverse = operand<const T>(call, 3), *gamma = operand<const T>(call, 4);
  const V share = broadcast(T(1) / static_cast<T>(shape.rows));
  for_vectors<T>(columns.length(), [&](std::int64_t i, int count) {
    const std::int64_t c = columns.first + i;
    const V inv = load_lanes(inverse + c, count);
    const V dbeta = join_blocks(work.sums, shape, c, count), dgamma = join_blocks(work.squares, shape, c, count) * inv;
    const V a = inv * vector_or(gamma, c, count, T(1));
    store_lanes(output<T>(call, 1) + c, dgamma, count);
    store_lanes(output<T>(call, 2) + c, dbeta, count);
    store_lanes(work.sums + c, a, count);
    store_lanes(work.scale + c, zero<T>() - a * inv * dgamma * share, count);
    store_lanes(work.shift + c, zero<T>() - a * dbeta * share, count);
  });
}

template <class T>
void batch_dx(const Call* call, const BatchWorkspace<T>& work, const Shape& shape, Range rows) {
  const T *dy = operand<const T>(call, 0), *x = operand<const T>(call, 1), *mean = operand<const T>(call, 2);
  T* dx = output<T>(call, 0);
  for (std::int64_t row = rows.first; row < rows.last; ++row)
    for_vectors<T>(shape.columns, [&](std::int64_t c, int count) {
      const std::int64_t at = row * shape.columns + c;
      const typename Simd<T>::V rest = fma(load_lanes(x + at, count) - load_lanes(mean + c, count),
                                           load_lanes(work.scale + c, count), load_lanes(work.shift + c, count));
      store_lanes(dx + at, fma(load_lanes(dy + at, count), load_lanes(work.sums + c, count), rest), count);
    });
}

template <class T>
void run_batch_grad(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  const Shape shape(call->problem->specs[0]);
  const BatchWorkspace<T> work(call->shared, shape);
  const std::int64_t length = call->plan->params[phase];
  if (phase == 0)
    return block_products(call, work.sums, work.squares, shape, chunk_range(begin, end, length, shape.blocks * shape.groups));
  if (phase == 1) return join_products(call, work, shape, chunk_range(begin, end, length, shape.columns));
  batch_dx(call, work, shape, chunk_range(begin, end, length, shape.rows));
}

// ---- batch_norm_inference: (x, mean, variance, gamma?, beta?) -> y = (x - mean) * gamma / sqrt(variance + epsilon) + beta -------

template <class T>
bool prepare_inference(const Problem* problem, Plan* plan) {
  if (!covered(problem->specs[0])) return false;
  const Shape shape(problem->specs[0]);
  plan->phases = 2;
  plan->chunks[0] = 1;
  split_rows(shape, 1, plan);
  plan->shared_bytes = 2 * shape.columns * kSizeOf<T>;
  plan->cost_ns = streaming_ns(problem->specs[0].size * kSizeOf<T>, 2);
  return true;
}

template <class T>
void run_inference(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  typedef typename Simd<T>::V V;
  const Shape shape(call->problem->specs[0]);
  T *scale = workspace<T>(call), *shift = scale + shape.columns;
  if (phase == 1)
    return scale_rows(operand<const T>(call, 0), operand<const T>(call, 1), scale, shift, output<T>(call, 0), shape,
                      chunk_range(begin, end, call->plan->params[1], shape.rows));
  const V epsilon = broadcast(static_cast<T>(call->problem->floats[0]));
  for_vectors<T>(shape.columns, [&](std::int64_t c, int count) {
    const V inverse = broadcast(T(1)) / vsqrt(load_lanes(operand<const T>(call, 2) + c, count) + epsilon);
    store_lanes(scale + c, inverse * vector_or(operand<const T>(call, 3), c, count, T(1)), count);
    store_lanes(shift + c, vector_or(operand<const T>(call, 4), c, count, T(0)), count);
  });
}

}  // namespace

PYNN_FLOAT_ENTRIES(batch_norm, prepare_batch<T>(problem, plan, 4), run_batch<T>(call, phase, begin, end))
PYNN_FLOAT_ENTRIES(batch_norm_grad, prepare_batch<T>(problem, plan, 6), run_batch_grad<T>(call, phase, begin, end))
PYNN_FLOAT_ENTRIES(batch_norm_inference, prepare_inference<T>(problem, plan), run_inference<T>(call, phase, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(batch_norm)
PYNN_FLOAT_KERNELS(batch_norm_grad)
PYNN_FLOAT_KERNELS(batch_norm_inference)
