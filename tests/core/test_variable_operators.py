"""Operators of a Variable: promotion as in Keras, logic for all dtypes, in-place ones assign."""

import operator

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers

VALUES = {
    "bool": [True, False],
    "int32": [3, 2],
    "uint8": [3, 2],
    "float16": [1.5, 2.0],
    "bfloat16": [1.5, 2.0],
    "float32": [1.5, 0.5],
}
# Keras's promotion, which is JAX's: of two kinds the higher one, and of two narrow floats float32.
RANKS = {"bool": 0, "uint8": 1, "int32": 1, "float16": 2, "bfloat16": 2, "float32": 3}


def common(a, b):
    if a == b:
        return a
    if {a, b} == {"float16", "bfloat16"}:
        return "float32"
    if {a, b} == {"uint8", "int32"}:
        return "int32"
    return max(a, b, key=RANKS.get)


def variable(dtype):
    return keras.Variable(VALUES[dtype], dtype=dtype, trainable=False)


PAIRS = [(a, b) for a in VALUES for b in VALUES]


@pytest.mark.parametrize("a, b", [p for p in PAIRS if p != ("bool", "bool")])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "matmul"])
def test_operands_are_promoted(name, a, b):
    expected = getattr(operator, name)(
        np.array(VALUES[a], "float64"), np.array(VALUES[b], "float64")
    )
    if common(a, b) == "uint8":
        expected = expected % 256
    for left, right in [
        (variable(a), variable(b)),
        (variable(a), variable(b).value),
        (variable(a).numpy() if a != "bfloat16" else variable(a), variable(b)),
    ]:
        result = getattr(operator, name)(left, right)
        assert str(result.dtype) == f"torch.{common(a, b)}"
        np.testing.assert_allclose(
            result.float().numpy(), expected % 256 if a == b == "uint8" else expected
        )


@pytest.mark.parametrize("a, b", PAIRS)
def test_division_gives_floats_of_the_kind_at_hand(a, b):
    expected = common(a, b) if RANKS[common(a, b)] >= 2 else "float32"
    assert str((variable(a) / variable(b)).dtype) == f"torch.{expected}"


@pytest.mark.parametrize("dtype", VALUES)
def test_and_or_xor_are_logical(dtype):
    v = keras.Variable([4, 2, 0, 0], dtype=dtype, trainable=False)
    w = keras.Variable([2, 0, 3, 0], dtype="int32", trainable=False)
    for other in (w, w.value, w.numpy()):
        assert (v & other).tolist() == [True, False, False, False]
        assert (v | other).tolist() == [True, True, True, False]
        assert (v ^ other).tolist() == [False, True, True, False]
    assert (v & True).tolist() == [True, True, False, False] == (True & v).tolist()
    assert (0 | v).tolist() == [True, True, False, False] == (v ^ 0).tolist()


def test_numbers_beside_integers_and_booleans():
    assert (variable("int32") - 1.5).tolist() == [1.5, 0.5]
    assert (1.5 - variable("int32")).tolist() == [-1.5, -0.5]
    assert (variable("bool") - 2).tolist() == [-1, -2]
    assert (variable("int32") - True).tolist() == [2, 1]


def test_lists_are_operands():
    assert (variable("float32") + [1.0, 2.0]).tolist() == [2.5, 2.5]
    assert ([1, 2] * variable("int32")).tolist() == [3, 4]
    assert (variable("int32") > [2, 2]).tolist() == [True, False]
    assert (variable("int32") == [3, 3]).tolist() == [True, False]


def test_rounding_is_to_even():
    v = keras.Variable([0.5, 1.5, 2.25, -1.75])
    assert round(v).tolist() == [0.0, 2.0, 2.0, -2.0]
    assert round(v, 1).tolist() == pytest.approx([0.5, 1.5, 2.2, -1.8])  # 2.25 is a tie, too


def test_a_gradient_flows_through_promotion():
    v = keras.Variable([2.0, 3.0])
    half = torch.tensor([1.0, 4.0], dtype=torch.float16)
    (v @ half).backward()
    assert v.grad.tolist() == [1.0, 4.0]


# In place

IN_PLACE = {
    "iadd": lambda v, x: v + x,
    "isub": lambda v, x: v - x,
    "imul": lambda v, x: v * x,
    "itruediv": lambda v, x: v / x,
    "ifloordiv": lambda v, x: v // x,
    "imod": lambda v, x: v % x,
    "ipow": lambda v, x: v**x,
}


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("operand", [2, 2.0, np.array([1.0, 2.0, 4.0], "float32"), "variable"])
@pytest.mark.parametrize("name", IN_PLACE)
def test_operators_in_place_assign(name, operand, trainable):
    v = keras.Variable([1.0, 5.0, 7.0], trainable=trainable)
    if isinstance(operand, str):
        operand = keras.Variable([1.0, 2.0, 4.0])
    tensor, same = v.value, v
    expected = IN_PLACE[name](np.array([1.0, 5.0, 7.0], "float32"), np.asarray(operand))
    v = getattr(operator, name)(v, operand)
    assert v is same and v.value is tensor and v.value.grad_fn is None
    assert v.requires_grad is trainable
    np.testing.assert_allclose(v.numpy(), expected, rtol=1e-6)


def test_matmul_and_logic_in_place():
    v = keras.Variable([[1.0, 2.0], [3.0, 4.0]])
    v @= torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert v.numpy().tolist() == [[2.0, 1.0], [4.0, 3.0]]
    flags = keras.Variable([True, False])
    flags |= [True, True]
    flags ^= [True, False]
    flags &= [True, False]
    assert isinstance(flags, keras.Variable) and flags.numpy().tolist() == [False, False]


def test_a_result_that_does_not_fit_is_refused_and_nothing_is_written():
    v = keras.Variable([1, 2])
    with pytest.raises(
        TypeError, match="fit variable 'variable.*' of dtype int32. Received.*float32"
    ):
        v /= 2
    with pytest.raises(ValueError, match=r"expects a value of shape \(2,\).*\(3, 2\)"):
        v += np.ones((3, 1), "int32")
    assert v.numpy().tolist() == [1, 2]


def test_every_weight_of_a_model_in_a_loop():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.BatchNormalization()])
    before = model.get_weights()
    for v in model.weights:
        v -= 1
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old - 1)


def test_items_can_be_set():
    v = keras.Variable(torch.zeros(3, 2))
    tensor = v.value
    v[0] = 5
    v[1, 1] = keras.Variable(2.0)
    v[torch.tensor([False, False, True])] = np.array([[1, 2]])
    with torch.no_grad():
        v[:, 0] += 1
    assert v.value is tensor and v.value.grad_fn is None and v.requires_grad
    assert v.numpy().tolist() == [[6.0, 5.0], [1.0, 2.0], [2.0, 2.0]]


def test_the_value_can_be_set():
    v = keras.Variable([1.0, 2.0])
    tensor = v.value
    v.value = [3.0, 4.0]
    with torch.no_grad():
        v.value *= 2
    assert v.value is tensor and v.numpy().tolist() == [6.0, 8.0]
    with pytest.raises(ValueError, match="expects a value of shape"):
        v.value = [1.0]


def test_in_a_stateless_scope_changes_stay_inside():
    v = keras.Variable([1.0, 2.0])
    given = torch.tensor([3.0, 4.0], requires_grad=True)
    with keras.StatelessScope([(v, given)]) as scope:
        v *= 2
        v[0] = 0.0
    new = scope.get_current_value(v)
    assert new.tolist() == [0.0, 8.0] and v.numpy().tolist() == [1.0, 2.0]
    new.sum().backward()
    assert given.grad.tolist() == [0.0, 2.0]


class Masked(layers.Layer):
    """As people write it for Keras: a local name, changed by what looks like in place."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(2, 2), initializer="ones", name="kernel")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x):
        kernel = self.kernel
        kernel *= torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        self.calls += 1
        return torch.matmul(x, kernel)


@pytest.mark.parametrize("inside", ["alone", "module", "functional", "compiled"])
def test_in_a_call_a_weight_is_not_written_to(inside):
    layer = Masked()
    x = torch.ones(1, 2)
    layer.build((None, 2))
    model = layer
    if inside == "module":
        model = nn.Sequential(layer)
    elif inside == "functional":
        inputs = keras.Input((2,))
        model = keras.Model(inputs, layer(inputs))
    elif inside == "compiled":
        model = torch.compile(layer, backend="eager", fullgraph=True)
    for _ in range(2):
        outputs = model(x)
    assert outputs.tolist() == [[1.0, 1.0]]
    assert layer.kernel.numpy().tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert layer.calls.numpy() == 2.0 and isinstance(layer.calls, keras.Variable)
    outputs.sum().backward()
    assert layer.kernel.grad.tolist() == [[1.0, 0.0], [0.0, 1.0]]
