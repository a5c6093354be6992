"""MixUp: each image mixed with another one of its batch, and their labels, in training."""

import torch

from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.mixing import (
    check_one_hot,
    draw_beta,
    draw_order,
    mixed,
    mixed_labels,
    mixed_symbols,
)


class MixUp(BaseImagePreprocessingLayer):
    """`weight * image + (1 - weight) * other` during training, and the same of the labels.

    The others are the images of the batch in random order; the weight is drawn for each image from
    the Beta distribution with both parameters `alpha`. Boxes of both images are kept.

    Args:
        alpha: float above 0. Small numbers give weights near 0 or 1, 1 gives all evenly.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: a dict of `"images"`, `(batch, height, width, channels)`, and `"labels"`, one-hot
        rows or floats; or images alone. Masks must be one-hot, too, or floats.
    Output shape: that of the input, images in the layer's compute dtype, labels and masks in
        floats; with twice as many boxes.

    Raises:
        ValueError: `alpha` is not above 0; labels or masks are numbers of classes.

    Source: Zhang et al. 2017, "mixup: Beyond empirical risk minimization"; boxes as in Zhang et al.
    2019, "Bag of freebies for training object detection neural networks". Labels of boxes are
    joined, and masks mixed, image by image; Keras 3.15.1 joins the former along the batch, and
    takes single values of the latter.

    Example:

    >>> data = {"images": torch.ones(2, 4, 4, 3), "labels": torch.eye(2)}
    >>> keras.layers.MixUp(seed=1)(data)["labels"].sum(1)
    tensor([1., 1.])
    """

    def __init__(self, alpha=0.2, data_format=None, seed=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not alpha > 0:
            raise ValueError(
                "`alpha` must be a number above 0, the parameter of a Beta distribution. Received: "
                f"alpha={alpha!r}."
            )
        self.alpha = alpha
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"mix_weight": ..., "permutation_order": ...}`, both of shape `(batch,)`."""
        if not training:
            return None
        return {
            "mix_weight": draw_beta(self, data, self.alpha, seed),
            "permutation_order": draw_order(self, data, seed),
        }

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        return mixed(images, *_plan(transformation)) if training else images

    def transform_labels(self, labels, transformation, training=True):
        return mixed_labels(self, labels, *_plan(transformation)) if training else labels

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training:
            return bounding_boxes
        order, _ = _plan(transformation)
        both = {
            name: torch.cat([bounding_boxes[name], bounding_boxes[name].index_select(0, order)], 1)
            for name in ("boxes", "labels")
        }
        return {**bounding_boxes, **both}

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training:
            return segmentation_masks
        check_one_hot(self, segmentation_masks)
        return mixed(segmentation_masks, *_plan(transformation))

    def compute_output_shape(self, input_shape):
        shapes = super().compute_output_shape(input_shape)
        if isinstance(shapes, dict) and "bounding_boxes" in shapes:
            boxes = dict(shapes["bounding_boxes"])
            for name in ("boxes", "labels"):
                batch, count, *rest = boxes[name]
                boxes[name] = (batch, None if count is None else 2 * count, *rest)
            shapes["bounding_boxes"] = boxes
        return shapes

    def compute_output_spec(self, data, training=True):
        symbols = super().compute_output_spec(data, training)
        if training is False:
            return symbols
        return mixed_symbols(symbols, ("labels", "segmentation_masks"))

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "seed": self.seed}


def _plan(transformation):
    return transformation["permutation_order"], transformation["mix_weight"]
