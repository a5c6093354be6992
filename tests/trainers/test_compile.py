import functools
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X.sum(-1, keepdims=True)


def make_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def weights_of(model):
    return [weight.copy() for weight in model.get_weights()]


def state_of(model):
    names = ("optimizer", "loss", "_compile_loss", "_compile_metrics", "_loss_tracker")
    return {name: getattr(model, name) for name in (*names, "_compile_config", "compiled")}


@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        "Adam",
        keras.optimizers.SGD(0.1),
        {"class_name": "SGD", "config": {"learning_rate": 0.1}},
        torch.optim.SGD,
        functools.partial(torch.optim.AdamW, lr=0.01),
        lambda params: torch.optim.SGD(params, lr=0.1),
    ],
)
def test_optimizers_that_compile_takes(optimizer):
    model = make_model()
    before = weights_of(model)[0]
    model.compile(optimizer, "mse")
    model.fit(X, Y, verbose=0)
    assert int(model.optimizer.iterations) == 1
    assert not np.array_equal(before, model.get_weights()[0])


def test_torch_optimizer_of_the_models_parameters():
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    model.compile(optimizer, "mse")
    weights = weights_of(model)
    model.fit(X, Y, batch_size=8, verbose=0)
    error = X @ weights[0] + weights[1] - Y
    expected = weights[0] - 0.5 * 2 * X.T @ error / 8
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)
    assert model.optimizer.optimizer is optimizer


def test_torch_optimizer_of_other_parameters():
    model = make_model()
    model.compile(torch.optim.SGD(make_model().parameters(), lr=0.5), "mse")
    before = weights_of(model)
    with pytest.raises(ValueError, match="exactly the trainable parameters"):
        model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert not model.training


@pytest.mark.parametrize("loss", [torch.nn.MSELoss(), torch.nn.functional.mse_loss])
def test_torch_losses(loss):
    model = make_model()
    model.compile("sgd", loss)
    expected = ((model.predict(X, verbose=0) - Y) ** 2).mean()
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert len(list(model.children())) == 1  # the loss is no part of the network
    assert len(model.state_dict()) == 2


def test_compile_again_after_training():
    model = make_model()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, Y, verbose=0)
    weights = weights_of(model)
    model.compile("sgd", "mae")
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])
    assert int(model.optimizer.iterations) == 0
    assert list(model.fit(X, Y, verbose=0).history) == ["loss"]


def test_compile_before_the_model_is_built():
    model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    assert model.metrics_names == ["loss", "compile_metrics"] and model.weights == []
    model.fit(X, Y, verbose=0)
    assert len(model.optimizer.variables) == 2 + 2 * 4


def test_metric_objects_may_be_used_again():
    metric = keras.metrics.MeanAbsoluteError(name="m")
    first, second = make_model(), make_model()
    first.compile("sgd", "mse", metrics=[metric])
    second.compile("sgd", "mse", metrics=[metric])
    for model in (first, second, first):
        expected = np.abs(model.predict(X, verbose=0) - Y).mean()
        assert model.evaluate(X, Y, verbose=0)[1] == pytest.approx(expected, rel=1e-5)
    first.compile("sgd", "mae", metrics=[metric])
    logs = first.evaluate(X, Y, verbose=0, return_dict=True)
    assert logs["m"] == pytest.approx(logs["loss"])


def test_one_optimizer_for_two_models():
    optimizer = keras.optimizers.SGD()
    first, second = make_model(), make_model()
    first.compile(optimizer, "mse")
    second.compile(optimizer, "mse")
    first.fit(X, Y, verbose=0)
    before = weights_of(second)
    with pytest.raises(ValueError, match="(?s)Unknown variable.*Make a new optimizer"):
        second.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(second.get_weights()[0], before[0])
    assert int(optimizer.iterations) == 1
    first.fit(X, Y, verbose=0)
    assert int(optimizer.iterations) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"optimizer": "no such optimizer"}, ValueError, "no such optimizer"),
        ({"optimizer": 5}, ValueError, "5"),
        ({"loss": "no such loss"}, ValueError, "no such loss"),
        ({"loss": ["mse", "nope"]}, ValueError, "nope"),
        ({"metrics": ["no such metric"]}, ValueError, "no such metric"),
        ({"metrics": "mae"}, ValueError, "Put it into a list"),
        ({"weighted_metrics": ["nope"]}, ValueError, "nope"),
        ({"loss_weights": "one"}, ValueError, "loss_weights"),
        ({"steps_per_execution": 0}, ValueError, "at least 1"),
        ({"steps_per_execution": 1.5}, TypeError, "steps_per_execution=1.5"),
        ({"jit_compile": "yes"}, ValueError, "'auto'"),
        ({"jit_compile": True, "run_eagerly": True}, ValueError, "Choose one"),
        ({"loss": "mse", "no_such_argument": 1}, TypeError, "no_such_argument"),
    ],
)
def test_a_refused_compile_leaves_the_former_one(arguments, error, words):
    model = make_model()
    with pytest.raises(error, match=words):
        model.compile(**{"loss": "mse", **arguments})
    assert not model.compiled and model.optimizer is None
    model.compile("adam", "mse", metrics=["mae"])
    before = state_of(model)
    with pytest.raises(error, match=words):
        model.compile(**{"loss": "mae", **arguments})
    assert state_of(model) == before
    assert sorted(model.fit(X, Y, verbose=0).history) == ["loss", "mae"]


def test_optimizer_none():
    model = make_model()
    model.compile(optimizer=None, loss="mse")
    assert model.evaluate(X, Y, verbose=0) > 0
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="needs an optimizer.*optimizer=None"):
            train(X, Y)
    assert not model.training


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_run_eagerly_changes_no_result(run_eagerly):
    keras.utils.set_random_seed(3)
    model = make_model()
    model.compile("sgd", "mse", run_eagerly=run_eagerly)
    loss = model.fit(X, Y, epochs=2, shuffle=False, verbose=0).history["loss"]
    keras.utils.set_random_seed(3)
    other = make_model()
    other.compile("sgd", "mse")
    assert loss == other.fit(X, Y, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert model.run_eagerly is run_eagerly


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its own modules
@pytest.mark.parametrize("kind", ["sequential", "functional", "subclass"])
def test_jit_compile_equals_eager(kind):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = keras.layers.Dense(4, activation="relu")
            self.out = keras.layers.Dense(1)

        def call(self, x):
            return self.out(self.hidden(x))

    def build():
        keras.utils.set_random_seed(0)
        if kind == "subclass":
            return Own()
        layers = [keras.Input((3,)), keras.layers.Dense(4, activation="relu")]
        layers.append(keras.layers.Dense(1))
        model = keras.Sequential(layers)
        return model if kind == "sequential" else keras.Model(model.inputs, model.outputs)

    results = []
    for jit_compile in (False, True):
        model = build()
        model.compile("adam", "mse", metrics=["mae"], jit_compile=jit_compile)
        history = model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        results.append(
            [
                history.history["loss"],
                history.history["mae"],
                model.evaluate(X, Y, verbose=0),
                model.predict(X, verbose=0),
                *model.get_weights(),
            ]
        )
        assert bool(model._graph_steps) is jit_compile
        assert not any(step.failure for step in model._graph_steps.values())
    for compiled, eager in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-6)
    model.compile("adam", "mse")
    assert not model._graph_steps


def test_compile_config_round_trip():
    model = make_model()
    assert model.get_compile_config() is None
    model.compile(
        keras.optimizers.Adam(0.25), "mse", loss_weights=2.0, metrics=["mae"], steps_per_execution=2
    )
    config = model.get_compile_config()
    other = make_model()
    other.compile_from_config(config)
    assert other.get_compile_config() == config
    assert float(other.optimizer.learning_rate) == 0.25 and other.optimizer.built
    other.set_weights(model.get_weights())
    assert other.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_compile_config_of_what_no_config_describes():
    model = make_model()
    model.compile(torch.optim.SGD, "mse")
    with pytest.warns(UserWarning, match="Call `compile` again after loading"):
        assert model.get_compile_config() is None


def test_compile_config_for_a_class_with_its_own_compile():
    class Own(keras.Sequential):
        def compile(self, rate):
            super().compile(keras.optimizers.SGD(rate), "mse")

    model = Own([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(0.5)
    config = model.get_compile_config()
    other = Own([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.warns(UserWarning, match="has a `compile` of its own"):
        other.compile_from_config(config)
    assert not other.compiled


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_pickled_model_compiles_its_steps_again():
    model = make_model()
    model.compile("sgd", "mse", jit_compile=True)
    loss = model.evaluate(X, Y, batch_size=3, verbose=0)
    other = pickle.loads(pickle.dumps(model))
    assert not other._graph_steps
    assert other.evaluate(X, Y, batch_size=3, verbose=0) == pytest.approx(loss, rel=1e-5)
    assert other._graph_steps["test_step"].failure is None
