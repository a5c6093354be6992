"""Normalization: features at mean 0 and variance 1, by statistics of the data."""

import math

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer
from torchkeras.layers.preprocessing.tables import Tables

_NUMBERS_AT_ONCE = 1 << 22


class Normalization(Tables, AdaptableLayer):
    """`(inputs - mean) / sqrt(variance)`, with statistics that are given or learned from data.

    `adapt` goes over the data once, in float64, and merges the batches' statistics so that
    large means cost no digits. A standard deviation below `keras.config.epsilon()` counts as that.

    Args:
        axis: int, or tuple of them: the axes with a mean and a variance for each index. None for
            one mean and one variance of all.
        mean, variance: number, or arrays that broadcast to the sizes of `axis`, from the last
            one on; None to `adapt`.
        invert: bool, whether to turn normalized inputs into what they were instead.
        **kwargs: `name`, `dtype`, `trainable`.

    Input shape: any, with known sizes on `axis`, which is not the batch; floats or integers.
    Output shape: that of the input, in the compute dtype.

    Raises:
        ValueError: `mean` without `variance` or the other way about, or of other shapes; `axis`
            is no axis of the input, or of unknown size; `adapt` to data of another size, or where
            the statistics were given.

    Source:
        As Keras. The merging is that of Chan, Golub and LeVeque 1979, equation 2.1. Keras
        takes `axis=-1` of single numbers, shape `(batch,)`, for a mean of each place in the
        batch; here that is an error, and `axis=None` does what is meant.

    Example:

    >>> layer = keras.layers.Normalization()
    >>> layer.adapt([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]])
    >>> layer(torch.tensor([[0.0, 7.0, 4.0]]))
    tensor([[-1., -1., -1.]])
    """

    keeps_shape = True

    _plain_attributes = (
        Tables._plain_attributes | AdaptableLayer._plain_attributes | {"_moments", "_kept"}
    )

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        axis = () if axis is None else axis
        self.axis = (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError(
                "`mean` and `variance` are given together. Received: "
                f"mean={mean}, variance={variance}."
            )
        if mean is not None:
            mean, variance = (np.asarray(convert_to_numpy(x), "float64") for x in (mean, variance))
            if mean.shape != variance.shape or mean.ndim > len(self.axis):
                raise ValueError(
                    "`mean` and `variance` must have one shape, of as many axes as `axis` at most. "
                    f"Received: shapes {mean.shape} and {variance.shape} for axis={self.axis}."
                )
        self.input_mean = mean
        self.input_variance = variance
        self.invert = invert
        self.supports_masking = True
        self._kept = None  # axes of the input with a mean for each index, from 0 on
        self._moments = None

    def build(self, input_shape):
        rank = len(input_shape)
        kept = sorted(axis + rank if axis < 0 else axis for axis in self.axis)
        if len(set(kept)) < len(kept) or not all(0 <= axis < rank for axis in kept):
            raise ValueError(
                f"All of `axis` must be axes of the input, in [{-rank}, {rank}), none of them "
                f"twice. Received: axis={self.axis} for input_shape={tuple(input_shape)}."
            )
        if kept[:1] == [0] and input_shape[0] is None:
            raise ValueError(
                f"The batch cannot be among `axis`. Received: axis={self.axis} for input_shape="
                f"{tuple(input_shape)}. Use axis=None for single numbers."
            )
        sizes = known_sizes(self, kept, input_shape)
        self._kept = dict(zip(kept, sizes, strict=True))
        self._set_broadcast_shape(rank)
        if self.input_mean is None:
            options = {"shape": sizes, "trainable": False}
            self.adapt_mean = self.add_weight(name="mean", initializer="zeros", **options)
            self.adapt_variance = self.add_weight(name="variance", initializer="ones", **options)
            # Keras keeps it for older files, and never counts.
            self.count = self.add_weight(
                name="count", shape=(), dtype="int32", initializer="zeros", trainable=False
            )
        else:
            dtype = self.variable_dtype if "float" in self.variable_dtype else config.floatx()
            dtype = dtype if dtype != "bfloat16" else "float32"
            for name in ("mean", "variance"):
                given = getattr(self, f"input_{name}")
                try:
                    full = np.broadcast_to(given, sizes)
                except ValueError as error:
                    raise ValueError(
                        f"`{name}` must broadcast to the sizes {sizes} of axis={self.axis}. "
                        f"Received: shape {given.shape}."
                    ) from error
                self._set_table(f"{name}_table", np.ascontiguousarray(full, dtype=dtype))

    def _set_broadcast_shape(self, rank):
        self._broadcast_shape = tuple(self._kept.get(axis, 1) for axis in range(rank))

    def _statistic(self, name, device=None):
        if self.input_mean is None:
            return getattr(self, f"adapt_{name}").value.reshape(self._broadcast_shape)
        table = self._buffers[f"{name}_table"]
        table = table if device is None else self._table(f"{name}_table", device)
        return table.reshape(self._broadcast_shape)

    @property
    def mean(self):
        """The mean in use, in a shape that broadcasts to inputs; None before the layer is built."""
        return self._statistic("mean") if self.built else None

    @property
    def variance(self):
        """The variance in use, as `mean`."""
        return self._statistic("variance") if self.built else None

    def _batch_for_adapt(self, batch):
        return convert_to_tensor(batch)  # a cast to the layer's dtype would cost digits

    @property
    def _learns(self):
        return self.input_mean is None

    def reset_state(self):
        self._moments = None

    def update_state(self, batch):
        if self.input_mean is not None:
            raise ValueError(
                f"Layer '{self.name}' was given its mean and variance, and learns none. Received: "
                "adapt(). Leave them out to adapt the layer."
            )
        batch = convert_to_tensor(batch)
        sizes = [
            (axis, batch.shape[axis] if axis < batch.dim() else None, size)
            for axis, size in self._kept.items()
        ]
        if batch.dim() != len(self._broadcast_shape) or any(a != b for _, a, b in sizes):
            raise ValueError(
                f"Layer '{self.name}' adapts to data of the shape that it was built for, with "
                f"sizes {self._kept} on its axes. Received: an incompatible shape, "
                f"{tuple(batch.shape)}."
            )
        batch = batch.cpu() if batch.device.type == "mps" else batch  # which has no float64
        if 0 in self._kept:
            self._merge(batch.double())
            return
        # In parts, so that a large array is not held twice.
        rows = max(_NUMBERS_AT_ONCE // max(math.prod(batch.shape[1:]), 1), 1)
        for part in batch.split(rows):
            self._merge(part.double())

    def _merge(self, part):
        reduced = [axis for axis in range(part.dim()) if axis not in self._kept]
        count = math.prod(part.shape[axis] for axis in reduced)
        if not count:
            return
        if not reduced:  # to torch no axis means all of them
            variance, mean = torch.zeros_like(part), part
        else:
            variance, mean = torch.var_mean(part, dim=reduced, correction=0)
        if self._moments is None:
            self._moments = (count, mean, variance * count)
            return
        before, old_mean, squares = self._moments
        total = before + count
        step = mean.to(old_mean.device) - old_mean
        squares = squares + variance.to(squares.device) * count + step**2 * (before * count / total)
        self._moments = (total, old_mean + step * (count / total), squares)

    def finalize_state(self):
        if self._moments is None:
            return
        count, mean, squares = self._moments
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(squares / count)
        self._moments = None

    def call(self, inputs):
        dtype = to_torch_dtype(self.compute_dtype)
        inputs = convert_to_tensor(inputs, dtype)  # lists of numbers come as they are
        mean = self._statistic("mean", inputs.device).to(dtype)
        deviation = self._statistic("variance", inputs.device).to(dtype).sqrt()
        deviation = deviation.clamp(min=config.epsilon())
        return mean + inputs * deviation if self.invert else (inputs - mean) / deviation

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": None if self.input_mean is None else self.input_mean.tolist(),
            "variance": None if self.input_variance is None else self.input_variance.tolist(),
        }
