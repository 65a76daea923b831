#!/usr/bin/env bash
# Builds the extension with the address and undefined-behaviour sanitizers, shows that they catch a planted fault, and runs the
# tests of kernels and of calls without Python under them. Usage: tools/sanitize.sh [work folder]
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-}
if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
python=$(command -v python3)
"$python" -m pip install -q pybind11 numpy hypothesis pytest pytest-timeout pytest-xdist

mkdir -p "$work/canary"
cat > "$work/canary/canary.cc" <<'CC'
#include <cstdlib>
int main(int argc, char**) { float* p = static_cast<float*>(std::malloc(4)); p[argc] = 1; return 0; }
CC
g++ -fsanitize=address,undefined -o "$work/canary/canary" "$work/canary/canary.cc"
if "$work/canary/canary" 2> /dev/null; then
  echo "the sanitizer did not catch a write past the end of a buffer" >&2
  exit 1
fi

# -O1: what the sanitizers add to optimised code takes the compiler several times as long. The baseline stays without them.
cmake -S . -B "$work/sanitized" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1" -DPYNN_SANITIZE=address,undefined \
  -DPYNN_TARGETS=avx2 -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$python" > "$work/cmake.log"
cmake --build "$work/sanitized" --parallel "$(nproc)" > "$work/build.log" 2>&1 || { tail -40 "$work/build.log"; exit 1; }
echo "built after $SECONDS s"
mkdir -p "$work/tree"
cp -r pynn tests pyproject.toml "$work/tree/"
rm -f "$work"/tree/pynn/_core*.so
cp "$work"/sanitized/_core*.so "$work/tree/pynn/"
cd "$work/tree"
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONPATH="$work/tree" \
  "$python" -m pytest -q -p no:cacheprovider -n "$(nproc)" --timeout 600 \
  tests/kernels tests/test_eager_calls.py tests/test_public_functions.py tests/test_eager_gradients.py tests/test_captured_steps.py
echo "no findings after $SECONDS s"
