"""Images of another size."""

import torch
from torch.nn import functional as F

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.geometry import choice_argument, sizes_argument
from torchkeras.ops.operands import beside
from torchkeras.ops.resampling import KERNEL_OF, along_axis, as_computed, axis_weights, back_to
from torchkeras.ops.shape_rules.images import image_axes


@op(shape=rules.resized, dtype=rules.kept)
def resize(
    images,
    size,
    interpolation="bilinear",
    antialias=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    fill_mode="constant",
    fill_value=0.0,
    data_format=None,
):
    """Images of another height and width.

    The middle of new pixel `i` lies at `(i + 0.5) * old / new - 0.5` of the old axis, and what
    stands around it is weighed: the nearest pixel, 2, 4, 6 or 10 along each axis.

    Args:
        images: tensor of rank 3 or 4.
        size: two ints, the new height and width.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        antialias: bool, whether the pixels weighed grow more where images shrink; of no effect
            for `"nearest"`.
        crop_to_aspect_ratio: bool, whether the largest part in the middle that has the new aspect
            ratio is resized, instead of the whole.
        pad_to_aspect_ratio: bool, whether the images are padded to the new aspect ratio first.
        fill_mode: `"constant"`.
        fill_value: number, what they are padded with.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, with the new sizes; in their dtype, integers rounded.

    Raises:
        ValueError: an argument is out of its range, or both ways to keep the ratio are asked for.

    Source: Keys 1981, "Cubic convolution interpolation for digital image processing", with -0.75
    as the free parameter, and -0.5 with `antialias`, as in torch and in Keras on torch; Keras on
    JAX and TensorFlow takes -0.5. Duchon 1979, "Lanczos filtering in one and two dimensions",
    which Keras on torch has from 3.16 on.

    Example:

    >>> image = torch.tensor([1.0, 3.0]).reshape(1, 2, 1)
    >>> keras.ops.image.resize(image, (1, 4)).flatten()
    tensor([1.0000, 1.5000, 2.5000, 3.0000])
    """
    images = convert_to_tensor(images)
    rules.resized(
        images,
        size,
        interpolation,
        antialias,
        crop_to_aspect_ratio,
        pad_to_aspect_ratio,
        fill_mode,
        fill_value,
        data_format,
    )
    height, width = size = sizes_argument(size, 2, "size")
    channels = image_axes(images.shape, data_format)[2]
    if channels == -1:
        images = images.movedim(-1, -3)
    if crop_to_aspect_ratio:
        images = _cut_to_ratio(images, height, width)
    elif pad_to_aspect_ratio:
        images = _padded_to_ratio(images, height, width, fill_value)
    images = _resized(images, size, interpolation.lower(), antialias)
    return images.movedim(-3, -1) if channels == -1 else images


def _cut_to_ratio(images, height, width):
    old_height, old_width = images.shape[-2:]
    rows = max(min(old_height, old_width * height // width), 1)
    columns = max(min(old_width, old_height * width // height), 1)
    images = images.narrow(-2, (old_height - rows) // 2, rows)
    return images.narrow(-1, (old_width - columns) // 2, columns)


def _padded_to_ratio(images, height, width, fill_value):
    old_height, old_width = images.shape[-2:]
    above = (max(old_height, old_width * height // width) - old_height) // 2
    left = (max(old_width, old_height * width // height) - old_width) // 2
    return F.pad(images, (left, left, above, above), value=fill_value)


def _resized(images, size, interpolation, antialias):
    if interpolation == "nearest":
        return _nearest(images, size)
    dtype = images.dtype
    y = as_computed(images)
    if interpolation.startswith("lanczos"):
        for axis, new in zip((-2, -1), size, strict=True):
            old = y.shape[axis]
            weights = axis_weights(old, new, new / old, 0.0, interpolation, antialias, y.device)
            y = along_axis(weights, y, axis)
        return back_to(y, dtype)
    batch = y if y.dim() == 4 else y.unsqueeze(0)
    batch = F.interpolate(batch, size, mode=interpolation, align_corners=False, antialias=antialias)
    return back_to(batch if y.dim() == 4 else batch.squeeze(0), dtype)


def _nearest(images, size):
    if images.is_floating_point():
        batch = images if images.dim() == 4 else images.unsqueeze(0)
        batch = F.interpolate(batch, size, mode="nearest-exact")
        return batch if images.dim() == 4 else batch.squeeze(0)
    for axis, new in zip((-2, -1), size, strict=True):
        places = torch.arange(new, device=images.device)
        places = (2 * places + 1) * images.shape[axis] // (2 * new)
        images = images.index_select(axis, places)
    return images


@op(shape=rules.rescaled, dtype=rules.kept)
def scale_and_translate(
    images, output_shape, scale, translation, spatial_dims, method, antialias=True
):
    """Images stretched and shifted along chosen axes.

    What lies at `x` comes to `x * scale + translation`, where the middle of pixel `i` lies at
    `i + 0.5`. Where nothing comes from, there are zeros.

    Args:
        images: tensor of any rank.
        output_shape: tuple of ints, the shape of the result.
        scale, translation: tensors of one number for each of `spatial_dims`.
        spatial_dims: tuple of ints, the axes that are resampled.
        method: `"linear"`, `"bilinear"`, `"trilinear"` or `"triangle"`; `"cubic"`, `"bicubic"` or
            `"tricubic"`; `"lanczos3"` or `"lanczos5"`.
        antialias: bool, whether pixels are weighed over more of the axis where it shrinks.

    Output shape: `output_shape`, in the dtype of the images; integers are rounded, and stay
        between the least and the largest of them.

    Raises:
        ValueError: an unknown method, or counts that do not fit.

    Source: Keys 1981, "Cubic convolution interpolation for digital image processing", with -0.5 as
    the free parameter.

    Example:

    >>> image = torch.tensor([[0.0, 2.0]])
    >>> scale, shift = torch.tensor([2.0]), torch.tensor([0.0])
    >>> keras.ops.image.scale_and_translate(image, (1, 4), scale, shift, (1,), "linear")
    tensor([[0.0000, 0.5000, 1.5000, 2.0000]])
    """
    method = choice_argument(method, "method", tuple(KERNEL_OF))
    images = convert_to_tensor(images)
    rules.rescaled(images, output_shape, scale, translation, spatial_dims)
    scale, translation = (as_computed(beside(x, images)) for x in (scale, translation))
    common = torch.promote_types(scale.dtype, translation.dtype)
    scale, translation = scale.to(common), translation.to(common)
    y = as_computed(images)
    for i, axis in enumerate(spatial_dims):
        weights = axis_weights(
            images.shape[axis], output_shape[axis], scale[i], translation[i], method, antialias
        )
        y = along_axis(weights, y, axis)
    if images.is_floating_point():
        return y.to(images.dtype)
    return torch.minimum(torch.maximum(y.round(), images.amin()), images.amax()).to(images.dtype)


__all__ = op_names(__name__)
