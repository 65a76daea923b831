// Single elementwise instructions over whole numbers: what counters, indices and labels need. Attributes as for the kernel over
// floats (elementwise_program.h), one instruction, every operand of the kernel's type but for bool results. Sums and products
// wrap around; a quotient or remainder by zero is zero.
#include "kernels/elementwise_layout.h"
#include "kernels/elementwise_opcodes.h"
#include "kernels/operands.h"
#include "registry.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kWholeChunk = 4096;

template <class T>
PYNN_INLINE T floor_divide(T x, T y) {
  if (y == 0) return 0;
  if (T(-1) < 0 && y == T(-1)) return static_cast<T>(std::uint64_t(0) - static_cast<std::uint64_t>(x));
  const T quotient = static_cast<T>(x / y);
  return static_cast<T>(quotient - (x % y != 0 && (x < 0) != (y < 0)));
}

// Arithmetic is done without sign, where it may wrap.
template <class T>
PYNN_INLINE T whole_of(int code, T x, T y) {
  const std::uint64_t a = static_cast<std::uint64_t>(x), b = static_cast<std::uint64_t>(y);
  switch (code) {
    case kNegative: return static_cast<T>(0 - a);
    case kAbs: return x < 0 ? static_cast<T>(0 - a) : x;
    case kSign: return static_cast<T>((x > 0) - (x < 0));
    case kSquare: return static_cast<T>(a * a);
    case kAdd: return static_cast<T>(a + b);
    case kSubtract: return static_cast<T>(a - b);
    case kMultiply: return static_cast<T>(a * b);
    case kMaximum: return x > y ? x : y;
    case kMinimum: return x < y ? x : y;
    case kFloorDivide: return floor_divide(x, y);
    default: return y == 0 ? T(0) : static_cast<T>(a - static_cast<std::uint64_t>(floor_divide(x, y)) * b);  // kMod
  }
}

template <class T>
PYNN_INLINE bool truth_of(int code, T x, T y) {
  switch (code) {
    case kEqual: return x == y;
    case kNotEqual: return x != y;
    case kLess: return x < y;
    case kLessEqual: return x <= y;
    case kGreater: return x > y;
    case kGreaterEqual: return x >= y;
    case kLogicalAnd: return x != 0 && y != 0;
    case kLogicalOr: return x != 0 || y != 0;
    case kLogicalXor: return (x != 0) != (y != 0);
    default: return x == 0;  // kLogicalNot
  }
}

constexpr bool gives_truth(std::int64_t code) { return (code >= kEqual && code <= kLogicalXor) || code == kLogicalNot; }
constexpr bool gives_whole(std::int64_t code) {
  return (code >= kNegative && code <= kSquare) || (code >= kAdd && code <= kMultiply) || code == kMaximum || code == kMinimum ||
         code == kMod || code == kFloorDivide;
}

// One row of the output. With the opcode a constant of the caller, the switch in `f` falls away.
template <class T, class Out, class F>
PYNN_INLINE void run_row(const T* x, std::int64_t step_x, const T* y, std::int64_t step_y, Out* out, std::int64_t n, F f) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(x[i * step_x], y[i * step_y]);
}

template <class T>
void run_row_of(int code, const T* x, std::int64_t step_x, const T* y, std::int64_t step_y, void* out, std::int64_t at,
                std::int64_t n) {
  if (gives_truth(code)) {
    std::uint8_t* to = static_cast<std::uint8_t*>(out) + at;
    run_row(x, step_x, y, step_y, to, n, [code](T a, T b) { return static_cast<std::uint8_t>(truth_of(code, a, b)); });
    return;
  }
  T* to = static_cast<T*>(out) + at;
  if (code == kAdd) run_row(x, step_x, y, step_y, to, n, [](T a, T b) { return whole_of(kAdd, a, b); });
  else run_row(x, step_x, y, step_y, to, n, [code](T a, T b) { return whole_of(code, a, b); });
}

template <class T>
bool prepare_whole(const Problem* problem, Plan* plan, std::int32_t dtype) {
  const int inputs = problem->num_inputs;
  if (problem->num_outputs != 1 || inputs > 2 || problem->num_ints != 6 || problem->ints[0] != 1) return false;
  const std::int64_t code = problem->ints[1];
  if (!gives_truth(code) && !gives_whole(code)) return false;
  if (arity_of(code) != inputs || problem->ints[2] != 0 || problem->ints[5] != inputs) return false;
  if (inputs == 2 && problem->ints[3] != 1) return false;
  for (int k = 0; k < inputs; ++k)
    if (problem->specs[k].dtype != dtype) return false;
  Layout layout;
  if (problem->specs[inputs].dtype != (gives_truth(code) ? kBool : dtype) || !make_layout(*problem, &layout)) return false;
  layout.save(plan);
  const std::int64_t row = most(1, layout.inner());
  plan->params[kChunkParam] = split(plan, 0, layout.size / row, kWholeChunk / row, 1);
  plan->cost_ns = static_cast<double>(layout.size) * 0.5;
  return true;
}

template <class T>
void run_whole(const Call* call, std::int64_t begin, std::int64_t end) {
  const Layout layout = Layout::restored(*call->plan);
  const int code = static_cast<int>(call->problem->ints[1]), inputs = call->problem->num_inputs;
  if (layout.rank <= 1) {  // one row: no walk
    const Range range = chunk_range(begin, end, call->plan->params[kChunkParam], 1);
    const std::int64_t step_x = layout.is_full(0), step_y = layout.is_full(inputs - 1);
    if (range.first < range.last)
      run_row_of(code, operand<const T>(call, 0), step_x, operand<const T>(call, inputs - 1), step_y,
                 call->data[inputs], 0, layout.inner());
    return;
  }
  const std::int64_t row = layout.inner();
  const Walk first = layout.walk(0, false), second = layout.walk(inputs - 1, false);
  const Range rows = chunk_range(begin, end, call->plan->params[kChunkParam], row ? layout.size / row : 0);
  Odometer x(first, rows.first), y(second, rows.first);
  for (std::int64_t r = rows.first; r < rows.last; ++r, x.next(), y.next())
    run_row_of(code, operand<const T>(call, 0) + x.at, first.inner_stride(),
               operand<const T>(call, inputs - 1) + y.at, second.inner_stride(), call->data[inputs], r * row, row);
}

}  // namespace

PYNN_TYPED_ENTRY(elementwise_i32, std::int32_t, prepare_whole<T>(problem, plan, kI32), run_whole<T>(call, begin, end))
PYNN_TYPED_ENTRY(elementwise_i64, std::int64_t, prepare_whole<T>(problem, plan, kI64), run_whole<T>(call, begin, end))
PYNN_TYPED_ENTRY(elementwise_u8, std::uint8_t, prepare_whole<T>(problem, plan, kU8), run_whole<T>(call, begin, end))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_KERNEL(elementwise_i32)
PYNN_KERNEL(elementwise_i64)
PYNN_KERNEL(elementwise_u8)
