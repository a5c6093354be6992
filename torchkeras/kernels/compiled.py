"""The compiled ops as functions; None until the loader has loaded them.

These are overloads already chosen (`.default`): to choose one at each call costs 3 us.
"""

import math

import torch

from torchkeras.kernels import fakes, flops

dense_act_dropout = None
dense_act_dropout_backward = None
bias_act_dropout = None
bias_act_dropout_backward = None
dropout = None
recurrent_steps = None
recurrent_steps_backward = None
flush_denormals = None
# Facts of this CPU: from how many multiplications on a float32 product goes to oneDNN, and whether
# torch's own narrow products and tanh, by MKL, are slow on it.
least_onednn_products = math.inf
mkl_is_slow = False
# Whether the CPU's registers are wide enough for the ops of LSTM and GRU.
has_wide_registers = False


def bind():
    """Take the ops from torch, once the library is loaded, and say what they return for fakes.

    Example:

    >>> from torchkeras.kernels import compiled, loader
    >>> loader.load() == (compiled.dropout is not None)
    True
    """
    global flush_denormals, least_onednn_products, mkl_is_slow, has_wide_registers
    for name in fakes.FUNCTIONS:
        globals()[name] = getattr(torch.ops.torchkeras, name).default
    flush_denormals = torch.ops.torchkeras.flush_denormals.default
    isa, operations, mkl_is_slow = torch.ops.torchkeras.cpu()
    has_wide_registers = isa > 0
    least_onednn_products = operations / 2 or math.inf
    fakes.register()
    flops.register()


def try_cuda():
    """Call an op on the current CUDA device, for which a library may have no code.

    Raises:
        RuntimeError: it has none.
    """
    x = torch.ones(1, device="cuda")
    dropout(x, 0.5, torch.zeros(1, dtype=torch.int64, device="cuda"))
