"""Arguments of ops, drawn at random by hypothesis: tensors, axes, geometries, whole calls."""

import keras
import numpy as np
import torch
from hypothesis import strategies as st

DTYPES = (
    "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64".split()
)  # what torch computes with
FLOATS = ("float32", "float32", "float64", "float16", "bfloat16")


def values(shape, dtype, seed, low=-2.5, high=2.5):
    x = np.random.default_rng(seed).uniform(low, high, shape)
    if dtype == "bool":
        return torch.tensor(x > 0)
    if dtype.startswith("uint"):
        x = np.abs(x)
    if "int" in dtype:
        x = np.round(x)
    return torch.tensor(x).to(getattr(torch, dtype))


SIZES = st.integers(1, 4)
SHAPES = st.lists(SIZES, min_size=0, max_size=3).map(tuple)
WITH_EMPTY = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=3).map(tuple)
SEEDS = st.integers(0, 2**16)


@st.composite
def tensors(draw, shapes=SHAPES, dtypes=DTYPES, low=-2.5, high=2.5):
    shape = draw(shapes) if isinstance(shapes, st.SearchStrategy) else shapes
    return values(shape, draw(st.sampled_from(dtypes)), draw(SEEDS), low, high)


@st.composite
def broadcasting(draw, count=2, dtypes=DTYPES):
    """Tensors whose shapes broadcast, a number among them now and then.

    None has shape () beside others: that is weak, as in torch, and not so in Keras.
    """
    whole, found = draw(SHAPES.filter(len)), []
    for _ in range(count):
        cut = draw(st.integers(0, len(whole) - 1))
        shape = tuple(1 if draw(st.booleans()) and draw(st.booleans()) else n for n in whole[cut:])
        found.append(draw(tensors(shape, dtypes)))
    if draw(st.integers(0, 3)) == 0:
        found[-1] = draw(st.sampled_from([2, 3.0, True]))
    return found


@st.composite
def with_axis(draw, names=("axis",), several=True, none=True, dtypes=DTYPES, shapes=None):
    x = draw(tensors(shapes or SHAPES.filter(len), dtypes))
    axes = st.integers(-x.dim(), x.dim() - 1)
    kinds = [axes] + [st.none()] * none
    if several:
        kinds.append(st.lists(axes, min_size=1, unique_by=lambda a: a % x.dim()).map(tuple))
    kwargs = {"axis": draw(st.one_of(kinds))}
    if "keepdims" in names:
        kwargs["keepdims"] = draw(st.booleans())
    return [x], kwargs


def only(*args):
    """Positional arguments alone."""
    return st.tuples(*args).map(lambda given: (list(given), {}))


def matrices(m=SIZES, n=SIZES, dtypes=("float32", "float64")):
    batch = st.lists(SIZES, max_size=1).map(tuple)
    shapes = st.tuples(batch, m, n).map(lambda t: (*t[0], t[1], t[2]))
    return tensors(shapes, dtypes)


def square(dtypes=("float32", "float64")):
    batch = st.lists(SIZES, max_size=1).map(tuple)
    shapes = st.tuples(batch, SIZES).map(lambda t: (*t[0], t[1], t[1]))
    return tensors(shapes, dtypes)


def well_conditioned(x):
    return x + 6 * torch.eye(x.shape[-1], dtype=x.dtype)


def positive_definite(x):
    return x @ x.mT + 2 * torch.eye(x.shape[-1], dtype=x.dtype)


def with_nan(x):
    if not x.is_floating_point():
        return x
    holes = torch.tensor(np.random.default_rng(x.numel()).uniform(size=x.shape) < 0.3)
    return torch.where(holes, torch.nan, x)


@st.composite
def windowed(draw, kind):
    """Inputs, a kernel or window, and geometry."""
    rank, last = draw(st.integers(1, 3)), draw(st.booleans())
    sizes = [draw(st.integers(4, 7)) for _ in range(rank)]
    channels = draw(st.sampled_from([2, 4]))
    shape = (2, *sizes, channels) if last else (2, channels, *sizes)
    x = draw(tensors(shape, ("float32", "float64")))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    one = draw(st.integers(1, 3))
    strides = draw(st.sampled_from([one, tuple(draw(st.integers(1, 3)) for _ in range(rank))]))
    kwargs = {
        "strides": strides,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "data_format": "channels_last" if last else "channels_first",
    }
    if kind == "pool":
        return [x, tuple(kernel)], kwargs
    if kind == "adaptive":
        return [x, tuple(kernel)], {"data_format": kwargs["data_format"]}
    if draw(st.booleans()):
        kwargs |= {"strides": 1, "dilation_rate": 2}
    filters = draw(st.integers(1, 3))
    dtype = (str(x.dtype).removeprefix("torch."),)
    if kind == "conv":
        return [x, draw(tensors((*kernel, channels, filters), dtype))], kwargs
    if kind == "conv_transpose":
        return [x, draw(tensors((*kernel, filters, channels), dtype))], kwargs
    depthwise = draw(tensors((*kernel, channels, filters), dtype))
    if kind == "depthwise_conv":
        return [x, depthwise], kwargs
    pointwise = draw(tensors((*[1] * rank, channels * filters, 3), dtype))
    return [x, depthwise, pointwise], kwargs


@st.composite
def attention(draw):
    batch, queries, keys, size = (draw(SIZES) for _ in range(4))
    shared, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    query = draw(tensors((batch, queries, shared * groups, size), ("float32",)))
    key = draw(tensors((batch, keys, shared, size), ("float32",)))
    value = draw(tensors((batch, keys, shared, size), ("float32",)))
    scores, kwargs = (batch, shared * groups, queries, keys), {}
    extra = draw(st.sampled_from([None, "mask", "bias"]))
    if extra == "bias":
        kwargs["bias"] = draw(tensors(scores, ("float32",)))
        kwargs["is_causal"] = draw(st.booleans())
    elif extra == "mask":
        # Of a query that attends to nothing, the gradient is rounding error.
        kwargs["mask"] = draw(tensors(scores, ("bool",))) | (torch.arange(keys) == 0)
        kwargs["is_causal"] = draw(st.booleans())
    else:
        kwargs["is_causal"] = draw(st.booleans())
    kwargs["scale"] = draw(st.sampled_from([None, 0.3]))
    return [query, key, value], kwargs


@st.composite
def ctc(draw):
    batch, labels, steps, classes = (draw(st.integers(1, 4)) for _ in range(4))
    classes, rng = classes + 2, np.random.default_rng(draw(SEEDS))
    target = torch.tensor(rng.integers(1, classes, (batch, labels)))
    output = draw(tensors((batch, steps + labels, classes), ("float32", "float64")))
    lengths = torch.tensor(rng.integers(1, labels + 1, batch))
    return [target, output, lengths, torch.full((batch,), steps + labels)], {}


@st.composite
def decoding(draw):
    batch, steps, classes = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 5)),
        draw(st.integers(2, 4)),
    )
    x = draw(tensors((batch, steps, classes), ("float32", "float64")))
    rng = np.random.default_rng(draw(SEEDS))
    lengths = torch.tensor(rng.integers(1, steps + 1, batch))
    kwargs = {"mask_index": draw(st.integers(0, classes - 1))}
    if draw(st.booleans()):
        kwargs["merge_repeated"] = draw(st.booleans())
    else:
        kwargs |= {"strategy": "beam_search", "beam_width": 20, "top_paths": 1}
    return [x, lengths], kwargs


@st.composite
def segments(draw):
    n, rest = draw(SIZES), draw(st.lists(SIZES, max_size=2))
    x = draw(tensors((n, *rest), ("float32", "float64")))
    ids = torch.tensor(np.random.default_rng(draw(SEEDS)).integers(-1, 4, n))
    return [x, ids], {"num_segments": draw(st.integers(1, 4))}


@st.composite
def signals(draw):
    length = draw(st.integers(2, 8))
    kwargs = {
        "sequence_length": length,
        "sequence_stride": draw(st.integers(1, max(length // 2, 1))),
        "fft_length": length + draw(st.sampled_from([0, 0, 2, 3])),
        "window": draw(st.sampled_from(["hann", "hamming", None])),
        "center": draw(st.booleans()),
    }
    shape = (*draw(st.lists(SIZES, max_size=2)), draw(st.integers(16, 24)))
    return [draw(tensors(shape, ("float32", "float64")))], kwargs


@st.composite
def transforms(draw):
    """A transform that `istft` turns back, with the arguments of both."""
    (x,), kwargs = draw(signals())
    kwargs["center"] = True
    kwargs["fft_length"] = max(kwargs["fft_length"], 4)
    kwargs["window"] = draw(st.sampled_from(["hann", "hamming"]))
    real, imag = keras.ops.stft(x, **kwargs)
    return [(real, imag)], kwargs


PAIRS = st.tuples(SHAPES.filter(len), SEEDS, SEEDS).map(
    lambda t: (values(t[0], "float32", t[1]), values(t[0], "float32", t[2]))
)
PAIRS_OF_TWO_AXES = PAIRS.filter(lambda pair: pair[0].dim() > 1)
VECTORS = st.tuples(st.integers(1, 5))
INTEGERS = tuple(name for name in DTYPES if "int" in name)
