"""NumPy by hand, on the BLAS it came with: every step written down for its one model, without autograd or checks."""

import numpy as np
from protocol import Batches, Case, images, normal, run, training_data
from workloads import AdamStep, Conv, CrossEntropy, Infer, MatMul, Matrix, MaxPool, Recurrent, Small, Train

f4 = np.float32


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax_in_place(z):
    z -= z.max(1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(1, keepdims=True)
    return z


def train(row):
    steps = {"linear": linear_step, "mlp": mlp_step, "lstm_tiny": lstm_step}
    if row.model in steps:
        yield Case("manual", lambda: steps[row.model](row))


def linear_step(row):
    x, y = training_data(row)
    w, b, xt, rate = np.zeros((4, 1), f4), np.zeros(1, f4), x.T.copy(), f4(0.5 * 0.01)

    def step():
        d = x @ w
        d += b
        d -= y
        loss = np.vdot(d, d) / len(d)
        d *= rate
        np.subtract(w, xt @ d, out=w)
        np.subtract(b, d.sum(), out=b)
        return loss

    return step


def mlp_step(row):
    x, y = training_data(row)
    x = x.reshape(len(x), -1)
    first, second = normal(784, row.units) * f4(0.05), normal(row.units, 10) * f4(0.1)
    bias1, bias2 = np.zeros(row.units, f4), np.zeros(10, f4)
    batches, numbers, rate = Batches(len(x), row.batch), np.arange(row.batch), f4(0.01)

    def step():
        rows = batches.next()
        a, labels = x[rows], y[rows]
        h = a @ first
        h += bias1
        np.maximum(h, 0, out=h)
        z = h @ second
        z += bias2
        p = softmax_in_place(z)
        loss = -np.log(p[numbers, labels]).mean()
        p[numbers, labels] -= 1
        p *= f4(1 / row.batch)
        dh = p @ second.T
        dh *= h > 0
        np.subtract(second, rate * (h.T @ p), out=second)
        np.subtract(bias2, rate * p.sum(0), out=bias2)
        gradient = a.T @ dh
        gradient *= rate
        np.subtract(first, gradient, out=first)
        np.subtract(bias1, rate * dh.sum(0), out=bias1)
        return loss

    return step


def lstm_step(row):
    """One time step from a zero state: the recurrent matrix gets a zero gradient, Adam still updates it."""
    x, y = training_data(row)
    x, h4 = x[:, 0], row.units
    weights = [
        normal(1, 4 * h4) * f4(0.3),
        np.zeros(4 * h4, f4),
        normal(h4, 1) * f4(0.3),
        np.zeros(1, f4),
        normal(h4, 4 * h4) * f4(0.2),
    ]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    count = 0

    def step():
        nonlocal count
        kernel, bias, dense, dense_bias, _ = weights
        z = x @ kernel + bias
        i, g, o = sigmoid(z[:, :h4]), np.tanh(z[:, 2 * h4 : 3 * h4]), sigmoid(z[:, 3 * h4 :])
        c = np.tanh(i * g)
        h = o * c
        d = h @ dense + dense_bias - y
        loss = np.vdot(d, d) / len(d)
        dh = d @ dense.T
        dc = dh * o * (1 - c * c)
        dz = np.concatenate([dc * g * i * (1 - i), np.zeros_like(i), dc * i * (1 - g * g), dh * c * o * (1 - o)], 1)
        count += 1
        alpha = f4(0.001 * (1 - 0.999**count) ** 0.5 / (1 - 0.9**count))
        for w, (m, v), gradient in zip(weights, moments, [x.T @ dz, dz.sum(0), h.T @ d, d.sum(0), 0], strict=True):
            m *= f4(0.9)
            m += f4(0.1) * gradient
            v *= f4(0.999)
            v += f4(0.001) * (gradient * gradient)
            w -= alpha * m / (np.sqrt(v) + f4(1e-7))
        return loss

    return step


def infer(row):
    if row.model != "mlp":
        return
    x, first, second = images(row.batch).reshape(row.batch, -1), normal(784, row.units), normal(row.units, 10)
    bias1, bias2 = normal(row.units), normal(10)

    def call():
        h = x @ first
        h += bias1
        np.maximum(h, 0, out=h)
        z = h @ second
        z += bias2
        return softmax_in_place(z)

    yield Case("manual", lambda: call)


def matmul(row):
    a, b, c = (normal(*shape) for shape in ((row.m, row.k), (row.k, row.n), (row.m, row.n)))
    out_a, out_b, out_c = np.empty_like(a), np.empty_like(b), np.empty_like(c)
    yield Case("out", lambda: lambda: np.matmul(a, b, out=out_c), "nn")
    yield Case("out", lambda: lambda: np.matmul(c, b.T, out=out_a), "nt")
    yield Case("out", lambda: lambda: np.matmul(a.T, c, out=out_b), "tn")


def conv(row):
    if row.depthwise:
        return
    x = normal(row.batch, row.size, row.size, row.in_channels)
    w = normal(row.kernel**2 * row.in_channels, row.filters)
    dy = normal(row.batch * row.out_size**2, row.filters)
    pad = row.kernel // 2 if row.padding == "same" else 0

    def columns():
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))) if pad else x
        windows = np.lib.stride_tricks.sliding_window_view(padded, (row.kernel, row.kernel), (1, 2))
        return windows[:, :: row.stride, :: row.stride].transpose(0, 1, 2, 4, 5, 3).reshape(len(dy), len(w))

    yield Case("im2col", lambda: lambda: columns() @ w, "fwd")
    yield Case("im2col", lambda: lambda: columns().T @ dy, "gf")


def recurrent(row):
    gates, units = (4 if row.cell == "lstm" else 3), row.units
    x, kernel, recurrent_kernel = (
        normal(row.batch, row.steps, row.inputs),
        normal(row.inputs, gates * units) * f4(0.1),
        normal(units, gates * units) * f4(0.1),
    )
    bias = np.zeros(gates * units, f4)

    def forward():
        z = (x.reshape(-1, row.inputs) @ kernel + bias).reshape(row.batch, row.steps, -1).swapaxes(0, 1).copy()
        h = c = np.zeros((row.batch, units), f4)
        states = np.empty((row.steps, row.batch, units), f4)
        for step in range(row.steps):
            if row.cell == "lstm":
                a = z[step] + h @ recurrent_kernel
                i, f, o = (sigmoid(a[:, k * units : (k + 1) * units]) for k in (0, 1, 3))
                c = f * c + i * np.tanh(a[:, 2 * units : 3 * units])
                h = o * np.tanh(c)
            else:
                a, u = z[step], h @ recurrent_kernel
                gate = sigmoid(a[:, : 2 * units] + u[:, : 2 * units])
                update, reset = gate[:, :units], gate[:, units:]
                h = update * h + (1 - update) * np.tanh(a[:, 2 * units :] + reset * u[:, 2 * units :])
            states[step] = h
        return states

    yield Case("manual", lambda: forward, "fwd")


def cross_entropy(row):
    logits, labels = normal(row.batch, row.classes), np.random.default_rng(1).integers(0, row.classes, row.batch)
    numbers = np.arange(row.batch)

    def forward(gradient):
        z = logits - logits.max(1, keepdims=True)
        e = np.exp(z)
        total = e.sum(1, keepdims=True)
        loss = (np.log(total[:, 0]) - z[numbers, labels]).mean()
        if gradient:
            e /= total
            e[numbers, labels] -= 1
            e /= row.batch
        return loss

    yield Case("manual", lambda: lambda: forward(False), "fwd")
    yield Case("manual", lambda: lambda: forward(True), "fwdbwd")


def adam(row):
    w, gradient, m, v = normal(row.size), normal(row.size), np.zeros(row.size, f4), np.zeros(row.size, f4)
    first, second = np.empty_like(w), np.empty_like(w)

    def update():
        np.multiply(m, f4(0.9), out=m)
        np.multiply(gradient, f4(0.1), out=first)
        np.add(m, first, out=m)
        np.multiply(v, f4(0.999), out=v)
        np.multiply(gradient, gradient, out=first)
        np.multiply(first, f4(0.001), out=first)
        np.add(v, first, out=v)
        np.sqrt(v, out=first)
        np.add(first, f4(1e-7), out=first)
        np.divide(m, first, out=second)
        np.multiply(second, f4(1e-6), out=second)
        return np.subtract(w, second, out=w)

    yield Case("manual", lambda: update, "update")


def max_pool(row):
    x = normal(row.batch, row.size, row.size, row.channels)

    def forward():
        return np.maximum(np.maximum(x[:, ::2, ::2], x[:, 1::2, ::2]), np.maximum(x[:, ::2, 1::2], x[:, 1::2, 1::2]))

    yield Case("manual", lambda: forward, "fwd")


def matrix(row):
    x = normal(row.rows, row.columns)

    def softmax():
        return softmax_in_place(x.copy())

    calls = {
        "tanh": lambda: np.tanh(x),
        "sin": lambda: np.sin(x),
        "chosen": lambda: np.where(np.abs(x) < 1, f4(0.5) * x * x, np.abs(x) - f4(0.5)),
        "masked": lambda: x * (x > 0).astype(f4),
        "softmax": softmax,
        "row_sums": lambda: x.sum(1),
        "column_sums": lambda: x.sum(0),
        "count": lambda: np.count_nonzero(x > 0),
        "running_sum": lambda: np.cumsum(x, 1),
        "running_product": lambda: np.cumprod(x, 1),
        "turned": lambda: np.ascontiguousarray(x[:, ::-1]),
        "transposed": lambda: np.ascontiguousarray(x.T),
        "to_int32": lambda: x.astype(np.int32),
    }
    for op, call in calls.items():
        yield Case("manual", lambda call=call: call, op)


def small(row):
    x, y = normal(row.size, row.size), normal(row.size, row.size)
    w = y.copy()

    def descent():
        rest = x @ w - y
        w[...] -= f4(0.02 / rest.size) * (x.T @ rest)
        return np.mean(rest**2)

    calls = {
        "add": lambda: x + y,
        "times_number": lambda: x * f4(2),
        "exp": lambda: np.exp(x),
        "mean": lambda: np.mean(x),
        "matmul": lambda: x @ y,
        "row": lambda: x[0],
        "columns": lambda: x[:, 1:3],
        "joined": lambda: np.concatenate([x, y]),
        "chosen": lambda: np.where(x > y, x, y),
        "norm": lambda: np.linalg.norm(x),
        "descent": descent,
    }
    for op, call in calls.items():
        yield Case("manual" if op == "descent" else "eager", lambda call=call: call, op)


KINDS = {Train: train, Infer: infer, MatMul: matmul, Conv: conv, Recurrent: recurrent, CrossEntropy: cross_entropy,
         AdamStep: adam, MaxPool: max_pool, Matrix: matrix, Small: small}  # fmt: skip


if __name__ == "__main__":
    run(KINDS, {"numpy": np.__version__})
