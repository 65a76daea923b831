"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.optimizers.base import Optimizer


class SGD(Optimizer):
    """`w - lr * g`; with momentum `v' = momentum * v - lr * g`, `w' = w + v'` (Nesterov: `w + momentum * v' - lr * g`).

    Args:
        learning_rate: See `Optimizer`, which also has the arguments that all optimizers take, such as clipnorm and weight_decay.
        momentum: The share of the previous step that is added to this one, in [0, 1].
        nesterov: Use Nesterov momentum, the formula in parentheses.

    Example:
        >>> import pynn as pn
        >>> x = pn.Variable(1.0)
        >>> loss = pn.optimizers.SGD(0.25).minimize(lambda: x * x)
        >>> float(x.value)
        0.5
    """

    slot_names = ("momentum",)

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **common):
        if not 0 <= momentum <= 1:
            raise ValueError(f"[SGD] momentum must be in [0, 1]. Received: momentum={momentum}.")
        super().__init__(learning_rate, **common)
        self.momentum, self.nesterov = float(momentum), bool(nesterov)

    def slots_in_use(self):
        return self.slot_names if self.momentum else ()

    def update_step(self, weight, slots, gradient, rates):
        if not self.momentum:
            return (ops.sgd_update(weight, gradient, rates["lr"]),)
        return ops.momentum_update(weight, *slots, gradient, rates["lr"], momentum=self.momentum, nesterov=self.nesterov)
