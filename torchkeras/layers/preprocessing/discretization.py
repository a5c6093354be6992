"""Discretization: numbers as the bins that they fall into."""

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer
from torchkeras.layers.preprocessing.category_vectors import (
    category_vectors,
    check_dense,
    check_mode,
    vectors_shape,
)
from torchkeras.layers.preprocessing.quantile_summary import (
    boundaries_of,
    empty_summary,
    merge_summaries,
    summarize,
)
from torchkeras.layers.preprocessing.tables import Tables


class Discretization(Tables, AdaptableLayer):
    """Numbers as bins between boundaries, which are given or learned from data.

    With boundaries a, b the bins are 0 for what is below a, 1 from a on, and 2 from b on. `adapt`
    puts about as many numbers into each bin; what it remembers of them does not grow with their
    number.

    Args:
        bin_boundaries: list of floats in ascending order; None to `adapt`.
        num_bins: int of at least 1, number of bins that `adapt` makes; instead of boundaries.
        epsilon: float above 0, error of the quantiles that boundaries are, as a share of the
            data. Smaller ones remember more.
        output_mode: `"int"` for the bins, as int32; `"one_hot"`, `"multi_hot"` or
            `"count"` for vectors, as CategoryEncoding makes them.
        sparse: False.
        dtype: dtype name of the vectors; None for the default.
        name: str; None for one made from the class.

    Input shape: any, `(..., n)`, of floats or integers, which are compared as `floatx()`.
    Output shape:
        that of the input in the mode "int"; else `(..., bins)`, in the mode "one_hot"
        `(..., n, bins)` for n other than 1.

    Raises:
        ValueError: an argument is out of its range; both or neither of `bin_boundaries` and
            `num_bins` are given; a call before there are boundaries; `adapt` where they were given.

    Source:
        As Keras, whose sketch of quantiles it is. Of inputs with more than two axes Keras gathers
        the second one in the modes "multi_hot" and "count"; here it is the last, as Keras's
        documentation says.

    Example:

    >>> layer = keras.layers.Discretization(num_bins=2)
    >>> layer.adapt([1.0, 2.0, 3.0, 4.0])
    >>> layer.bin_boundaries, layer(torch.tensor([1.9, 2.0]))
    ([2.0], tensor([0, 1], dtype=torch.int32))
    """

    _plain_attributes = (
        Tables._plain_attributes | AdaptableLayer._plain_attributes | {"summary", "_boundaries"}
    )

    def __init__(
        self,
        bin_boundaries=None,
        num_bins=None,
        epsilon=0.01,
        output_mode="int",
        sparse=False,
        dtype=None,
        name=None,
    ):
        super().__init__(name=name, dtype=dtype, autocast=False)
        check_dense(sparse)
        if (num_bins is None) == (bin_boundaries is None):
            raise ValueError(
                "One of `bin_boundaries` and `num_bins` is needed. Received: bin_boundaries="
                f"{bin_boundaries}, num_bins={num_bins}."
            )
        if num_bins is not None and (not isinstance(num_bins, int) or num_bins < 1):
            raise ValueError(f"`num_bins` must be an int of at least 1. Received: {num_bins!r}.")
        if not 0 < epsilon:
            raise ValueError(f"`epsilon` must be above 0. Received: epsilon={epsilon}.")
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = check_mode(output_mode)
        self.summary = empty_summary()
        self.bin_boundaries = bin_boundaries
        mark_built(self)

    @property
    def bin_boundaries(self):
        """Where bins begin, as a list; None before there are any. It may be set."""
        return self._boundaries

    @bin_boundaries.setter
    def bin_boundaries(self, value):
        self._boundaries = None
        if value is None:
            return
        edges = np.asarray(convert_to_numpy(value), dtype="float64")
        if edges.ndim != 1 or np.any(edges[1:] < edges[:-1]):
            raise ValueError(
                "`bin_boundaries` must be a list of numbers in ascending order. Received: "
                f"bin_boundaries={value!r}."
            )
        self._boundaries = edges.tolist()
        self._set_table("edge_table", edges.astype(config.floatx()))

    @property
    def _learns(self):
        return self.num_bins is not None

    def reset_state(self):
        if self.num_bins is not None:
            self.summary = empty_summary()

    def update_state(self, batch):
        if self.num_bins is None:
            raise ValueError(
                f"Layer '{self.name}' was given its boundaries and learns none. Received: adapt(). "
                "Use `num_bins` instead of `bin_boundaries` to adapt the layer."
            )
        summary = summarize(convert_to_numpy(batch), self.epsilon)
        self.summary = merge_summaries(summary, self.summary, self.epsilon)

    def finalize_state(self):
        if self.num_bins is not None:
            self.bin_boundaries = boundaries_of(self.summary, self.num_bins)

    def _depth(self):
        return self.num_bins if self._boundaries is None else len(self._boundaries) + 1

    def call(self, inputs):
        if self._boundaries is None:
            raise ValueError(
                f"Layer '{self.name}' has no boundaries yet. Received: a call. Call adapt(), or "
                "make it with `bin_boundaries`."
            )
        inputs = convert_to_tensor(inputs)  # lists of numbers come as they are
        edges = self._table("edge_table", inputs.device)
        inputs = inputs.to(edges.dtype).contiguous()  # torch warns where it is not
        bins = torch.bucketize(inputs, edges, right=True, out_int32=True)
        if self.output_mode == "int":
            return bins
        dtype = to_torch_dtype(self.compute_dtype)
        return category_vectors(bins, self.output_mode, self._depth(), dtype)

    def compute_output_shape(self, input_shape):
        return vectors_shape(input_shape, self.output_mode, self._depth())

    def compute_output_spec(self, inputs):
        dtype = "int32" if self.output_mode == "int" else self.compute_dtype
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    def get_config(self):
        return {
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
            "sparse": False,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described, with the boundaries it had learned."""
        config = dict(config)
        learned = None
        if config.get("num_bins") is not None:
            learned = config.pop("bin_boundaries", None)
        layer = super().from_config(config)
        if learned is not None:
            layer.bin_boundaries = learned
        return layer
