#include "base/parking.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <condition_variable>
#include <mutex>
#endif

namespace pynn {

#if defined(__linux__)

static_assert(sizeof(std::atomic<std::uint32_t>) == 4, "a futex is a plain 32-bit word");

void sleep_while(const std::atomic<std::uint32_t>& word, std::uint32_t value) {
  while (word.load(std::memory_order_acquire) == value)
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake(std::atomic<std::uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

void forget_sleepers() {}

#else

namespace {

struct Bench {
  std::mutex mutex;
  std::condition_variable changed;
};

// Words next to each other have benches of their own, so that a wake concerns one thread of up to kBenches.
constexpr std::uintptr_t kBenches = 64;

// Never destroyed: workers may sleep on them until the process is gone.
Bench*& benches() {
  static Bench* shared = new Bench[kBenches];
  return shared;
}

Bench& bench_of(const std::atomic<std::uint32_t>& word) {
  return benches()[reinterpret_cast<std::uintptr_t>(&word) / sizeof(word) % kBenches];
}

}  // namespace

void sleep_while(const std::atomic<std::uint32_t>& word, std::uint32_t value) {
  Bench& bench = bench_of(word);
  std::unique_lock<std::mutex> lock(bench.mutex);
  while (word.load(std::memory_order_acquire) == value) bench.changed.wait(lock);
}

void wake(std::atomic<std::uint32_t>& word) {
  Bench& bench = bench_of(word);
  { std::lock_guard<std::mutex> lock(bench.mutex); }  // a sleeper has either seen the new value or waits by now
  bench.changed.notify_all();
}

// A mutex that a thread of the parent held stays locked for ever in the child, so the child takes new ones.
void forget_sleepers() { benches() = new Bench[kBenches]; }

#endif

}  // namespace pynn
