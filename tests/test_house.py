"""The house checks itself: floors, sizes, docstrings, names, and what the sources may say."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pynn"
SOURCES = sorted(p for p in PACKAGE.rglob("*.py"))

# An upper floor may import a lower one, never the reverse. Modules by their first matching prefix.
FLOORS = [
    (0, ("errors", "dtypes", "config", "serialization", "progress", "elsewhere", "refusals")),
    (1, ("engine", "gradients", "seeds")),
    (2, ("ops", "custom_op", "random")),
    (3, ("program",)),
    (4, ("initializers", "regularizers", "constraints", "activations", "targets", "losses", "metrics", "optimizers", "layers")),
    (5, ("models", "callbacks", "data")),
    (6, ("io", "datasets")),
    (7, ("tutorials", "cli", "__main__", "__init__")),
]


def floor_of(module: str) -> int:
    head = module.split(".")[0]
    return next((floor for floor, heads in FLOORS if head in heads), 7)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_at_top(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pynn":
            rest = node.module.split(".")[1:]
            yield from ([".".join(rest)] if rest else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".", 1)[1] for a in node.names if a.name.startswith("pynn."))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: module_of(p))
def test_no_module_imports_a_floor_above_it(path):
    own = floor_of(module_of(path))
    for imported in imports_at_top(ast.parse(path.read_text(encoding="utf-8"))):
        assert floor_of(imported) <= own, f"{module_of(path)} (floor {own}) imports {imported} (floor {floor_of(imported)})"


def test_only_three_modules_touch_the_extension():
    allowed = {"engine.kernels", "program.replay", "program.schedule"}
    found = {module_of(p) for p in SOURCES if re.search(r"import _core|pynn\._core", p.read_text(encoding="utf-8"))}
    assert found <= allowed


@pytest.mark.parametrize("folder, suffixes, limit", [("pynn", (".py",), 500), ("csrc", (".cc", ".h"), 500), ("tests", (".py",), 600)])
def test_files_stay_short_enough_to_read(folder, suffixes, limit):
    long = {str(p.relative_to(ROOT)): n for p in (ROOT / folder).rglob("*") if p.suffix in suffixes
            if (n := len(p.read_text(encoding="utf-8").splitlines())) > limit}  # fmt: skip
    assert not long


def public_definitions(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: module_of(p))
def test_public_functions_and_classes_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path} has no docstring"
    missing = [d.name for d in public_definitions(tree) if not ast.get_docstring(d)]
    assert not missing


def test_no_file_is_named_after_nothing():
    names = [p for folder in ("pynn", "csrc", "tests") for p in (ROOT / folder).rglob("*") if re.match(r"(utils|helpers|misc)\b", p.name)]
    assert not names


def test_sources_leave_nothing_behind():
    pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK|breakpoint\(\)|pdb\.set_trace)\b")
    for folder in ("pynn", "csrc"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".cc", ".h"):
                assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_the_top_folder_holds_what_the_layout_names():
    """What a trial leaves in the working folder (a saved model, a compiler's output) is not committed with the next change."""
    named = {".ci", ".gitignore", "CHANGELOG.md", "CMakeLists.txt", "LICENSE", "README.md", "SECURITY.md", "benchmarks", "csrc", "docs",
             "pynn", "pyproject.toml", "tests", "tools"}  # fmt: skip
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs git and a clone of the repository")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip(f"git does not list the files: {tracked.stderr.strip()}")
    assert {name.split("/")[0] for name in tracked.stdout.split("\0") if name} <= named


def test_kernel_files_include_only_what_they_may():
    system = r"<(cmath|cstdint|cstring|cstddef|immintrin\.h|emmintrin\.h|arm_neon\.h|limits)>"
    allowed = re.compile(rf'#include ("(registry\.h|base/|simd/|kernels/)[^"]*"|{system})')
    for path in [*(ROOT / "csrc" / "kernels").iterdir(), *(ROOT / "csrc" / "simd").iterdir()]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("#include"):
                assert allowed.match(line), f"{path.name}: {line}"


def test_every_public_name_exists():
    import pynn

    assert len(set(pynn.__all__)) == len(pynn.__all__)
    for name in pynn.__all__:
        assert hasattr(pynn, name), name


def test_the_stub_names_what_the_extension_has():
    core = pytest.importorskip("pynn._core")
    stub = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    declared = {d.name for d in stub.body if isinstance(d, (ast.FunctionDef, ast.ClassDef))}
    declared |= {d.target.id for d in stub.body if isinstance(d, ast.AnnAssign)}
    assert declared == {n for n in dir(core) if not n.startswith("_")}


def test_native_kernels_belong_to_ops():
    from pynn.engine import kernels
    from pynn.engine.op import REGISTRY

    known = {op.kernel for op in REGISTRY.values()} | {"copy", "peak_fma_f32", "peak_triad_f32"}
    orphans = [n for n in kernels.native_names() if n not in known and n.rsplit("_", 1)[0] not in known]
    assert not orphans


# What type checkers take from a default of these arguments is right: they have no other type.
SAID_BY_DEFAULT = {
    "beta_1", "beta_2", "cooldown", "epsilon", "factor", "min_delta", "min_lr", "mode", "monitor", "patience", "start_from_epoch",
    "verbose", "weight_decay",
}  # fmt: skip
PUBLIC_CODE = [p for p in SOURCES if floor_of(module_of(p)) in (2, 4, 5)]


def arguments_with_defaults(function: ast.FunctionDef):
    places = [*function.args.posonlyargs, *function.args.args]
    yield from zip(places[len(places) - len(function.args.defaults) :], function.args.defaults, strict=True)
    yield from ((a, d) for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if d is not None)


@pytest.mark.parametrize("path", PUBLIC_CODE, ids=lambda p: module_of(p))
def test_arguments_that_take_more_than_the_type_of_their_default_say_so(path):
    """Without an annotation type checkers refuse `kernel_initializer=HeNormal()` where the default is a name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef) or (node.name[0] == "_" and node.name not in ("__init__", "__call__")):
            continue
        for argument, default in arguments_with_defaults(node):
            word = isinstance(default, ast.Constant) and type(default.value) in (str, int, float)
            assert argument.annotation or not word or argument.arg in SAID_BY_DEFAULT, f"{node.name}: {argument.arg}"
