"""The base class of models: a layer that can be compiled, trained and saved, and that evaluates and predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pynn import optimizers
from pynn.data.arrays import ArrayData, by_name, to_array
from pynn.dtypes import is_whole
from pynn.engine.interrupts import undisturbed
from pynn.engine.op import active
from pynn.engine.tensor import Tensor
from pynn.errors import GuardTripped, suggestion
from pynn.layers.base import Layer, one_array
from pynn.layers.context import running
from pynn.layers.structure import flatten
from pynn.layers.symbolic import SymbolicTensor
from pynn.models import fit as training
from pynn.models import inference, steps
from pynn.models.arguments import as_method, named_words, refuse_options, too_large
from pynn.models.diagnosis import explain
from pynn.models.forms import Forms
from pynn.models.locks import ModelLocks
from pynn.models.objective import Objective
from pynn.models.prepared import float_dtype, prediction_data, training_data
from pynn.models.programs import ProgramCache, batch_program
from pynn.models.settings import adds_to_losses, runs_own_code
from pynn.models.state import Shuffling

_KERAS_STEPS = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")  # what a subclass overrides in Keras
_MOST_SHOWN = 12  # layers, by the repr of a model
ONE_EXAMPLE = " One example is a batch of one: pass x[None]."


def fits(shape, wanted) -> bool:
    """Whether a shape is the wanted one, in which None stands for any length."""
    return len(shape) == len(wanted) and all(w is None or w == n for n, w in zip(shape, wanted, strict=True))


def _asks_for_more(x, kwargs: dict[str, Any]) -> bool:
    """Whether the arguments beside x say more than that nothing trains, or have to be kept for later calls."""
    more = any(v is not None and v is not False for v in kwargs.values())
    return more or any(isinstance(leaf, SymbolicTensor) for leaf in flatten(x))


class Model(Layer):
    """A model. Subclass it and define `call`, or give `inputs` and `outputs` of the functional API.

    Example:
        >>> import numpy as np, pynn as pn
        >>> class Line(pn.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.dense = pn.layers.Dense(1)
        ...     def call(self, x, training=False):
        ...         return self.dense(x)
        >>> model = Line()
        >>> model.compile(optimizer="sgd", loss="mean_squared_error")
        >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        >>> model.predict(np.ones((3, 2)), verbose=0).shape
        (3, 1)
    """

    casts_inputs = False  # the layers inside cast for themselves
    user_defined_metadata: Any = None  # what JSON has words for; files keep it
    _untracked = Layer._untracked | {"user_defined_metadata"}
    _unnoticed = Layer._unnoticed | {"history", "stop_training", "user_defined_metadata"}

    def __new__(cls, *args, **kwargs):
        if cls is Model and (len(args) >= 2 or "outputs" in kwargs):
            from pynn.models.functional import Functional

            return super().__new__(Functional)
        return super().__new__(cls)

    def __init__(self, *graph, **kwargs):
        if graph or not kwargs.keys().isdisjoint(("inputs", "outputs", "input", "output")):
            words = [*(f"a {type(value).__name__}" for value in graph), *(f"{k}=" for k in kwargs)]
            of_a_class = "Define call, or make it a class on top of pn.Functional, which takes them."
            raise TypeError(
                f"[{type(self).__name__}] a model of symbolic tensors needs its inputs and its outputs. Received: {', '.join(words)}. "
                + ("Write pn.Model(inputs, outputs)." if type(self) is Model else of_a_class)
            )
        super().__init__(**kwargs)
        self.optimizer: Any = None
        self.objective: Objective | None = None
        self.history: Any = None
        self.run_eagerly = False
        self.stop_training = False
        self.compile_arguments: dict[str, Any] = {}
        self.programs = ProgramCache()
        self.shuffling = Shuffling()
        self.locks = ModelLocks()
        self.forms = Forms()

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        """A new model with fresh weights; of `Model` itself, one of the functional API."""
        if cls is Model and "output_layers" in config:
            from pynn.models.functional import Functional

            return Functional.from_config(config)
        return super().from_config(config)

    # -- structure ---------------------------------------------------------------------------------------------------

    @property
    def input_names(self) -> list[str] | None:
        """Names of the inputs; None where the model doesn't know them. Those of a dict are its keys."""
        return None

    @property
    def output_names(self) -> list[str] | None:
        """Names of the outputs; None where the model doesn't know them. Those of a dict are its keys."""
        return None if self.forms.output_keys is None else list(self.forms.output_keys)

    def check_shapes(self, shapes: list[tuple[int, ...]]) -> None:
        """Raises ValueError if arrays of these shapes don't match the inputs, as far as their shapes are known."""

    def output_names_for(self, count: int) -> list[str]:
        """Names for `count` outputs."""
        return self.output_names or (["output"] if count == 1 else [f"output_{i}" for i in range(count)])

    def state_key(self) -> int:
        """A number that changes with everything that captured programs depend on besides shapes."""
        return self.programs.calls.state(self)

    def call_now(self, x, **kwargs):
        """The call of a layer, which captures nothing."""
        return Layer.__call__(self, x, **kwargs)

    def __call__(self, *args, **kwargs) -> Any:
        """The outputs for tensors or arrays; by a captured program if all layers are pynn's and nothing is recorded."""
        busy = active.capture is not None or active.tapes or running.training
        if busy or len(args) != 1 or (kwargs and _asks_for_more(args[0], kwargs)):
            return super().__call__(*args, **kwargs)
        return self._reading("call_on_batch", args[0])

    def _reading(self, method: str, x):
        """The call `method` on x, beside which no step runs."""
        lock, mark = self.locks.steps, object()
        try:
            lock.start_reading(mark)
            found = self.programs.calls.get(self, method)(x)
            lock.stop_reading(mark)
        except BaseException as error:
            lock.stop_reading(mark)
            if isinstance(error, MemoryError):
                raise too_large(error) from None
            raise
        return found

    def call_on_batch(self, x, *, call):
        """`model(x)` where nothing records."""
        x = one_array(x)
        without_names = isinstance(x, dict) and not self.input_names  # then `call` alone knows what to do with a dict
        as_it_is = not self.built or self.run_eagerly or self.stateful
        as_it_is = as_it_is or self.programs.calls.fact(self, adds_to_losses) or not self.programs.calls.fact(self, runs_own_code)
        if as_it_is or without_names or any(isinstance(leaf, SymbolicTensor) for leaf in flatten(x)):
            return super().__call__(x)
        leaves = flatten(by_name(x, "x", self.input_names or ()) if isinstance(x, dict) else x)
        arrays = [leaf.data if type(leaf) is Tensor else to_array(leaf, "x", dtype=float_dtype(self)) for leaf in leaves]
        if any(a.ndim == 0 for a in arrays):
            return super().__call__(x)
        program = batch_program(self, "predict", ArrayData(arrays))
        call.serve(program, (x,), arrays, tensors=True)
        return self.forms.outputs([Tensor(a) for a in program.run(arrays)])

    @property
    def stateful(self) -> bool:
        """True if a layer keeps states from batch to batch."""
        return any(getattr(layer, "stateful", False) for layer in self.flattened_layers() if not isinstance(layer, Model))

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in the order of `weights`; those of a whole step, even while another thread trains."""
        with self.locks.steps.reading() as turn, turn:
            return super().get_weights()

    def set_weights(self, weights) -> None:
        """Sets all weights from arrays in the order of `weights`.

        Raises:
            ValueError: their number or a shape differs.
        """
        with self.locks.steps.writing() as turn, turn:
            super().set_weights(weights)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or at this index.

        Raises:
            ValueError: there is none.
        """
        if index is not None or is_whole(name):
            index = name if index is None else index
            if not is_whole(index):
                raise TypeError(f"[{self.label}] get_layer takes a name, or a whole number as index. Received: index={index!r}.")
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"[{self.label}] has {len(self.layers)} layers. Received: index={index}.")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise ValueError(f"[{self.label}] has no layer {name!r}.{suggestion(name, names)} Layers: {', '.join(names) or 'none'}.")

    def __repr__(self) -> str:
        layers = ", ".join(layer.label for layer in self.layers[:_MOST_SHOWN]) + (", ..." if len(self.layers) > _MOST_SHOWN else "")
        return f"{type(self).__name__}(name={self.name!r}, layers=[{layers}])"

    def summary(self, line_length: int | None = None, print_fn=print) -> None:
        """Prints the layers with their output shapes and numbers of parameters, as wide as the terminal but not wider than 78."""
        from pynn.models.summary import LEAST_WIDTH, summary_text, width

        if line_length is not None and (not is_whole(line_length) or line_length < LEAST_WIDTH):
            raise ValueError(f"[summary] line_length must be a whole number, {LEAST_WIDTH} or more. Received: line_length={line_length!r}.")
        print_fn(summary_text(self, line_length or width()))

    # -- training ----------------------------------------------------------------------------------------------------

    @named_words
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss=None,
        *,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly: bool = False,
        steps_per_execution: int | str = 1,
        jit_compile: bool | str = "auto",
    ) -> None:
        """Configures the model for training.

        Args:
            optimizer: An optimizer or its name.
            loss: A loss, its name, or a list or dict of them, one per output. None if layers give all of it to `add_loss`.
            loss_weights: Weights of the outputs' losses.
            metrics: A list of metrics or names. For several outputs a dict, or a list with an entry (a metric or a list of them) for
                each; a list of another length is meant for every output.
            weighted_metrics: The same, computed with sample weights.
            run_eagerly: Run steps op by op in Python, for debugging.
            steps_per_execution, jit_compile: Accepted for compatibility with Keras; steps always run natively, many per call.
        """
        if isinstance(optimizer, dict) and "class_name" not in optimizer:
            refuse_options("compile", (), optimizer)
        own = next((step for step in _KERAS_STEPS if callable(getattr(self, step, None))), None)
        if own is not None:
            raise NotImplementedError(
                f"[compile] training runs its own steps and never calls a model's. Received: {type(self).__name__}.{own}. Add what it adds "
                "to the loss into call() by self.add_loss, or train in a loop with pn.variable_grads and optimizer.apply_gradients."
            )
        with self.locks.training("compile", self.label) as turn, turn:
            self.objective, self.optimizer = Objective(loss, loss_weights, metrics, weighted_metrics), optimizers.get(optimizer)
            self.run_eagerly = bool(run_eagerly)
            self.compile_arguments = {
                "loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics,
            }  # fmt: skip
            self.programs.clear()

    def require_compiled(self, what: str) -> None:
        """Raises if `compile` was not called."""
        if self.objective is None:
            raise RuntimeError(f"[{what}] the model isn't compiled. Call model.compile(optimizer=..., loss=...) first.")

    @property
    def loss(self):
        """The loss as given to `compile`."""
        return self.compile_arguments.get("loss")

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns."""
        return self.objective.names if self.objective is not None else []

    if TYPE_CHECKING:  # what a Sequential and a Model(inputs, outputs) have
        inputs: list[SymbolicTensor]
        outputs: list[SymbolicTensor]

    fit = as_method(training.fit)
    evaluate = as_method(inference.evaluate)
    predict = as_method(inference.predict)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict: bool = False) -> Any:
        """One optimizer step on one batch. Returns the loss, a list of loss and metrics if there are any, or a dict with `return_dict`."""
        return self._on_batch("train", (x, y, sample_weight), class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict: bool = False) -> Any:
        """Loss and metrics of one batch."""
        return self._on_batch("test", (x, y, sample_weight), None, return_dict)

    def _on_batch(self, mode: str, values: tuple, class_weight, return_dict: bool):
        self.require_compiled(f"{mode}_on_batch")
        if values[1] is None and self.objective.needs_targets:
            raise ValueError(f"[{mode}_on_batch] y is missing. Received: x alone. Call {mode}_on_batch(x, y).")
        locks, mark = self.locks, object()
        try:
            locks.start_training(f"{mode}_on_batch", self.label, mark)
            step = self._step_beside_fit if locks.fitting else self._step_on_batch
            found = inference.returned(step(mode, values, class_weight), return_dict)
            locks.stop_training(mark)
        except BaseException:
            locks.stop_training(mark)
            raise
        return found

    def _step_beside_fit(self, *args) -> dict[str, float]:
        """A step that a callback of `fit` asks for: the running values of the epoch stay what they are."""
        with steps.undone(self.objective.variables):
            return self._step_on_batch(*args)

    def _step_on_batch(self, mode: str, values: tuple, class_weight) -> dict[str, float]:
        if self.run_eagerly or class_weight is not None:
            data = training_data(self, *values, class_weight)
            self.objective_reset(data)
            self.objective.check_targets(data.y)
            self.run_batch(mode, data)
            return self.objective.results()
        if mode == "train":
            self.optimizer.refresh_learning_rate()
        lock, mark = self.locks.steps, object()
        try:
            lock.start_writing(mark)
            row = self.programs.calls.get(self, f"{mode}_alone")(*values)
            lock.stop_writing(mark)
        except BaseException as error:
            lock.stop_writing(mark)
            if isinstance(error, MemoryError):
                raise too_large(error) from None
            if not isinstance(error, GuardTripped):
                raise
            self.objective.reset()
            raise explain(self, error, training_data(self, *values)) from None
        return dict(zip(self.objective.names, row.tolist(), strict=True))

    def train_alone(self, x, y, weights, *, call) -> np.ndarray:
        """One optimizer step on a batch; its running values."""
        return self._alone("train", (x, y, weights), call)

    def test_alone(self, x, y, weights, *, call) -> np.ndarray:
        """The running values of a batch."""
        return self._alone("test", (x, y, weights), call)

    def _alone(self, mode: str, values: tuple, call) -> np.ndarray:
        data = training_data(self, *values)
        steps.ensure_built(self, data)
        self.objective.check_targets(data.y)  # later batches that look like this one pass without a look at their values
        program = batch_program(self, mode, data, alone=True)
        call.serve(program, values, data.leaves, tensors=False)
        return program.run(data.leaves)[0]

    def predict_on_batch(self, x) -> Any:
        """The outputs for one batch, as arrays."""
        return self._reading("predict_alone", x)

    def predict_alone(self, x, *, call):
        """The outputs for a batch whose shape has to be checked."""
        data = prediction_data(self, x)
        if not self.built:
            steps.ensure_built(self, data)
        if self.run_eagerly:
            arrays = [t.numpy() for t in steps.outputs_of(self, data.x, False)]
        else:
            program = batch_program(self, "predict", data)
            call.serve(program, (x,), data.x, tensors=False)
            arrays = program.run(data.x)
        return self.forms.outputs(arrays)

    def objective_reset(self, data: ArrayData) -> None:
        """Builds what isn't built yet and sets running values to zero."""
        steps.ensure_built(self, data)
        self.objective.reset()

    def run_batch(self, mode: str, data: ArrayData) -> None:
        """A train or test step on a batch in memory, captured unless `run_eagerly`."""
        if mode == "train":
            self.optimizer.refresh_learning_rate()
        try:
            if self.run_eagerly:
                step = steps.train_eagerly if mode == "train" else steps.test_step
                with self.locks.steps.writing() as turn, turn, undisturbed():
                    step(self, *([Tensor(a) for a in part] for part in (data.x, data.y, data.weights)))
            else:
                program = batch_program(self, mode, data)
                with self.locks.steps.writing() as turn, turn:
                    program.run(data.leaves)
        except GuardTripped as tripped:
            raise explain(self, tripped, data) from None

    # -- files -------------------------------------------------------------------------------------------------------

    def save(self, path, *, include_optimizer: bool = True) -> None:
        """Saves architecture, weights and optimizer state as a folder in TensorFlow.js's format. Raises ValueError where that fails."""
        from pynn.io.layers_model import save_model

        with self.locks.steps.reading() as turn, turn:
            save_model(self, path, include_optimizer=include_optimizer)

    def save_weights(self, path) -> None:
        """Saves the weights as one safetensors file, by their paths. Raises ValueError if the model has none yet."""
        from pynn.io.weights import save_weights

        with self.locks.steps.reading() as turn, turn:
            save_weights(self, path)

    def load_weights(self, path, *, strict: bool = True) -> None:
        """Loads weights that `save_weights` wrote. If they don't fit, raises ValueError (damaged: DataError) and changes nothing."""
        from pynn.io.weights import load_weights

        with self.locks.steps.writing() as turn, turn:
            load_weights(self, path, strict=strict)

    def to_json(self) -> str:
        """The architecture as JSON, as TensorFlow.js and Keras write it."""
        from pynn.io.layers_model import topology_json

        return topology_json(self)
