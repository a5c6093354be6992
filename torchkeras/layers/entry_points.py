"""The `forward` of each class: torch's way into `call`, under the argument names of `call`."""

import functools
import inspect
import types

from torch import nn

from torchkeras.layers.call_spec import is_default


def set_entry_points(cls, base):
    """Give a new class of layers the `forward` that goes with its `call`.

    A class written for torch, with a `forward` alone, has it as its `call`. Beside a `call` of the
    user's, a `forward` is a method like any other, and calls go past it. One that stands alone in
    a subclass of a layer of ours overrides what calls run, as in torch.

    Args:
        cls: the class.
        base: Layer.
    """
    own_call, own_forward = cls.__dict__.get("call"), cls.__dict__.get("forward")
    if isinstance(own_call, types.FunctionType):
        cls._call_is_forward = False
        if _is_way_in(cls.forward):
            cls.forward = _named_forward(base, own_call)
        else:
            cls.__call__ = _call_past_forward(base)
    elif isinstance(own_forward, types.FunctionType):
        if cls._call_is_forward or is_default(cls.call):
            cls._call_is_forward = True
            _take_forward_as_call(cls, base, own_forward)
        elif not cls.call.__module__.startswith("torchkeras."):
            cls.__call__ = _call_past_forward(base)


def _is_way_in(forward):
    """Whether a `forward` runs `call`, and is no method of the user's own."""
    return getattr(forward, "_is_way_in", False)


def _named_forward(base, call):
    # Torch asks the signature of `forward` for names: to export, and to trace graphs. A code
    # object for each class has a cache of its own in torch.compile.
    template = base.forward
    forward = types.FunctionType(
        template.__code__.replace(), template.__globals__, "forward", template.__defaults__
    )
    functools.update_wrapper(forward, template)
    del forward.__wrapped__
    forward.__signature__ = inspect.signature(call)
    forward._is_way_in = True
    return forward


def _take_forward_as_call(cls, base, own):
    template = _named_forward(base, own)

    @functools.wraps(own)
    def forward(self, *args, **kwargs):
        if type(self).call is own:
            return template(self, *args, **kwargs)
        return own(self, *args, **kwargs)  # by super(), from the `forward` of a class below

    forward._is_way_in = True
    cls.call, cls.forward = own, forward


def _call_past_forward(base):
    """A `__call__` that runs Keras's protocol and torch's hooks, but not the user's `forward`."""

    def __call__(self, *args, **kwargs):
        state = self.__dict__

        def forward(*args, **kwargs):
            state.pop("forward", None)  # inside, the name is the user's method again
            return base.forward(self, *args, **kwargs)

        if not (
            self._backward_hooks
            or self._backward_pre_hooks
            or self._forward_hooks
            or self._forward_pre_hooks
        ):
            return base.forward(self, *args, **kwargs)
        state["forward"] = forward
        try:
            return nn.Module.__call__(self, *args, **kwargs)
        finally:
            state.pop("forward", None)

    return __call__
