"""KerasTensor: a symbol with a shape and a dtype, and no values."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import KerasTensor
from torchkeras.core.convert import convert_to_tensor


def test_facts():
    x = KerasTensor((None, 3), "float16", name="x")
    assert (x.shape, x.dtype, x.ndim, x.dim(), x.name) == ((None, 3), "float16", 2, 2, "x")
    assert repr(x) == (
        "<KerasTensor shape=(None, 3), dtype=float16, sparse=False, ragged=False, name=x>"
    )
    assert KerasTensor((2,)).dtype == "float32" and KerasTensor(3).shape == (3,)
    assert [KerasTensor(()).name, KerasTensor(()).name] == ["keras_tensor_2", "keras_tensor_3"]


def test_sizes_of_numpy_and_torch_become_ints():
    x = KerasTensor((np.int64(2), *torch.ones(3).shape))
    assert x.shape == (2, 3) and all(type(size) is int for size in x.shape)


@pytest.mark.parametrize("shape", [None, (2, -1), (1.5,)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match="`shape`.*Received: shape="):
        KerasTensor(shape)


def test_sparse_and_ragged_are_refused():
    for kind in ("sparse", "ragged"):
        with pytest.raises(ValueError, match=f"dense tensors only. Received.*{kind}=True"):
            KerasTensor((2,), **{kind: True})


@pytest.mark.parametrize("name, value", [("shape", (3,)), ("dtype", "int32")])
def test_shape_and_dtype_cannot_be_set(name, value):
    with pytest.raises(AttributeError, match=f"The {name} of a KerasTensor cannot be set.*ops"):
        setattr(KerasTensor((2,)), name, value)


@pytest.mark.parametrize(
    "use, error",
    [
        (bool, TypeError),
        (float, TypeError),
        (int, TypeError),
        (len, TypeError),
        (iter, TypeError),
        (np.asarray, ValueError),
        (lambda x: [1][x], TypeError),
        (torch.as_tensor, Exception),
        (convert_to_tensor, ValueError),
    ],
)
def test_it_has_no_value(use, error):
    with pytest.raises(error):
        use(keras.Input((3,)))


def test_length_where_the_size_is_known():
    assert len(KerasTensor((2, 3))) == 2


@pytest.mark.parametrize("shape", [(2, 3), (None, 3), ()])
@pytest.mark.parametrize(
    "use",
    [list, iter, lambda x: [*x], lambda x: max(x), lambda x: dict(x)],
    ids=["list", "iter", "star", "max", "dict"],
)
def test_it_cannot_be_iterated_over(use, shape):
    with pytest.raises(NotImplementedError, match="symbolic tensor cannot be iterated"):
        use(KerasTensor(shape))


def test_rounding_becomes_a_step():
    x = keras.Input((2,))
    model = keras.Model(x, [round(x), round(x, 1)])
    whole, tenths = model(torch.tensor([[0.5, 1.26]]))
    assert whole.tolist() == [[0.0, 1.0]]
    torch.testing.assert_close(tenths, torch.tensor([[0.5, 1.3]]))


RESULTS = {
    "add": (lambda x, y: x + y, "float32"),
    "radd": (lambda x, y: 1 + x, "float32"),
    "sub": (lambda x, y: x - y, "float32"),
    "rsub": (lambda x, y: 1 - x, "float32"),
    "mul": (lambda x, y: x * y, "float32"),
    "truediv": (lambda x, y: x / y, "float32"),
    "floordiv": (lambda x, y: x // y, "float32"),
    "mod": (lambda x, y: x % y, "float32"),
    "pow": (lambda x, y: x**y, "float32"),
    "rpow": (lambda x, y: 2**x, "float32"),
    "neg": (lambda x, y: -x, "float32"),
    "abs": (lambda x, y: abs(x), "float32"),
    "less": (lambda x, y: x < y, "bool"),
    "less_equal": (lambda x, y: x <= y, "bool"),
    "greater": (lambda x, y: x > y, "bool"),
    "greater_equal": (lambda x, y: x >= y, "bool"),
    "equal": (lambda x, y: x == y, "bool"),
    "not_equal": (lambda x, y: x != y, "bool"),
    "and": (lambda x, y: (x > y) & (y > x), "bool"),
    "or": (lambda x, y: (x > y) | (y > x), "bool"),
    "xor": (lambda x, y: (x > y) ^ (y > x), "bool"),
    "invert": (lambda x, y: ~(x > y), "bool"),
    "tensor": (lambda x, y: torch.ones(3) - x, "float32"),
    "item": (lambda x, y: x[:, 1:], "float32"),
    "matmul": (lambda x, y: x @ torch.ones(3, 3), "float32"),
    "method": (lambda x, y: x.clamp(min=0.5), "float32"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_operators_are_recorded_and_run_as_on_tensors(name):
    function, dtype = RESULTS[name]
    x, y = keras.Input((3,)), keras.Input((3,))
    result = function(x, y)
    a, b = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 1.0]])
    assert result.dtype == dtype
    expected = function(a, b)
    assert torch.equal(keras.Model([x, y], result)([a, b]), torch.as_tensor(expected))


def test_an_array_on_the_left():
    x = keras.Input((3,))
    y = np.array([5.0, 6.0, 7.0], "float32") - x
    assert keras.Model(x, y)(torch.ones(1, 3)).tolist() == [[4.0, 5.0, 6.0]]


def test_it_is_hashed_by_identity():
    x, y = keras.Input((3,)), keras.Input((3,))
    assert len({x: 1, y: 2}) == 2


def test_unknown_attributes():
    x = keras.Input((3,))
    for name in ("no_such_thing", "_private"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(x, name)


def test_is_keras_tensor():
    assert keras.utils.is_keras_tensor(keras.Input((2,)))
    assert not keras.utils.is_keras_tensor(torch.ones(2))
