import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.trainers import trainer
from torchkeras.trainers.batch_loop import run_batches

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("float32")


def linear():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


class Structured(keras.Model):
    def __init__(self, build):
        super().__init__()
        self.dense = keras.layers.Dense(2)
        self.structure = build

    def call(self, x):
        return self.structure(self.dense(x))


def product(model):
    kernel, bias = model.get_weights()
    return X @ kernel + bias


@pytest.mark.parametrize("batch_size", [None, 1, 7, 20, 50])
def test_outputs_in_order(batch_size):
    model = linear()
    predicted = model.predict(X, batch_size=batch_size, verbose=0)
    assert isinstance(predicted, np.ndarray) and predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, product(model), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["predict", "predict_on_batch"])
def test_structures(method):
    arguments = {"batch_size": 7, "verbose": 0} if method == "predict" else {}
    structures = [
        lambda y: [y, 2 * y],
        lambda y: (y, 2 * y),
        lambda y: {"b": y, "a": 2 * y},
        lambda y: {"n": [y, (2 * y,)]},
    ]
    for build in structures:
        model = Structured(build)
        result = getattr(model, method)(X, **arguments)
        expected = build(product(model))
        assert type(result) is type(expected)
        if isinstance(expected, dict):
            assert list(result) == list(expected)
        flat = keras.tree.flatten(result), keras.tree.flatten(expected)
        for ours, theirs in zip(*flat, strict=True):
            assert isinstance(ours, np.ndarray)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "source",
    [
        lambda: X,
        lambda: X.tolist(),
        lambda: torch.tensor(X),
        lambda: torch.tensor(X, dtype=torch.float64, requires_grad=True),
        lambda: (X[i : i + 7] for i in range(0, 20, 7)),
        lambda: ((X[i : i + 7], np.zeros(len(X[i : i + 7]))) for i in range(0, 20, 7)),
        lambda: torch.utils.data.DataLoader(torch.tensor(X), batch_size=7),
    ],
)
@pytest.mark.parametrize("built", [True, False])
def test_sources_of_data(source, built):
    model = linear() if built else keras.Sequential([keras.layers.Dense(2)])
    predicted = model.predict(source(), verbose=0)
    np.testing.assert_allclose(predicted, product(model), rtol=1e-5, atol=1e-6)


def test_inputs_by_name():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Subtract()([a, b]))
    predicted = model.predict({"b": X, "a": 3 * X}, batch_size=6, verbose=0)
    np.testing.assert_allclose(predicted, 2 * X, rtol=1e-5)


def test_steps():
    model = linear()
    predicted = model.predict(X, batch_size=6, steps=2, verbose=0)
    np.testing.assert_allclose(predicted, product(model)[:12], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [20, 7])
def test_outputs_share_no_memory_with_the_data(batch_size):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    x = X.copy()
    for predicted in (
        model.predict(x, batch_size=batch_size, verbose=0),
        model.predict_on_batch(x),
    ):
        predicted[:] = 0
        np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_dtypes(dtype):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
    predicted = model.predict(X, verbose=0)
    assert predicted.dtype == ("float32" if dtype == "bfloat16" else dtype)
    np.testing.assert_allclose(predicted, product(model), rtol=0.05, atol=0.05)


def test_no_gradient_and_no_compile_needed():
    seen = []
    model = linear()
    model.layers[0].register_forward_hook(lambda *args: seen.append(args[-1].requires_grad))
    model.predict(X, verbose=0)
    model.predict_on_batch(X)
    assert seen == [False, False] and not model.compiled


def test_hooks():
    calls = []
    callback = keras.callbacks.LambdaCallback(
        on_predict_begin=lambda logs: calls.append("begin"),
        on_predict_batch_begin=lambda batch, logs: calls.append(batch),
        on_predict_batch_end=lambda batch, logs: calls.append(logs["outputs"].shape[0]),
        on_predict_end=lambda logs: calls.append("end"),
    )
    linear().predict(X, batch_size=8, verbose=0, callbacks=[callback])
    assert calls == ["begin", 0, 8, 1, 8, 2, 4, "end"]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[:, :2], r"Received: x of shape \(20, 2\)"),
        (X[:0], "at least one sample"),
        (None, "x=None"),
        (iter([]), "at least one batch"),
        (np.array(["a"]), r"Received: shape \(1,\)"),
    ],
)
def test_what_predict_refuses(x, words):
    model = linear()
    for method in (model.predict, model.predict_on_batch):
        with pytest.raises(ValueError, match=words):
            method(x)
    assert not model.training and model._running is None


def test_a_model_that_cannot_be_built_without_data():
    model = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="Received"):
        model.predict(iter([]), verbose=0)
    assert not model.built


class OwnStep(keras.Sequential):
    def predict_step(self, data):
        return super().predict_step(data) + 1


def _batches_seen(model, x, monkeypatch, **arguments):
    """How many batches `predict` has run through its loop."""
    seen = []

    def counted(model, kind, step, iterator, callbacks):
        return run_batches(
            model, kind, lambda data: seen.append(data) or step(data), iterator, callbacks
        )

    monkeypatch.setattr(trainer, "run_batches", counted)
    model.predict(x, **{"verbose": 0, **arguments})
    return len(seen)


X1 = np.ones((4, 3), "float32")


@pytest.mark.parametrize(
    ("case", "batches"),
    {
        "one_batch": 0,
        "float64": 0,
        "integers": 0,
        "read_only": 0,
        "reversed": 0,
        "tensor": 0,
        "two_batches": 2,
        "in_a_list": 1,
        "verbose": 1,
        "steps": 1,
        "callback": 1,
        "own_step": 1,
        "jit_compile": 0,
        "part_in_training": 1,
    }.items(),
)
def test_one_batch_needs_no_loop(case, batches, monkeypatch, capsys):
    model = (OwnStep if case == "own_step" else keras.Sequential)(
        [keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    )
    x, arguments = X1, {}
    if case == "jit_compile":
        model.compile("sgd", "mse", jit_compile=True)
    elif case == "float64":
        x = X1.astype("float64")
    elif case == "integers":
        x = X1.astype("int32")
    elif case == "read_only":
        x = np.broadcast_to(X1[:1], X1.shape)
    elif case == "reversed":
        x = X1[::-1]
    elif case == "tensor":
        x = torch.from_numpy(X1)
    elif case == "two_batches":
        arguments = {"batch_size": 2}
    elif case == "in_a_list":
        x = [X1]
    elif case == "verbose":
        arguments = {"verbose": 2}
    elif case == "steps":
        arguments = {"steps": 1}
    elif case == "callback":
        arguments = {"callbacks": [keras.callbacks.Callback()]}
    expected = model(X1).detach().numpy() + (case == "own_step")
    if case == "part_in_training":
        model.layers[0].train()
    assert _batches_seen(model, x, monkeypatch, **arguments) == batches
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)
    assert model.layers[0].training is (case == "part_in_training")


def test_one_batch_through_structures_and_mixed_precision():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(2, dtype="mixed_bfloat16")(inputs)
    model = keras.Model(inputs, {"a": hidden, "b": inputs})
    x = X1.copy()
    found = [model.predict(x, verbose=0) for _ in range(2)]
    assert found[1]["a"].dtype == np.float32 and found[1]["b"].tolist() == X1.tolist()
    found[1]["b"][:] = 7  # an array of its own
    assert x.tolist() == X1.tolist()
    np.testing.assert_array_equal(found[0]["a"], found[1]["a"])
    with pytest.raises(ValueError, match=r"expects an input of shape \(None, 3\)"):
        model.predict(np.ones((2, 4)), verbose=0)
