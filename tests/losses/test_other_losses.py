"""Hinge, distribution, overlap, sequence and similarity losses: values from their formulas."""

import math

import pytest
import torch

from tests.processes import run_python
from torchkeras import losses


def test_hinge_reads_zeros_as_minus_one():
    y_pred = torch.tensor([[0.5, -2.0]])
    for y_true in ([[1.0, -1.0]], [[1.0, 0.0]]):
        assert losses.hinge(y_true, y_pred).tolist() == [0.25]
        assert losses.squared_hinge(y_true, y_pred).tolist() == [0.125]


def test_categorical_hinge():
    value = losses.categorical_hinge([[0.0, 1.0, 0.0]], [[0.3, 0.4, 0.6]])
    assert float(value) == pytest.approx(0.6 - 0.4 + 1.0)


def test_kl_divergence():
    value = losses.kl_divergence([[0.2, 0.8]], [[0.5, 0.5]])
    assert float(value) == pytest.approx(0.2 * math.log(0.4) + 0.8 * math.log(1.6), rel=1e-5)
    assert float(losses.kl_divergence([[0.0, 1.0]], [[0.0, 1.0]])) == 0.0


def test_poisson():
    value = losses.poisson([[3.0, 1.0]], [[2.0, 0.5]])
    expected = (2.0 - 3.0 * math.log(2.0) + 0.5 - math.log(0.5)) / 2
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_dice_and_tversky():
    y_true, y_pred = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.5, 0.25]])
    assert float(losses.dice(y_true, y_pred)) == pytest.approx(1 - 2 * 1.5 / 3.75)
    # Eq. 3 of the paper: alpha weighs false positives (0.25), beta false negatives (0.5).
    expected = 1 - 1.5 / (1.5 + 0.2 * 0.25 + 0.6 * 0.5)
    assert float(losses.tversky(y_true, y_pred, 0.2, 0.6)) == pytest.approx(expected)
    assert float(losses.Tversky(alpha=0.2, beta=0.6)(y_true, y_pred)) == pytest.approx(expected)
    assert losses.Dice(axis=[1])(y_true, y_pred).shape == ()
    again = losses.deserialize(losses.serialize(losses.Tversky(alpha=0.2, axis=1)))
    assert (again.alpha, again.axis) == (0.2, 1)


def test_ctc_sums_over_alignments():
    # Two steps, labels "1": the paths 11, 01, 10 of two classes, each step with probability 1/2.
    value = losses.ctc([[1]], torch.zeros(1, 2, 2))
    assert float(value) == pytest.approx(-math.log(0.75), rel=1e-5)
    with pytest.raises(ValueError, match="Received: y_true of shape"):
        losses.ctc([1], torch.zeros(1, 2, 2))


FAR_LABELS = """
import torch
import torchkeras as keras

logits = torch.zeros(2, 4, 3, requires_grad=True)
compiled = torch.compile(keras.losses.ctc, backend="eager")
for label in (3, -1, 10**9, -(10**9)):
    labels = torch.tensor([[1, label], [1, 2]])
    try:
        keras.losses.ctc(labels, logits).sum().backward()
    except ValueError as error:
        print(error)
    print(compiled(labels, logits).isnan().tolist())
"""


def test_ctc_refuses_labels_that_are_no_class():
    told = run_python(FAR_LABELS).splitlines()
    for i, label in enumerate((3, -1, 10**9, -(10**9))):
        assert told[2 * i].endswith(
            f"0 to 2, the classes of the logits. Received: y_true with {label}."
        )
        assert told[2 * i + 1] == "[True, False]"


def test_circle_prefers_embeddings_by_class():
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    mixed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    loss = losses.Circle(gamma=2.0)
    assert float(loss(labels, apart)) < float(loss(labels, mixed))
