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
