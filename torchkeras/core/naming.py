"""Automatic names (`dense`, `dense_1`), name scopes, and `clear_session`."""

import gc
import re
import threading
from collections import Counter

import torch

_uids = Counter()
_local = threading.local()


def to_snake_case(name):
    """`"MyDense2D"` -> `"my_dense2d"`, the form used for automatic names."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
    return name


def get_uid(prefix=""):
    """Next number for `prefix`, counting from 1 since the start or the last `clear_session`.

    Example:

    >>> keras.backend.get_uid("some_prefix")
    1
    """
    _uids[prefix] += 1
    return _uids[prefix]


def auto_name(prefix):
    """Next free automatic name: `prefix`, `prefix_1`, `prefix_2`, ..."""
    prefix = to_snake_case(prefix)
    number = get_uid(prefix) - 1
    return f"{prefix}_{number}" if number else prefix


def clear_session(free_memory=True):
    """Restart automatic names and drop compiled code, as between two experiments.

    Args:
        free_memory: also run the garbage collector and empty torch's GPU cache.

    Example:

    >>> keras.utils.clear_session()
    >>> keras.layers.Dense(1).name
    'dense'
    """
    _uids.clear()
    dynamo = torch._dynamo if "_dynamo" in torch.__dict__ else None
    if dynamo is not None and hasattr(dynamo, "reset"):
        dynamo.reset()
    if free_memory:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class name_scope:
    """Prefix the paths of the variables created inside it.

    Args:
        name: str without `/`.
        caller: optional object; entering twice for the same caller and name counts once, and an
            inner scope of the caller stands where its outer one does, whatever lies between.
        deduplicate: bool, whether that is so.
        override_parent: str or None, a path that takes the place of all scopes around.

    Example:

    >>> with keras.name_scope("block"):
    ...     v = keras.Variable(1.0, name="scale")
    >>> v.path
    'block/scale'
    """

    def __init__(self, name, caller=None, deduplicate=True, override_parent=None):
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"`name` must be a string without '/'. Received: name={name!r}.")
        self.name = name
        self.caller = caller
        self.deduplicate = deduplicate
        self.override_parent = override_parent
        self._pushed = False

    def __enter__(self):
        stack = _local.__dict__.setdefault("scopes", [])
        top = stack[-1] if stack else None
        repeated = (
            top is not None
            and self.deduplicate
            and self.caller is not None
            and top.caller is self.caller
            and top.name == self.name
        )
        if not repeated:
            stack.append(self)
            self._pushed = True
        return self

    def __exit__(self, *exc):
        if self._pushed:
            self._pushed = False
            _local.scopes.pop()


def current_path():
    """The open name scopes, joined by `/` (`""` outside of any)."""
    parts, places = [], {}
    for scope in _local.__dict__.get("scopes", ()):
        if scope.override_parent is not None:
            parts = [part for part in scope.override_parent.split("/") if part]
        elif scope.caller is not None and scope.deduplicate:
            # A weight that a layer adds within a scope of its `build` is the layer's own.
            del parts[places.setdefault((id(scope.caller), scope.name), len(parts)) :]
        parts.append(scope.name)
    return "/".join(parts)
