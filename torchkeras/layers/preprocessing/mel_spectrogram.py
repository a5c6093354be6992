"""MelSpectrogram: the loudness of bands of frequencies over time, spaced as ears hear them."""

import numpy as np
import torch

from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.initializers.windows import window_values
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.preprocessing.tables import Tables


class MelSpectrogram(Tables, Layer):
    """Spectrogram on the mel scale: magnitudes of a Fourier transform, summed up in bands.

    Frames stand around every `sequence_stride`-th sample, the signal mirrored at its ends.
    Magnitudes to the power `mag_exp` are weighted by triangles that overlap by half, evenly
    spread over `mel(f) = 1127 ln(1 + f / 700)`. With `power_to_db`,
    `10 log10(max(x, min_power) / ref_power)`, and at least the largest value of all minus `top_db`.

    Args:
        fft_length: int, samples in a transform.
        sequence_stride: int, samples between two frames.
        sequence_length: int up to `fft_length`, samples under the window; None for `fft_length`.
        window: `"hann"`, `"hamming"`, `sequence_length` values, or None for no window.
        sampling_rate: int, samples a second.
        num_mel_bins: int, number of bands.
        min_freq, max_freq: floats, where the bands begin and end, in hertz; None for half the
            sampling rate.
        power_to_db: bool, whether the output is in decibels.
        top_db: float, range in decibels.
        mag_exp: float, 1 for magnitudes, 2 for power.
        min_power: float, what counts as silence.
        ref_power: float, power of 0 decibels.

    Input shape: `(samples,)` or `(batch, samples)`.
    Output shape: `(num_mel_bins, frames)` or `(batch, num_mel_bins, frames)`, with `1 + samples //
        sequence_stride` frames.

    Raises:
        ValueError: `sequence_length` is above `fft_length`, the window is none, or the signal is
            shorter than half a transform.

    Source: Young et al., The HTK Book, 5.4.

    Example:

    >>> layer = keras.layers.MelSpectrogram(
    ...     num_mel_bins=64, sampling_rate=8000, sequence_stride=256, fft_length=2048
    ... )
    >>> layer(torch.rand(16000)).shape
    torch.Size([64, 63])
    """

    def __init__(
        self,
        fft_length=2048,
        sequence_stride=512,
        sequence_length=None,
        window="hann",
        sampling_rate=16000,
        num_mel_bins=128,
        min_freq=20.0,
        max_freq=None,
        power_to_db=True,
        top_db=80.0,
        mag_exp=2.0,
        min_power=1e-10,
        ref_power=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.fft_length = fft_length
        self.sequence_stride = sequence_stride
        self.sequence_length = sequence_length or fft_length
        if self.sequence_length > fft_length:
            raise ValueError(
                "`sequence_length` must be at most `fft_length`. Received: sequence_length="
                f"{sequence_length}, fft_length={fft_length}."
            )
        self.window = window
        self.sampling_rate = sampling_rate
        self.num_mel_bins = num_mel_bins
        self.min_freq = min_freq
        self.max_freq = max_freq or int(sampling_rate / 2)
        self.power_to_db = power_to_db
        self.top_db = top_db
        self.mag_exp = mag_exp
        self.min_power = min_power
        self.ref_power = ref_power
        self.input_spec = InputSpec(min_ndim=1)
        self._set_table("_window_values", self._values_of_window())
        bands = self.linear_to_mel_weight_matrix(
            num_mel_bins, fft_length // 2 + 1, sampling_rate, min_freq, self.max_freq
        )
        self._set_table("_bands", bands.numpy())
        mark_built(self)

    def _values_of_window(self):
        if self.window is None:
            return np.ones(self.sequence_length, "float32")
        if isinstance(self.window, str):
            if self.window not in ("hann", "hamming"):
                raise ValueError(
                    "`window` must be 'hann', 'hamming', values or None. Received: window="
                    f"{self.window!r}."
                )
            return window_values(self.window, self.sequence_length).astype("float32")
        values = np.asarray(convert_to_numpy(self.window), "float32")
        if values.shape != (self.sequence_length,):
            raise ValueError(
                f"`window` must have `sequence_length` values, {self.sequence_length}. Received: "
                f"window of shape {values.shape}."
            )
        return values

    def call(self, inputs):
        compute_dtype = to_torch_dtype(self.compute_dtype)
        dtype = torch.float64 if compute_dtype is torch.float64 else torch.float32
        signals = inputs.to(dtype)
        samples = signals.shape[-1]
        # The other sizes are those of tensors in a trace, of which nothing is asked.
        if isinstance(samples, int) and samples <= self.fft_length // 2:
            raise ValueError(
                f"Layer '{self.name}' mirrors signals at their ends, by {self.fft_length // 2} "
                f"samples, and needs more than that. Received: inputs of shape "
                f"{tuple(inputs.shape)}. Use a smaller `fft_length`, or pad the signals."
            )
        waves = torch.stft(
            signals.reshape(-1, samples),
            self.fft_length,
            self.sequence_stride,
            self.sequence_length,
            self._table("_window_values", signals.device).to(dtype),
            center=True,
            return_complex=True,
        )
        power = torch.square(waves.real) + torch.square(waves.imag)
        if self.mag_exp != 2:
            power = power ** (self.mag_exp / 2)
        bands = self._table("_bands", signals.device).to(dtype)
        x = torch.matmul(bands.T, power).reshape(*signals.shape[:-1], self.num_mel_bins, -1)
        return (self._decibels(x) if self.power_to_db else x).to(compute_dtype)

    def _decibels(self, x):
        reference = max(abs(self.ref_power), self.min_power)
        x = 10 * torch.log10(x.clamp(min=self.min_power)) - 10 * float(np.log10(reference))
        return torch.maximum(x, x.amax() - self.top_db)

    def linear_to_mel_weight_matrix(
        self,
        num_mel_bins=20,
        num_spectrogram_bins=129,
        sampling_rate=8000,
        lower_edge_hertz=125.0,
        upper_edge_hertz=3800.0,
        dtype="float32",
    ):
        """Weights that sum the frequencies of a transform up to bands on the mel scale.

        Args:
            num_mel_bins: int, number of bands.
            num_spectrogram_bins: int, number of frequencies, from 0 to half the sampling rate.
            sampling_rate: int, samples a second.
            lower_edge_hertz, upper_edge_hertz: floats, where the bands begin and end.
            dtype: of the result.

        Returns:
            Tensor `(num_spectrogram_bins, num_mel_bins)` of triangles of height 1.
        """

        def mel(hertz):
            return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

        # The first one is that of no oscillation, which belongs to no band.
        frequencies = np.linspace(0, sampling_rate / 2, num_spectrogram_bins)[1:]
        places = mel(frequencies)[:, None]
        edges = np.linspace(mel(lower_edge_hertz), mel(upper_edge_hertz), num_mel_bins + 2)
        lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (places - lower) / (center - lower), (upper - places) / (upper - center)
        triangles = np.maximum(0, np.minimum(rising, falling))
        return torch.tensor(np.pad(triangles, ((1, 0), (0, 0))), dtype=to_torch_dtype(dtype))

    def compute_output_shape(self, input_shape):
        samples = input_shape[-1]
        frames = None
        if samples is not None:
            mirrored = samples + 2 * (self.fft_length // 2)
            frames = 1 + (mirrored - self.fft_length) // self.sequence_stride
        return (*input_shape[:-1], self.num_mel_bins, frames)

    def get_config(self):
        return {
            **super().get_config(),
            "fft_length": self.fft_length,
            "sequence_stride": self.sequence_stride,
            "sequence_length": self.sequence_length,
            "window": serialize_keras_object(self.window),
            "sampling_rate": self.sampling_rate,
            "num_mel_bins": self.num_mel_bins,
            "min_freq": self.min_freq,
            "max_freq": self.max_freq,
            "power_to_db": self.power_to_db,
            "top_db": self.top_db,
            "mag_exp": self.mag_exp,
            "min_power": self.min_power,
            "ref_power": self.ref_power,
        }

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        window = deserialize_keras_object(config["window"])
        return super().from_config({**config, "window": window})
