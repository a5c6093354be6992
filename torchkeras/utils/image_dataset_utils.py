"""image_dataset_from_directory: batches of images and labels from a folder."""

import operator

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.utils.folder_datasets import check_folder_arguments, folder_dataset
from torchkeras.utils.image_resizing import check_interpolation, resize_images
from torchkeras.utils.image_utils import pillow, read_image

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# A file is what its bytes say, so Pillow is told which of its decoders it may use.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG")


def image_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    color_mode="rgb",
    batch_size=32,
    image_size=(256, 256),
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    interpolation="bilinear",
    follow_links=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    data_format=None,
    format="tf",
    verbose=True,
):
    """A dataset of the images in a folder, with a class for each folder in it.

    Files are read while the dataset is, by threads that stay ahead. The order is a new one for
    each pass. Needs Pillow: `pip install "torchkeras[image]"`.

    Args:
        directory: path of the folder.
        labels: `"inferred"` from the folders' names, None, or a list with an int for each file, in
            the order of folders and names.
        label_mode: `"int"` for int32 labels `(batch,)`; `"binary"` for float32 `(batch, 1)` of two
            classes; `"categorical"` for float32 one-hot rows `(batch, classes)`; None for none.
        class_names: list of folders' names, in the order of their labels; None for all, by name.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`: 1, 3 or 4 channels.
        batch_size: int, or None for single images.
        image_size: `(height, width)` to which images are resized.
        shuffle: bool; False for the order of folders and names.
        seed: int, for the split and the orders.
        validation_split: float between 0 and 1, fraction that is for validation.
        subset: `"training"`, `"validation"` or `"both"`, which gives a list of two datasets.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"area"`, `"lanczos3"`,
            `"lanczos5"`, `"gaussian"` or `"mitchellcubic"`.
        follow_links: bool, visit folders that links lead to.
        crop_to_aspect_ratio: bool, cut images to the new proportions instead of distorting them.
        pad_to_aspect_ratio: bool, put black beside them instead.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        format: `"tf"` or `"grain"`, which here give the same.
        verbose: bool, print how many files were found.

    Returns:
        `keras.data.Dataset` of float32 images from 0 to 255, `(batch, height, width, channels)`,
        or `(images, labels)`; with attributes `class_names` and `file_paths`.

    Raises:
        ValueError: a wrong argument, or no image. While reading: an image that is absurdly large.
        FileNotFoundError: there is no such folder.
        OSError: while reading, names a file that is no image or broken.

    Example:

    >>> import os
    >>> for name in ("cats", "dogs"):
    ...     os.mkdir(name)
    ...     keras.utils.save_img(f"{name}/1.png", np.random.rand(9, 8, 3))
    >>> dataset = keras.utils.image_dataset_from_directory(".", image_size=(6, 6), verbose=False)
    >>> dataset.class_names, [images.shape for images, labels in dataset]
    (['cats', 'dogs'], [torch.Size([2, 6, 6, 3])])
    """
    pillow("image_dataset_from_directory")
    check_folder_arguments(
        labels, label_mode, class_names, validation_split, subset, shuffle, seed, format
    )
    load = LoadImage(
        image_size,
        color_mode,
        interpolation,
        data_format,
        crop_to_aspect_ratio,
        pad_to_aspect_ratio,
    )

    def finish(dataset):
        dataset = dataset if batch_size is None else dataset.batch(batch_size)
        return dataset.prefetch()

    return folder_dataset(
        directory,
        "images",
        _ENDINGS,
        load,
        finish,
        labels,
        label_mode,
        class_names,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )


class LoadImage:
    """Reads an image file as a float32 tensor of a size; the arguments are those above."""

    def __init__(self, image_size, color_mode, interpolation, data_format, crop, pad):
        channels = {"grayscale": 1, "rgb": 3, "rgba": 4}
        if color_mode not in channels:
            raise ValueError(
                '`color_mode` must be "grayscale", "rgb" or "rgba". Received: '
                f"color_mode={color_mode!r}."
            )
        if crop and pad:
            raise ValueError(
                "Only one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio` can be True. "
                "Received: both."
            )
        self._size = _image_size(image_size)
        self._channels = channels[color_mode]
        self._interpolation = check_interpolation(interpolation)
        self._data_format = config.standardize_data_format(data_format)
        self._crop = crop
        self._pad = pad

    def __call__(self, path):
        pixels = np.array(read_image(path, self._channels, _FORMATS), dtype="float32")
        image = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)
        image = resize_images(image, self._size, self._interpolation, self._crop, self._pad)
        if self._data_format == "channels_last":
            image = image.permute(1, 2, 0)
        return image.contiguous()


def _image_size(image_size):
    sizes = (image_size, image_size) if isinstance(image_size, int) else image_size
    try:
        height, width = (operator.index(n) for n in sizes)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ValueError(
            "`image_size` must be (height, width), ints of at least 1. Received: "
            f"image_size={image_size!r}."
        )
    return height, width
