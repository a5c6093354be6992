"""Lambda: a function as a layer."""

import inspect
import types

from torchkeras import activations, ops
from torchkeras.core import tree
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.layer import Layer
from torchkeras.layers.output_spec import infer_output


class Lambda(Layer):
    """Applies a function of tensors that has no weights.

    A model with a Python lambda works in memory but cannot be saved with its architecture;
    a named function can, and is handed in again through `custom_objects` on loading.

    Args:
        function: called with the input first, then `arguments`; it also gets `mask` and
            `training` if it has parameters of these names.
        output_shape: tuple of sizes without the batch, or function from the input's shape to the
            output's; None to find it by running `function` without data.
        mask: function `(inputs, mask) -> mask`, or the mask of the output; None for no mask.
        arguments: dict of further keyword arguments.

    Input shape: any.
    Output shape: whatever `function` gives.

    Raises:
        TypeError: `function` cannot be called.

    Example:

    >>> keras.layers.Lambda(lambda x: x**2)(torch.tensor([3.0]))
    tensor([9.])
    """

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(
                "`function` must be a function of a tensor. Received: "
                f"function={function!r} of type {type(function).__name__}."
            )
        self.arguments = dict(arguments or {})
        self.function = function
        self.supports_masking = mask is not None
        self.mask = mask
        self._output_shape = output_shape
        parameters = _parameters_of(function)
        self._passes_mask = "mask" in parameters
        self._passes_training = "training" in parameters

    def call(self, inputs, mask=None, training=None):
        arguments = self.arguments
        if self._passes_mask:
            arguments = {**arguments, "mask": mask}
        if self._passes_training:
            arguments = {**arguments, "training": training}
        return self.function(inputs, **arguments)

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape):
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        first = input_shape if tree.is_shape(input_shape) else tree.flatten(input_shape)
        return tree.map_shape_structure(lambda shape: (first[0], *shape), self._output_shape)

    def compute_output_spec(self, inputs, **kwargs):
        if self._output_shape is None:
            return infer_output(self, self._spec_of_call(), (inputs,), kwargs)
        return super().compute_output_spec(inputs, **kwargs)

    def get_config(self):
        config = {**super().get_config(), "function": _described(self.function)}
        if self._output_shape is not None:
            given = self._output_shape
            config["output_shape"] = serialize_keras_object(given) if callable(given) else given
        if self.mask is not None:
            config["mask"] = serialize_keras_object(self.mask)
        config["arguments"] = serialize_keras_object(self.arguments)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        """The layer that `get_config` described; code in a config is never run.

        Args:
            config: dict.
            custom_objects: dict of names to functions the config may name.
            safe_mode: kept for Keras's signature, without effect.

        Raises:
            ValueError: the config holds the code of a lambda, or names an unknown function.
        """
        config = dict(config)
        for key in ("function", "output_shape", "mask"):
            if isinstance(config.get(key), dict):
                config[key] = _function(config[key], custom_objects)
        if isinstance(config.get("output_shape"), list):
            config["output_shape"] = tree.lists_to_tuples(config["output_shape"])
        config["arguments"] = deserialize_keras_object(
            config.get("arguments"), custom_objects=custom_objects
        )
        return super().from_config(config)


_PUBLIC = {"keras.ops": ops, "keras.activations": activations}


def _described(function):
    """The config of a function: those of this package are named with the module they are in."""
    config = serialize_keras_object(function)
    name = getattr(function, "__name__", None)
    for module, namespace in _PUBLIC.items():
        if name and getattr(namespace, name, None) is function:
            return {**config, "module": module}
    return config


def _function(config, custom_objects):
    name, namespace = config.get("config"), _PUBLIC.get(config.get("module"))
    if namespace is not None and isinstance(name, str) and not name.startswith("_"):
        found = getattr(namespace, name, None)
        if isinstance(found, types.FunctionType):
            return found
    found = deserialize_keras_object(config, custom_objects=custom_objects)
    if isinstance(found, str):
        raise ValueError(
            "The config of a Lambda layer names a function that is not known here. Received: "
            f"'{found}'. Pass custom_objects={{'{found}': {found}}}, or decorate the function "
            "with keras.saving.register_keras_serializable()."
        )
    return found


def _parameters_of(function):
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function of torch's, written in C
        return ()
