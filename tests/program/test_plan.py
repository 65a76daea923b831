"""The planner's rules, one test each."""

from __future__ import annotations

import numpy as np
import pytest

from pynn.engine.op import Node, Op, Spec
from pynn.engine.tensor import Tensor
from pynn.engine.variable import Variable
from pynn.program.plan import Planner, _Block, assign_offsets


def make_op(name, **flags):
    return Op(name=name, inputs=("*",), optional=(), kernel=name, infer=None, fallback=None, **flags)


ELEMENTWISE = make_op("elementwise", elementwise=True)
PLAIN = make_op("plain")
ALIAS = make_op("alias", alias=True)
GUARD = make_op("guard", effect=True)
UPDATE = make_op("update", updates={0: 0})


def value(n=16, dtype=np.float32):
    return Tensor(None, Spec((n,), np.dtype(dtype)))


def call(op, *inputs, n=16, outputs=1):
    return Node(op, inputs, tuple(value(n) for _ in range(outputs)), {})


def plan(nodes, inputs=(), outputs=(), reads=(), finals=(), workspace=lambda node: 0):
    return Planner(list(nodes), list(inputs), list(outputs), list(reads), list(finals), workspace).plan()


def test_values_that_live_at_the_same_time_do_not_overlap():
    x = value()
    a, b = call(PLAIN, x), call(PLAIN, x)
    c = Node(PLAIN, (a.outputs[0], b.outputs[0]), (value(),), {})
    p = plan([a, b, c], [x], [c.outputs[0]])
    assert p.place(a.outputs[0]).where != p.place(b.outputs[0]).where


def test_memory_is_used_again_after_the_last_reader():
    x = value()
    a = call(PLAIN, x)
    b = call(PLAIN, a.outputs[0])
    c = call(PLAIN, b.outputs[0])
    d = call(PLAIN, c.outputs[0])
    p = plan([a, b, c, d], [x], [d.outputs[0]])
    assert p.arena_bytes == 128  # two blocks of 64 bytes in turn


def test_an_elementwise_call_writes_over_an_input_that_dies_there():
    x = value()
    a = call(PLAIN, x)
    b = call(ELEMENTWISE, a.outputs[0])
    c = call(PLAIN, b.outputs[0])
    p = plan([a, b, c], [x], [c.outputs[0]])
    assert p.place(a.outputs[0]) == p.place(b.outputs[0])


def test_two_consumers_forbid_in_place():
    x = value()
    a = call(PLAIN, x)
    b = call(ELEMENTWISE, a.outputs[0])
    c = Node(PLAIN, (a.outputs[0], b.outputs[0]), (value(),), {})
    p = plan([a, b, c], [x], [c.outputs[0]])
    assert p.place(a.outputs[0]) != p.place(b.outputs[0])


def test_an_input_read_twice_by_the_call_is_not_overwritten():
    x = value()
    a = call(PLAIN, x)
    b = Node(ELEMENTWISE, (a.outputs[0], a.outputs[0]), (value(),), {})
    c = call(PLAIN, b.outputs[0])
    p = plan([a, b, c], [x], [c.outputs[0]])
    assert p.place(a.outputs[0]) != p.place(b.outputs[0])


def test_inputs_of_the_program_are_never_overwritten():
    x = value()
    a = call(ELEMENTWISE, x)
    p = plan([a, call(PLAIN, a.outputs[0])], [x], [])
    assert p.place(a.outputs[0]).kind == "arena"


def test_another_size_forbids_in_place():
    x = value()
    a = call(PLAIN, x, n=16)
    b = call(ELEMENTWISE, a.outputs[0], n=32)
    c = call(PLAIN, b.outputs[0])
    p = plan([a, b, c], [x], [c.outputs[0]])
    assert p.place(a.outputs[0]) != p.place(b.outputs[0])


def test_an_alias_has_no_memory_of_its_own():
    x = value()
    a = call(PLAIN, x)
    b = call(ALIAS, a.outputs[0])
    c = call(PLAIN, b.outputs[0])
    p = plan([a, b, c], [x], [c.outputs[0]])
    assert len(p.steps) == 2
    assert p.place(b.outputs[0]) == p.place(a.outputs[0])


def test_an_alias_keeps_its_value_alive():
    x = value()
    a = call(PLAIN, x)
    b = call(ALIAS, a.outputs[0])
    c = call(PLAIN, x)
    d = Node(PLAIN, (b.outputs[0], c.outputs[0]), (value(),), {})
    p = plan([a, b, c, d], [x], [d.outputs[0]])
    assert p.place(a.outputs[0]).where != p.place(c.outputs[0]).where


def test_outputs_are_written_where_the_caller_wants_them():
    x = value()
    a = call(PLAIN, x)
    p = plan([a], [x], [a.outputs[0]])
    assert p.place(a.outputs[0]).kind == "output"
    assert not p.copies


def test_an_output_returned_twice_is_copied_once():
    x = value()
    a = call(PLAIN, x)
    p = plan([a], [x], [a.outputs[0], a.outputs[0]])
    assert [c.place.where for c in p.copies] == [1]


def test_an_input_returned_is_copied():
    x = value()
    p = plan([], [x], [x])
    assert [(c.source is x, c.place.kind) for c in p.copies] == [(True, "output")]


@pytest.fixture
def weight():
    return Variable(np.zeros(16, np.float32), name="w")


def test_an_update_writes_the_variable_in_place(weight):
    start, gradient = value(), value()
    u = Node(UPDATE, (start, gradient), (value(),), {})
    p = plan([u], [gradient], [], [(weight, start)], [(weight, u.outputs[0])])
    assert p.place(u.outputs[0]).where is weight
    assert not p.copies


def test_a_later_reader_of_the_old_value_forbids_writing_in_place(weight):
    start, gradient = value(), value()
    u = Node(UPDATE, (start, gradient), (value(),), {})
    late = call(PLAIN, start)
    p = plan([u, late], [gradient], [late.outputs[0]], [(weight, start)], [(weight, u.outputs[0])])
    assert p.place(u.outputs[0]).kind == "arena"
    assert [c.place.where for c in p.copies] == [weight]


def test_a_guard_that_comes_later_forbids_writing_in_place(weight):
    start, gradient = value(), value()
    u = Node(UPDATE, (start, gradient), (value(),), {})
    guard = Node(GUARD, (gradient,), (), {})
    p = plan([u, guard], [gradient], [], [(weight, start)], [(weight, u.outputs[0])])
    assert [c.place.where for c in p.copies] == [weight]


def test_a_plain_call_may_write_a_variable_that_nobody_reads(weight):
    x = value()
    a = call(PLAIN, x)
    p = plan([a], [x], [], [], [(weight, a.outputs[0])])
    assert p.place(a.outputs[0]).where is weight


def test_a_plain_call_does_not_write_over_what_it_reads(weight):
    start = value()
    a = call(PLAIN, start)
    p = plan([a], [], [], [(weight, start)], [(weight, a.outputs[0])])
    assert p.place(a.outputs[0]).kind == "arena"


def test_swapped_variables_go_through_safe_memory(weight):
    other = Variable(np.zeros(16, np.float32), name="v")
    a, b = value(), value()
    p = plan([], [], [], [(weight, a), (other, b)], [(weight, b), (other, a)])
    kinds = [c.place.kind for c in p.copies]
    assert kinds == ["arena", "arena", "variable", "variable"]
    assert p.copies[0].place.where != p.copies[1].place.where


def test_workspace_overlaps_nothing_that_lives_during_its_call():
    x = value()
    a = call(PLAIN, x)
    b = call(PLAIN, a.outputs[0])
    c = call(PLAIN, b.outputs[0])
    p = plan([a, b, c], [x], [c.outputs[0]], workspace=lambda node: 256 if node is b else 0)
    ends = {p.place(t).where for t in (a.outputs[0], b.outputs[0])}
    start = p.workspaces[1]
    assert all(start + 256 <= at or at + 64 <= start for at in ends)


def test_offsets_are_aligned_and_disjoint():
    rng = np.random.default_rng(0)
    blocks = []
    for _ in range(200):
        first = int(rng.integers(0, 50))
        blocks.append(_Block(64 * int(rng.integers(1, 20)), first, first + int(rng.integers(0, 10))))
    arena = assign_offsets(blocks)
    for i, a in enumerate(blocks):
        assert a.offset % 64 == 0 and a.offset + a.nbytes <= arena
        for b in blocks[:i]:
            meet = a.first <= b.last and b.first <= a.last
            apart = a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
            assert apart or not meet


def test_a_small_block_takes_the_smallest_gap():
    blocks = [_Block(256, 0, 9), _Block(128, 0, 3), _Block(192, 0, 9), _Block(64, 0, 3), _Block(64, 5, 9)]
    assign_offsets(blocks)
    assert blocks[4].offset + 64 <= max(b.offset + b.nbytes for b in blocks[:4])


def test_of_gaps_of_its_size_a_block_takes_the_first():
    blocks = [_Block(320, 0, 9), _Block(320, 1, 4), _Block(320, 2, 9), _Block(320, 3, 4), _Block(320, 4, 9)]
    late = [_Block(320, 5, 9), _Block(64, 5, 9)]  # the second and the fourth are free then
    assert assign_offsets(blocks + late) == 5 * 320
    assert late[0].offset == blocks[1].offset and late[1].offset == blocks[3].offset
    chain = [_Block(64, i, 4000 - i) for i in range(2000)]  # values that a gradient reads: all live at once
    assert assign_offsets(chain) == 64 * 2000
    assert [b.offset for b in chain] == list(range(0, 64 * 2000, 64))


def test_absent_operands_are_left_out():
    x = value()
    a = Node(PLAIN, (x, None), (value(), None), {})
    p = plan([a], [x], [a.outputs[0]])
    assert p.place(a.outputs[0]).kind == "output"
