"""What the signature of a layer's `call` or `build` says."""

import inspect

from torchkeras.core import tree

_BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD


class CallSpec:
    """Parameter names of a `call` method, and the arguments of one call by name."""

    def __init__(self, function):
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]  # without self
        self.signature = signature.replace(parameters=parameters)
        self.names = [p.name for p in parameters]
        kinds = [p.kind for p in parameters]
        self.has_var_keyword = inspect.Parameter.VAR_KEYWORD in kinds
        self.takes_training = "training" in self.names
        self.takes_mask = "mask" in self.names
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        required = [
            p
            for p in parameters
            if p.default is p.empty and p.kind in (*positional, inspect.Parameter.KEYWORD_ONLY)
        ]
        # Whether `call(x)` alone is a valid call.
        self.takes_one = len(required) <= 1 and any(
            kind in (*positional, inspect.Parameter.VAR_POSITIONAL) for kind in kinds
        )

    def bind(self, args, kwargs):
        """Arguments by name, as given; defaults are left out."""
        bound = self.signature.bind(*args, **kwargs).arguments
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD and parameter.name in bound:
                bound.update(bound.pop(parameter.name))
        return bound


_specs = {}  # a plain dict: Dynamo warns of lru_cache, and would read the signature anew


def call_spec(function):
    """The CallSpec of a `call` function."""
    if function not in _specs:
        _specs[function] = CallSpec(function)
    return _specs[function]


def is_tensor_like(x):
    """Whether `x` has a shape and a dtype: a tensor, array, Variable or symbol."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def shapes_of(arguments):
    """Shape structures of the tensor arguments among `arguments`, a dict by name."""
    shapes = {}
    for name, value in arguments.items():
        if name == "mask" or name.endswith("_mask"):
            continue
        leaves = tree.flatten(value)
        if leaves and all(is_tensor_like(leaf) or leaf is None for leaf in leaves):
            if any(leaf is not None for leaf in leaves):
                shapes[name] = tree.map_structure(
                    lambda leaf: None if leaf is None else tuple(leaf.shape), value
                )
    return shapes


def shape_arguments(function, shapes):
    """Keyword arguments for a `build` or `compute_output_shape` method.

    A method with one parameter takes the first shape; one with several takes
    `<argument>_shape` for each tensor argument it names, as in Keras.
    """
    spec = CallSpec(function)
    names = [p.name for p in spec.signature.parameters.values() if p.kind is _BY_NAME]
    if len(shapes) <= 1 or len(names) == 1:
        first = next(iter(shapes.values()), None)
        return {names[0]: first} if names else {}
    by_name = {f"{name}_shape": shape for name, shape in shapes.items()}
    if spec.has_var_keyword:
        return by_name
    chosen = {name: by_name[name] for name in names if name in by_name}
    if not chosen and names:
        chosen = {names[0]: next(iter(shapes.values()))}
    return chosen
