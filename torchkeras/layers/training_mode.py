"""The mode of a layer and all below it, set for one call."""


def set_training(module, training):
    """Set the flag of `module` and all below it.

    Args:
        module: torch.nn.Module.
        training: bool.

    Returns:
        The modules whose flag was the other one, for `restore_training`.

    Example:

    >>> layer = keras.layers.Dropout(0.5)
    >>> changed = set_training(layer, True)
    >>> restore_training(changed)
    >>> layer.training
    False
    """
    changed = []
    _set(module, training, changed)
    return changed


def _set(module, training, changed):
    if module.training is not training:
        changed.append(module)
        module.__dict__["training"] = training
    for child in module._modules.values():
        if child is not None:
            _set(child, training, changed)


def restore_training(changed):
    """Give the modules that `set_training` returned their former flag."""
    for module in changed:
        module.__dict__["training"] = not module.training
