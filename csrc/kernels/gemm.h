// A matrix product on one thread, for any kernel: C = act(A B + bias).
//
//   sum(i, j) = block(0) + block(1) + ...   with block(q) = sum over the p of block q of A(i, p) * B(p, j), in order, from zero
//   C(i, j)   = act(sum(i, j) [+ bias(j)])
//
// K is cut into equal blocks of at most kDepth by its own length (gemm_block), so the bits of C(i, j) depend on row i of A,
// column j of B, bias(j), k and act, never on m, n, strides, transposition or the path taken (gemm.cc).
#pragma once

#include "kernels/cache.h"
#include "kernels/gemm_tasks.h"
#include "kernels/integers.h"

namespace pynn {
namespace PYNN_TARGET {

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

// Computes the product; scratch has gemm_scratch_bytes<T>(g.n, g.k). C overlaps neither A nor B. m, n or k may be 0.
void gemm(const Gemm<float>& g, void* scratch) noexcept;
void gemm(const Gemm<double>& g, void* scratch) noexcept;

// Packs columns [first, end) of B over the block of K that starts at p, to where gemm finds them; `panels` has room for
// k * panel_columns elements.
void pack_panels(const Gemm<float>& g, std::int64_t first, std::int64_t end, std::int64_t p, float* panels) noexcept;
void pack_panels(const Gemm<double>& g, std::int64_t first, std::int64_t end, std::int64_t p, double* panels) noexcept;

namespace {

constexpr std::int64_t kDepth = 256;                // longest block of K
constexpr std::int64_t kDirectBytes = 512 << 10;    // a row-major B up to this size is not packed,
constexpr std::int64_t kDirectBlock = 256 << 10;    // nor one whose block of K has at most this size,
constexpr std::int64_t kDirectRows = 36;            // nor one that is used by so few rows
constexpr std::int64_t kRowBlock = 120;             // rows under one group of strips: A's block stays in L2,
constexpr std::int64_t kGroupBytes = 512 << 10;     // and so does the group, packed
constexpr std::int64_t kCopyStride = 2048;          // rows a multiple of so many bytes apart share few sets of L1:
constexpr std::int64_t kCopyStrips = 8;             // so many strips use a row of A often enough to copy it,
constexpr std::int64_t kFarCopyStrips = 4;          // or so many where a tile's rows are more than a set holds, at twice that distance

// The length of K's blocks: equal ones of at most kDepth, whole multiples of 4.
constexpr std::int64_t gemm_block(std::int64_t k) { return k <= kDepth ? k : (ceil_divide(k, ceil_divide(k, kDepth)) + 3) / 4 * 4; }

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

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
