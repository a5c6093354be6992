"""CategoryEncoding: integers as vectors that tell which are there."""

import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.layers.preprocessing.category_vectors import (
    MODES,
    category_vectors,
    check_dense,
    check_mode,
    vectors_shape,
)


class CategoryEncoding(Layer):
    """Integers below a known number as vectors of zeros and ones, or of counts.

    Args:
        num_tokens: int of at least 1, number of categories.
        output_mode: `"one_hot"` for a vector for each integer; `"multi_hot"` for one vector
            for all of the last axis, with ones for those that occur; `"count"` for how often
            they do.
        sparse: False.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: integers from 0 to `num_tokens - 1`; a negative one counts nowhere.
        count_weights: numbers in the shape of `inputs`, what each of them counts in the mode
            "count"; None for 1.

    Input shape: any, `(..., n)`.
    Output shape:
        `(..., num_tokens)`; in the mode "one_hot" `(..., n, num_tokens)` for n other than 1.

    Raises:
        ValueError: an argument is out of its range, `count_weights` in another mode, or an
            integer is too large, if it is on the CPU. Elsewhere that is an error of the device.

    Source:
        As Keras. Of inputs with more than two axes Keras gathers the second one, although its
        symbols and documentation say the last; here it is the last.

    Example:

    >>> layer = keras.layers.CategoryEncoding(num_tokens=4, output_mode="multi_hot")
    >>> layer([[0, 1], [0, 0], [3, 1]])
    tensor([[1., 1., 0., 0.],
            [1., 0., 0., 0.],
            [0., 1., 0., 1.]])
    """

    def __init__(self, num_tokens=None, output_mode="multi_hot", sparse=False, **kwargs):
        super().__init__(**kwargs, autocast=False)
        if not isinstance(num_tokens, int) or num_tokens < 1:
            raise ValueError(
                "`num_tokens` must be an int of at least 1. Received: num_tokens="
                f"{num_tokens!r}. Where the number is not known, use IntegerLookup and adapt()."
            )
        check_dense(sparse)
        self.num_tokens = num_tokens
        self.output_mode = check_mode(output_mode, MODES[1:])
        mark_built(self)

    def call(self, inputs, count_weights=None):
        inputs = convert_to_tensor(inputs)  # lists of numbers come as they are
        dtype = to_torch_dtype(self.compute_dtype)
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    "`count_weights` belong to output_mode='count'. Received: count_weights with "
                    f"output_mode={self.output_mode!r}."
                )
            count_weights = convert_to_tensor(count_weights).to(inputs.device, dtype)
            if count_weights.shape != inputs.shape:
                raise ValueError(
                    "`count_weights` must have the shape of the inputs. Received: "
                    f"{tuple(count_weights.shape)} for inputs of {tuple(inputs.shape)}."
                )
        places = inputs if not inputs.is_floating_point() else inputs.to(torch.int64)
        return category_vectors(places, self.output_mode, self.num_tokens, dtype, count_weights)

    def compute_output_shape(self, input_shape):
        return vectors_shape(input_shape, self.output_mode, self.num_tokens)

    def compute_output_spec(self, inputs, count_weights=None):
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "output_mode": self.output_mode,
        }
