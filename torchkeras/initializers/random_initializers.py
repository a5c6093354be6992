"""Initializers that draw random numbers.

`seed` means the same in all of them. With an int, and with None, an initializer gives the same
numbers each time it is called for a shape; None stands for a seed that torch's default generator
chooses when the initializer is made, so `torch.manual_seed` decides it. With a
`keras.random.SeedGenerator` the numbers differ from call to call.
"""

import math

import numpy as np
import torch

from torchkeras.core import serialization
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.initializers.initializer import Initializer
from torchkeras.random import distributions
from torchkeras.random.distributions import check_shape
from torchkeras.random.seed_generator import SeedGenerator, make_default_seed

# Standard deviation of a standard normal cut off at 2: what the cut takes away is put back.
_STDDEV_AFTER_CUT = math.sqrt(
    1 - 2 * 2 * math.exp(-2) / (math.sqrt(2 * math.pi) * math.erf(math.sqrt(2)))
)


class RandomInitializer(Initializer):
    """Base class of initializers with a seed.

    Args:
        seed: int, `keras.random.SeedGenerator` or its config, or None.

    Attributes:
        seed: what numbers are drawn with; an int if None was given.

    Raises:
        ValueError: `seed` is of another kind.

    Example:

    >>> from torchkeras.initializers.random_initializers import RandomInitializer
    >>> RandomInitializer(seed=5).get_config()
    {'seed': 5}
    """

    _draws_alone = False  # whether a call does nothing but give numbers that a file may replace

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._draws_alone = cls.__module__ == __name__

    def __init__(self, seed=None):
        if isinstance(seed, dict):
            seed = serialization.deserialize_keras_object(seed)
        if isinstance(seed, np.integer):
            seed = int(seed)
        if seed is not None and not isinstance(seed, (int, SeedGenerator)):
            raise ValueError(
                "`seed` must be an int, a keras.random.SeedGenerator, or None. "
                f"Received: seed={seed!r} of type {type(seed).__name__}."
            )
        self._init_seed = seed
        self.seed = make_default_seed() if seed is None else seed

    def get_config(self):
        """`{"seed": ...}`, the seed as it was given."""
        return {"seed": serialization.serialize_keras_object(self._init_seed)}


def _check_stddev(stddev):
    if isinstance(stddev, (int, float)) and not stddev >= 0:
        raise ValueError(f"`stddev` must be at least 0. Received: stddev={stddev}.")


class RandomNormal(RandomInitializer):
    """Numbers of a normal distribution.

    Args:
        mean: float.
        stddev: float, at least 0.
        seed: int, `SeedGenerator` or None (see the module's text).

    Raises:
        ValueError: `stddev` is negative, or, when called, the dtype is not a float type.

    Example:

    >>> keras.initializers.RandomNormal(stddev=0.1)((2, 3)).shape
    torch.Size([2, 3])
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        super().__init__(seed)
        _check_stddev(stddev)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape, dtype=None):
        """A tensor of normal numbers on the default device.

        Args:
            shape: tuple of ints.
            dtype: float dtype; None for `keras.config.floatx()`.
        """
        return distributions.normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Numbers of a normal distribution, cut off two `stddev` from the mean.

    Args:
        mean: float.
        stddev: float, at least 0, before the cut.
        seed: int, `SeedGenerator` or None (see the module's text).

    Raises:
        ValueError: `stddev` is negative, or, when called, the dtype is not a float type.

    Example:

    >>> x = keras.initializers.TruncatedNormal(stddev=0.1)((100,))
    >>> bool((x.abs() <= 0.2).all())
    True
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        super().__init__(seed)
        _check_stddev(stddev)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape, dtype=None):
        """A tensor of truncated normal numbers on the default device.

        Args:
            shape: tuple of ints.
            dtype: float dtype; None for `keras.config.floatx()`.
        """
        return distributions.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class RandomUniform(RandomInitializer):
    """Numbers of the uniform distribution on `[minval, maxval)`.

    Args:
        minval: float, included.
        maxval: float, excluded.
        seed: int, `SeedGenerator` or None (see the module's text).

    Raises:
        ValueError: when called, if the dtype is not a float type.

    Example:

    >>> x = keras.initializers.RandomUniform(0.0, 2.0)((100,))
    >>> bool((x >= 0).all() and (x < 2).all())
    True
    """

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape, dtype=None):
        """A tensor of uniform numbers on the default device.

        Args:
            shape: tuple of ints.
            dtype: float dtype; None for `keras.config.floatx()`.
        """
        return distributions.uniform(shape, self.minval, self.maxval, dtype, self.seed)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Random numbers whose variance is `scale / n`, so that signals keep their size.

    `n` is the number of inputs of one output (`mode="fan_in"`), of outputs of one input
    (`"fan_out"`), or their mean (`"fan_avg"`); at least 1. For a weight of shape
    `(..., inputs, outputs)` the leading axes, those of a convolution's window, count for both.

    Args:
        scale: float above 0.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`.
        distribution: `"truncated_normal"` (cut off at two standard deviations, with the given
            variance after the cut), `"untruncated_normal"`, or `"uniform"` (on
            `[-limit, limit)`, `limit = sqrt(3 * scale / n)`). `"normal"` is the first.
        seed: int, `SeedGenerator` or None (see the module's text).
        input_axes, output_axes: lists of axes of the weight whose sizes multiply to the number
            of inputs and of outputs. Used when both are given.

    Raises:
        ValueError: an argument has another value; when called: the dtype is not a float type,
            or the weight lacks one of the axes.

    Source: He et al. 2015, arXiv:1502.01852, eq. 10 and 14; Glorot and Bengio 2010, eq. 12.

    Example:

    >>> keras.initializers.VarianceScaling(2.0, "fan_out", "uniform")((2, 3)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        scale=1.0,
        mode="fan_in",
        distribution="truncated_normal",
        seed=None,
        input_axes=None,
        output_axes=None,
    ):
        super().__init__(seed)
        if not scale > 0:
            raise ValueError(f"`scale` must be above 0. Received: scale={scale}.")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(
                f"`mode` must be 'fan_in', 'fan_out' or 'fan_avg'. Received: mode={mode!r}."
            )
        given, distribution = distribution, str(distribution).lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                "`distribution` must be 'uniform', 'truncated_normal' or 'untruncated_normal'. "
                f"Received: distribution={given!r}."
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def __call__(self, shape, dtype=None):
        """A tensor of random numbers on the default device.

        Args:
            shape: tuple of ints.
            dtype: float dtype; None for `keras.config.floatx()`.
        """
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / max(1.0, fans[self.mode])
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return distributions.uniform(shape, -limit, limit, dtype, self.seed)
        stddev = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return distributions.normal(shape, 0.0, stddev, dtype, self.seed)
        stddev /= _STDDEV_AFTER_CUT
        return distributions.truncated_normal(shape, 0.0, stddev, dtype, self.seed)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _NamedScaling(VarianceScaling):
    """VarianceScaling with a scale, mode and distribution that belong to the class."""

    _scaling = ()

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(*self._scaling, seed, input_axes, output_axes)

    def get_config(self):
        """The constructor's arguments."""
        config = super().get_config()
        return {key: config[key] for key in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_NamedScaling):
    """Uniform numbers of variance `2 / (fan_in + fan_out)`.

    They lie in `[-limit, limit)` with `limit = sqrt(6 / (fan_in + fan_out))`.

    Args:
        seed: int, `SeedGenerator` or None (see the module's text).
        input_axes, output_axes: as in `VarianceScaling`.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
    neural networks", eq. 16.

    Example:

    >>> keras.initializers.GlorotUniform()
    <GlorotUniform seed=None>
    """

    _scaling = 1.0, "fan_avg", "uniform"


class GlorotNormal(_NamedScaling):
    """Truncated normal numbers of variance `2 / (fan_in + fan_out)`.

    Args:
        seed: int, `SeedGenerator` or None (see the module's text).
        input_axes, output_axes: as in `VarianceScaling`.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
    neural networks", eq. 12; the cut at two standard deviations as in Keras.

    Example:

    >>> keras.initializers.GlorotNormal()((4, 4)).shape
    torch.Size([4, 4])
    """

    _scaling = 1.0, "fan_avg", "truncated_normal"


class LecunNormal(_NamedScaling):
    """Truncated normal numbers of variance `1 / fan_in`.

    Args:
        seed: int, `SeedGenerator` or None (see the module's text).
        input_axes, output_axes: as in `VarianceScaling`.

    Source: LeCun et al. 1998, "Efficient BackProp", eq. 16; the cut at two standard deviations
    as in Keras.

    Example:

    >>> keras.initializers.LecunNormal()((4, 4)).shape
    torch.Size([4, 4])
    """

    _scaling = 1.0, "fan_in", "truncated_normal"


class LecunUniform(_NamedScaling):
    """Uniform numbers of variance `1 / fan_in`: on `[-limit, limit)`, `limit = sqrt(3 / fan_in)`.

    Args:
        seed: int, `SeedGenerator` or None (see the module's text).
        input_axes, output_axes: as in `VarianceScaling`.

    Source: LeCun et al. 1998, "Efficient BackProp", eq. 16.

    Example:

    >>> keras.initializers.LecunUniform()((4, 4)).shape
    torch.Size([4, 4])
    """

    _scaling = 1.0, "fan_in", "uniform"


class HeNormal(_NamedScaling):
    """Truncated normal numbers of variance `2 / fan_in`, for layers followed by a ReLU.

    Args:
        seed: int, `SeedGenerator` or None (see the module's text).
        input_axes, output_axes: as in `VarianceScaling`.

    Source: He et al. 2015, arXiv:1502.01852, eq. 10; the cut at two standard deviations as in
    Keras.

    Example:

    >>> keras.initializers.HeNormal()((3, 3, 4, 8)).shape
    torch.Size([3, 3, 4, 8])
    """

    _scaling = 2.0, "fan_in", "truncated_normal"


class HeUniform(_NamedScaling):
    """Uniform numbers of variance `2 / fan_in`: on `[-limit, limit)`, `limit = sqrt(6 / fan_in)`.

    Args:
        seed: int, `SeedGenerator` or None (see the module's text).
        input_axes, output_axes: as in `VarianceScaling`.

    Source: He et al. 2015, arXiv:1502.01852, eq. 10.

    Example:

    >>> keras.initializers.HeUniform()((4, 4)).shape
    torch.Size([4, 4])
    """

    _scaling = 2.0, "fan_in", "uniform"


class Orthogonal(RandomInitializer):
    """A random orthogonal matrix times `gain`.

    The weight is seen as a matrix of shape `(product of the leading sizes, last size)`. Its
    columns are orthonormal, or its rows where it has more columns than rows; all such matrices
    are equally likely.

    Args:
        gain: number.
        seed: int, `SeedGenerator` or None (see the module's text).

    Raises:
        ValueError: when called, if the shape is of rank below 2, or the dtype is not a float
            type.

    Source: Saxe et al. 2014, arXiv:1312.6120; the signs as in Mezzadri 2007,
    arXiv:math-ph/0609050, section 5.

    Example:

    >>> q = keras.initializers.Orthogonal()((4, 2))
    >>> torch.allclose(q.T @ q, torch.eye(2), atol=1e-5)
    True
    """

    def __init__(self, gain=1.0, seed=None):
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape, dtype=None):
        """A tensor on the default device, orthogonal as a matrix.

        Args:
            shape: tuple of at least two ints.
            dtype: float dtype; None for `keras.config.floatx()`.
        """
        shape, dtype = check_shape(shape), to_torch_dtype(dtype)
        if len(shape) < 2:
            raise ValueError(
                "Orthogonal makes matrices, so the shape must be at least two-dimensional. "
                f"Received: shape={shape} of rank {len(shape)}. Use another initializer for this "
                "weight."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        # torch has no QR in 16 bits.
        wide = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
        tall = max(rows, columns), min(rows, columns)
        q, r = torch.linalg.qr(distributions.normal(tall, dtype=wide, seed=self.seed))
        q = q * torch.where(torch.diagonal(r) < 0, -1.0, 1.0).to(wide)
        q = q.T if rows < columns else q
        return (self.gain * q).reshape(shape).to(dtype)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "gain": self.gain}


def compute_fans(shape, input_axes=None, output_axes=None):
    """Numbers of inputs of one output, and of outputs of one input, of a weight.

    Args:
        shape: tuple of ints: `()`, `(n,)` (n for both), or `(..., inputs, outputs)`, where the
            leading sizes multiply both.
        input_axes, output_axes: lists of axes; used, instead of the rule above, when both are
            given.

    Returns:
        `(fan_in, fan_out)`, ints.

    Raises:
        ValueError: the weight lacks one of the axes.

    Example:

    >>> from torchkeras.initializers.random_initializers import compute_fans
    >>> compute_fans((3, 3, 16, 32))
    (144, 288)
    """
    shape = check_shape(shape)
    if input_axes is not None and output_axes is not None:
        for axes, name in ((input_axes, "input_axes"), (output_axes, "output_axes")):
            if not all(-len(shape) <= axis < len(shape) for axis in axes):
                raise ValueError(
                    f"`{name}` must be axes of the weight, which has shape {shape}. Received: "
                    f"{name}={axes}."
                )
        fan_in = math.prod(shape[axis] for axis in input_axes)
        return fan_in, math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        fan = math.prod(shape)
        return fan, fan
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]
