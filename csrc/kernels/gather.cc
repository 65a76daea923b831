// Rows picked by index, and sums scattered back to them. Every index is checked where it is used: failure 1, values (index, its
// position, number of rows). Copies don't look at the elements, so they serve all dtypes.
#include "kernels/cache.h"
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "kernels/specs.h"
#include "registry.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kCopyBytes = 24 << 10;  // of a chunk
constexpr std::int32_t kIndexFailure = 1, kCursorFailure = 2;

// False, and a failure, if the index at a position is none of the rows.
PYNN_INLINE bool is_row(std::int64_t index, std::int64_t position, std::int64_t rows, Failure* failure) {
  if (index >= 0 && index < rows) return true;
  fail(failure, kIndexFailure, index, position, rows);
  return false;
}

PYNN_INLINE void copy_row(char* to, const char* from, std::int64_t bytes) {
  if (bytes == 4) std::memcpy(to, from, 4);
  else if (bytes == 8) std::memcpy(to, from, 8);
  else std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

// Data seen as (outer, rows, row_bytes), and the indices that pick along the middle.
struct Picking {
  const char* data;
  const void* indices;
  char* out;
  std::int64_t rows, row_bytes, positions;
  std::int32_t dtype;
};

// Where the row of item o * positions + p lies; null and a failure where its index is no row.
PYNN_INLINE const char* picked_row(const Picking& picking, std::int64_t outer, std::int64_t position, Failure* failure) {
  const std::int64_t index = index_at(picking.indices, picking.dtype, position);
  if (!is_row(index, position, picking.rows, failure)) return nullptr;
  return picking.data + (outer * picking.rows + index) * picking.row_bytes;
}

void pick_short_rows(const Picking& picking, Range range, Failure* failure) {
  std::int64_t outer = range.first / picking.positions, position = range.first % picking.positions;
  for (std::int64_t item = range.first; item < range.last; ++item) {
    const char* from = picked_row(picking, outer, position, failure);
    if (!from) return;
    copy_row(picking.out + item * picking.row_bytes, from, picking.row_bytes);
    if (++position == picking.positions) {
      position = 0;
      ++outer;
    }
  }
}

// Rows at random places of a large data set come from memory as fast as the processor can have misses under way. A few are copied side by
// side, line by line, so that the hardware follows each of them, and the lines of the next few are asked for meanwhile: into L2, which has
// more misses under way than L1. More at a time would be more than it follows.
constexpr int kRowsTogether = 4;
constexpr std::int64_t kLongRow = 256;  // bytes; shorter ones aren't worth it

struct RowGroup {
  const char* row[kRowsTogether];
  int count;
};

// The rows of the items from `first` on, up to one whose index is no row.
RowGroup group_at(const Picking& picking, std::int64_t first, std::int64_t last, Failure* failure) {
  RowGroup group;
  for (const char*& row : group.row) row = picking.data;
  for (group.count = 0; group.count < kRowsTogether && first + group.count < last; ++group.count) {
    const std::int64_t item = first + group.count;
    const char* from = picked_row(picking, item / picking.positions, item % picking.positions, failure);
    if (!from) break;
    group.row[group.count] = from;
  }
  return group;
}

PYNN_INLINE void copy_and_fetch(char* to, const RowGroup& rows, const RowGroup& next, std::int64_t bytes) {
  std::int64_t byte = 0;
  for (; byte + kCacheLine <= bytes; byte += kCacheLine)
    for (int i = 0; i < kRowsTogether; ++i) {
      prefetch<Use::kRead>(next.row[i] + byte);
      std::memcpy(to + i * bytes + byte, rows.row[i] + byte, static_cast<std::size_t>(kCacheLine));
    }
  for (int i = 0; i < kRowsTogether; ++i) {
    prefetch<Use::kRead>(next.row[i] + byte);
    std::memcpy(to + i * bytes + byte, rows.row[i] + byte, static_cast<std::size_t>(bytes - byte));
  }
}

void pick_long_rows(const Picking& picking, Range range, Failure* failure) {
  const std::int64_t bytes = picking.row_bytes;
  RowGroup rows = group_at(picking, range.first, range.last, failure);
  for (std::int64_t item = range.first; rows.count > 0;) {
    const RowGroup next = group_at(picking, item + rows.count, range.last, failure);
    char* to = picking.out + item * bytes;
    if (rows.count == kRowsTogether) copy_and_fetch(to, rows, next, bytes);
    else for (int i = 0; i < rows.count; ++i) copy_row(to + i * bytes, rows.row[i], bytes);
    item += rows.count;
    rows = next;
  }
}

// out[o, p] = data[o, indices[p]] for the items o * positions + p in the range
void pick(const Picking& picking, Range range, Failure* failure) {
  if (picking.row_bytes < kLongRow) pick_short_rows(picking, range, failure);
  else pick_long_rows(picking, range, failure);
}

// Positions in Plan::params: items of a chunk and in all, bytes of one, and the rows that they are picked from.
enum PickParam { kPickLength, kPickItems, kPickBytes, kPickRows };

bool plan_picks(std::int64_t items, std::int64_t row_bytes, std::int64_t rows, Plan* plan) {
  plan->params[kPickLength] = split(plan, 0, items, kCopyBytes / most(row_bytes, 1), kRowsTogether);
  plan->params[kPickItems] = items;
  plan->params[kPickBytes] = row_bytes;
  plan->params[kPickRows] = rows;
  plan->cost_ns = static_cast<double>(items) * (3 + streaming_ns(row_bytes));
  return true;
}

PYNN_INLINE Range planned_range(const Call* call, std::int64_t begin, std::int64_t end) {
  return chunk_range(begin, end, call->plan->params[kPickLength], call->plan->params[kPickItems]);
}

// ---- scattered sums: out[o, indices[p]] = base + the sum of all its dy[o, p], added in the order of p ------------------------

// A chunk owns a range of the (outer, rows) of out and scans all indices for those that fall in it.
constexpr std::int64_t kScatterChunks = 8;
constexpr std::int64_t kScatterElements = 4096;  // of a chunk, at least

// Positions in Plan::params: out as (outer, rows, width), the number of indices, rows of a chunk.
enum ScatterParam { kOuter, kRows, kWidth, kPositions, kScatterLength };

bool plan_scatter(const Spec& out, std::int64_t outer, std::int64_t rows, std::int64_t positions, Plan* plan) {
  const std::int64_t items = outer * rows, width = items > 0 ? out.size / items : 0;
  const std::int64_t length = most(ceil_divide(items, kScatterChunks), ceil_divide(kScatterElements, most(width, 1)));
  plan->params[kOuter] = outer;
  plan->params[kRows] = rows;
  plan->params[kWidth] = width;
  plan->params[kPositions] = positions;
  plan->params[kScatterLength] = length;
  plan->chunks[0] = most(ceil_divide(items, length), positions > 0 ? 1 : 0);  // without a row, all indices are wrong
  plan->cost_ns = streaming_ns(out.size * 4 + outer * positions * (width * 8 + 40));
  return true;
}

template <class T>
PYNN_INLINE void add_row(T* to, const T* from, std::int64_t width) {
  constexpr int lanes = Simd<T>::kLanes;
  std::int64_t i = 0;
  for (; i + lanes <= width; i += lanes) store(to + i, load(to + i) + load(from + i));
  for (; i < width; ++i) to[i] += from[i];
}

bool all_are_rows(const Call* call) {
  const std::int64_t* params = call->plan->params;
  for (std::int64_t p = 0; p < params[kPositions]; ++p)
    if (!is_row(index_at(call->data[1], call->problem->specs[1].dtype, p), p, params[kRows], call->failure)) return false;
  return true;
}

// The (outer, rows) items in `range`, where out holds the base already; the indices are operand 1.
template <class T>
void scatter(const Call* call, const T* dy, T* out, Range range) {
  const std::int64_t* params = call->plan->params;
  const std::int64_t rows = params[kRows], positions = params[kPositions], width = params[kWidth];
  const void* indices = call->data[1];
  const std::int32_t dtype = call->problem->specs[1].dtype;
  if (rows == 0) all_are_rows(call);
  for (std::int64_t o = range.first / most(rows, 1); o * rows < range.last; ++o)
    for (std::int64_t p = 0; p < positions; ++p) {
      const std::int64_t index = index_at(indices, dtype, p);
      if (!is_row(index, p, rows, call->failure)) return;
      const std::int64_t item = o * rows + index;
      if (item >= range.first && item < range.last) add_row(out + item * width, dy + (o * positions + p) * width, width);
    }
}

PYNN_INLINE Range scatter_range(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t* params = call->plan->params;
  return chunk_range(begin, end, params[kScatterLength], params[kOuter] * params[kRows]);
}

// Base zero; operands (dy, indices) -> out.
template <class T>
void run_take_grad(const Call* call, std::int64_t begin, std::int64_t end) {
  const Range range = scatter_range(call, begin, end);
  const std::int64_t width = call->plan->params[kWidth];
  T* out = operand<T>(call, 2);
  std::memset(out + range.first * width, 0, static_cast<std::size_t>(range.length() * width) * sizeof(T));
  scatter(call, operand<const T>(call, 0), out, range);
}

// Base x; operands (x, indices, updates) -> out, which may be x's memory, a variable's: then each chunk looks at all indices before it writes.
template <class T>
void run_scatter_add(const Call* call, std::int64_t begin, std::int64_t end) {
  const Range range = scatter_range(call, begin, end);
  const std::int64_t width = call->plan->params[kWidth];
  const T* x = operand<const T>(call, 0);
  T* out = operand<T>(call, 3);
  if (out == x && !all_are_rows(call)) return;
  if (out != x)
    std::memcpy(out + range.first * width, x + range.first * width,
                static_cast<std::size_t>(range.length() * width) * sizeof(T));
  scatter(call, operand<const T>(call, 2), out, range);
}

bool prepare_take_grad(const Problem* problem, Plan* plan) {
  const Spec &dy = problem->specs[0], &indices = problem->specs[1], &out = problem->specs[2];
  const std::int64_t axis = problem->ints[0];
  if (!is_index(indices) || !has_axis(out, axis) || axis > dy.rank) return false;
  const std::int64_t outer = elements(out, 0, axis);
  return dy.size == outer * indices.size * elements(out, axis + 1, out.rank) && plan_scatter(out, outer, out.dims[axis], indices.size, plan);
}

bool prepare_scatter(const Problem* problem, Plan* plan) {
  const Spec &indices = problem->specs[1], &updates = problem->specs[2], &out = problem->specs[3];
  if (!is_index(indices) || !has_axis(out, 0) || problem->specs[0].size != out.size) return false;
  return updates.size == indices.size * elements(out, 1, out.rank) && plan_scatter(out, 1, out.dims[0], indices.size, plan);
}

// ---- one_hot: out[p, c] = on where c == indices[p], else off ------------------------------------------------------------------

template <class T>
void run_one_hot_rows(const Call* call, Range range) {
  const Spec& out = call->problem->specs[1];
  const std::int64_t depth = call->problem->ints[0];
  const T on = static_cast<T>(call->problem->floats[0]), off = static_cast<T>(call->problem->floats[1]);
  T* y = operand<T>(call, 1);
  for (std::int64_t p = range.first; p < range.last; ++p) {
    const std::int64_t index = index_at(call->data[0], call->problem->specs[0].dtype, p);
    for (std::int64_t c = 0; c < depth; ++c) y[p * depth + c] = off;
    if (index >= 0 && index < depth && out.size) y[p * depth + index] = on;
  }
}

}  // namespace

// (data, indices) -> out; ints: axis. out = data with `axis` replaced by the axes of indices.
bool prepare_take(const Problem* problem, Plan* plan) noexcept {
  const Spec &data = problem->specs[0], &indices = problem->specs[1];
  const std::int64_t axis = problem->ints[0];
  if (!is_index(indices) || !has_axis(data, axis)) return false;
  const std::int64_t items = elements(data, 0, axis) * indices.size, row = elements(data, axis + 1, data.rank);
  return problem->specs[2].size == items * row && plan_picks(items, row * dtype_bytes(data.dtype), data.dims[axis], plan);
}
void run_take(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const Spec& indices = call->problem->specs[1];
  const std::int64_t* params = call->plan->params;
  const Picking picking{operand<const char>(call, 0), call->data[1], operand<char>(call, 2), params[kPickRows], params[kPickBytes],
                        indices.size, indices.dtype};
  pick(picking, planned_range(call, begin, end), call->failure);
}

// (data, permutation, cursor) -> out; out[i] = data[permutation[cursor + i]] for a batch of out.dims[0] rows.
// Failure 2, values (cursor, batch, length of the permutation): the cursor has left the permutation.
bool prepare_gather_batch(const Problem* problem, Plan* plan) noexcept {
  const Spec &data = problem->specs[0], &out = problem->specs[3];
  if (problem->specs[1].dtype != kI64 || problem->specs[2].dtype != kI64 || problem->specs[2].size != 1) return false;
  if (!has_axis(data, 0) || !has_axis(out, 0)) return false;
  const std::int64_t row = elements(data, 1, data.rank);
  return out.size == out.dims[0] * row && plan_picks(out.dims[0], row * dtype_bytes(data.dtype), data.dims[0], plan);
}
void run_gather_batch(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const std::int64_t* params = call->plan->params;
  const std::int64_t cursor = *operand<const std::int64_t>(call, 2), batch = params[kPickItems], length = call->problem->specs[1].size;
  if (cursor < 0 || cursor > length - batch) return fail(call->failure, kCursorFailure, cursor, batch, length);
  const Picking picking{operand<const char>(call, 0), operand<const std::int64_t>(call, 1) + cursor, operand<char>(call, 3),
                        params[kPickRows], params[kPickBytes], batch, kI64};
  pick(picking, planned_range(call, begin, end), call->failure);
}

// (indices) -> out; ints: depth, floats: on, off. An index outside [0, depth) gives a row of `off`.
bool prepare_one_hot(const Problem* problem, Plan* plan) noexcept {
  const Spec& out = problem->specs[1];
  plan->params[0] = split(plan, 0, problem->specs[0].size, 8192 / most(problem->ints[0], 1), 1);
  plan->cost_ns = static_cast<double>(out.size) * 0.3;
  return is_index(problem->specs[0]) && is_float(out) && out.size == problem->specs[0].size * problem->ints[0];
}
void run_one_hot(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const Range range = chunk_range(begin, end, call->plan->params[0], call->problem->specs[0].size);
  if (call->problem->specs[1].dtype == kF32) run_one_hot_rows<float>(call, range);
  else run_one_hot_rows<double>(call, range);
}

PYNN_FLOAT_ENTRIES(take_grad, prepare_take_grad(problem, plan), run_take_grad<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(scatter_add, prepare_scatter(problem, plan), run_scatter_add<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(take)
PYNN_KERNEL(gather_batch)
PYNN_KERNEL(one_hot)
PYNN_FLOAT_KERNELS(take_grad)
PYNN_FLOAT_KERNELS(scatter_add)
