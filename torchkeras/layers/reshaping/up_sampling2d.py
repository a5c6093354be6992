"""UpSampling2D: images enlarged by a whole factor."""

import torch

from torchkeras.layers.reshaping.base_up_sampling import BaseUpSampling
from torchkeras.layers.spatial import choice_argument
from torchkeras.ops.resampling import axis_weights, back_to

_NAMES = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


class UpSampling2D(BaseUpSampling):
    """Enlarges images: each pixel becomes `size[0] * size[1]` of them.

    Args:
        size: int of at least 1, or two for height and width.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        interpolation: `"nearest"` repeats pixels. `"bilinear"`, `"bicubic"`, `"lanczos3"` and
            `"lanczos5"` weigh 2, 4, 6 and 10 pixels along each axis around the place where the
            middle of the new pixel lies.

    Input shape:
        `(batch, height, width, channels)`; `"channels_first"` has the channels on axis 1.
        Integers stay integers, rounded where pixels are weighed.

    Output shape:
        `(batch, height * size[0], width * size[1], channels)`.

    Raises:
        ValueError: an argument is out of its range.

    Source:
        Keys 1981, "Cubic convolution interpolation for digital image processing", with -0.75 as
        the free parameter, as in torch and in Keras on torch; Keras on TensorFlow and JAX takes
        -0.5. Duchon 1979, "Lanczos filtering in one and two dimensions", which Keras on torch
        does not have.

    Example:

    >>> images = torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> keras.layers.UpSampling2D((1, 2), interpolation="bilinear")(images).flatten()
    tensor([1.0000, 1.5000, 2.5000, 3.0000])
    """

    rank = 2

    def __init__(self, size=2, data_format=None, interpolation="nearest", **kwargs):
        super().__init__(size, data_format, **kwargs)
        self.interpolation = choice_argument(interpolation, "interpolation", _NAMES)

    def call(self, inputs):
        if self.interpolation == "nearest":
            return super().call(inputs)
        if inputs.is_floating_point():
            return self._weighed(inputs)
        return back_to(self._weighed(inputs.float()), inputs.dtype)

    def _weighed(self, inputs):
        if not self.interpolation.startswith("lanczos"):
            return self._interpolated(inputs, self.interpolation, align_corners=False)
        first = 1 if self.data_format == "channels_last" else 2
        rows, columns = (
            axis_weights(
                n, n * size, float(size), 0.0, self.interpolation, device=inputs.device
            ).to(inputs.dtype)
            for n, size in zip(inputs.shape[first : first + 2], self.size, strict=True)
        )
        if first == 1:
            return torch.einsum("bhwc,yh,xw->byxc", inputs, rows, columns)
        return rows @ inputs @ columns.mT

    def get_config(self):
        return {**super().get_config(), "interpolation": self.interpolation}
