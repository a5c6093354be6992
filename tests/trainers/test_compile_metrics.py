from collections import OrderedDict

import pytest
import torch

import torchkeras as keras
from torchkeras.trainers.compile_metrics import CompileMetrics

A = torch.tensor([[1.0], [2.0]])
B = torch.tensor([[0.0], [4.0]])
ZERO = torch.zeros(2, 1)
# mean squares: 2.5 and 8; mean absolutes: 1.5 and 2


def numbers(metrics):
    return {name: value.item() for name, value in metrics.result().items()}


def test_one_output():
    metrics = CompileMetrics(["mse", keras.metrics.MeanAbsoluteError(name="m")])
    assert not metrics.built and metrics.result() == {} and metrics.metrics == []
    metrics.update_state(ZERO, A)
    assert metrics.built and numbers(metrics) == {"mse": 2.5, "m": 1.5}
    metrics.update_state(ZERO, B)
    assert numbers(metrics) == {"mse": 21 / 4, "m": 7 / 4}
    metrics.reset_state()
    metrics.update_state([ZERO], [B])
    assert numbers(metrics) == {"mse": 8.0, "m": 2.0}


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("mae", "mae"),
        ("MeanAbsoluteError", "MeanAbsoluteError"),
        ("mean_absolute_error", "mean_absolute_error"),
        (keras.metrics.MeanAbsoluteError, "mean_absolute_error"),
        (keras.metrics.mean_absolute_error, "mean_absolute_error"),
        (keras.metrics.MeanAbsoluteError(name="x"), "x"),
    ],
)
def test_every_way_to_name_a_metric(metric, name):
    metrics = CompileMetrics([metric])
    metrics.update_state(ZERO, A)
    assert numbers(metrics) == {name: 1.5}


def test_a_function_is_averaged_over_samples():
    def distance(y_true, y_pred):
        return (y_true - y_pred).abs().squeeze(-1)

    metrics = CompileMetrics([distance], weighted_metrics=[distance])
    metrics.update_state(ZERO, A, torch.tensor([0.0, 3.0]))
    assert numbers(metrics) == {"distance": 1.5, "weighted_distance": 2.0}


@pytest.mark.parametrize("name", ["accuracy", "acc", "ce", "crossentropy"])
def test_classes_chosen_by_shapes(name):
    kind = "Accuracy" if name.startswith("acc") else "Crossentropy"
    three, one = torch.full((2, 3), 1 / 3), torch.full((2, 1), 0.4)
    for y_true, y_pred, expected in (
        (torch.tensor([1, 2]), three, "SparseCategorical"),
        (torch.tensor([[1], [2]]), three, "SparseCategorical"),
        (torch.eye(3)[:2], three, "Categorical"),
        (torch.ones(2, 1), one, "Binary"),
        (torch.ones(2), one, "Binary"),
    ):
        metrics = CompileMetrics([name])
        metrics.update_state(y_true, y_pred)
        (metric,) = metrics.metrics
        assert (type(metric).__name__, metric.name) == (expected + kind, name)


def test_only_weighted_metrics_see_weights():
    metrics = CompileMetrics(["mae"], weighted_metrics=["mae", "mse"])
    weights = torch.tensor([0.0, 1.0])
    metrics.update_state(ZERO, A, weights)
    assert numbers(metrics) == {"mae": 1.5, "weighted_mae": 2.0, "mse": 4.0}
    metrics = CompileMetrics(None, weighted_metrics=["mae"])
    metrics.update_state(ZERO, A, None)
    assert numbers(metrics) == {"mae": 1.5}


def test_repeated_names_are_numbered():
    metrics = CompileMetrics(["mae", "mae"], weighted_metrics=["mae", "mae"])
    metrics.update_state(ZERO, A)
    assert list(metrics.result()) == ["mae", "mae_1", "weighted_mae", "weighted_mae_1"]


def test_several_outputs():
    metrics = CompileMetrics([["mae", "mse"], "mae"], output_names=["p", "q"])
    metrics.update_state([ZERO, ZERO], [A, B])
    assert numbers(metrics) == {"p_mae": 1.5, "p_mse": 2.5, "q_mae": 2.0}
    without_names = CompileMetrics([["mae"], ["mse"]])
    without_names.update_state((ZERO, ZERO), (A, B))
    assert numbers(without_names) == {"mae": 1.5, "mse": 8.0}


@pytest.mark.parametrize("given", [[None, "mae"], [[], ["mae"]], {"q": "mae"}])
def test_outputs_without_metrics(given):
    for y_true in ([ZERO, ZERO], {"q": ZERO, "p": ZERO}, [None, ZERO], [ZERO]):
        metrics = CompileMetrics(given, output_names=["p", "q"])
        metrics.update_state(y_true, [A, B])
        assert numbers(metrics) == {"q_mae": 2.0}


def test_dict_of_outputs():
    metrics = CompileMetrics({"b": ["mae"], "a": "mse"}, weighted_metrics={"a": ["mse"]})
    weights = {"a": torch.tensor([1.0, 0.0]), "b": torch.ones(2)}
    metrics.update_state({"b": ZERO, "a": ZERO}, {"a": A, "b": B}, weights)
    assert numbers(metrics) == {"a_mse": 2.5, "b_mae": 2.0, "a_weighted_mse": 1.0}


def test_an_ordered_dict_keeps_its_order():
    metrics = CompileMetrics(["mae", "mse"])
    metrics.update_state(OrderedDict(b=ZERO, a=ZERO), OrderedDict(b=B, a=A))
    assert numbers(metrics) == {"b_mae": 2.0, "a_mse": 2.5}


def test_weights_of_outputs():
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    for weights, expected in (
        ([first, second], (1.0, 4.0)),
        (first, (1.0, 0.0)),
        ([first], (1.0, 0.0)),
        (None, (1.5, 2.0)),
    ):
        metrics = CompileMetrics(None, [["mae"], ["mae"]])
        metrics.update_state([ZERO, ZERO], [A, B], weights)
        assert tuple(numbers(metrics).values()) == expected


def test_variables_and_device():
    metrics = CompileMetrics(["mae"])
    assert metrics.variables == []
    metrics.update_state(ZERO, A)
    assert len(metrics.variables) == 2
    assert metrics.to("cpu") is metrics
    metrics.to("meta")
    assert {v.value.device.type for v in metrics.variables} == {"meta"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metrics": "mae"}, "Put it into a list"),
        ({"metrics": None, "weighted_metrics": "mae"}, "`weighted_metrics` must be a list"),
        ({"metrics": ["no such metric"]}, "no such metric"),
        ({"metrics": {"a": ["nope"]}}, "nope"),
        ({"metrics": None, "weighted_metrics": ["nope"]}, "nope"),
        ({"metrics": [5]}, "5"),
    ],
)
def test_what_compile_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        CompileMetrics(**arguments)


@pytest.mark.parametrize(
    ("given", "y_true", "words"),
    [
        (["mae"], [ZERO, ZERO], "Received: 1 entries"),
        ([["mae"]] * 3, [ZERO, ZERO], "Received: 3 entries"),
        ({"z": ["mae"]}, [ZERO, ZERO], r"unknown keys \['z'\]"),
        (["mae", "mae"], [ZERO], r"Received: 1 in `y`"),
        (["mae", "mae"], [ZERO, None], r"none for the outputs \['b'\]"),
        (["mae", "mae"], {"a": ZERO}, r"none for the outputs \['b'\]"),
    ],
)
@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
def test_what_the_first_batch_refuses(given, y_true, words, argument):
    arguments = {"metrics": None, argument: given}
    metrics = CompileMetrics(**arguments, output_names=["a", "b"])
    with pytest.raises(ValueError, match=words):
        metrics.update_state(y_true, [A, B])
    assert not metrics.built
