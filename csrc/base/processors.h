// The processors that threads may run on.
#pragma once

#include <cstdint>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace pynn {

using ThreadHandle = std::thread::native_handle_type;

#if defined(__linux__)
// The kernel refuses a mask shorter than its own; one set covers 1024 processors.
struct ProcessorSet {
  cpu_set_t sets[16];
  int count() const { return CPU_COUNT_S(sizeof(sets), sets); }
};
#endif

// Processors in the affinity mask of the calling thread (all online ones where the system has no masks). At least 1.
int allowed_processors();

// Nanoseconds that a thread of this process has spent on processors; -1 where the system doesn't tell.
std::int64_t running_time(ThreadHandle thread);

// Keeps another thread off the processor of the calling one while this object lives, or on it, as far as its affinity allows. One
// that waits elsewhere for its turn moves at once.
class Placed {
 public:
  enum Where { kApart, kHere };
  Placed(ThreadHandle thread, Where where);
  ~Placed();
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

#if defined(__linux__)
 private:
  ThreadHandle thread_;
  bool moved_ = false;
  ProcessorSet allowed_;
#endif
};

}  // namespace pynn
