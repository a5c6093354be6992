"""Where Keras's own weight files keep the variables of each part of a model.

A part stands under the path of attributes that leads to it: `layers/dense`, `encoder/cell`. In
a list, tuple or dict the items are counted by class: `blocks/dense`, `blocks/dense_1`. Of several
ways to a part the first counts: the layers of a functional or sequential model, then attributes
by the alphabet, those with a leading underscore last.
"""

import functools

import torch

from torchkeras.core.naming import to_snake_case
from torchkeras.layers.core.torch_module_wrapper import TorchModuleWrapper
from torchkeras.layers.layer import Layer
from torchkeras.layers.tracked_module import TrackedModule

# What models keep beside the attributes of Keras.
_OWN_ATTRIBUTES = frozenset("_functional _stack _compile_config operations metrics".split())


def parts_by_path(model):
    """`{path: layer or module}` of a model, itself under `""` first.

    A plain torch module is one part, with all that is in it.

    Example:

    >>> model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> list(parts_by_path(model))
    ['', 'layers/dense', 'layers/dense_1']
    """
    found, seen = {}, set()
    _visit(model, "", found, seen)
    return found


def optimizers_by_path(optimizer):
    """`{path: optimizer}` of the optimizers within one, whose state Keras stores once more.

    Example:

    >>> inner = keras.optimizers.SGD()
    >>> list(optimizers_by_path(keras.optimizers.LossScaleOptimizer(inner)))
    ['optimizer/inner_optimizer']
    """
    found = {}
    _visit_optimizer(optimizer, "optimizer", found)
    del found["optimizer"]
    return found


def _visit_optimizer(optimizer, path, found):
    found[path] = optimizer
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        _visit_optimizer(inner, f"{path}/inner_optimizer", found)
    counts = {}
    for each in getattr(optimizer, "optimizers", ()):
        name = _numbered(to_snake_case(type(each).__name__), counts)
        _visit_optimizer(each, f"{path}/optimizers/{name}", found)


def torch_module(part):
    """The plain torch module that a part is or wraps, or None."""
    if isinstance(part, TorchModuleWrapper):
        return part.module
    is_plain = isinstance(part, torch.nn.Module) and not isinstance(part, TrackedModule)
    return part if is_plain else None


def _visit(part, path, found, seen):
    if id(part) in seen:
        return
    seen.add(id(part))
    found[path] = part
    module = torch_module(part)
    if module is not None:
        seen.update(id(child) for child in module.modules())
        return
    for name, value in _attributes(part):
        inner = f"{path}/{name}" if path else name
        if isinstance(value, torch.nn.Module):
            _visit(value, inner, found, seen)
        elif isinstance(value, (list, dict, tuple)):
            _visit_container(value, inner, found, seen, set())


def _visit_container(container, path, found, seen, containers):
    if id(container) in containers:
        return
    containers.add(id(container))
    counts = {}
    for item in container.values() if isinstance(container, dict) else container:
        if isinstance(item, torch.nn.Module):
            kind = TorchModuleWrapper if torch_module(item) is not None else type(item)
            _visit(item, f"{path}/{_numbered(to_snake_case(kind.__name__), counts)}", found, seen)
        elif isinstance(item, (list, dict, tuple)):
            inner = f"{path}/{_numbered('container', counts)}"
            _visit_container(item, inner, found, seen, containers)


def _numbered(name, counts):
    number = counts.get(name, 0)
    counts[name] = number + 1
    return f"{name}_{number}" if number else name


def _attributes(part):
    """`(name, value)` of a layer's attributes in Keras's order."""
    if hasattr(part, "_graph_layers"):
        yield "layers", part.layers
    names = set(dir(part)) - _base_names() - _OWN_ATTRIBUTES
    for name in sorted(names, key=lambda name: f"~{name}" if name.startswith("_") else name):
        if not name.startswith("__"):
            try:
                value = getattr(part, name)
            except Exception:  # a property that is not ready yet
                continue
            yield name, value


@functools.lru_cache(maxsize=1)
def _base_names():
    return frozenset(dir(Layer(name="reference")))
