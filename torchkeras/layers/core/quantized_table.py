"""QuantizedTable: the part of Embedding and ReversibleEmbedding for rows of few bits."""

import torch
from torch.nn import functional as F

from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.layers.core.quantizable import Quantizable
from torchkeras.layers.core.quantized_product import product_of_integers, straight_through
from torchkeras.quantizers.int4_packing import unpack_int4
from torchkeras.quantizers.weight_codes import WeightCode, decode, spread


class QuantizedTable(Quantizable):
    """Rows of integers with scales, which become floats where they are asked for."""

    _file_order = (
        "embeddings",
        "embeddings_scale",
        "embeddings_zero",
        "g_idx",
        "reverse_embeddings",
        "reverse_embeddings_scale",
        "reverse_embeddings_zero",
    )

    def _code_of(self, name, shape, mode, block_size):
        axis = -1 if name == "embeddings" else 0  # the one of vectors
        if mode == "int8":
            return WeightCode(shape, 8, axis)
        return WeightCode(shape, 4, axis, matrix=shape, packed_axis=axis, block_size=block_size)

    def quantized_call(self, inputs):
        """What calls run in place of `call` once the layer is quantized."""
        if inputs.dtype is not torch.int64 and inputs.dtype is not torch.int32:
            inputs = inputs.to(torch.int32)
        stored, scale, zero, code = self._stored("embeddings")
        rows = F.embedding(inputs, stored)
        if code.bits == 4:
            rows = unpack_int4(rows, self.output_dim, -1)
        rows = rows.to(self._compute_dtype)
        if zero is None:
            rows = rows / F.embedding(inputs, scale.unsqueeze(-1))
        else:
            scale, zero = F.embedding(inputs, scale), F.embedding(inputs, zero).to(scale.dtype)
            rows = (rows - spread(zero, code)) * spread(scale, code)
        if self.lora_enabled:
            _, a, b = (part.value for part in self._lora_parts())
            rows = rows + self.lora_alpha / self.lora_rank * (F.embedding(inputs, a) @ b)
        return rows.to(self._compute_dtype)

    def _quantized_logits(self, inputs):
        """Products of vectors and the rows: what the reverse call of an embedding gives."""
        tied = self.tie_weights
        stored, scale, zero, code = self._stored("embeddings" if tied else "reverse_embeddings")
        inputs = inputs.to(to_torch_dtype(self.reverse_dtype or self.compute_dtype))
        with torch.no_grad():
            integers, inputs_scale = inputs, 1
            if self.inputs_quantizer is not None:
                integers, inputs_scale = self.inputs_quantizer(inputs, axis=-1)
            if zero is None and self.inputs_quantizer is not None:
                table = stored
                if code.bits == 4:
                    table = unpack_int4(stored, self.output_dim, code.packed_axis)
                logits = product_of_integers(integers, table.T if tied else table)
                logits = logits.to(inputs.dtype) / (inputs_scale * scale)
            else:
                table = decode(stored, scale, zero, code, inputs.dtype)
                logits = integers.to(inputs.dtype) @ (table.T if tied else table) / inputs_scale
            logits = logits.to(inputs.dtype)
        logits = straight_through(inputs, logits, (stored, scale, zero, code), turned=tied)
        if tied and self.lora_enabled:
            _, a, b = (part.value.to(inputs.dtype) for part in self._lora_parts())
            logits = logits + self.lora_alpha / self.lora_rank * (inputs @ b.T @ a.T)
        return logits
