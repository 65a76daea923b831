"""scikit-learn's MLPClassifier, the dense model only: `fit` over shuffled batches and `partial_fit` on one, SGD without momentum."""

import warnings

import numpy as np
import sklearn
from protocol import Batches, Case, fit_steps, images, run, training_data
from sklearn.neural_network import MLPClassifier
from workloads import Infer, Train

warnings.simplefilter("ignore")  # one epoch does not converge, and says so


def network(row, batch):
    return MLPClassifier(
        (row.units,), solver="sgd", learning_rate_init=0.01, momentum=0, alpha=0, batch_size=batch, max_iter=1, shuffle=True
    )


def infer(row):
    if row.model == "mlp":
        fitted = network(row, 10).fit(images(10).reshape(10, -1), np.arange(10))
        x = images(row.batch).reshape(row.batch, -1)
        yield Case("predict_proba", lambda: lambda: fitted.predict_proba(x))


def train(row):
    if row.model != "mlp":
        return
    x, y = training_data(row)
    x, steps = x.reshape(len(x), -1), fit_steps(row)

    def partial_fit():
        classifier, batches, classes = network(row, row.batch), Batches(len(x), row.batch), np.arange(10)

        def step():
            rows = batches.next()
            return classifier.partial_fit(x[rows], y[rows], classes=classes)

        return step

    yield Case("fit", lambda: lambda: network(row, row.batch).fit(x[: steps * row.batch], y[: steps * row.batch]), calls=steps)
    yield Case("partial_fit", partial_fit)


KINDS = {Train: train, Infer: infer}


if __name__ == "__main__":
    run(KINDS, {"scikit-learn": sklearn.__version__, "numpy": np.__version__})
