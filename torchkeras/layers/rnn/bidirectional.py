"""Bidirectional: a recurrent layer that reads a sequence from both ends."""

import torch

from torchkeras.core import tree
from torchkeras.core.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    serialize_keras_object,
)
from torchkeras.layers.layer import Layer
from torchkeras.layers.masks import unmasked
from torchkeras.layers.spatial import choice_argument

_MERGES = {
    "concat": lambda forward, backward: torch.cat((forward, backward), dim=-1),
    "sum": torch.add,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "mul": torch.mul,
    None: lambda forward, backward: (forward, backward),
}


class Bidirectional(Layer):
    """Two recurrent layers, one of which reads the sequence backwards, and their outputs joined.

    With `return_sequences` the outputs of the backward layer are turned around first, so that both
    belong to the same step; and those of steps that the mask leaves out are zero.

    Args:
        layer: recurrent Layer, such as `LSTM`: one with `go_backwards`, `return_sequences`,
            `return_state` and `stateful`. Two layers are made from its config, with weights of
            their own, named `forward_...` and `backward_...`.
        merge_mode: how the outputs are joined: "concat" on the last axis, "sum", "ave" for the
            mean, "mul" for the product, or None for a tuple of both.
        weights: list of arrays for the weights, those of the forward layer first, or None.
        backward_layer: Layer to read backwards, in place of one made from `layer`; None for none.

    Call arguments:
        sequences: tensor `(batch, steps, features)`.
        initial_state: list of states, the first half for the forward layer; None for those the
            layers start with.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        training: bool, handed to the layers.

    Output shape:
        That of `layer`, with twice the size on the last axis for "concat". With its
        `return_state` a tuple of the output, or of both outputs, and the states of both layers.

    Raises:
        ValueError: `layer` or `backward_layer` is no such Layer; they read in the same direction,
            or differ in `return_sequences`, `return_state` or `stateful`; `merge_mode` is unknown.
        AttributeError: `reset_state` without `stateful`.

    Source: Schuster & Paliwal 1997, IEEE Transactions on Signal Processing 45(11).

    Example:

    >>> layer = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    >>> layer(torch.ones(2, 5, 3)).shape
    torch.Size([2, 5, 8])
    >>> layer.weights[0].path
    'bidirectional/forward_lstm/lstm_cell/kernel'
    """

    _makes_masks = False

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        _check_layer("layer", layer)
        if backward_layer is not None:
            _check_layer("backward_layer", backward_layer)
        if merge_mode is not None:
            choice_argument(merge_mode, "merge_mode", [mode for mode in _MERGES if mode])
        super().__init__(**kwargs)
        # Made anew, without the weights and states of `layer`.
        self.forward_layer = _remade(layer, "forward_")
        self.backward_layer = backward_layer
        if backward_layer is None:
            self.backward_layer = _remade(layer, "backward_", go_backwards=True)
        for made in (self.forward_layer, self.backward_layer):
            if hasattr(layer, "use_cudnn"):  # which no config has
                made.use_cudnn = layer.use_cudnn
            if getattr(made, "zero_output_for_mask", None) is not None:
                made.zero_output_for_mask = made.return_sequences
        self._check_directions()
        self.merge_mode = merge_mode
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = self.forward_layer.input_spec
        self._first_weights = weights

    def _check_directions(self):
        both = {"forward_layer": self.forward_layer, "backward_layer": self.backward_layer}
        for name, alike in (
            ("go_backwards", False),
            ("return_sequences", True),
            ("return_state", True),
            ("stateful", True),
        ):
            values = {side: getattr(layer, name) for side, layer in both.items()}
            if (len(set(values.values())) == 1) is not alike:
                given = ", ".join(f"{side}.{name}={value}" for side, value in values.items())
                which = "the same" if alike else "different"
                raise ValueError(
                    f"The forward and the backward layer must have {which} `{name}`. Received: "
                    f"{given}."
                )

    def build(self, sequences_shape, initial_state_shape=None):
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built or layer._built_from_config:
                layer.build(sequences_shape)
        if self._first_weights:
            half = len(self._first_weights) // 2
            self.forward_layer.set_weights(self._first_weights[:half])
            self.backward_layer.set_weights(self._first_weights[half:])

    def call(self, sequences, initial_state=None, mask=None, training=None):
        half = 0 if initial_state is None else len(initial_state) // 2
        results = []
        for layer, states in (
            (self.forward_layer, slice(None, half)),
            (self.backward_layer, slice(half, None)),
        ):
            spec, arguments = layer._spec_of_call(), {}
            if spec.takes_training:
                arguments["training"] = training
            if spec.takes_mask:
                arguments["mask"] = mask
            if initial_state is not None:
                arguments["initial_state"] = list(initial_state[states])
            results.append(layer(unmasked(sequences), **arguments))
        forward, backward = results
        states = ()
        if self.return_state:
            states = (*forward[1:], *backward[1:])
            forward, backward = forward[0], backward[0]
        dtype = self._compute_dtype
        forward, backward = (unmasked(y.to(dtype)) for y in (forward, backward))
        if self.return_sequences:
            backward = backward.flip(1)
        merged = _MERGES[self.merge_mode](forward, backward)
        if not self.return_state:
            return merged
        return (*merged, *states) if self.merge_mode is None else (merged, *states)

    @property
    def states(self):
        """Variables that stateful layers keep, a tuple, the forward layer's first; else None."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return (*forward, *backward) if forward and backward else None

    def reset_state(self):
        """Set the states of both layers to zero, where they are stateful."""
        if not self.stateful:
            raise AttributeError(
                f"Layer '{self.name}' has no states to reset: it is not stateful. Make its layer "
                "with stateful=True."
            )
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self):
        """`reset_state`, under its older name."""
        self.reset_state()

    def compute_mask(self, sequences, previous_mask):
        mask = tree.flatten(previous_mask)[0] if self.return_sequences else None
        masks = (mask, mask) if self.merge_mode is None else (mask,)
        if self.return_state:
            of_states = self.forward_layer.compute_mask(sequences, None)[1:]
            return (*masks, *of_states, *of_states)
        return masks if self.merge_mode is None else mask

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        output, states = self.forward_layer.compute_output_shape(sequences_shape), ()
        if self.return_state:
            output, *states = output
        outputs = (tuple(output),)
        if self.merge_mode is None:
            outputs *= 2
        elif self.merge_mode == "concat":
            outputs = ((*output[:-1], None if output[-1] is None else 2 * output[-1]),)
        if self.return_state:
            return (*outputs, *states, *states)
        return outputs if self.merge_mode is None else outputs[0]

    def get_config(self):
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialize_keras_object(self.forward_layer),
            "backward_layer": serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described.

        Args:
            config: dict.
            custom_objects: dict of names to classes or functions the config may name.
        """
        config = dict(config)
        for name in ("layer", "backward_layer"):
            if config.get(name) is not None:
                made = deserialize_keras_object(config[name], custom_objects=custom_objects)
                config[name] = made
        return super().from_config(config)


def _check_layer(name, layer):
    wanted = ("go_backwards", "return_sequences", "return_state", "stateful")
    if not isinstance(layer, Layer) or not all(hasattr(layer, each) for each in wanted):
        raise ValueError(
            f"`{name}` must be a recurrent layer, with the attributes {', '.join(wanted)}. "
            f"Received: {name}={layer!r} of type {type(layer).__name__}."
        )


def _remade(layer, prefix, **changes):
    """A layer of the same config, with the prefix before its name."""
    config = serialize_keras_object(layer)
    name = prefix + layer.name.removeprefix(prefix)
    config["config"] = {**config["config"], **changes, "name": name}
    classes = {type(part).__name__: type(part) for part in layer._flatten_layers()}
    with custom_object_scope(classes):
        return deserialize_keras_object(config)
