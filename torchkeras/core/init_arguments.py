"""Configs of layers that define none: the remembered arguments of their constructor."""

import inspect

from torchkeras.core.serialization import serialize_keras_object


def config_of_arguments(layer, args, kwargs, base):
    """Config of `layer`, which was made by `type(layer)(*args, **kwargs)`.

    Args:
        layer: the Layer.
        args, kwargs: arguments of its constructor.
        base: dict of the arguments that every layer has; they go into the config if the
            constructor takes them.

    Raises:
        NotImplementedError: an argument cannot be described in a config.
    """
    bound = inspect.signature(type(layer).__init__).bind(layer, *args, **kwargs)
    bound.apply_defaults()
    own = dict(list(bound.arguments.items())[1:])
    takes_base = False
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_base = True
            own.update(own.pop(parameter.name, {}))
        elif parameter.kind is parameter.VAR_POSITIONAL and own.pop(parameter.name, ()):
            raise NotImplementedError(_no_config(layer, f"*{parameter.name}"))
    config = {key: value for key, value in base.items() if takes_base or key in own}
    for name, value in own.items():
        if name not in base:
            try:
                config[name] = serialize_keras_object(value)
            except (TypeError, ValueError) as error:
                raise NotImplementedError(_no_config(layer, name)) from error
    return config


def _no_config(layer, argument):
    return (
        f"{type(layer).__name__} needs a `get_config` method of its own: its argument "
        f"'{argument}' cannot be described in a config. Return a dict of the constructor's "
        "arguments from it."
    )
