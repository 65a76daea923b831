// Matrix products: matmul (batched, either operand transposed) and linear (matmul + bias + activation in one).
//
// An element's bits follow from its row, its column and K, as gemm.h says, whatever the other rows and columns, with one exception:
// where the result is a single column, or a single row by a transposed matrix, its elements are dot products, summed across lanes.
#include <cstring>

#include "kernels/matmul_micro.h"
#include "kernels/matmul_plan.h"
#include "kernels/matrix_product.h"
#include "kernels/operands.h"
#include "kernels/specs.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

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
  params[kM] = fold ? elements(a, 0, a.rank - 1) : a.dims[a.rank - (transpose_a ? 1 : 2)];
  params[kN] = c.dims[c.rank - 1];
  params[kK] = b.dims[b.rank - (transpose_b ? 1 : 2)];
  params[kTransposeA] = transpose_a;
  params[kTransposeB] = transpose_b;
  params[kDepthOfBatch] = fold ? 0 : c.rank - 2;
  params[kBatch] = fold ? 1 : elements(c, 0, c.rank - 2);
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
    const int here = lanes_left<T>(k - p);
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
    const int here = lanes_left<T>(range.last - i);
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
  Operands<T> at{operand<const T>(call, 0), operand<const T>(call, 1),
                 operand<T>(call, problem.num_inputs)};
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

// One chunk of the copy of A.
template <class T>
void copy_rows(const Call* call, const T* from, std::int64_t chunk) {
  const std::int64_t* params = call->plan->params;
  const Stored a = stored_a(params);
  const std::int64_t stride = odd_stride<T>(a.length), last = (chunk + 1) * a.rows / params[kCopyChunks];
  T* to = reinterpret_cast<T*>(static_cast<char*>(call->shared) + copy_offset<T>(params));
  for (std::int64_t i = chunk * a.rows / params[kCopyChunks]; i < last; ++i)
    std::memcpy(to + i * stride, from + i * a.length, static_cast<std::size_t>(a.length) * sizeof(T));
}

// Chunks [begin, end) of the first phase. Those that pack B go along its columns, as those of the product do, from both ends: what a
// thread packs it mostly uses itself.
template <class T>
void run_packing(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t* params = call->plan->params;
  Gemm<T> g = whole_product(params, operands_of<T>(call, 0));
  g.n -= params[kNarrow];
  g.panel_columns = params[kPanelColumns];
  const std::int64_t columns = kChunkStrips * tile_columns<T>(), block = gemm_block(g.k), blocks = ceil_divide(g.k, block);
  const std::int64_t packing = call->plan->chunks[0] - params[kCopyChunks];
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const std::int64_t first = chunk / blocks * columns;
    if (chunk >= packing) copy_rows(call, g.a, chunk - packing);
    else pack_panels(g, first, least(first + columns, g.n), chunk % blocks * block, workspace<T>(call));
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
  g.m = rows.length();
  g.n = columns.length();
  g.a += rows.first * (g.a_columns ? 1 : k);
  g.b += columns.first * (g.b_columns ? k : 1);
  g.c += rows.first * n + columns.first;
  if (params[kPanelColumns]) {
    g.panels = workspace<const T>(call);
    g.panel_first = columns.first;
    g.panel_columns = params[kPanelColumns];
  }
  if (params[kCopyChunks]) {
    g.a_stride = odd_stride<T>(g.a_stride);
    g.a = reinterpret_cast<const T*>(static_cast<const char*>(call->shared) + copy_offset<T>(params));
    g.a += rows.first * (g.a_columns ? 1 : g.a_stride);
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
    g.c = workspace<T>(call) + block * size;
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
      const int here = lanes_left<T>(n - j);
      const T* partial = workspace<const T>(call) + i * n + j;
      typename Simd<T>::V sum = load_lanes<T>(partial, here);
      for (std::int64_t block = 1; block < params[kDepthBlocks]; ++block) sum = sum + load_lanes<T>(partial + block * size, here);
      store_lanes<T>(c + i * n + j, finished(sum, bias, params[kExchange] != 0, activation, j, here), here);
    }
}

// Groups of whole rows that may be computed as one, so that each block of B is read once for all of them: as many as share L2.
template <class T>
std::int64_t groups_together(const std::int64_t* params) {
  const std::int64_t row = (gemm_block(params[kK]) + params[kN]) * kSizeOf<T>;
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
  const bool by_columns = params[kPanelColumns] != 0;  // the rows of A pass by a part of B that stays in L2, not B by a part of A
  while (begin < end) {
    const std::int64_t group = begin % groups;
    const std::int64_t row = by_columns ? group % row_groups : group / column_groups;
    const std::int64_t column = by_columns ? group / row_groups : group % column_groups;
    const std::int64_t together = column_groups == 1 ? clamped(least(end - begin, groups - group), 1, groups_together<T>(params)) : 1;
    Range rows = group_range(row, row_groups, params[kM], kTileRows);
    rows.last = group_range(row + together - 1, row_groups, params[kM], kTileRows).last;
    run_block<T>(call, begin / groups, rows, group_range(column, column_groups, params[kN], tile_columns<T>()), bias, activation, scratch);
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
  run_product<T>(call, phase, begin, end, operand<const T>(call, 2), static_cast<std::int32_t>(call->problem->ints[2]), scratch);
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
PYNN_FLOAT_ENTRIES(matmul, prepare_product<T>(problem, plan), run_product<T>(call, phase, begin, end, nullptr, kLinear, scratch))

// y = act(op(a) @ op(b) + bias), ints = [transpose_a, transpose_b, activation], activation 0 linear, 1 relu; bias (n,) or absent.
// The same bits as matmul, then add, then relu.
PYNN_FLOAT_ENTRIES(linear, prepare_product<T>(problem, plan), run_linear<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(matmul)
PYNN_FLOAT_KERNELS(linear)
