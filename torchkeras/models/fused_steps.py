"""Steps of a graph that run as one: a Dense and the Dropout that alone takes its output."""

import torch
from torch.nn.modules import module as torch_module

from torchkeras.core.scopes import SCOPE
from torchkeras.layers.core.dense import Dense
from torchkeras.layers.regularization.dropout import Dropout


def fused_pairs(steps, kept):
    """Which steps of a graph can run together with a later one.

    Args:
        steps: Nodes in the order in which they run.
        kept: ids of the symbols that somebody else reads: the graph's inputs and outputs.

    Returns:
        dict of the Node of a Dense to the Node of the Dropout after it.
    """
    readers = {}
    for node in steps:
        for symbol in node.input_tensors:
            readers.setdefault(id(symbol), []).append(node)
    pairs = {}
    for node in steps:
        # Exactly these classes: a subclass may do something else in `call`.
        if type(node.operation) is not Dense or id(node.outputs[0]) in kept:
            continue
        follow = readers.get(id(node.outputs[0]), ())
        if len(follow) == 1 and type(follow[0].operation) is Dropout and _takes_only(follow[0]):
            pairs[node] = follow[0]
    return pairs


def _takes_only(node):
    return len(node.args) == 1 and not node.kwargs and id(node.outputs[0]) != id(node.args[0])


class DenseDropout:
    """Calls a Dense and then a Dropout, by one operation where nobody could tell.

    Both stay as they are: what watches one of them (a hook, a mask, an activity regularizer, a
    layer that is not ready for its fast path) makes this two calls.

    Args:
        dense: Dense.
        dropout: Dropout.
    """

    def __init__(self, dense, dropout):
        self.dense = dense
        self.dropout = dropout

    def __call__(self, *args, **kwargs):
        dense, dropout = self.dense, self.dropout
        if (
            dropout.training
            and dropout.rate
            and not kwargs
            and self._is_ready(args[0], SCOPE.fast_token)
            and not (_has_hooks(dense) or _has_hooks(dropout))
        ):
            try:
                return dense.call_with_dropout(args[0], dropout.rate, dropout.seed_generator)
            except Exception as error:
                dense._note_error(error, args, kwargs)
                raise
        return dropout(dense(*args, **kwargs))

    def _is_ready(self, x, token):
        dense, dropout = self.dense, self.dropout
        return (
            type(x) is torch.Tensor
            and dense._fast is token
            and dropout._fast is token
            and x.dtype is dense._input_torch_dtype
            and dense._compute_dtype is dropout._input_torch_dtype
            and dropout.noise_shape is None
            and dense._fast_check(x)
            and not hasattr(x, "_keras_mask")
        )


def _has_hooks(layer):
    """Whether `nn.Module.__call__` would do more than call `forward`."""
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or layer._compiled_call_impl is not None
        or torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )
