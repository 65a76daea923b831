// Sum, max, min, product, any and all over any axes of integers and bools. Sums and products are int64 and wrap around, as they do in
// NumPy; so does everything between passes, which makes the order of the arithmetic a matter of speed alone.
#include "kernels/reduce_passes.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- the operations, on int64 ---------------------------------------------------------------------------------------------------------

PYNN_INLINE std::int64_t wrapped(std::uint64_t x) { return static_cast<std::int64_t>(x); }
PYNN_INLINE std::uint64_t bits(std::int64_t x) { return static_cast<std::uint64_t>(x); }

struct Addition {
  static constexpr std::int64_t kNeutral = 0;
  static PYNN_INLINE std::int64_t of(std::int64_t x) { return x; }
  static PYNN_INLINE std::int64_t join(std::int64_t a, std::int64_t b) { return wrapped(bits(a) + bits(b)); }
};
struct Product : Addition {
  static constexpr std::int64_t kNeutral = 1;
  static PYNN_INLINE std::int64_t join(std::int64_t a, std::int64_t b) { return wrapped(bits(a) * bits(b)); }
};
struct Largest : Addition {
  static constexpr std::int64_t kNeutral = INT64_MIN;
  static PYNN_INLINE std::int64_t join(std::int64_t a, std::int64_t b) { return most(a, b); }
};
struct Smallest : Addition {
  static constexpr std::int64_t kNeutral = INT64_MAX;
  static PYNN_INLINE std::int64_t join(std::int64_t a, std::int64_t b) { return least(a, b); }
};
struct AnyTrue {
  static constexpr std::int64_t kNeutral = 0;
  static PYNN_INLINE std::int64_t of(std::int64_t x) { return x != 0; }
  static PYNN_INLINE std::int64_t join(std::int64_t a, std::int64_t b) { return a | b; }
};
struct AllTrue : AnyTrue {
  static constexpr std::int64_t kNeutral = 1;
  static PYNN_INLINE std::int64_t join(std::int64_t a, std::int64_t b) { return a & b; }
};

// ---- the reducer of elements T with results O -------------------------------------------------------------------------------------------

template <class T, class Op, class O>
struct Integers {
  typedef T Element;
  typedef std::int64_t Partial;
  typedef O Out;

  // Four chains side by side.
  template <class From>
  static Partial row(const From* x, std::int64_t n) {
    Partial a = Op::kNeutral, b = a, c = a, d = a;
    std::int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
      a = Op::join(a, Op::of(x[i]));
      b = Op::join(b, Op::of(x[i + 1]));
      c = Op::join(c, Op::of(x[i + 2]));
      d = Op::join(d, Op::of(x[i + 3]));
    }
    for (; i < n; ++i) a = Op::join(a, Op::of(x[i]));
    return Op::join(Op::join(a, b), Op::join(c, d));
  }
  template <class From>
  static void columns(const From* x, std::int64_t rows, std::int64_t stride, std::int64_t columns, Partial* out) {
    for (std::int64_t c = 0; c < columns; ++c) out[c] = Op::kNeutral;
    for (std::int64_t r = 0; r < rows; ++r, x += stride)
      for (std::int64_t c = 0; c < columns; ++c) out[c] = Op::join(out[c], Op::of(x[c]));
  }
  static Out result(Partial value, Partial) { return static_cast<Out>(value); }
};

// visit(reducer) for the kind of a reduction; false if integers don't have it.
template <class T, class Visit>
PYNN_INLINE bool with_reducer(std::int64_t kind, const Visit& visit) {
  switch (kind) {
    case kSum: visit(Integers<T, Addition, std::int64_t>()); return true;
    case kProduct: visit(Integers<T, Product, std::int64_t>()); return true;
    case kLargest: visit(Integers<T, Largest, T>()); return true;
    case kSmallest: visit(Integers<T, Smallest, T>()); return true;
    case kAny: visit(Integers<T, AnyTrue, std::uint8_t>()); return true;
    case kAll: visit(Integers<T, AllTrue, std::uint8_t>()); return true;
    default: return false;
  }
}

std::int32_t result_dtype(std::int64_t kind, std::int32_t dtype) {
  if (kind == kAny || kind == kAll) return kBool;
  return kind == kLargest || kind == kSmallest ? dtype : static_cast<std::int32_t>(kI64);
}

template <class T>
bool prepare_reduce(const Problem* problem, Plan* plan, std::int32_t dtype) {
  const std::int64_t kind = problem->ints[0];
  if (problem->specs[0].dtype != dtype || problem->specs[1].dtype != result_dtype(kind, dtype)) return false;
  Stages stages;
  if (!plan_passes(*problem, sizeof(std::int64_t), &stages, plan)) return false;
  plan->cost_ns = static_cast<double>(problem->specs[0].size) * 0.3;
  return with_reducer<T>(kind, [&](auto reducer) {
    if (is_simple(stages)) plan->run = run_simple<decltype(reducer)>;
  });
}

template <class T>
void run_reduce(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  with_reducer<T>(call->plan->params[kKindParam], [&](auto reducer) { run_pass<decltype(reducer)>(call, phase, begin, end); });
}

}  // namespace

#define PYNN_REDUCTION(name, T, dtype)                                                                           \
  bool prepare_##name(const Problem* problem, Plan* plan) noexcept { return prepare_reduce<T>(problem, plan, dtype); } \
  void run_##name(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end, void*) noexcept {  \
    run_reduce<T>(call, phase, begin, end);                                                                      \
  }

PYNN_REDUCTION(reduce_i32, std::int32_t, kI32)
PYNN_REDUCTION(reduce_i64, std::int64_t, kI64)
PYNN_REDUCTION(reduce_u8, std::uint8_t, kU8)
PYNN_REDUCTION(reduce_bool, std::uint8_t, kBool)

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(reduce_i32)
PYNN_KERNEL(reduce_i64)
PYNN_KERNEL(reduce_u8)
PYNN_KERNEL(reduce_bool)
