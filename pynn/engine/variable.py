"""Variables: named tensors that change. A read gives an immutable value; `assign` makes a new version."""

from __future__ import annotations

import operator
import weakref

import numpy as np

from pynn.engine.kernels import empty
from pynn.engine.op import Spec, active
from pynn.engine.operators import Operators
from pynn.engine.tensor import Tensor, as_tensor, tensor
from pynn.errors import CaptureError


class _Structure:
    """Counts what may change which variables there are and which of them are trained."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0


structure = _Structure()


def _noticed(slot: str, doc: str) -> property:
    """An attribute on which programs of a model depend."""

    def change(self, value) -> None:
        setattr(self, slot, value)
        structure.changes += 1

    return property(operator.attrgetter(slot), change, doc=doc)


class _Lease(np.ndarray):
    """A variable's memory as it was handed out. NumPy keeps it as the base of every array over that memory, whoever made it (a reshaped
    tensor, a slice, an array of the user's), as its type is not theirs: alive means that somebody still looks at the old value.
    """

    __slots__ = ()


def _leased(storage: np.ndarray) -> tuple[weakref.ref, np.ndarray]:
    """An array over the memory, and a reference that is dead when neither it nor any array made of it is left."""
    lease = storage.view(_Lease).view()  # the second view's base is the first: NumPy shortens only chains of one type
    return weakref.ref(lease), lease.view(np.ndarray)


class Variable(Operators):
    """A value that training changes: weights, optimizer slots, moving statistics, counters.

    Args:
        value: Anything that `pynn.tensor` takes.
        dtype: The dtype of its elements; kept for life, as the shape is.
        name: Shown in messages and used in files.
        trainable: Whether `variable_grads` and optimizers see it.

    Example:
        >>> import pynn as pn
        >>> w = pn.Variable([1.0, 2.0], name="w")
        >>> w.assign(w * 2)
        >>> w.numpy()
        array([2., 4.], dtype=float32)
    """

    __slots__ = (
        "_storage",
        "_handed_out",
        "_value",
        "_trainable",
        "name",
        "_constraint",
        "_regularizer",
        "path",
        "spec",
        "__weakref__",
    )

    def __init__(self, value, dtype=None, *, name: str = "variable", trainable: bool = True, constraint=None, regularizer=None):
        capture, active.capture = active.capture, None
        try:
            data = tensor(value, dtype).data
        finally:
            active.capture = capture
        if capture is not None:
            capture.saw_creation(name)
        self.spec = Spec(data.shape, data.dtype)
        self._storage = empty(self.spec)
        np.copyto(self._storage, data)
        self._handed_out: weakref.ref | None = None  # to the lease of the current memory
        self._value: weakref.ref | None = None  # to the tensor over it, so that all reads of a value are one tensor
        self.name = name
        self.path = name
        self.trainable = trainable
        self.constraint = constraint
        self.regularizer = regularizer

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
    def trainable(self) -> bool:
        """Whether gradients with respect to it are taken."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        structure.changes += 1

    constraint = _noticed("_constraint", "What brings the value back after an optimizer's step, or None.")
    regularizer = _noticed("_regularizer", "The penalty that training adds to the loss, or None.")

    @property
    def value(self) -> Tensor:
        """The current value, an immutable tensor."""
        return self.read_value()

    def read_value(self) -> Tensor:
        """The current value, an immutable tensor; tapes and captures record the read."""
        value = active.capture.read(self) if active.capture is not None else self.snapshot()
        for tape in active.tapes:
            tape.saw_variable(self, value)
        return value

    def snapshot(self) -> Tensor:
        """The current value; no tape or capture records the read."""
        value = self._value() if self._value is not None else None
        if value is not None:
            return value
        while True:
            storage = self._storage
            lease = self._handed_out() if self._handed_out is not None else None
            if lease is None:
                self._handed_out, array = _leased(storage)
            else:
                array = lease.view(np.ndarray)
            value = Tensor(array, self.spec)
            self._value = weakref.ref(value)
            if storage is self._storage:
                return value
            self._handed_out = self._value = None  # another thread has assigned in between

    def numpy(self) -> np.ndarray:
        """A copy of the current value."""
        self._known_now()
        return self._storage.copy()

    def item(self) -> float | int | bool:
        """The only element as a Python number."""
        return self.read_value().item()

    def _known_now(self) -> None:
        if active.capture is not None:
            raise CaptureError(
                f"[{self.name}] a captured step reads a variable when it runs, so its value can't be taken as an array while the step is "
                "captured. Use the variable itself in ops, or read it outside of the captured function."
            )

    def __pos__(self) -> Tensor:
        return self.read_value()

    # -- change ------------------------------------------------------------------------------------------------------

    def assign(self, value) -> None:
        """Sets a new value of the same shape; it is converted to the variable's dtype.

        Raises:
            ValueError: the shape differs.
            OverflowError: Python numbers beyond the range of an integer dtype.
        """
        new = as_tensor(value) if isinstance(value, Operators) else tensor(value, self.spec.dtype)  # a Python float has all its digits
        if new.spec != self.spec:
            new = self._converted(new)
        if active.capture is not None:
            active.capture.assign(self, new)
        elif new.is_abstract:
            raise CaptureError(
                f"[assign] the value for the variable {self.name!r} belongs to a capture that has ended. "
                "Return such values from the captured function instead of keeping them."
            )
        else:
            self._set(new.data)

    def _converted(self, value: Tensor) -> Tensor:
        if value.shape != self.shape:
            raise ValueError(
                f"[assign] the variable {self.name!r} keeps its shape. Received: value.shape={value.shape}, "
                f"variable.shape={self.shape}. Reshape the value, or make a new Variable."
            )
        return tensor(value, self.spec.dtype)

    def assign_add(self, value) -> None:
        """`assign(self + value)`."""
        self.assign(self + value)

    def assign_sub(self, value) -> None:
        """`assign(self - value)`."""
        self.assign(self - value)

    def _set(self, data: np.ndarray) -> None:
        self.writable_storage(copy=False)[...] = data

    def writable_storage(self, *, copy: bool = True) -> np.ndarray:
        """The memory a program may write in place. Values handed out earlier, and what was made of them, keep the old memory."""
        if self._handed_out is not None:
            if self._handed_out() is not None:
                old = self._storage
                self._storage = empty(self.spec)
                if copy:
                    np.copyto(self._storage, old)
            self._handed_out = self._value = None
        return self._storage

    def storage(self) -> np.ndarray:
        """The memory behind the current value, for programs that only read it."""
        return self._storage

    # -- interop -----------------------------------------------------------------------------------------------------

    def __array__(self, dtype=None, copy=None):
        self._known_now()
        return self._storage.astype(dtype or self.dtype, copy=True)

    def __dlpack__(self, **kwargs):
        return self.numpy().__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return (1, 0)

    def __float__(self) -> float:
        return float(self.read_value())

    def __int__(self) -> int:
        return int(self.read_value())

    def __bool__(self) -> bool:
        return bool(self.read_value())

    def __len__(self) -> int:
        return len(self.read_value())

    def __iter__(self):
        return iter(self.read_value())

    def __repr__(self) -> str:
        body = np.array2string(self._storage, separator=", ", prefix="Variable(", threshold=200)
        return f"Variable({body}, name={self.name!r}, shape={self.shape}, dtype={self.dtype})"

    def __deepcopy__(self, memo):
        new = Variable(self.numpy(), name=self.name, trainable=self.trainable)
        new.path, new.constraint, new.regularizer = self.path, self.constraint, self.regularizer
        memo[id(self)] = new
        return new

    def __reduce__(self):
        return _restore, (self.numpy(), self.name, self.trainable, self.path, self.constraint, self.regularizer)


def _restore(array: np.ndarray, name: str, trainable: bool, path: str, constraint=None, regularizer=None) -> Variable:
    variable = Variable(array, name=name, trainable=trainable, constraint=constraint, regularizer=regularizer)
    variable.path = path
    return variable
