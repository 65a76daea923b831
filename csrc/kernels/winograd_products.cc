// Compiled once for all kernels that use Winograd's algorithm.
#include "kernels/winograd_products.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T, int NV, int MR>
PYNN_NOINLINE void product_rows(const T* v, std::int64_t stride, const T* u, std::int64_t depth, T* m, std::int64_t m_stride, bool first) {
  constexpr int kWidth = NV * Simd<T>::kLanes;
  Tile<T, MR, NV> tile;
  if (first) clear(tile);
  else load_tile(tile, m, m_stride);
  accumulate(tile, rows_of<MR>(v, stride), u, kWidth, depth);
  store_tile(tile, m, m_stride, kWidth);
}

// Products are added to, so tiles can't overlap.
template <class T, int NV>
void product_plane(const T* v, std::int64_t stride, std::int64_t rows, const T* u, std::int64_t depth, T* m, std::int64_t m_stride, bool first) {
  constexpr std::int64_t kFull = NV == 1 ? 8 : kTileRows;
  std::int64_t t = 0;
  for (; t + kFull <= rows; t += kFull) product_rows<T, NV, kFull>(v + t * stride, stride, u, depth, m + t * m_stride, m_stride, first);
  if (rows - t >= 4 && rows - t != 5) {
    product_rows<T, NV, 4>(v + t * stride, stride, u, depth, m + t * m_stride, m_stride, first);
    t += 4;
  }
  if (rows - t >= 3) {
    product_rows<T, NV, 3>(v + t * stride, stride, u, depth, m + t * m_stride, m_stride, first);
    t += 3;
  }
  if (rows - t == 2) product_rows<T, NV, 2>(v + t * stride, stride, u, depth, m + t * m_stride, m_stride, first);
  else if (rows - t == 1) product_rows<T, NV, 1>(v + t * stride, stride, u, depth, m + t * m_stride, m_stride, first);
}

template <class T, int NV, int MR>
PYNN_NOINLINE void product_columns(const T* v, std::int64_t stride, const T* y, std::int64_t tiles, T* sums, bool first) {
  constexpr int kWidth = NV * Simd<T>::kLanes;
  Tile<T, MR, NV> tile;
  clear(tile);
  accumulate(tile, columns_of(v, stride), y, kWidth, tiles);
  if (first) store_tile(tile, sums, kWidth, kWidth);
  else add_tile(tile, sums, kWidth, kWidth);
}

// Sums are added to, so tiles can't overlap: the rest after full ones goes by halves.
template <class T, int NV>
void outer_plane(const T* v, std::int64_t stride, std::int64_t channels, const T* y, std::int64_t tiles, T* sums, bool first) {
  constexpr std::int64_t kFull = NV == 1 || kVectorRegisters >= 32 ? 8 : 4;
  constexpr std::int64_t kWidth = NV * Simd<T>::kLanes;
  std::int64_t c = 0;
  for (; c + kFull <= channels; c += kFull) product_columns<T, NV, kFull>(v + c, stride, y, tiles, sums + c * kWidth, first);
  for (; c + 4 <= channels; c += 4) product_columns<T, NV, 4>(v + c, stride, y, tiles, sums + c * kWidth, first);
  for (; c < channels; ++c) product_columns<T, NV, 1>(v + c, stride, y, tiles, sums + c * kWidth, first);
}

}  // namespace

void row_product(std::int64_t width, const float* v, std::int64_t stride, std::int64_t rows, const float* u, std::int64_t depth, float* m,
                 std::int64_t m_stride, bool first) noexcept {
  if (width == Simd<float>::kLanes) product_plane<float, 1>(v, stride, rows, u, depth, m, m_stride, first);
  else product_plane<float, 2>(v, stride, rows, u, depth, m, m_stride, first);
}
void row_product(std::int64_t width, const double* v, std::int64_t stride, std::int64_t rows, const double* u, std::int64_t depth, double* m,
                 std::int64_t m_stride, bool first) noexcept {
  if (width == Simd<double>::kLanes) product_plane<double, 1>(v, stride, rows, u, depth, m, m_stride, first);
  else product_plane<double, 2>(v, stride, rows, u, depth, m, m_stride, first);
}
void column_product(std::int64_t width, const float* v, std::int64_t stride, std::int64_t channels, const float* y, std::int64_t tiles, float* sums,
                    bool first) noexcept {
  if (width == Simd<float>::kLanes) outer_plane<float, 1>(v, stride, channels, y, tiles, sums, first);
  else outer_plane<float, 2>(v, stride, channels, y, tiles, sums, first);
}
void column_product(std::int64_t width, const double* v, std::int64_t stride, std::int64_t channels, const double* y, std::int64_t tiles, double* sums,
                    bool first) noexcept {
  if (width == Simd<double>::kLanes) outer_plane<double, 1>(v, stride, channels, y, tiles, sums, first);
  else outer_plane<double, 2>(v, stride, channels, y, tiles, sums, first);
}

}  // namespace PYNN_TARGET
}  // namespace pynn
