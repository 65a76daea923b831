// Cache lines: memory that is about to be used is asked for, a little at a time, and rows are laid so that they share few sets of a cache.
#pragma once

#include "kernels/integers.h"

namespace pynn {
namespace PYNN_TARGET {

enum class Use { kRead, kWrite };

namespace {

constexpr std::int64_t kExpectedBytes = 256 << 10;  // more would drive out of L2 what is in use there
constexpr std::int64_t kCacheLine = 64;
constexpr std::int64_t kAskDepth = 64;  // products of a tile's sums between two requests: some 0.2 us

// Elements from row to row where rows have n of them: an odd number of cache lines, so that neighbours are in other sets.
template <class T>
constexpr std::int64_t odd_stride(std::int64_t n) {
  constexpr std::int64_t line = kCacheLine / kSizeOf<T>;
  return (ceil_divide(n, line) | 1) * line;
}

// The line at p into L2; p may point anywhere.
template <Use kUse>
PYNN_INLINE void prefetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, kUse == Use::kWrite ? 1 : 0, 2);
#else
  static_cast<void>(p);
#endif
}

// The line at p into L1, for reading.
PYNN_INLINE void prefetch_near(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 0, 3);
#else
  static_cast<void>(p);
#endif
}

// A range of memory that ask() prefetches a few lines of, between products that keep the processor busy. For what lies in short runs
// that no hardware prefetcher foresees.
template <Use kUse>
class Expected {
 public:
  Expected() : at_(nullptr), end_(nullptr), step_(0) {}

  // [begin, end), in so many calls of ask.
  template <class T>
  Expected(const T* begin, const T* end, std::int64_t calls) : Expected() {
    const std::int64_t bytes = (end - begin) * kSizeOf<T>;
    if (bytes <= 0 || bytes > kExpectedBytes || calls <= 0) return;
    at_ = reinterpret_cast<const char*>(begin);
    end_ = reinterpret_cast<const char*>(end);
    step_ = (bytes + calls * kCacheLine - 1) / (calls * kCacheLine) * kCacheLine;
  }

  PYNN_INLINE void ask() {
    const char* stop = end_ - at_ < step_ ? end_ : at_ + step_;
    for (; at_ < stop; at_ += kCacheLine) prefetch<kUse>(at_);
  }

 private:
  const char *at_, *end_;
  std::int64_t step_;
};

}  // namespace

// The same for rows of a few tensors: short runs at long strides. Files share it, so none of it may become a symbol that is merged.
class ExpectedRows {
 public:
  // `count` rows of n elements, `stride` elements apart; null for none.
  template <Use kUse, class T>
  PYNN_INLINE void add(const T* first, std::int64_t stride, std::int64_t n, std::int64_t count) {
    constexpr std::int64_t size = kSizeOf<T>;
    if (!first || n <= 0 || count <= 0) return;
    ranges_[ranges_added_++] = Range{reinterpret_cast<const char*>(first), stride * size, n * size, count, kUse};
    lines_ += count * ((n * size + kCacheLine - 1) / kCacheLine);
  }
  // All that was added, in so many calls of ask.
  PYNN_INLINE void spread(std::int64_t calls) { step_ = calls > 0 ? (lines_ + calls - 1) / calls : 0; }

  PYNN_INLINE void ask() {
    for (std::int64_t left = step_; left > 0 && at_ < ranges_added_;) {
      Range& range = ranges_[at_];
      const std::int64_t stop = byte_ + left * kCacheLine < range.bytes ? byte_ + left * kCacheLine : range.bytes;
      left -= (stop - byte_ + kCacheLine - 1) / kCacheLine;
      if (range.use == Use::kWrite) prefetch_lines<Use::kWrite>(range.row, stop);
      else prefetch_lines<Use::kRead>(range.row, stop);
      if (byte_ < range.bytes) return;
      byte_ = 0;
      range.row += range.stride;
      if (--range.count == 0) ++at_;
    }
  }

 private:
  struct Range {
    const char* row;
    std::int64_t stride, bytes, count;
    Use use;
  };
  template <Use kUse>
  PYNN_INLINE void prefetch_lines(const char* row, std::int64_t stop) {
    for (; byte_ < stop; byte_ += kCacheLine) prefetch<kUse>(row + byte_);
  }

  static constexpr int kMostRanges = 4;
  Range ranges_[kMostRanges];
  int ranges_added_ = 0, at_ = 0;
  std::int64_t lines_ = 0, step_ = 0, byte_ = 0;
};

}  // namespace PYNN_TARGET
}  // namespace pynn
