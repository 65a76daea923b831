// How many threads a fork-join may use.
#include <atomic>
#include <cstdlib>

#include "base/processors.h"
#include "base/quota.h"
#include "base/threads.h"

namespace pynn {
namespace {

std::atomic<int> chosen_threads{0};  // 0: not worked out yet

// A positive whole number in the environment, else 0.
int threads_from_environment() {
  const char* text = std::getenv("PYNN_NUM_THREADS");
  if (!text) return 0;
  char* end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || threads < 1) return 0;
  return threads < kMaxThreads ? static_cast<int>(threads) : kMaxThreads;
}

int default_threads() {
  if (const int threads = threads_from_environment()) return threads;
  const int processors = allowed_processors();
  const double quota = cpu_quota("");
  int threads = quota < processors ? static_cast<int>(quota) : processors;
  if (threads > kMaxThreads) threads = kMaxThreads;
  return threads > 0 ? threads : 1;
}

}  // namespace

int num_threads() {
  int threads = chosen_threads.load(std::memory_order_relaxed);
  if (threads > 0) return threads;
  const int fresh = default_threads();
  return chosen_threads.compare_exchange_strong(threads, fresh) ? fresh : threads;
}

void set_num_threads(int threads) {
  chosen_threads.store(threads < 1 ? 0 : threads < kMaxThreads ? threads : kMaxThreads);
}

}  // namespace pynn
