"""Torch's attention, with or without its flash kernel."""

from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

_WITHOUT_FLASH = [SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def scaled_dot_product_attention(query, key, value, flash_attention=None, **options):
    """`torch.nn.functional.scaled_dot_product_attention`, kept from its flash kernel if asked to.

    Args:
        query, key, value: tensors `(batch, heads, positions, size)`.
        flash_attention: False for all kernels but that; else torch chooses.
        **options: those of the function.

    Example:

    >>> x = torch.zeros(1, 1, 2, 3)
    >>> scaled_dot_product_attention(x, x, x, flash_attention=False).shape
    torch.Size([1, 1, 2, 3])
    """
    if flash_attention is not False:
        return F.scaled_dot_product_attention(query, key, value, **options)
    with sdpa_kernel(_WITHOUT_FLASH):
        return F.scaled_dot_product_attention(query, key, value, **options)
