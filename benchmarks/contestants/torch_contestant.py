"""PyTorch on CPU at its quickest: hand-written loops over tensors, fused optimizers, channels-last convolutions, gradients by hand."""

import shutil

import torch
from protocol import Batches, Case, few_rows, images, normal, options, run, training_data
from torch import nn
from torch.nn import functional
from torch_nets import descend, net
from workloads import AdamStep, Conv, CrossEntropy, Infer, MatMul, Matrix, MaxPool, Net, Recurrent, Small, Train

GIVEN = options()
torch.set_num_threads(GIVEN.threads)
torch.manual_seed(0)
LAYOUTS = (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last))


class LastState(nn.Module):
    """A recurrent layer, and a dense layer on its last state."""

    def __init__(self, cell, inputs, units, outputs):
        super().__init__()
        self.recurrent, self.dense = cell(inputs, units, batch_first=True), nn.Linear(units, outputs)

    def forward(self, x):
        return self.dense(self.recurrent(x)[0][:, -1])


class ChannelsLast(nn.Module):
    """Changes the layout: of one channel torch doesn't see which it is, and goes on in the slower one."""

    def forward(self, x):
        return x.contiguous(memory_format=torch.channels_last)


def model_of(row, quick=False):
    """The model; `quick`: channels last from the first convolution on, and ReLU after pooling, which gives the same result sooner."""
    if row.model == "linear":
        return nn.Linear(4, 1)
    if row.model == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, row.units), nn.ReLU(), nn.Linear(row.units, 10))
    if row.model.startswith("cnn"):
        kernel, first, second, flat = (5, 8, 16, 256) if row.model == "cnn_small" else (3, 32, 64, 1600)
        one, two = nn.Conv2d(1, first, kernel), nn.Conv2d(first, second, kernel)
        back = [nn.Flatten(), *([nn.Dropout(0.5)] if row.model == "cnn" else []), nn.Linear(flat, 10)]
        if quick:
            net = nn.Sequential(one, ChannelsLast(), nn.MaxPool2d(2), nn.ReLU(), two, nn.MaxPool2d(2), nn.ReLU(), *back)
            return net.to(memory_format=torch.channels_last)
        return nn.Sequential(one, nn.ReLU(), nn.MaxPool2d(2), two, nn.ReLU(), nn.MaxPool2d(2), *back)
    if row.model == "lstm_tiny":
        return LastState(nn.LSTM, 1, row.units, 1)
    return LastState(nn.GRU if row.model == "gru" else nn.LSTM, 28, row.units, 10)


def tensors_of(row):
    x, y = map(torch.from_numpy, training_data(row))
    return (x[:, None] if row.model.startswith("cnn") else x), y


def train(row):
    x, y = tensors_of(row)

    def loop(compiled=False, quick=False):
        net = model_of(row, quick)
        loss_of = functional.mse_loss if row.is_full_batch else functional.cross_entropy
        optimizer = (torch.optim.SGD if row.optimizer == "sgd" else torch.optim.Adam)(
            net.parameters(), lr=0.01 if row.optimizer == "sgd" else 0.001, fused=True
        )

        def forward(a, b):
            return loss_of(net(a), b)

        forward = torch.compile(forward) if compiled else forward
        batches = Batches(len(x), row.batch, torch.randperm)

        def step():
            if row.is_full_batch:
                a, b = x, y
            else:
                rows = batches.next()
                a, b = x[rows], y[rows]
            return descend(optimizer, forward(a, b))

        return step

    yield Case("loop_fused", loop)
    if row.model.startswith("cnn"):
        yield Case("loop_fused_nhwc", lambda: loop(quick=True))
    if row.model == "linear":
        yield Case("manual", lambda: linear_by_hand(x, y))
    if row.model == "mlp":
        yield Case("manual", lambda: mlp_by_hand(row, x, y))
    if GIVEN.compile and shutil.which("g++") and row.model not in ("gru", "lstm"):
        yield Case("compile", lambda: loop(compiled=True))
        if row.model.startswith("cnn"):
            yield Case("compile_nhwc", lambda: loop(compiled=True, quick=True))


def linear_by_hand(x, y):
    w, b = torch.zeros(4, 1), torch.zeros(1)

    def step():
        z = torch.addmm(b, x, w)
        loss = functional.mse_loss(z, y)
        d = z.sub_(y).mul_(0.5)
        w.addmm_(x.T, d, alpha=-0.01)
        b.sub_(d.sum(), alpha=0.01)
        return loss

    return step


def mlp_by_hand(row, x, y):
    """The step without autograd: every gradient written down, weights updated by the products that make their gradients."""
    x = x.reshape(len(x), -1)
    first, second = torch.randn(784, row.units) * 0.05, torch.randn(row.units, 10) * 0.1
    bias1, bias2 = torch.zeros(row.units), torch.zeros(10)
    batches, numbers = Batches(len(x), row.batch, torch.randperm), torch.arange(row.batch)

    @torch.inference_mode()
    def step():
        rows = batches.next()
        a, labels = x[rows], y[rows]
        h = torch.addmm(bias1, a, first).relu_()
        z = torch.addmm(bias2, h, second).log_softmax(1)
        loss = functional.nll_loss(z, labels)
        z.exp_()
        z[numbers, labels] -= 1
        z *= 1 / row.batch
        dh = (z @ second.T).mul_(h > 0)
        second.addmm_(h.T, z, alpha=-0.01)
        bias2.sub_(z.sum(0), alpha=0.01)
        first.addmm_(a.T, dh, alpha=-0.01)
        bias1.sub_(dh.sum(0), alpha=0.01)
        return loss

    return step


def infer(row):
    x = torch.from_numpy(images(row.batch, row.steps))
    x = x[:, None] if row.model.startswith("cnn") else x
    net = model_of(row).eval()

    def call(net, x):
        @torch.inference_mode()
        def forward():
            return net(x).softmax(1).numpy()

        return forward

    yield Case("eager", lambda: call(net, x))
    yield Case("traced", lambda: call(traced(net, x), x))
    if row.model.startswith("cnn"):
        quick = model_of(row, quick=True).eval()
        yield Case("eager_nhwc", lambda: call(quick, x))
        yield Case("traced_nhwc", lambda: call(traced(quick, x), x))
    if GIVEN.compile and shutil.which("g++") and row.model != "gru":
        yield Case("compile", lambda: call(torch.compile(net), x))


def traced(net, x):
    import warnings

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))


def inference(f):
    return torch.inference_mode()(f)


def matmul(row):
    a, b, c = (torch.from_numpy(normal(*shape)) for shape in ((row.m, row.k), (row.k, row.n), (row.m, row.n)))
    out_a, out_b, out_c = torch.empty_like(a), torch.empty_like(b), torch.empty_like(c)
    yield Case("out", lambda: inference(lambda: torch.mm(a, b, out=out_c)), "nn")
    yield Case("out", lambda: inference(lambda: torch.mm(c, b.T, out=out_a)), "nt")
    yield Case("out", lambda: inference(lambda: torch.mm(a.T, c, out=out_b)), "tn")


def conv(row):
    groups = row.in_channels if row.depthwise else 1
    pad, stride = row.kernel // 2 if row.padding == "same" else 0, [row.stride] * 2
    for layout, memory in LAYOUTS:
        x = torch.from_numpy(normal(row.batch, row.in_channels, row.size, row.size)).contiguous(memory_format=memory)
        w = torch.from_numpy(normal(row.filters, row.in_channels // groups, row.kernel, row.kernel)).contiguous(memory_format=memory)
        forward = inference(lambda x=x, w=w: functional.conv2d(x, w, None, stride, pad, 1, groups))
        dy = torch.randn_like(forward())

        def backward(mask, x=x, w=w, dy=dy):
            arguments = dy, x, w, None, stride, [pad, pad], [1, 1], False, [0, 0], groups, mask
            return inference(lambda: torch.ops.aten.convolution_backward(*arguments))

        yield Case(layout, lambda forward=forward: forward, "fwd")
        yield Case(layout, lambda backward=backward: backward([True, False, False]), "gi")
        yield Case(layout, lambda backward=backward: backward([False, True, False]), "gf")


def recurrent(row):
    net = (nn.LSTM if row.cell == "lstm" else nn.GRU)(row.inputs, row.units, batch_first=True)
    x, dy = torch.from_numpy(normal(row.batch, row.steps, row.inputs)), torch.from_numpy(normal(row.batch, row.steps, row.units))
    watched = x.clone().requires_grad_()

    def forward_backward():
        net.zero_grad(set_to_none=True)
        watched.grad = None
        net(watched)[0].backward(dy)

    yield Case("eager", lambda: inference(lambda: net(x)), "fwd")
    yield Case("eager", lambda: forward_backward, "fwdbwd")


def cross_entropy(row):
    logits, labels = torch.from_numpy(normal(row.batch, row.classes)), torch.randint(0, row.classes, (row.batch,))
    watched = logits.clone().requires_grad_()

    def forward_backward():
        watched.grad = None
        functional.cross_entropy(watched, labels).backward()

    yield Case("eager", lambda: inference(lambda: functional.cross_entropy(logits, labels)), "fwd")
    yield Case("eager", lambda: forward_backward, "fwdbwd")


def adam(row):
    def start():
        weight = nn.Parameter(torch.from_numpy(normal(row.size)))
        weight.grad = torch.from_numpy(normal(row.size))
        return torch.optim.Adam([weight], lr=1e-6, fused=True).step

    yield Case("fused", start, "update")


def max_pool(row):
    for layout, memory in LAYOUTS:
        x = torch.from_numpy(normal(row.batch, row.channels, row.size, row.size)).contiguous(memory_format=memory)
        watched = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = functional.max_pool2d(watched, 2)
        dy = torch.randn_like(y)
        yield Case(layout, lambda x=x: inference(lambda: functional.max_pool2d(x, 2)), "fwd")

        def backward(y=y, watched=watched, dy=dy):
            return torch.autograd.grad(y, watched, dy, retain_graph=True)

        yield Case(layout, lambda backward=backward: backward, "bwd")


def matrix(row):
    x = torch.from_numpy(normal(row.rows, row.columns))
    watched = x.clone().requires_grad_()
    calls = {
        "tanh": lambda: torch.tanh(x),
        "sin": lambda: torch.sin(x),
        "chosen": lambda: torch.where(x.abs() < 1, 0.5 * x * x, x.abs() - 0.5),
        "masked": lambda: x * (x > 0).float(),
        "softmax": lambda: torch.softmax(x, 1),
        "row_sums": lambda: x.sum(1),
        "column_sums": lambda: x.sum(0),
        "count": lambda: (x > 0).sum(),
        "running_sum": lambda: x.cumsum(1),
        "running_product": lambda: x.cumprod(1),
        "turned": lambda: x.flip(1),
        "transposed": lambda: x.T.contiguous(),
        "to_int32": lambda: x.int(),
    }
    for op, call in calls.items():
        yield Case("eager", lambda call=call: inference(call), op)
    zero = torch.zeros_like(x)
    yield Case("specialised", lambda: inference(lambda: functional.huber_loss(x, zero, reduction="none")), "chosen")
    yield Case("eager", lambda: lambda: torch.autograd.grad(watched.cumprod(1).sum(), watched), "running_product_gradient")


def layers_by_hand():
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    x, y = map(torch.from_numpy, few_rows())
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001, fused=True)

    return lambda: descend(optimizer, functional.cross_entropy(net(x), y))


def small(row):
    x, y = torch.from_numpy(normal(row.size, row.size)), torch.from_numpy(normal(row.size, row.size))
    w = y.clone().requires_grad_()

    def descent():
        value = ((x @ w - y) ** 2).mean()
        (dw,) = torch.autograd.grad(value, w)
        with torch.no_grad():
            w.sub_(dw, alpha=0.01)
        return value

    calls = {
        "add": lambda: x + y,
        "times_number": lambda: x * 2.0,
        "exp": lambda: torch.exp(x),
        "mean": lambda: torch.mean(x),
        "matmul": lambda: x @ y,
        "row": lambda: x[0],
        "columns": lambda: x[:, 1:3],
        "joined": lambda: torch.cat([x, y]),
        "chosen": lambda: torch.where(x > y, x, y),
        "norm": lambda: torch.linalg.norm(x),
        "descent": descent,
        "layers": layers_by_hand(),
    }
    for op, call in calls.items():
        yield Case("eager", lambda call=call: call, op)


KINDS = {Train: train, Infer: infer, MatMul: matmul, Conv: conv, Recurrent: recurrent, CrossEntropy: cross_entropy,
         AdamStep: adam, MaxPool: max_pool, Matrix: matrix, Small: small, Net: net}  # fmt: skip


if __name__ == "__main__":
    run(KINDS, {"torch": torch.__version__, "blas": "MKL" if torch.backends.mkl.is_available() else "other"})
