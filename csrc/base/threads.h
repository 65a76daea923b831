// The thread pool: one fork-join at a time, chunks claimed one by one, nothing started before the first parallel call.
#pragma once

#include <cstdint>

namespace pynn {

// Runs fn(context, begin, end, worker) over all of [0, chunks). `worker` is in [0, num_threads()) and no two threads
// have the same one at the same time. Returns when every chunk is done. If another fork-join is running (a second caller, or a
// nested call), all chunks run on the calling thread as worker 0 of its own.
using ChunkFunction = void (*)(void* context, std::int64_t begin, std::int64_t end, int worker);
void parallel_chunks(std::int64_t chunks, ChunkFunction fn, void* context);

// Threads that a fork-join may use, the caller included: PYNN_NUM_THREADS, else the smaller of the affinity mask
// and the CPU quota of the process's cgroup (rounded down, at least one).
int num_threads();
void set_num_threads(int threads);

}  // namespace pynn
