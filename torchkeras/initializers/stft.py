"""STFT: the waves of a short-time Fourier transform, as the kernel of a convolution."""

import math

import numpy as np
import torch

from torchkeras.core import config, serialization
from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.initializers.initializer import Initializer
from torchkeras.initializers.windows import window_values


class STFT(Initializer):
    """Cosines or sines of all frequencies of a Fourier transform, under a window.

    At time `t` and frequency `k` it is `window[t] * cos(-2 pi t k / n) / scale`, or with `sin`,
    where `n` is `2 * (frequencies - 1)`.

    Args:
        side: `"real"` for the cosines, `"imag"` for the sines.
        window: name of a window, see `scipy.signal.windows`; array of its values; or None.
        scaling: `"density"` to divide by the root of the sum of the window's squares,
            `"spectrum"` by the sum of its absolute values, None by nothing.
        periodic: bool, whether a window given by its name is periodic; else symmetric.

    Raises:
        ValueError: an argument is none of these.

    Example:

    >>> keras.initializers.STFT("real", window=None)((2, 1, 3))[1].round(decimals=3).abs()
    tensor([[1., 0., 1.]])
    """

    def __init__(self, side="real", window="hann", scaling="density", periodic=False):
        if side not in ("real", "imag"):
            raise ValueError(f"`side` must be 'real' or 'imag'. Received: side={side!r}.")
        if isinstance(window, str):
            window_values(window, 1)
        check_scaling(scaling)
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape, dtype=None):
        """The kernel on the default device.

        Args:
            shape: `(times, 1, frequencies)`.
            dtype: float dtype; None for `keras.config.floatx()`.

        Raises:
            ValueError: the window has another number of values than there are times.
        """
        times, _, frequencies = shape
        angles = np.arange(times)[:, None, None] * np.arange(frequencies)
        angles = -2 * math.pi * angles / max(2 * (frequencies - 1), 1)
        kernel = np.cos(angles) if self.side == "real" else np.sin(angles)
        if self.window is not None:
            window = self._values(times)
            scale = {
                "density": np.sqrt(np.sum(np.square(window))),
                "spectrum": np.sum(np.abs(window)),
                None: 1,
            }[self.scaling]
            kernel = kernel * window[:, None, None] / scale
        return torch.tensor(kernel, dtype=to_torch_dtype(dtype), device=config.default_device())

    def _values(self, times):
        if isinstance(self.window, str):
            return window_values(self.window, times, self.periodic)
        window = np.asarray(convert_to_numpy(self.window), dtype="float64")
        if window.shape != (times,):
            raise ValueError(
                f"`window` must have as many values as a frame, {times}. Received: window of shape "
                f"{window.shape}."
            )
        return window

    def get_config(self):
        """The arguments; a window's values as `keras.saving` describes them."""
        return {
            "side": self.side,
            "window": serialization.serialize_keras_object(self.window),
            "periodic": self.periodic,
            "scaling": self.scaling,
        }

    @classmethod
    def from_config(cls, config):
        """The initializer that `get_config` described."""
        window = serialization.deserialize_keras_object(config["window"])
        return cls(**{**config, "window": window})


def check_scaling(scaling):
    """ValueError for a scaling that there is not."""
    if scaling not in (None, "density", "spectrum"):
        raise ValueError(
            f"`scaling` must be 'density', 'spectrum' or None. Received: scaling={scaling!r}."
        )
