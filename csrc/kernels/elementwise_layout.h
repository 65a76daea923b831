// Where the operands of an elementwise call lie: the output's axes, joined where no operand tells them apart, and for each input the
// axes along which it is repeated. Kept in plan->params between prepare and run.
#pragma once

#include "kernels/strided.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr int kMaxInputs = 16;
constexpr int kMaxOutputs = 16;

// Positions in plan->params. The dims take eight places, the masks two (eight bits for each input, one for each axis). From
// kDirectParam on there is what a run by a shorter way needs.
enum LayoutParam { kRankParam = 0, kDimsParam = 1, kMasksParam = 9, kChunkParam = 11, kBlockParam = 12, kDirectParam = 13 };

struct Layout {
  int rank = 0;
  std::int64_t size = 1;
  std::int64_t dims[kMaxRank];
  std::int64_t masks[2] = {0, 0};

  int mask(int input) const { return static_cast<int>(masks[input / 8] >> (8 * (input % 8)) & 0xff); }
  void set(int input, int axis) { masks[input / 8] |= std::int64_t(1) << (8 * (input % 8) + axis); }
  int all_axes() const { return (1 << rank) - 1; }
  bool is_full(int input) const { return mask(input) == 0; }
  bool is_scalar(int input) const { return rank > 0 && mask(input) == all_axes(); }
  std::int64_t inner() const { return rank ? dims[rank - 1] : 1; }

  // How the elements of an input follow each other in the order of the output; with `join`, in as few axes as will do.
  Walk walk(int input, bool join) const {
    std::int64_t strides[kMaxRank];
    std::int64_t stride = 1;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const bool repeated = mask(input) >> axis & 1;
      strides[axis] = repeated ? 0 : stride;
      if (!repeated) stride *= dims[axis];
    }
    Walk walk;
    for (int axis = 0; axis < rank; ++axis) {
      if (join) walk.push(dims[axis], strides[axis]);
      else walk.append(dims[axis], strides[axis]);
    }
    return walk;
  }

  void save(Plan* plan) const {
    plan->params[kRankParam] = rank;
    for (int axis = 0; axis < rank; ++axis) plan->params[kDimsParam + axis] = dims[axis];
    plan->params[kMasksParam] = masks[0];
    plan->params[kMasksParam + 1] = masks[1];
  }
  static Layout restored(const Plan& plan) {
    Layout layout;
    layout.rank = static_cast<int>(plan.params[kRankParam]);
    for (int axis = 0; axis < layout.rank; ++axis) layout.size *= layout.dims[axis] = plan.params[kDimsParam + axis];
    layout.masks[0] = plan.params[kMasksParam];
    layout.masks[1] = plan.params[kMasksParam + 1];
    return layout;
  }
};

// The length of an input along an axis of the output, counted from the output's first axis.
PYNN_INLINE std::int64_t length_along(const Spec& x, int axis, int rank) {
  const int own = axis - (rank - x.rank);
  return own < 0 ? 1 : x.dims[own];
}

// Bit k: input k is repeated along this axis. Below zero where an input doesn't broadcast.
PYNN_INLINE std::int64_t repeated_inputs(const Problem& problem, int axis) {
  const Spec& out = problem.specs[problem.num_inputs];
  std::int64_t repeated = 0;
  for (int k = 0; k < problem.num_inputs; ++k) {
    const std::int64_t length = length_along(problem.specs[k], axis, out.rank);
    if (length == out.dims[axis]) continue;
    if (length != 1) return -1;
    repeated |= std::int64_t(1) << k;
  }
  return repeated;
}

// False where the inputs don't broadcast to the output, or there are too many of them.
PYNN_INLINE bool make_layout(const Problem& problem, Layout* layout) {
  const Spec& out = problem.specs[problem.num_inputs];
  std::int64_t before = -1;
  for (int k = 0; k < problem.num_inputs; ++k)
    if (problem.specs[k].rank > out.rank) return false;
  for (int axis = 0; axis < out.rank; ++axis) {
    const std::int64_t repeated = repeated_inputs(problem, axis);
    if (repeated < 0) return false;
    layout->size *= out.dims[axis];
    if (out.dims[axis] == 1) continue;
    if (repeated == before) {
      layout->dims[layout->rank - 1] *= out.dims[axis];
      continue;
    }
    before = repeated;
    for (int k = 0; k < problem.num_inputs; ++k)
      if (repeated >> k & 1) layout->set(k, layout->rank);
    layout->dims[layout->rank++] = out.dims[axis];
  }
  return true;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
