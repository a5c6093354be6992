"""DTypePolicy: in which dtype a layer keeps its weights and in which it computes."""

from torchkeras.core import config
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype, to_torch_dtype
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object

_default_policy = None
_quantized_of_name = None


class DTypePolicy:
    """Pair of dtypes: that of the weights and that of the computation.

    Args:
        name: a dtype name (both the same), `"mixed_float16"` or `"mixed_bfloat16"` (float32
            weights, half-width computation). None means `floatx()`.

    Raises:
        ValueError: the name is neither.

    Example:

    >>> policy = keras.DTypePolicy("mixed_bfloat16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('bfloat16', 'float32')
    """

    def __init__(self, name=None):
        name = config.floatx() if name is None else name
        if not isinstance(name, str):
            raise TypeError(
                f"`name` must be a string, such as 'float32'. Received: name={name!r} of type "
                f"{type(name).__name__}."
            )
        if name in ("mixed_float16", "mixed_bfloat16"):
            self._compute_dtype, self._variable_dtype = name.removeprefix("mixed_"), "float32"
        else:
            try:
                self._compute_dtype = self._variable_dtype = standardize_dtype(name)
            except ValueError as error:
                raise ValueError(
                    "A dtype policy is a dtype name, 'mixed_float16' or 'mixed_bfloat16'. "
                    f"Received: name={name!r}."
                ) from error
        self._name = name

    @property
    def name(self):
        """The name given."""
        return self._name

    @property
    def compute_dtype(self):
        """Dtype name that inputs and weights are cast to in `call`."""
        return self._compute_dtype

    @property
    def variable_dtype(self):
        """Dtype name of the weights."""
        return self._variable_dtype

    @property
    def quantization_mode(self):
        """How weights are quantized: `"int8"`, `"int4"`, `"float8"` or None."""
        return None

    def with_source(self, name):
        """The policy of that name, where a quantized one keeps its mode."""
        return DTypePolicy(name)

    def convert_input(self, x, autocast, dtype):
        """A tensor or array as a tensor, floats cast to `dtype` when `autocast` is set."""
        if getattr(type(x), "_is_symbolic", False) or not hasattr(x, "__array__"):
            return x
        x = convert_to_tensor(x)
        if autocast and is_float_dtype(dtype) and x.is_floating_point():
            return x.to(to_torch_dtype(dtype))
        return x

    def get_config(self):
        """`{"name": ...}`."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        """The policy that `get_config` described."""
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.name == other.name

    def __hash__(self):
        return hash((type(self), self.name))

    def __repr__(self):
        return f'<DTypePolicy "{self._name}">'


def dtype_policy():
    """The policy of layers made without `dtype=`.

    Example:

    >>> keras.config.dtype_policy().name
    'float32'
    """
    return DTypePolicy(config.floatx()) if _default_policy is None else _default_policy


def set_dtype_policy(policy):
    """Set the policy of layers made from now on without `dtype=`.

    Args:
        policy: a name, a DTypePolicy, or None for `floatx()`.

    Example:

    >>> keras.config.set_dtype_policy("mixed_bfloat16")
    >>> keras.layers.Dense(1).compute_dtype
    'bfloat16'
    >>> keras.config.set_dtype_policy(None)
    """
    global _default_policy
    _default_policy = None if policy is None else get(policy)


def get(identifier):
    """A policy from a name, dtype, config, policy, or None for the default one.

    Example:

    >>> keras.dtype_policies.get("mixed_float16").compute_dtype
    'float16'
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        # Which "float8_e5m2" and "int8", names of dtypes, are not.
        is_quantized = "_from_" in identifier
        return _quantized_of_name(identifier) if is_quantized else DTypePolicy(identifier)
    return DTypePolicy(standardize_dtype(identifier))


def _find_quantized_with(of_name):
    """Hand in the function that makes quantized policies, which are built upon these."""
    global _quantized_of_name
    _quantized_of_name = of_name


def serialize(policy):
    """The policy as a config dict.

    Example:

    >>> keras.dtype_policies.serialize(keras.DTypePolicy("float16"))["config"]
    {'name': 'float16'}
    """
    return serialize_keras_object(policy)


def deserialize(config, custom_objects=None):
    """The policy that a config dict describes.

    Example:

    >>> config = keras.dtype_policies.serialize(keras.DTypePolicy("float16"))
    >>> keras.dtype_policies.deserialize(config)
    <DTypePolicy "float16">
    """
    return deserialize_keras_object(config, custom_objects)
