"""Targets, losses, weights and metrics find the outputs that they are meant for."""

import collections

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.trainers.output_places import OutputPlaces

Pair = collections.namedtuple("Pair", "p q")
# Some outputs have no loss on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")
X = np.ones((4, 1), "float32")


def y(value):
    return np.full((4, 1), value, "float32")


def w(value):
    return np.full((4,), value, "float32")


def model_of(structure, optimizer="sgd", **compile_arguments):
    """Outputs of constant 1, 2 and 3, named o1, o2, o3."""
    x = keras.Input((1,))

    def output(number):
        start = keras.initializers.Constant(number)
        return keras.layers.Dense(
            1, use_bias=False, kernel_initializer=start, name=f"o{number:.0f}"
        )(x)

    model = keras.Model(x, structure(*[output(float(n)) for n in (1, 2, 3)]))
    model.compile(optimizer, **compile_arguments)
    return model


STRUCTURES = {
    "flat": lambda a, b, c: [a, b, c],
    "dict": lambda a, b, c: {"z": a, "m": b, "a": c},
    "nested": lambda a, b, c: {"a": a, "b": {"c": b, "d": c}},
    "lists": lambda a, b, c: [a, [b, c]],
    "pair": lambda a, b, c: Pair(a, b),
    "pair_in_dict": lambda a, b, c: {"n": Pair(a, b), "m": c},
}
ZEROS = {
    "flat": [y(0)] * 3,
    "dict": {"z": y(0), "m": y(0), "a": y(0)},
    "nested": {"a": y(0), "b": {"c": y(0), "d": y(0)}},
    "lists": [y(0), [y(0), y(0)]],
    "pair": Pair(y(0), y(0)),
    "pair_in_dict": {"n": Pair(y(0), y(0)), "m": y(0)},
}
# Errors of the outputs against zero are 1, 2 and 3: their squares 1, 4 and 9.


@pytest.mark.parametrize(
    ("name", "arguments", "fed", "expected"),
    [
        ("nested", {"loss": "mse"}, {}, {"a_loss": 1, "b/c_loss": 4, "b/d_loss": 9, "loss": 14}),
        (
            "nested",
            {
                "loss": {"a": "mse", "b": {"c": "mae", "d": "mse"}},
                "loss_weights": {"a": 1.0, "b": {"c": 10.0, "d": 100.0}},
            },
            {},
            {"a_loss": 1, "b/c_loss": 2, "b/d_loss": 9, "loss": 921},
        ),
        (
            "nested",
            {"loss": {"a": "mse", "b": {"c": "mae"}}},
            {},
            {"a_loss": 1, "b/c_loss": 2, "loss": 3},
        ),
        (
            "nested",
            {"loss": ["mse", "mae", "mse"], "loss_weights": [1, 2, 3]},
            {},
            {"a_loss": 1, "b/c_loss": 2, "b/d_loss": 9, "loss": 32},
        ),
        (
            "nested",
            {"loss": "mse", "metrics": {"a": ["mae"], "b": {"c": "mse", "d": ["mae"]}}},
            {"y": [y(0), y(0), y(1)]},
            {
                **{"a_loss": 1, "b/c_loss": 4, "b/d_loss": 4, "loss": 9},
                **{"o1_mae": 1, "o2_mse": 4, "o3_mae": 2},
            },
        ),
        (
            "nested",
            {"loss": "mse"},
            {"sample_weight": {"a": w(1), "b": {"c": w(10), "d": w(100)}}},
            {"a_loss": 1, "b/c_loss": 40, "b/d_loss": 900, "loss": 941},
        ),
        (
            "lists",
            {
                "loss": ["mse", ["mae", "mse"]],
                "loss_weights": [1.0, [10.0, 100.0]],
                "metrics": [["mae"], [["mse"], ["mae"]]],
            },
            {},
            {
                **{"o1_loss": 1, "1/o2_loss": 2, "1/o3_loss": 9, "loss": 921},
                **{"o1_mae": 1, "o2_mse": 4, "o3_mae": 3},
            },
        ),
        (
            "lists",
            {"loss": "mse"},
            {"sample_weight": [w(1), [w(10), w(100)]]},
            {"o1_loss": 1, "1/o2_loss": 40, "1/o3_loss": 900, "loss": 941},
        ),
        ("flat", {"loss": [["mse"], ["mae"], ["mse"]]}, {}, {"loss": 12, "o2_loss": 2}),
        (
            "flat",
            {"loss": [["mse"], ["mae", "mse"], None], "loss_weights": [1, [10, 100], None]},
            {},
            {"o1_loss": 1, "o2_loss": 2, "o2_1_loss": 4, "loss": 1 + 10 * 2 + 100 * 4},
        ),
        (
            "flat",
            {"loss": {"o3": "mse", "o1": "mae", "o2": "mse"}, "loss_weights": {"o3": 1, "o2": 100}},
            {"sample_weight": [w(1), w(2), w(3)]},
            {"o1_loss": 1, "o2_loss": 8, "o3_loss": 27, "loss": 828},
        ),
        (
            "flat",
            {"loss": "mse"},
            {"y": {"o3": y(0), "o1": y(1), "o2": y(0)}},
            {"o1_loss": 0, "o2_loss": 4, "o3_loss": 9, "loss": 13},
        ),
        (
            "pair",
            {"loss": Pair("mse", "mae"), "metrics": Pair(["mae"], ["mse"])},
            {},
            {"o1_loss": 1, "o2_loss": 2, "loss": 3, "o1_mae": 1, "o2_mse": 4},
        ),
        (
            "pair_in_dict",
            {"loss": {"n": Pair("mse", "mae"), "m": "mse"}},
            {},
            {"n/o1_loss": 1, "n/o2_loss": 2, "m_loss": 9, "loss": 12},
        ),
        (
            "dict",
            {"loss": {"z": "mse", "m": "mae", "a": "mse"}},
            {"y": [y(0), y(0), y(1)]},
            {"a_loss": 9, "m_loss": 2, "z_loss": 0, "loss": 11},
        ),
    ],
)
def test_every_structure_of_outputs(name, arguments, fed, expected):
    model = model_of(STRUCTURES[name], **arguments)
    data = {"y": ZEROS[name], **fed}
    found = model.evaluate(X, verbose=0, return_dict=True, **data)
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    if len(expected) > 2:
        assert found.keys() == expected.keys()
    # The same in training, with batches that others bring, and for a single batch.
    frozen = model_of(STRUCTURES[name], keras.optimizers.SGD(0.0), **arguments)
    history = frozen.fit(X, batch_size=2, verbose=0, **data).history
    assert {key: values[0] for key, values in history.items()} == pytest.approx(found)
    batch = (X, data["y"], data.get("sample_weight"))
    assert frozen.evaluate(iter([batch]), verbose=0, return_dict=True) == pytest.approx(found)
    assert frozen.train_on_batch(*batch, return_dict=True) == pytest.approx(found)
    assert frozen.test_on_batch(*batch, return_dict=True) == pytest.approx(found)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([y(0), y(0)], [y(0), y(5), y(0)]),
        ([y(0), y(5), y(0)], [y(0), y(0)]),
        ([y(0), None, y(0)], {"o1": y(0), "o3": y(0)}),
        ({"o3": y(0), "o1": y(0)}, [y(0), y(0)]),
    ],
)
def test_targets_with_and_without_those_of_outputs_without_a_loss(first, second):
    model = model_of(
        STRUCTURES["flat"],
        keras.optimizers.SGD(0.0),
        loss=["mse", None, "mse"],
        metrics=[["mae"], None, ["mae"]],
        weighted_metrics=[None, None, ["mse"]],
    )
    history = model.fit(X, first, validation_data=(X, second), verbose=0).history
    expected = {"o1_loss": 1, "o3_loss": 9, "loss": 10, "o1_mae": 1, "o3_mae": 3, "o3_mse": 9}
    for prefix in ("", "val_"):
        for name, value in expected.items():
            assert history[prefix + name] == [pytest.approx(value)], prefix + name


def test_targets_of_outputs_that_are_only_measured():
    arguments = {"loss": ["mse", None, None], "metrics": [None, None, ["mae"]]}
    for targets in ([y(0), y(1)], [y(0), y(9), y(1)]):
        model = model_of(STRUCTURES["flat"], **arguments)
        found = model.evaluate(X, targets, verbose=0, return_dict=True)
        assert found == pytest.approx({"loss": 1, "o3_mae": 2})


def test_weights_of_fewer_losses_go_by_place_whatever_the_order_of_the_losses():
    model = model_of(STRUCTURES["dict"], loss={"z": "mse", "a": "mse"})
    # In the order of the outputs, a (3) before z (1), as their targets.
    loss = model._compile_loss
    zero = torch.zeros(4, 1)
    y_pred = {"z": zero + 1, "m": zero, "a": zero + 3}
    weights = [torch.full((4,), 100.0), torch.full((4,), 1.0)]
    assert loss([zero, zero], y_pred, weights).item() == 900 + 1
    assert loss({"z": zero, "a": zero}, y_pred, {"a": weights[0]}).item() == 900 + 1


@pytest.mark.parametrize(
    ("arguments", "targets", "words"),
    [
        ({"loss": {"a": "mse", "x": "mae"}}, None, r"\['a', 'b/c', 'b/d'\]. Received.*\['x'\]"),
        ({"loss": {"b": {"x": "mae"}}}, None, r"unknown keys \['x'\]"),
        ({"loss": ["mse", "mae"]}, None, None),
        ({"loss": ["mse"] * 4}, None, "Received: 4 entries"),
        ({"loss": "mse", "metrics": ["mae"]}, None, "`metrics` must have one entry"),
        ({"loss": "mse"}, {"a": y(0), "b": y(0)}, "named like the outputs.*unknown keys .*b"),
        ({"loss": "mse"}, {"a": y(0), "b": {"c": y(0)}}, "none for output"),
        ({"loss": "mse"}, [y(0), y(0)], "Received: 2 in `y`"),
        ({"loss": ["mse"] * 3, "loss_weights": {"q": 1.0}}, None, "keys of `loss_weights`"),
        (
            {
                "loss": {"a": ["mse", "mae"], "b": None},
                "loss_weights": {"a": [1, 2, 3], "b": {"c": 1}},
            },
            None,
            "3 weights for 2 losses",
        ),
    ],
)
def test_what_does_not_fit_the_outputs(arguments, targets, words):
    model = model_of(STRUCTURES["nested"], **arguments)
    data = (X, ZEROS["nested"] if targets is None else targets)
    if words is None:  # two for two: the first for `a`, the second for all of `b`
        assert model.evaluate(*data, verbose=0) == [1 + 2 + 3, 1, 2, 3]
        return
    with pytest.raises(ValueError, match=words):
        model.evaluate(*data, verbose=0)


def test_a_model_without_names_goes_by_keys_and_positions():
    class Two(keras.Model):
        def call(self, x):
            return {"a": x, "b": {"c": 2 * x, "d": [3 * x]}}

    model = Two()
    model.compile(loss={"a": "mse", "b": {"c": "mae", "d": ["mse"]}})
    found = model.evaluate(
        X, {"a": y(0), "b": {"c": y(0), "d": [y(0)]}}, verbose=0, return_dict=True
    )
    expected = {"a_loss": 1, "b/c_loss": 2, "b/d/mse_loss": 9, "loss": 12}
    assert found == pytest.approx(expected)


def test_places_of_an_ordered_dict_and_of_keys_that_are_names():
    ordered = collections.OrderedDict(b=torch.zeros(1), a=torch.zeros(1))
    assert OutputPlaces(ordered).names == ["b", "a"]
    assert OutputPlaces(ordered).align({"a": 1, "b": 2}, "y") == [2, 1]
    places = OutputPlaces({"a": 0, "b": 0}, ["b", "a"])
    assert places.names == ["b", "a"] and places.flatten({"a": 1, "b": 2}) == [2, 1]
    assert places.spread(["x", "y"], "loss") == [["x"], ["y"]]
    assert places.spread({"a": "x"}, "loss") == [[], ["x"]]
