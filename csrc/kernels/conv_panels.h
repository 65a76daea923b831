// Filters packed in panels: for a block of output columns of one group, [taps][depth][panel width]. Nobody looks at the
// sums of what is behind the last column.
//
// A panel is as wide as the register tile (two vectors), the last one of a group one vector if that is enough.
#pragma once

#include "kernels/conv_shape.h"
#include "kernels/gemm_pack.h"
#include "simd/fold.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kPanelVectors = 2;

// Pixels of a full register tile beside a panel of so many vectors: as many accumulators as hide the latency of fma and leave registers for the panel.
template <int NV>
constexpr int tile_pixels() {
  return NV > 1 ? 6 : kVectorRegisters >= 32 ? 12 : 8;
}

// Columns of one group and what a tile sums over.
struct Panels {
  std::int64_t groups, columns;  // columns of one group
  std::int64_t per_group;        // panels of one group
  std::int64_t depth;            // source channels of one group
  std::int64_t taps;
  std::int64_t lanes;
};

struct Panel {
  std::int64_t group, first_column;  // within the group
  std::int64_t columns, width;       // used and allocated
  std::int64_t offset;               // of its elements in the packed filter
};

template <class T>
Panels panels_of(std::int64_t groups, std::int64_t columns, std::int64_t depth, std::int64_t taps) {
  const std::int64_t width = kPanelVectors * Simd<T>::kLanes;
  return Panels{groups, columns, (columns + width - 1) / width, depth, taps, Simd<T>::kLanes};
}

inline std::int64_t panel_count(const Panels& p) { return p.groups * p.per_group; }
inline Range all_panels(const Panels& p) { return Range{0, panel_count(p)}; }
// Columns of a group with the padding of its last panel.
inline std::int64_t padded_columns(const Panels& p) { return (p.columns + p.lanes - 1) / p.lanes * p.lanes; }
inline std::int64_t packed_size(const Panels& p) { return p.groups * padded_columns(p) * p.taps * p.depth; }

inline Panel panel_at(const Panels& p, std::int64_t index) {
  const std::int64_t width = kPanelVectors * p.lanes;
  Panel panel;
  panel.group = index / p.per_group;
  panel.first_column = index % p.per_group * width;
  panel.columns = least(width, p.columns - panel.first_column);
  panel.width = panel.columns <= p.lanes ? p.lanes : width;
  panel.offset = (panel.group * padded_columns(p) + panel.first_column) * p.taps * p.depth;
  return panel;
}

// packed[tap][ci][j] = filter[tap][ci][group * columns + first_column + j]
template <class T>
void pack_panel(const Panels& p, const Panel& panel, const T* filter, T* packed) {
  const std::int64_t row = p.groups * p.columns;
  const T* from = filter + panel.group * p.columns + panel.first_column;
  T* to = packed + panel.offset;
  for (std::int64_t k = 0; k < p.taps * p.depth; ++k) {
    for (std::int64_t j = 0; j < panel.width; j += Simd<T>::kLanes)
      store<T>(to + j, load_lanes<T>(from + j, lanes_left<T>(panel.columns - j)));
    from += row;
    to += panel.width;
  }
}

// Bits in which so many rows of a filter, `row` elements apart, and their packed form differ. `lanes`: of the last of NV vectors.
template <class T, int NV>
PYNN_INLINE typename Simd<T>::M difference(const T* filter, std::int64_t row, const T* packed, std::int64_t rows, int lanes) {
  constexpr int kLanes = Simd<T>::kLanes;
  typename Simd<T>::M bits = bits_of(zero<T>());
  for (std::int64_t d = 0; d < rows; ++d, filter += row, packed += NV * kLanes) {
    PYNN_UNROLL
    for (int v = 0; v < NV; ++v)
      bits = bits | (bits_of(load_lanes<T>(filter + v * kLanes, v + 1 < NV ? kLanes : lanes)) ^ bits_of(load<T>(packed + v * kLanes)));
  }
  return bits;
}

// Whether pack_panel would change nothing, not a bit.
template <class T, int NV>
bool holds_rows(const Panels& p, const Panel& panel, const T* filter, const T* packed) {
  constexpr int kLanes = Simd<T>::kLanes;
  const std::int64_t row = p.groups * p.columns, rows = p.depth;  // of one tap at a time: a filter that has changed is found out early
  const T* from = filter + panel.group * p.columns + panel.first_column;
  const T* held = packed + panel.offset;
  const int lanes = static_cast<int>(panel.columns) - (NV - 1) * kLanes;
  for (std::int64_t tap = 0; tap < p.taps; ++tap, from += rows * row, held += rows * NV * kLanes) {
    const typename Simd<T>::M bits = lanes == kLanes ? difference<T, NV>(from, row, held, rows, kLanes) : difference<T, NV>(from, row, held, rows, lanes);
    const typename Simd<T>::M changed = bits != bits_of(zero<T>());
    if (first_lane(changed) < kLanes) return false;
  }
  return true;
}
template <class T>
bool holds_panel(const Panels& p, const Panel& panel, const T* filter, const T* packed) {
  return panel.width == Simd<T>::kLanes ? holds_rows<T, 1>(p, panel, filter, packed) : holds_rows<T, kPanelVectors>(p, panel, filter, packed);
}

// For the input gradient, whose columns are input channels and whose depth is output channels:
// packed[tap][co][j] = filter[taps - 1 - tap][first_column + j][group * depth + co]
template <class T>
void pack_panel_adjoint(const Panels& p, const Panel& panel, const T* filter, T* packed) {
  const std::int64_t row = p.groups * p.depth;
  T* to = packed + panel.offset;
  for (std::int64_t tap = p.taps - 1; tap >= 0; --tap, to += p.depth * panel.width) {
    const T* from = filter + (tap * p.columns + panel.first_column) * row + panel.group * p.depth;
    pack_columns(from, row, p.depth, static_cast<int>(panel.columns), static_cast<int>(panel.width), to);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
