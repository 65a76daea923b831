"""Arrays as training data: leaves with one common number of rows, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pynn.engine.operators import Operators
from pynn.engine.tensor import refuse_what_has_gaps

_KEPT = {np.dtype(d) for d in (np.bool_, np.uint8, np.int32, np.int64, np.float32)}


def to_array(value: Any, what: str, *, labels: bool = False, dtype: np.dtype | None = None) -> np.ndarray:
    """`value` as a C-contiguous array that programs can read; float64 becomes `dtype`, float32 by default, as do integers beyond int64.

    Integer labels become int32 where they fit.

    Raises:
        TypeError: the elements aren't numbers.
    """
    refuse_what_has_gaps(value, "data", what)
    if isinstance(value, Operators):
        value = np.asarray(value)
    elif hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        value = np.from_dlpack(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"[data] the rows of {what} have different lengths. Received: {_shapes(value)}. Pad them to one length.") from None
    if array.dtype == object and getattr(value, "ndim", 0) == 2 and hasattr(value, "to_numpy") and not _other_columns(value):
        array = _of_table(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"[data] {what} must hold numbers. Received: dtype {array.dtype}, shape {array.shape}{_other_columns(value)}. "
            "Convert numbers with np.asarray(values, dtype='float32'), and encode text first."
        )
    wanted = array.dtype
    if array.dtype.kind == "f" or not _fits(array, np.int64):
        wanted = np.dtype(dtype or np.float32)
    elif labels and array.dtype.kind in "iu":
        wanted = np.dtype(np.int32 if _fits(array, np.int32) else np.int64)
    elif array.dtype not in _KEPT:
        wanted = np.dtype(np.int64 if array.dtype.itemsize >= 4 else np.int32)
    return np.ascontiguousarray(array, dtype=wanted)


def _of_table(table: Any) -> np.ndarray:
    """The numbers of a DataFrame whose columns know missing values or are Arrow's: for NumPy these are objects."""
    whole = all(dtype.kind in "biu" for dtype in table.dtypes) and not table.isna().to_numpy().any()
    return table.to_numpy(dtype=np.int64) if whole else table.to_numpy(dtype=np.float64, na_value=np.nan)


def _other_columns(value: Any) -> str:
    """The columns of a table, a DataFrame say, that hold something else than numbers."""
    dtypes = getattr(value, "dtypes", None)
    if not hasattr(value, "columns") or not hasattr(dtypes, "items"):
        return ""
    others = [repr(name) for name, dtype in dtypes.items() if getattr(dtype, "kind", "O") not in "biuf"]
    return f", not numbers in {', '.join(others[:5])}{', ...' if len(others) > 5 else ''}" if others else ""


def _fits(array: np.ndarray, dtype: type) -> bool:
    """Whether integers keep their values as `dtype`."""
    if np.can_cast(array.dtype, dtype) or not array.size:
        return True
    limits = np.iinfo(dtype)
    return limits.min <= int(array.min()) and int(array.max()) <= limits.max


def _shapes(value: Any) -> str:
    found = [str(np.shape(v)) if hasattr(v, "shape") else f"length {len(v)}" if hasattr(v, "__len__") else "a number" for v in value]
    return f"a {type(value).__name__} of {', '.join(found[:4])}{', ...' if len(found) > 4 else ''}"


def by_name(values: dict, what: str, names: Sequence[str]) -> list:
    """The entries of `values` in the order of `names`.

    Raises:
        ValueError: a name is missing.
    """
    missing = [n for n in names if n not in values]
    if missing:
        raise ValueError(f"[data] {what} has no entry {missing[0]!r}. Received: {sorted(map(str, values))}. Expected: {list(names)}.")
    return [values[n] for n in names]


def named_leaves(value: Any, what: str, names: Sequence[str] | None, **kwargs) -> list[np.ndarray]:
    """The arrays of `value`: one array, a dict by name, or a list or tuple of them where several are or may be expected.

    Without names there may be: several arrays are as many leaves, lists and numbers one.
    """
    if isinstance(value, dict):
        if not names:
            raise TypeError(f"[data] {what} is a dict, but the model's inputs or outputs have no names. Pass a list.")
        entries = by_name(value, what, names)
        return [to_array(v, f"{what}[{n!r}]", **kwargs) for n, v in zip(names, entries, strict=True)]
    if isinstance(value, (list, tuple)) and _are_leaves(value, names):
        if names is not None and len(value) != len(names):
            raise ValueError(f"[data] {what} needs {len(names)} arrays ({', '.join(names)}). Received: {len(value)}.")
        return [to_array(v, f"{what}[{i}]", **kwargs) for i, v in enumerate(value)]
    return [to_array(value, what, **kwargs)]


def _are_leaves(value: Sequence, names: Sequence[str] | None) -> bool:
    if names is not None and len(names) > 1:
        return True
    if len(value) > 1:
        return names is None and all(len(getattr(v, "shape", ())) > 0 for v in value)
    return len(value) == 1 and len(getattr(value[0], "shape", ())) > 1


def without_gaps(weights: Any, x: Sequence[np.ndarray]) -> Any:
    """Weights by outputs, a list or a dict, with ones for the rows of x in the place of None."""
    entries = weights.values() if isinstance(weights, dict) else weights if isinstance(weights, (list, tuple)) else ()
    given = [w for w in entries if w is not None]
    if len(given) == len(entries) or not all(np.ndim(w) for w in given):
        return weights
    ones = np.ones(x[0].shape[:1], np.float32)
    if isinstance(weights, dict):
        return {name: ones if w is None else w for name, w in weights.items()}
    return [ones if w is None else w for w in weights]


class ArrayData:
    """x, y and sample weights in memory, all with the same number of rows."""

    def __init__(self, x: list[np.ndarray], y: list[np.ndarray] | None = None, weights: list[np.ndarray] | None = None):
        self.x = x
        self.y = y or []
        self.weights = weights or []
        leaves = self.leaves
        sizes = {a.shape[0] if a.ndim else None for a in leaves}
        if len(sizes) != 1 or None in sizes:
            parts = (("x", self.x), ("y", self.y), ("sample_weight", self.weights))
            shapes = ", ".join(f"{name}.shape={a.shape}" for name, arrays in parts for a in arrays)
            raise ValueError(
                f"[data] x, y and sample_weight need the same number of rows. Received: {shapes}. "
                "Their first axis counts the examples; a single example is a batch of one, x[None]."
            )
        self.rows: int = sizes.pop()

    @property
    def leaves(self) -> list[np.ndarray]:
        """x, then y, then weights."""
        return [*self.x, *self.y, *self.weights]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many leaves are x, y and weights."""
        return len(self.x), len(self.y), len(self.weights)

    def take(self, rows) -> ArrayData:
        """The data of these rows (a slice or indices)."""
        return ArrayData(*([np.ascontiguousarray(a[rows]) for a in part] for part in (self.x, self.y, self.weights)))

    def split(self, fraction: float) -> tuple[ArrayData, ArrayData]:
        """All but the last `fraction` of the rows, and those; before any shuffling.

        Raises:
            ValueError: the fraction isn't between 0 and 1, or leaves one side without rows.
        """
        if not isinstance(fraction, (int, float, np.number)) or not 0 < fraction < 1:
            raise ValueError(f"[fit] validation_split must be a fraction between 0 and 1. Received: validation_split={fraction!r}.")
        at = int(self.rows * (1 - fraction))
        if at in (0, self.rows):
            raise ValueError(f"[fit] validation_split={fraction} of {self.rows} rows leaves nothing to train or to validate on.")
        return self.take(slice(None, at)), self.take(slice(at, None))
