// The primitives of simd/vec.h and simd/philox.h against plain C++, with every length of partial loads and stores. A program of its own, so that it
// also runs under an emulator where there is no Python: build with -DPYNN_TARGET=baseline -DPYNN_TARGET_BASELINE -Icsrc.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "simd/philox.h"
#include "simd/vec.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

int failures = 0;

void expect(bool right, const char* what) {
  if (right) return;
  ++failures;
  std::printf("wrong: %s\n", what);
}

template <class T>
void check_partial() {
  constexpr int lanes = Simd<T>::kLanes;
  for (int n = 0; n <= lanes; ++n) {
    T from[lanes], to[lanes + 1], whole[lanes];
    for (int i = 0; i < lanes; ++i) from[i] = T(i + 1);
    for (int i = 0; i <= lanes; ++i) to[i] = T(-1);
    const auto v = load_partial(from, n);
    store(whole, v);
    store_partial(to, load(from), n);
    for (int i = 0; i < lanes; ++i) {
      expect(whole[i] == (i < n ? from[i] : T(0)), "load_partial");
      expect(to[i] == (i < n ? from[i] : T(-1)), "store_partial");
    }
    expect(to[lanes] == T(-1), "store_partial behind the end");
  }
}

template <class T>
void check_rounding() {
  const T cases[] = {T(0), T(-0.0), T(0.5), T(1.5), T(2.5), T(-0.5), T(-1.5), T(-2.5), T(2.4), T(1e30), T(-7.6)};
  T y[Simd<T>::kLanes];
  for (const T x : cases) {
    store(y, vround(broadcast(x)));
    expect(y[0] == std::nearbyint(x) && std::signbit(y[0]) == std::signbit(std::nearbyint(x)), "vround");
    store(y, vsqrt(broadcast(std::fabs(x))));
    expect(y[Simd<T>::kLanes - 1] == std::sqrt(std::fabs(x)), "vsqrt");
  }
}

void check_powers() {
  float y[Simd<float>::kLanes];
  for (int n = -126; n <= 127; ++n) {
    store(y, exp2_whole(broadcast(static_cast<float>(n))));
    expect(y[0] == std::ldexp(1.0f, n), "exp2_whole");
  }
}

void check_bytes() {
  constexpr int lanes = Simd<float>::kLanes;
  std::uint8_t from[lanes], to[lanes];
  for (int first = 0; first < 256; ++first) {
    for (int i = 0; i < lanes; ++i) from[i] = static_cast<std::uint8_t>(first + 37 * i);
    const VecI v = load_bytes(from, VecI{});
    for (int i = 0; i < lanes; ++i) expect(v[i] == from[i], "load_bytes");
    store_bytes(to, v);
    expect(std::memcmp(from, to, sizeof from) == 0, "store_bytes");
  }
}

// The first test vector of the generator's authors: counter 0, key 0.
void check_philox() {
  std::uint32_t words[kPhiloxBatch];
  fill_words(PhiloxKey{{0, 0}, 0}, 0, words);
  const std::uint32_t wanted[4] = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
  expect(std::memcmp(words, wanted, sizeof wanted) == 0, "philox");
}

}  // namespace

int check() {
  check_partial<float>();
  check_partial<double>();
  check_rounding<float>();
  check_rounding<double>();
  check_powers();
  check_bytes();
  check_philox();
  return failures;
}

}  // namespace PYNN_TARGET
}  // namespace pynn

int main() {
  if (pynn::PYNN_TARGET::check()) return 1;
  std::puts("the primitives are right");
  return 0;
}
