"""Networks of torch's own modules that take the weights of the same networks of Keras's layers."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Perceptron(nn.Sequential):
    """Linear layers with ReLU between them; a dropout, if there is one, before the last."""

    def __init__(self, features, widths, outputs, dropout=0.0):
        steps = []
        for before, units in zip([features, *widths], widths, strict=False):
            steps += [nn.Linear(before, units), nn.ReLU()]
        if dropout:
            steps.append(nn.Dropout(dropout))
        super().__init__(*steps, nn.Linear(widths[-1], outputs))

    def load(self, *weights):
        """Take the weights of a model of Keras's, whose kernels are transposed."""
        linears = [step for step in self if isinstance(step, nn.Linear)]
        for linear, kernel, bias in zip(linears, weights[::2], weights[1::2], strict=True):
            linear.weight.copy_(torch.from_numpy(kernel.T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))


class Recurrent(nn.Module):
    """The last output of a recurrent layer of torch, through a Linear."""

    def __init__(self, kind, features, units):
        super().__init__()
        self.layer = getattr(nn, kind)(features, units, batch_first=True)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])

    def load(self, kernel, recurrent_kernel, bias, head_kernel, head_bias):
        """Take the weights of a model of Keras's; a GRU's gates have another order there."""
        layer = self.layer
        if isinstance(layer, nn.GRU):
            kernel, recurrent_kernel, bias = map(_reset_first, (kernel, recurrent_kernel, bias))
        biases = [bias, np.zeros_like(bias)] if bias.ndim == 1 else bias
        layer.weight_ih_l0.copy_(torch.from_numpy(kernel.T.copy()))
        layer.weight_hh_l0.copy_(torch.from_numpy(recurrent_kernel.T.copy()))
        layer.bias_ih_l0.copy_(torch.from_numpy(biases[0]))
        layer.bias_hh_l0.copy_(torch.from_numpy(biases[1]))
        self.head.weight.copy_(torch.from_numpy(head_kernel.T.copy()))
        self.head.bias.copy_(torch.from_numpy(head_bias))


def _reset_first(array):
    update, reset, new = np.split(array, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)


class Convolutions(nn.Module):
    """Three convolutions with poolings between them, channels first, as torch has them."""

    def __init__(self, channels, outputs=1):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(*sizes, 3) for sizes in zip((1, *channels), channels, strict=False)
        )
        self.head = nn.Linear(channels[-1], outputs)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)  # the data has its channels last in all loops
        first, second, third = self.convolutions
        x = F.max_pool2d(first(x).relu(), 2)
        x = F.max_pool2d(second(x).relu(), 2)
        return self.head(third(x).relu().mean((2, 3)))

    def load(self, *weights):
        """Take the weights of a model of Keras's, whose kernels have their channels last."""
        for layer, kernel, bias in zip(
            self.convolutions, weights[::2], weights[1::2], strict=False
        ):
            layer.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
            layer.bias.copy_(torch.from_numpy(bias))
        self.head.weight.copy_(torch.from_numpy(weights[-2].T.copy()))
        self.head.bias.copy_(torch.from_numpy(weights[-1]))


class Encoder(nn.Module):
    """torch's own block of a Transformer's encoder, the mean over its tokens, and a Linear."""

    def __init__(self, width, heads, hidden, outputs=1):
        super().__init__()
        self.width = width
        self.block = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout=0.0, layer_norm_eps=1e-5, batch_first=True
        )
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.block(x).mean(1))

    def load(self, *weights):
        """Take the weights of a model of Keras's: projections by head there, in one here."""
        block, arrays = self.block, [torch.from_numpy(np.array(w)) for w in weights]
        projections, rest = arrays[:8], arrays[8:]
        kernels = [w.reshape(self.width, self.width).T for w in projections[:6:2]]
        block.self_attn.in_proj_weight.copy_(torch.cat(kernels))
        block.self_attn.in_proj_bias.copy_(torch.cat([b.reshape(-1) for b in projections[1:6:2]]))
        block.self_attn.out_proj.weight.copy_(projections[6].reshape(self.width, self.width).T)
        block.self_attn.out_proj.bias.copy_(projections[7])
        parts = [block.norm1, block.linear1, block.linear2, block.norm2, self.head]
        for part, weight, bias in zip(parts, rest[::2], rest[1::2], strict=True):
            part.weight.copy_(weight.T if weight.dim() == 2 else weight)
            part.bias.copy_(bias)


class TokenEncoder(Encoder):
    """An embedding of tokens before the block."""

    def __init__(self, vocabulary, width, heads, hidden, outputs):
        super().__init__(width, heads, hidden, outputs)
        self.embedding = nn.Embedding(vocabulary, width)

    def forward(self, x):
        return super().forward(self.embedding(x))

    def load(self, embeddings, *weights):
        """Take the weights of a model of Keras's."""
        self.embedding.weight.copy_(torch.from_numpy(embeddings))
        super().load(*weights)
