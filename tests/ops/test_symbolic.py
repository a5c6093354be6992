"""Every op on symbols: the shape and dtype found are those that tensors give."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

from torchkeras import ops
from torchkeras.core import config
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.operation import OPS

BATCH = 6  # the size that the symbols do not know; it divides where a case divides it


class Symbol:
    """Stands for a symbol in a case: unknown first size, the rest as given."""

    def __init__(self, *shape, dtype="float32"):
        self.shape, self.dtype = shape, dtype

    def symbol(self, known="rest", cls=KerasTensor):
        sizes = (BATCH, *self.shape)
        last = len(sizes) - 1
        keep = {
            "all": lambda i: True,
            "rest": lambda i: i > 0,
            "no": lambda i: False,
            "all but the last": lambda i: i < last,
        }[known]
        return cls(tuple(d if keep(i) else None for i, d in enumerate(sizes)), self.dtype)

    def data(self, batch=BATCH):
        values = np.random.default_rng(0).uniform(0.2, 0.9, (batch, *self.shape))
        return torch.tensor(values).to(getattr(torch, self.dtype))


X, Y, V = Symbol(4, 6), Symbol(4, 6), Symbol(6)
SQUARE = Symbol(3, 3)
INTS, BOOLS = Symbol(4, dtype="int32"), Symbol(4, 6, dtype="bool")
P = Symbol(5)

UNARY = (
    "abs absolute all amax amin any arccos arccosh arcsin arcsinh arctan arctanh argmax argmin "
    "argsort array average ceil celu convert_to_tensor copy cos cosh count_nonzero cumprod cumsum "
    "diff elu erf erfc erfinv exp expm1 flip floor gelu glu hard_shrink hard_sigmoid hard_silu "
    "hard_tanh isfinite isinf isnan layer_normalization leaky_relu log log10 log1p log2 "
    "log_sigmoid log_softmax logical_not logsumexp max mean median min nan_to_num nanmax nanmean "
    "nanmin nansum negative norm normalize ones_like prod ravel reciprocal relu relu6 "
    "rms_normalization round rsqrt selu sigmoid sign silu sin sinh size soft_shrink softmax "
    "softplus softsign sort sparse_plus sparse_sigmoid sparsemax sqrt square squareplus squeeze "
    "std stop_gradient sum tan tanh tanh_shrink trace transpose tril triu var zeros_like"
).split()
BINARY = (
    "add allclose arctan2 append divide divide_no_nan equal floor_divide greater greater_equal "
    "inner isclose less less_equal logaddexp logical_and logical_or logical_xor maximum minimum "
    "mod multiply not_equal outer power subtract true_divide"
).split()
REDUCTIONS = (
    "all amax amin any argmax argmin max mean median min nanmax nanmean nanmin nansum prod std sum "
    "var logsumexp"
).split()
SELDOM_UNARY = (
    "angle cbrt conj conjugate deg2rad exp2 fabs fliplr flipud i0 imag isneginf isposinf isreal "
    "nanargmax nanargmin nancumprod nancumsum nanmedian nanprod nanstd nanvar ptp rad2deg real "
    "signbit sinc trunc view_as_real empty_like"
).split()
SELDOM_BINARY = "fmax fmin fmod heaviside hypot logaddexp2 nextafter polar".split()
OF_INTEGERS = "bitwise_left_shift bitwise_right_shift right_shift gcd lcm".split()
NAN_REDUCTIONS = "nanargmax nanargmin nanmedian nanprod nanstd nanvar ptp".split()
CASES = [
    *[(name, (X,), {}) for name in UNARY],
    *[(name, (X, Y), {}) for name in BINARY],
    *[(name, (X, 2), {}) for name in BINARY if name not in ("append", "inner", "outer")],
    *[(name, (2.5, X), {}) for name in BINARY if name not in ("append", "inner", "outer")],
    *[(name, (X, np.ones((6,), "float32")), {}) for name in ("add", "maximum", "less", "where_")],
    *[(name, (X,), {"axis": 0}) for name in REDUCTIONS],
    *[(name, (X,), {"axis": -1, "keepdims": True}) for name in REDUCTIONS],
    *[(n, (BOOLS, BOOLS), {}) for n in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    ("average", (X,), {"axis": 1, "weights": torch.ones(4)}),
    ("binary_crossentropy", (P, P), {}),
    ("broadcast_to", (Symbol(1), (5, BATCH, 3)), {}),
    ("cast", (X, "int32"), {}),
    ("categorical_crossentropy", (P, P), {}),
    ("cholesky", (Symbol(1, 1),), {}),
    ("clip", (X, 0, 1), {}),
    ("clip", (X, Y, Y), {}),
    ("concatenate", ([X, Y],), {}),
    ("concatenate", ([X, Y],), {"axis": -1}),
    ("cond", (torch.tensor(True), lambda: 1, lambda: 2), {}),
    ("cross", (Symbol(3), Symbol(3)), {}),
    ("det", (SQUARE,), {}),
    ("diag", (V, 1), {}),
    ("diagonal", (X,), {"axis1": 1, "axis2": 2}),
    ("diff", (X,), {"axis": 0}),
    ("digitize", (X, torch.tensor([0.3, 0.6])), {}),
    ("dot", (X, torch.ones(6, 2)), {}),
    ("eig", (SQUARE,), {}),
    ("eigh", (SQUARE,), {}),
    ("einsum", ("bij,bkj->bik", X, Y), {}),
    ("expand_dims", (X, 1), {}),
    ("expand_dims", (X, (0, -1)), {}),
    ("fori_loop", (0, 2, lambda i, v: v + i, X), {}),
    ("full_like", (X, 3), {}),
    ("get_item", (X, 0), {}),
    ("get_item", (X, (slice(None), slice(1, 3), None)), {}),
    ("get_item", (X, (slice(2, None), -1)), {}),
    ("histogram", (Symbol(),), {"bins": 4}),
    ("hstack", ([X, Y],), {}),
    ("in_top_k", (Symbol(dtype="int32"), P, 2), {}),
    ("inv", (SQUARE,), {}),
    ("linspace", (V, V, 4), {}),
    ("logdet", (SQUARE,), {}),
    ("lstsq", (X, Symbol(4, 2)), {}),
    ("map", (lambda row: ops.sum(row, axis=0), X), {}),
    ("matmul", (X, torch.ones(6, 2)), {}),
    ("matmul", (X, Symbol(6, 5)), {}),
    ("matrix_power", (SQUARE, 3), {}),
    ("meshgrid", (Symbol(), torch.ones(3)), {}),
    ("moments", (X, 0), {}),
    ("moments", (X, (1, 2)), {"keepdims": True}),
    ("moveaxis", (X, 0, -1), {}),
    ("multi_hot", (INTS, 3), {}),
    ("one_hot", (INTS, 3), {}),
    ("one_hot", (INTS, 3), {"axis": 0}),
    ("pad", (X, ((0, 0), (1, 2), (3, 0))), {}),
    ("pad", (X, ((2, 0), (1, 2), (3, 0))), {"mode": "reflect"}),
    ("psnr", (X, Y, 1.0), {}),
    ("qr", (X,), {}),
    ("quantile", (X, torch.tensor([0.1, 0.5])), {"axis": 1}),
    ("repeat", (X, 2), {"axis": 0}),
    ("repeat", (X, [1, 2, 0, 1]), {"axis": 1}),
    ("repeat", (X, 2), {}),
    ("reshape", (X, (-1, 24)), {}),
    ("reshape", (X, (-1, 8)), {}),
    ("roll", (X, 1), {"axis": 0}),
    ("saturate_cast", (X, "uint8"), {}),
    ("scan", (lambda c, x: (c + x, c * 2), torch.zeros(4, 6), X), {}),
    ("scatter", (Symbol(1, dtype="int32"), Symbol(2)), {"shape": (4, 2)}),
    ("scatter_update", (X, torch.tensor([[0], [2]]), torch.ones(2, 4, 6)), {}),
    ("scatter_update", (X, torch.tensor([[0], [2]]), torch.ones(2, 4, 6), "max"), {}),
    ("segment_max", (X, Symbol(dtype="int32")), {"num_segments": 3}),
    ("segment_sum", (X, Symbol(dtype="int32")), {"num_segments": 3}),
    ("select", ([BOOLS], [X], 0), {}),
    ("slice", (X, (0, 1, 2), (4, 2, 3)), {}),
    ("slice_update", (X, (0, 1, 2), torch.ones(2, 2, 2)), {}),
    ("solve", (SQUARE, Symbol(3, 2)), {}),
    ("solve_triangular", (SQUARE, Symbol(3, 2)), {}),
    ("softmax", (X,), {"axis": (1, 2)}),
    ("sparse_categorical_crossentropy", (Symbol(dtype="int32"), P), {}),
    ("split", (X, 3), {}),
    ("split", (X, [1, 3]), {"axis": -1}),
    ("squeeze", (Symbol(1, 3), 1), {}),
    ("stack", ([X, Y],), {"axis": 1}),
    ("svd", (X,), {}),
    ("svd", (X,), {"full_matrices": False}),
    ("swapaxes", (X, 0, 1), {}),
    ("switch", (0, [lambda x: x], X), {}),
    ("take", (X, torch.tensor([0, 2])), {"axis": 1}),
    ("take", (torch.ones(9, 2), INTS), {"axis": 0}),
    ("take_along_axis", (X, torch.zeros(1, 1, 6, dtype=torch.int64)), {"axis": 1}),
    ("tensordot", (X, torch.ones(6, 3)), {"axes": 1}),
    ("threshold", (X, 0.5, 0.0), {}),
    ("tile", (X, (2, 1, 3)), {}),
    ("top_k", (X, 2), {}),
    ("transpose", (X, (1, 0, 2)), {}),
    ("unstack", (X,), {"axis": 1}),
    ("vectorized_map", (lambda row: row.sum(0), X), {}),
    ("vstack", ([X, Y],), {}),
    ("where", (BOOLS, X, 0.0), {}),
    ("while_loop", (lambda v: ops.sum(v) < 0, lambda v: v * 2, X), {}),
]
CASES = [case for case in CASES if case[0] != "where_"]
IMAGE, PARTS = Symbol(6, 8, 4), (Symbol(8), Symbol(8))
HEADS, LENGTHS = Symbol(3, 4, 5), Symbol(dtype="int32")
CASES += [
    *[(name, (X,), {}) for name in SELDOM_UNARY],
    *[(name, (X, Y), {}) for name in SELDOM_BINARY],
    *[(name, (INTS, Symbol(4, dtype="int16")), {}) for name in OF_INTEGERS],
    *[(name, (INTS, 2), {}) for name in OF_INTEGERS],
    *[(name, (X,), {"axis": -1, "keepdims": True}) for name in NAN_REDUCTIONS],
    ("adaptive_average_pool", (IMAGE, 2), {}),
    ("adaptive_max_pool", (IMAGE, (2, 3)), {}),
    ("argpartition", (X, 2), {}),
    ("array_split", (X, 4), {"axis": -1}),
    ("associative_scan", (lambda a, b: a + b, X), {}),
    ("average_pool", (IMAGE, 2), {"padding": "same"}),
    ("batch_normalization", (X, torch.zeros(6), torch.ones(6), -1), {}),
    ("bitwise_invert", (INTS,), {}),
    ("bitwise_not", (INTS,), {}),
    ("cdist", (X, Symbol(5, 6)), {}),
    ("column_stack", ([X, Y],), {}),
    ("conv", (IMAGE, torch.ones(3, 3, 4, 5)), {}),
    ("conv", (IMAGE, torch.ones(3, 3, 2, 6)), {"strides": 2, "padding": "same"}),
    ("conv_transpose", (IMAGE, torch.ones(3, 3, 5, 4)), {"strides": 2}),
    ("corrcoef", (P,), {}),
    ("correlate", (Symbol(), torch.ones(3)), {"mode": "same"}),
    ("ctc_decode", (Symbol(4, 3), LENGTHS), {}),
    ("ctc_decode", (Symbol(4, 3), LENGTHS, "beam_search", 5, 2), {}),
    ("ctc_loss", (Symbol(2, dtype="int32"), Symbol(4, 3), LENGTHS, LENGTHS), {}),
    ("depth_to_space", (IMAGE, 2), {}),
    ("depthwise_conv", (IMAGE, torch.ones(2, 3, 4, 2)), {"dilation_rate": 2}),
    ("diagflat", (V, -2), {}),
    ("dot_product_attention", (HEADS, Symbol(6, 2, 5), Symbol(6, 2, 7)), {}),
    ("dsplit", (X, 3), {}),
    ("dstack", ([V, V],), {}),
    ("extract_sequences", (X, 3, 2), {}),
    ("fft", (PARTS,), {}),
    ("fft2", (PARTS,), {}),
    ("fold", (Symbol(8, 6), (3, 4), 2), {}),
    ("gammainc", (X, Y), {}),
    ("geomspace", (V, V, 4), {"axis": -1}),
    ("hsplit", (X, [1, 3]), {}),
    ("ifft2", (PARTS,), {}),
    ("irfft", (PARTS,), {}),
    ("isin", (INTS, torch.tensor([1, 2])), {}),
    ("istft", ((Symbol(5, 3), Symbol(5, 3)), 4, 2, 4), {}),
    ("jvp", (torch.sin, (X,), (Y,)), {}),
    ("kron", (X, Symbol(2, 2)), {}),
    ("ldexp", (X, Symbol(4, 6, dtype="int32")), {}),
    ("left_shift", (INTS, INTS), {}),
    ("logspace", (V, V, 4), {"base": 2}),
    ("lu_factor", (X,), {}),
    ("matrix_rank", (X,), {}),
    ("max_pool", (IMAGE, 2), {"strides": 1}),
    ("max_pool", (IMAGE, (3, 2)), {"data_format": "channels_first"}),
    ("nanpercentile", (X, torch.tensor([10, 50])), {"axis": 1}),
    ("nanquantile", (X, 0.5), {"axis": (0, 2)}),
    ("percentile", (X, 50), {}),
    ("pinv", (X,), {}),
    ("rearrange", (X, "b (h p) ... -> (b ...) p h"), {"p": 2}),
    ("rfft", (X,), {}),
    ("rfft", (X, 5), {}),
    ("rot90", (X,), {"axes": (0, 2)}),
    ("searchsorted", (torch.tensor([0.2, 0.5]), X), {}),
    ("segment_min", (X, LENGTHS), {"num_segments": 3}),
    ("segment_prod", (X, LENGTHS), {"num_segments": 3}),
    ("separable_conv", (IMAGE, torch.ones(3, 3, 4, 2), torch.ones(1, 1, 8, 3)), {}),
    ("slogdet", (SQUARE,), {}),
    ("cholesky_inverse", (SQUARE,), {}),
    ("space_to_depth", (Symbol(4, 6, 3), 2), {}),
    ("stft", (Symbol(16), 4, 2, 4), {}),
    ("stft", (Symbol(16), 4, 3, 8), {"window": None, "center": False}),
    ("trapezoid", (X,), {"axis": 1}),
    ("unfold", (IMAGE, 2), {"padding": 1, "stride": 2}),
    ("unravel_index", (INTS, (3, 4)), {}),
    ("vander", (Symbol(),), {"N": 3}),
    ("vdot", (X, Y), {}),
    ("view", (X, "int16"), {}),
    ("view_as_complex", (Symbol(3, 2),), {}),
    ("vsplit", (X, 3), {}),
]
WINDOWS = set("bartlett blackman hamming hanning kaiser".split())
WITHOUT_TENSORS = set("arange empty eye full identity ones tri zeros".split())
SIZE_DEPENDS_ON_VALUES = set("bincount nonzero unique".split())


def replace(structure, how):
    if isinstance(structure, Symbol):
        return how(structure)
    if isinstance(structure, (list, tuple)):
        return type(structure)(replace(item, how) for item in structure)
    return structure


def outline(result, unknown=()):
    """Shapes and dtypes in a result; every size in `unknown` as None."""
    if isinstance(result, (list, tuple)):
        return [outline(item, unknown) for item in result]
    if isinstance(result, int):
        return result
    return tuple(result.shape), ops.dtype(result)


def holds(symbolic, eager):
    """Whether a symbolic outline allows an eager one."""
    if isinstance(symbolic, list):
        pairs = zip(symbolic, eager, strict=True)
        return isinstance(eager, list) and all(holds(a, b) for a, b in pairs)
    if isinstance(symbolic, int):
        return symbolic == eager
    (shape, dtype), (sizes, eager_dtype) = symbolic, eager
    return (
        len(shape) == len(sizes)
        and all(a in (None, b) for a, b in zip(shape, sizes, strict=True))
        and dtype == eager_dtype
    )


KNOWN = ["all", "rest", "no", "all but the last"]
NEEDS_SIZES = {("unstack", "no")}  # as in Keras, without `num`


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_symbolic_result_is_that_of_tensors(case, known):
    name, args, kwargs = case
    if (name, known) in NEEDS_SIZES:
        return
    function = getattr(ops, name)
    symbolic = outline(function(*replace(args, lambda x: x.symbol(known)), **kwargs))
    eager = outline(function(*replace(args, Symbol.data), **kwargs))
    assert holds(symbolic, eager), f"{symbolic} against {eager}"
    if known == "all":
        assert symbolic == eager


OF_THIS_SIZE = {"broadcast_to"}  # the case names the size


@pytest.mark.parametrize("batch", [9, 12])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_symbolic_result_holds_for_every_size(case, batch):
    name, args, kwargs = case
    if name in OF_THIS_SIZE:
        return
    function = getattr(ops, name)
    symbolic = outline(function(*replace(args, Symbol.symbol), **kwargs))
    eager = outline(function(*replace(args, lambda x: x.data(batch)), **kwargs))
    assert holds(symbolic, eager), f"{symbolic} against {eager}"


TRACED = WITHOUT_TENSORS - {"full"}  # what else takes no tensor is never called on symbols


def test_every_op_has_a_rule():
    for name in set(ops.__all__) & set(OPS):
        function = OPS[name]
        assert bool(function._shape or function._spec) != (name in TRACED), name


def test_names_of_dtypes_and_python_numbers_keep_results_apart():
    x = KerasTensor((None, 3), "int32")
    assert ops.add(x, 1).dtype == "int32" and ops.add(x, 1.0).dtype == "float32"
    assert ops.add(x, True).dtype == "int32"
    assert ops.add(KerasTensor((3,), "float16"), KerasTensor((), "float32")).dtype == "float16"
    assert ops.add(KerasTensor((3,), "float16"), KerasTensor((1,), "float32")).dtype == "float32"
    assert ops.power(x, 2).dtype == "int32" and ops.divide(x, 2).dtype == "float32"
    previous = config.floatx()
    config.set_floatx("float64")
    try:
        assert ops.add(x, 1.0).dtype == "float64" and ops.mean(x).dtype == "float64"
    finally:
        config.set_floatx(previous)


def test_finding_a_dtype_imports_nothing_slow():
    # The first of torch's functions written in Python that runs on meta tensors imports sympy.
    code = """
import sys, torch
import torchkeras as keras
x = keras.Input((4,))
y = keras.ops.relu(x + 2 * x) @ torch.ones(4, 3)
keras.ops.softmax(keras.ops.concatenate([x, y], axis=-1))
print(sorted({"sympy", "torch._dynamo"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_op_is_tested_on_symbols():
    public = {n for n in ops.__all__ if inspect.isfunction(getattr(ops, n))}
    recorded = {n for n in public if getattr(ops, n) in OPS.values()}
    plain = {"convert_to_numpy", "dtype", "is_tensor", "ndim", "shape"}
    assert public - recorded == plain | {"custom_gradient", "vectorize"}
    aliases = {"swish", "hard_swish"}
    tested = {case[0] for case in CASES} | WITHOUT_TENSORS | SIZE_DEPENDS_ON_VALUES | aliases
    tested |= WINDOWS
    assert recorded - tested == set()


def test_unknown_sizes_stay_unknown_and_known_ones_known():
    x = KerasTensor((None, 4, 6))
    assert ops.relu(x).shape == (None, 4, 6)
    assert ops.matmul(x, KerasTensor((6, 5))).shape == (None, 4, 5)
    assert ops.concatenate([x, x], axis=1).shape == (None, 8, 6)
    assert ops.concatenate([x, x], axis=0).shape == (None, 4, 6)
    assert ops.reshape(x, (-1, 24)).shape == (None, 24)
    assert ops.reshape(x, (None, 24)).shape == (None, 24)
    assert ops.sum(x, axis=0).shape == (4, 6)
    assert ops.get_item(x, (slice(None), 0)).shape == (None, 6)
    assert ops.unstack(x, num=3)[0].shape == (4, 6)
    assert len(ops.unstack(x, num=3)) == 3
    assert [part.shape for part in ops.split(x, 5)] == [(None, 4, 6)] * 5
    assert ops.slice(x, (0, 0, 0), (100, 2, 2)).shape == (100, 2, 2)
    assert ops.shape(x) == (None, 4, 6) and ops.ndim(x) == 3 and ops.dtype(x) == "float32"


@pytest.mark.parametrize("name", ["nonzero", "unique", "bincount", "where"])
def test_a_size_that_depends_on_values_is_refused(name):
    with pytest.raises(ValueError, match="depends on the values"):
        getattr(ops, name)(KerasTensor((None, 4), "int32"))


def test_operators_of_symbols_use_the_ops():
    x, y = KerasTensor((None, 4)), KerasTensor((None, 4))
    for result in (x + y, x - 1, 2 * x, x / y, x // 2, x % 2, x**2, 1 - x, 2 / x, -x, abs(x)):
        assert result.shape == (None, 4) and result.dtype == "float32"
    for result in (x < y, x <= 1, x > y, x >= y, x == y, x != y, ~(x < y), (x < 1) & (y < 1)):
        assert result.shape == (None, 4) and result.dtype == "bool"
    assert (x @ KerasTensor((4, 2))).shape == (None, 2)
    assert x[:, 1:3].shape == (None, 2)


def test_a_recorded_op_names_itself():
    y = ops.add(KerasTensor((None, 4)), 1)
    assert y._keras_history.operation.op_name == "add"
    assert torch.equal(y._keras_history.operation(torch.zeros(2), 1), torch.ones(2))


def test_what_an_op_refuses_on_tensors_it_refuses_on_symbols():
    x = KerasTensor((None, 4))
    for call, error in [
        (lambda x: ops.convert_to_tensor(x, sparse=True), ValueError),
        (lambda x: ops.moments(x, 0, synchronized=True), NotImplementedError),
        (lambda x: ops.normalize(x, order=0), ValueError),
        (lambda x: ops.one_hot(ops.cast(x, "int32"), 3, sparse=True), ValueError),
        (lambda x: ops.bitwise_and(x, x), RuntimeError),
        (lambda x: ops.cast(x, "no_such"), ValueError),
        (lambda x: ops.select([x > 0], [x, x]), ValueError),
        (lambda x: ops.quantile(x, 0.5, method="no_such"), (RuntimeError, ValueError)),
    ]:
        for argument in (x, torch.ones(2, 4)):
            with pytest.raises(error):
                call(argument)


def test_softmax_over_an_axis_of_size_1_warns():
    with pytest.warns(UserWarning, match=r"axis -1 of a tensor of shape \(None, 1\).*sigmoid"):
        ops.softmax(KerasTensor((None, 1)))
    with pytest.warns(UserWarning, match=r"axis 1 of a tensor of shape \(3, 1\).*sigmoid"):
        ops.softmax(torch.ones(3, 1), axis=1)


def test_sizes_and_axes_of_numpy():
    x = KerasTensor((None, 4))
    assert ops.sum(x, axis=np.int64(1)).shape == (None,)
    assert ops.one_hot(ops.cast(x, "int32"), np.int64(3)).shape == (None, 4, 3)
    assert ops.repeat(x, np.int64(2), axis=1).shape == (None, 8)
    values, _ = ops.top_k(x, np.int64(2))
    assert values.shape == (None, 2) and type(values.shape[1]) is int
