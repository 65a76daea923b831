#include "registry.h"

#include <cstring>
#include <vector>

namespace pynn {
namespace {

std::vector<KernelEntry>& table() {
  static std::vector<KernelEntry> entries;
  return entries;
}

}  // namespace

KernelRegistrar::KernelRegistrar(const KernelEntry& entry) { table().push_back(entry); }

const KernelEntry* find_kernel(const char* name) {
  for (const KernelEntry& entry : table())
    if (std::strcmp(entry.name, name) == 0) return &entry;
  return nullptr;
}

int num_kernels() { return static_cast<int>(table().size()); }

const KernelEntry& kernel_at(int index) { return table()[static_cast<std::size_t>(index)]; }

}  // namespace pynn
