"""Galleries: images side by side, as a figure of matplotlib that is shown or saved."""

import math
import os

import numpy as np

from torchkeras.core.convert import convert_to_numpy
from torchkeras.saving.atomic import atomic_write
from torchkeras.visualization.bounding_boxes import draw_bounding_boxes
from torchkeras.visualization.image_arrays import as_batch, imported
from torchkeras.visualization.segmentation_masks import draw_segmentation_masks


def plot_image_gallery(
    images,
    y_true=None,
    y_pred=None,
    label_map=None,
    rows=None,
    cols=None,
    value_range=(0, 255),
    scale=2,
    path=None,
    show=None,
    transparent=True,
    dpi=60,
    legend_handles=None,
    data_format=None,
):
    """Show images side by side, or save such a picture.

    Args:
        images: tensor or array `(batch, height, width, channels)`.
        y_true, y_pred: labels `(batch,)` to write above the images, or None.
        label_map: dict of labels to names; needed with labels.
        rows, cols: ints; None for about a square that has room for all.
        value_range: tuple, what is black and what is white.
        scale: float, inches of an image.
        path: str or path of a file to save the picture in; None for none.
        show: bool, whether to show it; None for yes without a path.
        transparent: bool, whether the saved picture's background is.
        dpi: int, dots per inch of the saved picture.
        legend_handles: list of matplotlib's handles for a legend, or None.
        data_format: `"channels_last"` or `"channels_first"`; None for the configured default.

    Raises:
        ValueError: `images` has not four axes; both `path` and `show`; labels without names.
        ImportError: matplotlib is not installed.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "gallery.png")
    >>> keras.visualization.plot_image_gallery(np.zeros((4, 8, 8, 3)), path=path)
    >>> os.path.exists(path)
    True
    """
    if path is not None and show:
        raise ValueError(
            "A gallery is saved to `path`, or shown. Received: both a path and show=True."
        )
    if (y_true is not None or y_pred is not None) and label_map is None:
        raise ValueError(
            "If `y_true` or `y_pred` are provided, a `label_map` must also be provided. Received: "
            "label_map=None."
        )
    images = as_batch(images, data_format)
    rows, cols = _grid(len(images), rows, cols)
    options = {"figsize": (cols * scale, rows * scale), "frameon": False, "layout": "tight"}
    shows = path is None and show is not False
    if shows:
        pyplot = imported("matplotlib.pyplot", "plot_image_gallery")
        figure = pyplot.figure(**options)
    else:  # without a window, nor what one would need
        figure = imported("matplotlib.figure", "plot_image_gallery").Figure(**options)
    axes = figure.subplots(rows, cols, squeeze=False, sharex="row", sharey="col").ravel()
    if legend_handles is not None:
        figure.legend(handles=legend_handles, loc="lower center")
    low, high = value_range
    images = (images.astype("float32") - low) * (255 / (high - low))
    images = np.clip(images, 0, 255).astype("uint8")
    labels = [None if y is None else convert_to_numpy(y).tolist() for y in (y_true, y_pred)]
    for index, axis in enumerate(axes):
        axis.margins(x=0, y=0)
        axis.axis("off")
        if index < len(images):
            image = images[index]
            axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray")
            axis.set_title(_title(index, labels, label_map), fontsize=8)
    if path is not None:
        options = {"bbox_inches": "tight", "transparent": transparent, "dpi": dpi}
        if isinstance(path, (str, os.PathLike)) and os.path.splitext(path)[1]:
            with atomic_write(path) as temporary:
                figure.savefig(temporary, pad_inches=0, **options)
        else:  # an open file, or a name to which matplotlib adds an ending
            figure.savefig(path, pad_inches=0, **options)
    elif shows:
        pyplot.show()
        pyplot.close(figure)


def _grid(count, rows, cols):
    if rows is None and cols is None:
        rows = math.ceil(math.sqrt(count))
    if rows is None:
        rows = math.ceil(count / cols)
    return rows, cols or math.ceil(count / rows)


def _title(index, labels, label_map):
    parts = [
        f"{what}: {label_map.get(values[index], 'Unknown')}"
        for what, values in zip(("Label", "Pred"), labels, strict=True)
        if values is not None and index < len(values)
    ]
    return "  ".join(parts)


def plot_bounding_box_gallery(
    images,
    bounding_box_format,
    y_true=None,
    y_pred=None,
    value_range=(0, 255),
    true_color=(0, 188, 212),
    pred_color=(255, 235, 59),
    line_thickness=2,
    font_scale=1.0,
    text_thickness=None,
    class_mapping=None,
    ground_truth_mapping=None,
    prediction_mapping=None,
    legend=False,
    legend_handles=None,
    rows=None,
    cols=None,
    data_format=None,
    **kwargs,
):
    """Show images with true and predicted boxes side by side, or save such a picture.

    Args:
        images: tensor or array `(batch, height, width, channels)`.
        bounding_box_format: as for `draw_bounding_boxes`.
        y_true, y_pred: dicts of boxes, as for `draw_bounding_boxes`, or None.
        value_range: tuple, what is black and what is white.
        true_color, pred_color: tuples of three ints from 0 to 255.
        line_thickness, font_scale, text_thickness: as for `draw_bounding_boxes`.
        class_mapping: dict of labels to names.
        ground_truth_mapping, prediction_mapping: dicts for one of the two.
        legend: bool, whether a legend tells the colors.
        legend_handles: list of handles for a legend of one's own.
        rows, cols: ints or None.
        data_format: `"channels_last"` or `"channels_first"`; None for the configured default.
        **kwargs: further arguments of `plot_image_gallery`.

    Raises:
        ValueError: `images` has not four axes; both `legend` and `legend_handles`.
        ImportError: matplotlib is not installed.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "gallery.png")
    >>> boxes = {"boxes": np.array([[[1, 1, 6, 6]]]), "labels": np.array([[0]])}
    >>> keras.visualization.plot_bounding_box_gallery(
    ...     np.zeros((1, 8, 8, 3)), "xyxy", y_true=boxes, path=path
    ... )
    >>> os.path.exists(path)
    True
    """
    if legend and legend_handles:
        raise ValueError("Only pass `legend` OR `legend_handles`. Received: both.")
    images = as_batch(images, data_format)
    pairs = (
        (y_true, true_color, ground_truth_mapping or class_mapping),
        (y_pred, pred_color, prediction_mapping or class_mapping),
    )
    low, high = value_range
    images = np.clip((images.astype("float32") - low) * (255 / (high - low)), 0, 255)
    images = images.astype("uint8")
    for boxes, color, names in pairs:
        if boxes is not None:
            images = draw_bounding_boxes(
                images,
                boxes,
                bounding_box_format,
                class_mapping=names,
                color=color,
                line_thickness=line_thickness,
                text_thickness=text_thickness,
                font_scale=font_scale,
                data_format="channels_last",
            )
    if legend:
        patch = imported("matplotlib.patches", "plot_bounding_box_gallery").Patch
        labels = (true_color, "Ground Truth"), (pred_color, "Prediction")
        legend_handles = [patch(color=np.array(c) / 255, label=label) for c, label in labels]
    plot_image_gallery(
        images,
        legend_handles=legend_handles,
        rows=rows,
        cols=cols,
        data_format="channels_last",
        **kwargs,
    )


def plot_segmentation_mask_gallery(
    images,
    num_classes,
    value_range=(0, 255),
    y_true=None,
    y_pred=None,
    color_mapping=None,
    blend=True,
    alpha=0.8,
    ignore_index=-1,
    data_format=None,
    **kwargs,
):
    """Show each image beside itself under its true and predicted masks, or save such a picture.

    Args:
        images: tensor or array `(batch, height, width, channels)`.
        num_classes, color_mapping, blend, alpha, ignore_index: as for `draw_segmentation_masks`.
        value_range: tuple, what is black and what is white.
        y_true, y_pred: masks, as for `draw_segmentation_masks`, or None.
        data_format: `"channels_last"` or `"channels_first"`; None for the configured default.
        **kwargs: further arguments of `plot_image_gallery`.

    Raises:
        ValueError: `images` has not four axes.
        ImportError: matplotlib is not installed.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "gallery.png")
    >>> masks = np.ones((2, 8, 8, 1), "int32")
    >>> keras.visualization.plot_segmentation_mask_gallery(
    ...     np.zeros((2, 8, 8, 3)), 2, y_true=masks, path=path
    ... )
    >>> os.path.exists(path)
    True
    """
    columns = [as_batch(images, data_format).astype("float32")]
    for masks in (y_true, y_pred):
        if masks is not None:
            drawn = draw_segmentation_masks(
                images,
                np.asarray(convert_to_numpy(masks)).astype("int32"),
                num_classes=num_classes,
                color_mapping=color_mapping,
                alpha=alpha,
                blend=blend,
                ignore_index=ignore_index,
                data_format=data_format,
            )
            columns.append(drawn.astype("float32"))
    gallery = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
    plot_image_gallery(
        gallery,
        value_range=value_range,
        rows=len(columns[0]),
        cols=len(columns),
        data_format="channels_last",
        **kwargs,
    )
