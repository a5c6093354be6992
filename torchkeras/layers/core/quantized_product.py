"""QuantizedProduct: the part of Dense and EinsumDense that multiplies by few bits."""

import math

import torch

from torchkeras.layers.core.float8_product import round_inputs, round_output_gradient
from torchkeras.layers.core.quantizable import Quantizable
from torchkeras.quantizers.int4_packing import unpack_int4
from torchkeras.quantizers.weight_codes import WeightCode, align, decode


class QuantizedProduct(Quantizable):
    """Products of the inputs and a kernel of integers, or of 8-bit floats.

    With int8 the inputs become integers, too, row by row, and the product is one of integers.
    With int4, and where the config has no quantizer of inputs, the kernel becomes floats in each
    call. Gradients go straight through to the inputs, as if the kernel were these floats.
    """

    _plain_attributes = Quantizable._plain_attributes | {"_letters"}
    _letters = None  # of the axes of input, kernel and output; None for a product of matrices
    _modes = ("int8", "int4", "float8")
    _file_order = (
        "kernel",
        "bias",
        "inputs_scale",
        "inputs_amax_history",
        "kernel_scale",
        "kernel_amax_history",
        "kernel_zero",
        "g_idx",
        "outputs_grad_scale",
        "outputs_grad_amax_history",
    )

    def _code_of(self, name, shape, mode, block_size):
        if mode == "int8":
            return WeightCode(shape, 8, 0)
        return WeightCode(shape, 4, 0, matrix=shape, block_size=block_size)

    def quantized_call(self, inputs):
        """What calls run in place of `call` once the layer is quantized."""
        if self._quantization_mode == "float8":
            outputs = self._float8_product(inputs)
        else:
            inputs = inputs.to(self._compute_dtype)  # which may be integers
            outputs = self._integer_product(inputs)
        if self.lora_enabled:
            _, a, b = (part.value for part in self._lora_parts())
            update = self._product_of_two(inputs, a, b)
            outputs = (outputs + self.lora_alpha / self.lora_rank * update).to(self._compute_dtype)
        if self.bias is not None:
            bias = self.bias.value
            if self._quantization_mode == "float8" and bias.dtype is torch.float32:
                bias = bias.to(torch.bfloat16).to(torch.float32)  # as the fused kernels have it
            outputs = outputs + bias
        return self.activation(outputs)

    def _product_of_two(self, inputs, a, b):
        """The product by `a @ b`, one after the other where the axes allow it."""
        letters = self._letters
        if letters is None or (
            letters[1][-1] == letters[2][-1] and letters[1][-1] not in letters[0]
        ):
            return product(inputs, a, letters) @ b
        return product(inputs, a @ b, letters)

    def _integer_product(self, inputs):
        stored, scale, zero, code = self._stored("kernel")
        letters = self._letters
        quantizer = self.inputs_quantizer if zero is None else None
        with torch.no_grad():
            kernel = stored
            if quantizer is None:
                kernel = decode(stored, scale, zero, code, inputs.dtype)
                outputs = product(inputs, kernel, letters)
            else:
                axis = -1
                if letters is not None:
                    axis = [i for i, name in enumerate(letters[0]) if name not in letters[2]]
                integers, inputs_scale = quantizer(inputs, axis=axis)
                if letters is not None:
                    inputs_scale = align(inputs_scale, letters[0], letters[2])
                if code.bits == 4 and letters is not None:  # blocks of the matrix, not of outputs
                    kernel = decode(stored, scale, None, code, inputs.dtype)
                    outputs = product(integers.to(inputs.dtype), kernel, letters) / inputs_scale
                else:
                    if code.bits == 4:
                        kernel = unpack_int4(stored, code.matrix[-1], code.packed_axis)
                    outputs = product_of_integers(integers, kernel, letters).to(inputs.dtype)
                    outputs = outputs / (scale * inputs_scale)
        return straight_through(inputs, outputs, (stored, scale, zero, code), letters)

    def _float8_product(self, inputs):
        training = self.training
        inputs = round_inputs(
            inputs.to(self._compute_dtype),
            self.inputs_scale.value,
            self.inputs_amax_history.value,
            training,
        )
        kernel = round_inputs(
            self.kernel.value, self.kernel_scale.value, self.kernel_amax_history.value, training
        )
        return round_output_gradient(
            product(inputs, kernel, self._letters),
            self.outputs_grad_scale.value,
            self.outputs_grad_amax_history.value,
        )


def product(inputs, kernel, letters):
    """The product by a kernel: of matrices, or the sum that letters of three tensors say."""
    if letters is None:
        return torch.matmul(inputs, kernel)
    return torch.einsum(f"{letters[0]},{letters[1]}->{letters[2]}", inputs, kernel)


def product_of_integers(inputs, kernel, letters=None):
    """The product of int8 tensors: of int32, or of float32 where a GPU has no such product.

    Args:
        inputs, kernel: int8 tensors.
        letters: three strings, or None for a product by a matrix.

    Example:

    >>> x = torch.tensor([[100, 100]], dtype=torch.int8)
    >>> product_of_integers(x, x.T)
    tensor([[20000]], dtype=torch.int32)
    """
    if letters is not None:
        count = _contracted(letters)
        if count is None:
            # torch has no sum over int8 alone, nor over any integers on a GPU.
            wide = torch.int32 if inputs.device.type == "cpu" else torch.float32
            return product(inputs.to(wide), kernel.to(wide), letters)
        shape = (*inputs.shape[: inputs.dim() - count], *kernel.shape[count:])
        rows = inputs.reshape(-1, math.prod(kernel.shape[:count]))
        return _int_mm(rows, kernel.reshape(rows.shape[1], -1)).reshape(shape)
    rows = inputs.reshape(-1, inputs.shape[-1])
    return _int_mm(rows, kernel).reshape(*inputs.shape[:-1], kernel.shape[1])


def _contracted(letters):
    """How many last axes of the input are the first of the kernel, if that is all there is."""
    inputs, kernel, outputs = letters
    for count in range(1, len(inputs) + 1):
        if inputs[-count:] == kernel[:count] and outputs == inputs[:-count] + kernel[count:]:
            return count
    return None


def _int_mm(a, b):
    # On a CPU 2 to 9 times as fast as making floats of both and multiplying these (one thread, 512
    # and 1024 features, 1 to 256 rows). The conditions on a GPU are those of cuBLAS.
    if a.device.type == "cpu" or (
        a.device.type == "cuda" and a.shape[0] > 16 and not (b.shape[0] % 8 or b.shape[1] % 8)
    ):
        return torch._int_mm(a, b)
    return a.to(torch.float32) @ b.to(torch.float32)


def straight_through(inputs, outputs, weight, letters=None, turned=False):
    """`outputs`, with the gradient of `inputs` that a product by the weight as floats has.

    Args:
        inputs, outputs: tensors.
        weight: integers, scale, zero and code of the weight.
        letters: three strings for the product, or None.
        turned: bool, whether the product is by the weight's transpose.
    """
    if not (torch.is_grad_enabled() and inputs.requires_grad):
        return outputs
    return _StraightThrough.apply(inputs, outputs, *weight, letters, turned)


class _StraightThrough(torch.autograd.Function):
    # The floats are made again for the gradient, so that training keeps no copy of them.
    @staticmethod
    def forward(inputs, outputs, stored, scale, zero, code, letters, turned):
        return outputs.view_as(outputs)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, _, stored, scale, zero, ctx.code, ctx.letters, ctx.turned = inputs
        ctx.save_for_backward(stored, scale, zero)

    @staticmethod
    def backward(ctx, upstream):
        weight = decode(*ctx.saved_tensors, ctx.code, upstream.dtype)
        if ctx.letters is not None:
            inputs, kernel, outputs = ctx.letters
            gradient = product(upstream, weight, (outputs, kernel, inputs))
        else:
            gradient = upstream @ (weight if ctx.turned else weight.T)
        return gradient, *[None] * 7
