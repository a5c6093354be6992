"""get_state_tree and set_state_tree: the keys are Keras's, the values come back."""

import numpy as np
import pytest

import torchkeras as keras

X = np.linspace(-1, 1, 8, dtype="float32").reshape(4, 2)


def trained(name="m"):
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(2, name="dense"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name=name,
    )
    model.compile(keras.optimizers.Adam(0.1, name="adam"), "mse", metrics=["mae"])
    model.fit(X, X, epochs=2, verbose=0)
    return model


def paths(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}/")
        else:
            yield prefix + key


def test_the_tree_has_keras_paths():
    model = trained()
    tree = model.get_state_tree()
    kernel = tree["trainable_variables"]["m"]["dense"]["kernel"]
    assert kernel is model.layers[0].kernel.value
    assert set(paths(tree["non_trainable_variables"])) == {
        "m/norm/moving_mean",
        "m/norm/moving_variance",
    }
    assert {"adam/iteration", "adam/learning_rate"} <= set(paths(tree["optimizer_variables"]))
    assert set(paths(tree["metrics_variables"])) == {
        "loss/total",
        "loss/count",
        "mean_absolute_error/total",
        "mean_absolute_error/count",
    }
    assert list(tree) == [
        "trainable_variables",
        "non_trainable_variables",
        "optimizer_variables",
        "metrics_variables",
    ]


def test_state_goes_to_another_model_and_training_goes_on_the_same():
    model = trained()
    tree = model.get_state_tree(value_format="numpy_array")
    before = tree["trainable_variables"]["m"]["dense"]["kernel"].copy()
    keras.utils.set_random_seed(5)
    other = trained()
    other.set_state_tree(tree)
    assert other.optimizer.iterations.value == 2
    for each in (model, other):
        each.fit(X, X, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_array_equal(tree["trainable_variables"]["m"]["dense"]["kernel"], before)
    part = {"trainable_variables": tree["trainable_variables"]}
    other.set_state_tree(part)
    np.testing.assert_array_equal(other.layers[0].kernel.numpy(), before)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"weights": {}}, r"Received: also \['weights'\]"),
        ({"trainable_variables": {"m": {"dense": {"weight": 1}}}}, "a value for 'm/dense/weight'"),
        ({"trainable_variables": {"m": {"dense": {"bias": np.ones(3)}}}}, r"shape \(3,\)"),
    ],
)
def test_a_tree_that_does_not_fit_changes_nothing(tree, words):
    model = trained()
    before = model.get_weights()
    fitting = {"m": {"dense": {"kernel": np.ones((2, 2))}}}
    with pytest.raises(ValueError, match=words):
        model.set_state_tree({"trainable_variables": fitting, **tree})
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    with pytest.raises(ValueError, match="value_format='list'"):
        model.get_state_tree("list")


def test_a_model_without_an_optimizer_has_a_tree_too():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert model.get_state_tree()["optimizer_variables"] == {}
    model.add(keras.layers.Dense(1, name=model.layers[0].name + "_2"))
    assert len(list(paths(model.get_state_tree()))) == 4
