"""Steps of the optimizers as ops: new weight and new slots from the weight, its slots, its gradient and the learning rate.

Every op is one pass over the tensors. In a program the results are written in place of the weight and the slots.
The formulas are Keras's; `beta_1` and the like are attributes, what changes from step to step is a 0-d tensor.

Arguments: `w` is the weight, `g` its gradient and the others its slots, all of one shape and float dtype; `lr` is the learning rate
and `alpha` comes from `adam_rate`. Other shapes raise ValueError, other dtypes TypeError.
"""

from __future__ import annotations

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, scalar
from pynn.errors import shapes

__all__ = [
    "adadelta_update",
    "adagrad_update",
    "adam_rate",
    "adam_update",
    "adamax_update",
    "adamw_update",
    "amsgrad_update",
    "momentum_update",
    "rmsprop_centered_update",
    "rmsprop_momentum_update",
    "rmsprop_update",
    "sgd_update",
    "weight_decay_update",
]


def _infer_update(name: str, tensors: tuple[str, ...], updated: int):
    def infer(*specs: Spec, **attrs) -> tuple[Spec, ...]:
        weight = specs[0]
        named = dict(zip(tensors, specs, strict=False))
        if any(s.shape != weight.shape for s in named.values()):
            raise ValueError(
                f"[{name}] weight, slots and gradient must have one shape. Received: {shapes(**named)}. "
                "Build the optimizer with the variables that it updates."
            )
        if any(s.dtype != weight.dtype for s in specs) or weight.dtype.kind != "f":
            raise TypeError(
                f"[{name}] all operands must have the weight's float dtype. "
                f"Received: {', '.join(str(s.dtype) for s in specs)}. Cast them with pynn.cast."
            )
        if any(s.shape for s in specs[len(tensors) :]):
            raise ValueError(f"[{name}] the learning rate must be a single number. Received: {specs[-1].shape}.")
        return (weight,) * updated

    return infer


def _samples(tensors: int, scalars: int, attrs: dict):
    def samples() -> list[Sample]:
        rng = np.random.default_rng(0)
        cases = []
        for shape in [(5,), (3, 7), (16, 9), (0, 4), (1000,)]:
            slots = [np.abs(rng.normal(size=shape)) for _ in range(tensors - 1)]
            rates = [np.array(0.01 * (i + 1)) for i in range(scalars)]
            cases.append(Sample([rng.normal(size=shape), *slots, *rates], dict(attrs), grad=False))
        return cases

    return samples


def _update(name: str, tensors: tuple[str, ...], scalars: tuple[str, ...], step, attrs: dict | None = None):
    """The record of an update: the gradient is the last of `tensors`, all before it are updated in place."""
    updated = max(len(tensors) - 1, 1)
    return define(
        name,
        inputs=(*tensors, *scalars),
        attrs=attrs,
        infer=_infer_update(name, tensors, updated),
        fallback=step,
        updates={i: i for i in range(updated)},
        reference=step,
        samples=_samples(len(tensors), len(scalars), attrs or {}),
    )


def _call(op, tensors: tuple, scalars: tuple, **attrs):
    weight = as_tensor(tensors[0])
    return apply(op, weight, *tensors[1:], *(_rate(s, weight.dtype) for s in scalars), **attrs)


def _rate(value, dtype: np.dtype) -> Tensor:
    if isinstance(value, (int, float)):
        return scalar(value, dtype)
    value = as_tensor(value)
    return value if value.dtype == dtype else call("cast", value, dtype)


# -- the formulas, for arrays ------------------------------------------------------------------------------------------


def _sgd_numpy(w, g, lr):
    return w - lr * g


def _momentum_numpy(w, v, g, lr, *, momentum, nesterov):
    step = lr * g
    v = momentum * v - step
    return w + (momentum * v - step if nesterov else v), v


def _moments_numpy(m, v, g, beta_1, beta_2):
    return m + (g - m) * (1 - beta_1), v + (g * g - v) * (1 - beta_2)


def _adam_numpy(w, m, v, g, alpha, *, beta_1, beta_2, epsilon):
    m, v = _moments_numpy(m, v, g, beta_1, beta_2)
    return w - m * alpha / (np.sqrt(v) + epsilon), m, v


def _adamw_numpy(w, m, v, g, alpha, lr, *, beta_1, beta_2, epsilon, weight_decay):
    w = w - w * (weight_decay * lr)
    return _adam_numpy(w, m, v, g, alpha, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def _amsgrad_numpy(w, m, v, v_max, g, alpha, *, beta_1, beta_2, epsilon):
    m, v = _moments_numpy(m, v, g, beta_1, beta_2)
    v_max = np.maximum(v_max, v)
    return w - m * alpha / (np.sqrt(v_max) + epsilon), m, v, v_max


def _adamax_numpy(w, m, u, g, alpha, *, beta_1, beta_2, epsilon):
    m = m + (g - m) * (1 - beta_1)
    u = np.maximum(beta_2 * u, np.abs(g))
    return w - m * alpha / (u + epsilon), m, u


def _mean_square(v, g, rho):
    return rho * v + (1 - rho) * (g * g)


def _rmsprop_numpy(w, v, g, lr, *, rho, epsilon):
    v = _mean_square(v, g, rho)
    return w - lr * g / np.sqrt(v + epsilon), v


def _rmsprop_momentum_numpy(w, v, u, g, lr, *, rho, epsilon, momentum):
    v = _mean_square(v, g, rho)
    u = momentum * u + lr * g / np.sqrt(v + epsilon)
    return w - u, v, u


def _rmsprop_centered_numpy(w, v, u, a, g, lr, *, rho, epsilon, momentum):
    v = _mean_square(v, g, rho)
    a = rho * a + (1 - rho) * g
    u = momentum * u + lr * g / np.sqrt(v - a * a + epsilon)
    return w - u, v, u, a


def _adagrad_numpy(w, a, g, lr, *, epsilon):
    a = a + g * g
    return w - lr * g / np.sqrt(a + epsilon), a


def _adadelta_numpy(w, a, b, g, lr, *, rho, epsilon):
    a = _mean_square(a, g, rho)
    step = np.sqrt(b + epsilon) / np.sqrt(a + epsilon) * g
    return w - lr * step, a, _mean_square(b, step, rho)


def _weight_decay_numpy(w, lr, *, weight_decay):
    return w - w * (weight_decay * lr)


SGD_UPDATE = _update("sgd_update", ("w", "g"), ("lr",), _sgd_numpy)
MOMENTUM_UPDATE = _update("momentum_update", ("w", "v", "g"), ("lr",), _momentum_numpy, {"momentum": 0.9, "nesterov": False})
_ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
ADAM_UPDATE = _update("adam_update", ("w", "m", "v", "g"), ("alpha",), _adam_numpy, _ADAM)
ADAMW_UPDATE = _update("adamw_update", ("w", "m", "v", "g"), ("alpha", "lr"), _adamw_numpy, {**_ADAM, "weight_decay": 0.004})
AMSGRAD_UPDATE = _update("amsgrad_update", ("w", "m", "v", "v_max", "g"), ("alpha",), _amsgrad_numpy, _ADAM)
ADAMAX_UPDATE = _update("adamax_update", ("w", "m", "u", "g"), ("alpha",), _adamax_numpy, _ADAM)
_RMS = {"rho": 0.9, "epsilon": 1e-7}
RMSPROP_UPDATE = _update("rmsprop_update", ("w", "v", "g"), ("lr",), _rmsprop_numpy, _RMS)
RMSPROP_MOMENTUM_UPDATE = _update(
    "rmsprop_momentum_update", ("w", "v", "u", "g"), ("lr",), _rmsprop_momentum_numpy, {**_RMS, "momentum": 0.9}
)
RMSPROP_CENTERED_UPDATE = _update(
    "rmsprop_centered_update", ("w", "v", "u", "a", "g"), ("lr",), _rmsprop_centered_numpy, {**_RMS, "momentum": 0.9}
)
ADAGRAD_UPDATE = _update("adagrad_update", ("w", "a", "g"), ("lr",), _adagrad_numpy, {"epsilon": 1e-7})
ADADELTA_UPDATE = _update("adadelta_update", ("w", "a", "b", "g"), ("lr",), _adadelta_numpy, {"rho": 0.95, "epsilon": 1e-7})


def _infer_weight_decay(w: Spec, lr: Spec, **attrs) -> Spec:
    return _infer_update("weight_decay_update", ("w",), 1)(w, lr)[0]


WEIGHT_DECAY_UPDATE = define(
    "weight_decay_update",
    inputs=("w", "lr"),
    attrs={"weight_decay": 0.004},
    infer=_infer_weight_decay,
    fallback=_weight_decay_numpy,
    updates={0: 0},
    reference=_weight_decay_numpy,
    samples=_samples(1, 1, {"weight_decay": 0.1}),
)


def _infer_adam_rate(lr: Spec, iteration: Spec, **attrs) -> Spec:
    if lr.shape or iteration.shape or iteration.dtype != np.int64 or lr.dtype.kind != "f":
        raise ValueError(
            "[adam_rate] the learning rate must be a float number and the iteration an int64 number. Received: "
            f"lr {lr.dtype}{lr.shape}, iteration {iteration.dtype}{iteration.shape}."
        )
    return lr


def _adam_rate_numpy(lr, iteration, *, beta_1, beta_2):
    step = np.float64(iteration) + 1
    return np.float64(lr) * np.sqrt(1 - np.float64(beta_2) ** step) / (1 - np.float64(beta_1) ** step)


ADAM_RATE = define(
    "adam_rate",
    inputs=("lr", "iteration"),
    attrs={"beta_1": 0.9, "beta_2": 0.999},
    infer=_infer_adam_rate,
    fallback=_adam_rate_numpy,
    reference=_adam_rate_numpy,
    samples=lambda: [Sample([np.array(0.01), np.array(t)], grad=False) for t in (0, 1, 1000, 10**7)],
)


# -- public functions --------------------------------------------------------------------------------------------------


def sgd_update(w, g, lr):
    """`w - lr * g`."""
    return _call(SGD_UPDATE, (w, g), (lr,))


def momentum_update(w, v, g, lr, *, momentum: float = 0.9, nesterov: bool = False):
    """New `(w, v)`: `v' = momentum * v - lr * g`, `w' = w + v'`, with Nesterov `w' = w + momentum * v' - lr * g`.

    Reference: Sutskever et al. 2013.
    """
    return _call(MOMENTUM_UPDATE, (w, v, g), (lr,), momentum=float(momentum), nesterov=bool(nesterov))


def adam_rate(lr, iteration, *, beta_1: float = 0.9, beta_2: float = 0.999):
    """Adam's bias-corrected rate `lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)` with `t = iteration + 1`; `beta_2=0` for Adamax."""
    iteration = scalar(iteration, np.dtype(np.int64)) if isinstance(iteration, int) else iteration
    lr = scalar(lr, np.dtype(np.float32)) if isinstance(lr, (int, float)) else lr
    return apply(ADAM_RATE, lr, iteration, beta_1=float(beta_1), beta_2=float(beta_2))


def adam_update(w, m, v, g, alpha, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7):
    """New `(w, m, v)`: `m' = m + (g - m)(1 - beta_1)`, `v' = v + (g^2 - v)(1 - beta_2)`, and
    `w' = w - alpha m' / (sqrt(v') + epsilon)`.

    `alpha` comes from `adam_rate`. Reference: Kingma and Ba 2014, the form with epsilon hat.
    """
    attrs = {"beta_1": float(beta_1), "beta_2": float(beta_2), "epsilon": float(epsilon)}
    return _call(ADAM_UPDATE, (w, m, v, g), (alpha,), **attrs)


def adamw_update(w, m, v, g, alpha, lr, *, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.004):
    """`adam_update` of the weight `w - w * weight_decay * lr`. Reference: Loshchilov and Hutter 2017."""
    attrs = {"beta_1": float(beta_1), "beta_2": float(beta_2), "epsilon": float(epsilon)}
    return _call(ADAMW_UPDATE, (w, m, v, g), (alpha, lr), **attrs, weight_decay=float(weight_decay))


def amsgrad_update(w, m, v, v_max, g, alpha, *, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """New `(w, m, v, v_max)`: Adam with the largest `v` so far under the root. Reference: Reddi et al. 2018."""
    attrs = {"beta_1": float(beta_1), "beta_2": float(beta_2), "epsilon": float(epsilon)}
    return _call(AMSGRAD_UPDATE, (w, m, v, v_max, g), (alpha,), **attrs)


def adamax_update(w, m, u, g, alpha, *, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """New `(w, m, u)`: `u' = max(beta_2 u, |g|)`, `w' = w - alpha m' / (u' + epsilon)`; `alpha = adam_rate(lr, t, beta_2=0)`.

    Reference: Kingma and Ba 2014, section 7.1.
    """
    attrs = {"beta_1": float(beta_1), "beta_2": float(beta_2), "epsilon": float(epsilon)}
    return _call(ADAMAX_UPDATE, (w, m, u, g), (alpha,), **attrs)


def rmsprop_update(w, v, g, lr, *, rho: float = 0.9, epsilon: float = 1e-7):
    """New `(w, v)`: `v' = rho v + (1 - rho) g^2`, `w' = w - lr g / sqrt(v' + epsilon)`. Reference: Tieleman and Hinton 2012."""
    return _call(RMSPROP_UPDATE, (w, v, g), (lr,), rho=float(rho), epsilon=float(epsilon))


def rmsprop_momentum_update(w, v, u, g, lr, *, rho: float = 0.9, epsilon: float = 1e-7, momentum: float = 0.9):
    """New `(w, v, u)`: RMSprop whose step `u' = momentum u + lr g / sqrt(v' + epsilon)` has a momentum; `w' = w - u'`."""
    attrs = {"rho": float(rho), "epsilon": float(epsilon), "momentum": float(momentum)}
    return _call(RMSPROP_MOMENTUM_UPDATE, (w, v, u, g), (lr,), **attrs)


def rmsprop_centered_update(w, v, u, a, g, lr, *, rho: float = 0.9, epsilon: float = 1e-7, momentum: float = 0.0):
    """New `(w, v, u, a)`: RMSprop with momentum over the gradient's variance `v' - a'^2`, `a' = rho a + (1 - rho) g`."""
    attrs = {"rho": float(rho), "epsilon": float(epsilon), "momentum": float(momentum)}
    return _call(RMSPROP_CENTERED_UPDATE, (w, v, u, a, g), (lr,), **attrs)


def adagrad_update(w, a, g, lr, *, epsilon: float = 1e-7):
    """New `(w, a)`: `a' = a + g^2`, `w' = w - lr g / sqrt(a' + epsilon)`. Reference: Duchi et al. 2011."""
    return _call(ADAGRAD_UPDATE, (w, a, g), (lr,), epsilon=float(epsilon))


def adadelta_update(w, a, b, g, lr, *, rho: float = 0.95, epsilon: float = 1e-7):
    """New `(w, a, b)`: step `d = g sqrt(b + epsilon) / sqrt(a' + epsilon)`, `a` and `b` the means of `g^2` and `d^2`.

    Reference: Zeiler 2012.
    """
    return _call(ADADELTA_UPDATE, (w, a, b, g), (lr,), rho=float(rho), epsilon=float(epsilon))


def weight_decay_update(w, lr, *, weight_decay: float = 0.004):
    """`w - w * weight_decay * lr`: decay that does not pass through an optimizer's slots."""
    return _call(WEIGHT_DECAY_UPDATE, (w,), (lr,), weight_decay=float(weight_decay))
