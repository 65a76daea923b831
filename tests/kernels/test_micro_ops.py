"""Calls on a few numbers run as micro-operations over slots: with the bits of their kernels, and externals as these would leave them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from guard import guarded_copy
from op_checks import TARGETS

import pynn as pn
from pynn import _core
from pynn.dtypes import NATIVE_CODES
from pynn.engine import kernels
from pynn.engine.op import REGISTRY, Spec, infer_outputs
from pynn.ops.elementwise import OPCODES

pytestmark = pytest.mark.skipif(not kernels.native_enabled(), reason="the fallback has no micro-operations")

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -3.5, 1.0]
RECORDS = {name: op for name, op in REGISTRY.items() if op.kernel == "elementwise" and op.opcode is not None}
BY_LANES = {np.float32: "mod floor_divide".split()}
BY_LANES[np.float64] = [*BY_LANES[np.float32], *"tan asin acos atan sinh cosh asinh acosh atanh power atan2".split()]


def values(shape, dtype=np.float32, seed=0):
    """Normal numbers, each of the special ones where there is room."""
    array = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    if array.size > len(SPECIAL):
        array.reshape(-1)[: len(SPECIAL)] = SPECIAL
    return array


def moved(array):
    """The elements in memory of ours, which is a slot."""
    memory = kernels.empty(Spec(array.shape, array.dtype))
    memory[...] = array
    return memory


def assert_same(expected, results):
    for a, b in zip(expected, results, strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        assert np.where(np.isnan(a), 0, a).tobytes() == np.where(np.isnan(b), 0, b).tobytes()


def check_program(kernel, arrays):
    """Compares the outputs of a kernel with those of a program of it, whose operands end where their memory ends, or lie in slots. The
    number of its micro-operations."""
    with np.errstate(all="ignore"):
        expected, failure = kernel.run(arrays)
    assert failure is None
    for memory in (guarded_copy, moved):
        program = _core.Program()
        operands = [None if a is None else memory(a) for a in (*arrays, *(np.zeros_like(e) for e in expected))]
        program.add_kernel(kernel, [(0, 0) if a is None else (2, i) for i, a in enumerate(operands)], 0)
        program.finish(kernel.shared_bytes, len(operands))
        context = _core.Context(program)
        for i, operand in enumerate(operands):
            if operand is not None:
                context.bind(i, operand)
        assert context.run(2) == 2
        assert_same(expected, operands[len(arrays) :])
    return program.micro_ops[0]


def assert_same_bits(op, arrays, attrs=None, target="", micro_ops=1):
    attrs = op.complete(attrs or {})
    specs = tuple(None if a is None else Spec(a.shape, a.dtype) for a in arrays)
    kernel = kernels.prepare_native(op, specs, infer_outputs(op, specs, attrs), attrs, target)
    assert check_program(kernel, arrays) == micro_ops


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", sorted(set(RECORDS) - set(BY_LANES[np.float32])))
def test_elementwise(name, target):
    op = RECORDS[name]
    for dtype, size in itertools.product([np.float32, np.float64], [1, 2, 7, 8, 9, 16, 17, 32, 33, 64]):
        if size * np.dtype(dtype).itemsize > 256 or name in BY_LANES[dtype]:
            continue
        for scalars in range(2 ** len(op.inputs) - 1):
            arrays = [values((1,) if scalars >> k & 1 else (size,), dtype, seed=k) for k in range(len(op.inputs))]
            if infer_outputs(op, tuple(Spec(a.shape, a.dtype) for a in arrays), op.complete({}))[0].dtype != dtype:
                continue  # truth goes through the kernel
            assert_same_bits(op, arrays, target=target)


@pytest.mark.parametrize("dtype, name", [(dtype, name) for dtype, names in BY_LANES.items() for name in names])
def test_what_runs_lane_by_lane_stays_a_kernel(dtype, name):
    op = RECORDS[name]
    assert_same_bits(op, [values((5,), dtype, seed=k) for k in range(len(op.inputs))], micro_ops=0)


def elementwise_program(instructions, arrays, target):
    """A prepared elementwise kernel of (opcode, operands) over `arrays`, whose output is the last result."""
    words = [len(instructions)]
    for name, operands in instructions:
        words += [OPCODES[name], *operands, *([-1] * (3 - len(operands)))]
    codes = [(a.shape, NATIVE_CODES[a.dtype]) for a in arrays]
    out = (np.broadcast_shapes(*(a.shape for a in arrays)), codes[0][1])
    suffix = "f32" if arrays[0].dtype == np.float32 else "f64"
    last = len(arrays) + len(instructions) - 1
    return _core.Kernel(f"elementwise_{suffix}", codes, [out], [*words, last], [0.0] * (2 * len(instructions)), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_instructions_as_one(dtype, target):
    arithmetic = ["add", "subtract", "multiply"]
    for first, second, right, size in itertools.product(arithmetic, arithmetic, [False, True], [1, 4, 5, 17]):
        for scalars in (0, 1, 2, 4, 5, 6):
            arrays = [values((1,) if scalars >> k & 1 else (size,), dtype, seed=k) for k in range(3)]
            operands = (2, 3) if right else (3, 2)
            check_program(elementwise_program([(first, (0, 1)), (second, operands)], arrays, target), arrays)
    arrays = [values(2, dtype, seed=k) for k in range(3)]
    for instructions, count in (
        ([("add", (0, 1)), ("multiply", (3, 3))], 2),  # read twice
        ([("add", (0, 1)), ("subtract", (3, 2)), ("multiply", (4, 3))], 2),
        ([("add", (0, 1)), ("subtract", (3, 2)), ("multiply", (4, 0)), ("add", (5, 1))], 2),
        ([("add", (0, 1)), ("exp", (3,)), ("multiply", (4, 2)), ("subtract", (1, 5))], 3),
    ):
        assert check_program(elementwise_program(instructions, arrays, target), arrays) == count


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_reductions(name, dtype, target):
    cases = [((n,), (0,)) for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 32)]
    cases += [((3, 5), (1,)), ((5, 3), (0,)), ((17, 1), (1,)), ((1, 17), (0,)), ((2, 16), (0,)), ((2, 16), (1,))]
    cases += [((4, 8), (0, 1)), ((2, 3, 4), (2,))]
    for shape, axes in cases:
        assert_same_bits(REGISTRY[name], [values(shape, dtype)], {"axis": axes, "keepdims": False}, target)
    assert_same_bits(REGISTRY[name], [values((2, 3, 4), dtype)], {"axis": (1,), "keepdims": False}, target, micro_ops=0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", list(itertools.product([False, True], repeat=2)))
def test_products(transposed, dtype, target):
    attrs = dict(zip(("transpose_a", "transpose_b"), transposed, strict=True))
    few = itertools.product([1, 2, 4, 5], [1, 3, 4, 6], [0, 1, 2, 4, 5])
    for m, n, k in [*few, (1, 1, 32), (2, 1, 15), (1, 2, 16), (1, 32, 1), (17, 1, 1), (32, 1, 1)]:
        a, b = values((m, k), dtype), values((k, n), dtype, seed=1)
        a, b = (np.ascontiguousarray(x.T) if t else x for x, t in zip((a, b), transposed, strict=True))
        dot = n == 1 and not transposed[0] or m == 1 and n > 1 and transposed[1]
        stays = k == 0 or (transposed[1] and k > 1 and not dot and not (n == 1 and transposed[0]))
        assert_same_bits(REGISTRY["matmul"], [a, b], attrs, target, micro_ops=0 if stays else 1)
        for activation in ("linear", "relu"):
            operands = [a, b, values((n,), dtype, seed=2)]
            assert_same_bits(REGISTRY["linear"], operands, {**attrs, "activation": activation}, target, micro_ops=0 if stays else 1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 5, 8, 17, 32])
def test_descent(size, dtype, target):
    assert_same_bits(REGISTRY["sgd_update"], [values(size, dtype), values(size, dtype, 1), np.array(0.1, dtype)], target=target)


@pytest.mark.parametrize("size", [16, 32])
def test_what_doesnt_fit_into_a_slot_stays_a_kernel(size):
    op = REGISTRY["add"]
    arrays = [values((size, 4)), values((size, 4), seed=1)]
    assert_same_bits(op, arrays, micro_ops=1 if size == 16 else 0)
    assert_same_bits(op, [np.empty((0, 4), np.float32)] * 2, micro_ops=0)


def test_memory_may_become_a_slot_and_cease_to_be_one():
    spec = ((3,), NATIVE_CODES[np.dtype(np.float32)])
    kernel = _core.Kernel("elementwise_f32", [spec], [spec], [1, OPCODES["negative"], 0, -1, -1, 1], [0.0, 0.0])
    program = _core.Program()
    program.add_kernel(kernel, [(2, 0), (2, 1)], 0)
    program.finish(0, 2)
    context = _core.Context(program)
    for i, (first, second) in enumerate(itertools.product([guarded_copy, moved, moved, guarded_copy], repeat=2)):
        x, y = first(np.full(3, i, np.float32)), second(np.zeros(3, np.float32))
        context.bind(0, x)
        context.bind(1, y)
        assert context.run(1) == 1
        np.testing.assert_array_equal(y, np.full(3, -i, np.float32))


def test_operands_that_dont_begin_at_a_unit_of_the_arena_go_to_the_kernel():
    spec = ((4,), NATIVE_CODES[np.dtype(np.float32)])
    kernel = _core.Kernel("elementwise_f32", [spec], [spec], [1, OPCODES["negative"], 0, -1, -1, 1], [0.0, 0.0])
    for offset, count in ((64, 1), (16, 0)):
        program = _core.Program()
        program.add_kernel(kernel, [(2, 0), (1, offset)], 0)
        program.finish(128, 1)
        assert program.micro_ops == [count]


# ---- captured programs ---------------------------------------------------------------------------------------------------


def micro_ops_of(function):
    return function.program().replay.core.micro_ops


def regression(rows, columns, dtype=np.float32):
    rng = np.random.default_rng(3)
    x = pn.tensor(rng.normal(size=(rows, columns)).astype(dtype))
    y = pn.tensor(rng.normal(size=(rows, 1)).astype(dtype))
    w, b = pn.Variable(np.zeros((columns, 1), dtype)), pn.Variable(np.zeros(1, dtype))

    def step(rate=0.1):
        cost, (dw, db) = pn.value_and_grads(lambda w, b: ((pn.tanh(x @ w) * 2.0 + b - y) ** 2).mean())(w, b)
        w.assign(w - rate * dw)
        b.assign(b - rate * db)
        return cost

    return step, w, b


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 4), (3, 5), (7, 4), (16, 2), (40, 3)])
def test_captured_descent_has_the_bits_of_the_eager_one(rows, columns, dtype):
    eager, w, b = regression(rows, columns, dtype)
    costs = [eager().numpy() for _ in range(5)]
    step, captured_w, captured_b = regression(rows, columns, dtype)
    captured = pn.function(step)
    assert captured().numpy() == costs[0]
    assert pn.repeat(captured, 4).numpy() == costs[-1]
    assert captured_w.numpy().tobytes() == w.numpy().tobytes()
    assert captured_b.numpy().tobytes() == b.numpy().tobytes()


def test_a_step_on_a_few_numbers_is_micro_operations_alone():
    step = pn.function(regression(4, 4)[0])
    step()
    assert all(micro_ops_of(step))
    assert "micro-ops" in step.program().describe()


def test_results_go_to_new_memory_in_each_call():
    v = pn.Variable(np.zeros(3, np.float32))

    @pn.function
    def add(x):
        v.assign(v + x)
        return v * 1.0

    one = pn.tensor(np.ones(3, np.float32))
    first, second = add(one), add(one)
    np.testing.assert_array_equal(first.numpy(), [1, 1, 1])
    np.testing.assert_array_equal(second.numpy(), [2, 2, 2])
    np.testing.assert_array_equal(add(np.arange(9, dtype=np.float32)[::3]).numpy(), [2, 5, 8])
    v.assign(np.full(3, 10, np.float32))
    np.testing.assert_array_equal(add(one).numpy(), [11, 11, 11])
    np.testing.assert_array_equal(v.numpy(), [11, 11, 11])


def test_a_chain_may_write_over_what_it_reads():
    x = pn.Variable(values(6))
    y = pn.Variable(values(6, seed=1))

    def swap():
        a, b = x + 0.0, y + 0.0
        x.assign((b - a) * b + a)
        y.assign(a * 2.0 - b * a)

    for _ in range(3):
        swap()
    expected = x.numpy().copy(), y.numpy().copy()
    x.assign(values(6))
    y.assign(values(6, seed=1))
    pn.repeat(pn.function(swap), 3)
    assert (x.numpy().tobytes(), y.numpy().tobytes()) == tuple(e.tobytes() for e in expected)


def test_variables_are_as_the_last_whole_call_left_them_where_a_later_one_fails():
    table = pn.Variable(np.arange(4, dtype=np.float32))
    place = pn.Variable(np.array(0, np.int32))
    seen = pn.Variable(np.zeros(1, np.float32))

    @pn.function
    def step():
        seen.assign(seen + 1.0)
        picked = pn.take(table, place)
        place.assign(place + 1)
        return picked

    with pytest.raises(ValueError, match="take"):
        pn.repeat(step, 10)
    assert seen.numpy()[0] == 5
    assert place.numpy() == 4


def test_a_program_that_calls_python_has_none():
    seen = []

    def double(x):
        seen.append(float(v.numpy()[0]))
        return x * 2

    op = pn.custom_op(double, name="watching_double")
    v = pn.Variable(np.ones(2, np.float32))

    @pn.function
    def step():
        v.assign(v + 1.0)
        return op(v * 1.0)

    np.testing.assert_array_equal(step().numpy(), [4, 4])
    assert not any(micro_ops_of(step))


def test_many_threads_may_run_one_program(in_threads):
    x = values(8, seed=4)

    @pn.function
    def double(t):
        return (t * 2.0 + t).sum()

    double(pn.tensor(x))
    results = {}

    def work(i):
        results[i] = [float(double(pn.tensor(x[:8] * 0 + i)).numpy()) for _ in range(200)]

    x = np.ones(8, np.float32)
    in_threads(work)
    assert all(results[i] == [24.0 * i] * 200 for i in range(4))
