"""What metrics share: float64 sums, weighted by samples, updated with ops, so that a captured step updates them in place."""

from __future__ import annotations

import numpy as np

from pynn import ops
from pynn.engine.tensor import Tensor, as_tensor
from pynn.engine.variable import Variable
from pynn.serialization import Configurable, Register, plain, snake_case
from pynn.targets import values_of, weights_like

REGISTER = Register("metric")


def double(x) -> Tensor:
    """`x` as float64."""
    return ops.cast(as_tensor(x), "float64")


class Metric(Configurable):
    """Base class. Subclasses add sums with `add_variable` and define `update_state` and `result`, with ops.

    Args:
        name: Shown in logs.

    Attributes:
        direction: "up" if larger values are better, "down" if smaller ones are, None if the class doesn't say.
    """

    direction: str | None = None

    def __init__(self, name: str | None = None):
        self.name = name or snake_case(type(self).__name__)
        self._sums: list[Variable] = []

    def add_variable(self, name: str, shape=()) -> Variable:
        """A float64 sum that starts at zero."""
        variable = Variable(np.zeros(shape, np.float64), name=f"{self.name}/{name}", trainable=False)
        self._sums.append(variable)
        return variable

    @property
    def variables(self) -> list[Variable]:
        """The sums."""
        return list(self._sums)

    def build(self, target, output) -> None:
        """Adds the sums whose shape follows from the shapes of targets and outputs; called before a step is captured."""

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Adds a batch."""
        raise NotImplementedError(f"[{type(self).__name__}] a metric must define update_state.")

    def result(self) -> Tensor | Variable:
        """The value over everything added since the last reset, a float64 scalar."""
        raise NotImplementedError(f"[{type(self).__name__}] a metric must define result.")

    def reset_state(self) -> None:
        """Resets the sums to zero."""
        for variable in self._sums:
            variable.assign(np.zeros(variable.shape, np.float64))

    def __call__(self, *args, **kwargs) -> Tensor:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()


def _mean(total: Variable, count: Variable) -> Tensor:
    return total.value / ops.maximum(count.value, 1e-300)


class MeanState(Metric):
    """A sum and what it is divided by."""

    def __init__(self, name: str | None = None):
        super().__init__(name)
        self.total = self.add_variable("total")
        self.count = self.add_variable("count")

    def _add(self, values: Tensor, sample_weight) -> None:
        values = double(values)
        if sample_weight is None:
            self.count.assign(self.count + float(values.size))
        else:
            weights = weights_like(self.name, sample_weight, values)
            values = values * weights
            self.count.assign(self.count + ops.sum(weights))
        self.total.assign(self.total + ops.sum(values))

    def result(self):
        return _mean(self.total, self.count)


class Mean(MeanState):
    """The mean of the values given to `update_state(values, sample_weight=None)`.

    Example:
        >>> import pynn as pn
        >>> metric = pn.metrics.Mean()
        >>> metric.update_state([1.0, 3.0])
        >>> float(metric.result())
        2.0
    """

    def update_state(self, values, sample_weight=None):
        """Adds values of any shape."""
        self._add(as_tensor(values), sample_weight)


class Sum(MeanState):
    """The sum of the values given to `update_state(values, sample_weight=None)`."""

    def update_state(self, values, sample_weight=None):
        """Adds values of any shape."""
        self._add(as_tensor(values), sample_weight)

    def result(self):
        return self.total.value


class MeanMetricWrapper(MeanState):
    """The mean of `fn(y_true, y_pred, **arguments)`, a function that gives a value per example."""

    def __init__(self, fn, name: str | None = None, **arguments):
        super().__init__(name or getattr(fn, "__name__", "metric"))
        self.fn, self.arguments = fn, arguments

    def values(self, y_true, y_pred) -> Tensor:
        """One value per example, of shape (batch, ...)."""
        return values_of(self.name, self.fn, y_true, y_pred, self.arguments)

    def per_sample(self, y_true, y_pred) -> Tensor:
        """One value per example, of shape (batch,)."""
        values = self.values(y_true, y_pred)
        return ops.mean(values, axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = self.values(y_true, y_pred)
        self._add(values if values.ndim else ops.reshape(values, (1,)), sample_weight)

    def get_config(self):
        """The function's name and arguments."""
        return {"fn": plain(self.fn), "name": self.name, **self.arguments}
