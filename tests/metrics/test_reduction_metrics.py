import numpy as np
import pytest
import torch

from torchkeras import metrics


def test_nothing_seen_gives_zero():
    assert float(metrics.Mean().result()) == 0.0
    assert float(metrics.Sum().result()) == 0.0
    assert float(metrics.MeanSquaredError().result()) == 0.0
    assert float(metrics.RootMeanSquaredError().result()) == 0.0


@pytest.mark.parametrize("kind", [float, np.float32, torch.tensor, lambda x: [x]])
def test_kinds_of_values(kind):
    metric = metrics.Mean()
    metric.update_state(kind(2.0))
    metric.update_state(kind(5.0), sample_weight=2)
    assert float(metric.result()) == 4.0


def test_mean_of_a_loss_by_batch_size():
    metric = metrics.Mean("loss")
    metric.update_state(torch.tensor(1.0, requires_grad=True) * 1.0, sample_weight=32)
    metric.update_state(torch.tensor(4.0), sample_weight=16)
    assert float(metric.result()) == pytest.approx(2.0)
    assert float(metric.count) == 48.0


def test_nan_shows():
    metric = metrics.Mean()
    metric.update_state(torch.tensor(float("nan")))
    assert torch.isnan(metric.result())


def test_half_precision_values_do_not_overflow():
    metric = metrics.Mean()
    metric.update_state(torch.full((1000,), 1000.0, dtype=torch.float16))
    assert float(metric.result()) == 1000.0


def test_weights_of_samples_beside_values_with_more_axes():
    values = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    metric = metrics.Mean()
    metric.update_state(values, sample_weight=torch.tensor([1.0, 3.0]))
    assert float(metric.result()) == pytest.approx((2 * 1 + 6 * 3) / 4)
    metric = metrics.Sum()
    metric.update_state(values, sample_weight=torch.tensor([1.0, 3.0]))
    assert float(metric.result()) == pytest.approx(4 * 1 + 12 * 3)


def test_empty_batches_add_nothing():
    metric = metrics.Mean()
    metric.update_state(torch.tensor([2.0]))
    metric.update_state(torch.zeros(0))
    metric.update_state(torch.zeros(0, 3))
    assert float(metric.result()) == 2.0


def test_masked_samples_do_not_count():
    y_pred = torch.tensor([[1.0], [100.0]])
    y_pred._keras_mask = torch.tensor([True, False])
    metric = metrics.MeanSquaredError()
    metric.update_state(torch.zeros(2, 1), y_pred)
    assert float(metric.result()) == 1.0


def test_wrapper_of_a_function():
    def error(y_true, y_pred, power=1):
        return (y_true - y_pred).abs() ** power

    metric = metrics.MeanMetricWrapper(error, name="cubed", power=3)
    metric.update_state(torch.zeros(2), torch.tensor([1.0, 3.0]))
    assert float(metric.result()) == 14.0
    config = metrics.serialize(metric)
    again = metrics.deserialize(config, custom_objects={"error": error})
    assert again._fn is error
    assert again.get_config() == metric.get_config()
    config["config"]["fn"]["config"] = "system"
    with pytest.raises(ValueError, match="Received: 'system'"):
        metrics.deserialize(config)


def test_wrapper_of_a_name():
    metric = metrics.MeanMetricWrapper(metrics.poisson)
    again = metrics.deserialize(metrics.serialize(metric))
    assert again._fn is metrics.poisson
    assert again._direction == "down"


def test_a_wrapped_loss_uses_its_values():
    y_true, y_pred = torch.rand(7, 3, 2), torch.rand(7, 3, 2)
    fast, slow = metrics.MeanSquaredError(), metrics.MeanSquaredError()
    slow._fused_mean = None
    for _ in range(2):
        fast.update_state(y_true, y_pred)
        slow.update_state(y_true, y_pred)
    torch.testing.assert_close(fast.result(), slow.result())
    assert float(fast.count) == float(slow.count) == 14.0
