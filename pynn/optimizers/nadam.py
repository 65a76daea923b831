"""Nadam: Adam with Nesterov momentum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pynn import ops
from pynn.engine.variable import Variable
from pynn.optimizers.base import Optimizer, check_betas


class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat, 2016).

    `mu_t = beta_1 (1 - 0.96^t / 2)`; the numerator is `mu_{t+1} m' / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) g / (1 - mu_1 ... mu_t)`.

    See `Optimizer` for the learning rate and the arguments that all optimizers take, such as clipnorm and weight_decay.
    """

    slot_names = ("m", "v")

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, **common):
        super().__init__(learning_rate, **common)
        check_betas(self, beta_1=beta_1, beta_2=beta_2)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self._product = Variable(np.ones((), np.float64), name="momentum_product", trainable=False)

    @property
    def variables(self):
        """Everything that a step changes besides the weights."""
        return [*super().variables, self._product]

    def _momentum(self, step):
        return (1.0 - ops.exp(step * math.log(0.96)) * 0.5) * self.beta_1

    def rates(self):
        shared = super().rates()  # before anything is assigned: a schedule of the user's may fail
        step = ops.cast(self.iterations, "float64") + 1.0  # 1 - 0.999^t loses digits in float32
        now, ahead = self._momentum(step), self._momentum(step + 1.0)
        product = self._product.value * now
        self._product.assign(product)
        return {
            **shared,
            "from_moment": ahead / (1.0 - product * ahead),
            "from_gradient": (1.0 - now) / (1.0 - product),
            "bias": 1.0 - ops.exp(step * (math.log(self.beta_2) if self.beta_2 else -math.inf)),
        }

    def update_step(self, weight, slots, gradient, rates):
        m, v = slots
        m = m + (gradient - m) * (1 - self.beta_1)
        v = v + (ops.square(gradient) - v) * (1 - self.beta_2)
        direction = m * rates["from_moment"] + gradient * rates["from_gradient"]
        return weight - direction * rates["lr"] / (ops.sqrt(v / rates["bias"]) + self.epsilon), m, v
