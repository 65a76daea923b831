// The inputs of an elementwise program, a block of elements at a time: where they lie, or copies of what repeats or has another type.
#pragma once

#include "kernels/elementwise_strips.h"
#include "kernels/operands.h"
#include "kernels/specs.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Whether rows of the output are blocks of their own: those of two strips.
template <class T>
PYNN_INLINE bool rows_are_wide(const Layout& layout) {
  return layout.rank > 1 && layout.inner() >= 2 * strip_length<T>();
}

// How the elements of an input come to the instructions: from where they lie, as a strip full of the block's one number, as a copy of the block.
enum Way { kAsItLies, kOneNumber, kCopied };

template <class T>
Way way_of(const Problem& problem, const Layout& layout, int k) {
  const bool wide = rows_are_wide<T>(layout);
  if (layout.is_scalar(k) || (wide && layout.mask(k) >> (layout.rank - 1) & 1)) return kOneNumber;
  return problem.specs[k].dtype == dtype_of<T>() && (wide || layout.is_full(k)) ? kAsItLies : kCopied;
}

template <class T>
int count_copied(const Problem& problem, const Layout& layout) {
  int count = 0;
  for (int k = 0; k < problem.num_inputs; ++k) count += way_of<T>(problem, layout, k) == kCopied;
  return count;
}

// Elements of scratch memory.
template <class T>
PYNN_INLINE std::int64_t room_for(Way way, std::int64_t block) {
  return way == kAsItLies ? 0 : way == kOneNumber ? strip_length<T>() : block + kPad;
}

template <class T>
struct Operands {
  // An input that repeats: how to find its elements.
  struct Repeated {
    Walk walk;
    std::int64_t at;  // of the current row, in elements
    bool fixed;       // every block holds the same elements
    bool ready;       // they are unrolled
  };

  const Call* call;
  Layout layout;
  std::int64_t block;
  int inputs;
  bool wide;
  Way way[kMaxInputs];
  T* place[kMaxInputs];
  Repeated repeated[kMaxInputs];
  std::int64_t row[kMaxRank];  // while wide: which row of the output, by axis

  Operands(const Call* c, T* memory) : call(c), layout(Layout::restored(*c->plan)), block(c->plan->params[kBlockParam]),
                                       inputs(c->problem->num_inputs), wide(rows_are_wide<T>(layout)) {
    for (int k = 0; k < inputs; ++k) {
      way[k] = way_of<T>(*c->problem, layout, k);
      place[k] = memory;
      memory += room_for<T>(way[k], block);
      if (layout.is_scalar(k)) repeat_run(place[k], load_element<T>(call->data[k], dtype(k), 0), strip_length<T>());
      else if (!layout.is_full(k)) start_repeated(k);
    }
  }

  std::int32_t dtype(int k) const { return call->problem->specs[k].dtype; }

  void start_repeated(int k) {
    Repeated& input = repeated[k];
    input.walk = layout.walk(k, !wide);
    input.fixed = !wide && input.walk.rank == 2 && input.walk.strides[0] == 0 && block % input.walk.dims[1] == 0;
    input.ready = false;
  }

  // Elements [at, at + n) of the output's order; while rows are wide these begin at `column`.
  const T* load_block(int k, std::int64_t at, std::int64_t column, std::int64_t n) {
    if (layout.is_scalar(k)) return place[k];
    if (layout.is_full(k)) return load_whole(k, at, n);
    if (wide) return load_part_of_row(k, column, n);
    if (!repeated[k].ready) unroll(k, at, n);
    return place[k];
  }

  const T* load_whole(int k, std::int64_t at, std::int64_t n) {
    if (way[k] == kAsItLies) return operand<const T>(call, k) + at;
    load_run(place[k], call->data[k], dtype(k), at, n);
    return place[k];
  }

  const T* load_part_of_row(int k, std::int64_t column, std::int64_t n) {
    if (way[k] != kOneNumber) return load_whole(k, repeated[k].at + column, n);
    repeat_run(place[k], load_element<T>(call->data[k], dtype(k), repeated[k].at), strip_length<T>());
    return place[k];
  }

  // Blocks start at multiples of a fixed input's row, so what was unrolled for a whole block serves all that follow.
  void unroll(int k, std::int64_t at, std::int64_t n) {
    const Walk& walk = repeated[k].walk;
    if (walk.rank == 2 && walk.inner_stride() == 0 && dtype(k) == dtype_of<T>()) return unroll_column(k, at, n);
    const std::int64_t length = walk.inner(), stride = walk.inner_stride();
    std::int64_t column = at % length;
    Odometer odometer(walk, at / length);
    for (std::int64_t done = 0; done < n; column = 0, odometer.next()) {
      const std::int64_t count = least(length - column, n - done);
      const std::int64_t from = odometer.at + column * stride;
      if (stride) load_run(place[k] + done, call->data[k], dtype(k), from, count);
      else repeat_run(place[k] + done, load_element<T>(call->data[k], dtype(k), from), count);
      done += count;
    }
    repeated[k].ready = repeated[k].fixed && n == block;
  }

  // One number for each row, of floats: by far the most there is of numbers that repeat.
  void unroll_column(int k, std::int64_t at, std::int64_t n) {
    const Walk& walk = repeated[k].walk;
    const std::int64_t length = walk.inner(), step = walk.strides[0];
    const T* from = operand<const T>(call, k) + at / length * step;
    std::int64_t count = length - at % length;
    for (std::int64_t done = 0; done < n; done += count, count = length, from += step)
      repeat_run(place[k] + done, *from, least(count, n - done));
  }

  // To a row of the output (an index over all axes but the last), and to the one after it.
  void seek_row(std::int64_t at) {
    for (int axis = layout.rank - 2; axis >= 0; --axis) {
      row[axis] = at % layout.dims[axis];
      at /= layout.dims[axis];
    }
    for (int k = 0; k < inputs; ++k) {
      if (!repeats(k)) continue;
      repeated[k].at = 0;
      for (int axis = 0; axis + 1 < layout.rank; ++axis) repeated[k].at += row[axis] * repeated[k].walk.strides[axis];
    }
  }
  void next_row() {
    for (int axis = layout.rank - 2; axis >= 0; --axis) {
      move_rows(axis, 1);
      if (++row[axis] < layout.dims[axis]) return;
      move_rows(axis, -layout.dims[axis]);
      row[axis] = 0;
    }
  }
  bool repeats(int k) const { return !layout.is_full(k) && !layout.is_scalar(k); }
  void move_rows(int axis, std::int64_t by) {
    for (int k = 0; k < inputs; ++k)
      if (repeats(k)) repeated[k].at += by * repeated[k].walk.strides[axis];
  }
};

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
