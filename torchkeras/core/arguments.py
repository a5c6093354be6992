"""Walking the arguments of a call: nested tuples, lists, dicts and slices."""

import torch


def leaves_of(structure):
    """Leaves of nested tuples, lists, dicts and slices."""
    if isinstance(structure, (tuple, list)):
        for item in structure:
            yield from leaves_of(item)
    elif isinstance(structure, dict):
        for item in structure.values():
            yield from leaves_of(item)
    elif isinstance(structure, slice):
        yield from (structure.start, structure.stop, structure.step)
    else:
        yield structure


def map_leaves(func, structure):
    """`structure` with `func` applied to its leaves, slices included."""
    if isinstance(structure, (tuple, list)):
        items = [map_leaves(func, item) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    if isinstance(structure, dict):
        return type(structure)((key, map_leaves(func, v)) for key, v in structure.items())
    if isinstance(structure, slice):
        parts = (structure.start, structure.stop, structure.step)
        return slice(*[map_leaves(func, part) for part in parts])
    return func(structure)


# The types nearly every argument has; looking them up is quicker than asking for an attribute.
_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter, int, float, bool, str, type(None)})
_NESTED = frozenset({list, tuple, dict, slice})


def any_symbolic(args, kwargs=None):
    """Whether a KerasTensor is among the arguments, at any depth."""
    for arg in args:
        cls = type(arg)
        if cls in _PLAIN:
            continue
        if getattr(cls, "_is_symbolic", False):
            return True
        if cls in _NESTED or isinstance(arg, (list, tuple, dict)):
            if any_symbolic(_items_of(arg)):
                return True
    return bool(kwargs) and any_symbolic(kwargs.values())


def _items_of(structure):
    if isinstance(structure, dict):
        return structure.values()
    if isinstance(structure, slice):
        return structure.start, structure.stop, structure.step
    return structure


def symbols_of(structure):
    """The KerasTensors in `structure`, in order."""
    return [x for x in leaves_of(structure) if getattr(type(x), "_is_symbolic", False)]
