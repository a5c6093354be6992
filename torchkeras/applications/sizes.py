"""Numbers of maps that a multiplier scales, and the padding of convolutions that halve an image."""

from torchkeras.applications.backbone import sizes_of


def divisible(count, divisor=8):
    """The multiple of `divisor` nearest to `count`, at least `divisor` and 0.9 of `count`.

    Source: the code that the authors of MobileNet published.

    Example:

    >>> divisible(16 * 0.75), divisible(17), divisible(3)
    (16, 16, 8)
    """
    rounded = max(divisor, int(count + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * count else rounded


def halving_padding(x, kernel_size):
    """Padding before a convolution of stride 2, so that it sees what TensorFlow's "same" sees.

    Where the size is even that is one less before than after. A size that is not known counts as
    even.

    Args:
        x: KerasTensor of images.
        kernel_size: int, odd.

    Example:

    >>> halving_padding(keras.Input((32, 33, 3)), 5)
    ((1, 2), (2, 2))
    """
    half = kernel_size // 2
    return tuple(
        (half - (1 if size is None else 1 - size % 2), half) for size in sizes_of(x.shape[1:])
    )
