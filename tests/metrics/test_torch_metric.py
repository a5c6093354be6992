"""Metrics and losses of torch and torchmetrics as metrics."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import torchkeras as keras

torchmetrics = pytest.importorskip("torchmetrics")
pytestmark = pytest.mark.filterwarnings("ignore:Metric `Spearman")
RNG = np.random.default_rng(0)
Y = RNG.normal(size=(10, 1)).astype("float32")
P = (Y + RNG.normal(size=(10, 1)) * 0.3).astype("float32")
LABELS = RNG.integers(0, 3, 10)
SCORES = RNG.dirichlet(np.ones(3), 10).astype("float32")


def measured(metrics, x, y, batch_size=4, **arguments):
    """What `evaluate` says of a model that gives back its inputs."""
    model = keras.Sequential([keras.layers.Identity()])
    model.compile(metrics=metrics, loss=lambda y_true, y_pred: y_pred.sum(-1) * 0, **arguments)
    found = model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True)
    return {name: value for name, value in found.items() if name != "loss"}


def test_numbers_are_those_of_all_samples():
    found = measured(
        [
            torchmetrics.R2Score(),
            torchmetrics.MeanSquaredError(squared=False),
            torchmetrics.MeanAbsolutePercentageError(),
            torchmetrics.SpearmanCorrCoef(),
        ],
        P,
        Y,
    )
    ranks = np.corrcoef(P[:, 0].argsort().argsort(), Y[:, 0].argsort().argsort())[0, 1]
    assert found == pytest.approx(
        {
            "r2_score": 1 - ((Y - P) ** 2).sum() / ((Y - Y.mean()) ** 2).sum(),
            "mean_squared_error": ((Y - P) ** 2).mean() ** 0.5,
            "mean_absolute_percentage_error": (np.abs(Y - P) / np.abs(Y)).mean(),
            "spearman_corr_coef": ranks,
        },
        rel=1e-4,
    )


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype("float32")])
def test_metrics_of_classes(labels):
    found = measured(
        [
            torchmetrics.Accuracy(task="multiclass", num_classes=3, average="micro"),
            torchmetrics.F1Score(task="multiclass", num_classes=3, average="macro"),
        ],
        SCORES,
        labels,
    )
    predicted, scores = SCORES.argmax(-1), []
    for c in range(3):
        both = ((predicted == c) & (LABELS == c)).sum()
        scores.append(2 * both / ((predicted == c).sum() + (LABELS == c).sum()))
    expected = [(predicted == LABELS).mean(), np.mean(scores)]
    assert list(found.values()) == pytest.approx(expected, rel=1e-5)


def test_a_collection_goes_by_its_names():
    collection = torchmetrics.MetricCollection(
        [torchmetrics.MeanAbsoluteError(), torchmetrics.MeanSquaredError()], prefix="the_"
    )
    found = measured([collection], P, Y)
    expected = {
        "MeanAbsoluteError": np.abs(Y - P).mean(),
        "MeanSquaredError": ((Y - P) ** 2).mean(),
    }
    assert found == pytest.approx({f"the_{k}": v for k, v in expected.items()}, rel=1e-5)


def test_it_is_reset_and_watched_like_any_other():
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[torchmetrics.R2Score()])
    stop = keras.callbacks.EarlyStopping("val_r2_score", patience=0)
    history = model.fit(
        P, Y, batch_size=3, epochs=3, verbose=0, validation_data=(P, Y), callbacks=[stop]
    ).history
    assert stop.monitor_op(1.0, 0.0)  # higher is better
    expected = 1 - ((Y - P) ** 2).sum() / ((Y - Y.mean()) ** 2).sum()
    assert history["r2_score"] == pytest.approx([expected] * 2, rel=1e-4)
    assert history["val_r2_score"] == pytest.approx([expected] * 2, rel=1e-4)
    assert model.train_on_batch(P, Y)[1] == pytest.approx(expected, rel=1e-4)


def test_metrics_of_several_outputs_and_of_classes_of_metrics():
    x = keras.Input((1,))
    model = keras.Model(x, [keras.layers.Identity(name="a")(x), keras.layers.Rescaling(2.0)(x)])
    model.compile(loss="mse", metrics=[[torchmetrics.MeanAbsoluteError], None])
    found = model.evaluate(P, [Y, Y], verbose=0, return_dict=True)
    assert found["a_mean_absolute_error"] == pytest.approx(np.abs(Y - P).mean(), rel=1e-5)


def test_it_is_a_whole_metric():
    metric = keras.metrics.get(torchmetrics.PearsonCorrCoef())
    y_true, y_pred = torch.tensor(Y[:, 0]), torch.tensor(P[:, 0])
    state = metric.stateless_reset_state()
    for part in (slice(0, 6), slice(6, None)):
        state = metric.stateless_update_state(state, y_true[part], y_pred[part])
    expected = np.corrcoef(P[:, 0], Y[:, 0])[0, 1]
    assert metric.stateless_result(state).item() == pytest.approx(expected, rel=1e-4)
    assert len(metric.variables) == 8 and not any(v.value.any() for v in metric.variables)
    metric.update_state(y_true, y_pred)
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        other.reset_state()
        assert not any(v.value.any() for v in other.variables)
        assert metric.result().item() == pytest.approx(expected, rel=1e-4)
    with pytest.raises(TypeError, match="torchmetrics cannot be described"):
        metric.get_config()


def test_lists_of_states_are_states_too():
    metric = keras.metrics.get(torchmetrics.SpearmanCorrCoef())
    state = metric.stateless_reset_state()
    state = metric.stateless_update_state(state, torch.tensor(Y[:, 0]), torch.tensor(P[:, 0]))
    assert metric.variables[0].value == []
    assert metric.stateless_result(state).item() > 0.5
    assert torch.isnan(metric.result()) or metric.result() == 0  # of no sample at all


def test_sample_weights_are_refused():
    model = keras.Sequential([keras.layers.Identity()])
    model.compile(loss="mse", weighted_metrics=[torchmetrics.MeanAbsoluteError()])
    with pytest.raises(ValueError, match="take no sample weights"):
        model.evaluate(P, Y, sample_weight=np.ones(10), verbose=0)


@pytest.mark.parametrize(
    ("metric", "name", "expected"),
    [
        (torch.nn.L1Loss(), "l1_loss", np.abs(Y - P).mean()),
        (torch.nn.MSELoss(reduction="sum"), "mse_loss", ((Y - P) ** 2).mean()),
        (F.smooth_l1_loss, "smooth_l1_loss", None),
        (torchmetrics.functional.mean_absolute_percentage_error, None, None),
    ],
)
def test_losses_of_torch_as_metrics(metric, name, expected):
    found = measured([metric], P, Y, batch_size=5)
    if expected is None:
        expected = metric(torch.tensor(P), torch.tensor(Y)).item()
    assert list(found.values()) == [pytest.approx(expected, rel=1e-5)]
    assert name in (None, *found)


def test_a_cross_entropy_as_a_metric_leaves_ignored_classes_out():
    logits = np.log(SCORES)
    expected = F.cross_entropy(torch.tensor(logits), torch.tensor(LABELS), ignore_index=1).item()
    found = measured([torch.nn.CrossEntropyLoss(ignore_index=1)], logits, LABELS)
    assert list(found.values()) == [pytest.approx(expected, rel=1e-5)]
