"""draw_segmentation_masks: what each pixel was found to be, as colors on images."""

import numpy as np

from torchkeras.core.config import standardize_data_format
from torchkeras.core.convert import convert_to_numpy
from torchkeras.visualization.image_arrays import as_batch


def draw_segmentation_masks(
    images,
    segmentation_masks,
    num_classes=None,
    color_mapping=None,
    alpha=0.8,
    blend=True,
    ignore_index=-1,
    data_format=None,
):
    """Images in the colors of their pixels' classes.

    Args:
        images: tensor or array `(batch, height, width, channels)`, from 0 to 255.
        segmentation_masks: integers `(batch, height, width, 1)` or `(batch, height, width)`, the
            classes of the pixels; channels first `(batch, 1, height, width)`.
        num_classes: int, classes from 0 to `num_classes - 1` are colored; None for all.
        color_mapping: dict of classes to colors of three ints; None for colors of our own.
        alpha: float from 0 to 1, how much of the color there is.
        blend: bool; False for pure colors, as floats.
        ignore_index: int, a class whose pixels stay as they are.
        data_format: `"channels_last"` or `"channels_first"`; None for the configured default.

    Returns:
        Array `(batch, height, width, channels)`, of uint8 where blended.

    Raises:
        ValueError: `images` has not four axes.
        TypeError: the masks are no integers.

    Example:

    >>> masks = np.array([[[[0], [1]]]])
    >>> colors = {0: (10, 0, 0), 1: (0, 10, 0)}
    >>> keras.visualization.draw_segmentation_masks(
    ...     np.zeros((1, 1, 2, 3)), masks, color_mapping=colors, alpha=1.0
    ... ).tolist()
    [[[[10, 0, 0], [0, 10, 0]]]]
    """
    images = as_batch(images, data_format).astype("float32")
    classes = np.asarray(convert_to_numpy(segmentation_masks))
    if classes.dtype.kind not in "iu":
        raise TypeError(
            "`segmentation_masks` must be in integer dtype. Received: segmentation_masks of dtype "
            f"{classes.dtype}."
        )
    if classes.ndim == 4:
        is_first = standardize_data_format(data_format) == "channels_first"
        classes = classes[:, 0] if is_first else classes[..., 0]
    if num_classes is None:
        num_classes = int(classes.max()) + 1
    colors = _colors(num_classes, color_mapping, images.shape[-1])
    drawn = images.copy()
    is_colored = (classes >= 0) & (classes < num_classes)
    drawn[is_colored] = colors[classes[is_colored]]
    if not blend:
        return drawn
    mixed = images * np.float32(1 - alpha) + drawn * np.float32(alpha)
    return np.where((classes != ignore_index)[..., None], mixed, images).astype("uint8")


def _colors(num_classes, color_mapping, channels):
    if color_mapping is None:  # as in Keras
        palette = np.array([2**25 - 1, 2**15 - 1, 2**21 - 1])
        colors = np.arange(num_classes)[:, None] * palette % 255
    else:
        colors = np.array([color_mapping[index] for index in range(num_classes)])
    return colors.reshape(num_classes, -1)[:, :channels].astype("float32")
