// The thread pool under load, for a sanitizer: many jobs from several callers, each chunk done once, workers that sleep, start and
// change in number meanwhile. tools/thread_sanitizer.sh builds and runs it.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "base/threads.h"

namespace {

// Plain integers on purpose: two threads in the same chunk, or a caller that returns early, are data races.
struct Job {
  std::vector<int> visits;
  std::vector<int> inside;  // of each worker number
};

void visit(void* context, std::int64_t begin, std::int64_t end, int worker) {
  Job& job = *static_cast<Job*>(context);
  ++job.inside[static_cast<std::size_t>(worker)];
  for (std::int64_t chunk = begin; chunk < end; ++chunk) ++job.visits[static_cast<std::size_t>(chunk)];
}

bool run_job(std::int64_t chunks, int threads, double cost_ns) {
  Job job{std::vector<int>(static_cast<std::size_t>(chunks)), std::vector<int>(static_cast<std::size_t>(threads))};
  pynn::parallel_chunks(chunks, threads, cost_ns, visit, &job);
  for (const int visits : job.visits)
    if (visits != 1) return false;
  return true;
}

bool run_jobs(int count, unsigned seed) {
  for (int i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const std::int64_t chunks = 1 + (seed >> 8) % 200;
    const int threads = 1 + static_cast<int>(seed >> 20) % 5;
    if (!run_job(chunks, threads, i % 3 ? 1e6 : 100)) return false;
    if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));  // workers fall asleep
  }
  return true;
}

}  // namespace

int main() {
  bool right = run_jobs(2000, 1);
  bool right_beside = true;
  std::thread second([&] { right_beside = run_jobs(1000, 2); });
  right = run_jobs(1000, 3) && right;
  second.join();
  right = run_job(300000, 3, 1e6) && right;
  std::puts(right && right_beside ? "every chunk was done once" : "a chunk was lost or done twice");
  return right && right_beside ? 0 : 1;
}
