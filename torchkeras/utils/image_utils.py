"""Images as files, as Pillow's objects and as arrays."""

import contextlib
import io
import os
import warnings

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.saving.atomic import atomic_write
from torchkeras.utils.image_resizing import check_interpolation, resize_images
from torchkeras.utils.regular_files import open_regular

_CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
_RESAMPLING = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def array_to_img(x, data_format=None, scale=True, dtype=None):
    """A Pillow image of an array.

    Args:
        x: array or tensor of one image: 1 channel (gray), 3 (RGB) or 4 (RGBA).
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        scale: bool, shift and stretch the values to 0 to 255; else they are taken as they are.
        dtype: float dtype in which that is computed; None for `floatx()`.

    Returns:
        `PIL.Image.Image`; gray values above 255 make one of 32 bits.

    Raises:
        ValueError: `x` is no single image.
        ImportError: Pillow is not installed.

    Example:

    >>> keras.utils.array_to_img(np.zeros((2, 3, 3))).size
    (3, 2)
    """
    image_module = pillow("array_to_img")
    data_format = config.standardize_data_format(data_format)
    x = convert_to_numpy(x).astype(dtype or config.floatx())
    if x.ndim != 3:
        raise ValueError(
            "One image of three axes was expected. Received: an array of shape "
            f"{x.shape}. Take one of a batch, or add an axis of channels."
        )
    if data_format == "channels_first":
        x = x.transpose(1, 2, 0)
    if x.shape[2] not in (1, 3, 4) or not x.size:
        raise ValueError(
            "Images have pixels, and 1, 3 or 4 channels. Received: an array of shape (height, "
            f"width, channels)={x.shape}. Check `data_format`."
        )
    if scale:
        x = x - x.min()
        largest = x.max()
        x = x / largest * 255 if largest else x
    if x.shape[2] == 1:
        x = x[:, :, 0]
        if x.max() > 255:
            return image_module.fromarray(x.astype("int32"))
    return image_module.fromarray(np.ascontiguousarray(x.clip(0, 255).astype("uint8")))


def img_to_array(img, data_format=None, dtype=None):
    """The array of a Pillow image.

    Args:
        img: `PIL.Image.Image`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        dtype: dtype of the array; None for `floatx()`.

    Returns:
        NumPy array `(height, width, channels)` or `(channels, height, width)`.

    Raises:
        ValueError: `img` has not two or three axes.

    Example:

    >>> keras.utils.img_to_array(keras.utils.array_to_img(np.ones((2, 3, 1)))).shape
    (2, 3, 1)
    """
    data_format = config.standardize_data_format(data_format)
    x = np.array(img, dtype=dtype or config.floatx())
    if x.ndim == 2:
        x = x[:, :, None]
    if x.ndim != 3:
        raise ValueError(f"An image of two or three axes was expected. Received: shape {x.shape}.")
    return x.transpose(2, 0, 1) if data_format == "channels_first" else x


def save_img(path, x, data_format=None, file_format=None, scale=True, **kwargs):
    """Write an array to an image file, which is replaced only once the new one is whole.

    Args:
        path: path, whose ending says the format, or a file object.
        x: array or tensor of one image.
        data_format: see `array_to_img`.
        file_format: name of a format of Pillow; None for what the ending says.
        scale: bool, see `array_to_img`.
        **kwargs: further arguments of `PIL.Image.Image.save`.

    Example:

    >>> keras.utils.save_img("gray.png", np.zeros((2, 3, 1)))
    >>> keras.utils.load_img("gray.png").size
    (3, 2)
    """
    if file_format is None and isinstance(path, (str, os.PathLike)):
        file_format = os.path.splitext(os.fspath(path))[1][1:]
    file_format = (file_format or "").lower() or None
    file_format = "jpeg" if file_format == "jpg" else file_format
    img = array_to_img(x, data_format=data_format, scale=scale)
    if img.mode == "RGBA" and file_format == "jpeg":
        warnings.warn(
            "JPEG keeps no transparency: the fourth channel is left out. Save as png to keep it.",
            stacklevel=2,
        )
        img = img.convert("RGB")
    if isinstance(path, (str, os.PathLike)) and not kwargs.get("append"):
        with atomic_write(path) as temporary:
            img.save(temporary, format=file_format, **kwargs)
    else:
        img.save(path, format=file_format, **kwargs)


def load_img(
    path, color_mode="rgb", target_size=None, interpolation="nearest", keep_aspect_ratio=False
):
    """Read an image file with Pillow.

    Args:
        path: path, or `io.BytesIO` with the contents of a file.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`.
        target_size: `(height, width)`, or None for that of the file.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`, `"box"` or
            `"hamming"`.
        keep_aspect_ratio: bool, cut the largest window of the new proportions out of the middle
            before it is resized.

    Returns:
        `PIL.Image.Image`. Gray images of 16 and 32 bits keep these.

    Raises:
        OSError: the file is none, or no image, or broken.
        ValueError: it is absurdly large, or a wrong argument.
        ImportError: Pillow is not installed.

    Example:

    >>> keras.utils.save_img("colours.png", np.random.rand(8, 6, 3))
    >>> img = keras.utils.load_img("colours.png", target_size=(4, 4))
    >>> keras.utils.img_to_array(img).shape
    (4, 4, 3)
    """
    pillow("load_img")
    if color_mode not in _CHANNELS:
        raise ValueError(
            f'`color_mode` must be "grayscale", "rgb" or "rgba". Received: {color_mode!r}.'
        )
    if target_size is not None and interpolation not in _RESAMPLING:
        raise ValueError(
            f"`interpolation` must be one of {', '.join(_RESAMPLING)}. Received: "
            f"interpolation={interpolation!r}."
        )
    img = read_image(path, _CHANNELS[color_mode])
    if target_size is None or img.size == (target_size[1], target_size[0]):
        return img
    height, width = target_size
    box = None
    if keep_aspect_ratio:
        rows = min(img.height, img.width * height // width)
        columns = min(img.width, img.height * width // height)
        top, left = (img.height - rows) // 2, (img.width - columns) // 2
        box = (left, top, left + columns, top + rows)
    resampling = getattr(pillow("load_img").Resampling, interpolation.upper())
    return img.resize((width, height), resampling, box=box)


def smart_resize(x, size, interpolation="bilinear", data_format="channels_last"):
    """Resize images without distortion: what does not fit the new proportions is cut off.

    Args:
        x: array or tensor of an image or a batch of images.
        size: `(height, width)`.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"area"`, `"lanczos3"`,
            `"lanczos5"`, `"gaussian"` or `"mitchellcubic"`.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        An array if `x` is one, else a tensor, of the same dtype; integers are rounded.

    Raises:
        ValueError: a wrong argument.

    Example:

    >>> keras.preprocessing.image.smart_resize(np.zeros((340, 500, 3)), (200, 200)).shape
    (200, 200, 3)
    """
    if len(size) != 2:
        raise ValueError(f"`size` must be (height, width). Received: size={size}.")
    interpolation = check_interpolation(interpolation)
    data_format = config.standardize_data_format(data_format)
    images = convert_to_tensor(x)
    if images.dim() not in (3, 4):
        raise ValueError(
            "An image or a batch of images was expected. Received: an array of shape "
            f"{tuple(images.shape)}."
        )
    dtype = images.dtype
    if data_format == "channels_last":
        images = images.movedim(-1, -3)
    images = images if dtype in (torch.float32, torch.float64) else images.float()
    images = resize_images(images, tuple(size), interpolation, crop=True)
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)
        images = images.round().clamp(limits.min, limits.max)
    if data_format == "channels_last":
        images = images.movedim(-3, -1)
    images = images.to(dtype)
    return convert_to_numpy(images) if isinstance(x, np.ndarray) else images


# ---- files ------------------------------------------------------------------------------------


def pillow(name):
    """The module `PIL.Image`, for the function of this name.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"{name} reads and writes images with Pillow, which is not installed. Run: "
            'pip install "torchkeras[image]"'
        ) from error
    return Image


def read_image(path, channels, formats=None):
    """The image in a file, decoded, with so many channels.

    Args:
        path: path, or `io.BytesIO`.
        channels: 1, 3 or 4.
        formats: names of the formats of Pillow that may be in it, and then no more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`; None for all formats, and Pillow's own limit: twice that.

    Raises:
        OSError: the file is none, or no image of these formats, or broken.
        ValueError: it has too many pixels; none of them is read.

    Example:

    >>> from torchkeras.utils.image_utils import read_image
    >>> keras.utils.save_img("gray.png", np.zeros((2, 3, 1)))
    >>> read_image("gray.png", 3).mode
    'RGB'
    """
    if isinstance(path, io.BytesIO):
        return _decoded(path, "the given bytes", channels, formats)
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"`path` must be a path or io.BytesIO. Received: a {type(path).__name__}.")
    with open_regular(path) as file:
        return _decoded(file, os.fsdecode(path), channels, formats)


def _decoded(file, name, channels, formats):
    with _naming(name):
        image_module = pillow("load_img")
        image = image_module.open(file, formats=formats)
        limit = image_module.MAX_IMAGE_PIXELS
        if formats is not None and limit is not None and image.width * image.height > limit:
            raise image_module.DecompressionBombError(f"{image.width} x {image.height} pixels.")
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        if channels == 1 and image.mode in ("I;16", "I"):
            mode = image.mode
        image.load()
        return image if image.mode == mode else image.convert(mode)


@contextlib.contextmanager
def _naming(name):
    """Errors of Pillow as errors that name the file."""
    from PIL import Image

    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"An image of at most PIL.Image.MAX_IMAGE_PIXELS={Image.MAX_IMAGE_PIXELS} pixels was "
            f"expected. Received: {name}: {error} Make it smaller, or raise that number if you "
            "trust it."
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        raise OSError(
            f"An image was expected. Received: {name}, which is none or broken ({error})."
        ) from error
