// Walks over one tensor in order while the other end is addressed by strides: the core of every op that only moves elements.
#pragma once

#include "kernels/ranges.h"
#include "kernels/specs.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMaxWalkRank = 2 * kMaxRank;

// The packed side has shape dims; element (i, j, ...) of it belongs to element offset + i * strides[0] + j * strides[1] + ... of the
// strided side. Strides may be zero or negative.
struct Walk {
  int rank = 0;
  std::int64_t offset = 0;
  std::int64_t dims[kMaxWalkRank];
  std::int64_t strides[kMaxWalkRank];

  // Adds an inner axis: axes of length 1 vanish, an axis that continues the one before it joins it.
  void push(std::int64_t length, std::int64_t stride) {
    if (length == 1) return;
    if (rank > 0 && strides[rank - 1] == stride * length) {
      dims[rank - 1] *= length;
      strides[rank - 1] = stride;
      return;
    }
    append(length, stride);
  }
  // Adds an inner axis as it is.
  void append(std::int64_t length, std::int64_t stride) {
    dims[rank] = length;
    strides[rank++] = stride;
  }
  std::int64_t inner() const { return rank ? dims[rank - 1] : 1; }
  std::int64_t inner_stride() const { return rank ? strides[rank - 1] : 1; }
  std::int64_t rows() const { return elements(dims, 0, rank - 1); }
};

PYNN_INLINE void contiguous_strides(const std::int64_t* dims, int rank, std::int64_t* strides) {
  std::int64_t stride = 1;
  for (int axis = rank - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= dims[axis];
  }
}

// The position of a row of the packed side (an index over all axes but the last), kept up to date as rows go by.
struct Odometer {
  const Walk& walk;
  int axes;
  std::int64_t at;  // where the row starts on the strided side
  std::int64_t index[kMaxWalkRank];

  Odometer(const Walk& w, std::int64_t row) : walk(w), axes(w.rank - 1), at(w.offset) {
    for (int axis = axes - 1; axis >= 0; --axis) {
      index[axis] = row % w.dims[axis];
      at += index[axis] * w.strides[axis];
      row /= w.dims[axis];
    }
  }
  void next() {
    for (int axis = axes - 1; axis >= 0; --axis) {
      at += walk.strides[axis];
      if (++index[axis] < walk.dims[axis]) return;
      at -= walk.dims[axis] * walk.strides[axis];
      index[axis] = 0;
    }
  }
};

// to[i] = from[-i]
#if defined(PYNN_VECTOR_EXTENSIONS)
constexpr int kTurned = 8;  // elements turned round at once
template <class U>
PYNN_INLINE void turn_round(U* to, const U* from) {
  typedef U Group __attribute__((vector_size(kTurned * sizeof(U)), aligned(1), may_alias));
  const Group& group = *reinterpret_cast<const Group*>(from - (kTurned - 1));
#if defined(__clang__)
  *reinterpret_cast<Group*>(to) = __builtin_shufflevector(group, group, 7, 6, 5, 4, 3, 2, 1, 0);
#else
  typedef decltype(group == group) Order;
  *reinterpret_cast<Group*>(to) = __builtin_shuffle(group, Order{7, 6, 5, 4, 3, 2, 1, 0});
#endif
}
#else
constexpr int kTurned = 1;
template <class U>
PYNN_INLINE void turn_round(U* to, const U* from) {
  *to = *from;
}
#endif
template <class U>
PYNN_INLINE void copy_turned(U* to, const U* from, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kTurned <= n; i += kTurned) turn_round(to + i, from - i);
  for (; i < n; ++i) to[i] = from[-i];
}

// packed[i] = strided[i * stride]
template <class U>
PYNN_INLINE void read_row(U* packed, const U* strided, std::int64_t n, std::int64_t stride) {
  if (stride == 1 && n * kSizeOf<U> >= 64) {
    std::memcpy(packed, strided, static_cast<std::size_t>(n) * sizeof(U));
    return;
  }
  if (stride == -1) return copy_turned(packed, strided, n);
  for (std::int64_t i = 0; i < n; ++i) packed[i] = strided[i * stride];
}

// strided[i * stride] = packed[i]
template <class U>
PYNN_INLINE void write_row(U* strided, const U* packed, std::int64_t n, std::int64_t stride) {
  if (stride == 1 && n * kSizeOf<U> >= 64) {
    std::memcpy(strided, packed, static_cast<std::size_t>(n) * sizeof(U));
    return;
  }
  if (stride == -1) return copy_turned(strided - (n - 1), packed + (n - 1), n);
  for (std::int64_t i = 0; i < n; ++i) strided[i * stride] = packed[i];
}

template <class U>
void read_rows(const Walk& walk, const U* strided, U* packed, Range rows) {
  Odometer odometer(walk, rows.first);
  const std::int64_t n = walk.inner();
  for (std::int64_t row = rows.first; row < rows.last; ++row, odometer.next())
    read_row(packed + row * n, strided + odometer.at, n, walk.inner_stride());
}

template <class U>
void write_rows(const Walk& walk, U* strided, const U* packed, Range rows) {
  Odometer odometer(walk, rows.first);
  const std::int64_t n = walk.inner();
  for (std::int64_t row = rows.first; row < rows.last; ++row, odometer.next())
    write_row(strided + odometer.at, packed + row * n, n, walk.inner_stride());
}

// ---- transposition: the packed side's last axis is strided, another axis of it has stride 1 ---------------------------------

constexpr std::int64_t kTile = 8;
constexpr std::int64_t kStrip = 16;  // columns; a cache line of floats

// The axis with stride 1, or -1 where rows are better read one by one.
PYNN_INLINE int unit_axis(const Walk& walk) {
  if (walk.inner_stride() == 1 || walk.inner_stride() == 0) return -1;
  for (int axis = 0; axis + 1 < walk.rank; ++axis)
    if (walk.strides[axis] == 1 && walk.dims[axis] > 1) return axis;
  return -1;
}

// to[j * to_stride + i] = from[i * from_stride + j] for i, j < kTile
template <class U>
PYNN_INLINE void transpose_tile(const U* from, std::int64_t from_stride, U* to, std::int64_t to_stride) {
  for (std::int64_t j = 0; j < kTile; ++j)
    for (std::int64_t i = 0; i < kTile; ++i) to[j * to_stride + i] = from[i * from_stride + j];
}
#if defined(PYNN_TARGET_AVX2) || defined(PYNN_TARGET_AVX512)
// Eight rows in registers: pairs of elements, then quadruples, then halves change places.
PYNN_INLINE void transpose_tile(const std::uint32_t* from, std::int64_t from_stride, std::uint32_t* to, std::int64_t to_stride) {
  __m256 row[kTile], mixed[kTile];
  for (int i = 0; i < kTile; ++i) row[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(from + i * from_stride));
  for (int i = 0; i < kTile; i += 2) {
    mixed[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    mixed[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < kTile; i += 4) {
    row[i] = _mm256_shuffle_ps(mixed[i], mixed[i + 2], 0x44);
    row[i + 1] = _mm256_shuffle_ps(mixed[i], mixed[i + 2], 0xEE);
    row[i + 2] = _mm256_shuffle_ps(mixed[i + 1], mixed[i + 3], 0x44);
    row[i + 3] = _mm256_shuffle_ps(mixed[i + 1], mixed[i + 3], 0xEE);
  }
  for (int j = 0; j < 4; ++j) {
    float* low = reinterpret_cast<float*>(to + j * to_stride);
    float* high = reinterpret_cast<float*>(to + (j + 4) * to_stride);
    _mm256_storeu_ps(low, _mm256_permute2f128_ps(row[j], row[j + 4], 0x20));
    _mm256_storeu_ps(high, _mm256_permute2f128_ps(row[j], row[j + 4], 0x31));
  }
}
#endif

// to[j * to_stride + i] = from[i * from_stride + j] for j < columns, i < n
template <class U>
PYNN_INLINE void transpose_strip(const U* from, std::int64_t from_stride, U* to, std::int64_t to_stride, std::int64_t n,
                                 std::int64_t columns) {
  const std::int64_t tiled = columns / kTile * kTile;
  std::int64_t i = 0;
  for (; i + kTile <= n; i += kTile) {
    if (tiled) transpose_tile(from + i * from_stride, from_stride, to + i, to_stride);
    if (tiled == kStrip) transpose_tile(from + i * from_stride + kTile, from_stride, to + kTile * to_stride + i, to_stride);
    for (std::int64_t j = tiled; j < columns; ++j)
      for (std::int64_t k = i; k < i + kTile; ++k) to[j * to_stride + k] = from[k * from_stride + j];
  }
  for (; i < n; ++i)
    for (std::int64_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
}

// A transposition's work, cut into strips: kStrip steps along the unit axis, all of the last axis.
struct Strips {
  Walk outer;                      // the other axes, of both sides
  std::int64_t packed_strides[kMaxWalkRank];
  std::int64_t columns, n, from_stride, to_stride, per_item;

  Strips(const Walk& walk, int unit) {
    std::int64_t all[kMaxWalkRank];
    contiguous_strides(walk.dims, walk.rank, all);
    outer.offset = walk.offset;
    for (int axis = 0; axis + 1 < walk.rank; ++axis) {
      if (axis == unit) continue;
      outer.dims[outer.rank] = walk.dims[axis];
      outer.strides[outer.rank] = walk.strides[axis];
      packed_strides[outer.rank++] = all[axis];
    }
    columns = walk.dims[unit];
    to_stride = all[unit];
    n = walk.inner();
    from_stride = walk.inner_stride();
    per_item = ceil_divide(columns, kStrip);
  }
  std::int64_t count() const { return elements(outer.dims, 0, outer.rank) * per_item; }
};

template <class U>
void transpose_strips(const Strips& strips, const U* strided, U* packed, Range range) {
  for (std::int64_t strip = range.first; strip < range.last; ++strip) {
    std::int64_t item = strip / strips.per_item, from = strips.outer.offset, to = 0;
    for (int axis = strips.outer.rank - 1; axis >= 0; --axis) {
      const std::int64_t index = item % strips.outer.dims[axis];
      item /= strips.outer.dims[axis];
      from += index * strips.outer.strides[axis];
      to += index * strips.packed_strides[axis];
    }
    const std::int64_t column = strip % strips.per_item * kStrip;
    transpose_strip(strided + from + column, strips.from_stride, packed + to + column * strips.to_stride, strips.to_stride,
                    strips.n, least(kStrip, strips.columns - column));
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
