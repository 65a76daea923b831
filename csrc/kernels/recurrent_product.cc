// Compiled once for all kinds of recurrent layers.
#include "kernels/recurrent_product.h"

#include "kernels/sum.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// The most rows of a tile two vectors wide.
constexpr int kMostRows = kVectorRegisters >= 32 ? 8 : kTileRows;

template <class T>
PYNN_INLINE void pack_panel_of(const T* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, T* to) {
  constexpr int lanes = Simd<T>::kLanes;
  const std::int64_t first = q * panel_columns<T>();
  const int columns = static_cast<int>(least(panel_columns<T>(), n - first));
  const int head = lanes_of<T>(columns, 0), tail = lanes_of<T>(columns, 1);
  for (std::int64_t p = 0; p < k; ++p) {
    const T* from = b + p * stride + first;
    store<T>(to, load_lanes<T>(from, head));
    store<T>(to + lanes, load_partial(from + (tail ? lanes : 0), tail));
    to += panel_columns<T>();
  }
}

template <class T>
PYNN_INLINE void pack_transposed_panel_of(const T* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, T* to) {
  constexpr std::int64_t width = tile_columns<T>();
  const std::int64_t columns = least(width, n - q * width);
  for (std::int64_t j = 0; j < columns; ++j) {
    const T* from = b + (q * width + j) * stride;
    for (std::int64_t p = 0; p < k; ++p) to[p * width + j] = from[p];
  }
  for (std::int64_t j = columns; j < width; ++j)
    for (std::int64_t p = 0; p < k; ++p) to[p * width + j] = T(0);
}

template <class T, int MR, int NV>
PYNN_INLINE void finish_tile(const RowProduct<T>& product, std::int64_t row, std::int64_t column, const Tile<T, MR, NV>& tile,
                             int columns) {
  T* c = product.c.row(row) + column;
  const std::int64_t c_stride = product.c.stride;
  if (product.finish == kAdd) {
    add_tile(tile, c, c_stride, columns);
  } else if (!product.bias) {
    store_tile(tile, c, c_stride, columns);
  } else {
    const T* bias = product.bias + column;
    for_each_vector<T, MR, NV>(tile, columns, [=](int i, int v, typename Simd<T>::V x, int lanes) {
      store_lanes<T>(c + i * c_stride + v * Simd<T>::kLanes, x + load_lanes<T>(bias + v * Simd<T>::kLanes, lanes), lanes);
    });
  }
}

template <class T, int MR, int NV>
PYNN_INLINE void product_tile(const RowProduct<T>& product, std::int64_t row, std::int64_t column, const T* b,
                              std::int64_t b_stride, int columns) {
  Tile<T, MR, NV> tile;
  clear(tile);
  const std::int64_t depth = product.options.expected ? kAskDepth : product.k;
  for (std::int64_t p = 0; p < product.k; p += depth) {
    if (product.options.expected) product.options.expected->ask();
    accumulate(tile, rows_of<MR>(product.a.row(row) + p, product.a.stride), b + p * b_stride, b_stride, least(depth, product.k - p));
  }
  finish_tile(product, row, column, tile, columns);
}

template <class T, int NV>
PYNN_NOINLINE void product_rows(const RowProduct<T>& product, std::int64_t row, int rows, std::int64_t column, const T* b,
                                std::int64_t b_stride, int columns) {
  switch (rows) {
    case 1: return product_tile<T, 1, NV>(product, row, column, b, b_stride, columns);
    case 2: return product_tile<T, 2, NV>(product, row, column, b, b_stride, columns);
    case 3: return product_tile<T, 3, NV>(product, row, column, b, b_stride, columns);
    case 4: return product_tile<T, 4, NV>(product, row, column, b, b_stride, columns);
    case 5: return product_tile<T, 5, NV>(product, row, column, b, b_stride, columns);
    case 6: return product_tile<T, 6, NV>(product, row, column, b, b_stride, columns);
  }
  if constexpr (kMostRows > kTileRows) {
    if (rows == 7) product_tile<T, 7, NV>(product, row, column, b, b_stride, columns);
    else product_tile<T, 8, NV>(product, row, column, b, b_stride, columns);
  }
}

// MR rows by NP whole panels side by side: as many sums at a time as a full tile has, where there are few rows.
template <class T, int MR, int NP>
PYNN_INLINE void product_strip(const RowProduct<T>& product, std::int64_t column, const T* b, const PanelMatrix<T>& matrix) {
  Tile<T, MR, kTileVectors> tiles[NP];
  PYNN_UNROLL
  for (int q = 0; q < NP; ++q) clear(tiles[q]);
  const RowPointers<T, MR> rows = rows_of<MR>(product.a.data, product.a.stride);
  for (std::int64_t p = 0; p < product.k; ++p, b += matrix.stride) {
    PYNN_UNROLL
    for (int q = 0; q < NP; ++q) accumulate_one(tiles[q], rows, p, b + q * matrix.panel);
  }
  PYNN_UNROLL
  for (int q = 0; q < NP; ++q) finish_tile(product, 0, column + q * panel_columns<T>(), tiles[q], tile_columns<T>());
}

// Whole panels that a lone row takes next: as many sums as hide fma's latency, or six panels where four would leave a rest that doesn't.
// Six of them go in halves, so that a walk back and forth finds one of them in L1.
PYNN_INLINE int next_panels(std::int64_t left) {
  if (left == 6) return 3;
  if (kVectorRegisters >= 32 && (left == 9 || left == 10)) return 6;
  return static_cast<int>(least(left, 4));
}

// All whole panels for one row, along the walk. Returns the columns that are done.
template <class T>
PYNN_NOINLINE std::int64_t lone_row(const RowProduct<T>& product, const PanelMatrix<T>& b) {
  const std::int64_t panels = b.n / panel_columns<T>();
  for (std::int64_t left = panels; left > 0;) {
    const int take = next_panels(left);
    left -= take;
    const std::int64_t q = product.options.walk == kForwards ? panels - left - take : left, column = q * panel_columns<T>();
    const T* panel = b.data + q * b.panel;
    switch (take) {
      case 1: product_strip<T, 1, 1>(product, column, panel, b); break;
      case 2: product_strip<T, 1, 2>(product, column, panel, b); break;
      case 3: product_strip<T, 1, 3>(product, column, panel, b); break;
      case 4: product_strip<T, 1, 4>(product, column, panel, b); break;
      default:
        if constexpr (kVectorRegisters >= 32) product_strip<T, 1, 6>(product, column, panel, b);
    }
  }
  return panels * panel_columns<T>();
}

// One to three rows, four where there are 32 registers: strips over the columns, as far as they go. Returns the
// columns that are done.
template <class T, int MR, int NP>
PYNN_NOINLINE std::int64_t product_strips(const RowProduct<T>& product, const PanelMatrix<T>& b) {
  constexpr std::int64_t width = NP * tile_columns<T>();
  const std::int64_t count = b.n / width;
  for (std::int64_t index = 0; index < count; ++index) {
    const std::int64_t strip = on_walk(product.options.walk, index, count);
    product_strip<T, MR, NP>(product, strip * width, b.data + strip * NP * b.panel, b);
  }
  return count * width;
}
template <class T>
PYNN_INLINE std::int64_t product_strips(const RowProduct<T>& product, std::int64_t rows, const PanelMatrix<T>& b) {
  switch (rows) {
    case 1: return lone_row(product, b);
    case 2: return product_strips<T, 2, 2>(product, b);
    case 3: return product_strips<T, 3, 2>(product, b);
    case 4: return kVectorRegisters >= 32 ? product_strips<T, 4, 2>(product, b) : 0;
    default: return 0;
  }
}

// The rows of the next tile: never a rest of one or two rows behind a full tile, which would run at half speed.
PYNN_INLINE int next_rows(std::int64_t left) {
  return static_cast<int>(left <= kMostRows ? left : left < 2 * kMostRows ? (left + 1) / 2 : kMostRows);
}

template <class T>
PYNN_INLINE void multiply_rows_of(const RowProduct<T>& product, std::int64_t rows, const PanelMatrix<T>& b) {
  const std::int64_t first = product_strips(product, rows, b) / panel_columns<T>(), count = ceil_divide(b.n, panel_columns<T>()) - first;
  if (product.options.expected) product.options.expected->spread(count * ceil_divide(rows, kMostRows) * ceil_divide(product.k, kAskDepth));
  for (std::int64_t index = 0; index < count; ++index) {
    const std::int64_t q = first + on_walk(product.options.walk, index, count), column = q * panel_columns<T>();
    const T* panel = b.data + q * b.panel;
    const int columns = static_cast<int>(least(panel_columns<T>(), b.n - column));
    for (std::int64_t row = 0; row < rows;) {
      const int take = next_rows(rows - row);
      if (columns > Simd<T>::kLanes) product_rows<T, 2>(product, row, take, column, panel, b.stride, columns);
      else product_rows<T, 1>(product, row, take, column, panel, b.stride, columns);
      row += take;
    }
  }
}

template <class T, int MR, int NV>
PYNN_NOINLINE void reduce_tile(const Rows<const T>& a, const Rows<const T>& b, std::int64_t k, const Rows<T>& c, int columns,
                               bool first) {
  Tile<T, MR, NV> tile;
  clear(tile);
  accumulate(tile, columns_of(a.data, a.stride), b.data, b.stride, k);
  if (first) store_tile(tile, c.data, c.stride, columns);
  else add_tile(tile, c.data, c.stride, columns);
}

// Rows of the next tile. With 32 registers a tall one halves the reads of a, which come from L2.
PYNN_INLINE int next_reduced_rows(std::int64_t left) {
  if (kVectorRegisters < 32) return next_rows(left);
  return static_cast<int>(left <= 6 ? left : left == 7 ? 4 : left < 12 || left == 16 ? 8 : 12);
}

template <class T, int NV>
PYNN_INLINE void reduce_rows(const Rows<const T>& a, const Rows<const T>& b, std::int64_t k, int rows, const Rows<T>& c,
                             int columns, bool first) {
  if constexpr (kVectorRegisters >= 32) {
    if (rows == 8) return reduce_tile<T, 8, NV>(a, b, k, c, columns, first);
    if (rows == 12) return reduce_tile<T, 12, NV>(a, b, k, c, columns, first);
  }
  switch (rows) {
    case 1: return reduce_tile<T, 1, NV>(a, b, k, c, columns, first);
    case 2: return reduce_tile<T, 2, NV>(a, b, k, c, columns, first);
    case 3: return reduce_tile<T, 3, NV>(a, b, k, c, columns, first);
    case 4: return reduce_tile<T, 4, NV>(a, b, k, c, columns, first);
    case 5: return reduce_tile<T, 5, NV>(a, b, k, c, columns, first);
    default: return reduce_tile<T, 6, NV>(a, b, k, c, columns, first);
  }
}

template <class T>
PYNN_INLINE void reduce_panel_of(const Rows<const T>& a, std::int64_t width, const Rows<const T>& b, std::int64_t k, const Rows<T>& out,
                                 int columns, bool first) {
  for (std::int64_t i = 0; i < width;) {
    const int take = next_reduced_rows(width - i);
    const Rows<const T> rows{a.data + i, a.stride};
    const Rows<T> to{out.row(i), out.stride};
    if (columns > Simd<T>::kLanes) reduce_rows<T, 2>(rows, b, k, take, to, columns, first);
    else reduce_rows<T, 1>(rows, b, k, take, to, columns, first);
    i += take;
  }
}

template <class T>
PYNN_INLINE void sum_panel_of(const Rows<const T>& b, std::int64_t count, T* to, int columns, bool first) {
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes;
  const int head = lanes_of<T>(columns, 0), tail = lanes_of<T>(columns, 1);
  const std::int64_t second = tail ? lanes : 0;
  std::int64_t r = 0;
  do {
    const std::int64_t end = least(count, r + kColumnSumRows);
    V part0 = zero<T>(), part1 = zero<T>();
    for (; r < end; ++r) {
      part0 = part0 + load<T>(b.row(r));
      part1 = part1 + load<T>(b.row(r) + second);
    }
    store_lanes<T>(to, first ? part0 : load_lanes<T>(to, head) + part0, head);
    if (tail) store_lanes<T>(to + lanes, first ? part1 : load_lanes<T>(to + lanes, tail) + part1, tail);
    first = false;
  } while (r < count);
}

}  // namespace

void multiply_rows(const RowProduct<float>& product, std::int64_t rows, const PanelMatrix<float>& b) noexcept { multiply_rows_of(product, rows, b); }
void pack_panel(const float* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, float* to) noexcept {
  pack_panel_of(b, stride, k, n, q, to);
}
void pack_transposed_panel(const float* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, float* to) noexcept {
  pack_transposed_panel_of(b, stride, k, n, q, to);
}
void reduce_panel(const Rows<const float>& a, std::int64_t width, const Rows<const float>& b, std::int64_t k, const Rows<float>& out, int columns,
                  bool first) noexcept {
  reduce_panel_of(a, width, b, k, out, columns, first);
}
void sum_panel(const Rows<const float>& b, std::int64_t count, float* to, int columns, bool first) noexcept {
  sum_panel_of(b, count, to, columns, first);
}

void multiply_rows(const RowProduct<double>& product, std::int64_t rows, const PanelMatrix<double>& b) noexcept { multiply_rows_of(product, rows, b); }
void pack_panel(const double* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, double* to) noexcept {
  pack_panel_of(b, stride, k, n, q, to);
}
void pack_transposed_panel(const double* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, double* to) noexcept {
  pack_transposed_panel_of(b, stride, k, n, q, to);
}
void reduce_panel(const Rows<const double>& a, std::int64_t width, const Rows<const double>& b, std::int64_t k, const Rows<double>& out, int columns,
                  bool first) noexcept {
  reduce_panel_of(a, width, b, k, out, columns, first);
}
void sum_panel(const Rows<const double>& b, std::int64_t count, double* to, int columns, bool first) noexcept {
  sum_panel_of(b, count, to, columns, first);
}

}  // namespace PYNN_TARGET
}  // namespace pynn
