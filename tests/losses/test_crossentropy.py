import math

import pytest
import torch

from torchkeras import activations, losses

LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]])
LABELS = torch.tensor([1, 0])
ONE_HOT = torch.eye(3)[LABELS]


def negative_log_softmax(logits, label):
    return math.log(sum(math.exp(v) for v in logits)) - logits[label]


EXPECTED = [negative_log_softmax(row.tolist(), int(k)) for row, k in zip(LOGITS, LABELS)]  # noqa: B905


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_categorical_values(sparse, from_logits):
    y_pred = LOGITS if from_logits else torch.softmax(LOGITS, -1)
    name = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
    y_true = LABELS if sparse else ONE_HOT
    value = getattr(losses, name)(y_true, y_pred, from_logits=from_logits)
    torch.testing.assert_close(value, torch.tensor(EXPECTED), rtol=1e-5, atol=1e-6)
    assert float(losses.get(name)._fused_mean(y_true, LOGITS, True)) == pytest.approx(
        sum(EXPECTED) / 2, rel=1e-5
    )


def test_binary_values():
    p = torch.tensor([[0.2, 0.9]])
    expected = -(math.log(0.8) + math.log(0.9)) / 2
    assert float(losses.binary_crossentropy([[0, 1]], p)) == pytest.approx(expected, rel=1e-5)
    logits = torch.logit(p)
    value = losses.binary_crossentropy([[0, 1]], logits, from_logits=True)
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing():
    smooth = 0.3
    expected = sum(
        -(hot * (1 - smooth) + smooth / 3) * (x - math.log(sum(map(math.exp, LOGITS[0].tolist()))))
        for hot, x in zip(ONE_HOT[0].tolist(), LOGITS[0].tolist(), strict=True)
    )
    value = losses.categorical_crossentropy(
        ONE_HOT[:1], LOGITS[:1], from_logits=True, label_smoothing=smooth
    )
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_counts_the_classes_of_its_axis():
    y_true, y_pred = ONE_HOT.T[None], LOGITS.T[None]  # (1, classes, 2)
    options = {"from_logits": True, "label_smoothing": 0.3}
    value = losses.categorical_crossentropy(y_true, y_pred, axis=1, **options)
    expected = losses.categorical_crossentropy(ONE_HOT, LOGITS, **options)
    torch.testing.assert_close(value[0], expected)


@pytest.mark.parametrize("make", [activations.softmax, lambda x: torch.softmax(x, -1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_saturated_softmax(make, dtype):
    logits = torch.tensor([[60.0, 0.0]], dtype=dtype, requires_grad=True)
    for loss, target in (
        (losses.SparseCategoricalCrossentropy(), torch.tensor([1])),
        (losses.CategoricalCrossentropy(), torch.tensor([[0.0, 1.0]])),
    ):
        value = loss(target, make(logits))
        (gradient,) = torch.autograd.grad(value, logits)
        if make is activations.softmax:  # from the logits, with a gradient
            assert float(value.detach()) == pytest.approx(60.0)
            torch.testing.assert_close(gradient, torch.tensor([[1.0, -1.0]], dtype=dtype))
        else:  # from the clipped probability
            assert float(value.detach()) == pytest.approx(-math.log(1e-7), rel=1e-3)
            assert not gradient.any()


def test_saturated_sigmoid():
    logits = torch.tensor([[50.0]], requires_grad=True)
    value = losses.BinaryCrossentropy()(torch.zeros(1, 1), activations.sigmoid(logits))
    value.backward()
    assert float(value.detach()) == pytest.approx(50.0)
    assert float(logits.grad) == pytest.approx(1.0)


def test_logits_give_the_value_of_the_probabilities():
    torch.manual_seed(0)
    logits = torch.randn(20, 7)
    labels = torch.randint(0, 7, (20,))
    known, unknown = activations.softmax(logits), torch.softmax(logits, -1)
    for loss, target in (
        (losses.SparseCategoricalCrossentropy(), labels),
        (losses.CategoricalCrossentropy(), torch.eye(7)[labels]),
    ):
        # rtol: the clip and two ways of rounding in float32.
        torch.testing.assert_close(loss(target, known), loss(target, unknown), rtol=1e-6, atol=1e-6)
    value = losses.BinaryCrossentropy()(torch.eye(7)[labels], activations.sigmoid(logits))
    expected = losses.BinaryCrossentropy()(torch.eye(7)[labels], torch.sigmoid(logits))
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


def test_logits_of_another_activation_or_axis_are_left_alone():
    logits = torch.randn(4, 4)
    target = torch.eye(4)
    softmaxed, sigmoided = activations.softmax(logits), activations.sigmoid(logits)
    across = activations.softmax(logits, axis=0)
    for loss, y_pred in (
        (losses.BinaryCrossentropy(), softmaxed),
        (losses.CategoricalCrossentropy(), sigmoided),
        (losses.CategoricalCrossentropy(), across),
    ):
        torch.testing.assert_close(loss(target, y_pred), loss(target, y_pred.clone()))


def test_changed_probabilities_forget_their_logits():
    y_pred = activations.softmax(torch.tensor([[1.0, 2.0]]))
    y_pred.fill_(0.5)
    assert float(losses.SparseCategoricalCrossentropy()(torch.tensor([0]), y_pred)) == (
        pytest.approx(math.log(2.0))
    )


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("label", [3, -1, -100])
def test_label_out_of_range(label, from_logits):
    y_true = torch.tensor([0, label])
    y_pred = torch.softmax(LOGITS, -1)
    loss = losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    function = losses.sparse_categorical_crossentropy
    for call in (lambda: loss(y_true, y_pred), lambda: function(y_true, y_pred, from_logits)):
        with pytest.raises(ValueError, match="from 0 to 2, as `y_pred` has 3") as caught:
            call()
        assert f"Received: y_true from {min(0, label)} to {max(0, label)}" in str(caught.value)


def test_labels_of_the_wrong_shape():
    loss = losses.SparseCategoricalCrossentropy()
    with pytest.raises(ValueError, match=r"\(2,\). Received: y_true of shape \(2, 3\)"):
        loss(ONE_HOT, torch.softmax(LOGITS, -1))


def test_ignored_class():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    y_pred = torch.cat([LOGITS, torch.full((1, 3), float("nan"))]).requires_grad_()
    value = loss(torch.tensor([1, 0, -1]), y_pred)
    assert float(value.detach()) == pytest.approx(sum(EXPECTED) / 2, rel=1e-5)
    value.backward()
    assert torch.isfinite(y_pred.grad).all()
    assert not y_pred.grad[2].any()


def test_all_classes_ignored():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    assert float(loss(torch.tensor([0, 0]), LOGITS)) == 0.0


def test_one_class_warns():
    with pytest.warns(SyntaxWarning, match="always 0"):
        losses.categorical_crossentropy(torch.ones(2, 1), torch.ones(2, 1))


@pytest.mark.parametrize("axis", [True, 1.0])
def test_axis_must_be_an_int(axis):
    for name, y_true in (("categorical", ONE_HOT), ("sparse_categorical", LABELS)):
        with pytest.raises(ValueError, match="`axis` must be an int"):
            getattr(losses, f"{name}_crossentropy")(y_true, LOGITS, axis=axis)


def test_binary_crossentropy_of_nan_is_nan():
    y_pred = torch.tensor([[float("nan")], [0.5]])
    assert torch.isnan(losses.BinaryCrossentropy()(torch.ones(2, 1), y_pred))


def test_under_autocast():
    y_pred = torch.rand(4, 3)
    expected = losses.BinaryCrossentropy()(torch.eye(4)[:, :3], y_pred)
    with torch.autocast("cpu", torch.bfloat16):
        value = losses.BinaryCrossentropy()(torch.eye(4)[:, :3], y_pred)
    torch.testing.assert_close(value, expected)


def test_focal_losses_with_gamma_0_are_crossentropies():
    p = torch.softmax(LOGITS, -1)
    torch.testing.assert_close(
        losses.binary_focal_crossentropy(ONE_HOT, p, gamma=0.0),
        losses.binary_crossentropy(ONE_HOT, p),
    )
    torch.testing.assert_close(
        losses.categorical_focal_crossentropy(ONE_HOT, p, alpha=1.0, gamma=0.0),
        losses.categorical_crossentropy(ONE_HOT, p),
    )


def test_generalized_crossentropy():
    y_pred = torch.tensor([[0.25, 0.75]])
    value = losses.categorical_generalized_cross_entropy(torch.tensor([0]), y_pred, q=0.5)
    assert value.tolist() == [1.0]
    with pytest.raises(ValueError, match="`q` must lie between 0 and 1"):
        losses.CategoricalGeneralizedCrossEntropy(q=1.0)


def test_sparse_axis_stays_in_the_config():
    loss = losses.SparseCategoricalCrossentropy(axis=1)
    assert losses.deserialize(losses.serialize(loss)).axis == 1


@pytest.mark.parametrize("from_logits", [True, False])
def test_nan_labels_are_an_error_on_the_cpu(from_logits):
    labels = torch.tensor([float("nan"), 1.0, 2.0])
    y_pred = torch.full((3, 4), 0.25)
    with pytest.raises(ValueError, match="Received"):
        losses.SparseCategoricalCrossentropy(from_logits=from_logits)(labels, y_pred)
