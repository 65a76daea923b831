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
#define PYNN_DECLARE_IN(target, name)                                                      \
  namespace pynn { namespace target {                                                      \
  bool prepare_##name(const Problem*, Plan*) noexcept;                                     \
  void run_##name(const Call*, std::int32_t, std::int64_t, std::int64_t, void*) noexcept;  \
  }}
#if defined(PYNN_HAS_AVX2)
#define PYNN_DECLARE_AVX2(name) PYNN_DECLARE_IN(avx2, name)
#define PYNN_PREPARE_AVX2(name) ::pynn::avx2::prepare_##name
#define PYNN_RUN_AVX2(name) ::pynn::avx2::run_##name
#else
#define PYNN_DECLARE_AVX2(name)
#define PYNN_PREPARE_AVX2(name) nullptr
#define PYNN_RUN_AVX2(name) nullptr
#endif
#if defined(PYNN_HAS_AVX512)
#define PYNN_DECLARE_AVX512(name) PYNN_DECLARE_IN(avx512, name)
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
#define PYNN_FLOAT_KERNELS(name) PYNN_KERNEL(name##_f32) PYNN_KERNEL(name##_f64)

// Defines prepare_<name> by an expression of `problem` and `plan`, and run_<name> by one of `call`, `phase`, `begin`, `end` and `scratch`.
// Use inside pynn::PYNN_TARGET.
#define PYNN_ENTRY(name, prepare, ...) PYNN_TYPED_ENTRY(name, void, prepare, __VA_ARGS__)
// By expressions of the type T as well, and of both <name>_f32 and <name>_f64.
#define PYNN_TYPED_ENTRY(name, Type, prepare, ...)                                                           \
  bool prepare_##name([[maybe_unused]] const Problem* problem, [[maybe_unused]] Plan* plan) noexcept {       \
    using T [[maybe_unused]] = Type;                                                                         \
    return prepare;                                                                                          \
  }                                                                                                          \
  void run_##name([[maybe_unused]] const Call* call, [[maybe_unused]] std::int32_t phase,                    \
                  [[maybe_unused]] std::int64_t begin, [[maybe_unused]] std::int64_t end,                    \
                  [[maybe_unused]] void* scratch) noexcept {                                                 \
    using T [[maybe_unused]] = Type;                                                                         \
    __VA_ARGS__;                                                                                             \
  }
#define PYNN_FLOAT_ENTRIES(name, prepare, ...)               \
  PYNN_TYPED_ENTRY(name##_f32, float, prepare, __VA_ARGS__)  \
  PYNN_TYPED_ENTRY(name##_f64, double, prepare, __VA_ARGS__)
