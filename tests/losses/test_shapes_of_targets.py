"""Targets that do not have the shape of the outputs are refused by every loss and metric."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import losses, metrics

# Losses of class numbers, and those that take other arguments.
OF_LABELS = {"SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CTC", "Circle"}
LOSSES = [
    name
    for name, cls in vars(losses).items()
    if isinstance(cls, type) and issubclass(cls, losses.Loss) and name != "Loss"
]
ELEMENTWISE = sorted({*LOSSES} - OF_LABELS - {"LossFunctionWrapper", "TorchLoss"})
METRICS = {
    name: cls
    for name, cls in vars(metrics).items()
    if isinstance(cls, type)
    and issubclass(cls, metrics.Metric)
    and name not in ("Metric", "Mean", "Sum", "MeanMetricWrapper")
}
ARGUMENTS = {
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 2},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 2},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}
WRONG = [((4, 2), (4, 1)), ((4, 1), (4, 3)), ((4,), (4, 4)), ((4, 2, 3), (4, 3)), ((1, 2), (4, 2))]


def ones(shape):
    return torch.ones(shape)


@pytest.mark.parametrize("shapes", WRONG)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_losses_refuse_what_would_broadcast(name, shapes):
    with pytest.raises(ValueError, match="must have the same shape"):
        getattr(losses, name)()(ones(shapes[0]), ones(shapes[1]))


@pytest.mark.parametrize("shapes", [((4, 2), (4, 3)), ((4, 3, 1), (4, 2)), ((3,), (4, 2))])
@pytest.mark.parametrize("name", sorted(OF_LABELS - {"CTC"}))
def test_losses_of_labels_refuse_others(name, shapes):
    with pytest.raises(ValueError, match="Received: y_true"):
        getattr(losses, name)()(ones(shapes[0]), ones(shapes[1]))


@pytest.mark.parametrize("shapes", WRONG)
@pytest.mark.parametrize("name", METRICS)
def test_metrics_refuse_what_would_broadcast(name, shapes):
    sparse = "Sparse" in name
    if sparse and shapes in (((4, 1), (4, 3)), ((4,), (4, 4))):
        return  # class numbers
    one_hot = name.startswith("OneHot")
    if one_hot and shapes[0][:1] == shapes[1][:1] and len(shapes[0]) == len(shapes[1]):
        return  # each of them is an argmax over its own last axis
    metric = METRICS[name](**ARGUMENTS.get(name, {}))
    with pytest.raises(ValueError, match="Received: y_"):
        metric.update_state(ones(shapes[0]), ones(shapes[1]))


@pytest.mark.parametrize("name", METRICS)
def test_metrics_refuse_them_after_the_first_batch_too(name):
    if "Sparse" in name or name.startswith("OneHot"):
        return
    metric = METRICS[name](**ARGUMENTS.get(name, {}))
    metric.update_state(ones((4, 2)), ones((4, 2)))
    with pytest.raises(ValueError, match="Received: y_"):
        metric.update_state(ones((4, 1)), ones((4, 2)))


@pytest.mark.parametrize(
    "shapes", [((4,), (4, 1)), ((4, 1), (4,)), ((4, 2, 1), (4, 2)), ((), (4, 2))]
)
def test_a_last_axis_of_one_and_single_numbers_are_aligned(shapes):
    y_true, y_pred = ones(shapes[0]) * 3, ones(shapes[1])
    for name, expected in (("MeanSquaredError", 4.0), ("MeanAbsoluteError", 2.0), ("Huber", 1.5)):
        assert getattr(losses, name)()(y_true, y_pred).item() == expected
    if shapes[0]:
        assert metrics.MeanSquaredError()(y_true, y_pred).item() == 4.0
        assert metrics.BinaryAccuracy()(y_true / 3, y_pred).item() == 1.0
        assert metrics.MeanIoU(2)(y_true / 3, y_pred).item() == pytest.approx(1.0)
    f1 = metrics.F1Score(threshold=0.5)
    if y_true.dim() and y_pred.shape == (4, 1):
        assert f1(y_true / 3, y_pred).item() == pytest.approx(1.0)


def test_shapes_of_as_many_values_are_not_mixed_up():
    # (2, 3, 1) and (3, 2) have as many values, and one axis more; their rows are not the same.
    with pytest.raises(ValueError, match="must have the same shape"):
        losses.MeanSquaredError()(torch.arange(6.0).reshape(2, 3, 1), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="must have the same shape"):
        metrics.MeanIoU(2).update_state(torch.zeros(2, 3), torch.zeros(3, 2))


@pytest.mark.parametrize("loss", [*ELEMENTWISE, torch.nn.MSELoss(), torch.nn.BCELoss()])
@pytest.mark.parametrize(("units", "width"), [(1, 2), (3, 1)])
def test_fit_refuses_targets_of_another_width(loss, units, width):
    model = keras.Sequential([keras.layers.Dense(units, activation="sigmoid")])
    model.compile("sgd", loss if not isinstance(loss, str) else getattr(losses, loss)())
    x, y = np.ones((4, 3), "float32"), np.ones((4, width), "float32")
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="must have the same shape"):
            call(x, y, verbose=0)
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="must have the same shape"):
            call(x, y)


def test_weights_of_more_axes_than_values_are_refused():
    loss = losses.MeanSquaredError()
    with pytest.raises(ValueError, match="`sample_weight` must have the shape"):
        loss(torch.zeros(3, 3), torch.ones(3, 3), torch.ones(3, 3))
    metric = metrics.MeanSquaredError()
    with pytest.raises(ValueError, match="`sample_weight` must have the shape"):
        metric.update_state(torch.zeros(3, 3), torch.ones(3, 3), torch.ones(3, 3))


def test_weights_of_samples_count_for_all_places_of_an_iou():
    metric = metrics.MeanIoU(num_classes=2)
    y_true, y_pred = torch.tensor([[0, 1], [1, 1]]), torch.tensor([[0, 1], [0, 1]])
    metric.update_state(y_true, y_pred, torch.tensor([1, 2]))
    # class 0: 1 of 1 + 2 (one wrong place of weight 2); class 1: 1 + 2 of 1 + 2 + 2
    assert metric.result().item() == pytest.approx((1 / 3 + 3 / 5) / 2)
