// Steps of the optimizers: one pass over a weight, its slots and its gradient, element by element.
//
// Operands: the tensors that change (weight, slots), the gradient, then scalars as 0-d tensors; outputs: the changed tensors in
// the same order. An output may be the very memory of its input. Multiplies and adds are not fused, so every step has the bits
// of the same formula in NumPy.
#include "kernels/micro.h"
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "registry.h"
#include "simd/math.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// A chunk is about a microsecond of streaming: 4096 elements of five tensors.
constexpr std::int64_t kUpdateChunk = 4096;

template <class T>
PYNN_INLINE T scalar_operand(const Call* call, int k) {
  return *operand<const T>(call, k);
}

// The i-th float attribute, and one minus it rounded once, in every lane.
template <class T>
PYNN_INLINE typename Simd<T>::V attribute(const Call* call, int i) {
  return broadcast(static_cast<T>(call->problem->floats[i]));
}
template <class T>
PYNN_INLINE typename Simd<T>::V complement(const Call* call, int i) {
  return broadcast(static_cast<T>(1.0 - call->problem->floats[i]));
}

// A rule has kTensors (operands it reads, the gradient last), kUpdated (outputs), and maps a vector of each to the outputs.
template <class T>
struct Rule {
  typedef T Scalar;
  typedef typename Simd<T>::V V;
};

// w - lr * g
template <class T>
struct Sgd : Rule<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 2, kUpdated = 1;
  V rate;
  explicit Sgd(const Call* call) : rate(broadcast(scalar_operand<T>(call, 2))) {}
  PYNN_INLINE void operator()(const V* x, V* y) const { y[0] = x[0] - rate * x[1]; }
};

// v' = momentum * v - lr * g;  w' = w + v', with Nesterov w + (momentum * v' - lr * g)
template <class T, bool kNesterov>
struct Momentum : Rule<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 3, kUpdated = 2;
  V rate, momentum;
  explicit Momentum(const Call* call) : rate(broadcast(scalar_operand<T>(call, 3))), momentum(attribute<T>(call, 0)) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    const V step = rate * x[2];
    y[1] = momentum * x[1] - step;
    y[0] = x[0] + (kNesterov ? momentum * y[1] - step : y[1]);
  }
};

// m' = m + (g - m) * (1 - beta_1);  v' = v + (g * g - v) * (1 - beta_2)
template <class T>
struct Moments : Rule<T> {
  using typename Rule<T>::V;
  V first, second, epsilon;
  explicit Moments(const Call* call)
      : first(complement<T>(call, 0)), second(complement<T>(call, 1)), epsilon(attribute<T>(call, 2)) {}
  PYNN_INLINE void moments(V m, V v, V g, V* y) const {
    y[1] = m + (g - m) * first;
    y[2] = v + (g * g - v) * second;
  }
};

// w' = w - m' * alpha / (sqrt(v') + epsilon)
template <class T>
struct Adam : Moments<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 4, kUpdated = 3;
  V alpha;
  explicit Adam(const Call* call) : Moments<T>(call), alpha(broadcast(scalar_operand<T>(call, 4))) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    this->moments(x[1], x[2], x[3], y);
    y[0] = x[0] - y[1] * alpha / (vsqrt(y[2]) + this->epsilon);
  }
};

// Adam on w - w * (weight_decay * lr): decay that does not pass through the moments.
template <class T>
struct AdamW : Adam<T> {
  using typename Rule<T>::V;
  V decay;
  explicit AdamW(const Call* call)
      : Adam<T>(call), decay(broadcast(static_cast<T>(call->problem->floats[3]) * scalar_operand<T>(call, 5))) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    const V decayed[4] = {x[0] - x[0] * decay, x[1], x[2], x[3]};
    Adam<T>::operator()(decayed, y);
  }
};

// Adam over the largest v so far: u' = max(u, v');  w' = w - m' * alpha / (sqrt(u') + epsilon)
template <class T>
struct Amsgrad : Moments<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 5, kUpdated = 4;
  V alpha;
  explicit Amsgrad(const Call* call) : Moments<T>(call), alpha(broadcast(scalar_operand<T>(call, 5))) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    this->moments(x[1], x[2], x[4], y);
    y[3] = vmax(x[3], y[2]);
    y[0] = x[0] - y[1] * alpha / (vsqrt(y[3]) + this->epsilon);
  }
};

// m' = m + (g - m) * (1 - beta_1);  u' = max(beta_2 * u, |g|);  w' = w - m' * alpha / (u' + epsilon)
template <class T>
struct Adamax : Rule<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 4, kUpdated = 3;
  V first, beta, epsilon, alpha;
  explicit Adamax(const Call* call)
      : first(complement<T>(call, 0)), beta(attribute<T>(call, 1)), epsilon(attribute<T>(call, 2)),
        alpha(broadcast(scalar_operand<T>(call, 4))) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    y[1] = x[1] + (x[3] - x[1]) * first;
    y[2] = vmax(beta * x[2], magnitude(x[3]));
    y[0] = x[0] - y[1] * alpha / (y[2] + epsilon);
  }
};

// v' = rho * v + (1 - rho) * g * g;  w' = w - lr * g / sqrt(v' + epsilon)
template <class T>
struct RmsProp : Rule<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 3, kUpdated = 2;
  V rate, rho, rest, epsilon;
  explicit RmsProp(const Call* call, int scalar = 3)
      : rate(broadcast(scalar_operand<T>(call, scalar))), rho(attribute<T>(call, 0)), rest(complement<T>(call, 0)),
        epsilon(attribute<T>(call, 1)) {}
  PYNN_INLINE V mean_square(V v, V g) const { return rho * v + rest * (g * g); }
  PYNN_INLINE void operator()(const V* x, V* y) const {
    y[1] = mean_square(x[1], x[2]);
    y[0] = x[0] - rate * x[2] / vsqrt(y[1] + epsilon);
  }
};

// ... with u' = momentum * u + lr * g / sqrt(v' + epsilon);  w' = w - u'
template <class T>
struct RmsPropMomentum : RmsProp<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 4, kUpdated = 3;
  V momentum;
  explicit RmsPropMomentum(const Call* call) : RmsProp<T>(call, 4), momentum(attribute<T>(call, 2)) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    y[1] = this->mean_square(x[1], x[3]);
    y[2] = momentum * x[2] + this->rate * x[3] / vsqrt(y[1] + this->epsilon);
    y[0] = x[0] - y[2];
  }
};

// ... with a' = rho * a + (1 - rho) * g and v' - a' * a' in place of v' under the root (the gradient's variance)
template <class T>
struct RmsPropCentered : RmsPropMomentum<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 5, kUpdated = 4;
  explicit RmsPropCentered(const Call* call) : RmsPropMomentum<T>(call) {
    this->rate = broadcast(scalar_operand<T>(call, 5));
  }
  PYNN_INLINE void operator()(const V* x, V* y) const {
    const V g = x[4];
    y[1] = this->mean_square(x[1], g);
    y[3] = this->rho * x[3] + this->rest * g;
    y[2] = this->momentum * x[2] + this->rate * g / vsqrt(y[1] - y[3] * y[3] + this->epsilon);
    y[0] = x[0] - y[2];
  }
};

// a' = a + g * g;  w' = w - lr * g / sqrt(a' + epsilon)
template <class T>
struct Adagrad : Rule<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 3, kUpdated = 2;
  V rate, epsilon;
  explicit Adagrad(const Call* call) : rate(broadcast(scalar_operand<T>(call, 3))), epsilon(attribute<T>(call, 0)) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    y[1] = x[1] + x[2] * x[2];
    y[0] = x[0] - rate * x[2] / vsqrt(y[1] + epsilon);
  }
};

// a' = rho * a + (1 - rho) * g * g;  d = sqrt(b + epsilon) / sqrt(a' + epsilon) * g;  b' = rho * b + (1 - rho) * d * d;  w' = w - lr * d
template <class T>
struct Adadelta : RmsProp<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 4, kUpdated = 3;
  explicit Adadelta(const Call* call) : RmsProp<T>(call, 4) {}
  PYNN_INLINE void operator()(const V* x, V* y) const {
    y[1] = this->mean_square(x[1], x[3]);
    const V step = vsqrt(x[2] + this->epsilon) / vsqrt(y[1] + this->epsilon) * x[3];
    y[2] = this->mean_square(x[2], step);
    y[0] = x[0] - this->rate * step;
  }
};

// w' = w - w * (weight_decay * lr). The gradient's place is empty: the weight is the only tensor.
template <class T>
struct WeightDecay : Rule<T> {
  using typename Rule<T>::V;
  static constexpr int kTensors = 1, kUpdated = 1;
  V decay;
  explicit WeightDecay(const Call* call)
      : decay(broadcast(static_cast<T>(call->problem->floats[0]) * scalar_operand<T>(call, 1))) {}
  PYNN_INLINE void operator()(const V* x, V* y) const { y[0] = x[0] - x[0] * decay; }
};

// The plain step is so short that what leads to it takes longer.
template <class T>
void micro_descent(const MicroOp* op) noexcept {
  const T *w = micro_input<T>(op, 0), *g = micro_input<T>(op, 1);
  const typename Simd<T>::V rate = broadcast(*micro_input<T>(op, 2));
  for (int i = 0; i < op->size[0]; i += Simd<T>::kLanes) store(micro_output<T>(op) + i, load(w + i) - rate * load(g + i));
}
template <class T>
int micro_descent_form(const Problem* problem, const Plan*, MicroCode* codes) noexcept {
  codes[0] = micro_code(micro_descent<T>, 0, 1, 2, problem->num_inputs);
  codes[0].op.size[0] = static_cast<std::int16_t>(problem->specs[0].size);
  return 1;
}

template <class R>
bool prepare_update(const Problem* problem, Plan* plan) {
  const std::int64_t size = problem->specs[0].size;
  plan->params[0] = split(plan, 0, size, kUpdateChunk, 64);
  plan->cost_ns = streaming_ns(size * kSizeOf<typename R::Scalar>, R::kTensors + R::kUpdated);
  return true;
}

template <class R>
void run_update(const Call* call, std::int64_t begin, std::int64_t end) {
  typedef typename R::Scalar T;
  typedef typename Simd<T>::V V;
  constexpr int lanes = Simd<T>::kLanes;
  const Range range = chunk_range(begin, end, call->plan->params[0], call->problem->specs[0].size);
  const R rule(call);
  V x[R::kTensors], y[R::kUpdated];
  const T* in[R::kTensors];
  T* out[R::kUpdated];
  for (int k = 0; k < R::kTensors; ++k) in[k] = operand<const T>(call, k);
  for (int k = 0; k < R::kUpdated; ++k) out[k] = operand<T>(call, call->problem->num_inputs + k);
  std::int64_t i = range.first;
  for (; i + lanes <= range.last; i += lanes) {
    for (int k = 0; k < R::kTensors; ++k) x[k] = load(in[k] + i);
    rule(x, y);
    for (int k = 0; k < R::kUpdated; ++k) store(out[k] + i, y[k]);
  }
  const int rest = static_cast<int>(range.last - i);
  if (rest <= 0) return;
  for (int k = 0; k < R::kTensors; ++k) x[k] = load_partial(in[k] + i, rest);
  rule(x, y);
  for (int k = 0; k < R::kUpdated; ++k) store_partial(out[k] + i, y[k], rest);
}

template <class T>
bool prepare_descent(const Problem* problem, Plan* plan) {
  plan->micro = micro_descent_form<T>;
  return prepare_update<Sgd<T>>(problem, plan);
}

template <class T>
void run_momentum(const Call* call, std::int64_t begin, std::int64_t end) {
  if (call->problem->ints[0]) run_update<Momentum<T, true>>(call, begin, end);
  else run_update<Momentum<T, false>>(call, begin, end);
}

// alpha = lr * sqrt(1 - beta_2^(t + 1)) / (1 - beta_1^(t + 1)) for t steps done before, in double
template <class T>
void run_rate(const Call* call) {
  const double rate = static_cast<double>(scalar_operand<T>(call, 0));
  const double step = static_cast<double>(scalar_operand<std::int64_t>(call, 1)) + 1;
  const double* betas = call->problem->floats;
  *operand<T>(call, 2) = static_cast<T>(rate * sqrt(1 - pow(betas[1], step)) / (1 - pow(betas[0], step)));
}

bool prepare_rate(Plan* plan) {
  plan->cost_ns = 50;
  return true;
}

}  // namespace

#define PYNN_UPDATES(name, Rule) PYNN_FLOAT_ENTRIES(name, prepare_update<Rule<T>>(problem, plan), run_update<Rule<T>>(call, begin, end))
PYNN_UPDATES(adam_update, Adam)
PYNN_UPDATES(adamw_update, AdamW)
PYNN_UPDATES(amsgrad_update, Amsgrad)
PYNN_UPDATES(adamax_update, Adamax)
PYNN_UPDATES(rmsprop_update, RmsProp)
PYNN_UPDATES(rmsprop_momentum_update, RmsPropMomentum)
PYNN_UPDATES(rmsprop_centered_update, RmsPropCentered)
PYNN_UPDATES(adagrad_update, Adagrad)
PYNN_UPDATES(adadelta_update, Adadelta)
PYNN_UPDATES(weight_decay_update, WeightDecay)
#undef PYNN_UPDATES
PYNN_FLOAT_ENTRIES(sgd_update, prepare_descent<T>(problem, plan), run_update<Sgd<T>>(call, begin, end))
PYNN_FLOAT_ENTRIES(momentum_update, (prepare_update<Momentum<T, false>>(problem, plan)), run_momentum<T>(call, begin, end))
PYNN_FLOAT_ENTRIES(adam_rate, prepare_rate(plan), run_rate<T>(call))

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(sgd_update)
PYNN_FLOAT_KERNELS(momentum_update)
PYNN_FLOAT_KERNELS(adam_update)
PYNN_FLOAT_KERNELS(adamw_update)
PYNN_FLOAT_KERNELS(amsgrad_update)
PYNN_FLOAT_KERNELS(adamax_update)
PYNN_FLOAT_KERNELS(rmsprop_update)
PYNN_FLOAT_KERNELS(rmsprop_momentum_update)
PYNN_FLOAT_KERNELS(rmsprop_centered_update)
PYNN_FLOAT_KERNELS(adagrad_update)
PYNN_FLOAT_KERNELS(adadelta_update)
PYNN_FLOAT_KERNELS(weight_decay_update)
PYNN_FLOAT_KERNELS(adam_rate)
