"""Model: a layer that can be trained, evaluated, saved and summarized.

`Model(inputs, outputs)` makes a `Functional`, which is a Model: the two files are one idea, and
this one imports the other inside the functions that need it.
"""

import functools
import json
import re

from torch import nn

from torchkeras.core import naming, tree
from torchkeras.core.checks import check_custom_objects
from torchkeras.core.claims import ClaimLimit
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    serialize_keras_object,
)
from torchkeras.layers.layer import Layer
from torchkeras.models.quantization import quantize_model
from torchkeras.saving import saving_api
from torchkeras.trainers.trainer import Trainer
from torchkeras.utils.summary_utils import print_summary


def _is_functional_call(args, kwargs):
    given = {"inputs", "outputs"} & set(kwargs)
    return len(args) >= 2 or len(args) + len(given) == 2


class Model(Trainer, Layer):
    """A network with `compile`, `fit`, `evaluate`, `predict`, `save` and `summary`.

    Three ways to make one: from symbolic inputs and outputs, `Model(inputs, outputs)`; as a
    stack of layers, `keras.Sequential`; or as a subclass with a `call` method.

    Args:
        inputs: KerasTensor or nested structure of them, from `keras.Input`.
        outputs: likewise, made from the inputs.
        name: str without `/`, or None for an automatic name.
        trainable: bool.
        dtype: dtype name or DTypePolicy, for a subclass.

    Example:

    >>> inputs = keras.Input((3,))
    >>> outputs = keras.layers.Dense(2)(inputs)
    >>> model = keras.Model(inputs, outputs)
    >>> model(torch.ones(1, 3)).shape
    torch.Size([1, 2])
    """

    takes_text = True  # it hands it on to its layers
    _recomputes_whole = False  # in a RematScope its layers recompute

    _plain_attributes = Layer._plain_attributes | {
        "_layer_keys",
        "_layer_numbers",
        # Callbacks may set them after each batch, and no graph depends on them.
        "stop_training",
        "stop_evaluating",
        "stop_predicting",
    }

    def __new__(cls, *args, **kwargs):
        if cls is Model and _is_functional_call(args, kwargs):
            from torchkeras.models.functional import Functional

            return Functional.__new__(Functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        if _is_functional_call(args, kwargs):
            from torchkeras.models.functional import Functional, become_functional

            become_functional(type(self))
            Functional.__init__(self, *args, **kwargs)
            return
        if args:
            raise TypeError(
                f"{type(self).__name__} takes keyword arguments, or `inputs` and `outputs`. "
                f"Received: {len(args)} positional argument(s)."
            )
        Trainer.__init__(self)
        Layer.__init__(self, **kwargs)

    def call(self, *args, **kwargs):
        """The computation; a subclass defines its own."""
        raise NotImplementedError(
            f"Model {type(self).__name__} must define a `call` method. Received: a call of model "
            f"'{self.name}' without one. Or give `inputs` and `outputs` to its constructor."
        )

    call._is_default = True

    def __setattr__(self, name, value):
        if name in self._plain_attributes:
            super().__setattr__(name, value)
            return
        # Only models made of a graph or a stack have such keys.
        keys = self.__dict__.get("_layer_keys", ())
        if keys and isinstance(value, nn.Module):
            if any(value is self._modules[key] for key in keys):
                self.__dict__[name] = value  # registered already
                return
        if name not in keys:
            super().__setattr__(name, value)
            return
        layer = self._modules[name]
        if isinstance(value, nn.Module) and (
            not isinstance(value, Layer) or any(layer is part for part in value.modules())
        ):
            raise ValueError(
                f"'{name}' is a layer that model '{self.name}' runs as a step, and replacing the "
                f"attribute would not replace the step. Received: {name}={value!r}. Make the "
                "model anew: keras.models.clone_model(model, clone_function=...)."
            )
        # An attribute of the user's own: the layer makes way and takes another key.
        del self._modules[name]
        self._layer_keys = dict.fromkeys(key for key in keys if key != name)
        super().__setattr__(name, value)
        register_layers(self, self._graph_layers())

    @property
    def layers(self):
        """The layers directly in the model."""
        return list(self._flatten_layers(include_self=False, recursive=False))

    @layers.setter
    def layers(self, _):
        raise AttributeError(
            "`layers` is the list of a model's layers and cannot be set. Received: an assignment "
            f"to it in '{type(self).__name__}'. Choose another attribute name."
        )

    def get_layer(self, name=None, index=None):
        """A layer by its name or its place in `layers`.

        Args:
            name: str.
            index: int.

        Raises:
            ValueError: not exactly one of both is given, or there is no such layer.

        Example:

        >>> model = keras.Sequential([keras.layers.Dense(1, name="head")])
        >>> model.get_layer("head")
        <Dense name=head, built=False>
        """
        if (name is None) is (index is None):
            raise ValueError(
                "Give either the name or the index of a layer. Received: "
                f"name={name!r}, index={index!r}."
            )
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(
                    f"Model '{self.name}' has {len(self.layers)} layers. Received: index={index}."
                )
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"No such layer in model '{self.name}'. Received: name={name!r}. Its layers are "
            f"{[layer.name for layer in self.layers]}."
        )

    def build(self, input_shape=None, **shapes):
        """Create the weights for inputs of this shape, by a call without data.

        Args:
            input_shape: shape tuple with None for unknown sizes, or a list or dict of them.
        """
        if self.built:
            return
        if input_shape is not None:
            args, kwargs = (_symbols(input_shape),), {}
        else:
            args = ()
            kwargs = {key.removesuffix("_shape"): _symbols(s) for key, s in shapes.items()}
        try:
            self.compute_output_spec(*args, **kwargs)
        except Exception as error:
            error.args = (
                f"Model '{self.name}' could not be built for input_shape={input_shape}: "
                f"{error.args[0] if error.args else error}",
                *error.args[1:],
            )
            raise
        self._finish_build({} if input_shape is None else {"input_shape": input_shape})

    build._is_default = True

    def summary(
        self,
        line_length=None,
        positions=None,
        print_fn=None,
        expand_nested=False,
        show_trainable=False,
        layer_range=None,
    ):
        """Print a table of the layers, their output shapes and their numbers of parameters.

        Args:
            line_length: int, width of the table in characters.
            positions: list of column ends, absolute or as fractions of the width.
            print_fn: function of one string; None for `print`.
            expand_nested: bool, list the layers of nested models too.
            show_trainable: bool, add a column that tells which layers are trained.
            layer_range: list of two names (regular expressions) of the first and last layer shown.

        Example:

        >>> keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).summary(print_fn=len)
        """
        print_summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Save architecture, weights and compile state to one file.

        Args:
            filepath: str or path; the ending chooses the format, `.safetensors` or `.keras`.
            overwrite: bool, whether an existing file may be replaced.
            zipped: kept for Keras's signature.
            **kwargs: `include_optimizer`, and for a `.keras` file `weights_format`: "h5" for one
                that Keras 3 opens. See `keras.saving.save_model`.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.keras")
        >>> model.save(path)
        >>> keras.models.load_model(path).count_params()
        8
        """
        saving_api.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None, **kwargs):
        """Save the weights to one file, or to several of limited size.

        Args:
            filepath: str or path. With the ending `.safetensors` the weights stand under their
                `state_dict` names; with `.weights.h5`, which needs h5py, in Keras's own layout,
                and the optimizer's state with them. With `max_shard_size` an index, which ends in
                `.safetensors.index.json` or `.weights.json`.
            overwrite: bool, whether an existing file may be replaced.
            max_shard_size: float, GB that one of several files may hold; None for one file.
            **kwargs: `names`: see `keras.saving.save_weights`.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> model.save_weights(path)
        >>> os.path.exists(path)
        True
        """
        saving_api.save_weights(self, filepath, overwrite, max_shard_size, **kwargs)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Load weights from a file; all fit or none is changed.

        Args:
            filepath: str or path ending in `.safetensors`, `.weights.h5` or `.keras`, of weights
                or of a whole model, written here or by Keras 3; in `.safetensors.index.json` or
                `.weights.json`, of several files; or in `.h5`, of Keras 2.
            skip_mismatch: bool, load what fits and warn about the rest.
            **kwargs: `prefix`, for a part of a file; `names`, for other names and orders of axes;
                `by_name=True`, of a `.h5` file: see `keras.saving.load_weights`.

        Raises:
            ValueError: the model is not built, the file is damaged, or names or shapes differ.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> model.save_weights(path)
        >>> again = keras.models.clone_model(model)
        >>> again.load_weights(path)
        >>> bool((again(torch.ones(1, 3)) == model(torch.ones(1, 3))).all())
        True
        """
        saving_api.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def quantize(self, mode=None, config=None, filters=None, *, type_check=True):
        """Keep the weights of Dense, EinsumDense and Embedding layers in fewer bits from now on.

        Args:
            mode: `"int8"`, `"int4"` or `"float8"`; None for that of the config.
            config: QuantizationConfig of `keras.quantizers`; None for the default of the mode.
            filters: regular expression, or list of them, to be found in a layer's name; or
                function `layer -> bool`; None for all layers.
            type_check: bool, whether subclasses of these layers are left as they are.

        Raises:
            ValueError: the arguments mean nothing, or a layer is not built or quantized already.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.quantize("int8")
        >>> model.layers[0].kernel.dtype
        'int8'
        """
        quantize_model(self, mode, config, filters, type_check)

    def to_json(self, **kwargs):
        """The architecture as a JSON string, without weights.

        Args:
            **kwargs: for `json.dumps`.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> keras.models.model_from_json(model.to_json()).count_params()
        8
        """
        return json.dumps(serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` described."""
        with custom_object_scope(custom_objects or {}):
            if {"layers", "input_layers", "output_layers"} <= set(config):
                from torchkeras.models.functional import takes_graph
                from torchkeras.models.functional_config import functional_from_config

                if cls is Model or takes_graph(cls):
                    return functional_from_config(cls, config)
            return super().from_config(config)


def _symbols(shape):
    if tree.is_shape(shape):
        return KerasTensor(shape)
    if isinstance(shape, dict):
        return {key: _symbols(value) for key, value in shape.items()}
    return [_symbols(item) for item in shape]


_FREE_BYTES = 96 * 2**20  # of lists and tables that a description may ask for beside its length


def model_from_json(json_string, custom_objects=None):
    """The model that `to_json` described, with fresh weights.

    Args:
        json_string: str.
        custom_objects: dict of names to classes or functions the text may name.

    Raises:
        ValueError: the text is no JSON, or describes nothing that is known.
        TypeError: it gives an object arguments that it does not take.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> keras.models.model_from_json(model.to_json()).output_shape
    (None, 2)
    """
    check_custom_objects(custom_objects)
    if not isinstance(json_string, (str, bytes, bytearray)):
        raise TypeError(
            "`json_string` must be what `model.to_json()` returned. Received: "
            f"json_string={json_string!r} of type {type(json_string).__name__}. Give the text."
        )
    nested = (
        "The description of a model must be one that `to_json` gives. Received: a text of "
        f"{len(json_string)} characters that is nested too deeply to be read."
    )
    try:
        config = json.loads(json_string)
    except RecursionError as error:
        raise ValueError(nested) from error
    except ValueError as error:
        raise ValueError(
            "`json_string` must be what `model.to_json()` returned. Received: "
            f"{_short(json_string)}, which is no JSON ({error}). Read the whole file, "
            "or save the model anew."
        ) from error
    model = None
    if isinstance(config, dict):
        try:
            with ClaimLimit(_FREE_BYTES + 16 * len(json_string)):
                model = deserialize_keras_object(config, custom_objects=custom_objects)
        except NotImplementedError as error:
            raise ValueError(
                "`json_string` must be what `model.to_json()` returned. Received: "
                f"{_short(json_string)}, which describes no whole model: {error}"
            ) from error
    if not isinstance(model, Model):
        raise ValueError(
            "`json_string` must be what `model.to_json()` returned. Received: "
            f"{_short(json_string)}, which describes no model. For a layer use "
            "`keras.layers.deserialize(json.loads(json_string))`."
        )
    return model


def _short(text):
    shown = repr(text)
    return shown if len(shown) < 60 else f"{shown[:57]}..."


def register_layers(model, layers):
    """Make `layers` the children of `model`, under names that are the same in every process.

    A layer with a name of its own is registered under it. Automatic names (`dense`, `dense_1`)
    are counted anew in each model, so that two models of one architecture have the same
    `state_dict` keys. A layer that is an attribute of the model keeps the attribute's name.
    """
    modules = model._modules
    for key in model.__dict__.get("_layer_keys", ()):
        modules.pop(key, None)
    attributes = {id(module) for module in modules.values()}
    taken = {*modules, *model._parameters, *model._buffers}
    # An automatic name makes way for a given one, wherever that stands.
    names = [_key_of(type(layer).__name__, layer.name) for layer in layers]
    given = {key for key, is_automatic in names if not is_automatic}
    keys, numbers = {}, {}  # keys in order, to be found at once
    for layer, (base, is_automatic) in zip(layers, names, strict=True):
        if id(layer) in attributes:
            continue
        key, number = base, numbers.get(base, 0)
        while key in taken or (is_automatic and key in given):
            number += 1
            key = f"{base}_{number}"
        numbers[base] = number
        model._hand_down_mode(layer)
        modules[key] = layer
        taken.add(key)
        keys[key] = None
    model._layer_keys, model._layer_numbers = keys, (numbers, given)


def register_next_layer(model, layer):
    """Make `layer`, the last of a model's graph, a child like those before it, which are already.

    The names are those that `register_layers` gives, in the time of one layer where it can be.
    """
    keys, modules = model.__dict__.get("_layer_keys", ()), model._modules
    base, is_automatic = _key_of(type(layer).__name__, layer.name)
    # Where some are attributes, or an automatic name makes way, all are looked at.
    if len(keys) != len(modules) or (not is_automatic and base in modules):
        register_layers(model, model._graph_layers())
        return
    numbers, given = model._layer_numbers
    key, number = base, numbers.get(base, 0)
    while (
        key in modules
        or key in model._parameters
        or key in model._buffers
        or (is_automatic and key in given)
    ):
        number += 1
        key = f"{base}_{number}"
    numbers[base] = number
    if not is_automatic:
        given.add(base)
    model._hand_down_mode(layer)
    modules[key] = layer
    keys[key] = None


@functools.lru_cache(maxsize=4096)
def _key_of(class_name, name):
    """`(key, is_automatic)` for a layer's name: an automatic one loses its number."""
    stem = naming.to_snake_case(class_name)
    is_automatic = re.fullmatch(rf"{re.escape(stem)}(_\d+)?", name) is not None
    return (stem if is_automatic else name.replace(".", "_")), is_automatic
