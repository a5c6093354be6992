"""RandomColorDegeneration: colours nearer to gray, in training."""

from torchkeras.layers.preprocessing.image.color_layer import ColorLayer, per_image
from torchkeras.ops.image_colors import rgb_to_grayscale


class RandomColorDegeneration(ColorLayer):
    """Moves each image some way towards its shades of gray during training.

    The way is drawn for each image: 0 leaves it as it is, 1 makes it gray.

    Args:
        factor: number from 0 to 1, for ways from 0 to it; or two numbers, the shortest and the
            longest way.
        value_range: two numbers, the lowest and the highest value of a pixel.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, 3)` or `(height, width, 3)`, of integers or floats; with
        the channels first for `data_format="channels_first"`. Or a dict of images and what
        belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, `value_range` are not two numbers, or images have
            another number of channels.

    Source: the bounds of the factor are those of Keras's description; Keras 3.15.1 draws from
    `[-factor, factor]` for one number.

    Example:

    >>> layer = keras.layers.RandomColorDegeneration((1.0, 1.0))
    >>> layer(torch.tensor([[[100.0, 0.0, 0.0]]]))
    tensor([[[29.8900, 29.8900, 29.8900]]])
    """

    factor_bounds = (-1.0, 1.0)  # what files of Keras have in them for one number
    factor_from_zero = True

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"factor": ...}`: the way of each image, of shape `(batch, 1, 1, 1)`."""
        if not training:
            return None
        return {"factor": self.draw_uniform(data, (1, 1, 1), *self.factor, seed)}

    def change_colors(self, images, transformation):
        gray = rgb_to_grayscale(images, self.data_format)
        return self.clip(images + per_image(transformation["factor"], images) * (gray - images))

    def compute_image_shape(self, image_shape):
        return check_colors(self, image_shape)


def check_colors(layer, image_shape):
    """`image_shape`, if its images have red, green and blue; else ValueError.

    Example:

    >>> from torchkeras.layers.preprocessing.image.random_color_degeneration import check_colors
    >>> check_colors(keras.layers.RandomHue(0.5), (None, 4, 4, 3))
    (None, 4, 4, 3)
    """
    if len(image_shape) in (3, 4):
        channels = image_shape[layer.channels_axis]
        if channels not in (3, None):
            raise ValueError(
                f"Layer '{layer.name}' expects images with 3 channels, red, green and blue, on "
                f"axis {layer.channels_axis}. Received: images of shape {tuple(image_shape)}."
            )
    return image_shape
