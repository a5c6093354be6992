"""What one does with an application: take features, freeze, train, save. Values: tests/parity."""

import copy
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras import layers
from torchkeras.applications.convnext import LayerScale
from torchkeras.applications.inception_resnet_v2 import CustomScaleLayer
from torchkeras.utils import file_utils

SHAPE = (32, 32, 3)


def make(**options):
    """A small model whose maps are neither all zero nor out of bounds, as new weights give them."""
    options = {"input_shape": SHAPE, "alpha": 0.25, "weights": None, "classes": 3, **options}
    model = keras.applications.MobileNet(**options)
    if options["weights"] is None:
        for weight in model.weights:
            if weight.name == "kernel":
                maps = 1 if "_dw_" in weight.path else weight.shape[2]
                fan_in = maps * weight.shape[0] * weight.shape[1]
                weight.assign(torch.randn(weight.shape) * (2 / fan_in) ** 0.5)
    return model


@pytest.fixture
def images():
    return torch.rand(8, *SHAPE), torch.arange(8) % 3


def test_fit_trains_every_weight(images):
    model = make()
    model.compile(
        keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    before = [w.numpy() for w in model.weights]
    history = model.fit(*images, batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    same = [
        w.path for w, old in zip(model.weights, before, strict=True) if (w.numpy() == old).all()
    ]
    assert not same


def test_a_frozen_backbone_learns_nothing(images):
    backbone = make(include_top=False, pooling="avg")
    backbone.trainable = False
    assert backbone.trainable_weights == []
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layers.Dense(3)(backbone(inputs, training=False)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    before = [w.numpy() for w in backbone.weights]
    head = model.layers[-1].kernel.numpy()
    model.fit(*images, batch_size=4, verbose=0)
    for weight, old in zip(backbone.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old, weight.path)
    assert (model.layers[-1].kernel.numpy() != head).any()

    backbone.trainable = True
    model.compile(keras.optimizers.SGD(0.1), loss)
    model.fit(*images, batch_size=4, verbose=0)
    changed = {
        w.path for w, a in zip(backbone.weights, before, strict=True) if (w.numpy() != a).any()
    }
    # Normalization stays in inference mode, as it was called.
    assert changed == {w.path for w in backbone.trainable_weights}


def test_features_by_the_names_of_layers(images):
    model = make()
    names = ["conv_pw_1_relu", "conv_pw_13_relu"]
    features = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    first, last = features(images[0])
    assert tuple(first.shape) == (8, 16, 16, 16)
    assert tuple(last.shape) == (8, 1, 1, 256)
    pooled = last.mean((1, 2))
    kernel, bias = model.get_layer("conv_preds").get_weights()
    expected = torch.softmax(pooled @ torch.tensor(kernel[0, 0]) + torch.tensor(bias), -1)
    torch.testing.assert_close(model(images[0]), expected)


@pytest.mark.parametrize("ending", ["keras", "safetensors"])
def test_a_saved_model_comes_back(images, ending, tmp_path):
    model = make()
    path = str(tmp_path / f"m.{ending}")
    model.save(path)
    again = keras.saving.load_model(path)
    torch.testing.assert_close(again(images[0]), model(images[0]), rtol=0, atol=0)
    torch.testing.assert_close(make(weights=path)(images[0]), again(images[0]), rtol=0, atol=0)


def test_copies(images):
    model = make()
    expected = model(images[0])
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(copied(images[0]), expected, rtol=0, atol=0)
    for name in ("VGG16", "EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny", "NASNetMobile"):
        builder = getattr(keras.applications, name)
        assert builder.__name__ == name
        assert pickle.loads(pickle.dumps(builder)) is builder


@pytest.mark.slow
def test_compiled_and_exported(images):
    model = make(include_top=False, pooling="avg")
    expected = model(images[0]).detach()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images[0]).detach(), expected)
    exported = torch.export.export(model, (images[0],))
    torch.testing.assert_close(exported.module()(images[0]).detach(), expected)


@pytest.mark.parametrize("name", ["VGG16", "MobileNetV2"])
def test_sizes_may_be_unknown(name):
    model = getattr(keras.applications, name)(weights=None, include_top=False)
    assert model.input_shape == (None, None, None, 3)
    assert model(torch.zeros(1, 64, 96, 3)).shape[1:3] == (2, 3)


def test_mixed_precision(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.applications.ConvNeXtTiny(
        weights=None, include_top=False, pooling="avg", input_shape=SHAPE
    )
    layer = model.get_layer("convnext_tiny_stage_0_block_0_layer_scale")
    assert layer.gamma.dtype == "float32"
    assert layer(torch.ones(1, 96)).dtype == torch.bfloat16
    assert model.output.dtype == "bfloat16"


@pytest.mark.parametrize("pooling", ["mean", True])
def test_an_unknown_pooling_is_refused(pooling):
    with pytest.raises(ValueError, match="`pooling` must be"):
        make(include_top=False, pooling=pooling)


@pytest.mark.parametrize("activation", ["relu", torch.sigmoid])
def test_weights_from_a_file_want_a_classifier_that_fits(activation, tmp_path):
    make().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="`classifier_activation` must be None or 'softmax'"):
        make(weights=tmp_path / "m.weights.h5", classifier_activation=activation)
    logits = make(weights=tmp_path / "m.weights.h5", classifier_activation=None)
    scores = make(weights=tmp_path / "m.weights.h5")
    x = torch.rand(1, *SHAPE)
    torch.testing.assert_close(torch.softmax(logits(x), -1), scores(x))


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def no_network(*args, **kwargs):
        raise OSError("no network here")

    monkeypatch.setattr(file_utils.urllib.request, "urlopen", no_network)
    with pytest.raises(OSError) as caught:
        keras.applications.MobileNetV3Small()
    message = str(caught.value)
    path = tmp_path / "models" / "weights_mobilenet_v3_small_224_1.0_float.h5"
    assert f"md5 8768d4c2e7dee89b9d02b2d03d65d862 at {path} yourself" in message
    assert "whose 'models' folder has it" in message


@layer_cases(
    {
        # As in Keras its weight is named `variable`, with a number from the second layer on.
        "layer_scale": case(
            LayerScale,
            {"init_values": 0.5, "projection_dim": 3},
            (2, 4, 3),
            supports_config=False,
        ),
        "scaled_sum": case(CustomScaleLayer, {"scale": 0.5}, [(2, 3), (2, 3)]),
    }
)
def test_layers_of_applications(check):
    check()


@pytest.mark.parametrize("weights", [True, 0, "noisy-student", b"imagenet"])
def test_weights_are_none_imagenet_or_a_file(weights):
    with pytest.raises(ValueError, match="`weights` must be None for random ones, 'imagenet', or"):
        make(weights=weights)
