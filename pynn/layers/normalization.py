"""BatchNormalization and LayerNormalization."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.engine.tensor import stop_gradient
from pynn.layers import weight_settings
from pynn.layers.arguments import axis_of
from pynn.layers.base import InputSpec, SameShape
from pynn.layers.recurrent_base import as_bool


class BatchNormalization(SameShape):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, statistics of each index of `axis`.

    While training they are the batch's, and moving averages follow them (`moving = moving * momentum + batch * (1 - momentum)`);
    otherwise, and when the layer is frozen, they are the moving averages. Masked steps don't count in the batch's.

    Args:
        axis: The axis that keeps its own statistics.
        momentum: The weight of the old value in the moving averages.
        epsilon: Added to the variance.
        center, scale: Whether there is a beta, a gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: Initial values.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: For these weights.

    Reference: Ioffe and Szegedy, 2015.

    Shapes: any input; the output has its shape.

    Example:
        >>> import pynn as pn
        >>> normalize = pn.layers.BatchNormalization()
        >>> normalize(pn.tensor([[0.0], [2.0]]), training=True).numpy().round(2).tolist()
        [[-1.0], [1.0]]
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        **common,
    ):
        super().__init__(**common)
        axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]  # files have a list of one
        if len(axes) != 1:
            raise ValueError(f"[{self.label}] statistics are kept along one axis. Received: axis={axis}. Reshape the other axes into it.")
        self.axis = int(axes[0])
        self.momentum, self.epsilon, self.center, self.scale = float(momentum), float(epsilon), center, scale
        weight_settings.keep(self, locals())
        self.gamma = self.beta = None

    def build(self, input_shape):
        size = input_shape[axis_of(self, self.axis, input_shape)]
        if self.scale:
            self.gamma = weight_settings.add(self, "gamma", (size,))
        if self.center:
            self.beta = weight_settings.add(self, "beta", (size,))
        self.moving_mean = self.add_weight("moving_mean", (size,), initializer=self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight("moving_variance", (size,), initializer=self.moving_variance_initializer, trainable=False)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})

    def call(self, x, *, training=False, mask=None):
        words = dict(epsilon=self.epsilon, axis=self.axis)
        if not training or not self.trainable:
            return ops.batch_norm_inference(x, self.moving_mean, self.moving_variance, self.gamma, self.beta, **words)
        if mask is None:
            y, mean, variance = ops.batch_norm(x, self.gamma, self.beta, **words)
        else:
            mean, variance = self._moments(x, as_bool(mask))
            y = ops.batch_norm_inference(x, mean, variance, self.gamma, self.beta, **words)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + stop_gradient(batch) * (1 - self.momentum))
        return y

    def _moments(self, x, mask):
        """Mean and variance of what the mask lets through; zeros where it lets nothing through."""
        mask = ops.broadcast_to(ops.reshape(mask, (*mask.shape, *(1,) * (x.ndim - mask.ndim))), x.shape)
        zeros, axes = ops.zeros_like(x), tuple(a for a in range(x.ndim) if a != self.axis % x.ndim)
        count = ops.maximum(ops.sum(ops.cast(mask, x.dtype), axis=axes, keepdims=True), 1.0)
        mean = ops.sum(ops.where(mask, x, zeros), axis=axes, keepdims=True) / count
        variance = ops.sum(ops.square(ops.where(mask, x - mean, zeros)), axis=axes, keepdims=True) / count
        return (ops.reshape(v, (-1,)) for v in (mean, variance))

    @classmethod
    def samples(cls):
        return [
            dict(input_shape=(4, 3)),
            dict(momentum=0.5, scale=False, input_shape=(2, 3, 4, 2)),
            dict(axis=1, center=False, input_shape=(3, 2, 4)),
        ]


class LayerNormalization(SameShape):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, statistics of each example over `axis` (Ba et al., 2016).

    Args:
        axis: One axis, or the last few.
        epsilon: Added to the variance.
        center, scale: Whether there is a beta, a gamma, of the shape of the normalised axes.
        beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: For these weights.

    Shapes: any input; the output has its shape.

    Example:
        >>> import pynn as pn
        >>> pn.layers.LayerNormalization()(pn.tensor([[0.0, 2.0]])).numpy().round(2).tolist()
        [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        **common,
    ):
        super().__init__(**common)
        self.axis = [int(a) for a in axis] if isinstance(axis, (list, tuple)) else int(axis)
        self.epsilon, self.center, self.scale = float(epsilon), center, scale
        weight_settings.keep(self, locals())
        self.gamma = self.beta = None

    def build(self, input_shape):
        axes = self.axis if isinstance(self.axis, list) else [self.axis]
        shape = [input_shape[a] for a in sorted(axis_of(self, a, input_shape) for a in axes)]
        if self.scale:
            self.gamma = weight_settings.add(self, "gamma", shape)
        if self.center:
            self.beta = weight_settings.add(self, "beta", shape)

    def call(self, x):
        return ops.layer_norm(x, self.gamma, self.beta, epsilon=self.epsilon, axis=self.axis)

    @classmethod
    def samples(cls):
        return [dict(input_shape=(4, 3)), dict(axis=[1, 2], center=False, input_shape=(2, 3, 4)), dict(axis=1, input_shape=(2, 3, 4))]
