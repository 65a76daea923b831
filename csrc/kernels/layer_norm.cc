// Layer normalisation over the last axis and its gradient. A row is done in one piece, with a two-pass variance.
#include "kernels/columns.h"
#include "kernels/operands.h"
#include "registry.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- layer_norm: (x, gamma?, beta?) -> y, mean, inv of each row -----------------------------------------------------------------

template <class T>
bool prepare_layer(const Problem* problem, Plan* plan) {
  if (!covered(problem->specs[0])) return false;
  split_rows(Shape(problem->specs[0]), 0, plan);
  plan->cost_ns = streaming_ns(problem->specs[0].size * kSizeOf<T>, 3);
  return true;
}

template <class T>
void run_layer(const Call* call, std::int64_t begin, std::int64_t end) {
  typedef typename Simd<T>::V V;
  const Shape shape(call->problem->specs[0]);
  const std::int64_t n = shape.columns;
  const Range rows = chunk_range(begin, end, call->plan->params[0], shape.rows);
  const T *gamma = operand<const T>(call, 1), *beta = operand<const T>(call, 2);
  const T share = T(1) / static_cast<T>(n), epsilon = static_cast<T>(call->problem->floats[0]);
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const T* x = operand<const T>(call, 0) + row * n;
    T* y = output<T>(call, 0) + row * n;
    const V mean = broadcast(sum_vectors<T>(n, [&](std::int64_t i, int count) { return load_lanes(x + i, count); }) * share);
    const T squares = sum_vectors<T>(n, [&](std::int64_t i, int count) {
      const V d = keep_lanes<T>(load_lanes(x + i, count) - mean, T(0), count);
      return d * d;
    });
    const V inverse = broadcast(T(1)) / vsqrt(broadcast(squares * share + epsilon));
    for_vectors<T>(n, [&](std::int64_t i, int count) {
      const V normal = (load_lanes(x + i, count) - mean) * inverse;
      store_lanes(y + i, fma(normal, vector_or(gamma, i, count, T(1)), vector_or(beta, i, count, T(0))), count);
    });
    store_lanes(output<T>(call, 1) + row, mean, 1);
    store_lanes(output<T>(call, 2) + row, inverse, 1);
  }
}

// ---- layer_norm_grad: (dy, x, mean, inv, gamma?) -> dx, dgamma, dbeta ----------------------------------------------------------
// g = dy * gamma, xhat = (x - mean) * inv: dx = inv * (g - mean(g) - xhat * mean(g * xhat)), means over the row;
// dgamma = sum dy * xhat, dbeta = sum dy over the rows. Workspace: block sums of dy, then of dy * xhat.

template <class T>
bool prepare_layer_grad(const Problem* problem, Plan* plan) {
  if (!covered(problem->specs[0])) return false;
  const Shape shape(problem->specs[0]);
  plan->phases = 3;
  split_rows(shape, 0, plan);
  split_items(shape, 1, plan);
  split_columns(shape, 2, plan);
  plan->shared_bytes = 2 * shape.blocks * shape.columns * kSizeOf<T>;
  plan->cost_ns = streaming_ns(problem->specs[0].size * kSizeOf<T>, 5);
  return true;
}

template <class T>
void layer_dx(const Call* call, const Shape& shape, Range rows) {
  typedef typename Simd<T>::V V;
  const std::int64_t n = shape.columns;
  const T* gamma = operand<const T>(call, 4);
  const T share = T(1) / static_cast<T>(n);
  for (std::int64_t row = rows.first; row < rows.last; ++row) {
    const T *dy = operand<const T>(call, 0) + row * n, *x = operand<const T>(call, 1) + row * n;
    T* dx = output<T>(call, 0) + row * n;
    const V mean = broadcast(operand<const T>(call, 2)[row]), inverse = broadcast(operand<const T>(call, 3)[row]);
    const auto g = [&](std::int64_t i, int count) { return load_lanes(dy + i, count) * vector_or(gamma, i, count, T(1)); };
    const auto normal = [&](std::int64_t i, int count) { return (load_lanes(x + i, count) - mean) * inverse; };
    const V sum = broadcast(sum_vectors<T>(n, g) * share);
    const V product =
        broadcast(sum_vectors<T>(n, [&](std::int64_t i, int count) { return g(i, count) * normal(i, count); }) * share);
    for_vectors<T>(n, [&](std::int64_t i, int count) {
      store_lanes(dx + i, (g(i, count) - sum - normal(i, count) * product) * inverse, count);
    });
  }
}

template <class T>
void layer_products(const Call* call, T* sums, T* products, const Shape& shape, Range items) {
  typedef typename Simd<T>::V V;
  const std::int64_t n = shape.columns;
  const T *dy = operand<const T>(call, 0), *x = operand<const T>(call, 1), *mean = operand<const T>(call, 2), *inverse = operand<const T>(call, 3);
  for_items(shape, items, [&](std::int64_t block, std::int64_t first, std::int64_t last, Range columns) {
    sum_columns<T>(first, last, columns, sums + block * n,
                   [&](V acc, std::int64_t row, std::int64_t c, int count) { return acc + load_lanes(dy + row * n + c, count); });
    sum_columns<T>(first, last, columns, products + block * n, [&](V acc, std::int64_t row, std::int64_t c, int count) {
      const V normal = (load_lanes(x + row * n + c, count) - broadcast(mean[row])) * broadcast(inverse[row]);
      return fma(load_lanes(dy + row * n + c, count), normal, acc);
    });
  });
}

template <class T>
void run_layer_grad(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  const Shape shape(call->problem->specs[0]);
  T *sums = workspace<T>(call), *products = sums + shape.blocks * shape.columns;
  const std::int64_t length = call->plan->params[phase];
  if (phase == 0) return layer_dx<T>(call, shape, chunk_range(begin, end, length, shape.rows));
  if (phase == 1)
    return layer_products(call, sums, products, shape, chunk_range(begin, end, length, shape.blocks * shape.groups));
  const Range columns = chunk_range(begin, end, length, shape.columns);
  for_vectors<T>(columns.length(), [&](std::int64_t i, int count) {
    const std::int64_t c = columns.first + i;
    store_lanes(output<T>(call, 1) + c, join_blocks(products, shape, c, count), count);
    store_lanes(output<T>(call, 2) + c, join_blocks(sums, shape, c, count), count);
  });
}

}  // namespace

PYNN_FLOAT_ENTRIES(layer_norm, prepare_layer<T>(problem, plan), run_layer<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(layer_norm_grad, prepare_layer_grad<T>(problem, plan), run_layer_grad<T>(call, phase, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(layer_norm)
PYNN_FLOAT_KERNELS(layer_norm_grad)
