"""Gradients of Python functions: `grad`, `grads`, `value_and_grad`, `value_and_grads`, `variable_grads`, `custom_grad`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType

from pynn.dtypes import is_float, is_whole
from pynn.engine.call_tape import CallTape
from pynn.engine.op import active
from pynn.engine.operators import Operators, call
from pynn.engine.tape import check_target, checked_gradients, paused, record_custom, stand_in
from pynn.engine.tensor import Tensor, as_tensor
from pynn.engine.variable import Variable
from pynn.errors import users_level

__all__ = ["custom_grad", "grad", "grads", "value_and_grad", "value_and_grads", "variable_grads"]


def _check_function(name: str, f, values: tuple = ()) -> None:
    if callable(f) and not values:
        return
    if callable(f):
        raise TypeError(
            f"[{name}] takes only the function, and returns a function that is called with the values. Received: a function and "
            f"{len(values)} more. Write pn.{name}(f)(w, b)."
        )
    line = f"pn.{name}(lambda w, b: cost(x @ w + b, y))(w, b)"
    if name == "variable_grads":  # of a function without arguments; minimize calls it too
        line = "pn.variable_grads(lambda: cost(x @ w + b, y)), or optimizer.minimize(lambda: cost(x @ w + b, y))"
    kind = "a computed tensor" if isinstance(f, Operators) else f"a {type(f).__name__}"
    raise TypeError(
        f"[{name}] the first argument must be a function: gradients are taken of a computation, and {kind} has no record of how it was "
        f"computed. Received: {kind}. Write the computation as a function of the values to differentiate with respect to: {line}."
    )


def _named_like(f: Callable):
    """`functools.wraps`, without the attributes of an object that can be called: those of a model or a captured function are its state."""
    return functools.wraps(f, updated=functools.WRAPPER_UPDATES if isinstance(f, FunctionType) else ())


def _differentiable(name: str, index: int, value) -> Tensor:
    tensor = as_tensor(value)
    if not is_float(tensor.dtype):
        raise TypeError(
            f"[{name}] gradients are taken with respect to float tensors only. Received: argument {index} with dtype {tensor.dtype}. "
            "Convert it, for example with pn.tensor(x, dtype='float32')."
        )
    return tensor


def _position(name: str, argnum, args: tuple) -> int:
    """`argnum` counted from the front."""
    if not is_whole(argnum):
        raise TypeError(f"[{name}] argnum must be the index of one argument. Received: argnum={argnum!r}. For several, use pn.grads.")
    if not -len(args) <= argnum < len(args):
        raise ValueError(
            f"[{name}] argnum must be the index of a positional argument. Received: argnum={argnum} with {len(args)} positional arguments."
        )
    return int(argnum) % len(args)


def _value_and_grads(name: str, f: Callable, args: Sequence, which: Sequence[int], kwargs: dict):
    if not args:
        raise TypeError(
            f"[{name}] there is nothing to differentiate with respect to. Received: no positional arguments. Write pn.{name}(f)(w, b)."
        )
    if len(args) == 1 and isinstance(args[0], (list, tuple)) and any(isinstance(a, Operators) for a in args[0]):
        raise TypeError(
            f"[{name}] pass the values one by one, not in a list. Received: a {type(args[0]).__name__} of {len(args[0])}. "
            f"Write pn.{name}(f)(w, b), or pass pn.stack(values) as one tensor."
        )
    sources = {i: stand_in(_differentiable(name, i, args[i])) for i in which}
    tape = CallTape()
    for source in sources.values():
        tape.watch(source)
    value = _recorded(tape, lambda: check_target(name, f(*(sources.get(i, a) for i, a in enumerate(args)), **kwargs)))
    with_grads = tape.gradient(value, list(sources.values()))
    _warn_of_lost(name, tape, [s for g, s in zip(with_grads, sources.values(), strict=True) if g is None])
    return value, tuple(_zeros_if_none(g, s) for g, s in zip(with_grads, sources.values(), strict=True))


def _recorded(tape: CallTape, f: Callable):
    """What f() gives, its calls on the tape, which records no more when this ends, however it ends."""
    try:
        with tape:
            return f()
    except BaseException:
        tape.leave()
        raise


def _warn_of_lost(name: str, tape: CallTape, unreached: list[Tensor]) -> None:
    """A gradient of zeros is right for what has no influence; what went through Python has one that nobody sees."""
    if tape.taken and unreached and tape.loses(unreached):
        warnings.warn(
            f"[{name}] a gradient of the result is 0 because the values of a tensor were read on the way, with float(x), x.item(), "
            "x.numpy() or a NumPy function: no gradient flows through what is computed from them. Compute with pynn ops.",
            stacklevel=users_level(),
        )


def _zeros_if_none(gradient: Tensor | None, source: Tensor | Variable) -> Tensor:
    return call("zeros_like", source) if gradient is None else gradient


def value_and_grad(f: Callable, argnum: int = 0) -> Callable:
    """A function that returns `(f(*args), d f / d args[argnum])`.

    `f` must return one float number (a tensor of one element). Arguments may be tensors, variables, arrays or numbers.

    Raises:
        TypeError: `f` isn't a function.
        ValueError: `f` returns more than one number.
    """
    _check_function("value_and_grad", f)

    @_named_like(f)
    def wrapped(*args, **kwargs):
        value, gradients = _value_and_grads("value_and_grad", f, args, (_position("value_and_grad", argnum, args),), kwargs)
        return value, gradients[0]

    return wrapped


def grad(f: Callable, argnum: int = 0) -> Callable:
    """A function that returns the gradient of `f` with respect to argument `argnum`; `grad(grad(f))` is the second derivative.

    Raises:
        TypeError: `f` isn't a function, or, when called, the argument isn't a float.
        ValueError: (when called) `f` returns more than one number, or there is no such argument.

    Example:
        >>> import pynn as pn
        >>> pn.grad(lambda x: x * x)(3.0)
        Tensor(6., shape=(), dtype=float32)
    """
    _check_function("grad", f)

    @_named_like(f)
    def wrapped(*args, **kwargs):
        return _value_and_grads("grad", f, args, (_position("grad", argnum, args),), kwargs)[1][0]

    return wrapped


def value_and_grads(f: Callable, *values) -> Callable:
    """A function that returns `(f(*args), (gradient with respect to each argument, ...))`.

    `f` must return one float number (a tensor of one element). `values` must be empty: pass them to the returned function.

    Raises:
        TypeError: `f` isn't a function, `values` are given, or, when called, an argument isn't a float.
        ValueError: (when called) `f` returns more than one number.

    Example:
        >>> import pynn as pn
        >>> cost, (dw, db) = pn.value_and_grads(lambda w, b: (w * 2 + b) ** 2)(1.0, 3.0)
        >>> float(cost), float(dw), float(db)
        (25.0, 20.0, 10.0)
    """
    _check_function("value_and_grads", f, values)

    @_named_like(f)
    def wrapped(*args, **kwargs):
        return _value_and_grads("value_and_grads", f, args, range(len(args)), kwargs)

    return wrapped


def grads(f: Callable, *values) -> Callable:
    """A function that returns the gradients of `f` with respect to all of its arguments, as a tuple.

    Arguments and errors are those of `value_and_grads`.
    """
    _check_function("grads", f, values)

    @_named_like(f)
    def wrapped(*args, **kwargs):
        return _value_and_grads("grads", f, args, range(len(args)), kwargs)[1]

    return wrapped


def variable_grads(f: Callable, variables: Sequence[Variable] | None = None):
    """Calls `f()` and returns `(value, [(variable, gradient), ...])` for the trainable variables that it read.

    Args:
        f: A function without arguments that returns one number.
        variables: Only these, in this order; a variable that `f` doesn't depend on gets zeros.

    Raises:
        TypeError: `f` isn't a function, or `variables` aren't variables.
        ValueError: `f` returns more than one number, or a variable isn't trainable.
    """
    value, pairs = found_gradients(f, variables)
    return value, [(v, _zeros_if_none(g, v)) for v, g in pairs]


def found_gradients(f: Callable, variables: Sequence[Variable] | None = None) -> tuple[Tensor, list[tuple[Variable, Tensor | None]]]:
    """`variable_grads`, with None for a variable that `f` doesn't depend on."""
    _check_function("variable_grads", f)
    if variables is not None:
        variables = _checked_variables(variables)
    tape = CallTape(watch_variables=True)
    value = _recorded(tape, lambda: check_target("variable_grads", f()))
    reads = list(tape.variables.values())
    sums: dict[int, Tensor | None] = {}
    with_grads = tape.gradient(value, [t for _, t in reads])
    _warn_of_lost("variable_grads", tape, [t for g, (_, t) in zip(with_grads, reads, strict=True) if g is None])
    for (v, _), gradient in zip(reads, with_grads, strict=True):
        before = sums.get(id(v))  # a variable that is assigned in between is read as several values
        sums[id(v)] = gradient if before is None else before if gradient is None else call("add", before, gradient)
    wanted = list({id(v): v for v, _ in reads}.values()) if variables is None else variables
    return value, [(v, sums.get(id(v))) for v in wanted]


def _checked_variables(variables) -> list[Variable]:
    if not isinstance(variables, Operators) and not isinstance(variables, Iterable):
        raise TypeError(
            f"[variable_grads] variables must be a list of pn.Variable. Received: {variables!r}. Leave it out for all that f reads."
        )
    found = [variables] if isinstance(variables, Operators) else list(variables)
    for v in found:
        if not isinstance(v, Variable):
            raise TypeError(
                f"[variable_grads] variables must be a list of pn.Variable. Received: {type(v).__name__}. For tensors, use pn.grads."
            )
        if not v.trainable:
            raise ValueError(f"[variable_grads] a variable to differentiate must be trainable. Received: {v.name!r}. Set trainable=True.")
    return found


def custom_grad(f: Callable) -> Callable:
    """Gives a function its own gradient.

    `f(*args)` returns `(value, gradient)`, where `gradient(dy)` returns one gradient per argument (or one, for a single argument).

    Raises:
        TypeError: `f` isn't a function; or, when called, it returns something else.
        ValueError: the gradients are too many or too few, or one has another shape than its argument.

    Example:
        >>> import pynn as pn
        >>> @pn.custom_grad
        ... def clipped(x):
        ...     return x * x, lambda dy: pn.clip(2 * x * dy, -1.0, 1.0)
        >>> float(pn.grad(clipped)(5.0))
        1.0
    """
    _check_function("custom_grad", f)

    @_named_like(f)
    def wrapped(*args):
        inputs = tuple(as_tensor(a) for a in args)
        tapes = active.tapes
        with paused():
            value, gradient = _checked_pair(f(*inputs))
        value = as_tensor(value)
        if any(value is t for t in inputs):
            value = stand_in(value)
        if tapes:
            record_custom(inputs, (value,), lambda dys, needs: _gradients(gradient(dys[0]), inputs, needs))
        return value

    return wrapped


def _checked_pair(result) -> tuple:
    several = isinstance(result, (tuple, list))
    if several and len(result) == 2 and callable(result[1]):
        return tuple(result)
    what = f"{type(result).__name__} of {', '.join(type(r).__name__ for r in result) or 'nothing'}" if several else type(result).__name__
    raise TypeError(
        "[custom_grad] the function must return (value, gradient), where gradient is a function of dy. "
        f"Received: {what}. Write: return y, lambda dy: ..."
    )


def _gradients(found, inputs: tuple, needs: tuple) -> tuple:
    found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    if len(found) != len(inputs):
        raise ValueError(
            "[custom_grad] the gradient function must return one gradient per argument. "
            f"Received: {len(found)} for {len(inputs)} arguments."
        )
    return checked_gradients("custom_grad", found, inputs, needs)
