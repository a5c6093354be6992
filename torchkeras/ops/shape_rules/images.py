"""Shapes of images that are resized, cut, cut up, warped or measured."""

import math

from torchkeras.core import config
from torchkeras.core.dtypes import is_float_dtype
from torchkeras.core.op_specs import Misfit, dtype_of
from torchkeras.ops.geometry import choice_argument, sizes_argument
from torchkeras.ops.shape_rules.basics import axis_of, may_be_equal, product, shape_of, with_size

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


def image_axes(shape, data_format=None, what="images"):
    """Axes of height, width and channels of one image or a batch, counted from the end."""
    if len(shape) not in (3, 4):
        raise Misfit(
            f"`{what}` must be one image, of rank 3, or a batch of them, of rank 4. Received: "
            f"{what} of shape {tuple(shape)}."
        )
    last = config.standardize_data_format(data_format) == "channels_last"
    return (-3, -2, -1) if last else (-2, -1, -3)


def with_sizes(shape, axes, sizes):
    """`shape` with other sizes on axes that are counted from the end."""
    shape = list(shape)
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
    return tuple(shape)


def same_images(images, *args, data_format=None, **kwargs):
    """Shape of images that keep it."""
    shape = shape_of(images)
    image_axes(shape, data_format)
    return shape


def gray_images(images, data_format=None):
    """Shape of images in shades of gray."""
    shape = shape_of(images)
    channels = image_axes(shape, data_format)[2]
    if shape[channels] not in (None, 1, 3):
        raise Misfit(
            "`images` must have 3 channels, red, green and blue, or 1. Received: images of shape "
            f"{shape} with the channels on axis {channels}."
        )
    return with_size(shape, len(shape) + channels, 1)


def color_images(images, data_format=None):
    """Shape of images of three channels, floats."""
    shape = shape_of(images)
    channels = image_axes(shape, data_format)[2]
    if not is_float_dtype(dtype_of(images)):
        raise Misfit(
            f"`images` must be floats from 0 to 1. Received: images of dtype {dtype_of(images)}. "
            "Cast them and divide by the largest value first."
        )
    if shape[channels] not in (None, 3):
        raise Misfit(
            f"`images` must have 3 channels. Received: images of shape {shape} with the channels "
            f"on axis {channels}."
        )
    return shape


def resized(
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
    """Shape of images of another height and width."""
    choice_argument(interpolation, "interpolation", INTERPOLATIONS)
    choice_argument(fill_mode, "fill_mode", ("constant",))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise Misfit(
            "Images keep their aspect ratio by cropping or by padding. Received: "
            "crop_to_aspect_ratio=True, pad_to_aspect_ratio=True. Set one of them."
        )
    shape = shape_of(images)
    sizes = sizes_argument(size, 2, "size")
    return with_sizes(shape, image_axes(shape, data_format)[:2], sizes)


def blurred(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Shape of images that are blurred."""
    sizes_argument(kernel_size, 2, "kernel_size")
    return same_images(images, data_format=data_format)


def padded_side(size, before, after, target, names):
    """`(before, after, new size)` of an axis that is padded, None where unknown.

    Args:
        size: int or None.
        before, after, target: ints, of which one is None.
        names: their names, for errors.
    """
    given = dict(zip(names, (before, after, target), strict=True))
    told = ", ".join(f"{name}={value}" for name, value in given.items())
    if list(given.values()).count(None) != 1:
        raise Misfit(f"Two of {', '.join(names)} must be given, and no more. Received: {told}.")
    if any(value is not None and value < 0 for value in given.values()):
        raise Misfit(f"{', '.join(names)} must be at least 0. Received: {told}.")
    if target is None:
        return before, after, None if size is None else size + before + after
    if size is None:
        return before, after, target
    before = target - size - after if before is None else before
    after = target - size - before if after is None else after
    if before < 0 or after < 0:
        raise Misfit(
            f"Images of size {size} do not fit with this padding. Received: {told}. Make the "
            f"padding smaller, or `{names[2]}` larger."
        )
    return before, after, target


def cropped_side(size, before, after, target, names):
    """`(before, after, new size)` of an axis that is cut, None where unknown."""
    given = dict(zip(names, (before, after, target), strict=True))
    told = ", ".join(f"{name}={value}" for name, value in given.items())
    if list(given.values()).count(None) != 1:
        raise Misfit(f"Two of {', '.join(names)} must be given, and no more. Received: {told}.")
    if any(value is not None and value < 0 for value in given.values()):
        raise Misfit(f"{', '.join(names)} must be at least 0. Received: {told}.")
    if size is None:
        return before, after, target
    before = size - target - after if before is None else before
    after = size - target - before if after is None else after
    new = size - before - after
    if before < 0 or after < 0 or new < 0:
        raise Misfit(
            f"So much cannot be cut from images of size {size}. Received: {told}. Cut less."
        )
    return before, after, new


_SIDES = ("top", "bottom", "height"), ("left", "right", "width")


def sides(shape, change, arguments, data_format, kind):
    """`(before, after, new size)` of height and width, from the arguments of a function.

    Args:
        shape: of the images.
        change: `padded_side` or `cropped_side`.
        arguments: top, left, bottom and right, target height and target width.
        data_format: as in the function.
        kind: `"padding"` or `"cropping"`, the end of the argument's names.
    """
    axes = image_axes(shape, data_format)[:2]
    top, left, bottom, right, height, width = arguments
    values = (top, bottom, height), (left, right, width)
    return [
        change(
            shape[axis],
            *sizes,
            (f"{names[0]}_{kind}", f"{names[1]}_{kind}", f"target_{names[2]}"),
        )
        for axis, sizes, names in zip(axes, values, _SIDES, strict=True)
    ]


def padded(
    images,
    top_padding=None,
    left_padding=None,
    bottom_padding=None,
    right_padding=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Shape of images with zeros around them."""
    arguments = top_padding, left_padding, bottom_padding, right_padding
    arguments += target_height, target_width
    shape = shape_of(images)
    new = [side[2] for side in sides(shape, padded_side, arguments, data_format, "padding")]
    return with_sizes(shape, image_axes(shape, data_format)[:2], new)


def cropped(
    images,
    top_cropping=None,
    left_cropping=None,
    bottom_cropping=None,
    right_cropping=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Shape of a part of images."""
    arguments = top_cropping, left_cropping, bottom_cropping, right_cropping
    arguments += target_height, target_width
    shape = shape_of(images)
    new = [side[2] for side in sides(shape, cropped_side, arguments, data_format, "cropping")]
    return with_sizes(shape, image_axes(shape, data_format)[:2], new)


def patch_sizes(size, rank=None):
    """Sizes of a patch as a tuple; of two axes for an int, if `rank` says nothing else."""
    if isinstance(size, int):
        return sizes_argument(size, rank or 2, "size")
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"`size` must be an int, or a tuple of 2 or 3 of them. Received: size={size!r} of type "
            f"{type(size).__name__}."
        )
    if len(size) not in ((2, 3) if rank is None else (rank,)):
        raise Misfit(f"`size` must be an int, or a tuple of 2 or 3 of them. Received: size={size}.")
    return sizes_argument(size, len(size), "size")


def patch_axes(shape, sizes, data_format):
    """`(spatial axes, channels axis)` of images or volumes, counted from the end."""
    rank = len(sizes)
    if len(shape) not in (rank + 1, rank + 2):
        raise Misfit(
            f"Patches of {rank} sizes belong to a tensor of rank {rank + 1}, or a batch of rank "
            f"{rank + 2}. Received: shape {tuple(shape)}, size={sizes}."
        )
    if config.standardize_data_format(data_format) == "channels_last":
        return tuple(range(-rank - 1, -1)), -1
    return tuple(range(-rank, 0)), -rank - 1


def patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Shape of patches, one after another on the axis of the channels."""
    choice_argument(padding, "padding", ("valid", "same"))
    sizes = patch_sizes(size)
    shape = shape_of(images)
    axes, channels = patch_axes(shape, sizes, data_format)
    steps = sizes_argument(strides or sizes, len(sizes), "strides")
    rates = sizes_argument(dilation_rate, len(sizes), "dilation_rate")
    counts = []
    for axis, window, step, rate in zip(axes, sizes, steps, rates, strict=True):
        span = (window - 1) * rate + 1
        n = shape[axis]
        if n is None:
            counts.append(None)
        elif padding == "same":
            counts.append(-(-n // step))
        elif n < span:
            raise Misfit(
                f"A patch spans {span} places of an axis. Received: images of shape {shape}, "
                f"size={size}, dilation_rate={dilation_rate}. Take smaller patches, or "
                "padding='same'."
            )
        else:
            counts.append((n - span) // step + 1)
    depth = product([*sizes, shape[channels]])
    return with_sizes(shape, (*axes, channels), (*counts, depth))


def reconstruction_sizes(shape, axes, sizes, output_size, strides, padding):
    """Sizes of what patches are put together to."""
    if sizes_argument(strides or sizes, len(sizes), "strides") != sizes:
        raise Misfit(
            "Patches that overlap, or leave gaps, are not put together: `strides` must be `size`. "
            f"Received: strides={strides}, size={sizes}."
        )
    grid = [shape[axis] for axis in axes]
    whole = [None if n is None else n * size for n, size in zip(grid, sizes, strict=True)]
    if output_size is None:
        if padding != "valid":
            raise Misfit(
                "With padding='same' the patches do not tell the size of the images. Received: "
                "output_size=None. Give it."
            )
        return whole
    output_size = tuple(output_size)
    fits = len(output_size) == len(sizes) and all(
        n is None or (n == new if padding == "valid" else n - size < new <= n)
        for n, size, new in zip(whole, sizes, output_size, strict=False)
    )
    if not fits:
        raise Misfit(
            f"`output_size` must be what {grid} patches of size {sizes} cover, with padding='same' "
            f"at most a patch less. Received: output_size={output_size}, padding={padding!r}."
        )
    return output_size


def reconstructed(patches, size, output_size=None, strides=None, padding="valid", data_format=None):
    """Shape of images that patches are put together to."""
    choice_argument(padding, "padding", ("valid", "same"))
    sizes, shape = patch_sizes(size), shape_of(patches)
    axes, channels = patch_axes(shape, sizes, data_format)
    depth = shape[channels]
    if depth is not None and depth % product(sizes):
        raise Misfit(
            f"Each patch must hold {product(sizes)} values for each channel. Received: patches of "
            f"shape {shape}, size={size}."
        )
    new = reconstruction_sizes(shape, axes, sizes, output_size, strides, padding)
    depth = None if depth is None else depth // product(sizes)
    return with_sizes(shape, (*axes, channels), (*new, depth))


def warped(
    images,
    transform,
    interpolation="bilinear",
    fill_mode="constant",
    fill_value=0,
    data_format=None,
):
    """Shape of images after transformations that are rows of eight numbers."""
    choice_argument(interpolation, "interpolation", INTERPOLATIONS[:2])
    choice_argument(fill_mode, "fill_mode", FILL_MODES)
    shape, rows = shape_of(images), shape_of(transform)
    image_axes(shape, data_format)
    batch = shape[0] if len(shape) == 4 else 1
    fits = len(rows) in (1, 2) and rows[-1] in (None, 8)
    if fits and len(rows) == 2 and rows[0] is not None and batch is not None:
        fits = rows[0] in (1, batch)
    if not fits:
        raise Misfit(
            "`transform` must be eight numbers, or a row of them for each image. Received: "
            f"transform of shape {rows}, images of shape {shape}."
        )
    return shape


def warped_by_points(
    images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None
):
    """Shape of images of which four points are moved."""
    choice_argument(interpolation, "interpolation", INTERPOLATIONS[:2])
    shape, start, end = shape_of(images), shape_of(start_points), shape_of(end_points)
    image_axes(shape, data_format)
    if not may_be_equal(start, end) or len(start) not in (2, 3) or start[-2:] != (4, 2):
        raise Misfit(
            "`start_points` and `end_points` must be of one shape, (4, 2), or (batch, 4, 2) for "
            f"points of each image. Received: shapes {start} and {end}."
        )
    return shape


def distorted(
    images,
    alpha=20.0,
    sigma=5.0,
    interpolation="bilinear",
    fill_mode="reflect",
    fill_value=0.0,
    seed=None,
    data_format=None,
):
    """Shape of images of which every pixel is moved."""
    choice_argument(interpolation, "interpolation", INTERPOLATIONS[:2])
    choice_argument(fill_mode, "fill_mode", FILL_MODES)
    if not 0 < sigma < math.inf:
        raise Misfit(f"`sigma` must be a number above 0. Received: sigma={sigma}.")
    return same_images(images, data_format=data_format)


def at_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """Shape of what is read at coordinates: a tensor with a row for each axis, or a list."""
    choice_argument(fill_mode, "fill_mode", FILL_MODES)
    if order not in (0, 1):
        raise Misfit(f"`order` must be 0 or 1. Received: order={order!r}.")
    shape, rank = shape_of(coordinates), len(shape_of(inputs))
    if len(shape) < 2 or shape[0] not in (None, rank):
        raise Misfit(
            f"`coordinates` must be of rank 2 at least, with a row for each of the {rank} axes of "
            f"`inputs`. Received: coordinates of shape {shape}."
        )
    return shape[1:]


def rescaled(images, output_shape, scale, translation, spatial_dims, *args, **kwargs):
    """The shape that was asked for."""
    shape, new = shape_of(images), tuple(output_shape)
    for axis in spatial_dims:
        axis_of(axis, shape, "spatial_dims")
    count = len(tuple(spatial_dims))
    fits = all(x is None or x == (count,) for x in (shape_of(scale), shape_of(translation)))
    if len(new) != len(shape) or not fits:
        raise Misfit(
            "`output_shape` must have a size for each axis of `images`, `scale` and `translation` "
            f"a number for each of `spatial_dims`. Received: images of shape {shape}, "
            f"output_shape={new}, {count} axes, shapes {shape_of(scale)} and "
            f"{shape_of(translation)}."
        )
    return new


def edges(images, data_format=None):
    """Shape of two gradients for each pixel."""
    return (*same_images(images, data_format=data_format), 2)


def similarity(
    image1,
    image2,
    max_val=1.0,
    filter_size=11,
    filter_sigma=1.5,
    k1=0.01,
    k2=0.03,
    data_format=None,
):
    """Shape of one number for each image."""
    if filter_size < 1:
        raise Misfit(f"`filter_size` must be at least 1. Received: filter_size={filter_size}.")
    first, second = shape_of(image1), shape_of(image2)
    rows, columns, _ = image_axes(first, data_format, "image1")
    if not may_be_equal(first, second):
        raise Misfit(
            f"`image1` and `image2` must have one shape. Received: shapes {first} and {second}."
        )
    if any(n is not None and n < filter_size for n in (first[rows], first[columns])):
        raise Misfit(
            "Images must be at least as large as the window, `filter_size`. Received: images of "
            f"shape {first}, filter_size={filter_size}."
        )
    return first[:-3]
