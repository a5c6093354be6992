"""Convolution and pooling written as loops over channels-last data, and a look at torch's calls."""

import itertools

import torch


def zeros_of(sizes, windows, strides, padding):
    """Zeros before and after each axis, as TensorFlow defines them."""
    sides = []
    for n, window, stride in zip(sizes, windows, strides, strict=True):
        total = {"valid": 0, "causal": window - 1}.get(padding)
        if total is None:
            total = max((-(-n // stride) - 1) * stride + window - n, 0)
        before = total if padding == "causal" else total // 2
        sides.append((before, total - before))
    return sides


def padded(inputs, sides, value=0.0):
    """`inputs` with `value` around each spatial axis."""
    around = [(0, 0), *sides, (0, 0)]
    sizes = [n + sum(side) for n, side in zip(inputs.shape, around, strict=True)]
    result = torch.full(sizes, value, dtype=inputs.dtype)
    inner = [slice(a, a + n) for n, (a, _) in zip(inputs.shape, around, strict=True)]
    result[tuple(inner)] = inputs
    return result


def windows_of(inputs, sizes, strides, padding, dilation_rate=None, value=0.0):
    """Yield the place of each window, and the window as `(batch, *sizes, channels)`."""
    rates = dilation_rate or (1,) * len(sizes)
    reach = [(size - 1) * rate + 1 for size, rate in zip(sizes, rates, strict=True)]
    whole = padded(inputs, zeros_of(inputs.shape[1:-1], reach, strides, padding), value)
    starts = [
        range(0, n - r + 1, s) for n, r, s in zip(whole.shape[1:-1], reach, strides, strict=True)
    ]
    for place in itertools.product(*(range(len(axis)) for axis in starts)):
        cut = [slice(None)]
        for axis, i in enumerate(place):
            first = starts[axis][i]
            cut.append(slice(first, first + reach[axis], rates[axis]))
        yield place, whole[tuple(cut)]


def gathered(windows, function):
    """The values of `function` on each window as `(batch, *places, ...)`."""
    found = {place: function(window) for place, window in windows}
    sizes = [max(axis) + 1 for axis in zip(*found, strict=True)]
    first = next(iter(found.values()))
    result = torch.empty(first.shape[0], *sizes, *first.shape[1:], dtype=first.dtype)
    for place, value in found.items():
        result[(slice(None), *place)] = value
    return result


def convolved(inputs, kernel, strides, dilation_rate, groups=1, padding="valid"):
    """Each filter's sum over a window, filters seeing the channels of their group."""
    *sizes, inside, filters = kernel.shape
    made = filters // groups

    def value(window):
        parts = []
        for f in range(filters):
            first = f // made * inside
            product = window[..., first : first + inside] * kernel[..., f]
            parts.append(product.flatten(1).sum(1))
        return torch.stack(parts, -1)

    return gathered(windows_of(inputs, sizes, strides, padding, dilation_rate), value)


class _FirstArgument(torch.overrides.TorchFunctionMode):
    def __init__(self, function):
        self.function = function
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is self.function:
            self.seen.append(args[0])
        return function(*args, **(kwargs or {}))


def given_to(function, layer, inputs):
    """The tensor that `layer`, called on `inputs`, hands to a function of torch."""
    with _FirstArgument(function) as mode:
        layer(inputs)
    return mode.seen[0]
