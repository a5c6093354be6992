import pytest
import torch

from tests.testing import check_symbol_dtype
from torchkeras import layers


def test_flatten_keeps_the_order_of_elements():
    x = torch.arange(12).reshape(2, 2, 3)
    assert layers.Flatten()(x).tolist() == [list(range(6)), list(range(6, 12))]


def test_flatten_gives_channels_first_the_order_of_channels_last():
    x = torch.randn(2, 4, 5, 3)
    first = layers.Flatten(data_format="channels_first")(x.movedim(-1, 1))
    assert torch.equal(first, layers.Flatten(data_format="channels_last")(x))


@pytest.mark.parametrize("target", [(3, 4), (-1, 4), (2, -1, 2), (12,), (-1,)])
def test_reshape(target):
    x = torch.arange(24).reshape(2, 2, 6)
    assert torch.equal(layers.Reshape(target)(x), x.reshape(2, *target))


@pytest.mark.parametrize("layer", [layers.Reshape((-1, 3)), layers.Flatten()])
def test_an_empty_batch(layer):
    assert layer(torch.ones(0, 2, 6)).shape == ((0, 4, 3) if layer.name[0] == "r" else (0, 12))


def test_reshape_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"target_shape=\(2, 4\).*Received.*9 elements"):
        layers.Reshape((2, 4))(torch.ones(5, 9))
    with pytest.raises(ValueError, match="Received"):
        layers.Reshape((-1, 4))(torch.ones(5, 9))


@pytest.mark.parametrize("target", [(-2, 3), (-1, -1)])
def test_reshape_refuses_sizes_that_mean_nothing(target):
    with pytest.raises(ValueError, match="target_shape.*Received"):
        layers.Reshape(target)


def test_permute():
    x = torch.randn(2, 3, 4, 5)
    y = layers.Permute((3, 1, 2))(x)
    assert torch.equal(y, x.permute(0, 3, 1, 2))


@pytest.mark.parametrize("dims", [(0, 1), (1, 3), (1, 1), (2,)])
def test_permute_refuses_what_is_no_permutation(dims):
    with pytest.raises(ValueError, match="dims.*Received"):
        layers.Permute(dims)


def test_repeat_vector_gives_memory_of_its_own():
    x = torch.randn(2, 3)
    y = layers.RepeatVector(4)(x)
    assert torch.equal(y, torch.stack([x] * 4, dim=1))
    y.add_(1)  # every repetition can be written to on its own


@pytest.mark.parametrize(("n", "error"), [(2.0, TypeError), (True, TypeError), (0, ValueError)])
def test_repeat_vector_refuses(n, error):
    with pytest.raises(error, match="`n`.*Received"):
        layers.RepeatVector(n)


@pytest.mark.parametrize(
    "layer",
    [layers.Flatten(), layers.Reshape((3, 2)), layers.Permute((1,)), layers.RepeatVector(2)],
)
def test_integers_stay_integers(layer):
    check_symbol_dtype(layer, torch.ones(2, 6, dtype=torch.int32))
