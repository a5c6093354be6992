"""Checks of the arguments that image layers share: ranges of factors and of pixel values."""


def factor_range(factor, bounds=(-1.0, 1.0), name="factor"):
    """`(lower, upper)` of a random factor.

    Args:
        factor: number, for the range from minus its size to its size, cut at the lower bound; or
            two numbers, in any order. None means 0.
        bounds: the least and the greatest number allowed.
        name: str, the argument's name.

    Raises:
        ValueError: it is neither, or out of bounds.

    Example:

    >>> from torchkeras.layers.preprocessing.image.arguments import factor_range
    >>> factor_range(0.2), factor_range(0.2, (0, 1)), factor_range((0.5, 0.1))
    ((-0.2, 0.2), (0, 0.2), (0.1, 0.5))
    """
    low, high = bounds
    given = 0.0 if factor is None else factor
    numbers = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    fine = len(numbers) == 2 if isinstance(given, (list, tuple)) else True
    if not fine or not all(_is_number(x) and low <= x <= high for x in numbers):
        raise ValueError(
            f"`{name}` must be a number from {low} to {high}, or a list of two such numbers. "
            f"Received: {name}={factor!r}."
        )
    if len(numbers) == 2:
        return tuple(sorted(numbers))
    size = abs(given)
    return max(-size, low), size


def check_value_range(value_range):
    """`[lowest, highest]` value of a pixel, in order.

    Args:
        value_range: two numbers.

    Raises:
        ValueError: it is anything else.

    Example:

    >>> from torchkeras.layers.preprocessing.image.arguments import check_value_range
    >>> check_value_range((0, 255))
    [0, 255]
    """
    fine = isinstance(value_range, (list, tuple)) and len(value_range) == 2
    if not fine or not all(map(_is_number, value_range)):
        raise ValueError(
            "`value_range` must be a list of two numbers, the lowest and the highest value of a "
            f"pixel. Received: value_range={value_range!r}."
        )
    return sorted(value_range)


def _is_number(x):
    return isinstance(x, (int, float)) and not isinstance(x, bool)
