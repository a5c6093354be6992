"""ReversibleEmbedding: an Embedding that also gives scores of the integers for a vector."""

import torch

from torchkeras.core.dtypes import standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.core.embedding import Embedding
from torchkeras.layers.weight_arguments import weight_arguments
from torchkeras.quantizers.quantizer import AbsMaxQuantizer


class ReversibleEmbedding(Embedding):
    """An Embedding; called with `reverse=True`, the product of a vector with each row of it.

    With a table `E` of shape `(input_dim, output_dim)` the call is `E[x]`, and the reverse
    one `x @ E.T`, which are the logits of a language model.

    Args:
        input_dim, output_dim, embeddings_initializer, embeddings_regularizer,
            embeddings_constraint, mask_zero: as for Embedding.
        tie_weights: bool, whether the reverse call uses the table; else it has a weight of its
            own, `reverse_embeddings`.
        reverse_dtype: dtype name that the reverse product is computed in and has; None for the
            layer's compute dtype.
        logit_soft_cap: float; logits `x` become `cap * tanh(x / cap)`. None for no bound.

    Call arguments:
        inputs: integers, or with `reverse` a tensor `(..., output_dim)`.
        reverse: bool.

    Output shape: that of the input and `output_dim`; with `reverse`, `(..., input_dim)`.

    Source: Press & Wolf 2017, arXiv:1608.05859; the bound of logits after Gemma Team 2024,
        arXiv:2408.00118. There is no bias.

    Example:

    >>> layer = keras.layers.ReversibleEmbedding(5, 2)
    >>> y = layer(torch.tensor([[3, 1, 0]]))
    >>> layer(y, reverse=True).shape
    torch.Size([1, 3, 5])
    """

    _quantized_weights = ("embeddings", "reverse_embeddings")

    def __init__(
        self,
        input_dim,
        output_dim,
        tie_weights=True,
        embeddings_initializer="uniform",
        embeddings_regularizer=None,
        embeddings_constraint=None,
        mask_zero=False,
        reverse_dtype=None,
        logit_soft_cap=None,
        **kwargs,
    ):
        self.tie_weights = tie_weights  # `build` may run in the next line
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            mask_zero=mask_zero,
            **kwargs,
        )
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape=None):
        if self.built:
            return
        super().build(input_shape)
        if not self.tie_weights:
            initializer = weight_arguments(self, "embeddings")["initializer"]
            self.reverse_embeddings = self.add_weight(
                name="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=initializer,
            )

    def call(self, inputs, reverse=False):
        if not reverse:
            outputs = super().call(inputs)
            if self.mask_zero:
                outputs._keras_mask = super().compute_mask(inputs)
            return outputs
        return self._capped(self._logits(inputs))

    def quantized_call(self, inputs, reverse=False):
        if reverse:
            return self._capped(self._quantized_logits(inputs))
        outputs = super().quantized_call(inputs)
        if self.mask_zero:
            outputs._keras_mask = super().compute_mask(inputs)
        return outputs

    def _logits(self, inputs):
        tied = self.tie_weights
        table = self._merged() if self.lora_enabled else self.embeddings.value
        kernel = table.T if tied else self.reverse_embeddings.value
        dtype = to_torch_dtype(self.reverse_dtype or self.compute_dtype)
        return torch.matmul(inputs.to(dtype), kernel.to(dtype))

    def _capped(self, logits):
        cap = self.logit_soft_cap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def _default_inputs_quantizer(self, mode):
        return AbsMaxQuantizer(axis=-1)

    def _zero_dtype(self, name):
        return "int8" if name == "embeddings" else None  # as Keras has them

    def compute_mask(self, inputs, previous_mask=None):
        return None  # `call` knows whether it makes one

    def compute_output_shape(self, input_shape, reverse=False):
        return (
            (*input_shape[:-1], self.input_dim)
            if reverse
            else super().compute_output_shape(input_shape)
        )

    def compute_output_spec(self, inputs, reverse=False):
        shape = self.compute_output_shape(inputs.shape, reverse)
        dtype = self.reverse_dtype if reverse and self.reverse_dtype else self.compute_dtype
        outputs = KerasTensor(shape, standardize_dtype(dtype))
        if self.mask_zero and not reverse:
            outputs._keras_mask = KerasTensor(inputs.shape, "bool")
        return outputs

    def get_config(self):
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }
