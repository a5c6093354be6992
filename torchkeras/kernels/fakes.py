"""What the ops return for tensors without content: their part in `torch.compile`."""

import torch

from torchkeras.kernels.activation_codes import NEEDS_PREACTIVATION


def register():
    """Tell torch the shapes and dtypes that each op returns. The library must be loaded.

    Example:

    >>> from torchkeras.kernels import fakes
    >>> fakes.FUNCTIONS["dropout"](torch.ones(2, device="meta"), 0.5, None).shape
    torch.Size([2])
    """
    for name, function in FUNCTIONS.items():
        torch.library.register_fake(f"torchkeras::{name}", function)


def dense_act_dropout(x, kernel, bias, activation, rate, seed):
    _check_device("x", x, kernel, bias, seed)
    return _outputs(x, (x.shape[0], kernel.shape[1]), activation)


def dense_act_dropout_backward(
    gy, x, kernel, y, pre, activation, rate, seed, need_x, need_kernel, need_bias
):
    _check_device("gy", gy, x, kernel, y, pre, seed)
    return (
        gy.new_empty(x.shape if need_x else 0),
        gy.new_empty(kernel.shape if need_kernel else 0),
        gy.new_empty(kernel.shape[1] if need_bias else 0),
    )


def bias_act_dropout(z, bias, activation, rate, seed):
    _check_device("z", z, bias, seed)
    return _outputs(z, z.shape, activation)


def bias_act_dropout_backward(gy, y, pre, activation, rate, seed, need_bias):
    _check_device("gy", gy, y, pre, seed)
    return gy.new_empty(gy.shape), gy.new_empty(gy.shape[1] if need_bias else 0)


def dropout(x, rate, seed):
    _check_device("x", x, seed)
    return x.new_empty(x.shape)


def recurrent_steps(x, h, c, kernel, recurrent_kernel, bias, mask, zero_output, keeps):
    _check_device("x", x, h, c, kernel, recurrent_kernel, bias, mask)
    (batch, steps, features), units = x.shape, recurrent_kernel.shape[0]
    new, rows = kernel.new_empty, batch * steps
    is_lstm = c is not None
    shapes = ((rows, features + units + 1), (rows if is_lstm else 0, units), (rows, 4 * units))
    return (
        new(batch, steps, units),
        new(batch, units),
        new(batch if is_lstm else 0, units),
        *(new(shape if keeps else 0) for shape in shapes),
    )


def recurrent_steps_backward(
    grad_outputs,
    grad_h,
    grad_c,
    kernel,
    recurrent_kernel,
    mask,
    inputs,
    cells,
    gates,
    steps,
    zero_output,
    need_x,
):
    others = grad_outputs, grad_h, grad_c, recurrent_kernel, mask, inputs, cells, gates
    _check_device("kernel", kernel, *others)
    (rows, width), (features, columns) = inputs.shape, kernel.shape
    new, units = kernel.new_empty, recurrent_kernel.shape[0]
    batch = rows // steps
    return (
        new((rows, features) if need_x else 0),
        new(batch, units),
        new(batch if columns == 4 * units else 0, units),
        new(width, 4 * units),
    )


def _check_device(name, model, *others):
    # One tensor without content brings the dispatcher here; the others may have theirs.
    for other in others:
        if other is not None and other.device != model.device:
            raise RuntimeError(
                f"All tensors must be on the device of `{name}`, {model.device}. Received: one on "
                f"{other.device}. Move it first."
            )


def _outputs(model, shape, activation):
    return model.new_empty(shape), model.new_empty(
        shape if activation in NEEDS_PREACTIVATION else 0
    )


FUNCTIONS = {
    function.__name__: function
    for function in (
        dense_act_dropout,
        dense_act_dropout_backward,
        bias_act_dropout,
        bias_act_dropout_backward,
        dropout,
        recurrent_steps,
        recurrent_steps_backward,
    )
}
