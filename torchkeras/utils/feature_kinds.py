"""FeatureKinds: the columns that a FeatureSpace knows how to prepare."""

from torchkeras import layers
from torchkeras.core.naming import auto_name
from torchkeras.utils.feature import AsFloats, Cross, Feature

KINDS = (
    "float",
    "float_normalized",
    "float_rescaled",
    "float_discretized",
    "integer_categorical",
    "string_categorical",
    "integer_hashed",
    "string_hashed",
)


class FeatureKinds:
    """A method for each kind of column, which gives a Feature; and one for crosses."""

    @classmethod
    def cross(cls, feature_names, crossing_dim, output_mode="one_hot"):
        """Features that are hashed together.

        Args:
            feature_names: names of two features or more.
            crossing_dim: int, number of bins.
            output_mode: `"int"` or `"one_hot"`.

        Example:

        >>> keras.utils.FeatureSpace.cross(("city", "age"), crossing_dim=32).name
        'city_X_age'
        """
        return Cross(feature_names, crossing_dim, output_mode=output_mode)

    @classmethod
    def feature(cls, dtype, preprocessor, output_mode):
        """A column that a layer of one's own prepares.

        Args:
            dtype: dtype name of the raw values, "string" for text.
            preprocessor: Layer.
            output_mode: `"float"`, `"int"` or, for integers of a known range, `"one_hot"`.

        Example:

        >>> hashing = keras.layers.Hashing(4, salt=1)
        >>> keras.utils.FeatureSpace.feature("string", hashing, "one_hot").output_mode
        'one_hot'
        """
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name=None):
        """Numbers as they are; `name` is for the layer, as in the methods below."""
        return Feature("float32", AsFloats(dtype="float32", **_named(name, "float")), "float")

    @classmethod
    def float_rescaled(cls, scale=1.0, offset=0.0, name=None):
        """Numbers times `scale`, plus `offset`."""
        layer = layers.Rescaling(scale=scale, offset=offset, **_named(name, "float_rescaled"))
        return Feature("float32", layer, "float")

    @classmethod
    def float_normalized(cls, name=None):
        """Numbers at mean 0 and variance 1."""
        layer = layers.Normalization(axis=-1, **_named(name, "float_normalized"))
        return Feature("float32", layer, "float")

    @classmethod
    def float_discretized(cls, num_bins, bin_boundaries=None, output_mode="one_hot", name=None):
        """Numbers as bins, of which `adapt` makes `num_bins`; or by boundaries, and None bins."""
        layer = layers.Discretization(
            num_bins=num_bins, bin_boundaries=bin_boundaries, **_named(name, "float_discretized")
        )
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None
    ):
        """Integers as their places in the vocabulary that `adapt` finds."""
        layer = layers.IntegerLookup(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            **_named(name, "integer_categorical"),
        )
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_categorical(
        cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None
    ):
        """Strings as their places in the vocabulary that `adapt` finds."""
        layer = layers.StringLookup(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            **_named(name, "string_categorical"),
        )
        return Feature("string", layer, output_mode)

    @classmethod
    def integer_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Integers as bins by their hash."""
        layer = layers.Hashing(num_bins=num_bins, **_named(name, "integer_hashed"))
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Strings as bins by their hash."""
        layer = layers.Hashing(num_bins=num_bins, **_named(name, "string_hashed"))
        return Feature("string", layer, output_mode)


def _named(name, kind):
    return {"name": f"{name or auto_name(kind)}_preprocessor"}
