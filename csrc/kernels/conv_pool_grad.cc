// Gradients of conv2d_bias_relu_pool from the pooled gradient dy and its residual (conv_pool.cc), which say together what the gradient
// dz of the convolution's result is: dz[n, oh, ow, co] = dy[n, oh / 2, ow / 2, co] where the residual is 2 * (oh % 2) + ow % 2, else 0.
//
// conv2d_bias_relu_pool_grad_params: x, dy, residual -> dfilter, dbias. The filter's gradient adds as conv2d_grad_filter does over dz;
//   dbias is the canonical column sum (sum.h) of dz, whose rows are pixels.
// conv2d_bias_relu_pool_grad_input: dy, residual, filter -> dx, as conv2d_grad_input does over dz.
// dz exists for one block at a time, in scratch.
#include "kernels/conv_sparse_input.h"
#include "kernels/operands.h"
#include "kernels/sum.h"
#include "kernels/winograd_filter.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// dz for Winograd's algorithm, which asks for strips of rows.
template <class T>
struct PooledSource {
  PooledGradient<T> g;
  std::int64_t rows, cols;  // of dz
  DenseSource<T> strip(std::int64_t n, std::int64_t row, std::int64_t count, std::int64_t channel, std::int64_t channels, T* room) const {
    const std::int64_t first = clamped(row, 0, rows), last = clamped(row + count, 0, rows);
    const ExpandTo e{channel, channels, channels, channels};
    for (std::int64_t r = first; r < last; ++r) expand_row(g, n, r, cols, e, room + (r - first) * cols * channels);
    return DenseSource<T>{room - (n * rows + first) * cols * channels - channel, rows, cols, channels};
  }
};

// Elements of a strip of kPatch rows.
inline std::int64_t strip_elements(const ConvShape& s) { return kPatch * s.cols.out_size * s.out_channels; }

// sum + the pixels [first, last) of one row of dz, one after the other; zeros are left out. `p` and `codes` point at the row's first cell.
template <class T>
PYNN_INLINE typename Simd<T>::V add_row(typename Simd<T>::V sum, const T* p, const std::uint8_t* codes, std::int64_t channels,
                                        std::int64_t half, std::int64_t first, std::int64_t last, int lanes) {
  const Codes<T> left = code<T>(2 * half), right = code<T>(2 * half + 1);
  if (first % 2 && first < last) {
    const std::int64_t at = first / 2 * channels;
    sum = sum + where_code<T>(load_codes<T>(codes + at, lanes), right, load_lanes<T>(p + at, lanes));
    ++first;
  }
  for (std::int64_t cell = first / 2; cell < last / 2; ++cell) {
    const Codes<T> place = load_codes<T>(codes + cell * channels, lanes);
    sum = sum + select(((place == left) | (place == right)), load_lanes<T>(p + cell * channels, lanes), zero<T>());
  }
  if (last % 2 && first < last) {
    const std::int64_t at = last / 2 * channels;
    sum = sum + where_code<T>(load_codes<T>(codes + at, lanes), left, load_lanes<T>(p + at, lanes));
  }
  return sum;
}

// sums[c] = sum of dz[p, c] over the pixels p of block `block`
template <class T>
void sum_bias_block(const ConvShape& s, const PooledGradient<T>& g, std::int64_t block, T* sums) {
  const std::int64_t last = least(out_pixels(s), (block + 1) * kColumnSumRows);
  for_vectors<T>(g.channels, [&](std::int64_t c, int lanes) {
    typename Simd<T>::V sum = zero<T>();
    for (std::int64_t p = block * kColumnSumRows; p < last;) {
      const std::int64_t row = p / s.cols.out_size, ow = p % s.cols.out_size;
      const std::int64_t row_end = least(s.cols.out_size, ow + last - p);
      const std::int64_t n = row / s.rows.out_size, oh = row % s.rows.out_size;
      const std::int64_t at = (n * g.rows + oh / 2) * g.cols * g.channels + c;
      if (oh / 2 < g.rows)
        sum = add_row<T>(sum, g.dy + at, g.residual + at, g.channels, oh % 2, ow, least(row_end, 2 * g.cols), lanes);
      p += row_end - ow;
    }
    store_lanes<T>(sums + c, sum, lanes);
  });
}

template <class T>
void reduce_bias(const T* sums, std::int64_t blocks, std::int64_t channels, T* dbias) {
  for (std::int64_t c = 0; c < channels; c += Simd<T>::kLanes) {
    const int lanes = lanes_left<T>(channels - c);
    typename Simd<T>::V sum = blocks ? load_lanes<T>(sums + c, lanes) : zero<T>();
    for (std::int64_t b = 1; b < blocks; ++b) sum = sum + load_lanes<T>(sums + b * channels + c, lanes);
    store_lanes<T>(dbias + c, sum, lanes);
  }
}

inline std::int64_t bias_blocks(const ConvShape& s) { return ceil_divide(out_pixels(s), kColumnSumRows); }

// Position in Plan::params: where the sums of the bias start in the workspace, in elements.
constexpr int kBiasParam = 0;

template <class T>
void plan_pooled_filter(const ConvShape& s, Plan* plan) {
  plan_winograd_filter<T>(winograd_filter<T>(s), conv_cost_ns<T>(s), plan);
  plan->scratch_bytes += strip_elements(s) * kSizeOf<T>;
}

template <class T>
bool prepare_grad_params(const Problem* problem, Plan* plan) {
  if (!conv_fits(problem->specs[0], problem->specs[3], problem->ints)) return false;
  const ConvShape s = conv_shape(problem->specs[0], problem->specs[3], problem->ints);
  if (use_winograd<T>(s, problem->ints, false))
    plan_pooled_filter<T>(s, plan);
  else if (prefers_sparse_filter<T>(s)) plan_sparse_filter<T>(sparse_filter<T>(filter_grad<T>(s, GradientIs::kComputed)), plan);
  else plan_filter_grad<T>(filter_grad<T>(s, GradientIs::kComputed), plan);
  plan->params[kBiasParam] = plan->shared_bytes / kSizeOf<T>;
  plan->chunks[1] += 1;  // the bias
  plan->shared_bytes += bias_blocks(s) * s.out_channels * kSizeOf<T>;
  return true;
}

// dbias: blocks in phase 0, shared among its chunks, and their sum in the last chunk of phase 1.
template <class T>
void run_bias(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  T* sums = workspace<T>(call) + call->plan->params[kBiasParam];
  const std::int64_t blocks = bias_blocks(s), chunks = call->plan->chunks[phase];
  if (phase == 1) {
    if (end == chunks) reduce_bias(sums, blocks, s.out_channels, operand<T>(call, 4));
    return;
  }
  const PooledGradient<T> g = pooled_gradient<T>(s, call->data[1], call->data[2]);
  for (std::int64_t b = blocks * begin / chunks; b < blocks * end / chunks; ++b) sum_bias_block(s, g, b, sums + b * s.out_channels);
}

template <class T>
void run_winograd_params(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const WinogradFilter f = winograd_filter<T>(s);
  const DenseSource<T> x = dense_source(operand<const T>(call, 0), input_image(s));
  const PooledSource<T> dy{pooled_gradient<T>(s, call->data[1], call->data[2]), s.rows.out_size, s.cols.out_size};
  run_winograd_filter(f, x, dy, workspace<T>(call), operand<T>(call, 3), phase, begin, end, scratch);
}

template <class T>
void run_grad_params(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const Problem& problem = *call->problem;
  const ConvShape s = conv_shape(problem.specs[0], problem.specs[3], problem.ints);
  run_bias<T>(call, s, phase, begin, end);
  if constexpr (has_winograd<T>())
    if (call->plan->variant == kWinogradVariant) return run_winograd_params<T>(call, s, phase, begin, end, scratch);
  const FilterGrad f = filter_grad<T>(s, GradientIs::kComputed);
  const PooledGradient<T> g = pooled_gradient<T>(s, call->data[1], call->data[2]);
  const T* x = operand<const T>(call, 0);
  T *sums = workspace<T>(call), *dfilter = operand<T>(call, 3);
  const std::int64_t last = least(end, panel_count(f.panels));
  if (call->plan->variant == kSparseVariant) {
    const SparseFilter sparse = sparse_filter<T>(f);
    return phase == 1 ? reduce_sparse_filter(sparse, sums, dfilter, begin, last) : sum_sparse_filter(sparse, g, x, sums, begin, end, scratch);
  }
  if (phase == 1) return reduce_filter_grad(f, sums, dfilter, begin, last);
  sum_filter_grad<T>(f, x, nullptr, sums, begin, end, scratch, [&](const PackedGradient<T>& packed, const Region& block) {
    for (std::int64_t i = packed.panels.first; i < packed.panels.last; ++i) {
      const Panel panel = panel_at(f.panels, i);
      const ExpandTo e{output_column(f.panels, panel), panel.columns, panel.width, panel.width};
      T* to = packed.to + (i - packed.panels.first) * packed.stride;
      for (std::int64_t n = block.image0; n < block.image1; ++n)
        for (std::int64_t r = block.row0; r < block.row1; ++r, to += s.cols.out_size * e.stride) expand_row(g, n, r, s.cols.out_size, e, to);
    }
  });
}

// Images whose edges are done together.
inline std::int64_t edge_images(const ConvShape& s) { return clamped((kSourceBlockBytes / 4) / image_elements(output_image(s)), 1, s.batch); }

// Some rows of one image's dz, all channels; returns the end of them.
template <class T>
T* expand_rows(const PooledGradient<T>& g, const ConvShape& s, std::int64_t n, Range rows, T* dz) {
  const ExpandTo e{0, s.out_channels, s.out_channels, s.out_channels};
  for (std::int64_t r = rows.first; r < rows.last; ++r, dz += s.cols.out_size * e.stride) expand_row(g, n, r, s.cols.out_size, e, dz);
  return dz;
}

template <class T>
bool prepare_pool_grad_input(const Problem* problem, Plan* plan) {
  if (!conv_fits(problem->specs[3], problem->specs[2], problem->ints)) return false;
  const ConvShape s = conv_shape(problem->specs[3], problem->specs[2], problem->ints);
  if (use_winograd<T>(s, problem->ints, true)) {
    const WinogradShape w = winograd_shape<T>(s, true, true);
    plan_winograd<T>(w, conv_cost_ns<T>(s), plan);
    const std::int64_t edges = edge_images(s) * image_elements(output_image(s)), tiles = winograd_room<T>(w) + strip_elements(s);
    plan->scratch_bytes = most(tiles, edges) * kSizeOf<T>;
    return true;
  }
  if (prefers_sparse_input<T>(s)) {
    plan_sparse_input<T>(sparse_input<T>(s), plan);
    return true;
  }
  const bool scatter = use_scatter<T>(s);
  plan_packing<T>(scatter ? scatter_panels<T>(s) : filter_panels<T>(s, true), true, plan);
  const std::int64_t row_bytes = s.cols.out_size * s.out_channels * kSizeOf<T>;
  const BlockRequest blocks{s.batch, s.rows.size, s.rows.stride, image_bytes<T>(output_image(s)), kSourceBlockBytes, conv_cost_ns<T>(s)};
  if (scatter) plan_blocks(blocks, plan);
  else plan_tiles<T>(correlation_of(s, true), filter_panels<T>(s, true), blocks, plan);
  const std::int64_t reached = most_reached(s.rows, plan->params[kBandRows]);
  plan->scratch_bytes = plan->params[kBlockImages] * reached * row_bytes;
  if (scatter) scatter_behind<T>(s, plan);
  return true;
}

template <class T>
void run_winograd_input(const Call* call, const ConvShape& s, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const WinogradShape w = winograd_shape<T>(s, true, true);
  const WinogradFilters<T> filters{operand<const T>(call, 2), true, workspace<T>(call)};
  if (phase == 0) return prepare_filters(w, *call->plan, filters, begin, end);
  const PooledSource<T> source{pooled_gradient<T>(s, call->data[0], call->data[1]), s.rows.out_size, s.cols.out_size};
  const DenseSink<T> sink = dense_sink(operand<T>(call, 3), input_image(s), static_cast<const T*>(nullptr), false);
  winograd_pass(w, *call->plan, source, filters, sink, begin, end, scratch);
  const Pixels<T> to = dense_pixels(sink.base, input_image(s));
  for_each_edge(w, *call->plan, s, true, begin, end, [&](const Correlation& g, const Region& region) {
    const std::int64_t together = edge_images(s);
    for (std::int64_t n = region.image0; n < region.image1; n += together) {
      const Region some{n, least(n + together, region.image1), region.row0, region.row1};
      T* dz = static_cast<T*>(scratch);
      for (std::int64_t i = some.image0; i < some.image1; ++i) dz = expand_rows(source.g, s, i, Range{0, s.rows.out_size}, dz);
      const Pixels<const T> from = dense_pixels(static_cast<const T*>(scratch) - n * image_elements(output_image(s)), output_image(s));
      correlate_panels<T>(g, edge_panels(w), all_panels(w.panels), from, to, edge_filter(w, filters), some, nullptr, false);
    }
  });
}

template <class T>
void run_pool_grad_input(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void* scratch) {
  const Problem& problem = *call->problem;
  const ConvShape s = conv_shape(problem.specs[3], problem.specs[2], problem.ints);
  if constexpr (has_winograd<T>())
    if (call->plan->variant == kWinogradVariant) return run_winograd_input<T>(call, s, phase, begin, end, scratch);
  const PooledGradient<T> g = pooled_gradient<T>(s, call->data[0], call->data[1]);
  T* dx = operand<T>(call, 3);
  if (call->plan->variant == kSparseVariant)
    return run_sparse_input(sparse_input<T>(s), g, operand<const T>(call, 2), dx, call, phase, begin, end, scratch);
  const bool scatter = call->plan->variant == kScatterVariant;
  const Panels panels = scatter ? scatter_panels<T>(s) : filter_panels<T>(s, true);
  T* packed = workspace<T>(call);
  if (phase == 0) return pack_panels(panels, true, operand<const T>(call, 2), packed, begin, end);
  const Pixels<T> out = dense_pixels(dx, input_image(s));
  const Correlation correlation = planned(correlation_of(s, true), *call->plan);
  for_each_part(*call->plan, panels, s.rows.size, begin, end, [&](const Region& region, const Range& span) {
    const Range rows = reached_rows(s.rows, region.row0, region.row1);
    T* dz = static_cast<T*>(scratch);
    for (std::int64_t n = region.image0; n < region.image1; ++n) dz = expand_rows(g, s, n, rows, dz);
    Pixels<const T> source = dense_pixels(static_cast<const T*>(scratch), ImageSize{rows.length(), s.cols.out_size, s.out_channels});
    source.base -= region.image0 * source.image + rows.first * source.row;
    T* room = reinterpret_cast<T*>(static_cast<char*>(scratch) + call->plan->params[kFreeParam]);
    if (scatter) scatter_region<T>(s, source, packed, region, s.cols.size, out, nullptr, false, call->plan->params[kBandRows], room);
    else correlate_panels<T>(correlation, panels, span, source, out, packed, region, nullptr, false);
  });
}

}  // namespace

PYNN_FLOAT_ENTRIES(conv2d_bias_relu_pool_grad_params, prepare_grad_params<T>(problem, plan), run_grad_params<T>(call, phase, begin, end, scratch))
PYNN_FLOAT_ENTRIES(conv2d_bias_relu_pool_grad_input, prepare_pool_grad_input<T>(problem, plan),
                   run_pool_grad_input<T>(call, phase, begin, end, scratch))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(conv2d_bias_relu_pool_grad_params)
PYNN_FLOAT_KERNELS(conv2d_bias_relu_pool_grad_input)
