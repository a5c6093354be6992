import copy
import pickle

import pytest
import torch
from torch import nn

from torchkeras import losses

LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]])


@pytest.mark.parametrize("labels", [[1, 0], [[1], [0]]])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.uint8])
def test_cross_entropy_takes_keras_labels(labels, dtype):
    loss = losses.get(nn.CrossEntropyLoss())
    expected = nn.functional.cross_entropy(LOGITS, torch.tensor([1, 0]))
    torch.testing.assert_close(loss(torch.tensor(labels, dtype=dtype), LOGITS), expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_cross_entropy_takes_one_hot_targets(dtype):
    one_hot = torch.eye(3)[torch.tensor([1, 0])].to(dtype)
    expected = nn.functional.cross_entropy(LOGITS, torch.tensor([1, 0]))
    torch.testing.assert_close(losses.get(nn.CrossEntropyLoss())(one_hot, LOGITS), expected)


def test_order_of_arguments():
    class Signed(nn.Module):
        def forward(self, prediction, target):
            return (prediction - target).mean()

    assert float(losses.get(Signed())(torch.zeros(3), torch.ones(3))) == 1.0


def test_targets_take_rank_and_dtype_of_the_predictions():
    loss = losses.get(nn.MSELoss())
    assert float(loss(torch.tensor([1, 2]), torch.tensor([[1.0], [2.0]]))) == 0.0
    assert float(loss(torch.tensor([[1], [2]]), torch.tensor([1.0, 2.0]))) == 0.0
    value = losses.get(nn.BCEWithLogitsLoss())(torch.tensor([1, 0]), torch.zeros(2, 1))
    assert float(value) == pytest.approx(0.6931, abs=1e-4)


def test_classes_are_instantiated():
    assert isinstance(losses.get(nn.MSELoss), losses.TorchLoss)
    assert losses.get(nn.MSELoss()).name == "mse_loss"


def test_weights_need_values():
    weights = torch.tensor([1.0, 3.0])
    values = nn.CrossEntropyLoss(reduction="none")
    labels = torch.tensor([1, 0])
    expected = (values(LOGITS, labels) * weights).mean()
    torch.testing.assert_close(losses.get(values)(labels, LOGITS, weights), expected)
    torch.testing.assert_close(losses.get(values)(labels, LOGITS), values(LOGITS, labels).mean())
    with pytest.raises(ValueError, match="reduction='none'"):
        losses.get(nn.CrossEntropyLoss())(labels, LOGITS, weights)


def test_copies_and_config():
    loss = losses.get(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0])))
    expected = loss(torch.tensor([1, 0]), LOGITS)
    for again in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(again(torch.tensor([1, 0]), LOGITS), expected)
    with pytest.raises(TypeError, match="cannot be described in a config"):
        loss.get_config()
