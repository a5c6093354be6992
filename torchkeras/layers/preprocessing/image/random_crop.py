"""RandomCrop: a part of images, from a place drawn at random."""

import torch

from torchkeras.layers.preprocessing.image.window_layer import WindowLayer, ratio_window
from torchkeras.ops.image_resizing import resize


class RandomCrop(WindowLayer):
    """Cuts a part out of each image in training, at a place that is drawn for it alone.

    At inference, and of images that are smaller than that along an axis, the largest part in the
    middle with the new aspect ratio is resized instead.

    Args:
        height, width: ints, sizes of the output in pixels.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, with the new sizes, in the layer's compute dtype.

    Example:

    >>> images = torch.arange(9.0).reshape(1, 3, 3, 1)
    >>> crop = keras.layers.RandomCrop(1, 2, seed=1)
    >>> part = crop(images).flatten()
    >>> bool(part[1] == part[0] + 1)
    True
    """

    def __init__(self, height, width, seed=None, data_format=None, **kwargs):
        super().__init__(height, width, data_format=data_format, **kwargs)
        self.set_seed(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        images = self.images_of(data)
        height, width = self.image_size(images)
        start = None
        if training and height >= self.height and width >= self.width:
            top, left = self.draw_uniform(data, (2,), seed=seed).unbind(-1)
            top = (top * (height - self.height + 1)).long()
            left = (left * (width - self.width + 1)).long()
            # A product may round up to the end.
            start = top.clamp(max=height - self.height), left.clamp(max=width - self.width)
        return {"start": start, "input_shape": images.shape}

    def take(self, images, transformation, interpolation):
        """A part of images, or of masks."""
        if transformation["start"] is None:
            return resize(
                images,
                (self.height, self.width),
                interpolation,
                crop_to_aspect_ratio=True,
                data_format=self.data_format,
            )
        # By indices on the device: a slice would have to wait for the numbers.
        top, left = (start.reshape(-1, 1, 1) for start in transformation["start"])
        rows = top + torch.arange(self.height, device=images.device)[:, None]
        columns = left + torch.arange(self.width, device=images.device)
        batch = images if images.dim() == 4 else images[None]
        if self.channels_axis == -3:
            batch = batch.movedim(1, -1)
        which = torch.arange(batch.shape[0], device=images.device)[:, None, None]
        parts = batch[which, rows, columns]
        if self.channels_axis == -3:
            parts = parts.movedim(-1, 1)
        return parts if images.dim() == 4 else parts[0]

    def window(self, height, width, transformation):
        """Where the part lies."""
        if transformation["start"] is None:
            return ratio_window(height, width, self.height, self.width)
        top, left = transformation["start"]
        if len(transformation["input_shape"]) == 4:  # a place for all boxes of an image
            top, left = top.reshape(-1, 1), left.reshape(-1, 1)
        return top, left, self.height, self.width

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
