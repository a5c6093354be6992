"""Shapes of Fourier transforms, of windows of signals, and of complex numbers and their parts."""

import math

from torchkeras.core.op_specs import Misfit
from torchkeras.ops.shape_rules.basics import listed, may_be_equal, shape_of, without_values


def view_as_complex(x):
    shape = shape_of(x)
    if not shape or shape[-1] not in (2, None):
        raise Misfit(
            f"the last axis of `x` must hold the 2 parts of a number. Received: x of shape {shape}."
        )
    return shape[:-1]


def view_as_real(x):
    return (*shape_of(x), 2)


def window(x, beta=None):
    shape = shape_of(x)
    if math.prod(size for size in shape if size is not None) != 1:
        raise Misfit(f"`x` must be one number of points. Received: x of shape {shape}.")
    return (None if without_values(x) else int(x),)


def _points(value, name, least=1):
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise Misfit(f"`{name}` must be an int of at least {least}. Received: {name}={value!r}.")
    return value


def _parts(x, axes):
    """Shape of both parts of complex numbers."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise Misfit(
            "`x` must be a pair of tensors, the real and the imaginary part. Received: x of type "
            f"{type(x).__name__}."
        )
    real, imag = shape_of(x[0]), shape_of(x[1])
    if not may_be_equal(real, imag) or len(real) < axes:
        raise Misfit(
            f"both parts of `x` must have one shape, of at least {axes} axes. Received: shapes "
            f"{listed([real, imag])}."
        )
    shape = tuple(b if a is None else a for a, b in zip(real, imag, strict=True))
    if 0 in shape[len(shape) - axes :]:
        raise Misfit(f"an axis to transform must not be empty. Received: x of shape {shape}.")
    return shape


def fft(x):
    shape = _parts(x, 1)
    return shape, shape


def fft2(x):
    shape = _parts(x, 2)
    return shape, shape


def rfft(x, fft_length=None):
    shape = _signal(x)
    n = shape[-1] if fft_length is None else _points(fft_length, "fft_length")
    if n == 0:
        raise Misfit(f"`x` must not be empty. Received: x of shape {shape}. Pass `fft_length`.")
    shape = (*shape[:-1], None if n is None else n // 2 + 1)
    return shape, shape


def _signal(x):
    shape = shape_of(x)
    if not shape:
        raise Misfit("`x` must have at least one axis. Received: x of shape ().")
    return shape


def irfft(x, fft_length=None):
    shape = _parts(x, 1)
    n = shape[-1]
    if fft_length is not None:
        n = _points(fft_length, "fft_length")
    elif n is not None:
        n = 2 * (n - 1)
        if n < 1:
            raise Misfit(
                f"a signal of {n} points is none. Received: x of shape {shape}. Pass `fft_length`."
            )
    return (*shape[:-1], n)


def _check_window(window, sequence_length):
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise Misfit(f"`window` must be 'hann', 'hamming' or a tensor. Received: {window=}.")
    elif window is not None and not may_be_equal(shape_of(window), (sequence_length,)):
        raise Misfit(
            f"`window` must be of shape ({sequence_length},), the sequence_length. Received: "
            f"window of shape {shape_of(window)}."
        )


def _check_lengths(sequence_length, sequence_stride, fft_length):
    for value, name in (
        (sequence_length, "sequence_length"),
        (sequence_stride, "sequence_stride"),
        (fft_length, "fft_length"),
    ):
        _points(value, name)
    if fft_length < sequence_length:
        raise Misfit(
            "`fft_length` must be at least `sequence_length`. Received: sequence_length="
            f"{sequence_length}, fft_length={fft_length}."
        )


def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    shape = _signal(x)
    _check_lengths(sequence_length, sequence_stride, fft_length)
    _check_window(window, sequence_length)
    n, sides = shape[-1], fft_length // 2 if center else 0
    if n is not None:
        if n + 2 * sides < fft_length or n <= sides * bool(center):
            raise Misfit(
                "the signal must be longer than half a window, or at least one window without "
                f"`center`. Received: x of shape {shape}, fft_length={fft_length}."
            )
        n = 1 + (n + 2 * sides - fft_length) // sequence_stride
    shape = (*shape[:-1], n, fft_length // 2 + 1)
    return shape, shape


def istft(
    x,
    sequence_length,
    sequence_stride,
    fft_length,
    length=None,
    window="hann",
    center=True,
):
    shape = _parts(x, 2)
    _check_lengths(sequence_length, sequence_stride, fft_length)
    _check_window(window, sequence_length)
    if not may_be_equal(shape[-1:], (fft_length // 2 + 1,)):
        raise Misfit(
            "the last axis of `x` must hold fft_length // 2 + 1 frequencies. Received: x of shape "
            f"{shape}, fft_length={fft_length}."
        )
    if length is not None:
        return (*shape[:-2], _points(length, "length"))
    n = shape[-2]
    if n is not None:
        n = sequence_stride * (n - 1) + fft_length - (fft_length // 2 * 2 if center else 0)
    return (*shape[:-2], n)


def extract_sequences(x, sequence_length, sequence_stride):
    shape = _signal(x)
    length = _points(sequence_length, "sequence_length")
    stride = _points(sequence_stride, "sequence_stride")
    n = shape[-1]
    if n is not None:
        if n < length:
            raise Misfit(
                "a sequence must fit into the last axis. Received: x of shape "
                f"{shape}, sequence_length={length}."
            )
        n = 1 + (n - length) // stride
    return (*shape[:-1], n, length)
