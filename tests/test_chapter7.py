"""The workflows of chapter 7 of Deep Learning with Python (3rd edition), in our own words.

Each test follows one part of the chapter and checks what the chapter states about it. The code
is Keras code: only the import names torchkeras.
"""

import html
import importlib.util
import re

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import torchkeras as keras
from torchkeras import layers, ops
from torchkeras.utils import graphviz

VOCABULARY, TAGS, DEPARTMENTS, SAMPLES = 10_000, 100, 4, 1280


# Sequential models


def test_sequential_has_no_weights_before_it_is_built():
    model = keras.Sequential(
        [layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
    )
    assert model.weights == []
    assert not model.built

    model.build(input_shape=(None, 3))

    assert [tuple(w.shape) for w in model.weights] == [(3, 64), (64,), (64, 10), (10,)]
    assert [w.path for w in model.weights] == [
        "sequential/dense/kernel",
        "sequential/dense/bias",
        "sequential/dense_1/kernel",
        "sequential/dense_1/bias",
    ]


def test_layers_and_models_print_their_name_and_whether_they_are_built():
    layer = layers.Dense(64, activation="relu")
    model = keras.Sequential([layer], name="my_example_model")
    assert repr(layer) == "<Dense name=dense, built=False>"
    assert repr(model) == "<Sequential name=my_example_model, built=False>"
    model.build((None, 3))
    assert repr(model.layers) == "[<Dense name=dense, built=True>]"
    assert repr(model) == "<Sequential name=my_example_model, built=True>"


def test_sequential_built_step_by_step_counts_906_parameters():
    model = keras.Sequential(name="my_example_model")
    model.add(layers.Dense(64, activation="relu", name="my_first_layer"))
    model.add(layers.Dense(10, activation="softmax", name="my_last_layer"))
    model.build((None, 3))
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert model.count_params() == 906
    for expected in ("my_example_model", "my_first_layer", "my_last_layer", "906"):
        assert expected in text


def test_sequential_with_input_shows_its_shapes_as_it_grows():
    model = keras.Sequential()
    model.add(keras.Input(shape=(3,)))
    model.add(layers.Dense(64, activation="relu"))
    assert model.output_shape == (None, 64)
    assert model.count_params() == 256
    model.add(layers.Dense(10, activation="softmax"))
    assert model.output_shape == (None, 10)
    assert model.count_params() == 906


# Functional models


def test_functional_symbols_have_shape_and_dtype_but_no_values():
    inputs = keras.Input(shape=(3,), name="my_input")
    features = layers.Dense(64, activation="relu")(inputs)
    outputs = layers.Dense(10, activation="softmax")(features)
    model = keras.Model(inputs=inputs, outputs=outputs, name="my_functional_model")
    assert (inputs.shape, inputs.dtype) == ((None, 3), "float32")
    assert features.shape == (None, 64)
    assert [layer.name for layer in model.layers] == ["my_input", "dense", "dense_1"]
    assert model.count_params() == 906
    start = "<KerasTensor shape=(None, 3), dtype=float32, sparse=False, "
    assert repr(inputs) == start + "ragged=False, name=my_input>"
    assert repr(features).startswith("<KerasTensor shape=(None, 64), dtype=float32, ")
    with pytest.raises(TypeError):
        float(inputs[0, 0])


def ticket_model():
    title = keras.Input(shape=(VOCABULARY,), name="title")
    text_body = keras.Input(shape=(VOCABULARY,), name="text_body")
    tags = keras.Input(shape=(TAGS,), name="tags")
    features = layers.Concatenate()([title, text_body, tags])
    features = layers.Dense(64, activation="relu", name="dense_features")(features)
    priority = layers.Dense(1, activation="sigmoid", name="priority")(features)
    department = layers.Dense(DEPARTMENTS, activation="softmax", name="department")(features)
    return keras.Model(inputs=[title, text_body, tags], outputs=[priority, department])


@pytest.fixture(scope="module")
def tickets():
    rng = np.random.default_rng(0)
    inputs = {
        "title": rng.integers(0, 2, size=(SAMPLES, VOCABULARY)),
        "text_body": rng.integers(0, 2, size=(SAMPLES, VOCABULARY)),
        "tags": rng.integers(0, 2, size=(SAMPLES, TAGS)),
    }
    targets = {
        "priority": rng.random(size=(SAMPLES, 1)),
        "department": rng.integers(0, 2, size=(SAMPLES, DEPARTMENTS)),
    }
    return inputs, targets


def test_training_with_lists_of_inputs_and_targets(tickets):
    inputs, targets = (list(part.values()) for part in tickets)
    model = ticket_model()
    model.compile(
        optimizer="adam",
        loss=["mean_squared_error", "categorical_crossentropy"],
        metrics=[["mean_absolute_error"], ["accuracy"]],
    )
    history = model.fit(inputs, targets, epochs=1, verbose=0)
    assert set(history.history) == {
        "loss",
        "priority_loss",
        "department_loss",
        "priority_mean_absolute_error",
        "department_accuracy",
    }
    assert len(model.evaluate(inputs, targets, verbose=0)) == 5
    priority, department = model.predict(inputs, verbose=0)
    assert priority.shape == (SAMPLES, 1)
    assert department.shape == (SAMPLES, DEPARTMENTS)
    np.testing.assert_allclose(department.sum(axis=1), 1, atol=1e-5)


def test_training_with_dicts_of_inputs_and_targets_equals_lists(tickets):
    inputs, targets = tickets
    results = {}
    for kind in ("list", "dict"):
        keras.utils.set_random_seed(1)
        model = ticket_model()
        named = kind == "dict"
        losses = {"priority": "mean_squared_error", "department": "categorical_crossentropy"}
        metrics = {"priority": ["mean_absolute_error"], "department": ["accuracy"]}
        model.compile(
            optimizer="adam",
            loss=losses if named else list(losses.values()),
            metrics=metrics if named else list(metrics.values()),
        )
        x, y = (inputs, targets) if named else (list(inputs.values()), list(targets.values()))
        results[kind] = model.fit(x, y, epochs=1, verbose=0).history
    assert results["dict"] == results["list"]


def test_feature_extraction_reuses_layers():
    model = ticket_model()
    names = [layer.name for layer in model.layers]
    assert names == [
        "title",
        "text_body",
        "tags",
        "concatenate",
        "dense_features",
        "priority",
        "department",
    ]
    assert [x.name for x in model.layers[3].input] == ["title", "text_body", "tags"]
    assert model.layers[3].output.shape == (None, 2 * VOCABULARY + TAGS)
    features = model.layers[4].output
    difficulty = layers.Dense(3, activation="softmax", name="difficulty")(features)
    extended = keras.Model(model.inputs, [*model.outputs, difficulty])
    assert extended.layers[4] is model.layers[4]
    assert [layer.name for layer in extended.layers[-3:]] == [
        "priority",
        "department",
        "difficulty",
    ]


TICKET_LAYERS = {
    "title": "InputLayer",
    "text_body": "InputLayer",
    "tags": "InputLayer",
    "concatenate": "Concatenate",
    "dense_features": "Dense",
    "priority": "Dense",
    "department": "Dense",
}


def texts_of(dot):
    """What stands in each box, as one line."""
    return [html.unescape(re.sub(r"<[^>]*>", " ", label)) for label in dot.nodes.values()]


def test_plot_has_a_box_for_each_layer_and_an_arrow_for_each_tensor():
    dot = keras.utils.model_to_dot(ticket_model(), show_layer_names=True)
    assert [text.split() for text in texts_of(dot)] == [
        [name, f"({kind})"] for name, kind in TICKET_LAYERS.items()
    ]
    order, boxes = list(TICKET_LAYERS), list(dot.nodes)
    arrows = {(order[boxes.index(a)], order[boxes.index(b)]) for a, b in dot.edges}
    assert arrows == {
        ("title", "concatenate"),
        ("text_body", "concatenate"),
        ("tags", "concatenate"),
        ("concatenate", "dense_features"),
        ("dense_features", "priority"),
        ("dense_features", "department"),
    }


def test_plot_shows_shapes():
    texts = texts_of(keras.utils.model_to_dot(ticket_model(), show_shapes=True))
    by_name = {text.split()[0]: " ".join(text.split()) for text in texts}
    assert f"Output shape: (None, {TAGS})" in by_name["tags"]
    assert f"Output shape: (None, {2 * VOCABULARY + TAGS})" in by_name["concatenate"]
    assert "Input shape: (None, 64) Output shape: (None, 4)" in by_name["department"]
    joined = "[(None, 10000), (None, 10000), (None, 100)]"
    assert f"Input shape: {joined}" in by_name["concatenate"]


@pytest.mark.skipif(
    importlib.util.find_spec("pygraphviz") is None and graphviz.shutil.which("dot") is None,
    reason="needs pygraphviz (the extra [plot]) or a dot program",
)
def test_plot_is_drawn_with_all_names(tmp_path):
    model = ticket_model()
    for file in ("tickets.png", "tickets.svg"):
        keras.utils.plot_model(model, tmp_path / file, show_shapes=True, show_layer_names=True)
    assert (tmp_path / "tickets.png").read_bytes().startswith(b"\x89PNG\r\n")
    drawn = (tmp_path / "tickets.svg").read_text(encoding="utf-8")
    assert [name for name in TICKET_LAYERS if f">{name}<" not in drawn] == []


# Subclassed models and mixes


class CustomerTicketModel(keras.Model):
    def __init__(self, num_departments):
        super().__init__()
        self.concat_layer = layers.Concatenate()
        self.mixing_layer = layers.Dense(64, activation="relu")
        self.priority_scorer = layers.Dense(1, activation="sigmoid")
        self.department_classifier = layers.Dense(num_departments, activation="softmax")

    def call(self, inputs):
        features = self.concat_layer([inputs["title"], inputs["text_body"], inputs["tags"]])
        features = self.mixing_layer(features)
        return self.priority_scorer(features), self.department_classifier(features)


def test_subclassed_model_trains_on_dicts_and_gives_a_tuple(tickets):
    inputs, targets = tickets
    model = CustomerTicketModel(num_departments=DEPARTMENTS)
    assert model.weights == []
    priority, department = model(inputs)
    assert priority.shape == (SAMPLES, 1)
    assert department.shape == (SAMPLES, DEPARTMENTS)
    model.compile(
        optimizer="adam",
        loss=["mean_squared_error", "categorical_crossentropy"],
        metrics=[["mean_absolute_error"], ["accuracy"]],
    )
    y = [targets["priority"], targets["department"]]
    model.fit(inputs, y, epochs=1, verbose=0)
    model.evaluate(inputs, y, verbose=0)
    priority, department = model.predict(inputs, verbose=0)
    assert department.shape == (SAMPLES, DEPARTMENTS)


def test_subclassed_model_has_a_summary_but_no_inner_tensors():
    class Digits(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten = layers.Flatten()
            self.dense = layers.Dense(10)

        def call(self, images):
            return self.dense(self.flatten(images))

    model = Digits()
    model(np.zeros((2, 28, 28), "float32"))
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    # The shapes are those of the call above.
    for expected in ("flatten (Flatten)", "(2, 784)", "dense (Dense)", "(2, 10)", "7,850"):
        assert expected in text
    with pytest.raises(AttributeError):
        _ = model.flatten.output


class Classifier(keras.Model):
    def __init__(self, num_classes=2):
        super().__init__()
        if num_classes == 2:
            units, activation = 1, "sigmoid"
        else:
            units, activation = num_classes, "softmax"
        self.dense = layers.Dense(units, activation=activation)

    def call(self, inputs):
        return self.dense(inputs)


def test_functional_model_with_a_subclassed_model_inside():
    inputs = keras.Input(shape=(3,))
    features = layers.Dense(64, activation="relu")(inputs)
    outputs = Classifier(num_classes=10)(features)
    model = keras.Model(inputs=inputs, outputs=outputs)
    assert model.output_shape == (None, 10)
    assert model.count_params() == 906


def test_subclassed_model_with_a_functional_model_inside():
    inputs = keras.Input(shape=(64,))
    outputs = layers.Dense(1, activation="sigmoid")(inputs)
    binary_classifier = keras.Model(inputs=inputs, outputs=outputs)

    class MyModel(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(64, activation="relu")
            self.classifier = binary_classifier

        def call(self, inputs):
            return self.classifier(self.dense(inputs))

    model = MyModel()
    assert model(np.ones((2, 3), "float32")).shape == (2, 1)
    assert model.classifier is binary_classifier
    assert list(model.state_dict()) == [
        "dense.kernel",
        "dense.bias",
        "classifier.dense.kernel",
        "classifier.dense.bias",
    ]


# compile, fit, evaluate, predict on MNIST


def get_mnist_model():
    inputs = keras.Input(shape=(28 * 28,))
    features = layers.Dense(512, activation="relu")(inputs)
    features = layers.Dropout(0.5)(features)
    outputs = layers.Dense(10, activation="softmax")(features)
    return keras.Model(inputs, outputs)


@pytest.fixture
def digits(mnist):
    (images, labels), (test_images, test_labels) = mnist
    images = images.reshape((60000, 28 * 28)).astype("float32") / 255
    test_images = test_images.reshape((10000, 28 * 28)).astype("float32") / 255
    return {
        "train": (images[10000:], labels[10000:]),
        "val": (images[:10000], labels[:10000]),
        "test": (test_images, test_labels),
    }


@pytest.mark.slow
def test_standard_workflow_reaches_97_percent(digits):
    model = get_mnist_model()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        *digits["train"], epochs=3, validation_data=digits["val"], batch_size=128, verbose=0
    ).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["loss"][-1] < history["loss"][0]
    loss, accuracy = model.evaluate(*digits["test"], verbose=0)
    assert accuracy >= 0.97
    predictions = model.predict(digits["test"][0], verbose=0)
    assert predictions.shape == (10000, 10)
    assert (predictions.argmax(axis=1) == digits["test"][1]).mean() == pytest.approx(accuracy)


class RootMeanSquaredError(keras.metrics.Metric):
    def __init__(self, name="rmse", **kwargs):
        super().__init__(name=name, **kwargs)
        self.mse_sum = self.add_weight(name="mse_sum", initializer="zeros")
        self.total_samples = self.add_weight(name="total_samples", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.one_hot(y_true, num_classes=ops.shape(y_pred)[1])
        self.mse_sum.assign_add(ops.sum(ops.square(y_true - y_pred)))
        self.total_samples.assign_add(ops.shape(y_pred)[0])

    def result(self):
        return ops.sqrt(self.mse_sum / self.total_samples)

    def reset_state(self):
        self.mse_sum.assign(0.0)
        self.total_samples.assign(0.0)


def test_own_metric_is_logged_and_equals_its_formula(digits):
    model = get_mnist_model()
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", RootMeanSquaredError()],
    )
    x, y = (part[:2000] for part in digits["train"])
    history = model.fit(x, y, epochs=1, validation_data=digits["val"], verbose=0).history
    assert {"rmse", "val_rmse"} <= set(history)
    predictions = model.predict(digits["val"][0], verbose=0)
    one_hot = np.eye(10, dtype="float32")[digits["val"][1]]
    expected = np.sqrt(((one_hot - predictions) ** 2).sum() / len(one_hot))
    assert history["val_rmse"][-1] == pytest.approx(expected, rel=1e-4)


def test_validation_split_never_trains_on_the_last_part(digits):
    """The last fifth has labels of its own, 5 to 9, so training on it would show."""
    x, y = (part[:500].copy() for part in digits["train"])
    y[:400] %= 5
    y[400:] = 5 + y[400:] % 5
    order = []

    class Spy(keras.Model):
        def train_step(self, data):
            order.append(data[1].numpy().copy())
            return super().train_step(data)

    inputs = keras.Input((784,))
    model = Spy(inputs, layers.Dense(10, activation="softmax")(inputs))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, validation_split=0.2, verbose=0).history
    epochs = np.split(np.concatenate(order), 3)
    for labels in epochs:
        assert sorted(labels) == sorted(y[:400])
    assert not np.array_equal(epochs[0], epochs[1])  # it was shuffled, and only what is trained on
    assert history["val_accuracy"] == [0, 0, 0]
    loss, _ = model.evaluate(x[400:], y[400:], verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-6)


def test_evaluate_changes_nothing(digits):
    inputs = keras.Input((784,))
    x = layers.Dense(16, activation="relu")(inputs)
    x = layers.Dropout(0.5, seed=3)(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = (part[:640] for part in digits["train"])
    model.fit(x, y, verbose=0)
    dropout = model.layers[2]
    model.layers[1].trainable = False
    model.train()
    dropout.eval()

    def everything():
        variables = [*model.variables, *model.optimizer.variables, *dropout.variables]
        return {
            "values": [variable.numpy() for variable in variables],
            "flags": [module.training for module in model.modules()],
            "learned": [(p.requires_grad, p.grad is None) for p in model.parameters()],
            "random": [torch.get_rng_state().numpy()],
        }

    before = everything()
    assert len(dropout.variables) == 1  # its seed
    first = model.evaluate(x, y, verbose=0)
    second = model.evaluate(x, y, verbose=0)
    after = everything()
    assert first == second
    for name in ("values", "random"):
        for old, new in zip(before[name], after[name], strict=True):
            np.testing.assert_array_equal(old, new)
    assert after["flags"] == before["flags"]
    assert after["learned"] == before["learned"]


# Callbacks


def compiled_mnist_model(learning_rate=0.001):
    model = get_mnist_model()
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


class KeepWeights(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.by_epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.by_epoch.append(self.model.get_weights())


@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
def test_early_stopping_and_the_checkpoint_of_the_best_epoch(digits, tmp_path, ending):
    path = str(tmp_path / f"checkpoint{ending}")
    model, kept = compiled_mnist_model(0.02), KeepWeights()
    validation = tuple(part[:500] for part in digits["val"])
    history = model.fit(
        *(part[:2000] for part in digits["train"]),
        epochs=30,
        batch_size=128,
        validation_data=validation,
        callbacks=[
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=2),
            keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True),
            kept,
        ],
        verbose=0,
    ).history
    losses = history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 30  # so the file is not simply of the last epoch

    loaded = keras.models.load_model(path)
    for saved, weights in zip(loaded.get_weights(), kept.by_epoch[best], strict=True):
        np.testing.assert_array_equal(saved, weights)
    loss, accuracy = loaded.evaluate(*validation, batch_size=128, verbose=0)
    assert (loss, accuracy) == (losses[best], history["val_accuracy"][best])


@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
def test_saved_and_loaded_model_predicts_bit_equal_and_trains_on(digits, tmp_path, ending):
    x, y = (part[:1000] for part in digits["train"])
    model = compiled_mnist_model()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / f"my_model{ending}")
    loaded = keras.models.load_model(tmp_path / f"my_model{ending}")
    images = digits["test"][0][:1000]
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    for either in (model, loaded):
        keras.utils.set_random_seed(5)
        either.fit(x, y, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class LossHistory(keras.callbacks.Callback):
    """The losses of the batches of an epoch, written to a file at its end."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_train_begin(self, logs=None):
        self.per_batch_losses = []

    def on_batch_end(self, batch, logs=None):
        self.per_batch_losses.append(logs.get("loss"))

    def on_epoch_end(self, epoch, logs=None):
        np.save(self.folder / f"losses_{epoch}.npy", self.per_batch_losses)
        self.per_batch_losses = []


def test_own_callback_writes_the_losses_of_the_batches(digits, tmp_path):
    model = compiled_mnist_model()
    x, y = (part[:1000] for part in digits["train"])
    callback = LossHistory(tmp_path)
    history = model.fit(x, y, epochs=2, batch_size=128, callbacks=[callback], verbose=0).history
    assert callback.per_batch_losses == []
    for epoch in range(2):
        losses = np.load(tmp_path / f"losses_{epoch}.npy")
        assert losses.shape == (8,)
        assert losses.dtype == np.float64  # Python floats, not tensors
        # A batch's log is the mean over the epoch so far, so the last is the epoch's.
        assert losses[-1] == history["loss"][epoch]
    assert callback.model is model
    assert (callback.params["epochs"], callback.params["steps"]) == (2, 8)


def test_tensorboard_has_the_curves_of_training_and_validation(digits, tmp_path):
    model = compiled_mnist_model()
    history = model.fit(
        *(part[:500] for part in digits["train"]),
        epochs=2,
        validation_data=tuple(part[:200] for part in digits["val"]),
        callbacks=[keras.callbacks.TensorBoard(log_dir=str(tmp_path / "logs"))],
        verbose=0,
    ).history
    for run, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(tmp_path / "logs" / run))
        events.Reload()
        assert {"epoch_loss", "epoch_accuracy"} <= set(events.Tags()["scalars"])
        for name in ("loss", "accuracy"):
            curve = events.Scalars(f"epoch_{name}")
            assert [event.step for event in curve] == [0, 1]
            values = [event.value for event in curve]
            assert values == pytest.approx(history[f"{prefix}{name}"], rel=1e-6)


# Metrics and modules by hand; the loops and the steps are in test_training_loops.py


def test_metric_by_hand_prints_as_the_chapter_says():
    metric = keras.metrics.SparseCategoricalAccuracy()
    metric.update_state(np.array([0, 1, 2]), np.eye(3, dtype="float32"))
    assert f"result: {metric.result():.2f}" == "result: 1.00"
    tracker = keras.metrics.Mean()
    for value in [0, 1, 2, 3, 4]:
        tracker.update_state(value)
    assert f"Mean of values: {tracker.result():.2f}" == "Mean of values: 2.00"


def test_model_is_an_ordinary_torch_module(digits):
    model = get_mnist_model()
    assert isinstance(model, torch.nn.Module)
    assert list(model.state_dict()) == [
        "dense.kernel",
        "dense.bias",
        "dense_1.kernel",
        "dense_1.bias",
    ]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = (torch.as_tensor(part[:64]) for part in digits["train"])
    before = model.layers[1].kernel.numpy().copy()
    loss = torch.nn.functional.nll_loss(model(x).log(), y.long())
    loss.backward()
    optimizer.step()
    assert not np.array_equal(model.layers[1].kernel.numpy(), before)
