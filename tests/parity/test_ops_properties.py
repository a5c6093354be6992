"""keras.ops against real Keras on torch, with arguments drawn at random.

For each op: values, dtypes, shapes and gradients are Keras's, and what symbols give is what tensors
give. The quick form draws the same few examples each time; the slow one draws some hundreds anew.
"""

import zlib

import pytest
import torch

from tests.ops.test_symbolic import holds, outline
from tests.parity.test_ops import assert_same
from torchkeras import ops
from torchkeras.core.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")
hypothesis = pytest.importorskip("hypothesis")
CASES = pytest.importorskip("tests.parity.drawn_calls").CASES
drawn_values = pytest.importorskip("tests.parity.drawn_arguments").values
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # torch's, on what Keras calls
]

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
            weights = drawn_values(tuple(y.shape), "float64", i).to(y.dtype)
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
