import math

import pytest
import torch

from torchkeras import losses

Y_TRUE = torch.tensor([[1.0, 4.0], [2.0, 0.5]])
Y_PRED = torch.tensor([[2.0, 2.0], [2.0, 3.0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_squared_error", [2.5, 3.125]),
        ("mean_absolute_error", [1.5, 1.25]),
        ("mean_absolute_percentage_error", [75.0, 250.0]),
        (
            "mean_squared_logarithmic_error",
            [
                (math.log(3 / 2) ** 2 + math.log(3 / 5) ** 2) / 2,
                math.log(4 / 1.5) ** 2 / 2,
            ],
        ),
        ("huber", [(0.5 + 1.5) / 2, (0.0 + 2.0) / 2]),
        (
            "log_cosh",
            [
                (math.log(math.cosh(1)) + math.log(math.cosh(2))) / 2,
                math.log(math.cosh(2.5)) / 2,
            ],
        ),
        (
            "cosine_similarity",
            [-10 / math.sqrt(17 * 8), -5.5 / math.sqrt(4.25 * 13)],
        ),
    ],
)
def test_values(name, expected):
    function = getattr(losses, name)
    torch.testing.assert_close(function(Y_TRUE, Y_PRED), torch.tensor(expected))
    cls = "".join(part.capitalize() for part in name.split("_"))
    mean = sum(expected) / len(expected)
    assert float(getattr(losses, cls)()(Y_TRUE, Y_PRED)) == pytest.approx(mean, rel=1e-5)


def test_integer_targets_and_predictions():
    value = losses.mean_squared_error(torch.tensor([[1, 2]]), torch.tensor([[2, 4]]))
    assert value.tolist() == [2.5]
    assert float(losses.MeanSquaredError()(torch.tensor([[1]]), torch.tensor([[2.5]]))) == 2.25


def test_large_errors_do_not_overflow_log_cosh():
    value = losses.log_cosh(torch.zeros(2, 1), torch.tensor([[1000.0], [-1000.0]]))
    torch.testing.assert_close(value, torch.full((2,), 1000.0 - math.log(2.0)))


def test_cosine_of_a_zero_vector_has_a_finite_gradient():
    y_pred = torch.zeros(1, 3, requires_grad=True)
    value = losses.CosineSimilarity()(torch.ones(1, 3), y_pred)
    value.backward()
    assert float(value.detach()) == 0.0
    assert torch.isfinite(y_pred.grad).all()


def test_cosine_axis_stays_in_the_config():
    loss = losses.CosineSimilarity(axis=1)
    assert losses.deserialize(losses.serialize(loss)).axis == 1


def test_no_silent_pairing_of_a_vector_with_a_column():
    y_true, y_pred = torch.arange(4.0), torch.arange(4.0).unsqueeze(1)
    assert float(losses.MeanSquaredError()(y_true, y_pred)) == 0.0
    assert losses.mean_squared_error(y_true, y_pred).tolist() == [0.0] * 4
