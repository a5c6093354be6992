"""read_sequence: a cell over all steps of a sequence, by the shortest way there is."""

import torch

from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.layers.layer import Layer


def read_sequence(
    cell,
    sequences,
    states,
    mask=None,
    training=False,
    all_outputs=False,
    zero_output=False,
    fuse=True,
):
    """Last output, all outputs and last states of a cell.

    Args:
        cell: cell as in `RNN`.
        sequences: tensor `(batch, steps, ...)`, in the order to be read.
        states: list of tensors, or of structures of them.
        mask: bool tensor `(batch, steps)`, False for steps to leave out; None for none.
        training: bool.
        all_outputs: bool, whether the second result is wanted; else it may be None.
        zero_output: bool, whether outputs of steps left out are zero, not those of the step
            before.
        fuse: bool, whether one call of torch may take the place of the loop.
    """
    if _is_split_stack(cell, sequences):
        return _read_stack(cell, sequences, states, mask, training, all_outputs, zero_output, fuse)
    if is_split(cell, sequences):
        if fuse:
            made = cell._fused(sequences, states, mask, training, zero_output)
            if made is not None:
                outputs, new_states = made
                last = new_states[0] if mask is None else outputs[:, -1]
                return last, outputs, new_states
        inputs, step = cell._over_steps(sequences, states, training)

        def read(x, states):
            states = step(x, *states)
            return states[0], states

        read_states = tuple(states)
    else:
        inputs, read_states = sequences.unbind(1), tuple(tree.flatten(states))
        read = _calls_of(cell, states, training)
    last, outputs, new_states = _loop(read, inputs, read_states, mask, all_outputs, zero_output)
    outputs = torch.stack(outputs, dim=1) if all_outputs else None
    return last, outputs, tree.pack_sequence_as(list(states), new_states)


def is_split(cell, sequences):
    """Whether a call of the cell is what its own parts compute, which can take all steps at once.

    Not so for a cell with a `call` of its own, or with something around its calls: hooks, losses,
    or another dtype.
    """
    return (
        getattr(getattr(type(cell), "call", None), "_is_projection_and_step", False)
        and cell._autocast_dtype is SCOPE.autocast
        and cell._compute_dtype is sequences.dtype
        and _is_bare(cell)
    )


def _is_bare(cell):
    """Whether a call of the cell is its `call` alone: no losses, no hooks."""
    hooks = cell._forward_hooks, cell._forward_pre_hooks
    hooks += cell._backward_hooks, cell._backward_pre_hooks
    return cell._activity_regularizer is None and not any(hooks)


def _is_split_stack(cell, sequences):
    return (
        getattr(getattr(type(cell), "call", None), "_is_stack", False)
        and all(is_split(each, sequences) for each in cell.cells)
        and _is_bare(cell)
    )


def _read_stack(stack, sequences, states, mask, training, all_outputs, zero_output, fuse):
    """One cell after the other over all steps, which comes to the same as step after step."""
    last, new_states = None, []
    for place, (cell, given) in enumerate(zip(stack.cells, states, strict=True)):
        nested, top = tree.is_nested(given), place == len(stack.cells) - 1
        last, sequences, new = read_sequence(
            cell,
            sequences,
            list(given) if nested else [given],
            mask,
            training,
            all_outputs or not top,
            zero_output and top,
            fuse,
        )
        new_states.append(new if nested else new[0])
    return last, sequences, new_states


def _calls_of(cell, states, training):
    """The function `(x, flat states) -> (output, flat states)` that calls the cell."""

    def read(x, flat):
        output, new = call_cell(cell, x, tree.pack_sequence_as(list(states), flat), training)
        return output, tree.flatten(new)

    return read


def call_cell(cell, inputs, states, training, **kwargs):
    """Output and new states of one step, of any object that is a cell."""
    if isinstance(cell, Layer) and cell._spec_of_call().takes_training:
        kwargs["training"] = training
    return (cell if callable(cell) else cell.call)(inputs, states, **kwargs)


def _loop(read, inputs, states, mask, all_outputs, zero_output):
    outputs = []
    if mask is None:
        for x in inputs:
            output, states = read(x, states)
            if all_outputs:
                outputs.append(output)
        return output, outputs, states
    output = None
    for x, here in zip(inputs, mask.unbind(1), strict=True):
        new, new_states = read(x, states)
        if output is None:
            blank = output = torch.zeros_like(new)
        output = _where(here, new, blank if zero_output else output)
        states = [_where(here, n, s) for n, s in zip(new_states, states, strict=True)]
        if all_outputs:
            outputs.append(output)
    return output, outputs, states


def _where(here, new, old):
    return torch.where(here.view(-1, *[1] * (new.dim() - 1)), new, old)
