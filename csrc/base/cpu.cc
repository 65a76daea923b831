#include "base/cpu.h"

#include <cstdlib>
#include <cstring>

#include "registry.h"

#if defined(__x86_64__) || defined(_M_X64)
#define PYNN_X86 1
#include <xmmintrin.h>
#endif
#if defined(PYNN_X86) && defined(_MSC_VER)
#include <intrin.h>
#endif

namespace pynn {
namespace {

const char* const kTargetNames[kNumTargets] = {"baseline", "avx2", "avx512"};

bool compiled_in(int target) {
#if defined(PYNN_HAS_AVX512)
  if (target == kAvx512) return true;
#endif
#if defined(PYNN_HAS_AVX2)
  if (target == kAvx2) return true;
#endif
  return target == kBaseline;
}

}  // namespace

bool cpu_supports(int target) {
  if (target == kBaseline) return true;
#if defined(PYNN_X86) && (defined(__GNUC__) || defined(__clang__))
  if (target == kAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (target == kAvx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
  return false;
}

int best_target() {
  int cap = kNumTargets - 1;
  if (const char* wanted = std::getenv("PYNN_MAX_TARGET")) {
    const int named = target_from_name(wanted);
    if (named >= 0) cap = named;
  }
  for (int target = cap; target > kBaseline; --target)
    if (compiled_in(target) && cpu_supports(target)) return target;
  return kBaseline;
}

const char* target_name(int target) { return kTargetNames[target]; }

int target_from_name(const char* name) {
  for (int target = 0; target < kNumTargets; ++target)
    if (std::strcmp(kTargetNames[target], name) == 0) return target;
  return -1;
}

#if defined(PYNN_X86)
FlushDenormals::FlushDenormals(bool flush) : saved_(_mm_getcsr()) {
  constexpr unsigned kBits = 0x8040u;
  const unsigned others = static_cast<unsigned>(saved_) & ~kBits;
  _mm_setcsr(flush ? others | kBits : others);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
FlushDenormals::FlushDenormals(bool flush) {
  constexpr unsigned long long kBit = 1ull << 24;
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
  __asm__ volatile("msr fpcr, %0" : : "r"(flush ? saved_ | kBit : saved_ & ~kBit));
}
FlushDenormals::~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
FlushDenormals::FlushDenormals(bool) : saved_(0) {}
FlushDenormals::~FlushDenormals() { (void)saved_; }
#endif

}  // namespace pynn
