// A weight's gradient that is a product of two matrices, and the optimizer's step that takes it, in one pass:
//
//   w', slots' = step(w, slots, op(a) @ op(b), scalars)
//
// A block of the product is computed into scratch and taken by the step's own kernel while it lies in L1: the gradient never
// exists in memory. The plain step of gradient descent is taken in the registers of the product's tiles. The bits are those of
// matmul and the step one after the other. Meant for short inner lengths (a small batch), where writing the gradient and
// reading it again costs as much as a good part of the arithmetic.
#include <cstring>

#include "kernels/gemm_block.h"
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {

#define PYNN_STEP(name)                                                                      \
  void run_##name##_f32(const Call*, std::int32_t, std::int64_t, std::int64_t, void*) noexcept; \
  void run_##name##_f64(const Call*, std::int32_t, std::int64_t, std::int64_t, void*) noexcept;
PYNN_STEP(sgd_update)
PYNN_STEP(momentum_update)
PYNN_STEP(adam_update)
PYNN_STEP(adamw_update)
PYNN_STEP(rmsprop_update)
PYNN_STEP(adagrad_update)
#undef PYNN_STEP

namespace {

enum Param { kM, kN, kK, kBlockRows, kBlockColumns, kColumnBlocks, kBlocks, kBlocksPerChunk };

constexpr std::int64_t kBlockBytes = 16 << 10;   // of the gradient: it shares L1 with strips of a and b
constexpr std::int64_t kRowUnit = 12;            // rows of the largest tile
constexpr std::int64_t kWidest = 512;            // columns of a block; narrower matrices are taken in whole rows
constexpr double kChunkFlops = 4e5;              // about 4 us
constexpr std::int64_t kMostChunks = 48;
constexpr int kMostOperands = 12;

enum Variant { kStepOfBlock, kDescent };
constexpr std::int64_t kPlainStep = 0;  // sgd_update's place among the steps

// The step at ints[2] of the problem; its own ints follow.
Run step_kernel(std::int64_t index, std::int32_t dtype) {
  static const Run steps[][2] = {
      {run_sgd_update_f32, run_sgd_update_f64},         {run_momentum_update_f32, run_momentum_update_f64},
      {run_adam_update_f32, run_adam_update_f64},       {run_adamw_update_f32, run_adamw_update_f64},
      {run_rmsprop_update_f32, run_rmsprop_update_f64}, {run_adagrad_update_f32, run_adagrad_update_f64}};
  return steps[index][dtype == kF64];
}

// Operands: weight, slots, a, b, scalars; then the changed weight and slots.
int updated(const Problem& problem) { return problem.num_outputs; }

template <class T>
void plan_blocks(Plan* plan) {
  std::int64_t* p = plan->params;
  p[kBlockColumns] = p[kN] <= kWidest ? p[kN] : kWidest;
  const std::int64_t row_bytes = most(p[kBlockColumns] * kSizeOf<T>, 1);
  p[kBlockRows] = most(kBlockBytes / row_bytes / kRowUnit, 1) * kRowUnit;
  p[kColumnBlocks] = p[kN] > 0 ? ceil_divide(p[kN], p[kBlockColumns]) : 0;
  p[kBlocks] = p[kColumnBlocks] * ceil_divide(p[kM], p[kBlockRows]);
  const double block_flops = 2.0 * static_cast<double>(p[kBlockRows] * p[kBlockColumns] * (p[kK] + 4));
  const std::int64_t together = most(static_cast<std::int64_t>(kChunkFlops / block_flops), 1);
  p[kBlocksPerChunk] = most(together, ceil_divide(p[kBlocks], kMostChunks));
  plan->chunks[0] = ceil_divide(p[kBlocks], p[kBlocksPerChunk]);
}

// Of a block, between the product and the step.
std::int64_t gradient_elements(const Plan& plan) {
  return plan.variant == kDescent ? 0 : plan.params[kBlockRows] * plan.params[kBlockColumns];
}

template <class T>
bool prepare_product_step(const Problem* problem, Plan* plan) {
  const int first = updated(*problem);
  const Spec& weight = problem->specs[0];
  const Spec& a = problem->specs[first];
  const std::int64_t* ints = problem->ints;
  if (weight.rank != 2 || problem->num_inputs + problem->num_outputs > kMostOperands) return false;
  plan->params[kM] = weight.dims[0];
  plan->params[kN] = weight.dims[1];
  plan->params[kK] = a.dims[ints[0] ? 0 : 1];
  plan->variant = ints[2] == kPlainStep && plan->params[kK] <= kDepth ? kDescent : kStepOfBlock;
  plan_blocks<T>(plan);
  plan->scratch_bytes = gradient_elements(*plan) * kSizeOf<T> + gemm_scratch_bytes<T>(plan->params[kBlockColumns], plan->params[kK]);
  const double elements = static_cast<double>(weight.size) * sizeof(T);
  plan->cost_ns = elements * (2.0 * static_cast<double>(plan->params[kK]) / (4 * kFlopsPerNs) + 2.0 * first / kBytesPerNs);
  return true;
}

// The step's kernel on `count` elements from element `offset` of the weight, with their gradient.
template <class T>
void step_elements(const Call* call, std::int64_t offset, std::int64_t count, T* gradient) {
  const Problem& fused = *call->problem;
  const int tensors = updated(fused);
  void* data[kMostOperands];
  int n = 0;
  for (int i = 0; i < tensors; ++i) data[n++] = operand<T>(call, i) + offset;
  data[n++] = gradient;
  for (int i = tensors + 2; i < fused.num_inputs; ++i) data[n++] = call->data[i];
  const int inputs = n;
  for (int i = 0; i < tensors; ++i) data[n++] = operand<T>(call, fused.num_inputs + i) + offset;
  Spec spec = fused.specs[0];
  spec.size = count;
  const Problem problem{&spec, fused.ints + 3, fused.floats, inputs, tensors, fused.num_ints - 3, fused.num_floats};
  Plan plan{};
  plan.params[0] = count;
  const Call step{&problem, &plan, data, nullptr, call->failure};
  step_kernel(fused.ints[2], spec.dtype)(&step, 0, 0, 1, nullptr);
}

template <class T>
Factors<T> factors_of(const Call* call) {
  const std::int64_t* p = call->plan->params;
  const int first = updated(*call->problem);
  return {operand<const T>(call, first), operand<const T>(call, first + 1), p[kM], p[kN], p[kK],
          call->problem->ints[0] != 0, call->problem->ints[1] != 0};
}

// Takes the plain step for the block of the weight at element `offset`.
template <class T>
void descend_block(const Call* call, std::int64_t offset, Gemm<T>* g, T* packing) {
  const T* weight = operand<const T>(call, 0) + offset;
  g->c = operand<T>(call, call->problem->num_inputs) + offset;
  g->c_stride = call->plan->params[kN];
  g->rate = operand<const T>(call, 3);
  for (std::int64_t i = 0; i < g->m && g->c != weight; ++i)
    std::memcpy(g->c + i * g->c_stride, weight + i * g->c_stride, static_cast<std::size_t>(g->n) * sizeof(T));
  gemm(*g, packing);
}

template <class T>
void run_product_step(const Call* call, std::int64_t begin, std::int64_t end, void* scratch) {
  const std::int64_t* p = call->plan->params;
  T* gradient = static_cast<T*>(scratch);
  T* packing = gradient + gradient_elements(*call->plan);
  const Factors<T> factors = factors_of<T>(call);
  const std::int64_t last = least(end * p[kBlocksPerChunk], p[kBlocks]);
  for (std::int64_t block = begin * p[kBlocksPerChunk]; block < last; ++block) {
    const std::int64_t row = block / p[kColumnBlocks] * p[kBlockRows], column = block % p[kColumnBlocks] * p[kBlockColumns];
    Gemm<T> g = gemm_block_of(factors, row, column, p[kBlockRows], p[kBlockColumns], gradient);
    if (call->plan->variant == kDescent) {
      descend_block(call, row * p[kN] + column, &g, packing);
      continue;
    }
    gemm(g, packing);
    if (g.n == p[kN]) {
      step_elements(call, row * g.n, g.m * g.n, gradient);
    } else {
      for (std::int64_t i = 0; i < g.m; ++i) step_elements(call, (row + i) * p[kN] + column, g.n, gradient + i * g.n);
    }
  }
}

}  // namespace

// ints = [transpose_a, transpose_b, step, the step's own], floats = the step's. The weight is (m, n), the product's inner length k.
PYNN_FLOAT_ENTRIES(matmul_update, prepare_product_step<T>(problem, plan), run_product_step<T>(call, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(matmul_update)
