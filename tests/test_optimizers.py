"""Optimizers against their formulas in NumPy, eager and captured; clipping, decay, constraints, schedules."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import pynn as pn
from pynn import optimizers
from pynn.optimizers import schedules

LR = 0.125  # the same in float32
START = np.random.default_rng(0).normal(size=(3, 4))
GRADIENTS = [np.random.default_rng(i).normal(size=(3, 4)) for i in range(1, 6)]


def sgd(w, s, g, t, lr=LR, momentum=0.0, nesterov=False):
    v = s["v"] = momentum * s.get("v", 0) - lr * g
    return w + (momentum * v - lr * g if nesterov else v)


def moments(s, g, b1, b2):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    return s["m"], s["v"]


def adam(w, s, g, t, lr=LR, b1=0.9, b2=0.999, eps=1e-7, amsgrad=False, decay=0.0):
    w = w - lr * decay * w
    m, v = moments(s, g, b1, b2)
    if amsgrad:
        v = s["max"] = np.maximum(s.get("max", 0), v)
    return w - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps)


def adamax(w, s, g, t, lr=LR, b1=0.9, b2=0.999, eps=1e-7):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["u"] = np.maximum(b2 * s.get("u", 0), np.abs(g))
    return w - lr / (1 - b1**t) * s["m"] / (s["u"] + eps)


def nadam(w, s, g, t, lr=LR, b1=0.9, b2=0.999, eps=1e-7):
    m, v = moments(s, g, b1, b2)
    now, ahead = (b1 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
    s["product"] = s.get("product", 1) * now
    top = ahead * m / (1 - s["product"] * ahead) + (1 - now) * g / (1 - s["product"])
    return w - lr * top / (np.sqrt(v / (1 - b2**t)) + eps)


def rmsprop(w, s, g, t, lr=LR, rho=0.9, momentum=0.0, eps=1e-7, centered=False):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g
    below = s["v"] - (s["a"] ** 2 if centered else 0)
    s["u"] = momentum * s.get("u", 0) + lr * g / np.sqrt(below + eps)
    return w - s["u"]


def adagrad(w, s, g, t, lr=LR, start=0.1, eps=1e-7):
    s["a"] = s.get("a", start) + g * g
    return w - lr * g / np.sqrt(s["a"] + eps)


def adadelta(w, s, g, t, lr=LR, rho=0.95, eps=1e-7):
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g * g
    d = np.sqrt(s.get("b", 0) + eps) / np.sqrt(s["a"] + eps) * g
    s["b"] = rho * s.get("b", 0) + (1 - rho) * d * d
    return w - lr * d


BETAS, SHORT_BETAS = dict(beta_1=0.7, beta_2=0.8, epsilon=1e-3), dict(b1=0.7, b2=0.8, eps=1e-3)
RHO, SHORT_RHO = dict(rho=0.6, epsilon=1e-3), dict(rho=0.6, eps=1e-3)


RULES = [
    (optimizers.SGD, {}, sgd, {}),
    (optimizers.SGD, dict(momentum=0.9), sgd, dict(momentum=0.9)),
    (optimizers.SGD, dict(momentum=0.9, nesterov=True), sgd, dict(momentum=0.9, nesterov=True)),
    (optimizers.Adam, {}, adam, {}),
    (optimizers.Adam, dict(amsgrad=True, epsilon=1e-3), adam, dict(amsgrad=True, eps=1e-3)),
    (optimizers.Adam, BETAS, adam, SHORT_BETAS),
    (optimizers.Adam, dict(amsgrad=True, **BETAS), adam, dict(amsgrad=True, **SHORT_BETAS)),
    (optimizers.AdamW, {}, adam, dict(decay=0.004)),
    (optimizers.AdamW, dict(weight_decay=0.1, **BETAS), adam, dict(decay=0.1, **SHORT_BETAS)),
    (optimizers.AdamW, dict(weight_decay=0.1, amsgrad=True), adam, dict(decay=0.1, amsgrad=True)),
    (optimizers.Adamax, {}, adamax, {}),
    (optimizers.Adamax, BETAS, adamax, SHORT_BETAS),
    (optimizers.Nadam, {}, nadam, {}),
    (optimizers.Nadam, BETAS, nadam, SHORT_BETAS),
    (optimizers.Nadam, dict(beta_2=0.0), nadam, dict(b2=0.0)),
    (optimizers.RMSprop, {}, rmsprop, {}),
    (optimizers.RMSprop, RHO, rmsprop, SHORT_RHO),
    (optimizers.RMSprop, dict(momentum=0.5, **RHO), rmsprop, dict(momentum=0.5, **SHORT_RHO)),
    (optimizers.RMSprop, dict(momentum=0.5, centered=True, **RHO), rmsprop, dict(momentum=0.5, centered=True, **SHORT_RHO)),
    (optimizers.Adagrad, {}, adagrad, {}),
    (optimizers.Adagrad, dict(initial_accumulator_value=0.3, epsilon=1e-3), adagrad, dict(start=0.3, eps=1e-3)),
    (optimizers.Adadelta, {}, adadelta, {}),
    (optimizers.Adadelta, RHO, adadelta, SHORT_RHO),
]


def run(optimizer, dtype, captured=False):
    variable = pn.Variable(START, dtype, name="w")
    optimizer.build([variable])
    step = pn.function(lambda g: optimizer.apply([g], [variable])) if captured else lambda g: optimizer.apply([g], [variable])
    for gradient in GRADIENTS:
        step(pn.tensor(gradient, dtype))
    return variable.numpy()


@pytest.mark.parametrize("cls, words, rule, more", RULES, ids=lambda v: v.__name__ if isinstance(v, type) else "")
def test_rules(cls, words, rule, more):
    wanted, state = START, {}
    for t, gradient in enumerate(GRADIENTS, 1):
        wanted = rule(wanted, state, gradient, t, **more)
    optimizer = cls(LR, **words)
    np.testing.assert_allclose(run(optimizer, "float64"), wanted, rtol=1e-6, atol=1e-7)
    eager = run(cls(LR, **words), "float32")
    np.testing.assert_allclose(eager, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(run(cls(LR, **words), "float32", captured=True), eager)
    assert int(optimizer.iterations) == 5 and not any(v.trainable for v in optimizer.variables)
    again = optimizers.get({"class_name": cls.__name__, "config": optimizer.get_config()})
    assert again.get_config() == optimizer.get_config() and repr(again)


def test_learning_rates_by_default_are_those_of_keras():
    rates = {name: float(optimizers.get(name).learning_rate) for name in ("sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad",
                                                                          "adadelta", "adamax", "nadam")}  # fmt: skip
    assert rates == {name: np.float32(0.01 if name in ("sgd", "momentum") else 0.001) for name in rates}


@pytest.mark.parametrize("cls", [optimizers.Adam, optimizers.AdamW, optimizers.Adamax, optimizers.Nadam])
@pytest.mark.parametrize("words", [dict(beta_1=1.0), dict(beta_1=-0.1), dict(beta_2=1.0), dict(beta_2=-0.1), dict(beta_2=float("nan"))])
def test_means_over_no_steps_or_all_are_refused(cls, words):
    (name, value), = words.items()
    with pytest.raises(ValueError, match=rf"\[{cls.__name__}\] {name} must be in \[0, 1\). Received: {name}={value}"):
        cls(**words)


def test_slots_lie_kind_by_kind():
    optimizer = optimizers.Adam()
    optimizer.build([pn.Variable(np.zeros(2), name="a"), pn.Variable(np.zeros(3), name="b")])
    assert [s.path for s in optimizer.slots] == ["adam/a/m", "adam/b/m", "adam/a/v", "adam/b/v"]
    assert len(optimizer.variables) == 6


def test_copies_keep_their_slots():
    w = pn.Variable(START, "float32")
    optimizer = optimizers.Adam(LR)
    optimizer.apply([GRADIENTS[0].astype(np.float32)], [w])
    other, again = copy.deepcopy((w, optimizer))
    for v, o in ((w, optimizer), (other, again)):
        o.apply([GRADIENTS[1].astype(np.float32)], [v])
    np.testing.assert_array_equal(w.numpy(), other.numpy())
    assert len(again.slots) == 2


def test_clipping():
    g = np.array([3.0, 4.0], np.float32)
    for words, wanted in [
        (dict(clipvalue=3.5), [-3, -3.5]),
        (dict(clipnorm=1.0), [-0.6, -0.8]),
        (dict(clipnorm=10.0), [-3, -4]),
        (dict(global_clipnorm=1.0), [-0.3 / 0.5 / 2**0.5, -0.4 / 0.5 / 2**0.5]),
    ]:
        a, b = pn.Variable(np.zeros(2, np.float32)), pn.Variable(np.zeros(2, np.float32))
        optimizers.SGD(1.0, **words).apply([g, g], [a, b])
        np.testing.assert_allclose(a.numpy(), wanted, rtol=1e-6)
    with pytest.raises(ValueError, match="only one of"):
        optimizers.SGD(clipnorm=1, clipvalue=1)
    for name in ("clipnorm", "clipvalue", "global_clipnorm"):
        with pytest.raises(ValueError, match=rf"\[SGD\] {name} must be above zero. Received: {name}=0"):
            optimizers.SGD(**{name: 0})


def test_weight_decay_and_constraints():
    w = pn.Variable(np.array([2.0, -2.0], np.float32), constraint=pn.constraints.NonNeg())
    optimizers.SGD(0.5, weight_decay=0.1).apply([np.array([1.0, 1.0], np.float32)], [w])
    np.testing.assert_allclose(w.numpy(), [2 - 0.1 - 0.5, 0], rtol=1e-6)


def test_the_learning_rate_is_a_slot():
    optimizer, w = optimizers.SGD(0.1), pn.Variable(np.zeros(1, np.float32))
    step = pn.function(lambda: optimizer.apply([pn.ones(1)], [w]))
    step()
    optimizer.learning_rate = 0.5
    step()
    assert float(w.numpy()[0]) == pytest.approx(-0.6) and float(optimizer.learning_rate) == 0.5
    with pytest.raises(ValueError, match="learning rate must be a number"):
        optimizer.learning_rate = -1


@pytest.mark.parametrize("rate", [optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), lambda step: 0.1])
def test_a_number_does_not_replace_a_schedule(rate):
    optimizer = optimizers.SGD(rate)
    with pytest.raises(TypeError, match=r"\[SGD\] the learning rate can't be set: it follows a schedule.*learning_rate=0.5"):
        optimizer.learning_rate = 0.5
    optimizer.learning_rate = optimizers.schedules.InverseTimeDecay(0.2, 1, 1)
    assert float(optimizer.learning_rate) == pytest.approx(0.2)


def test_minimize_reaches_the_minimum():
    w = pn.Variable(np.array([3.0, -2.0], np.float32))
    optimizer = optimizers.Adam(0.1)
    costs = [float(optimizer.minimize(lambda: pn.sum(pn.square(w - 1.0)))) for _ in range(200)]
    assert costs[0] == pytest.approx(13) and costs[-1] < 1e-3


SCHEDULES = [
    (schedules.ExponentialDecay(0.1, 10, 0.5), lambda t: 0.1 * 0.5 ** (t / 10)),
    (schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), lambda t: 0.1 * 0.5 ** (t // 10)),
    (schedules.PiecewiseConstantDecay([5, 10], [1.0, 0.5, 0.1]), lambda t: 1.0 if t <= 5 else 0.5 if t <= 10 else 0.1),
    (schedules.PolynomialDecay(0.1, 20, 0.01, 2.0), lambda t: 0.09 * (1 - min(t, 20) / 20) ** 2 + 0.01),
    (schedules.PolynomialDecay(0.1, 8, cycle=True), lambda t: 0.0999 * (1 - t / (8 * max(math.ceil(t / 8), 1))) + 0.0001),
    (schedules.InverseTimeDecay(0.1, 5, 0.5), lambda t: 0.1 / (1 + 0.5 * t / 5)),
    (schedules.InverseTimeDecay(0.1, 5, 0.5, staircase=True), lambda t: 0.1 / (1 + 0.5 * (t // 5))),
    (schedules.CosineDecayRestarts(0.1, 4, 1.0, 0.5), lambda t: 0.05 * 0.5 ** (t // 4) * (1 + math.cos(math.pi * (t % 4) / 4))),
    (schedules.CosineDecayRestarts(0.1, 3, alpha=0.2), lambda t: 0.1 * (0.8 * 0.5 * (1 + math.cos(math.pi * in_cycle(t))) + 0.2)),
    (schedules.CosineDecay(0.1, 20, 0.1), lambda t: 0.1 * (0.9 * 0.5 * (1 + math.cos(math.pi * min(t, 20) / 20)) + 0.1)),
    (
        schedules.CosineDecay(0.0, 20, warmup_target=0.1, warmup_steps=5),
        lambda t: 0.1 * t / 5 if t < 5 else 0.05 * (1 + math.cos(math.pi * min(t - 5, 20) / 20)),
    ),
]


@pytest.mark.parametrize("schedule, formula", SCHEDULES, ids=lambda v: type(v).__name__)
def test_schedules(schedule, formula):
    for t in (0, 1, 5, 6, 10, 11, 19, 25, 40):
        assert float(schedule(t)) == pytest.approx(formula(t), rel=2e-5, abs=1e-8)
    again = schedules.get({"class_name": type(schedule).__name__, "config": schedule.get_config()})
    assert again.get_config() == schedule.get_config()
    optimizer, w = optimizers.SGD(schedule), pn.Variable(np.zeros(1, np.float32))
    step = pn.function(lambda: optimizer.apply([pn.ones(1)], [w]))
    for _ in range(8):
        step()
    assert float(w.numpy()[0]) == pytest.approx(-sum(formula(t) for t in range(8)), rel=1e-4)


@pytest.mark.parametrize("steps", [0, -5, float("nan")])
@pytest.mark.parametrize("schedule, more", [(schedules.ExponentialDecay, (0.5,)), (schedules.PolynomialDecay, ()),
                                            (schedules.InverseTimeDecay, (0.5,)), (schedules.CosineDecay, ()),
                                            (schedules.CosineDecayRestarts, ())])  # fmt: skip
def test_a_decay_takes_steps(schedule, more, steps):
    with pytest.raises(ValueError, match=rf"\[{schedule.__name__}\] .*decay_steps.* must be above zero.*decay_steps={steps}"):
        schedule(0.1, steps, *more)


def test_python_functions_of_the_step():
    optimizer, w = optimizers.SGD(lambda step: 1.0 / (step + 1)), pn.Variable(np.zeros(1, np.float32))
    for _ in range(3):
        optimizer.apply([pn.ones(1)], [w])
    assert float(w.numpy()[0]) == pytest.approx(-(1 + 1 / 2 + 1 / 3))


def test_names_and_messages():
    assert isinstance(optimizers.get("adam"), optimizers.Adam)
    assert isinstance(optimizers.get("RMSProp"), optimizers.RMSprop)
    assert optimizers.get("momentum").momentum == 0.9
    with pytest.raises(ValueError, match="Did you mean"):
        optimizers.get("adamm")
    with pytest.raises(ValueError, match="none of the 1 variables has a gradient"):
        optimizers.SGD().apply([None], [pn.Variable(1.0)])
    with pytest.raises(ValueError, match="one gradient per variable"):
        optimizers.SGD().apply([], [pn.Variable(1.0)])
    with pytest.raises(TypeError):
        optimizers.SGD(learning_rat=1)


def in_cycle(step):
    """How much of its half cosine is done at a step, for lengths 3, 6, 12, ..."""
    length = 3
    while step >= length:
        step, length = step - length, 2 * length
    return step / length


def averages(optimizer, steps):
    """(weight, average) after steps with the gradient 1, and the same by hand."""
    w = pn.Variable([1.0, 2.0])
    weight, average, found = w.numpy().astype(np.float64), np.zeros(2), []
    for step in range(steps):
        optimizer.apply([pn.ones(2)], [w])
        weight = weight - 0.1
        momentum = optimizer.ema_momentum if step else 0.0
        average = momentum * average + (1 - momentum) * weight
        if optimizer.ema_overwrite_frequency and (step + 1) % optimizer.ema_overwrite_frequency == 0:
            weight = average
        found.append((w.numpy(), weight))
    optimizer.finalize_variable_values([w])
    return [*found, (w.numpy(), average)]


@pytest.mark.parametrize("frequency", [None, 1, 3])
def test_moving_averages_of_weights(frequency):
    for got, wanted in averages(pn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=frequency), 7):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_fit_ends_with_the_averages():
    pn.set_seed(0)
    model = pn.Sequential([pn.layers.Dense(1, input_shape=(2,))])
    model.compile(pn.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9), "mse")
    model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=3, batch_size=4, verbose=0)
    for average, weight in zip(model.optimizer.variables[-2:], model.get_weights(), strict=True):
        np.testing.assert_array_equal(average.numpy(), weight)


def test_pairs_come_in_either_order():
    v, w, idle = pn.Variable([1.0, 2.0]), pn.Variable(3.0), pn.Variable(4.0)
    _, pairs = pn.variable_grads(lambda: (v * v).sum() * w)
    pn.optimizers.SGD(0.1).apply_gradients(pairs)
    np.testing.assert_allclose([*v.numpy(), w.numpy()], [0.4, 0.8, 2.5], rtol=1e-6)
    pn.optimizers.SGD(0.1).apply_gradients([(pn.ones(2), v), (w, pn.ones(())), [idle, None], (None, idle)])
    np.testing.assert_allclose([*v.numpy(), w.numpy(), idle.numpy()], [0.3, 0.7, 2.4, 4.0], rtol=1e-6)


@pytest.mark.parametrize("pairs, kind, words", [
    (lambda v: [], ValueError, "no pairs"),
    (lambda v: [(v, v)], TypeError, r"pairs of one gradient and one variable. Received: a Variable of shape \(2,\) and a Variable"),
    (lambda v: [(pn.ones(2), pn.ones(2))], TypeError, r"Received: a Tensor of shape \(2,\) and a Tensor of shape \(2,\)"),
    (lambda v: [v], TypeError, r"Received: a Variable of shape \(2,\)"),
    (lambda v: pn.variable_grads(lambda: v.sum()), TypeError, r"Received: a Tensor of shape \(\)\. Pass zip"),
    (lambda v: [[pn.ones(2)] * 3, [v] * 3], TypeError, "Received: a list of 3"),
])  # fmt: skip
def test_pairs_that_are_none(pairs, kind, words):
    v = pn.Variable([1.0, 2.0])
    with pytest.raises(kind, match=rf"\[SGD\] apply_gradients .*{words}"):
        pn.optimizers.SGD(0.1).apply_gradients(pairs(v))
    assert v.numpy().tolist() == [1.0, 2.0]


def test_variables_are_no_gradients():
    v = pn.Variable(np.ones(1000, np.float32))
    for grads, variables, words in (([v], [v], "a variable was given in place of a gradient"), ([v], [v.value], "steps update variables")):
        with pytest.raises(TypeError, match=rf"\[SGD\] {words}.* of shape \(1000,\)") as caught:
            pn.optimizers.SGD(0.1).apply(grads, variables)
        assert len(str(caught.value)) < 300


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match=r"\[Adam\] unknown argument 'learningRate'. Did you mean 'learning_rate'\?"):
        pn.optimizers.Adam(learningRate=0.1)


def test_a_rate_of_python_is_no_part_of_a_captured_function():
    w, optimizer = pn.Variable(1.0), pn.optimizers.SGD(lambda step: 0.1)
    step = pn.function(lambda: optimizer.minimize(lambda: w * w, [w]))
    with pytest.raises(pn.CaptureError, match=r"\[SGD\] .* its learning rate is a Python function"):
        step()
    assert w.item() == 1.0
    optimizer.minimize(lambda: w * w, [w])
    assert w.item() == pytest.approx(0.8)


@pytest.mark.parametrize("cls", [optimizers.SGD, optimizers.Adam, optimizers.Nadam])
def test_a_gradient_that_does_not_fit_leaves_everything_as_it_was(cls):
    optimizer, variables = cls(), [pn.Variable([1.0, 2.0], name="a"), pn.Variable([1.0, 2.0], name="b")]
    optimizer.apply([pn.ones(2), pn.ones(2)], variables)
    everything = [*variables, *optimizer.variables]
    before = [v.numpy() for v in everything]
    for wrong in (pn.ones(3), pn.ones(()), pn.ones((1, 2))):
        with pytest.raises(ValueError, match=rf"\[{cls.__name__}\] a gradient must have the shape of its variable.*'b' of shape \(2,\)"):
            optimizer.apply([pn.ones(2), wrong], variables)
    for v, value in zip(everything, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), value)


@pytest.mark.parametrize("run", [lambda f: f, pn.function], ids=["eager", "captured"])
def test_a_variable_that_is_there_twice_is_refused(run):
    optimizer, v = optimizers.SGD(0.1), pn.Variable([1.0, 2.0], name="kernel")
    optimizer.build([v])
    steps = (lambda: optimizer.apply([pn.ones(2), pn.ones(2)], [v, v]), lambda: optimizer.minimize(lambda: pn.sum(v * v), [v, v]))
    for step in steps:
        said = r"\[SGD\] a step can update each variable only once. Received: 'kernel' of shape \(2,\) twice"
        with pytest.raises(ValueError, match=said):
            run(step)()
    assert v.numpy().tolist() == [1.0, 2.0] and optimizer.iterations.item() == 0
    optimizer.apply([pn.ones(2), None], [v, v])


def test_a_loss_that_depends_on_no_variable_is_not_made_smaller():
    optimizer, v, other = optimizers.SGD(0.1), pn.Variable([1.0, 2.0]), pn.Variable(3.0)
    for variables in (None, [v], [v, other]):
        with pytest.raises(ValueError, match=r"\[SGD\] none of the . variables has a gradient.*with pynn ops"):
            optimizer.minimize(lambda: pn.stop_gradient(pn.sum(v * v)), variables)
    optimizer.minimize(lambda: pn.sum(v), [v, other])
    assert other.item() == 3.0 and optimizer.iterations.item() == 1


def test_a_schedule_that_fails_leaves_everything_as_it_was():
    def fails(step):
        raise RuntimeError("no rate")

    optimizer, w = optimizers.Nadam(fails), pn.Variable([1.0])
    with pytest.raises(RuntimeError, match="no rate"):
        optimizer.apply([pn.ones(1)], [w])
    assert [v.numpy().tolist() for v in optimizer.variables if not v.shape] == [0, 0.0, 1.0]


def test_no_pairs_of_gradient_and_variable():
    with pytest.raises(ValueError, match=r"\[SGD\] apply_gradients .* Received: no pairs"):
        optimizers.SGD().apply_gradients([])


def test_settings_that_need_slots_may_come_later():
    variables = [pn.Variable([1.0, 2.0])]
    optimizer = optimizers.SGD(0.5)
    optimizer.apply([pn.ones(2)], variables)
    optimizer.momentum = 0.5
    assert len(optimizer.slots) == 1
    for expected in ([0.0, 1.0], [-0.75, 0.25]):
        optimizer.apply([pn.ones(2)], variables)
        np.testing.assert_array_equal(variables[0].numpy(), expected)


def test_an_average_that_begins_later_begins_at_the_weight():
    optimizer, early, late = optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5), pn.Variable([1.0]), pn.Variable([8.0])
    optimizer.apply([pn.ones(1)], [early])
    optimizer.apply([pn.ones(1), pn.ones(1)], [early, late])
    optimizer.finalize_variable_values([early, late])
    assert (early.item(), late.item()) == (0.25, 7.75)


def test_a_rate_may_be_a_function_of_nothing():
    rates, w = iter([0.5, 0.25, "fast"]), pn.Variable([0.0])
    optimizer = optimizers.SGD(lambda: next(rates))
    for expected in (-0.5, -0.75):
        optimizer.apply([pn.ones(1)], [w])
        assert w.item() == expected
    with pytest.raises(TypeError, match=r"\[SGD\] a function must return the learning rate, a number. Received: 'fast' from <function"):
        optimizer.apply([pn.ones(1)], [w])
