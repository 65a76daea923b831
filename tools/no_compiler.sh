#!/usr/bin/env bash
# Installs the package where no compiler works: that must succeed, say so once when it is imported, and train.
# Usage: tools/no_compiler.sh [work folder]
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-}
if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
python3 -m venv "$work/bare"
CXX=/bin/false CC=/bin/false "$work/bare/bin/pip" install -q . > "$work/bare.log" 2>&1 || { tail -40 "$work/bare.log"; exit 1; }
cd "$work"
"$work/bare/bin/python" -W always -c "import pynn; assert pynn.backend() == 'fallback'" 2> "$work/warning.txt"
test "$(grep -c 'without its compiled kernels' "$work/warning.txt")" = 1
"$work/bare/bin/python" -W ignore -m pynn tutorials lstm --epochs 20
