"""Embedding: a learned vector for each id."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.layers import weight_settings
from pynn.layers.arguments import positive
from pynn.layers.base import Layer


class Embedding(Layer):
    """Rows of a learned table by id.

    Args:
        input_dim: Number of ids: 0 to input_dim - 1.
        output_dim: Length of the vectors.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: For the table.
        mask_zero: Whether id 0 is padding, which following layers mask.
        input_length: Number of ids per example, if it is known.

    Shapes: ids (batch, ...) -> (batch, ..., output_dim); weights embeddings (input_dim, output_dim).

    Raises:
        ValueError: at call, an id is outside the table.

    Example:
        >>> import pynn as pn
        >>> pn.layers.Embedding(1000, 16)(pn.tensor([[3, 7, 0]])).shape
        (1, 3, 16)
    """

    casts_inputs = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer=None,
        embeddings_constraint=None,
        mask_zero: bool = False,
        input_length: int | None = None,
        **common,
    ):
        if input_length is not None and "input_shape" not in common and "batch_input_shape" not in common:
            common["input_shape"] = tuple(input_length) if isinstance(input_length, (tuple, list)) else (input_length,)
        super().__init__(**common)
        self.input_dim = positive(self, "input_dim", input_dim)
        self.output_dim = positive(self, "output_dim", output_dim)
        self.mask_zero, self.input_length = mask_zero, input_length
        self.makes_mask = mask_zero
        weight_settings.keep(self, locals())

    def build(self, input_shape):
        self.embeddings = weight_settings.add(self, "embeddings", (self.input_dim, self.output_dim))

    def call(self, x):
        ids = x if x.dtype.kind in "iu" else ops.cast(x, "int32")
        return ops.embedding(self.embeddings, ids)

    def compute_mask(self, x, mask):
        return ops.not_equal(ops.cast(x, "float32"), 0.0) if self.mask_zero else None

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    @classmethod
    def samples(cls):
        return [
            dict(input_dim=7, output_dim=3, input_shape=(2, 4), integers=7),
            dict(input_dim=5, output_dim=2, mask_zero=True, input_shape=(3,), integers=5),
        ]
