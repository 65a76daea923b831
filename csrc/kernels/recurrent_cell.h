// What the cells of recurrent layers share: activations and their slopes, the geometry of a call, packing, weight gradients.
//
// A call runs over the whole sequence. Rows of the batch don't depend on each other, so a chunk takes a few rows through all
// steps and there is no barrier between steps. Tensors are batch-major: row b, step s of an (batch, steps, n) tensor is at
// (b * steps + s) * n, with s counted in the order of processing; only x and dx are indexed by time.
#pragma once

#include "kernels/recurrent_product.h"
#include "kernels/rows.h"
#include "simd/math.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// The numbers that the op records use. The slope of each follows from its result.
enum Activation : std::int64_t { kLinear = 0, kRelu, kTanh, kSigmoid, kHardSigmoid, kHardSigmoidKeras2, kNumActivations };

PYNN_INLINE bool knows_activation(std::int64_t kind) { return kind >= 0 && kind < kNumActivations; }

// f(z), one vector.
template <class T>
PYNN_NOINLINE typename Simd<T>::V activated(std::int64_t kind, typename Simd<T>::V z) {
  const typename Simd<T>::V none = zero<T>(), one = broadcast(T(1));
  switch (kind) {
    case kRelu: return vmax(z, none);
    case kTanh: return vtanh(z);
    case kSigmoid: return vsigmoid(z);
    case kHardSigmoid: return vmin(vmax(z + broadcast(T(3)), none), broadcast(T(6))) / broadcast(T(6));
    case kHardSigmoidKeras2: return vmin(vmax(z * broadcast(T(0.2)) + broadcast(T(0.5)), none), one);
    default: return z;
  }
}

// An activation f as a cell uses it: value(z) = f(z), slope(y) = f'(z) from y = f(z). NaN gives NaN.
template <class T>
struct Tanh {
  typedef typename Simd<T>::V V;
  PYNN_INLINE V value(V z) const { return vtanh(z); }
  PYNN_INLINE V slope(V y) const { return broadcast(T(1)) - y * y; }
};
template <class T>
struct Sigmoid {
  typedef typename Simd<T>::V V;
  PYNN_INLINE V value(V z) const { return vsigmoid(z); }
  PYNN_INLINE V slope(V y) const { return y * (broadcast(T(1)) - y); }
};
// Any of them. The slope is 0 where y <= low or y >= high, else constant + y (linear + y quadratic).
template <class T>
struct AnyActivation {
  typedef typename Simd<T>::V V;
  std::int64_t kind;
  T low, high, constant, linear, quadratic;

  explicit AnyActivation(std::int64_t number) : kind(number) {
    const T infinity = static_cast<T>(INFINITY);
    const bool bounded = kind == kHardSigmoid || kind == kHardSigmoidKeras2;
    low = kind == kRelu || bounded ? T(0) : -infinity;
    high = bounded ? T(1) : infinity;
    constant = kind == kSigmoid ? T(0) : kind == kHardSigmoid ? T(1) / T(6) : kind == kHardSigmoidKeras2 ? T(0.2) : T(1);
    linear = kind == kSigmoid ? T(1) : T(0);
    quadratic = kind == kTanh || kind == kSigmoid ? T(-1) : T(0);
  }
  PYNN_INLINE V value(V z) const { return activated<T>(kind, z); }
  PYNN_INLINE V slope(V y) const {
    const V rising = broadcast(constant) + y * (broadcast(linear) + y * broadcast(quadratic));
    return select((y <= broadcast(low)) | (y >= broadcast(high)), zero<T>(), rising);
  }
};

// visit(activation, gate), with the usual pair inline.
template <class T, class Visit>
PYNN_INLINE void with_activations(std::int64_t activation, std::int64_t gate, Visit visit) {
  if (activation == kTanh && gate == kSigmoid) visit(Tanh<T>(), Sigmoid<T>());
  else visit(AnyActivation<T>(activation), AnyActivation<T>(gate));
}

// ---- the geometry of a call -----------------------------------------------------------------------------------------

struct Geometry {
  std::int64_t batch, steps, features, units;
  std::int64_t rows;  // batch * steps
};

// From the specs of x (batch, steps, features) and recurrent_kernel (units, gates * units), operands 0 and 2 of every cell.
PYNN_INLINE Geometry geometry_of(const Problem* problem) {
  const std::int64_t* x = problem->specs[0].dims;
  return Geometry{x[0], x[1], x[2], problem->specs[2].dims[0], x[0] * x[1]};
}

// Parts [part_begin(i), part_begin(i + 1)) of a total, balanced.
PYNN_INLINE std::int64_t part_begin(std::int64_t total, std::int64_t parts, std::int64_t index) {
  return parts > 1 ? total * index / parts : index > 0 ? total : 0;
}

PYNN_INLINE bool present(const Problem* problem, int operand) { return problem->specs[operand].rank >= 0; }

constexpr double kActivationNs = 0.8;  // an element through exp or tanh
constexpr double kFlopNs = 1.0 / 90;
// Below this the phases of a call run as one: nobody shares the work, and each phase costs its call.
constexpr double kSingleNs = 2000;
// A block of batch rows costs at least this long, or it isn't worth a chunk of its own.
constexpr double kBlockNs = 3000;
// Rows of a block: the panels of the weights are read once for all of them, and their gates stay in the L1 cache.
constexpr std::int64_t kBlockRows = 16;

// One thread's time for a sequence of `gates` gates: `products` products with the weights, `activations` a unit.
PYNN_INLINE double sequence_cost_ns(const Geometry& g, int gates, int products, int activations) {
  const double flops = 2.0 * gates * products * static_cast<double>(g.features + g.units);
  return static_cast<double>(g.rows * g.units) * (flops * kFlopNs + activations * kActivationNs);
}

// Blocks of a batch whose work is `cost_ns`: at least 4 where there is enough to do, for 2 threads to even out.
PYNN_INLINE std::int64_t block_count(std::int64_t batch, double cost_ns) {
  const std::int64_t affordable = static_cast<std::int64_t>(cost_ns / kBlockNs);
  std::int64_t blocks = ceil_divide(batch, kBlockRows);
  if (blocks < 4) blocks = least(4, ceil_divide(batch, 4));
  if (blocks > affordable) blocks = affordable;
  return blocks > 0 ? blocks : batch > 0;
}

// Hands out pieces of a workspace, each aligned to a cache line.
struct Layout {
  std::int64_t bytes = 0;
  template <class T>
  std::int64_t take(std::int64_t count) {
    const std::int64_t at = bytes;
    bytes += aligned_bytes(count * kSizeOf<T>);
    return at;
  }
};

template <class T>
PYNN_INLINE T* at_offset(void* base, std::int64_t offset) {
  return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(base) + static_cast<std::uintptr_t>(offset));
}

// to[j] = a[j] + b[j]
template <class T>
PYNN_INLINE void add_elements(const T* a, const T* b, T* to, std::int64_t n) {
  for_vectors<T>(n, [=](std::int64_t j, int lanes) {
    store_lanes<T>(to + j, load_lanes<T>(a + j, lanes) + load_lanes<T>(b + j, lanes), lanes);
  });
}
// to[j] = a[j] b[j]
template <class T>
PYNN_INLINE void multiply_elements(const T* a, const T* b, T* to, std::int64_t n) {
  for_vectors<T>(n, [=](std::int64_t j, int lanes) {
    store_lanes<T>(to + j, load_lanes<T>(a + j, lanes) * load_lanes<T>(b + j, lanes), lanes);
  });
}

template <class T>
PYNN_INLINE void copy_row(const T* from, T* to, std::int64_t n) {
  for_vectors<T>(n, [=](std::int64_t j, int lanes) { store_lanes<T>(to + j, load_lanes<T>(from + j, lanes), lanes); });
}

template <class T>
PYNN_INLINE void clear_row(T* to, std::int64_t n) {
  for_vectors<T>(n, [=](std::int64_t j, int lanes) { store_lanes<T>(to + j, zero<T>(), lanes); });
}

// The rows of a block: a balanced share of the batch.
struct RowBlock {
  std::int64_t first, rows;
};
PYNN_INLINE RowBlock row_block(std::int64_t batch, std::int64_t blocks, std::int64_t block) {
  const std::int64_t first = part_begin(batch, blocks, block);
  return RowBlock{first, part_begin(batch, blocks, block + 1) - first};
}
// The most rows of any block.
PYNN_INLINE std::int64_t block_rows(std::int64_t batch, std::int64_t blocks) { return blocks ? ceil_divide(batch, blocks) : 0; }

// A block's rows of a (batch, units) state, or zeros where there is none.
template <class T>
void load_state(const T* state, const RowBlock& part, std::int64_t units, const Rows<T>& to) {
  for (std::int64_t r = 0; r < part.rows; ++r) {
    if (state) copy_row(state + (part.first + r) * units, to.row(r), units);
    else clear_row(to.row(r), units);
  }
}

template <class T>
void save_state(const Rows<T>& from, const RowBlock& part, std::int64_t units, T* state) {
  for (std::int64_t r = 0; r < part.rows; ++r) copy_row(from.row(r), state + (part.first + r) * units, units);
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
