"""The entrance of a functional model."""

from __future__ import annotations

import numpy as np

from pynn.layers.base import SameShape
from pynn.layers.symbolic import Node, SymbolicTensor, make_outputs


class InputLayer(SameShape):
    """Stands for a model's input; `Input` makes one and returns its symbolic tensor.

    Args:
        shape: Shape without the batch axis, None where unknown.
        batch_size: Length of the batch axis; unknown by default.
        dtype: The input's dtype; float32 by default. "bool" is for masks.
        batch_shape: The shape with the batch axis, in place of the two.
        sparse, ragged, optional: Accepted for files; must not be true.
    """

    def __init__(
        self,
        shape=None,
        batch_size: int | None = None,
        dtype=None,
        *,
        batch_shape=None,
        sparse=False,
        ragged=False,
        optional=False,
        **common,
    ):
        if shape is not None:
            common["input_shape"] = shape
        if batch_shape is not None:
            common["batch_input_shape"] = batch_shape
        truths = isinstance(dtype, (str, type, np.dtype)) and np.dtype(bool) == dtype  # of masks, in which nothing is computed
        super().__init__(dtype=None if truths else dtype, batch_size=batch_size, **common)
        if truths:
            self.dtype = np.dtype(bool)
        if sparse or ragged:
            raise ValueError(f"[{self.label}] inputs must be dense tensors. Received: sparse={sparse}, ragged={ragged}.")
        if self.batch_input_shape is None:
            raise ValueError(f"[{self.label}] an input needs a shape. Received: shape=None. Pass shape=(features,), for example.")
        self.built = True
        self._build_shape = self.batch_input_shape
        make_outputs(Node(self, (), {}), self.batch_input_shape, self.dtype)

    @property
    def batch_shape(self) -> tuple:
        """The shape with the batch axis."""
        return self.batch_input_shape

    def call(self, x):
        return x

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype.name, "batch_shape": list(self.batch_input_shape)}

    @classmethod
    def samples(cls):
        return [dict(shape=(3,), input_shape=(2, 3))]


def Input(shape=None, batch_size: int | None = None, dtype=None, name: str | None = None, batch_shape=None) -> SymbolicTensor:
    """The start of a functional model: a symbolic tensor of this shape (without the batch axis).

    Args:
        shape: Shape without the batch axis, None where unknown.
        batch_size: Length of the batch axis; unknown by default.
        dtype: The input's dtype; float32 by default.
        name: The input's name; an automatic one by default.
        batch_shape: The shape with the batch axis, in place of `shape` and `batch_size`.

    Raises:
        ValueError: the shape is missing, or isn't one of lengths and None.

    Example:
        >>> import pynn as pn
        >>> x = pn.layers.Input(shape=(784,))
        >>> pn.layers.Dense(10)(x).shape
        (None, 10)
    """
    return InputLayer(shape, batch_size, dtype, name=name, batch_shape=batch_shape).output
