// One instruction over a block of elements.
#pragma once

#include "base/kernel.h"
#include "kernels/elementwise_functions.h"
#include "kernels/ranges.h"
#include "simd/bytes.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kMaxBlock = 512;  // elements
constexpr std::int64_t kPad = 16;        // elements behind a copy of a block that loads may write

// out[i] = f(a[i], b[i], c[i]) for i < n. Scalar operands are read from their first element only. `out` may be an operand.
template <class T>
using BlockFunction = void (*)(const T* a, const T* b, const T* c, T* out, std::int64_t n, T p, T q);

template <class T, bool kUsed, bool kScalar>
struct Source {
  typedef typename Simd<T>::V V;
  const T* data;
  V first;

  PYNN_INLINE explicit Source(const T* d) : data(d), first(kUsed && kScalar ? broadcast(*d) : zero<T>()) {}
  PYNN_INLINE V at(std::int64_t i) const {
    if constexpr (kUsed && !kScalar) return load(data + i);
    return first;
  }
  PYNN_INLINE V one(std::int64_t i) const {
    if constexpr (kUsed && !kScalar) return broadcast(data[i]);
    return first;
  }
  PYNN_INLINE V at(std::int64_t i, int count) const {
    if constexpr (kUsed && !kScalar) return load_partial(data + i, count);
    return first;
  }
};

// Bit k of kScalars: operand k is a scalar.
template <class T, int kCode, int kScalars>
void run_block(const T* a, const T* b, const T* c, T* out, std::int64_t n, T p, T q) {
  constexpr int lanes = Simd<T>::kLanes, arity = arity_of(kCode);
  const Source<T, true, (kScalars & 1) != 0> x(a);
  const Source<T, (arity > 1), (kScalars & 2) != 0> y(b);
  const Source<T, (arity > 2), (kScalars & 4) != 0> z(c);
  const typename Simd<T>::V vp = broadcast(p), vq = broadcast(q);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(out + i, Function<kCode>::of(x.at(i), y.at(i), z.at(i), vp, vq));
  const int rest = static_cast<int>(n - i);
  if (rest == 1) {  // a number goes through the processor's queue of stores as such, a masked vector doesn't
    out[i] = Function<kCode>::of(x.one(i), y.one(i), z.one(i), vp, vq)[0];
  } else if (rest > 0) store_partial(out + i, Function<kCode>::of(x.at(i, rest), y.at(i, rest), z.at(i, rest), vp, vq), rest);
}

// Tables of functions by opcode and variant have a `Pointer`, `variants(arity)`, their number, and `of<code, variant>()`.
template <class Table, int kCode, int kVariant>
PYNN_INLINE typename Table::Pointer search_variants(int variant) {
  if constexpr (kVariant + 1 < Table::variants(arity_of(kCode)))
    return variant == kVariant ? Table::template of<kCode, kVariant>() : search_variants<Table, kCode, kVariant + 1>(variant);
  else return Table::template of<kCode, kVariant>();
}

template <class Table, int kFirst, int kEnd>
PYNN_INLINE typename Table::Pointer search_codes(int code, int variant) {
  if constexpr (kFirst < kEnd) {
    if (code == kFirst) return search_variants<Table, kFirst, 0>(variant);
    return search_codes<Table, kFirst + 1, kEnd>(code, variant);
  } else {
    return nullptr;
  }
}

template <class Table>
PYNN_NOINLINE typename Table::Pointer find_function(int code, int variant) {
  switch (arity_of(code)) {
    case 1: return search_codes<Table, kIdentity, kUnaryEnd>(code, variant);
    case 2: return search_codes<Table, kAdd, kBinaryEnd>(code, variant);
    default: return search_codes<Table, kWhere, kTernaryEnd>(code, variant);
  }
}

// The variants of an instruction by its scalar operands. There always is an operand that isn't one; a program runs instructions over
// scalars alone with n = 1.
constexpr int scalar_variants(int arity) { return (1 << arity) - 1; }

template <class T>
struct BlockFunctions {
  typedef BlockFunction<T> Pointer;
  static constexpr int variants(int arity) { return scalar_variants(arity); }
  template <int kCode, int kScalars>
  static constexpr Pointer of() {
    return run_block<T, kCode, kScalars>;
  }
};
template <class T>
PYNN_INLINE BlockFunction<T> find_block_function(int code, int scalars) {
  return find_function<BlockFunctions<T>>(code, scalars);
}

// ---- between operands in memory and registers -------------------------------------------------------------------------------

template <class T, class U>
PYNN_INLINE void convert_run(T* to, const U* from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(from[i]);
}

// Bytes below 2^kMantissaBits as whole numbers: written into the mantissa of a power of two, which is then taken off.
template <class T>
PYNN_INLINE void convert_run(T* to, const std::uint8_t* from, std::int64_t n) {
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes;
  const V power = broadcast(static_cast<T>(std::int64_t(1) << MathTable<T>::kMantissaBits));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(to + i, value_of(load_bytes(from + i, Mask<V>{}) | bits_of(power)) - power);
  for (; i < n; ++i) to[i] = from[i];
}

// The element at a place of an operand.
template <class T>
PYNN_INLINE T load_element(const void* operand, std::int32_t dtype, std::int64_t at) {
  switch (dtype) {
    case kF32:
    case kF64: return static_cast<const T*>(operand)[at];
    case kI32: return static_cast<T>(static_cast<const std::int32_t*>(operand)[at]);
    case kI64: return static_cast<T>(static_cast<const std::int64_t*>(operand)[at]);
    default: return static_cast<T>(static_cast<const std::uint8_t*>(operand)[at]);
  }
}

// to[i] = operand[at + i], i < n. Writes whole vectors: up to a vector past to[n - 1].
template <class T>
void load_run(T* to, const void* operand, std::int32_t dtype, std::int64_t at, std::int64_t n) {
  constexpr int lanes = Simd<T>::kLanes;
  switch (dtype) {
    case kF32:
    case kF64: {
      const T* from = static_cast<const T*>(operand) + at;
      std::int64_t i = 0;
      for (; i + lanes <= n; i += lanes) store(to + i, load(from + i));
      if (i < n) store(to + i, load_partial(from + i, static_cast<int>(n - i)));
      return;
    }
    case kI32: return convert_run(to, static_cast<const std::int32_t*>(operand) + at, n);
    case kI64: return convert_run(to, static_cast<const std::int64_t*>(operand) + at, n);
    default: return convert_run(to, static_cast<const std::uint8_t*>(operand) + at, n);
  }
}
// to[i] = value, likewise.
template <class T>
PYNN_INLINE void repeat_run(T* to, T value, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += Simd<T>::kLanes) store(to + i, broadcast(value));
}

// 1 where a lane isn't 0.
template <class V>
PYNN_INLINE void truth_to_bytes(std::uint8_t* to, V x) {
  store_bytes(to, Mask<V>(x != none(x)) & broadcast_bits(Integer<V>(1)));
}
template <class V>
PYNN_INLINE void truths_to_bytes(std::uint8_t* to, V a, V b, V c, V d) {
  constexpr std::int64_t lanes = sizeof(V) / sizeof(Integer<V>);
  truth_to_bytes(to, a), truth_to_bytes(to + lanes, b), truth_to_bytes(to + 2 * lanes, c), truth_to_bytes(to + 3 * lanes, d);
}
// operand[at + i] = from[i], as T or as bool.
template <class T>
void store_run(void* operand, std::int32_t dtype, std::int64_t at, const T* from, std::int64_t n) {
  constexpr int lanes = Simd<T>::kLanes;
  if (dtype != kBool) {
    std::memcpy(static_cast<T*>(operand) + at, from, static_cast<std::size_t>(n) * sizeof(T));
    return;
  }
  std::uint8_t* to = static_cast<std::uint8_t*>(operand) + at;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) truth_to_bytes(to + i, load(from + i));
  for (; i < n; ++i) to[i] = from[i] != 0;
}
// All of operand[at..at + n) = value.
template <class T>
void fill_run(void* operand, std::int32_t dtype, std::int64_t at, T value, std::int64_t n) {
  T lanes[Simd<T>::kLanes];
  store(lanes, broadcast(value));
  for (std::int64_t i = 0; i < n; i += Simd<T>::kLanes) store_run(operand, dtype, at + i, lanes, least(n - i, Simd<T>::kLanes));
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
