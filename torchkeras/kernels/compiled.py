"""The compiled ops as functions; None until the loader has loaded them.

These are overloads already chosen (`.default`): to choose one at each call costs 3 us.
"""

import torch

from torchkeras.kernels import fakes

dense_act_dropout = None
dense_act_dropout_backward = None
bias_act_dropout = None
bias_act_dropout_backward = None
dropout = None


def bind():
    """Take the ops from torch, once the library is loaded, and say what they return for fakes.

    Example:

    >>> from torchkeras.kernels import compiled, loader
    >>> loader.load() == (compiled.dropout is not None)
    True
    """
    for name in fakes.FUNCTIONS:
        globals()[name] = getattr(torch.ops.torchkeras, name).default
    fakes.register()
