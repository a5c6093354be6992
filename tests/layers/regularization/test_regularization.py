import math

import pytest
import torch

from torchkeras import layers

N = 200_000


def test_inference_returns_the_input_itself():
    x = torch.ones(4, 3, 2)
    for layer in (
        layers.Dropout(0.5),
        layers.AlphaDropout(0.5),
        layers.GaussianDropout(0.5),
        layers.GaussianNoise(0.5),
        layers.SpatialDropout1D(0.5),
    ):
        assert layer(x) is x


def test_train_mode_of_the_module_decides():
    layer = layers.Dropout(0.5)
    layer.train()
    assert set(layer(torch.ones(1000)).unique().tolist()) == {0.0, 2.0}
    assert layer(torch.ones(5), training=False).tolist() == [1.0] * 5


def test_gaussian_noise_has_its_deviation():
    y = layers.GaussianNoise(0.5)(torch.full((N,), 3.0), training=True)
    # five standard errors
    assert abs(float(y.mean()) - 3) < 5 * 0.5 / math.sqrt(N)
    assert abs(float(y.std()) - 0.5) < 5 * 0.5 / math.sqrt(2 * N)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_gaussian_dropout_multiplies_by_noise_of_the_stated_deviation(rate):
    y = layers.GaussianDropout(rate)(torch.full((N,), 2.0), training=True) / 2
    deviation = math.sqrt(rate / (1 - rate))
    assert abs(float(y.mean()) - 1) < 5 * deviation / math.sqrt(N)
    assert abs(float(y.std()) - deviation) < 5 * deviation / math.sqrt(2 * N)


@pytest.mark.parametrize("seed", [None, 3])
def test_alpha_dropout_keeps_mean_and_variance(seed):
    x = torch.randn(N)
    y = layers.AlphaDropout(0.3, seed=seed)(x, training=True)
    assert abs(float(y.mean())) < 0.02
    assert abs(float(y.var()) - 1) < 0.03
    # SELU's lowest value -scale * alpha, after the affine map a * x + b that restores the moments
    lowest = -1.7580993408473766
    a = (0.7 * (1 + 0.3 * lowest**2)) ** -0.5
    replaced = torch.isclose(y, torch.tensor(a * lowest - a * lowest * 0.3))
    assert abs(float(replaced.float().mean()) - 0.3) < 0.01


@pytest.mark.parametrize(
    ("layer", "shape", "map_axes"),
    [
        (layers.SpatialDropout1D(0.5), (8, 4, 16), (1,)),
        (layers.SpatialDropout2D(0.5), (8, 4, 4, 16), (1, 2)),
        (layers.SpatialDropout2D(0.5, data_format="channels_first"), (8, 16, 4, 4), (2, 3)),
        (layers.SpatialDropout3D(0.5), (8, 2, 2, 2, 16), (1, 2, 3)),
        (
            layers.SpatialDropout3D(0.5, data_format="channels_first"),
            (8, 16, 2, 2, 2),
            (2, 3, 4),
        ),
    ],
)
def test_spatial_dropout_drops_whole_maps(layer, shape, map_axes):
    y = layer(torch.ones(shape), training=True)
    means = y.mean(dim=map_axes)
    assert means.shape == (8, 16)
    assert set(means.flatten().tolist()) == {0.0, 2.0}


def test_activity_regularization_is_the_formula_over_the_batch():
    layer = layers.ActivityRegularization(l1=0.1, l2=0.2)
    x = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    assert layer(x) is x
    # (0.1 * 6 + 0.2 * 14) / 2
    assert [float(loss) for loss in layer.losses] == pytest.approx([1.7])


def test_a_layer_at_rate_zero_owns_no_seed():
    assert layers.Dropout(0).variables == []
    assert len(layers.Dropout(0.1).variables) == 1


@pytest.mark.parametrize("rate", [-0.1, 1.1, "0.5", None, True, float("nan")])
def test_rate_must_be_a_fraction(rate):
    for cls in (layers.Dropout, layers.AlphaDropout, layers.GaussianDropout):
        with pytest.raises(ValueError, match="`rate`.*Received"):
            cls(rate)


@pytest.mark.parametrize("noise_shape", ["ab", 3, (0, 1), (1.5, 1), (True, 1), (-1,)])
def test_noise_shape_must_hold_sizes(noise_shape):
    with pytest.raises(ValueError, match="noise_shape.*Received"):
        layers.Dropout(0.5, noise_shape=noise_shape)


def test_rate_one_makes_no_sense_where_it_divides_by_zero():
    for cls in (layers.AlphaDropout, layers.GaussianDropout):
        with pytest.raises(ValueError, match="below 1.*Received"):
            cls(1.0)
