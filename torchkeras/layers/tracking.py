"""How a layer keeps hold of what is assigned to it: variables, sublayers, lists and dicts of them.

Sublayers go into the module's `_modules`, weights into `_parameters` or `_buffers`, so torch
finds everything by its ordinary means. Containers stay real lists and dicts; their items
register as `<attribute>_<index or key>`, those added later too.
"""

import copy
import functools
import weakref

from torch import nn

from torchkeras.core.variable import Variable, refuse_replacement


class TrackedList(list):
    """A list whose modules and variables belong to a layer."""

    _owner = None  # (layer, name of the attribute)
    _holds = False  # whether there is something to keep hold of in it

    def __reduce__(self):
        return list, (list(self),)

    def __deepcopy__(self, memo):
        result = []
        memo[id(self)] = result
        result.extend(copy.deepcopy(item, memo) for item in self)
        return result


class TrackedDict(dict):
    """A dict whose modules and variables belong to a layer."""

    _owner = None
    _holds = False

    def __reduce__(self):
        return dict, (dict(self),)

    def __deepcopy__(self, memo):
        result = {}
        memo[id(self)] = result
        result.update((key, copy.deepcopy(value, memo)) for key, value in self.items())
        return result


# Methods that change a container: those that bring in one item, several, or none.
_ONE = {"append", "insert", "setdefault", "__setitem__"}
_SEVERAL = {"extend", "update", "__iadd__", "__ior__"}
_NONE = {"pop", "popitem", "remove", "clear", "sort", "reverse", "__delitem__", "__imul__"}


def _report_changes(cls, base):
    def wrapped(name):
        method = getattr(base, name)

        @functools.wraps(method)
        def changed(self, *args, **kwargs):
            if name == "__setitem__" and self._owner is not None and self._holds:
                _check_item(self, *args)
            result = method(self, *args, **kwargs)
            # A long list of numbers must not be gone through at every append.
            one = name in _ONE and not isinstance(args[0], slice)
            fresh = args if one else () if name in _NONE else self
            if self._owner is not None and (self._holds or holds_tracked(fresh)):
                layer, attribute = self._owner
                layer._retrack(attribute)
            return self if name.startswith("__i") else result

        return changed

    for name in _ONE | _SEVERAL | _NONE:
        if hasattr(base, name):
            setattr(cls, name, wrapped(name))


def _check_item(container, key, value):
    """Raise where a tensor or array is to take the place of a Variable in a container."""
    if not isinstance(key, slice):
        held = container.get(key) if isinstance(container, dict) else container[key]
        layer, attribute = container._owner
        refuse_replacement(held, value, f"{layer.__dict__.get('name')}.{attribute}[{key!r}]")


_report_changes(TrackedList, list)
_report_changes(TrackedDict, dict)

_PLAIN = frozenset({int, float, str, bool, type(None)})


def is_tracked(value):
    """Whether a layer keeps hold of `value` when it stands in a list or dict."""
    if type(value) in _PLAIN:
        return False
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


def wrap(value, layer, name):
    """`value`, of the attribute `name`, with lists and dicts that tell `layer` of every change.

    Those that do so already stay the objects they are. An `OrderedDict`, and a class of the
    user's, is kept as it is, and tells of no change.
    """
    if type(value) is tuple:
        return tuple(wrap(item, layer, name) for item in value)
    if type(value) in (dict, TrackedDict):
        base, kind, items = dict, TrackedDict, list(value.items())
    elif type(value) in (list, TrackedList):
        base, kind, items = list, TrackedList, list(enumerate(value))
    else:
        return value
    owner = value._owner if type(value) is kind else None
    mine = owner is not None and owner[0] is layer and owner[1] == name
    wrapped = value if mine else kind(value)
    for key, item in items:
        base.__setitem__(wrapped, key, wrap(item, layer, name))
    wrapped._owner = (layer, name)
    wrapped._holds = holds_tracked(wrapped)
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
    slots = [
        (store, key)
        for store, skipped in (
            (module._parameters, ()),
            (module._buffers, module._non_persistent_buffers_set),
        )
        for key, tensor in store.items()
        if tensor is not None and key not in known and key not in skipped
    ]
    if not slots:  # as in most layers; a trace must not ask how many others there are
        return []
    handles, result = _foreign.setdefault(module, {}), []
    for store, key in slots:
        handle = handles.get(key)
        if handle is None or handle._store is not store:
            handle = handles[key] = Variable._of_slot(store, key, key)
            handle._parameters = module._parameters
        handle._path = f"{path}/{key}" if path else key  # a layer gets its path at build
        result.append(handle)
    return result
