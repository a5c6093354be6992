"""Assets: what layers keep in model files beside config and weights, such as a vocabulary.

| file | an asset is |
| --- | --- |
| `.safetensors` | a tensor of bytes, `assets/<path of the module>/<file name>` |
| `.keras` | a member `assets/<path of the layer in Keras's layout>/<file name>`, as Keras's own |

A layer gives them as bytes by `get_assets` and takes them back by `set_assets`; nothing is
written to disk on the way, and nothing that is read is run.
"""

import re

from torchkeras.layers.layer import Layer
from torchkeras.saving.keras_layout import parts_by_path
from torchkeras.saving.messages import clipped, unreadable

PREFIX = "assets/"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*")


def by_module(model):
    """`{path: layer}` of a model's layers by their paths as modules, as a `state_dict` has them."""
    return {path: module for path, module in model.named_modules() if isinstance(module, Layer)}


def by_layout(model):
    """`{path: layer}` of a model's layers by their paths in Keras's files."""
    return {path: part for path, part in parts_by_path(model).items() if isinstance(part, Layer)}


def collect_assets(layers):
    """The assets of some layers.

    Args:
        layers: dict from `by_module` or `by_layout`.

    Returns:
        dict of names, `assets/...`, to bytes.

    Raises:
        ValueError: a layer gives something else than bytes under plain file names.
    """
    found = {}
    for path, layer in layers.items():
        for name, data in layer.get_assets().items():
            if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
                raise ValueError(
                    f"The assets of layer '{layer.name}' must have plain file names. Received: "
                    f"{name!r} from its `get_assets`."
                )
            if not isinstance(data, (bytes, bytearray)):
                raise ValueError(
                    f"The assets of layer '{layer.name}' must be bytes. Received: '{name}' of type "
                    f"{type(data).__name__} from its `get_assets`."
                )
            found[f"{PREFIX}{path}/{name}" if path else PREFIX + name] = bytes(data)
    return found


def assign_assets(layers, found, path):
    """Give layers their assets back.

    Args:
        layers: dict from `by_module` or `by_layout`.
        found: dict of names to bytes, as from `collect_assets`.
        path: str, the file.

    Raises:
        ValueError: an asset belongs to no layer, or its layer refuses it.
    """
    grouped = {}
    for name, data in found.items():
        place, _, file_name = name.removeprefix(PREFIX).rpartition("/")
        grouped.setdefault(place, {})[file_name] = data
    for place, assets in grouped.items():
        if place not in layers:
            raise unreadable(path, f"its assets {clipped(sorted(assets))} belong to no layer")
        try:
            layers[place].set_assets(assets)
        except Exception as error:
            raise ValueError(
                f"The assets in '{path}' must suit the model's layers. Received: what layer "
                f"'{layers[place].name}' refuses ({type(error).__name__}: {clipped(error)})."
            ) from error
