"""Dense: every output is a weighted sum of all inputs."""

from torchkeras import activations
from torchkeras.activations.kernel_codes import kernel_code
from torchkeras.kernels import activation_codes as codes
from torchkeras.kernels.dense import dense
from torchkeras.layers.core.lora import LowRankUpdate
from torchkeras.layers.core.quantized_product import QuantizedProduct
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.known_sizes import known_sizes
from torchkeras.layers.layer import Layer
from torchkeras.layers.weight_arguments import (
    set_weight_arguments,
    weight_arguments,
    weight_config,
)


class Dense(QuantizedProduct, LowRankUpdate, Layer):
    """Fully connected layer: `activation(x @ kernel + bias)` over the last axis.

    Args:
        units: int, at least 1. Size of the last axis of the output.
        activation: function of a tensor, or its name; None for none.
        use_bias: bool, whether a bias is added.
        kernel_initializer, bias_initializer: initializers, by name or instance.
        kernel_regularizer, bias_regularizer: regularizers, by name or instance, or None.
        activity_regularizer: regularizer of the output, by name or instance, or None.
        kernel_constraint, bias_constraint: constraints, by name or instance, or None.
        lora_rank, lora_alpha: int and float, arguments of `enable_lora`, which is called when the
            layer is built; None for no LoRA.
        quantization_config: QuantizationConfig for a quantized `dtype`, or None.

    Input shape: `(batch, ..., features)`; `features` is known at build. Integers are computed
        in the dtype of the kernel.
    Output shape: `(batch, ..., units)`, in the layer's compute dtype.

    Raises:
        ValueError: `units` is not a positive int, or `features` is None at build.

    Example:

    >>> layer = keras.layers.Dense(4, activation="relu")
    >>> layer(torch.ones(2, 3)).shape
    torch.Size([2, 4])
    >>> layer.kernel.shape, layer.bias.shape
    ((3, 4), (4,))
    """

    _quantized_weights = ("kernel",)

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        lora_rank=None,
        lora_alpha=None,
        quantization_config=None,
        **kwargs,
    ):
        if not isinstance(units, int) or units <= 0:
            raise ValueError(f"`units` must be an int of at least 1. Received: units={units!r}.")
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        set_weight_arguments(self, locals(), "kernel", "bias")
        self._set_lora(lora_rank, lora_alpha)
        self._set_quantization(quantization_config)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        (features,) = known_sizes(self, [-1], input_shape)
        self.kernel = self.add_weight(
            name="kernel", shape=(features, self.units), **weight_arguments(self, "kernel")
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), **weight_arguments(self, "bias")
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def call(self, inputs):
        activation = self.activation
        code = kernel_code(activation)
        if code is None or code == codes.SIGMOID:  # the function leaves its logits to the loss
            code = activation
        bias = self.bias
        kernel = self._merged() if self.lora_enabled else self.kernel.value
        return dense(inputs, kernel, None if bias is None else bias.value, code)

    def call_with_dropout(self, inputs, rate, seed_generator):
        """`call` and a dropout of its result, in one operation where the kernels have one.

        A model runs this for a Dropout that alone receives what this layer makes.

        Args:
            inputs: tensor `(batch, ..., features)`.
            rate: float from 0 to 1, the fraction to drop.
            seed_generator: SeedGenerator of the Dropout.

        Returns:
            Tensor `(batch, ..., units)`.
        """
        code = kernel_code(self.activation)
        bias = self.bias
        return dense(
            inputs,
            self._merged() if self.lora_enabled else self.kernel.value,
            None if bias is None else bias.value,
            self.activation if code is None else code,
            rate,
            seed_generator,
        )

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **weight_config(self),
            **self._quantization_of_config(),
            **self._lora_config(),
        }
