"""What ops take: tensors, Variables, arrays, numbers; dtypes of the results; torch.compile."""

import numpy as np
import pytest
import torch

from tests.ops.test_symbolic import CASES, Symbol, replace
from torchkeras import ops
from torchkeras.core.variable import Variable
from torchkeras.ops.operands import canonical_axes

X = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
ONE = "relu exp sum mean max argmax softmax one_hot_ reshape_ transpose sort square".split()


@pytest.mark.parametrize("name", [name for name in ONE if not name.endswith("_")])
def test_variables_arrays_and_lists_give_what_tensors_give(name):
    function = getattr(ops, name)
    expected = function(X)
    for x in (Variable(X), X.numpy(), X.tolist()):
        torch.testing.assert_close(function(x), expected, check_dtype=True)


@pytest.mark.parametrize("name", ["add", "subtract", "matmul", "maximum", "less", "where", "power"])
def test_second_arguments_of_every_kind(name):
    function = getattr(ops, name)
    first = (X > 0, X) if name == "where" else (X.abs(),)
    expected = function(*first, X)
    for x in (Variable(X), X.numpy(), X.tolist(), torch.nn.Parameter(X)):
        torch.testing.assert_close(function(*first, x), expected, equal_nan=True)
    if name not in ("matmul", "where"):
        expected = function(torch.full_like(X, 2.0), X)
        torch.testing.assert_close(function(2.0, X), expected, equal_nan=True)
        torch.testing.assert_close(function(2, Variable(X)), expected, equal_nan=True)


def test_gradients_reach_a_variable_and_a_parameter():
    variable = Variable([2.0, 3.0])
    ops.sum(ops.square(variable)).backward()
    torch.testing.assert_close(variable.grad, torch.tensor([4.0, 6.0]))


def test_numbers_are_weak():
    assert ops.add(torch.ones(2, dtype=torch.bfloat16), 1.5).dtype is torch.bfloat16
    assert ops.add(torch.ones((), dtype=torch.bfloat16), 1.5).dtype is torch.bfloat16
    assert ops.maximum(torch.ones((), dtype=torch.bfloat16), 1.5).dtype is torch.bfloat16
    assert ops.multiply(torch.ones(2, dtype=torch.uint8), 2).dtype is torch.uint8
    assert ops.add(torch.ones(2, dtype=torch.int64), 1.5).dtype is torch.float32
    assert ops.add(torch.ones(2, dtype=torch.bool), 1).dtype is torch.int32
    assert ops.where(torch.tensor([True]), 1, 0).dtype is torch.int32
    assert ops.add(1, 2).dtype is torch.int32
    assert ops.add(1, 2.0).dtype is torch.float32


def test_float64_numbers_keep_their_digits():
    x = torch.ones(1, dtype=torch.float64)
    for function in (ops.add, ops.maximum, ops.multiply):
        assert function(x * 0, 0.1).item() in (0.1, 0.0)
    assert ops.maximum(x * 0, 0.1).item() == 0.1


def test_numpy_scalars():
    assert ops.add(X, np.float32(1)).dtype is torch.float32
    assert ops.add(X.half(), np.float32(1)).dtype is torch.float16
    torch.testing.assert_close(ops.multiply(X, np.float64(2)), X * 2)


def test_other_arguments_go_to_the_device_of_the_tensor():
    meta = X.to("meta")
    assert ops.add(meta, np.ones((2, 2), "float32")).is_meta
    assert ops.add([[1.0, 2.0]], meta).is_meta
    assert ops.concatenate([meta, np.ones((2, 2), "float32")]).is_meta
    assert ops.take(meta, [0, 1], axis=0).is_meta
    assert ops.maximum(meta, 0).is_meta


def test_ops_compile_without_graph_break():
    def function(x, y):
        z = ops.matmul(ops.relu(x), ops.transpose(y))
        z = ops.concatenate([z, ops.maximum(z, 0.5)], axis=-1)
        z = ops.where(ops.greater(z, 1), z, 0.0)
        z = ops.reshape(ops.sum(z, axis=-1, keepdims=True), (ops.shape(z)[0], -1))
        z = ops.take(ops.softmax(z, axis=0), ops.argmax(x, axis=-1), axis=0)
        a, b = ops.split(ops.pad(z, ((0, 0), (1, 0))), 2, axis=-1)
        return ops.cast(a + b, "float16"), ops.one_hot(ops.argmax(x, -1), 2)

    compiled = torch.compile(function, fullgraph=True, backend="eager")
    for ours, expected in zip(compiled(X, X), function(X, X), strict=True):
        torch.testing.assert_close(ours, expected)


def test_dynamic_shapes_compile_once():
    def function(x):
        return ops.reshape(ops.mean(x, axis=1), (ops.shape(x)[0], 1)) * ops.shape(x)[1]

    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="eager")
    for n in (2, 3, 5):
        x = torch.randn(n, n + 1)
        torch.testing.assert_close(compiled(x), x.sum(1, keepdim=True))


@pytest.mark.parametrize("axis", [2, -3, (0, 5)])
def test_an_axis_out_of_range_is_named(axis):
    with pytest.raises(ValueError, match=r"\[-2, 2\).*axis="):
        canonical_axes(axis, 2)


FUNCTIONS_OF_TENSORS = set(
    # What a function of the caller's gets is a tensor, not what stands for one; `get_item` and
    # `shape`s take Variables, too, but are compared elsewhere.
    "cond fori_loop map scan switch vectorized_map while_loop jvp".split()
)


@pytest.mark.parametrize("kind", [Variable, lambda x: x.numpy()], ids=["Variable", "array"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_every_op_takes_what_stands_for_a_tensor(case, kind):
    name, args, kwargs = case
    if name in FUNCTIONS_OF_TENSORS:
        return
    function = getattr(ops, name)
    expected = function(*replace(args, Symbol.data), **kwargs)
    ours = function(*replace(args, lambda x: kind(x.data())), **kwargs)
    if name != "empty_like":
        torch.testing.assert_close(ours, expected, equal_nan=True)
