"""Values, dtypes and signatures of keras.ops against real Keras on torch."""

import inspect

import numpy as np
import pytest
import torch

from tests.ops.test_symbolic import CASES as SYMBOLIC_CASES
from tests.ops.test_symbolic import KNOWN, NEEDS_SIZES, Symbol, holds, outline, replace
from torchkeras import ops
from torchkeras.core.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")
pytestmark = [  # Keras's own use of Tensor.T
    pytest.mark.filterwarnings("ignore:Tensor.T is deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore:The use of `x.T`:UserWarning"),
]

DTYPES = (
    "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64".split()
)  # what torch computes with
UNARY = (
    "abs absolute arccos arccosh arcsin arcsinh arctan arctanh ceil copy cos cosh exp expm1 floor "
    "isfinite isinf isnan log log10 log1p log2 logical_not nan_to_num negative reciprocal round "
    "sign sin sinh sqrt square tan tanh erf erfc erfinv rsqrt relu relu6 sigmoid log_sigmoid "
    "softplus softsign silu hard_sigmoid hard_silu hard_tanh tanh_shrink selu elu celu leaky_relu "
    "soft_shrink hard_shrink sparse_plus sparse_sigmoid squareplus gelu softmax log_softmax "
    "normalize ones_like zeros_like transpose ravel sort argsort cumsum cumprod diff "
    "flip median logsumexp layer_normalization rms_normalization tril triu trace norm"
).split()
BINARY = (
    "add subtract multiply divide true_divide floor_divide mod power arctan2 logaddexp maximum "
    "minimum equal not_equal greater greater_equal less less_equal logical_and logical_or "
    "logical_xor isclose allclose divide_no_nan bitwise_and bitwise_or bitwise_xor append outer"
).split()
PRODUCTS = "matmul dot tensordot inner".split()
REDUCTIONS = (
    "sum mean var std prod max min amax amin all any argmax argmin count_nonzero median average "
    "nansum nanmean nanmax nanmin logsumexp"
).split()


def tensor(dtype, shape=(2, 3), seed=0):
    values = np.random.default_rng(seed).uniform(0.6, 2.4, shape)
    if dtype == "bool":
        return torch.tensor(values > 1.5)
    if "float" in dtype:
        return torch.tensor(values).to(getattr(torch, dtype))
    return torch.tensor(np.round(values)).to(getattr(torch, dtype))


def theirs(name, *args, **kwargs):
    """What Keras returns, or None where Keras itself refuses."""
    try:
        return getattr(keras.ops, name)(*args, **kwargs)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return None


def assert_same(ours, expected, label, check_dtype=True):
    if isinstance(expected, (tuple, list)):
        assert len(ours) == len(expected), label
        for a, b in zip(ours, expected, strict=True):
            assert_same(a, b, label, check_dtype)
        return
    if isinstance(expected, float):
        assert ours == expected, label
        return
    assert tuple(ours.shape) == tuple(expected.shape), label
    if check_dtype:
        assert ours.dtype == expected.dtype, label
    # Half precision: one unit in the last place, where the two round at different steps.
    tolerance = 2e-6
    for dtype, coarse in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        if dtype in (ours.dtype, expected.dtype):
            tolerance = coarse
    torch.testing.assert_close(
        ours.to(torch.complex128) if ours.is_complex() else ours.double(),
        expected.to(torch.complex128) if expected.is_complex() else expected.double(),
        rtol=tolerance,
        atol=tolerance,
        equal_nan=True,
        msg=lambda text: f"{label}: {text}",
    )


def compare(name, *args, **kwargs):
    """Compare one call; 1 if Keras gave an answer to compare with, else 0."""
    expected = theirs(name, *args, **kwargs)
    if expected is None:
        return 0
    ours = getattr(ops, name)(*args, **kwargs)
    # Keras narrows 64-bit tensors in some functions and keeps them in others; ours keep them.
    dtypes = [getattr(arg, "dtype", None) for arg in args]
    wide = torch.int64 in dtypes or torch.float64 in dtypes
    assert_same(ours, expected, f"{name}{args}{kwargs}", check_dtype=not wide)
    return 1


# Keras on torch normalizes integers to integers, and wraps around in uint8.
FLOATS_ONLY = ("layer_normalization", "rms_normalization", "sparse_plus", "sparse_sigmoid")


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_agree_for_every_dtype(name):
    compared = 0
    for dtype in DTYPES:
        if "float" in dtype or name not in FLOATS_ONLY:
            compared += compare(name, tensor(dtype, (3, 3)))
    assert compared >= 4


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_agree_for_every_pair_of_dtypes(name):
    compared = 0
    for first in DTYPES:
        for second in DTYPES:
            compared += compare(name, tensor(first), tensor(second, seed=1))
    assert compared >= 36


@pytest.mark.parametrize("name", [n for n in BINARY if n not in ("append", "outer")])
def test_python_numbers_beside_tensors_agree(name):
    compared = 0
    for dtype in DTYPES:
        for number in (True, 2, 2.0):
            if type(number) is float and dtype in ("float16", "bfloat16"):
                continue  # test_floats_beside_half_precision_are_weak
            compared += compare(name, tensor(dtype), number)
            compared += compare(name, number, tensor(dtype))
    for first in (True, 2, 2.5):
        for second in (True, 3, 3.5):
            compared += compare(name, first, second)
    assert compared >= 12


@pytest.mark.parametrize("name", ["add", "divide", "maximum", "power", "less", "subtract"])
def test_floats_beside_half_precision_are_weak(name):
    for dtype in ("float16", "bfloat16"):
        assert compare(name, tensor(dtype), 2.0) and compare(name, 2.0, tensor(dtype))


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_agree_for_every_pair_of_dtypes(name):
    compared = 0
    for first in DTYPES:
        for second in DTYPES:
            compared += compare(name, tensor(first, (3, 3)), tensor(second, (3, 3), 1))
    assert compared >= 50


@pytest.mark.parametrize("dtype", DTYPES)
def test_einsum_agrees(dtype):
    a, b = tensor(dtype, (2, 3)), tensor(dtype, (3, 4), 1)
    expected = theirs("einsum", "ij,jk->ik", a, b)
    if expected is None:  # Keras refuses booleans
        assert dtype == "bool"
        return
    assert_same(ops.einsum("ij,jk->ik", a, b), expected, dtype, dtype not in ("int64", "float64"))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_agree_for_every_dtype_and_axis(name):
    compared = 0
    takes_keepdims = "keepdims" in inspect.signature(getattr(ops, name)).parameters
    for dtype in DTYPES:
        x = tensor(dtype, (2, 3, 4))
        x = x[0] if name == "count_nonzero" else x  # Keras on torch transposes its result
        for axis in (None, 0, -1) if name == "count_nonzero" else (None, 0, -1, (0, 2)):
            compared += compare(name, x, axis=axis)
            if takes_keepdims and axis is not None:  # with None, Keras on torch drops the axes
                compared += compare(name, x, axis=axis, keepdims=True)
    assert compared >= 8


X = tensor("float32", (2, 3, 4))
I = torch.tensor([[1, 0, 2], [2, -1, 0]])  # noqa: E741
CASES = [
    ("array", ([1, 2],)),
    ("array", ([1.0, 2],)),
    ("arange", (3,)),
    ("arange", (1, 7, 2)),
    ("arange", (0.0, 1.0, 0.25)),
    ("arange", (3,), {"dtype": "float32"}),
    ("average", (X, -1), {"weights": torch.tensor([1.0, 2.0, 3.0, 0.5])}),
    ("bincount", (torch.tensor([1, 1, 3], dtype=torch.int32),)),
    ("bincount", (torch.tensor([1, 1, 3]),), {"weights": torch.tensor([0.5, 1.0, 2.0])}),
    ("bincount", (torch.tensor([[1, 1], [0, 3]]),), {"minlength": 6}),
    ("broadcast_to", (X[0], (5, 3, 4))),
    ("cast", (X, "int32")),
    ("cast", (2, "float16")),
    ("clip", (X, 1.0, 2.0)),
    ("clip", (torch.tensor([1, 5, 9]), 2, 6)),
    ("clip", (torch.tensor([1, 5, 9], dtype=torch.int32), 2.5, 6.5)),
    ("clip", (X, X * 0 + 1, X * 0 + 1.5)),
    ("concatenate", ([X, X], 1)),
    ("concatenate", ([X, X.int()], -1)),
    ("concatenate", ([[1.0, 2.0], [3.0]],)),
    ("convert_to_tensor", (np.ones((2, 2)),)),
    ("convert_to_tensor", ([1, 2.5],)),
    ("cross", (X[..., :3], X[..., 1:]), {"axis": 2}),
    ("cumsum", (X, 1)),
    ("cumprod", (X.int(), -1), {"dtype": "float32"}),
    ("diag", (X[0, 0],)),
    ("diag", (X[0], 1)),
    ("diagonal", (X,), {"offset": 1, "axis1": 1, "axis2": 2}),
    ("diff", (X,), {"n": 2, "axis": 1}),
    ("digitize", (X, torch.tensor([0.7, 1.0, 2.0]))),
    ("dot", (X, X[0, 0])),
    ("expand_dims", (X, -1)),
    ("expand_dims", (X, (0, 2))),
    ("eye", (3,)),
    ("eye", (3, 5)),
    ("flip", (X, 1)),
    ("full", ((2, 2), 3)),
    ("full", ((2, 2), 3.5), {"dtype": "float16"}),
    ("full", ((2, 4), X[0, 0])),
    ("full_like", (X, 3)),
    ("get_item", (X, (slice(None), -1, None))),
    ("get_item", (X, (..., torch.tensor([0, 2])))),
    ("histogram", (X.flatten(),), {"bins": 5}),
    ("histogram", (X.flatten(),), {"bins": 5, "range": (1.0, 2.0)}),
    ("hstack", ([X, X],)),
    ("identity", (3,)),
    ("in_top_k", (torch.tensor([1, 0]), X[0, :2], 2)),
    ("linspace", (0, 1, 5)),
    ("linspace", (0, 1, 5), {"endpoint": False, "retstep": True}),
    ("linspace", (0.0, 4.0, 3), {"dtype": "int32"}),
    ("linspace", (X[0, 0], X[0, 1], 4)),
    ("leaky_relu", (X - 1.5,), {"negative_slope": 0.3}),
    ("logsumexp", (X,), {"axis": (0, 1), "keepdims": True}),
    ("max", (X,), {"initial": 2.0}),
    ("min", (X,), {"initial": 1.0, "axis": 1}),
    ("meshgrid", (X[0, 0], X[0, 1, :2])),
    ("meshgrid", (X[0, 0], X[0, 1, :2], X[1, 1, :3]), {"indexing": "ij"}),
    ("moments", (X, (0, 1))),
    ("moments", (X, [2]), {"keepdims": True}),
    ("moments", (X.half(), 0)),
    ("moveaxis", (X, (0, 1), (2, 0))),
    ("multi_hot", (torch.tensor([[0, 2], [1, -1]]), 3)),
    ("multi_hot", (torch.tensor([0, 2]), 4)),
    ("nan_to_num", (torch.tensor([float("nan"), float("inf")]),), {"nan": 1, "posinf": 5}),
    ("norm", (X[0],), {"ord": "fro"}),
    ("norm", (X,), {"ord": 1, "axis": 1}),
    ("normalize", (X,), {"order": 3, "axis": 1}),
    ("normalize", (X * 0,)),
    ("one_hot", (torch.tensor([[0, -1], [2, 1]]), 3)),
    ("one_hot", (torch.tensor([[0, -1], [2, 1]]), 3), {"axis": 1, "dtype": "int32"}),
    ("one_hot", (torch.tensor([0.0, 2.0]), 3), {"axis": 0}),
    ("ones", ((2, 3),)),
    ("ones", (3,), {"dtype": "int8"}),
    ("pad", (X, ((0, 0), (1, 2), (3, 0)))),
    ("pad", (X, ((1, 1),) * 3), {"constant_values": 7.0}),
    ("pad", (X, ((0, 0), (1, 2), (3, 0))), {"mode": "reflect"}),
    ("pad", (X, ((0, 0), (0, 0), (1, 1))), {"mode": "symmetric"}),
    ("psnr", (X, X + 1), {"max_val": 4.0}),
    ("quantile", (X, 0.3), {"axis": (0, 2), "keepdims": True}),
    ("quantile", (X, torch.tensor([0.1, 0.9])), {"axis": 1, "keepdims": True}),
    ("quantile", (X, 0.3), {"method": "nearest"}),
    ("repeat", (X, 2)),
    ("repeat", (X, 2), {"axis": 1}),
    ("reshape", (X, (4, -1))),
    ("reshape", (X, -1)),
    ("roll", (X, 1)),
    ("roll", (X, (1, 2)), {"axis": (0, 2)}),
    ("round", (X,), {"decimals": 1}),
    ("saturate_cast", (torch.tensor([300.0, -5.0, 7.5]), "uint8")),
    ("saturate_cast", (torch.tensor([-3, 5]), "uint8")),
    ("scatter", (torch.tensor([[0], [2], [0]]), torch.tensor([1.0, 2.0, 3.0]), (4,))),
    ("scatter", (torch.tensor([[0, 1], [1, 1]]), X[0, :2], (2, 2, 4))),
    ("scatter_update", (X, torch.tensor([[0, 1], [1, 2]]), X[0, :2] * 5)),
    *[
        (
            "scatter_update",
            (X, torch.tensor([[0, 1], [1, 2], [0, 1]]), X[0] * 5 - 3),
            {"reduction": reduction},
        )
        for reduction in ("add", "mul", "max", "min")
    ],
    ("segment_sum", (X, torch.tensor([1, 1])), {"num_segments": 3}),
    ("segment_sum", (X[0], torch.tensor([1, 0, 1]))),
    ("segment_sum", (X[0], torch.tensor([1, -1, 9])), {"num_segments": 2}),
    ("segment_max", (X[0], torch.tensor([1, 0, 1]))),
    ("segment_max", (X[0], torch.tensor([1, 2, 1])), {"num_segments": 4}),
    ("select", ([X > 2, X > 1], [X, -X], 0)),
    ("slice", (X, (0, 1, 1), (2, 2, 2))),
    ("slice_update", (X, (0, 1, 1), X[:, :2, :2] * 0)),
    ("slice_update", (X, torch.tensor([0, 1, 1]), X[:, :2, :2] * 0)),
    ("softmax", (X,), {"axis": None}),
    ("softmax", (X,), {"axis": (0, 2)}),
    ("softmax", (X,), {"axis": 1}),
    ("log_softmax", (X,), {"axis": 1}),
    ("log_softmax", (X,), {"axis": None}),
    ("sort", (X, None)),
    ("argsort", (X, None)),
    ("sort", (X, 1)),
    ("split", (X, 2)),
    ("split", (X, [1, 3], 2)),
    ("squeeze", (X[:1],)),
    ("squeeze", (X[:1], 0)),
    ("stack", ([X, X], 1)),
    ("stack", ([1, 2],)),
    ("swapaxes", (X, 0, -1)),
    ("switch", (1, [lambda x: x, lambda x: -x], X)),
    ("take", (X, I, 2)),
    ("take", (X, torch.tensor([5, 9]))),
    ("take", (X[0], I, 0)),
    ("take", (X, 1, 1)),
    ("take_along_axis", (X, torch.tensor([[[1]], [[-1]]]), 1)),
    ("tensordot", (X, X), {"axes": ((1, 2), (1, 2))}),
    ("tensordot", (X, X[0].T), {"axes": 1}),
    ("tensordot", (X, X), {"axes": (1, 1)}),
    ("threshold", (X, 1.0, 9.0)),
    ("tile", (X, (2, 1, 1, 3))),
    ("tile", (X, 2)),
    ("top_k", (X, 2)),
    ("trace", (X,), {"axis1": 1, "axis2": 2}),
    ("transpose", (X, (1, 2, 0))),
    ("tri", (3,), {"k": 1}),
    ("tri", (3, 4), {"dtype": "int32"}),
    ("tril", (X, -1)),
    ("triu", (X, 1)),
    ("unique", (torch.tensor([3, 1, 3, 2]),)),
    ("unique", (torch.tensor([3, 1, 3, 2]),), {"return_counts": True, "return_inverse": True}),
    ("unique", (torch.tensor([3, 1, 3, 2]),), {"return_index": True, "size": 3}),
    ("unique", (torch.tensor([3, 1, 3, 2]),), {"return_counts": True, "size": 5}),
    ("unique", (torch.tensor([3, 1, 3, 2]),), {"return_counts": True, "size": 2}),
    ("unstack", (X,), {"axis": 1}),
    ("vectorized_map", (lambda x: x.sum(), X)),
    ("vstack", ([X[0], X[1]],)),
    ("where", (X > 1, X, 0)),
    ("where", (X > 1, 1, 0)),
    ("where", (X > 1, 1.5, 0)),
    ("where", (X.int(), X, X.half())),
    ("where", (X > 1,)),
    ("zeros", ((2, 3),)),
    ("ones_like", (X,), {"dtype": "int32"}),
    ("cholesky", (torch.eye(3) * 4 + 1,)),
    ("det", (X[:, :, :3],)),
    ("inv", (X[:, :, :3],)),
    ("eigh", (torch.diag(torch.tensor([3.0, 1.0, 2.0])),)),
    ("qr", (X,)),
    ("qr", (X,), {"mode": "complete"}),
    ("solve", (X[0, :, :3], X[0, :, 3:])),
    ("solve_triangular", (X[0, :, :3], X[0, :, 3]), {"lower": True}),
    ("lstsq", (X[0].T, X[0, 0])),
    ("svd", (X,), {"compute_uv": False}),
    ("svd", (X,)),
    ("logdet", (torch.eye(3) * 2,)),
    ("fori_loop", (0, 3, lambda i, v: v + i, X)),
    ("while_loop", (lambda i, v: i < 3, lambda i, v: (i + 1, v * 2), (0, X))),
    ("scan", (lambda c, x: (c + x, c * 2), X[0], X)),
    ("scan", (lambda c, x: (c + x, c * 2), X[0], X), {"reverse": True}),
    ("map", (lambda x: x * 2, X)),
    ("cond", (torch.tensor(True), lambda: X, lambda: -X)),
]
# Returned as int32 where Keras on torch forgets to narrow what its own documentation calls int32.
INDICES = ("top_k", "unique", "where")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_calls_agree(case):
    name, args, kwargs = (*case, {})[:3]
    expected = getattr(keras.ops, name)(*args, **kwargs)
    ours = getattr(ops, name)(*args, **kwargs)
    assert_same(ours, expected, name, check_dtype=name not in INDICES)


LATER = {"layer_normalization"}  # Keras adds **kwargs, to refuse an argument it once had
LATER |= {"multi_hot"}


def _public_operations():
    return sorted(n for n in ops.__all__ if inspect.isfunction(getattr(ops, n)))


@pytest.mark.parametrize("name", _public_operations())
def test_signature_is_that_of_keras(name):
    if not hasattr(keras.ops, name):
        assert name in NEWER
        return
    ours = inspect.signature(getattr(ops, name)).parameters.values()
    expected = inspect.signature(getattr(keras.ops, name)).parameters.values()
    outline = [(p.name, p.default, p.kind) for p in expected]
    if name in LATER:
        outline.pop()
    assert [(p.name, p.default, p.kind) for p in ours] == outline


def test_size_and_ndim_and_shape_and_dtype_agree():
    assert int(ops.size(X)) == int(keras.ops.size(X)) == 24
    assert ops.ndim(X) == keras.ops.ndim(X) == 3
    assert ops.shape(X) == keras.ops.shape(X)
    assert ops.dtype(X) == keras.ops.dtype(X)


# Losses


def probabilities(shape, seed=0):
    logits = torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=torch.float32)
    return torch.softmax(logits, -1), logits


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("axis", [-1, 1])
def test_crossentropies_agree(from_logits, axis):
    p, logits = probabilities((4, 5, 3))
    output = logits if from_logits else p * 0.9  # Keras divides by the sum
    target = probabilities((4, 5, 3), 1)[0]
    classes = (4, 5) if axis == -1 else (4, 3)
    labels = torch.tensor(np.random.default_rng(0).integers(0, 3, classes))
    for name, y in (
        ("categorical_crossentropy", target),
        ("sparse_categorical_crossentropy", labels),
        ("sparse_categorical_crossentropy", labels.unsqueeze(axis).int()),
        ("sparse_categorical_crossentropy", labels.float()),
    ):
        kwargs = {"from_logits": from_logits, "axis": axis}
        assert_same(
            getattr(ops, name)(y, output, **kwargs), theirs(name, y, output, **kwargs), name
        )
    y = (target > 0.3).float()
    for output in (p, torch.tensor([0.0, 1.0, 1e-8]).expand(4, 5, 3)):
        kwargs = {"from_logits": from_logits}
        expected = theirs("binary_crossentropy", y, output, **kwargs)
        assert_same(ops.binary_crossentropy(y, output, **kwargs), expected, "binary")


def test_gradients_of_crossentropies_of_probabilities_agree():
    p = probabilities((4, 3))[0]
    calls = [
        ("categorical_crossentropy", probabilities((4, 3), 1)[0]),
        ("sparse_categorical_crossentropy", torch.tensor([0, 2, 1, 1])),
        ("binary_crossentropy", (p > 0.3).float()),
    ]
    for name, target in calls:
        grads = []
        for namespace in (ops, keras.ops):
            x = p.clone().requires_grad_()
            getattr(namespace, name)(target, x).sum().backward()
            grads.append(x.grad)
        torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-6)


# Symbols


SYMBOLIC = [n for n in UNARY if n not in ("trace", "tril", "triu")]


@pytest.mark.parametrize("name", SYMBOLIC)
def test_symbolic_shape_and_dtype_agree(name):
    ours = getattr(ops, name)(KerasTensor((None, 3), "float32"))
    expected = getattr(keras.ops, name)(keras.KerasTensor((None, 3), "float32"))
    assert (ours.shape, ours.dtype) == (tuple(expected.shape), expected.dtype)


# (op, what is known) -> why the symbolic result is another than Keras's.
KERAS_DIFFERS = {
    ("cross", "no"): "Keras takes an unknown number of components for 2",
    ("cross", "all but the last"): "Keras takes an unknown number of components for 2",
    ("repeat by counts", "no"): "four counts tell the size of the axis",
    **{("eig", known): "eigenvalues are complex, also in Keras's eager result" for known in KNOWN},
    **{("multi_hot", known): "floatx() as in Keras's eager result" for known in KNOWN},
}
# Ops of which Keras gives no shape, for want of a size, where it can be told.
KERAS_REFUSES = set(
    "cholesky det eig eigh inv lstsq qr scan solve solve_triangular squeeze svd "
    "sparse_categorical_crossentropy adaptive_average_pool batch_normalization conv correlate "
    "cholesky_inverse ctc_loss depthwise_conv fft fft2 ifft2 lu_factor rearrange separable_conv "
    "unfold".split()
)
# Ops whose symbolic result in Keras is not that of its own eager call.
KERAS_GUESSES = set(
    "polar adaptive_max_pool corrcoef dot_product_attention lu_factor slogdet".split()
)
NEWER = ("column_stack", "gammainc", "matrix_power")  # of Keras 3.16


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("case", SYMBOLIC_CASES, ids=lambda case: case[0])
def test_symbolic_results_are_those_of_keras(case, known):
    name, args, kwargs = case
    if not hasattr(keras.ops, name):  # of Keras 3.16
        assert name in NEWER
        return
    theirs = replace(args, lambda x: x.symbol(known, keras.KerasTensor))
    try:
        expected = outline(getattr(keras.ops, name)(*theirs, **kwargs))
    except (ValueError, TypeError, RuntimeError, KeyError):
        assert name in KERAS_REFUSES or (name, known) in NEEDS_SIZES
        return
    ours = outline(getattr(ops, name)(*replace(args, lambda x: x.symbol(known)), **kwargs))
    if name in KERAS_GUESSES:
        expected = outline(getattr(keras.ops, name)(*replace(args, Symbol.data), **kwargs))
        assert holds(ours, expected)
        return
    label = "repeat by counts" if name == "repeat" and isinstance(args[1], list) else name
    assert (ours == expected) != ((label, known) in KERAS_DIFFERS), f"{ours} against {expected}"


@pytest.mark.parametrize("case", {case[0]: case for case in SYMBOLIC_CASES}.values())
def test_steps_of_a_graph_have_the_names_of_keras(case):
    def operation(namespace, cls):
        symbols = replace(args, lambda x: x.symbol("all", cls))
        y = getattr(namespace, name)(*symbols, **kwargs)
        while isinstance(y, (list, tuple)):
            y = y[0]
        return y._keras_history.operation

    name, args, kwargs = case
    if not hasattr(keras.ops, name) or name == "cond":  # of which the case gives numbers
        return
    try:
        expected = type(operation(keras.ops, keras.KerasTensor)).__name__
    except (ValueError, TypeError, KeyError):
        assert name in KERAS_REFUSES
        return
    assert operation(ops, KerasTensor).class_name == expected


def test_nonzero_agrees():
    ours = ops.nonzero(X > 1.5)
    expected = keras.ops.nonzero(X > 1.5)
    assert_same(ours, list(expected), "nonzero")
