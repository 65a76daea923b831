"""The operators and methods that tensors and variables share. Each is a public function, or calls one by its name, found in `FUNCTIONS`.

`pynn.ops` fills the table and the class when it is imported, so the engine needs nothing of the ops above it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, NoneType
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

if TYPE_CHECKING:
    from pynn.engine.tensor import Tensor

FUNCTIONS: dict[str, Any] = {}

# Methods that are the public function of the same name.
METHODS = (
    "abs add all any argmax argmin astype cast ceil clip concat cos cumprod cumsum divide dot equal erf exp expand_dims expm1 flatten flip "
    "floor greater greater_equal less less_equal log log1p logsumexp matmul max maximum mean min minimum mod multiply "
    "negative norm not_equal power prod reciprocal relu repeat reshape round rsqrt sigmoid sign sin softmax softplus sqrt square "
    "squeeze std subtract sum take tan tanh tile transpose var where"
).split()

# What NumPy's operators call for an array or a number of its own on the left.
_UFUNCS = {
    np.add: "add", np.subtract: "subtract", np.multiply: "multiply", np.true_divide: "divide", np.floor_divide: "floor_divide",
    np.remainder: "mod", np.power: "power", np.matmul: "matmul", np.bitwise_and: "logical_and", np.bitwise_or: "logical_or",
    np.bitwise_xor: "logical_xor", np.less: "less", np.less_equal: "less_equal", np.greater: "greater",
    np.greater_equal: "greater_equal", np.equal: "equal", np.not_equal: "not_equal",
}  # fmt: skip
_SIGNS = {"logical_and": "&", "logical_or": "|", "logical_xor": "^", "logical_not": "~"}


def call(name: str, *args, **kwargs):
    """Calls the public function `name`."""
    return FUNCTIONS[name](*args, **kwargs)


_FOREIGN = (NoneType, str, bytes, dict, set)


def _binary(name: str):
    def forward(self, other) -> Any:
        return NotImplemented if isinstance(other, _FOREIGN) else FUNCTIONS[name](self, other)

    def reflected(self, other) -> Any:
        return NotImplemented if isinstance(other, _FOREIGN) else FUNCTIONS[name](other, self)

    return forward, reflected


def _logic(name: str):
    forward, reflected = _binary(name)

    def checked_forward(self, other):
        _check_bools(name, self, other)
        return forward(self, other)

    def checked_reflected(self, other):
        _check_bools(name, self, other)
        return reflected(self, other)

    return checked_forward, checked_reflected


def _check_bools(name: str, *operands) -> None:
    """The signs are bitwise operators elsewhere: of numbers they would give something else here."""
    for value in operands:
        dtype = value.dtype if hasattr(value, "dtype") else np.bool_ if isinstance(value, _FOREIGN) else np.asarray(value).dtype
        if dtype != np.bool_:
            raise TypeError(
                f"[{_SIGNS[name]}] is a logical operator and takes bools only. Received: dtype={dtype}. Use "
                f"pn.{name}({', '.join('xy'[: len(operands)])}), which takes anything but 0 as true, or bits of an array, x.numpy()."
            )


def _refusal(ufunc, in_place: bool) -> str:
    """Why a NumPy function doesn't take tensors, and what does."""
    name, count = ufunc.__name__, ufunc.nin
    ours = _UFUNCS.get(ufunc, name)
    if in_place and ours in FUNCTIONS:
        operands = ", ".join(["array", "x", "y"][:count])
        return (
            f"[np.{name}] a NumPy array can't be changed in place by a tensor: gradients would be lost. "
            f"Use array = pn.{ours}({operands}), or without gradients x.numpy() in place of x."
        )
    operands, arrays = ", ".join("xyz"[:count]), ", ".join(f"{x}.numpy()" for x in "xyz"[:count])
    instead = f"pn.{ours}({operands}), or for an array without gradients " if ours in FUNCTIONS else "pynn's functions, or "
    return f"[np.{name}] NumPy's functions don't take tensors: gradients would be lost. Use {instead}np.{name}({arrays})."


class _Elsewhere:
    """In the place of a name that tensors have in other packages: who asks for it is told what to write. `__getattr__` would say it of
    any name, and make all attributes slow."""

    __slots__ = ("name", "hint")

    def __init__(self, name: str, hint: str):
        self.name, self.hint = name, hint

    def __get__(self, tensor, owner: type) -> NoReturn:
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}. {self.hint}", name=self.name)


class Operators:
    """Mixin: NumPy's operators and methods over the public functions."""

    __slots__ = ()
    __array_priority__ = 1000

    if TYPE_CHECKING:  # what `fill_methods` puts here  # fmt: skip
        abs = add = all = any = argmax = argmin = astype = cast = ceil = clip = concat = cos = cumprod = cumsum = divide = dot = \
        equal = erf = exp = expand_dims = expm1 = flatten = flip = floor = greater = greater_equal = less = less_equal = log = \
        log1p = logsumexp = matmul = max = maximum = mean = min = minimum = mod = multiply = negative = norm = not_equal = power = \
        prod = reciprocal = relu = repeat = reshape = round = rsqrt = sigmoid = sign = sin = softmax = softplus = sqrt = square = \
        squeeze = std = subtract = sum = take = tan = tanh = tile = transpose = var = where = cast("Callable[..., Tensor]", None)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not isinstance(vars(Operators).get(name), _Elsewhere)]

    def __array_ufunc__(self, ufunc, method: str, *inputs, **words):
        if ufunc in _UFUNCS and method == "__call__" and not words:
            name = _UFUNCS[ufunc]
            if name in _SIGNS:
                _check_bools(name, *inputs)
            return FUNCTIONS[name](*inputs)
        raise TypeError(_refusal(ufunc, in_place=words.get("out") is not None))

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __floordiv__, __rfloordiv__ = _binary("floor_divide")
    __mod__, __rmod__ = _binary("mod")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")
    __and__, __rand__ = _logic("logical_and")
    __or__, __ror__ = _logic("logical_or")
    __xor__, __rxor__ = _logic("logical_xor")
    __lt__, _ = _binary("less")
    __le__, _ = _binary("less_equal")
    __gt__, _ = _binary("greater")
    __ge__, _ = _binary("greater_equal")
    __eq__, _ = _binary("equal")  # type: ignore[assignment]
    __ne__, _ = _binary("not_equal")  # type: ignore[assignment]
    del _

    def __neg__(self):
        return call("negative", self)

    def __abs__(self):
        return call("abs", self)

    def __invert__(self):
        _check_bools("logical_not", self)
        return call("logical_not", self)

    def __getitem__(self, key):
        return call("getitem", self, key)

    def __setitem__(self, key, value):
        raise TypeError(
            f"[setitem] elements can't be assigned to. Received: a {type(self).__name__} of shape {self.shape}. Tensors are immutable: "
            "make a new one, pn.where(mask, new, x). For a variable, v.assign(pn.where(mask, new, v))."
        )

    @property
    def T(self):
        """The tensor with its axes reversed."""
        return call("transpose", self)

    def __pos__(self):
        return self

    def __hash__(self) -> int:
        return id(self)


_PLAIN = ("__array_ufunc__", "__dir__", "__hash__", "__pos__", "__setitem__")  # of them no public functions are made


def fill_methods(public: Callable, elsewhere: dict[str, str]) -> None:
    """Adds the methods of the table, and replaces every operator's function f by `public(f)`.

    `elsewhere` says of names in other packages what to write here.
    """
    for name, function in list(vars(Operators).items()):
        if isinstance(function, FunctionType) and name not in _PLAIN:
            function.__name__ = name
            setattr(Operators, name, public(function))
    for name in METHODS:
        setattr(Operators, name, FUNCTIONS[name])
    for name, hint in elsewhere.items():
        if not hasattr(Operators, name):
            setattr(Operators, name, _Elsewhere(name, hint))
