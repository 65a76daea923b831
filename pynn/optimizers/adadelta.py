"""Adadelta."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.optimizers.base import Optimizer


class Adadelta(Optimizer):
    """`a' = rho a + (1 - rho) g^2`, `d = sqrt(b + epsilon) / sqrt(a' + epsilon) g`, `b' = rho b + (1 - rho) d^2`, `w' = w - lr d`.

    See `Optimizer` for the learning rate and the arguments that all optimizers take, such as clipnorm and weight_decay.

    Reference: Zeiler, 2012.
    """

    slot_names = ("accum_grad", "accum_var")

    def __init__(self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **common):
        super().__init__(learning_rate, **common)
        self.rho, self.epsilon = rho, epsilon

    def update_step(self, weight, slots, gradient, rates):
        return ops.adadelta_update(weight, *slots, gradient, rates["lr"], rho=self.rho, epsilon=self.epsilon)
