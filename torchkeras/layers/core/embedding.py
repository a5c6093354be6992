"""Embedding: a learned vector for each of so many integers."""

import torch
from torch.nn import functional as F

from torchkeras import regularizers
from torchkeras.layers.core.lora import LowRankUpdate
from torchkeras.layers.core.quantized_table import QuantizedTable
from torchkeras.layers.layer import Layer
from torchkeras.layers.weight_arguments import (
    set_weight_arguments,
    weight_arguments,
    weight_config,
)


class Embedding(QuantizedTable, LowRankUpdate, Layer):
    """Replaces each integer by a vector, the row of that number of a table that is learned.

    Args:
        input_dim: int, at least 1. Number of rows: one more than the largest integer.
        output_dim: int, at least 1. Size of a vector.
        embeddings_initializer: initializer of the table, by name or instance.
        embeddings_regularizer: regularizer of the table, by name or instance, or None.
        embeddings_constraint: constraint of the table, by name or instance, or None.
        mask_zero: bool, whether 0 is padding: the output then has a mask, False where it stood.
        weights: array `(input_dim, output_dim)` to start from, or a list of it; None for none.
        lora_rank, lora_alpha: int and float, arguments of `enable_lora`, which is called when the
            layer is built; None for no LoRA.
        quantization_config: QuantizationConfig for a quantized `dtype`, or None.

    Input shape: any, integers from 0 to `input_dim - 1`. Floats are cut off to integers.
    Output shape: that of the input, and `output_dim`, in the layer's compute dtype.

    Raises:
        ValueError: a size is not a positive int; `weights` has another shape.
        IndexError: on a CPU, an integer that has no row.

    Example:

    >>> layer = keras.layers.Embedding(4, 2, mask_zero=True)
    >>> y = layer(torch.tensor([[3, 1, 0]]))
    >>> y.shape, y._keras_mask
    (torch.Size([1, 3, 2]), tensor([[ True,  True, False]]))
    """

    _lora_weight = "embeddings"
    _quantized_weights = ("embeddings",)

    def __init__(
        self,
        input_dim,
        output_dim,
        embeddings_initializer="uniform",
        embeddings_regularizer=None,
        embeddings_constraint=None,
        mask_zero=False,
        weights=None,
        lora_rank=None,
        lora_alpha=None,
        quantization_config=None,
        **kwargs,
    ):
        for name, size in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(
                    f"`{name}` must be an int of at least 1. Received: {name}={size!r}."
                )
        # Integers that come as floats must not be rounded to a compute dtype of few bits.
        super().__init__(**{**kwargs, "autocast": False})
        self.input_dim = input_dim
        self.output_dim = output_dim
        set_weight_arguments(self, locals(), "embeddings")
        self._set_lora(lora_rank, lora_alpha)
        self._set_quantization(quantization_config)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        if weights is not None:
            self.build((None,))  # a shape, so that files know that it is built
            self.set_weights(weights if isinstance(weights, list) else [weights])

    def build(self, input_shape=None):
        if self.built:  # by `weights`
            return
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            **weight_arguments(self, "embeddings"),
        )
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def call(self, inputs):
        if inputs.dtype is not torch.int64 and inputs.dtype is not torch.int32:
            inputs = inputs.to(torch.int32)
        if not self.lora_enabled:
            return F.embedding(inputs, self.embeddings.value).to(self._compute_dtype)
        table, a, b = (part.value for part in self._lora_parts())
        update = F.embedding(inputs, a) @ b  # of the rows that are asked for alone
        update = self.lora_alpha / self.lora_rank * update
        return (F.embedding(inputs, table) + update).to(self._compute_dtype)

    def compute_mask(self, inputs, previous_mask=None):
        return torch.ne(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            **weight_config(self),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "mask_zero": self.mask_zero,
            **self._quantization_of_config(),
            **self._lora_config(),
        }
