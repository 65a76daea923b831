// U, the transformed filter of Winograd's algorithm: where it lies, how it is computed, and when it may be kept.
#pragma once

#include "kernels/cache.h"
#include "kernels/winograd_shape.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// The filter of a pass, turned round and transposed in the input gradient (pack_panel_adjoint). In `room` lies U, unless that is far,
// and behind it the packed filter if there are edges, or if both are kept for the next run.
template <class T>
struct WinogradFilters {
  const T* filter;
  bool adjoint;
  T* room;
};

// U[panel][36][depth][width], with padding behind each plane.
inline std::int64_t points_plane(const Panel& panel, std::int64_t depths) { return depths * panel.width + kPadding; }
inline std::int64_t points_offset(const WinogradShape& w, const Panel& panel) {
  return panel.offset + panel.first_column / (kPanelVectors * w.panels.lanes) * kPoints * kPadding;
}
inline std::int64_t points_size(const WinogradShape& w) {
  return is_far(w) ? 0 : packed_size(w.panels) + panel_count(w.panels) * kPoints * kPadding;
}
// Elements of a few depths' points, where those of the whole filter have no place.
template <class T>
std::int64_t depths_room(const WinogradShape& w) {
  return is_far(w) ? kPoints * (kDepths * kPanelVectors * Simd<T>::kLanes + kPadding) : 0;
}

// The filter's panels for the edges.
inline Panels edge_panels(const WinogradShape& w) {
  Panels panels = w.panels;
  panels.taps = 9;
  return panels;
}
template <class T>
T* edge_filter(const WinogradShape& w, const WinogradFilters<T>& f) {
  return f.room + points_size(w);
}
template <class T>
std::int64_t filters_bytes(const WinogradShape& w, bool packed_too) {
  return (points_size(w) + (packed_too ? packed_size(edge_panels(w)) : 0)) * kSizeOf<T>;
}

// rows[tap][d][j] = the filter's tap of the depths [first, first + count), in the columns of a panel, turned round and transposed.
template <class T>
void gather_taps(const Panels& p, const Panel& panel, const T* filter, std::int64_t first, std::int64_t count, T* rows) {
  for (int tap = 0; tap < 9; ++tap, rows += count * panel.width)
    pack_columns(filter + ((8 - tap) * p.columns + panel.first_column) * p.depth + first, p.depth, count, static_cast<int>(panel.columns),
                 static_cast<int>(panel.width), rows);
}

constexpr std::int64_t kAheadRows = 16;  // of a filter, whose rows are as far apart as it has columns: no hardware prefetcher foresees them

// Taps of some depths: elements from tap to tap, from depth to depth, and to what is asked for with each of them.
template <class T>
struct FilterTaps {
  const T* base;
  std::int64_t step, row, ahead;
};

// to[point * plane + d * width + j] for d < count
template <class T>
void transform_taps(const FilterTaps<T>& taps, std::int64_t count, std::int64_t columns, std::int64_t width, T* to, std::int64_t plane) {
  const T* from = taps.base;
  for (std::int64_t d = 0; d < count; ++d, from += taps.row, to += width)
    for (std::int64_t j = 0; j < width; j += Simd<T>::kLanes) {
      const int lanes = lanes_left<T>(columns - j);
      typename Simd<T>::V g[9], points[kPoints];
      PYNN_UNROLL
      for (int tap = 0; tap < 9; ++tap) {
        g[tap] = load_lanes<T>(from + tap * taps.step + j, lanes);
        prefetch<Use::kRead>(from + tap * taps.step + j + taps.ahead);
      }
      transform_square<T, FilterLine>(g, points);
      store_points<T>(points, to + j, plane);
    }
}

// The same of the depths [first, first + count) of a panel, count <= kDepths.
template <class T>
void transform_depths(const Panels& p, const Panel& panel, const WinogradFilters<T>& f, std::int64_t first, std::int64_t count, T* to,
                      std::int64_t plane) {
  if (!f.adjoint) {
    const FilterTaps<T> taps{f.filter + first * p.columns + panel.first_column, p.depth * p.columns, p.columns, kAheadRows * p.columns};
    return transform_taps(taps, count, panel.columns, panel.width, to, plane);
  }
  alignas(kAlignment) T rows[9 * kDepths * kPanelVectors * Simd<T>::kLanes];
  gather_taps(p, panel, f.filter, first, count, rows);
  transform_taps(FilterTaps<T>{rows, count * panel.width, panel.width, 0}, count, panel.width, panel.width, to, plane);
}

// U of the panels [begin, end).
template <class T>
void transform_panels(const WinogradShape& w, const WinogradFilters<T>& f, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const Panel panel = panel_at(w.panels, i);
    T* to = f.room + points_offset(w, panel);
    for (std::int64_t d = 0; d < w.channels; d += kDepths)
      transform_depths(w.panels, panel, f, d, least(kDepths, w.channels - d), to + d * panel.width, points_plane(panel, w.channels));
  }
}

// U and the packed filter of the panels [begin, end), if they are not there from the last run.
template <class T>
void renew_panels(const WinogradShape& w, const WinogradFilters<T>& f, std::int64_t begin, std::int64_t end) {
  const Panels panels = edge_panels(w);
  T* packed = edge_filter(w, f);
  for (std::int64_t i = begin; i < end; ++i) {
    if (holds_panel(panels, panel_at(panels, i), f.filter, packed)) continue;
    pack_panel(panels, panel_at(panels, i), f.filter, packed);
    transform_panels(w, f, i, i + 1);
  }
}

// Phase 0 of a pass: chunks for U, then for the edges.
inline std::int64_t filter_chunks(const WinogradShape& w) { return panel_count(w.panels) * ((is_far(w) ? 0 : 1) + (has_edges(w) ? 1 : 0)); }

// Forward passes, whose filter is operand 1, can keep it: U stands as long as the packed filter is the filter. (Zeros, as such memory begins,
// are what is made of zeros.)
template <class T>
void keep_filters(const WinogradShape& w, Plan* plan) {
  if (is_far(w)) return;
  plan->kept_bytes = filters_bytes<T>(w, true);
  plan->kept_operand = 1;
}

// Chunks [begin, end) of phase 0.
template <class T>
void prepare_filters(const WinogradShape& w, const Plan& plan, const WinogradFilters<T>& f, std::int64_t begin, std::int64_t end) {
  const std::int64_t panels = is_far(w) ? 0 : panel_count(w.panels);
  if (plan.keeps) return renew_panels(w, f, begin, least(end, panels));
  transform_panels(w, f, begin, least(end, panels));
  if (end > panels) pack_panels(edge_panels(w), f.adjoint, f.filter, edge_filter(w, f), most(begin, panels) - panels, end - panels);
}

// U of a panel, in the channels of a slice of V: from the pass's first phase, or computed into `room`.
template <class T>
struct Points {
  const T* base;
  std::int64_t plane;
};

template <class T>
Points<T> points_of(const WinogradShape& w, const Panel& panel, const WinogradFilters<T>& f, std::int64_t first, std::int64_t count, T* room) {
  if (!is_far(w)) return Points<T>{f.room + points_offset(w, panel), points_plane(panel, w.channels)};
  transform_depths(w.panels, panel, f, first, count, room, points_plane(panel, count));
  return Points<T>{room, points_plane(panel, count)};
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
