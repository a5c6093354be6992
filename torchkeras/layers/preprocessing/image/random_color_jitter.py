"""RandomColorJitter: brightness, contrast, saturation and hue at once, in training."""

from torchkeras.layers.preprocessing.image.arguments import check_value_range
from torchkeras.layers.preprocessing.image.base_image_preprocessing_layer import (
    BaseImagePreprocessingLayer,
)
from torchkeras.layers.preprocessing.image.random_brightness import RandomBrightness
from torchkeras.layers.preprocessing.image.random_contrast import RandomContrast
from torchkeras.layers.preprocessing.image.random_hue import RandomHue
from torchkeras.layers.preprocessing.image.random_saturation import RandomSaturation

_PARTS = {
    "brightness": RandomBrightness,
    "contrast": RandomContrast,
    "saturation": RandomSaturation,
    "hue": RandomHue,
}


class RandomColorJitter(BaseImagePreprocessingLayer):
    """Changes brightness, contrast, saturation and hue of images during training, in this order.

    Args:
        value_range: two numbers, the lowest and the highest value of a pixel.
        brightness_factor: factor of `RandomBrightness`; None to leave brightness as it is.
        contrast_factor: factor of `RandomContrast`, or None.
        saturation_factor: factor of `RandomSaturation`, or None.
        hue_factor: factor of `RandomHue`, or None.
        seed: int, or None; then draws follow `torch.manual_seed`.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, 3)` or `(height, width, 3)`, of integers or floats; with
        the channels first for `data_format="channels_first"`. Or a dict of images and what
        belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: a factor is out of bounds, or `value_range` are not two numbers.

    Example:

    >>> layer = keras.layers.RandomColorJitter(brightness_factor=(0.2, 0.2), value_range=(0, 1))
    >>> layer(torch.full((1, 1, 3), 0.5))
    tensor([[[0.7000, 0.7000, 0.7000]]])
    """

    def __init__(
        self,
        value_range=(0, 255),
        brightness_factor=None,
        contrast_factor=None,
        saturation_factor=None,
        hue_factor=None,
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = check_value_range(value_range)
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        self.set_seed(seed)
        for name, cls in _PARTS.items():
            factor = getattr(self, f"{name}_factor")
            part = None
            if factor is not None:
                # The seed of all is this layer's own: it draws for them.
                part = cls(
                    factor,
                    value_range=self.value_range,
                    seed=seed,
                    data_format=self.data_format,
                    dtype=self.dtype_policy,
                )
            setattr(self, f"random_{name}", part)

    @property
    def _parts(self):
        parts = {f"random_{name}": getattr(self, f"random_{name}") for name in _PARTS}
        return {name: part for name, part in parts.items() if part is not None}

    def build(self, input_shape):
        for part in self._parts.values():
            part.build(input_shape)

    def get_random_transformation(self, data, training=True, seed=None):
        """What each of the layers within draws, by its name."""
        if not training:
            return None
        seed = self.generator if seed is None else seed
        return {
            name: part.get_random_transformation(data, training, seed)
            for name, part in self._parts.items()
        }

    def transform_images(self, images, transformation=None, training=True):
        images = self.cast(images)
        if not training or transformation is None:
            return images
        for name, part in self._parts.items():
            images = part.transform_images(images, transformation[name])
        return images

    def get_config(self):
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "brightness_factor": self.brightness_factor,
            "contrast_factor": self.contrast_factor,
            "saturation_factor": self.saturation_factor,
            "hue_factor": self.hue_factor,
            "seed": self.seed,
        }
