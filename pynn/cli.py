"""The command line: `pynn tutorials` trains the tutorial models, `pynn info` shows versions, backend and threads."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pynn import tutorials
from pynn.serialization import first_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"pynn: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pynn", description="Train small and medium neural networks on CPUs.")
    commands = parser.add_subparsers(required=True, dest="command", title="commands")
    shown = "versions, backend, CPU target, threads and PYNN_ settings"
    info = commands.add_parser("info", description=f"Shows {shown}.", help=f"show {shown}")
    info.set_defaults(run=_info)
    run = commands.add_parser("tutorials", description="Trains the tutorial models.", help="train the tutorial models")
    run.add_argument("names", nargs="*", metavar="name", help=f"tutorials to run: {', '.join(tutorials.NAMES)} (default: all)")
    run.add_argument("--data", metavar="DIR", help="a folder with MNIST's IDX files; implies --full")
    run.add_argument("--full", action="store_true", help="train on all 60,000 images, not on the embedded 10,000")
    run.add_argument("--epochs", type=_positive, metavar="N", help="number of epochs, in place of each tutorial's own")
    run.add_argument("--batch-size", type=_positive, metavar="N", help="rows per step, in place of each tutorial's own")
    run.add_argument("--seed", type=int, default=1, help="seed of weights, shuffling and dropout (default: 1)")
    run.add_argument("--threads", type=_positive, metavar="N", help="number of threads; results don't depend on it")
    run.add_argument("--output", metavar="DIR", help="save a PNG of each tutorial's curves in this folder (needs matplotlib)")
    run.set_defaults(run=_tutorials)
    return parser


def _positive(text: str) -> int:
    value = int(text) if text.strip().isdecimal() and len(text) < 20 else 0
    if not 0 < value < 1 << 31:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {(1 << 31) - 1}. Received: {text!r}")
    return value


def _info(options) -> int:
    import pynn

    pynn.show_config()
    return 0


def _tutorials(options) -> int:
    import pynn

    names = options.names or list(tutorials.NAMES)
    unknown = [n for n in names if n not in tutorials.NAMES]
    if unknown:
        raise ValueError(f"there is no tutorial {unknown[0]!r}. Choose from: {', '.join(tutorials.NAMES)}.")
    if options.threads:
        pynn.set_num_threads(options.threads)
    if options.output:
        _prepare_output(Path(options.output))
    try:
        rows = [_run_one(name, options) for name in names]
    except FileNotFoundError as error:
        if options.data is None:
            raise
        problem = str(error).partition(". Put")[0]
        raise ValueError(f"{problem}. Put the four files there, or use --full instead to have them downloaded.") from None
    _print_table(rows)
    return 0


def _prepare_output(folder: Path) -> None:
    """Fails before the training, not after it, if the curves can't be drawn or written."""
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise ImportError("--output needs matplotlib. Install it with: pip install matplotlib") from None
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"--output {str(folder)!r} can't be written to. Name another folder.")


def _run_one(name: str, options) -> tuple[str, dict[str, float], float]:
    module = importlib.import_module(f"pynn.tutorials.{name.replace('-', '_')}")
    print(f"\n== {name}: {first_line(module)}\n")
    chosen = {"data": options.data, "full": options.full or options.data is not None, "seed": options.seed}
    if options.epochs:
        chosen["epochs"] = options.epochs
    if options.batch_size:
        chosen["batch_size"] = options.batch_size
    started = time.monotonic()
    figures, history = module.main(**chosen)
    seconds = time.monotonic() - started
    if options.output:
        _plot(name, history, Path(options.output))
    return name, figures, seconds


def _plot(name: str, history, folder: Path) -> None:
    from pynn.callbacks import History

    if isinstance(history, dict):
        values, history = history, History()
        history.extend(0, list(values), list(values.values()))
    path = folder / f"{name}.png"
    history.plot(path=path)
    print(f"Curves: {path}")


def _print_table(rows) -> None:
    print(f"\n{'tutorial':<18}{'result':<24}{'value':>12}{'seconds':>10}")
    for name, figures, seconds in rows:
        for i, (figure, value) in enumerate(figures.items()):
            shown = f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"
            print(f"{name if i == 0 else '':<18}{figure:<24}{shown:>12}{f'{seconds:.1f}' if i == 0 else '':>10}".rstrip())
