"""The command line: wrong options are told before anything trains, in words that fit the command."""

from __future__ import annotations

import sys

import pytest

from pynn import cli


@pytest.fixture(autouse=True)
def nothing_trains(monkeypatch):
    """The tutorial that would run first."""
    monkeypatch.setattr(cli, "_run_one", lambda name, options: pytest.fail("it trains"))


@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--threads"])
@pytest.mark.parametrize("text", ["x", "0", "-1", "1.5", "99999999999999999999", ""])
def test_numbers_are_checked(capsys, option, text):
    with pytest.raises(SystemExit):
        cli.main(["tutorials", "dense", f"{option}={text}"])
    assert "expected a whole number from 1 to 2147483647. Received: " in capsys.readouterr().err


def test_a_folder_for_curves_is_tried_first(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["tutorials", "dense", "--output", str(tmp_path / "o")]) == 1
    assert capsys.readouterr().err == "pynn: --output needs matplotlib. Install it with: pip install matplotlib\n"
    monkeypatch.setitem(sys.modules, "matplotlib", sys)
    (tmp_path / "file").write_text("")
    assert cli.main(["tutorials", "dense", "--output", str(tmp_path / "file")]) == 1
    assert "file" in capsys.readouterr().err


def test_missing_data_is_told_in_words_of_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    assert cli.main(["tutorials", "dense", "--data", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err
    assert "there is no train-images-idx3-ubyte" in said
    assert "--full" in said
    assert "download=True" not in said


@pytest.mark.parametrize("native", [True, False])
def test_info_says_whether_the_native_kernels_are_in_use(capsys, monkeypatch, native):
    from pynn.engine import kernels

    monkeypatch.setattr(kernels, "native_enabled", lambda: native)
    assert cli.main(["info"]) == 0
    assert (", not in use" in capsys.readouterr().out) is not native
