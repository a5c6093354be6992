"""Whole sequences through LSTM and GRU by one call, masks included.

That is the compiled op, which takes masks, or else one of torch's fused functions. There a mask
needs no look at its values: a step to leave out gets an input of zeros and one feature more, which
is 1 there and has a kernel that shuts the gates: an LSTM then keeps its carry, a GRU its state,
exactly. An LSTM has no gate that keeps its output; its steps that count are moved to the front, and
the outputs back to their places.
"""

import torch
from torch.autograd import forward_ad

from torchkeras import activations
from torchkeras.kernels import recurrent
from torchkeras.kernels.eligibility import is_plain_tensor
from torchkeras.layers.rnn import one_node
from torchkeras.ops.activations import sigmoid as ops_sigmoid
from torchkeras.ops.elementwise import tanh as ops_tanh

_TANH = {activations.tanh, ops_tanh, torch.tanh, torch.nn.functional.tanh}
_SIGMOID = {activations.sigmoid, ops_sigmoid, torch.sigmoid, torch.nn.functional.sigmoid}


def takes(cell, sequences, training):
    """Whether the functions of this file compute what the cell does, and can here.

    Nothing is asked that depends on data. Under `torch.func` and with forward-mode derivatives
    only the single functions of torch will do.

    Args:
        cell: LSTMCell or GRUCell.
        sequences: tensor.
        training: bool, whether dropout is active.
    """
    if cell.activation not in _TANH or cell.recurrent_activation not in _SIGMOID:
        return False
    if training and (cell._drops(cell.recurrent_dropout) or (cell._draws > 1 and cell.dropout)):
        return False
    if torch._C._are_functorch_transforms_active():
        return False
    return torch.compiler.is_compiling() or (
        type(sequences) is torch.Tensor
        and is_plain_tensor(cell.kernel.value)
        and forward_ad._current_level < 0
    )


def lstm(sequences, h, c, mask, kernel, recurrent_kernel, bias, zero_output=False):
    """Outputs `(batch, steps, units)` of all steps of an LSTM, and its last `h` and `c`.

    Args:
        sequences: tensor `(batch, steps, features)`.
        h, c: tensors `(batch, units)`.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        kernel, recurrent_kernel: tensors with the gates `i, f, g, o` side by side.
        bias: tensor of four times the units, or None.
        zero_output: bool, whether outputs of steps left out are zero, not those of the step
            before.

    Example:

    >>> from torchkeras.layers.rnn.fused import lstm
    >>> h = c = torch.zeros(2, 4)
    >>> weights = torch.ones(3, 16), torch.ones(4, 16), torch.zeros(16)
    >>> outputs, h, c = lstm(torch.ones(2, 5, 3), h, c, None, *weights)
    >>> outputs.shape, bool((outputs[:, -1] == h).all())
    (torch.Size([2, 5, 4]), True)
    """
    if recurrent.takes(sequences, h, c, kernel, recurrent_kernel, bias):
        weights = kernel, recurrent_kernel, bias
        return recurrent.lstm(sequences, h, c, mask, *weights, zero_output)
    if mask is None:
        return one_node.lstm(sequences, h, c, kernel, recurrent_kernel, bias)
    units = h.shape[1]
    order = torch.argsort(mask, dim=1, descending=True, stable=True)
    sequences = sequences.gather(1, order[:, :, None].expand(-1, -1, sequences.shape[2]))
    sequences = _with_absence(sequences, mask.gather(1, order))
    shut = _shut(kernel, units)
    kernel = torch.cat((kernel, torch.cat((-shut, shut, shut * 0, shut * 0), dim=1)))
    outputs, _, last_c = one_node.lstm(sequences, h, c, kernel, recurrent_kernel, bias)
    count = mask.cumsum(1)
    places = (count - 1).clamp(min=0)
    outputs = outputs.gather(1, places[:, :, None].expand(-1, -1, units))
    last_h = torch.where(count[:, -1:] > 0, outputs[:, -1], h)
    seen = mask if zero_output else count > 0
    return torch.where(seen[:, :, None], outputs, 0), last_h, last_c


def gru(sequences, h, mask, kernel, recurrent_kernel, bias, zero_output=False):
    """Outputs `(batch, steps, units)` of all steps of a GRU with `reset_after`, and its last state.

    Args:
        sequences: tensor `(batch, steps, features)`.
        h: tensor `(batch, units)`.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        kernel, recurrent_kernel: tensors with the blocks `z, r, n` side by side.
        bias: tensor `(2, 3 * units)`, of the two products, or None.
        zero_output: bool, whether outputs of steps left out are zero, not those of the step
            before.

    Example:

    >>> from torchkeras.layers.rnn.fused import gru
    >>> h = torch.zeros(2, 4)
    >>> weights = torch.ones(3, 12), torch.ones(4, 12), torch.zeros(2, 12)
    >>> outputs, h = gru(torch.ones(2, 5, 3), h, None, *weights)
    >>> outputs.shape, bool((outputs[:, -1] == h).all())
    (torch.Size([2, 5, 4]), True)
    """
    if recurrent.takes(sequences, h, kernel, recurrent_kernel, bias):
        return recurrent.gru(sequences, h, mask, kernel, recurrent_kernel, bias, zero_output)
    if mask is None:
        return one_node.gru(sequences, h, kernel, recurrent_kernel, bias)
    sequences, shut = _with_absence(sequences, mask), _shut(kernel, h.shape[1])
    kernel = torch.cat((kernel, torch.cat((shut, shut * 0, shut * 0), dim=1)))
    outputs, last = one_node.gru(sequences, h, kernel, recurrent_kernel, bias)
    seen = mask if zero_output else mask.cumsum(1) > 0
    return torch.where(seen[:, :, None], outputs, 0), last


def _with_absence(sequences, mask):
    """The sequences, zero at steps left out, with one feature more that is 1 there alone."""
    here = mask[:, :, None]
    return torch.cat((torch.where(here, sequences, 0), (~here).to(sequences.dtype)), dim=2)


def _shut(kernel, units):
    """A row for one gate, so large that its sigmoid is exactly 1, or 0 where it is negative."""
    size = 2.0**15 if kernel.dtype is torch.float16 else 2.0**30
    return kernel.new_full((1, units), size)
