"""The nets of the rows `net_...` in PyTorch: what they are is said in workloads.py. Losses take what precedes the last activation."""

import torch
from protocol import Batches, Case, net_data
from torch import nn
from torch.nn import functional


class LastState(nn.Module):
    """Layers, a recurrent one among them, and a dense layer on its last state, or on the last of both directions."""

    def __init__(self, front, recurrent, outputs):
        super().__init__()
        width = recurrent.hidden_size * (2 if recurrent.bidirectional else 1)
        self.front, self.recurrent, self.dense = front, recurrent, nn.Linear(width, outputs)

    def forward(self, x):
        states, last = self.recurrent(self.front(x))
        return self.dense(torch.cat([last[0], last[1]], 1) if self.recurrent.bidirectional else states[:, -1])


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def descend(optimizer, loss):
    """The rest of a step, once its loss is there."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss


def channels_first():
    return Apply(lambda x: x.transpose(1, 2))


def _normalized(inputs, filters, stride=1):
    return [nn.Conv2d(inputs, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]


def batch_norm(row):
    front = [*_normalized(3, 32), *_normalized(32, 32), nn.MaxPool2d(2)]
    back = [*_normalized(32, 64), *_normalized(64, 64), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*front, *back, nn.Linear(4096, row.classes))


class Block(nn.Module):
    """Two convolutions, and what went into them added."""

    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.long = nn.Sequential(*_normalized(inputs, filters, stride), *_normalized(filters, filters)[:2])
        self.short = nn.Identity() if stride == 1 else nn.Conv2d(inputs, filters, 1, stride, bias=False)

    def forward(self, x):
        return functional.relu(self.long(x) + self.short(x))


def residual(row):
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    return nn.Sequential(*_normalized(3, 16), *blocks, Apply(lambda x: x.mean((2, 3))), nn.Linear(64, row.classes))


def separable(row):
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
    for inputs, filters, stride in ((32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)):
        layers += [nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.Conv2d(inputs, filters, 1), nn.ReLU()]
    return nn.Sequential(*layers, Apply(lambda x: x.mean((2, 3))), nn.Linear(128, row.classes))


def strided(row):
    front = [nn.Conv2d(1, 32, 5, 2, 2), nn.LeakyReLU(0.3), nn.Dropout(0.3), nn.Conv2d(32, 64, 5, 2, 2), nn.LeakyReLU(0.3)]
    return nn.Sequential(*front, nn.Flatten(), nn.Linear(3136, row.classes))


def transposed(row):
    front = [nn.Linear(row.inputs[0], 1568), nn.ReLU(), nn.Unflatten(1, (32, 7, 7))]
    return nn.Sequential(*front, nn.ConvTranspose2d(32, 32, 5, 2, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 5, 2, 2, 1))


def convolution_1d(row):
    front = [channels_first(), nn.Conv1d(6, 32, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(32, 64, 5), nn.ReLU(), nn.MaxPool1d(2)]
    return nn.Sequential(*front, nn.Flatten(), nn.Linear(64 * 29, 64), nn.ReLU(), nn.Linear(64, row.classes))


def text_convolution(row):
    front = [nn.Embedding(row.vocabulary, 64), channels_first(), nn.Conv1d(64, 64, 5), nn.ReLU(), Apply(lambda x: x.amax(2))]
    return nn.Sequential(*front, nn.Linear(64, row.classes))


def text_lstm(row):
    return LastState(nn.Embedding(row.vocabulary, 64), nn.LSTM(64, 64, batch_first=True), row.classes)


def two_lstm(row):
    return LastState(nn.Identity(), nn.LSTM(8, 32, 2, batch_first=True), 1)


def bidirectional(row):
    return LastState(nn.Identity(), nn.GRU(16, 32, batch_first=True, bidirectional=True), row.classes)


def autoencoder(row):
    narrowing = [nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU()]
    return nn.Sequential(*narrowing, nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 784))


def layer_norm(row):
    front = [nn.Linear(256, 256), nn.LayerNorm(256), nn.GELU(), nn.Linear(256, 256), nn.LayerNorm(256), nn.GELU()]
    return nn.Sequential(*front, nn.Linear(256, row.classes))


def tabular(row):
    return nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


LOSSES = {"classes": functional.cross_entropy, "pixels": functional.binary_cross_entropy_with_logits, "number": functional.mse_loss}


def _as_image(array):
    x = torch.from_numpy(array)
    return x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x


def net(row):
    """A hand-written loop with a fused optimizer; of images in both layouts."""
    x, y = map(_as_image, net_data(row))
    x = x.long() if row.vocabulary else x

    def loop(layout=torch.contiguous_format):
        model = globals()[row.kind](row).to(memory_format=layout)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
        batches = Batches(len(x), row.batch, torch.randperm)

        def step():
            rows = batches.next()
            a = x[rows]
            return descend(optimizer, LOSSES[row.task](model(a.contiguous(memory_format=layout) if a.ndim == 4 else a), y[rows]))

        return step

    yield Case("loop_fused", loop)
    if 4 in (x.ndim, y.ndim):
        yield Case("loop_fused_nhwc", lambda: loop(torch.channels_last))
