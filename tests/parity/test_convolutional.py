"""Errors and files of convolutional layers against real Keras; values are in test_layers."""

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"filters": 0}, (1, 5, 5, 3)),
        ({"groups": 0}, (1, 5, 5, 3)),
        ({"groups": 3}, (1, 5, 5, 3)),
        ({"kernel_size": 0}, (1, 5, 5, 3)),
        ({"kernel_size": (1, 2, 3)}, (1, 5, 5, 3)),
        ({"kernel_size": "ab"}, (1, 5, 5, 3)),
        ({"strides": 0}, (1, 5, 5, 3)),
        ({"strides": 2, "dilation_rate": 2}, (1, 5, 5, 3)),
        ({"padding": "full"}, (1, 5, 5, 3)),
        ({"padding": [1, 1]}, (1, 5, 5, 3)),
        ({"data_format": "last"}, (1, 5, 5, 3)),
        ({"activation": "unknown"}, (1, 5, 5, 3)),
        ({"groups": 2}, (1, 5, 5, 3)),
        ({}, (1, 2, 5, 3)),
        ({}, (1, 5, 5)),
        ({}, (1, 5, 5, 5, 3)),
    ],
)
def test_errors_have_keras_types(arguments, shape):
    for library in (torchkeras, keras):
        with pytest.raises(ValueError):
            library.layers.Conv2D(**{"filters": 4, "kernel_size": 3, **arguments})(
                torch.ones(shape)
            )


@pytest.mark.parametrize("maker", [torchkeras, keras])
def test_files_are_exchanged(tmp_path, maker):
    pytest.importorskip("h5py")
    reader = keras if maker is torchkeras else torchkeras
    layers = maker.layers
    model = maker.Sequential(
        [maker.Input((6, 6, 2)), layers.Conv2D(4, 3, strides=2, padding="same", groups=2)]
    )
    options = {"weights_format": "h5"} if maker is torchkeras else {}
    model.save(tmp_path / "model.keras", **options)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    made = reader.saving.load_model(tmp_path / "model.keras").predict(x, verbose=0)
    np.testing.assert_allclose(made, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def every_layer(layers):
    """A model with a layer of each kind of kernel, for images of 8 by 8 pixels."""
    return [
        layers.ZeroPadding2D(1),
        layers.SeparableConv2D(4, 3, depth_multiplier=2, activation="relu"),
        layers.DepthwiseConv2D(3, strides=2, padding="same"),
        layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu"),
        layers.MaxPooling2D(2, padding="same"),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.AveragePooling2D(2),
        layers.Cropping2D(1),
        layers.Reshape((4, 3)),
        layers.Conv1D(4, 2, padding="causal"),
        layers.Conv1DTranspose(4, 2, strides=2, use_bias=False),
        layers.GlobalAveragePooling1D(),
    ]


@pytest.mark.parametrize("maker", [torchkeras, keras])
def test_files_of_every_kind_of_kernel_are_exchanged(tmp_path, maker):
    pytest.importorskip("h5py")
    reader = keras if maker is torchkeras else torchkeras
    model = maker.Sequential([maker.Input((8, 8, 3)), *every_layer(maker.layers)])
    options = {"weights_format": "h5"} if maker is torchkeras else {}
    model.save(tmp_path / "model.keras", **options)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    made = reader.saving.load_model(tmp_path / "model.keras").predict(x, verbose=0)
    np.testing.assert_allclose(made, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("output_padding", [None, 0, 1, 2])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_transposed_convolutions_of_every_geometry(padding, output_padding, kernel_size):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(2, 5, 3)).astype("float32"))
    for strides, dilation_rate in ((1, 1), (2, 1), (3, 1), (1, 2)):
        if output_padding is not None and output_padding >= strides:
            continue
        arguments = {
            "filters": 2,
            "kernel_size": kernel_size,
            "strides": strides,
            "dilation_rate": dilation_rate,
            "padding": padding,
            "output_padding": output_padding,
        }
        ours = torchkeras.layers.Conv1DTranspose(**arguments)
        theirs = keras.layers.Conv1DTranspose(**arguments)
        expected = theirs(x)
        ours.build((2, 5, 3))
        ours.set_weights([w.value.detach().numpy() for w in theirs.weights])
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)
        for size in (5, None):
            shape = tuple(theirs.compute_output_shape((2, size, 3)))
            assert ours.compute_output_shape((2, size, 3)) == shape


REFUSED = {
    "transposed_padding": lambda layers: layers.Conv2DTranspose(2, 3, padding="causal"),
    "transposed_output_padding": lambda layers: layers.Conv2DTranspose(2, 3, output_padding=1),
    "transposed_dilation": lambda layers: layers.Conv1DTranspose(2, 3, strides=2, dilation_rate=2),
    "conv1d_size": lambda layers: layers.Conv1D(2, (2, 2)),
    "conv3d_causal": lambda layers: layers.Conv3D(2, 3, padding="causal"),
    "depthwise_multiplier": lambda layers: layers.DepthwiseConv2D(3, depth_multiplier=0),
    "depthwise_size": lambda layers: layers.DepthwiseConv2D(0),
    "separable_filters": lambda layers: layers.SeparableConv2D(0, 3),
    "separable_strides": lambda layers: layers.SeparableConv1D(2, 3, strides=0),
    "separable_image": lambda layers: layers.SeparableConv2D(2, 3)(torch.ones(1, 2, 4, 3)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_keras_refuses_is_refused_with_the_same_class_of_error(case):
    with pytest.raises(Exception) as theirs:
        REFUSED[case](keras.layers)
    with pytest.raises(type(theirs.value)) as ours:
        REFUSED[case](torchkeras.layers)
    assert "Received" in str(ours.value)
