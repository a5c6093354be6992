"""The workflows of chapter 7 of Deep Learning with Python (3rd edition), in our own words.

Each test follows one part of the chapter and checks what the chapter states about it. The code
is Keras code: only the import names torchkeras.
"""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers, ops

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
