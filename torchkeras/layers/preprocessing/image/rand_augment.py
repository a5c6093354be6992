"""RandAugment: a few augmentations for each image, drawn among eleven."""

import torch

from torchkeras.layers.preprocessing.image.arguments import check_value_range, factor_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.layer_choice import apply_chosen, augmentations


class RandAugment(BaseImagePreprocessingLayer):
    """Puts each image through `num_ops` augmentations during training, drawn for each image.

    They are drawn, with repetition, among shear, translation, rotation, brightness, colour
    degeneration, contrast, sharpness, posterization, solarization, automatic contrast and
    equalization. Boxes and masks follow in the same order.

    Args:
        value_range: two numbers, the lowest and the highest value of a pixel.
        num_ops: int above 0, the number of augmentations for each image.
        factor: strength from 0 to 1, for strengths from 0 to it; or two numbers, the lowest and
            the highest.
        interpolation: `"nearest"` or `"bilinear"`, for images that are moved.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, 3)` or `(height, width, 3)`, of integers or floats; with
        the channels first for `data_format="channels_first"`. Or a dict of images and what
        belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: an argument is out of its range.

    Source: Cubuk et al. 2019, "RandAugment". The augmentations are drawn for each image, as in the
    paper's code; Keras 3.15.1 draws them for the whole batch.

    Example:

    >>> layer = keras.layers.RandAugment(value_range=(0, 1), seed=1)
    >>> layer(torch.rand(2, 8, 8, 3)).shape
    torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        value_range=(0, 255),
        num_ops=2,
        factor=0.5,
        interpolation="bilinear",
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = check_value_range(value_range)
        if isinstance(num_ops, bool) or not isinstance(num_ops, int) or num_ops < 1:
            raise ValueError(f"`num_ops` must be an int above 0. Received: num_ops={num_ops!r}.")
        self.num_ops = num_ops
        self.factor = factor_range(factor, (0, 1))
        self.interpolation = interpolation
        self.set_seed(seed)
        made = augmentations(
            self.factor,
            self.value_range,
            interpolation,
            seed,
            data_format=self.data_format,
            bounding_box_format=self.bounding_box_format,
            dtype=self.dtype_policy,
        )
        self._names = tuple(made)
        for name, layer in made.items():
            setattr(self, name, layer)

    @property
    def _layers_to_choose(self):
        return [getattr(self, name) for name in self._names]

    def build(self, input_shape):
        for layer in self._layers_to_choose:
            layer.build(input_shape)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"transforms": ..., "layer_idxes": ...}`.

        The former is what each layer drew, by its name; the latter the number of the layer, of
        shape `(num_ops, batch)`.
        """
        if not training:
            return None
        seed = self.generator if seed is None else seed
        count = len(self._names)
        numbers = self.draw_uniform(data, (self.num_ops,), 0, count, seed)
        transforms = {
            name: getattr(self, name).get_random_transformation(data, training, seed)
            for name in self._names
        }
        choice = numbers.to(torch.int64).clamp(max=count - 1).T
        return {"transforms": transforms, "layer_idxes": choice}

    def transform_images(self, images, transformation=None, training=True):
        return self._transformed("transform_images", self.cast(images), transformation, training)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        return self._transformed(
            "transform_bounding_boxes", bounding_boxes, transformation, training
        )

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._transformed(
            "transform_segmentation_masks", segmentation_masks, transformation, training
        )

    def _transformed(self, method, data, transformation, training):
        if not training or transformation is None:
            return data
        layers = self._layers_to_choose
        transforms = [transformation["transforms"][name] for name in self._names]
        for choice in transformation["layer_idxes"]:
            data = apply_chosen(choice, layers, transforms, method, data)
        return data

    def get_config(self):
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "num_ops": self.num_ops,
            "factor": self.factor,
            "interpolation": self.interpolation,
            "seed": self.seed,
        }
