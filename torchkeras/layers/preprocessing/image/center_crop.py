"""CenterCrop: the middle of images."""

from torchkeras.layers.preprocessing.image.window_layer import WindowLayer, ratio_window
from torchkeras.ops.image_resizing import resize


class CenterCrop(WindowLayer):
    """Cuts the middle out of images, in training and at inference.

    Of images that are smaller than that along an axis, the largest part in the middle with the
    new aspect ratio is resized instead.

    Args:
        height, width: ints, sizes of the output in pixels.
        data_format, bounding_box_format, **kwargs: see `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, or a dict.
    Output shape: that of the input, with the new sizes, in the layer's compute dtype.

    Example:

    >>> image = torch.arange(9.0).reshape(3, 3, 1)
    >>> keras.layers.CenterCrop(1, 3)(image).flatten()
    tensor([3., 4., 5.])
    """

    def __init__(self, height, width, data_format=None, **kwargs):
        super().__init__(height, width, data_format=data_format, **kwargs)

    def take(self, images, transformation, interpolation):
        """The middle of images, or of masks."""
        top, left, rows, columns = self.window(*self.image_size(images), transformation)
        if (rows, columns) != (self.height, self.width):
            size = (self.height, self.width)
            return resize(
                images,
                size,
                interpolation,
                crop_to_aspect_ratio=True,
                data_format=self.data_format,
            )
        return images.narrow(self.height_axis, top, rows).narrow(self.width_axis, left, columns)

    def window(self, height, width, transformation):
        """Where the middle lies."""
        if height >= self.height and width >= self.width:
            return (
                (height - self.height) // 2,
                (width - self.width) // 2,
                self.height,
                self.width,
            )
        return ratio_window(height, width, self.height, self.width)
