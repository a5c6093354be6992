"""keras.random: random tensors from torch's generators or from a SeedGenerator's state.

What `seed` means is the same in every function here:

- None: torch's default generator of the device, so `torch.manual_seed` decides;
- an int: the same numbers at each call, from a new generator with that seed;
- a `SeedGenerator`: numbers that differ from call to call. With a seed of its own, and inside
  a stateless call, they are a function of its state (see `philox.py`), which moves on by one.
"""

import math
import operator

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.core.dtypes import is_float_dtype, is_int_dtype, to_torch_dtype
from torchkeras.core.scopes import SCOPE
from torchkeras.random import philox
from torchkeras.random.seed_generator import SeedGenerator

# P(|x| < 2) of a standard normal x.
_WITHIN_TWO = math.erf(math.sqrt(2.0))


class _NativeSource:
    """Numbers from a `torch.Generator`; None for the device's default one."""

    def __init__(self, generator, device):
        self.generator = generator
        self.where = {"device": device}
        if generator is not None:  # torch takes no sizes that a trace leaves open beside one
            self.where["generator"] = generator

    def uniform(self, shape, dtype):
        return torch.rand(shape, dtype=dtype, **self.where)

    def normal(self, shape, dtype):
        return torch.randn(shape, dtype=dtype, **self.where)

    def integers(self, shape, low, high):
        return torch.randint(low, high, shape, dtype=torch.int64, **self.where)

    def permutation(self, n):
        return torch.randperm(n, **self.where)

    def log_gamma(self, alpha, stream=0):
        # Below alpha = 1 from alpha + 1: a tiny alpha gives numbers too small for the dtype.
        small = alpha < 1
        x = torch._standard_gamma(torch.where(small, alpha + 1, alpha), generator=self.generator)
        u = 1 - self.uniform(alpha.shape, alpha.dtype)
        return torch.log(x) + torch.where(small, torch.log(u) / alpha, 0.0)

    def binomial(self, counts, probabilities):
        device = self.where["device"]
        if device.type == "meta" or torch.compiler.is_compiling():
            # torch.binomial has no meta kernel (torch 2.13), so it cannot be traced.
            state = self.integers((2,), 0, 2**62)
            return _StateSource(state, device).binomial(counts, probabilities)
        return torch.binomial(counts, probabilities, generator=self.generator)


class _StateSource:
    """Numbers that are a function of a state `[seed, counter]`."""

    def __init__(self, state, device):
        self.state = state.to(device)
        self.device = device

    def uniform(self, shape, dtype):
        return philox.uniform(self.state, shape, dtype)

    def normal(self, shape, dtype):
        return philox.normal(self.state, shape, dtype)

    def integers(self, shape, low, high):
        return philox.integers(self.state, shape, low, high)

    def permutation(self, n):
        return torch.argsort(philox.integers(self.state, (n,), 0, 2**62))

    def log_gamma(self, alpha, stream=0):
        return philox.log_gamma_sample(self.state, alpha, stream)

    def binomial(self, counts, probabilities):
        return philox.binomial(self.state, counts, probabilities)


def source_of(seed, device):
    """Where the numbers of a draw come from: an object with `uniform`, `normal` and `integers`.

    Args:
        seed: int, `SeedGenerator`, or None for torch's default generator.
        device: torch.device that the numbers are made on.

    Raises:
        ValueError: `seed` is of another kind.

    Example:

    >>> from torchkeras.random.distributions import source_of
    >>> source_of(1, torch.device("cpu")).uniform((2,), torch.float32).shape
    torch.Size([2])
    """
    if seed is None:
        return _NativeSource(None, device)
    if isinstance(seed, SeedGenerator):
        if seed.draws_from_state:
            return _StateSource(seed.next(), device)
        return _NativeSource(None, device)
    if isinstance(seed, (int, np.integer)):
        if device.type == "meta":
            return _NativeSource(None, device)
        generator = torch.Generator(device).manual_seed(int(seed) % 2**64)
        return _NativeSource(generator, device)
    raise ValueError(
        "`seed` must be an int, a keras.random.SeedGenerator, or None. "
        f"Received: seed={seed!r} of type {type(seed).__name__}."
    )


def _device():
    return torch.device("meta") if SCOPE.meta else config.default_device()


def check_shape(shape):
    """`shape` as a tuple of sizes.

    Raises:
        TypeError: `shape` is not a sequence, or holds something that is no integer.
        ValueError: a size is negative.

    Example:

    >>> from torchkeras.random.distributions import check_shape
    >>> check_shape([2, 3])
    (2, 3)
    """
    if isinstance(shape, int) or not hasattr(shape, "__iter__"):
        raise TypeError(
            f"`shape` must be a tuple of ints. Received: shape={shape!r}. For one axis pass "
            "shape=(n,)."
        )
    sizes = []
    for size in shape:
        if not isinstance(size, (int, torch.SymInt)):
            try:
                size = operator.index(size)
            except TypeError:
                raise TypeError(
                    f"`shape` must be a tuple of ints. Received: shape={shape!r}, with {size!r} "
                    "in it. Give each size as an int."
                ) from None
        if size < 0:
            raise ValueError(
                f"The sizes in `shape` must be at least 0. Received: shape={tuple(shape)}."
            )
        sizes.append(size)
    return tuple(sizes)


def _float_dtype(dtype, function):
    if dtype is not None and not is_float_dtype(dtype):
        raise ValueError(
            f"`keras.random.{function}` requires a floating point `dtype`. Received: "
            f"dtype={dtype!r}. Draw floats, and cast the result with keras.ops.cast."
        )
    return to_torch_dtype(dtype)


def _wide(dtype):
    """The dtype to compute in: formulas with logarithms lose too much in 16 bits."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def _widest(device):
    return torch.float32 if device.type == "mps" else torch.float64


def _check_stddev(stddev):
    # The value of a tensor is not looked at: reading it would wait for its device.
    if isinstance(stddev, (int, float)) and not stddev >= 0:
        raise ValueError(
            f"`stddev` must be at least 0. Received: stddev={stddev}. It is the standard "
            "deviation, the square root of the variance."
        )


def _scale_and_shift(x, stddev, mean):
    """`x * stddev + mean`, in place for numbers."""
    if isinstance(stddev, (int, float)) and isinstance(mean, (int, float)):
        x = x if stddev == 1 else x.mul_(stddev)
        return x if mean == 0 else x.add_(mean)
    stddev = _spread(stddev, x.shape, x.dtype, x.device, "stddev")
    return x * stddev + _spread(mean, x.shape, x.dtype, x.device, "mean")


def _spread(value, shape, dtype, device, name):
    """`value` as a tensor that broadcasts to `shape`."""
    tensor = convert_to_tensor(value, dtype).to(device)
    sizes = zip(reversed(tensor.shape), reversed(shape), strict=False)
    if tensor.ndim > len(shape) or any(have not in (1, want) for have, want in sizes):
        raise ValueError(
            f"`{name}` must broadcast to the shape asked for, {tuple(shape)}. Received: {name} "
            f"of shape {tuple(tensor.shape)}."
        )
    return tensor


def _parameter(value, shape, dtype, device, name, expected, holds):
    """A distribution's parameter, spread over `shape`, and whether each value is valid.

    Numbers, lists and arrays are checked here. A tensor may live on another device, and is not
    read: an invalid value in it makes the result NaN.
    """
    tensor = _spread(value, shape, dtype, device, name).detach().expand(shape)
    if isinstance(value, (int, float)):
        fine = holds(value)
    elif isinstance(value, torch.Tensor) or hasattr(value, "_as_tensor"):
        fine = True
    else:
        fine = torch.compiler.is_compiling() or bool(holds(convert_to_numpy(value)).all())
    if not fine:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}.")
    return tensor, holds(tensor)


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Numbers of a normal distribution.

    Args:
        shape: tuple of ints.
        mean: float, or a tensor that broadcasts to `shape`.
        stddev: float, at least 0, or a tensor that broadcasts to `shape`.
        dtype: float dtype; None for `keras.config.floatx()`.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `shape`, in `dtype`, on the default device.

    Raises:
        ValueError: `stddev` is negative, `dtype` is not a float type, or `seed` is of another
            kind.

    Example:

    >>> x = keras.random.normal((2, 3), seed=1)
    >>> x.shape, bool((x == keras.random.normal((2, 3), seed=1)).all())
    (torch.Size([2, 3]), True)
    """
    shape, dtype = check_shape(shape), _float_dtype(dtype, "normal")
    _check_stddev(stddev)
    x = source_of(seed, _device()).normal(shape, dtype)
    return _scale_and_shift(x, stddev, mean)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Numbers of the uniform distribution on `[minval, maxval)`.

    Args:
        shape: tuple of ints.
        minval: float, or a tensor that broadcasts to `shape`; included.
        maxval: float, or a tensor that broadcasts to `shape`; excluded. Below `minval` the
            interval is `(maxval, minval]`, as in Keras.
        dtype: float dtype; None for `keras.config.floatx()`.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `shape`, in `dtype`, on the default device.

    Raises:
        ValueError: `dtype` is not a float type, or `seed` is of another kind.

    Example:

    >>> x = keras.random.uniform((100,), 2.0, 3.0)
    >>> bool((x >= 2).all() and (x < 3).all())
    True
    """
    shape, dtype = check_shape(shape), _float_dtype(dtype, "uniform")
    x = source_of(seed, _device()).uniform(shape, dtype)
    # Adding minval may round up to maxval, once in 1e7 numbers or so: that becomes minval. From
    # 0 on the product is below maxval by itself.
    if isinstance(minval, (int, float)) and isinstance(maxval, (int, float)):
        if minval == 0:
            return x.mul_(maxval)
        x = x.mul_(maxval - minval).add_(minval)
        return x.masked_fill_(x == maxval, minval)
    minval = _spread(minval, shape, dtype, x.device, "minval")
    maxval = _spread(maxval, shape, dtype, x.device, "maxval")
    x = x * (maxval - minval) + minval
    return torch.where(x == maxval, minval, x)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Numbers of a normal distribution that is cut off two `stddev` from the mean.

    `stddev` is that of the distribution before the cut; after it the standard deviation is
    0.8796 times as large. The inverse distribution function is applied to one uniform number,
    so no value lies outside. (Keras on torch takes the first of four normal numbers inside,
    and one in 200,000 of its values is not.)

    Args:
        shape: tuple of ints.
        mean: float, or a tensor that broadcasts to `shape`.
        stddev: float, at least 0, or a tensor that broadcasts to `shape`.
        dtype: float dtype; None for `keras.config.floatx()`.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `shape`, in `dtype`, on the default device.

    Raises:
        ValueError: `stddev` is negative, `dtype` is not a float type, or `seed` is of another
            kind.

    Example:

    >>> bool((keras.random.truncated_normal((1000,)).abs() <= 2).all())
    True
    """
    shape, dtype = check_shape(shape), _float_dtype(dtype, "truncated_normal")
    _check_stddev(stddev)
    u = source_of(seed, _device()).uniform(shape, _wide(dtype))
    x = torch.erfinv(u.mul_(2 * _WITHIN_TWO).sub_(_WITHIN_TWO)).mul_(math.sqrt(2.0))
    x = x.clamp(-2.0, 2.0).to(dtype)  # clamp_ has no batching rule in torch.func
    return _scale_and_shift(x, stddev, mean)


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Integers of the uniform distribution on `[minval, maxval)`.

    Args:
        shape: tuple of ints.
        minval: int, included.
        maxval: int, above `minval`; excluded.
        dtype: integer dtype; None for int32.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `shape`, in `dtype`, on the default device.

    Raises:
        ValueError: `maxval` is not above `minval`, the range does not fit into `dtype`, `dtype`
            is not an integer type, or `seed` is of another kind.
        TypeError: a bound is not a whole number.

    Example:

    >>> x = keras.random.randint((100,), 1, 7)
    >>> x.dtype, int(x.min()) >= 1, int(x.max()) <= 6
    (torch.int32, True, True)
    """
    dtype = "int32" if dtype is None else dtype
    if not is_int_dtype(dtype):
        raise ValueError(
            f"`keras.random.randint` requires an integer `dtype`. Received: dtype={dtype!r}. "
            "For floats call keras.random.uniform."
        )
    shape, dtype = check_shape(shape), to_torch_dtype(dtype)
    low, high = _whole(minval, "minval"), _whole(maxval, "maxval")
    if low >= high:
        raise ValueError(
            "`maxval` must be above `minval`, since it is excluded. Received: "
            f"minval={minval}, maxval={maxval}."
        )
    limits = torch.iinfo(dtype)
    if low < limits.min or high - 1 > min(limits.max, 2**63 - 2) or high - low >= 2**63:
        raise ValueError(
            f"The range must fit into {str(dtype)[6:]}, that is {limits.min} to {limits.max}, "
            f"and hold fewer than 2**63 integers below 2**63 - 1. Received: minval={minval}, "
            f"maxval={maxval}. Take a wider dtype, or a smaller range."
        )
    return source_of(seed, _device()).integers(shape, low, high).to(dtype)


def _whole(value, name):
    try:
        return int(value) if isinstance(value, float) and value == int(value) else value.__index__()
    except (TypeError, AttributeError, ValueError, OverflowError):
        raise TypeError(f"`{name}` must be a whole number. Received: {name}={value!r}.") from None


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Class numbers, drawn with the probabilities `softmax(logits)`, with replacement.

    Args:
        logits: float tensor of shape `(batch, classes)`; `-inf` excludes a class.
        num_samples: int, at least 0. Draws for each row.
        dtype: dtype of the result.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `(batch, num_samples)`, values in `[0, classes)`, on the device of `logits`.

    Raises:
        ValueError: `logits` is not of rank 2 or has no classes, or `seed` is of another kind.

    Example:

    >>> logits = torch.tensor([[0.0, float("-inf")], [float("-inf"), 0.0]])
    >>> keras.random.categorical(logits, 3)
    tensor([[0, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    logits = convert_to_tensor(logits).detach()
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(
            "`logits` should be a 2-D tensor of shape (batch, classes) with at least one class. "
            f"Received: logits of shape {tuple(logits.shape)}."
        )
    shape = check_shape((logits.shape[0], num_samples))
    # The sum over many classes, and the draw that is compared with it, need float64: with 24
    # bits a class of probability 1e-8 would be drawn too often or never.
    wide = _widest(logits.device)
    total = torch.softmax(logits, -1, dtype=wide).cumsum(-1)
    u = source_of(seed, logits.device).uniform(shape, wide) * total[:, -1:]
    index = torch.searchsorted(total, u, right=True).clamp(max=logits.shape[1] - 1)
    return index.to(to_torch_dtype(dtype))


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Set a fraction `rate` of the elements to 0 and divide the others by `1 - rate`.

    It does so at each call; `keras.layers.Dropout` is the layer that acts in training only.

    Args:
        inputs: float tensor.
        rate: float from 0 to 1, the fraction to drop. 0 gives `inputs` itself.
        noise_shape: tuple of ints and Nones that broadcasts to the shape of `inputs`: along
            axes of size 1 elements are dropped together. None stands for the axis' own size.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: that of `inputs`, in its dtype.

    Raises:
        ValueError: `rate` is outside [0, 1], `noise_shape` does not fit, or `seed` is of
            another kind.
        TypeError: `inputs` holds integers.

    Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
    overfitting"; with the scale at training time.

    Example:

    >>> x = keras.random.dropout(torch.ones(1000), 0.5)
    >>> x.unique()
    tensor([0., 2.])
    >>> keras.random.dropout(torch.ones(2, 3), 1.0)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    inputs = convert_to_tensor(inputs)
    if not 0 <= rate <= 1:
        raise ValueError(
            f"`rate` must be from 0 to 1. Received: rate={rate}. It is the fraction to drop."
        )
    if not (inputs.is_floating_point() or inputs.is_complex()):
        raise TypeError(
            f"Dropout scales what it keeps, so `inputs` must be floats. Received: inputs of dtype "
            f"{str(inputs.dtype)[6:]}. Cast them first, with keras.ops.cast."
        )
    if rate == 0:
        return inputs
    if rate == 1:
        return torch.zeros_like(inputs)
    native = seed is None or (isinstance(seed, SeedGenerator) and not seed.draws_from_state)
    if noise_shape is None and native:
        return torch.nn.functional.dropout(inputs, rate)
    shape = _noise_shape(inputs, noise_shape)
    keep = source_of(seed, inputs.device).uniform(shape, torch.float32) >= rate
    return torch.where(keep, inputs / (1 - rate), 0.0)


def _noise_shape(inputs, noise_shape):
    if noise_shape is None:
        return inputs.shape
    noise_shape = tuple(noise_shape)
    fits = len(noise_shape) <= inputs.ndim
    if fits:
        pairs = zip(noise_shape, inputs.shape, strict=False)
        shape = tuple(size if given is None else given for given, size in pairs)
        backwards = zip(reversed(shape), reversed(inputs.shape), strict=False)
        fits = all(have in (1, want) for have, want in backwards)
    if not fits:
        raise ValueError(
            "`noise_shape` must broadcast to the shape of the inputs, "
            f"{tuple(inputs.shape)}: each size is 1, None or that of the axis. Received: "
            f"noise_shape={noise_shape}."
        )
    return shape


def shuffle(x, axis=0, seed=None):
    """Put the slices along an axis into random order.

    All slices move as a whole, as in Keras on JAX and TensorFlow. (Keras on torch, for an axis
    after the first, orders each row by itself.)

    Args:
        x: tensor.
        axis: int, the axis to shuffle.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: that of `x`, in its dtype, on its device.

    Raises:
        ValueError: `axis` is out of range, or `seed` is of another kind.

    Example:

    >>> keras.random.shuffle(torch.arange(5)).sort().values
    tensor([0, 1, 2, 3, 4])
    """
    x = convert_to_tensor(x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"`axis` must be from {-x.ndim} to {x.ndim - 1} for a tensor of rank {x.ndim}. "
            f"Received: axis={axis}."
        )
    return x.index_select(axis, source_of(seed, x.device).permutation(x.shape[axis]))


def gamma(shape, alpha, dtype=None, seed=None):
    """Numbers of the Gamma distribution with shape parameter `alpha` and rate 1.

    Mean and variance are `alpha`.

    Args:
        shape: tuple of ints.
        alpha: float above 0, or an array of them that broadcasts to `shape`. Where a tensor
            holds an invalid value the result is NaN.
        dtype: float dtype; None for `keras.config.floatx()`.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `shape`, in `dtype`, on the default device; above 0, without gradient.

    Raises:
        ValueError: `alpha` is not above 0 or does not broadcast, `dtype` is not a float type,
            or `seed` is of another kind.

    Example:

    >>> keras.random.gamma((2, 3), alpha=[0.5, 1.0, 2.0]).shape
    torch.Size([2, 3])
    """
    shape, dtype, device = check_shape(shape), _float_dtype(dtype, "gamma"), _device()
    alpha, valid = _parameter(
        alpha, shape, _wide(dtype), device, "alpha", "above 0", lambda x: x > 0
    )
    x = torch.exp(source_of(seed, device).log_gamma(torch.where(valid, alpha, 1.0))).to(dtype)
    return torch.where(valid, x.clamp(min=torch.finfo(dtype).tiny), math.nan)


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Numbers of the Beta distribution, in [0, 1].

    The mean is `alpha / (alpha + beta)`.

    Args:
        shape: tuple of ints.
        alpha, beta: floats above 0, or arrays of them that broadcast to `shape`. Where a tensor
            holds an invalid value the result is NaN.
        dtype: float dtype; None for `keras.config.floatx()`.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `shape`, in `dtype`, on the default device; without gradient.

    Raises:
        ValueError: a parameter is not above 0 or does not broadcast, `dtype` is not a float
            type, or `seed` is of another kind.

    Example:

    >>> x = keras.random.beta((1000,), 2.0, [3.0])
    >>> bool((x >= 0).all() and (x <= 1).all())
    True
    """
    shape, dtype, device = check_shape(shape), _float_dtype(dtype, "beta"), _device()
    about = shape, _wide(dtype), device
    alpha, valid = _parameter(alpha, *about, "alpha", "above 0", lambda x: x > 0)
    beta, beta_valid = _parameter(beta, *about, "beta", "above 0", lambda x: x > 0)
    valid = valid & beta_valid
    alpha, beta = torch.where(valid, alpha, 1.0), torch.where(valid, beta, 1.0)
    source = source_of(seed, device)
    # x / (x + y) for gamma numbers x and y; by logarithms, since both may be too small for the
    # dtype. The second takes streams that the first does not use.
    log_ratio = source.log_gamma(alpha) - source.log_gamma(beta, stream=13)
    return torch.where(valid, torch.sigmoid(log_ratio), math.nan).to(dtype)


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """Numbers of successes in `counts` trials with given probabilities of success.

    Args:
        shape: tuple of ints.
        counts: number of trials, at least 0, or an array of them that broadcasts to `shape`.
        probabilities: float from 0 to 1, or an array of them that broadcasts to `shape`. Where
            a tensor holds an invalid value the result is NaN.
        dtype: float dtype; None for `keras.config.floatx()`.
        seed: int, `SeedGenerator`, or None for torch's default generator.

    Output shape: `shape`, whole numbers in the float `dtype`, on the default device; without
        gradient.

    Raises:
        ValueError: a parameter is out of range or does not broadcast, `dtype` is not a float
            type, or `seed` is of another kind.

    Example:

    >>> keras.random.binomial((2,), counts=[3, 0], probabilities=1.0)
    tensor([3., 0.])
    """
    shape, dtype, device = check_shape(shape), _float_dtype(dtype, "binomial"), _device()
    about = shape, _wide(dtype), device
    n, valid = _parameter(counts, *about, "counts", "at least 0", lambda x: x >= 0)
    p, p_valid = _parameter(
        probabilities, *about, "probabilities", "from 0 to 1", lambda x: (x >= 0) & (x <= 1)
    )
    valid = valid & p_valid
    x = source_of(seed, device).binomial(torch.where(valid, n, 0.0), torch.where(valid, p, 0.0))
    return torch.where(valid, x, math.nan).to(dtype)
