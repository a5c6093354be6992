"""Layers of which each image goes through one that was drawn for it."""

import torch

from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.layers.preprocessing.image.auto_contrast import AutoContrast
from torchkeras.layers.preprocessing.image.equalization import Equalization
from torchkeras.layers.preprocessing.image.random_brightness import RandomBrightness
from torchkeras.layers.preprocessing.image.random_color_degeneration import (
    RandomColorDegeneration,
)
from torchkeras.layers.preprocessing.image.random_contrast import RandomContrast
from torchkeras.layers.preprocessing.image.random_posterization import RandomPosterization
from torchkeras.layers.preprocessing.image.random_rotation import RandomRotation
from torchkeras.layers.preprocessing.image.random_sharpness import RandomSharpness
from torchkeras.layers.preprocessing.image.random_shear import RandomShear
from torchkeras.layers.preprocessing.image.random_translation import RandomTranslation
from torchkeras.layers.preprocessing.image.solarization import Solarization


def augmentations(factor, value_range, interpolation, seed, **kwargs):
    """The layers that `RandAugment` and `AugMix` choose among, by name, of one strength.

    Args:
        factor: lowest and highest strength, from 0 to 1.
        value_range: two numbers, the lowest and the highest value of a pixel.
        interpolation: `"nearest"` or `"bilinear"`.
        seed: int, or None.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Example:

    >>> from torchkeras.layers.preprocessing.image.layer_choice import augmentations
    >>> len(augmentations((0.0, 0.5), (0, 255), "bilinear", None))
    11
    """
    warps = {"interpolation": interpolation, "seed": seed, **kwargs}
    colors = {"value_range": value_range, "seed": seed, **kwargs}
    plain = {"value_range": value_range, **kwargs}
    return {
        "random_shear": RandomShear(x_factor=factor, y_factor=factor, **warps),
        "random_translation": RandomTranslation(height_factor=factor, width_factor=factor, **warps),
        "random_rotation": RandomRotation(factor, **warps),
        "random_brightness": RandomBrightness(factor, **colors),
        "random_color_degeneration": RandomColorDegeneration(factor, **colors),
        "random_contrast": RandomContrast(factor, **colors),
        "random_sharpness": RandomSharpness(factor, **colors),
        "random_posterization": RandomPosterization(max(1, int(8 * factor[1])), **colors),
        "solarization": Solarization(factor, factor, **colors),
        "auto_contrast": AutoContrast(**plain),
        "equalization": Equalization(**plain),
    }


def apply_chosen(choice, layers, transformations, method, data):
    """Each image, or what belongs to it, after the layer that its number names.

    On the CPU a layer is given the images that chose it. On other devices, where to read the
    choice would be to wait, and where torch traces, it is given all, and the others are dropped.

    Args:
        choice: ints of shape `(batch,)`, or one for all; a number beyond the layers leaves its
            image as it is.
        layers: list of image layers.
        transformations: list of what `get_random_transformation` of each gave for the batch.
        method: name of the method to call, such as `"transform_images"`.
        data: batch of images or masks, or dict of boxes and labels.
    """
    result = data
    choice = choice.expand(tree.flatten(data)[0].shape[0])
    reads = _may_read(choice)
    if reads:
        result = tree.map_structure(torch.clone, data)
    for number, (layer, transformation) in enumerate(zip(layers, transformations, strict=True)):
        transform = getattr(layer, method)
        chosen = choice == number
        if reads:
            rows = chosen.nonzero().squeeze(1)
            if len(rows):
                picked = transform(_rows(data, rows), _rows(transformation, rows))
                tree.map_structure(
                    lambda x, y, rows=rows: x.index_copy_(0, rows, y.to(x.dtype)), result, picked
                )
        else:
            changed = transform(data, transformation)
            result = tree.map_structure(
                lambda x, y, chosen=chosen: torch.where(
                    chosen.reshape(-1, *[1] * (x.dim() - 1)), x.to(y.dtype), y
                ),
                changed,
                result,
            )
    return result


def _may_read(choice):
    traced = torch.compiler.is_compiling() or SCOPE.meta
    return choice.is_cpu and not traced and not torch._C._are_functorch_transforms_active()


def _rows(structure, rows):
    """Rows of each tensor in nested dicts; other leaves, such as shapes, are kept."""
    if isinstance(structure, dict):
        return {key: _rows(value, rows) for key, value in structure.items()}
    return structure.index_select(0, rows) if isinstance(structure, torch.Tensor) else structure
