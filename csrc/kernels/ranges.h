// How a kernel cuts its elements (or rows) into chunks, by the amount only, so that every thread count sees the same cuts; and what going over
// them costs.
#pragma once

#include "base/kernel.h"
#include "kernels/integers.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// From `first` up to `last`, which is behind the last one.
struct Range {
  std::int64_t first, last;
  PYNN_INLINE std::int64_t length() const { return last - first; }
};

// Length of a chunk: at least `smallest`, a multiple of `unit`, and long enough that `total` makes 32 chunks at most.
PYNN_INLINE std::int64_t chunk_length(std::int64_t total, std::int64_t smallest, std::int64_t unit) {
  return ceil_divide(most(most(smallest, 1), ceil_divide(total, 32)), unit) * unit;
}

// Sets the chunks of a phase over `total` items and returns the length of one.
PYNN_INLINE std::int64_t split(Plan* plan, int phase, std::int64_t total, std::int64_t smallest, std::int64_t unit) {
  const std::int64_t length = chunk_length(total, smallest, unit);
  plan->chunks[phase] = ceil_divide(total, length);
  return length;
}

// The items of chunks [begin, end).
PYNN_INLINE Range chunk_range(std::int64_t begin, std::int64_t end, std::int64_t length, std::int64_t total) {
  return {begin * length, least(end * length, total)};
}

constexpr double kBytesPerNs = 30;  // that one thread reads or writes, of what caches hold

// Estimate of the time for so many passes over memory.
constexpr double streaming_ns(std::int64_t bytes, double passes = 1) { return static_cast<double>(bytes) * passes / kBytesPerNs; }

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
