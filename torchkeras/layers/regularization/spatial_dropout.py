"""SpatialDropout1D, 2D and 3D: zero whole feature maps during training."""

from torchkeras.core import config
from torchkeras.kernels.dropout import dropout
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.regularization.dropout import Dropout


class _SpatialDropout(Dropout):
    _rank = None

    def __init__(self, rate, seed=None, name=None, dtype=None):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.input_spec = InputSpec(ndim=self._rank)
        self._map_shape = (None, *[1] * (self._rank - 2), None)

    def call(self, inputs, training=False):
        if training and self.rate > 0:
            return dropout(inputs, self.rate, self.seed_generator, self._map_shape)
        return inputs

    def get_config(self):
        return {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}


class _WithDataFormat(_SpatialDropout):
    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = config.standardize_data_format(data_format)
        if self.data_format == "channels_first":
            self._map_shape = (None, None, *[1] * (self._rank - 2))

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout1D(_SpatialDropout):
    """Zeroes whole channels of a sequence during training and scales up the others.

    Args:
        rate: float from 0 to 1, the probability with which a channel is zeroed.
        seed: int, or None; then the draws follow `torch.manual_seed`.
        name: str, or None for an automatic name.
        dtype: dtype name or DTypePolicy; None for the default policy.

    Input shape: `(batch, steps, channels)`.
    Output shape: that of the input.

    Raises:
        ValueError: `rate` is not in [0, 1].

    Source: Tompson et al. 2014, arXiv:1411.4280, section 3.2.

    Example:

    >>> y = keras.layers.SpatialDropout1D(0.5)(torch.ones(1, 4, 100), training=True)
    >>> bool((y == y[:, :1]).all())
    True
    """

    _rank = 3


class SpatialDropout2D(_WithDataFormat):
    """Zeroes whole channels of an image during training and scales up the others.

    Args:
        rate: float from 0 to 1, the probability with which a channel is zeroed.
        data_format: `"channels_last"`, `"channels_first"`, or None for
            `keras.config.image_data_format()`.
        seed: int, or None; then the draws follow `torch.manual_seed`.
        name: str, or None for an automatic name.
        dtype: dtype name or DTypePolicy; None for the default policy.

    Input shape: `(batch, height, width, channels)`, or channels at axis 1.
    Output shape: that of the input.

    Raises:
        ValueError: `rate` is not in [0, 1].

    Source: Tompson et al. 2014, arXiv:1411.4280, section 3.2.

    Example:

    >>> y = keras.layers.SpatialDropout2D(0.5)(torch.ones(1, 4, 4, 100), training=True)
    >>> bool((y == y[:, :1, :1]).all())
    True
    """

    _rank = 4


class SpatialDropout3D(_WithDataFormat):
    """Zeroes whole channels of a volume during training and scales up the others.

    Args:
        rate: float from 0 to 1, the probability with which a channel is zeroed.
        data_format: `"channels_last"`, `"channels_first"`, or None for
            `keras.config.image_data_format()`.
        seed: int, or None; then the draws follow `torch.manual_seed`.
        name: str, or None for an automatic name.
        dtype: dtype name or DTypePolicy; None for the default policy.

    Input shape: `(batch, depth, height, width, channels)`, or channels at axis 1.
    Output shape: that of the input.

    Raises:
        ValueError: `rate` is not in [0, 1].

    Source: Tompson et al. 2014, arXiv:1411.4280, section 3.2.

    Example:

    >>> y = keras.layers.SpatialDropout3D(0.5)(torch.ones(1, 2, 2, 2, 100), training=True)
    >>> bool((y == y[:, :1, :1, :1]).all())
    True
    """

    _rank = 5
