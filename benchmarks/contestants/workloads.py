"""The work every contestant does: rows of the comparison with their shapes, and what a row costs in operations and bytes.

All float32. Only the standard library is needed here, so that any library's interpreter can read it. Multiply-adds count two.
"""

from __future__ import annotations

from dataclasses import dataclass

TRAIN_SAMPLES = 60_000
IMAGE = 28 * 28


@dataclass(frozen=True)
class Train:
    """One optimizer step; an epoch goes over shuffled batches of `samples` rows. Softmax models: mean cross-entropy of integer labels.

    Models: `linear` (dense 4 -> 1, squared error, 4 samples, no shuffling), `lstm_tiny` (LSTM 16 over (2, 1, 1), dense 1, squared error),
    `mlp` (784 -> units relu -> 10), `cnn_small` (conv 5x5x8 relu, pool, conv 5x5x16 relu, pool, dense 10), `cnn` (conv 3x3x32 relu,
    pool, conv 3x3x64 relu, pool, dropout 0.5, dense 10), `gru` and `lstm` (units over `steps` rows of 28, last state, dense 10).
    SGD: rate 0.01; Adam: 0.001, 0.9, 0.999.
    """

    model: str
    batch: int
    optimizer: str
    units: int = 0
    steps: int = 28
    ops = ("",)

    @property
    def is_full_batch(self) -> bool:
        return self.model in ("linear", "lstm_tiny")

    @property
    def features(self) -> int:
        return 28 * self.steps

    @property
    def samples(self) -> int:
        """Rows of the data set: as many as MNIST, fewer where the rows are longer."""
        if self.is_full_batch:
            return self.batch
        return max(self.batch, min(TRAIN_SAMPLES, TRAIN_SAMPLES * IMAGE // self.features))

    @property
    def steps_per_epoch(self) -> int:
        return max(1, self.samples // self.batch)

    def flops(self, op: str = "") -> float:
        """Three times the forward pass, less the first layer's gradient by its input, which nobody needs."""
        forward, first = self._forward_flops()
        return self.batch * (3 * forward - first)

    def _forward_flops(self) -> tuple[float, float]:
        return sample_flops(self.model, self.units, self.steps)


@dataclass(frozen=True)
class Net:
    """One step of Adam (0.001) on another kind of net than the tutorials', over shuffled batches of `steps` batches of random data.

    Images in channels-last shapes, "same" convolutions; a bar is a further layer, `x2` one more of the same.
    batch_norm: (conv 3x3x32, batch norm, relu) x2 | pool | (conv 3x3x64, ...) x2 | pool | dense; residual: three blocks of two normalized
    convolutions of 16, 32 and 64 after one of 16, the last two with stride 2 | mean | dense; separable: conv 3x3x32 relu | separable
    3x3 of 64 and 128, twice each, the first with stride 2 | mean | dense; strided: conv 5x5x32 and 5x5x64 with stride 2, leaky relu 0.3,
    dropout 0.3 after the first | dense; transposed: dense to 7x7x32 relu | transposed 5x5x32 relu and 5x5x1 with stride 2;
    convolution_1d: conv 5x32 and 5x64 relu "valid", each with pooling | dense 64 relu | dense; text_convolution: embedding of 64 |
    conv 5x64 relu "valid" | largest | dense; text_lstm: embedding of 64 | lstm 64 | dense; two_lstm: lstm 32 x2 | dense; bidirectional:
    gru 32 in both directions | dense; autoencoder: dense 128, 32, 128 relu, 784; layer_norm: (dense 256, layer norm, gelu) x2 | dense;
    tabular: dense 64 relu x2 | dense.
    The loss: cross-entropy of `classes`, or for `targets` of pixels binary cross-entropy, of a number the squared error.
    """

    kind: str
    batch: int
    inputs: tuple[int, ...]
    classes: int = 0
    targets: tuple[int, ...] = ()
    vocabulary: int = 0  # of inputs that are integers
    steps: int = 20
    ops = ("",)

    @property
    def task(self) -> str:
        """What the loss is of."""
        return "classes" if self.classes else "number" if self.targets == (1,) else "pixels"


@dataclass(frozen=True)
class Infer:
    """From a batch in memory to its class probabilities in memory."""

    model: str
    batch: int
    units: int = 0
    steps: int = 28
    ops = ("",)

    @property
    def samples(self) -> int:
        return self.batch

    def flops(self, op: str = "") -> float:
        return self.batch * sample_flops(self.model, self.units, self.steps)[0]


def sample_flops(model: str, units: int, steps: int) -> tuple[float, float]:
    """Operations of one sample's forward pass, and of its first layer's product with the input."""
    if model == "linear":
        return 8, 8
    if model == "mlp":
        return 2 * (IMAGE * units + units * 10), 2 * IMAGE * units
    if model == "cnn_small":
        first = 2 * 24 * 24 * 25 * 8
        return first + 2 * (8 * 8 * 25 * 8 * 16 + 256 * 10), first
    if model == "cnn":
        first = 2 * 26 * 26 * 9 * 32
        return first + 2 * (11 * 11 * 9 * 32 * 64 + 1600 * 10), first
    gates = 3 if model == "gru" else 4
    inputs, steps = (1, 1) if model == "lstm_tiny" else (28, steps)
    first = 2 * steps * inputs * gates * units
    return first + 2 * (steps * units * gates * units + units * 10), first


@dataclass(frozen=True)
class MatMul:
    """nn: C(m, n) = A(m, k) B(k, n); nt: dA = dC B^T; tn: dB = A^T dC."""

    m: int
    k: int
    n: int
    ops = ("nn", "nt", "tn")

    def flops(self, op: str) -> float:
        return 2 * self.m * self.k * self.n


@dataclass(frozen=True)
class Conv:
    """fwd: the convolution without bias; gi and gf: its gradients by the input and by the filter. The layout is the contestant's choice."""

    batch: int
    size: int
    in_channels: int
    kernel: int
    filters: int
    stride: int = 1
    padding: str = "same"
    depthwise: bool = False
    ops = ("fwd", "gi", "gf")

    @property
    def out_size(self) -> int:
        return -(-self.size // self.stride) if self.padding == "same" else (self.size - self.kernel) // self.stride + 1

    def flops(self, op: str) -> float:
        depth = 1 if self.depthwise else self.in_channels
        return 2 * self.batch * self.out_size**2 * self.kernel**2 * self.filters * depth


@dataclass(frozen=True)
class Recurrent:
    """fwd: all states of a layer; fwdbwd: forward in training mode and the gradients by input and weights for a given dY."""

    cell: str
    batch: int
    steps: int
    inputs: int
    units: int
    ops = ("fwd", "fwdbwd")

    def flops(self, op: str) -> float:
        gates = 4 if self.cell == "lstm" else 3
        forward = 2 * self.batch * self.steps * (self.inputs + self.units) * gates * self.units
        return forward * (3 if op == "fwdbwd" else 1)


@dataclass(frozen=True)
class CrossEntropy:
    """Mean softmax cross-entropy of integer labels; fwdbwd: with its gradient by the logits."""

    batch: int
    classes: int
    ops = ("fwd", "fwdbwd")


@dataclass(frozen=True)
class AdamStep:
    """Adam's update of `size` parameters in place: read p, g, m, v; write p, m, v."""

    size: int
    ops = ("update",)

    def bytes(self, op: str) -> float:
        return 7 * 4 * self.size


@dataclass(frozen=True)
class MaxPool:
    """2 x 2 max pooling with stride 2, and its gradient."""

    batch: int
    size: int
    channels: int
    ops = ("fwd", "bwd")

    def bytes(self, op: str) -> float:
        return 4 * self.batch * self.channels * (self.size**2 + (self.size // 2) ** 2)


@dataclass(frozen=True)
class Matrix:
    """One call on a float32 matrix of normal numbers, its result in memory of its own.

    chosen: half the square up to 1, |x| - 1/2 beyond; masked: x where it is positive, by a product with a mask; running_*: along rows, the
    gradient that of the sum of all; turned: rows from their ends; count: how many are positive.
    """

    rows: int
    columns: int
    ops = (
        *("tanh", "sin", "chosen", "masked", "softmax", "row_sums", "column_sums", "count"),
        *("running_sum", "running_product", "running_product_gradient", "turned", "transposed", "to_int32"),
    )


@dataclass(frozen=True)
class Small:
    """One call on float32 matrices of `size` x `size`, whose work is nothing beside the call: the library's own way, nothing compiled.

    row: the first; columns: all rows of the second and third; descent: value and gradient of mean((x @ w - y)^2) by w, and w moved by it.
    layers: whatever the size, a step of Adam on dense layers 16-32-32-4 with ReLU for 32 rows, in a loop written with layers.
    """

    size: int
    ops = ("add", "times_number", "exp", "mean", "matmul", "row", "columns", "joined", "chosen", "norm", "descent", "layers")


@dataclass(frozen=True)
class Start:
    """import: the import statement in a fresh process; cold_start: from the start of a process to the end of mlp_b32's first epoch."""

    task: str
    ops = ("",)


_SQUARES = (16, 32, 64, 128, 256, 512, 1024, 2048)
_RECTANGLES = ((32, 784, 128), (128, 784, 128), (32, 64, 192), (128, 128, 512), (1, 784, 128), (60000, 784, 128))
_SEQUENCES = ((32, 28, 28, 64), (128, 28, 28, 128), (64, 100, 64, 256), (1, 100, 32, 64))

GROUPS: dict[str, dict[str, object]] = {
    "start": {"import": Start("import"), "cold_start": Start("cold_start")},
    "tiny": {"gd": Train("linear", 4, "sgd"), "lstm_tiny": Train("lstm_tiny", 2, "adam", 16)},
    "mlp": {"mlp_b32": Train("mlp", 32, "sgd", 128), "mlp_b128": Train("mlp", 128, "sgd", 128)},
    "cnn_small": {"cnn_small_sgd": Train("cnn_small", 64, "sgd"), "cnn_small_adam": Train("cnn_small", 64, "adam")},
    "cnn": {"cnn": Train("cnn", 128, "adam")},
    "gru": {"gru_b32": Train("gru", 32, "adam", 64), "gru_b128": Train("gru", 128, "adam", 64)},
    "lstm": {"lstm": Train("lstm", 128, "adam", 128)},
    "nets": {
        "net_batch_norm": Net("batch_norm", 64, (32, 32, 3), classes=10),
        "net_residual": Net("residual", 32, (32, 32, 3), classes=10),
        "net_separable": Net("separable", 32, (32, 32, 3), classes=10),
        "net_strided": Net("strided", 64, (28, 28, 1), classes=10),
        "net_transposed": Net("transposed", 32, (64,), targets=(28, 28, 1)),
        "net_convolution_1d": Net("convolution_1d", 32, (128, 6), classes=6),
        "net_text_convolution": Net("text_convolution", 32, (100,), classes=2, vocabulary=5000),
        "net_text_lstm": Net("text_lstm", 32, (80,), classes=2, vocabulary=5000),
        "net_two_lstm": Net("two_lstm", 32, (40, 8), targets=(1,)),
        "net_bidirectional": Net("bidirectional", 32, (50, 16), classes=5),
        "net_autoencoder": Net("autoencoder", 256, (784,), targets=(784,)),
        "net_layer_norm": Net("layer_norm", 64, (256,), classes=10),
        "net_tabular": Net("tabular", 32, (13,), targets=(1,), steps=200),
    },
    "infer": {f"infer_{model}_b{batch}": Infer(model, batch, units)
              for model, units in (("mlp", 128), ("cnn", 0), ("gru", 64)) for batch in (1, 256)},
    "matmul": {**{f"mm_{n}": MatMul(n, n, n) for n in _SQUARES}, **{f"mm_{m}x{k}x{n}": MatMul(m, k, n) for m, k, n in _RECTANGLES}},
    "conv": {
        "conv_mnist1": Conv(128, 28, 1, 3, 32, padding="valid"),
        "conv_mnist2": Conv(128, 13, 32, 3, 64, padding="valid"),
        "conv_small1": Conv(64, 28, 1, 5, 8, padding="valid"),
        "conv_small2": Conv(64, 12, 8, 5, 16, padding="valid"),
        "conv_56": Conv(16, 56, 64, 3, 64),
        "conv_28": Conv(16, 28, 128, 3, 128),
        "conv_14": Conv(16, 14, 256, 3, 256),
        "conv_1x1": Conv(16, 28, 128, 1, 256, padding="valid"),
        "conv_stride2": Conv(16, 56, 64, 3, 128, stride=2),
        "conv_depthwise": Conv(16, 56, 64, 3, 64, depthwise=True),
    },
    "recurrent": {f"{cell}_{b}x{t}x{i}x{h}": Recurrent(cell, b, t, i, h) for cell in ("lstm", "gru") for b, t, i, h in _SEQUENCES},
    "small": {"small_4": Small(4)},
    "other": {"smce_128x10": CrossEntropy(128, 10), "smce_128x1000": CrossEntropy(128, 1000), "adam_1m": AdamStep(1_000_000),
              "max_pool": MaxPool(128, 26, 32), "matrix_1000": Matrix(1000, 1000)},
}  # fmt: skip

CURVES: dict[str, dict[int, Train]] = {
    "batch": {b: Train("mlp", b, "sgd", 128) for b in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)},
    "width": {w: Train("mlp", 128, "sgd", w) for w in (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)},
    "steps": {t: Train("gru", 32, "adam", 64, t) for t in (1, 2, 4, 8, 16, 28, 64, 128, 256, 512, 1000)},
}

ROWS: dict[str, object] = {name: row for rows in GROUPS.values() for name, row in rows.items()}
ROWS.update({f"curve_{axis}_{value}": row for axis, rows in CURVES.items() for value, row in rows.items()})


def rows_of(selection: str) -> list[str]:
    """Names of rows from a comma-separated list of rows and groups ("all" is every group). Raises KeyError for another name."""
    names: list[str] = []
    for word in filter(None, selection.split(",")):
        if word == "all":
            names += [name for rows in GROUPS.values() for name in rows]
        elif word in GROUPS:
            names += GROUPS[word]
        elif word in ROWS:
            names.append(word)
        else:
            raise KeyError(f"no row or group {word!r}; groups: {', '.join(GROUPS)}; rows: {', '.join(ROWS)}")
    return list(dict.fromkeys(names))


def cost_of(row_and_op: str) -> tuple[float, float]:
    """(floating-point operations, bytes) of a measured row such as "mm_64.nt"; zero where the row states none."""
    name, _, op = row_and_op.partition(".")
    row = ROWS[name]
    return tuple(float(getattr(row, kind)(op)) if hasattr(row, kind) else 0.0 for kind in ("flops", "bytes"))
