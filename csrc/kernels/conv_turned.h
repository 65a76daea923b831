// The convolution of a panel with very few columns: lanes hold pixels, whose runs of the source are turned in registers. Same additions, in the
// same order, as correlate_tile.
#pragma once

#include "kernels/conv_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
constexpr int kTurnedGroups = 2;  // that share what is read of the panel

template <class T>
constexpr int turned_pixels() {
  return kTurnedGroups * transpose_side<T>();
}
static_assert(turned_pixels<float>() <= kMostPixels, "room for a tile's pixels");

// Runs shorter than two blocks that are turned don't pay for it.
template <class T>
bool turns_pixels(const Runs& runs, std::int64_t pixels, std::int64_t columns) {
  return columns <= Simd<T>::kLanes / 4 && runs.length >= 2 * transpose_side<T>() && pixels >= turned_pixels<T>();
}

template <class T, int N>
struct TurnedPixels {
  typedef Short<T> S;
  typedef typename S::V V;
  static constexpr int kSide = transpose_side<T>();

  V sums[kTurnedGroups][N];

  // One run: element p of the source's pixels by row p of the panel.
  PYNN_INLINE void add(const T* const* source, std::int64_t offset, const T* panel, std::int64_t width, std::int64_t length) {
    std::int64_t p = 0;
    for (; p + kSide <= length; p += kSide) {
      V column[kTurnedGroups][kSide];
      PYNN_UNROLL
      for (int q = 0; q < kTurnedGroups; ++q) load_turned([&](int i) { return source[q * kSide + i] + offset + p; }, column[q]);
      PYNN_UNROLL
      for (int i = 0; i < kSide; ++i) add_one(column, i, panel + (p + i) * width);
    }
    if (p == length) return;
    V column[kTurnedGroups][kSide];  // the last ones of the run, of which some have been added
    PYNN_UNROLL
    for (int q = 0; q < kTurnedGroups; ++q) load_turned([&](int i) { return source[q * kSide + i] + offset + length - kSide; }, column[q]);
    PYNN_UNROLL
    for (int i = 1; i < kSide; ++i)
      if (length - kSide + i >= p) add_one(column, i, panel + (length - kSide + i) * width);
  }

  PYNN_INLINE void add_one(const V (&column)[kTurnedGroups][kSide], int i, const T* weights) {
    PYNN_UNROLL
    for (int j = 0; j < N; ++j) {
      const V weight = S::broadcast(weights[j]);
      PYNN_UNROLL
      for (int q = 0; q < kTurnedGroups; ++q) sums[q][j] = S::fma(weight, column[q][i], sums[q][j]);
    }
  }

  PYNN_INLINE void finish_all(T* const* out, const Epilogue<T>& e) const {
    constexpr int kWidth = Simd<T>::kLanes > kSide ? Simd<T>::kLanes : kSide;
    alignas(64) T turned[kSide * kSide] = {}, block[kSide * kWidth];
    for (int q = 0; q < kTurnedGroups; ++q) {
      PYNN_UNROLL
      for (int j = 0; j < N; ++j) S::store(turned + j * kSide, sums[q][j]);
      transpose_block(turned, kSide, block, kWidth);
      for (int i = 0; i < kSide; ++i) store_partial(out[q * kSide + i], finish(load_partial(block + i * kWidth, N), e, 0, N), N);
    }
  }
};

// As many pixels as turned_pixels says by N columns.
template <class T, int N>
PYNN_NOINLINE void turned_tile(const T* const* source, T* const* out, const T* panel, std::int64_t width, const Runs& runs, const Epilogue<T>& e) {
  TurnedPixels<T, N> tile;
  PYNN_UNROLL
  for (int q = 0; q < kTurnedGroups; ++q) {
    PYNN_UNROLL
    for (int j = 0; j < N; ++j) tile.sums[q][j] = Short<T>::broadcast(0);
  }
  for (std::int64_t r = 0; r < runs.rows; ++r)
    for (std::int64_t s = 0; s < runs.runs; ++s)
      tile.add(source, r * runs.source_row + s * runs.source_run, panel + runs.first + r * runs.panel_row + s * runs.panel_run, width, runs.length);
  tile.finish_all(out, e);
}

template <class T>
void run_turned_tile(const T* const* source, T* const* out, const T* panel, std::int64_t width, const Runs& runs, const Epilogue<T>& e) {
  if (e.columns == 1) return turned_tile<T, 1>(source, out, panel, width, runs, e);
  if constexpr (Simd<T>::kLanes >= 8) {
    if (e.columns == 2) return turned_tile<T, 2>(source, out, panel, width, runs, e);
  }
  if constexpr (Simd<T>::kLanes >= 16) {
    if (e.columns == 3) return turned_tile<T, 3>(source, out, panel, width, runs, e);
    if (e.columns == 4) return turned_tile<T, 4>(source, out, panel, width, runs, e);
  }
}
#endif

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
