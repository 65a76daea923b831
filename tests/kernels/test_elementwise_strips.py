"""Elementwise programs, whose values stay in registers from one instruction to the next: the bits are those of the single instructions,
whichever operand is the one in registers, however long the rest, and whatever memory outputs share with inputs."""

import numpy as np
import pytest
from op_checks import TARGETS
from test_elementwise import arity, run, single

from pynn import _core
from pynn.dtypes import NATIVE_CODES
from pynn.ops.elementwise import OPCODES

FLOATS = [np.float32, np.float64]
LONG = 512 + 131  # more than what runs as one block, with a rest for every length of a strip


def words_of(instructions, outputs):
    words = [len(instructions)]
    for name, operands in instructions:
        words += [OPCODES[name], *operands, *([-1] * (3 - len(operands)))]
    return [*words, *outputs]


def registers_of(instructions, arrays, target):
    """What the instructions give, run one by one."""
    registers = list(arrays)
    for name, operands in instructions:
        registers.append(single(name, [registers[r] for r in operands], target, (0.0, 0.0)))
    return registers


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(OPCODES))
def test_every_instruction_with_each_operand_in_registers(name, dtype, target):
    rng = np.random.default_rng(0)
    count = arity(name)
    for held in range(count):
        arrays = [rng.uniform(0.05, 0.95, size=LONG).astype(dtype) for _ in range(count)]
        operands = [count if k == held else k for k in range(count)]
        instructions = [("abs", (held,)), (name, operands)]
        wanted = registers_of(instructions, arrays, target)[-1]
        for n in (LONG, 513, 640):
            got = run(words_of(instructions, [count + 1]), [0.0] * 4, [a[:n] for a in arrays], (n,), [dtype], target)[0]
            assert got.tobytes() == wanted[:n].tobytes(), (held, n)


NAMES = "add subtract multiply maximum minimum less greater_equal where square abs negative relu sigmoid tanh equal tie_share".split()
SHAPES = [((700,), [(700,), (), (1,)]), ((9, 100), [(9, 100), (100,), (9, 1), ()]), ((4, 300), [(4, 300), (300,), (4, 1)]),
          ((300, 3), [(300, 3), (3,), (300, 1)]), ((5, 4, 70), [(5, 4, 70), (4, 70), (5, 1, 70), (5, 4, 1), (1, 4, 1), (70,)]),
          ((6, 40, 5), [(6, 40, 5), (6, 1, 5), (40, 5), (5,)])]


def random_program(rng, dtype):
    """(instructions, inputs, shape of the outputs)"""
    shape, choices = SHAPES[rng.integers(len(SHAPES))]
    kinds = [dtype, dtype, dtype, np.bool_, np.int32]
    inputs = [np.round(2 * rng.normal(size=shape)).astype(dtype)]
    for _ in range(rng.integers(0, 5)):
        values = np.round(2 * rng.normal(size=choices[rng.integers(len(choices))]), 1)
        inputs.append(values.astype(kinds[rng.integers(len(kinds))]))
    instructions = []
    for i in range(rng.integers(2, 24)):
        name = NAMES[rng.integers(len(NAMES))]
        known = len(inputs) + i
        recent = [known - 1 if rng.random() < 0.6 else int(rng.integers(known)) for _ in range(arity(name))]
        instructions.append((name, tuple(recent)))
    return instructions, inputs, shape


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_random_programs(dtype, target):
    rng = np.random.default_rng(1)
    for _ in range(150):
        instructions, inputs, shape = random_program(rng, dtype)
        plain = [np.ascontiguousarray(np.broadcast_to(a.astype(dtype), shape)) for a in inputs]
        registers = registers_of(instructions, plain, target)
        outputs = [len(registers) - 1, *(int(r) for r in rng.integers(len(registers), size=rng.integers(0, 3)))]
        rng.shuffle(outputs)
        dtypes = [np.bool_ if rng.random() < 0.3 else dtype for _ in outputs]
        floats = [0.0] * (2 * len(instructions))
        results = run(words_of(instructions, outputs), floats, inputs, shape, dtypes, target, kernel_dtype=dtype)
        for got, r in zip(results, outputs, strict=True):
            np.testing.assert_array_equal(got, registers[r].astype(got.dtype), err_msg=f"{instructions} {outputs}")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(515,), (2000,), (7, 90), (3, 777), (400, 3)])
def test_outputs_in_the_place_of_inputs(shape, dtype, target):
    rng = np.random.default_rng(2)
    instructions = [("add", (0, 1)), ("multiply", (3, 0)), ("tanh", (4,)), ("subtract", (5, 2)), ("multiply", (6, 1))]
    x, y = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    row = rng.normal(size=shape[-1:]).astype(dtype)
    registers = registers_of(instructions, [x, y, np.ascontiguousarray(np.broadcast_to(row, shape))], target)
    code = NATIVE_CODES[np.dtype(dtype)]
    inputs, outputs = [(shape, code), (shape, code), (row.shape, code)], [(shape, code)] * 2
    kernel = _core.Kernel(
        "elementwise_f32" if dtype == np.float32 else "elementwise_f64", inputs, outputs, words_of(instructions, [3, 7]), [0.0] * 10, target
    )
    for first, second in ((0, 1), (1, 0)):
        memory = [x.copy(), y.copy()]
        kernel.run_into([*memory, row], [memory[first], memory[second]])
        assert memory[first].tobytes() == registers[3].tobytes()
        assert memory[second].tobytes() == registers[7].tobytes()


def test_too_many_outputs_are_refused():
    spec = ((700,), 0)
    for count in (16, 17):
        words = words_of([("abs", (0,)), ("negative", (1,))], [2] * count)
        assert _core.Kernel("elementwise_f32", [spec], [spec] * count, words, [0.0] * 4).supported == (count == 16)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_truth_of_every_kind_of_number(dtype, target):
    """What isn't 0 is stored as true, not-a-number and the smallest normal numbers among them, at every place of a strip."""
    kinds = np.array([0.0, -0.0, 1.0, -2.5, np.nan, np.inf, -np.inf, np.finfo(dtype).tiny, 0.5], dtype)
    x = kinds[np.random.default_rng(3).integers(0, len(kinds), LONG)]
    words = words_of([("negative", (0,)), ("negative", (1,))], [2])
    for n in (*range(1, 300), 513, LONG):
        got = run(words, [0.0] * 4, [x[:n]], (n,), [np.bool_], target)[0]
        assert got.tobytes() == (x[:n] != 0).tobytes(), n
