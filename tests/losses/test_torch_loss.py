import copy
import functools
import pickle
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torchkeras as keras
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


def test_functions_of_torch_are_given_input_and_target():
    y_true = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.3]])
    cases = [
        (F.binary_cross_entropy_with_logits, y_true, logits),
        (F.mse_loss, y_true, logits),
        (torch.binary_cross_entropy_with_logits, y_true, logits),
        (F.kl_div, torch.tensor([[0.3, 0.7], [0.6, 0.4]]), logits.log_softmax(-1)),
        (F.cross_entropy, torch.tensor([[1], [0]]), logits),
        (F.nll_loss, torch.tensor([1.0, 0.0]), logits.log_softmax(-1)),
        (functools.partial(F.cross_entropy, label_smoothing=0.2), torch.tensor([1, 0]), logits),
        (functools.partial(F.huber_loss, reduction="sum", delta=0.5), y_true, logits),
        (functools.partial(functools.partial(F.mse_loss), reduction="none"), y_true, logits),
    ]
    for function, target, y_pred in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, on the mean of kl_div
            found = keras.losses.get(function)(target, y_pred)
            if not target.is_floating_point() or function is F.nll_loss:
                target = target.reshape(-1).long()
            expected = function(y_pred, target).mean()
        torch.testing.assert_close(found, expected)


def test_functions_of_torch_in_compile():
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), F.binary_cross_entropy_with_logits)
    x = np.array([[-1.0], [0.5], [2.0]], "float32")
    y = np.array([1.0, 0.0, 1.0])
    expected = (np.log1p(np.exp(x[:, 0])) - y * x[:, 0]).mean()
    assert model.fit(x, y, batch_size=3, verbose=0).history["loss"][0] == pytest.approx(expected)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected)
    weights = np.array([1.0, 2.0, 3.0], "float32")
    values = (np.log1p(np.exp(x[:, 0])) - y * x[:, 0]) * weights
    found = model.evaluate(x, y, sample_weight=weights, verbose=0)
    assert found == pytest.approx(values.mean())


def test_functions_of_ones_own_are_given_targets_first():
    def first(y_true, y_pred):
        return F.mse_loss(y_pred, y_true, reduction="none").mean(-1) + y_true.sum(-1) * 10

    model = keras.Sequential([keras.layers.Identity()])
    model.compile(loss=first)
    assert model.evaluate(np.zeros((2, 1)), np.ones((2, 1)), verbose=0) == pytest.approx(11.0)
