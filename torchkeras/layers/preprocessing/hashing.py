"""Hashing: strings and integers as one of a fixed number of bins."""

import numpy as np
import torch

from torchkeras.core import config
from torchkeras.core import dtype_policy as dtype_policies
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.layers.preprocessing.buckets import buckets, check_salt, numbers_or_text
from torchkeras.layers.preprocessing.category_vectors import (
    category_vectors,
    check_dense,
    check_mode,
    vectors_shape,
)


class Hashing(Layer):
    """Strings and integers as one of `num_bins` bins, by a hash that is the same everywhere.

    Nothing is learned. Different values may share a bin.

    Args:
        num_bins: int of at least 1, number of bins, that of the mask value included.
        mask_value: str or int that goes to bin 0, which no other value then has; None for none.
        salt: int, or two of them, of 64 bits: another hash for each salt; None for FarmHash64.
        output_mode: `"int"` for the bins; `"one_hot"`, `"multi_hot"` or `"count"` for
            vectors, as CategoryEncoding makes them.
        sparse: False.
        **kwargs: `name`, `trainable`, and `dtype`: of the bins "int64" or "int32", else that of
            the vectors.

    Input shape: any, `(..., n)`, of text or integers. Floats are cut to integers.
    Output shape:
        that of the input in the mode "int"; else `(..., num_bins)`, in the mode "one_hot"
        `(..., n, num_bins)` for n other than 1.

    Raises:
        ValueError: an argument is out of its range, or the input is neither text nor numbers.

    Source:
        As Keras's layer on TensorFlow: FarmHash64 (Pike 2014), and with a salt SipHash-2-4
        (Aumasson and Bernstein 2012), of the text, or of the decimal text of an integer.

    Example:

    >>> layer = keras.layers.Hashing(num_bins=3, mask_value="")
    >>> layer([["A"], ["B"], [""], ["C"], ["D"]]).flatten()
    tensor([1, 1, 0, 2, 2])
    """

    takes_text = True

    def __init__(
        self, num_bins, mask_value=None, salt=None, output_mode="int", sparse=False, **kwargs
    ):
        if not isinstance(num_bins, int) or num_bins < 1:
            raise ValueError(f"`num_bins` must be an int of at least 1. Received: {num_bins!r}.")
        output_mode = check_mode(output_mode)
        check_dense(sparse)
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = "int64" if output_mode == "int" else config.floatx()
        policy = dtype_policies.get(kwargs["dtype"])
        if output_mode == "int" and policy.name not in ("int32", "int64"):
            raise ValueError(
                "With output_mode='int', `dtype` must be 'int32' or 'int64'. Received: dtype="
                f"{kwargs['dtype']!r}."
            )
        super().__init__(**kwargs, autocast=False)
        self.num_bins = num_bins
        self.mask_value = mask_value
        self.salt = check_salt(salt)
        self.output_mode = output_mode
        mark_built(self)

    def call(self, inputs):
        inputs = numbers_or_text(self, inputs, takes_floats=True)
        masks = self.mask_value is not None and self.num_bins > 1
        bins = buckets(inputs, self.num_bins - masks, self.salt)
        if masks:
            bins = bins + 1
            masked = inputs == self.mask_value
            if isinstance(masked, np.ndarray):
                masked = torch.from_numpy(masked.astype(bool)).to(bins.device)
            bins = torch.where(masked, 0, bins) if isinstance(masked, torch.Tensor) else bins
        dtype = to_torch_dtype(self.compute_dtype)
        if self.output_mode == "int":
            return bins.to(dtype)
        return category_vectors(bins, self.output_mode, self.num_bins, dtype)

    def compute_output_shape(self, input_shape):
        return vectors_shape(input_shape, self.output_mode, self.num_bins)

    def compute_output_spec(self, inputs):
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "salt": self.salt,
            "mask_value": self.mask_value,
            "output_mode": self.output_mode,
            "sparse": False,
        }
