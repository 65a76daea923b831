// The thread pool: one fork-join at a time, chunks claimed one by one, nothing started before the first parallel call.
#pragma once

#include <cstdint>

namespace pynn {

constexpr int kMaxThreads = 1023;

// Runs fn(context, begin, end, worker) over all of [0, chunks), on at most `threads` threads, the caller included. `worker`
// is in [0, threads), the caller has 0, and no two threads have the same one at the same time. Returns when every chunk is
// done, and then no thread touches `context` any more. If another fork-join is running (a second caller, or a nested call),
// all chunks run on the calling thread. `cost_ns` is an estimate for all chunks on one thread: it decides whether threads that
// sleep are worth waking, never who does what. fn must not throw and must not fork.
using ChunkFunction = void (*)(void* context, std::int64_t begin, std::int64_t end, int worker);
void parallel_chunks(std::int64_t chunks, int threads, double cost_ns, ChunkFunction fn, void* context);

// Threads that a fork-join may use, the caller included: PYNN_NUM_THREADS, else the smaller of the affinity mask
// and the CPU quota of the process's cgroup (rounded down, at least one). Worked out at the first call.
int num_threads();
// From 1 to kMaxThreads, larger numbers count as that; below 1 means the default again. Counts for runs that start later.
void set_num_threads(int threads);

}  // namespace pynn
