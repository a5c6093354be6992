"""mark_built: layers without state are ready as soon as they are made."""

from torchkeras.layers.layer import Layer


def mark_built(layer):
    """Mark a layer that has no weights as built, at the end of its `__init__`.

    A subclass that overrides `build` is left alone, so that its `build` runs at the first call.

    Args:
        layer: Layer whose `__init__` has set all its attributes.

    Example:

    >>> keras.layers.Identity().built
    True
    """
    if type(layer).build is Layer.build:
        layer._finish_build({})
