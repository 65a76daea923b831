"""Reverse-mode differentiation: a tape records the calls that lead from watched tensors to a result and differentiates them in reverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pynn.dtypes import is_float
from pynn.engine.apply import apply
from pynn.engine.op import Node, Op, active, define
from pynn.engine.operators import Operators, call
from pynn.engine.tensor import Tensor, as_tensor, leaves, scalar


class Tape:
    """Records calls while it is entered. `watch` marks the tensors by which `gradient` differentiates."""

    __slots__ = ("nodes", "tracked", "watch_variables", "variables", "taken", "_keep", "_below")

    def __init__(self, *, watch_variables: bool = False):
        self.nodes: list[Node] = []
        self.tracked: set[int] = set()
        self.watch_variables = watch_variables
        self._below = len(active.tapes)  # that many were entered before
        self.variables: dict[int, tuple] = {}  # id of a value -> (variable, value)
        self.taken: list[Tensor] = []  # whose values Python has read
        self._keep: list[Tensor] = []

    def __enter__(self) -> Tape:
        self._below = len(active.tapes)
        active.tapes.append(self)
        return self

    def leave(self, *exc) -> None:
        """Records no more, nor do the tapes inside. May come twice, as Ctrl-C can keep `__exit__` from its first line."""
        del active.tapes[self._below :]

    __exit__ = leave

    def watch(self, tensor: Tensor) -> None:
        """Makes differentiation with respect to `tensor` possible."""
        self.tracked.add(id(tensor))
        self._keep.append(tensor)

    def watched_ids(self) -> set[int]:
        """Identities of the tensors that were asked to be watched."""
        return {id(t) for t in self._keep}

    def saw_variable(self, variable, value: Tensor) -> None:
        """Called when a variable is read; trainable ones are watched if the tape was asked to."""
        if self.watch_variables and variable.trainable and is_float(value.dtype):
            if id(value) not in self.variables:
                self.variables[id(value)] = (variable, value)
                self.watch(value)

    def saw_taken(self, tensor: Tensor) -> None:
        """Called when the values of a tensor become an array or numbers of Python's."""
        if id(tensor) in self.tracked:
            self.taken.append(tensor)

    def loses(self, sources: Sequence[Tensor]) -> bool:
        """Whether Python has read values that were computed from one of these."""
        with paused():
            return any(g is not None for t in self.taken for g in self.gradient(t, sources))

    def record(self, op: Op, inputs: tuple, outputs: tuple, attrs: dict) -> None:
        """Keeps a call if it depends on something watched."""
        if op.vjp is None and op.decompose is None:
            return
        tracked = self.tracked
        for t in inputs:
            if t is not None and id(t) in tracked:
                break
        else:
            return
        self.nodes.append(Node(op, inputs, outputs, attrs))
        tracked.update([id(t) for t in outputs if t is not None and is_float(t.spec.dtype)])

    def gradient(self, target: Tensor, sources: Sequence[Tensor], dy: Tensor | None = None) -> list[Tensor | None]:
        """d target / d source for each source, None where the target doesn't depend on it.

        `dy` weights the elements of a target that isn't a scalar: the result is the gradient of `sum(target * dy)`.
        """
        if active.capture is not None:
            active.capture.before_gradient(self)
        grads: dict[int, Tensor] = {id(target): dy if dy is not None else ones_like(target)}
        below = len(active.tapes)
        try:
            self.walk_back(grads, {id(s) for s in sources})
        except BaseException:
            del active.tapes[below:]  # of calls that are computed again; see `leave`
            raise
        return [grads.get(id(s)) for s in sources]

    def walk_back(self, grads: dict[int, Tensor], wanted: set[int]) -> None:
        """Makes of gradients so far, by identities of tensors, those of what the tensors were made of. Only `wanted` ones are kept."""
        for node in reversed(self.nodes):
            self.step_back(node, grads, wanted)

    def step_back(self, node: Node, grads: dict[int, Tensor], wanted: set[int]) -> None:
        """`walk_back` over one call."""
        ids = [id(t) for t in node.outputs]  # of None as well: nothing has its gradient
        dys = tuple([(grads.get if i in wanted else grads.pop)(i, None) for i in ids])
        if any([d is not None for d in dys]):
            self._propagate(node, dys, grads)

    def _propagate(self, node: Node, dys: tuple, grads: dict[int, Tensor]) -> None:
        tracked = self.tracked
        needs = tuple([t is not None and id(t) in tracked for t in node.inputs])
        if node.op.vjp is not None:
            dxs = node.op.vjp(dys, node.inputs, node.outputs, node.attrs, needs)
        else:
            dxs = _vjp_of_decomposed(node, dys, needs)
        for t, dx, need in zip(node.inputs, dxs, needs, strict=True):
            if dx is None or not need:
                continue
            before = grads.get(id(t))
            grads[id(t)] = dx if before is None else call("add", before, dx)


def _vjp_of_decomposed(node: Node, dys: tuple, needs: tuple) -> list[Tensor | None]:
    return gradients_through(lambda *inputs: node.op.decompose(inputs, node.attrs), node.inputs, dys, needs)


def gradients_through(compose: Callable, inputs: Sequence[Tensor | None], dys: Sequence[Tensor | None], needs: Sequence[bool]) -> list:
    """The gradients by the inputs that are needed, None where nothing leads to one, through `compose(*inputs) -> outputs` in other ops.

    That is computed again, under a tape of its own. `dys` are the gradients by the outputs, None where there is none.
    """
    with Tape() as tape:
        copies = [None if t is None else stand_in(t) for t in inputs]
        sources = [t for t, need in zip(copies, needs, strict=True) if need and t is not None]
        for t in sources:
            tape.watch(t)
        outputs = compose(*copies)
    total: dict[int, Tensor] = {}
    for output, dy in zip(outputs if isinstance(outputs, tuple) else (outputs,), dys, strict=False):
        for t, dx in zip(sources, [] if dy is None else tape.gradient(output, sources, dy), strict=False):
            if dx is not None:
                total[id(t)] = call("add", total[id(t)], dx) if id(t) in total else dx
    return [total.get(id(t)) for t in copies]


def _identity_vjp(dys, inputs, outputs, attrs, needs):
    return (dys[0],)


IDENTITY = define(
    "identity",
    inputs=("x",),
    infer=lambda x: x,
    fallback=lambda x: x,
    vjp=_identity_vjp,
    alias=True,
    reference=lambda x: x,
    tfjs="Identity",
)


def stand_in(t: Tensor) -> Tensor:
    """Another tensor object with the same value, for gradients with respect to that object alone."""
    return apply(IDENTITY, t) if active.tapes or t.is_abstract else Tensor(t.data, t.spec)


def ones_like(t: Tensor) -> Tensor:
    """Ones with the shape and dtype of `t`: the start of a backward pass."""
    one = scalar(1, t.dtype)
    return one if not t.shape else call("broadcast_to", one, t.shape)


def _never(*args, **kwargs):
    raise NotImplementedError("[custom_grad] is recorded, never run")


_CUSTOM = define(
    "custom_grad",
    inputs=("*",),
    infer=_never,
    fallback=_never,
    vjp=lambda dys, inputs, outputs, attrs, needs: attrs["vjp"](dys, needs),
    foreign=True,
)


def record_custom(inputs: Sequence[Tensor], outputs: Sequence[Tensor], vjp: Callable) -> None:
    """Tells the tapes of a call whose gradient a user has written; `vjp(dys, needs) -> gradients of the inputs`."""
    for tape in active.tapes:
        tape.record(_CUSTOM, tuple(inputs), tuple(outputs), {"vjp": vjp})


def checked_gradients(name: str, gradients: Sequence, inputs: Sequence[Tensor | None], needs: Sequence[bool]) -> tuple:
    """What a user's gradient function returned, as tensors of the inputs' shapes and dtypes; None where there is none or no need.

    Raises:
        ValueError: a gradient has another shape than its input.
    """
    each = enumerate(zip(gradients, inputs, needs, strict=True))
    return tuple(_gradient_of(name, i, as_tensor(g), x) if need and g is not None else None for i, (g, x, need) in each)


def _gradient_of(name: str, index: int, gradient: Tensor, x: Tensor) -> Tensor:
    if gradient.size == x.size == 1:
        gradient = call("reshape", gradient, x.shape)
    elif not gradient.shape:
        gradient = call("broadcast_to", gradient, x.shape)
    if gradient.shape != x.shape:
        raise ValueError(
            f"[{name}] a gradient must have the shape of its operand. Received: shape {gradient.shape} for operand {index} of shape "
            f"{x.shape}. Sum over the axes that were broadcast."
        )
    return gradient if gradient.dtype == x.dtype or not is_float(x.dtype) else call("cast", gradient, x.dtype)


class paused:
    """Context in which no tape records."""

    def __enter__(self) -> None:
        self._tapes = active.tapes
        active.tapes = []

    def __exit__(self, *exc) -> None:
        active.tapes = self._tapes


def check_target(name: str, target) -> Tensor:
    """The result of a differentiated function as a scalar float tensor, or an error that says what is wrong with it."""
    if target is None:
        raise TypeError(f"[{name}] the function returned nothing. Return the tensor to differentiate, such as the loss.")
    numbers = isinstance(target, (list, tuple)) and not any(isinstance(v, Operators) for v in leaves(target))
    if numbers or not isinstance(target, (Operators, list, tuple)):
        raise TypeError(
            f"[{name}] the function must return a tensor: nothing else records how it was computed. Received: a {type(target).__name__}"
            f"{' without a tensor in it' if numbers else ''}. Compute with pynn ops, without float(x), x.item() or x.numpy() on the way."
        )
    if isinstance(target, (list, tuple)) and len(target) != 1:
        raise TypeError(
            f"[{name}] the function must return one tensor. Received: a {type(target).__name__} of {len(target)}. "
            "Return only the loss, or the sum of the parts."
        )
    target = as_tensor(target)
    if not is_float(target.dtype):
        raise TypeError(f"[{name}] only float results can be differentiated. Received: dtype={target.dtype}.")
    if target.size != 1:
        raise ValueError(
            f"[{name}] the function must return one number. Received: shape={target.shape}. "
            "Reduce it first, for example with .mean() or .sum()."
        )
    return target
