"""Recurrent layers in NumPy: the loop over steps, and the data, that tests share."""

import numpy as np
import torch


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def data(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def read(advance, x, states, go_backwards=False, mask=None):
    """Outputs of all steps in the order they are read, and the last states, sample by sample.

    Args:
        advance: function `(input of a step, states) -> states`; the first state is the output.
        x: tensor `(batch, steps, ...)`.
        states: list of tensors `(batch, ...)`.
        go_backwards: bool.
        mask: bool tensor `(batch, steps)`, or None.
    """
    samples, outputs = [], []
    for b, sequence in enumerate(x.double().numpy()):
        held = [state[b].detach().double().numpy() for state in states]
        output, made = np.zeros_like(held[0]), []
        order = range(len(sequence))
        for t in reversed(order) if go_backwards else order:
            if mask is None or mask[b, t]:
                held = advance(sequence[t], held)
                output = held[0]
            made.append(output)
        outputs.append(np.stack(made))
        samples.append(held)
    arrays = [np.stack(outputs), *(np.stack(each) for each in zip(*samples, strict=True))]
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]
