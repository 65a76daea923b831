// A matrix product on one thread, for any kernel: C = act(A B + bias).
//
//   sum(i, j) = block(0) + block(1) + ...   with block(q) = sum over the p of block q of A(i, p) * B(p, j), in order, from zero
//   C(i, j)   = act(sum(i, j) [+ bias(j)])
//
// K is cut into equal blocks of at most kDepth by its own length (gemm_block), so the bits of C(i, j) depend on row i of A,
// column j of B, bias(j), k and act, never on m, n, strides, transposition or the path taken here.
//
// Paths. B is read where it lies if it is row-major and small, or m is; else a group of strips is packed into `scratch` right
// before all rows use it: a 256 x 16 strip is 16 KB, so it stays in L1 while A streams through from L2. Who cuts a product along
// m packs B once for all parts (pack_panels). Under a wide C it is the other way round: a few rows of A stay in L1 while the group
// streams through. A is read where it lies, too, as the tile takes rows and columns alike; only rows that are so far apart that they
// share few sets of the caches are copied together (copy_block) where many strips use them. Row tiles are balanced (32 rows are
// 6+6+5+5+5+5): fewer than 4 rows can't hide fma's latency. So one row, and few rows over one or two vectors, have a path of their
// own (gemm_narrow.h).
#pragma once

#include <cstring>

#include "kernels/gemm_narrow.h"
#include "kernels/gemm_pack.h"
#include "kernels/integers.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kDepth = 256;                   // longest block of K
constexpr std::int64_t kDirectBytes = 512 << 10;       // a row-major B up to this size is not packed,
constexpr std::int64_t kDirectBlock = 256 << 10;       // nor one whose block of K has at most this size,
constexpr std::int64_t kDirectRows = 36;               // nor one that is used by so few rows
constexpr std::int64_t kFewRows = 4;                   // fewer can't hide fma's latency
constexpr std::int64_t kResidentBytes = 24 << 10;      // a B up to this size stays in L1 under all rows
constexpr std::int64_t kRowBlock = 120;                // rows under one group of strips: A's block stays in L2,
constexpr std::int64_t kGroupBytes = 512 << 10;        // and so does the group, packed
constexpr std::int64_t kWrittenColumns = 4;            // times K: a C that is mostly written,
constexpr std::int64_t kWrittenBytes = 128 << 10;      // and which L2 has no room for under a block of A's rows
constexpr std::int64_t kCopyStride = 2048;             // rows a multiple of so many bytes apart share few sets of L1:
constexpr std::int64_t kCopyStrips = 8;                // so many strips use a row of A often enough to copy it,
constexpr std::int64_t kFarCopyStrips = 4;             // or so many where a tile's rows are more than a set holds, at twice that distance

template <class T>
struct Gemm {
  std::int64_t m, n, k;
  const T* a;  // A(i, p) = a[i * a_stride + p], or a[p * a_stride + i] if a_columns
  std::int64_t a_stride;
  const T* b;  // B(p, j) = b[p * b_stride + j], or b[j * b_stride + p] if b_columns
  std::int64_t b_stride;
  T* c;  // C(i, j) = c[i * c_stride + j]
  std::int64_t c_stride;
  bool a_columns;
  bool b_columns;
  const T* bias;  // n elements, or null
  std::int32_t activation;
  const T* rate;               // C = C - *rate * (A B), both rounded, in place of A B, for k <= kDepth; or null
  const T* panels;             // B packed by pack_panels, in place of b, or null
  std::int64_t panel_first;    // the column of the packed B that is column 0 here, the first of a strip,
  std::int64_t panel_columns;  // and how many there are, in whole strips
};

// The length of K's blocks: equal ones of at most kDepth, whole multiples of 4.
constexpr std::int64_t gemm_block(std::int64_t k) { return k <= kDepth ? k : (ceil_divide(k, ceil_divide(k, kDepth)) + 3) / 4 * 4; }

// Columns of B that are packed at once: whole strips.
template <class T>
PYNN_INLINE std::int64_t gemm_group(std::int64_t n, std::int64_t depth) {
  constexpr std::int64_t width = tile_columns<T>();
  const std::int64_t columns = kGroupBytes / kSizeOf<T> / (depth > 0 ? depth : 1) / width * width;
  return least(ceil_divide(n, width) * width, most(columns, width));
}

// Whether gemm packs B.
template <class T>
PYNN_INLINE bool packs(std::int64_t m, std::int64_t k, bool b_columns, std::int64_t b_stride) {
  const std::int64_t row = b_stride * kSizeOf<T>;
  return b_columns || (m > kDirectRows && k * row > kDirectBytes && gemm_block(k) * row > kDirectBlock);
}

// Bytes of a copied block of A, by rows or by columns; 0 for products that never copy.
template <class T>
constexpr std::int64_t copy_bytes(std::int64_t n, std::int64_t k) {
  const std::int64_t depth = gemm_block(k), by_rows = kRowBlock * odd_stride<T>(depth), by_columns = depth * odd_stride<T>(kRowBlock);
  if (n < kFarCopyStrips * tile_columns<T>()) return 0;
  return (by_rows > by_columns ? by_rows : by_columns) * kSizeOf<T>;
}

// Bytes that the packed strips of one group need. A shorter k may take a wider group, up to kGroupBytes.
template <class T>
constexpr std::int64_t group_bytes(std::int64_t n, std::int64_t k) {
  constexpr std::int64_t width = tile_columns<T>();
  const std::int64_t column = gemm_block(k) * kSizeOf<T>;
  const std::int64_t whole = ceil_divide(n, width) * width * column, strip = width * column;
  return least(whole, strip > kGroupBytes ? strip : kGroupBytes);
}

// Bytes of scratch that gemm needs for products with at most this n and k.
template <class T>
PYNN_INLINE std::int64_t gemm_scratch_bytes(std::int64_t n, std::int64_t k) {
  return group_bytes<T>(n, k) + copy_bytes<T>(n, k);
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

// Packs columns [first, end) of B over the block of K that starts at p, to where gemm finds them; `panels` has room for
// k * panel_columns elements.
template <class T>
PYNN_NOINLINE void pack_panels(const Gemm<T>& g, std::int64_t first, std::int64_t end, std::int64_t p, T* panels) {
  const std::int64_t depth = least(gemm_block(g.k), g.k - p);
  pack_group(g, first, end, p, depth, panels + p * g.panel_columns + first * depth);
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

// Computes the product; scratch has gemm_scratch_bytes<T>(g.n, g.k). C overlaps neither A nor B. m, n or k may be 0.
template <class T>
PYNN_NOINLINE void gemm(const Gemm<T>& g, void* scratch) {
  if (g.m <= 0 || g.n <= 0) return;
  if (g.a_columns) gemm_by_access<T, true>(g, static_cast<T*>(scratch));
  else gemm_by_access<T, false>(g, static_cast<T*>(scratch));
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
