"""RepeatVector: a sequence that repeats one vector."""

from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer


class RepeatVector(Layer):
    """Repeats each sample, a vector, `n` times along a new axis.

    Args:
        n: int, at least 1.

    Input shape: `(batch, features)`.
    Output shape: `(batch, n, features)`.

    Raises:
        TypeError: `n` is not an int.
        ValueError: `n` is below 1.

    Example:

    >>> keras.layers.RepeatVector(2)(torch.tensor([[1, 2]]))
    tensor([[[1, 2],
             [1, 2]]])
    """

    keeps_dtype = True

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"`n` must be an int. Received: n={n!r} of type {type(n).__name__}.")
        if n <= 0:
            raise ValueError(f"`n` must be at least 1. Received: n={n}.")
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs):
        return inputs.unsqueeze(1).repeat(1, self.n, 1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self):
        return {**super().get_config(), "n": self.n}
