// Compiled once for all kernels that need the gradient by a filter.
#include "kernels/conv_filter_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T, int MR>
struct StridedRows {
  const T* row[MR];
  std::int64_t offset, step;
  PYNN_INLINE T at(int i, std::int64_t p) const { return row[i][offset + p * step]; }
};

// sums[i][j] (+)= sum over the block's pixels p of rows[i][p] * dy[p][j]
template <class T, int MR, int NV>
PYNN_NOINLINE void dense_tile(const T* const* rows, const PixelLoops& l, const T* dy, T* sums, bool first) {
  constexpr std::int64_t kWidth = NV * Simd<T>::kLanes;
  Tile<T, MR, NV> tile;
  clear(tile);
  StridedRows<T, MR> access;
  PYNN_UNROLL
  for (int i = 0; i < MR; ++i) access.row[i] = rows[i];
  access.step = l.step[2];
  for (std::int64_t n = 0; n < l.count[0]; ++n)
    for (std::int64_t r = 0; r < l.count[1]; ++r) {
      access.offset = n * l.step[0] + r * l.step[1];
      accumulate(tile, access, dy, kWidth, l.count[2]);
      dy += l.count[2] * kWidth;
    }
  if (first) store_tile(tile, sums, kWidth, kWidth);
  else add_tile(tile, sums, kWidth, kWidth);
}

// Finds the tile of `count` rows among those of up to MR.
template <class T, int MR, int NV>
void run_dense_tile(int count, const T* const* rows, const PixelLoops& l, const T* dy, T* sums, bool first) {
  if (count == MR) return dense_tile<T, MR, NV>(rows, l, dy, sums, first);
  if constexpr (MR > 1) run_dense_tile<T, MR - 1, NV>(count, rows, l, dy, sums, first);
}

template <class T>
void run_tile(std::int64_t width, int count, const T* const* rows, const PixelLoops& l, const T* dy, T* sums, bool first) {
  if (width == Simd<T>::kLanes) run_dense_tile<T, filter_rows(1), 1>(count, rows, l, dy, sums, first);
  else run_dense_tile<T, filter_rows(2), 2>(count, rows, l, dy, sums, first);
}

}  // namespace

void filter_tile(std::int64_t width, int count, const float* const* rows, const PixelLoops& l, const float* dy, float* sums, bool first) noexcept {
  run_tile<float>(width, count, rows, l, dy, sums, first);
}
void filter_tile(std::int64_t width, int count, const double* const* rows, const PixelLoops& l, const double* dy, double* sums,
                 bool first) noexcept {
  run_tile<double>(width, count, rows, l, dy, sums, first);
}

}  // namespace PYNN_TARGET
}  // namespace pynn
