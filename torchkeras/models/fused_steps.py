"""Steps of a graph that run as one: a Dense and the Dropout that alone takes its output."""

from collections import Counter

from torch.nn.modules import module as torch_module

from torchkeras.core.scopes import SCOPE, autocast_scope
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
    calls = Counter(node.operation for node in steps)
    pairs = {}
    for node in steps:
        if type(node.operation) is not Dense or id(node.outputs[0]) in kept:
            continue
        follow = readers.get(id(node.outputs[0]), ())
        if len(follow) == 1 and can_fuse(node, follow[0]):
            # A shared Dropout must draw in the order of its calls, and a pair runs earlier.
            if calls[follow[0].operation] == 1:
                pairs[node] = follow[0]
    return pairs


def can_fuse(first, second):
    """Whether two calls, of which the second alone takes what the first makes, may run as one."""
    # Exactly these classes: a subclass may do something else in `call`.
    if type(first.operation) is not Dense or type(second.operation) is not Dropout:
        return False
    return len(second.args) == 1 and not second.kwargs


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
        if not kwargs and self._is_ready(args[0]):
            try:
                if dense._fast.token is SCOPE.fast_token:
                    return dense.call_with_dropout(args[0], dropout.rate, dropout.seed_generator)
                x = dense._convert(args[0])
                with autocast_scope(dense._autocast_dtype):
                    return dense.call_with_dropout(x, dropout.rate, dropout.seed_generator)
            except Exception as error:
                dense._note_error(error, args, kwargs)
                raise
        return dropout(dense(*args, **kwargs))

    def _is_ready(self, x):
        # From the dicts: a read of an attribute costs twice as much, and there are many.
        first, second, token = self.dense.__dict__, self.dropout.__dict__, SCOPE.fast_token
        fast = first["_fast"]
        return (
            second["training"]
            and second["rate"]
            and (
                fast.accepts(x)
                if fast.token is token
                # In mixed precision each layer opens a scope of its dtype, and casts its input.
                else fast.token is SCOPE.token(first["_autocast_dtype"]) and fast.accepts_uncast(x)
            )
            and second["_fast"].token is fast.token
            and first["_compute_dtype"] is second["_input_torch_dtype"]
            and second["noise_shape"] is None
            and not _is_watched(first)
            and not _is_watched(second)
            and not _all_are_watched()
        )


def _is_watched(state):
    """Whether a call of a module would do anything else than `forward` as its class has it."""
    return (
        state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
        or state.get("_compiled_call_impl") is not None
        or "forward" in state  # as some libraries set it, to run code around it
        or "call" in state
    )


def _all_are_watched():
    """Whether there are hooks on all modules."""
    return (
        torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )
