// Puts threads to sleep and wakes them: a futex on Linux, condition variables elsewhere.
#pragma once

#include <atomic>
#include <cstdint>

namespace pynn {

// Sleeps while `word` holds `value`. Whoever changes the word calls `wake` after that.
void sleep_while(const std::atomic<std::uint32_t>& word, std::uint32_t value);
// Wakes the thread that sleeps on `word`; at most one does.
void wake(std::atomic<std::uint32_t>& word);
// Forgets the sleepers of the parent process; called in the child of a fork.
void forget_sleepers();

}  // namespace pynn
