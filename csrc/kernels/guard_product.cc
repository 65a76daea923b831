// A guard on a matrix product that is not in memory: stops the step if an element of op(a) @ op(b) would be NaN or infinite.
//
// By Cauchy and Schwarz every element, and every partial sum on the way to it, is at most ||a|| ||b||, the roots of the sums of
// squares: where that is far from overflow, nothing has to be multiplied. A NaN or infinite operand spoils its sum of squares.
// Only else is the product computed, block by block.
#include "kernels/gemm_block.h"
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

enum Param { kM, kN, kK };

constexpr std::int32_t kNotFinite = 1;
constexpr std::int64_t kSquare = 64;  // rows and columns of a block

// The square of a bound that leaves room for the rounding of the sums.
template <class T>
constexpr double safe_square() {
  return sizeof(T) == 4 ? 1e76 : 1e300;
}

template <class T>
T sum_of_squares(const T* x, std::int64_t n) {
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes, width = 4;
  V sum[width] = {zero<T>(), zero<T>(), zero<T>(), zero<T>()};
  std::int64_t i = 0;
  for (; i + width * lanes <= n; i += width * lanes) {
    PYNN_UNROLL
    for (int u = 0; u < width; ++u) {
      const V v = load(x + i + u * lanes);
      sum[u] = fma(v, v, sum[u]);
    }
  }
  for (; i < n; i += lanes) {
    const V v = load_partial(x + i, lanes_left<T>(n - i));
    sum[0] = fma(v, v, sum[0]);
  }
  return reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <class T>
bool surely_finite(const Call* call) {
  const Spec* specs = call->problem->specs;
  const T a = sum_of_squares(operand<const T>(call, 0), specs[0].size);
  const T b = sum_of_squares(operand<const T>(call, 1), specs[1].size);
  return static_cast<double>(a) * static_cast<double>(b) < safe_square<T>();  // false for NaN
}

template <class T>
bool block_is_finite(const Factors<T>& factors, std::int64_t row, std::int64_t column, T* block, T* packing) {
  const Gemm<T> g = gemm_block_of(factors, row, column, kSquare, kSquare, block);
  gemm(g, packing);
  for (std::int64_t i = 0; i < g.m * g.n; ++i)
    if (block[i] - block[i] != T(0)) return false;  // NaN for NaN and infinity
  return true;
}

template <class T>
bool product_is_finite(const Call* call, T* block) {
  const std::int64_t* p = call->plan->params;
  const std::int64_t* ints = call->problem->ints;
  const Factors<T> factors{operand<const T>(call, 0), operand<const T>(call, 1), p[kM], p[kN], p[kK],
                           ints[0] != 0, ints[1] != 0};
  for (std::int64_t row = 0; row < p[kM]; row += kSquare)
    for (std::int64_t column = 0; column < p[kN]; column += kSquare)
      if (!block_is_finite(factors, row, column, block, block + kSquare * kSquare)) return false;
  return true;
}

template <class T>
bool prepare_guard(const Problem* problem, Plan* plan) {
  const Spec& a = problem->specs[0];
  const Spec& b = problem->specs[1];
  if (a.rank != 2 || b.rank != 2) return false;
  plan->params[kM] = a.dims[problem->ints[0] ? 1 : 0];
  plan->params[kN] = b.dims[problem->ints[1] ? 0 : 1];
  plan->params[kK] = a.dims[problem->ints[0] ? 0 : 1];
  plan->scratch_bytes = kSquare * kSquare * kSizeOf<T> + gemm_scratch_bytes<T>(kSquare, plan->params[kK]);
  plan->cost_ns = streaming_ns((a.size + b.size) * kSizeOf<T>, 0.5);
  return true;
}

template <class T>
void run_guard(const Call* call, void* scratch) {
  if (surely_finite<T>(call) || product_is_finite<T>(call, static_cast<T*>(scratch))) return;
  fail(call->failure, kNotFinite, call->problem->ints[2]);
}

}  // namespace

// ints = [transpose_a, transpose_b, label]. Fails with code 1 and values[0] = label. No output.
PYNN_FLOAT_ENTRIES(guard_product, prepare_guard<T>(problem, plan), run_guard<T>(call, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(guard_product)
