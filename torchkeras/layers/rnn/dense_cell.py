"""DenseCell: base of the cells that read a vector at each step."""

import torch

from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.rnn.recurrent_cell import RecurrentCell
from torchkeras.layers.spatial import int_argument
from torchkeras.layers.weight_arguments import weight_arguments


class DenseCell(RecurrentCell):
    """A cell with the weights `kernel`, `recurrent_kernel` and `bias`, a block for each gate."""

    def _set_arguments(self, arguments, implementation=2):
        int_argument(arguments["units"], "units")
        super()._set_arguments(arguments, implementation)
        self.state_size = self.output_size = self.units

    def build(self, input_shape):
        (features,) = known_sizes(self, [-1], input_shape)
        width = self._gates * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(features, width), **weight_arguments(self, "kernel")
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, width),
            **weight_arguments(self, "recurrent"),
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=self._bias_shape(), **self._bias_arguments()
            )

    def _bias_shape(self):
        return (self._gates * self.units,)

    def _bias_arguments(self):
        return weight_arguments(self, "bias")

    def _input_bias(self):
        """What is added to the projection of the input, or None."""
        return None if self.bias is None else self.bias.value

    def _projected(self, inputs, kept=None):
        kernel, bias = self.kernel.value, self._input_bias()
        if isinstance(kept, list):
            blocks = kernel.chunk(self._gates, dim=1)
            parts = [(inputs * k) @ block for k, block in zip(kept, blocks, strict=True)]
            made = torch.cat(parts, dim=-1)
            return made if bias is None else made + bias
        if kept is not None:
            inputs = inputs * kept
        return torch.nn.functional.linear(inputs, kernel.t(), bias)

    def _arranged(self, projected, kept):
        if not isinstance(kept, list):
            return projected
        return projected.unflatten(-1, (self._gates, self.units)).transpose(-3, -2)

    def _adds_product(self, kernel, kept):
        """The function `(x, h) -> x + h @ kernel`, with what dropout keeps of `h`.

        Where each gate has draws of its own, `x` and the result have the gates on an axis of
        their own, the first.

        Args:
            kernel: tensor, the recurrent kernel or blocks of it.
            kept: tensor, list of one for each block, or None.
        """
        if kept is None:
            return lambda x, h: torch.addmm(x, h, kernel)
        if not isinstance(kept, list):
            return lambda x, h: torch.addmm(x, h * kept, kernel)
        blocks = kernel.unflatten(1, (len(kept), self.units)).transpose(0, 1)
        kept = torch.stack(kept)
        return lambda x, h: torch.baddbmm(x, h * kept, blocks)

    def _splits_gates(self, kept, count):
        """The function that takes `count` gates apart, which are as `_adds_product` has them."""
        if isinstance(kept, list):
            return lambda z: z.unbind(0)
        return lambda z: z.chunk(count, dim=1)
