"""Training and inference mode: set for one call, and taken from what a layer becomes a part of.

A new layer is in inference mode, as in Keras, unless it augments images. It keeps the mode that
somebody sets. Where nobody has set one, a layer goes by what it is part of: a layer of ours hands
down its own mode, and a plain torch module that of a torch module, which is training where it is
new.
"""

from torch.nn.modules.module import register_module_module_registration_hook

from torchkeras.core.scopes import SCOPE
from torchkeras.core.user_warnings import warn_user

_warned = []  # the name of the model that the warning of this process was about


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


class TrainingMode:
    """The part of a layer for its mode: who has set it, and where it comes from otherwise."""

    # Read from the class until set: most layers have neither, nor have those of old pickles.
    _mode_is_set = False  # somebody has called `train()` or `eval()`, or set `training`
    _in_torch_module = False  # part of a plain torch module, whose mode it has taken
    _trains_by_itself = False  # a layer that starts in training mode

    def train(self, mode=True):
        """Set training mode, or inference mode with `mode=False`, here and in all below.

        Example:

        >>> keras.layers.Dropout(0.5).train().training
        True
        """
        super().train(mode)
        self.__dict__["_mode_is_set"] = True
        return self

    def _hand_down_mode(self, child):
        """Let `child`, a module that becomes a part of this layer, take its mode."""
        if not isinstance(child, TrainingMode):
            take_mode(child, self.training)
        elif self.training and not (child.training or child._mode_is_set):
            # A layer that trains may be shared with its owner: it stays as it is.
            take_mode(child, True)

    def _join_torch_module(self, module):
        """Take the mode of a plain torch module that this layer becomes a part of."""
        if not self._mode_is_set:
            take_mode(self, module.training)
        for part in self.modules():
            if isinstance(part, TrainingMode):
                part.__dict__["_in_torch_module"] = True
        if self.built and not _warned:
            SCOPE.renew_tokens()  # a model that it is a part of looks at its parts once more

    def _shares_training_layer(self):
        """Whether a call in inference mode meets a layer that trains for a torch module."""
        return not self.training and any(
            isinstance(part, TrainingMode)
            and part.training
            and part._in_torch_module
            and not part._mode_is_set
            for part in self.modules()
        )

    def _warn_of_shared_layers(self):
        """Tell, once, of a layer that is part of a Keras model and of a torch module."""
        if not _warned and self._shares_training_layer():
            _warned.append(self.__dict__.get("name"))
            warn_user(
                f"'{_warned[0]}' is in inference mode, and layers of it train: they are part of a "
                "torch module, too, and have taken its mode, so that dropout and batch statistics "
                f"are on in this call. Say which you mean: '{_warned[0]}.eval()' for inference in "
                "both, `train()` for training, or `training=` for this call."
            )


def take_mode(module, training):
    """`module.train(training)`, where no user speaks: what somebody has set below it stays."""
    layers = [part for part in module.modules() if isinstance(part, TrainingMode)]
    chosen = [layer for layer in layers if layer._mode_is_set]
    kept = [(part, part.training) for layer in chosen for part in layer.modules()]
    module.train(training)
    for layer in layers:
        layer.__dict__.pop("_mode_is_set", None)
    for layer in chosen:
        layer.__dict__["_mode_is_set"] = True
    for part, flag in kept:
        part.__dict__["training"] = flag


def _is_container(module):
    """Whether a module is more than what torch itself puts around one to compile or export it."""
    place = type(module).__module__
    return not place.startswith("torch.") or place.startswith(("torch.nn.", "torch.distributed."))


def _on_registration(module, name, child):
    """What torch runs for every module that becomes part of another."""
    if isinstance(module, TrainingMode) or child is None or not _is_container(module):
        return
    while not _is_container(child) and len(child._modules) == 1:  # a compiled layer
        (child,) = child._modules.values()
    if isinstance(child, TrainingMode):
        child._join_torch_module(module)


register_module_module_registration_hook(_on_registration)
