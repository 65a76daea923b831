// The processors that threads may run on.
#pragma once

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

// Keeps another thread off the processor of the calling one while this object lives, if it is allowed on any other. One that
// waits there for its turn moves at once. The system likes to run a woken thread where its waker runs; a thread that is meant
// to work beside its waker had better be woken under this.
class Apart {
 public:
  explicit Apart(ThreadHandle thread);
  ~Apart();
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;

 private:
  ThreadHandle thread_;
  bool moved_ = false;
#if defined(__linux__)
  ProcessorSet allowed_;
#endif
};

}  // namespace pynn
