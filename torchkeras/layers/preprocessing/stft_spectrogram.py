"""STFTSpectrogram: the frequencies in a signal over time, by convolutions that can be trained."""

import math

import torch
from torch.nn import functional as F

from torchkeras.core import config as core_config
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.core.user_warnings import warn_user
from torchkeras.initializers.stft import STFT, check_scaling
from torchkeras.initializers.windows import window_values
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.spatial import channel_axis, window_counts, zeros_around

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """Short-time Fourier transform of signals, as a convolution with waves under a window.

    The waves are weights, `real_kernel` and `imag_kernel`, the same for all channels, and are
    trained with a model unless `trainable=False`. With real part `r` and imaginary part `i`:

    | mode | output for each frequency |
    | --- | --- |
    | `"real"`, `"imag"` | `r`, `i` |
    | `"stft"` | `r` of all frequencies, then `i` of all |
    | `"angle"` | `atan2(i, r)` |
    | `"psd"` | `r² + i²`, doubled but for the first and the last frequency |
    | `"magnitude"` | `sqrt(max(r² + i², epsilon))` |
    | `"log"` | the logarithm of the magnitude |

    Args:
        mode: one of these.
        frame_length: int, places in a frame.
        frame_step: int from 1 to `frame_length`, places between the starts of two frames; None
            for half the length.
        fft_length: int, at least `frame_length`: there are `fft_length // 2 + 1` frequencies.
            None for the next power of two.
        window: name of a window, see `scipy.signal.windows`; array of its values; or None.
        periodic: bool, whether a window given by its name is periodic; else symmetric.
        scaling: `"density"`, `"spectrum"` or None: by what the window is divided, its L2 norm, its
            L1 norm or nothing.
        padding: `"valid"`, or `"same"` for `ceil(times / frame_step)` frames, with zeros around.
        expand_dims: bool, whether channels and frequencies stay two axes, as of an image.
        data_format: `"channels_last"` or `"channels_first"`; None for the configured default.

    Input shape: `(batch, times, channels)`, or `(batch, channels, times)`; floats.
    Output shape: `(batch, frames, channels * frequencies)`, with `expand_dims` `(batch, frames,
        frequencies, channels)`; channels first `(batch, channels * frequencies, frames)`, with
        `expand_dims` `(batch, channels, frames, frequencies)`.

    Raises:
        ValueError: an argument is none of these.
        TypeError: the input holds no floats.

    Example:

    >>> layer = keras.layers.STFTSpectrogram(frame_length=256, frame_step=128, fft_length=512)
    >>> layer(torch.zeros(3, 16000, 1)).shape
    torch.Size([3, 124, 257])
    """

    def __init__(
        self,
        mode="log",
        frame_length=256,
        frame_step=None,
        fft_length=None,
        window="hann",
        periodic=False,
        scaling="density",
        padding="valid",
        expand_dims=False,
        data_format=None,
        **kwargs,
    ):
        if frame_step is not None and not 1 <= frame_step <= frame_length:
            raise ValueError(
                "`frame_step` must be from 1 to `frame_length`. Received: frame_step="
                f"{frame_step}, frame_length={frame_length}."
            )
        if fft_length is not None and fft_length < frame_length:
            raise ValueError(
                "`fft_length` must be at least `frame_length`. Received: fft_length="
                f"{fft_length}, frame_length={frame_length}."
            )
        if fft_length is not None and fft_length & -fft_length != fft_length:
            warn_user(f"`fft_length` is recommended to be a power of two. Received: {fft_length}.")
        for name, value, known in (("mode", mode, _MODES), ("padding", padding, ("valid", "same"))):
            if value not in known:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(known)}. Received: {name}={value!r}."
                )
        check_scaling(scaling)
        if isinstance(window, str):
            window_values(window, 1)
        super().__init__(**kwargs)
        self.mode = mode
        self.frame_length = frame_length
        self.frame_step = frame_step
        self._frame_step = frame_step or frame_length // 2
        self.fft_length = fft_length
        self._fft_length = fft_length or 2 ** math.ceil(math.log2(frame_length))
        self.window = window
        self.periodic = periodic
        self.scaling = scaling
        self.padding = padding
        self.expand_dims = expand_dims
        self.data_format = core_config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape):
        for side in ("real", "imag"):
            if self.mode not in ("real", "imag") or self.mode == side:
                kernel = self.add_weight(
                    name=f"{side}_kernel",
                    shape=(self.frame_length, 1, self._fft_length // 2 + 1),
                    initializer=STFT(side, self.window, self.scaling, self.periodic),
                )
                setattr(self, f"{side}_kernel", kernel)

    def call(self, inputs):
        if not inputs.is_floating_point():
            raise TypeError(
                f"Layer '{self.name}' takes signals of floats. Received: inputs of {inputs.dtype}."
            )
        if self.data_format == "channels_last":
            inputs = inputs.transpose(1, 2)
        batch, channels, times = inputs.shape
        signals = inputs.reshape(-1, 1, times)
        if self.padding == "same":
            signals = F.pad(signals, zeros_around(times, self.frame_length, self._frame_step))

        def convolved(kernel):
            waves = kernel.value.to(signals.dtype).permute(2, 1, 0)
            result = F.conv1d(signals, waves, stride=self._frame_step)
            return result.reshape(batch, channels, *result.shape[1:])

        real = convolved(self.real_kernel) if self.mode != "imag" else None
        imag = convolved(self.imag_kernel) if self.mode != "real" else None
        return self._arranged(self._values(real, imag))

    def _values(self, real, imag):
        """`(batch, channels, frequencies, frames)` for real and imaginary parts of that shape."""
        if imag is None or real is None:
            return real if imag is None else imag
        if self.mode == "angle":
            return torch.atan2(imag, real)
        if self.mode == "stft":
            return torch.cat([real, imag], dim=2)
        power = torch.square(real) + torch.square(imag)
        if self.mode == "psd":
            return power + F.pad(power[:, :, 1:-1], (0, 0, 1, 1))
        epsilon = core_config.epsilon()
        magnitude = torch.sqrt(power.clamp(min=epsilon))
        return magnitude if self.mode == "magnitude" else torch.log(magnitude.clamp(min=epsilon))

    def _arranged(self, x):
        is_last = channel_axis(self.data_format) == -1
        if self.expand_dims:
            return x.permute(0, 3, 2, 1) if is_last else x.transpose(2, 3)
        x = x.flatten(1, 2)
        return x.transpose(1, 2) if is_last else x

    def compute_output_shape(self, input_shape):
        frames = window_counts(
            self,
            input_shape,
            (self.frame_length,),
            (self._frame_step,),
            self.padding,
            "frame",
        )
        frequencies = (self._fft_length // 2 + 1) * (2 if self.mode == "stft" else 1)
        channels = input_shape[channel_axis(self.data_format)]
        is_last = self.data_format == "channels_last"
        if self.expand_dims and is_last:
            return (input_shape[0], *frames, frequencies, channels)
        if self.expand_dims:
            return (input_shape[0], channels, *frames, frequencies)
        features = None if channels is None else channels * frequencies
        if is_last:
            return (input_shape[0], *frames, features)
        return (input_shape[0], features, *frames)

    def get_config(self):
        return {
            **super().get_config(),
            "mode": self.mode,
            "frame_length": self.frame_length,
            "frame_step": self.frame_step,
            "fft_length": self.fft_length,
            "window": serialize_keras_object(self.window),
            "periodic": self.periodic,
            "scaling": self.scaling,
            "padding": self.padding,
            "data_format": self.data_format,
            "expand_dims": self.expand_dims,
        }

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        window = deserialize_keras_object(config["window"])
        return super().from_config({**config, "window": window})
