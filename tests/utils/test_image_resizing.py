"""Resizing images: each kernel by its formula, and proportions that are kept."""

import math

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.utils.image_resizing import INTERPOLATIONS, check_interpolation, resize_images

IMAGES = torch.rand(2, 3, 11, 8, generator=torch.Generator().manual_seed(0))


def sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def mitchell(x):  # B = C = 1/3, as in the paper
    b = c = 1 / 3
    if x < 1:
        return ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b) / 6
    if x < 2:
        terms = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x
        return (terms + 8 * b + 24 * c) / 6
    return 0.0


KERNELS = {
    "bilinear": lambda x: max(1 - x, 0.0),
    "lanczos3": lambda x: sinc(x) * sinc(x / 3) if x < 3 else 0.0,
    "lanczos5": lambda x: sinc(x) * sinc(x / 5) if x < 5 else 0.0,
    "gaussian": lambda x: math.exp(-(x**2) / (2 * 0.5**2)) if x < 1.5 else 0.0,
    "mitchellcubic": mitchell,
}


def weights(name, old, new):
    """The weights of an axis, one by one."""
    rows = np.zeros((new, old))
    for i in range(new):
        for j in range(old):
            if name == "area":
                rows[i, j] = max(min(j + 1, (i + 1) * old / new) - max(j, i * old / new), 0)
            else:
                rows[i, j] = KERNELS[name](abs(j - ((i + 0.5) * old / new - 0.5)))
    return torch.from_numpy(rows / rows.sum(1, keepdims=True)).float()


@pytest.mark.parametrize("size", [(4, 5), (23, 9), (11, 3), (1, 1)])
@pytest.mark.parametrize("name", [*KERNELS, "area"])
def test_new_pixels_weigh_old_ones_by_the_kernel(name, size):
    expected = weights(name, 11, size[0]) @ IMAGES @ weights(name, 8, size[1]).mT
    torch.testing.assert_close(resize_images(IMAGES, size, name), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_images_of_one_colour_keep_it_and_of_one_size_everything(name):
    gray = torch.full((3, 9, 5), 0.3)
    for size in ((4, 4), (20, 13)):
        torch.testing.assert_close(resize_images(gray, size, name), torch.full((3, *size), 0.3))
    assert torch.equal(resize_images(IMAGES, (11, 8), name), IMAGES)


@pytest.mark.parametrize("name", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("size", [(6, 6), (40, 9), (5, 30)])
def test_padding_is_that_of_a_larger_black_image(name, size):
    rows, columns = (
        max(int(a), b) - b for a, b in ((8 * size[0] / size[1], 11), (11 * size[1] / size[0], 8))
    )
    margins = (columns // 2, columns // 2, rows // 2, rows // 2)
    larger = torch.nn.functional.pad(IMAGES, margins)
    expected = resize_images(larger, size, name)
    found = resize_images(IMAGES, size, name, pad=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_cropping_cuts_the_middle():
    image = torch.arange(40.0).reshape(1, 4, 10)
    assert torch.equal(resize_images(image, (4, 4), crop=True), image[:, :, 3:7])
    assert torch.equal(
        resize_images(image.mT, (2, 2), "nearest", crop=True),
        resize_images(image.mT[:, 3:7], (2, 2), "nearest"),
    )


def test_margins_of_absurd_proportions_take_no_memory():
    # Black beside it would make 10^12 pixels of it.
    found = resize_images(torch.ones(1, 1, 1_000_000), (8, 8), pad=True)
    assert found.shape == (1, 8, 8) and 0 <= found.sum() < 1


def test_unknown_interpolations():
    assert check_interpolation("BILINEAR") == "bilinear"
    with pytest.raises(ValueError, match="must be one of bilinear, nearest"):
        check_interpolation("spline")
    with pytest.raises(ValueError, match="`interpolation`"):
        keras.preprocessing.image.smart_resize(np.zeros((3, 3, 1)), (2, 2), "spline")


def test_smart_resize_takes_tensors_and_rounds_integers():
    x = torch.tensor([[[0.0], [255.0]]])
    found = keras.preprocessing.image.smart_resize(x.to(torch.uint8), (1, 1))
    assert found.dtype == torch.uint8 and isinstance(found, torch.Tensor)
    sharp = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).reshape(4, 1, 1).expand(4, 4, 1)
    found = keras.preprocessing.image.smart_resize(sharp, (7, 7), "bicubic")
    assert found.min() == 0 and found.max() == 255  # what reaches past the range is cut
