"""keras.ops against real Keras on torch, with arguments drawn at random.

For each op: values, dtypes, shapes and gradients are Keras's, and what symbols give is what tensors
give. The quick form draws the same few examples each time; the slow one draws some hundreds anew.
"""

import zlib

import numpy as np
import pytest
import torch

from tests.ops.test_symbolic import holds, outline
from tests.parity.test_ops import DTYPES, assert_same
from torchkeras import ops
from torchkeras.core.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")
hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # torch's, on what Keras calls
]

FLOATS = ("float32", "float32", "float64", "float16", "bfloat16")
REFUSALS = (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError, AttributeError)


def settings(examples, **more):
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        **more,
    )


QUICK = settings(5, derandomize=True)
LONG = settings(60)


# What is drawn


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

CASES = {}


def add(names, strategy):
    for name in names.split():
        CASES[name] = strategy


add(
    "abs absolute arccos arccosh arcsin arcsinh arctan arctanh ceil copy cos cosh exp expm1 floor "
    "isfinite isinf isnan log log10 log1p log2 logical_not nan_to_num negative reciprocal round "
    "sign sin sinh sqrt square tan tanh erf erfc erfinv rsqrt relu relu6 log_sigmoid softplus "
    "softsign silu hard_silu hard_tanh tanh_shrink selu elu celu leaky_relu soft_shrink "
    "hard_shrink squareplus gelu ones_like zeros_like ravel angle cbrt deg2rad exp2 fabs i0 "
    "isneginf isposinf isreal rad2deg real signbit sinc trunc conj conjugate diagflat",
    only(tensors(st.one_of(SHAPES, WITH_EMPTY))),
)
add(
    "view",
    st.tuples(tensors(SHAPES.filter(len)), st.sampled_from(["int16", "uint8", "float32"])).map(
        lambda t: (list(t), {})
    ),
)
add("sigmoid hard_sigmoid sparse_plus sparse_sigmoid", only(tensors(dtypes=FLOATS)))
add(
    "add subtract multiply divide true_divide floor_divide mod arctan2 logaddexp maximum minimum "
    "equal not_equal greater greater_equal less less_equal logical_and logical_or logical_xor "
    "isclose divide_no_nan fmax fmin fmod heaviside hypot logaddexp2",
    broadcasting().map(lambda pair: (pair, {})),
)
add("power", broadcasting(dtypes=FLOATS).map(lambda pair: (pair, {})))
add(
    "bitwise_and bitwise_or bitwise_xor gcd lcm",
    broadcasting(dtypes=INTEGERS).filter(lambda p: torch.is_tensor(p[1])).map(lambda p: (p, {})),
)
add(
    "left_shift right_shift bitwise_left_shift bitwise_right_shift ldexp",
    only(tensors(dtypes=("int32", "int64")), st.integers(0, 5).map(torch.tensor)),
)
add("bitwise_not bitwise_invert", only(tensors(dtypes=(*INTEGERS, "bool"))))
add(
    "sum mean var std prod max min amax amin all any average logsumexp",
    with_axis(("axis",)),
)
add(
    "ptp nanmax nanmin nansum nanmean nanprod nanstd nanvar",
    with_axis(("axis", "keepdims"), none=False),
)
add("argmax argmin nanargmax nanargmin", with_axis(("axis", "keepdims"), several=False, none=False))
add("median nanmedian", with_axis(("axis", "keepdims"), none=False))
add("cumsum cumprod nancumsum nancumprod flip", with_axis(several=False))
add("sort argsort softmax log_softmax", with_axis(several=False, dtypes=FLOATS))
add(
    "normalize",
    with_axis(several=False, none=False, dtypes=FLOATS),
)
add("layer_normalization rms_normalization", only(tensors(SHAPES.filter(len), FLOATS)))
add("diff", with_axis(several=False, none=False, dtypes=(*FLOATS, *INTEGERS)))
for name in "nanmax nanmin nansum nanmean nanprod nanstd nanvar nanmedian".split() + [
    "nanargmax",
    "nanargmin",
    "nancumsum",
    "nancumprod",
]:
    CASES[name] = CASES[name].map(lambda case: ([with_nan(case[0][0])], case[1]))
add(
    "quantile percentile nanquantile nanpercentile",
    st.tuples(
        with_axis(("axis", "keepdims"), none=False, dtypes=("float32", "float64", "int32")),
        st.sampled_from([0.3, [0.0, 0.6]]),
        st.sampled_from(["linear", "lower", "higher", "midpoint", "nearest"]),
    ).map(
        lambda t: ([t[0][0][0], torch.tensor(t[1]).to(torch.float32)], {**t[0][1], "method": t[2]})
    ),
)
add(
    "matmul dot tensordot inner outer kron",
    st.tuples(tensors((3, 3)), tensors((3, 3))).map(lambda pair: (list(pair), {})),
)
add("tensordot", only(tensors((2, 3)), tensors((2, 3))))
add("vdot", only(tensors((4,)), tensors((4,))))
add("transpose fliplr flipud tril triu", only(tensors(SHAPES.filter(lambda s: len(s) > 1))))
add(
    "rot90",
    st.tuples(tensors(SHAPES.filter(lambda s: len(s) > 1)), st.integers(-5, 5)).map(
        lambda t: ([t[0]], {"k": t[1], "axes": (0, -1)})
    ),
)
add(
    "hstack vstack dstack stack",
    st.tuples(SHAPES, st.lists(SEEDS, min_size=1, max_size=3)).map(
        lambda t: ([[values(t[0], "float32", seed) for seed in t[1]]], {})
    ),
)
add(
    "array_split",
    st.tuples(tensors(SHAPES.filter(len)), st.integers(1, 6)).map(
        lambda t: ([t[0], t[1]], {"axis": -1})
    ),
)
add(
    "vsplit hsplit dsplit",
    st.tuples(tensors((4, 4, 4)), st.sampled_from([2, 4, [1, 3], [2]])).map(
        lambda t: (list(t), {})
    ),
)
add("bartlett blackman hamming hanning", only(st.integers(1, 9)))
add("kaiser", only(st.integers(1, 9), st.sampled_from([0.0, 2.5, 14.0])))
add(
    "vander",
    st.tuples(tensors(VECTORS), st.sampled_from([None, 1, 3]), st.booleans()).map(
        lambda t: ([t[0]], {"N": t[1], "increasing": t[2]})
    ),
)
add(
    "logspace geomspace",
    st.tuples(
        st.sampled_from([0.5, 1.0, 2]), st.sampled_from([1.5, 3, 4.0]), st.integers(2, 6)
    ).map(lambda t: (list(t), {})),
)
add("corrcoef", only(tensors(st.tuples(SIZES, st.integers(2, 5)), ("float32", "float64", "int32"))))
add(
    "correlate",
    st.tuples(
        tensors((6,), ("float32", "float64", "int32")),
        tensors(VECTORS, ("float32", "float64", "int32")),
        st.sampled_from(["valid", "same", "full"]),
    ).map(lambda t: ([t[0], t[1]], {"mode": t[2]})),
)
add("trapezoid", with_axis(several=False, none=False, dtypes=FLOATS))
add("isin", only(tensors(), tensors()))
add(
    "searchsorted",
    st.tuples(
        tensors(VECTORS, ("float32",)),
        tensors(dtypes=("float32",)),
        st.sampled_from(["left", "right"]),
    ).map(lambda t: ([t[0].sort().values, t[1]], {"side": t[2]})),
)
add(
    "digitize",
    only(
        tensors(dtypes=("float32",)), tensors(VECTORS, ("float32",)).map(lambda x: x.sort().values)
    ),
)
add(
    "unravel_index",
    st.tuples(SHAPES, SEEDS).map(
        lambda t: (
            [torch.tensor(np.random.default_rng(t[1]).integers(0, 24, t[0]))],
            {"shape": (2, 3, 4)},
        )
    ),
)
add("polar", only(tensors((2, 3), ("float32", "float64")), tensors((2, 3), ("float32", "float64"))))
add("view_as_complex", only(tensors((3, 2), ("float32",))))
add("fft", only(PAIRS))
add("fft2 ifft2", only(PAIRS_OF_TWO_AXES))
add(
    "rfft",
    st.tuples(
        tensors(SHAPES.filter(len), ("float32", "float64")), st.sampled_from([None, 3, 8])
    ).map(lambda t: ([t[0]], {"fft_length": t[1]})),
)
add(
    "irfft", st.tuples(PAIRS, st.sampled_from([3, 8])).map(lambda t: ([t[0]], {"fft_length": t[1]}))
)
add("stft", signals())
add("istft", transforms())
add(
    "extract_sequences",
    st.tuples(
        tensors(st.tuples(SIZES, st.integers(4, 8))), st.integers(1, 4), st.integers(1, 4)
    ).map(lambda t: (list(t), {})),
)
add("segment_sum segment_max segment_min segment_prod", segments())
add(
    "cdist",
    only(tensors((2, 3, 4), ("float32", "float64")), tensors((2, 5, 4), ("float32", "float64"))),
)
add("det inv slogdet lu_factor matrix_rank", only(square().map(well_conditioned)))
add("cholesky cholesky_inverse logdet", only(square().map(positive_definite)))
add("pinv qr", only(matrices()))
add(
    "solve",
    st.tuples(square().map(well_conditioned), SEEDS).map(
        lambda t: ([t[0], values((*t[0].shape[:-1], 2), str(t[0].dtype)[6:], t[1])], {})
    ),
)
add(
    "solve_triangular",
    st.tuples(square().map(well_conditioned), SEEDS).map(
        lambda t: (
            [t[0], values((*t[0].shape[:-1], 2), str(t[0].dtype)[6:], t[1])],
            {"lower": True},
        )
    ),
)
add(
    "norm",
    st.tuples(matrices(), st.sampled_from([None, 1, 2, np.inf])).map(
        lambda t: ([t[0]], {"ord": t[1], "axis": -1})
    ),
)
add("max_pool average_pool", windowed("pool"))
add("adaptive_max_pool adaptive_average_pool", windowed("adaptive"))
for name in "conv depthwise_conv separable_conv conv_transpose".split():
    CASES[name] = windowed(name)
add(
    "unfold",
    st.tuples(
        tensors((2, 3, 5, 6), ("float32", "float64")),
        st.integers(1, 3),
        st.integers(1, 2),
        st.integers(0, 2),
        st.integers(1, 2),
    ).map(lambda t: (list(t), {})),
)
add(
    "fold",
    st.tuples(tensors((2, 12, 6), ("float32", "float64"))).map(lambda t: ([t[0], (3, 4), 2], {})),
)
add("depth_to_space", only(tensors((2, 3, 2, 8)), st.just(2)))
add("space_to_depth", only(tensors((2, 4, 6, 3)), st.just(2)))
add("dot_product_attention", attention())
add("ctc_loss", ctc())
add("ctc_decode", decoding())
add(
    "batch_normalization",
    st.tuples(tensors((3, 4, 2), ("float32", "float64")), SEEDS, st.integers(-3, 2)).map(
        lambda t: (
            [
                t[0],
                *[values((t[0].shape[t[2]],), "float32", t[1] + i, 0.5) for i in range(2)],
                t[2],
            ],
            {},
        )
    ),
)
add(
    "rearrange",
    st.tuples(
        tensors((4, 6, 2)),
        st.sampled_from(["a b c -> c (b a)", "a (b p) c -> (a p) c b", "(a p) b c -> b (c p a)"]),
    ).map(lambda t: (list(t), {"p": 2} if "p" in t[1] else {})),
)
add(
    "associative_scan",
    st.tuples(tensors(SHAPES.filter(len), ("float32", "float64")), st.booleans()).map(
        lambda t: ([lambda a, b: a * 0.5 + b * a, t[0]], {"reverse": t[1]})
    ),
)

# Indexing and rearranging


def axis_in(x, new=0):
    return st.integers(-x.dim() - new, x.dim() - 1 + new)


@st.composite
def rearranged(draw, name):
    x = draw(tensors(SHAPES.filter(len), ("float32", "int32", "bool")))
    axis = draw(axis_in(x))
    size = x.shape[axis]
    rng = np.random.default_rng(draw(SEEDS))
    if name == "reshape":
        return [x, draw(st.sampled_from([(-1,), (x.numel(),), (1, -1), (-1, x.shape[-1])]))], {}
    if name == "expand_dims":
        return [x, draw(axis_in(x, 1).filter(lambda a: a >= -x.dim() - 1))], {}
    if name == "moveaxis":
        return [x, axis, draw(axis_in(x))], {}
    if name == "swapaxes":
        return [x, axis, draw(axis_in(x))], {}
    if name == "roll":
        return [x, draw(st.integers(-5, 5))], {"axis": draw(st.sampled_from([None, axis]))}
    if name == "tile":
        return [x, draw(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple))], {}
    if name == "repeat":
        counts = draw(st.sampled_from([2, 0, 3]))
        return [x, counts], {"axis": draw(st.sampled_from([None, axis]))}
    if name == "pad":
        widths = [(draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in x.shape]
        mode = draw(st.sampled_from(["constant", "constant", "symmetric"]))
        if mode == "symmetric":  # of a longer border Keras on torch repeats the edge
            widths = [(min(a, 1), min(b, 1)) for a, b in widths]
        return [x, tuple(widths)], {"mode": mode}
    if name == "split":
        parts = draw(st.sampled_from([d for d in (1, 2, 3, 4) if not size % d]))
        return [x, draw(st.sampled_from([parts, [1, 2]]))], {"axis": axis}
    if name == "unstack":
        return [x], {"axis": axis}
    if name == "take":
        indices = torch.tensor(rng.integers(-size, size, draw(SHAPES)))
        return [x, indices], {"axis": axis}
    if name == "take_along_axis":
        shape = [n if i != axis % x.dim() else 2 for i, n in enumerate(x.shape)]
        return [x, torch.tensor(rng.integers(-size, size, shape))], {"axis": axis}
    if name == "concatenate":
        return [[x, draw(tensors(tuple(x.shape)))]], {"axis": axis}
    if name == "append":
        return [x, draw(tensors(tuple(x.shape)))], {"axis": draw(st.sampled_from([None, axis]))}
    if name == "slice":
        starts = [draw(st.integers(0, n - 1)) for n in x.shape]
        sizes = tuple(draw(st.integers(0, n - a)) for n, a in zip(x.shape, starts, strict=True))
        return [x, tuple(starts), sizes], {}
    if name == "broadcast_to":
        return [x, (*draw(SHAPES), *x.shape)], {}
    starts = [draw(st.integers(0, n - 1)) for n in x.shape]  # slice_update
    return [x, tuple(starts), x[tuple(slice(a, None) for a in starts)] * 1], {}


for name in (
    "reshape expand_dims moveaxis swapaxes roll tile repeat pad split unstack take take_along_axis "
    "concatenate append slice broadcast_to slice_update"
).split():
    CASES[name] = rearranged(name)


@st.composite
def scattered(draw, name):
    shape = draw(st.lists(SIZES, min_size=1, max_size=3).map(tuple))
    depth, n = draw(st.integers(1, len(shape))), draw(SIZES)
    rng = np.random.default_rng(draw(SEEDS))
    # Each place once, as of several updates any may stay.
    flat = rng.permutation(int(np.prod(shape[:depth])))[:n]
    indices = torch.tensor(np.stack(np.unravel_index(flat, shape[:depth]), -1))
    values_ = draw(tensors((len(flat), *shape[depth:]), ("float32",)))
    if name == "scatter":
        return [indices, values_, shape], {}
    return [draw(tensors(shape, ("float32",))), indices, values_], {
        "reduction": draw(st.sampled_from([None, "add", "max", "min", "mul"]))
    }


CASES["scatter"], CASES["scatter_update"] = scattered("scatter"), scattered("scatter_update")
LABELS = st.tuples(SHAPES, SEEDS).map(
    lambda t: torch.tensor(np.random.default_rng(t[1]).integers(-1, 5, t[0]), dtype=torch.int32)
)
add(
    "one_hot",
    st.tuples(LABELS, st.sampled_from([-1, 0]), st.sampled_from([None, "int32"])).map(
        lambda t: ([t[0], 4], {"axis": t[1], "dtype": t[2]})
    ),
)
add("where", broadcasting(3, ("float32", "int32", "bool", "float16")).map(lambda xs: (xs, {})))
add(
    "clip",
    st.tuples(tensors(SHAPES.filter(len)), st.sampled_from([(-1, 1), (0.5, 2.0), (-1.5, 0.0)])).map(
        lambda t: ([t[0], *t[1]], {})
    ),
)
add(
    "top_k",
    st.tuples(tensors(st.tuples(SIZES, st.integers(3, 5)), ("float32",)), st.integers(1, 3)).map(
        lambda t: (list(t), {})
    ),
)
add("cross", only(tensors((2, 3), FLOATS), tensors((3,), FLOATS)))
add(
    "diagonal trace",
    st.tuples(tensors((3, 4, 2)), st.integers(-2, 2)).map(
        lambda t: ([t[0]], {"offset": t[1], "axis1": 0, "axis2": -2})
    ),
)
add(
    "diag",
    st.tuples(tensors(st.one_of(VECTORS, st.tuples(SIZES, SIZES))), st.integers(-2, 2)).map(
        lambda t: (list(t), {})
    ),
)
add(
    "einsum",
    st.tuples(
        st.sampled_from(["ij,jk->ik", "ij,jk", "...j,jk->...k", "ij,jk->", "ij,jk->kij"]), SEEDS
    ).map(
        lambda t: ([t[0], values((2, 3), "float32", t[1]), values((3, 4), "float32", t[1] + 1)], {})
    ),
)
add(
    "linspace",
    st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.integers(1, 6), st.booleans()).map(
        lambda t: (list(t), {})
    ),
)
add(
    "arange",
    st.tuples(st.integers(-3, 3), st.integers(-3, 9), st.integers(1, 3)).map(
        lambda t: (list(t), {})
    ),
)
add("bincount", only(LABELS.map(lambda x: x.abs().flatten())))
add(
    "histogram",
    st.tuples(tensors(VECTORS, ("float32",)), st.integers(1, 5)).map(
        lambda t: ([t[0]], {"bins": t[1], "range": (-3.0, 3.0)})
    ),
)
add("logsumexp", with_axis(several=True, dtypes=("float32", "float64")))
add("glu", only(tensors((3, 4), FLOATS)))
add("threshold", only(tensors(dtypes=FLOATS), st.just(0.5), st.just(-1.0)))
add(
    "moments",
    with_axis(none=False, several=True, dtypes=("float32", "float64")).map(
        lambda case: ([case[0][0], case[1]["axis"]], {})
    ),
)
add(
    "binary_crossentropy categorical_crossentropy",
    st.tuples(SEEDS, st.booleans()).map(
        lambda t: (
            [
                values((3, 4), "float32", t[0], 0.1, 0.9),
                values((3, 4), "float32", t[0] + 1, 0.1, 0.9),
            ],
            {"from_logits": t[1]},
        )
    ),
)
add(
    "sparse_categorical_crossentropy",
    st.tuples(SEEDS, st.booleans()).map(
        lambda t: (
            [
                torch.tensor(np.random.default_rng(t[0]).integers(0, 4, 3)),
                values((3, 4), "float32", t[0] + 1, 0.1, 0.9),
            ],
            {"from_logits": t[1]},
        )
    ),
)

# Of decompositions, and of the other gradient of Keras where a distance is 0.
NO_GRADIENT = set(
    "cdist lu_factor slogdet qr pinv matrix_rank istft associative_scan ctc_decode".split()
)
NO_GRADIENT |= set("sparse_sigmoid det".split())
BY_VALUES = {"bincount"}  # whose shape no symbol tells
OTHER_DTYPE = set("top_k bartlett blackman hamming hanning kaiser".split())


def leaves(structure):
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in leaves(item)]
    return [structure]


def mapped(function, structure):
    if isinstance(structure, (list, tuple)):
        return type(structure)(mapped(function, item) for item in structure)
    return function(structure)


def is_float(x):
    return (
        torch.is_tensor(x) and x.is_floating_point() and x.dtype in (torch.float32, torch.float64)
    )


def differentiated(function, args, kwargs):
    """Result, and gradients of a weighted sum of it, or None where there are none."""
    args = mapped(lambda x: x.clone().requires_grad_() if is_float(x) else x, args)
    result = function(*args, **kwargs)
    inputs = [x for x in leaves(args) if is_float(x)]
    total = 0
    for i, y in enumerate(leaves(result)):
        if is_float(y) and y.grad_fn is not None:
            weights = values(tuple(y.shape), "float64", i).to(y.dtype)
            total = total + (y * weights).sum()
    if not torch.is_tensor(total):
        return result, None
    return result, torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)


def agree(name, args, kwargs):
    label = f"{name}(*{args}, **{kwargs})"
    try:
        expected, gradients = differentiated(getattr(keras.ops, name), args, kwargs)
    except REFUSALS:
        expected = None
    try:
        ours, own_gradients = differentiated(getattr(ops, name), args, kwargs)
    except REFUSALS:
        assert expected is None, f"refused, unlike by Keras: {label}"
        return
    detached = mapped(lambda y: y.detach() if torch.is_tensor(y) else y, ours)
    if expected is not None:
        dtypes = [x.dtype for x in leaves(args) if torch.is_tensor(x)]
        wide = torch.int64 in dtypes or torch.float64 in dtypes
        expected = mapped(lambda y: y.detach() if torch.is_tensor(y) else y, expected)
        assert_same(detached, expected, label, not wide and name not in OTHER_DTYPE)
        if gradients is not None and own_gradients is not None and name not in NO_GRADIENT:
            for own, other in zip(own_gradients, gradients, strict=True):
                torch.testing.assert_close(
                    own, other, rtol=1e-4, atol=1e-5, equal_nan=True, msg=lambda t: f"{label}: {t}"
                )
    symbols = mapped(
        lambda x: KerasTensor(tuple(x.shape), str(x.dtype)[6:]) if torch.is_tensor(x) else x, args
    )
    if any(isinstance(x, KerasTensor) for x in leaves(symbols)) and name not in BY_VALUES:
        symbolic = outline(getattr(ops, name)(*symbols, **kwargs))
        assert holds(symbolic, outline(detached)), f"{label}: {symbolic} on symbols"


def check(name, how):
    @hypothesis.seed(zlib.crc32(name.encode()))
    @how
    @hypothesis.given(CASES[name])
    def run(case):
        agree(name, *case)

    run()


@pytest.mark.parametrize("name", CASES)
def test_examples_agree(name):
    check(name, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_examples_agree(name):
    check(name, LONG)
