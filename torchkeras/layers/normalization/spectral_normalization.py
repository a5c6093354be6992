"""SpectralNormalization: a layer whose kernel is kept at spectral norm 1."""

import torch
from torch.nn import functional as F

from torchkeras import initializers
from torchkeras.core.scopes import SCOPE
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.core.variable import Variable
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer


class SpectralNormalization(Layer):
    """Divides the kernel of a layer by an estimate of its largest singular value in training.

    Each training call improves the estimate by power iteration, from a vector `vector_u` kept
    among the weights, and stores the divided kernel in the layer. The kernel is taken as a
    matrix with its last axis as columns; a kernel of zeros stays as it is. Gradients are those
    at the divided kernel.

    Args:
        layer: Layer that has, once built, a weight `kernel` or `embeddings`.
        power_iterations: int, at least 1; iterations a call.

    Input shape: that of the layer, at least of rank 1.
    Output shape: that of the layer.

    Raises:
        ValueError: `layer` is no layer, or has neither weight; `power_iterations` is below 1.

    Source: Miyato et al. 2018, arXiv:1802.05957, algorithm 1.

    Example:

    >>> layer = keras.layers.SpectralNormalization(keras.layers.Dense(2), power_iterations=20)
    >>> _ = layer(torch.ones(1, 3), training=True)
    >>> torch.linalg.matrix_norm(layer.kernel.value.detach(), 2).round(decimals=3)
    tensor(1.)
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        if not isinstance(layer, Layer):
            raise ValueError(
                f"`layer` must be a Layer. Received: layer={layer!r} of type "
                f"{type(layer).__name__}."
            )
        if power_iterations < 1:
            raise ValueError(
                "`power_iterations` must be at least 1. Received: "
                f"power_iterations={power_iterations}."
            )
        super().__init__(**kwargs)
        self.layer = layer
        self.power_iterations = power_iterations

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        self.kernel = _normalized_weight(self.layer)
        if self.kernel is None:
            raise ValueError(
                f"Layer '{self.name}' normalizes a weight `kernel` or `embeddings`. Received: "
                f"{self.layer!r}, which has neither."
            )
        self.vector_u = self.add_weight(
            name="vector_u",
            shape=(1, self.kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            dtype=self.kernel.dtype,
            trainable=False,
            autocast=False,
        )

    def call(self, inputs, training=False):
        outputs = self._call_normalized(inputs) if training else self.layer(inputs)
        return outputs.to(inputs.dtype) if inputs.is_floating_point() else outputs

    def _call_normalized(self, inputs):
        kernel = self.kernel
        store, key = kernel._store, kernel._key
        vector_u, normalized = self._normalize(store[key], self.vector_u.value)
        self.vector_u.assign(vector_u)
        kernel.assign(normalized)
        if SCOPE.stateless is not None or SCOPE.meta:
            return self.layer(inputs)
        # The layer computes with a copy, which autograd may keep: the next call writes into the
        # parameter, perhaps before the backward pass of this one.
        parameter = store[key]
        store[key] = parameter.clone()
        try:
            return self.layer(inputs)
        finally:
            store[key] = parameter

    def _normalize(self, kernel, vector_u):
        """The next vector, and the kernel divided by the estimate of its spectral norm."""
        matrix = kernel.reshape(-1, kernel.shape[-1])
        with torch.no_grad():
            u = vector_u.to(matrix.dtype)
            for _ in range(self.power_iterations):
                v = F.normalize(u @ matrix.T, eps=1e-7)
                u = F.normalize(v @ matrix, eps=1e-7)
        sigma = (v @ matrix @ u.T).reshape(())
        is_zero = ~kernel.detach().any()
        normalized = kernel / torch.where(is_zero, 1, sigma)
        return torch.where(is_zero, vector_u, u.to(vector_u.dtype)), normalized

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "layer": serialize_keras_object(self.layer),
            "power_iterations": self.power_iterations,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described.

        Args:
            config: dict.
            custom_objects: dict of names to classes or functions the config may name.
        """
        config = dict(config)
        config["layer"] = deserialize_keras_object(config["layer"], custom_objects=custom_objects)
        return super().from_config(config)


def _normalized_weight(layer):
    for name in ("kernel", "embeddings"):
        if isinstance(getattr(layer, name, None), Variable):
            return getattr(layer, name)
    return None
