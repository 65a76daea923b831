#include "memory.h"

#include <cstdio>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif

namespace pynn {
namespace {

constexpr std::int64_t kHugePagesFrom = 4 << 20;

// Says how much was asked for.
class NoMemory : public std::bad_alloc {
 public:
  explicit NoMemory(std::int64_t bytes) { std::snprintf(text_, sizeof text_, "there is no memory for %lld bytes", static_cast<long long>(bytes)); }
  const char* what() const noexcept override { return text_; }

 private:
  char text_[64];
};

// Asks for huge pages where the system gives them on demand: one fault for 2 MiB instead of 512, and few misses in the address cache.
void prefer_huge_pages(void* p, std::int64_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t kPage = 4096;
  const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(p) + kPage - 1) / kPage * kPage;
  const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(bytes);
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: a refusal changes nothing
#else
  (void)p, (void)bytes;
#endif
}

}  // namespace

void AlignedFree::operator()(void* p) const {
#if defined(_WIN32)
  _aligned_free(p);
#else
  std::free(p);
#endif
}

AlignedBuffer aligned_buffer(std::int64_t bytes) {
  const std::int64_t size = aligned_bytes(bytes > 0 ? bytes : 1);
#if defined(_WIN32)
  void* p = _aligned_malloc(static_cast<std::size_t>(size), kAlignment);
#else
  void* p = std::aligned_alloc(kAlignment, static_cast<std::size_t>(size));
#endif
  if (!p) throw NoMemory(size);
  if (size >= kHugePagesFrom) prefer_huge_pages(p, size);
  return AlignedBuffer(p);
}

bool let_system_take(void* begin, std::int64_t bytes) {
#if defined(__linux__) && defined(MADV_FREE)
  constexpr std::uintptr_t kHugePage = 2 << 20;
  const std::uintptr_t from = (reinterpret_cast<std::uintptr_t>(begin) + kHugePage - 1) / kHugePage * kHugePage;
  const std::uintptr_t to = (reinterpret_cast<std::uintptr_t>(begin) + static_cast<std::uintptr_t>(bytes)) / kHugePage * kHugePage;
  return from < to && madvise(reinterpret_cast<void*>(from), to - from, MADV_FREE) == 0;
#else
  (void)begin, (void)bytes;
  return false;
#endif
}

}  // namespace pynn
