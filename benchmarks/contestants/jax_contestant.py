"""JAX on CPU: jitted steps with donated state, the gather inside, and many steps in one `scan`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from protocol import Batches, Case, images, normal, run, training_data
from workloads import AdamStep, Conv, CrossEntropy, Infer, MatMul, Matrix, MaxPool, Recurrent, Small, Train

block = jax.block_until_ready
SCAN_STEPS, LOOP_STEPS = 100, 1000


def glorot(*shape):
    limit = np.sqrt(6 / (np.prod(shape[:-1]) + shape[-1]))
    return jnp.asarray(normal(*shape) * np.float32(limit / 2))


def dense(inputs, outputs):
    return {"w": glorot(inputs, outputs), "b": jnp.zeros(outputs)}


def linear(p, x):
    return x @ p["w"] + p["b"]


def convolve(x, w, stride=1, padding="VALID", groups=1):
    return lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)


def pool(x):
    """2 x 2 max pooling by reshape: its gradient costs far less than that of `reduce_window`."""
    n, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def pool_by_window(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def gru(p, x, unroll=1):
    def step(h, a):
        z = h @ p["u"] + p["c"]
        (az, ar, ah), (uz, ur, uh) = jnp.split(a, 3, 1), jnp.split(z, 3, 1)
        update = jax.nn.sigmoid(az + uz)
        h = update * h + (1 - update) * jnp.tanh(ah + jax.nn.sigmoid(ar + ur) * uh)
        return h, h

    projected = jnp.swapaxes(x @ p["w"] + p["b"], 0, 1)
    return lax.scan(step, jnp.zeros((x.shape[0], p["u"].shape[0])), projected, unroll=unroll)


def lstm(p, x, unroll=1):
    def step(state, a):
        h, c = state
        i, f, g, o = jnp.split(a + h @ p["u"], 4, 1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((x.shape[0], p["u"].shape[0]))
    (h, _), states = lax.scan(step, (zero, zero), jnp.swapaxes(x @ p["w"] + p["b"], 0, 1), unroll=unroll)
    return h, states


def cell(kind, inputs, units):
    gates = 3 if kind == "gru" else 4
    p = {"w": glorot(inputs, gates * units), "u": glorot(units, gates * units), "b": jnp.zeros(gates * units)}
    return {**p, "c": jnp.zeros(gates * units)} if kind == "gru" else p


def model_of(row, unroll=1):
    """(parameters, function of parameters, x and a key for dropout or None)."""
    if row.model == "linear":
        return dense(4, 1), lambda p, x, key: linear(p, x)
    if row.model == "mlp":
        p = [dense(784, row.units), dense(row.units, 10)]
        return p, lambda p, x, key: linear(p[1], jax.nn.relu(linear(p[0], x.reshape(len(x), -1))))
    if row.model.startswith("cnn"):
        return cnn_of(row)
    inputs, outputs = (1, 1) if row.model == "lstm_tiny" else (28, 10)
    kind = "gru" if row.model == "gru" else "lstm"
    layer = gru if kind == "gru" else lstm
    return [cell(kind, inputs, row.units), dense(row.units, outputs)], lambda p, x, key: linear(p[1], layer(p[0], x, unroll)[0])


def cnn_of(row):
    kernel, first, second, flat = (5, 8, 16, 256) if row.model == "cnn_small" else (3, 32, 64, 1600)
    filters = [{"w": glorot(kernel, kernel, i, o), "b": jnp.zeros(o)} for i, o in ((1, first), (first, second))]

    def apply(p, x, key):
        for layer in p[:2]:
            x = pool(jax.nn.relu(convolve(x, layer["w"]) + layer["b"]))
        x = x.reshape(len(x), -1)
        if row.model == "cnn" and key is not None:
            x = jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x * 2, 0)
        return linear(p[2], x)

    return [*filters, dense(flat, 10)], apply


def stepper(row, unroll=1):
    """(state, function of state, x, y and a key: (new state, loss))."""
    parameters, apply = model_of(row, unroll)
    tree = jax.tree.map

    def loss(p, x, y, key):
        z = apply(p, x, key)
        return jnp.mean((z - y) ** 2) if row.is_full_batch else -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))

    def sgd(state, x, y, key):
        value, g = jax.value_and_grad(loss)(state, x, y, key)
        return tree(lambda p, g: p - 0.01 * g, state, g), value

    def adam(state, x, y, key):
        p, m, v, t = state
        value, g = jax.value_and_grad(loss)(p, x, y, key)
        t = t + 1
        alpha = 0.001 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        return (tree(lambda p, m, v: p - alpha * m / (jnp.sqrt(v) + 1e-7), p, m, v), m, v, t), value

    if row.optimizer == "sgd":
        return parameters, sgd
    return (parameters, tree(jnp.zeros_like, parameters), tree(jnp.zeros_like, parameters), jnp.zeros(())), adam


def train(row):
    x, y = training_data(row)
    x = x[..., None] if row.model.startswith("cnn") else x
    y = y if row.is_full_batch else y.astype(np.int32)

    def jitted(gather=False, unroll=1):
        state, update = stepper(row, unroll)
        all_x, all_y, batches = jnp.asarray(x), jnp.asarray(y), Batches(len(x), row.batch)

        def work(state, key, a, b):
            if gather:
                a, b = all_x[a], all_y[b]
            key, used = jax.random.split(key) if row.model == "cnn" else (key, None)
            state, value = update(state, a, b, used)
            return state, key, value

        compiled, kept = jax.jit(work, donate_argnums=0), [jax.tree.map(jnp.array, state), jax.random.PRNGKey(0)]

        def step():
            if row.is_full_batch:
                a, b = all_x, all_y
            else:
                rows = batches.next()
                a, b = (rows, rows) if gather else (x[rows], y[rows])
            kept[0], kept[1], value = compiled(*kept, a, b)
            return value

        return step

    yield Case("jit", jitted, sync=block)
    if row.is_full_batch:
        yield Case("loop", lambda: looped(row, x, y), calls=LOOP_STEPS, sync=block)
        yield Case("loop_unroll8", lambda: looped(row, x, y, 8), calls=LOOP_STEPS, sync=block)
        return
    yield Case("jit_gather", lambda: jitted(gather=True), sync=block)
    unrolled = row.model in ("gru", "lstm")
    if unrolled:
        yield Case("jit_gather_unroll4", lambda: jitted(gather=True, unroll=4), sync=block)
    if not row.model.startswith("cnn"):  # XLA runs convolutions inside a loop several times slower
        steps = min(SCAN_STEPS, row.steps_per_epoch)
        yield Case("scan", lambda: scanned(row, x, y, steps), calls=steps, sync=block)
        if unrolled:
            yield Case("scan_unroll4", lambda: scanned(row, x, y, steps, 4), calls=steps, sync=block)


def scanned(row, x, y, steps, unroll=1):
    """Many steps in one call, each gathering its rows."""
    state, update = stepper(row, unroll)
    x, y, kept, batches = jnp.asarray(x), jnp.asarray(y), [state], Batches(row.samples, steps * row.batch)

    @jax.jit
    def run_steps(state, order):
        return lax.scan(lambda state, rows: update(state, x[rows], y[rows], None), state, order)

    def call():
        kept[0], losses = run_steps(kept[0], batches.next().reshape(steps, row.batch).astype(np.int32))
        return losses

    return call


def looped(row, x, y, unroll=1):
    """Many steps on the same few rows in one call, which gives the last loss."""
    state, update = stepper(row)
    x, y, kept = jnp.asarray(x), jnp.asarray(y), [(state, jnp.zeros(()))]
    run_steps = jax.jit(lambda carry: lax.fori_loop(0, LOOP_STEPS, lambda _, c: update(c[0], x, y, None), carry, unroll=unroll))

    def call():
        kept[0] = run_steps(kept[0])
        return kept[0][1]

    return call


def infer(row):
    x = images(row.batch, row.steps)
    x = x[..., None] if row.model.startswith("cnn") else x
    for variant, unroll in (("jit", 1), ("jit_unroll28", 28)) if row.model == "gru" else (("jit", 1),):
        parameters, apply = model_of(row, unroll)
        forward = jax.jit(lambda p, x, apply=apply: jax.nn.softmax(apply(p, x, None)))
        fixed = jax.jit(lambda x, p=parameters, apply=apply: jax.nn.softmax(apply(p, x, None)))
        yield Case(variant, lambda f=forward, p=parameters: lambda: np.asarray(f(p, x)))
        yield Case(f"{variant}_fixed", lambda f=fixed: lambda: np.asarray(f(x)))


def jitted(op, variant, f, *operands):
    compiled = jax.jit(f)
    return Case(variant, lambda: lambda: compiled(*operands), op, sync=block)


def matmul(row):
    a, b, c = (jnp.asarray(normal(*shape)) for shape in ((row.m, row.k), (row.k, row.n), (row.m, row.n)))
    yield jitted("nn", "jit", lambda a, b: a @ b, a, b)
    yield jitted("nt", "jit", lambda c, b: c @ b.T, c, b)
    yield jitted("tn", "jit", lambda a, c: a.T @ c, a, c)


def conv(row):
    groups = row.in_channels if row.depthwise else 1
    x = jnp.asarray(normal(row.batch, row.size, row.size, row.in_channels))
    w = jnp.asarray(normal(row.kernel, row.kernel, row.in_channels // groups, row.filters))
    dy = jnp.asarray(normal(row.batch, row.out_size, row.out_size, row.filters))

    def forward(x, w):
        return convolve(x, w, row.stride, row.padding.upper(), groups)

    yield jitted("fwd", "jit", forward, x, w)
    yield jitted("gi", "jit", lambda dy, w: jax.linear_transpose(lambda x: forward(x, w), x)(dy)[0], dy, w)
    yield jitted("gf", "jit", lambda dy, x: jax.linear_transpose(lambda w: forward(x, w), w)(dy)[0], dy, x)


def recurrent(row):
    p, layer = cell(row.cell, row.inputs, row.units), lstm if row.cell == "lstm" else gru
    x, dy = jnp.asarray(normal(row.batch, row.steps, row.inputs)), jnp.asarray(normal(row.steps, row.batch, row.units))
    for variant, unroll in (("scan", 1), ("unroll4", 4)):
        yield jitted("fwd", variant, lambda p, x, unroll=unroll: layer(p, x, unroll)[1], p, x)
        yield jitted("fwdbwd", variant, lambda p, x, dy, unroll=unroll: jax.vjp(lambda p, x: layer(p, x, unroll)[1], p, x)[1](dy), p, x, dy)


def cross_entropy(row):
    logits, labels = (
        jnp.asarray(normal(row.batch, row.classes)),
        jnp.asarray(np.random.default_rng(1).integers(0, row.classes, row.batch)),
    )

    def loss(logits, labels):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))

    yield jitted("fwd", "jit", loss, logits, labels)
    yield jitted("fwdbwd", "jit", jax.value_and_grad(loss), logits, labels)


def adam(row):
    def start():
        gradient = jnp.asarray(normal(row.size))

        def update(p, m, v, t):
            t = t + 1
            alpha = 1e-6 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            m = 0.9 * m + 0.1 * gradient
            v = 0.999 * v + 0.001 * gradient * gradient
            return p - alpha * m / (jnp.sqrt(v) + 1e-7), m, v, t

        compiled = jax.jit(update, donate_argnums=(0, 1, 2))
        state = [jnp.asarray(normal(row.size)), jnp.zeros(row.size), jnp.zeros(row.size), jnp.zeros(())]

        def call():
            state[:] = compiled(*state)
            return state[0]

        return call

    yield Case("jit", start, "update", sync=block)


def max_pool(row):
    x = jnp.asarray(normal(row.batch, row.size, row.size, row.channels))
    dy = jnp.asarray(normal(row.batch, row.size // 2, row.size // 2, row.channels))
    for variant, f in (("reshape", pool), ("reduce_window", pool_by_window)):
        yield jitted("fwd", variant, f, x)
        yield jitted("bwd", variant, lambda x, dy, f=f: jax.vjp(f, x)[1](dy)[0], x, dy)


def matrix(row):
    x = jnp.asarray(normal(row.rows, row.columns))
    calls = {
        "tanh": jnp.tanh,
        "sin": jnp.sin,
        "chosen": lambda x: jnp.where(jnp.abs(x) < 1, 0.5 * x * x, jnp.abs(x) - 0.5),
        "masked": lambda x: x * (x > 0).astype(jnp.float32),
        "softmax": jax.nn.softmax,
        "row_sums": lambda x: x.sum(1),
        "column_sums": lambda x: x.sum(0),
        "count": lambda x: (x > 0).sum(),
        "running_sum": lambda x: jnp.cumsum(x, 1),
        "running_product": lambda x: jnp.cumprod(x, 1),
        "running_product_gradient": jax.grad(lambda x: jnp.cumprod(x, 1).sum()),
        "turned": lambda x: jnp.flip(x, 1),
        "transposed": lambda x: x.T,
        "to_int32": lambda x: x.astype(jnp.int32),
    }
    for op in row.ops:
        yield jitted(op, "jit", calls[op], x)


def small(row):
    x, y = jnp.asarray(normal(row.size, row.size)), jnp.asarray(normal(row.size, row.size))
    state = [y]
    cost = jax.value_and_grad(lambda w: jnp.mean((x @ w - y) ** 2))

    def descent():
        value, dw = cost(state[0])
        state[0] = state[0] - 0.01 * dw
        return value

    calls = {
        "add": lambda: x + y,
        "times_number": lambda: x * 2.0,
        "exp": lambda: jnp.exp(x),
        "mean": lambda: jnp.mean(x),
        "matmul": lambda: x @ y,
        "row": lambda: x[0],
        "columns": lambda: x[:, 1:3],
        "joined": lambda: jnp.concatenate([x, y]),
        "chosen": lambda: jnp.where(x > y, x, y),
        "norm": lambda: jnp.linalg.norm(x),
        "descent": descent,
    }
    for op, call in calls.items():
        yield Case("eager", lambda call=call: call, op, sync=block)


KINDS = {Train: train, Infer: infer, MatMul: matmul, Conv: conv, Recurrent: recurrent, CrossEntropy: cross_entropy,
         AdamStep: adam, MaxPool: max_pool, Matrix: matrix, Small: small}  # fmt: skip


if __name__ == "__main__":
    run(KINDS, {"jax": jax.__version__, "numpy": np.__version__})
