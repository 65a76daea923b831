#include "base/processors.h"

#if defined(__linux__)
#include <pthread.h>
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

Apart::Apart(ThreadHandle thread) : thread_(thread) {
  const int here = sched_getcpu();
  if (here < 0 || pthread_getaffinity_np(thread, sizeof(allowed_.sets), allowed_.sets) != 0 || allowed_.count() < 2) return;
  ProcessorSet others = allowed_;
  CPU_CLR_S(static_cast<unsigned>(here), sizeof(others.sets), others.sets);
  moved_ = pthread_setaffinity_np(thread, sizeof(others.sets), others.sets) == 0;
}

Apart::~Apart() {
  if (moved_) pthread_setaffinity_np(thread_, sizeof(allowed_.sets), allowed_.sets);
}

#else

int allowed_processors() { return online_processors(); }
Apart::Apart(ThreadHandle thread) : thread_(thread) {}
Apart::~Apart() { (void)moved_; }

#endif

}  // namespace pynn
