import pytest
import torch

from torchkeras import metrics
from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical

Y_PRED = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.4, 0.5, 0.1]])
LABELS = torch.tensor([1, 2, 2, 0])  # right, wrong (second), right, wrong (second)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float32])
@pytest.mark.parametrize("column", [False, True])
def test_sparse_categorical(column, dtype):
    y_true = LABELS.to(dtype)
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(y_true[:, None] if column else y_true, Y_PRED)
    assert float(metric.result()) == 0.5
    assert (float(metric.total), float(metric.count)) == (2.0, 4.0)


def test_labels_above_2048_in_half_precision():
    y_pred = torch.zeros(1, 3000, dtype=torch.float16)
    y_pred[0, 2049] = 1.0
    assert float(metrics.SparseCategoricalAccuracy()(torch.tensor([2049]), y_pred)) == 1.0
    assert float(metrics.SparseCategoricalAccuracy()(torch.tensor([2048]), y_pred)) == 0.0


def test_categorical():
    assert float(metrics.CategoricalAccuracy()(torch.eye(3)[LABELS], Y_PRED)) == 0.5


def test_binary():
    y_true, y_pred = torch.tensor([1, 0, 1, 0]), torch.tensor([0.6, 0.5, 0.4, 0.1])
    assert float(metrics.BinaryAccuracy()(y_true, y_pred)) == 0.75
    assert float(metrics.BinaryAccuracy(threshold=0.3)(y_true, y_pred)) == 0.75
    assert float(metrics.BinaryAccuracy()(y_true, y_pred[:, None])) == 0.75
    assert float(metrics.BinaryAccuracy()(y_true.bool(), y_pred)) == 0.75


def test_top_k():
    for k, expected in ((1, 0.5), (2, 1.0), (3, 1.0), (10, 1.0)):
        sparse = metrics.SparseTopKCategoricalAccuracy(k=k)
        assert float(sparse(LABELS, Y_PRED)) == expected
        dense = metrics.TopKCategoricalAccuracy(k=k)
        assert float(dense(torch.eye(3)[LABELS], Y_PRED)) == expected


def test_weights():
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(LABELS, Y_PRED, sample_weight=torch.tensor([3.0, 1.0, 0.0, 1.0]))
    assert float(metric.result()) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("name", "y_true"),
    [
        ("SparseCategoricalAccuracy", torch.zeros(4, 3)),
        ("SparseCategoricalAccuracy", torch.zeros(1)),
        ("CategoricalAccuracy", torch.zeros(4)),
        ("TopKCategoricalAccuracy", torch.zeros(4, 2)),
        ("SparseTopKCategoricalAccuracy", torch.zeros(3)),
    ],
)
def test_shapes_that_do_not_fit(name, y_true):
    with pytest.raises(ValueError, match=r"Received: y_true of shape .*, y_pred of shape \(4, 3\)"):
        getattr(metrics, name)().update_state(y_true, Y_PRED)


def test_functions_give_floats():
    for function, y_true in (
        (metrics.sparse_categorical_accuracy, LABELS),
        (metrics.categorical_accuracy, torch.eye(3)[LABELS]),
    ):
        value = function(y_true, Y_PRED)
        assert value.tolist() == [1.0, 0.0, 1.0, 0.0]
        assert value.dtype is torch.float32


@pytest.mark.parametrize(
    ("true_shape", "pred_shape", "expected"),
    [
        ((8, 1), (8, 1), (True, False)),
        ((8,), (8, 1), (True, True)),
        ((8,), (8, 4), (False, True)),
        ((8, 1), (8, 4), (False, True)),
        ((8, 4), (8, 4), (False, False)),
        ((), (), (False, False)),
    ],
)
def test_which_accuracy(true_shape, pred_shape, expected):
    found = is_binary_or_sparse_categorical(torch.zeros(true_shape), torch.zeros(pred_shape))
    assert found == expected
