"""Weights under other names, and with their axes in another order, than those of the model.

A map is a dict, or a function, from a name of the model's `state_dict` to the name in the file; or
to `(name, axes)`, where the file has `tensor.permute(axes)` of ours; or to None for a weight that
is not in the file.
"""

import json

from torchkeras.saving.messages import clipped


def torch_names(model):
    """The map to the names and orders of axes that layers of torch have, where they have those.

    `encoder.kernel` of a `Dense` is `encoder.weight` of a `torch.nn.Linear`, with axes `(1, 0)`. So
    for convolutions, whose channels come first in torch, and their transposes; `Embedding`; and
    normalization of batches, layers and groups. Other weights keep their names, and paths of layers
    are as they are here: rename these for the file at hand.

    Args:
        model: a built model or layer.

    Returns:
        dict of names to `(name, axes or None)`, for `names=` of `save_weights` and `load_weights`.

    Example:

    >>> dense = keras.layers.Dense(2, name="encoder")
    >>> model = keras.Sequential([keras.Input((3,)), dense])
    >>> keras.saving.torch_names(model)
    {'encoder.kernel': ('encoder.weight', (1, 0)), 'encoder.bias': ('encoder.bias', None)}
    """
    found = {}
    layers = dict(model.named_modules())
    for name in model.state_dict():
        path, _, last = name.rpartition(".")
        last, axes = _rules(layers[path]).get(last, (last, None))
        found[name] = (f"{path}.{last}" if path else last, axes)
    return found


def _rules(layer):
    from torchkeras import layers

    scaled = {"gamma": ("weight", None), "beta": ("bias", None)}
    moving = {"moving_mean": ("running_mean", None), "moving_variance": ("running_var", None)}
    channels_first = {1: (2, 1, 0), 2: (3, 2, 0, 1), 3: (4, 3, 0, 1, 2)}
    if isinstance(layer, layers.Dense):
        return {"kernel": ("weight", (1, 0))}
    for rank in (1, 2, 3):
        convolutions = (
            getattr(layers, f"Conv{rank}D"),
            getattr(layers, f"Conv{rank}DTranspose"),
        )
        if isinstance(layer, convolutions):
            return {"kernel": ("weight", channels_first[rank])}
    if isinstance(layer, layers.Embedding):
        return {"embeddings": ("weight", None)}
    if isinstance(layer, layers.BatchNormalization):
        return {**scaled, **moving}
    if isinstance(layer, (layers.LayerNormalization, layers.GroupNormalization)):
        return scaled
    return {}


def renamed_tensors(tensors, names, further=()):
    """Tensors of a model by the names that a map gives them, in its order of axes.

    Args:
        tensors: dict of the `state_dict`, shared tensors once.
        names: a map.
        further: names of tensors that stand under another one; the map may have them.
    """
    if isinstance(names, dict):
        names = {name: value for name, value in names.items() if name not in further}
    found = {}
    for name, (place, axes) in _resolved(tensors, names).items():
        if place is None:
            continue
        if place in found:
            raise ValueError(
                f"`names` must give each weight a name of its own. Received: {place!r} for "
                f"'{name}' and for another one. Let the map tell them apart."
            )
        _check_axes(name, axes, tensors[name].dim())
        tensor = tensors[name].detach()
        found[place] = tensor if axes is None else tensor.permute(axes)
    return found


def places_of(model, names, stored):
    """Where a reader finds the weights of a model.

    Returns:
        `{own name: (name in the file, axes)}`, and a set of own names that the file need not have.

    Args:
        model: a built model.
        names: a map.
        stored: list of the names in the file.
    """
    own, stored = model.state_dict(keep_vars=True), set(stored)
    resolved = _resolved(own, names, strict=False)
    for name, (_, axes) in resolved.items():
        _check_axes(name, axes, own[name].dim())
    places = {name: place for name, place in resolved.items() if place[0] in stored}
    return places, {name for name, (place, _) in resolved.items() if place is None}


def _resolved(tensors, names, strict=True):
    """`{own name: (name in the file or None, axes or None)}`."""
    if isinstance(names, dict):
        strange = [name for name in names if name not in tensors]
        lacking = [name for name in tensors if name not in names] if strict else []
        if strange or lacking:
            problem = f"'{strange[0]}', which is none" if strange else f"nothing for '{lacking[0]}'"
            raise ValueError(
                f"`names` must map the weights of the model. Received: {clipped(problem)}. They "
                f"are named as in its `state_dict`: {clipped(list(tensors)[:5])}, ..."
            )
        found = {name: names[name] for name in tensors if name in names}
    elif callable(names):
        found = {name: names(name) for name in tensors}
    else:
        raise TypeError(
            "`names` must be a dict or a function from names of weights to names in the file. "
            f"Received: names={names!r}."
        )
    return {name: _checked(name, value) for name, value in found.items()}


def _checked(name, value):
    place, axes = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, None)
    if not (place is None or isinstance(place, str)) or not (
        axes is None or isinstance(axes, (tuple, list))
    ):
        raise TypeError(
            "`names` must map to a name, to (name, axes), or to None. Received: "
            f"{value!r} for '{name}'."
        )
    return place, axes


def _check_axes(name, axes, rank):
    if axes is not None and sorted(axes) != list(range(rank)):
        raise ValueError(
            f"The axes of a weight are given as an order of them. Received: {tuple(axes)} for "
            f"'{name}', which has {rank}."
        )


class RenamedFile:
    """An open file of weights, under the names and in the order of axes of a model.

    Args:
        file: open file, as `safetensors_format` has them.
        places: dict of names to `(name in the file, axes or None)`.
        aliases: dict of further names to names.
    """

    def __init__(self, file, places, aliases=()):
        self._file, self._places, self._aliases = file, places, dict(aliases)

    def keys(self):
        return list(self._places)

    def metadata(self):
        return {"aliases": json.dumps(self._aliases)}

    def get_shape(self, name):
        place, axes = self._places[name]
        shape = self._file.get_shape(place)
        if axes is None or len(axes) != len(shape):
            return shape
        return tuple(shape[axis] for axis in _inverse(axes))

    def get_tensor(self, name):
        place, axes = self._places[name]
        tensor = self._file.get_tensor(place)
        return tensor if axes is None else tensor.permute(_inverse(axes))


def _inverse(axes):
    return sorted(range(len(axes)), key=list(axes).__getitem__)
