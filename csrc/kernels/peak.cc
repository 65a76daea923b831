// What the processor can do, as kernels: the benchmarks print every figure as a share of these. No op uses them.
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "registry.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Two FMA units with a latency of four or five cycles need ten independent chains; twelve and two operands fit in 16 registers.
constexpr int kChains = 12;
constexpr std::int64_t kTriadChunk = 1 << 14;

PYNN_INLINE VecF fma_chains(VecF factor, VecF term, std::int64_t rounds) {
  VecF sums[kChains];
  PYNN_UNROLL
  for (int i = 0; i < kChains; ++i) sums[i] = broadcast(static_cast<float>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
    PYNN_UNROLL
    for (int i = 0; i < kChains; ++i) sums[i] = fma(sums[i], factor, term);
  }
  PYNN_UNROLL
  for (int i = 1; i < kChains; ++i) sums[0] = sums[0] + sums[i];
  return sums[0];
}

}  // namespace

// out[chunk] = a sum that keeps 12 * rounds fused multiply-adds of whole vectors alive; rounds = ints[0]. x holds the factor and the term.
// out has two elements: the sum's first lane, and the floating-point operations of one chunk.
bool prepare_peak_fma_f32(const Problem* problem, Plan* plan) noexcept {
  const Spec& out = problem->specs[1];
  if (problem->specs[0].size != 2 || out.rank != 2 || out.dims[1] != 2) return false;
  plan->chunks[0] = out.dims[0];
  plan->cost_ns = static_cast<double>(problem->ints[0] * out.dims[0] * kChains) / 4;
  return true;
}

void run_peak_fma_f32(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const std::int64_t rounds = call->problem->ints[0];
  const float* x = operand<const float>(call, 0);
  float* out = operand<float>(call, 1);
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    out[2 * chunk] = reduce_add(fma_chains(broadcast(x[0]), broadcast(x[1]), rounds));
    out[2 * chunk + 1] = static_cast<float>(2 * kChains * Simd<float>::kLanes) * static_cast<float>(rounds);
  }
}

// out = a + x * b, streamed: three tensors of memory traffic, one multiply-add an element.
bool prepare_peak_triad_f32(const Problem* problem, Plan* plan) noexcept {
  const std::int64_t size = problem->specs[0].size;
  if (size % kTriadChunk != 0 || problem->specs[2].size != 1) return false;
  plan->chunks[0] = size / kTriadChunk;
  plan->cost_ns = streaming_ns(size * 3 * kSizeOf<float>);
  return true;
}

void run_peak_triad_f32(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const float* a = operand<const float>(call, 0);
  const float* b = operand<const float>(call, 1);
  const VecF x = broadcast(*operand<const float>(call, 2));
  float* out = operand<float>(call, 3);
  for (std::int64_t i = begin * kTriadChunk; i < end * kTriadChunk; i += Simd<float>::kLanes)
    store(out + i, fma(load(b + i), x, load(a + i)));
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(peak_fma_f32)
PYNN_KERNEL(peak_triad_f32)
