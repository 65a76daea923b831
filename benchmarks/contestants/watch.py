"""How much of the processors other programs use while we measure."""

from __future__ import annotations

import os
import time


class Watch:
    """Processor time of other programs from its making on, by Linux's account: all busy time less this process's and its children's."""

    def __init__(self):
        self.start, self.busy, self.own = time.perf_counter(), _busy_seconds(), _own_seconds()

    def others(self) -> float | None:
        """Share of all processors that others used so far; None where the system doesn't tell."""
        busy = _busy_seconds()
        if busy is None or self.busy is None:
            return None
        wall = max(time.perf_counter() - self.start, 0.01) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, (busy - self.busy - (_own_seconds() - self.own)) / wall))


def _busy_seconds() -> float | None:
    try:
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # all but idle and waiting for disks; stolen time counts


def _own_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
