"""StatelessUse: a layer called with given values for its variables, as JAX calls functions."""

import torch

from torchkeras.core.scopes import StatelessScope


class StatelessUse:
    """The part of Layer for `stateless_call`."""

    def stateless_call(
        self,
        trainable_variables,
        non_trainable_variables,
        *args,
        return_losses=False,
        **kwargs,
    ):
        """Call the layer with these values for its variables, changing nothing.

        Args:
            trainable_variables: tensors for `self.trainable_variables`.
            non_trainable_variables: tensors for `self.non_trainable_variables`.
            *args, **kwargs: arguments of the call.
            return_losses: bool, whether to return the losses of the call too.

        Returns:
            `(outputs, new_non_trainable_variables)`, then the losses where asked for.

        Raises:
            ValueError: the layer is not built, or the number of values is wrong.

        Example:

        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> outputs, state = layer.stateless_call(
        ...     [torch.ones(3, 2), torch.zeros(2)], [], torch.ones(1, 3)
        ... )
        >>> outputs
        tensor([[3., 3.]])
        """
        self._check_initialized()
        if not self.built:
            raise ValueError(
                f"Layer '{self.name}' must be built before a stateless call. Received: an unbuilt "
                "layer. Call `build(input_shape)` first."
            )
        trainable, others = self.trainable_variables, self.non_trainable_variables
        for name, own, given in (
            ("trainable_variables", trainable, trainable_variables),
            ("non_trainable_variables", others, non_trainable_variables),
        ):
            if len(own) != len(given):
                raise ValueError(
                    f"Layer '{self.name}' has {len(own)} {name}. Received: {len(given)} values."
                )
        state = [_own_copy(*pair) for pair in zip(others, non_trainable_variables, strict=True)]
        mapping = [*zip(trainable, trainable_variables, strict=True)]
        mapping += zip(others, state, strict=True)
        with StatelessScope(mapping, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            if return_losses:
                losses = self.losses
        state = [scope.get_current_value(variable) for variable in others]
        return (outputs, state, losses) if return_losses else (outputs, state)


def _own_copy(variable, tensor):
    # A plain torch module updates its buffers in place; that must not reach the caller's tensor.
    return tensor.clone() if variable.foreign and isinstance(tensor, torch.Tensor) else tensor
