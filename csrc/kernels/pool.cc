// Pooling over NHWC images.
//
// max_pool2d: y[n, oh, ow, c] = the largest x in the window, argmax = its number within the whole window (row by row, the first
//   of equals), one byte. Operands x, y, argmax.
// max_pool2d_grad: dx[n, ih, iw, c] = sum of dy over the windows whose argmax is this position. Operands dy, argmax, dx.
// max_pool2d_take: y[n, oh, ow, c] = x at the argmax, the gradient of max_pool2d_grad. Operands x, argmax, y.
// average_pool2d: y = mean of x over the positions of the window that exist. average_pool2d_grad: dx = sum of dy / count over the
//   windows of a position. Windows are added row by row.
#include "kernels/operands.h"
#include "kernels/pool_windows.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kLargestByteWindow = 255;
constexpr std::int64_t kPoolChunks = 64;

// One chunk is a range of rows of all images (output rows of a pool, input rows of a gradient).
inline void plan_rows(std::int64_t rows, std::int64_t bytes, Plan* plan) {
  plan->cost_ns = streaming_ns(bytes, 2);
  plan->params[0] = rows;
  plan->chunks[0] = rows == 0 ? 0 : clamped(bytes >> 15, 1, least(kPoolChunks, rows));
}

inline Range chunk_rows(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t rows = call->plan->params[0], chunks = call->plan->chunks[0];
  return Range{rows * begin / chunks, rows * end / chunks};
}

// Whether all operands but x have the pooled shape.
inline bool pooled_alike(const Problem& problem, const Spec& x, const PoolShape& s) {
  const std::int64_t dims[4] = {s.batch, s.rows.out_size, s.cols.out_size, s.channels};
  for (int k = 0; k < problem.num_inputs + problem.num_outputs; ++k) {
    const Spec& spec = problem.specs[k];
    if (spec.rank != 4) return false;
    for (int axis = 0; axis < 4 && &spec != &x; ++axis)
      if (spec.dims[axis] != dims[axis]) return false;
  }
  return true;
}

template <class T>
bool prepare_pool(const Problem* problem, Plan* plan, const Spec& x, std::int64_t rows, bool bytes_argmax) {
  if (!window_fits(x.dims, 4) || !window_fits(problem->ints, kPoolRight + 1)) return false;
  const PoolShape s = pool_shape(x, problem->ints);
  plan_rows(s.batch * rows, x.size * kSizeOf<T>, plan);
  return pooled_alike(*problem, x, s) && (!bytes_argmax || s.rows.window * s.cols.window <= kLargestByteWindow);
}

// ---- maximum ------------------------------------------------------------------------------------------------------

template <class T>
void max_window(const PoolShape& s, const T* image, std::int64_t oh, std::int64_t ow, T* y, std::uint8_t* argmax) {
  const Range rows = window_span(s.rows, oh), cols = window_span(s.cols, ow);
  const std::int64_t row0 = oh * s.rows.stride - s.rows.pad, col0 = ow * s.cols.stride - s.cols.pad;
  for_vectors<T>(s.channels, [&](std::int64_t c, int lanes) {
    typename Simd<T>::V best = load_lanes<T>(image + (rows.first * s.cols.size + cols.first) * s.channels + c, lanes);
    Codes<T> best_at = code<T>((rows.first - row0) * s.cols.window + cols.first - col0);
    for (std::int64_t h = rows.first; h < rows.last; ++h)
      for (std::int64_t w = cols.first; w < cols.last; ++w)
        take_larger<T>(best, best_at, load_lanes<T>(image + (h * s.cols.size + w) * s.channels + c, lanes),
                       code<T>((h - row0) * s.cols.window + w - col0));
    store_lanes<T>(y + c, best, lanes);
    store_codes<T>(argmax + c, best_at, lanes);
  });
}

// A 2 x 2 window that lies in the image.
template <class T>
void max_square(const PoolShape& s, const T* corner, T* y, std::uint8_t* argmax) {
  const T* below = corner + s.cols.size * s.channels;
  for_vectors<T>(s.channels, [&](std::int64_t c, int lanes) {
    const Largest<T> best = largest_of_four<T>(load_lanes<T>(corner + c, lanes), load_lanes<T>(corner + s.channels + c, lanes),
                                               load_lanes<T>(below + c, lanes), load_lanes<T>(below + s.channels + c, lanes));
    store_lanes<T>(y + c, best.value, lanes);
    store_codes<T>(argmax + c, best.at, lanes);
  });
}

template <class T>
void run_max(const Call* call, std::int64_t begin, std::int64_t end) {
  const PoolShape s = pool_shape(call->problem->specs[0], call->problem->ints);
  const Range range = chunk_rows(call, begin, end);
  const T* x = operand<const T>(call, 0);
  const bool squares = s.rows.window == 2 && s.cols.window == 2 && inside(s.rows) && inside(s.cols);
  for (std::int64_t row = range.first; row < range.last; ++row) {
    const T* image = x + row / s.rows.out_size * s.rows.size * s.cols.size * s.channels;
    const std::int64_t oh = row % s.rows.out_size;
    const T* corner = image + oh * s.rows.stride * s.cols.size * s.channels;
    for (std::int64_t ow = 0; ow < s.cols.out_size; ++ow, corner += s.cols.stride * s.channels) {
      T* y = operand<T>(call, 1) + (row * s.cols.out_size + ow) * s.channels;
      std::uint8_t* argmax = operand<std::uint8_t>(call, 2) + (row * s.cols.out_size + ow) * s.channels;
      if (squares) max_square(s, corner, y, argmax);
      else max_window(s, image, oh, ow, y, argmax);
    }
  }
}

// One input row of the gradient where windows may overlap.
template <class T>
void max_grad_row(const PoolShape& s, const T* dy, const std::uint8_t* argmax, std::int64_t ih, T* dx) {
  const Range rows = windows_over(s.rows, ih);
  for (std::int64_t iw = 0; iw < s.cols.size; ++iw, dx += s.channels) {
    const Range cols = windows_over(s.cols, iw);
    for_vectors<T>(s.channels, [&](std::int64_t c, int lanes) {
      typename Simd<T>::V sum = zero<T>();
      for (std::int64_t oh = rows.first; oh < rows.last; ++oh)
        for (std::int64_t ow = cols.first; ow < cols.last; ++ow) {
          const std::int64_t at = (oh * s.cols.out_size + ow) * s.channels + c;
          const std::int64_t place = (ih + s.rows.pad - oh * s.rows.stride) * s.cols.window + iw + s.cols.pad - ow * s.cols.stride;
          sum = sum + where_code<T>(load_codes<T>(argmax + at, lanes), code<T>(place), load_lanes<T>(dy + at, lanes));
        }
      store_lanes<T>(dx + c, sum, lanes);
    });
  }
}

// One input row of a gradient where a position is in one window at most and the first window starts at the edge: write(oh, ow,
// number of the position in its window, dx) where there is a window, zeros elsewhere.
template <class T, class Write>
PYNN_INLINE void tiled_row(const PoolShape& s, std::int64_t ih, T* dx, Write write) {
  const std::int64_t oh = ih / s.rows.stride, kh = ih % s.rows.stride;
  const bool covered = oh < s.rows.out_size && kh < s.rows.window;
  std::int64_t ow = 0, kw = 0;
  for (std::int64_t iw = 0; iw < s.cols.size; ++iw, dx += s.channels) {
    if (covered && ow < s.cols.out_size && kw < s.cols.window) write(oh, ow, kh * s.cols.window + kw, dx);
    else std::memset(static_cast<void*>(dx), 0, static_cast<std::size_t>(s.channels) * sizeof(T));
    if (++kw < s.cols.stride) continue;
    kw = 0;
    ++ow;
  }
}

template <class T>
void max_grad_tiled_row(const PoolShape& s, const T* dy, const std::uint8_t* argmax, std::int64_t ih, T* dx) {
  tiled_row(s, ih, dx, [&](std::int64_t oh, std::int64_t ow, std::int64_t place, T* to) {
    const std::int64_t at = (oh * s.cols.out_size + ow) * s.channels;
    for_vectors<T>(s.channels, [&](std::int64_t c, int lanes) {
      const typename Simd<T>::V d = load_lanes<T>(dy + at + c, lanes);
      store_lanes<T>(to + c, where_code<T>(load_codes<T>(argmax + at + c, lanes), code<T>(place), d), lanes);
    });
  });
}

inline bool tiled(const WindowAxis& axis) { return axis.window <= axis.stride && axis.pad == 0; }

template <class T>
void run_max_grad(const Call* call, std::int64_t begin, std::int64_t end) {
  const PoolShape s = pool_shape(call->problem->specs[2], call->problem->ints);
  const Range range = chunk_rows(call, begin, end);
  for (std::int64_t row = range.first; row < range.last; ++row) {
    const std::int64_t image = row / s.rows.size * s.rows.out_size * s.cols.out_size * s.channels;
    const T* dy = operand<const T>(call, 0) + image;
    const std::uint8_t* argmax = operand<const std::uint8_t>(call, 1) + image;
    T* dx = operand<T>(call, 2) + row * s.cols.size * s.channels;
    if (tiled(s.rows) && tiled(s.cols)) max_grad_tiled_row(s, dy, argmax, row % s.rows.size, dx);
    else max_grad_row(s, dy, argmax, row % s.rows.size, dx);
  }
}

template <class T>
void take_window(const PoolShape& s, const T* image, std::int64_t oh, std::int64_t ow, const std::uint8_t* argmax, T* y) {
  const std::int64_t row0 = oh * s.rows.stride - s.rows.pad, col0 = ow * s.cols.stride - s.cols.pad;
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t h = row0 + argmax[c] / s.cols.window, w = col0 + argmax[c] % s.cols.window;
    const bool exists = h >= 0 && h < s.rows.size && w >= 0 && w < s.cols.size;
    y[c] = exists && argmax[c] < s.rows.window * s.cols.window ? image[(h * s.cols.size + w) * s.channels + c] : T(0);
  }
}

template <class T>
void run_take(const Call* call, std::int64_t begin, std::int64_t end) {
  const PoolShape s = pool_shape(call->problem->specs[0], call->problem->ints);
  const Range range = chunk_rows(call, begin, end);
  for (std::int64_t row = range.first; row < range.last; ++row) {
    const T* image = operand<const T>(call, 0) + row / s.rows.out_size * s.rows.size * s.cols.size * s.channels;
    for (std::int64_t ow = 0; ow < s.cols.out_size; ++ow) {
      const std::int64_t at = (row * s.cols.out_size + ow) * s.channels;
      take_window(s, image, row % s.rows.out_size, ow, operand<const std::uint8_t>(call, 1) + at,
                  operand<T>(call, 2) + at);
    }
  }
}

// ---- mean ---------------------------------------------------------------------------------------------------------

template <class T>
void average_window(const PoolShape& s, const T* image, Range rows, Range cols, T* y) {
  const typename Simd<T>::V count = broadcast(static_cast<T>(rows.length() * cols.length()));
  for_vectors<T>(s.channels, [&](std::int64_t c, int lanes) {
    typename Simd<T>::V sum = zero<T>();
    for (std::int64_t h = rows.first; h < rows.last; ++h)
      for (std::int64_t w = cols.first; w < cols.last; ++w)
        sum = sum + load_lanes<T>(image + (h * s.cols.size + w) * s.channels + c, lanes);
    store_lanes<T>(y + c, sum / count, lanes);
  });
}

template <class T>
void run_average(const Call* call, std::int64_t begin, std::int64_t end) {
  const PoolShape s = pool_shape(call->problem->specs[0], call->problem->ints);
  const Range range = chunk_rows(call, begin, end);
  for (std::int64_t row = range.first; row < range.last; ++row) {
    const T* image = operand<const T>(call, 0) + row / s.rows.out_size * s.rows.size * s.cols.size * s.channels;
    T* y = operand<T>(call, 1) + row * s.cols.out_size * s.channels;
    for (std::int64_t ow = 0; ow < s.cols.out_size; ++ow, y += s.channels)
      average_window(s, image, window_span(s.rows, row % s.rows.out_size), window_span(s.cols, ow), y);
  }
}

template <class T>
void average_grad_row(const PoolShape& s, const T* dy, std::int64_t ih, T* dx) {
  const Range rows = windows_over(s.rows, ih);
  for (std::int64_t iw = 0; iw < s.cols.size; ++iw, dx += s.channels) {
    const Range cols = windows_over(s.cols, iw);
    for_vectors<T>(s.channels, [&](std::int64_t c, int lanes) {
      typename Simd<T>::V sum = zero<T>();
      for (std::int64_t oh = rows.first; oh < rows.last; ++oh)
        for (std::int64_t ow = cols.first; ow < cols.last; ++ow) {
          const std::int64_t count = window_span(s.rows, oh).length() * window_span(s.cols, ow).length();
          sum = sum + load_lanes<T>(dy + (oh * s.cols.out_size + ow) * s.channels + c, lanes) / broadcast(static_cast<T>(count));
        }
      store_lanes<T>(dx + c, sum, lanes);
    });
  }
}

template <class T>
void average_grad_tiled_row(const PoolShape& s, const T* dy, std::int64_t ih, T* dx) {
  tiled_row(s, ih, dx, [&](std::int64_t oh, std::int64_t ow, std::int64_t, T* to) {
    const T count = static_cast<T>(window_span(s.rows, oh).length() * window_span(s.cols, ow).length());
    const T* d = dy + (oh * s.cols.out_size + ow) * s.channels;
    for_vectors<T>(s.channels, [&](std::int64_t c, int lanes) {
      store_lanes<T>(to + c, load_lanes<T>(d + c, lanes) / broadcast(count), lanes);
    });
  });
}

template <class T>
void run_average_grad(const Call* call, std::int64_t begin, std::int64_t end) {
  const PoolShape s = pool_shape(call->problem->specs[1], call->problem->ints);
  const Range range = chunk_rows(call, begin, end);
  for (std::int64_t row = range.first; row < range.last; ++row) {
    const T* dy = operand<const T>(call, 0) + row / s.rows.size * s.rows.out_size * s.cols.out_size * s.channels;
    T* dx = operand<T>(call, 1) + row * s.cols.size * s.channels;
    if (tiled(s.rows) && tiled(s.cols)) average_grad_tiled_row(s, dy, row % s.rows.size, dx);
    else average_grad_row(s, dy, row % s.rows.size, dx);
  }
}

}  // namespace

PYNN_FLOAT_ENTRIES(max_pool2d, prepare_pool<T>(problem, plan, problem->specs[0], problem->specs[1].dims[1], true), run_max<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(max_pool2d_grad, prepare_pool<T>(problem, plan, problem->specs[2], problem->specs[2].dims[1], true),
                   run_max_grad<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(max_pool2d_take, prepare_pool<T>(problem, plan, problem->specs[0], problem->specs[2].dims[1], true),
                   run_take<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(average_pool2d, prepare_pool<T>(problem, plan, problem->specs[0], problem->specs[1].dims[1], false),
                   run_average<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(average_pool2d_grad, prepare_pool<T>(problem, plan, problem->specs[1], problem->specs[1].dims[1], false),
                   run_average_grad<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(max_pool2d)
PYNN_FLOAT_KERNELS(max_pool2d_grad)
PYNN_FLOAT_KERNELS(max_pool2d_take)
PYNN_FLOAT_KERNELS(average_pool2d)
PYNN_FLOAT_KERNELS(average_pool2d_grad)
