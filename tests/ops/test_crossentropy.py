"""Crossentropies: formulas, clipping, shapes, errors. The remembered logits: test_activations."""

import math

import pytest
import torch

from torchkeras import ops

P = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
LABELS = torch.tensor([2, 0])
EXPECTED = -torch.log(torch.tensor([0.5, 0.6]))


def test_values():
    torch.testing.assert_close(ops.sparse_categorical_crossentropy(LABELS, P), EXPECTED)
    one_hot = torch.tensor([[0, 0, 1], [1, 0, 0]])
    torch.testing.assert_close(ops.categorical_crossentropy(one_hot, P), EXPECTED)
    torch.testing.assert_close(ops.categorical_crossentropy(one_hot, P * 3), EXPECTED)
    logits = torch.log(P) + 7
    for loss, y in (
        (ops.sparse_categorical_crossentropy, LABELS),
        (ops.categorical_crossentropy, one_hot),
    ):
        torch.testing.assert_close(loss(y, logits, from_logits=True), EXPECTED)
    expected = torch.where(one_hot == 1, -torch.log(P), -torch.log1p(-P))
    torch.testing.assert_close(ops.binary_crossentropy(one_hot, P), expected)
    logits = torch.logit(P)
    torch.testing.assert_close(ops.binary_crossentropy(one_hot, logits, True), expected)


@pytest.mark.parametrize("shape, axis", [((4, 3), 1), ((4, 3), 0), ((2, 4, 3), -1)])
@pytest.mark.parametrize("shape_of_labels", ["without", "with"])
def test_class_axis(shape, axis, shape_of_labels):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    classes = shape[axis]
    labels = torch.arange(logits.sum(axis).numel()).reshape(logits.sum(axis).shape) % classes
    picked = torch.log_softmax(logits, axis).take_along_dim(labels.unsqueeze(axis), axis)
    if shape_of_labels == "with":
        labels = labels.unsqueeze(axis)
    ours = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True, axis=axis)
    torch.testing.assert_close(ours, -picked.squeeze(axis))
    ours = ops.sparse_categorical_crossentropy(labels, torch.softmax(logits, axis), axis=axis)
    torch.testing.assert_close(ours, -picked.squeeze(axis))


def test_one_sample_without_batch():
    ours = ops.sparse_categorical_crossentropy(torch.tensor(2), P[0])
    torch.testing.assert_close(ours, EXPECTED[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_saturated_probabilities_are_clipped(dtype):
    p = torch.tensor([[1.0, 0.0]], dtype=dtype)
    wrong = torch.tensor([[0.0, 1.0]], dtype=dtype)
    limit = -math.log(1e-7)
    for loss in (
        ops.categorical_crossentropy(wrong, p),
        ops.sparse_categorical_crossentropy(torch.tensor([1]), p),
        ops.binary_crossentropy(wrong, p),
    ):
        assert loss.dtype is dtype
        torch.testing.assert_close(loss.float(), torch.full(loss.shape, limit), rtol=2e-2, atol=0)
    assert ops.binary_crossentropy(p, p).max() < 2e-7


def test_nan_outputs_give_nan_not_an_error():
    p = torch.tensor([[float("nan"), 0.5]])
    assert torch.isnan(ops.binary_crossentropy(torch.ones(1, 2), p)).tolist() == [[True, False]]
    assert torch.isnan(ops.sparse_categorical_crossentropy(torch.tensor([1]), p)).all()


@pytest.mark.parametrize("label", [3, -1, 10**9])
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32])
def test_a_label_out_of_range_names_the_range(label, from_logits, dtype):
    labels = torch.tensor([0, label], dtype=dtype)
    with pytest.raises(ValueError, match=r"\[0, 3\).*labels from .* to .*one unit"):
        ops.sparse_categorical_crossentropy(labels, P, from_logits=from_logits)


def test_a_label_out_of_range_in_an_image():
    with pytest.raises(ValueError, match=r"\[0, 3\)"):
        ops.sparse_categorical_crossentropy(
            torch.full((1, 2, 2), 7), torch.ones(1, 2, 2, 3), from_logits=True
        )


def test_float_labels_are_cast_and_nan_is_refused():
    torch.testing.assert_close(ops.sparse_categorical_crossentropy(LABELS.float(), P), EXPECTED)
    with pytest.raises(ValueError, match="NaN in it"):
        ops.sparse_categorical_crossentropy(torch.tensor([0.0, float("nan")]), P)


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_label_that_torch_ignores_is_out_of_range(from_logits):
    with pytest.raises(ValueError, match=r"Labels must lie in \[0, 3\)"):
        ops.sparse_categorical_crossentropy(torch.tensor([-100, 0]), P, from_logits=from_logits)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"target of shape \(2,\), output of shape \(2, 3\)"):
        ops.categorical_crossentropy(LABELS, P)
    with pytest.raises(ValueError, match=r"target of shape \(2,\), output of shape \(2, 3\)"):
        ops.binary_crossentropy(LABELS, P)
    with pytest.raises(ValueError, match=r"\(2,\).*Received: target of shape \(2, 3\)"):
        ops.sparse_categorical_crossentropy(P, P)
    for loss in (ops.categorical_crossentropy, ops.sparse_categorical_crossentropy):
        with pytest.raises(ValueError, match="at least one axis"):
            loss(torch.tensor(1.0), torch.tensor(1.0))


def test_arrays_and_lists_as_targets():
    torch.testing.assert_close(ops.sparse_categorical_crossentropy([2, 0], P), EXPECTED)
    torch.testing.assert_close(ops.sparse_categorical_crossentropy(LABELS.numpy(), P), EXPECTED)


@pytest.mark.parametrize("from_logits", [False, True])
def test_losses_compile_without_graph_break(from_logits):
    def losses(p):
        return (
            ops.sparse_categorical_crossentropy(LABELS, p, from_logits),
            ops.sparse_categorical_crossentropy(LABELS.float(), p, from_logits),
            ops.categorical_crossentropy(P, p, from_logits),
            ops.binary_crossentropy(P, p, from_logits),
        )

    compiled = torch.compile(losses, fullgraph=True, backend="eager")
    for a, b in zip(compiled(P), losses(P), strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_of_crossentropy_of_logits():
    x = torch.log(P).requires_grad_()
    ops.sparse_categorical_crossentropy(LABELS, x, from_logits=True).sum().backward()
    expected = P - torch.nn.functional.one_hot(LABELS, 3)
    torch.testing.assert_close(x.grad, expected)


def test_gradient_of_probabilities_of_an_image():
    generator = torch.Generator().manual_seed(0)
    p = torch.softmax(torch.randn(2, 3, 4, 5, generator=generator), -1).requires_grad_()
    labels = torch.randint(0, 5, (2, 3, 4), generator=generator)
    ops.sparse_categorical_crossentropy(labels, p).sum().backward()
    # Of `log(sum(p)) - log(p[label])`, where the sum is 1.
    one_hot = torch.nn.functional.one_hot(labels, 5)
    torch.testing.assert_close(p.grad, 1 - one_hot / p.detach())
