"""RandomGaussianBlur: some images blurred, in training."""

import torch

from torchkeras.layers.preprocessing.image.color_layer import ColorLayer
from torchkeras.layers.preprocessing.image.random_invert import draw_chances


class RandomGaussianBlur(ColorLayer):
    """Blurs some images during training, by a Gaussian kernel.

    Each image has a probability of its own, drawn from the range `factor`, and widths of the
    kernel along both axes of its own, drawn from the range `sigma`. Beyond the border stands 0.

    Args:
        factor: number from 0 to 1, for probabilities from 0 to it; or two numbers, the lowest and
            the highest probability.
        kernel_size: odd int, or two of them for height and width, in pixels.
        sigma: number of at least 0, the standard deviation of the kernel in pixels; or two
            numbers, the smallest and the largest one.
        value_range: two numbers, the lowest and the highest value of a pixel.
        data_format: `"channels_last"` or `"channels_first"`; None for
            `keras.config.image_data_format()`.
        seed: int, or None; then draws follow `torch.manual_seed`.
        **kwargs: those of `BaseImagePreprocessingLayer`.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, of integers or
        floats; with the channels first for `data_format="channels_first"`. Or a dict of images
        and what belongs to them.
    Output shape: that of the input, in the layer's compute dtype.

    Raises:
        ValueError: `factor` is out of bounds, `kernel_size` is not odd, `sigma` is negative, or
            `value_range` are not two numbers.

    Source: Keras's description of `sigma`, which is drawn for each image; Keras 3.15.1 draws once
    for a batch, from `[0, sigma]` for one number, and takes no `sigma` above 1.

    Example:

    >>> layer = keras.layers.RandomGaussianBlur((1.0, 1.0), kernel_size=(1, 3), sigma=0.5)
    >>> layer(torch.tensor([[[0.0], [100.0], [0.0]]])).flatten()
    tensor([10.6508, 78.6985, 10.6508])
    """

    def __init__(
        self,
        factor=1.0,
        kernel_size=3,
        sigma=1.0,
        value_range=(0, 255),
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        self.kernel_size = _pair(kernel_size, "kernel_size", "an odd int", _is_odd)
        self.sigma = tuple(sorted(_pair(sigma, "sigma", "a number of at least 0", _is_width)))

    def get_random_transformation(self, data, training=True, seed=None):
        """`{"should_apply_blur": (batch,), "blur_factor": (batch, 2)}`, for width and height."""
        if not training:
            return None
        return {
            "should_apply_blur": draw_chances(self, data, self.factor, seed),
            "blur_factor": self.draw_uniform(data, (2,), *self.sigma, seed) + 1e-6,
        }

    def change_colors(self, images, transformation):
        sigma = transformation["blur_factor"]
        blurred = images
        axes = (self.height_axis, self.width_axis)
        for axis, size, width in zip(
            axes, self.kernel_size, (sigma[..., 1], sigma[..., 0]), strict=True
        ):
            kernel = _kernel(size, width.reshape(-1, 1)).to(images.dtype)
            blurred = _filtered(blurred, kernel, axis % 4)
        chosen = transformation["should_apply_blur"].reshape(-1, 1, 1, 1)
        return self.clip(torch.where(chosen, blurred, images))

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size, "sigma": self.sigma}


def _kernel(size, sigma):
    """A row of weights for each row of `sigma`."""
    places = torch.arange(size, device=sigma.device, dtype=sigma.dtype) - (size - 1) / 2
    return torch.softmax(-0.5 * (places / sigma) ** 2, -1)


def _filtered(images, kernel, axis):
    """Images, each with its row of `kernel` moved along `axis`."""
    size = kernel.shape[-1]
    border = [0, 0] * (3 - axis) + [size // 2, size // 2]
    windows = torch.nn.functional.pad(images, border).unfold(axis, size, 1)
    return (windows * kernel.reshape(-1, 1, 1, 1, size)).sum(-1)


def _pair(value, name, expected, holds):
    pair = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) != 2 or not all(map(holds, pair)):
        raise ValueError(
            f"`{name}` must be {expected}, or two of them. Received: {name}={value!r}."
        )
    return pair


def _is_odd(x):
    return isinstance(x, int) and x > 0 and x % 2 == 1


def _is_width(x):
    return isinstance(x, (int, float)) and not isinstance(x, bool) and x >= 0
