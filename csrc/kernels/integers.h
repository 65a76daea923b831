// Whole numbers: sizes, the smaller and the larger of two, rounding up, and products that may be too large.
#pragma once

#include "simd/types.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

template <class T>
constexpr std::int64_t kSizeOf = static_cast<std::int64_t>(sizeof(T));

PYNN_INLINE constexpr std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
PYNN_INLINE constexpr std::int64_t most(std::int64_t a, std::int64_t b) { return a > b ? a : b; }
PYNN_INLINE constexpr std::int64_t clamped(std::int64_t x, std::int64_t low, std::int64_t high) { return most(low, least(x, high)); }
// For b > 0.
PYNN_INLINE constexpr std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// Bytes that no machine has; those of a thousand threads can still be counted.
constexpr std::int64_t kBeyondMemory = std::int64_t{1} << 50;
// a b for a, b >= 0, but kBeyondMemory at most.
PYNN_INLINE constexpr std::int64_t bounded_product(std::int64_t a, std::int64_t b) { return b > 0 && a > kBeyondMemory / b ? kBeyondMemory : a * b; }

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
