"""RematScope and `remat`: what the backward pass needs is computed once more, instead of kept.

Also known as activation checkpointing. It rests on `torch.utils.checkpoint`; what that does not
know of, and a second run must find as the first one did, is kept here: modes of layers, running
statistics, masks, the values of a stateless call, the scopes of the thread.
"""

import contextlib
import functools
from collections import namedtuple

import torch
from torch.utils.checkpoint import checkpoint

from torchkeras.core.arguments import any_symbolic, leaves_of
from torchkeras.core.scopes import SCOPE, StatelessScope, autocast_scope

_MODES = ("full", "activations", "larger_than", "list_of_layers", None)

RematMode = namedtuple("RematMode", ["mode", "output_size_threshold", "layer_names"])


class RematScope:
    """Layers and operations made inside recompute in the backward pass what they need there.

    Memory for computation: of a layer that recomputes, only the input is kept for the backward
    pass. The scope matters where a layer is made, and not where it is called. Outputs and
    gradients are those of other layers; the second run draws the same random numbers, and
    running statistics are updated once.

    Of nested layers the outermost recomputes, with all inside. Models are no layers in this
    sense: theirs recompute, each for itself. The first call of a layer, which makes its weights,
    keeps everything.

    Args:
        mode: which of the layers and operations recompute. `"full"`: all. `"activations"`: of
            layers with an `activation`, that function. `"larger_than"`: those whose outputs
            have more elements than the threshold. `"list_of_layers"`: those named in
            `layer_names`. None: none, inside another scope too.
        output_size_threshold: int, number of elements, the batch counted.
        layer_names: list of names of layers.

    Raises:
        ValueError: `mode` is none of these.

    Source: Chen et al. 2016, arXiv:1604.06174.

    Example:

    >>> with keras.RematScope("full"):
    ...     layer = keras.layers.Dense(64, activation="gelu")
    >>> layer(torch.ones(2, 3)).shape
    torch.Size([2, 64])
    """

    def __init__(self, mode="full", output_size_threshold=1024, layer_names=None):
        if mode not in _MODES:
            raise ValueError(
                f"`mode` must be one of {', '.join(map(repr, _MODES))}. Received: mode={mode!r}."
            )
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self):
        mode = None
        if self.mode is not None:
            mode = RematMode(self.mode, self.output_size_threshold, tuple(self.layer_names))
        SCOPE.remat = (*SCOPE.remat, mode)
        return self

    def __exit__(self, *exc):
        SCOPE.remat = SCOPE.remat[:-1]


def remat(f):
    """A function that gives what `f` gives, and computes it once more in the backward pass.

    Args:
        f: function of tensors, layer, or method of one.

    Returns:
        The function. Without gradients, or called on symbols, it simply calls `f`.

    Example:

    >>> x = torch.tensor([0.0], requires_grad=True)
    >>> keras.remat(torch.sigmoid)(x).backward()
    >>> x.grad
    tensor([0.2500])
    """
    owner = f if isinstance(f, torch.nn.Module) else getattr(f, "__self__", None)
    owner = owner if isinstance(owner, torch.nn.Module) else None

    def recomputing(*args, **kwargs):
        return recomputed(f, owner, args, kwargs)

    return functools.update_wrapper(recomputing, f, updated=())


def recomputing_call(operation):
    """The `call` of an operation made in a RematScope, as the scope wants it."""
    mode, call = operation._remat_mode, operation.call
    module = operation if isinstance(operation, torch.nn.Module) else None
    recomputing = functools.partial(_recomputed_by_arguments, call, module)
    if mode.mode == "activations":
        if getattr(operation, "activation", None) is None:
            return call
        return functools.partial(_call_with_activation_recomputed, operation)
    if mode.mode == "list_of_layers":
        return recomputing if operation.name in mode.layer_names else call
    if not operation._recomputes_whole:
        return call
    if mode.mode == "larger_than":
        return functools.partial(_call_by_size, operation, mode.output_size_threshold, recomputing)
    return recomputing


def _recomputed_by_arguments(function, module, *args, **kwargs):
    return recomputed(function, module, args, kwargs)


def _call_by_size(operation, threshold, recomputing, *args, **kwargs):
    if SCOPE.meta or SCOPE.spec or SCOPE.recomputes or not torch.is_grad_enabled():
        return operation.call(*args, **kwargs)
    large = operation._output_size(args, kwargs) > threshold
    return (recomputing if large else operation.call)(*args, **kwargs)


def _call_with_activation_recomputed(operation, *args, **kwargs):
    # Under the layer's own attribute, and without a word to it: it is back after the call.
    state, name = operation.__dict__, "activation"
    before, was_there = getattr(operation, name), name in state
    state[name] = remat(before)
    try:
        return operation.call(*args, **kwargs)
    finally:
        if was_there:
            state[name] = before
        else:  # it is a layer, which torch keeps elsewhere
            del state[name]


def recomputed(function, module, args, kwargs):
    """`function(*args, **kwargs)`, to be computed once more in the backward pass.

    Args:
        function: function of tensors.
        module: the Module whose weights and state it uses, or None.
        args, kwargs: its arguments.
    """
    if (
        SCOPE.recomputes  # by somebody around it
        or not torch.is_grad_enabled()
        or SCOPE.meta
        or any_symbolic(args, kwargs)
        or torch._C._are_functorch_transforms_active()  # they know no checkpoints
        or (module is not None and not _is_built(module))  # first weights are drawn only once
    ):
        return function(*args, **kwargs)
    if torch.compiler.is_compiling():
        return checkpoint(function, *args, use_reentrant=False, **kwargs)
    moment, is_first = _Moment(module, args, kwargs), True

    def run(*args, **kwargs):
        nonlocal is_first
        if is_first:
            is_first = False
            with _recomputing():
                return function(*args, **kwargs)
        with moment.once_more(args, kwargs):
            return function(*args, **kwargs)

    return checkpoint(run, *args, use_reentrant=False, **kwargs)


@contextlib.contextmanager
def _recomputing():
    SCOPE.recomputes = True
    try:
        yield
    finally:
        SCOPE.recomputes = False


def _is_built(module):
    return all(getattr(part, "built", True) for part in module.modules())


class _Moment:
    """What a computation finds around it, beside its arguments, to be found so once more.

    Args:
        module: Module, or None.
        args, kwargs: arguments of the computation.
    """

    def __init__(self, module, args, kwargs):
        self.autocast, self.replica = SCOPE.autocast, SCOPE.replica
        self.masks = [getattr(x, "_keras_mask", None) for x in _tensors_in((args, kwargs))]
        parts = [] if module is None else list(module.modules())
        self.modes = [(part, part.training) for part in parts]
        # In training a layer may write to these: running statistics, the states of seeds.
        self.buffers = [
            (part._buffers, key, value.clone())
            for part in parts
            if part.training
            for key, value in part._buffers.items()
            if value is not None
        ]
        self.lossy = [part for part in parts if "_losses" in part.__dict__]
        self.values = None
        if SCOPE.stateless is not None:
            variables = getattr(module, "variables", ())
            self.values = [(v, v._store[v._key]) for v in variables]

    @contextlib.contextmanager
    def once_more(self, args, kwargs):
        """Inside, all is as it was; afterwards, as if nothing had happened."""
        for x, mask in zip(_tensors_in((args, kwargs)), self.masks, strict=True):
            if mask is not None:  # what checkpoints keep is another tensor
                x._keras_mask = mask
        modes = [(part, part.training) for part, _ in self.modes]
        buffers = [(store, key, store[key]) for store, key, _ in self.buffers]
        losses = [(part, list(part._losses)) for part in self.lossy]
        # The backward pass may run in another thread, which has scopes of its own.
        thread = SCOPE.replica, SCOPE.depth, SCOPE.recomputes
        SCOPE.replica, SCOPE.recomputes, SCOPE.depth = self.replica, True, SCOPE.depth + 1
        try:
            _set_modes(self.modes)
            for store, key, value in self.buffers:
                store[key] = value.clone()
            stateless = contextlib.nullcontext()
            if self.values is not None:
                stateless = StatelessScope(self.values)
            with stateless, autocast_scope(self.autocast):
                yield
        finally:
            SCOPE.replica, SCOPE.depth, SCOPE.recomputes = thread
            _set_modes(modes)
            for store, key, value in buffers:
                store[key] = value
            for part, kept in losses:
                part._losses[:] = kept


def _set_modes(modes):
    for part, training in modes:
        part.__dict__["training"] = training


def _tensors_in(structure):
    return [x for x in leaves_of(structure) if isinstance(x, torch.Tensor)]
