"""Which activation functions the kernels know."""

import torch
from torch.nn import functional as F

from torchkeras.activations import activations
from torchkeras.kernels import activation_codes as codes

_CODES = {
    activations.linear: codes.NONE,
    activations.relu: codes.RELU,
    activations.sigmoid: codes.SIGMOID,
    activations.tanh: codes.TANH,
    activations.gelu: codes.GELU,
    activations.silu: codes.SILU,
    activations.softplus: codes.SOFTPLUS,
    activations.elu: codes.ELU,
    activations.leaky_relu: codes.LEAKY_RELU,
    torch.relu: codes.RELU,
    torch.sigmoid: codes.SIGMOID,
    torch.tanh: codes.TANH,
    F.relu: codes.RELU,
    F.gelu: codes.GELU,
    F.silu: codes.SILU,
    F.softplus: codes.SOFTPLUS,
    F.elu: codes.ELU,
}


def kernel_code(activation):
    """The code by which `torchkeras.kernels` knows an activation function, or None.

    Args:
        activation: function of a tensor.

    Example:

    >>> from torchkeras.activations.kernel_codes import kernel_code
    >>> kernel_code(keras.activations.relu), kernel_code(torch.abs)
    (1, None)
    """
    try:
        return _CODES.get(activation)
    except TypeError:  # an object without a hash
        return None
