// What every reduction does around its arithmetic: the passes over memory that reduce_stages.h plans.
//
// A reducer R says what is reduced and how:
//   R::Element, R::Partial, R::Out       types of the tensor's elements, of what lies between passes, of the results
//   R::row(x, n) -> Partial              the join of n neighbours,
//   R::columns(x, rows, stride, columns, out)  of each of some columns, in the order of rows; both for elements and for partials
//   R::result(partial, count) -> Out     what is stored of a join of `count` elements
#pragma once

#include "kernels/operands.h"
#include "kernels/reduce_stages.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// One phase: where it reads, and where results go. `to` is workspace, or null when they are final and go to the output.
template <class R>
struct Pass {
  typedef typename R::Partial Partial;
  typedef typename R::Out Out;

  const Call* call;
  Stage stage;
  const void* from;
  Partial* to;

  void put(std::int64_t at, const Partial* values, std::int64_t count) const {
    if (to) {
      for (std::int64_t i = 0; i < count; ++i) to[at + i] = values[i];
      return;
    }
    const std::int64_t elements = call->plan->params[kCountParam];
    Out* out = operand<Out>(call, 1) + at;
    for (std::int64_t i = 0; i < count; ++i) out[i] = R::result(values[i], elements);
  }
};

template <class R>
Pass<R> make_pass(const Call* call, const Stages& stages, PhaseRole role) {
  typename R::Partial* workspace = static_cast<typename R::Partial*>(call->shared);
  typename R::Partial* partials[kMaxStages];
  typename R::Partial* results[kMaxStages];
  for (int s = 0; s < stages.count; ++s) {
    partials[s] = workspace;
    results[s] = s + 1 < stages.count ? workspace + stages.stage[s].partials() : nullptr;
    workspace += stages.stage[s].partials() + (results[s] ? stages.stage[s].results() : 0);
  }
  const int s = role.stage;
  Pass<R> pass{call, stages.stage[s], call->data[0], nullptr};
  if (s > 0) pass.from = results[s - 1];
  if (role.joins) pass.from = partials[s];
  const bool pieces = stages.stage[s].pieces() > 1 && !role.joins;
  pass.to = pieces ? partials[s] : results[s];
  return pass;
}

template <class R, class From>
PYNN_INLINE void reduce_part(const From* x, const Stage& stage, std::int64_t n, std::int64_t columns, typename R::Partial* values) {
  if (stage.rows()) values[0] = R::row(x, n);
  else R::columns(x, n, stage.inner, columns, values);
}

template <class R, class From>
void reduce_items(const Pass<R>& pass, Range items) {
  const Stage& stage = pass.stage;
  const std::int64_t groups = stage.groups(), pieces = stage.pieces();
  for (std::int64_t item = items.first; item < items.last; ++item) {
    const std::int64_t group = item % groups, piece = item / groups % pieces, outer = item / groups / pieces;
    const std::int64_t first = piece * stage.piece(), n = least(stage.piece(), stage.n - first);
    const std::int64_t column = group * kColumnGroup, columns = least(kColumnGroup, stage.inner - column);
    typename R::Partial values[kColumnGroup];
    reduce_part<R>(static_cast<const From*>(pass.from) + (outer * stage.n + first) * stage.inner + column, stage, n, columns, values);
    pass.put((outer * pieces + piece) * stage.inner + column, values, columns);
  }
}

// Items are groups of columns of each outer index; pieces are joined in order, from the first.
template <class R>
void join_items(const Pass<R>& pass, Range items) {
  typedef typename R::Partial Partial;
  const Stage& stage = pass.stage;
  const std::int64_t groups = stage.groups(), pieces = stage.pieces();
  for (std::int64_t item = items.first; item < items.last; ++item) {
    const std::int64_t outer = item / groups, column = item % groups * kColumnGroup;
    const std::int64_t columns = least(kColumnGroup, stage.inner - column);
    Partial values[kColumnGroup];
    R::columns(static_cast<const Partial*>(pass.from) + outer * pieces * stage.inner + column, pieces, stage.inner, columns, values);
    pass.put(outer * stage.inner + column, values, columns);
  }
}

template <class R>
void run_pass(const Call* call, std::int32_t phase, std::int64_t begin, std::int64_t end) {
  const std::int64_t length = call->plan->params[kLengthParam + phase];
  const Stages stages = restored_stages(*call->plan);
  const PhaseRole role = role_of(stages, phase);
  const Stage& stage = stages.stage[role.stage];
  const Range items = chunk_range(begin, end, length, role.joins ? stage.outer * stage.groups() : stage.items());
  const Pass<R> pass = make_pass<R>(call, stages, role);
  if (role.joins) join_items<R>(pass, items);
  else if (role.stage > 0) reduce_items<R, typename R::Partial>(pass, items);
  else reduce_items<R, typename R::Element>(pass, items);
}

// One stage of one piece, by far the most there are: no partials, no phases.
template <class R>
void run_simple(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  typedef typename R::Element Element;
  const Stage stage = restored_stage(*call->plan, 0);
  const Range items = chunk_range(begin, end, call->plan->params[kLengthParam], stage.outer);
  const Pass<R> pass{call, stage, call->data[0], nullptr};
  for (std::int64_t outer = items.first; outer < items.last; ++outer) {
    typename R::Partial values[kColumnGroup];
    reduce_part<R>(static_cast<const Element*>(pass.from) + outer * stage.n * stage.inner, stage, stage.n, stage.inner, values);
    pass.put(outer * stage.inner, values, stage.inner);
  }
}

inline bool is_simple(const Stages& stages) {
  const Stage& stage = stages.stage[0];
  return stages.count == 1 && stage.pieces() == 1 && stage.groups() == 1;
}

// False if the reduction needs more stages than there are.
inline bool plan_passes(const Problem& problem, std::int64_t partial_bytes, Stages* stages, Plan* plan) {
  if (!make_stages(problem, stages)) return false;
  save_stages(*stages, plan);
  plan->phases = phase_count(*stages);
  plan->shared_bytes = stages->workspace() * partial_bytes;
  for (int phase = 0; phase < plan->phases; ++phase) {
    const PhaseRole role = role_of(*stages, phase);
    const Stage& stage = stages->stage[role.stage];
    const std::int64_t items = role.joins ? stage.outer * stage.groups() : stage.items();
    const std::int64_t each = role.joins ? stage.pieces() * least(stage.inner, kColumnGroup) : stage.item_elements();
    plan->params[kLengthParam + phase] = split(plan, phase, items, kItemElements / most(each, 1), 1);
  }
  plan->params[kCountParam] = problem.specs[1].size ? problem.specs[0].size / problem.specs[1].size : 1;
  plan->params[kKindParam] = problem.ints[0];
  return true;
}

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
