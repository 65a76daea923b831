"""Metrics against their formulas over several batches, eager and captured; the choice of an accuracy."""

from __future__ import annotations

import numpy as np
import pytest

import pynn as pn
from pynn import losses, metrics

rng = np.random.default_rng(0)
P = rng.uniform(0.02, 0.98, (12, 4))
LABELS = rng.integers(0, 4, 12)
ONE_HOT = np.eye(4)[LABELS]
BITS = (rng.uniform(size=(12, 4)) > 0.5).astype(float)
WEIGHTS = rng.uniform(0.5, 2, 12)


def rank_below(k):
    return ((P > P[np.arange(12), LABELS][:, None]).sum(-1) < k).astype(float)


def curve_area(y, p):
    """The share of (positive, negative) pairs in the right order."""
    return np.mean([(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]])


MEANS = [
    (lambda: metrics.BinaryAccuracy(), BITS, ((P > 0.5) == BITS).mean(-1)),
    (lambda: metrics.BinaryAccuracy(threshold=0.3), BITS, ((P > 0.3) == BITS).mean(-1)),
    (lambda: metrics.CategoricalAccuracy(), ONE_HOT, (P.argmax(-1) == LABELS).astype(float)),
    (lambda: metrics.SparseCategoricalAccuracy(), LABELS, (P.argmax(-1) == LABELS).astype(float)),
    (lambda: metrics.TopKCategoricalAccuracy(2), ONE_HOT, rank_below(2)),
    (lambda: metrics.SparseTopKCategoricalAccuracy(3), LABELS, rank_below(3)),
    (lambda: metrics.MeanSquaredError(), BITS, ((P - BITS) ** 2).mean(-1)),
    (lambda: metrics.SparseCategoricalCrossentropy(), LABELS, -np.log(P[np.arange(12), LABELS] / P.sum(-1))),
    (lambda: metrics.get(lambda t, p: pn.mean(p, axis=-1)), BITS, P.mean(-1)),
]


def fed(metric, y_true, y_pred, weights=None, captured=False):
    def update(t, p, *w):
        metric.update_state(t, p, *w)
        return metric.variables[0]

    step = pn.function(update) if captured else update
    for part in (slice(0, 5), slice(5, 10), slice(10, 12)):
        extra = () if weights is None else (pn.tensor(weights[part]),)
        step(pn.tensor(y_true[part]), pn.tensor(y_pred[part]), *extra)
    return metric.result().numpy()


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("make, y_true, values", MEANS)
def test_means_over_batches(make, y_true, values, captured):
    assert fed(make(), y_true, P, captured=captured) == pytest.approx(values.mean(), rel=1e-6)
    assert fed(make(), y_true, P, WEIGHTS, captured) == pytest.approx((values * WEIGHTS).sum() / WEIGHTS.sum(), rel=1e-6)
    metric = make()
    np.testing.assert_allclose(metric.per_sample(pn.tensor(y_true), pn.tensor(P)).numpy(), values, rtol=1e-6)
    fed(metric, y_true, P)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_accuracies_of_each_example():
    bits, shares = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.6, 0.5], [0.4, 0.7]])  # what is at the threshold isn't above it
    np.testing.assert_array_equal(metrics.binary_accuracy(bits, shares), [1, 0.5])
    np.testing.assert_array_equal(metrics.binary_accuracy(bits, shares, threshold=0.7), [0.5, 0])
    np.testing.assert_array_equal(metrics.BinaryAccuracy().per_sample(bits[None], shares[None]), [0.75])


def test_counts_at_thresholds():
    true, said = BITS == 1, P > 0.5
    assert fed(metrics.Precision(), BITS, P) == pytest.approx((true & said).sum() / said.sum())
    assert fed(metrics.Recall(), BITS, P, captured=True) == pytest.approx((true & said).sum() / true.sum())
    several = fed(metrics.Recall([0.2, 0.8]), BITS, P)
    np.testing.assert_allclose(several, [(true & (P > t)).sum() / true.sum() for t in (0.2, 0.8)])


def test_area_under_the_curve():
    y, p = BITS[:, :1], P[:, :1]
    assert fed(metrics.AUC(1000), y, p) == pytest.approx(curve_area(y[:, 0], p[:, 0]), abs=0.02)


@pytest.mark.parametrize("targets, weights, thresholds, area", [
    ([0, 0, 1, 1], None, 200, 0.7972674),
    ([0, 0, 1, 1], [1, 2, 0.5, 1], 200, 0.7944658),
    ([0, 0, 1, 1], None, 5, 0.8873265),
    ([0, 0, 0, 0], None, 200, 0.0),
])  # fmt: skip
def test_precision_over_recall_as_keras_has_it(targets, weights, thresholds, area):
    metric = metrics.AUC(thresholds, curve="PR")
    metric.update_state(targets, [0.0, 0.5, 0.3, 0.9], weights)
    assert float(metric.result()) == pytest.approx(area, abs=1e-6)


@pytest.mark.parametrize("targets, wanted", [([[2.0, 1], [2, 2], [2, 3]], 0.25), ([[0.3, 0.1]] * 3, 0.0), ([[0.0, 0.0]] * 3, 0.0)])
def test_targets_that_do_not_vary_count_as_zero(targets, wanted):
    assert float(metrics.R2Score()(targets, [[1.0, 1.0], [2.0, 2.0], [3.0, 4.0]])) == pytest.approx(wanted)


def test_root_and_r2():
    t = rng.normal(size=(12, 4))
    assert fed(metrics.RootMeanSquaredError(), t, P) == pytest.approx(np.sqrt(((t - P) ** 2).mean()))
    wanted = (1 - ((t - P) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)).mean()
    assert fed(metrics.R2Score(), t, P) == pytest.approx(wanted)


def test_mean_and_sum():
    mean, total = metrics.Mean(), metrics.Sum()
    for v in ([1.0, 2.0], [6.0]):
        mean.update_state(v), total.update_state(v)
    assert float(mean.result()) == 3 and float(total.result()) == 9
    assert float(mean(3.0)) == 3


@pytest.mark.parametrize(
    "loss, target, output, kind",
    [
        ("binary_crossentropy", (8, 1), (8, 1), metrics.BinaryAccuracy),
        ("binary_crossentropy", (8, 5), (8, 5), metrics.BinaryAccuracy),
        ("categorical_crossentropy", (8, 5), (8, 5), metrics.CategoricalAccuracy),
        ("sparse_categorical_crossentropy", (8,), (8, 5), metrics.SparseCategoricalAccuracy),
        ("mse", (8, 1), (8, 1), metrics.BinaryAccuracy),
        ("mse", (8, 4, 1), (8, 4, 1), metrics.BinaryAccuracy),
        ("mse", (8, 1), (8, 5), metrics.SparseCategoricalAccuracy),
        ("mse", (8,), (8, 5), metrics.SparseCategoricalAccuracy),
        ("mse", (8, 5), (8, 5), metrics.CategoricalAccuracy),
    ],
)
def test_accuracy_is_chosen_by_the_loss_and_the_shapes(loss, target, output, kind):
    for word in ("accuracy", "acc"):
        metric = metrics.get(word, loss=losses.get(loss), target=target, output=output)
        assert type(metric) is kind and metric.name == word


def test_names_and_configs():
    assert metrics.get("mse").name == "mse" and isinstance(metrics.get("meanAbsoluteError"), metrics.MeanAbsoluteError)
    for cls in set(metrics.REGISTER.entries.values()):
        config = cls().get_config()
        assert cls.from_config(config).get_config() == config
    with pytest.raises(ValueError, match="Did you mean"):
        metrics.get("binary_acuracy")


def test_a_metric_of_ones_own_lacks_nothing_silently():
    with pytest.raises(NotImplementedError, match="must define update_state"):
        metrics.Metric()([1.0], [1.0])
    with pytest.raises(NotImplementedError, match="must define result"):
        metrics.Metric().result()


@pytest.mark.parametrize("name", ["BinaryCrossentropy", "CategoricalCrossentropy"])
def test_crossentropy_metrics_smooth_labels_as_the_losses_do(name):
    y_true, y_pred = np.eye(3, dtype=np.float32), np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.4, 0.5]], np.float32)
    metric = getattr(pn.metrics, name)(label_smoothing=0.2)
    metric.update_state(y_true, y_pred)
    wanted = float(getattr(pn.losses, name)(label_smoothing=0.2)(y_true, y_pred))
    assert abs(float(metric.result()) - wanted) < 1e-6
    assert type(metric).from_config(metric.get_config()).arguments["label_smoothing"] == 0.2
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\]. Received: label_smoothing=2"):
        getattr(pn.metrics, name)(label_smoothing=2)
