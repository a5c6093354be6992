"""Activations: formulas, logits remembered, identifiers, symbols, torch.compile."""

import math

import pytest
import torch

from torchkeras import activations, ops
from torchkeras.core import serialization
from torchkeras.core.keras_tensor import KerasTensor

NAMES = sorted(set(activations.__all__) - {"get", "serialize", "deserialize"})
X = torch.linspace(-4, 4, 18).reshape(3, 6)


def call(name, x):
    return getattr(activations, name)(x, *((1.0, 0.5) if name == "threshold" else ()))


@pytest.mark.parametrize("name", NAMES)
def test_symbolic_shape_is_that_of_tensors(name):
    symbol = call(name, KerasTensor((None, 6)))
    eager = call(name, X)
    assert symbol.shape == (None, *eager.shape[1:])
    assert symbol.dtype == "float32"


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_kept(name):
    assert call(name, X.bfloat16()).dtype is torch.bfloat16


@pytest.mark.parametrize("name", NAMES)
def test_lists_of_numbers_are_taken(name):
    if name == "linear":  # returns what it is given
        return
    torch.testing.assert_close(call(name, X.tolist()), call(name, X))


@pytest.mark.parametrize("name", NAMES)
def test_compiles_without_graph_break(name):
    torch._dynamo.reset()  # the cases share one code object, whose recompilations are limited
    compiled = torch.compile(lambda x: call(name, x), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(X), call(name, X))


def test_relu_with_all_arguments():
    x = torch.tensor([-2.0, 0.5, 1.5, 9.0])
    y = activations.relu(x, negative_slope=0.1, max_value=6.0, threshold=1.0)
    torch.testing.assert_close(y, torch.tensor([-0.3, -0.05, 1.5, 6.0]))


def test_relu_with_arguments_records_one_operation():
    y = activations.relu(KerasTensor((None, 3)), max_value=6.0)
    assert y._keras_history.operation.name.startswith("general_relu")


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sparsemax_is_a_distribution(axis):
    y = activations.sparsemax(X, axis=axis)
    torch.testing.assert_close(y.sum(axis), torch.ones(y.sum(axis).shape))
    assert (y >= 0).all() and (y == 0).any()


def test_mish_and_gelu_follow_their_formulas():
    softplus = torch.log1p(torch.exp(X))
    torch.testing.assert_close(activations.mish(X), X * torch.tanh(softplus))
    exact = X * 0.5 * (1 + torch.erf(X / math.sqrt(2)))
    torch.testing.assert_close(activations.gelu(X), exact)
    assert not torch.equal(activations.gelu(X, approximate=True), exact)


# Logits behind probabilities


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_logits_are_remembered(name):
    x = X.clone()
    assert getattr(activations, name)(x)._keras_logits is x


def test_losses_use_the_logits():
    x = torch.tensor([[200.0, 0.0]], requires_grad=True)
    y = activations.softmax(x)
    loss = ops.sparse_categorical_crossentropy(torch.tensor([1]), y)
    assert loss.item() == 200.0  # of the probabilities alone it would be -log(1e-7)
    loss.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[1.0, -1.0]]))
    assert ops.categorical_crossentropy(torch.tensor([[0.0, 1.0]]), y).item() == 200.0
    binary = ops.binary_crossentropy(torch.zeros(1), activations.sigmoid(torch.tensor([300.0])))
    assert binary.item() == 300.0


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (4,)])
def test_both_ways_agree_where_nothing_is_clipped(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator) * 2
    target = torch.softmax(torch.randn(shape, generator=generator), -1)
    p = activations.softmax(x)
    plain = p.clone()
    assert not hasattr(plain, "_keras_logits")
    losses = [
        (ops.categorical_crossentropy, target, p, plain),
        (ops.sparse_categorical_crossentropy, target.argmax(-1), p, plain),
    ]
    s = activations.sigmoid(x)
    losses.append((ops.binary_crossentropy, target, s, s.clone()))
    for loss, y, remembered, forgotten in losses:
        torch.testing.assert_close(loss(y, remembered), loss(y, forgotten), rtol=0, atol=2e-6)


CLIPPED = -math.log(1e-7)


def test_logits_of_another_activation_or_axis_are_not_used():
    x = torch.tensor([[50.0, 0.0]])
    label = torch.tensor([1])
    # A sigmoid is no softmax: the probabilities count, 1 and 1/2 divided by their sum.
    loss = ops.sparse_categorical_crossentropy(label, activations.sigmoid(x))
    torch.testing.assert_close(loss, torch.tensor([math.log(3)]))
    # A softmax over the batch axis: both columns are 1, so 1/2 after division.
    with pytest.warns(UserWarning, match="size 1"):
        y = activations.softmax(x, axis=0)
    torch.testing.assert_close(
        ops.sparse_categorical_crossentropy(label, y), torch.tensor([math.log(2)])
    )
    # A softmax is no sigmoid.
    y = activations.softmax(x)
    loss = ops.binary_crossentropy(torch.tensor([[0.0, 1.0]]), y)
    torch.testing.assert_close(loss, torch.full((1, 2), CLIPPED), rtol=2e-2, atol=0)


def test_logits_are_forgotten_after_a_write_in_place():
    label = torch.tensor([1])
    x = torch.tensor([[200.0, 0.0]])
    y = activations.softmax(x)
    x.zero_()
    torch.testing.assert_close(
        ops.sparse_categorical_crossentropy(label, y), torch.tensor([CLIPPED]), rtol=1e-4, atol=0
    )
    y = activations.softmax(torch.tensor([[200.0, 0.0]]))
    y.fill_(0.5)
    torch.testing.assert_close(
        ops.sparse_categorical_crossentropy(label, y), torch.tensor([math.log(2)])
    )


def test_logits_of_another_dtype_are_not_used():
    with torch.autocast("cpu", torch.bfloat16, enabled=True):
        y = activations.softmax(torch.tensor([[200.0, 0.0]], dtype=torch.bfloat16))
    if y.dtype is not torch.bfloat16:
        loss = ops.sparse_categorical_crossentropy(torch.tensor([1]), y)
        assert loss.dtype is y.dtype


def test_inference_mode_remembers_logits_too():
    with torch.inference_mode():
        y = activations.softmax(torch.tensor([[200.0, 0.0]]))
        assert ops.sparse_categorical_crossentropy(torch.tensor([1]), y).item() == 200.0


def test_a_compiled_loss_over_an_activation_has_no_graph_break():
    @torch.compile(fullgraph=True, backend="eager")
    def loss(x, label):
        return ops.sparse_categorical_crossentropy(label, activations.softmax(x))

    x, label = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    expected = torch.nn.functional.cross_entropy(x, label, reduction="none")
    torch.testing.assert_close(loss(x, label), expected)


def test_a_compiled_model_under_an_eager_loss():
    model = torch.compile(activations.softmax, fullgraph=True, backend="eager")
    x, label = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    expected = torch.nn.functional.cross_entropy(x, label, reduction="none")
    torch.testing.assert_close(ops.sparse_categorical_crossentropy(label, model(x)), expected)


def test_activations_under_vmap_and_grad():
    x = torch.randn(4, 3)
    rows = torch.vmap(activations.softmax)(x)
    torch.testing.assert_close(rows, torch.softmax(x, -1))

    def loss(row):
        return ops.sparse_categorical_crossentropy(torch.tensor(1), activations.softmax(row))

    expected = torch.softmax(x, -1) - torch.nn.functional.one_hot(torch.tensor([1] * 4), 3)
    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(x), expected)


def test_softmax_over_an_axis_that_is_not_there_raises():
    with pytest.raises(ValueError, match=r"`axis` must lie in \[-1, 1\)"):
        activations.softmax(torch.ones(3), axis=1)


# Identifiers


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get("relu") is activations.relu
    assert activations.get("swish") is activations.silu
    assert activations.get(torch.tanh) is torch.tanh
    with pytest.raises(ValueError, match="nope.*register"):
        activations.get("nope")
    with pytest.raises(ValueError, match="Received: 3"):
        activations.get(3)


def double(x):
    return 2 * x


def test_a_function_of_the_user_goes_through_a_config():
    config = activations.serialize(double)
    assert config["class_name"] == "function" and config["config"] == "double"
    assert activations.deserialize(config, custom_objects={"double": double}) is double
    with serialization.custom_object_scope({"double": double}):
        assert activations.get("double") is double
        assert activations.get(config) is double
    with pytest.raises(ValueError, match="double.*custom_objects"):
        activations.deserialize(config)
    with pytest.raises(ValueError, match="double"):
        activations.get(config)


def test_a_registered_function_is_serialized_under_its_registered_name():
    @serialization.register_keras_serializable("tests_activations")
    def triple(x):
        return 3 * x

    config = activations.serialize(triple)
    assert config["config"] == "tests_activations>triple"
    assert activations.get(config) is triple
    assert activations.get("tests_activations>triple") is triple


def test_what_is_no_activation_is_not_serialized():
    for wrong in ("relu", None, 3):
        with pytest.raises(ValueError, match="callable"):
            activations.serialize(wrong)
    with pytest.raises(ValueError, match="lambda"):
        activations.serialize(lambda x: x)


def test_a_config_names_nothing_outside_the_package():
    for name in ("os.system", "torch.load", "eval", "serialize", "serialization"):
        with pytest.raises(ValueError):
            activations.get(name)
        with pytest.raises(ValueError):
            activations.get({"module": "os", "class_name": "function", "config": name})
