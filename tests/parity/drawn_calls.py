"""A strategy for the calls of each op: `CASES[name]` draws `(args, kwargs)`."""

import numpy as np
import torch
from hypothesis import strategies as st

from tests.parity.drawn_arguments import (
    FLOATS,
    INTEGERS,
    PAIRS,
    PAIRS_OF_TWO_AXES,
    SEEDS,
    SHAPES,
    SIZES,
    VECTORS,
    WITH_EMPTY,
    attention,
    broadcasting,
    ctc,
    decoding,
    matrices,
    only,
    positive_definite,
    segments,
    signals,
    square,
    tensors,
    transforms,
    values,
    well_conditioned,
    windowed,
    with_axis,
    with_nan,
)

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
