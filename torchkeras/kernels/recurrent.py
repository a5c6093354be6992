"""lstm, gru: all steps of a sequence by the compiled op, forward and backward.

The op keeps what its gradient needs, takes masks, and is one node for `torch.compile`. On Zen 5 a
training step of 120 steps of 32 units takes 0.75 of the time of `torch.nn.LSTM`, and 0.16 of the
time of `torch.nn.GRU`, whose gradient goes step by step (`benchmarks/layers.py`).
"""

import torch

from torchkeras.kernels import compiled, loader
from torchkeras.kernels.eligibility import autocast_off, is_plain_tensor, needs_plain_torch, reaches
from torchkeras.kernels.failures import raise_torchs_own

_DTYPES = (torch.float32, torch.float64)


def takes(sequences, *weights):
    """Whether the compiled op can compute this, and is the fastest way.

    Args:
        sequences: tensor `(batch, steps, features)`.
        *weights: the tensors of states, kernels and bias; None for none.

    Example:

    >>> from torchkeras.kernels import recurrent
    >>> recurrent.takes(torch.ones(2, 3, 4, dtype=torch.int32))
    False
    """
    dtype = sequences.dtype
    if not sequences.is_cpu or dtype not in _DTYPES or not loader.load():
        return False
    if not compiled.has_wide_registers or needs_plain_torch(kept=True):
        return False
    if not reaches(sequences.shape[1], 1) or torch.is_autocast_enabled("cpu"):
        return False
    tensors = (sequences, *(tensor for tensor in weights if tensor is not None))
    return all(is_plain_tensor(tensor) and tensor.dtype is dtype for tensor in tensors)


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

    Raises:
        RuntimeError: `takes` says no, or the shapes do not fit each other.

    Example:

    >>> from torchkeras.kernels import recurrent
    >>> h = c = torch.zeros(2, 4)
    >>> weights = torch.ones(3, 16), torch.ones(4, 16), torch.zeros(16)
    >>> if recurrent.takes(torch.ones(2, 5, 3), h, c, *weights):
    ...     outputs, h, c = recurrent.lstm(torch.ones(2, 5, 3), h, c, None, *weights)
    ...     assert (outputs[:, -1] == h).all()
    """
    return _run(sequences, h, c, kernel, recurrent_kernel, bias, mask, zero_output)


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

    Raises:
        RuntimeError: `takes` says no, or the shapes do not fit each other.

    Example:

    >>> from torchkeras.kernels import recurrent
    >>> h = torch.zeros(2, 4)
    >>> weights = torch.ones(3, 12), torch.ones(4, 12), torch.zeros(2, 12)
    >>> if recurrent.takes(torch.ones(2, 5, 3), h, *weights):
    ...     outputs, h = recurrent.gru(torch.ones(2, 5, 3), h, None, *weights)
    ...     assert (outputs[:, -1] == h).all()
    """
    made = _run(sequences, h, None, kernel, recurrent_kernel, bias, mask, zero_output)
    return made[0], made[1]


def _run(*arguments):
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in arguments[:6]):
        made = _Recurrent.apply(*arguments)
        # Dynamo lets no attribute, such as a mask, be set on what a Function returns.
        return tuple(y.view_as(y) for y in made) if torch.compiler.is_compiling() else made
    return _forward(*arguments, False)[:3]


def _forward(*arguments):
    try:
        return compiled.recurrent_steps(*arguments)
    except RuntimeError as error:
        raise_torchs_own(error, "recurrent_steps", *arguments)
        raise


class _Recurrent(torch.autograd.Function):
    """The op with its gradient, in the older form of a Function, which costs less a call."""

    @staticmethod
    def forward(ctx, x, h, c, kernel, recurrent, bias, mask, zero_output):
        outputs, last_h, last_c, *kept = _forward(
            x, h, c, kernel, recurrent, bias, mask, zero_output, True
        )
        ctx.save_for_backward(x, h, c, kernel, recurrent, bias, mask, *kept)
        ctx.zero_output = zero_output
        ctx.set_materialize_grads(False)
        return outputs, last_h, last_c

    @staticmethod
    def backward(ctx, grad_outputs, grad_h, grad_c):
        x, h, c, kernel, recurrent, bias, mask, *kept = ctx.saved_tensors
        grads = grad_outputs, grad_h, grad_c
        if torch.is_grad_enabled():  # the gradient is to be differentiated once more
            with autocast_off("cpu"):
                inputs = x, h, c, kernel, recurrent, bias
                return *_plain_gradients(ctx, grads, inputs, mask), None, None
        needs = ctx.needs_input_grad
        batch, steps, features = x.shape
        arguments = (*grads, kernel, recurrent, mask, *kept, steps, ctx.zero_output, needs[0])
        try:
            with autocast_off("cpu"):
                of_x, of_h, of_c, of_weights = compiled.recurrent_steps_backward(*arguments)
        except RuntimeError as error:
            raise_torchs_own(error, "recurrent_steps_backward", *arguments)
            raise
        of_kernels = of_weights[:features], of_weights[features:-1], of_weights[-1]
        if c is None:
            of_kernels = _of_gru(*of_kernels, recurrent.shape[0])
        found = (
            of_x.view(steps, batch, features).transpose(0, 1) if needs[0] else None,
            of_h,
            of_c,
            *of_kernels,
        )
        return (
            *(each if need else None for each, need in zip(found, needs, strict=False)),
            None,
            None,
        )


def _of_gru(kernel, recurrent, bias, units):
    """The gradients of a GRU's three blocks from those of its four sums: z, r, h_n, x_n."""
    of_states, of_inputs = bias[: 3 * units], torch.cat((bias[: 2 * units], bias[3 * units :]))
    return (
        torch.cat((kernel[:, : 2 * units], kernel[:, 3 * units :]), dim=1),
        recurrent[:, : 3 * units].contiguous(),
        torch.stack((of_inputs, of_states)),
    )


def _plain_gradients(ctx, grads, inputs, mask):
    """Gradients of the same computation in plain torch, which torch can differentiate again."""
    # Views: one input may depend on another one, as in kernels.dense.
    inputs = [None if t is None else t.view_as(t) for t in inputs]
    results = _plain(*inputs, mask, ctx.zero_output)
    asked = [(y, g) for y, g in zip(results, grads, strict=True) if g is not None]
    needs = ctx.needs_input_grad[:6]
    wanted = [t for t, needed in zip(inputs, needs, strict=True) if needed]
    found = torch.autograd.grad(
        [y for y, _ in asked], wanted, [g for _, g in asked], create_graph=True, allow_unused=True
    )
    found = iter(found)
    return [next(found) if needed else None for needed in needs]


def _plain(x, h, c, kernel, recurrent, bias, mask, zero_output):
    """The same by functions that autograd knows, step by step."""
    seen = None if mask is None else (mask if zero_output else mask.cumsum(1) > 0)
    if mask is not None:
        x = torch.where(mask[:, :, None], x, 0)
    first, second = (None, None) if bias is None else ((bias, None) if c is not None else bias)
    projected = torch.nn.functional.linear(x, kernel.t(), first)
    outputs = []
    for time in range(x.shape[1]):
        now = torch.nn.functional.linear(h, recurrent.t(), second)
        if c is not None:
            i, f, g, o = (projected[:, time] + now).chunk(4, dim=1)
            new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            new_h = torch.sigmoid(o) * torch.tanh(new_c)
        else:
            (z, r, n), (z_h, r_h, n_h) = projected[:, time].chunk(3, dim=1), now.chunk(3, dim=1)
            z, new_c = torch.sigmoid(z + z_h), None
            new_h = torch.lerp(torch.tanh(n + torch.sigmoid(r + r_h) * n_h), h, z)
        if mask is not None:
            here = mask[:, time, None]
            new_h = torch.where(here, new_h, h)
            new_c = None if c is None else torch.where(here, new_c, c)
        h, c = new_h, new_c
        outputs.append(h if seen is None else torch.where(seen[:, time, None], h, 0))
    return torch.stack(outputs, dim=1), h, h[:0] if c is None else c
