"""The elementwise kernel: every instruction on every target, broadcasting, programs, dtypes, in place, special values."""

import itertools

import numpy as np
import pytest
from op_checks import TARGETS, check_gradients, check_threads, check_values, fallback, native

import pynn as pn
from pynn import _core
from pynn.dtypes import NATIVE_CODES
from pynn.engine.op import REGISTRY
from pynn.ops.elementwise import OPCODES

RECORDS = {name: op for name, op in REGISTRY.items() if op.kernel == "elementwise" and op.opcode is not None}
# Where the reference subtracts large numbers or the kernel's own error is multiplied.
TOLERANCE = {"power": 64, "sinh": 32, "cosh": 32}
SUFFIX = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64", np.dtype(bool): "bool"}


def run(words, floats, arrays, shape, dtypes, target="", kernel_dtype=None):
    """Runs a program; `dtypes` of the outputs."""
    arrays = [pn.tensor(a).data for a in arrays]
    leading = np.dtype(kernel_dtype or next(a.dtype for a in arrays if a.dtype.kind == "f"))
    inputs = [(a.shape, NATIVE_CODES[a.dtype]) for a in arrays]
    outputs = [(shape, NATIVE_CODES[np.dtype(d)]) for d in dtypes]
    kernel = _core.Kernel("elementwise_" + SUFFIX[leading], inputs, outputs, words, floats, target)
    if not kernel.supported:
        return None
    results, failure = kernel.run(arrays)
    assert failure is None
    return results


def single(name, arrays, target="", immediates=(0.3, 0.7)):
    """One instruction over arrays of one float dtype."""
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    words = [1, OPCODES[name], *range(len(arrays)), *([-1] * (3 - len(arrays))), len(arrays)]
    return run(words, list(immediates), arrays, shape, [arrays[0].dtype], target)[0]


def arity(name):
    return 1 if OPCODES[name] < 64 else 2 if OPCODES[name] < 112 else 3


def test_every_instruction_has_a_record_but_identity():
    assert set(OPCODES) - set(RECORDS) == {"identity"}
    assert all(op.opcode == OPCODES[name] for name, op in RECORDS.items())


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_values(name):
    check_values(RECORDS[name], tolerance=TOLERANCE.get(name, 8))


@pytest.mark.parametrize("name", sorted(n for n, op in RECORDS.items() if op.vjp))
def test_gradients(name):
    check_gradients(RECORDS[name], tolerance=2e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(OPCODES))
def test_an_elements_place_does_not_change_its_value(name, dtype, target):
    rng = np.random.default_rng(0)
    most = 4 * 16 + 3
    whole = [rng.uniform(0.05, 0.95, size=most).astype(dtype) for _ in range(arity(name))]
    wanted = single(name, whole, target)
    for n in range(1, most + 1):
        part = [a[most - n :] for a in whole]
        assert single(name, part, target).tobytes() == wanted[most - n :].tobytes(), n


@pytest.mark.parametrize("scalars", [s for s in itertools.product([0, 1], repeat=3) if not all(s)])
@pytest.mark.parametrize("name", ["where", "tie_share", "add", "divide", "less"])
def test_scalar_operands(name, scalars):
    rng = np.random.default_rng(1)
    scalars = scalars[: arity(name)]
    for dtype, n in itertools.product((np.float32, np.float64), (1, 7, 40)):
        arrays = [np.round(rng.normal(size=() if s else (n,))).astype(dtype) for s in scalars]
        wide = [np.ascontiguousarray(np.broadcast_to(a, (n,))) for a in arrays]
        if all(scalars):
            arrays[0] = wide[0]
        for target in TARGETS:
            np.testing.assert_array_equal(single(name, arrays, target), single(name, wide, target))


SHAPES = [
    ((2, 16), (16,)),
    ((33, 10), (10,)),
    ((33, 10), (33, 1)),
    ((5, 700), (700,)),
    ((5, 700), (5, 1)),
    ((3, 64), (3, 1)),
    ((4, 1), (1, 6)),
    ((4, 1, 3), (5, 1)),
    ((2, 3, 5, 7), (3, 1, 7)),
    ((2, 3, 5, 7), (2, 1, 5, 1)),
    ((2, 1, 2, 1, 2, 1, 2, 1), (1, 3, 1, 3, 1, 3, 1, 3)),
    ((9, 1, 100), (1, 8, 100)),
    ((1200, 3), (3,)),
    ((9, 300), (300,)),
    ((90, 300), (90, 1)),
    ((9, 1), (1, 257)),
    ((40, 50, 3), (40, 1, 3)),
    ((0, 3), (3,)),
    ((3, 0), (0,)),
    ((0, 1), (1, 0)),
    ((2, 1, 0), (3, 1)),
    ((1, 1), (1,)),
    ((), (1, 1)),
    ((7,), (2, 3, 1)),
]


@pytest.mark.parametrize("first, second", SHAPES)
def test_broadcasting(first, second):
    rng = np.random.default_rng(2)
    for dtype, swap in itertools.product((np.float32, np.float64), (False, True)):
        x, y = rng.normal(size=first).astype(dtype), rng.normal(size=second).astype(dtype)
        x, y = (y, x) if swap else (x, y)
        for target in TARGETS:
            np.testing.assert_array_equal(native(REGISTRY["subtract"], [x, y], {}, target)[0], x - y)
            np.testing.assert_array_equal(native(REGISTRY["less"], [x, y], {}, target)[0], x < y)


def test_broadcasting_of_three():
    rng = np.random.default_rng(3)
    for shapes in [((3, 1), (1, 70), ()), ((70,), (3, 70), (3, 1)), ((5, 1, 4), (6, 1), (4,)), ((1,), (8,), (8,))]:
        condition = rng.random(shapes[0]) < 0.5
        x, y = (rng.normal(size=s).astype(np.float32) for s in shapes[1:])
        for target in TARGETS:
            np.testing.assert_array_equal(native(REGISTRY["where"], [condition, x, y], {}, target)[0], np.where(condition, x, y))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.int64])
def test_inputs_of_other_dtypes_are_converted(dtype):
    rng = np.random.default_rng(4)
    for shape, other in [((50,), (50,)), ((), (9,)), ((6,), (40, 6)), ((40, 1), (40, 6)), ((40, 1), (40, 600)), ((700,), (4, 700))]:
        x = rng.integers(0, 2, size=shape).astype(dtype)
        for wanted, target in itertools.product((np.float32, np.float64), TARGETS):
            y = rng.normal(size=other).astype(wanted)
            words = [1, OPCODES["multiply"], 0, 1, -1, 2]
            out = run(words, [0.0, 0.0], [x, y], np.broadcast_shapes(shape, other), [wanted], target)[0]
            np.testing.assert_array_equal(out, x.astype(wanted) * y)


def test_logic_over_bools():
    rng = np.random.default_rng(5)
    x, y = rng.random((40, 30)) < 0.5, rng.random(30) < 0.5
    for name, numpy in [
        ("logical_and", np.logical_and),
        ("logical_or", np.logical_or),
        ("logical_xor", np.logical_xor),
        ("equal", np.equal),
    ]:
        for target in TARGETS:
            np.testing.assert_array_equal(native(REGISTRY[name], [x, y], {}, target)[0], numpy(x, y))
    np.testing.assert_array_equal(native(REGISTRY["logical_not"], [x], {})[0], ~x)


# (w * x + b), tanh of it, squared, times the scalar s, kept where it is below the condition's threshold
CHAIN = ["multiply", "add", "tanh", "square", "multiply", "less", "where"]
CHAIN_OPERANDS = [(0, 1), (5, 2), (6,), (7,), (8, 3), (9, 4), (10, 9, 2)]


def chain_words(outputs):
    words = [len(CHAIN)]
    for name, operands in zip(CHAIN, CHAIN_OPERANDS, strict=True):
        words += [OPCODES[name], *operands, *([-1] * (3 - len(operands)))]
    return [*words, *outputs]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5,), (1500,), (7, 10), (90, 70), (3, 1100), (6, 5, 12)])
def test_a_chain_has_the_bits_of_its_members(shape, dtype, target):
    rng = np.random.default_rng(6)
    shapes = [shape, shape, shape[-1:], (), (*shape[:-1], 1)]
    arrays = [rng.normal(size=s).astype(dtype) for s in shapes]
    registers = list(arrays)
    for name, operands in zip(CHAIN, CHAIN_OPERANDS, strict=True):
        registers.append(single(name, [registers[r] for r in operands], target, (0.0, 0.0)))
    floats = [0.0] * (2 * len(CHAIN))
    assert run(chain_words([11]), floats, arrays, shape, [dtype], target)[0].tobytes() == registers[11].tobytes()
    several = run(chain_words([11, 7, 10, 3, 2]), floats, arrays, shape, [dtype, dtype, bool, dtype, dtype], target)
    for got, register in zip(several, (11, 7, 10, 3, 2), strict=True):
        np.testing.assert_array_equal(got, np.broadcast_to(registers[register], shape).astype(got.dtype))


def test_outputs_may_be_inputs():
    rng = np.random.default_rng(7)
    for n in (3, 100, 5000):
        x, y = (pn.tensor(rng.normal(size=n).astype(np.float32)).data for _ in range(2))
        spec = ((n,), 0)
        add = _core.Kernel("elementwise_f32", [spec, spec], [spec], [1, OPCODES["add"], 0, 1, -1, 2], [0.0, 0.0])
        target = x.copy()
        add.run_into([target, y], [target])
        np.testing.assert_array_equal(target, x + y)
        # x + y, then times x: the first result must not overwrite x before it is read again
        words = [2, OPCODES["add"], 0, 1, -1, OPCODES["multiply"], 2, 0, -1, 3]
        program = _core.Kernel("elementwise_f32", [spec, spec], [spec], words, [0.0] * 4)
        target = x.copy()
        program.run_into([target, y], [target])
        np.testing.assert_array_equal(target, (x + y) * x)
        two = _core.Kernel("elementwise_f32", [spec, spec], [spec, spec], [*words[:-1], 2, 3], [0.0] * 4)
        target, other = x.copy(), y.copy()
        two.run_into([target, other], [target, other])
        np.testing.assert_array_equal(target, x + y)
        np.testing.assert_array_equal(other, (x + y) * x)


def test_programs_that_make_no_sense_are_refused():
    spec = ((4,), 0)

    def supported(words, floats=(0.0, 0.0), inputs=(spec,), outputs=(spec,)):
        return _core.Kernel("elementwise_f32", list(inputs), list(outputs), list(words), list(floats)).supported

    assert supported([1, OPCODES["exp"], 0, -1, -1, 1])
    assert not supported([1, OPCODES["exp"], 1, -1, -1, 1])  # reads its own result
    assert not supported([1, OPCODES["exp"], 0, -1, -1, 2])
    assert not supported([1, OPCODES["add"], 0, -1, -1, 1])
    assert not supported([1, 60, 0, -1, -1, 1])
    assert not supported([1, OPCODES["exp"], 0, -1, -1, 1], floats=())
    assert not supported([0, 0])
    assert not supported([])
    assert not supported([1, OPCODES["exp"], 0, -1, -1, 1], outputs=[((5,), 0)])
    assert not supported([1, OPCODES["exp"], 0, -1, -1, 1], outputs=[((4,), 2)])
    assert not supported([1, OPCODES["exp"], 0, -1, -1, 1], inputs=[((4,), 1)])


def test_bits_do_not_depend_on_threads():
    rng = np.random.default_rng(8)
    x, y = (rng.normal(size=(130, 777)).astype(np.float32) for _ in range(2))
    check_threads(REGISTRY["tanh"], [x], {})
    check_threads(REGISTRY["add"], [x, y], {})
    check_threads(REGISTRY["add"], [x, y[0]], {})
    check_threads(REGISTRY["multiply"], [rng.normal(size=(40000, 3)), rng.normal(size=3)], {})
    check_threads(REGISTRY["less"], [x, y[:, :1]], {})


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 3e38, -3e38, 0.5, -0.5, 1.5, 2.5, -2.5, 1.0, -1.0, 100.0, -100.0])


@pytest.mark.parametrize("name", sorted(n for n in RECORDS if arity(n) == 1))
def test_special_values_of_one_operand(name):
    op = RECORDS[name]
    for dtype in (np.float32, np.float64):
        x = SPECIAL.astype(dtype)
        wanted = fallback(op, [x], {})[0]
        for target in TARGETS:
            got = native(op, [x], {}, target)[0]
            with np.errstate(all="ignore"):
                np.testing.assert_allclose(got, wanted, rtol=3e-5, atol=2e-38 if dtype == np.float32 else 1e-300)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "minimum", "divide_no_nan", "less", "equal", "atan2"])
def test_special_values_of_two_operands(name):
    op = RECORDS[name]
    x, y = (a.ravel().astype(np.float32) for a in np.meshgrid(SPECIAL, SPECIAL))
    wanted = fallback(op, [x, y], {})[0]
    for target in TARGETS:
        np.testing.assert_allclose(native(op, [x, y], {}, target)[0], wanted, rtol=1e-6, atol=2e-38)


def test_remainders_follow_python():
    x, y = np.meshgrid([7.0, -7.0, 0.0, 6.0, -6.0, 0.3, -0.3], [3.0, -3.0, 0.1, -0.1])
    for dtype in (np.float32, np.float64):
        a, b = x.ravel().astype(dtype), y.ravel().astype(dtype)
        np.testing.assert_array_equal(native(REGISTRY["mod"], [a, b], {})[0], np.mod(a, b))
        np.testing.assert_array_equal(native(REGISTRY["floor_divide"], [a, b], {})[0], np.floor_divide(a, b))
