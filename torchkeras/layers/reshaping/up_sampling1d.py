"""UpSampling1D: each step of sequences repeated."""

from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer


class UpSampling1D(Layer):
    """Repeats each step of sequences `size` times.

    Args:
        size: int of at least 1.

    Input shape:
        `(batch, steps, channels)`.

    Output shape:
        `(batch, steps * size, channels)`.

    Raises:
        TypeError: `size` is no int.
        ValueError: `size` is below 1.

    Example:

    >>> keras.layers.UpSampling1D(2)(torch.tensor([[[1.0], [2.0]]])).flatten()
    tensor([1., 1., 2., 2.])
    """

    keeps_dtype = True

    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(
                f"`size` must be an int of at least 1. Received: size={size!r} of type "
                f"{type(size).__name__}."
            )
        if size < 1:
            raise ValueError(f"`size` must be an int of at least 1. Received: size={size}.")
        self.size = size
        self.input_spec = InputSpec(ndim=3)

    def call(self, inputs):
        return inputs.repeat_interleave(self.size, 1)

    def compute_output_shape(self, input_shape):
        batch, steps, channels = input_shape
        return (batch, None if steps is None else steps * self.size, channels)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
