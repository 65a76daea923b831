// From pixel to pixel of those that a tile may take together.
#pragma once

#include "kernels/conv_tile.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// Walks the pixels of a row class x a column class, image by image, row by row.
template <class T>
struct PixelWalk {
  const TapClass& row;
  const TapClass& col;
  const Pixels<const T>& source;
  const Pixels<T>& out;
  std::int64_t image, r, c;

  PYNN_INLINE void take(int count, const T** from, T** to) {
    const std::int64_t source_step = col.source_step * source.pixel, out_step = col.position_step * out.pixel;
    const T* at = source_at();
    T* target = out_at();
    if (c + count < col.count) {  // all in one row
      for (int i = 0; i < count; ++i) {
        from[i] = at + i * source_step;
        to[i] = target + i * out_step;
      }
      c += count;
      return;
    }
    for (int i = 0; i < count; ++i) {
      from[i] = at;
      to[i] = target;
      at += source_step;
      target += out_step;
      if (++c < col.count) continue;
      c = 0;
      if (++r == row.count) {
        r = 0;
        ++image;
      }
      at = source_at();
      target = out_at();
    }
  }
  void restart(std::int64_t first_image, std::int64_t pixel) {
    image = first_image + pixel / (row.count * col.count);
    r = pixel / col.count % row.count;
    c = pixel % col.count;
  }
  PYNN_INLINE const T* source_at() const {
    return source.base + image * source.image + (row.first_source + r * row.source_step) * source.row +
           (col.first_source + c * col.source_step) * source.pixel;
  }
  PYNN_INLINE T* out_at() const {
    return out.base + image * out.image + (row.first_position + r * row.position_step) * out.row +
           (col.first_position + c * col.position_step) * out.pixel;
  }
};

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
