"""Elementwise functions of one tensor, where the parity tests do not look."""

import numpy as np
import pytest
import torch

from torchkeras import ops


@pytest.mark.parametrize("decimals", [0, 1, -1])
def test_round_of_integers_is_exact(decimals):
    x = np.array([16_777_217, -25, 35], "int32")  # 2^24 + 1 is no float32
    np.testing.assert_array_equal(ops.round(torch.tensor(x), decimals), np.round(x, decimals))


def test_clip_with_one_bound():
    x = torch.tensor([-5.0, 5.0])
    torch.testing.assert_close(ops.clip(x, torch.tensor([-1.0, 0.0]), 2), torch.tensor([-1.0, 2.0]))
    assert ops.clip(torch.tensor([True]), 0, 5).dtype is torch.int32


def test_copy_has_memory_of_its_own():
    x = torch.ones(2)
    ops.copy(x).add_(1)
    assert torch.equal(x, torch.ones(2))


def test_booleans():
    x = torch.tensor([True, False])
    assert torch.equal(ops.abs(x), x)
    assert ops.square(x).dtype is torch.int32
    assert ops.floor(x).dtype is ops.exp(x).dtype is torch.float32
