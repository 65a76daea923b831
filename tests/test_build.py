"""What the compiler made of the kernels: no target's instructions may reach another's machine through a merged symbol or an
initialiser. Looks at the object files of a build in build/; without one there is nothing to see. And what a compiler without vector
extensions would make of their sources, one by one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
OBJECT = re.compile(r"kernels_(\w+)\.dir/.*/(\w+)\.cc\.o$")
# What a kernel may call: its registration, other targets' entry points (named in the table), and the C library.
ALLOWED_CALLS = re.compile(
    r"pynn::KernelRegistrar::KernelRegistrar\(.*|pynn::(avx2|avx512)::(prepare|run)_\w+\(.*|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail"
    r"|mem(cpy|set|move|cmp)|(a?(sin|cos|tan)h?|atan2|sincos|exp|exp2|expm1|log|log2|log10|log1p|pow|fmod|erfc?|[tl]gamma|cbrt|hypot"
    r"|remainder|nearbyint|rint|round|roundeven|floor|ceil|trunc|fmax|fmin|sqrt|ldexp|frexp|scalbn|nextafter|copysign|fma)f?"
)
# prepare_<name> and run_<name>, and plain functions that files of one target share.
SHOWN = re.compile(r"pynn::(\w+)::\w+\(")


def kernel_objects() -> list[tuple[str, Path]]:
    """(target, object file) of the kernel sources that are there; of the newest build, without sanitizers."""
    builds = [cache.parent for cache in [*ROOT.glob("build/CMakeCache.txt"), *ROOT.glob("build/*/CMakeCache.txt")]
              if re.search(r"^PYNN_SANITIZE:\w+=$", cache.read_text(encoding="utf-8"), re.MULTILINE)]  # fmt: skip
    if not builds:
        return []
    newest = max(builds, key=lambda build: build.stat().st_mtime)
    found = [(OBJECT.search(path.as_posix()), path) for path in newest.rglob("*.o")]
    return [(match[1], path) for match, path in found if match and (ROOT / "csrc" / "kernels" / f"{match[2]}.cc").exists()]


class Symbol(NamedTuple):
    target: str
    file: str
    name: str
    letter: str
    section: str


@pytest.fixture(scope="module")
def symbols() -> list[Symbol]:
    """Every symbol of every kernel object."""
    if sys.platform != "linux" or not shutil.which("nm"):
        pytest.skip("needs nm and ELF objects")
    objects = kernel_objects()
    if not objects:
        pytest.skip("no build in build/: nothing to look at")
    found = []
    for target, path in objects:
        listing = subprocess.run(["nm", "-C", "-f", "sysv", path], capture_output=True, text=True, check=True).stdout
        for fields in (line.rsplit("|", 6) for line in listing.splitlines()):
            if len(fields) == 7 and fields[0] != "Name":
                found.append(Symbol(target, path.name, fields[0].strip(), fields[2].strip(), fields[6].strip()))
    return found


def test_every_kernel_file_is_looked_at_on_every_target(symbols):
    sources = {path.name + ".o" for path in (ROOT / "csrc" / "kernels").glob("*.cc")}
    for target in {symbol.target for symbol in symbols}:
        assert {symbol.file for symbol in symbols if symbol.target == target} == sources


def test_no_symbol_can_be_merged_with_another_targets(symbols):
    assert not [symbol for symbol in symbols if symbol.letter in "WwVvu"]


def test_a_kernel_object_shows_functions_of_its_own_target_only(symbols):
    shown = [symbol for symbol in symbols if symbol.letter.isupper() and symbol.letter != "U"]
    assert shown
    assert not [symbol for symbol in shown if not (m := SHOWN.match(symbol.name)) or m[1] != symbol.target]


def test_only_the_baseline_runs_code_at_import(symbols):
    assert not [symbol for symbol in symbols if symbol.target != "baseline" and "_GLOBAL__sub_I" in symbol.name]


def test_kernels_have_no_state(symbols):
    """Nothing writable but the registrars: what a kernel keeps between calls would be shared by threads and by programs."""
    writable = [symbol for symbol in symbols if re.match(r"\.t?(data|bss)", symbol.section) and ".rel.ro" not in symbol.section]
    assert not [symbol for symbol in writable if "registrar_" not in symbol.name]


def test_kernels_call_their_own_target_and_the_c_library_only(symbols):
    """No allocation, no exceptions, no standard-library templates, no printing."""
    shared = {(symbol.target, symbol.name) for symbol in symbols if symbol.letter == "T"}
    called = {symbol for symbol in symbols if symbol.letter == "U" and (symbol.target, symbol.name) not in shared}
    assert not {symbol.name for symbol in called if not ALLOWED_CALLS.fullmatch(symbol.name)}


@pytest.mark.parametrize("path", sorted((ROOT / "csrc").glob("[ks]*/*.*")), ids=lambda path: path.name)
def test_a_kernel_source_compiles_by_itself_without_vector_extensions(path):
    compiler = shutil.which("c++")
    if sys.platform != "linux" or not compiler:
        pytest.skip("needs GCC or Clang under the name c++")
    options = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}"]
    target = ["-DPYNN_TARGET=baseline", "-DPYNN_TARGET_BASELINE", "-DPYNN_PLAIN_ARRAYS"]
    done = subprocess.run([compiler, *options, *target, "-x", "c++", "-"], input=f'#include "{path}"\n', capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
