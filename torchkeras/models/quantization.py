"""quantize_model: the weights of all layers of a model in fewer bits."""

import re

from torchkeras.core.user_warnings import warn_user
from torchkeras.quantizers.quantization_config import resolve_config


def quantize_model(model, mode=None, config=None, filters=None, type_check=True):
    """Quantize each layer without sublayers that `filters` takes.

    Args:
        model: Model that is built.
        mode, config, type_check: as for `Dense.quantize`.
        filters: regular expression, or list of them, to be found in a layer's name; or function
            `layer -> bool`; None for all layers.

    Raises:
        ValueError: the arguments mean nothing, or a layer is not built or quantized already.
    """
    config = resolve_config(mode, config)
    wanted = _filter(filters)
    for layer in list(model._flatten_layers()):
        if len(list(layer._flatten_layers())) > 1 or not wanted(layer):
            continue
        try:
            layer.quantize(config.mode, type_check=type_check, config=config)
        except NotImplementedError as error:
            if layer.weights:  # what has none needs no telling
                warn_user(f"{error} It keeps its floats.")


def _filter(filters):
    if filters is None:
        return lambda layer: True
    if callable(filters):
        return filters
    patterns = [filters] if isinstance(filters, str) else filters
    if not isinstance(patterns, (list, tuple)):
        raise ValueError(
            "`filters` must be a regular expression, a list of them, or a function of a layer. "
            f"Received: filters={filters!r} of type {type(filters).__name__}."
        )
    return lambda layer: any(re.search(pattern, layer.name) for pattern in patterns)
