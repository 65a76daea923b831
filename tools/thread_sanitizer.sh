#!/usr/bin/env bash
# The thread pool under ThreadSanitizer: tests/native/threads_stress.cc with the sources of csrc/base. CXX chooses the compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${CXX:-c++}" -std=c++17 -O1 -g -fsanitize=thread -Wall -Wextra -Werror -Icsrc tests/native/threads_stress.cc csrc/base/*.cc -o "$work/stress" -pthread
TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}" "$work/stress"
