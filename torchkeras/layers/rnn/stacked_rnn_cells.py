"""StackedRNNCells: several cells, one above the other, as one cell."""

import torch

from torchkeras.core import tree
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.call_spec import is_default
from torchkeras.layers.layer import Layer
from torchkeras.layers.rnn.steps import call_cell


class StackedRNNCells(Layer):
    """Several cells as one: at each step a cell reads the output of the one below it.

    `keras.layers.RNN` makes one of a list of cells.

    Args:
        cells: list of cells, the first one lowest; see `keras.layers.RNN`.

    Attributes:
        state_size: list of the cells' own.
        output_size: that of the last one.

    Call arguments:
        inputs: tensor, the input of the first cell.
        states: list of the states of each cell.
        training: bool, whether dropout is active.

    Output shape:
        That of the last cell; and a list of the new states of each.

    Raises:
        ValueError: there is no cell, or one has no `call` or no `state_size`.

    Example:

    >>> cell = keras.layers.StackedRNNCells([keras.layers.LSTMCell(4), keras.layers.GRUCell(3)])
    >>> cell.state_size, cell.output_size
    ([[4, 4], 3], 3)
    >>> keras.layers.RNN(cell)(torch.ones(2, 5, 6)).shape
    torch.Size([2, 3])
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        check_cells(cells)
        self.cells = list(cells)

    @property
    def state_size(self):
        """Sizes of the states of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self):
        """Size of the output of the last cell."""
        return output_size_of(self.cells[-1])

    def build(self, input_shape):
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                build_cell(cell, input_shape)
            input_shape = (input_shape[0], output_size_of(cell))

    def call(self, inputs, states, training=False, **kwargs):
        new_states = []
        for cell, given in zip(self.cells, states, strict=True):
            nested = tree.is_nested(given)
            inputs, new = call_cell(
                cell, inputs, list(given) if nested else [given], training, **kwargs
            )
            if not nested and tree.is_nested(new):
                (new,) = new
            new_states.append(new)
        return inputs, new_states

    call._is_stack = True

    def get_initial_state(self, batch_size=None):
        """The states before the first step, a list of those of each cell.

        Args:
            batch_size: int.
        """
        return [initial_state_of(cell, batch_size, self._compute_dtype) for cell in self.cells]

    def get_config(self):
        cells = [serialize_keras_object(cell) for cell in self.cells]
        return {**super().get_config(), "cells": cells}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer that `get_config` described.

        Args:
            config: dict.
            custom_objects: dict of names to classes or functions the config may name.
        """
        config = dict(config)
        config["cells"] = [
            deserialize_keras_object(cell, custom_objects=custom_objects)
            for cell in config["cells"]
        ]
        return super().from_config(config)


def check_cells(cells):
    """ValueError unless every one of `cells` has a `call` and a `state_size`."""
    if not cells:
        raise ValueError(f"At least one cell is needed. Received: cells={cells!r}.")
    for cell in cells:
        for name in ("call", "state_size"):
            if name not in dir(cell):
                raise ValueError(
                    f"A cell of a recurrent layer must have `{name}`: `call(inputs, states)` gives "
                    "the output and the new states of one step, and `state_size` is an int, or a "
                    f"list of one for each state. Received: cell={cell!r} without it."
                )


def output_size_of(cell):
    """Size of a cell's output: what it says, else that of its first state."""
    size = getattr(cell, "output_size", None)
    if size is not None:
        return size
    return cell.state_size[0] if tree.is_nested(cell.state_size) else cell.state_size


def initial_state_of(cell, batch_size, dtype):
    """The states of a cell before its first step: what it says, else zeros.

    Args:
        cell: cell.
        batch_size: int.
        dtype: torch dtype of the zeros.
    """
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(batch_size=batch_size)
    return tree.map_structure(
        lambda size: torch.zeros(batch_size, size, dtype=dtype), cell.state_size
    )


def build_cell(cell, step_shape):
    """Build a cell, and the layers in it where it leaves that to its first call.

    Args:
        cell: Layer.
        step_shape: tuple, shape of the input of one step.
    """

    if is_default(type(cell).build) and any(
        not part.built for part in cell._flatten_layers(include_self=False)
    ):
        dtype = cell.compute_dtype
        states = tree.map_structure(
            lambda size: KerasTensor((step_shape[0], size), dtype), cell.state_size
        )
        states = states if tree.is_nested(states) else [states]
        cell.compute_output_spec(KerasTensor(step_shape, dtype), states)
    cell.build(step_shape)
