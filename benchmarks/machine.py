"""What the numbers were measured on, and whether it was quiet: other programs' work makes every figure wrong."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from .contestants.watch import Watch

QUIET_OTHERS, QUIET_JITTER = 0.05, 0.25
_SPIN_WINDOWS, _SPIN_TURNS = 40, 40_000


def describe() -> dict[str, str | int]:
    """Processor, cores this process may use, memory, system, Python."""
    return {
        "processor": _processor(),
        "cores": len(cores()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cores() -> list[int]:
    """Numbers of the processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        named = {key.strip(): value.strip() for key, value in fields.items()}
        if "model name" in named:
            family = f" (family {named['cpu family']}, model {named['model']})" if "cpu family" in named else ""
            return named["model name"] + family
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):
        return "unknown"


@dataclass(frozen=True)
class Quietness:
    """`others`: share of all processors that other programs used (None where the system doesn't tell); `jitter`: how much longer
    the ninth of ten equal loops took than the shortest."""

    others: float | None
    jitter: float

    @property
    def is_quiet(self) -> bool:
        return (self.others is None or self.others <= QUIET_OTHERS) and self.jitter <= QUIET_JITTER

    def __str__(self) -> str:
        others = "unknown" if self.others is None else f"{100 * self.others:.0f} %"
        verdict = "quiet" if self.is_quiet else "NOT QUIET"
        return f"{verdict} (other programs {others} of the processors, equal loops {100 * self.jitter:.0f} % apart)"


def probe() -> Quietness:
    """Runs equal short loops for about 0.1 s and looks at what the other programs did meanwhile."""
    watch = Watch()
    times = []
    for _ in range(_SPIN_WINDOWS):
        start = time.perf_counter()
        sum(range(_SPIN_TURNS))
        times.append(time.perf_counter() - start)
    times.sort()
    return Quietness(watch.others(), times[int(0.9 * len(times))] / times[0] - 1)
