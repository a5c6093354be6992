import math

import pytest
import torch

import torchkeras as keras
from torchkeras import layers


def built(shape, **kwargs):
    layer = layers.BatchNormalization(**kwargs)
    layer.build(shape)
    return layer


def formula(x, axes, epsilon=1e-3):
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / (x.var(axes, correction=0, keepdim=True) + epsilon).sqrt()


LAYOUTS = [((6, 3), -1), ((6, 5, 3), -1), ((6, 4, 5, 3), -1), ((6, 3, 4, 5), 1), ((6, 4, 3, 5), 2)]


@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
def test_training_normalizes_each_channel(shape, axis):
    x = torch.randn(shape) * 3 + 2
    axes = [a for a in range(len(shape)) if a != axis % len(shape)]
    y = built(shape, axis=axis)(x, training=True)
    torch.testing.assert_close(y, formula(x, axes))


@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
def test_inputs_that_are_views_of_another_layout(shape, axis):
    layer, twin = built(shape, axis=axis), built(shape, axis=axis)
    x = torch.randn(shape)
    view = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert not view.is_contiguous()
    torch.testing.assert_close(layer(view, training=True), twin(x, training=True))
    torch.testing.assert_close(layer.moving_variance.value, twin.moving_variance.value)


def test_moving_statistics_follow_the_formula():
    layer = built((None, 3), momentum=0.9)
    mean, variance = torch.zeros(3), torch.ones(3)
    for _ in range(4):
        x = torch.randn(5, 3) * 2 + 1
        layer(x, training=True)
        mean = 0.9 * mean + 0.1 * x.mean(0)
        variance = 0.9 * variance + 0.1 * x.var(0, correction=0)
    torch.testing.assert_close(layer.moving_mean.value, mean)
    torch.testing.assert_close(layer.moving_variance.value, variance)


def test_inference_uses_the_moving_statistics_and_leaves_them():
    layer = built((None, 1))
    layer.set_weights([torch.tensor([v]) for v in (2.0, 1.0, 3.0, 4.0 - 1e-3)])
    # (7 - 3) / 2 * 2 + 1
    assert layer(torch.tensor([[7.0]])).item() == pytest.approx(5)
    assert layer.moving_mean.value.item() == 3


def test_a_frozen_layer_is_in_inference_mode():
    layer = built((None, 3))
    layer.trainable = False
    x = torch.randn(4, 3)
    torch.testing.assert_close(layer(x, training=True), x / math.sqrt(1.001))
    assert not layer.moving_mean.value.any()
    layer.trainable = True
    layer(x, training=True)
    assert layer.moving_mean.value.any()


def test_two_calls_before_one_backward_pass():
    # As in a GAN, whose discriminator sees real and generated examples.
    layer, torch_layer = built((None, 3)), torch.nn.BatchNorm1d(3, eps=1e-3)
    grads = []
    for module in (layer, torch_layer.train()):
        x = torch.linspace(-1, 2, 12).reshape(4, 3).requires_grad_()
        y = layer(x, training=True) if module is layer else module(x)
        z = layer(x * x, training=True) if module is layer else module(x * x)
        (y * z).pow(3).sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
def test_one_value_a_channel_is_normalized_to_zero(shape):
    layer = built(shape, momentum=0.9)
    x = torch.full(shape, 5.0)
    # torch refuses it; its kernel leaves a rounding.
    assert layer(x, training=True).abs().max() < 1e-5
    torch.testing.assert_close(layer.moving_mean.value, torch.full((3,), 0.5))
    torch.testing.assert_close(layer.moving_variance.value, torch.full((3,), 0.9))


@pytest.mark.parametrize("renorm", [False, True])
def test_an_empty_batch_leaves_the_statistics(renorm):
    layer = built((None, 3), renorm=renorm)
    before = layer.get_weights()
    assert layer(torch.ones(0, 3), training=True).shape == (0, 3)
    x = torch.ones(2, 3)
    layer(x, training=True, mask=torch.zeros(2, dtype=torch.bool))
    for a, b in zip(before, layer.get_weights(), strict=True):
        assert a == pytest.approx(b)


def test_masked_positions_do_not_count():
    layer, twin = built((None, None, 3)), built((None, 3))
    x, mask = torch.randn(4, 5, 3), torch.rand(4, 5) > 0.4
    y = layer(x, mask=mask, training=True)
    expected = twin(x[mask], training=True)
    torch.testing.assert_close(y[mask], expected)
    for a, b in zip(layer.weights, twin.weights, strict=True):
        torch.testing.assert_close(a.value, b.value)


def test_the_mask_of_the_input_is_used_and_passed_on():
    x = torch.randn(4, 5, 3)
    x[:, 3:] = 0
    layer = built((None, None, 3), momentum=0.0)
    y = layer(layers.Masking()(x), training=True)
    torch.testing.assert_close(layer.moving_mean.value, x[:, :3].mean((0, 1)))
    assert torch.equal(y._keras_mask, torch.arange(5).expand(4, 5) < 3)


def test_mask_of_the_wrong_rank():
    with pytest.raises(ValueError, match="mask of one axis less.*Received"):
        built((None, 5, 3))(torch.ones(2, 5, 3), mask=torch.ones(2, 5, 3) > 0)


def test_renorm_without_room_is_batch_normalization():
    x = torch.randn(6, 3) * 2 + 1
    limits = {"rmin": 1.0, "rmax": 1.0, "dmax": 0.0}
    y = built((None, 3), renorm=True, renorm_clipping=limits)(x, training=True)
    torch.testing.assert_close(y, formula(x, [0]))


def test_renorm_without_limits_normalizes_by_its_moving_statistics():
    layer = built((None, 3), renorm=True, renorm_momentum=0.8, momentum=0.6)
    x = torch.randn(6, 3) * 2 + 1
    # Both begin at mean 0 and deviation 1.
    torch.testing.assert_close(layer(x, training=True), x)
    stddev = (x.var(0, correction=0) + 1e-3).sqrt()
    expected = {
        "renorm_mean": 0.2 * x.mean(0),
        "renorm_stddev": 0.8 + 0.2 * stddev,
        "moving_mean": 0.4 * x.mean(0),
        "moving_stddev": 0.6 + 0.4 * stddev,
        "moving_variance": (0.6 + 0.4 * stddev).square() - 1e-3,
    }
    for name, value in expected.items():
        torch.testing.assert_close(getattr(layer, name).value, value)


@pytest.mark.parametrize("limits", [{"rmax": 1.0, "rmin": 2.0}, {"dmax": -1.0}, {"maximum": 1.0}])
def test_limits_that_contradict_themselves(limits):
    with pytest.raises(ValueError, match="renorm_clipping.*Received"):
        layers.BatchNormalization(renorm=True, renorm_clipping=limits)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kwargs", [{}, {"renorm": True}])
def test_mixed_precision_keeps_float32_statistics(dtype, kwargs):
    layer = built((None, 3), dtype=dtype, momentum=0.0, **kwargs)
    # In half precision neither this sum nor these squares would fit.
    x = torch.linspace(-200, 300, 3000).reshape(-1, 3)
    y = layer(x, training=True)
    rounded = x.to(y.dtype).float()
    assert layer.compute_dtype == dtype.removeprefix("mixed_")
    assert {w.value.dtype for w in layer.weights} == {torch.float32}
    torch.testing.assert_close(layer.moving_mean.value, rounded.mean(0), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(
        layer.moving_variance.value, rounded.var(0, correction=0), rtol=1e-4, atol=0.0
    )


def test_integers_are_computed_in_the_dtype_of_the_weights():
    x = torch.arange(12).reshape(4, 3)
    y = built((None, 3))(x, training=True)
    torch.testing.assert_close(y, formula(x.float(), [0]))


def test_stateless_training_returns_the_new_statistics():
    layer = built((None, 3))
    x = torch.randn(4, 3)
    given = [v.value.clone() for v in layer.non_trainable_variables]
    trainable = [v.value for v in layer.trainable_variables]
    _, state = layer.stateless_call(trainable, given, x, training=True)
    torch.testing.assert_close(state[0], 0.01 * x.mean(0))
    assert torch.equal(given[0], torch.zeros(3)), "the values given are the caller's"
    assert torch.equal(layer.moving_mean.value, torch.zeros(3))


# Dynamo itself makes an object of an autograd function.
@pytest.mark.parametrize("kwargs", [{}, {"renorm": True}, {"synchronized": True}])
def test_training_compiles_in_one_graph(kwargs):
    x, weights = torch.randn(4, 3), torch.randn(4, 3)
    results = []
    for compiles in (False, True):
        layer = built((None, 3), **kwargs).train()
        torch._dynamo.reset()
        call = torch.compile(layer, fullgraph=True, backend="aot_eager") if compiles else layer
        given = x.clone().requires_grad_()
        for _ in range(2):
            (call(given) * weights).sum().backward()
        results.append([given.grad, *(w.value.detach() for w in layer.weights)])
    torch._dynamo.reset()
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamic", [None, True])
def test_compiled_training_takes_one_value_a_channel(dynamic):
    results = []
    for compiles in (False, True):
        torch._dynamo.reset()
        torch.manual_seed(0)
        layer = call = built((None, 3), momentum=0.5).train()
        if compiles:
            call = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=dynamic)
        found = []
        for rows in (4, 1, 6, 1):  # as the last batch of an epoch
            x = torch.randn(rows, 3, requires_grad=True)
            y = call(x)
            (y * torch.arange(3.0)).sum().backward()
            found += [y.detach(), x.grad, *(w.value.detach().clone() for w in layer.weights)]
        results.append(found)
    torch._dynamo.reset()
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)


def test_a_regularizer_and_a_constraint_reach_their_weights():
    layer = built((None, 3), gamma_regularizer="l2", beta_constraint="non_neg")
    # 0.01 * three ones
    assert [loss.item() for loss in layer.losses] == pytest.approx([0.03])
    assert type(layer.beta.constraint).__name__ == "NonNeg"


def test_it_learns_in_fit_and_predicts_with_what_it_saw():
    x = torch.randn(256, 3) * 5 + 10
    model = keras.Sequential([layers.BatchNormalization(momentum=0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], batch_size=32, epochs=3, verbose=0)
    moving_mean = model.layers[0].moving_mean.value
    # The mean of 32 of deviation 5 is off by 0.9, and one step in two counts for half.
    assert (moving_mean - 10).abs().max() < 3
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], batch_size=32, verbose=0)
    assert torch.equal(model.layers[0].moving_mean.value, moving_mean)


@pytest.mark.parametrize("axis", [1.0, [1, 2], None, True])
def test_axis_must_be_an_int(axis):
    with pytest.raises(TypeError, match="axis.*Received"):
        layers.BatchNormalization(axis=axis)


def test_axis_must_be_in_the_input():
    with pytest.raises(ValueError, match="each axis of axis=2.*Received"):
        built((None, 3), axis=2)


def test_the_size_of_the_axis_must_be_known():
    with pytest.raises(ValueError, match="needs the sizes.*Received.*Input"):
        built((None, None))


def test_wrong_number_of_channels():
    with pytest.raises(ValueError, match="expects 3 features on axis -1.*Received"):
        built((None, 3))(torch.ones(2, 4))
