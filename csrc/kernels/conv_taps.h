// Which taps of the filter meet the input, for runs of output positions that all see the same ones.
//
// Padding, strides, dilation and the input gradient are all the same question for one axis: output position -> list of
// (tap, source position). Positions that agree form a TapClass, an arithmetic progression; the pixels of a row class x a
// column class share one list of segments, in every image, so borders are clipped exactly and nothing is padded or multiplied by zero.
#pragma once

#include "kernels/conv_correlate.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

inline std::int64_t source_size(const TapAxis& axis) { return axis.adjoint ? axis.window.out_size : axis.window.size; }
inline std::int64_t position_step(const TapAxis& axis) { return axis.adjoint ? axis.window.stride : 1; }

inline std::int64_t common_divisor(std::int64_t a, std::int64_t b) {
  while (b) {
    const std::int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// The source position that tap `tap` reads at `position`, or -1.
inline std::int64_t tap_source(const TapAxis& axis, std::int64_t position, std::int64_t tap) {
  const WindowAxis& w = axis.window;
  if (!axis.adjoint) {
    const std::int64_t source = position * w.stride - w.pad + tap * w.dilation;
    return source >= 0 && source < w.size ? source : -1;
  }
  const std::int64_t strided = position + w.pad - (w.window - 1 - tap) * w.dilation;
  if (strided < 0 || strided % w.stride) return -1;
  return strided / w.stride < w.out_size ? strided / w.stride : -1;
}

struct TapRange {
  std::int64_t first, last;  // -1, -1: none
};

inline TapRange tap_range(const TapAxis& axis, std::int64_t position) {
  TapRange range{0, axis.window.window - 1};
  while (range.first < axis.window.window && tap_source(axis, position, range.first) < 0) ++range.first;
  if (range.first == axis.window.window) return TapRange{-1, -1};
  while (tap_source(axis, position, range.last) < 0) --range.last;
  return range;
}

// Positions first_position + i * position_step (i < count) read source first_source + i * source_step + j * tap_source_step
// through tap first_tap + j * tap_step (j < taps).
struct TapClass {
  std::int64_t first_position, position_step, count;
  std::int64_t first_source, source_step;
  std::int64_t first_tap, tap_step, taps, tap_source_step;
};

inline bool same_range(TapRange a, TapRange b) { return a.first == b.first && a.last == b.last; }

// The class that starts at `position` and stays below `end`.
inline TapClass tap_class(const TapAxis& axis, std::int64_t position, std::int64_t end) {
  const WindowAxis& w = axis.window;
  const TapRange range = tap_range(axis, position);
  const std::int64_t step = position_step(axis);
  const std::int64_t left = (end - position + step - 1) / step;
  TapClass c{position, step, 1, 0, axis.adjoint ? 1 : w.stride, range.first, 1, 0, w.dilation};
  // Ranges only move one way along the axis: equal at both ends means equal in between (where there is any tap).
  if (range.first >= 0 && same_range(range, tap_range(axis, position + (left - 1) * step))) c.count = left;
  while (c.count < left && same_range(range, tap_range(axis, position + c.count * step))) ++c.count;
  if (range.first < 0) return c;
  const std::int64_t divisor = axis.adjoint ? common_divisor(w.stride, w.dilation) : w.dilation;
  if (axis.adjoint) {
    c.tap_step = w.stride / divisor;
    c.tap_source_step = w.dilation / divisor;
  }
  c.taps = (range.last - range.first) / c.tap_step + 1;
  c.first_source = tap_source(axis, position, range.first);
  return c;
}

// The positions in [begin, end) that see one tap, as a class of this tap alone; count 0: none does.
inline TapClass seen_through(const TapAxis& axis, std::int64_t tap, std::int64_t begin, std::int64_t end) {
  const std::int64_t step = position_step(axis);
  TapClass c{begin, step, 0, 0, axis.adjoint ? 1 : axis.window.stride, tap, 1, 1, 1};
  while (c.first_position < end && tap_source(axis, c.first_position, tap) < 0) ++c.first_position;
  if (c.first_position >= end) return c;
  c.first_source = tap_source(axis, c.first_position, tap);
  while (c.first_position + c.count * step < end && tap_source(axis, c.first_position + c.count * step, tap) >= 0) ++c.count;
  return c;
}

// visit(TapClass) for classes that together cover the positions [begin, end).
template <class Visit>
PYNN_INLINE void for_each_class(const TapAxis& axis, std::int64_t begin, std::int64_t end, Visit visit) {
  const std::int64_t step = position_step(axis);
  for (std::int64_t lane = 0; lane < step && begin + lane < end; ++lane) {
    std::int64_t position = begin + lane;
    while (position < end) {
      const TapClass c = tap_class(axis, position, end);
      visit(c);
      position += c.count * step;
    }
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
