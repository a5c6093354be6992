"""RematScope and remat: the same results, computed once more in the backward pass."""

import copy
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.core.scopes import SCOPE, in_symbolic_scope

X = np.random.RandomState(0).randn(32, 6).astype("float32")
Y = X.sum(1, keepdims=True)
MODES = [
    {"mode": "full"},
    {"mode": "activations"},
    {"mode": "larger_than", "output_size_threshold": 60},
    {"mode": "list_of_layers", "layer_names": ["block", "first"]},
]


class Block(keras.layers.Layer):
    """Dropout, statistics and a loss, and a count of how often it runs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = keras.layers.Dropout(0.5, seed=3)
        self.norm = keras.layers.BatchNormalization()
        self.dense = keras.layers.Dense(8, activation="tanh")
        self.calls = 0

    def call(self, x):
        self.__dict__["calls"] += 1
        self.add_loss(0.01 * torch.square(x).mean())
        return self.dense(self.norm(self.drop(torch.sin(x))))


def fitted(scope):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    with keras.RematScope(**scope):
        layers = [keras.Input((6,)), keras.layers.Dense(8, "relu", name="first")]
        block = Block(name="block")
        model = keras.Sequential([*layers, block, keras.layers.Dense(1, dtype="float32")])
    model.compile("sgd", "mse")
    block.__dict__["calls"] = 0
    losses = model.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]
    return losses, [w.numpy() for w in model.variables], block


@pytest.mark.parametrize("scope", MODES, ids=lambda scope: scope["mode"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_fit_gives_what_it_gives_without(scope, policy):
    keras.config.set_dtype_policy(policy)
    losses, weights, block = fitted({"mode": None})
    assert block.calls == 8
    losses_again, weights_again, block_again = fitted(scope)
    assert losses_again == losses
    for first, second in zip(weights, weights_again, strict=True):
        np.testing.assert_array_equal(first, second)
    # For the sizes of its outputs a layer runs without data, too.
    times = {"activations": (8,), "larger_than": (17, 18)}.get(scope["mode"], (16,))
    assert block_again.calls in times


def saved_elements(layer, x):
    """Number of elements that a call keeps for the backward pass."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(sizes)


@pytest.mark.parametrize(
    ("scope", "less"),
    [
        ({"mode": "full"}, True),
        ({"mode": None}, False),
        ({"mode": "larger_than", "output_size_threshold": 3999}, True),
        ({"mode": "larger_than", "output_size_threshold": 4000}, False),
        ({"mode": "list_of_layers", "layer_names": ["mine"]}, True),
        ({"mode": "list_of_layers", "layer_names": ["other"]}, False),
    ],
)
def test_which_layers_keep_only_their_input(scope, less):
    class Waves(keras.layers.Layer):
        def call(self, x):
            return torch.sin(torch.exp(torch.sin(torch.cos(x))))

    x = torch.randn(40, 100, requires_grad=True)
    with keras.RematScope(**scope):
        layer = Waves(name="mine")
    layer(x)  # the first call makes weights, and keeps everything
    kept = saved_elements(layer, x)
    assert (kept < 2 * 4000) is less  # the input, or that of each of four functions


def test_activations_mode_recomputes_the_activation_alone():
    calls = []

    def activation(x):
        calls.append(1)
        return torch.tanh(x)

    with keras.RematScope("activations"):
        layer = keras.layers.Dense(3, activation=activation)
        plain = keras.layers.Dropout(0.5)
    x = torch.ones(2, 4)
    layer(x).sum().backward()
    assert len(calls) == 2
    layer.zero_grad()
    layer(x).sum().backward()
    assert len(calls) == 4 and layer.activation is activation
    assert plain(x).equal(x)


def test_an_activation_that_is_a_layer():
    with keras.RematScope("activations"):
        layer = keras.layers.Dense(3, activation=keras.layers.LeakyReLU())
    layer(torch.ones(2, 4)).sum().backward()
    assert "activation" not in layer.__dict__ and layer.kernel.value.grad is not None


def test_the_scope_counts_where_a_layer_is_made():
    with keras.RematScope("full"):
        with keras.RematScope(None):
            plain = Block()
        block = Block()
    x = torch.randn(4, 3, requires_grad=True)
    for layer, times in ((plain, 1), (block, 2)):
        layer(x)
        before = layer.calls
        layer(x).sum().backward()
        assert layer.calls - before == times
    with keras.RematScope("full"):
        before = plain.calls
        plain(x).sum().backward()
    assert plain.calls - before == 1 and SCOPE.remat == ()


def test_a_mode_for_one_call_and_losses_are_found_once_more():
    keras.utils.set_random_seed(0)
    with keras.RematScope("full"):
        block = Block()
    x = torch.randn(16, 3)
    block(x)
    twin = copy.deepcopy(block)
    twin._remat_mode = None
    torch.manual_seed(5)
    outputs = [layer(x, training=True).sum() + sum(layer.losses) for layer in (block, twin)]
    for layer, y in zip((block, twin), outputs, strict=True):
        assert not layer.training
        y.backward()
        assert len(layer.losses) == 1
    assert outputs[0].equal(outputs[1])
    for first, second in zip(block.weights, twin.weights, strict=True):
        assert first.value.equal(second.value), first.path
        if first.trainable:
            assert first.value.grad.equal(second.value.grad), first.path


def test_masks_reach_the_second_run():
    seen = []

    class Look(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x, mask=None):
            seen.append(mask)
            return torch.sin(x) * mask[..., None]

    class Around(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True
            self.look = Look()

        def call(self, x):
            return self.look(x)

    with keras.RematScope("full"):
        layer = Around()
    x = torch.ones(1, 2, 3, requires_grad=True)
    mask = torch.tensor([[True, False]])
    for tensor in (x * 1, x * 1):
        tensor._keras_mask = mask
        y = layer(tensor)
    y.sum().backward()
    assert len(seen) == 3 and all(m.equal(mask) for m in seen)


def test_a_stateless_call():
    with keras.RematScope("full"):
        layer = keras.layers.Dense(2, activation=torch.sin)
    layer(torch.ones(1, 3))
    kernel = torch.randn(3, 2, requires_grad=True)
    x = torch.randn(4, 3)
    y, _ = layer.stateless_call([kernel, torch.zeros(2)], [], x)
    y.sum().backward()
    torch.testing.assert_close(kernel.grad, x.T @ torch.cos(x @ kernel))
    grad = torch.func.grad(lambda k: layer.stateless_call([k, torch.zeros(2)], [], x)[0].sum())
    torch.testing.assert_close(grad(kernel.detach()), kernel.grad)


def test_operations_in_a_graph_recompute():
    x = keras.Input((3,))
    with keras.RematScope("full"):
        y = keras.ops.tanh(x)
    model = keras.Model(x, keras.ops.sin(y))
    data = torch.randn(2, 3, requires_grad=True)
    model(data).sum().backward()
    torch.testing.assert_close(data.grad, torch.cos(torch.tanh(data)) * (1 - torch.tanh(data) ** 2))
    assert y._keras_history.operation._remat_mode.mode == "full"
    assert model.operations[-1]._remat_mode is None


def test_remat_of_functions_and_layers():
    calls = []

    def f(x, scale=1.0):
        calls.append(1)
        return torch.sin(x) * scale

    x = torch.randn(3, requires_grad=True)
    keras.remat(f)(x, scale=2.0).sum().backward()
    torch.testing.assert_close(x.grad, 2 * torch.cos(x))
    assert len(calls) == 2 and keras.remat(f).__name__ == "f"
    with torch.no_grad():
        keras.remat(f)(x)
    assert len(calls) == 3
    assert keras.remat(keras.ops.sin)(keras.Input((3,))).shape == (None, 3)
    layer = Block()
    for _ in range(2):
        keras.remat(layer)(torch.ones(2, 3)).sum().backward()
    assert layer.calls == 1 + 2


def test_copies_compile_and_symbols():
    with keras.RematScope("full"):
        layer = keras.layers.Dense(3, activation="gelu")
    x = torch.randn(2, 4)
    y = layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin._remat_mode == layer._remat_mode and twin(x).equal(y)
    assert layer(keras.Input((4,))).shape == (None, 3)
    assert type(layer).from_config(layer.get_config())._remat_mode is None


@pytest.mark.slow
def test_torch_compile():
    with keras.RematScope("full"):
        layer = keras.layers.Dense(3, activation=torch.sin)
    x = torch.randn(2, 4)
    y = layer(x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), y)
    compiled(x).sum().backward()
    grad = layer.kernel.value.grad.clone()
    layer.zero_grad()
    layer(x).sum().backward()
    torch.testing.assert_close(layer.kernel.value.grad, grad)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "activations", "larger_than"])
def test_fit_with_a_compiled_step(mode):
    results = []
    for scope, options in ((None, {}), (mode, {"jit_compile": True})):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        with keras.RematScope(scope, output_size_threshold=10):
            layers = [keras.layers.Dense(8, "tanh"), keras.layers.BatchNormalization()]
            model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(1)])
        model.compile("sgd", "mse", **options)
        model.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=0)
        results.append([w.numpy() for w in model.weights])
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)  # sums in other orders


def test_errors_and_symbolic_scope():
    with pytest.raises(ValueError, match="`mode` must be one of 'full'.*mode='all'"):
        keras.RematScope("all")
    assert not in_symbolic_scope()
    with keras.SymbolicScope(), keras.SymbolicScope():
        assert in_symbolic_scope()
    assert not in_symbolic_scope()
