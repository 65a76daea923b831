// What the CPU can run, capped by the environment variable PYNN_MAX_TARGET (baseline, avx2, avx512).
#pragma once

namespace pynn {

// Best target (see registry.h) that was compiled in, that this CPU and operating system run, and that the cap allows.
int best_target();
const char* target_name(int target);
// -1 for a name that is not a target.
int target_from_name(const char* name);
// True if the CPU runs this target, whatever the cap.
bool cpu_supports(int target);

// Sets flush-to-zero and denormals-are-zero for the calling thread while it lives, or clears both, and restores what was there before.
class FlushDenormals {
 public:
  explicit FlushDenormals(bool flush = true);
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned long long saved_;
};

}  // namespace pynn
