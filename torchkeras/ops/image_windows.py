"""Parts of images: cut off, padded, cut up into patches and put together again."""

from torch.nn import functional as F

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.ops import shape_rules as rules
from torchkeras.ops.geometry import choice_argument, sizes_argument, zeros_around
from torchkeras.ops.shape_rules import images as image_rules


@op(shape=rules.padded, dtype=rules.kept)
def pad_images(
    images,
    top_padding=None,
    left_padding=None,
    bottom_padding=None,
    right_padding=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Images with zeros around them.

    Of the padding on top, that at the bottom and the height two are given, of the padding left,
    that on the right and the width likewise.

    Args:
        images: tensor of rank 3 or 4.
        top_padding, left_padding, bottom_padding, right_padding: ints, pixels to add.
        target_height, target_width: ints, sizes of the result in pixels.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, with another height and width; in their dtype.

    Raises:
        ValueError: more or fewer than two are given, or the images are too large.

    Example:

    >>> images = torch.ones(2, 15, 25, 3)
    >>> keras.ops.image.pad_images(images, 2, 3, target_height=20, target_width=30).shape
    torch.Size([2, 20, 30, 3])
    """
    images = convert_to_tensor(images)
    arguments = top_padding, left_padding, bottom_padding, right_padding
    arguments += target_height, target_width
    (top, bottom, _), (left, right, _) = image_rules.sides(
        images.shape, image_rules.padded_side, arguments, data_format, "padding"
    )
    widths = (left, right, top, bottom)
    if image_rules.image_axes(images.shape, data_format)[2] == -1:
        widths = (0, 0, *widths)
    return F.pad(images, widths)


@op(shape=rules.cropped, dtype=rules.kept)
def crop_images(
    images,
    top_cropping=None,
    left_cropping=None,
    bottom_cropping=None,
    right_cropping=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """A part of images.

    Of what is cut off on top, at the bottom and the height two are given, of what is cut off left,
    on the right and the width likewise.

    Args:
        images: tensor of rank 3 or 4.
        top_cropping, left_cropping, bottom_cropping, right_cropping: ints, pixels to cut off.
        target_height, target_width: ints, sizes of the result in pixels.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images, with another height and width; in their dtype.

    Raises:
        ValueError: more or fewer than two are given, or the images are too small.

    Example:

    >>> image = torch.arange(9.0).reshape(3, 3, 1)
    >>> part = keras.ops.image.crop_images(image, 1, 0, target_height=1, target_width=2)
    >>> part.flatten()
    tensor([3., 4.])
    """
    images = convert_to_tensor(images)
    arguments = top_cropping, left_cropping, bottom_cropping, right_cropping
    arguments += target_height, target_width
    (top, _, height), (left, _, width) = image_rules.sides(
        images.shape, image_rules.cropped_side, arguments, data_format, "cropping"
    )
    rows, columns, _ = image_rules.image_axes(images.shape, data_format)
    return images.narrow(rows, top, height).narrow(columns, left, width)


@op(shape=rules.patches, dtype=rules.kept)
def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Patches of images or volumes, each as one row of the values in it.

    The values of a patch are in the order (row, column, channel), with the depth first for
    volumes, in both data formats.

    Args:
        images: tensor `(height, width, channels)` or a batch of them; with three sizes
            `(depth, height, width, channels)` or a batch.
        size: int, or a tuple of 2 for images or 3 for volumes, sizes of a patch.
        strides: int or tuple, places from one patch to the next; None for `size`.
        dilation_rate: int or tuple, places from one value of a patch to the next.
        padding: `"valid"` for whole patches alone, or `"same"`, where zeros are added to make
            `ceil(size / stride)` patches along an axis.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: the images', with a place for each patch, and the values of a patch in the place
        of the channels; in their dtype.

    Raises:
        ValueError: an argument does not fit.
        TypeError: `size` is neither int nor tuple.

    Example:

    >>> keras.ops.image.extract_patches(torch.ones(2, 20, 20, 3), (5, 5)).shape
    torch.Size([2, 4, 4, 75])
    """
    images = convert_to_tensor(images)
    padding = choice_argument(padding, "padding", ("valid", "same"))
    rules.patches(images, size, strides, dilation_rate, padding, data_format)  # for its errors
    sizes = image_rules.patch_sizes(size)
    axes, channels = image_rules.patch_axes(images.shape, sizes, data_format)
    steps = sizes_argument(strides or sizes, len(sizes), "strides")
    rates = sizes_argument(dilation_rate, len(sizes), "dilation_rate")
    images = images.movedim(channels, -1)
    spans = [(n - 1) * rate + 1 for n, rate in zip(sizes, rates, strict=True)]
    rank = len(sizes)
    if padding == "same":
        spatial = images.shape[-rank - 1 : -1]
        around = [zeros_around(*each) for each in zip(spatial, spans, steps, strict=True)]
        images = F.pad(images, (0, 0, *[n for pair in reversed(around) for n in pair]))
    # Each unfolded axis gives its windows on a last axis of its own: views, until the reshape.
    first = images.dim() - rank - 1
    for place, (span, step, rate) in enumerate(zip(spans, steps, rates, strict=True)):
        images = images.unfold(first + place, span, step)[..., ::rate]
    images = images.movedim(first + rank, -1)  # the channels behind the windows
    return images.flatten(first + rank).movedim(-1, channels)


def extract_patches_3d(
    volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None
):
    """Patches of volumes; `extract_patches` with three sizes.

    Args:
        volumes: tensor `(depth, height, width, channels)` or a batch of them.
        size: int, or a tuple of 3.
        strides, dilation_rate, padding, data_format: as in `extract_patches`.

    Example:

    >>> keras.ops.image.extract_patches_3d(torch.ones(10, 10, 10, 3), 3).shape
    torch.Size([3, 3, 3, 81])
    """
    size = image_rules.patch_sizes(size, 3)
    return extract_patches(volumes, size, strides, dilation_rate, padding, data_format)


@op(shape=rules.reconstructed, dtype=rules.kept)
def reconstruct_patches(
    patches, size, output_size=None, strides=None, padding="valid", data_format=None
):
    """Images or volumes put together from their patches: what `extract_patches` takes apart.

    Args:
        patches: tensor, as `extract_patches` gives it for patches side by side.
        size: int, or a tuple of 2 for images or 3 for volumes, sizes of a patch.
        output_size: tuple, sizes of the result; None, with `"valid"`, for what the patches cover.
        strides: None or `size`: patches that overlap are not put together.
        padding: `"valid"`, or `"same"`, where the zeros that were added are cut off.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.

    Output shape: that of the images the patches are of; in their dtype.

    Raises:
        ValueError: an argument does not fit.

    Source: a function of Keras 3.16.

    Example:

    >>> image = torch.arange(16.0).reshape(4, 4, 1)
    >>> patches = keras.ops.image.extract_patches(image, 2)
    >>> bool((keras.ops.image.reconstruct_patches(patches, 2) == image).all())
    True
    """
    patches = convert_to_tensor(patches)
    padding = choice_argument(padding, "padding", ("valid", "same"))
    shape = rules.reconstructed(patches, size, output_size, strides, padding, data_format)
    sizes = image_rules.patch_sizes(size)
    axes, channels = image_rules.patch_axes(patches.shape, sizes, data_format)
    rank, depth = len(sizes), shape[channels]
    new = [shape[axis] for axis in axes]
    patches = patches.movedim(channels, -1)
    lead, grid = patches.shape[: -rank - 1], patches.shape[-rank - 1 : -1]
    parts = patches.reshape(*lead, *grid, *sizes, depth)
    first = len(lead)
    order = [place for i in range(rank) for place in (first + i, first + rank + i)]
    whole = parts.permute(*range(first), *order, first + 2 * rank)
    whole = whole.reshape(*lead, *[n * size for n, size in zip(grid, sizes, strict=True)], depth)
    for place, (n, size) in enumerate(zip(new, sizes, strict=True)):
        start = zeros_around(n, size, size)[0] if padding == "same" else 0
        whole = whole.narrow(first + place, start, n)
    return whole.movedim(-1, channels)


__all__ = op_names(__name__, "extract_patches_3d")
