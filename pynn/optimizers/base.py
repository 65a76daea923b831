"""What all optimizers share: the learning rate, clipping, decay, slots and the order of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pynn import ops
from pynn.elsewhere import OPTIMIZER, no_member, unknown_argument
from pynn.engine.op import active
from pynn.engine.tensor import Tensor, as_tensor
from pynn.engine.variable import Variable, structure
from pynn.errors import CaptureError
from pynn.gradients import found_gradients
from pynn.optimizers.captured_steps import CapturedSteps, knows_its_step
from pynn.optimizers.schedules import LearningRateSchedule, takes
from pynn.optimizers.schedules import get as get_schedule
from pynn.serialization import Configurable, constructor_arguments, described_by_attributes, plain, snake_case


class Optimizer(Configurable):
    """Base class. Subclasses name their slots and define `update_step`.

    Args:
        learning_rate: A number, a schedule, or a function of the step or of nothing. `optimizer.learning_rate = 0.1` sets a number at any
            time; what follows the steps can only be replaced by another schedule or function.
        weight_decay: `weight_decay * learning_rate * w` is subtracted from each weight w before its update.
        clipnorm: Upper bound on the norm of each gradient; longer ones are scaled down.
        clipvalue: Upper bound on the absolute value of each element of a gradient.
        global_clipnorm: Upper bound on the norm of all gradients together.
        use_ema: Keep a moving average of each weight, `ema_momentum * average + (1 - ema_momentum) * weight`, and put it in the
            weight's place every `ema_overwrite_frequency` steps, and at the end of `fit`.
        ema_momentum, ema_overwrite_frequency: See `use_ema`.
        name: Shown in logs.

    Example:
        >>> import pynn as pn
        >>> w = pn.Variable([1.0, 2.0])
        >>> pn.optimizers.SGD(0.1).minimize(lambda: (w * w).sum(), [w])
        Tensor(5., shape=(), dtype=float32)
    """

    slot_names: tuple[str, ...] = ()  # in the order in which files keep them
    slot_start = 0.0

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema: bool = False,
        ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None, name=None, **unknown,
    ):  # fmt: skip
        label = type(self).__name__
        if unknown:
            raise unknown_argument(label, next(iter(unknown)), constructor_arguments(type(self)))
        if not 0 <= ema_momentum <= 1 or (ema_overwrite_frequency is not None and ema_overwrite_frequency < 1):
            raise ValueError(
                f"[{label}] ema_momentum must be in [0, 1], and ema_overwrite_frequency a number of steps or None. "
                f"Received: ema_momentum={ema_momentum}, ema_overwrite_frequency={ema_overwrite_frequency}."
            )
        self.use_ema, self.ema_momentum, self.ema_overwrite_frequency = bool(use_ema), ema_momentum, ema_overwrite_frequency
        self._averages: list[Variable] = []
        if sum(c is not None for c in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                f"[{label}] only one of clipnorm, clipvalue and global_clipnorm can be set. "
                f"Received: clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}."
            )
        for key, value in dict(clipnorm=clipnorm, clipvalue=clipvalue, global_clipnorm=global_clipnorm).items():
            if value is not None and not value > 0:
                raise ValueError(f"[{label}] {key} must be above zero. Received: {key}={value}.")
        self.name = name or snake_case(label)
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self._steps = CapturedSteps(self._step)
        self.iterations = Variable(np.zeros((), np.int64), name="iterations", trainable=False)
        self._rate = Variable(np.zeros((), np.float32), name="learning_rate", trainable=False)
        self._schedule: Callable | None = None
        self._takes_step = True
        self._index: dict[int, int] = {}  # id of a variable -> its place
        self._trained: list[Variable] = []
        self._slots: dict[str, list[Variable]] = {}
        self.learning_rate = learning_rate

    if not TYPE_CHECKING:

        def __getattr__(self, name: str):
            raise no_member(self, name, OPTIMIZER)

    # -- the learning rate ---------------------------------------------------------------------------------------------

    @property
    def learning_rate(self):
        """The learning rate: a Variable, or the value that the schedule gives for the next step."""
        return self._scheduled() if self._schedule is not None else self._rate

    @learning_rate.setter
    def learning_rate(self, value) -> None:
        if isinstance(value, dict):
            value = get_schedule(value)
        if callable(value):
            self._schedule, self._takes_step = value, takes(value, 1)
            return
        number = isinstance(value, (int, float)) or (hasattr(value, "shape") and hasattr(value, "__float__"))
        rate = np.asarray(value if number else np.nan, np.float32)
        if rate.shape != () or not np.isfinite(rate) or rate < 0:
            several = isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and rate.shape == ()
            raise ValueError(
                f"[{type(self).__name__}] the learning rate must be a number (zero or more), a schedule or a function of the step. "
                f"Received: learning_rate={value!r}.{_NO_WEIGHTS if several else ''}"
            )
        if self._schedule is not None:
            raise TypeError(
                f"[{type(self).__name__}] the learning rate can't be set: it follows a schedule or a function of the step. "
                f"Received: learning_rate={value!r}. Make the optimizer with a number, or set another schedule."
            )
        self._rate.assign(rate)

    @property
    def schedule(self) -> Callable | None:
        """The schedule or Python function that gives the learning rate, None for a plain number."""
        return self._schedule

    @property
    def has_python_schedule(self) -> bool:
        """True if the learning rate is a Python function of the step, which has to be called before each step."""
        return self._schedule is not None and not isinstance(self._schedule, LearningRateSchedule)

    def refresh_learning_rate(self) -> None:
        """Sets `learning_rate` to the Python function's value for the next step; captured steps read it."""
        if self.has_python_schedule:
            rate = self._schedule(*[int(self.iterations.item())][: self._takes_step])  # type: ignore[misc]
            try:
                self._rate.assign(np.float32(rate))
            except (TypeError, ValueError):
                raise TypeError(
                    f"[{type(self).__name__}] a function must return the learning rate, a number. Received: {rate!r} "
                    f"from {self._schedule!r}."
                ) from None

    def _scheduled(self) -> Tensor:
        if isinstance(self._schedule, LearningRateSchedule):
            return self._schedule(self.iterations.value)
        if active.capture is None:
            self.refresh_learning_rate()
        elif self.has_python_schedule and not active.capture.rates_are_set:
            raise CaptureError(
                f"[{type(self).__name__}] a captured function runs without Python, and its learning rate is a Python function: "
                f"{self._schedule!r}. Use one of pn.optimizers.schedules, or call the optimizer outside of pn.function."
            )
        return self._rate.value

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Whether the slots have been created."""
        return bool(self._trained)

    def build(self, variables: Iterable[Variable]) -> None:
        """Creates the slots for these variables, including those that new settings need; existing ones are kept.

        A build that was interrupted, for lack of memory for example, is completed by the next one.
        """
        for variable in variables:
            if id(variable) not in self._index:
                self._trained.append(variable)
                self._index[id(variable)] = len(self._trained) - 1
        for name in self.slots_in_use():
            slots = self._slots.setdefault(name, [])
            for variable in self._trained[len(slots) :]:
                slots.append(self._slot(variable, name, np.full(variable.shape, self.slot_start, variable.dtype)))
        if self.use_ema:
            begun = bool(self.iterations.storage())  # the first step makes the average what the weight is; later it has to be that before
            for variable in self._trained[len(self._averages) :]:
                start = variable.storage() if begun else np.zeros(variable.shape, variable.dtype)
                self._averages.append(self._slot(variable, "average", start))

    def _slot(self, variable: Variable, name: str, start: np.ndarray) -> Variable:
        slot = Variable(start, name=name, trainable=False)
        slot.path = f"{self.name}/{variable.path}/{name}"
        return slot

    def slots_in_use(self) -> tuple[str, ...]:
        """Names of the slots under these settings."""
        return self.slot_names

    @property
    def slots(self) -> list[Variable]:
        """The slots of all variables: all of the first kind, then all of the second, as TensorFlow.js orders them."""
        return [v for name in self.slots_in_use() for v in self._slots.get(name, ())]

    @property
    def variables(self) -> list[Variable]:
        """Everything that a step changes besides the weights: iterations, learning rate, slots, averages."""
        return [self.iterations, self._rate, *self.slots, *self._averages]

    def __setattr__(self, name: str, value) -> None:
        object.__setattr__(self, name, value)
        if name != "learning_rate" and "_steps" in self.__dict__:  # a number there goes into a variable, which steps read
            self._steps.forget_all()
            structure.changes += 1
            if self.__dict__.get("_trained"):  # files tell of as many slots as the settings ask for
                self.build(())

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k not in ("_index", "_steps")}

    def __setstate__(self, state) -> None:
        self.__dict__.update(state)
        self._steps = CapturedSteps(self._step)
        self._index = {id(v): i for i, v in enumerate(self._trained)}

    # -- steps ---------------------------------------------------------------------------------------------------------

    def apply(self, grads: Sequence, variables: Sequence[Variable] | None = None) -> None:
        """One step: clip, decay, update, constrain. A gradient of None leaves its variable alone.

        Args:
            grads: One gradient per variable.
            variables: What they belong to; by default those of `build`, in order.

        Raises:
            ValueError: there is another number of gradients, none, or one with another shape than its variable, or a variable is there
                twice; nothing has changed.
        """
        try:
            grads, variables = list(grads), list(self._trained if variables is None else variables)
        except TypeError:
            if isinstance(grads, Iterable) and isinstance(variables, Iterable):
                raise
            raise TypeError(
                f"[{type(self).__name__}] apply takes a list of gradients and a list of variables. Received: {_shown(grads)} and "
                f"{_shown(variables)}. Write apply([dw, db], [w, b])."
            ) from None
        if len(grads) != len(variables):
            raise ValueError(
                f"[{type(self).__name__}] expected one gradient per variable. Received: {len(grads)} gradients, {len(variables)} variables."
            )
        wrong = [v for v in variables if type(v) is not Variable]
        if wrong:
            raise TypeError(f"[{type(self).__name__}] steps update variables. Received: {_shown(wrong[0])}. Pass a list of pn.Variable.")
        if any([type(g) is Variable for g in grads]):
            raise TypeError(
                f"[{type(self).__name__}] a variable was given in place of a gradient. Received: {_shown(variables[0])} to update with "
                f"{_shown(next(g for g in grads if type(g) is Variable))}. Call apply(gradients, variables); for gradients that were "
                "accumulated in a variable, pass its value, v.value."
            )
        (self._steps if knows_its_step(self, variables) else self._step)(grads, variables)

    def _step(self, grads: list, variables: list[Variable]) -> None:
        pairs = [(as_tensor(g), v) for g, v in zip(grads, variables, strict=True) if g is not None]
        if not pairs:
            raise ValueError(
                f"[{type(self).__name__}] none of the {len(variables)} variables has a gradient. "
                "Compute the loss from the variables with pynn ops, inside the differentiated function."
            )
        self._check_pairs(pairs)
        self.build(v for _, v in pairs)
        rates = self.rates()
        for gradient, variable in zip(self._clipped([g for g, _ in pairs]), [v for _, v in pairs], strict=True):
            self._update(gradient, variable, rates)
        self.iterations.assign(ops.increment(self.iterations))

    def _check_pairs(self, pairs: list[tuple[Tensor, Variable]]) -> None:
        """All of them before anything is assigned: half a step would be neither undone nor repeated."""
        seen: set[int] = set()
        for gradient, variable in pairs:
            if id(variable) in seen:
                raise ValueError(
                    f"[{type(self).__name__}] a step can update each variable only once. Received: {variable.path!r} of shape "
                    f"{variable.shape} twice. Pass it once, with the sum of its gradients."
                )
            seen.add(id(variable))
            if gradient.shape != variable.shape:
                raise ValueError(
                    f"[{type(self).__name__}] a gradient must have the shape of its variable. Received: shape={gradient.shape} for "
                    f"{variable.path!r} of shape {variable.shape}. Pass gradients in the order of the variables."
                )

    def _update(self, gradient: Tensor, variable: Variable, rates: dict[str, Tensor]) -> None:
        place = self._index[id(variable)]
        slots = [self._slots[name][place] for name in self.slots_in_use()]
        rates = {k: _in_dtype(r, variable.dtype) for k, r in rates.items()}
        weight = self.decayed(variable.value, rates)
        new, *new_slots = self.update_step(weight, [s.value for s in slots], _in_dtype(gradient, variable.dtype), rates)
        new = self._averaged(new, place) if self.use_ema else new
        variable.assign(variable.constraint(new) if variable.constraint is not None else new)
        for slot, value in zip(slots, new_slots, strict=True):
            slot.assign(value)

    def _averaged(self, new: Tensor, place: int) -> Tensor:
        """The weight after the step, once its average is brought up to date; every so many steps the average itself."""
        average = self._averages[place]
        momentum = ops.where(ops.equal(self.iterations.value, 0), 0.0, self.ema_momentum)
        value = average + (new - average) * _in_dtype(1.0 - momentum, average.dtype)
        average.assign(value)
        if self.ema_overwrite_frequency is None:
            return new
        due = ops.equal(ops.mod(self.iterations.value + 1, self.ema_overwrite_frequency), 0)
        return ops.where(due, value, new)

    def finalize_variable_values(self, variables: Iterable[Variable]) -> None:
        """Replaces the weights by their averages, as at the end of `fit`; does nothing without `use_ema`."""
        for variable in variables if self.use_ema else ():
            if id(variable) in self._index:
                variable.assign(self._averages[self._index[id(variable)]].value)

    def rates(self) -> dict[str, Tensor]:
        """What all variables share in a step: `lr`, the learning rate, and whatever a subclass derives from it."""
        return {"lr": as_tensor(self.learning_rate)}

    def decayed(self, weight: Tensor, rates: dict[str, Tensor]) -> Tensor:
        """The weight after its decay."""
        if not self.weight_decay:
            return weight
        return ops.weight_decay_update(weight, rates["lr"], weight_decay=self.weight_decay)

    def update_step(self, weight: Tensor, slots: list[Tensor], gradient: Tensor, rates: dict[str, Tensor]) -> tuple:
        """(new weight, new slot, ...)."""
        raise NotImplementedError(f"[{type(self).__name__}] an optimizer must define update_step.")

    def apply_gradients(self, grads_and_variables: Iterable[tuple]) -> None:
        """`apply` for pairs of (gradient, variable), or of (variable, gradient) as `pn.variable_grads` gives them.

        Raises:
            TypeError: a pair doesn't hold exactly one variable.
            ValueError: there are no pairs.
        """
        if not isinstance(grads_and_variables, Iterable):
            raise TypeError(
                f"[{type(self).__name__}] apply_gradients takes pairs of one gradient and one variable. Received: "
                f"{_shown(grads_and_variables)}. Pass zip(gradients, variables)."
            )
        pairs = [_gradient_first(type(self).__name__, pair) for pair in grads_and_variables]
        if not pairs:
            raise ValueError(
                f"[{type(self).__name__}] apply_gradients needs at least one pair. Received: no pairs. "
                "Check that the loss depends on trainable variables."
            )
        self.apply([g for g, _ in pairs], [v for _, v in pairs])

    def minimize(self, f: Callable, variables: Sequence[Variable] | None = None) -> Tensor:
        """One step that makes `f()` smaller; returns its value before the step.

        Args:
            f: A function without arguments that returns the loss.
            variables: What to change; by default all trainable variables that `f` reads.

        Raises:
            ValueError: `f` depends on none of them.
        """
        value, pairs = found_gradients(f, variables)
        if any(g is not None for _, g in pairs):  # else `apply` says that there is none
            pairs = [(v, ops.zeros_like(v) if g is None else g) for v, g in pairs]
        self.apply([g for _, g in pairs], [v for v, _ in pairs])
        return value

    def _clipped(self, grads: list[Tensor]) -> list[Tensor]:
        if self.clipvalue is not None:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        if self.clipnorm is not None:
            return [_scaled_to(g, _square_sum(g), self.clipnorm) for g in grads]
        if self.global_clipnorm is not None:
            total = _square_sum(grads[0])
            for g in grads[1:]:
                total = total + _in_dtype(_square_sum(g), total.dtype)
            return [_scaled_to(g, _in_dtype(total, g.dtype), self.global_clipnorm) for g in grads]
        return grads

    # -- description ---------------------------------------------------------------------------------------------------

    def get_config(self) -> dict:
        """The constructor's arguments, the learning rate as it is now."""
        config = described_by_attributes(self, [k for k in constructor_arguments(type(self)) if k != "learning_rate"])
        schedule = self._schedule
        return {"learning_rate": plain(schedule) if schedule is not None else float(self._rate.item()), **config}


def check_betas(optimizer: Optimizer, **betas: float) -> None:
    """Raises ValueError for a share of the past that isn't in [0, 1): the mean would hear nothing of the gradients."""
    for name, beta in betas.items():
        if not 0 <= beta < 1:
            raise ValueError(f"[{type(optimizer).__name__}] {name} must be in [0, 1). Received: {name}={beta}.")


_NO_WEIGHTS = " An optimizer needs no list of weights: fit knows them, and optimizer.apply(gradients, variables) takes them."


def _gradient_first(label: str, pair) -> tuple:
    parts = tuple(pair) if isinstance(pair, (tuple, list)) else ()
    places = [i for i, part in enumerate(parts) if isinstance(part, Variable)]
    if len(parts) != 2 or len(places) != 1:
        shown = " and ".join(map(_shown, parts)) if len(parts) == 2 else _shown(pair)
        raise TypeError(
            f"[{label}] apply_gradients takes pairs of one gradient and one variable. Received: {shown}. "
            "Pass zip(gradients, variables), or the pairs of pn.variable_grads."
        )
    return parts if places == [1] else parts[::-1]


def _shown(value) -> str:
    """What a value is, without its elements."""
    kind = f"a {type(value).__name__}"
    if isinstance(value, (tuple, list)):
        return f"{kind} of {len(value)}"
    return f"{kind} of shape {tuple(value.shape)}" if hasattr(value, "shape") else kind


def _in_dtype(x: Tensor, dtype) -> Tensor:
    return x if x.dtype == dtype else ops.cast(x, dtype)


def _square_sum(g: Tensor) -> Tensor:
    return ops.sum(ops.square(g))


def _scaled_to(g: Tensor, square_sum: Tensor, limit: float) -> Tensor:
    return g * (limit / ops.maximum(ops.sqrt(square_sum), limit))
