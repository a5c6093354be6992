"""Another sampling rate for a recording, by a windowed sinc filter."""

import math

import torch

_ZEROS = 6  # crossings of the sinc on each side
_ROLL_OFF = 0.99  # of the highest frequency that is kept
_BLOCK = 2**20  # weights that are made at once


def resample(samples, rate, new_rate, length=None):
    """A recording at another rate.

    Each new sample is a sum of the old ones around its place in time, weighed by a sinc that
    keeps what lies below half of the lower rate, under a Hann window of 6 crossings to each side.

    Args:
        samples: float tensor `(samples, channels)`.
        rate: int, samples a second.
        new_rate: int.
        length: int, samples of the result; None for all, `ceil(samples * new_rate / rate)`.

    Source: Smith, "Digital audio resampling", Stanford; `torchaudio.functional.resample` computes
    the same with weights for each phase, which for rates without a common divisor are many.

    Example:

    >>> from torchkeras.utils.audio_resampling import resample
    >>> resample(torch.ones(100, 1), 100, 50).shape
    torch.Size([50, 1])
    """
    if rate == new_rate:
        return samples if length is None else samples[:length]
    count = resampled_length(len(samples), rate, new_rate)
    count = count if length is None else min(count, length)
    # Frequencies in halves of the old rate.
    cutoff = min(rate, new_rate) / rate * _ROLL_OFF
    reach = math.ceil(_ZEROS / cutoff)
    padded = torch.nn.functional.pad(samples.T, (reach, reach + 1))
    offsets = torch.arange(-reach, reach + 2, device=samples.device)
    result = samples.new_empty(count, samples.shape[1])
    step = max(_BLOCK // len(offsets), 1)
    for start in range(0, count, step):
        numbers = torch.arange(start, min(start + step, count), device=samples.device)
        # The place in the old samples, its whole part exact whatever the rates.
        whole = torch.div(numbers * rate, new_rate, rounding_mode="floor")
        rest = (numbers * rate - whole * new_rate).double() / new_rate
        distance = (offsets - rest[:, None]) * cutoff
        window = torch.cos(distance.clamp(-_ZEROS, _ZEROS) * (math.pi / _ZEROS / 2)) ** 2
        weights = (torch.sinc(distance) * window * cutoff).to(samples.dtype)
        places = (whole[:, None] + offsets + reach).clamp(max=padded.shape[1] - 1)
        result[start : start + step] = torch.einsum("cnt,nt->nc", padded[:, places], weights)
    return result


def resampled_length(count, rate, new_rate):
    """Number of samples that `resample` makes of `count` of them.

    Example:

    >>> from torchkeras.utils.audio_resampling import resampled_length
    >>> resampled_length(5, 2, 3)
    8
    """
    return -(-count * new_rate // rate)
