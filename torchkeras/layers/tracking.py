"""How a layer keeps hold of what is assigned to it: variables, sublayers, lists and dicts of them.

Sublayers go into the module's `_modules`, weights into `_parameters` or `_buffers`, so torch
finds everything by its ordinary means. Containers stay real lists and dicts; their items
register as `<attribute>_<index or key>`, those added later too.
"""

import weakref

from torch import nn

from torchkeras.core.variable import Variable


class TrackedList(list):
    """A list whose modules and variables belong to a layer."""

    _track = None

    def _changed(self):
        if self._track is not None:
            self._track()

    def __reduce__(self):
        return list, (list(self),)

    def __deepcopy__(self, memo):
        from copy import deepcopy

        copy = []
        memo[id(self)] = copy
        copy.extend(deepcopy(item, memo) for item in self)
        return copy


class TrackedDict(dict):
    """A dict whose modules and variables belong to a layer."""

    _track = None

    def _changed(self):
        if self._track is not None:
            self._track()

    def __reduce__(self):
        return dict, (dict(self),)

    def __deepcopy__(self, memo):
        from copy import deepcopy

        copy = {}
        memo[id(self)] = copy
        copy.update((key, deepcopy(value, memo)) for key, value in self.items())
        return copy


def _report_changes(cls, base, names):
    def wrap(name):
        method = getattr(base, name)

        def changed(self, *args, **kwargs):
            result = method(self, *args, **kwargs)
            self._changed()
            return self if name.startswith("__i") else result

        changed.__name__ = name
        changed.__doc__ = method.__doc__
        return changed

    for name in names:
        setattr(cls, name, wrap(name))


_report_changes(
    TrackedList,
    list,
    ["append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"]
    + ["__setitem__", "__delitem__", "__iadd__", "__imul__"],
)
_report_changes(
    TrackedDict,
    dict,
    ["update", "setdefault", "pop", "popitem", "clear", "__setitem__", "__delitem__", "__ior__"],
)


def is_tracked(value):
    """Whether a layer keeps hold of `value` when it stands in a list or dict."""
    return isinstance(value, (nn.Module, Variable)) or is_metric(value) or is_seed_generator(value)


def is_metric(value):
    """Whether `value` is a metric, told by its methods."""
    return (
        hasattr(value, "update_state")
        and hasattr(value, "reset_state")
        and hasattr(value, "result")
    )


def is_seed_generator(value):
    """Whether `value` is a SeedGenerator, told by its methods."""
    return isinstance(getattr(value, "state", None), Variable) and hasattr(
        value, "draws_from_state"
    )


def holds_tracked(value):
    """Whether something to keep hold of is in `value`, at any depth."""
    if isinstance(value, dict):
        return any(is_tracked(item) or holds_tracked(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_tracked(item) or holds_tracked(item) for item in value)
    return False


def wrap(value, track):
    """`value` with its lists and dicts replaced by ones that call `track` on every change."""
    if isinstance(value, dict):
        items = {key: wrap(item, track) for key, item in value.items()}
        if type(value) not in (dict, TrackedDict):
            return value  # an OrderedDict or a class of the user's: kept as it is
        wrapped = TrackedDict(items)
    elif type(value) in (list, TrackedList):
        wrapped = TrackedList(wrap(item, track) for item in value)
    elif type(value) is tuple:
        return tuple(wrap(item, track) for item in value)
    else:
        return value
    wrapped._track = track
    return wrapped


def items_by_name(name, value):
    """What is to be kept hold of in `value`, as `(name_of_slot, item)` pairs."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from items_by_name(f"{name}_{str(key).replace('.', '_')}", item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from items_by_name(f"{name}_{index}", item)
    elif is_tracked(value):
        yield name, value


_foreign = weakref.WeakKeyDictionary()


def foreign_handles(module, path, known=()):
    """Variables on the parameters and buffers that `module` holds in torch's own way.

    Args:
        module: an `nn.Module`; its children are not looked into.
        path: str, path of the module.
        known: names of slots that have a handle already.
    """
    if not module._parameters and not module._buffers:
        return []
    handles = _foreign.setdefault(module, {})
    result = []
    for store, skipped in (
        (module._parameters, ()),
        (module._buffers, module._non_persistent_buffers_set),
    ):
        for key, tensor in store.items():
            if tensor is None or key in known or key in skipped:
                continue
            handle = handles.get(key)
            if handle is None or handle._store is not store:
                handle = Variable._of_slot(store, key, f"{path}/{key}" if path else key)
                handle._parameters = module._parameters
                handles[key] = handle
            result.append(handle)
    return result
