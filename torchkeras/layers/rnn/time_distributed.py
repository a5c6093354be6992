"""TimeDistributed: a layer applied to every step of a sequence."""

import torch

from torchkeras.core import tree
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.call_spec import call_spec
from torchkeras.layers.core.lambda_layer import Lambda
from torchkeras.layers.core.wrapper import Wrapper
from torchkeras.layers.layer import Layer
from torchkeras.layers.masks import any_mask, mask_of, put_masks


class TimeDistributed(Wrapper):
    """Applies a layer to each step along axis 1, with the same weights.

    Steps and samples go through the layer in one call, as one long batch, wherever that gives
    what a call for each step gives: for layers of this library that treat each sample by itself.
    Batch normalization in training, stateful layers, and layers and functions of your own see
    one step after the other.

    Args:
        layer: Layer.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: tensor `(batch, steps, ...)`, or structure of such tensors.
        training: bool, see Layer.
        mask: boolean tensor `(batch, steps, ...)`; a layer that takes a mask gets that of its step.

    Input shape: `(batch, steps, ...)`, of three axes or more.
    Output shape: `(batch, steps, ...)`, the rest as the layer gives it.

    Raises:
        ValueError: `layer` is none, the input has fewer than three axes, or the mask belongs to
            other samples or steps.

    Source:
        As Keras, which calls the layer once for each step, and leaves out an
        `activity_regularizer` of it; here that counts.

    Example:

    >>> layer = keras.layers.TimeDistributed(keras.layers.Conv2D(4, 3))
    >>> layer(torch.ones(2, 5, 8, 8, 3)).shape
    torch.Size([2, 5, 6, 6, 4])
    """

    _plain_attributes = Wrapper._plain_attributes | {"_mixes"}

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        super().build(tree.map_shape_structure(_shape_of_step, input_shape))
        self._mixes = {mode: _mixes_samples(self.layer, mode) for mode in (False, True)}

    def compute_output_shape(self, input_shape):
        steps = tree.map_shape_structure(_shape_of_step, input_shape)
        first = _first_shape(input_shape)
        return tree.map_shape_structure(
            lambda shape: (shape[0], first[1], *shape[1:]), self.layer.compute_output_shape(steps)
        )

    def compute_output_spec(self, inputs, training=None, mask=None):
        first = tree.flatten(inputs)[0]
        steps = tree.map_structure(lambda x: KerasTensor(_shape_of_step(x.shape), x.dtype), inputs)
        outputs = tree.map_structure(
            lambda y: KerasTensor((y.shape[0], first.shape[1], *y.shape[1:]), y.dtype),
            self.layer.compute_output_spec(steps),
        )
        mask = mask_of(inputs) if mask is None else mask
        if any_mask(mask):
            put_masks(tree.flatten(outputs), mask)
        return outputs

    def call(self, inputs, training=None, mask=None):
        shape = tree.flatten(inputs)[0].shape
        takes_mask = call_spec(type(self.layer).call).takes_mask
        if mask is not None:
            masks = [m for m in tree.flatten(mask) if m is not None]
            for part in masks:
                self._check_mask(tuple(part.shape), tuple(shape))
        kwargs = {"mask": mask} if takes_mask and any_mask(mask) else {}
        if self._mixes[self.training] and shape[1]:
            outputs = [self._step(index, inputs, kwargs) for index in range(shape[1])]
            return tree.map_structure(lambda *steps: torch.stack(steps, 1), *outputs)

        def joined(x):
            return x.flatten(0, 1)

        outputs = self.layer(_each(joined, inputs), **_each(joined, kwargs))
        return tree.map_structure(lambda y: y.unflatten(0, shape[:2]), outputs)

    def _step(self, index, inputs, kwargs):
        def step_of(x):
            return x[:, index]

        return self.layer(_each(step_of, inputs), **_each(step_of, kwargs))

    def _check_mask(self, mask_shape, shape):
        if len(mask_shape) < 2 or mask_shape[:2] != shape[:2]:
            raise ValueError(
                f"The mask of layer '{self.name}' must begin with the samples and steps of the "
                f"input, {shape[:2]}. Received: a mask of shape {mask_shape} for inputs of shape "
                f"{shape}."
            )


def _each(function, structure):
    """`function` of all tensors of a structure, without the masks that ride on them."""
    return tree.map_structure(lambda x: None if x is None else function(x), structure)


def _first_shape(shape):
    found = []
    tree.map_shape_structure(found.append, shape)
    return found[0]


def _shape_of_step(shape):
    if len(shape) < 3:
        raise ValueError(
            "TimeDistributed takes inputs of three axes or more, (batch, steps, ...). Received: "
            f"an input of shape {tuple(shape)}."
        )
    return (shape[0], *shape[2:])


def _mixes_samples(layer, training):
    """Whether a call with more samples may be something else than several calls."""
    for module in layer.modules():
        if not type(module).__module__.startswith(("torchkeras.", "torch.nn.")):
            return True
        if isinstance(module, Lambda) or getattr(module, "stateful", False):
            return True
        # A function in a functional model may reach over the samples.
        if any(not isinstance(op, Layer) for op in getattr(module, "operations", ())):
            return True
        # What a call in training updates: moving averages and the like.
        if training and set(module._buffers) - module._non_persistent_buffers_set:
            return True
    return False
