// How a fork-join works. One 64-bit word says everything about the running job: how many threads may take part, how many units
// (chunks, or groups of them if there are very many) it has, how many the caller has claimed from the front and how many the
// workers have claimed from the back. A claim is one atomic addition. From both ends, so that in a row of jobs over the same
// data a unit tends to stay on the core whose cache holds it.
//
// Who may touch what:
//   - The caller publishes a job by writing `job` and then the word, and returns when all units are accounted for.
//   - A worker enters with a compare-exchange of the whole word: it succeeds only on a word that has a unit left and
//     admits this worker, whichever job it belongs to. `job` is read after that, never before: the job can't end, and so
//     neither `job` nor the kind of word can change, until the worker has added its units to `done`. A worker that was
//     suspended with an old word in hand therefore does no harm, even if the same word has come up again.
//   - With units unreported, a worker goes on claiming with a plain addition: the word is still that of the same job.
//   - An addition past the end changes nothing: the fields have room for one by each thread.
#include "base/threads.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "base/cpu.h"
#include "base/parking.h"
#include "base/processors.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace pynn {
namespace {

// -- the word: threads (10 bits) | units (18) | claimed from the back (18) | claimed from the front (18) ----------------
using Word = std::uint64_t;

constexpr int kFieldBits = 18;
constexpr Word kFieldMask = (Word{1} << kFieldBits) - 1;
constexpr Word kOneFromFront = 1;
constexpr Word kOneFromBack = Word{1} << kFieldBits;
constexpr std::int64_t kMaxUnits = 1 << 17;
static_assert(kMaxUnits + kMaxThreads <= static_cast<std::int64_t>(kFieldMask), "claims past the end fit in their field");

constexpr Word word_of(int threads, std::int64_t units) {
  return static_cast<Word>(threads) << 3 * kFieldBits | static_cast<Word>(units) << 2 * kFieldBits;
}
constexpr std::int64_t front_of(Word word) { return static_cast<std::int64_t>(word & kFieldMask); }
constexpr std::int64_t back_of(Word word) { return static_cast<std::int64_t>(word >> kFieldBits & kFieldMask); }
constexpr std::int64_t units_of(Word word) { return static_cast<std::int64_t>(word >> 2 * kFieldBits & kFieldMask); }
constexpr int threads_of(Word word) { return static_cast<int>(word >> 3 * kFieldBits); }

constexpr bool has_unit(Word word) { return front_of(word) + back_of(word) < units_of(word); }
constexpr bool has_unit_for(Word word, int worker) { return has_unit(word) && worker < threads_of(word); }
constexpr std::int64_t kNone = -1;
constexpr std::int64_t unit_at_front(Word word) { return has_unit(word) ? front_of(word) : kNone; }
constexpr std::int64_t unit_at_back(Word word) { return has_unit(word) ? units_of(word) - 1 - back_of(word) : kNone; }

using Clock = std::chrono::steady_clock;

// -- the pool: constant-initialised and never destroyed, so workers may sleep in it until the process is gone -----------
struct Job {
  ChunkFunction fn;
  void* context;
  std::int64_t chunks;
  std::int64_t group;  // chunks of a unit
};

struct Pool {
  alignas(64) std::atomic<Word> word{0};
  alignas(64) std::atomic<std::int64_t> done{0};  // units that workers have finished
  alignas(64) Job job{};
  // The rest belongs to the thread that holds `busy`.
  alignas(64) std::atomic<bool> busy{false};
  int started = 0;
  int processors = 0;
  int last_woken = 0;
  bool refused = false;  // the system gave no thread
  double unaided_ns = 0;                                // estimated cost of the latest jobs that left sleepers asleep,
  Clock::time_point unaided_end{};  // with no long pause between them; about when the last one ended
  Clock::time_point alone_until{};  // set: the caller works alone until then, because a worker had lost its processor,
  Clock::duration alone_time{};     // which is for so long
  alignas(64) std::atomic<int> hurried{0};  // the worker that is to sleep as soon as it has nothing claimed
  alignas(64) std::atomic<std::uint32_t> asleep[kMaxThreads + 1]{};
  std::atomic<bool> moving[kMaxThreads + 1]{};  // somebody has changed this worker's affinity and will restore it
  ThreadHandle handles[kMaxThreads + 1]{};
};

Pool pool;

void pause_briefly() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  __asm__ volatile("yield");
#endif
}

// Long enough to bridge the serial stretches of a step, short enough not to take a core from Python or a BLAS.
constexpr std::chrono::microseconds kSpinTime{80};
constexpr int kPausesPerLook = 32;  // at the clock

// Busy waiting for up to kSpinTime.
class Spin {
 public:
  // Waits a moment; false when it is time to do something better.
  bool wait() {
    pause_briefly();
    if (++pauses_ % kPausesPerLook) return true;
    const Clock::time_point now = Clock::now();
    if (pauses_ == kPausesPerLook) end_ = now + kSpinTime;
    return now < end_;
  }

 private:
  int pauses_ = 0;
  Clock::time_point end_;
};

// More threads than processors: no more of them are kept awake than there are processors, in turn.
bool crowded(int threads) { return threads > pool.processors; }

void run_unit(const Job& job, std::int64_t unit, int worker) {
  const std::int64_t begin = unit * job.group;
  const std::int64_t end = begin + job.group < job.chunks ? begin + job.group : job.chunks;
  job.fn(job.context, begin, end, worker);
}

// Wakes a worker on another processor than this one.
void wake_apart(int worker) {
  if (pool.moving[worker].exchange(true)) return wake(pool.asleep[worker]);
  {
    const Placed apart(pool.handles[worker], Placed::kApart);
    wake(pool.asleep[worker]);
  }
  pool.moving[worker].store(false);
}

// Wakes up to `count` of the workers that this job admits, `first` and the ones after it before those before it. Returns the
// last one woken, 0 if all are awake.
int wake_sleepers(int threads, int first, int count) {
  int last = 0;
  for (int step = 0; step < threads - 1 && count > 0; ++step) {
    const int worker = 1 + (first - 1 + step) % (threads - 1);
    if (pool.asleep[worker].load() == 0 || pool.asleep[worker].exchange(0) == 0) continue;
    wake_apart(worker);
    last = worker;
    --count;
  }
  return last;
}

// -- workers -----------------------------------------------------------------------------------------------------------

// Enters the job that the word describes; the first unit to do, or kNone if it has nothing for this worker.
std::int64_t enter(int worker) {
  Word word = pool.word.load(std::memory_order_relaxed);
  while (has_unit_for(word, worker))
    if (pool.word.compare_exchange_weak(word, word + kOneFromBack, std::memory_order_acquire, std::memory_order_relaxed))
      return unit_at_back(word);
  return kNone;
}

void take_part(int worker, std::int64_t unit) {
  const Job job = pool.job;
  std::int64_t finished = 0;
  while (unit != kNone) {
    run_unit(job, unit, worker);
    ++finished;
    unit = unit_at_back(pool.word.fetch_add(kOneFromBack, std::memory_order_relaxed));
  }
  pool.done.fetch_add(finished, std::memory_order_release);
}

// Every worker starts asleep. The caller wakes one of many, and each of them two more.
void sleep_until_woken(int worker) {
  sleep_while(pool.asleep[worker], 1);
  const Word word = pool.word.load();
  if (has_unit(word) && !crowded(threads_of(word))) wake_sleepers(threads_of(word), 1, 2);
}

// The store of the flag and the load of the word pair with the store of the word and the load of the flag by a caller that
// wakes: in the one order of these four, either the caller sees a sleeper or the worker sees the job.
void fall_asleep(int worker) {
  int self = worker;
  pool.hurried.compare_exchange_strong(self, 0, std::memory_order_relaxed);
  pool.asleep[worker].store(1);
  if (has_unit_for(pool.word.load(), worker)) pool.asleep[worker].store(0);
  else sleep_until_woken(worker);
}

void work(int worker) {
  FlushDenormals flush;
  sleep_until_woken(worker);
  for (;;) {
    Spin spin;
    std::int64_t unit = enter(worker);
    while (unit == kNone && pool.hurried.load(std::memory_order_relaxed) != worker && spin.wait()) unit = enter(worker);
    if (unit != kNone) take_part(worker, unit);
    else fall_asleep(worker);
  }
}

// -- starting them -----------------------------------------------------------------------------------------------------

#if defined(_WIN32)

struct SignalsBlocked {};

#else

// While it lives, the calling thread and those it starts take no signals: one that reached a worker would not interrupt what
// Python's main thread waits in.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// The child has the forking thread only; its first fork-join starts workers of its own.
void reset_in_child() {
  forget_sleepers();
  for (std::atomic<std::uint32_t>& asleep : pool.asleep) asleep.store(0);
  for (std::atomic<bool>& moving : pool.moving) moving.store(false);
  pool.word.store(0);
  pool.done.store(0);
  pool.started = 0;
  pool.refused = false;
  pool.hurried.store(0);
  pool.alone_until = {};
  pool.busy.store(false);
}

// From when the library is loaded: a fork may come while another thread is in the first fork-join of all.
[[maybe_unused]] const int at_fork = pthread_atfork(nullptr, nullptr, reset_in_child);

#endif

// Throws a std::exception if the system has no more threads to give.
void start_thread(int worker) {
  [[maybe_unused]] const SignalsBlocked blocked;
  pool.asleep[worker].store(1);
  std::thread thread(work, worker);
  pool.handles[worker] = thread.native_handle();
  thread.detach();
}

// Starts fewer than wanted if it must: the job needs none of them.
void start_workers(int wanted) {
  try {
    for (; pool.started < wanted && !pool.refused; ++pool.started) start_thread(pool.started + 1);
  } catch (const std::exception&) {  // no thread, or no memory for one
    pool.asleep[pool.started + 1].store(0);
    pool.refused = true;
  }
}

// -- workers that have lost their processor ------------------------------------------------------------------------------

// Where another process runs on a worker's processor, a claimed unit waits for a time slice: milliseconds. It can't be taken back,
// for it may be half done. So the caller looks whether a worker that it waits for runs at all, and if not, gives it its own
// processor for the rest of the unit. Then it works alone for a while.
constexpr int kMostWatched = 64;
constexpr std::chrono::microseconds kLookTime{20};
constexpr std::chrono::milliseconds kShortestAlone{1}, kLongestAlone{64};
constexpr int kRelapse = 8;  // "soon" in times of the last time alone

bool all_done(std::int64_t units) { return pool.done.load(std::memory_order_acquire) == units; }

// A worker that is awake and has not run since a moment ago, 0 if there is none: another process has its processor.
int stranded_worker(int threads, std::int64_t units) {
  std::int64_t ran[kMostWatched + 1];
  const int last = threads - 1 < pool.started ? threads - 1 : pool.started;
  const int watched = last < kMostWatched ? last : kMostWatched;
  for (int worker = 1; worker <= watched; ++worker) ran[worker] = running_time(pool.handles[worker]);
  const Clock::time_point end = Clock::now() + kLookTime;
  while (Clock::now() < end)
    if (all_done(units)) return 0;
  for (int worker = 1; worker <= watched; ++worker)
    if (pool.asleep[worker].load() == 0 && ran[worker] >= 0 && running_time(pool.handles[worker]) == ran[worker]) return worker;
  return 0;
}

// Gives a worker the caller's processor until it has nothing claimed any more.
void let_run_here(int worker, std::int64_t units) {
  if (pool.moving[worker].exchange(true)) return;
  pool.hurried.store(worker, std::memory_order_relaxed);
  {
    const Placed here(pool.handles[worker], Placed::kHere);
    while (!all_done(units) && pool.asleep[worker].load() == 0) std::this_thread::yield();
  }
  pool.moving[worker].store(false);
}

// Each time soon after the last one doubles the time that the caller does without workers.
void be_alone_for_now() {
  const Clock::time_point now = Clock::now();
  const bool again = now - pool.alone_until < kRelapse * pool.alone_time;
  pool.alone_time = again ? 2 * pool.alone_time : Clock::duration(kShortestAlone);
  if (pool.alone_time > kLongestAlone) pool.alone_time = kLongestAlone;
  pool.alone_until = now + pool.alone_time;
}

bool alone_for_now() { return pool.alone_until > Clock::time_point{} && Clock::now() < pool.alone_until; }

void wait_for_slow_workers(int threads, std::int64_t units) {
  while (!all_done(units)) {
    const int worker = crowded(threads) ? 0 : stranded_worker(threads, units);
    if (worker) let_run_here(worker, units);
    if (worker) be_alone_for_now();
    if (!worker) std::this_thread::yield();
  }
}

void wait_for_workers(int threads, std::int64_t units) {
  Spin spin;
  while (!all_done(units))
    if (!spin.wait()) return wait_for_slow_workers(threads, units);
}

// -- the caller --------------------------------------------------------------------------------------------------------

// A sleeper is awake and at work some 10 us (a virtual machine: 50 us) after the caller spent about 10 us on waking it.
constexpr double kWorthWakingNs = 30000;

// True if a worker sleeps, or is not started yet, that could have a processor to itself.
bool helpers_missing(int threads) {
  const int wanted = crowded(threads) ? pool.processors - 1 : threads - 1;
  int awake = 0;
  for (int worker = 1; worker < threads && worker <= pool.started && awake < wanted; ++worker)
    awake += pool.asleep[worker].load() == 0;
  return awake < wanted;
}

// True when small jobs since workers fell asleep, this one included, would have paid for a wake. Jobs further apart than
// workers would stay awake don't count together.
bool unaided_jobs_add_up(double cost_ns) {
  const Clock::time_point now = Clock::now();
  if (now - pool.unaided_end > kSpinTime) pool.unaided_ns = 0;
  pool.unaided_ns += cost_ns;
  pool.unaided_end = now + std::chrono::nanoseconds(static_cast<std::int64_t>(cost_ns));
  if (pool.unaided_ns < kWorthWakingNs) return false;
  pool.unaided_ns = 0;
  return true;
}

void wake_a_helper(int threads) {
  if (!helpers_missing(threads)) return;
  const int woken = wake_sleepers(threads, crowded(threads) ? pool.last_woken + 1 : 1, 1);
  if (woken) pool.last_woken = woken;
}

void publish(const Job& job, int threads, std::int64_t units) {
  pool.job = job;
  pool.done.store(0, std::memory_order_relaxed);
  pool.word.store(word_of(threads, units));
}

void fork_join(const Job& job, int threads, std::int64_t units, double cost_ns) {
  if (pool.processors == 0) pool.processors = allowed_processors();
  const bool worth_waking = cost_ns >= kWorthWakingNs || (helpers_missing(threads) && unaided_jobs_add_up(cost_ns));
  if (worth_waking) start_workers(threads - 1);
  publish(job, threads, units);
  if (worth_waking) wake_a_helper(threads);
  std::int64_t unit = unit_at_front(pool.word.fetch_add(kOneFromFront, std::memory_order_relaxed));
  std::int64_t finished = 0;
  for (; unit != kNone; ++finished) {
    run_unit(job, unit, 0);
    unit = unit_at_front(pool.word.fetch_add(kOneFromFront, std::memory_order_relaxed));
  }
  wait_for_workers(threads, units - finished);
}

}  // namespace

void parallel_chunks(std::int64_t chunks, int threads, double cost_ns, ChunkFunction fn, void* context) {
  if (chunks <= 0) return;
  if (chunks == 1 || threads <= 1 || pool.busy.exchange(true, std::memory_order_acquire)) {
    fn(context, 0, chunks, 0);
    return;
  }
  const std::int64_t group = (chunks + kMaxUnits - 1) / kMaxUnits;
  const std::int64_t units = (chunks + group - 1) / group;
  if (threads > kMaxThreads) threads = kMaxThreads;
  if (threads > units) threads = static_cast<int>(units);
  if (alone_for_now()) fn(context, 0, chunks, 0);
  else fork_join(Job{fn, context, chunks, group}, threads, units, cost_ns);
  pool.busy.store(false, std::memory_order_release);
}

}  // namespace pynn
