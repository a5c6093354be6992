"""Dtype policies of quantized layers: in how few bits weights are kept, and from which policy."""

from torchkeras.core import dtype_policy
from torchkeras.core.dtype_policy import DTypePolicy

QUANTIZATION_MODES = ("int8", "int4", "float8")


def check_mode(mode, name="mode"):
    """Raise a ValueError unless `mode` is one of QUANTIZATION_MODES."""
    if mode not in QUANTIZATION_MODES:
        raise ValueError(
            f"A quantization mode must be one of {', '.join(QUANTIZATION_MODES)}. Received: "
            f"{name}={mode!r}."
        )


class QuantizedDTypePolicy(DTypePolicy):
    """Policy of a layer whose weights are quantized, on top of another policy.

    Args:
        mode: `"int8"`, `"int4"` (one scale for each output) or `"float8"`.
        source_name: name of the policy that everything else follows; None for the default one.

    Raises:
        ValueError: the mode is none of these, or `"int8"` for a computation in float16.

    Example:

    >>> policy = keras.dtype_policies.QuantizedDTypePolicy("int8", "mixed_bfloat16")
    >>> policy.name, policy.quantization_mode, policy.compute_dtype
    ('int8_from_mixed_bfloat16', 'int8', 'bfloat16')
    """

    def __init__(self, mode, source_name=None):
        source_name = dtype_policy.dtype_policy().name if source_name is None else source_name
        super().__init__(source_name)
        check_mode(mode)
        check_width(mode, self.compute_dtype)
        self._mode, self._source_name = mode, source_name
        self._name = f"{mode}_from_{source_name}"

    @property
    def quantization_mode(self):
        """The mode given."""
        return self._mode

    def with_source(self, name):
        """This policy on top of another one.

        Args:
            name: str, name of the other policy.
        """
        return type(self).from_config({**self.get_config(), "source_name": name})

    def get_config(self):
        """`{"mode": ..., "source_name": ...}`."""
        return {"mode": self._mode, "source_name": self._source_name}

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    __hash__ = DTypePolicy.__hash__

    def __repr__(self):
        return f'<{type(self).__name__} "{self._name}">'


class QuantizedFloat8DTypePolicy(QuantizedDTypePolicy):
    """Policy of a layer that trains with products of 8-bit floats.

    Args:
        mode: `"float8"`.
        source_name: name of the policy that everything else follows; None for the default one.
        amax_history_length: int, over how many steps the largest value sets the scale.

    Example:

    >>> keras.dtype_policies.get("float8_from_float32").amax_history_length
    1024
    """

    default_amax_history_length = 1024

    def __init__(self, mode, source_name=None, amax_history_length=1024):
        super().__init__(mode, source_name)
        if not isinstance(amax_history_length, int):
            raise TypeError(
                "`amax_history_length` must be an int. Received: "
                f"amax_history_length={amax_history_length!r}."
            )
        if amax_history_length < 1:
            raise ValueError(
                "`amax_history_length` must be at least 1. Received: "
                f"amax_history_length={amax_history_length}."
            )
        self._amax_history_length = amax_history_length

    @property
    def amax_history_length(self):
        """Over how many steps the largest value sets the scale."""
        return self._amax_history_length

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "amax_history_length": self._amax_history_length}


class Int4DTypePolicy(QuantizedDTypePolicy):
    """Policy of a layer with weights of 4 bits, whose scales each are for a block of inputs.

    Args:
        mode: `"int4/<block_size>"`: `"int4/128"` for blocks of 128 inputs, `"int4/-1"` for one
            scale for each output.
        source_name: name of the policy that everything else follows; None for the default one.

    Raises:
        ValueError: the mode has another form.

    Example:

    >>> policy = keras.dtype_policies.get("int4/64_from_float32")
    >>> policy.quantization_mode, policy.block_size
    ('int4', 64)
    """

    def __init__(self, mode, source_name=None):
        base, _, size = str(mode).partition("/")
        is_size = size.removeprefix("-").isdecimal() and (int(size) == -1 or int(size) > 0)
        if base != "int4" or not is_size:
            raise ValueError(
                "The mode must be 'int4/<block_size>', with a positive int, or -1 for one scale "
                f"for each output. Received: mode={mode!r}."
            )
        super().__init__("int4", source_name)
        self.block_size = int(size)
        self._name = f"{mode}_from_{self._source_name}"

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "mode": f"int4/{self.block_size}"}


def check_width(mode, compute_dtype):
    """Raise a ValueError where a mode does not work for a dtype of computation."""
    if mode == "int8" and compute_dtype == "float16":
        raise ValueError(
            "Quantization to int8 needs the range of float32 or bfloat16. Received: mode='int8' "
            "for a computation in float16. Make the layer with dtype='mixed_bfloat16' or "
            "'float32'."
        )


def policy_of_name(name):
    """The policy that a name such as `"int8_from_float32"` means.

    Raises:
        ValueError: the name has another form.
    """
    mode, found, source_name = name.partition("_from_")
    if not found:
        raise ValueError(
            "The name of a quantized dtype policy is '<mode>_from_<policy>', as in "
            f"'int8_from_float32'. Received: {name!r}."
        )
    if "/" in mode:
        return Int4DTypePolicy(mode, source_name)
    cls = QuantizedFloat8DTypePolicy if mode == "float8" else QuantizedDTypePolicy
    return cls(mode, source_name)


dtype_policy._find_quantized_with(policy_of_name)
