// Random numbers as a function of (key, counter, index of the element): streams of Philox words, see simd/philox.h.
//
// ints of every op: key0, key1 first. The counter is a 0-d i64 operand that the caller moves on. Element i takes word i, of a uniform float64
// tensor the words 2i and 2i + 1; so no element's number depends on shapes, chunks or threads.
#include "kernels/box_muller.h"
#include "kernels/operands.h"
#include "kernels/ranges.h"
#include "kernels/specs.h"
#include "registry.h"
#include "simd/philox.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

constexpr std::int64_t kRandomChunk = 2048;  // elements, about a microsecond of Philox
constexpr double kTwoPi = 6.283185307179586;

PYNN_INLINE PhiloxKey stream_key(const Call* call, int counter_operand) {
  const std::int64_t* ints = call->problem->ints;
  PhiloxKey key;
  key.key[0] = static_cast<std::uint32_t>(ints[0]);
  key.key[1] = static_cast<std::uint32_t>(ints[1]);
  key.counter = static_cast<std::uint64_t>(*operand<const std::int64_t>(call, counter_operand));
  return key;
}

// A probability p as a bound for words: word < bound has probability p (within 2^-32).
PYNN_INLINE std::uint64_t word_bound(double p) {
  const double scaled = p * 0x1p32 + 0.5;
  return scaled <= 0 ? 0 : scaled >= 0x1p32 ? (std::uint64_t{1} << 32) : static_cast<std::uint64_t>(scaled);
}

bool prepare_random(const Spec& out, double ns_per_element, Plan* plan) {
  plan->params[0] = split(plan, 0, out.size, kRandomChunk, kPhiloxBatch);
  plan->cost_ns = static_cast<double>(out.size) * ns_per_element;
  return true;
}

// Calls fn(first element, count, words) for pieces of chunks [begin, end); kWords words belong to each element.
template <int kWords, class F>
PYNN_INLINE void for_words(const Call* call, const PhiloxKey& key, std::int64_t size, std::int64_t begin, std::int64_t end,
                           const F& fn) {
  constexpr int piece = kPhiloxBatch / kWords;
  const Range range = chunk_range(begin, end, call->plan->params[0], size);
  alignas(64) std::uint32_t words[kPhiloxBatch];
  for (std::int64_t i = range.first; i < range.last; i += piece) {
    fill_words(key, i * kWords, words);
    fn(i, static_cast<int>(least(piece, range.last - i)), words);
  }
}

// ---- dropout: y = x * scale where word >= bound, else 0; scale = 1 / (1 - rate) ------------------------------------------

PYNN_INLINE VecF dropped(VecF x, const std::uint32_t* words, std::uint32_t bound) {
#if defined(PYNN_VECTOR_EXTENSIONS)
  typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));
  Words word;
  std::memcpy(&word, words, sizeof word);
  return select((VecI)(word >= (Words{} + bound)), x, zero<float>());
#else
  VecI keep;
  for (int lane = 0; lane < Simd<float>::kLanes; ++lane) keep[lane] = words[lane] >= bound ? -1 : 0;
  return select(keep, x, zero<float>());
#endif
}
PYNN_INLINE VecD dropped(VecD x, const std::uint32_t* words, std::uint32_t bound) {
  VecL keep;
  for (int lane = 0; lane < Simd<double>::kLanes; ++lane) keep[lane] = words[lane] >= bound ? -1 : 0;
  return select(keep, x, zero<double>());
}

template <class T>
void run_dropout(const Call* call, std::int64_t begin, std::int64_t end) {
  constexpr int lanes = Simd<T>::kLanes;
  const double rate = call->problem->floats[0];
  const std::uint64_t wanted = word_bound(rate);
  const std::uint32_t bound = static_cast<std::uint32_t>(wanted >> 32 ? 0xFFFFFFFFu : wanted);
  const typename Simd<T>::V scale = broadcast(static_cast<T>(rate < 1 ? 1 / (1 - rate) : 0));
  const T* x = operand<const T>(call, 0);
  T* y = operand<T>(call, 2);
  for_words<1>(call, stream_key(call, 1), call->problem->specs[0].size, begin, end,
               [&](std::int64_t first, int count, const std::uint32_t* words) {
                 int i = 0;
                 for (; i + lanes <= count; i += lanes)
                   store(y + first + i, dropped(load(x + first + i) * scale, words + i, bound));
                 if (i < count)
                   store_partial(y + first + i, dropped(load_partial(x + first + i, count - i) * scale, words + i, bound), count - i);
               });
}

// ---- distributions -------------------------------------------------------------------------------------------------------

// Uniform in [0, 1) with all the bits the type holds.
PYNN_INLINE float unit(const std::uint32_t* words, int i, float) {
  return static_cast<float>(words[i] >> 8) * 0x1p-24f;
}
PYNN_INLINE double unit(const std::uint32_t* words, int i, double) {
  const std::uint64_t both = static_cast<std::uint64_t>(words[2 * i]) << 32 | words[2 * i + 1];
  return static_cast<double>(both >> 11) * 0x1p-53;
}

// low + unit * (high - low)
template <class T>
void run_uniform(const Call* call, std::int64_t begin, std::int64_t end) {
  const double* floats = call->problem->floats;
  const T low = static_cast<T>(floats[0]), width = static_cast<T>(floats[1] - floats[0]);
  T* y = operand<T>(call, 1);
  for_words<static_cast<int>(sizeof(T) / 4)>(call, stream_key(call, 0), call->problem->specs[1].size, begin, end,
                                             [&](std::int64_t first, int count, const std::uint32_t* words) {
                                               for (int i = 0; i < count; ++i) y[first + i] = low + unit(words, i, T(0)) * width;
                                             });
}

// mean + stddev * z by Box and Muller (1958): words (2j, 2j + 1) give z = sqrt(-2 ln u) * (cos, sin)(2 pi v), u in (0, 1].
template <class T>
void run_normal(const Call* call, std::int64_t begin, std::int64_t end);

template <>
void run_normal<float>(const Call* call, std::int64_t begin, std::int64_t end) {
  constexpr int lanes = Simd<float>::kLanes;
  const VecF mean = broadcast(static_cast<float>(call->problem->floats[0]));
  const VecF stddev = broadcast(static_cast<float>(call->problem->floats[1]));
  float* y = operand<float>(call, 1);
  for_words<1>(call, stream_key(call, 0), call->problem->specs[1].size, begin, end,
               [&](std::int64_t first, int count, const std::uint32_t* words) {
                 for (int i = 0; i < count; i += lanes) {
                   const VecF z = fma(normal_pairs(words + i), stddev, mean);
                   if (i + lanes <= count) store(y + first + i, z);
                   else store_partial(y + first + i, z, count - i);
                 }
               });
}

template <>
void run_normal<double>(const Call* call, std::int64_t begin, std::int64_t end) {
  const double mean = call->problem->floats[0], stddev = call->problem->floats[1];
  double* y = operand<double>(call, 1);
  for_words<1>(call, stream_key(call, 0), call->problem->specs[1].size, begin, end,
               [&](std::int64_t first, int count, const std::uint32_t* words) {
                 for (int i = 0; i < count; i += 2) {
                   const double radius = sqrt(-2 * log((static_cast<double>(words[i]) + 1) * 0x1p-32));
                   const double angle = static_cast<double>(words[i + 1]) * (kTwoPi * 0x1p-32);
                   y[first + i] = mean + stddev * (radius * cos(angle));
                   if (i + 1 < count) y[first + i + 1] = mean + stddev * (radius * sin(angle));
                 }
               });
}

PYNN_INLINE double polynomial(const double* c, int n, double x) {
  double sum = c[n - 1];
  for (int i = n - 2; i >= 0; --i) sum = sum * x + c[i];
  return sum;
}

// Quantile of the standard normal distribution for |q| = |p - 0.5| <= 0.48: Wichura (1988), algorithm AS 241, PPND16.
PYNN_INLINE double normal_quantile(double p) {
  const double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
                       4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
  const double b[8] = {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
                       2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3};
  const double c[8] = {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
                       1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  const double d[8] = {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                       1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9};
  const double q = p - 0.5;
  if (q <= 0.425 && q >= -0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(a, 8, r) / polynomial(b, 8, r);
  }
  const double r = sqrt(-log(q < 0 ? p : 1 - p)) - 1.6;
  const double tail = polynomial(c, 8, r) / polynomial(d, 8, r);
  return q < 0 ? -tail : tail;
}

// mean + stddev * z, z normal within two standard deviations: its quantile at a uniform number.
template <class T>
void run_truncated_normal(const Call* call, std::int64_t begin, std::int64_t end) {
  constexpr double below = 0.022750131948179195;  // P(z < -2)
  const double mean = call->problem->floats[0], stddev = call->problem->floats[1];
  T* y = operand<T>(call, 1);
  for_words<1>(call, stream_key(call, 0), call->problem->specs[1].size, begin, end,
               [&](std::int64_t first, int count, const std::uint32_t* words) {
                 for (int i = 0; i < count; ++i) {
                   const double u = (static_cast<double>(words[i]) + 0.5) * 0x1p-32;
                   y[first + i] = static_cast<T>(mean + stddev * normal_quantile(below + u * (1 - 2 * below)));
                 }
               });
}

// 1 with probability p, else 0
template <class T>
void run_bernoulli(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::uint64_t bound = word_bound(call->problem->floats[0]);
  T* y = operand<T>(call, 1);
  for_words<1>(call, stream_key(call, 0), call->problem->specs[1].size, begin, end,
               [&](std::int64_t first, int count, const std::uint32_t* words) {
                 for (int i = 0; i < count; ++i) y[first + i] = words[i] < bound ? T(1) : T(0);
               });
}

// low + (word * range >> 32), range in [1, 2^32]; ints[2] = low, ints[3] = range
template <class T>
void run_integers(const Call* call, std::int64_t begin, std::int64_t end) {
  const std::int64_t low = call->problem->ints[2];
  const std::uint64_t range = static_cast<std::uint64_t>(call->problem->ints[3]);
  T* y = operand<T>(call, 1);
  for_words<1>(call, stream_key(call, 0), call->problem->specs[1].size, begin, end,
               [&](std::int64_t first, int count, const std::uint32_t* words) {
                 for (int i = 0; i < count; ++i) {
                   const std::uint64_t high = words[i] * (range >> 32 ? 0 : range) >> 32;
                   y[first + i] = static_cast<T>(low + static_cast<std::int64_t>(range >> 32 ? words[i] : high));
                 }
               });
}

// Fisher and Yates: for i = n - 1 down to 1 swap out[i] with out[(word i) * (i + 1) >> 32].
void run_shuffle(const Call* call) {
  const std::int64_t n = call->problem->specs[1].size;
  const PhiloxKey key = stream_key(call, 0);
  std::int64_t* out = operand<std::int64_t>(call, 1);
  for (std::int64_t i = 0; i < n; ++i) out[i] = i;
  alignas(64) std::uint32_t words[kPhiloxBatch];
  for (std::int64_t base = (n - 1) / kPhiloxBatch * kPhiloxBatch; base >= 0; base -= kPhiloxBatch) {
    fill_words(key, base, words);
    for (std::int64_t i = least(base + kPhiloxBatch, n) - 1; i >= most(base, 1); --i) {
      const std::uint64_t j = static_cast<std::uint64_t>(words[i - base]) * static_cast<std::uint64_t>(i + 1) >> 32;
      const std::int64_t moved = out[i];
      out[i] = out[j];
      out[j] = moved;
    }
  }
}

}  // namespace

PYNN_FLOAT_ENTRIES(dropout, prepare_random(problem->specs[0], 0.8, plan), run_dropout<T>(call, begin, end))

// Ops that read nothing but the counter: the dtype is the output's.
#define PYNN_DISTRIBUTION(name, function, ns)                                                                    \
  PYNN_ENTRY(name, is_float(problem->specs[1]) && prepare_random(problem->specs[1], ns, plan),                   \
             if (call->problem->specs[1].dtype == kF32) function<float>(call, begin, end);                       \
             else function<double>(call, begin, end))
PYNN_DISTRIBUTION(random_uniform, run_uniform, 1.2)
PYNN_DISTRIBUTION(random_normal, run_normal, 2.5)
PYNN_DISTRIBUTION(random_truncated_normal, run_truncated_normal, 8)
PYNN_DISTRIBUTION(random_bernoulli, run_bernoulli, 1)
#undef PYNN_DISTRIBUTION

bool prepare_random_integers(const Problem* problem, Plan* plan) noexcept {
  const Spec& out = problem->specs[1];
  return is_index(out) && prepare_random(out, 1, plan);
}
void run_random_integers(const Call* call, std::int32_t, std::int64_t begin, std::int64_t end, void*) noexcept {
  if (call->problem->specs[1].dtype == kI32) run_integers<std::int32_t>(call, begin, end);
  else run_integers<std::int64_t>(call, begin, end);
}

bool prepare_permutation(const Problem* problem, Plan* plan) noexcept {
  plan->chunks[0] = problem->specs[1].size > 0 ? 1 : 0;
  plan->cost_ns = static_cast<double>(problem->specs[1].size) * 3;
  return problem->specs[1].size < (std::int64_t{1} << 32);
}
void run_permutation(const Call* call, std::int32_t, std::int64_t, std::int64_t, void*) noexcept { run_shuffle(call); }

// out = counter + ints[0], which wraps around; out may be the counter's memory
bool prepare_increment(const Problem* problem, Plan* plan) noexcept {
  plan->cost_ns = 2;
  return problem->specs[0].dtype == kI64 && problem->specs[0].size == 1;
}
void run_increment(const Call* call, std::int32_t, std::int64_t, std::int64_t, void*) noexcept {
  const std::uint64_t counter = static_cast<std::uint64_t>(*operand<const std::int64_t>(call, 0));
  *operand<std::int64_t>(call, 1) = static_cast<std::int64_t>(counter + static_cast<std::uint64_t>(call->problem->ints[0]));
}

}  // namespace PYNN_TARGET
}  // namespace pynn

PYNN_FLOAT_KERNELS(dropout)
PYNN_KERNEL(random_uniform)
PYNN_KERNEL(random_normal)
PYNN_KERNEL(random_truncated_normal)
PYNN_KERNEL(random_bernoulli)
PYNN_KERNEL(random_integers)
PYNN_KERNEL(permutation)
PYNN_KERNEL(increment)
