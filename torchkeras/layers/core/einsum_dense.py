"""EinsumDense: a dense layer whose product is written as an Einstein sum."""

import math

import torch

from torchkeras import activations, regularizers
from torchkeras.activations.kernel_codes import kernel_code
from torchkeras.initializers.random_initializers import VarianceScaling
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels.dense import dense
from torchkeras.layers.core.einsum_shapes import einsum_letters, einsum_shapes
from torchkeras.layers.core.lora import LowRankUpdate
from torchkeras.layers.core.quantized_product import QuantizedProduct
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.weight_arguments import (
    set_weight_arguments,
    weight_arguments,
    weight_config,
)
from torchkeras.quantizers.weight_codes import WeightCode


class EinsumDense(QuantizedProduct, LowRankUpdate, Layer):
    """Dense layer over axes of choice: `activation(einsum(equation, x, kernel) + bias)`.

    Args:
        equation: str, the sum over input and kernel: `"ab,bc->ac"`. The input and the output may
            begin, or end, with `...` for axes that stay as they are: `"...b,bc->...c"`.
        output_shape: int or tuple, sizes of the output's axes without the first one and those
            that `...` stands for; None for a size that is the input's.
        activation: function of a tensor, or its name; None for none.
        bias_axes: str, letters of the output along which a bias is added; None for no bias.
        kernel_initializer, bias_initializer: initializers, by name or instance. One that scales
            with the numbers of inputs and outputs takes them from the equation.
        kernel_regularizer, bias_regularizer: regularizers, by name or instance, or None.
        kernel_constraint, bias_constraint: constraints, by name or instance, or None.
        lora_rank, lora_alpha: int and float, arguments of `enable_lora`, which is called when the
            layer is built; None for no LoRA.
        gptq_unpacked_column_size: kept for Keras's signature; only None works.
        quantization_config: QuantizationConfig for a quantized `dtype`, or None.

    Input shape: as `equation` says; the sizes that the kernel has are known at build. Integers
        are computed in the dtype of the kernel.
    Output shape: as `equation` says, in the layer's compute dtype.

    Raises:
        ValueError: `equation` has another form, contradicts the shape of the input or
            `output_shape`; a size of a weight is unknown.

    Example:

    >>> layer = keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de")
    >>> layer(torch.ones(2, 5, 3)).shape
    torch.Size([2, 5, 2, 4])
    >>> layer.kernel.shape, layer.bias.shape
    ((3, 2, 4), (2, 4))
    """

    _plain_attributes = QuantizedProduct._plain_attributes | {"_contracted"}
    _quantized_weights = ("kernel",)

    def __init__(
        self,
        equation,
        output_shape,
        activation=None,
        bias_axes=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        lora_rank=None,
        lora_alpha=None,
        gptq_unpacked_column_size=None,
        quantization_config=None,
        **kwargs,
    ):
        if gptq_unpacked_column_size is not None:
            raise ValueError(
                "EinsumDense supports no other value than None for `gptq_unpacked_column_size`. "
                f"Received: gptq_unpacked_column_size={gptq_unpacked_column_size!r}. Leave it out."
            )
        super().__init__(**kwargs)
        self.equation = equation
        whole = isinstance(output_shape, int)
        self.partial_output_shape = (output_shape,) if whole else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        set_weight_arguments(self, locals(), "kernel", "bias")
        self._set_lora(lora_rank, lora_alpha)
        self._set_quantization(quantization_config)
        self._contracted = None

    def build(self, input_shape):
        shapes = self._shapes(input_shape)
        self._letters = einsum_letters(self.equation, len(input_shape))
        arguments = weight_arguments(self, "kernel")
        arguments["initializer"] = _with_axes(arguments["initializer"], shapes)
        self.kernel = self.add_weight(name="kernel", shape=shapes.kernel, **arguments)
        self.bias = None
        if shapes.bias is not None:
            self.bias = self.add_weight(
                name="bias", shape=shapes.bias, **weight_arguments(self, "bias")
            )
        count = shapes.contracted
        if count is not None and shapes.bias in (None, shapes.kernel[count:]):
            self._contracted = count
        self.input_spec = InputSpec(ndim=len(input_shape))
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def _shapes(self, input_shape):
        return einsum_shapes(self.equation, self.bias_axes, input_shape, self.partial_output_shape)

    def _code_of(self, name, shape, mode, block_size):
        _, kernel, outputs = self._letters
        axis = tuple([i for i, letter in enumerate(kernel) if letter not in outputs])
        if mode == "int8":
            return WeightCode(shape, 8, axis, letters=(kernel, outputs))
        rows = math.prod([shape[i] for i in axis])
        matrix = (rows, math.prod(shape) // rows)
        return WeightCode(shape, 4, 0, matrix=matrix, block_size=block_size)

    def call(self, inputs):
        kernel = self._merged() if self.lora_enabled else self.kernel.value
        bias = None if self.bias is None else self.bias.value
        count = self._contracted
        if count is None:
            outputs = torch.einsum(self.equation, inputs.to(kernel.dtype), kernel)
            return self.activation(outputs if bias is None else outputs + bias)
        # A product of two matrices, which torch is much faster at than at sums of its own.
        made = (*inputs.shape[:-count], *kernel.shape[count:])
        kernel = kernel.reshape(math.prod(kernel.shape[:count]), -1)
        inputs = inputs.reshape(-1, kernel.shape[0])
        bias = None if bias is None else bias.reshape(-1)
        code = kernel_code(self.activation)
        fused = code is not None and code != codes.SIGMOID  # which leaves its logits to the loss
        outputs = dense(inputs, kernel, bias, code if fused else codes.NONE).reshape(made)
        return outputs if fused else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return self._shapes(input_shape).output

    def get_config(self):
        return {
            **super().get_config(),
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            **weight_config(self),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            **self._quantization_of_config(),
            **self._lora_config(),
        }


def _with_axes(initializer, shapes):
    """The initializer, with the axes of the equation if it scales with what they multiply to."""
    if not isinstance(initializer, VarianceScaling):
        return initializer
    if initializer.input_axes is not None and initializer.output_axes is not None:
        return initializer
    config = initializer.get_config()
    config["seed"] = initializer.seed  # drawn already, where none was given
    config["input_axes"], config["output_axes"] = shapes.input_axes, shapes.output_axes
    return type(initializer).from_config(config)
