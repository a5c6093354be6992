"""What the signature of a layer's `call` or `build` says, and the arguments of one call by name."""

import inspect

import torch

from torchkeras.core import tree
from torchkeras.core.shapes import symbolic_shape

_KINDS = inspect.Parameter
_BY_PLACE = (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD)


class CallSpec:
    """Parameter names of a method, read once, and a binder of arguments that costs a microsecond.

    Args:
        function: the method as its class holds it, with `self` first.

    Attributes:
        names: names of all parameters but `self`, in order.
        takes_training, takes_mask, has_var_keyword: what is among them.
        takes_one: whether a call with one positional argument is valid.
    """

    def __init__(self, function):
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]  # without self
        self.function = function
        self.signature = signature.replace(parameters=parameters)
        self.names = [p.name for p in parameters]
        self.takes_training = "training" in self.names
        self.takes_mask = "mask" in self.names
        self._by_place = tuple(p.name for p in parameters if p.kind in _BY_PLACE)
        self._by_name = frozenset(
            p.name
            for p in parameters
            if p.kind in (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY)
        )
        self._rest = next((p.name for p in parameters if p.kind is _KINDS.VAR_POSITIONAL), None)
        self.has_var_keyword = any(p.kind is _KINDS.VAR_KEYWORD for p in parameters)
        self._required = tuple(
            p.name
            for p in parameters
            if p.default is p.empty and (p.name in self._by_name or p.name in self._by_place)
        )
        self.takes_one = len(self._required) <= 1 and bool(self._by_place or self._rest)

    def bind(self, args, kwargs):
        """Arguments by name, in the order of the signature; defaults are left out.

        Raises:
            TypeError: they do not fit the signature.
        """
        names = self._by_place
        bound = dict(zip(names, args))  # noqa: B905 (fewer or more arguments are seen to below)
        if len(args) > len(names):
            if self._rest is None:
                return self._bind_slowly(args, kwargs)
            bound[self._rest] = tuple(args[len(names) :])
        for name, value in kwargs.items():
            if name in bound or not (name in self._by_name or self.has_var_keyword):
                return self._bind_slowly(args, kwargs)
            bound[name] = value
        for name in self._required:
            if name not in bound:
                return self._bind_slowly(args, kwargs)
        if len(kwargs) > 1:
            ordered = {name: bound.pop(name) for name in self.names if name in bound}
            ordered.update(bound)
            return ordered
        return bound

    def _bind_slowly(self, args, kwargs):
        """Python's own binding, for its error."""
        bound = self.signature.bind(*args, **kwargs).arguments
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD and parameter.name in bound:
                bound.update(bound.pop(parameter.name))
        return bound

    def with_training(self, args, kwargs, training):
        """`args` and `kwargs` of a call, with this `training` in them by name or in its place."""
        if "training" in self._by_place:
            place = self._by_place.index("training")
            if place < len(args):
                return (*args[:place], training, *args[place + 1 :]), kwargs
        return args, {**kwargs, "training": training}

    def training_of(self, args, kwargs):
        """What a call gives for `training`, by name or by place; None for nothing."""
        if "training" in kwargs:
            return kwargs["training"]
        if len(args) > 1 and self.takes_training and "training" in self._by_place:
            place = self._by_place.index("training")
            return args[place] if place < len(args) else None
        return None

    def shape_arguments(self, shapes):
        """Keyword arguments for a `build` or `compute_output_shape` with this signature.

        A method with one parameter takes the first shape; one with several takes
        `<argument>_shape` for each tensor argument it names, as in Keras.

        Args:
            shapes: dict of argument names to shapes, as from `shapes_of`.
        """
        names = [name for name in self._by_place if name in self._by_name]
        if len(shapes) <= 1 or len(names) == 1:
            first = next(iter(shapes.values()), None)
            return {names[0]: first} if names else {}
        by_name = {f"{name}_shape": shape for name, shape in shapes.items()}
        if self.has_var_keyword:
            return by_name
        chosen = {name: by_name[name] for name in names if name in by_name}
        if not chosen and names:
            chosen = {names[0]: next(iter(shapes.values()))}
        return chosen


_specs = {}  # a plain dict: Dynamo warns of lru_cache, and would read the signature anew


def call_spec(function):
    """The CallSpec of a method, made at its first use."""
    if function not in _specs:
        _specs[function] = CallSpec(function)
    return _specs[function]


def is_default(method):
    """Whether a method is the one that Layer or Model has for classes that define none."""
    return getattr(method, "_is_default", False)


def is_tensor_like(x):
    """Whether `x` has a shape and a dtype: a tensor, array, Variable or symbol."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def shapes_of(arguments):
    """Shape structures of the tensor arguments among `arguments`, a dict by name."""
    shapes = {}
    for name, value in arguments.items():
        if value is None or name == "mask" or name.endswith("_mask"):
            continue
        if isinstance(value, torch.Tensor):
            shapes[name] = symbolic_shape(value)
            continue
        leaves = tree.flatten(value)
        if leaves and all(is_tensor_like(leaf) or leaf is None for leaf in leaves):
            if any(leaf is not None for leaf in leaves):
                shapes[name] = tree.map_structure(
                    lambda leaf: None if leaf is None else symbolic_shape(leaf), value
                )
    return shapes
