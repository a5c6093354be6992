"""Fourier transforms, of whole signals and of short windows of them.

Complex tensors are pairs of a real and an imaginary part, as everywhere in Keras. Integers are
computed as `floatx()`, half precision in `float32`; results have the dtype of the signal.
"""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.operands import at_least_float32, same_dtype_pair, to_float


def _joined(x):
    """The complex tensor of a pair, and the dtype of its parts."""
    real, imag = same_dtype_pair(*x)
    dtype = to_float(real).dtype
    return torch.complex(at_least_float32(real), at_least_float32(imag)), dtype


def _parts(x, dtype):
    return x.real.to(dtype), x.imag.to(dtype)


@op(shape=rules.fft, dtype=rules.floating_pair)
def fft(x):
    """Discrete Fourier transform along the last axis.

    Args:
        x: pair of tensors of one shape, the real and the imaginary part.

    Returns:
        Tuple of the real and the imaginary part of the transform.

    Raises:
        ValueError: `x` is no pair, or the shapes differ or have no axis.

    Example:

    >>> keras.ops.fft((torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])))
    (tensor([ 3., -1.]), tensor([ 1., -1.]))
    """
    rules.fft(x)
    x, dtype = _joined(x)
    return _parts(torch.fft.fft(x), dtype)


@op(shape=rules.fft2, dtype=rules.floating_pair)
def fft2(x):
    """Discrete Fourier transform along the last two axes.

    Args:
        x: pair of tensors of one shape, the real and the imaginary part.

    Returns:
        Tuple of the real and the imaginary part of the transform.

    Example:

    >>> keras.ops.fft2((torch.ones(1, 2), torch.zeros(1, 2)))[0]
    tensor([[2., 0.]])
    """
    rules.fft2(x)
    x, dtype = _joined(x)
    return _parts(torch.fft.fft2(x), dtype)


@op(shape=rules.fft2, dtype=rules.floating_pair)
def ifft2(x):
    """Inverse of `fft2`.

    Args:
        x: pair of tensors of one shape, the real and the imaginary part.

    Returns:
        Tuple of the real and the imaginary part.

    Example:

    >>> keras.ops.ifft2((torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2)))[0]
    tensor([[1., 1.]])
    """
    rules.fft2(x)
    x, dtype = _joined(x)
    return _parts(torch.fft.ifft2(x), dtype)


@op(shape=rules.rfft, dtype=rules.floating)
def rfft(x, fft_length=None):
    """Discrete Fourier transform of real signals along the last axis, without its mirrored half.

    Args:
        x: tensor of shape `(..., n)`.
        fft_length: int, at least 1: the signals are cut, or filled with zeros, to that length;
            None for `n`.

    Returns:
        Tuple of the real and the imaginary part, shape `(..., fft_length // 2 + 1)`.

    Example:

    >>> keras.ops.rfft(torch.tensor([1.0, 2.0]))
    (tensor([ 3., -1.]), tensor([0., 0.]))
    """
    rules.rfft(x, fft_length)
    x = to_float(x)
    return _parts(torch.fft.rfft(at_least_float32(x), fft_length), x.dtype)


@op(shape=rules.irfft, dtype=rules.floating_of_pair)
def irfft(x, fft_length=None):
    """Inverse of `rfft`: the real signal of which half a transform is given.

    Args:
        x: pair of tensors of one shape `(..., n)`, the real and the imaginary part.
        fft_length: int, at least 1, the length of the signal; None for `2 * (n - 1)`, which an
            odd length is not.

    Output shape: `(..., fft_length)`.

    Example:

    >>> keras.ops.irfft((torch.tensor([3.0, -1.0]), torch.zeros(2)))
    tensor([1., 2.])
    """
    rules.irfft(x, fft_length)
    x, dtype = _joined(x)
    return torch.fft.irfft(x, fft_length).to(dtype)


@op(shape=rules.stft, dtype=rules.kept)
def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """Fourier transforms of the short windows of a signal.

    Args:
        x: tensor of shape `(..., n)`, `float32` or `float64`.
        sequence_length: int, the points of a window.
        sequence_stride: int, at least 1, points from one window to the next.
        fft_length: int, at least `sequence_length`: a window is filled with zeros on both
            sides to that length.
        window: `"hann"`, `"hamming"`, a tensor of shape `(sequence_length,)`, or None: what the
            points are multiplied by.
        center: bool, whether window `t` has its middle at point `t * sequence_stride`, for
            which the signal is mirrored at both ends; else it begins there.

    Returns:
        Tuple of the real and the imaginary part, shape `(..., windows, fft_length // 2 + 1)`.

    Raises:
        TypeError: another dtype. ValueError: a length does not fit.

    Source: Allen 1977, "Short term spectral analysis, synthesis, and modification by DFT".

    Example:

    >>> real, imag = keras.ops.stft(torch.ones(6), 4, 2, 4)
    >>> real.shape
    torch.Size([4, 3])
    """
    x = convert_to_tensor(x)
    _check_dtype(x)
    rules.stft(x, sequence_length, sequence_stride, fft_length, window, center)
    result = torch.stft(
        x.flatten(0, -2) if x.dim() > 2 else x,
        n_fft=fft_length,
        hop_length=sequence_stride,
        win_length=sequence_length,
        window=_window(window, sequence_length, x),
        center=center,
        return_complex=True,
    ).transpose(-2, -1)
    result = result.reshape(*x.shape[:-1], *result.shape[-2:])
    return result.real, result.imag


@op(shape=rules.istft, dtype=rules.kept_of_pair)
def istft(
    x,
    sequence_length,
    sequence_stride,
    fft_length,
    length=None,
    window="hann",
    center=True,
):
    """Inverse of `stft`: the signal whose windows have the given transforms.

    Args:
        x: pair of tensors of shape `(..., windows, fft_length // 2 + 1)`, the real and the
            imaginary part.
        sequence_length, sequence_stride, fft_length, window, center: as they were for `stft`.
        length: int, points of the signal to return; None for all.

    Output shape: `(..., length)`.

    Source: Griffin and Lim 1984, "Signal estimation from modified short-time Fourier transform",
    eq. 6, for full windows of a centered transform. In other cases, as in Keras, the sum over
    windows is divided by that of the squared window as if it went on at both ends.

    Example:

    >>> x = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> keras.ops.istft(keras.ops.stft(x, 4, 1, 4), 4, 1, 4).round(decimals=4)
    tensor([0., 1., 2., 3., 4.])
    """
    rules.istft(x, sequence_length, sequence_stride, fft_length, length, window, center)
    x = torch.complex(*same_dtype_pair(*x))
    _check_dtype(x.real)
    taper = _window(window, sequence_length, x.real)
    if sequence_length == fft_length and center and window is not None:
        whole = x.flatten(0, -3) if x.dim() > 3 else x
        whole = torch.istft(
            whole.transpose(-2, -1),
            n_fft=fft_length,
            hop_length=sequence_stride,
            win_length=sequence_length,
            window=taper,
            length=length,
        )
        return whole.reshape(*x.shape[:-2], whole.shape[-1])
    frames = torch.fft.irfft(x, fft_length)
    if window is not None:
        before = (fft_length - sequence_length) // 2
        sides = (before, fft_length - sequence_length - before)
        taper = torch.nn.functional.pad(taper, sides)
        places = torch.arange(fft_length, device=taper.device) % sequence_stride
        weights = taper.new_zeros(sequence_stride).index_add(0, places, torch.square(taper))
        frames = frames * (taper / weights[places])
    whole = _added_up(frames, sequence_stride)
    start = fft_length // 2 if center else 0
    if length is not None:
        return whole[..., start : start + length]
    return whole[..., start : whole.shape[-1] - start]


def _added_up(frames, stride):
    """Sum of frames `(..., n, size)`, each `stride` further on than the one before."""
    *batch, n, size = frames.shape
    length = stride * (n - 1) + size
    columns = frames.reshape(-1, n, size).transpose(1, 2)
    summed = torch.nn.functional.fold(columns, (1, length), (1, size), stride=(1, stride))
    return summed.reshape(*batch, length)


def _check_dtype(x):
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"A signal of dtype float32 or float64 was expected. Received: x of dtype {x.dtype}. "
            "Convert it with keras.ops.cast(x, 'float32')."
        )


def _window(window, length, x):
    """The window as a tensor beside `x`."""
    if window is None:
        return torch.ones(length, dtype=x.dtype, device=x.device)
    if isinstance(window, str):
        function = torch.hann_window if window == "hann" else torch.hamming_window
        return function(length, periodic=True, dtype=x.dtype, device=x.device)
    return convert_to_tensor(window).to(x)


@op(shape=rules.extract_sequences, dtype=rules.kept)
def extract_sequences(x, sequence_length, sequence_stride):
    """Windows of the last axis, which may overlap.

    Args:
        x: tensor of shape `(..., n)`.
        sequence_length: int, at least 1, the points of a window.
        sequence_stride: int, at least 1, points from one window to the next.

    Output shape: `(..., 1 + (n - sequence_length) // sequence_stride, sequence_length)`.

    Example:

    >>> keras.ops.extract_sequences(torch.tensor([1, 2, 3, 4, 5]), 3, 2)
    tensor([[1, 2, 3],
            [3, 4, 5]])
    """
    rules.extract_sequences(x, sequence_length, sequence_stride)
    return convert_to_tensor(x).unfold(-1, sequence_length, sequence_stride)


__all__ = op_names(__name__)
