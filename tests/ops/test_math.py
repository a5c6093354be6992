"""Segment sums, the largest k, against plain loops."""

import pytest
import torch

from torchkeras import ops

DATA = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([2, 0, 2, -1, 0, 7])


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.int64])
def test_segments(dtype):
    data = (DATA * 100).to(dtype)
    total = ops.segment_sum(data, IDS, num_segments=4)
    largest = ops.segment_max(data, IDS, num_segments=4)
    assert total.dtype is largest.dtype is dtype and total.shape == (4, 2, 3)
    torch.testing.assert_close(total[0], data[1] + data[4])
    torch.testing.assert_close(total[2], data[0] + data[2])
    torch.testing.assert_close(largest[0], torch.maximum(data[1], data[4]))
    assert not total[[1, 3]].any()
    least = float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min
    assert (largest[[1, 3]] == least).all()


def test_integer_sums_are_exact():
    data = torch.tensor([16_777_217, 0], dtype=torch.int32)  # 2^24 + 1 is no float32
    assert ops.segment_sum(data, torch.tensor([0, 0])).tolist() == [16_777_217]


def test_segment_gradients():
    data = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    ids = torch.tensor([0, 0, 1])
    (ops.segment_sum(data, ids) * torch.tensor([5.0, 7.0])).sum().backward()
    assert data.grad.tolist() == [5, 5, 7]
    data.grad = None
    ops.segment_max(data, ids).sum().backward()
    assert data.grad.tolist() == [0, 1, 1]


def test_number_of_segments_from_the_ids():
    assert ops.segment_sum(DATA, torch.tensor([0, 1, 1, 0, 3, 0])).shape == (4, 2, 3)
    with pytest.raises(ValueError, match="one id for each row"):
        ops.segment_sum(DATA, torch.tensor([0, 1]))


def test_top_k():
    values, indices = ops.top_k(DATA, 2)
    assert indices.dtype is torch.int32
    torch.testing.assert_close(values, DATA.sort(-1, descending=True).values[..., :2])
    torch.testing.assert_close(DATA.gather(-1, indices.long()), values)


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_in_top_k(k):
    predictions = torch.tensor([[0.1, 0.5, 0.5], [0.7, 0.2, 0.1], [0.3, 0.3, 0.3]])
    targets = torch.tensor([2, 2, 0])
    kth = predictions.sort(-1, descending=True).values[:, min(k, 3) - 1]
    expected = predictions[torch.arange(3), targets] >= kth  # ties count
    assert torch.equal(ops.in_top_k(targets, predictions, k), expected)


def test_in_top_k_with_nan():
    nan = float("nan")
    predictions = torch.tensor([[nan, 0.5, 0.1], [0.9, nan, 0.1]])
    assert ops.in_top_k(torch.tensor([1, 1]), predictions, 2).tolist() == [True, False]
    assert ops.in_top_k(torch.tensor([1, 1]), predictions, 5).tolist() == [True, False]


def test_logsumexp_does_not_overflow():
    x = torch.tensor([[1000.0, 1000.0], [-1000.0, -1000.0]])
    log2 = 0.6931472
    torch.testing.assert_close(ops.logsumexp(x, axis=1), torch.tensor([1000 + log2, -1000 + log2]))
    torch.testing.assert_close(ops.logsumexp(x, keepdims=True), torch.tensor([[1000 + log2]]))
