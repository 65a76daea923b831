"""pynn through its public API: `fit`, `train_on_batch`, captured functions and eager ops. Gradient kernels by their op records."""

import numpy as np
from protocol import Batches, Case, by_parts, few_rows, fit_steps, images, normal, options, run, training_data
from pynn_nets import net
from workloads import AdamStep, Conv, CrossEntropy, Infer, MatMul, Matrix, MaxPool, Net, Recurrent, Small, Train

import pynn as pn
from pynn import layers

GIVEN = options()
pn.set_num_threads(GIVEN.threads)
pn.set_seed(0)


def model_of(row):
    """The model of a training or inference row, built."""
    if row.model == "linear":
        return pn.Sequential([layers.Dense(1, input_shape=(4,))])
    if row.model == "lstm_tiny":
        return pn.Sequential([layers.LSTM(row.units, input_shape=(1, 1)), layers.Dense(1)])
    if row.model == "mlp":
        front = [layers.Flatten(input_shape=(28, 28)), layers.Dense(row.units, activation="relu")]
    elif row.model.startswith("cnn"):
        kernel, first, second = (5, 8, 16) if row.model == "cnn_small" else (3, 32, 64)
        front = [
            layers.Conv2D(first, kernel, activation="relu", input_shape=(28, 28, 1)),
            layers.MaxPooling2D(2),
            layers.Conv2D(second, kernel, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            *([layers.Dropout(0.5)] if row.model == "cnn" else []),
        ]
    else:
        front = [(layers.GRU if row.model == "gru" else layers.LSTM)(row.units, input_shape=(row.steps, 28))]
    return pn.Sequential([*front, layers.Dense(10, activation="softmax")])


def compiled(row):
    model = model_of(row)
    optimizer = pn.optimizers.SGD(0.01) if row.optimizer == "sgd" else pn.optimizers.Adam(0.001)
    model.compile(optimizer=optimizer, loss="mean_squared_error" if row.is_full_batch else "sparse_categorical_crossentropy")
    return model


def inputs_of(row):
    x, y = training_data(row)
    return (x[..., None] if row.model.startswith("cnn") else x), (y if row.is_full_batch else y.astype(np.int32))


def train(row):
    x, y = inputs_of(row)
    steps = fit_steps(row)

    def fit():
        model = compiled(row)
        if row.is_full_batch:
            return lambda: model.fit(x, y, epochs=steps, batch_size=row.batch, shuffle=False, verbose=0)
        return by_parts(lambda x, y: model.fit(x, y, epochs=1, batch_size=row.batch, verbose=0), x, y, steps * row.batch)

    def train_on_batch():
        model, batches = compiled(row), Batches(len(x), row.batch)
        if row.is_full_batch:
            return lambda: model.train_on_batch(x, y)

        def step():
            rows = batches.next()
            return model.train_on_batch(x[rows], y[rows])

        return step

    yield Case("fit", fit, calls=steps)
    yield Case("train_on_batch", train_on_batch)
    if row.model == "linear":
        yield Case("function", lambda: linear_step(x, y))
        yield Case("repeat", lambda: repeated(linear_step(x, y), steps), calls=steps)


def linear_step(x, y):
    """Linear regression on tensors: gradients by the tape, captured."""
    x, y = pn.tensor(x), pn.tensor(y)
    w, b = pn.Variable(np.zeros((4, 1), np.float32)), pn.Variable(np.zeros((1,), np.float32))

    @pn.function
    def step():
        cost, (dw, db) = pn.value_and_grads(lambda w, b: ((x @ w + b - y) ** 2).mean())(w, b)
        w.assign(w - 0.01 * dw)
        b.assign(b - 0.01 * db)
        return cost

    return step


def repeated(step, steps):
    return lambda: pn.repeat(step, steps)


def infer(row):
    x = images(row.batch, row.steps)
    x = x[..., None] if row.model.startswith("cnn") else x
    model = model_of(row)
    yield Case("predict_on_batch", lambda: lambda: model.predict_on_batch(x))
    yield Case("call", lambda: lambda: np.asarray(model(x)))


def both(op, f, *operands):
    """The op called eagerly and as a captured function."""
    captured = pn.function(f)
    yield Case("eager", lambda: lambda: f(*operands), op)
    yield Case("function", lambda: lambda: captured(*operands), op)


def matmul(row):
    a, b, c = (pn.tensor(normal(*shape)) for shape in ((row.m, row.k), (row.k, row.n), (row.m, row.n)))
    yield from both("nn", pn.matmul, a, b)
    yield from both("nt", lambda c, b: pn.matmul(c, b, transpose_b=True), c, b)
    yield from both("tn", lambda a, c: pn.matmul(a, c, transpose_a=True), a, c)


def conv(row):
    from pynn.engine.apply import apply
    from pynn.ops.conv import CONV2D_GRAD_FILTER, CONV2D_GRAD_INPUT

    groups = row.in_channels if row.depthwise else 1
    attrs = dict(strides=(row.stride, row.stride), padding=row.padding, dilation=(1, 1), groups=groups, winograd=int(pn.winograd()))
    x = pn.tensor(normal(row.batch, row.size, row.size, row.in_channels))
    w = pn.tensor(normal(row.kernel, row.kernel, row.in_channels // groups, row.filters))
    dy = pn.tensor(normal(row.batch, row.out_size, row.out_size, row.filters))
    yield from both("fwd", lambda x, w: pn.conv2d(x, w, strides=row.stride, padding=row.padding, groups=groups), x, w)
    yield from both("gi", lambda dy, w: apply(CONV2D_GRAD_INPUT, dy, w, input_shape=x.shape, **attrs), dy, w)
    yield from both("gf", lambda x, dy: apply(CONV2D_GRAD_FILTER, x, dy, filter_shape=w.shape, **attrs), x, dy)


def recurrent(row):
    lstm = row.cell == "lstm"
    layer, gates = (pn.lstm, 4) if lstm else (pn.gru, 3)
    x, dy = pn.tensor(normal(row.batch, row.steps, row.inputs)), pn.tensor(normal(row.batch, row.steps, row.units))
    kernel, recurrent_kernel = (pn.tensor(normal(rows, gates * row.units) * 0.1) for rows in (row.inputs, row.units))
    bias = pn.tensor(np.zeros((gates * row.units,) if lstm else (2, gates * row.units), np.float32))
    weights = (kernel, recurrent_kernel, bias)
    yield from both("fwd", lambda x, *weights: layer(x, *weights)[0], x, *weights)
    yield from both("fwdbwd", lambda dy, *inputs: pn.grads(lambda *v: pn.sum(layer(*v)[0] * dy))(*inputs), dy, x, *weights)


def cross_entropy(row):
    logits = pn.tensor(normal(row.batch, row.classes))
    labels = pn.tensor(np.random.default_rng(1).integers(0, row.classes, row.batch).astype(np.int32))

    def loss(logits, labels):
        return pn.mean(pn.sparse_softmax_cross_entropy(logits, labels))

    yield from both("fwd", loss, logits, labels)
    yield from both("fwdbwd", lambda logits, labels: pn.value_and_grad(loss)(logits, labels), logits, labels)


def adam(row):
    def start():
        weight, m, v = pn.Variable(normal(row.size)), pn.Variable(pn.zeros((row.size,))), pn.Variable(pn.zeros((row.size,)))
        gradient = pn.tensor(normal(row.size))

        @pn.function
        def update():
            for variable, value in zip((weight, m, v), pn.adam_update(weight, m, v, gradient, 1e-6), strict=True):
                variable.assign(value)

        return update

    yield Case("function", start, "update")


def max_pool(row):
    from pynn.engine.apply import apply
    from pynn.ops.pool import MAX_POOL2D, MAX_POOL2D_GRAD

    attrs = dict(pool_size=(2, 2), strides=(2, 2), padding="valid")
    x = pn.tensor(normal(row.batch, row.size, row.size, row.channels))
    y, argmax = map(pn.tensor, MAX_POOL2D.fallback(x.numpy(), **attrs))
    dy = pn.tensor(normal(*y.shape))
    yield from both("fwd", pn.max_pool2d, x)
    yield from both("bwd", lambda dy, argmax: apply(MAX_POOL2D_GRAD, dy, argmax, input_shape=x.shape, **attrs), dy, argmax)


def matrix(row):
    calls = {
        "tanh": pn.tanh,
        "sin": pn.sin,
        "chosen": lambda x: pn.where(pn.abs(x) < 1.0, 0.5 * x * x, pn.abs(x) - 0.5),
        "masked": lambda x: x * pn.cast(x > 0.0, "float32"),
        "softmax": pn.softmax,
        "row_sums": lambda x: pn.sum(x, 1),
        "column_sums": lambda x: pn.sum(x, 0),
        "count": lambda x: pn.sum(x > 0.0),
        "running_sum": lambda x: pn.cumsum(x, 1),
        "running_product": lambda x: pn.cumprod(x, 1),
        "running_product_gradient": pn.grad(lambda x: pn.sum(pn.cumprod(x, 1))),
        "turned": lambda x: pn.flip(x, 1),
        "transposed": pn.transpose,
        "to_int32": lambda x: pn.cast(x, "int32"),
    }
    for op in row.ops:
        yield from both(op, calls[op], pn.tensor(normal(row.rows, row.columns)))


def layers_by_hand():
    """A step of a training loop that a user writes, nothing captured by hand."""
    hidden = [layers.Dense(32, activation="relu", input_shape=(16,)), layers.Dense(32, activation="relu")]
    model = pn.Sequential([*hidden, layers.Dense(4, activation="softmax")])
    x, y = few_rows()
    x, y = pn.tensor(x), pn.tensor(y.astype(np.int32))
    optimizer = pn.optimizers.Adam(0.001)

    def loss():
        return pn.losses.sparse_categorical_crossentropy(y, model(x, training=True)).mean()

    return lambda: optimizer.minimize(loss, model.trainable_weights)


def small(row):
    x, y = pn.tensor(normal(row.size, row.size)), pn.tensor(normal(row.size, row.size))
    w = pn.Variable(y)
    cost = pn.value_and_grads(lambda w: pn.mean((x @ w - y) ** 2))

    def descent():
        value, (dw,) = cost(w)
        w.assign_sub(0.01 * dw)
        return value

    calls = {
        "add": lambda: x + y,
        "times_number": lambda: x * 2.0,
        "exp": lambda: pn.exp(x),
        "mean": lambda: pn.mean(x),
        "matmul": lambda: x @ y,
        "row": lambda: x[0],
        "columns": lambda: x[:, 1:3],
        "joined": lambda: pn.concat([x, y]),
        "chosen": lambda: pn.where(x > y, x, y),
        "norm": lambda: pn.norm(x),
        "descent": descent,
        "layers": layers_by_hand(),
    }
    for op, call in calls.items():
        yield Case("eager", lambda call=call: call, op)


KINDS = {Train: train, Infer: infer, MatMul: matmul, Conv: conv, Recurrent: recurrent, CrossEntropy: cross_entropy,
         AdamStep: adam, MaxPool: max_pool, Matrix: matrix, Small: small, Net: net}  # fmt: skip


if __name__ == "__main__":
    from pynn.engine import kernels

    run(KINDS, {"pynn": pn.__version__, "backend": f"{pn.backend()} {kernels.target()}", "numpy": np.__version__})
