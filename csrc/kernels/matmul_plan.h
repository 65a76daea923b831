// How a matrix product is divided into chunks, and what its workspace holds.
#pragma once

#include "kernels/gemm.h"
#include "kernels/matmul_narrow.h"
#include "kernels/ranges.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Where plan->params holds what.
enum Param {
  kM, kN, kK,           // of one product, after folding and exchange
  kTransposeA, kTransposeB,
  kDot,                 // each element is a dot product of two contiguous vectors: n == 1, or m == 1 and B transposed
  kExchange,            // C^T is computed, B^T A^T: n == 1 and A transposed, or m == 1 and B transposed
  kBatch,               // number of products
  kRowGroups, kColumnGroups,  // chunks of one product
  kBatchesPerChunk,     // products of one chunk, where one product is one chunk
  kDepthOfBatch,        // rank of the batch dimensions; 0 where there is one product
  kDepthBlocks,         // more than 1: a chunk is a block of K over the whole output, and a second phase adds the blocks
  kPanelColumns,        // not 0: B's, in whole strips; a first phase packs them for all row groups
  kCopyChunks,          // not 0: so many chunks of that phase, its last ones, copy the rows of A that share few sets of the caches
  kNarrow               // the last columns, which have vectors along the rows of A
};

constexpr double kChunkFlops = 5e5;    // about 5 us
constexpr std::int64_t kManyChunks = 16;
constexpr std::int64_t kMostChunks = 48;
constexpr std::int64_t kChunkRows = 48;              // fewest rows of a chunk,
constexpr std::int64_t kLargeBytes = 4 << 20;        // more where each reads a B of at least this size from memory,
constexpr std::int64_t kRowsOfLarge = 128;
constexpr std::int64_t kTogetherBytes = 384 << 10;   // of A and C under one block of K
constexpr std::int64_t kChunkStrips = 4;             // and fewest strips where B is large: its rows may be pages apart
constexpr std::int64_t kPanelBytes = 64 << 20;       // B is packed for all row groups together up to this size,
constexpr std::int64_t kCopyFrom = 1 << 20;          // and A copied from above this one, which L2 has no room for, up to that,
constexpr std::int64_t kCopyChunkBytes = 128 << 10;  // in chunks of about so much
constexpr std::int64_t kSkinnyRows = 64;             // so few rows leave most of the traffic to B:
constexpr std::int64_t kSkinnyBytes = 128 << 10;     // one of at least this size is cut along K, so that a thread reads
constexpr std::int64_t kPartialBytes = 1 << 20;      // the same part of it that it updates later, if partial sums are small

// Chunks of one m x n product with this many operations: along the longer side first, but no more rows in one than kRowBlock
// where there are enough chunks, so that its part of A stays in L2 under all its columns.
template <class T>
void split_output(double flops, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t* row_groups, std::int64_t* column_groups) {
  const std::int64_t most_chunks = flops > 100 * kChunkFlops ? kMostChunks : kManyChunks;
  const std::int64_t wanted = clamped(static_cast<std::int64_t>(flops / kChunkFlops), 1, most_chunks);
  const std::int64_t strips = n * k * kSizeOf<T> > kDirectBytes ? kChunkStrips : 1;
  const std::int64_t columns = clamped(ceil_divide(n, strips * tile_columns<T>()), 1, kMostChunks);
  const std::int64_t fewest = n * k * kSizeOf<T> > kLargeBytes ? clamped(m / 4, kChunkRows, kRowsOfLarge) : kChunkRows;
  const std::int64_t rows = clamped(ceil_divide(m, fewest), 1, kMostChunks);
  const std::int64_t blocks = clamped(ceil_divide(m, 2 * kRowBlock), 1, wanted);
  *column_groups = m > n ? 1 : clamped(wanted / blocks, 1, columns);
  *row_groups = clamped(wanted / *column_groups, 1, rows);
  *column_groups = clamped(wanted / *row_groups, 1, columns);
}

// Group `index` of `groups` nearly equal ones over `count` units of `unit` elements.
PYNN_INLINE Range group_range(std::int64_t index, std::int64_t groups, std::int64_t size, std::int64_t unit) {
  const std::int64_t units = ceil_divide(size, unit);
  return {least(size, index * units / groups * unit), least(size, (index + 1) * units / groups * unit)};
}

// The number of blocks of K that are chunks of their own, 1 if K stays whole.
template <class T>
std::int64_t depth_blocks(const std::int64_t* params, double flops) {
  const std::int64_t m = params[kM], n = params[kN], k = params[kK];
  const std::int64_t blocks = k > 0 ? ceil_divide(k, gemm_block(k)) : 1;
  const std::int64_t size = kSizeOf<T>;
  const bool skinny = m <= kSkinnyRows && n * k * size >= kSkinnyBytes && blocks * m * n * size <= kPartialBytes;
  return skinny && params[kBatch] == 1 && !params[kDot] && flops > 2 * kChunkFlops ? blocks : 1;
}

// Whether B is packed once for the row groups of one product; else each of them packs what it uses, or none does.
template <class T>
bool shares_panels(const std::int64_t* params) {
  const std::int64_t m = params[kM], n = params[kN], k = params[kK];
  if (params[kBatch] != 1 || params[kDot] || params[kNarrow] == n || params[kRowGroups] == 1 || params[kDepthBlocks] > 1 || k == 0) return false;
  return packs<T>(m, k, params[kTransposeB] != 0, n) && n * k * kSizeOf<T> <= kPanelBytes;
}

// A as it is stored: rows of `length` elements.
struct Stored {
  std::int64_t rows, length;
};
PYNN_INLINE Stored stored_a(const std::int64_t* params) {
  const bool columns = params[kTransposeA] != 0;
  return {params[columns ? kK : kM], params[columns ? kM : kK]};
}

// The chunks that copy A for several groups of columns, with its rows a little further apart; 0 if these find it well where it lies.
template <class T>
std::int64_t copy_chunks(const std::int64_t* params) {
  const Stored a = stored_a(params);
  const std::int64_t row = a.length * kSizeOf<T>, bytes = a.rows * row;
  if (params[kColumnGroups] == 1 || row % kCopyStride != 0 || bytes <= kCopyFrom || bytes > kPanelBytes) return 0;
  return clamped(bytes / kCopyChunkBytes, 1, least(a.rows, kMostChunks));
}

// Where the copy is in the shared workspace, behind the panels of B.
template <class T>
std::int64_t copy_offset(const std::int64_t* params) {
  return aligned_bytes(params[kPanelColumns] * params[kK] * kSizeOf<T>);
}

// Each block of K is a chunk, and a second phase adds them.
template <class T>
void plan_depth_blocks(Plan* plan) {
  const std::int64_t* params = plan->params;
  plan->phases = 2;
  plan->chunks[0] = params[kDepthBlocks];
  plan->chunks[1] = 1;
  plan->shared_bytes = params[kDepthBlocks] * params[kM] * params[kN] * kSizeOf<T>;
}

// A phase before that of the product packs B and, where that helps, copies A.
template <class T>
void plan_panels(Plan* plan) {
  std::int64_t* params = plan->params;
  const std::int64_t packed = params[kN] - params[kNarrow], k = params[kK];
  params[kPanelColumns] = ceil_divide(packed, tile_columns<T>()) * tile_columns<T>();
  params[kCopyChunks] = copy_chunks<T>(params);
  plan->phases = 2;
  plan->chunks[1] = plan->chunks[0];
  plan->chunks[0] = ceil_divide(k, gemm_block(k)) * ceil_divide(packed, kChunkStrips * tile_columns<T>()) + params[kCopyChunks];
  plan->shared_bytes = params[kPanelColumns] * k * kSizeOf<T>;
  const Stored a = stored_a(params);
  if (params[kCopyChunks]) plan->shared_bytes = copy_offset<T>(params) + a.rows * odd_stride<T>(a.length) * kSizeOf<T>;
}

// The chunks of `batch` products of m x n x k, and what they cost.
template <class T>
void plan_chunks(Plan* plan) {
  std::int64_t* params = plan->params;
  const std::int64_t m = params[kM], n = params[kN], k = params[kK], batch = params[kBatch];
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  split_output<T>(flops, m, n, k, &params[kRowGroups], &params[kColumnGroups]);
  if (params[kDot]) params[kColumnGroups] = 1;
  const std::int64_t groups = params[kRowGroups] * params[kColumnGroups];
  const std::int64_t together = flops > 0 ? static_cast<std::int64_t>(kChunkFlops / flops) : batch;
  params[kBatchesPerChunk] = groups > 1 ? 1 : clamped(together, ceil_divide(batch, kMostChunks), batch > 0 ? batch : 1);
  plan->chunks[0] = groups > 1 ? batch * groups : batch > 0 ? ceil_divide(batch, params[kBatchesPerChunk]) : 0;
  if (m == 0 || n == 0) plan->chunks[0] = 0;
  params[kDepthBlocks] = depth_blocks<T>(params, flops);
  const bool plain = !params[kDot] && !params[kExchange] && params[kDepthBlocks] == 1;
  params[kNarrow] = plain ? narrow_columns<T>(m, n, k, params[kTransposeA] != 0) : 0;
  if (params[kDepthBlocks] > 1) plan_depth_blocks<T>(plan);
  else if (shares_panels<T>(params)) plan_panels<T>(plan);
  plan->scratch_bytes = params[kDot] ? 0 : gemm_scratch_bytes<T>(n, k);
  const std::int64_t narrow = params[kNarrow] ? narrow_scratch_bytes<T>(params[kNarrow], k) : 0;
  if (narrow > plan->scratch_bytes) plan->scratch_bytes = narrow;
  plan->cost_ns = static_cast<double>(batch) * (20 + flops / (kFlopsPerNs * 4 / sizeof(T)));
}

// Whether its elements are dot products, and whether it is exchanged.
void settle_form(std::int64_t* params) {
  const bool transpose_a = params[kTransposeA] != 0;
  const bool row_by_rows = params[kN] > 1 && params[kM] == 1 && params[kTransposeB] != 0;
  params[kDot] = row_by_rows || (params[kN] == 1 && !transpose_a);
  params[kExchange] = row_by_rows || (params[kN] == 1 && transpose_a);
  if (!params[kExchange]) return;
  const std::int64_t m = params[kM];
  params[kM] = params[kN];
  params[kN] = m;
  params[kTransposeA] = params[kTransposeB] = 0;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
