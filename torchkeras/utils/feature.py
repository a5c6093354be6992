"""Feature and Cross: what a FeatureSpace does with one column, or with several together."""

from torchkeras.core import serialization
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer


class Feature:
    """A column of a table: its dtype, the layer that prepares it, and how it is encoded.

    `FeatureSpace.float()` and its like make the usual ones.

    Args:
        dtype: dtype name of the raw values, "string" for text.
        preprocessor: Layer, or the config of one.
        output_mode: `"float"` or `"int"` for what the layer gives, `"one_hot"` for vectors
            of the integers that it gives.

    Raises:
        ValueError: `output_mode` is another.

    Example:

    >>> Feature("float32", keras.layers.Rescaling(0.5), "float").dtype
    'float32'
    """

    def __init__(self, dtype, preprocessor, output_mode):
        _check_mode(output_mode, ("int", "one_hot", "float"))
        self.dtype = dtype
        if isinstance(preprocessor, dict):
            preprocessor = deserialize_keras_object(preprocessor)
        self.preprocessor = preprocessor
        self.output_mode = output_mode

    def get_config(self):
        """Constructor arguments that make it again."""
        return {
            "dtype": self.dtype,
            "preprocessor": serialize_keras_object(self.preprocessor),
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config):
        """What `get_config` described."""
        return cls(**config)


class Cross:
    """Features that are hashed together.

    Args:
        feature_names: names of two features or more.
        crossing_dim: int, number of bins.
        output_mode: `"int"` for the bins, `"one_hot"` for vectors.

    Raises:
        ValueError: `output_mode` is another.

    Example:

    >>> Cross(("city", "age"), crossing_dim=32).name
    'city_X_age'
    """

    def __init__(self, feature_names, crossing_dim, output_mode="one_hot"):
        _check_mode(output_mode, ("int", "one_hot"))
        self.feature_names = tuple(feature_names)
        self.crossing_dim = crossing_dim
        self.output_mode = output_mode

    @property
    def name(self):
        """The names of the features, joined."""
        return "_X_".join(self.feature_names)

    def get_config(self):
        """Constructor arguments that make it again."""
        return {
            "feature_names": list(self.feature_names),
            "crossing_dim": self.crossing_dim,
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config):
        """What `get_config` described."""
        return cls(**config)


class AsFloats(Layer):
    """Numbers as they are, in the layer's dtype."""

    keeps_shape = True
    _exported_name = "TFDIdentity"  # Keras's class for plain floats

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        mark_built(self)

    def call(self, inputs):
        return inputs.to(to_torch_dtype(self.compute_dtype))


def _check_mode(output_mode, modes):
    if output_mode not in modes:
        raise ValueError(
            f"`output_mode` must be one of {', '.join(map(repr, modes))}. Received: "
            f"output_mode={output_mode!r}."
        )


# As Keras's files have them.
serialization.expose(
    "keras.src.layers.preprocessing.feature_space",
    {"Feature": Feature, "Cross": Cross, "TFDIdentity": AsFloats},
)
