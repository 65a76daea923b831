"""The thread pool: the same results from any number of threads, and no trouble with forks, other callers, signals or exits."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

_core = pytest.importorskip("pynn._core")

INSTALLED = Path(_core.__file__).resolve().parents[1]  # Python 3.10 would take the sources of another working folder
FLOATS = 1 << 20  # 4 MiB: 64 chunks, and worth waking sleepers for
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# Lines that a fresh interpreter runs first; `copies(n)` makes n parallel copies and compares each.
PRELUDE = f"""
import os, sys, threading
import numpy as np
from pynn import _core
x = np.arange({FLOATS}, dtype=np.float32)
kernel = _core.Kernel("copy", [(x.shape, 0)], [(x.shape, 0)], [], [])
def copies(n):
    return all(np.array_equal(kernel.run([x])[0][0], x) for _ in range(n))
def tasks():
    return len(os.listdir("/proc/self/task"))
"""


def run_python(code: str, timeout: float = 60, **environment: str) -> str:
    """What the lines print in an interpreter of their own; it must exit with 0 and without a word on stderr."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(code)],
        cwd=INSTALLED, env={**os.environ, **environment}, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


@pytest.fixture(autouse=True)
def restore_threads():
    before = _core.num_threads()
    yield
    _core.set_num_threads(before)


def copy_kernel(floats: int):
    spec = ((floats,), 0)
    return _core.Kernel("copy", [spec], [spec], [], [])


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_every_chunk_is_done_once(threads):
    _core.set_num_threads(threads)
    for floats in (0, 1, 16384, 16385, FLOATS, FLOATS + 1):
        x = np.random.default_rng(floats).normal(size=floats).astype(np.float32)
        (y,), failure = copy_kernel(floats).run([x])
        assert failure is None
        np.testing.assert_array_equal(y, x)


def test_the_count_can_change_between_runs():
    x = np.arange(FLOATS, dtype=np.float32)
    kernel = copy_kernel(FLOATS)
    for threads in (1, 8, 2, 5, 1, 3) * 10:
        _core.set_num_threads(threads)
        assert _core.num_threads() == threads
        np.testing.assert_array_equal(kernel.run([x])[0][0], x)


def test_workers_flush_denormals_like_the_caller():
    pn = pytest.importorskip("pynn")
    if pn.backend() != "native":
        pytest.skip("the fallback leaves denormals to NumPy")
    tiny = np.full(FLOATS, 1e-20, np.float32)
    for threads in (1, 2, 8):
        _core.set_num_threads(threads)
        for _ in range(20):
            assert not np.any(pn.multiply(tiny, tiny).numpy())


def test_callers_from_several_python_threads(in_threads):
    _core.set_num_threads(3)
    wrong = []

    def call(seed):
        x = np.random.default_rng(seed).normal(size=FLOATS).astype(np.float32)
        kernel = copy_kernel(FLOATS)
        wrong.extend(1 for _ in range(30) if not np.array_equal(kernel.run([x])[0][0], x))

    in_threads(call)
    assert not wrong


def test_the_count_can_change_during_runs_of_other_threads():
    x = np.arange(FLOATS, dtype=np.float32)
    kernel = copy_kernel(FLOATS)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for threads in (1, 8, 2):
                _core.set_num_threads(threads)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        assert all(np.array_equal(kernel.run([x])[0][0], x) for _ in range(50))
    finally:
        stop.set()
        changer.join()


# -- starting ------------------------------------------------------------------------------------------------------------


@linux
def test_threads_start_with_the_first_large_call_and_stay_as_many():
    printed = run_python("""
        print(tasks() - before) if (before := tasks()) else None
        _core.set_num_threads(3); print(tasks() - before)
        copies(3); print(tasks() - before)
        _core.set_num_threads(2); copies(3); print(tasks() - before)
        _core.set_num_threads(5); copies(3); print(tasks() - before)
    """)
    assert printed.split() == ["0", "0", "2", "2", "4"]


@linux
def test_importing_starts_no_thread():
    code = """
        import subprocess
        count = "import os, numpy{}; print(len(os.listdir('/proc/self/task')))"
        for more in ("", ", pynn._core"):
            print(subprocess.run([sys.executable, "-c", count.format(more)], capture_output=True, text=True).stdout)
    """
    alone, with_extension = run_python(code).split()
    assert alone == with_extension


@linux
def test_one_thread_starts_none():
    assert run_python("before = tasks(); copies(3); print(tasks() - before)", PYNN_NUM_THREADS="1") == "0"


@linux
def test_workers_take_no_signals():
    printed = run_python("""
        _core.set_num_threads(2); before = set(os.listdir("/proc/self/task")); copies(1)
        (worker,) = set(os.listdir("/proc/self/task")) - before
        status = dict(line.split(":", 1) for line in open(f"/proc/self/task/{worker}/status"))
        print(int(status["SigBlk"], 16) >> 1 & 1, int(status["SigBlk"], 16) >> 14 & 1)  # SIGINT, SIGTERM
    """)
    assert printed == "1 1"


@linux
def test_a_system_with_few_threads_to_give_costs_speed_only():
    printed = run_python("""
        import resource
        x = np.arange(1 << 24, dtype=np.float32)  # 1024 chunks
        kernel = _core.Kernel("copy", [(x.shape, 0)], [(x.shape, 0)], [], [])
        y = np.zeros_like(x)
        _core.set_num_threads(1023)
        unlimited = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 31, unlimited[1]))  # a thread reserves some 8 MiB for its stack
        kernel.run_into([x], [y])
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
        print(np.array_equal(x, y), copies(2), 1 < tasks() < 1023)
    """)
    assert printed == "True True True"


@pytest.mark.parametrize("pause", [0, 0.05])
def test_exit_with_spinning_and_sleeping_workers(pause):
    assert run_python(f"import time; _core.set_num_threads(4); print(copies(2)); time.sleep({pause})") == "True"


def test_exit_while_daemon_threads_compute():
    run_python("""
        _core.set_num_threads(4)
        def call():
            while True:
                kernel.run([x])
        for _ in range(3):
            threading.Thread(target=call, daemon=True).start()
        copies(5)
    """)


def test_exit_while_a_daemon_thread_is_in_python_from_a_native_step():
    run_python("""
        import time
        program = _core.Program()
        shape = (x.shape, 0)
        inside = threading.Event()
        def fallback(inputs, outputs):
            inside.set()
            time.sleep(0.001)
        program.add_kernel(kernel, [(2, 0), (2, 1)], 0)
        program.add_python(fallback, [shape], [shape], [(2, 0), (2, 1)])
        program.finish(0, 2)
        context = _core.Context(program)
        context.bind(0, x)
        context.bind(1, np.empty_like(x))
        threading.Thread(target=lambda: context.run(1 << 40), daemon=True).start()
        inside.wait()
    """)


# -- how many ------------------------------------------------------------------------------------------------------------


def test_the_environment_variable_decides():
    printed = run_python("""
        for value in ("3", "1", "100000"):
            os.environ["PYNN_NUM_THREADS"] = value
            _core.set_num_threads(0)
            print(_core.num_threads())
    """)
    assert printed.split() == ["3", "1", "1023"]
    assert run_python("print(_core.num_threads())", PYNN_NUM_THREADS="5") == "5"


def test_what_is_no_count_is_no_setting():
    printed = run_python("""
        os.environ.pop("PYNN_NUM_THREADS", None)
        _core.set_num_threads(0)
        default = _core.num_threads()
        for value in ("", "0", "-2", "two", "3.5", "4 threads"):
            os.environ["PYNN_NUM_THREADS"] = value
            _core.set_num_threads(0)
            print(_core.num_threads() == default)
    """)
    assert printed.split() == ["True"] * 6


@linux
def test_the_default_is_the_smaller_of_affinity_and_quota():
    printed = run_python("""
        os.environ.pop("PYNN_NUM_THREADS", None)
        allowed = sorted(os.sched_getaffinity(0))
        for mask in (allowed, allowed[:1]):
            os.sched_setaffinity(0, mask)
            _core.set_num_threads(0)
            print(_core.num_threads() == max(1, int(min(len(mask), _core.cpu_quota()))))
    """)
    assert printed.split() == ["True", "True"]


@linux
def test_a_worker_keeps_the_affinity_of_its_process():
    printed = run_python("""
        _core.set_num_threads(3); copies(20)
        print({tuple(sorted(os.sched_getaffinity(int(task)))) for task in os.listdir("/proc/self/task")}
              == {tuple(sorted(os.sched_getaffinity(0)))})
    """)
    assert printed == "True"


def write_tree(root: Path, cgroup: str, mountinfo: str, files: dict[str, str]) -> str:
    """A system's /proc/self and control group files below `root`, for `cpu_quota`."""
    for path, text in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo, **files}.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return str(root)


V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "30 23 0:27 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
V1_SET = "31 23 0:28 {top} /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"


@pytest.mark.parametrize(
    "own, parent, expected",
    [
        ("150000 100000", "max 100000", 1.5),
        ("max 100000", "max 100000", math.inf),
        ("max 100000", "200000 100000", 2.0),
        ("300000 100000", "200000 100000", 2.0),
        ("50000 100000", "200000 100000", 0.5),
        ("nonsense", "max", math.inf),
        ("", "", math.inf),
    ],
)
def test_quota_of_version_2_is_the_least_on_the_way_up(tmp_path, own, parent, expected):
    files = {"sys/fs/cgroup/jobs/one/cpu.max": own + "\n", "sys/fs/cgroup/jobs/cpu.max": parent + "\n"}
    assert _core.cpu_quota(write_tree(tmp_path, "0::/jobs/one\n", V2, files)) == expected


def test_quota_of_a_container_with_its_own_view(tmp_path):
    assert _core.cpu_quota(write_tree(tmp_path, "0::/\n", V2, {"sys/fs/cgroup/cpu.max": "400000 100000\n"})) == 4.0


def test_quota_of_a_group_outside_of_the_view_is_that_of_the_top(tmp_path):
    files = {"sys/fs/cgroup/cpu.max": "100000 100000\n"}
    assert _core.cpu_quota(write_tree(tmp_path, "0::/../other\n", V2, files)) == 1.0


@pytest.mark.parametrize("quota, expected", [("250000", 2.5), ("-1", math.inf)])
def test_quota_of_version_1(tmp_path, quota, expected):
    folder = "sys/fs/cgroup/cpu,cpuacct/jobs"
    files = {f"{folder}/cpu.cfs_quota_us": quota + "\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
    cgroup = "5:cpuset:/other\n4:cpu,cpuacct:/jobs\n1:name=systemd:/\n0::/\n"
    assert _core.cpu_quota(write_tree(tmp_path, cgroup, V1_SET.format(top="/") + V1.format(top="/"), files)) == expected


def test_quota_of_version_1_in_a_container_that_names_the_group_as_its_host_does(tmp_path):
    folder = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{folder}/cpu.cfs_quota_us": "300000\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
    root = write_tree(tmp_path, "4:cpu,cpuacct:/docker/abc\n", V1.format(top="/docker/abc"), files)
    assert _core.cpu_quota(root) == 3.0


def test_quota_of_a_system_without_control_groups(tmp_path):
    assert _core.cpu_quota(str(tmp_path)) == math.inf
    assert _core.cpu_quota(write_tree(tmp_path, "rubbish\n:\n", "rubbish - \n - cgroup2\n", {})) == math.inf


@pytest.fixture
def control_group():
    """A group of version 1 below the machine's own, where that is allowed."""
    folder = Path("/sys/fs/cgroup/cpu") / f"pynn-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no control group of version 1 can be made here")
    yield folder
    folder.rmdir()


@linux
@pytest.mark.parametrize("quota, expected", [(150000, "1.5 1"), (50000, "0.5 1")])
def test_a_process_in_a_group_with_a_quota(control_group, quota, expected):
    (control_group / "cpu.cfs_period_us").write_text("100000")
    (control_group / "cpu.cfs_quota_us").write_text(str(quota))
    printed = run_python(f"""
        open({str(control_group / "cgroup.procs")!r}, "w").write(str(os.getpid()))
        os.environ.pop("PYNN_NUM_THREADS", None)
        _core.set_num_threads(0)
        print(_core.cpu_quota(), _core.num_threads(), flush=True)
        open("/sys/fs/cgroup/cpu/cgroup.procs", "w").write(str(os.getpid()))
    """)
    assert printed == expected


# -- neighbours ----------------------------------------------------------------------------------------------------------


@linux
def test_a_worker_that_lost_its_processor_delays_nothing_and_keeps_its_affinity():
    """Results only: how fast is for benchmarks/busy_neighbour.py."""
    printed = run_python("""
        import subprocess
        allowed = sorted(os.sched_getaffinity(0))
        spin = f"import os; os.sched_setaffinity(0, [{allowed[-1]}]); print(flush=True)\\nwhile True: pass"
        neighbour = subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE)
        neighbour.stdout.readline()
        _core.set_num_threads(2)
        right = copies(150)
        neighbour.kill(); neighbour.wait(); neighbour.stdout.close()
        right = copies(50) and right
        print(right, {tuple(sorted(os.sched_getaffinity(int(task)))) for task in os.listdir("/proc/self/task")} == {tuple(allowed)})
    """)
    assert printed == "True True"


# -- processes -----------------------------------------------------------------------------------------------------------


@linux
def test_a_forked_child_computes_with_workers_of_its_own():
    printed = run_python("""
        _core.set_num_threads(3); copies(5)
        for _ in range(5):
            sys.stdout.flush()
            child = os.fork()
            if not child:
                alone = tasks()
                right = copies(20)
                print(alone, right, tasks(), flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert copies(5)
    """)
    assert printed.split("\n") == ["1 True 3"] * 5


@linux
def test_a_fork_while_other_threads_compute():
    printed = run_python("""
        _core.set_num_threads(3)
        stop = threading.Event()
        def call():
            while not stop.is_set():
                copies(1)
        callers = [threading.Thread(target=call) for _ in range(2)]
        for caller in callers: caller.start()
        wrong = 0
        for _ in range(10):
            child = os.fork()
            if not child:
                os._exit(0 if copies(3) and tasks() == 3 else 1)
            wrong += os.waitpid(child, 0)[1] != 0
        stop.set()
        for caller in callers: caller.join()
        print(wrong, copies(3))
    """)
    assert printed == "0 True"


@linux
def test_a_fork_while_another_thread_is_in_the_first_fork_join():
    """Each child is a process that has computed nothing yet, and forks while its first fork-join begins: at times in its midst."""
    printed = run_python("""
        import time
        _core.set_num_threads(3)
        def forks_at_first():
            caller = threading.Thread(target=copies, args=(3,))
            caller.start()
            time.sleep(0)
            child = os.fork()
            if not child:
                os._exit(0 if copies(3) and tasks() == 3 else 1)
            status = os.waitpid(child, 0)[1]
            caller.join()
            return status == 0
        wrong = 0
        for _ in range(150):
            child = os.fork()
            if not child:
                os._exit(0 if forks_at_first() else 1)
            wrong += os.waitpid(child, 0)[1] != 0
        print(wrong)
    """)
    assert printed == "0"


@forks
def test_grandchildren_too():
    printed = run_python("""
        _core.set_num_threads(2)
        def descend(generations):
            if not copies(3): os._exit(1)
            if not generations: os._exit(0)
            child = os.fork()
            if not child: descend(generations - 1)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        child = os.fork()
        if not child: descend(3)
        print(os.waitpid(child, 0)[1])
    """)
    assert printed == "0"


WORKER = """
import numpy as np
from pynn import _core

def total(n):
    _core.set_num_threads(2)
    x = np.full({floats}, float(n), np.float32)
    (y,), failure = _core.Kernel("copy", [(x.shape, 0)], [(x.shape, 0)], [], []).run([x])
    return float(y[-1])

if __name__ == "__main__":
    import multiprocessing, sys
    total(1)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print(pool.map(total, range(6)))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method, tmp_path):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    script = tmp_path / "pool_of_processes.py"
    script.write_text(WORKER.format(floats=FLOATS), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script), method],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() == "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]"
