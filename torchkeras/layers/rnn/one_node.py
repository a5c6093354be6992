"""LSTM and GRU over all steps, by the functions that `torch.nn.LSTM` and `torch.nn.GRU` call.

For what `kernels.recurrent` does not take. On a GPU these are cuDNN's, on a CPU oneDNN's for LSTM;
for GRU see `gru_function`.
`torch.compile` would take torch's functions apart, into as many steps as there are. It gets each
as one node, an op whose gradient computes the sequence once more. `torch.export` keeps them whole.
"""

import torch

from torchkeras.layers.rnn.gru_function import gru_on_cpu


def lstm(sequences, h, c, kernel, recurrent_kernel, bias):
    """Outputs of all steps and the last `h` and `c`; arguments as in `fused.lstm`."""
    arguments = sequences, h, c, kernel, recurrent_kernel, bias
    if _is_compiled():
        return torch.ops.torchkeras.lstm(*arguments)
    return _lstm(*arguments)


def gru(sequences, h, kernel, recurrent_kernel, bias):
    """Outputs of all steps and the last state; arguments as in `fused.gru`."""
    arguments = sequences, h, kernel, recurrent_kernel, bias
    if _is_compiled():
        return torch.ops.torchkeras.gru(*arguments)
    return _gru(*arguments)


def _is_compiled():
    return torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()


def _lstm(sequences, h, c, kernel, recurrent_kernel, bias):
    biases = () if bias is None else (bias, torch.zeros_like(bias))
    weights = _as_torchs(kernel, recurrent_kernel, *biases)
    outputs, h, c = torch.lstm(
        sequences, (h[None], c[None]), weights, bias is not None, *_one_layer()
    )
    return outputs, h[0], c[0]


def _gru(sequences, h, kernel, recurrent_kernel, bias):
    if _trains_on_cpu(sequences):
        return gru_on_cpu(sequences, h, kernel, recurrent_kernel, bias)
    # torch has the reset gate first.
    tensors = (kernel, recurrent_kernel) if bias is None else (kernel, recurrent_kernel, *bias)
    weights = _as_torchs(*(_reset_first(tensor) for tensor in tensors))
    outputs, h = torch.gru(sequences, h[None], weights, bias is not None, *_one_layer())
    return outputs, h[0]


def _one_layer():
    """Layers, dropout, training, bidirectional, batch first. cuDNN keeps for training alone what
    a gradient takes."""
    return 1, 0.0, torch.is_grad_enabled(), False, True


def _trains_on_cpu(sequences):
    return (
        sequences.is_cpu
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and torch._C._get_tracing_state() is None
    )


def _reset_first(tensor):
    z, r, n = tensor.chunk(3, dim=-1)
    return torch.cat((r, z, n), dim=-1)


def _as_torchs(kernel, recurrent_kernel, *biases):
    """Weights as torch has them, gates first."""
    kernel, recurrent_kernel = kernel.t(), recurrent_kernel.t()
    if kernel.is_cpu:
        return kernel.contiguous(), recurrent_kernel.contiguous(), *biases
    # cuDNN wants them one behind the other, and copies them, with a warning, where they are not.
    tensors = kernel, recurrent_kernel, *biases
    pieces = torch.cat([x.reshape(-1) for x in tensors]).split([x.numel() for x in tensors])
    return tuple(piece.view(x.shape) for piece, x in zip(pieces, tensors, strict=True))


# The ops

_LIBRARY = torch.library.Library("torchkeras", "FRAGMENT")


def _register(name, function, states):
    """Define the op `name`, which computes `function(sequences, *states, kernel, ...)`."""
    given = ["sequences", *states, "kernel", "recurrent_kernel"]
    signature = ", ".join(f"Tensor {each}" for each in given) + ", Tensor? bias"
    outputs = ", ".join(["Tensor"] * (1 + len(states)))
    grads = ", ".join(f"Tensor grad_{place}" for place in range(1 + len(states)))
    _LIBRARY.define(f"{name}({signature}) -> ({outputs})")
    _LIBRARY.define(f"{name}_backward({grads}, {signature}) -> Tensor[]")

    def forward(*arguments):
        with torch.no_grad():
            # No output of an op may share memory with another.
            return tuple(
                y.clone(memory_format=torch.contiguous_format) for y in function(*arguments)
            )

    def fake(sequences, *others):
        batch, steps, _ = sequences.shape
        kept = others[: len(states)]
        return sequences.new_empty(batch, steps, kept[0].shape[1]), *map(torch.empty_like, kept)

    def backward(*arguments):
        grads, given = arguments[: 1 + len(states)], arguments[1 + len(states) :]
        with _recording():
            leaves = [x if x is None else x.detach().requires_grad_() for x in given]
            tensors = [x for x in leaves if x is not None]
            found = torch.autograd.grad(function(*leaves), tensors, grads)
        return [x.contiguous() for x in found]

    def fake_backward(*arguments):
        given = arguments[1 + len(states) :]
        return [x.new_empty(x.shape) for x in given if x is not None]

    def setup(ctx, inputs, output):
        ctx.has_bias = inputs[-1] is not None
        ctx.save_for_backward(*(inputs if ctx.has_bias else inputs[:-1]))

    def gradient(ctx, *grads):
        saved = ctx.saved_tensors if ctx.has_bias else (*ctx.saved_tensors, None)
        found = getattr(torch.ops.torchkeras, f"{name}_backward")(*grads, *saved)
        return tuple(found) if ctx.has_bias else (*found, None)

    _LIBRARY.impl(name, forward, "CompositeExplicitAutograd")
    _LIBRARY.impl(f"{name}_backward", backward, "CompositeExplicitAutograd")
    torch.library.register_fake(f"torchkeras::{name}", fake, lib=_LIBRARY)
    torch.library.register_fake(f"torchkeras::{name}_backward", fake_backward, lib=_LIBRARY)
    torch.library.register_autograd(
        f"torchkeras::{name}", gradient, setup_context=setup, lib=_LIBRARY
    )


class _recording:
    """Inside, operations are recorded for autograd, though an op runs, where they are not."""

    def __enter__(self):
        excluded = torch._C._dispatch_tls_local_exclude_set()
        for key in ("AutogradFunctionality", "ADInplaceOrView"):
            excluded = excluded.remove(getattr(torch._C.DispatchKey, key))
        included = torch._C._dispatch_tls_local_include_set()
        self._guards = torch._C._ForceDispatchKeyGuard(included, excluded), torch.enable_grad()
        for guard in self._guards:
            guard.__enter__()

    def __exit__(self, *exc):
        for guard in reversed(self._guards):
            guard.__exit__(*exc)


_register("lstm", _lstm, ["h", "c"])
_register("gru", _gru, ["h"])
