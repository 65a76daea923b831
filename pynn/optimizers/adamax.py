"""Adamax: Adam with the largest gradient in place of the second moment."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.optimizers.base import Optimizer, check_betas


class Adamax(Optimizer):
    """`u' = max(beta_2 u, |g|)`, `w' = w - lr / (1 - beta_1^t) m' / (u' + epsilon)` (Kingma and Ba, 2015, section 7).

    See `Optimizer` for the learning rate and the arguments that all optimizers take, such as clipnorm and weight_decay.
    """

    slot_names = ("m", "u")

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, **common):
        super().__init__(learning_rate, **common)
        check_betas(self, beta_1=beta_1, beta_2=beta_2)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def rates(self):
        rates = super().rates()
        rates["alpha"] = ops.adam_rate(rates["lr"], self.iterations, beta_1=self.beta_1, beta_2=0.0)
        return rates

    def update_step(self, weight, slots, gradient, rates):
        words = dict(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)
        return ops.adamax_update(weight, *slots, gradient, rates["alpha"], **words)
