// The table of kernels: name ("matmul_f32") and CPU target -> prepare and run.
#pragma once

#include "base/kernel.h"

namespace pynn {

enum Target : int { kBaseline = 0, kAvx2 = 1, kAvx512 = 2, kNumTargets = 3 };

struct KernelEntry {
  const char* name;
  Prepare prepare[kNumTargets];
  Run run[kNumTargets];
};

// Adds an entry; called by static initialisers of the baseline pass only, so no target's instructions run at import.
struct KernelRegistrar {
  explicit KernelRegistrar(const KernelEntry& entry);
};

// Null where there is no such kernel.
const KernelEntry* find_kernel(const char* name);
int num_kernels();
const KernelEntry& kernel_at(int index);

}  // namespace pynn

// CMake defines PYNN_TARGET (a namespace) and PYNN_TARGET_<NAME>, and PYNN_HAS_AVX2 / PYNN_HAS_AVX512 where those passes exist.
#if defined(PYNN_HAS_AVX2)
#define PYNN_DECLARE_AVX2(name)                                                            \
  namespace pynn { namespace avx2 {                                                        \
  bool prepare_##name(const Problem*, Plan*) noexcept;                                     \
  void run_##name(const Call*, std::int32_t, std::int64_t, std::int64_t, void*) noexcept;  \
  }}
#define PYNN_PREPARE_AVX2(name) ::pynn::avx2::prepare_##name
#define PYNN_RUN_AVX2(name) ::pynn::avx2::run_##name
#else
#define PYNN_DECLARE_AVX2(name)
#define PYNN_PREPARE_AVX2(name) nullptr
#define PYNN_RUN_AVX2(name) nullptr
#endif
#if defined(PYNN_HAS_AVX512)
#define PYNN_DECLARE_AVX512(name)                                                          \
  namespace pynn { namespace avx512 {                                                      \
  bool prepare_##name(const Problem*, Plan*) noexcept;                                     \
  void run_##name(const Call*, std::int32_t, std::int64_t, std::int64_t, void*) noexcept;  \
  }}
#define PYNN_PREPARE_AVX512(name) ::pynn::avx512::prepare_##name
#define PYNN_RUN_AVX512(name) ::pynn::avx512::run_##name
#else
#define PYNN_DECLARE_AVX512(name)
#define PYNN_PREPARE_AVX512(name) nullptr
#define PYNN_RUN_AVX512(name) nullptr
#endif

// Registers prepare_<name> and run_<name>, defined before it with external linkage in pynn::PYNN_TARGET. Use at global scope.
#if defined(PYNN_TARGET_BASELINE)
#define PYNN_KERNEL(name)                                                                               \
  PYNN_DECLARE_AVX2(name)                                                                               \
  PYNN_DECLARE_AVX512(name)                                                                             \
  static const ::pynn::KernelRegistrar registrar_##name({                                               \
      #name,                                                                                            \
      {::pynn::baseline::prepare_##name, PYNN_PREPARE_AVX2(name), PYNN_PREPARE_AVX512(name)},           \
      {::pynn::baseline::run_##name, PYNN_RUN_AVX2(name), PYNN_RUN_AVX512(name)}});
#else
#define PYNN_KERNEL(name) static_assert(true, "");
#endif
