// The ways of a matrix product. B is read where it lies if it is row-major and small, or m is; else a group of strips is packed into
// `scratch` right before all rows use it: a 256 x 16 strip is 16 KB, so it stays in L1 while A streams through from L2. Who cuts a
// product along m packs B once for all parts (pack_panels). Under a wide C it is the other way round: a few rows of A stay in L1 while
// the group streams through. A is read where it lies, too, as the tile takes rows and columns alike; only rows that are so far apart that
// they share few sets of the caches are copied together (copy_block) where many strips use them. Row tiles are balanced (32 rows are
// 6+6+5+5+5+5): fewer than 4 rows can't hide fma's latency. So one row, and few rows over one or two vectors, have a path of their
// own (gemm_narrow.h).
#include "kernels/gemm.h"

#include <cstring>

#include "kernels/gemm_narrow.h"
#include "kernels/gemm_pack.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kFewRows = 4;               // fewer can't hide fma's latency
constexpr std::int64_t kResidentBytes = 24 << 10;  // a B up to this size stays in L1 under all rows
constexpr std::int64_t kWrittenColumns = 4;        // times K: a C that is mostly written,
constexpr std::int64_t kWrittenBytes = 128 << 10;  // and which L2 has no room for under a block of A's rows

// Columns of B that are packed at once: whole strips.
template <class T>
PYNN_INLINE std::int64_t gemm_group(std::int64_t n, std::int64_t depth) {
  constexpr std::int64_t width = tile_columns<T>();
  const std::int64_t columns = kGroupBytes / kSizeOf<T> / (depth > 0 ? depth : 1) / width * width;
  return least(ceil_divide(n, width) * width, most(columns, width));
}

// Vectors across the next tile: wide ones for one or two rows, one vector for the last few columns.
template <class T>
PYNN_INLINE int strip_vectors(std::int64_t rows, std::int64_t columns, bool packed) {
  constexpr int lanes = Simd<T>::kLanes;
  if (rows == 1 && !packed && columns >= 8 * lanes) return 8;
  if (rows == 2 && !packed && columns >= 4 * lanes) return 4;
  return columns > lanes ? 2 : 1;
}

// A strip of columns of B over one block of K, where the tiles can read it.
template <class T>
struct Strip {
  const T* b;
  std::int64_t b_stride;
  std::int64_t first;  // column
  int columns;
  int vectors;
};

template <class T>
PYNN_INLINE Strip<T> strip_at(const Gemm<T>& g, std::int64_t j, bool packed) {
  Strip<T> strip;
  strip.vectors = strip_vectors<T>(g.m, g.n - j, packed);
  strip.first = j;
  strip.columns = static_cast<int>(least(strip.vectors * Simd<T>::kLanes, g.n - j));
  return strip;
}

template <class T>
PYNN_INLINE void pack_strip(const Gemm<T>& g, Strip<T>* strip, std::int64_t p, std::int64_t depth, T* to) {
  const int width = strip->vectors * Simd<T>::kLanes;
  if (g.b_columns) pack_columns(g.b + strip->first * g.b_stride + p, g.b_stride, depth, strip->columns, width, to);
  else pack_rows(g.b + p * g.b_stride + strip->first, g.b_stride, depth, strip->columns, width, to);
  strip->b = to;
  strip->b_stride = width;
}

// The strip at column j where it lies; packed if it is narrower than its vectors.
template <class T>
PYNN_INLINE Strip<T> direct_strip(const Gemm<T>& g, std::int64_t j, std::int64_t p, std::int64_t depth, T* scratch) {
  Strip<T> strip = strip_at(g, j, false);
  if (strip.columns < strip.vectors * Simd<T>::kLanes) {
    pack_strip(g, &strip, p, depth, scratch);
  } else {
    strip.b = g.b + p * g.b_stride + j;
    strip.b_stride = g.b_stride;
  }
  return strip;
}

// The strip at column j out of a packed group that begins at column `first`.
template <class T>
PYNN_INLINE Strip<T> packed_strip(const Gemm<T>& g, std::int64_t j, std::int64_t first, std::int64_t depth, const T* panels) {
  Strip<T> strip = strip_at(g, j, true);
  strip.b = panels + (j - first) * depth;
  strip.b_stride = strip.vectors * Simd<T>::kLanes;
  return strip;
}

template <class T>
PYNN_INLINE void pack_group(const Gemm<T>& g, std::int64_t first, std::int64_t end, std::int64_t p, std::int64_t depth, T* scratch) {
  constexpr int width = tile_columns<T>();
  std::int64_t j = first;
  if (!g.b_columns) {
    const std::int64_t full = (end - first) / width;
    pack_row_panels(g.b + p * g.b_stride + first, g.b_stride, depth, full, width, scratch);
    j += full * width;
  }
  while (j < end) {
    Strip<T> strip = strip_at(g, j, true);
    pack_strip(g, &strip, p, depth, scratch + (j - first) * depth);
    j += strip.columns;
  }
}

// The strips of one block of K: out of a packed group that begins at column `first`, or, where panels is null, where they lie. A narrow
// last one is packed once, into `scratch`.
template <class T>
class Strips {
 public:
  Strips(const Gemm<T>& g, std::int64_t first, std::int64_t p, std::int64_t depth, const T* panels, T* scratch)
      : g_(g), first_(first), p_(p), depth_(depth), panels_(panels), scratch_(scratch), now_{}, last_{} {}

  PYNN_INLINE const Strip<T>& at(std::int64_t j) {
    if (last_.columns > 0 && j == last_.first) return last_;
    now_ = panels_ ? packed_strip(g_, j, first_, depth_, panels_) : direct_strip(g_, j, p_, depth_, scratch_);
    if (!panels_ && now_.b == scratch_) last_ = now_;
    return now_;
  }

 private:
  const Gemm<T>& g_;
  std::int64_t first_, p_, depth_;
  const T* panels_;
  T* scratch_;
  Strip<T> now_, last_;
};

// Rows [begin, end) of A in one block of K.
template <class T>
struct RowBlock {
  std::int64_t begin, end;
  const T* a;  // the first row's first element
  std::int64_t stride;
};

template <class T, bool kColumns>
PYNN_INLINE RowBlock<T> rows_in_place(const Gemm<T>& g, std::int64_t begin, std::int64_t end, std::int64_t p) {
  return {begin, end, kColumns ? g.a + p * g.a_stride + begin : g.a + begin * g.a_stride + p, g.a_stride};
}

// These rows of C under one strip, for the block of K that starts at p.
template <class T, bool kColumns>
PYNN_INLINE void run_strip(const Gemm<T>& g, const Strip<T>& strip, const RowBlock<T>& rows, std::int64_t p, std::int64_t depth) {
  const bool last = p + depth >= g.k;
  TileTask<T> task;
  task.a = rows.a;
  task.a_stride = rows.stride;
  task.b = strip.b;
  task.b_stride = strip.b_stride;
  task.k = depth;
  task.c = g.c + rows.begin * g.c_stride + strip.first;
  task.c_stride = g.c_stride;
  task.bias = last && g.bias ? g.bias + strip.first : nullptr;
  task.columns = strip.columns;
  task.activation = last ? g.activation : kLinear;
  task.add = p > 0;
  task.rate = g.rate;
  std::int64_t left = rows.end - rows.begin;
  for (std::int64_t tiles = ceil_divide(left, tile_rows<T>(strip.vectors)); tiles > 0; --tiles) {
    const std::int64_t here = ceil_divide(left, tiles);
    tile_function<T, kColumns>(static_cast<int>(here), strip.vectors)(task);
    task.a += kColumns ? here : here * rows.stride;
    task.c += here * g.c_stride;
    left -= here;
  }
}

// B lies in L1 as a whole: a few rows of A and C at a time, over all columns.
template <class T, bool kColumns>
PYNN_INLINE void run_resident(const Gemm<T>& g, T* scratch) {
  Strips<T> strips(g, 0, 0, g.k, nullptr, scratch);
  for (std::int64_t row = 0; row < g.m;) {
    const std::int64_t row_end = row + ceil_divide(g.m - row, ceil_divide(g.m - row, tile_rows<T>(kTileVectors)));
    const RowBlock<T> rows = rows_in_place<T, kColumns>(g, row, row_end, 0);
    for (std::int64_t j = 0; j < g.n;) {
      const Strip<T>& strip = strips.at(j);
      run_strip<T, kColumns>(g, strip, rows, 0, g.k);
      j += strip.columns;
    }
    row = row_end;
  }
}

// Whether blocks of A are copied together.
template <class T>
PYNN_INLINE bool copies(const Gemm<T>& g, std::int64_t columns) {
  const std::int64_t stride = g.a_stride * kSizeOf<T>;
  const std::int64_t strips = !g.a_columns && stride % (2 * kCopyStride) == 0 ? kFarCopyStrips : kCopyStrips;
  return columns >= strips * tile_columns<T>() && stride % kCopyStride == 0 && g.m >= tile_rows<T>(kTileVectors);
}

// The same rows side by side in `to`.
template <class T, bool kColumns>
PYNN_NOINLINE RowBlock<T> copy_block(const RowBlock<T>& rows, std::int64_t depth, T* to) {
  const std::int64_t height = rows.end - rows.begin;
  const std::int64_t length = kColumns ? height : depth, lines = kColumns ? depth : height;
  const std::int64_t stride = odd_stride<T>(length);
  for (std::int64_t i = 0; i < lines; ++i) std::memcpy(to + i * stride, rows.a + i * rows.stride, static_cast<std::size_t>(length) * sizeof(T));
  return {rows.begin, rows.end, to, stride};
}

// Rows of A under all strips of a group, before the next ones. A tile of long vectors stores two dozen lines at once. Where C is much wider
// than K these come often, and then the tile's rows are written to their end: the hardware foresees that, but not two lines of each of many rows.
template <class T>
PYNN_INLINE std::int64_t block_rows(const Gemm<T>& g, std::int64_t columns) {
  const bool wide = columns >= kWrittenColumns * g.k && least(g.m, kRowBlock) * columns * kSizeOf<T> > kWrittenBytes;
  return kVectorBytes >= 64 && wide && g.k <= kDepth ? tile_rows<T>(kTileVectors) : kRowBlock;
}

// Columns [first, end) over one block of K, a block of rows at a time.
template <class T, bool kColumns>
PYNN_INLINE void run_group(const Gemm<T>& g, std::int64_t first, std::int64_t end, std::int64_t p, std::int64_t depth, const T* panels,
                           T* scratch) {
  const std::int64_t blocks = ceil_divide(g.m, block_rows(g, end - first));
  const bool copy = copies(g, end - first);
  Strips<T> strips(g, first, p, depth, panels, scratch);
  for (std::int64_t block = 0; block < blocks; ++block) {
    RowBlock<T> rows = rows_in_place<T, kColumns>(g, block * g.m / blocks, (block + 1) * g.m / blocks, p);
    if (copy) rows = copy_block<T, kColumns>(rows, depth, scratch + group_bytes<T>(g.n, g.k) / kSizeOf<T>);
    for (std::int64_t j = first; j < end;) {
      const Strip<T>& strip = strips.at(j);
      run_strip<T, kColumns>(g, strip, rows, p, depth);
      j += strip.columns;
    }
  }
}

template <class T, bool kColumns>
PYNN_INLINE void run_strips(const Gemm<T>& g, bool pack, T* scratch) {
  const std::int64_t block = gemm_block(g.k);
  const std::int64_t group = pack ? gemm_group<T>(g.n, block) : g.n;
  std::int64_t p = 0;
  do {
    const std::int64_t depth = least(block, g.k - p);
    for (std::int64_t first = 0; first < g.n; first += group) {
      const std::int64_t end = least(first + group, g.n);
      const T* panels = pack ? scratch : nullptr;
      if (g.panels) panels = g.panels + p * g.panel_columns + (g.panel_first + first) * depth;
      else if (pack) pack_group(g, first, end, p, depth, scratch);
      run_group<T, kColumns>(g, first, end, p, depth, panels, scratch);
    }
    p += depth;
  } while (p < g.k);
}

template <class T, bool kColumns>
PYNN_INLINE void run_rows(const Gemm<T>& g, T* scratch) {
  TileTask<T> task{g.a, g.a_stride, g.b, g.b_stride, g.k, g.c, g.c_stride, g.bias, 0, g.activation, false, nullptr};
  for (std::int64_t i = 0; i < g.m; ++i) {
    whole_row<T, kColumns>(task, g.n, g.k > 0 ? gemm_block(g.k) : 1, scratch);
    task.a += kColumns ? 1 : g.a_stride;
    task.c += g.c_stride;
  }
}

template <class T, bool kColumns>
PYNN_INLINE void gemm_by_access(const Gemm<T>& g, T* scratch) {
  const bool rows = g.m == 1 || (g.m < kFewRows && g.n <= tile_columns<T>());
  if (rows && !g.b_columns && !g.panels && !g.rate) return run_rows<T, kColumns>(g, scratch);
  const std::int64_t b_bytes = g.k * g.n * kSizeOf<T>;
  const bool pack = g.panels || packs<T>(g.m, g.k, g.b_columns, g.b_stride);
  if (!pack && g.k <= kDepth && b_bytes <= kResidentBytes && g.m > kTileRows) run_resident<T, kColumns>(g, scratch);
  else run_strips<T, kColumns>(g, pack, scratch);
}

template <class T>
PYNN_INLINE void gemm_of(const Gemm<T>& g, T* scratch) {
  if (g.m <= 0 || g.n <= 0) return;
  if (g.a_columns) gemm_by_access<T, true>(g, scratch);
  else gemm_by_access<T, false>(g, scratch);
}

template <class T>
PYNN_INLINE void pack_panels_of(const Gemm<T>& g, std::int64_t first, std::int64_t end, std::int64_t p, T* panels) {
  const std::int64_t depth = least(gemm_block(g.k), g.k - p);
  pack_group(g, first, end, p, depth, panels + p * g.panel_columns + first * depth);
}

}  // namespace

void gemm(const Gemm<float>& g, void* scratch) noexcept { gemm_of(g, static_cast<float*>(scratch)); }
void gemm(const Gemm<double>& g, void* scratch) noexcept { gemm_of(g, static_cast<double*>(scratch)); }

void pack_panels(const Gemm<float>& g, std::int64_t first, std::int64_t end, std::int64_t p, float* panels) noexcept {
  pack_panels_of(g, first, end, p, panels);
}
void pack_panels(const Gemm<double>& g, std::int64_t first, std::int64_t end, std::int64_t p, double* panels) noexcept {
  pack_panels_of(g, first, end, p, panels);
}

}  // namespace PYNN_TARGET
}  // namespace pynn
