"""RNN: a recurrent layer over any cell."""

import torch

from torchkeras.core import config, tree
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.layer import Layer
from torchkeras.layers.rnn.recurrent_cell import RecurrentCell
from torchkeras.layers.rnn.stacked_rnn_cells import (
    StackedRNNCells,
    build_cell,
    check_cells,
    initial_state_of,
    output_size_of,
)
from torchkeras.layers.rnn.steps import read_sequence


class RNN(Layer):
    """A recurrent layer: a cell, applied to each step of a sequence and to what it left behind.

    A cell has `call(inputs, states)`, which gives the output and the list of new states of one
    step, and `state_size`, an int, or a list of one for each state. It may have `output_size`, an
    int, which is else the first state's; `get_initial_state(batch_size)`, for states that do not
    start at zero; and an argument `training` of `call`. Most cells are layers.

    A step that the mask leaves out keeps the states, and its output is that of the step before,
    zero at the start.

    Args:
        cell: cell, or list of cells, which are stacked.
        return_sequences: bool, whether the outputs of all steps are returned, not the last alone.
        return_state: bool, whether the last states are returned after the output.
        go_backwards: bool, whether the last step is read first; outputs come in the order read.
        stateful: bool, whether a batch starts with the states in which the last one ended. All
            batches then have the same size.
        unroll: bool, whether the steps are computed one by one where one call of torch could
            compute them all.
        zero_output_for_mask: bool, whether the outputs of steps left out are zero instead.

    Call arguments:
        sequences: tensor `(batch, steps, ...)`.
        initial_state: list of the states before the first step, a single one also by itself; None
            for the cell's own, or for the states kept by a stateful layer.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        training: bool, handed to the cell if it takes it.

    Output shape:
        `(batch, output_size)`, or `(batch, steps, output_size)` with `return_sequences`. With
        `return_state` a tuple of it and the states, each `(batch, size)`; those of stacked cells
        are in a list for each cell.

    Raises:
        ValueError: the cell has no `call` or no `state_size`; a stateful layer is built without a
            known batch size, or gets another; `initial_state` does not fit; there are no steps.

    Example:

    >>> class Sums(keras.layers.Layer):
    ...     state_size = 3
    ...     def call(self, inputs, states):
    ...         total = inputs + states[0]
    ...         return total, [total]
    >>> keras.layers.RNN(Sums(), return_sequences=True)(torch.ones(1, 2, 3))
    tensor([[[1., 1., 1.],
             [2., 2., 2.]]])
    """

    _makes_masks = False
    _plain_attributes = Layer._plain_attributes | {"_states_like"}
    use_cudnn = "auto"

    def __init__(
        self,
        cell,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        **kwargs,
    ):
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        check_cells([cell])
        sizes = tree.flatten(cell.state_size)
        if not all(isinstance(size, int) for size in sizes):
            raise ValueError(
                "`state_size` of a cell must be an int, or a list of them, one for each state. "
                f"Received: state_size={cell.state_size!r} of cell={cell!r}."
            )
        super().__init__(**kwargs)
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.single_state = isinstance(cell.state_size, int)
        self.state_size = [cell.state_size] if self.single_state else list(cell.state_size)
        self.supports_masking = True
        self._kept_states = None  # variables, without their nesting
        self._states_like = None  # which is that of this

    def build(self, sequences_shape, initial_state_shape=None):
        cell, step_shape = self.cell, (sequences_shape[0], *sequences_shape[2:])
        if isinstance(cell, Layer) and not cell.built:
            build_cell(cell, step_shape)
        if not self.stateful:
            return
        if sequences_shape[0] is None:
            raise ValueError(
                f"Layer '{self.name}' is stateful and needs the batch size. Received: input_shape="
                f"{sequences_shape}. Give it in Input(batch_shape=...), or call the layer on data "
                "first."
            )
        states = self.get_initial_state(sequences_shape[0])
        self._states_like = tree.map_structure(lambda state: 0, states)
        self._kept_states = [
            self.add_state(
                tuple(state.shape),
                initializer=lambda shape, dtype=None, state=state: state.detach().clone(),
                name="rnn_state",
            )
            for state in tree.flatten(states)
        ]

    @property
    def states(self):
        """Variables that a stateful layer keeps, in a list nested as the cell's; else None."""
        if self._kept_states is None:
            return None
        return tree.pack_sequence_as(self._states_like, self._kept_states)

    def get_initial_state(self, batch_size):
        """The states before the first step, a list.

        Args:
            batch_size: int.
        """
        state = initial_state_of(self.cell, batch_size, self._compute_dtype)
        return list(state) if tree.is_nested(state) else [state]

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if sequences.shape[1] == 0:
            raise ValueError(
                f"Layer '{self.name}' reads sequences of at least one step. Received: sequences of "
                f"shape {tuple(sequences.shape)}."
            )
        if not sequences.is_floating_point():  # integers come as they are
            sequences = sequences.to(self._compute_dtype)
        states = self._first_states(sequences, initial_state)
        mask = tree.flatten(mask)[0]
        if mask is not None:
            mask = mask.flatten(1) if mask.dim() > 2 else mask  # also `(batch, steps, 1)`
            mask = mask if mask.dtype is torch.bool else mask.bool()
        if self.go_backwards:
            sequences = sequences.flip(1)
            mask = None if mask is None else mask.flip(1)
        self._reset_dropout_masks(self.cell)
        last, outputs, states = read_sequence(
            self.cell,
            sequences,
            states,
            mask,
            training,
            all_outputs=self.return_sequences,
            zero_output=self.zero_output_for_mask,
            fuse=self.use_cudnn is not False and not self.unroll,
        )
        self._reset_dropout_masks(self.cell)
        if self.stateful:
            for variable, state in zip(self._kept_states, tree.flatten(states), strict=True):
                variable.assign(state)
        output = self._in_compute_dtype(outputs if self.return_sequences else last)
        if not self.return_state:
            return output
        return (output, *tree.map_structure(self._in_compute_dtype, states))

    def _in_compute_dtype(self, x):
        return x if x.dtype is self._compute_dtype else x.to(self._compute_dtype)

    def _reset_dropout_masks(self, cell):
        for each in getattr(cell, "cells", ()):
            self._reset_dropout_masks(each)
        for name in ("reset_dropout_mask", "reset_recurrent_dropout_mask"):
            if hasattr(cell, name):
                getattr(cell, name)()

    def _first_states(self, sequences, initial_state):
        batch = sequences.shape[0]
        if self.stateful and self._kept_states[0].shape[0] != batch:
            raise ValueError(
                f"Layer '{self.name}' is stateful and takes batches of "
                f"{self._kept_states[0].shape[0]} sequences. Received: {batch} sequences."
            )
        cell = self.cell
        dtype = cell._compute_dtype if isinstance(cell, Layer) else self._compute_dtype
        if initial_state is not None:
            self._check_states(initial_state, batch)
            states = initial_state if tree.is_nested(initial_state) else [initial_state]
            states = tree.pack_sequence_as(self.state_size, tree.flatten(states))
        elif self.stateful:  # copies, for the states are written to before the backward pass
            kept = [state.value.to(dtype, copy=True) for state in self._kept_states]
            return tree.pack_sequence_as(self._states_like, kept)
        elif isinstance(cell, RecurrentCell):  # which has them where its weights are
            states = self.get_initial_state(batch)
        else:
            with config.device(sequences.device):
                states = self.get_initial_state(batch)
        return tree.map_structure(lambda x: x.to(sequences.device, dtype), states)

    def _check_states(self, initial_state, batch):
        given, shapes = tree.flatten(initial_state), self._state_shapes(batch)
        fits = len(given) == len(shapes) and all(
            tuple(state.shape) == shape for state, shape in zip(given, shapes, strict=True)
        )
        if not fits:
            raise ValueError(
                f"`initial_state` of layer '{self.name}' must be a list of tensors of the shapes "
                f"{shapes}. Received: shapes {[tuple(state.shape) for state in given]}."
            )

    def _state_shapes(self, batch):
        """Shapes of the states, in a list without nesting."""
        return [(batch, size) for size in tree.flatten(self.state_size)]

    def reset_state(self):
        """Set the states of a stateful layer to zero."""
        for state in self._kept_states or ():
            state.assign(torch.zeros_like(state.value))

    def reset_states(self):
        """`reset_state`, under its older name."""
        self.reset_state()

    def compute_mask(self, sequences, previous_mask):
        mask = tree.flatten(previous_mask)[0] if self.return_sequences else None
        return [mask, *[None for _ in self.state_size]] if self.return_state else mask

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        batch, steps = sequences_shape[:2]
        size = output_size_of(self.cell)
        if not isinstance(size, int):
            raise ValueError(
                f"`output_size` of a cell must be an int. Received: output_size={size!r} of "
                f"cell={self.cell!r}."
            )
        output = (batch, steps, size) if self.return_sequences else (batch, size)
        if not self.return_state:
            return output
        return (output, *tree.map_structure(lambda size: (batch, size), self.state_size))

    def get_config(self):
        cell = serialize_keras_object(self.cell)
        return {**super().get_config(), **self._reading_config(), "cell": cell}

    def _reading_config(self):
        return {
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described.

        Args:
            config: dict.
            custom_objects: dict of names to classes or functions the config may name.
        """
        config = dict(config)
        if "cell" in config:
            config["cell"] = deserialize_keras_object(config["cell"], custom_objects=custom_objects)
        return super().from_config(config)
