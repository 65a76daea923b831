// Ops that move elements without looking at them: transpose, slice, broadcast, tile, concat, and their reverse, which fills and
// places. All dtypes; an element is 1, 4 or 8 bytes.
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "kernels/specs.h"
#include "kernels/strided.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kMoveBytes = 1 << 15;    // of a chunk
constexpr std::int64_t kSpreadBytes = 1 << 12;  // that several operands are written to one after the other
enum Variant : std::int32_t { kRows = 0, kStrips = 1 };

// ---- reading: out = strided view of x ---------------------------------------------------------------------------------------

// Positions in Plan::params: items of a chunk and in all.
enum ReadParam { kReadLength, kReadItems };

bool plan_read(const Walk& walk, const Spec& out, Plan* plan) {
  const std::int64_t bytes = dtype_bytes(out.dtype);
  const int unit = unit_axis(walk);
  plan->variant = unit < 0 ? kRows : kStrips;
  const std::int64_t items = out.size == 0 ? 0 : unit < 0 ? walk.rows() : Strips(walk, unit).count();
  const std::int64_t per_item = unit < 0 ? walk.inner() * bytes : walk.inner() * bytes * kStrip;
  plan->params[kReadItems] = items;
  plan->params[kReadLength] = split(plan, 0, items, kMoveBytes / most(per_item, 1), 1);
  plan->cost_ns = streaming_ns(out.size * bytes, 2) + static_cast<double>(items) * 2;
  return true;
}

template <class U>
void read_as(const Call* call, const Walk& walk, Range range) {
  const U* x = operand<const U>(call, 0);
  U* out = operand<U>(call, 1);
  if (call->plan->variant == kRows) read_rows(walk, x, out, range);
  else transpose_strips(Strips(walk, unit_axis(walk)), x, out, range);
}

void run_read(const Call* call, const Walk& walk, std::int64_t begin, std::int64_t end) {
  const Range range = chunk_range(begin, end, call->plan->params[kReadLength], call->plan->params[kReadItems]);
  switch (dtype_bytes(call->problem->specs[0].dtype)) {
    case 1: return read_as<std::uint8_t>(call, walk, range);
    case 4: return read_as<std::uint32_t>(call, walk, range);
    default: return read_as<std::uint64_t>(call, walk, range);
  }
}

// Each axis of x once.
bool transposes(const Problem* problem) {
  const Spec &x = problem->specs[0], &out = problem->specs[1];
  unsigned seen = 0;
  for (int axis = 0; axis < x.rank; ++axis) {
    const std::int64_t from = problem->ints[axis];
    if (from < 0 || from >= x.rank || seen >> from & 1 || out.dims[axis] != x.dims[from]) return false;
    seen |= 1u << from;
  }
  return out.rank == x.rank;
}
// ints: for each axis of out, the axis of x it comes from
Walk transpose_walk(const Problem* problem) {
  const Spec& x = problem->specs[0];
  std::int64_t strides[kMaxRank];
  contiguous_strides(x.dims, x.rank, strides);
  Walk walk;
  for (int axis = 0; axis < x.rank; ++axis) walk.push(x.dims[problem->ints[axis]], strides[problem->ints[axis]]);
  return walk;
}

// Whether `part` lies in `whole` at those places.
bool lies_within(const Problem* problem, const Spec& whole, const Spec& part) {
  if (whole.rank != part.rank || part.size == 0) return whole.rank == part.rank;
  for (int axis = 0; axis < whole.rank; ++axis) {
    const std::int64_t first = problem->ints[axis], step = problem->ints[whole.rank + axis], steps = part.dims[axis] - 1;
    if (first < 0 || first >= whole.dims[axis]) return false;
    if (steps == 0) continue;
    if (step == 0 || step < -whole.dims[axis]) return false;
    if ((step > 0 ? (whole.dims[axis] - 1 - first) / step : first / -step) < steps) return false;
  }
  return true;
}
// Axes of the strided side `whole` begin at ints[axis] and go by ints[rank + axis]; the packed side has the dims of `part`.
Walk slice_walk(const Problem* problem, const Spec& whole, const Spec& part) {
  std::int64_t strides[kMaxRank];
  contiguous_strides(whole.dims, whole.rank, strides);
  Walk walk;
  for (int axis = 0; axis < whole.rank; ++axis) {
    walk.offset += problem->ints[axis] * strides[axis];
    if (part.dims[axis] != 1) walk.push(part.dims[axis], problem->ints[whole.rank + axis] * strides[axis]);  // a lone element's step is any
  }
  return walk;
}

bool broadcasts(const Problem* problem) {
  const Spec &x = problem->specs[0], &out = problem->specs[1];
  for (int axis = 0; axis < x.rank && x.rank <= out.rank; ++axis)
    if (x.dims[axis] != 1 && x.dims[axis] != out.dims[axis + out.rank - x.rank]) return false;
  return x.rank <= out.rank;
}
// Axes of x are the last ones of out; those of length 1 repeat.
Walk broadcast_walk(const Problem* problem) {
  const Spec& x = problem->specs[0];
  const Spec& out = problem->specs[1];
  std::int64_t strides[kMaxRank];
  contiguous_strides(x.dims, x.rank, strides);
  Walk walk;
  for (int axis = 0; axis < out.rank; ++axis) {
    const int own = axis - (out.rank - x.rank);
    walk.push(out.dims[axis], own < 0 || x.dims[own] == 1 ? 0 : strides[own]);
  }
  return walk;
}

bool tiles(const Problem* problem) {
  const Spec &x = problem->specs[0], &out = problem->specs[1];
  for (int axis = 0; axis < x.rank && x.rank == out.rank; ++axis)
    if (bounded_product(x.dims[axis], problem->ints[axis]) != out.dims[axis]) return false;
  return x.rank == out.rank;
}
// ints: how often each axis repeats
Walk tile_walk(const Problem* problem) {
  const Spec& x = problem->specs[0];
  std::int64_t strides[kMaxRank];
  contiguous_strides(x.dims, x.rank, strides);
  Walk walk;
  for (int axis = 0; axis < x.rank; ++axis) {
    walk.push(problem->ints[axis], 0);
    walk.push(x.dims[axis], strides[axis]);
  }
  return walk;
}

// ---- placing: out = value, then x at a strided place in it --------------------------------------------------------------------

// Positions in Plan::params: elements of a chunk that fills, rows to place, rows of a chunk that places.
enum PlaceParam { kFillLength, kPlacedRows, kPlaceLength };

bool plan_place(const Walk& walk, const Spec& x, const Spec& out, Plan* plan) {
  const std::int64_t bytes = dtype_bytes(out.dtype);
  plan->phases = 2;
  plan->params[kFillLength] = split(plan, 0, x.size == out.size ? 0 : out.size, kMoveBytes / bytes, 64);
  const std::int64_t rows = x.size == 0 ? 0 : walk.rows();
  plan->params[kPlacedRows] = rows;
  plan->params[kPlaceLength] = split(plan, 1, rows, kMoveBytes / most(walk.inner() * bytes, 1), 1);
  plan->cost_ns = streaming_ns((out.size + 2 * x.size) * bytes) + static_cast<double>(rows) * 2;
  return true;
}

template <class U, class T>
void fill(U* out, T value, std::int64_t n) {
  U bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (bits == 0) std::memset(out, 0, static_cast<std::size_t>(n) * sizeof(U));
  else for (std::int64_t i = 0; i < n; ++i) out[i] = bits;
}

template <class U, class T>
void place_as(const Call* call, const Walk& walk, std::int32_t phase, std::int64_t begin, std::int64_t end, T value) {
  U* out = operand<U>(call, 1);
  if (phase == 0) {
    const Range range = chunk_range(begin, end, call->plan->params[kFillLength], call->problem->specs[1].size);
    return fill(out + range.first, value, range.length());
  }
  const Range rows = chunk_range(begin, end, call->plan->params[kPlaceLength], call->plan->params[kPlacedRows]);
  write_rows(walk, out, operand<const U>(call, 0), rows);
}

void run_place_walk(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  const Problem* problem = call->problem;
  const Walk walk = slice_walk(problem, problem->specs[1], problem->specs[0]);
  const double value = problem->num_floats ? problem->floats[0] : 0;
  switch (problem->specs[0].dtype) {
    case kF32: return place_as<std::uint32_t>(call, walk, phase, begin, end, static_cast<float>(value));
    case kF64: return place_as<std::uint64_t>(call, walk, phase, begin, end, value);
    case kI32: return place_as<std::uint32_t>(call, walk, phase, begin, end, static_cast<std::int32_t>(value));
    case kI64: return place_as<std::uint64_t>(call, walk, phase, begin, end, static_cast<std::int64_t>(value));
    default: return place_as<std::uint8_t>(call, walk, phase, begin, end, static_cast<std::uint8_t>(value));
  }
}

// ---- concat -------------------------------------------------------------------------------------------------------------------

// Positions in Plan::params: rows of a chunk and in all, bytes of one.
enum ConcatParam { kConcatLength, kConcatRows, kConcatBytes };

std::int64_t inner_bytes(const Spec& spec, std::int64_t axis) { return elements(spec, axis, spec.rank) * dtype_bytes(spec.dtype); }

// Whether the operands, one after another along the axis, are out.
bool concatenates(const Problem& problem) {
  const Spec& out = problem.specs[problem.num_inputs];
  const std::int64_t along = problem.ints[0];
  if (!has_axis(out, along)) return false;
  std::int64_t length = 0;
  for (std::int32_t k = 0; k < problem.num_inputs; ++k) {
    const Spec& x = problem.specs[k];
    if (x.rank != out.rank || x.dtype != out.dtype) return false;
    for (int axis = 0; axis < out.rank; ++axis)
      if (axis != along && x.dims[axis] != out.dims[axis]) return false;
    length += x.dims[along];
  }
  return length == out.dims[along];
}

// kBytes <= bytes <= 2 * kBytes, in two parts that overlap.
template <std::size_t kBytes>
PYNN_INLINE void copy_ends(char* to, const char* from, std::int64_t bytes) {
  char first[kBytes], last[kBytes];
  std::memcpy(first, from, kBytes);
  std::memcpy(last, from + bytes - kBytes, kBytes);
  std::memcpy(to, first, kBytes);
  std::memcpy(to + bytes - kBytes, last, kBytes);
}

// Rows of so many bytes, side by side in `from`, to places `stride` bytes apart: short ones take less time than a call of memcpy.
void spread_rows(char* to, std::int64_t stride, const char* from, std::int64_t bytes, std::int64_t rows) {
  const auto each = [=](auto copy) {
    for (std::int64_t r = 0; r < rows; ++r) copy(to + r * stride, from + r * bytes);
  };
  if (bytes == 4) each([](char* t, const char* f) { std::memcpy(t, f, 4); });
  else if (bytes == 8) each([](char* t, const char* f) { std::memcpy(t, f, 8); });
  else if (bytes > 8 && bytes <= 16) each([=](char* t, const char* f) { copy_ends<8>(t, f, bytes); });
  else if (bytes > 16 && bytes <= 32) each([=](char* t, const char* f) { copy_ends<16>(t, f, bytes); });
  else if (bytes > 32 && bytes <= 64) each([=](char* t, const char* f) { copy_ends<32>(t, f, bytes); });
  else if (bytes > 0) each([=](char* t, const char* f) { std::memcpy(t, f, static_cast<std::size_t>(bytes)); });
}

}  // namespace

#define PYNN_READ(name, covered, walk)                                           \
  PYNN_ENTRY(name, (covered) && plan_read(walk, problem->specs[1], plan),        \
             const Problem* problem = call->problem; run_read(call, walk, begin, end))
PYNN_READ(transpose, transposes(problem), transpose_walk(problem))
PYNN_READ(slice, lies_within(problem, problem->specs[0], problem->specs[1]), slice_walk(problem, problem->specs[0], problem->specs[1]))
PYNN_READ(broadcast_to, broadcasts(problem), broadcast_walk(problem))
PYNN_READ(tile, tiles(problem), tile_walk(problem))
#undef PYNN_READ

// out = value everywhere, then out[begin + i * step, ...] = x[i, ...]; ints: begin and step of each axis, floats: value.
// The padding of x (step 1) and the gradient of a slice (value 0).
bool prepare_place(const Problem* problem, Plan* plan) noexcept {
  return lies_within(problem, problem->specs[1], problem->specs[0]) &&
         plan_place(slice_walk(problem, problem->specs[1], problem->specs[0]), problem->specs[0], problem->specs[1], plan);
}
void run_place(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void*) noexcept {
  run_place_walk(call, phase, begin, end);
}

// Any number of operands -> out, one after another along the axis ints[0]. An item is an outer row of the output.
bool prepare_concat(const Problem* problem, Plan* plan) noexcept {
  if (!concatenates(*problem)) return false;
  const Spec& out = problem->specs[problem->num_inputs];
  const std::int64_t axis = problem->ints[0];
  const std::int64_t outer = out.size ? elements(out, 0, axis) : 0;
  const std::int64_t row_bytes = inner_bytes(out, axis);
  plan->params[kConcatLength] = split(plan, 0, outer, kMoveBytes / most(row_bytes, 1), 1);
  plan->params[kConcatRows] = outer;
  plan->params[kConcatBytes] = row_bytes;
  plan->cost_ns = streaming_ns(outer * row_bytes, 2) + static_cast<double>(outer * problem->num_inputs) * 2;
  return true;
}
void run_concat(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  const Problem* problem = call->problem;
  const Range rows = chunk_range(begin, end, call->plan->params[kConcatLength], call->plan->params[kConcatRows]);
  const std::int64_t stride = call->plan->params[kConcatBytes], together = most(1, kSpreadBytes / most(stride, 1));
  for (std::int64_t row = rows.first; row < rows.last; row += together) {
    char* out = operand<char>(call, problem->num_inputs) + row * stride;
    for (std::int32_t k = 0; k < problem->num_inputs; ++k) {
      const std::int64_t bytes = inner_bytes(problem->specs[k], problem->ints[0]);
      spread_rows(out, stride, operand<const char>(call, k) + row * bytes, bytes, least(together, rows.last - row));
      out += bytes;
    }
  }
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(transpose)
PYNN_KERNEL(slice)
PYNN_KERNEL(broadcast_to)
PYNN_KERNEL(tile)
PYNN_KERNEL(place)
PYNN_KERNEL(concat)
