// Compiled once for all kernels that need a filter gradient.
#include "kernels/cache.h"
#include "kernels/conv_filter_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// A(i, p) is element p of row i.
template <class T, int MR>
struct AnyRows {
  RowPointers<T, MR> rows;
  PYNN_INLINE explicit AnyRows(const FilterRows<T>& from) {
    PYNN_UNROLL
    for (int i = 0; i < MR; ++i) rows.row[i] = from.row[i];
  }
  PYNN_INLINE T at(int i, std::int64_t p) const { return rows.at(i, p); }
  PYNN_INLINE void ask() const {}
};

// The same of rows that are neighbours in memory: one register holds their address.
template <class T>
struct NeighbourRows {
  const T* row;
  PYNN_INLINE explicit NeighbourRows(const FilterRows<T>& from) : row(from.row[0]) {}
  PYNN_INLINE T at(int i, std::int64_t p) const { return row[p + i]; }
  PYNN_INLINE void ask() const {}
};

// The same, and a line is asked for with each pixel.
template <class T>
struct AskingRows {
  NeighbourRows<T> rows;
  const T* ahead;
  std::int64_t step;
  PYNN_INLINE explicit AskingRows(const FilterRows<T>& from) : rows(from), ahead(from.ahead), step(from.ahead_step) {}
  PYNN_INLINE T at(int i, std::int64_t p) const { return rows.at(i, p); }
  PYNN_INLINE void ask() {
    prefetch<Use::kRead>(ahead);
    ahead += step;
  }
};
constexpr int kLeastAskingRows = 8;  // smaller tiles leave too little to do between two requests

// sums[i][j] (+)= sum over the block's pixels p of rows[i][p] * dy[p][j]
template <class T, class Access, int MR, int NV>
PYNN_NOINLINE void dense_tile(const FilterRows<T>& rows, const PixelLoops& l, const T* dy, T* sums, bool first) {
  constexpr std::int64_t kWidth = NV * Simd<T>::kLanes;
  Tile<T, MR, NV> tile;
  clear(tile);
  Access access(rows);
  for (std::int64_t n = 0; n < l.count[0]; ++n)
    for (std::int64_t r = 0; r < l.count[1]; ++r) {
      std::int64_t at = n * l.step[0] + r * l.step[1];
      for (std::int64_t p = l.count[2]; p > 0; --p, at += l.step[2], dy += l.dy_step) {
        access.ask();
        accumulate_one(tile, access, at, dy);
      }
    }
  if (first) store_tile(tile, sums, kWidth, kWidth);
  else add_tile(tile, sums, kWidth, kWidth);
}

// Finds the tile of so many rows among those of up to MR.
template <class T, int MR, int NV>
void run_dense_tile(const FilterRows<T>& rows, const PixelLoops& l, const T* dy, T* sums, bool first) {
  if (rows.count == MR) {
    if constexpr (MR >= kLeastAskingRows)
      if (rows.neighbours && rows.ahead) return dense_tile<T, AskingRows<T>, MR, NV>(rows, l, dy, sums, first);
    if (rows.neighbours) return dense_tile<T, NeighbourRows<T>, MR, NV>(rows, l, dy, sums, first);
    return dense_tile<T, AnyRows<T, MR>, MR, NV>(rows, l, dy, sums, first);
  }
  if constexpr (MR > 1) run_dense_tile<T, MR - 1, NV>(rows, l, dy, sums, first);
}

template <class T>
void run_tile(std::int64_t width, const FilterRows<T>& rows, const PixelLoops& l, const T* dy, T* sums, bool first) {
  if (width == Simd<T>::kLanes) run_dense_tile<T, filter_rows(1), 1>(rows, l, dy, sums, first);
  else run_dense_tile<T, filter_rows(2), 2>(rows, l, dy, sums, first);
}

// Lanes are inputs: NX vectors of them by NC output channels.
template <class T, int NC, int NX>
PYNN_NOINLINE void inputs_tile_of(const FilterRows<T>& rows, const PixelLoops& l, const T* dy, T* sums, std::int64_t stride,
                                  bool first) {
  typename Simd<T>::V acc[NC][NX], x[NX];
  const T* row[NX];
  PYNN_UNROLL
  for (int i = 0; i < NX; ++i) row[i] = rows.row[i];
  PYNN_UNROLL
  for (int c = 0; c < NC; ++c) {
    PYNN_UNROLL
    for (int i = 0; i < NX; ++i) acc[c][i] = zero<T>();
  }
  for (std::int64_t n = 0; n < l.count[0]; ++n)
    for (std::int64_t r = 0; r < l.count[1]; ++r) {
      std::int64_t at = n * l.step[0] + r * l.step[1];
      for (std::int64_t p = l.count[2]; p > 0; --p, at += l.step[2], dy += l.dy_step) {
        PYNN_UNROLL
        for (int i = 0; i < NX; ++i) {
          x[i] = load<T>(row[i] + at);
          if (NC > 1) PYNN_KEEP(x[i]);  // one channel uses each once, in an fma that can read it itself
        }
        PYNN_UNROLL
        for (int c = 0; c < NC; ++c) {
          const typename Simd<T>::V d = broadcast(dy[c]);
          PYNN_UNROLL
          for (int i = 0; i < NX; ++i) {
            acc[c][i] = fma(d, x[i], acc[c][i]);
            PYNN_KEEP(acc[c][i]);
          }
        }
      }
    }
  PYNN_UNROLL
  for (int c = 0; c < NC; ++c) {
    PYNN_UNROLL
    for (int i = 0; i < NX; ++i) {
      T* to = sums + c * stride + i * Simd<T>::kLanes;
      store<T>(to, first ? acc[c][i] : load<T>(to) + acc[c][i]);
    }
  }
}

// Finds the tile of so many vectors among those of up to NX.
template <class T, int NC, int NX>
void run_inputs_tile(const FilterRows<T>& rows, const PixelLoops& l, const T* dy, T* sums, std::int64_t stride, bool first) {
  if (rows.count == NX) return inputs_tile_of<T, NC, NX>(rows, l, dy, sums, stride, first);
  if constexpr (NX > 1) run_inputs_tile<T, NC, NX - 1>(rows, l, dy, sums, stride, first);
}

template <class T>
void run_inputs_tile(int channels, const FilterRows<T>& rows, const PixelLoops& l, const T* dy, T* sums, std::int64_t stride,
                     bool first) {
  switch (channels) {
    case 1: return run_inputs_tile<T, 1, filter_vectors(1)>(rows, l, dy, sums, stride, first);
    case 2: return run_inputs_tile<T, 2, filter_vectors(2)>(rows, l, dy, sums, stride, first);
    case 3: return run_inputs_tile<T, 3, filter_vectors(3)>(rows, l, dy, sums, stride, first);
    default: return run_inputs_tile<T, 4, filter_vectors(4)>(rows, l, dy, sums, stride, first);
  }
}

}  // namespace

void filter_tile(std::int64_t width, const FilterRows<float>& rows, const PixelLoops& l, const float* dy, float* sums, bool first) noexcept {
  run_tile<float>(width, rows, l, dy, sums, first);
}
void filter_tile(std::int64_t width, const FilterRows<double>& rows, const PixelLoops& l, const double* dy, double* sums, bool first) noexcept {
  run_tile<double>(width, rows, l, dy, sums, first);
}
void inputs_tile(int channels, const FilterRows<float>& rows, const PixelLoops& l, const float* dy, float* sums,
                 std::int64_t stride, bool first) noexcept {
  run_inputs_tile<float>(channels, rows, l, dy, sums, stride, first);
}
void inputs_tile(int channels, const FilterRows<double>& rows, const PixelLoops& l, const double* dy, double* sums,
                 std::int64_t stride, bool first) noexcept {
  run_inputs_tile<double>(channels, rows, l, dy, sums, stride, first);
}

}  // namespace PYNN_TARGET
}  // namespace pynn
