"""jit_compile=True: steps of the user's own as one graph each, in each of their forms."""

import copy

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.trainers import graph

pytestmark = pytest.mark.skipif(
    not graph.can_trace_gradients(), reason="this torch traces no gradients"
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 5)).astype("float32")
Y = X @ RNG.normal(size=(5, 2)).astype("float32")


@pytest.fixture(autouse=True)
def traced(request, monkeypatch):
    """Options of each graph; without Inductor, except in tests that take long."""
    compiled, make = [], graph.compile_module

    def compile_module(module, inputs, options):
        compiled.append(options)
        if any(map(request.node.get_closest_marker, ("slow", "exhaustive"))):
            return make(module, inputs, options)
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    monkeypatch.setattr(graph, "compile_module", compile_module)
    return compiled


class OfTorch(keras.Model):
    """The form of Keras's guide for torch, with all three steps."""

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        loss.backward()
        weights = list(self.trainable_weights)
        gradients = [v.value.grad for v in weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}

    def predict_step(self, data):
        return {"doubled": 2 * super().predict_step(data)}


class ByTape(keras.Model):
    def train_step(self, data):
        x, y = data
        with keras.autograd.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"raw": loss}


class ByState(keras.Model):
    """JAX's form, in all three steps."""

    def loss_and_updates(self, trainable, non_trainable, x, y, training=True):
        y_pred, non_trainable = self.stateless_call(trainable, non_trainable, x, training=training)
        return self.compute_loss(x, y, y_pred), (y_pred, non_trainable)

    def train_step(self, state, data):
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        differentiated = keras.autograd.value_and_grad(self.loss_and_updates, has_aux=True)
        (loss, (y_pred, non_trainable)), gradients = differentiated(trainable, non_trainable, *data)
        trainable, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, gradients, trainable
        )
        logs, metrics_variables = self.measured(metrics_variables, loss, data[1], y_pred)
        return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)

    def test_step(self, state, data):
        trainable, non_trainable, metrics_variables = state
        loss, (y_pred, non_trainable) = self.loss_and_updates(
            trainable, non_trainable, *data, training=False
        )
        logs, metrics_variables = self.measured(metrics_variables, loss, data[1], y_pred)
        return logs, (trainable, non_trainable, metrics_variables)

    def predict_step(self, state, data):
        x = data[0] if isinstance(data, tuple) else data
        return self.stateless_call(*state, x)

    def measured(self, state, loss, y, y_pred):
        logs, after = {}, []
        for metric in self.metrics:
            own = state[len(after) : len(after) + len(metric.variables)]
            seen = (loss,) if metric.name == "loss" else (y, y_pred)
            own = metric.stateless_update_state(own, *seen)
            logs[metric.name] = metric.stateless_result(own)
            after += own
        return logs, after


class AroundOurs(keras.Model):
    """Around the Trainer's own steps."""

    def train_step(self, data):
        x, y = data
        logs = super().train_step((x + 0.1, y))
        return {**logs, "updates": self.optimizer.iterations + 0}

    def test_step(self, data):
        return {"twice": 2 * super().test_step(data)["loss"]}


class Pair(keras.Model):
    """Two passes, with an optimizer each: the second sees the weights that the first has set."""

    def compile(self, second, **arguments):
        super().compile(**arguments)
        self.second = second

    def train_step(self, data):
        x, y = data
        hidden, out = self.get_layer("hidden"), self.get_layer("out")
        first = ((hidden(x)[:, :2] - y) ** 2).mean()
        first.backward()
        weights = hidden.trainable_variables
        self.optimizer.apply([v.value.grad for v in weights], weights)
        self.zero_grad()
        second = ((self(x, training=True) - y) ** 2).mean()
        second.backward()
        weights = out.trainable_variables
        self.second.apply([v.value.grad for v in weights], weights)
        return {"first": first.detach(), "second": second.detach()}


class SlowCopy(keras.Model):
    """What comes after the update reads the weights that it has set."""

    def compile(self, **arguments):
        super().compile(**arguments)
        self.slow = self.add_weight(shape=(6, 2), initializer="zeros", trainable=False)

    def train_step(self, data):
        logs = super().train_step(data)
        kernel = self.get_layer("out").kernel
        self.slow.assign(0.9 * self.slow.value + 0.1 * kernel.value.detach())
        return {**logs, "distance": keras.ops.sum((self.slow - kernel) ** 2)}


class Reading(keras.Model):
    """Reads a number from the device."""

    def train_step(self, data):
        logs = super().train_step(data)
        return {"loss": float(logs["loss"])}


FORMS = {
    "reading": (Reading, {}),
    "torch": (OfTorch, {"metrics": ["mae"]}),
    "tape": (ByTape, {"metrics": ["mae"]}),
    "state": (ByState, {"metrics": ["mae", keras.metrics.RootMeanSquaredError()]}),
    "around": (AroundOurs, {"metrics": ["mae"]}),
    "pair": (Pair, {"second": keras.optimizers.SGD(0.1, momentum=0.9)}),
    "slow_copy": (SlowCopy, {}),
    "clipped": (OfTorch, {"optimizer": keras.optimizers.AdamW(0.01, global_clipnorm=0.1)}),
    "averaged": (
        AroundOurs,
        {"optimizer": keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3)},
    ),
    "accumulated": (
        ByTape,
        {"optimizer": keras.optimizers.RMSprop(0.01, gradient_accumulation_steps=2)},
    ),
    "scheduled": (
        OfTorch,
        {"optimizer": keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 9))},
    ),
    "of_torch_optim": (OfTorch, {"optimizer": torch.optim.Adam}),
}


def model_of(cls):
    inputs = keras.Input((5,))
    x = layers.Dense(6, activation="tanh", kernel_regularizer="l2", name="hidden")(inputs)
    x = layers.BatchNormalization()(layers.Dropout(0.2)(x))
    return cls(inputs, layers.Dense(2, name="out")(x))


def train(cls, arguments, jit_compile, epochs=3):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = model_of(cls)
    arguments = {"optimizer": keras.optimizers.Adam(0.01), "loss": "mse", **arguments}
    for name in ("optimizer", "second"):
        optimizer = arguments.get(name)
        if isinstance(optimizer, keras.optimizers.Optimizer):
            arguments[name] = optimizer.from_config(optimizer.get_config())
    model.compile(**arguments, jit_compile=jit_compile)
    history = model.fit(X, Y, batch_size=5, epochs=epochs, verbose=0, validation_data=(X, Y))
    results = [history.history, model.get_weights(), model.optimizer._iterations.numpy()]
    results.append(model.evaluate(X, Y, batch_size=5, verbose=0, return_dict=True))
    results.append(model.predict(X, batch_size=5, verbose=0))
    return model, results


def assert_alike(found, expected, tolerance=1e-5):
    flat = keras.tree.flatten(found), keras.tree.flatten(expected)
    for ours, theirs in zip(*flat, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def check(name, epochs):
    _, expected = train(*FORMS[name], jit_compile=False, epochs=epochs)
    model, found = train(*FORMS[name], jit_compile=True, epochs=epochs)
    assert {name: step.failure for name, step in model._graph_steps.items()} == {
        "train_step": None,
        "test_step": None,
        "predict_step": None,
    }
    assert_alike(found, expected)


@pytest.mark.parametrize("name", ["torch", "state", "slow_copy", "reading"])
def test_a_graph_gives_what_the_step_gives(name, traced):
    check(name, 3)
    assert len(traced) == 5  # whole batches, and the rest where it came again


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its own modules
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "torch" else pytest.mark.exhaustive)
        for name in FORMS
    ],
)
def test_a_compiled_graph_gives_what_the_step_gives(name):
    check(name, 20)


class Counting(keras.Model):
    def train_step(self, data):
        self.steps = getattr(self, "steps", 0) + 1
        return {**super().train_step(data), "steps": self.steps}


class PastOurs(keras.Model):
    """With a torch optimizer of its own, past ours."""

    def compile(self, **arguments):
        super().compile(**arguments)
        self.own = torch.optim.SGD(self.parameters(), 0.1, momentum=0.5)

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        loss.backward()
        self.own.step()
        return {"loss": loss.detach()}


class Branching(keras.Model):
    def train_step(self, data):
        x, y = data
        if x.sum() > 0:
            x = -x
        return super().train_step((x, y))


@pytest.mark.parametrize(
    ("cls", "cause"),
    [
        (Counting, "something in Python changes with the steps"),
        (PastOurs, r"torch leaves the graph in train_step: `self.own.step\(\)`"),
        (Branching, r"in train_step: `if x.sum\(\) > 0:` \(test_own_graphs.py, line"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_has_no_graph_runs_eagerly_and_says_why(cls, cause, monkeypatch):
    calls = []
    monkeypatch.setattr(graph, "compile_call", calls.append)
    monkeypatch.setattr("torchkeras.trainers.own_graph.compile_call", calls.append)
    _, expected = train(cls, {}, jit_compile=False)
    with pytest.warns(UserWarning, match=cause):
        model, found = train(cls, {}, jit_compile=True)
    assert_alike(found, expected)
    assert calls == [model]  # the model's call is compiled


def test_gradients_of_a_step_of_ones_own_can_be_seen():
    seen = {}

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kernel = self.model.get_layer("out").kernel.value
            seen.setdefault(self.model.jit_compile, []).append(kernel.grad.clone())

    for jit_compile in (False, True):
        keras.utils.set_random_seed(3)
        model = model_of(OfTorch)
        model.compile("sgd", "mse", jit_compile=jit_compile)
        model.fit(X[:20], Y[:20], batch_size=5, verbose=0, callbacks=[Watch()])
    assert_alike(seen[True], seen[False])


def test_rates_and_weights_that_a_callback_sets_count():
    class Meddle(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.1 / (batch + 1)
            if batch == 2:
                self.model.get_layer("out").kernel.assign(np.ones((6, 2)))

        def on_epoch_begin(self, epoch, logs=None):
            self.model.get_layer("hidden").trainable = epoch != 1

    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(3)
        model = model_of(OfTorch)
        model.compile("adam", "mse", jit_compile=jit_compile)
        model.fit(X, Y, batch_size=5, epochs=3, verbose=0, callbacks=[Meddle()])
        results.append(model.get_weights())
    assert not model._graph_steps["train_step"].failure
    assert_alike(results[1], results[0])


def test_a_copy_of_an_optimizer_is_not_taken_for_it():
    model, _ = train(OfTorch, {}, jit_compile=True)
    assert model.optimizer._graph_update is not None
    copied = keras.models.clone_model(model)
    copied.compile(model.optimizer.from_config(model.optimizer.get_config()), "mse")
    assert copied.optimizer._graph_update is None
    assert copy.deepcopy(model).optimizer._graph_update is None
