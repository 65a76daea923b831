"""Learning rates that depend on the step, written with ops, so that a captured step computes them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence

from pynn import ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.serialization import Configurable, Register

_REGISTER = Register("learning rate schedule")


class LearningRateSchedule(Configurable):
    """Base class; subclasses define `__call__(step) -> learning rate` with ops. `step` is the number of steps done before."""

    _register = _REGISTER
    name: str | None = None

    def __call__(self, step) -> Tensor:
        """The learning rate of a step."""
        raise NotImplementedError(f"[{type(self).__name__}] a schedule must define __call__(step).")


def _steps(step) -> Tensor:
    return ops.cast(as_tensor(step), "float32")


def _check_above_zero(schedule: LearningRateSchedule, **numbers: float) -> None:
    if not all(n > 0 for n in numbers.values()):
        received = ", ".join(f"{name}={n}" for name, n in numbers.items())
        raise ValueError(f"[{type(schedule).__name__}] {' and '.join(numbers)} must be above zero. Received: {received}.")


def _power(base: float, exponent: Tensor) -> Tensor:
    return ops.exp(exponent * math.log(base))


class ExponentialDecay(LearningRateSchedule):
    """`initial * decay_rate^(step / decay_steps)`; `staircase` rounds the exponent down."""

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase: bool = False, name: str | None = None):
        _check_above_zero(self, decay_steps=decay_steps, decay_rate=decay_rate)
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step):
        p = _steps(step) / float(self.decay_steps)
        return _power(self.decay_rate, ops.floor(p) if self.staircase else p) * self.initial_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[i]` up to and including the step `boundaries[i]`, the last value after all of them."""

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str | None = None):
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"[PiecewiseConstantDecay] needs one more value than boundaries. Received: {len(boundaries)} boundaries, "
                f"{len(values)} values."
            )
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step):
        step = _steps(step)
        rate = ops.zeros_like(step) + self.values[-1]
        for boundary, value in reversed(list(zip(self.boundaries, self.values, strict=False))):
            rate = ops.where(step <= boundary, value, rate)
        return rate


class PolynomialDecay(LearningRateSchedule):
    """From the initial rate to `end_learning_rate` in `decay_steps` steps along `(1 - step / decay_steps)^power`.

    `cycle`: begins again over twice, three times, ... as many steps instead of staying at the end.
    """

    def __init__(
        self, initial_learning_rate, decay_steps, end_learning_rate: float = 0.0001, power: float = 1.0, cycle: bool = False,
        name: str | None = None,
    ):
        _check_above_zero(self, decay_steps=decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power, self.cycle, self.name = end_learning_rate, power, cycle, name

    def __call__(self, step):
        step, length = _steps(step), float(self.decay_steps)
        if self.cycle:
            p = step / (ops.maximum(ops.ceil(step / length), 1.0) * length)
        else:
            p = ops.minimum(step, length) / length
        return ops.power(1.0 - p, self.power) * (self.initial_learning_rate - self.end_learning_rate) + self.end_learning_rate


class InverseTimeDecay(LearningRateSchedule):
    """`initial / (1 + decay_rate * step / decay_steps)`; `staircase` rounds step / decay_steps down."""

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase: bool = False, name: str | None = None):
        _check_above_zero(self, decay_steps=decay_steps)
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step):
        p = _steps(step) / float(self.decay_steps)
        return self.initial_learning_rate / ((ops.floor(p) if self.staircase else p) * self.decay_rate + 1.0)


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate down to `alpha` times that rate in `decay_steps` steps (Loshchilov and Hutter, 2016).

    With `warmup_target` the rate first goes linearly from the initial rate to it in `warmup_steps` steps, and decays from there.
    """

    def __init__(
        self, initial_learning_rate, decay_steps, alpha: float = 0.0, name: str | None = None, warmup_target=None, warmup_steps: int = 0
    ):
        _check_above_zero(self, decay_steps=decay_steps)
        self.initial_learning_rate, self.decay_steps, self.alpha, self.name = initial_learning_rate, decay_steps, alpha, name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def _decayed(self, step: Tensor, start: float) -> Tensor:
        p = ops.clip(step, 0.0, float(self.decay_steps)) / float(self.decay_steps)
        cosine = (ops.cos(p * math.pi) + 1.0) * 0.5
        return (cosine * (1 - self.alpha) + self.alpha) * start

    def __call__(self, step):
        step = _steps(step)
        if self.warmup_target is None:
            return self._decayed(step, self.initial_learning_rate)
        done = step / float(max(self.warmup_steps, 1))
        rising = done * (self.warmup_target - self.initial_learning_rate) + self.initial_learning_rate
        after = self._decayed(step - float(self.warmup_steps), self.warmup_target)
        return ops.where(step < float(self.warmup_steps), rising, after)


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, the first `first_decay_steps` long, each `t_mul` times as long and `m_mul` times as high as
    the one before; none goes below `alpha` times the initial rate (Loshchilov and Hutter, 2016).
    """

    def __init__(
        self, initial_learning_rate, first_decay_steps, t_mul: float = 2.0, m_mul: float = 1.0, alpha: float = 0.0, name: str | None = None
    ):
        if not first_decay_steps > 0 or not t_mul >= 1 or not m_mul > 0:
            raise ValueError(
                "[CosineDecayRestarts] first_decay_steps and m_mul must be above zero, t_mul at least 1. Received: "
                f"first_decay_steps={first_decay_steps}, t_mul={t_mul}, m_mul={m_mul}."
            )
        self.initial_learning_rate, self.first_decay_steps, self.alpha, self.name = initial_learning_rate, first_decay_steps, alpha, name
        self.t_mul, self.m_mul = t_mul, m_mul

    def __call__(self, step):
        done = _steps(step) / float(self.first_decay_steps)
        if self.t_mul == 1:
            restarts = ops.floor(done)
            done = done - restarts
        else:
            # A little more than the logarithm, which can come out below a whole number at the very restart.
            restarts = ops.floor(ops.log(done * (self.t_mul - 1.0) + 1.0) / math.log(self.t_mul) + 1e-6)
            length = _power(self.t_mul, restarts)
            done = ops.maximum((done - (length - 1.0) / (self.t_mul - 1.0)) / length, 0.0)
        height = _power(self.m_mul, restarts) * 0.5
        return (height * (ops.cos(done * math.pi) + 1.0) * (1 - self.alpha) + self.alpha) * self.initial_learning_rate


def takes(function: Callable, count: int) -> bool:
    """Whether a schedule that is a function can be called with so many arguments; True where nobody knows."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def get(identifier) -> LearningRateSchedule:
    """The schedule for {"class_name", "config"}, or the schedule itself.

    Raises:
        ValueError: the name is unknown.
    """
    return _REGISTER.get(identifier)
