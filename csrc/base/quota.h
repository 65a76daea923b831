// The CPU quota of the process's cgroup.
#pragma once

#include <string>

namespace pynn {

// Processors' worth of time that the process's cgroup and the groups above it allow: the smallest quota / period,
// infinity where there is none. Reads version 1 and version 2, found through <root>/proc/self; `root` is empty outside tests.
double cpu_quota(const std::string& root);

}  // namespace pynn
