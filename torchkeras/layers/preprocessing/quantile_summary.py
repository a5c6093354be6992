"""Summaries of numbers: few values with weights that stand for many, from which quantiles come.

A summary is a float32 array `(2, n)`: values in order, and how many numbers each stands for.
"""

import numpy as np


def empty_summary():
    """The summary of no numbers.

    Example:

    >>> empty_summary().shape
    (2, 0)
    """
    return np.zeros((2, 0), dtype="float32")


def summarize(values, epsilon):
    """Summary of an array, of about `1 / epsilon` values.

    Args:
        values: array of any shape.
        epsilon: float, share of the numbers that one value stands for.

    Example:

    >>> summarize(np.array([3.0, 1.0, 2.0, 4.0]), 0.5).tolist()
    [[2.0, 4.0], [2.0, 2.0]]
    """
    ordered = np.sort(np.asarray(values, dtype="float32").ravel())
    step = max(ordered.size * epsilon, 1)
    kept = ordered[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def merge_summaries(first, second, epsilon):
    """Summary of the numbers that two summaries stand for.

    Args:
        first, second: summaries.
        epsilon: float, see `summarize`.

    Example:

    >>> merge_summaries(summarize([1.0, 3.0], 0.1), summarize([2.0], 0.1), 0.1).tolist()
    [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]
    """
    both = np.concatenate([first, second], axis=1)
    return compress_summary(both[:, np.argsort(both[0])], epsilon)


def compress_summary(summary, epsilon):
    """A summary of `1 / epsilon` values, which are interpolated where `summary` has others.

    Args:
        summary: summary, of any number of values.
        epsilon: float, see `summarize`.

    Example:

    >>> compress_summary(np.array([[1.0, 2.0, 3.0, 4.0], [1.0] * 4], "float32"), 0.5).tolist()
    [[2.0, 4.0], [2.0, 2.0]]
    """
    if summary.shape[1] * epsilon < 1:
        return summary
    ends = epsilon + np.arange(0.0, 1.0, epsilon)
    reached = summary[1].cumsum()
    shares = reached / reached[-1]
    values = np.interp(ends, shares, summary[0])
    weights = np.diff(np.interp(ends, shares, reached), prepend=0)
    return np.stack([values, weights]).astype("float32")


def boundaries_of(summary, num_bins):
    """What divides the numbers of a summary into bins of about as many each.

    Args:
        summary: summary.
        num_bins: int.

    Returns:
        list of `num_bins - 1` floats, or fewer if there are not as many numbers.

    Example:

    >>> boundaries_of(summarize([1.0, 2.0, 3.0, 4.0], 0.01), 2)
    [2.0]
    """
    return compress_summary(summary, 1.0 / num_bins)[0, :-1].tolist()
