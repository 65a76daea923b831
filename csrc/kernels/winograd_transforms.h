// Winograd's F(4 x 4, 3 x 3): 16 outputs of a 3 x 3 correlation from a 6 x 6 patch by 36 products instead of 144.
//
//   y = A^T [ (G g G^T) * (B^T d B) ] A      d 6 x 6 input patch, g 3 x 3 filter, y 4 x 4 outputs, * element by element
//
// (Lavin and Gray 2016, points 0, 1, -1, 2, -2, infinity.) Each function below does one side of such a product for a line of vectors; a
// square goes through it twice. All arithmetic is per lane, in a fixed order.
#pragma once

#include "kernels/gemm_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kPatch = 6;     // side of an input patch
constexpr int kOutputs = 4;   // side of its outputs
constexpr int kPoints = kPatch * kPatch;

// B^T d: 6 -> 6
struct InputLine {
  static constexpr int kFrom = 6, kTo = 6;
  template <class T, class V>
  PYNN_INLINE static void apply(const V* d, V* v) {
    const V four = broadcast(T(4)), five = broadcast(T(5)), two = broadcast(T(2));
    const V even = fma(-four, d[2], d[4]), odd = fma(-four, d[1], d[3]);
    const V near = d[4] - d[2], far = two * (d[3] - d[1]);
    v[0] = fma(four, d[0], fma(-five, d[2], d[4]));
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = near + far;
    v[4] = near - far;
    v[5] = fma(four, d[1], fma(-five, d[3], d[5]));
  }
};

// A^T m: 6 -> 4
struct OutputLine {
  static constexpr int kFrom = 6, kTo = 4;
  template <class T, class V>
  PYNN_INLINE static void apply(const V* m, V* y) {
    const V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = fma(broadcast(T(2)), d, b);
    y[2] = fma(broadcast(T(4)), c, a);
    y[3] = fma(broadcast(T(8)), d, b) + m[5];
  }
};

// A e: 4 -> 6, the adjoint of OutputLine
struct GradientLine {
  static constexpr int kFrom = 4, kTo = 6;
  template <class T, class V>
  PYNN_INLINE static void apply(const V* y, V* e) {
    const V two = broadcast(T(2)), four = broadcast(T(4)), eight = broadcast(T(8));
    const V even = y[0] + y[2], odd = y[1] + y[3];
    const V far_even = fma(four, y[2], y[0]), far_odd = fma(eight, y[3], two * y[1]);
    e[0] = y[0];
    e[1] = even + odd;
    e[2] = even - odd;
    e[3] = far_even + far_odd;
    e[4] = far_even - far_odd;
    e[5] = y[3];
  }
};

// G g: 3 -> 6
struct FilterLine {
  static constexpr int kFrom = 3, kTo = 6;
  template <class T, class V>
  PYNN_INLINE static void apply(const V* g, V* u) {
    const V ends = (g[0] + g[2]) * broadcast(T(1) / T(6)), middle = g[1] * broadcast(T(1) / T(6));
    const V far_ends = fma(g[0], broadcast(T(1) / T(24)), g[2] * broadcast(T(1) / T(6))), far_middle = g[1] * broadcast(T(1) / T(12));
    u[0] = g[0] * broadcast(T(0.25));
    u[1] = -ends - middle;
    u[2] = middle - ends;
    u[3] = far_ends + far_middle;
    u[4] = far_ends - far_middle;
    u[5] = g[2];
  }
};

// G^T s: 6 -> 3, the adjoint of FilterLine
struct FilterGradientLine {
  static constexpr int kFrom = 6, kTo = 3;
  template <class T, class V>
  PYNN_INLINE static void apply(const V* s, V* w) {
    const V sixth = broadcast(T(1) / T(6));
    const V near = (s[1] + s[2]) * sixth, far = s[3] + s[4];
    w[0] = fma(s[0], broadcast(T(0.25)), fma(far, broadcast(T(1) / T(24)), -near));
    w[1] = fma(s[3] - s[4], broadcast(T(1) / T(12)), (s[2] - s[1]) * sixth);
    w[2] = fma(far, sixth, s[5] - near);
  }
};

// Line x (kFrom x kFrom) x Line^T -> to (kTo x kTo), both row by row; rows first.
template <class T, class Line, class V>
PYNN_INLINE void transform_square(const V* from, V* to) {
  V half[Line::kFrom * Line::kTo];
  PYNN_UNROLL
  for (int r = 0; r < Line::kFrom; ++r) Line::template apply<T>(from + r * Line::kFrom, half + r * Line::kTo);
  PYNN_UNROLL
  for (int c = 0; c < Line::kTo; ++c) {
    V column[Line::kFrom], result[Line::kTo];
    PYNN_UNROLL
    for (int r = 0; r < Line::kFrom; ++r) column[r] = half[r * Line::kTo + c];
    Line::template apply<T>(column, result);
    PYNN_UNROLL
    for (int r = 0; r < Line::kTo; ++r) to[r * Line::kTo + c] = result[r];
  }
}

// The 36 points of a vector of channels in planes `plane` elements apart. Loops in two levels, which compilers unroll whole: otherwise the values go by way of
// memory a second time.
template <class T>
PYNN_INLINE void load_points(const T* from, std::int64_t plane, typename Simd<T>::V* points) {
  PYNN_UNROLL
  for (int i = 0; i < kPatch; ++i) {
    PYNN_UNROLL
    for (int j = 0; j < kPatch; ++j) points[i * kPatch + j] = load<T>(from + (i * kPatch + j) * plane);
  }
}
template <class T>
PYNN_INLINE void store_points(const typename Simd<T>::V* points, T* to, std::int64_t plane) {
  PYNN_UNROLL
  for (int i = 0; i < kPatch; ++i) {
    PYNN_UNROLL
    for (int j = 0; j < kPatch; ++j) store<T>(to + (i * kPatch + j) * plane, points[i * kPatch + j]);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
