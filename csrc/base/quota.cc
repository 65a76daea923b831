#include "base/quota.h"

#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

namespace pynn {
namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

// Where a hierarchy of control groups is mounted, and which of its groups is seen there as the top.
struct Mount {
  bool unified;  // version 2
  std::string top;
  std::string path;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// True if `name` is an entry of a comma-separated list.
bool lists(const std::string& text, const std::string& name) {
  for (const std::string& part : split(text, ','))
    if (part == name) return true;
  return false;
}

// A line is "id parent device top path options [tags] - type source options".
std::vector<Mount> cpu_mounts(const std::string& root) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> left = split(line.substr(0, dash), ' ');
    const std::vector<std::string> right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const bool unified = right[0] == "cgroup2";
    if (unified || (right[0] == "cgroup" && lists(right[2], "cpu"))) mounts.push_back({unified, left[3], root + left[4]});
  }
  return mounts;
}

// The process's group in one hierarchy; a line is "id:controllers:group", version 2 being "0::group".
std::string group_of_process(const std::string& root, bool unified) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (unified ? controllers.empty() : lists(controllers, "cpu")) return line.substr(second + 1);
  }
  return "/";
}

double ratio(const std::string& quota, double period) {
  std::istringstream stream(quota);
  double microseconds = 0;
  if (!(stream >> microseconds) || microseconds <= 0 || period <= 0) return kNoQuota;  // "max" and -1 mean none
  return microseconds / period;
}

double quota_of_folder(const std::string& folder, bool unified) {
  std::string quota;
  double period = 0;
  if (unified) {
    std::ifstream file(folder + "/cpu.max");
    file >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return ratio(quota, period);
}

// The group as a path below the mount; empty if it is the top, or lies outside of what is mounted.
std::string path_below(const std::string& group, const std::string& top) {
  if (group.find("/..") != std::string::npos) return "";
  const std::string prefix = top == "/" ? "" : top;
  if (group.compare(0, prefix.size(), prefix) != 0) return "";
  const std::string rest = group.substr(prefix.size());
  return rest.empty() || rest[0] != '/' || rest == "/" ? "" : rest;
}

}  // namespace

double cpu_quota(const std::string& root) {
  double least = kNoQuota;
  for (const Mount& mount : cpu_mounts(root)) {
    std::string below = path_below(group_of_process(root, mount.unified), mount.top);
    for (;;) {
      const double quota = quota_of_folder(mount.path + below, mount.unified);
      if (quota < least) least = quota;
      if (below.empty()) break;
      below.erase(below.rfind('/'));
    }
  }
  return least;
}

}  // namespace pynn
