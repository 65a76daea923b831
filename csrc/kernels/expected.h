// Prefetching memory that is about to be used, a little at a time.
#pragma once

#include <cstdint>

#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kExpectedBytes = 256 << 10;  // more would drive out of L2 what is in use there
constexpr std::int64_t kCacheLine = 64;

enum class Use { kRead, kWrite };

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
    const std::int64_t bytes = (end - begin) * static_cast<std::int64_t>(sizeof(T));
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
}  // namespace PYNN_TARGET
}  // namespace pynn
