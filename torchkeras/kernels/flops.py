"""How many operations the ops stand for, for `torch.utils.flop_counter.FlopCounterMode`."""

import torch


def register():
    """Tell torch the operations of the matrix products in each op. The library must be loaded.

    Example:

    >>> from torchkeras.kernels import flops
    >>> flops.dense_act_dropout((2, 3), (3, 5))
    60
    """
    from torch.utils.flop_counter import register_flop_formula

    for function in FUNCTIONS:
        register_flop_formula(getattr(torch.ops.torchkeras, function.__name__))(function)


def dense_act_dropout(x_shape, kernel_shape, *_, out_shape=None):
    return 2 * x_shape[0] * kernel_shape[0] * kernel_shape[1]


def dense_act_dropout_backward(
    gy,
    x_shape,
    kernel_shape,
    y,
    pre,
    activation,
    rate,
    seed,
    need_x,
    need_kernel,
    *_,
    out_shape=None,
):
    return (need_x + need_kernel) * dense_act_dropout(x_shape, kernel_shape)


def recurrent_steps(x_shape, h_shape, c, kernel_shape, recurrent_shape, *_, out_shape=None):
    batch, steps, _ = x_shape
    return 2 * batch * steps * (kernel_shape[0] + recurrent_shape[0]) * kernel_shape[1]


def recurrent_steps_backward(
    grad_outputs,
    grad_h,
    grad_c,
    kernel_shape,
    recurrent_shape,
    mask,
    inputs_shape,
    cells,
    gates,
    steps,
    zero_output,
    need_x,
    out_shape=None,
):
    # The gradients of the states, of both kernels, and of the inputs.
    features, columns = kernel_shape
    units = recurrent_shape[0]
    return 2 * inputs_shape[0] * columns * (2 * units + (1 + need_x) * features)


FUNCTIONS = (
    dense_act_dropout,
    dense_act_dropout_backward,
    recurrent_steps,
    recurrent_steps_backward,
)
