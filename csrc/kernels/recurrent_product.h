// Products of recurrent layers: a few rows by a weight matrix, and weight gradients over all steps of a batch.
//
// Matrices that are read many times in a call are packed once into panels of tile_columns<T>() columns, zeros behind the last
// one: element (p, j) of panel q is at data + q * panel + p * stride + j. A matrix that is small and whole in vectors is used
// where it lies: stride = its row length, panel = tile_columns<T>(). Both give the same bits.
#pragma once

#include "kernels/cache.h"
#include "kernels/gemm_tile.h"
#include "kernels/integers.h"

namespace pynn {
namespace PYNN_TARGET {

// A (k, n) matrix in panels.
template <class T>
struct PanelMatrix {
  const T* data;
  std::int64_t stride, panel, k, n;
};

// Rows of a matrix, `stride` elements apart.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;
  PYNN_INLINE T* row(std::int64_t i) const { return data + i * stride; }
};

enum Finish : int { kStore = 0, kAdd = 1 };
// The order in which a product goes over the columns. Where a sequence multiplies by the same weights at each step and they are more
// than a cache holds, every other step goes backwards: it begins with the columns that the step before read last.
enum Walk : int { kForwards = 0, kBackwards = 1 };

struct ProductOptions {
  Walk walk = kForwards;
  ExpectedRows* expected = nullptr;  // asked for while the sums of more than four rows run
};

template <class T>
struct RowProduct {
  Rows<const T> a;
  Rows<T> c;
  std::int64_t k;
  const T* bias;  // of the columns, or null; for kStore only
  Finish finish;
  ProductOptions options;
};

// c(i, :) = a(i, :) b + bias for i < rows, or c(i, :) += a(i, :) b.
void multiply_rows(const RowProduct<float>& product, std::int64_t rows, const PanelMatrix<float>& b) noexcept;
void multiply_rows(const RowProduct<double>& product, std::int64_t rows, const PanelMatrix<double>& b) noexcept;

// Panel q of the (k, n) matrix at b with rows `stride` apart -> to.
void pack_panel(const float* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, float* to) noexcept;
void pack_panel(const double* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, double* to) noexcept;
// Panel q of the transpose of the (n, k) matrix at b with rows `stride` apart, its column p at row p of the panel -> to.
void pack_transposed_panel(const float* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, float* to) noexcept;
void pack_transposed_panel(const double* b, std::int64_t stride, std::int64_t k, std::int64_t n, std::int64_t q, double* to) noexcept;

// ---- weight gradients: out(i, j) = sum over rows r of a(r, i) b(r, j) --------------------------------------------------
//
// Both operands lie as rows of any stride, with a panel's width readable from any column of b on. The sum runs in blocks of
// kReductionBlock rows, each from zero, added in order.

// out(i, j) for i < width, j < columns (at most a panel): the block of `k` rows that a and b begin at.
void reduce_panel(const Rows<const float>& a, std::int64_t width, const Rows<const float>& b, std::int64_t k, const Rows<float>& out, int columns,
                  bool first) noexcept;
void reduce_panel(const Rows<const double>& a, std::int64_t width, const Rows<const double>& b, std::int64_t k, const Rows<double>& out, int columns,
                  bool first) noexcept;
// to[j] = [to[j] +] sum over `count` rows for the columns of a panel; part by part, in the canonical order (sum.h).
void sum_panel(const Rows<const float>& b, std::int64_t count, float* to, int columns, bool first) noexcept;
void sum_panel(const Rows<const double>& b, std::int64_t count, double* to, int columns, bool first) noexcept;

namespace {

// Rows over which a weight gradient is summed in registers; a panel of the gate gradients then stays in L1.
constexpr std::int64_t kReductionBlock = 256;
// An unpacked matrix above this size loses more in the caches than packing costs.
constexpr std::int64_t kUnpackedBytes = 1 << 15;
// And from so many rows on packing pays for itself.
constexpr std::int64_t kPackedRows = 32;

template <class T>
constexpr std::int64_t panel_columns() {
  return tile_columns<T>();
}
template <class T>
PYNN_INLINE std::int64_t padded_columns(std::int64_t n) {
  return ceil_divide(n, panel_columns<T>()) * panel_columns<T>();
}

template <class T>
PYNN_INLINE PanelMatrix<T> packed_matrix(const T* data, std::int64_t k, std::int64_t n) {
  return PanelMatrix<T>{data, panel_columns<T>(), k * panel_columns<T>(), k, n};
}
template <class T>
PYNN_INLINE PanelMatrix<T> plain_matrix(const T* data, std::int64_t row_length, std::int64_t k, std::int64_t n) {
  return PanelMatrix<T>{data, row_length, panel_columns<T>(), k, n};
}

// Whether a (k, n) weight is worth packing for products with `rows` rows in all.
template <class T>
PYNN_INLINE bool worth_packing(std::int64_t k, std::int64_t n, std::int64_t rows) {
  if (n % Simd<T>::kLanes != 0) return true;  // a plain matrix has no padding to read
  return rows >= kPackedRows && k * n * kSizeOf<T> > kUnpackedBytes;
}

template <class T>
PYNN_INLINE Rows<const T> constant(const Rows<T>& rows) {
  return Rows<const T>{rows.data, rows.stride};
}

PYNN_INLINE Walk walk_of(std::int64_t step) { return step % 2 == 0 ? kForwards : kBackwards; }
// Piece `index` of `count` on that walk.
PYNN_INLINE std::int64_t on_walk(Walk walk, std::int64_t index, std::int64_t count) { return walk == kForwards ? index : count - 1 - index; }

// c(i, :) = a(i, :) b + bias for i < rows; every element is one sum over k from zero, then the bias, null for none.
template <class T>
PYNN_INLINE void multiply(const Rows<const T>& a, std::int64_t rows, const PanelMatrix<T>& b, const Rows<T>& c, const T* bias,
                          const ProductOptions& options = ProductOptions()) {
  multiply_rows(RowProduct<T>{a, c, b.k, bias, kStore, options}, rows, b);
}
// c(i, :) += a(i, :) b
template <class T>
PYNN_INLINE void multiply_add(const Rows<const T>& a, std::int64_t rows, const PanelMatrix<T>& b, const Rows<T>& c,
                              const ProductOptions& options) {
  multiply_rows(RowProduct<T>{a, c, b.k, nullptr, kAdd, options}, rows, b);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
