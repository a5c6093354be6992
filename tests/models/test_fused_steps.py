"""A Dense and the Dropout after it: one operation where nobody can tell."""

import copy
import io
import json
import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import torchkeras as keras
from tests.kernels.support import kept, needs_ops
from tests.processes import run_python
from torchkeras.core.scopes import SCOPE
from torchkeras.kernels import compiled
from torchkeras.layers import Dense, Dropout, Input
from torchkeras.models import fused_steps

FEATURES, UNITS, BATCH = 130, 100, 128


@pytest.fixture
def fused(monkeypatch):
    """The Denses that ran together with their Dropout, in order."""
    runs = []
    method = Dense.call_with_dropout

    def watch(self, *args):
        runs.append(self.name)
        return method(self, *args)

    monkeypatch.setattr(Dense, "call_with_dropout", watch)
    return runs


def _sequential(**dropout):
    return keras.Sequential(
        [
            Input((FEATURES,)),
            Dense(UNITS, "relu", name="first"),
            Dropout(**{"rate": 0.5, "seed": 3, **dropout}, name="drop"),
            Dense(10, name="head"),
        ]
    )


def _functional():
    x = Input((FEATURES,))
    y = Dense(UNITS, "relu", name="first")(x)
    y = Dropout(0.5, seed=3, name="drop")(y)
    return keras.Model(x, Dense(10, name="head")(y))


def _two_branches():
    x = Input((FEATURES,))
    a = Dropout(0.5, seed=3, name="drop")(Dense(UNITS, "relu", name="first")(x))
    b = Dropout(0.5, seed=4)(Dense(UNITS, "tanh", name="second")(x))
    return keras.Model(x, Dense(10, name="head")(keras.layers.Add()([a, b])))


MODELS = {"sequential": _sequential, "functional": _functional}
models = pytest.mark.parametrize("kind", MODELS)


def _x():
    return torch.randn(BATCH, FEATURES, generator=torch.Generator().manual_seed(1))


def _warm(model):
    """Once through, in both modes: only then the layers are ready for their fast path."""
    for training in (False, True):
        model(_x(), training=training)
    for layer in model.layers:
        if isinstance(layer, Dropout) and layer.rate and layer.seed is not None:
            layer.seed_generator.state.assign(torch.tensor([layer.seed, 0]))
    return model


def _by_hand(model, draw=0):
    first, head = model.get_layer("first"), model.get_layer("head")
    y = (_x() @ first.kernel.value + first.bias.value).relu()
    y = y * kept(y.shape, 0.5, 3, draw) * 2.0
    return y @ head.kernel.value + head.bias.value


@models
def test_training_runs_the_pair_as_one_and_inference_does_not(kind, fused):
    model = _warm(MODELS[kind]())
    del fused[:]
    y = model(_x(), training=False)
    assert not fused
    first, head = model.get_layer("first"), model.get_layer("head")
    plain = (_x() @ first.kernel.value + first.bias.value).relu()
    torch.testing.assert_close(y, plain @ head.kernel.value + head.bias.value)
    for draw in range(3):
        torch.testing.assert_close(model(_x(), training=True), _by_hand(model, draw))
    assert fused == ["first"] * 3


@models
def test_modes_of_torch_decide_as_the_argument_does(kind, fused):
    model = _warm(MODELS[kind]())
    del fused[:]
    model.eval()
    model(_x())
    assert not fused
    model.train()
    model(_x())
    assert fused == ["first"]
    model.get_layer("drop").eval()  # frozen by its own flag
    first, head = model.get_layer("first"), model.get_layer("head")
    plain = (_x() @ first.kernel.value + first.bias.value).relu()
    torch.testing.assert_close(model(_x()), plain @ head.kernel.value + head.bias.value)
    assert fused == ["first"]


def test_two_branches_fuse_each(fused):
    model = _warm(_two_branches())
    del fused[:]
    model(_x(), training=True)
    assert sorted(fused) == ["first", "second"]


@models
def test_gradients_are_those_of_the_two_layers(kind):
    model = _warm(MODELS[kind]())
    loss = model(_x(), training=True).square().sum()
    found = torch.autograd.grad(loss, _weights(model))
    expected = torch.autograd.grad(_by_hand(model).square().sum(), _weights(model))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def _weights(model):
    return [v.value for v in model.trainable_variables]


# What keeps them apart

HOOKS = {
    "forward hook": lambda layer, f: layer.register_forward_hook(lambda *a: f()),
    "forward pre-hook": lambda layer, f: layer.register_forward_pre_hook(lambda *a: f()),
    "backward hook": lambda layer, f: layer.register_full_backward_hook(lambda *a: f()),
    "backward pre-hook": lambda layer, f: layer.register_full_backward_pre_hook(lambda *a: f()),
}


@models
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("layer", ["first", "drop"])
def test_a_hook_sees_its_layer(kind, hook, layer, fused):
    model = _warm(MODELS[kind]())
    del fused[:]
    seen = []
    handle = HOOKS[hook](model.get_layer(layer), lambda: seen.append(1))
    y = model(_x().requires_grad_(), training=True)
    y.sum().backward()
    assert len(seen) == 1
    assert not fused
    torch.testing.assert_close(y, _by_hand(model))
    handle.remove()
    model(_x(), training=True)
    assert fused == ["first"]


def test_a_forward_hook_may_change_the_output_between_them(fused):
    model = _warm(_sequential())
    del fused[:]
    model.get_layer("first").register_forward_hook(lambda layer, args, y: torch.zeros_like(y))
    bias = model.get_layer("head").bias.value
    torch.testing.assert_close(model(_x(), training=True), bias.expand(BATCH, 10))
    assert not fused


GLOBAL_HOOKS = {
    "forward": torch.nn.modules.module.register_module_forward_hook,
    "forward pre": torch.nn.modules.module.register_module_forward_pre_hook,
    "backward": torch.nn.modules.module.register_module_full_backward_hook,
    "backward pre": torch.nn.modules.module.register_module_full_backward_pre_hook,
}


@pytest.mark.parametrize("hook", GLOBAL_HOOKS)
def test_a_hook_on_all_modules_sees_both(hook, fused):
    model = _warm(_sequential())
    del fused[:]
    seen = []
    handle = GLOBAL_HOOKS[hook](lambda layer, *rest: seen.append(layer.name))
    try:
        model(_x().requires_grad_(), training=True).sum().backward()
    finally:
        handle.remove()
    assert seen.count("first") == seen.count("drop") == 1
    assert not fused


def test_a_method_set_on_the_instance_is_called(fused):
    for name in ("first", "drop"):
        for method in ("call", "forward"):
            model = _warm(_sequential())
            model(_x(), training=True)
            del fused[:]
            layer, seen = model.get_layer(name), []
            own = getattr(layer, method)
            setattr(
                layer, method, lambda *a, own=own, seen=seen, **k: seen.append(1) or own(*a, **k)
            )
            for _ in range(2):
                model(_x(), training=True)
            assert len(seen) == 2
            assert not fused


def test_masks_pass_through_both(fused):
    x = Input((5, FEATURES))
    y = keras.layers.Masking()(x)
    y = Dropout(0.5, seed=3)(Dense(UNITS, name="first")(y))
    model = keras.Model(x, y)
    data = torch.randn(30, 5, FEATURES)
    data[:, 3:] = 0
    for _ in range(3):
        y = model(data, training=True)
        assert torch.equal(y._keras_mask, torch.tensor([True] * 3 + [False] * 2).expand(30, 5))
    assert not fused


class MyDense(Dense):
    def call(self, inputs):
        return super().call(inputs) * 0


class MyDropout(Dropout):
    def call(self, inputs, training=False):
        return super().call(inputs, training) * 0


@pytest.mark.parametrize("classes", [(MyDense, Dropout), (Dense, MyDropout)])
def test_a_subclass_is_called(classes, fused):
    model = keras.Sequential([Input((FEATURES,)), classes[0](UNITS), classes[1](0.5)])
    _warm(model)
    assert torch.equal(model(_x(), training=True), torch.zeros(BATCH, UNITS))
    assert not fused


def _pairs(outputs, inputs):
    model = keras.Model(inputs, outputs)
    for _ in range(2):
        model(_x(), training=True)
    return model


def test_an_output_between_them_is_kept(fused):
    x = Input((FEATURES,))
    y = Dense(UNITS, "relu", name="first")(x)
    z = Dropout(0.5, seed=3)(y)
    model = _pairs([y, z], x)
    a, b = model(_x(), training=True)
    assert not fused
    first = model.get_layer("first")
    torch.testing.assert_close(a, (_x() @ first.kernel.value + first.bias.value).relu())
    torch.testing.assert_close(b, a * kept(a.shape, 0.5, 3, 2) * 2.0)


def test_features_of_a_layer_inside_a_pair(fused):
    model = _warm(_functional())
    features = keras.Model(model.inputs, model.get_layer("first").output)
    first = model.get_layer("first")
    expected = (_x() @ first.kernel.value + first.bias.value).relu()
    torch.testing.assert_close(features(_x(), training=True), expected)
    # From the middle of the pair on: the input of the new model is the output of the Dense.
    rest = keras.Model(model.get_layer("first").output, model.outputs)
    torch.testing.assert_close(rest(expected), model(_x()))
    del fused[:]
    rest(expected, training=True)
    assert not fused
    model(_x(), training=True)
    assert fused == ["first"]


def test_a_second_reader_of_the_dense_gets_what_it_made(fused):
    x = Input((FEATURES,))
    y = Dense(UNITS, "relu")(x)
    z = keras.layers.Subtract()([y, Dropout(0.5, seed=3)(y)])
    model = _pairs(z, x)
    # relu and a rate of a half: a kept element is doubled, so the difference has one sign each.
    assert not fused
    y = model(_x(), training=True)
    keep = kept(y.shape, 0.5, 3, 2)
    assert (y[keep] <= 0).all() and (y[~keep] >= 0).all()


def test_two_dropouts_of_one_dense_draw_each(fused):
    x = Input((FEATURES,))
    y = Dense(UNITS)(x)
    model = _pairs([Dropout(0.5, seed=3)(y), Dropout(0.5, seed=4)(y)], x)
    a, b = model(_x(), training=True)
    assert not fused
    assert torch.equal(a != 0, kept(a.shape, 0.5, 3, 2))
    assert torch.equal(b != 0, kept(b.shape, 0.5, 4, 2))


def test_a_dense_called_twice_fuses_each_call(fused):
    x = Input((FEATURES,))
    dense = Dense(FEATURES, "tanh", name="first")
    y = Dropout(0.5, seed=4)(dense(Dropout(0.5, seed=3)(dense(x))))
    model = keras.Model(x, y)
    model(_x(), training=True)
    del fused[:]
    model(_x(), training=True)
    assert fused == ["first", "first"]


def test_a_dropout_called_twice_draws_in_the_order_of_its_calls(fused):
    x = Input((FEATURES,))
    drop = Dropout(0.5, seed=3)
    y = Dense(FEATURES)(x)
    a = drop(x)  # the first draw, recorded after the Dense
    model = keras.Model(x, [a, drop(y)])
    a, b = model(_x(), training=True)
    assert torch.equal(a != 0, kept(a.shape, 0.5, 3, 0))
    assert torch.equal(b != 0, kept(b.shape, 0.5, 3, 1))
    model(_x(), training=True)
    assert not fused


def test_an_explicit_training_of_the_layer_counts(fused):
    x = Input((FEATURES,))
    for training in (True, False):
        y = Dropout(0.5, seed=3)(Dense(UNITS)(x), training=training)
        model = keras.Model(x, y)
        for own in (True, False, True):
            y = model(_x(), training=own)
            assert bool(0.4 < (y == 0).float().mean() < 0.6) is training
    assert not fused


@pytest.mark.parametrize("rate", [0.0, 1.0, 0.001])
def test_rates_at_the_edges(rate):
    model = _warm(_sequential(rate=rate))
    model.get_layer("head").kernel.assign(torch.ones(UNITS, 10))
    y = model(_x(), training=True)
    expected = model(_x(), training=False)
    if rate == 1:
        expected = model.get_layer("head").bias.value.expand(BATCH, 10)
    if rate != 0.001:
        torch.testing.assert_close(y, expected)
    else:
        assert not torch.equal(y, expected)


def test_a_noise_shape_is_followed(fused):
    model = _warm(_sequential(noise_shape=(None, 1)))
    probe = keras.Model(model.inputs, model.get_layer("drop").output)
    y = probe(_x(), training=True)
    rows = (y != 0).any(1)
    assert 0 < rows.sum() < BATCH
    assert not fused


def test_an_activity_regularizer_is_paid(fused):
    dense = Dense(UNITS, "relu", activity_regularizer="l2", name="first")
    model = keras.Sequential([Input((FEATURES,)), dense, Dropout(0.5, seed=3)])
    for _ in range(3):
        model(_x(), training=True)
        assert len(model.losses) == 1
    assert not fused


@pytest.mark.parametrize(
    ("policy", "dtype"),
    [("mixed_bfloat16", torch.bfloat16), ("bfloat16", torch.bfloat16), ("float64", torch.float64)],
)
def test_dtype_policies(policy, dtype):
    keras.config.set_dtype_policy(policy)
    model = _warm(_sequential())
    y = model(_x(), training=True)
    assert y.dtype is dtype
    first, head = (
        [v.value.double() for v in model.get_layer(name).weights] for name in ("first", "head")
    )
    expected = (_x().double() @ first[0] + first[1]).relu()
    expected = expected * kept(expected.shape, 0.5, 3) * 2.0 @ head[0] + head[1]
    tolerance = 1e-5 if dtype is torch.float64 else 0.05
    torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)


def test_mixed_precision_fuses_from_the_first_layer_on(fused):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.Sequential(
        [
            Input((FEATURES,)),
            *(Dense(FEATURES, "relu", name="first"), Dropout(0.5, seed=3)),
            *(Dense(FEATURES, "relu", name="second"), Dropout(0.5, seed=4)),
        ]
    )
    _warm(model)
    del fused[:]
    y = model(_x(), training=True)
    assert fused == ["first", "second"]
    assert y.dtype is torch.bfloat16
    y.float().sum().backward()
    assert {v.value.grad.dtype for v in model.trainable_variables} == {torch.float32}
    with keras.StatelessScope():  # which no layer is made ready for
        assert model(_x(), training=True).dtype is torch.bfloat16
    assert not SCOPE.autocast


def test_an_intermediate_tensor_of_another_dtype_is_cast(fused):
    x = Input((FEATURES,))
    y = keras.layers.Identity(dtype="float64")(x)
    y = Dense(UNITS, "relu", name="first")(y)
    y = Dropout(0.5, seed=3, name="drop")(y)
    model = _warm(keras.Model(x, Dense(10, name="head")(y)))
    del fused[:]
    y = model(_x(), training=True)
    assert y.dtype is torch.float32
    torch.testing.assert_close(y, _by_hand(model))
    assert not fused


def test_input_of_another_dtype_is_cast(fused):
    model = _warm(_sequential())
    del fused[:]
    y = model(_x().double(), training=True)
    assert y.dtype is torch.float32
    torch.testing.assert_close(y, _by_hand(model))


def test_an_input_that_does_not_fit_is_the_error_of_the_dense():
    model = _warm(_sequential())
    pair = fused_steps.DenseDropout(model.get_layer("first"), model.get_layer("drop"))
    model.train()
    with pytest.raises(ValueError, match="first"):
        pair(torch.ones(3, FEATURES + 1))


# What stays as it is


@models
def test_both_layers_stay_in_summary_config_and_weights(kind):
    model = _warm(MODELS[kind]())
    text = io.StringIO()
    model.summary(print_fn=lambda line, *a, **k: text.write(line + "\n"))
    assert "first" in text.getvalue() and "drop" in text.getvalue()
    names = [layer.name for layer in model.layers if layer.name in ("first", "drop", "head")]
    assert names == ["first", "drop", "head"]
    classes = [layer["class_name"] for layer in model.get_config()["layers"]]
    assert classes == ["InputLayer", "Dense", "Dropout", "Dense"]
    assert len(model.trainable_variables) == 4


DUPLICATES = {
    "clone": lambda model, path: keras.models.clone_model(model),
    "config": lambda model, path: type(model).from_config(model.get_config()),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "file": lambda model, path: (
        model.save(path / "m.keras"),
        keras.models.load_model(path / "m.keras"),
    )[1],
}


@models
@pytest.mark.parametrize("how", DUPLICATES)
def test_copies_fuse_and_draw_alike(kind, how, tmp_path, fused):
    model = _warm(MODELS[kind]())
    other = DUPLICATES[how](model, tmp_path)
    other.set_weights(model.get_weights())
    other(_x(), training=False)
    _warm(other)
    del fused[:]
    a, b = model(_x(), training=True), other(_x(), training=True)
    assert fused == ["first", "first"]
    assert torch.equal(a, b)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("seed", [3, None])
def test_activation_checkpointing_recomputes_the_same_mask(reentrant, seed, fused):
    model = _warm(_sequential(seed=seed))
    model.train()
    x = _x().requires_grad_()
    torch.manual_seed(5)
    expected = model(x)
    gradients = torch.autograd.grad(expected.square().sum(), [x])
    if seed is not None:
        model.get_layer("drop").seed_generator.state.assign(torch.tensor([seed, 0]))
    torch.manual_seed(5)
    del fused[:]
    y = checkpoint(model, x, use_reentrant=reentrant)
    torch.rand(10)  # moves the generator between forward and backward
    y.square().sum().backward()
    assert fused == ["first", "first"]
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(x.grad, gradients[0])


MASKS = f"""
import torch, torchkeras as keras
from torchkeras.layers import Dense, Dropout, Input

model = keras.Sequential(
    [Input(({FEATURES},)), Dense({UNITS}, "tanh"), Dropout(0.3, seed=3)]
)
x = torch.ones({BATCH}, {FEATURES})
for _ in range(3):
    y = model(x, training=True)
print((y != 0).flatten().to(torch.int64).nonzero().flatten().tolist())
"""


def test_masks_of_a_seed_are_the_same_with_the_kernels_and_without():
    off = run_python(MASKS, TORCHKERAS_KERNELS="off")
    expected = kept((BATCH, UNITS), 0.3, 3, 2).flatten().nonzero().flatten().tolist()
    assert json.loads(off) == expected
    model = keras.Sequential([Input((FEATURES,)), Dense(UNITS, "tanh"), Dropout(0.3, seed=3)])
    for _ in range(3):
        y = model(torch.ones(BATCH, FEATURES), training=True)
    assert (y != 0).flatten().nonzero().flatten().tolist() == expected


def _saved_bytes(function, besides):
    """Bytes of the storages that a forward pass keeps for backward, without those of `besides`."""
    storages = {}

    def pack(t):
        storage = t.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = function()
    for t in besides:
        storages.pop(t.untyped_storage().data_ptr(), None)
    return y, sum(storages.values())


@needs_ops
def test_a_chain_keeps_four_bytes_an_element():
    model = keras.Sequential(
        [
            Input((FEATURES,)),
            Dense(UNITS, "relu"),
            Dropout(0.5),
            Dense(UNITS, "relu"),
            Dropout(0.5),
            Dense(UNITS),
        ]
    )
    _warm(model)
    x = _x()
    _, size = _saved_bytes(
        lambda: model(x, training=True), [x, *(v.value for v in model.variables)]
    )
    elements = 2 * BATCH * UNITS  # what the two pairs give to the next layer
    assert 4 * elements <= size <= 4 * elements + 64  # and their seeds


@needs_ops
def test_the_pair_calls_one_op(monkeypatch, fused):
    calls = []
    for name in ("dense_act_dropout", "dropout"):
        op = getattr(compiled, name)
        monkeypatch.setattr(
            compiled, name, lambda *a, op=op, name=name: calls.append(name) or op(*a)
        )
    model = _warm(_sequential())
    del calls[:]
    model(_x(), training=True)
    assert calls[0] == "dense_act_dropout" and "dropout" not in calls


def test_fit_trains_through_the_pair(fused):
    model = _sequential(seed=None)
    model.compile("adam", "mse")
    y = _x()[:, :10]
    history = model.fit(_x(), y, batch_size=32, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    assert fused


# torch's own compiler does what this warns of, for any autograd.Function.
def test_compiled_models_equal_eager_ones(fused):
    torch._dynamo.reset()
    model = _warm(_sequential())
    model.train()
    run = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(_x()), _by_hand(model))
