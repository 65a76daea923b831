#include "base/processors.h"

#if defined(__linux__)
#include <pthread.h>
#include <time.h>
#endif

namespace pynn {
namespace {

int online_processors() {
  const unsigned online = std::thread::hardware_concurrency();
  return online > 0 ? static_cast<int>(online) : 1;
}

}  // namespace

#if defined(__linux__)

int allowed_processors() {
  ProcessorSet allowed;
  const bool known = sched_getaffinity(0, sizeof(allowed.sets), allowed.sets) == 0 && allowed.count() > 0;
  return known ? allowed.count() : online_processors();
}

std::int64_t running_time(ThreadHandle thread) {
  clockid_t clock;
  timespec time;
  if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &time) != 0) return -1;
  return std::int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

Placed::Placed(ThreadHandle thread, Where where) : thread_(thread) {
  const int here = sched_getcpu();
  if (here < 0 || pthread_getaffinity_np(thread, sizeof(allowed_.sets), allowed_.sets) != 0 || allowed_.count() < 2) return;
  const unsigned bit = static_cast<unsigned>(here);
  ProcessorSet wanted = allowed_;
  if (where == kHere) CPU_ZERO_S(sizeof(wanted.sets), wanted.sets);
  if (where == kApart) CPU_CLR_S(bit, sizeof(wanted.sets), wanted.sets);
  else if (CPU_ISSET_S(bit, sizeof(allowed_.sets), allowed_.sets)) CPU_SET_S(bit, sizeof(wanted.sets), wanted.sets);
  moved_ = pthread_setaffinity_np(thread, sizeof(wanted.sets), wanted.sets) == 0;
}

Placed::~Placed() {
  if (moved_) pthread_setaffinity_np(thread_, sizeof(allowed_.sets), allowed_.sets);
}

#else

int allowed_processors() { return online_processors(); }
std::int64_t running_time(ThreadHandle) { return -1; }
Placed::Placed(ThreadHandle, Where) {}
Placed::~Placed() = default;

#endif

}  // namespace pynn
