"""LayerLosses: the losses that a layer adds while it computes."""

import torch

from torchkeras import regularizers
from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.layers.fast_path import UNSETTLED


class LayerLosses:
    """The part of Layer for `add_loss`, activity regularizers and regularizers of weights.

    Losses are kept until the next outermost call. In a stateless call they go to its scope, and
    while shapes are inferred nowhere.
    """

    def add_loss(self, loss):
        """Add to the losses of this call a scalar, or a list of scalars, made in `call`.

        `fit` adds them to the loss it minimizes. They are kept until the next call.

        Example:

        >>> class Penalty(keras.layers.Layer):
        ...     def call(self, x):
        ...         self.add_loss(x.abs().mean())
        ...         return x
        >>> layer = Penalty()
        >>> _ = layer(torch.ones(2))
        >>> layer.losses
        [tensor(1.)]
        """
        losses = tree.flatten(loss)
        for value in losses:
            if callable(value):
                raise ValueError(
                    "`add_loss` takes scalar tensors made in `call`. Received: the function "
                    f"{value!r}. Pass its result."
                )
        scope = SCOPE.stateless
        if scope is None or SCOPE.meta:
            self._note_added_loss()
        if SCOPE.meta:
            return
        if scope is None:
            self._losses.extend(losses)
        elif scope.collect_losses:
            for value in losses:
                scope.add_loss(value)

    def _note_added_loss(self):
        if not self._adds_losses:
            self._adds_losses = True
            SCOPE.renew_tokens()

    def _add_activity_losses(self, outputs):
        for output in tree.flatten(outputs):
            if isinstance(output, torch.Tensor):
                loss = self._activity_regularizer(output)
                batch = output.shape[0] if output.dim() else 1
                self.add_loss(loss / max(batch, 1))

    def _clear_losses(self):
        for layer in self._flatten_layers():
            if layer._adds_losses:
                # A new list: a compiled call must not depend on the tensors in the old one.
                layer._losses = []

    @property
    def activity_regularizer(self):
        """Regularizer of the output, or None; it may be set, by name or instance."""
        return self._activity_regularizer

    @activity_regularizer.setter
    def activity_regularizer(self, value):
        self._activity_regularizer = regularizers.get(value)
        self._fast = UNSETTLED

    @property
    def losses(self):
        """Scalars added by `add_loss` and activity regularizers in the last call, and the
        regularization of every trainable weight."""
        if SCOPE.stateless is not None:
            losses = list(SCOPE.stateless.losses)
        else:
            losses = [loss for layer in self._flatten_layers() for loss in layer._losses]
        for weight in self.trainable_weights:
            for variable in weight._holders():
                if variable.regularizer is not None:
                    losses.append(variable.regularizer(variable.value))
        return losses
