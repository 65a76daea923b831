"""Adagrad."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.optimizers.base import Optimizer


class Adagrad(Optimizer):
    """`a' = a + g^2`, `w' = w - lr g / sqrt(a' + epsilon)` (Duchi et al., 2011).

    `a` starts at `initial_accumulator_value`. See `Optimizer` for the learning rate and the arguments that all optimizers take, such as
    clipnorm and weight_decay.
    """

    slot_names = ("accumulator",)

    def __init__(self, learning_rate: Any = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7, **common):
        if initial_accumulator_value < 0:
            raise ValueError(f"[Adagrad] initial_accumulator_value must be zero or more. Received: {initial_accumulator_value}.")
        super().__init__(learning_rate, **common)
        self.initial_accumulator_value = self.slot_start = initial_accumulator_value
        self.epsilon = epsilon

    def update_step(self, weight, slots, gradient, rates):
        return ops.adagrad_update(weight, *slots, gradient, rates["lr"], epsilon=self.epsilon)
