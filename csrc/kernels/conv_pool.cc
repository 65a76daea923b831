// conv2d_bias_relu_pool: 2 x 2 maximum (stride 2, whole windows only) over max(conv2d(x, filter) + bias, 0).
//
// Operands x, filter, bias, then y (batch, oh / 2, ow / 2, out_channels) and the residual that the gradient reads, one byte for
// each y: the number 0..3 of the largest value in its window, or 4 where relu let nothing through. The full-size result lives in
// scratch only, a panel of a block at a time.
#include "kernels/conv_scatter.h"
#include "kernels/operands.h"
#include "kernels/winograd.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kScratchShare = 4;  // a block's scratch may take this fraction of what its source may
constexpr std::int64_t kDead = 4;

inline std::int64_t whole(std::int64_t positions) { return positions / 2 * 2; }

inline Correlation pooled_correlation(const ConvShape& s) {
  Correlation g = correlation_of(s, false);
  g.last_column = whole(s.cols.out_size);
  return g;
}

template <class T>
std::int64_t panel_row_bytes(const ConvShape& s) {
  return whole(s.cols.out_size) * kPanelVectors * Simd<T>::kLanes * kSizeOf<T>;
}

// What the tiles leave out is no whole window, so there are no edges.
template <class T>
WinogradShape pooled_shape(const ConvShape& s) {
  WinogradShape w = winograd_shape<T>(s, false, true);
  w.rows = w.main_rows;
  w.cols = w.main_cols;
  return w;
}

template <class T>
bool prepare_conv_pool(const Problem* problem, Plan* plan) {
  if (!conv_fits(problem->specs[0], problem->specs[1], problem->ints)) return false;
  const ConvShape s = conv_shape(problem->specs[0], problem->specs[1], problem->ints);
  const std::int64_t rows = whole(s.rows.out_size);
  if (use_winograd<T>(s, problem->ints, false)) {
    plan_winograd<T>(pooled_shape<T>(s), conv_cost_ns<T>(s), plan);
    keep_filters<T>(pooled_shape<T>(s), plan);
    return true;
  }
  const bool scatter = use_scatter<T>(scattered(s, false));
  plan_packing<T>(scatter ? scatter_panels<T>(scattered(s, false)) : filter_panels<T>(s, false), scatter, plan);
  const std::int64_t read_again = most(image_bytes<T>(input_image(s)), kScratchShare * rows * panel_row_bytes<T>(s));
  const BlockRequest blocks{s.batch, rows, 2, read_again, kSourceBlockBytes, conv_cost_ns<T>(s)};
  if (scatter) plan_blocks(blocks, plan);
  else plan_tiles<T>(pooled_correlation(s), filter_panels<T>(s, false), blocks, plan);
  plan->scratch_bytes = plan->params[kBlockImages] * plan->params[kBandRows] * panel_row_bytes<T>(s);
  if (scatter) scatter_behind<T>(scattered(s, false), plan);
  return true;
}

template <class T>
PYNN_INLINE void store_pooled(const Largest<T>& best, int lanes, T* y, std::uint8_t* residual) {
  const Codes<T> alive = best.value > zero<T>();
  store_lanes<T>(y, vmax(best.value, zero<T>()), lanes);
  store_codes<T>(residual, select(alive, best.at, code<T>(kDead)), lanes);
}

// One pooled row from two rows of scratch.
template <class T>
void pool_row(const T* upper, const T* lower, std::int64_t width, std::int64_t columns, std::int64_t pooled, std::int64_t channels, T* y,
              std::uint8_t* residual) {
  for (std::int64_t p = 0; p < pooled; ++p, upper += 2 * width, lower += 2 * width, y += channels, residual += channels)
    for_vectors<T>(columns, [&](std::int64_t j, int lanes) {
      const Largest<T> best = largest_of_four<T>(load<T>(upper + j), load<T>(upper + width + j), load<T>(lower + j),
                                                 load<T>(lower + width + j));
      store_pooled<T>(best, lanes, y + j, residual + j);
    });
}

template <class T>
struct PooledOutput {
  T* y;
  std::uint8_t* residual;
};

template <class T>
void pool_block(const ConvShape& s, const Region& region, const Panel& panel, std::int64_t column, const T* scratch,
                const PooledOutput<T>& out) {
  const std::int64_t row = whole(s.cols.out_size) * panel.width;
  const std::int64_t pooled_rows = s.rows.out_size / 2, pooled_cols = s.cols.out_size / 2;
  for (std::int64_t n = region.image0; n < region.image1; ++n)
    for (std::int64_t r = region.row0; r < region.row1; r += 2, scratch += 2 * row) {
      const std::int64_t at = ((n * pooled_rows + r / 2) * pooled_cols) * s.out_channels + column;
      pool_row(scratch, scratch + row, panel.width, panel.columns, pooled_cols, s.out_channels, out.y + at, out.residual + at);
    }
}

// The 2 x 2 pooled cells of a Winograd tile.
template <class T>
struct PoolSink {
  PooledOutput<T> out;
  std::int64_t rows, cols, channels;  // pooled
  const T* bias;
  PYNN_INLINE void write(const WinogradTile& tile, std::int64_t column, int lanes, const typename Simd<T>::V* y) const {
    const Epilogue<T> e{bias + column, false, lanes};
    for (std::int64_t i = 0; i < 2 && tile.row / 2 + i < rows; ++i)
      for (std::int64_t j = 0; j < 2 && tile.col / 2 + j < cols; ++j) {
        const typename Simd<T>::V* corner = y + 2 * (i * kOutputs + j);
        const std::int64_t at = ((tile.image * rows + tile.row / 2 + i) * cols + tile.col / 2 + j) * channels + column;
        const Largest<T> best = largest_of_four<T>(finish<T>(corner[0], e, 0, lanes), finish<T>(corner[1], e, 0, lanes),
                                                   finish<T>(corner[kOutputs], e, 0, lanes), finish<T>(corner[kOutputs + 1], e, 0, lanes));
        store_pooled<T>(best, lanes, out.y + at, out.residual + at);
      }
  }
};

template <class T>
void run_winograd(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch,
                  const PooledOutput<T>& out) {
  const WinogradShape w = pooled_shape<T>(s);
  const WinogradFilters<T> filters{operand<const T>(call, 1), false, workspace<T>(call)};
  if (phase == 0) return prepare_filters(w, *call->plan, filters, begin, end);
  const DenseSource<T> source = dense_source(operand<const T>(call, 0), input_image(s));
  const PoolSink<T> sink{out, s.rows.out_size / 2, s.cols.out_size / 2, s.out_channels, operand<const T>(call, 2)};
  winograd_pass(w, *call->plan, source, filters, sink, begin, end, scratch);
}

template <class T>
void run_conv_pool(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const Problem& problem = *call->problem;
  const ConvShape s = conv_shape(problem.specs[0], problem.specs[1], problem.ints);
  const PooledOutput<T> pooled{operand<T>(call, 3), operand<std::uint8_t>(call, 4)};
  if constexpr (has_winograd<T>())
    if (call->plan->variant == kWinogradVariant) return run_winograd(call, s, phase, begin, end, scratch, pooled);
  const Panels panels = filter_panels<T>(s, false);
  const T* filter = operand<const T>(call, 1);
  const T* bias = operand<const T>(call, 2);
  const bool scatter = call->plan->variant == kScatterVariant;
  if (phase == 0 && scatter) return pack_scattered(s, false, filter, workspace<T>(call), begin, end);
  if (phase == 0) return pack_panels(panels, false, filter, workspace<T>(call), begin, end);
  const T* packed = call->plan->chunks[0] ? workspace<const T>(call) : filter;
  const Correlation g = planned(pooled_correlation(s), *call->plan);
  const Pixels<const T> source = dense_pixels(operand<const T>(call, 0), input_image(s));
  for_each_part(*call->plan, panels, whole(s.rows.out_size), begin, end, [&](const Region& region, const Range& span) {
    for (std::int64_t i = span.first; i < span.last; ++i) {
      const Panel panel = panel_at(panels, i);
      Pixels<T> to = dense_pixels(static_cast<T*>(scratch), ImageSize{region.row1 - region.row0, g.last_column, panel.width});
      to.base -= region.image0 * to.image + region.row0 * to.row;
      T* room = reinterpret_cast<T*>(static_cast<char*>(scratch) + call->plan->params[kFreeParam]);
      if (scatter) scatter_region<T>(scattered(s, false), source, packed, region, g.last_column, to, bias, false, call->plan->params[kBandRows], room);
      else correlate_span<T>(g, panels, Range{i, i + 1}, source, to, packed, region, bias, false);
      pool_block(s, region, panel, output_column(panels, panel), static_cast<const T*>(scratch), pooled);
    }
  });
}

}  // namespace

PYNN_FLOAT_ENTRIES(conv2d_bias_relu_pool, prepare_conv_pool<T>(problem, plan), run_conv_pool<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(conv2d_bias_relu_pool)
