"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from pynn import ops
from pynn.optimizers.base import Optimizer, check_betas


class Adam(Optimizer):
    """`m' = m + (g - m)(1 - beta_1)`, `v' = v + (g^2 - v)(1 - beta_2)`, `w' = w - alpha m' / (sqrt(v') + epsilon)`.

    `alpha = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)` in step t = 1, 2, ... `amsgrad` puts the largest v so far under the root.

    See `Optimizer` for the learning rate and the arguments that all optimizers take, such as clipnorm and weight_decay.

    Reference: Kingma and Ba, 2015 (epsilon as in their remark before section 2.1); Reddi et al., 2018.

    Example:
        >>> import pynn as pn
        >>> x = pn.Variable(1.0)
        >>> loss = pn.optimizers.Adam(0.25).minimize(lambda: x * x)
        >>> round(float(x.value), 4)
        0.75
    """

    slot_names = ("m", "v", "v_max")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common,
    ):
        super().__init__(learning_rate, **common)
        check_betas(self, beta_1=beta_1, beta_2=beta_2)
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad

    def slots_in_use(self):
        return self.slot_names if self.amsgrad else self.slot_names[:2]

    def rates(self):
        rates = super().rates()
        rates["alpha"] = ops.adam_rate(rates["lr"], self.iterations, beta_1=self.beta_1, beta_2=self.beta_2)
        return rates

    def update_step(self, weight, slots, gradient, rates):
        update = ops.amsgrad_update if self.amsgrad else ops.adam_update
        words = dict(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)
        return update(weight, *slots, gradient, rates["alpha"], **words)


class AdamW(Adam):
    """Adam with `w - weight_decay * lr * w` before each update (Loshchilov and Hutter, 2019).

    Arguments as in `Adam`; see `Optimizer` for those that all optimizers take.
    """

    def __init__(self, learning_rate: Any = 0.001, weight_decay: float = 0.004, *args, **common):
        super().__init__(learning_rate, *args, weight_decay=weight_decay, **common)

    def decayed(self, weight, rates):
        return super().decayed(weight, rates) if self.amsgrad else weight  # else the update itself does it

    def update_step(self, weight, slots, gradient, rates):
        if self.amsgrad or not self.weight_decay:
            return super().update_step(weight, slots, gradient, rates)
        return ops.adamw_update(
            weight,
            *slots,
            gradient,
            rates["alpha"],
            rates["lr"],
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            weight_decay=self.weight_decay,
        )
