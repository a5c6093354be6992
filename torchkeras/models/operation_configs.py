"""Configs of the steps of a functional model: layers, functions of keras.ops, torch functions."""

import functools
import inspect

import torch

from torchkeras.core import naming, shapes
from torchkeras.core.arguments import map_leaves
from torchkeras.core.claims import claim_memory
from torchkeras.core.dtypes import standardize_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.operation import (
    OPS,
    FunctionOperation,
    Operation,
    TorchFunction,
    class_name_of,
)
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.layer import Layer
from torchkeras.models.torch_functions import torch_function, torch_name

_TORCH_MODULE = "torch"

# Keras keeps a function of keras.ops as a class: what it computes on are arguments of its call,
# every other parameter is one of its constructor. These are the names of the former.
_OPERANDS = frozenset(
    "a abs_ angle array atol b bins branches choicelist condition condlist constant_values "
    "coordinates data default depthwise_kernel elements elems end_points f false_fn fill_value fun "
    "image1 image2 images index indices init init_val inputs kernel key kwargs loop_vars operands "
    "output output_length patches pointwise_kernel pred predictions primals q query rtol "
    "segment_ids sequence_lengths sorted_sequence start start_indices start_points step stop "
    "tangents target target_length targets tensor transform true_fn updates values variable "
    "weights x x1 x2 xs y".split()
)
_MORE_OPERANDS = {
    "batch_normalization": {"mean", "variance", "offset", "scale"},
    "dot_product_attention": {"value", "bias", "mask", "scale"},
    "layer_normalization": {"gamma", "beta"},
    "rearrange": {"pattern", "axes_lengths"},
    "rms_normalization": {"scale"},
    "scale_and_translate": {"output_shape", "scale", "translation"},
}
_NO_OPERANDS = {
    "affine_transform": {"fill_value"},
    "allclose": {"rtol", "atol"},
    "bincount": {"weights"},
    "elastic_transform": {"fill_value"},
    "histogram": {"bins"},
    "map_coordinates": {"fill_value"},
    "perspective_transform": {"fill_value"},
    "resize": {"fill_value"},
    "squareplus": {"b"},
    "trapezoid": {"x"},
    "unique": {"fill_value"},
}
_KERAS_MODULES = {"core": "core", "linalg": "linalg", "math": "math"}
_KERAS_MODULES.update(
    dict.fromkeys(
        [f"image_{part}" for part in "colors filters resizing warps windows".split()], "image"
    )
)
_KERAS_MODULES.update(  # all others are in Keras's numpy
    dict.fromkeys(
        "activations attention convolutions crossentropy ctc encoding image_quality normalization "
        "patches pooling polar".split(),
        "nn",
    )
)
_KERAS_MODULES.update(loops="core", einops="einops", jvp="linalg", slogdet="numpy")
_KERAS_MODULES.update(
    dict.fromkeys("segments spectral view_as_complex view_as_real".split(), "math")
)


def serialize_operation(operation, calls, reference):
    """Config of a step of a model, with its calls.

    Args:
        operation: Operation, a layer or another.
        calls: its Nodes in the model.
        reference: function from a KerasTensor to `[name, call, output]`.
    """

    def describe(x):
        if not isinstance(x, KerasTensor):
            return x
        config = {"shape": x.shape, "dtype": x.dtype, "keras_history": reference(x)}
        return {"class_name": "__keras_tensor__", "config": config}

    arguments = [map_leaves(describe, (list(node.args), node.kwargs)) for node in calls]
    if isinstance(operation, FunctionOperation):
        config, arguments = _describe_function(operation, arguments)
    elif isinstance(operation, TorchFunction):
        config = {
            "module": _TORCH_MODULE,
            "class_name": "function",
            "config": {"name": operation.name, "function": torch_name(operation.call)},
            "registered_name": None,
        }
    else:
        config = serialize_keras_object(operation)
    if isinstance(operation, Layer):
        arguments = [(args, _with_default_mode(operation, kwargs)) for args, kwargs in arguments]
    elif not isinstance(operation, FunctionOperation):
        arguments = [(_mark(args), _mark(kwargs)) for args, kwargs in arguments]
    config["name"] = operation.name
    config["inbound_nodes"] = [
        {"args": serialize_keras_object(args), "kwargs": serialize_keras_object(kwargs)}
        for args, kwargs in arguments
    ]
    return config


# Keras records the default of `training` with each call of a layer whose `call` has one other than
# None, and lets the mode of the model win. So a default in a config says nothing: taken at its
# word, `training=False` would switch off the dropout of Keras's models for good. Where the program
# has asked for it, it is written as a number, which Keras reads likewise.


def default_mode(layer):
    """The default of `training` in the `call` of a layer; None where it has none."""
    parameter = inspect.signature(layer.call).parameters.get("training")
    return parameter.default if parameter and isinstance(parameter.default, bool) else None


def _with_default_mode(layer, kwargs):
    default = default_mode(layer)
    if default is None or kwargs.get("training", default) is not default:
        return kwargs
    return {**kwargs, "training": int(default) if "training" in kwargs else default}


def without_default_mode(operation, kwargs):
    """Arguments of a call as a config has them, without a `training` that says nothing."""
    mode = kwargs.get("training")
    if not isinstance(mode, bool) or not isinstance(operation, Layer):
        return kwargs
    if mode is not default_mode(operation):
        return kwargs
    return {name: value for name, value in kwargs.items() if name != "training"}


def _describe_function(operation, arguments):
    """Config of a function of keras.ops, and the arguments of its calls that remain for them."""
    name, settings, remaining = operation.op_name, [], []
    for args, kwargs in arguments:
        bound = inspect.signature(OPS[name]).bind(*args, **kwargs)
        bound.apply_defaults()
        values, operands, named = {}, [], {}
        for parameter in bound.signature.parameters.values():
            value = bound.arguments[parameter.name]
            if not _is_operand(name, parameter.name):
                # A tensor of the model, as a bound of `clip` may be, belongs to the call.
                (named if _holds_symbol(value) else values)[parameter.name] = value
            elif parameter.kind is parameter.VAR_POSITIONAL:
                operands.extend(value)
            elif parameter.kind is not parameter.VAR_KEYWORD:
                is_index = (name, parameter.name) == ("get_item", "key")
                operands.append(_index_config(value) if is_index else value)
            elif name == "rearrange":  # of another's, an einsum's, none are kept
                named.update(value)
        settings.append(values)
        remaining.append((operands, named))
    if len(settings) > 1:
        # Called several times, by hand: each call keeps its own.
        both = zip(remaining, settings, strict=True)
        remaining = [(operands, {**values, **named}) for (operands, named), values in both]
        settings = [{}]
    class_name = operation.class_name
    module = OPS[name]._run.__module__.rpartition(".")[2]
    # Some functions stand apart from the others of their file.
    module = _KERAS_MODULES.get(name, _KERAS_MODULES.get(module, "numpy"))
    config = {
        "module": f"keras.src.ops.{module}",
        "class_name": class_name,
        "config": {"name": operation.name, **serialize_keras_object(settings[0])},
        "registered_name": class_name,
    }
    return config, remaining


def _holds_symbol(value):
    """Whether a described argument has a tensor of the model in it."""
    if isinstance(value, dict):
        is_symbol = value.get("class_name") == "__keras_tensor__"
        return is_symbol or any(map(_holds_symbol, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_symbol, value))


def _is_operand(op_name, parameter):
    if parameter in _MORE_OPERANDS.get(op_name, ()):
        return True
    return parameter in _OPERANDS and parameter not in _NO_OPERANDS.get(op_name, ())


def _index_config(index):
    # JSON has no tuples. An index with a slice in it can only be one; `x[0, 1]` and `x[[0, 1]]`
    # differ.
    return index if _has_slice(index) else _mark(index)


def _has_slice(index):
    return isinstance(index, (list, tuple)) and any(
        part is None or part is Ellipsis or isinstance(part, slice) for part in index
    )


def _mark(value):
    """`value` with tuples and torch dtypes as dicts that JSON can carry."""
    if isinstance(value, torch.dtype):
        return {"class_name": "__dtype__", "config": {"value": standardize_dtype(value)}}
    if isinstance(value, tuple):
        marked = [_mark(item) for item in value]
        return {"class_name": "__tuple__", "config": {"value": marked}}
    if isinstance(value, list):
        return [_mark(item) for item in value]
    if isinstance(value, dict) and value.get("class_name") != "__keras_tensor__":
        return {key: _mark(item) for key, item in value.items()}
    return value


def deserialize_operation(config):
    """`(operation, call)` for a config, where `call(*args, **kwargs)` calls it on symbols.

    Raises:
        ValueError: the config describes no layer or operation.
    """
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError(
            "Each layer of a functional model is described by a dict with `class_name` and "
            f"`config`. Received: {config!r}."
        )
    module, inner = config.get("module"), config["config"]
    if module == _TORCH_MODULE and config.get("class_name") == "function":
        operation = TorchFunction(torch_function(inner.get("function")), name=inner.get("name"))
        return operation, functools.partial(_call_torch, operation)
    elif isinstance(module, str) and module.startswith(("keras.src.ops.", "keras.ops.")):
        operation = FunctionOperation(_op_name(config.get("class_name")), name=inner.get("name"))
        settings = {key: value for key, value in inner.items() if key != "name"}
        settings = deserialize_keras_object(settings)
        return operation, functools.partial(_call_function, operation, settings)
    else:
        operation = deserialize_keras_object(config)
    if not isinstance(operation, Operation):
        raise ValueError(
            "A functional model consists of layers and operations. Received: a config of "
            f"class_name={config.get('class_name')!r}, which is neither."
        )
    return operation, operation.symbolic_call


def _call_function(operation, settings, *operands, **kwargs):
    """Call a function of keras.ops on its operands, in order, with settings by name."""
    signature = inspect.signature(OPS[operation.op_name])
    operands, bound = list(operands), signature.bind_partial()
    given = {**settings, **kwargs}
    for name, parameter in signature.parameters.items():
        if not _is_operand(operation.op_name, name) or (name in given and not operands):
            if name in given:
                bound.arguments[name] = given[name]
        elif parameter.kind is parameter.VAR_POSITIONAL:
            bound.arguments[name], operands = tuple(operands), []
        elif operands:
            value = operands.pop(0)
            bound.arguments[name] = tuple(value) if _has_slice(value) else value
    unknown = [name for name in given if name not in signature.parameters]
    if operation.op_name == "rearrange":  # the sizes of its axes, under their own names
        bound.arguments["axes_lengths"] = {name: given[name] for name in unknown}
        unknown = []
    if unknown or operands:
        raise ValueError(
            f"keras.ops.{operation.op_name} takes the arguments {list(signature.parameters)}. "
            f"Received: a config that also gives {unknown or operands}."
        )
    with shapes.without_data():
        return _checked_call(operation, bound.args, bound.kwargs)


def _call_torch(operation, *args, **kwargs):
    claim_memory(_BYTES_OF_PART * _count_of_parts(operation, args, kwargs))
    with shapes.without_data():
        return _checked_call(operation, args, kwargs)


_BYTES_OF_PART = 4096  # for a symbol, and for the time that making it takes
_SPLITS = frozenset("tensor_split hsplit vsplit dsplit chunk split split_with_sizes unbind".split())


def _count_of_parts(operation, args, kwargs):
    """How many tensors a function that splits one makes at most; 0 for other functions."""
    name = getattr(operation.call, "__name__", "")
    if name not in _SPLITS:
        return 0
    sizes = [size for x in args[:1] for size in getattr(x, "shape", ()) if isinstance(size, int)]
    longest = max(sizes, default=1)
    number = next((x for x in (*args[1:], *kwargs.values()) if isinstance(x, int)), 1)
    if name in ("tensor_split", "hsplit", "vsplit", "dsplit"):
        return max(number, 0)
    return longest if name in ("unbind", "chunk") else longest // max(number, 1)


# What a function raises on arguments that it was not made for.
_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError)
_ERRORS += (RuntimeError, TypeError)


def _checked_call(operation, args, kwargs):
    try:
        return operation.symbolic_call(*args, **kwargs)
    except _ERRORS as error:
        raise ValueError(
            "The arguments of a step in a model's config must be such as it can be computed with. "
            f"Received: step '{operation.name}', for which {type(error).__name__}: {error}"
        ) from error


def _op_name(class_name):
    wanted = str(class_name).lower()
    for name in OPS:
        if class_name_of(name).lower() == wanted:
            return name
    for name in OPS:
        if name.replace("_", "") == wanted:
            return name
    raise ValueError(
        "The config names an operation that is not a function of keras.ops. Received: "
        f"class_name={class_name!r} (in snake case: {naming.to_snake_case(str(class_name))!r})."
    )
