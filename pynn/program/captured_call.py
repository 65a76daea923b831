"""One call of a public function as a program, for calls that look like it."""

from __future__ import annotations

import itertools
from collections.abc import Callable as PythonFunction
from collections.abc import Sequence
from typing import Any, NamedTuple

from pynn.engine.operators import Operators
from pynn.engine.tensor import Tensor
from pynn.program.capture import abstract
from pynn.program.captured_gradient import differentiable_results
from pynn.program.function import capture_function, describe_leaves, describe_result
from pynn.program.nest import flatten, unflatten
from pynn.program.program import Program
from pynn.program.replay import NativeReplay, native_kernel


class CapturedCall(NamedTuple):
    """What `Callable.remember` is told."""

    runner: object
    arguments: list
    result: tuple
    specs: list
    recipe: Recipe | bool | None


class Recipe:
    """How Python makes a call that needed none, over other tensors: what a tape keeps of it."""

    _serials = itertools.count()

    def __init__(self, function: PythonFunction, structure: Any, leaves: list):
        self.serial = next(self._serials)
        self.differentiable: tuple[bool, ...] = ()  # of each result
        self._function = function
        self._structure = structure
        self._leaves = [_OPERAND if isinstance(leaf, Operators) else leaf for leaf in leaves]

    def make(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The results."""
        queue = iter(tensors)
        args, kwargs = unflatten(self._structure, iter([next(queue) if leaf is _OPERAND else leaf for leaf in self._leaves]))
        results: list[Tensor] = []
        flatten(self._function(*args, **kwargs), results)
        return results


_OPERAND = object()


def capture_call(function: PythonFunction, args: tuple, kwargs: dict, most_bytes: int) -> CapturedCall | None:
    """The call as a program that keeps at most so much memory; None if Python has to look at every such call.

    That is so where the function asks for the values of its operands, returns one of them, or has no kernels for what it does.
    """
    leaves: list = []
    structure = flatten((args, kwargs), leaves)
    stand_ins = [abstract(leaf.spec, "argument") for leaf in leaves if isinstance(leaf, Operators)]
    queue = iter(stand_ins)
    arguments = (next(queue) if isinstance(leaf, Operators) else leaf for leaf in leaves)
    try:
        captured = capture_function(function, structure, arguments, stand_ins, may_create=False)
    except Exception:  # the call itself will raise what there is to say
        return None
    program = captured.program
    if not _is_native(program) or _kept_bytes(program) > most_bytes or not _all_new(captured.places, program):
        return None
    outputs = [("output", p) for p in captured.places]
    return CapturedCall(
        program.replay.runner,
        _describe([*args, *kwargs.values()]),
        describe_result(captured.structure, iter(outputs)),
        [t.spec for t in program.outputs],
        _recipe(Recipe(function, structure, leaves), program),
    )


def _recipe(recipe: Recipe, program: Program) -> Recipe | bool | None:
    """What `Callable.remember` is told of the call under a tape."""
    try:
        found = differentiable_results(recipe, [t.spec for t in program.inputs], [t.spec for t in program.outputs])
    except Exception:  # its gradient asks for values
        return None
    if found is None:
        return None
    recipe.differentiable = found
    return recipe if any(found) else False


def _is_native(program: Program) -> bool:
    return isinstance(program.replay, NativeReplay) and all(native_kernel(node) is not None for node in program.plan.steps)


def _kept_bytes(program: Program) -> int:
    """What stays in memory between calls."""
    return program.plan.arena_bytes + sum(where.nbytes for kind, where in program.replay.externals if kind == "constant")


def _all_new(places: list, program: Program) -> bool:
    """Whether the result is tensors that know of nothing else, and are none of the arguments."""
    given = {id(t) for t in program.inputs}
    plain = all(t.logits is None and t.mask is None and id(t) not in given for t in program.outputs)
    return plain and all(isinstance(p, int) for p in places)


def _describe(values: list) -> list:
    inputs = itertools.count()

    def describe(value):
        if isinstance(value, Operators):
            return "operand", next(inputs)
        return ("equal" if type(value) in (int, float, bool, str, slice, type(None)) else "same"), value

    return describe_leaves(values, describe)
