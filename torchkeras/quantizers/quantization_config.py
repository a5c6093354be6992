"""Configs of quantization: the mode, and with which quantizers and blocks."""

from torchkeras.core.quantized_policy import QUANTIZATION_MODES, check_mode
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.quantizers.quantizer import AbsMaxQuantizer


class QuantizationConfig:
    """Base class: how `quantize` is to quantize.

    Args:
        weight_quantizer: Quantizer of the weights; None for that of the layer.
        activation_quantizer: Quantizer of the inputs of a product; None to leave them floats.

    Example:

    >>> config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    >>> isinstance(config, keras.quantizers.QuantizationConfig), config.mode
    (True, 'int8')
    """

    def __init__(self, weight_quantizer=None, activation_quantizer=None):
        self.weight_quantizer = weight_quantizer
        self.activation_quantizer = activation_quantizer

    @property
    def mode(self):
        """The quantization mode, which each subclass says."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `mode`. Received: a config without one. Use "
            "Int8QuantizationConfig, Int4QuantizationConfig or Float8QuantizationConfig."
        )

    def get_config(self):
        """Constructor arguments that make the config again."""
        return {
            "weight_quantizer": serialize_keras_object(self.weight_quantizer),
            "activation_quantizer": serialize_keras_object(self.activation_quantizer),
        }

    @classmethod
    def from_config(cls, config):
        """The config that `get_config` described."""
        return cls(**{key: deserialize_keras_object(value) for key, value in config.items()})

    @staticmethod
    def weight_quantizer_or_default(config, default):
        """The config's quantizer of weights; `default` where it has none."""
        given = None if config is None else config.weight_quantizer
        return default if given is None else given

    @staticmethod
    def activation_quantizer_or_default(config, default):
        """The config's quantizer of inputs, None too; `default` where there is no config."""
        return default if config is None else config.activation_quantizer


class Int8QuantizationConfig(QuantizationConfig):
    """Weights of 8 bits, by which inputs are multiplied as integers.

    Args:
        weight_quantizer: Quantizer of the weights; None for one scale for each output.
        activation_quantizer: Quantizer of the inputs; `"default"` for AbsMaxQuantizer, None to
            leave them floats.

    Raises:
        ValueError: `weight_quantizer` gives another dtype than int8.

    Example:

    >>> keras.quantizers.Int8QuantizationConfig(activation_quantizer=None).mode
    'int8'
    """

    def __init__(self, weight_quantizer=None, activation_quantizer="default"):
        if activation_quantizer == "default":
            activation_quantizer = AbsMaxQuantizer()
        super().__init__(weight_quantizer, activation_quantizer)
        _check_gives_int8(weight_quantizer)

    @property
    def mode(self):
        """`"int8"`."""
        return "int8"


class Int4QuantizationConfig(QuantizationConfig):
    """Weights of 4 bits, two to a byte.

    Args:
        weight_quantizer: Quantizer of the weights, with `value_range=(-8, 7)`; None for one
            scale for each output.
        activation_quantizer: Quantizer of the inputs; None, or `"default"`, to leave them floats.
        block_size: int, how many inputs share a scale and a zero; None or -1 for one scale for
            each output, which both quantizers ask for.

    Raises:
        ValueError: `block_size` is no such number, or does not go with a quantizer.

    Example:

    >>> keras.quantizers.Int4QuantizationConfig(block_size=64).block_size
    64
    """

    def __init__(self, weight_quantizer=None, activation_quantizer="default", block_size=128):
        if activation_quantizer == "default":
            activation_quantizer = None
        super().__init__(weight_quantizer, activation_quantizer)
        if block_size not in (None, -1) and not (isinstance(block_size, int) and block_size > 0):
            raise ValueError(
                "`block_size` must be a positive int, or None or -1 for one scale for each "
                f"output. Received: block_size={block_size!r}."
            )
        self.block_size = block_size
        if self._has_blocks and not weight_quantizer is activation_quantizer is None:
            raise ValueError(
                "Quantizers take the place of the scales for each output, which blocks have not. "
                f"Received: block_size={block_size} with a quantizer. Set block_size=None, or "
                "leave the quantizer out."
            )
        value_range = getattr(weight_quantizer, "value_range", (-8, 7))
        if tuple(value_range) != (-8, 7):
            raise ValueError(
                "A quantizer of 4-bit weights must have value_range=(-8, 7). Received: "
                f"value_range={value_range}."
            )
        _check_gives_int8(weight_quantizer)

    @property
    def _has_blocks(self):
        return self.block_size not in (None, -1)

    @property
    def mode(self):
        """`"int4"`."""
        return "int4"

    def get_config(self):
        """Constructor arguments that make the config again."""
        return {**super().get_config(), "block_size": self.block_size}

    @classmethod
    def from_config(cls, config):
        """The config that `get_config` described; one without `block_size` has no blocks."""
        return super().from_config({"block_size": None, **config})


class Float8QuantizationConfig(QuantizationConfig):
    """Products of 8-bit floats, for training; weights stay as they are.

    Example:

    >>> keras.quantizers.Float8QuantizationConfig().mode
    'float8'
    """

    def __init__(self):
        super().__init__()

    @property
    def mode(self):
        """`"float8"`."""
        return "float8"

    def get_config(self):
        """`{}`."""
        return {}


_DEFAULTS = {
    "int8": Int8QuantizationConfig,
    "int4": Int4QuantizationConfig,
    "float8": Float8QuantizationConfig,
}


def resolve_config(mode, config):
    """The config that the arguments of `quantize` mean.

    Args:
        mode: str, or None for that of the config.
        config: QuantizationConfig, or a mode, or None for the default of the mode.

    Raises:
        ValueError: none is given, they contradict each other, or one is no such thing.

    Example:

    >>> resolve_config("int8", None).mode
    'int8'
    """
    if isinstance(config, str):
        mode, config = config, None
    if mode is not None:
        check_mode(mode)
    if config is None:
        if mode is None:
            raise ValueError(
                "`quantize` needs a mode or a config. Received: mode=None, config=None. Give one "
                f"of {', '.join(QUANTIZATION_MODES)}."
            )
        return _DEFAULTS[mode]()
    check_is_config(config, "config")
    if mode is not None and config.mode != mode:
        raise ValueError(
            f"`mode` and `config` must agree. Received: mode={mode!r} and a config of mode "
            f"{config.mode!r}. Leave `mode` out."
        )
    check_mode(config.mode, "config.mode")
    return config


def check_is_config(config, name):
    """Raise a ValueError unless the argument `name` is a QuantizationConfig."""
    if not isinstance(config, QuantizationConfig):
        raise ValueError(
            f"`{name}` must be a QuantizationConfig of keras.quantizers. Received: "
            f"{name}={config!r} of type {type(config).__name__}."
        )


def _check_gives_int8(quantizer):
    if quantizer is not None and quantizer.output_dtype != "int8":
        raise ValueError(
            "The quantizer of the weights must have output_dtype='int8'. Received: "
            f"output_dtype={quantizer.output_dtype!r}."
        )
