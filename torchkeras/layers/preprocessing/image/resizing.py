"""Resizing: images in a given size."""

from torchkeras.core.dtypes import is_float_dtype
from torchkeras.layers.preprocessing.image.window_layer import WindowLayer, ratio_window
from torchkeras.ops.geometry import choice_argument
from torchkeras.ops.image_resizing import resize
from torchkeras.ops.shape_rules.images import INTERPOLATIONS


class Resizing(WindowLayer):
    """Resizes images, in training and at inference.

    Args:
        height, width: ints, sizes of the output in pixels.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`; masks
            take the nearest pixel.
        crop_to_aspect_ratio: bool, whether the largest part in the middle that has the new aspect
            ratio is resized, instead of the whole.
        pad_to_aspect_ratio: bool, whether images are padded to the new aspect ratio first.
        fill_mode: `"constant"`.
        fill_value: number, what they are padded with.
        antialias: bool, whether more pixels are weighed where images shrink.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, with the new sizes. Integers stay integers, rounded; floats
        are in the layer's compute dtype.

    Raises:
        ValueError: an argument is out of its range, or both ways to keep the ratio are asked for.

    Example:

    >>> keras.layers.Resizing(4, 6)(torch.ones(2, 8, 8, 3)).shape
    torch.Size([2, 4, 6, 3])
    """

    def __init__(
        self,
        height,
        width,
        interpolation="bilinear",
        crop_to_aspect_ratio=False,
        pad_to_aspect_ratio=False,
        fill_mode="constant",
        fill_value=0.0,
        antialias=False,
        data_format=None,
        **kwargs,
    ):
        super().__init__(height, width, data_format=data_format, **kwargs)
        self.interpolation = choice_argument(interpolation, "interpolation", INTERPOLATIONS)
        self.fill_mode = choice_argument(fill_mode, "fill_mode", ("constant",))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(
                "Images keep their aspect ratio by cropping or by padding. Received: "
                "crop_to_aspect_ratio=True, pad_to_aspect_ratio=True. Set one of them."
            )
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_value = fill_value
        self.antialias = bool(antialias)

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images) if images.is_floating_point() else images
        return self.take(images, transformation, self.interpolation)

    def compute_image_dtype(self, dtype):
        return self.compute_dtype if is_float_dtype(dtype) else dtype

    def take(self, images, transformation, interpolation):
        """Images, or masks, in the new size."""
        return resize(
            images,
            (self.height, self.width),
            interpolation,
            self.antialias,
            self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio,
            self.fill_mode,
            self.fill_value,
            self.data_format,
        )

    def window(self, height, width, transformation):
        """The part of the images that is resized, or the padded images around them."""
        if self.crop_to_aspect_ratio:
            return ratio_window(height, width, self.height, self.width)
        if not self.pad_to_aspect_ratio:
            return 0, 0, height, width
        above = (max(height, width * self.height // self.width) - height) // 2
        left = (max(width, height * self.width // self.height) - width) // 2
        return -above, -left, height + 2 * above, width + 2 * left

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        # Boxes of 0 or of -1 stand for none, and stay none.
        boxes = bounding_boxes["boxes"]
        none = ((boxes == 0).all(-1) | (boxes == -1).all(-1)).unsqueeze(-1)
        moved = super().transform_bounding_boxes(bounding_boxes, transformation, training)
        return {**moved, "boxes": moved["boxes"].masked_fill(none, 0)}

    def get_config(self):
        return {
            **super().get_config(),
            "interpolation": self.interpolation,
            "crop_to_aspect_ratio": self.crop_to_aspect_ratio,
            "pad_to_aspect_ratio": self.pad_to_aspect_ratio,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "antialias": self.antialias,
        }
