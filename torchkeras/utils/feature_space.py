"""FeatureSpace: the columns of a table as one vector for a model."""

import numpy as np
import torch

from torchkeras import layers
from torchkeras.core import serialization
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.core.strings import as_text, is_text
from torchkeras.layers.layer import Layer
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer
from torchkeras.ops import expand_dims
from torchkeras.saving import saving_api
from torchkeras.utils.feature import Cross, Feature
from torchkeras.utils.feature_kinds import KINDS, FeatureKinds


class FeatureSpace(FeatureKinds, Layer):
    """Prepares the columns of a table, each in its way, and joins them for a model.

    Args:
        features: dict of names of columns to what they are: a name such as `"float"`, or what
            the class method of that name gives.

            | name | column | prepared by |
            | --- | --- | --- |
            | `float` | numbers | nothing |
            | `float_normalized` | numbers | Normalization |
            | `float_rescaled` | numbers | Rescaling |
            | `float_discretized` | numbers | Discretization, one-hot |
            | `integer_categorical` | integers | IntegerLookup, one-hot |
            | `string_categorical` | text | StringLookup, one-hot |
            | `integer_hashed` | integers | Hashing, one-hot |
            | `string_hashed` | text | Hashing, one-hot |

            `FeatureSpace.feature(dtype, preprocessor, output_mode)` takes any layer.
        output_mode: `"concat"` for one vector a sample, of the features and then the crosses,
            both by the alphabet; `"dict"` for a dict of them.
        crosses: list of tuples of names, or of `FeatureSpace.cross(...)`: features that are
            hashed together, from what their layers give.
        crossing_dim: int, number of bins of crosses given as tuples.
        hashing_dim: int, number of bins of `"integer_hashed"` and `"string_hashed"`.
        num_discretization_bins: int, number of bins of `"float_discretized"`.
        name: str; None for one made from the class.

    Call arguments:
        data: dict of the features' values: arrays, tensors or lists of shape `(batch,)` or
            `(batch, 1)`; or single numbers and strings, for one sample. Others in it are left
            alone.

    Output shape:
        `(batch, size)`, or a dict of such; without the batch for one sample.

    Raises:
        ValueError: an argument is out of its range; a feature is missing; a call before `adapt`
            where something is to be learned; features that cannot be joined, or encoded.

    Example:

    >>> data = {"age": [20, 30, 40], "city": ["Rome", "Oslo", "Rome"]}
    >>> space = keras.utils.FeatureSpace({"age": "float_normalized", "city": "string_categorical"})
    >>> space.adapt(data)
    >>> space(data).shape
    torch.Size([3, 4])
    >>> model = keras.Model(space.get_inputs(), keras.layers.Dense(1)(space.get_encoded_features()))
    >>> model.predict({"age": np.array([25]), "city": np.array(["Bonn"])}, verbose=0).shape
    (1, 1)
    """

    optimizer = None  # files ask for it
    _is_saved_alone = True

    _plain_attributes = Layer._plain_attributes | {
        "crosses",
        "crosses_by_name",
        "encoded_features",
        "features",
        "inputs",
        "_is_adapted",
    }

    def __init__(
        self,
        features,
        output_mode="concat",
        crosses=None,
        crossing_dim=32,
        hashing_dim=32,
        num_discretization_bins=32,
        name=None,
    ):
        super().__init__(name=name, autocast=False)
        if not features:
            raise ValueError(f"`features` must be a dict of one or more. Received: {features!r}.")
        if output_mode not in ("concat", "dict"):
            raise ValueError(
                f"`output_mode` must be 'concat' or 'dict'. Received: output_mode={output_mode!r}."
            )
        self.output_mode = output_mode
        self.crossing_dim = crossing_dim
        self.hashing_dim = hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {key: self._as_feature(key, value) for key, value in features.items()}
        self.crosses = [self._as_cross(cross) for cross in crosses or ()]
        self.crosses_by_name = {cross.name: cross for cross in self.crosses}
        self.inputs = {
            key: layers.Input(shape=(1,), dtype=feature.dtype, name=key)
            for key, feature in self.features.items()
        }
        self.preprocessors = {key: feature.preprocessor for key, feature in self.features.items()}
        self.crossers = {
            cross.name: layers.HashedCrossing(cross.crossing_dim, name=cross.name)
            for cross in self.crosses
        }
        self.one_hot_encoders = {}
        self.concat = layers.Concatenate(axis=-1)
        self.encoded_features = None
        self._is_adapted = False

    def _as_feature(self, name, value):
        if isinstance(value, Feature):
            return value
        if isinstance(value, dict):
            return deserialize_keras_object(value)
        sizes = {
            "float_discretized": self.num_discretization_bins,
            "integer_hashed": self.hashing_dim,
            "string_hashed": self.hashing_dim,
        }
        if value not in KINDS:
            raise ValueError(
                f"A feature is one of {', '.join(KINDS)}, or what a method of FeatureSpace gives. "
                f"Received: {value!r} for '{name}'."
            )
        size = {"num_bins": sizes[value]} if value in sizes else {}
        return getattr(type(self), value)(name=name, **size)

    def _as_cross(self, cross):
        if isinstance(cross, dict):
            cross = deserialize_keras_object(cross)
        elif not isinstance(cross, Cross):
            if not self.crossing_dim:
                raise ValueError(
                    "`crosses` given as tuples need `crossing_dim`. Received: crossing_dim="
                    f"{self.crossing_dim!r}."
                )
            cross = Cross(cross, crossing_dim=self.crossing_dim)
        unknown = [name for name in cross.feature_names if name not in self.features]
        if unknown:
            raise ValueError(
                "`crosses` are of names that should be present in `features`. Received: "
                f"{unknown} in {cross.feature_names}."
            )
        return cross

    # Learning

    def _learners(self):
        """The layers that `adapt` has to teach, by the names of their features."""
        return {
            name: layer
            for name, layer in self.preprocessors.items()
            if hasattr(layer, "adapt") and getattr(layer, "_learns", True)
        }

    def adapt(self, dataset):
        """Let every layer that learns from data see its feature, all in one pass.

        Args:
            dataset: dict of arrays, tensors or lists, the whole data; or an iterable of such
                dicts, batches or samples, or of tuples that begin with them, such as a DataLoader.

        Raises:
            ValueError: the data is something else, without a batch, or lacks a feature.

        Example:

        >>> space = keras.utils.FeatureSpace({"age": "float_normalized"})
        >>> space.adapt({"age": age} for age in ([20, 30], [40]))
        >>> space({"age": 30})
        tensor([0.])
        """
        batches = [dataset] if isinstance(dataset, dict) else dataset
        if not hasattr(batches, "__iter__") and not hasattr(batches, "__getitem__"):
            raise ValueError(
                "`adapt` takes a dict of arrays, or an iterable of such dicts. Received: dataset="
                f"{dataset!r} of type {type(dataset).__name__}."
            )
        learners, kept, count = self._learners(), {}, 0
        for batch in _each_of(batches):
            batch = batch[0] if isinstance(batch, (list, tuple)) and batch else batch
            columns = self._columns(batch, learners)[0]
            for name, layer in learners.items():
                if isinstance(layer, AdaptableLayer):
                    layer._learn_from(columns[name], is_first=count == 0)
                else:  # of somebody's own: it sees the batches at the end
                    kept.setdefault(name, []).append(columns[name])
            count += 1
        if not count:
            raise ValueError("`adapt` needs at least one batch. Received: data without any.")
        for name, layer in learners.items():
            if name in kept:
                layer.adapt(kept[name])
            else:
                layer.finalize_state()
        self._is_adapted = True
        self.encoded_features, self.one_hot_encoders = None, {}
        self.get_encoded_features()
        self._finish_build({})

    def _check_adapted(self):
        if not self._is_adapted and self._learners():
            raise ValueError(
                f"FeatureSpace '{self.name}' has to see data first. Received: a use of it before. "
                f"You need to call `.adapt(dataset)`, for the features {list(self._learners())}."
            )

    # Encoding

    def get_inputs(self):
        """Symbols for the raw features, a dict by name."""
        self.get_encoded_features()
        return self.inputs

    def get_encoded_features(self):
        """Symbols for the encoded features, made from those of `get_inputs`."""
        self._check_adapted()
        if self.encoded_features is None:
            self.encoded_features = self._encode(self.inputs)
        return self.encoded_features

    def _convert_each(self, x):
        return x  # `call` knows which of the features are text

    def call(self, data):
        self.get_encoded_features()
        if not self.built:
            self._finish_build({})
        if not isinstance(data, dict):
            raise ValueError(
                f"A FeatureSpace takes a dict of features. Received: data={data!r} of type "
                f"{type(data).__name__}."
            )
        columns, is_sample = self._columns(data, self.features)
        outputs = self._encode(columns)
        if not is_sample:
            return outputs
        if self.output_mode == "concat":
            return outputs.squeeze(0)
        return {
            name: y.squeeze(0) if y.dim() == 2 and y.shape[0] == 1 else y
            for name, y in outputs.items()
        }

    def _columns(self, data, names):
        """`(columns, is_sample)`: values of two axes, and whether there was a single number."""
        if not isinstance(data, dict) or any(name not in data for name in names):
            given = sorted(data, key=str) if isinstance(data, dict) else data
            raise ValueError(
                f"A FeatureSpace takes a dict with the features {list(names)}. Received: {given!r}."
            )
        columns, is_sample = {}, False
        for name in names:
            x = data[name]
            if not isinstance(x, KerasTensor):
                text = is_text(x) or isinstance(x, np.ndarray) and x.dtype.kind in "OUS"
                x = as_text(x) if text else convert_to_tensor(x)
            rank = len(x.shape)
            is_sample = is_sample or rank == 0
            if rank == 0:
                x = x.reshape(1, 1)
            elif rank == 1:
                x = x[:, None] if isinstance(x, np.ndarray) else expand_dims(x, -1)
            columns[name] = x
        return columns, is_sample

    def _encode(self, columns):
        """Encoded features, joined or as a dict, of columns or of symbols for them."""
        prepared = {name: self.preprocessors[name](columns[name]) for name in self.features}
        crossed = {
            name: self.crossers[name]([prepared[part] for part in cross.feature_names])
            for name, cross in self.crosses_by_name.items()
        }
        specs = {**self.features, **self.crosses_by_name}
        encoded = {}
        for group in (prepared, crossed):
            for name in sorted(group):
                encoded[name] = self._one_hot(name, group[name], specs[name])
        if self.output_mode == "dict":
            return encoded
        for name, y in encoded.items():
            dtype = str(y.dtype).removeprefix("torch.")
            if not dtype.startswith(("float", "bfloat")):
                raise ValueError(
                    f"Feature '{name}' cannot be joined with others. Received: one of dtype "
                    f"{dtype}, which is not encoded. Use output_mode='dict', or 'one_hot' for it."
                )
        values = list(encoded.values())
        if isinstance(values[0], torch.Tensor):
            # What comes from text is on the default device, all else where it was given.
            given = (x.device for x in columns.values() if isinstance(x, torch.Tensor))
            device = next(given, values[0].device)
            values = [y.to(device) for y in values]
        return self.concat(values) if len(values) > 1 else values[0]

    def _one_hot(self, name, value, spec):
        if spec.output_mode != "one_hot":
            return value
        encoder = self.one_hot_encoders.get(name)
        if encoder is None:
            layer = self.preprocessors.get(name) or self.crossers[name]
            dtype = str(value.dtype).removeprefix("torch.")
            size = _number_of_categories(layer) if dtype.startswith("int") else None
            if size is None:
                raise ValueError(
                    f"Feature '{name}' has output_mode='one_hot', which takes integers of a known "
                    f"range. Received: what {layer!r} gives, of dtype {dtype}. Use "
                    "output_mode='int' or 'float'."
                )
            encoder = layers.CategoryEncoding(num_tokens=size, output_mode="multi_hot")
            self.one_hot_encoders = {**self.one_hot_encoders, name: encoder}
        return encoder(value)

    # Files

    def get_config(self):
        return {
            "features": serialize_keras_object(self.features),
            "output_mode": self.output_mode,
            "crosses": serialize_keras_object(self.crosses),
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
        }

    @classmethod
    def from_config(cls, config):
        """The FeatureSpace that `get_config` described."""
        return cls(**config)

    def get_build_config(self):
        return {name: layer.get_build_config() for name, layer in self.preprocessors.items()}

    def build_from_config(self, config):
        for name, shapes in config.items():
            if name in self.preprocessors:
                self.preprocessors[name].build_from_config(shapes)
        self._is_adapted = True
        self._finish_build({})

    def save(self, filepath, overwrite=True, **kwargs):
        """Save it to a file, which `keras.saving.load_model` reads.

        Args:
            filepath: str or path ending in `.keras` or `.safetensors`.
            overwrite: bool, whether an existing file may be replaced.
            **kwargs: further arguments of `keras.saving.save_model`.

        Example:

        >>> import os, tempfile
        >>> space = keras.utils.FeatureSpace({"age": "float_normalized"})
        >>> space.adapt({"age": [20, 30, 40]})
        >>> path = os.path.join(tempfile.mkdtemp(), "space.keras")
        >>> space.save(path)
        >>> keras.saving.load_model(path)({"age": [30]})
        tensor([[0.]])
        """
        if not self.built:
            self.get_encoded_features()
            self._finish_build({})
        saving_api.save_model(self, filepath, overwrite=overwrite, **kwargs)


def _each_of(batches):
    if hasattr(batches, "__iter__"):
        return batches
    return (batches[index] for index in range(len(batches)))


def _number_of_categories(layer):
    """How many integers a layer may give; None where that is not known."""
    if isinstance(layer, (layers.IntegerLookup, layers.StringLookup)):
        return layer.vocabulary_size()
    if isinstance(layer, layers.Discretization):
        return layer.num_bins or len(layer.bin_boundaries) + 1
    if isinstance(layer, layers.CategoryEncoding):
        return layer.num_tokens
    if isinstance(layer, (layers.HashedCrossing, layers.Hashing)):
        return layer.num_bins
    return None


serialization.expose("keras.utils", {"FeatureSpace": FeatureSpace})
