// Aligned memory, and what the system is told about large blocks of it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/kernel.h"

namespace pynn {

struct AlignedFree {
  void operator()(void* p) const;
};
using AlignedBuffer = std::unique_ptr<void, AlignedFree>;
// Throws std::bad_alloc. Never returns null, not even for 0 bytes.
AlignedBuffer aligned_buffer(std::int64_t bytes);

// Lets the system take the pages of [begin, begin + bytes) when it runs short, in whole huge pages; what they hold is lost then. Whoever
// writes there again has them back, without a fault if they weren't taken. False where the system can't do that: nothing has changed.
bool let_system_take(void* begin, std::int64_t bytes);

}  // namespace pynn
