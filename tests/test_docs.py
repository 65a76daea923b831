"""What the pages for users say: their code runs, their links lead somewhere, and the generated lists are current."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
MODULES = [p for p in sorted((ROOT / "pynn").rglob("*.py")) if re.search(r"^ *>>> ", p.read_text(encoding="utf-8"), re.MULTILINE)]
WITH_LINKS = [*PAGES, ROOT / "SECURITY.md", *sorted((ROOT / "docs" / "design").glob("*.md"))]


def code_of(page: Path) -> list[str]:
    """The Python blocks of a page, in order."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def threads():
    import pynn as pn

    before = pn.num_threads()
    yield
    pn.set_num_threads(before)


@pytest.mark.parametrize("page", [p for p in PAGES if code_of(p)], ids=lambda p: p.name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, threads):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in code_of(page):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_examples_of_docstrings_run(path, tmp_path, monkeypatch, threads):
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed


def test_the_examples_of_ops_run(threads):
    """Those of functions too that another module's code makes, which doctest doesn't count to the module that has them."""
    import pynn as pn

    names = [name for name in pn.ops.__all__ if callable(getattr(pn.ops, name))]
    runner = doctest.DocTestRunner()
    for name in names:
        for test in doctest.DocTestFinder(recurse=False).find(getattr(pn.ops, name), name, module=False):
            runner.run(test)
    assert runner.tries >= 2 * len(names) // 3
    assert not runner.failures


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda p: p.name)
def test_links_between_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def anchors_of(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda p: p.name)
def test_anchors_of_links_are_headings(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in anchors_of(page.parent / target if target else page), f"{target}#{anchor}"


def test_the_table_of_ops_is_current():
    pytest.importorskip("pynn._core")
    from pynn.engine import kernels
    from pynn.ops.__main__ import table

    if not kernels.native_names():
        pytest.skip("the native kernels are switched off")
    written = (ROOT / "docs" / "ops.md").read_text(encoding="utf-8")
    assert table() == written, "run python -m pynn.ops > docs/ops.md"


def test_the_list_of_layers_is_current():
    from pynn.catalogue import page

    assert page() == (ROOT / "docs" / "layers.md").read_text(encoding="utf-8"), "run python -m pynn.catalogue > docs/layers.md"


@pytest.mark.parametrize("kind, one", [("layers", "GRU"), ("losses", "Huber"), ("metrics", "AUC"), ("optimizers", "Adam"),
                                       ("callbacks", "EarlyStopping"), ("initializers", "HeNormal")])  # fmt: skip
def test_every_public_class_of_a_kind_is_in_the_list(kind, one):
    import pynn

    module = getattr(pynn, kind)
    text = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    section = text.partition(f"| `pn.{kind}.` |")[2].partition("\n## ")[0]
    public = [one, *(name for name in getattr(module, "__all__", []) if name[0].isupper())]
    assert not [name for name in public if f"\n| `{name}` |" not in section]
