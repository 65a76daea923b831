"""RMSprop."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.optimizers.base import Optimizer


class RMSprop(Optimizer):
    """`v' = rho v + (1 - rho) g^2`, `w' = w - lr g / sqrt(v' + epsilon)` (Tieleman and Hinton, 2012).

    With momentum the step is `u' = momentum u + lr g / sqrt(...)`; `centered` subtracts the squared mean of the gradient under the root.

    See `Optimizer` for the learning rate and the arguments that all optimizers take, such as clipnorm and weight_decay.
    """

    slot_names = ("rms", "momentum", "mg")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common,
    ):
        super().__init__(learning_rate, **common)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def slots_in_use(self):
        return self.slot_names if self.centered else self.slot_names[: 2 if self.momentum else 1]

    def update_step(self, weight, slots, gradient, rates):
        words = dict(rho=self.rho, epsilon=self.epsilon)
        if self.centered:
            return ops.rmsprop_centered_update(weight, *slots, gradient, rates["lr"], momentum=self.momentum, **words)
        if self.momentum:
            return ops.rmsprop_momentum_update(weight, *slots, gradient, rates["lr"], momentum=self.momentum, **words)
        return ops.rmsprop_update(weight, *slots, gradient, rates["lr"], **words)
