// An index of an extreme along an axis: how the tensor is taken, for floats (arg_extreme.cc) and integers (reduce_integers.cc).
//
// out[o, i] = the index of the first largest (ints[0] == 0) or smallest (1) element of x[o, :, i]; ints[1] is the axis; out is int64.
#pragma once

#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "kernels/specs.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kIndexChunk = 8192;  // elements

// An item is a row, or up to `together` columns.
struct AlongAxis {
  std::int64_t outer, n, inner, together;

  AlongAxis(const Problem& problem, std::int64_t columns) {
    const Spec& x = problem.specs[0];
    const std::int64_t axis = problem.ints[1];
    outer = elements(x, 0, axis);
    n = x.dims[axis];
    inner = elements(x, axis + 1, x.rank);
    together = inner == 1 ? 1 : columns;
  }
  std::int64_t groups() const { return ceil_divide(inner, together); }
  std::int64_t items() const { return outer * groups(); }
};

inline bool plan_index(const Problem& problem, const AlongAxis& along, Plan* plan) {
  if (problem.specs[1].dtype != kI64 || problem.specs[1].size != along.outer * along.inner) return false;
  if ((along.n < 1 && along.outer * along.inner > 0) || along.n > INT32_MAX) return false;
  plan->params[0] = split(plan, 0, along.items(), kIndexChunk / most(1, along.n * along.together), 1);
  plan->cost_ns = static_cast<double>(problem.specs[0].size) * 0.4;
  return true;
}

// The items of chunks [begin, end): row(x, n, smallest) gives the index in a row, columns(x, n, stride, count, smallest, out) those in
// neighbouring columns. Rows may be so short that finding them by division would take most of the time.
template <class T, class Row, class Columns>
PYNN_INLINE void find_indices(const Call* call, const AlongAxis& along, std::int64_t begin, std::int64_t end, const Row& row,
                              const Columns& columns) {
  const bool smallest = call->problem->ints[0] != 0;
  const T* x = operand<const T>(call, 0);
  std::int64_t* out = operand<std::int64_t>(call, 1);
  const Range items = chunk_range(begin, end, call->plan->params[0], along.items());
  if (along.inner == 1) {
    for (std::int64_t i = items.first; i < items.last; ++i) out[i] = row(x + i * along.n, along.n, smallest);
    return;
  }
  for (std::int64_t item = items.first; item < items.last; ++item) {
    const std::int64_t outer = item / along.groups(), column = item % along.groups() * along.together;
    columns(x + outer * along.n * along.inner + column, along.n, along.inner, static_cast<int>(least(along.together, along.inner - column)),
            smallest, out + outer * along.inner + column);
  }
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
