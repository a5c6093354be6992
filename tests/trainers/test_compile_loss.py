import pytest
import torch

import torchkeras as keras
from torchkeras.trainers.compile_loss import CompileLoss

A = torch.tensor([[1.0], [2.0]])
B = torch.tensor([[0.0], [4.0]])
ZERO = torch.zeros(2, 1)
# mean squares: 2.5 and 8; mean absolutes: 1.5 and 2


def test_one_output():
    assert CompileLoss("mse")(ZERO, A).item() == 2.5
    assert CompileLoss("mse", loss_weights=3.0)(ZERO, A).item() == 7.5
    assert CompileLoss(["mse"], loss_weights=[2])([ZERO], A).item() == 5.0
    weights = torch.tensor([1.0, 0.0])
    assert CompileLoss("mse")(ZERO, A, weights).item() == 0.5
    assert CompileLoss("mse")(ZERO, A).dim() == 0


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "MeanSquaredError",
        keras.losses.MeanSquaredError(),
        keras.losses.MeanSquaredError,
        keras.losses.mean_squared_error,
        lambda y_true, y_pred: torch.square(y_true - y_pred).mean(-1),
        torch.nn.MSELoss(),
    ],
)
def test_every_way_to_name_a_loss(loss):
    assert CompileLoss(loss)(ZERO, A).item() == 2.5


def test_a_function_that_returns_values_is_reduced():
    def values(y_true, y_pred):
        return (y_true - y_pred).square().squeeze(-1)

    loss = CompileLoss(values)
    assert loss(ZERO, A).item() == 2.5
    assert loss(ZERO, A, torch.tensor([0.0, 1.0])).item() == 2.0


@pytest.mark.parametrize("name", ["crossentropy", "ce"])
def test_crossentropy_is_chosen_by_shapes(name):
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])
    expected = -torch.tensor([0.25, 0.5]).log().mean()
    for y_true in (torch.tensor([1, 2]), torch.tensor([[1], [2]]), torch.eye(3)[[1, 2]]):
        loss = CompileLoss(name)(y_true, probabilities)
        torch.testing.assert_close(loss, expected)
    one = torch.tensor([[0.5], [0.25]])
    loss = CompileLoss(name)(torch.tensor([1.0, 0.0]), one)
    torch.testing.assert_close(loss, -torch.tensor([0.5, 0.75]).log().mean())


def test_several_outputs():
    loss = CompileLoss(["mse", "mae"], loss_weights=[1.0, 10.0])
    assert loss([ZERO, ZERO], [A, B]).item() == 2.5 + 10 * 2
    first, second = loss.metrics
    # The loss of each output is recorded without its weight.
    assert (first.result().item(), second.result().item()) == (2.5, 2.0)


def test_losses_of_outputs_are_averaged_over_samples():
    loss = CompileLoss("mae")
    loss([ZERO, ZERO], [A, B])
    loss([ZERO[:1], ZERO[:1]], [A[:1] * 9, B[:1]])
    assert loss.metrics[0].result().item() == (1 + 2 + 9) / 3
    loss.metrics[0].reset_state()
    assert loss.metrics[1].result().item() == pytest.approx(4 / 3)


def test_tracking_keeps_no_graph():
    loss = CompileLoss("mse")
    pred = A.clone().requires_grad_()
    assert loss([ZERO, ZERO], [pred, pred]).requires_grad
    assert not loss.metrics[0].result().requires_grad


def test_dict_of_outputs():
    loss = CompileLoss({"b": "mae", "a": "mse"}, loss_weights={"a": 2.0})
    assert loss({"a": ZERO, "b": ZERO}, {"b": B, "a": A}).item() == 2 * 2.5 + 2
    assert [metric.name for metric in loss.metrics] == ["b_loss", "a_loss"]


def test_names_of_a_functional_model_order_lists_and_dicts():
    arguments = {"loss": {"z": "mse", "a": "mae"}, "output_names": ["z", "a"]}
    for y_true in ([ZERO, ZERO + 1], {"a": ZERO + 1, "z": ZERO}):
        loss = CompileLoss(**arguments)
        assert loss(y_true, [A, B]).item() == 2.5 + 2.0
        assert [metric.name for metric in loss.metrics] == ["z_loss", "a_loss"]


def test_outputs_without_a_loss_may_lack_a_target():
    y_pred = [A, B]
    for y_true in ([ZERO], ZERO, [ZERO, ZERO], [None, ZERO]):
        assert CompileLoss([None, "mae"])(y_true, y_pred).item() == 2.0
    loss = CompileLoss({"b": "mae"})
    assert loss({"b": ZERO}, {"a": A, "b": B}).item() == 2.0
    assert loss.metrics == []  # one loss: the total says it all


def test_targets_of_some_outputs_keep_to_theirs_in_any_order_of_the_losses():
    loss = CompileLoss({"c": "mae", "a": "mse"}, output_names=["a", "b", "c"])
    y_pred = {"a": A, "b": B, "c": B + 1}
    # Two targets for three outputs: in the order of the outputs.
    assert loss([ZERO, ZERO + 1], y_pred).item() == 2.5 + 2.0


def test_no_loss_at_all():
    assert CompileLoss([None, None])([ZERO, ZERO], [A, B]) is None


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (torch.tensor([1.0, 0.0]), 0.5 + 0.0),
        ([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])], 0.5 + 2.0),
        ([torch.tensor([0.0, 1.0])], 2.0 + 2.0),
        ({"p": None, "q": torch.tensor([0.0, 0.5])}, 2.5 + 1.0),
    ],
)
def test_sample_weights_of_outputs(weights, expected):
    loss = CompileLoss(["mse", "mae"], output_names=["p", "q"])
    assert loss([ZERO, ZERO], [A, B], weights).item() == expected


def test_sample_weights_for_the_outputs_with_a_loss():
    loss = CompileLoss([None, "mae"])
    assert loss([ZERO], [A, B], [torch.tensor([0.0, 1.0])]).item() == 2.0
    both = [torch.tensor([9.0, 9.0]), torch.tensor([0.0, 1.0])]
    assert loss([ZERO], [A, B], both).item() == 2.0


def test_repeated_loss_names_are_numbered():
    loss = CompileLoss(["mse", "mse", "mae"])
    loss([ZERO] * 3, [A, A, A])
    names = [metric.name for metric in loss.metrics]
    assert names == ["mse_loss", "mse_1_loss", "mae_loss"]


def test_integer_targets_of_a_crossentropy_stay_integers():
    seen = []

    class Spy(keras.losses.Loss):
        _keeps_integer_targets = True

        def call(self, y_true, y_pred):
            seen.append(y_true.dtype)
            return y_pred.sum(-1)

    CompileLoss(Spy())(torch.tensor([1, 2]), A)
    assert seen == [torch.int64]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"loss": "no such loss"}, "no such loss"),
        ({"loss": ["mse", "nope"]}, "nope"),
        ({"loss": {"a": "nope"}}, "nope"),
        ({"loss": 5}, "5"),
        ({"loss": "mse", "loss_weights": "1"}, "loss_weights='1'"),
    ],
)
def test_what_compile_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        CompileLoss(**arguments)


@pytest.mark.parametrize(
    ("arguments", "y_true", "words"),
    [
        ({"loss": ["mse"]}, [ZERO, ZERO], "one entry for each of the 2 output"),
        ({"loss": ["mse"] * 3}, [ZERO, ZERO], "Received: 3 entries"),
        ({"loss": {"z": "mse"}}, [ZERO, ZERO], r"unknown keys \['z'\]"),
        ({"loss": "mse", "loss_weights": [1.0]}, [ZERO, ZERO], "`loss_weights` must have one"),
        ({"loss": "mse", "loss_weights": {"z": 1.0}}, [ZERO, ZERO], "`loss_weights` must be names"),
        ({"loss": "mse"}, [ZERO], r"Received: 1 in `y`"),
        ({"loss": "mse"}, None, r"Received: 0 in `y`"),
        ({"loss": "mse"}, [ZERO] * 3, r"Received: 3 in `y`"),
        ({"loss": "mse"}, [ZERO, None], "none for output 'b'"),
        ({"loss": "mse"}, {"a": ZERO}, "none for output 'b'"),
        ({"loss": "mse"}, {"a": ZERO, "b": ZERO, "c": ZERO}, r"unknown keys \['c'\]"),
    ],
)
def test_what_the_first_batch_refuses(arguments, y_true, words):
    loss = CompileLoss(**arguments, output_names=["a", "b"])
    with pytest.raises(ValueError, match=words):
        loss(y_true, [A, B])
    # Nothing was fixed by the failure: the right targets still do.
    if arguments == {"loss": "mse"}:
        assert loss([ZERO, ZERO], [A, B]).item() == 2.5 + 8


def test_missing_targets_after_the_first_batch():
    loss = CompileLoss("mse")
    loss(ZERO, A)
    with pytest.raises(ValueError, match="Received: 0 in `y`"):
        loss(None, A)
    loss = CompileLoss(["mse", "mae"])
    loss([ZERO, ZERO], [A, B])
    with pytest.raises(ValueError, match="Received: 1 in `y`"):
        loss([ZERO], [A, B])


def test_wrong_number_of_weights():
    loss = CompileLoss(["mse", "mae", "mae"])
    with pytest.raises(ValueError, match="Received: 2 arrays"):
        loss([ZERO] * 3, [A, B, B], [torch.ones(2)] * 2)
