// Matrix products: matmul (batched, either operand transposed) and linear (matmul + bias + activation in one).
//
// An element's bits follow from its row, its column and K, as gemm.h says, whatever the other rows and columns, with one exception:
// where the result is a single column, or a single row by a transposed matrix, its elements are dot products, summed across lanes.
#include "kernels/matmul_micro.h"
#include "kernels/matmul_narrow.h"
#include "kernels/matrix_product.h"
#include "kernels/ranges.h"
#include "registry.h"

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
  kNarrow               // the last columns, which have vectors along the rows of A
};

constexpr double kFlopsPerNs = 95;
constexpr double kChunkFlops = 5e5;    // about 5 us
constexpr std::int64_t kManyChunks = 16;
constexpr std::int64_t kMostChunks = 48;
constexpr std::int64_t kChunkRows = 48;              // fewest rows of a chunk,
constexpr std::int64_t kLargeBytes = 4 << 20;        // more where each reads a B of at least this size from memory,
constexpr std::int64_t kRowsOfLarge = 128;
constexpr std::int64_t kTogetherBytes = 384 << 10;   // of A and C under one block of K
constexpr std::int64_t kChunkStrips = 4;             // and fewest strips where B is large: its rows may be pages apart
constexpr std::int64_t kPanelBytes = 64 << 20;       // B is packed for all row groups together up to this size
constexpr std::int64_t kSkinnyRows = 64;             // so few rows leave most of the traffic to B:
constexpr std::int64_t kSkinnyBytes = 128 << 10;     // one of at least this size is cut along K, so that a thread reads
constexpr std::int64_t kPartialBytes = 1 << 20;      // the same part of it that it updates later, if partial sums are small

// Chunks of one m x n product with this many operations: along the longer side first, but no more rows in one than kRowBlock
// where there are enough chunks, so that its part of A stays in L2 under all its columns.
template <class T>
void split_output(double flops, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t* row_groups, std::int64_t* column_groups) {
  const std::int64_t most_chunks = flops > 100 * kChunkFlops ? kMostChunks : kManyChunks;
  const std::int64_t wanted = clamped(static_cast<std::int64_t>(flops / kChunkFlops), 1, most_chunks);
  const std::int64_t strips = n * k * static_cast<std::int64_t>(sizeof(T)) > kDirectBytes ? kChunkStrips : 1;
  const std::int64_t columns = clamped(ceil_divide(n, strips * tile_columns<T>()), 1, kMostChunks);
  const std::int64_t fewest = n * k * static_cast<std::int64_t>(sizeof(T)) > kLargeBytes ? clamped(m / 4, kChunkRows, kRowsOfLarge) : kChunkRows;
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

std::int64_t product(const std::int64_t* dims, int count) {
  std::int64_t size = 1;
  for (int i = 0; i < count; ++i) size *= dims[i];
  return size;
}

// The number of blocks of K that are chunks of their own, 1 if K stays whole.
template <class T>
std::int64_t depth_blocks(const std::int64_t* params, double flops) {
  const std::int64_t m = params[kM], n = params[kN], k = params[kK];
  const std::int64_t blocks = k > 0 ? ceil_divide(k, gemm_block(k)) : 1;
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T));
  const bool skinny = m <= kSkinnyRows && n * k * size >= kSkinnyBytes && blocks * m * n * size <= kPartialBytes;
  return skinny && params[kBatch] == 1 && !params[kDot] && flops > 2 * kChunkFlops ? blocks : 1;
}

// Whether B is packed once for the row groups of one product; else each of them packs what it uses, or none does.
template <class T>
bool shares_panels(const std::int64_t* params) {
  const std::int64_t m = params[kM], n = params[kN], k = params[kK];
  if (params[kBatch] != 1 || params[kDot] || params[kNarrow] == n || params[kRowGroups] == 1 || params[kDepthBlocks] > 1 || k == 0) return false;
  return packs<T>(m, k, params[kTransposeB] != 0, n) && n * k * static_cast<std::int64_t>(sizeof(T)) <= kPanelBytes;
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
  if (params[kDepthBlocks] > 1) {
    plan->phases = 2;
    plan->chunks[0] = params[kDepthBlocks];
    plan->chunks[1] = 1;
    plan->shared_bytes = params[kDepthBlocks] * m * n * static_cast<std::int64_t>(sizeof(T));
  }
  if (shares_panels<T>(params)) {
    const std::int64_t packed = n - params[kNarrow];
    params[kPanelColumns] = ceil_divide(packed, tile_columns<T>()) * tile_columns<T>();
    plan->phases = 2;
    plan->chunks[1] = plan->chunks[0];
    plan->chunks[0] = ceil_divide(k, gemm_block(k)) * ceil_divide(packed, kChunkStrips * tile_columns<T>());
    plan->shared_bytes = params[kPanelColumns] * k * static_cast<std::int64_t>(sizeof(T));
  }
  plan->scratch_bytes = params[kDot] ? 0 : gemm_scratch_bytes<T>(n, k);
  const std::int64_t narrow = params[kNarrow] ? narrow_scratch_bytes<T>(params[kNarrow], k) : 0;
  if (narrow > plan->scratch_bytes) plan->scratch_bytes = narrow;
  plan->cost_ns = static_cast<double>(batch) * (20 + flops / (kFlopsPerNs * 4 / sizeof(T)));
}

// One product whose B isn't stored by columns, unless these are single numbers or its elements are dot products.
template <class T>
int micro_form(const Problem* problem, const Plan* plan, MicroCode* codes) noexcept {
  const std::int64_t* params = plan->params;
  if (params[kBatch] != 1 || (params[kTransposeB] && params[kK] > 1 && !params[kDot])) return 0;
  const bool exchange = params[kExchange] != 0, linear = problem->num_inputs == 3;
  const int bias = linear && problem->specs[2].rank >= 0 ? 2 : kMicroAbsent;
  const auto run = find_micro_product<T>(params[kDot] != 0, params[kTransposeA] != 0, params[kM], params[kN], params[kK]);
  codes[0] = micro_code(run, exchange ? 1 : 0, exchange ? 0 : 1, bias, problem->num_inputs);
  for (int k = 0; k < 3; ++k) codes[0].op.size[k] = static_cast<std::int16_t>(params[kM + k]);
  // Exchanged dot products are one row of the result, other single columns have one bias.
  const bool one_bias = problem->specs[problem->num_inputs].dims[problem->specs[problem->num_inputs].rank - 1] == 1;
  const bool relu = linear && problem->ints[2] == kRelu;
  codes[0].op.size[3] = static_cast<std::int16_t>((relu ? kReluFlag : 0) | (one_bias ? kOneBias : 0) | (params[kTransposeA] ? kAColumns : 0));
  return 1;
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

// C = A B over the last two axes; the axes before them broadcast. A two-dimensional B under an A of more axes is one product.
template <class T>
bool prepare_product(const Problem* problem, Plan* plan) {
  const Spec& a = problem->specs[0];
  const Spec& b = problem->specs[1];
  const Spec& c = problem->specs[problem->num_inputs];
  if (a.rank < 2 || b.rank < 2 || c.rank != (a.rank > b.rank ? a.rank : b.rank)) return false;
  const bool transpose_a = problem->ints[0] != 0, transpose_b = problem->ints[1] != 0;
  std::int64_t* params = plan->params;
  const bool fold = b.rank == 2 && !transpose_a;
  params[kM] = fold ? product(a.dims, a.rank - 1) : a.dims[a.rank - (transpose_a ? 1 : 2)];
  params[kN] = c.dims[c.rank - 1];
  params[kK] = b.dims[b.rank - (transpose_b ? 1 : 2)];
  params[kTransposeA] = transpose_a;
  params[kTransposeB] = transpose_b;
  params[kDepthOfBatch] = fold ? 0 : c.rank - 2;
  params[kBatch] = fold ? 1 : product(c.dims, c.rank - 2);
  settle_form(params);
  plan_chunks<T>(plan);
  plan->micro = micro_form<T>;
  return true;
}

// Offset of product `index` in an operand whose batch axes broadcast to those of c.
std::int64_t batch_offset(const Spec& operand, const Spec& c, std::int64_t index) {
  std::int64_t offset = 0;
  std::int64_t stride = operand.dims[operand.rank - 1] * operand.dims[operand.rank - 2];
  for (int back = 3; back <= c.rank; ++back) {
    const std::int64_t size = c.dims[c.rank - back];
    const std::int64_t at = index % size;
    index /= size;
    if (back > operand.rank) continue;
    const std::int64_t own = operand.dims[operand.rank - back];
    if (own != 1) offset += at * stride;
    stride *= own;
  }
  return offset;
}

// sums[r] = sum over p of rows[r * k + p] * x[p]: two vectors of partial sums to a row, then a fixed tree.
template <class T, int kRows>
PYNN_INLINE void dots(const T* rows, const T* x, std::int64_t k, T* sums) {
  constexpr int lanes = Simd<T>::kLanes;
  typename Simd<T>::V even[kRows], odd[kRows];
  PYNN_UNROLL
  for (int r = 0; r < kRows; ++r) even[r] = odd[r] = zero<T>();
  std::int64_t p = 0;
  for (; p + 2 * lanes <= k; p += 2 * lanes) {
    PYNN_UNROLL
    for (int r = 0; r < kRows; ++r) {
      even[r] = fma(load<T>(rows + r * k + p), load<T>(x + p), even[r]);
      odd[r] = fma(load<T>(rows + r * k + p + lanes), load<T>(x + p + lanes), odd[r]);
    }
  }
  for (; p < k; p += lanes) {
    const int here = static_cast<int>(least(lanes, k - p));
    PYNN_UNROLL
    for (int r = 0; r < kRows; ++r) even[r] = fma(load_lanes<T>(rows + r * k + p, here), load_lanes<T>(x + p, here), even[r]);
  }
  PYNN_UNROLL
  for (int r = 0; r < kRows; ++r) sums[r] = fold_add(even[r] + odd[r]);
}

// c[i] = act(c[i] + bias[i]), or bias[0]
template <class T>
void finish_all(T* c, Range range, const T* bias, bool one_bias, std::int32_t activation) {
  constexpr int lanes = Simd<T>::kLanes;
  if (!bias && activation == kLinear) return;
  for (std::int64_t i = range.first; i < range.last; i += lanes) {
    const int here = static_cast<int>(least(lanes, range.last - i));
    store_lanes<T>(c + i, finished(load_lanes<T>(c + i, here), bias, one_bias, activation, i, here), here);
  }
}

// The operands of one product.
template <class T>
struct Operands {
  const T* a;
  const T* b;
  T* c;
};

template <class T>
PYNN_INLINE Operands<T> operands_of(const Call* call, std::int64_t index) {
  const Problem& problem = *call->problem;
  const std::int64_t* params = call->plan->params;
  Operands<T> at{static_cast<const T*>(call->data[0]), static_cast<const T*>(call->data[1]),
                 static_cast<T*>(call->data[problem.num_inputs])};
  if (params[kDepthOfBatch]) {
    const Spec& c = problem.specs[problem.num_inputs];
    at.a += batch_offset(problem.specs[0], c, index);
    at.b += batch_offset(problem.specs[1], c, index);
    at.c += index * params[kM] * params[kN];
  }
  return at;
}

// One product as a whole, without bias and activation.
template <class T>
PYNN_INLINE Gemm<T> whole_product(const std::int64_t* params, const Operands<T>& at) {
  const bool exchange = params[kExchange] != 0;
  Gemm<T> g{};
  g.m = params[kM];
  g.n = params[kN];
  g.k = params[kK];
  g.a_columns = params[kTransposeA] != 0;
  g.a_stride = g.a_columns ? g.m : g.k;
  g.a = exchange ? at.b : at.a;
  g.b_columns = params[kTransposeB] != 0;
  g.b_stride = g.b_columns ? g.k : g.n;
  g.b = exchange ? at.a : at.b;
  g.c = at.c;
  g.c_stride = g.n;
  g.bias = nullptr;
  g.activation = kLinear;
  g.panels = nullptr;
  return g;
}

// Chunks [begin, end) of the packing of B: blocks of K by groups of strips.
template <class T>
void run_packing(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t* params = call->plan->params;
  Gemm<T> g = whole_product(params, operands_of<T>(call, 0));
  g.n -= params[kNarrow];
  const std::int64_t columns = kChunkStrips * tile_columns<T>(), groups = ceil_divide(g.n, columns);
  g.panel_columns = params[kPanelColumns];
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const std::int64_t first = chunk % groups * columns;
    pack_panels(g, first, least(first + columns, g.n), chunk / groups * gemm_block(g.k), static_cast<T*>(call->shared));
  }
}

// Rows of one product that is a column of dot products.
template <class T>
void run_dots(const std::int64_t* params, const Operands<T>& at, Range rows, const T* bias, std::int32_t activation) {
  constexpr int kTogether = 4;
  const bool exchange = params[kExchange] != 0;
  const std::int64_t k = params[kK];
  const T *matrix = exchange ? at.b : at.a, *x = exchange ? at.a : at.b;
  std::int64_t i = rows.first;
  for (; i + kTogether <= rows.last; i += kTogether) dots<T, kTogether>(matrix + i * k, x, k, at.c + i);
  for (; i < rows.last; ++i) dots<T, 1>(matrix + i * k, x, k, at.c + i);
  finish_all(at.c, rows, bias, !exchange, activation);
}

// The product g, the last of its columns as a narrow one.
template <class T>
PYNN_INLINE void multiply_columns(Gemm<T>& g, std::int64_t narrow, void* scratch) {
  g.n -= narrow;
  product_of(g, scratch);
  if (!narrow) return;
  g.b += g.n * (g.b_columns ? g.b_stride : 1);
  g.c += g.n;
  if (g.bias) g.bias += g.n;
  g.n = narrow;
  g.panels = nullptr;
  narrow_product(g, scratch);
}

// One block of the output of one product.
template <class T>
void run_block(const Call* call, std::int64_t index, Range rows, Range columns, const T* bias, std::int32_t activation, void* scratch) {
  const std::int64_t* params = call->plan->params;
  const std::int64_t n = params[kN], k = params[kK];
  const Operands<T> at = operands_of<T>(call, index);
  if (params[kDot]) return run_dots(params, at, rows, bias, activation);
  Gemm<T> g = whole_product(params, at);
  g.m = rows.last - rows.first;
  g.n = columns.last - columns.first;
  g.a += rows.first * (g.a_columns ? 1 : k);
  g.b += columns.first * (g.b_columns ? k : 1);
  g.c += rows.first * n + columns.first;
  if (params[kPanelColumns]) {
    g.panels = static_cast<const T*>(call->shared);
    g.panel_first = columns.first;
    g.panel_columns = params[kPanelColumns];
  }
  if (!params[kExchange]) {
    g.bias = bias ? bias + columns.first : nullptr;
    g.activation = activation;
  }
  multiply_columns(g, columns.last == n ? params[kNarrow] : 0, scratch);
  if (params[kExchange]) finish_all(at.c, columns, bias, true, activation);
}

// Blocks [begin, end) of K: their products, each from zero, one after the other in the shared workspace.
template <class T>
void run_depth_blocks(const Call* call, std::int64_t begin, std::int64_t end, void* scratch) {
  const std::int64_t* params = call->plan->params;
  const std::int64_t depth = gemm_block(params[kK]), size = params[kM] * params[kN];
  for (std::int64_t block = begin; block < end; ++block) {
    Gemm<T> g = whole_product(params, operands_of<T>(call, 0));
    const std::int64_t p = block * depth;
    g.k = least(depth, params[kK] - p);
    g.a += p * (g.a_columns ? g.a_stride : 1);
    g.b += p * (g.b_columns ? 1 : g.b_stride);
    g.c = static_cast<T*>(call->shared) + block * size;
    product_of(g, scratch);
  }
}

// c = act(block(0) + block(1) + ... + bias), as gemm adds them
template <class T>
void add_depth_blocks(const Call* call, const T* bias, std::int32_t activation) {
  constexpr int lanes = Simd<T>::kLanes;
  const std::int64_t* params = call->plan->params;
  const std::int64_t n = params[kN], size = params[kM] * n;
  T* c = operands_of<T>(call, 0).c;
  for (std::int64_t i = 0; i < params[kM]; ++i)
    for (std::int64_t j = 0; j < n; j += lanes) {
      const int here = n - j < lanes ? static_cast<int>(n - j) : lanes;
      const T* partial = static_cast<const T*>(call->shared) + i * n + j;
      typename Simd<T>::V sum = load_lanes<T>(partial, here);
      for (std::int64_t block = 1; block < params[kDepthBlocks]; ++block) sum = sum + load_lanes<T>(partial + block * size, here);
      store_lanes<T>(c + i * n + j, finished(sum, bias, params[kExchange] != 0, activation, j, here), here);
    }
}

// Groups of whole rows that may be computed as one, so that each block of B is read once for all of them: as many as share L2.
template <class T>
std::int64_t groups_together(const std::int64_t* params) {
  const std::int64_t row = (gemm_block(params[kK]) + params[kN]) * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t rows = ceil_divide(params[kM], params[kRowGroups]);
  return clamped(kTogetherBytes / (rows * row), 1, params[kRowGroups]);
}

template <class T>
void run_product(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, const T* bias, std::int32_t activation,
                 void* scratch) {
  const std::int64_t* params = call->plan->params;
  if (params[kDepthBlocks] > 1)
    return phase == 0 ? run_depth_blocks<T>(call, begin, end, scratch) : add_depth_blocks(call, bias, activation);
  if (params[kPanelColumns] && phase == 0) return run_packing<T>(call, begin, end);
  const Range all_rows{0, params[kM]}, all_columns{0, params[kN]};
  const std::int64_t row_groups = params[kRowGroups], column_groups = params[kColumnGroups];
  const std::int64_t groups = row_groups * column_groups;
  if (groups == 1) {
    const std::int64_t last = least(end * params[kBatchesPerChunk], params[kBatch]);
    for (std::int64_t i = begin * params[kBatchesPerChunk]; i < last; ++i)
      run_block<T>(call, i, all_rows, all_columns, bias, activation, scratch);
    return;
  }
  while (begin < end) {
    const std::int64_t group = begin % groups;
    const std::int64_t together = column_groups == 1 ? clamped(least(end - begin, groups - group), 1, groups_together<T>(params)) : 1;
    Range rows = group_range(group / column_groups, row_groups, params[kM], kTileRows);
    rows.last = group_range((group + together - 1) / column_groups, row_groups, params[kM], kTileRows).last;
    run_block<T>(call, begin / groups, rows, group_range(group % column_groups, column_groups, params[kN], tile_columns<T>()), bias,
                 activation, scratch);
    begin += together;
  }
}

template <class T>
void plan_single(const MatrixProduct& product, Plan* plan) {
  std::int64_t* params = plan->params;
  params[kM] = product.m;
  params[kN] = product.n;
  params[kK] = product.k;
  params[kTransposeB] = product.transpose_b;
  params[kBatch] = 1;
  settle_form(params);
  plan_chunks<T>(plan);
}

template <class T>
void run_linear(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  run_product<T>(call, phase, begin, end, static_cast<const T*>(call->data[2]), static_cast<std::int32_t>(call->problem->ints[2]), scratch);
}

}  // namespace

void plan_matrix_product_f32(const MatrixProduct& product, Plan* plan) noexcept { plan_single<float>(product, plan); }
void plan_matrix_product_f64(const MatrixProduct& product, Plan* plan) noexcept { plan_single<double>(product, plan); }
void run_matrix_product(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, const float* bias, bool relu, void* scratch) noexcept {
  run_product<float>(call, phase, begin, end, bias, relu ? kRelu : kLinear, scratch);
}
void run_matrix_product(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, const double* bias, bool relu, void* scratch) noexcept {
  run_product<double>(call, phase, begin, end, bias, relu ? kRelu : kLinear, scratch);
}

// c = op(a) @ op(b), ints = [transpose_a, transpose_b]. a: (..., m, k) or (..., k, m), b: (..., k, n) or (..., n, k), c: (..., m, n).
bool prepare_matmul_f32(const Problem* problem, Plan* plan) noexcept { return prepare_product<float>(problem, plan); }
bool prepare_matmul_f64(const Problem* problem, Plan* plan) noexcept { return prepare_product<double>(problem, plan); }
void run_matmul_f32(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_product<float>(call, phase, begin, end, nullptr, kLinear, scratch);
}
void run_matmul_f64(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_product<double>(call, phase, begin, end, nullptr, kLinear, scratch);
}

// y = act(op(a) @ op(b) + bias), ints = [transpose_a, transpose_b, activation], activation 0 linear, 1 relu; bias (n,) or absent.
// The same bits as matmul, then add, then relu.
bool prepare_linear_f32(const Problem* problem, Plan* plan) noexcept { return prepare_product<float>(problem, plan); }
bool prepare_linear_f64(const Problem* problem, Plan* plan) noexcept { return prepare_product<double>(problem, plan); }
void run_linear_f32(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_linear<float>(call, phase, begin, end, scratch);
}
void run_linear_f64(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) noexcept {
  run_linear<double>(call, phase, begin, end, scratch);
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(matmul_f32)
PYNN_KERNEL(matmul_f64)
PYNN_KERNEL(linear_f32)
PYNN_KERNEL(linear_f64)
