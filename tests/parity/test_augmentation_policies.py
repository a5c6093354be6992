"""RandAugment and AugMix against real Keras, given what Keras has drawn."""

import copy
import json

import numpy as np
import pytest
import torch

import torchkeras
from torchkeras import layers

keras = pytest.importorskip("keras")
# Of NumPy 2 about Keras's Variable, in its saving.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Equalization looks at one image at a time here, and at the batch there: one image is both.
IMAGES = torch.tensor(
    np.random.default_rng(0).integers(0, 256, (1, 12, 10, 3)), dtype=torch.float32
)


def drawn_by(layer, *numbers):
    """What Keras draws, with these layers chosen.

    On torch Keras's RandomBrightness adds in place, to the images that all layers see: nothing is
    added unless it is chosen first. Its warps change their matrices in place: it is given copies.
    """
    transformation = layer.get_random_transformation(IMAGES)
    transformation["layer_idxes"] = torch.tensor(numbers)
    if numbers[0] != 3:
        transformation["transforms"]["random_brightness"]["rgb_delta"].zero_()
    return transformation


@pytest.mark.filterwarnings("ignore:.*Tensor.T is deprecated")
@pytest.mark.parametrize("name", keras.layers.RandAugment._AUGMENT_LAYERS)
def test_every_augmentation_of_rand_augment(name):
    theirs, ours = (module.RandAugment(num_ops=1) for module in (keras.layers, layers))
    number = theirs._AUGMENT_LAYERS.index(name)
    assert ours._names[number] == name
    transformation = drawn_by(theirs, number)
    expected = theirs.transform_images(IMAGES.clone(), copy.deepcopy(transformation))
    found = ours.transform_images(IMAGES, transformation)
    if name == "equalization":
        # Keras looks up some values in the bin below their own.
        assert ((found - expected).abs() < 1e-2).float().mean() > 0.6
    else:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.filterwarnings("ignore:.*Tensor.T is deprecated")
def test_two_in_a_row():
    theirs, ours = (module.RandAugment(num_ops=2) for module in (keras.layers, layers))
    transformation = drawn_by(theirs, 8, 7)
    expected = theirs.transform_images(IMAGES.clone(), copy.deepcopy(transformation))
    found = ours.transform_images(IMAGES, transformation)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("arguments", [{}, {"value_range": (0, 1), "factor": (0.1, 0.4)}])
@pytest.mark.parametrize("cls", ["RandAugment", "AugMix"])
def test_configs(cls, arguments):
    ours, theirs = (
        getattr(module, cls)(name="it", **arguments).get_config()
        for module in (layers, keras.layers)
    )
    ours, theirs = (json.loads(json.dumps(c, default=lambda x: x.name)) for c in (ours, theirs))
    assert ours == {**theirs, "dtype": ours["dtype"]}


def test_mixture_of_aug_mix():
    theirs, ours = (module.AugMix(all_ops=False) for module in (keras.layers, layers))
    chains = [["random_rotation", "solarization"], [], ["random_shear"]]
    drawn = [
        [
            {
                "layer_name": name,
                "transformation": getattr(theirs, name).get_random_transformation(IMAGES),
            }
            for name in chain
        ]
        for chain in chains
    ]
    weights = {
        "chain_mixing_weights": torch.tensor([0.2, 0.5, 0.3]),
        "weight_sample": torch.tensor(0.3),
    }
    expected = theirs.transform_images(
        IMAGES.clone(), {**weights, "chain_transforms": copy.deepcopy(drawn)}
    )
    ours_drawn = [
        [
            {
                "layer_idx": torch.tensor(ours._names.index(step["layer_name"])),
                "transforms": dict.fromkeys(ours._names, step["transformation"]),
            }
            for step in chain
        ]
        for chain in drawn
    ]
    found = ours.transform_images(IMAGES, {**weights, "chain_transforms": ours_drawn})
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    "make",
    [
        lambda module: module.layers.RandAugment(seed=1),
        lambda module: module.layers.RandomRotation(0.3),
        lambda module: module.layers.RandomColorJitter(hue_factor=0.1),
        lambda module: module.layers.Pipeline([module.layers.RandomBrightness(0.3)]),
    ],
    ids=["policy", "movement", "colours", "pipeline"],
)
def test_models_in_files_of_keras_augment_in_training_only(make, tmp_path):
    """Keras writes `training=True` into the graph, and lets `predict` overrule it."""
    x = IMAGES.numpy()
    inputs = keras.Input((12, 10, 3))
    keras.Model(inputs, make(keras)(inputs)).save(tmp_path / "model.keras")
    model = torchkeras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    assert not np.array_equal(model(x), x) and not np.array_equal(model(x, training=True), x)
    ours = torchkeras.Input((12, 10, 3))
    model = torchkeras.Model(ours, make(torchkeras)(ours, training=True))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)
    fixed = torchkeras.Model(ours, make(torchkeras)(ours, training=False))
    np.testing.assert_array_equal(fixed(x, training=True), x)
    model.save(tmp_path / "ours.keras", weights_format="h5")
    again = keras.models.load_model(tmp_path / "ours.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), x)
