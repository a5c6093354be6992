"""The examples of vision models learn what they are meant to, small and in seconds."""

import pathlib
import runpy

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def run(name, *arguments):
    """What `main` of an example returns, and the names in its file."""
    names = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    return names["main"](list(arguments)), names


# image_augmentation


def test_moved_images_hold_the_same_digits():
    names = runpy.run_path(str(EXAMPLES / "image_augmentation.py"))
    images = np.zeros((50, 28, 28, 1), "uint8")
    images[:, 10:15, 8:20] = np.arange(1, 51)[:, None, None, None]
    found = names["moved"](images, distance=4)
    places = [np.argwhere(image[..., 0]) for image in found]
    for number, (image, place) in enumerate(zip(found, places, strict=True), start=1):
        assert len(place) == 60 and image.max() == number
        assert np.ptp(place[:, 0]) == 4 and np.ptp(place[:, 1]) == 11
    corners = np.array([place.min(0) for place in places]) - [10, 8]
    assert corners.min() == -4 and corners.max() == 4


def test_augmentation_teaches_what_the_images_do_not_show():
    (model, accuracies), names = run(
        "image_augmentation", "--epochs", "5", "--images", "800", "--filters", "8"
    )
    (plain, moved), (augmented, augmented_moved) = accuracies.values()
    assert plain > 0.75 and augmented > 0.65  # a tenth by chance
    assert augmented_moved > moved + 0.15
    images = names["load_data"](5)[0][0]
    augment = model.get_layer("augmentation")
    assert not np.array_equal(augment(images), images)
    np.testing.assert_array_equal(augment(images, training=False), images)


# mini_xception


@pytest.fixture(scope="module")
def xception():
    return run("mini_xception", "--epochs", "4", "--images", "600", "--filters", "16", "24")


def test_xception_tells_shapes_apart(xception):
    (_, accuracy, _, _), _ = xception
    assert accuracy > 0.7  # a third by chance


def test_activations_are_those_of_the_blocks(xception):
    (model, *_), names = xception
    images, _, _ = names["draw_images"](3, seed=5)
    found = names["activations"](model, images)
    assert {name: values.shape for name, values in found.items()} == {
        "block_1": (3, 24, 24, 16),
        "block_2": (3, 12, 12, 24),
    }
    rest = model.layers[model.layers.index(model.get_layer("block_2")) + 1 :]
    x = found["block_2"]
    for layer in rest:
        x = layer(x, training=False)
    np.testing.assert_allclose(x.detach(), model.predict(images, verbose=0), atol=1e-5)


def test_grad_cam_shows_the_shape(xception):
    (_, _, heat, inside), _ = xception
    assert heat.min() >= 0 and heat.max() <= 1
    # A map that knows nothing of the shape is as warm around it as inside.
    assert heat[inside].mean() > 2 * heat[~inside].mean()


# segmentation_unet


def test_unet_says_what_each_pixel_shows():
    (_, overlaps, masks), _ = run(
        "segmentation_unet", "--epochs", "5", "--images", "600", "--filters", "8", "16", "24"
    )
    all_background = (masks == 0).mean() / 3
    assert all_background < 0.3
    assert np.mean(overlaps) > 0.65
    assert min(overlaps) > 0.4


# object_detection


def test_boxes_survive_their_encoding():
    names = runpy.run_path(str(EXAMPLES / "object_detection.py"))
    _, objects = names["draw_images"](20, seed=3)
    targets = names["encode"](objects)
    one_hot = np.eye(2, dtype="float32")[targets[..., 5].astype(int)]
    found = names["decode"](np.concatenate([targets[..., :5], one_hot], axis=-1))
    for mine, truth in zip(found, objects, strict=True):
        assert len(mine) <= len(truth)  # two centres may come to lie in one cell at the border
        best = names["overlaps"](mine, truth).max(1)
        np.testing.assert_allclose(best, 1, atol=1e-5)
    assert names["score"](found, objects) > (0.95, 0.95)


def test_overlaps_of_boxes():
    names = runpy.run_path(str(EXAMPLES / "object_detection.py"))
    boxes = np.array([[2.0, 2, 4, 4]])
    others = np.array([[2.0, 2, 4, 4], [4, 2, 4, 4], [9, 9, 2, 2]])
    np.testing.assert_allclose(names["overlaps"](boxes, others), [[1, 8 / 24, 0]])


def test_detector_finds_objects():
    (_, recall, precision), _ = run(
        "object_detection", "--epochs", "8", "--images", "800", "--filters", "8"
    )
    # An untrained one finds none of them.
    assert recall > 0.35
    assert precision > 0.35


# vae


@pytest.fixture(scope="module")
def vae():
    arguments = "--epochs 8 --images 1200 --batch-size 16 --filters 8 --latent 4".split()
    return run("vae", *arguments)


def binary_crossentropy(images, found):
    found = np.clip(found, 1e-6, 1 - 1e-6)
    return -(images * np.log(found) + (1 - images) * np.log(1 - found)).sum((1, 2, 3))


def test_vae_costs_less_than_the_mean_image(vae):
    (model, train, test), _ = vae
    loss = model.evaluate(test, verbose=0, return_dict=True)
    assert loss["loss"] == pytest.approx(loss["reconstruction"] + loss["divergence"], rel=1e-5)
    assert loss["divergence"] > 1  # the place says something of the image
    assert loss["loss"] < binary_crossentropy(test, train.mean(0)).mean() - 20
    assert binary_crossentropy(test, model.predict(test, verbose=0)).mean() < loss["loss"]


def test_vae_makes_new_digits_that_differ(vae):
    (model, train, _), _ = vae
    images = model.sample(100, seed=1)
    assert images.shape == (100, 28, 28, 1)
    assert images.min() >= 0 and images.max() <= 1
    assert np.mean(images) == pytest.approx(train.mean(), abs=0.05)
    # Each is near some digit: nearer than the mean image is to the digits.
    pairs = np.square(images[:30, None] - train[None, :400]).sum((2, 3, 4))
    assert pairs.min(1).mean() < np.square(train - train.mean(0)).sum((1, 2, 3)).mean()
    assert np.square(images - images.mean(0)).sum((1, 2, 3)).mean() > 5
    assert model.grid(side=3).shape == (84, 84)


# diffusion


def test_diffusion_finds_the_noise():
    (model, images), names = run(
        "diffusion", "--epochs", "4", "--images", "600", "--filters", "8", "16", "24"
    )
    # 1 is the error of a network that says 0, which this one is before it is trained.
    assert model.evaluate(names["draw_images"](200, seed=2), verbose=0) < 0.5
    assert images.shape == (64, 16, 16, 1)
    signal, noise = names["DiffusionModel"].rates(np.array([0, 1 / 3, 1]))
    np.testing.assert_allclose(signal.squeeze(), [1, np.sqrt(3) / 2, 0], atol=1e-6)
    np.testing.assert_allclose(noise.squeeze(), [0, 1 / 2, 1], atol=1e-6)


@pytest.mark.slow
def test_diffusion_makes_shapes_of_noise():
    (_, images), names = run("diffusion", "--epochs", "20", "--images", "1000")
    drawn = names["draw_images"](1000, seed=2)
    assert np.mean(np.abs(images) > 0.7) > 0.6  # of normal noise that is a half of the pixels
    assert np.mean(images > 0) == pytest.approx(np.mean(drawn > 0), abs=0.08)
    # A new image is nearer to one that is drawn than noise with as many pixels inside could be.
    shape = np.where(images > 0, 1, -1)
    wrong = (shape[:, None] != drawn[None]).mean((2, 3, 4)).min(1)
    assert np.mean(wrong) < 0.08
