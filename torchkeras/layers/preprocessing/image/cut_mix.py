"""CutMix: a rectangle of another image of the batch in each image, and mixed labels."""

import torch

from torchkeras.layers.preprocessing.image.arguments import factor_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.mixing import (
    draw_beta,
    draw_order,
    mixed_labels,
    mixed_symbols,
)
from torchkeras.layers.preprocessing.image.patches import rectangles


class CutMix(BaseImagePreprocessingLayer):
    """Pastes a rectangle of another image into each image during training, at the same place.

    The others are the images of the batch in random order. The share of the image that stays is
    drawn from the Beta distribution whose parameters are a number from the range `factor`, one for
    each image; labels are mixed by the share of the pixels that stay. Masks are cut as the images
    are.

    Args:
        factor: number from 0 to 1, for parameters from 0 to it; or two numbers, the smallest and
            the largest parameter. Small ones give very small or very large rectangles.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: a dict of `"images"`, `(batch, height, width, channels)`, and `"labels"`, one-hot
        rows or floats; or images alone.
    Output shape: that of the input, images in the layer's compute dtype, labels in floats.

    Raises:
        ValueError: `factor` is out of bounds; labels are numbers of classes; there are bounding
            boxes, of which parts are no longer in the image: cut without them.

    Source: Yun et al. 2019, "CutMix". The label's share is that of the pixels, as in the authors'
    code; Keras 3.15.1 takes that of the rectangle before it is cut at whole pixels, and one
    parameter for the whole batch.

    Example:

    >>> data = {"images": torch.ones(2, 4, 4, 3), "labels": torch.eye(2)}
    >>> keras.layers.CutMix(seed=1)(data)["labels"].sum(1)
    tensor([1., 1.])
    """

    def __init__(self, factor=1.0, seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0, 1))
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        """What is pasted, and where: a dict.

        `permutation_order` and `mix_weight` are of shape `(batch,)`, `batch_masks` of that of the
        images, with 1 channel.
        """
        if not training:
            return None
        low, high = self.factor
        numbers = self.draw_uniform(data, (3,), seed=seed)
        parameter = numbers[:, 0] * (high - low) + low + 1e-6
        sides = (1 - draw_beta(self, data, parameter, seed)).sqrt()
        masks = rectangles(self, self.images_of(data), sides[:, None].expand(-1, 2), numbers[:, 1:])
        return {
            "permutation_order": draw_order(self, data, seed),
            "batch_masks": masks,
            "mix_weight": 1 - masks.to(torch.float32).mean((1, 2, 3)),
        }

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        if not training or transformation is None:
            return images
        return _pasted(images, transformation["batch_masks"], transformation)

    def transform_labels(self, labels, transformation, training=True):
        if not training or transformation is None:
            return labels
        order, weight = transformation["permutation_order"], transformation["mix_weight"]
        return mixed_labels(self, labels, order, weight)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if training:
            raise ValueError(
                f"Layer '{self.name}' cannot cut bounding boxes. Received: data with "
                "'bounding_boxes'. Use MixUp, which keeps the boxes of both images, or give images "
                "and labels alone."
            )
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training or transformation is None:
            return segmentation_masks
        where = transformation["batch_masks"].narrow(self.channels_axis, 0, 1)
        if segmentation_masks.dim() == 3:
            where = where.squeeze(self.channels_axis)
        return _pasted(segmentation_masks, where, transformation)

    def compute_output_spec(self, data, training=True):
        symbols = super().compute_output_spec(data, training)
        return symbols if training is False else mixed_symbols(symbols, ("labels",))

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "seed": self.seed}


def _pasted(images, where, transformation):
    others = images.index_select(0, transformation["permutation_order"])
    return torch.where(where, others, images)
