"""Configs of the steps of a functional model that are not layers: ops and torch functions."""

import functools

import torch

from torchkeras.core import naming
from torchkeras.core.operation import OPS, FunctionOperation, TorchFunction
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object

_TORCH_MODULE = "torch"


def serialize_operation(operation):
    """Config of an operation of a graph."""
    if isinstance(operation, FunctionOperation):
        class_name = "".join(part.title() for part in operation.op_name.split("_"))
        return {
            "module": f"keras.src.ops.{OPS[operation.op_name]._run.__module__.rpartition('.')[2]}",
            "class_name": class_name,
            "config": {"name": operation.name},
            "registered_name": class_name,
        }
    if isinstance(operation, TorchFunction):
        return {
            "module": _TORCH_MODULE,
            "class_name": "function",
            "config": {"name": operation.name, "function": torch_name(operation.call)},
            "registered_name": None,
        }
    return serialize_keras_object(operation)


def deserialize_operation(config):
    """`(operation, keyword arguments)` that a config describes.

    Keras keeps constant arguments of an op in its config, torchkeras with the call; the second
    part of the result holds what came with the config.
    """
    module = config.get("module") or ""
    inner = config.get("config")
    if module == _TORCH_MODULE and config.get("class_name") == "function":
        return TorchFunction(torch_function(inner.get("function")), name=inner.get("name")), {}
    if module.startswith(("keras.src.ops", "keras.ops")):
        op_name = _op_name(config.get("class_name"))
        added = {k: v for k, v in inner.items() if k not in ("name", "dtype")}
        operation = FunctionOperation(op_name, name=inner.get("name"))
        return operation, deserialize_keras_object(added)
    return deserialize_keras_object(config), {}


def _op_name(class_name):
    wanted = str(class_name).lower()
    for name in OPS:
        if name.replace("_", "") == wanted:
            return name
    raise ValueError(
        "The config names an operation that is not a function of keras.ops. Received: "
        f"class_name={class_name!r} (in snake case: {naming.to_snake_case(str(class_name))!r})."
    )


@functools.cache
def _torch_functions():
    """Every torch function that takes tensors and computes, by qualified name.

    These are the functions torch itself lets a tensor-like type override and that name an ATen
    operator, so a file cannot reach those that read files, run code or change the process.
    """
    found = {}
    for namespace, functions in torch.overrides.get_overridable_functions().items():
        for function in functions:
            name = torch.overrides.resolve_name(function)
            short = getattr(function, "__name__", "")
            known = hasattr(torch.ops.aten, short.strip("_")) or namespace is torch.nn.functional
            if name and short and known and not short.startswith("__get"):
                found.setdefault(name, function)
    return found


def torch_name(function):
    """Qualified name of a torch function, such as `"torch.relu"`."""
    for name, known in _torch_functions().items():
        if known is function:
            return name
    raise ValueError(
        "Only torch's own functions on tensors can be saved as steps of a model. Received: "
        f"{function!r}. Put it into a layer."
    )


def torch_function(name):
    """The torch function of a qualified name."""
    found = _torch_functions().get(name)
    if found is None:
        raise ValueError(
            "A config may name torch's own functions on tensors as steps of a model. Received: "
            f"function={name!r}, which is none of them."
        )
    return found
