"""What the benchmarks share: the machine's peak of this session, and rates beside the times."""

from __future__ import annotations

import pytest

import pynn

from .peak import Peak, measure


def pytest_addoption(parser):
    """`--bench-threads`: at how many threads to measure."""
    parser.addoption("--bench-threads", type=int, default=1, help="threads of the measured code (1)")


@pytest.fixture(scope="session")
def threads(request) -> int:
    """Threads of the measured code."""
    return request.config.getoption("--bench-threads")


@pytest.fixture(scope="session")
def peak(threads) -> Peak:
    """The machine's limits at that number of threads, measured at the start of the session."""
    return measure(threads)


@pytest.fixture(autouse=True)
def chosen_threads(threads):
    """Sets the threads, and sets them back."""
    before = pynn.num_threads()
    pynn.set_num_threads(threads)
    yield
    pynn.set_num_threads(before)


@pytest.fixture
def timed(benchmark, peak):
    """`timed(call, flops=..., bytes=..., count=...)`: benchmarks the call; adds rates, shares of the peak, time of each of `count`."""

    def run(call, *, flops: float = 0, bytes: float = 0, count: int = 1):
        result = benchmark(call)
        if benchmark.stats is None:  # --benchmark-disable
            return result
        seconds = benchmark.stats.stats.median
        rates = {"gflops": (flops, peak.gflops), "gigabytes_per_second": (bytes, peak.gigabytes)}
        for name, (work, limit) in rates.items():
            if work:
                rate = work / seconds / 1e9
                benchmark.extra_info[name] = round(rate, 3)
                if limit:
                    benchmark.extra_info[f"{name}_share_of_peak"] = round(rate / limit, 4)
        if count > 1:
            benchmark.extra_info["nanoseconds_each"] = round(seconds / count * 1e9, 2)
        benchmark.extra_info["threads"] = peak.threads
        return result

    return run
