// How a reduction over any axes is cut into passes over memory.
//
// Neighbouring axes that are both reduced or both kept are one. A stage removes the last reduced axis: seen by it the tensor
// is (outer, n, inner), and it gives (outer, inner). With inner == 1 it reduces rows (pieces of kSumGroup elements, see sum.h),
// otherwise columns (pieces of kColumnSumRows rows, each reduced in the order of rows). A second phase joins the pieces in order.
// Two stages are enough for what occurs.
#pragma once

#include "kernels/ranges.h"
#include "kernels/sum.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

enum ReduceKind { kSum = 0, kMean, kLargest, kSmallest, kProduct, kAny, kAll, kReduceEnd };

constexpr std::int64_t kColumnGroup = 256;      // columns that an item takes
constexpr std::int64_t kItemElements = 8192;    // at least, in a chunk
constexpr int kMaxStages = 2;

struct Stage {
  std::int64_t outer, n, inner;

  bool rows() const { return inner == 1; }
  std::int64_t piece() const { return rows() ? kSumGroup : kColumnSumRows; }
  std::int64_t pieces() const { return most(1, ceil_divide(n, piece())); }
  std::int64_t groups() const { return ceil_divide(inner, kColumnGroup); }
  std::int64_t results() const { return outer * inner; }
  std::int64_t items() const { return outer * pieces() * groups(); }
  std::int64_t item_elements() const { return most(1, least(n, piece()) * least(inner, kColumnGroup)); }
  // Elements of workspace for its pieces.
  std::int64_t partials() const { return pieces() > 1 ? results() * pieces() : 0; }
};

struct Stages {
  int count = 0;
  Stage stage[kMaxStages];

  std::int64_t workspace() const {
    std::int64_t elements = 0;
    for (int s = 0; s < count; ++s) elements += stage[s].partials() + (s + 1 < count ? stage[s].results() : 0);
    return elements;
  }
};

// What a phase does: the pieces of a stage or their joining.
struct PhaseRole {
  int stage;
  bool joins;
};

PYNN_INLINE int phase_count(const Stages& stages) {
  int phases = 0;
  for (int s = 0; s < stages.count; ++s) phases += stages.stage[s].pieces() > 1 ? 2 : 1;
  return phases;
}
PYNN_INLINE PhaseRole role_of(const Stages& stages, int phase) {
  const int first = stages.stage[0].pieces() > 1 ? 2 : 1;
  const bool second_stage = phase >= first;
  const bool joins = (second_stage ? phase - first : phase) == 1;
  return {second_stage ? 1 : 0, joins};
}

// ints: kind, number of reduced axes, those axes. False if the reduction needs more stages.
PYNN_INLINE bool make_stages(const Problem& problem, Stages* stages) {
  const Spec& x = problem.specs[0];
  std::int64_t length[kMaxRank];
  bool reduced[kMaxRank];
  int axes = 0;
  for (int axis = 0; axis < x.rank; ++axis) {
    bool here = false;
    for (std::int64_t k = 0; k < problem.ints[1]; ++k) here = here || problem.ints[2 + k] == axis;
    if (x.dims[axis] == 1) continue;
    if (axes > 0 && reduced[axes - 1] == here) {
      length[axes - 1] *= x.dims[axis];
      continue;
    }
    length[axes] = x.dims[axis];
    reduced[axes++] = here;
  }
  while (axes > 0) {
    if (stages->count == kMaxStages) return false;
    const std::int64_t inner = reduced[axes - 1] ? 1 : length[--axes];
    const std::int64_t n = axes > 0 ? length[--axes] : 1;
    std::int64_t outer = 1;
    for (int axis = 0; axis < axes; ++axis) outer *= length[axis];
    stages->stage[stages->count++] = {outer, n, inner};
    if (axes == 0) return true;
    // The axis before is kept, as is the inner one: they are one axis of the next stage.
    length[axes - 1] *= inner;
    if (axes == 1) return true;
  }
  stages->stage[stages->count++] = {1, 1, 1};
  return true;
}

// Positions in Plan::params: how many stages there are, (outer, n, inner) of each, items of a chunk in each phase, the elements that a
// result stands for, the ReduceKind.
enum ReduceParam { kStageCountParam, kStageParam, kLengthParam = kStageParam + 3 * kMaxStages, kCountParam = kLengthParam + kMaxPhases, kKindParam };

PYNN_INLINE void save_stages(const Stages& stages, Plan* plan) {
  plan->params[kStageCountParam] = stages.count;
  for (int s = 0; s < stages.count; ++s) {
    std::int64_t* params = plan->params + kStageParam + 3 * s;
    params[0] = stages.stage[s].outer;
    params[1] = stages.stage[s].n;
    params[2] = stages.stage[s].inner;
  }
}
PYNN_INLINE Stage restored_stage(const Plan& plan, int s) {
  const std::int64_t* params = plan.params + kStageParam + 3 * s;
  return {params[0], params[1], params[2]};
}
PYNN_INLINE Stages restored_stages(const Plan& plan) {
  Stages stages;
  stages.count = static_cast<int>(plan.params[kStageCountParam]);
  for (int s = 0; s < stages.count; ++s) stages.stage[s] = restored_stage(plan, s);
  return stages;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
