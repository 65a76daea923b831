"""Tensors: immutable, C-contiguous arrays with operators, or, while a step is captured, stand-ins with a shape and a dtype only."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from pynn.dtypes import as_dtype, bool_, promote_dtypes, weak_dtype
from pynn.engine.kernels import empty
from pynn.engine.op import MAX_RANK, Spec, active
from pynn.engine.operators import Operators, call
from pynn.errors import CaptureError


class Tensor(Operators):
    """An immutable n-dimensional array.

    Made by `pynn.tensor` and by every op. `numpy()` gives a read-only view of its memory.
    """

    __slots__ = ("_array", "spec", "logits", "logits_of", "mask", "source", "exact", "__weakref__")

    def __init__(self, array: np.ndarray | None, spec: Spec | None = None):
        try:
            if array is not None and array.flags.writeable:
                array.flags.writeable = False
            self.spec = Spec(array.shape, array.dtype) if spec is None else spec
        except AttributeError:
            raise TypeError(f"[Tensor] this class makes no tensors. Received: {type(array).__name__}. Write pn.tensor(values).") from None
        self._array = array
        self.logits = None  # what softmax or sigmoid made this of: lets their loss use its stable form
        self.logits_of = ""  # which of the two it was
        self.mask = None  # set by layers: which steps of a sequence count
        self.source = ""  # the op that made an abstract tensor, for messages
        self.exact = None  # of a Python number given to a captured function: the same in float64

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of the elements."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.spec.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.spec.size

    @property
    def nbytes(self) -> int:
        """Size of the elements in bytes."""
        return self.spec.nbytes

    @property
    def is_abstract(self) -> bool:
        """True for the stand-ins of a capture, which have no values yet."""
        return self._array is None

    @property
    def data(self) -> np.ndarray:
        """The underlying array.

        Raises:
            CaptureError: the tensor is abstract.
        """
        if self._array is None:
            self._no_value("read")
        return self._array

    def _taken(self) -> np.ndarray:
        """The underlying array, for Python: tapes are told, as no gradient flows through it."""
        for tape in active.tapes:
            tape.saw_taken(self)
        return self.data

    def numpy(self) -> np.ndarray:
        """A read-only view of the elements."""
        return self._taken()

    def item(self) -> float | int | bool:
        """The only element as a Python number."""
        if self.size != 1:
            raise ValueError(
                f"[item] only a tensor of one element is a number. Received: shape={self.shape}. Reduce it, x.mean(), or use x.tolist()."
            )
        return self._taken().item()

    def tolist(self):
        """The elements as nested lists."""
        return self._taken().tolist()

    # -- interop -----------------------------------------------------------------------------------------------------

    def __array__(self, dtype=None, copy=None):
        data = self._taken()
        if dtype is not None and np.dtype(dtype) != data.dtype:
            return data.astype(dtype)
        return data.copy() if copy else data

    def __dlpack__(self, **kwargs):
        # Consumers may write through DLPack, and NumPy refuses to export read-only memory: they get a copy.
        return self._taken().copy().__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return (1, 0)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("[len] a tensor without axes has no length.")
        return self.shape[0]

    def __iter__(self):
        if self._array is None:
            self._no_value("iterated over")
        if not self.shape:
            raise TypeError("[iter] a tensor without axes can't be iterated over.")
        return (self[i] for i in range(self.shape[0]))

    def __bool__(self) -> bool:
        if self._array is None:
            self._no_value("used as a condition")
        if self.size != 1:
            raise ValueError(
                f"[bool] the truth of a tensor of {self.size} elements is ambiguous. Received: shape={self.shape}. Use .any() or .all()."
            )
        return bool(self._array.item())

    def __float__(self) -> float:
        return float(self._number("float"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iub" or self.size != 1:
            raise TypeError(f"[index] an index must be an integer tensor of one element. Received: shape={self.shape}, dtype={self.dtype}.")
        return int(self._number("index"))

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else format(str(self), spec)

    def _number(self, kind: str):
        if self._array is None:
            self._no_value(f"turned into a Python {kind}")
        return self.item()

    def _no_value(self, how: str):
        raise CaptureError(
            f"[{self.source or 'capture'}] this tensor stands for a value that is known only when the captured step runs, so it "
            f"can't be {how} in Python. Received: shape={self.shape}, dtype={self.dtype}. Use ops such as pynn.where instead of Python "
            "conditions, return the tensor from the function, or run without capture (run_eagerly=True)."
        )

    def __repr__(self) -> str:
        if self._array is None:
            return f"Tensor(shape={self.shape}, dtype={self.dtype}, abstract)"
        body = np.array2string(self._array, separator=", ", prefix="Tensor(", threshold=200)
        return f"Tensor({body}, shape={self.shape}, dtype={self.dtype})"

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return tensor, (np.array(self.data),)


_WHOLE = frozenset((np.ndarray, list, tuple, float, int, bool))


def refuse_what_has_gaps(value, label: str, what: str) -> None:
    """NumPy takes a sparse matrix for one object, and the elements that a mask hides for numbers.

    Raises:
        TypeError: the value is sparse.
        ValueError: it is a masked array, and something is masked.
    """
    if type(value) in _WHOLE:  # quickly for the usual ones
        return
    kind = type(value).__name__
    if hasattr(value, "toarray"):
        raise TypeError(
            f"[{label}] {what} must be dense. Received: a {kind} of shape {getattr(value, 'shape', '?')}. Pass {what}.toarray(), or "
            "batches of its rows made dense one by one."
        )
    if isinstance(value, np.ndarray) and np.any(getattr(value, "mask", False)):
        raise ValueError(
            f"[{label}] {what} has elements without a value. Received: a {kind} with {np.sum(value.mask)} of {value.size} masked. "
            f"Pass {what}.filled(0), or leave these rows out."
        )


def _own(value, dtype) -> Tensor:
    """A tensor over a new aligned array with the elements of anything that NumPy can read."""
    refuse_what_has_gaps(value, "tensor", "value")
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError("[tensor] the rows have different lengths. Received: a ragged nested list. Pad the rows.") from None
    if array.dtype.kind not in "biuf":
        way = "list(values)" if array.dtype == object and not array.ndim else "numpy.asarray(values, dtype='float32')"
        raise TypeError(
            f"[tensor] tensors hold numbers. Received: {type(value).__name__} with dtype {array.dtype}. "
            f"Convert it first, for example with {way}."
        )
    if array.ndim > MAX_RANK:
        raise ValueError(f"[tensor] tensors have at most {MAX_RANK} axes. Received: shape={array.shape}. Merge some with reshape.")
    python_numbers = not hasattr(value, "dtype")
    python_floats = python_numbers and array.dtype == np.float64
    wanted = as_dtype(dtype) if dtype is not None else as_dtype(np.float32 if python_floats else array.dtype)
    if python_numbers and array.dtype != wanted and array.dtype.kind in "iuf" and wanted.kind in "iu" and array.size:
        check_range(array, wanted)
    spec = Spec(array.shape, wanted)
    target = empty(spec)
    np.copyto(target, array, casting="unsafe")
    return Tensor(target, spec)


def check_range(numbers: np.ndarray, dtype: np.dtype) -> None:
    """Python numbers don't wrap around; floats are cut towards zero first."""
    limits = np.iinfo(dtype)
    for value in (numbers.min().item(), numbers.max().item()):
        if not limits.min - 1 < value < limits.max + 1:  # false for NaN
            kind = "integer" if isinstance(value, int) else "float"
            raise OverflowError(
                f"[tensor] {dtype} ranges from {limits.min} to {limits.max}. Received: the Python {kind} {value}. "
                "Name a wider dtype, for example dtype='int64' or 'float32'."
            )


def tensor(value, dtype=None) -> Tensor:
    """A tensor with a copy of `value`: a number, nested lists, a NumPy array, or anything with `__array__` or DLPack.

    NumPy's dtype is kept, in lists too; Python floats become float32, Python integers int64. A list of tensors is stacked, and
    gradients flow through it.

    Raises:
        TypeError: the elements aren't numbers.
        OverflowError: Python numbers beyond the range of an integer `dtype`. (The elements of an array wrap around, as in NumPy.)

    Example:
        >>> import pynn as pn
        >>> pn.tensor([[1.0, 2.0], [3.0, 4.0]]).sum()
        Tensor(10., shape=(), dtype=float32)
    """
    if isinstance(value, Operators):
        found = as_tensor(value)
        return found if dtype is None else _to_dtype(found, as_dtype(dtype))
    if isinstance(value, (list, tuple)) and not holds_numbers(value):
        return _from_list(value, None if dtype is None else as_dtype(dtype))
    return _own(value, dtype)


_NUMBERS = frozenset((int, float, bool))


def holds_numbers(value: list | tuple) -> bool:
    """Whether all leaves of nested lists are Python numbers."""
    return _kinds(value) <= _NUMBERS


def _kinds(value) -> set[type]:
    """The types of all leaves: quick where those are many numbers."""
    kinds = set(map(type, value))
    if not kinds.isdisjoint((list, tuple)):
        kinds.difference_update((list, tuple))
        for v in value:
            if isinstance(v, (list, tuple)):
                kinds |= _kinds(v)
    return kinds


def _from_list(value, dtype: np.dtype | None) -> Tensor:
    found = list(leaves(value))
    if any(hasattr(v, "__array__") and not isinstance(getattr(v, "dtype", None), np.dtype) for v in found):
        value = _read(value)  # another library's, with dtypes of its own
        found = list(leaves(value))
    strong = [as_dtype(v.dtype) for v in found if hasattr(v, "dtype")]
    weak = [v for v in found if isinstance(v, (bool, int, float)) and not hasattr(v, "dtype")]
    if dtype is None and len(strong) + len(weak) == len(found):
        dtype = _meeting_dtype(strong, weak)
    if any(_followed(leaf) for leaf in found):
        return _stacked(value, dtype)
    return _own(_arrays(value), dtype)


def _read(value):
    if isinstance(value, (list, tuple)):
        return [_read(v) for v in value]
    return np.asarray(value) if hasattr(value, "__array__") and not isinstance(value, Operators) else value


def leaves(value: list | tuple) -> Iterator:
    """What lies in nested lists."""
    for v in value:
        if isinstance(v, (list, tuple)):
            yield from leaves(v)
        else:
            yield v


def _followed(value) -> bool:
    """True for a value that a tape or a capture follows."""
    if not isinstance(value, Operators):
        return False
    if not isinstance(value, Tensor):  # a variable
        return bool(active.tapes) or active.capture is not None
    return value.is_abstract or any(id(value) in tape.tracked for tape in active.tapes)


def _stacked(value, dtype: np.dtype) -> Tensor:
    return call("stack", [_stacked(v, dtype) if isinstance(v, (list, tuple)) else tensor(v, dtype) for v in value])


def _arrays(value):
    if isinstance(value, (list, tuple)):
        return [_arrays(v) for v in value]
    return as_tensor(value).data if isinstance(value, Operators) else value


def as_tensor(value) -> Tensor:
    """`value` itself if it is a tensor, a variable's current value, otherwise a new tensor."""
    if type(value) is Tensor:
        return value
    read = getattr(value, "read_value", None)
    return read() if read is not None else tensor(value)


def scalar(value, dtype: np.dtype) -> Tensor:
    """A tensor without axes; for a Python number the same one again, as the constants of a computation come back in every step."""
    kind = type(value)
    return _known_scalar(value, dtype) if (kind is float or kind is int) and value else _new_scalar(value, dtype)  # 0.0 == -0.0


@functools.lru_cache(maxsize=256, typed=True)
def _known_scalar(value: float | int, dtype: np.dtype) -> Tensor:
    return _new_scalar(value, dtype)


def _new_scalar(value, dtype: np.dtype) -> Tensor:
    array = empty(Spec((), dtype))
    try:
        if type(value) is int and value and dtype.kind in "iu":
            limits = np.iinfo(dtype)
            if not limits.min <= value <= limits.max:  # NumPy 1 would let it wrap around
                raise OverflowError
        array[()] = value
        return Tensor(array)
    except OverflowError:
        raise OverflowError(
            f"[{dtype}] the Python integer {value} takes the dtype of the tensor it is combined with, and is out of its range. "
            "Cast the tensor first, for example with x.astype('int64')."
        ) from None


def promoted_pair(x, y) -> tuple[Tensor, Tensor]:
    """`promote(x, y)`, at once for two tensors of one dtype, and for a tensor beside a number that takes its dtype."""
    if type(x) is Tensor:
        if type(y) is Tensor:
            if x.spec.dtype is y.spec.dtype:
                return x, y
        elif _gives_dtype(x, y):
            return x, scalar(y, x.spec.dtype)
    elif type(y) is Tensor and _gives_dtype(y, x):
        return scalar(x, y.spec.dtype), y
    return promote(x, y)


def _gives_dtype(tensor: Tensor, number) -> bool:
    """Whether this value beside the tensor is a Python number of its dtype."""
    kind, dtype = type(number), tensor.spec.dtype.kind
    return tensor.exact is None and (dtype == "f" if kind is float else kind is int and dtype != "b")


def promote(*values) -> tuple[Tensor, ...]:
    """Tensors of one common dtype: Python numbers take the dtype of the tensors beside them.

    Abstract weak tensors (numbers given to a captured function) behave like Python numbers.
    """
    tensors = [v if isinstance(v, (bool, int, float)) else as_tensor(v) for v in values]
    common = _shared_dtype(tensors)
    if common is None:
        strong = [t.dtype for t in tensors if isinstance(t, Tensor) and t.exact is None]
        weak = [0.0 if isinstance(t, Tensor) else t for t in tensors if not isinstance(t, Tensor) or t.exact is not None]
        common = _meeting_dtype(strong, weak)
    return tuple([_to_dtype(t, common) for t in tensors])


def _shared_dtype(values: list) -> np.dtype | None:
    """The one dtype of the tensors among these values, if the numbers beside them take it: the usual case, found quickly. Else None."""
    dtype, floats = None, False
    for v in values:
        kind = type(v)
        if kind is Tensor:
            if v.exact is not None or (dtype is not None and v.spec.dtype is not dtype):
                return None
            dtype = v.spec.dtype
        elif kind is float:
            floats = True
        elif kind is not int:
            return None
    return None if dtype is None or dtype.kind == "b" or (floats and dtype.kind != "f") else dtype


def _meeting_dtype(strong: list[np.dtype], weak: list[bool | int | float]) -> np.dtype:
    """Where dtypes and Python numbers meet."""
    common = promote_dtypes(*(strong or map(weak_dtype, weak)))
    for number in weak:
        beside = weak_dtype(number, common)
        if common == bool_ or (beside.kind == "f" and common.kind != "f"):
            common = beside
    return common


def _to_dtype(value, dtype: np.dtype) -> Tensor:
    if not isinstance(value, Tensor):
        return scalar(value, dtype)
    if value.spec.dtype == dtype:
        return value
    if value.exact is not None and value.exact.dtype == dtype:
        return value.exact

    return call("cast", value, dtype)


def stop_gradient(x) -> Tensor:
    """`x` as a constant: no gradient flows through the result."""
    x = as_tensor(x)
    if active.capture is not None:
        return active.capture.detach(x)
    return Tensor(x.data)
