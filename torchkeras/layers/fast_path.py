"""FastPath: what a layer has found out about itself, so that a call need not ask again."""

import torch

from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE, FastToken
from torchkeras.layers import training_mode

_Tensor = torch.Tensor


class FastPath:
    """A promise about a layer that is built, and whose sublayers are, and that adds no losses.

    Such a layer is *settled*: a call needs no name scope, no build and no losses to clear. Where
    `accepts(x)` is True as well, nothing at all stands between the call and the layer's `call`.
    The promise holds while the tokens of the process are those it was made under (`SCOPE.token`),
    and the layer drops it whenever something is assigned that could break it.

    Attributes:
        token: the FastToken it was made under.
        passes_training: whether `call` is given the module's mode as `training`.
    """

    __slots__ = ("token", "passes_training", "_dtype", "_fits", "_takes_lists")

    def __init__(self, token, dtype=None, fits=None, takes_lists=False, passes_training=False):
        """Make the promise.

        Args:
            token: FastToken.
            dtype: torch dtype that float inputs have; None for any.
            fits: function `tensor -> bool`, the input spec; None to accept no input.
            takes_lists: bool, whether a list of tensors may go straight to `call` too.
            passes_training: bool.
        """
        self.token = token
        self.passes_training = passes_training
        self._dtype = dtype
        self._fits = fits
        self._takes_lists = takes_lists

    def accepts(self, x):
        """Whether `x`, the only argument of a call, may go straight to the layer's `call`."""
        if type(x) is not _Tensor:
            return self._takes_lists and type(x) is list and self._accepts_each(x)
        return (
            (x.dtype is self._dtype or not x.is_floating_point())
            and self._fits(x)
            and not hasattr(x, "_keras_mask")
        )

    def _accepts_each(self, tensors):
        for x in tensors:
            if type(x) is not _Tensor or hasattr(x, "_keras_mask"):
                return False
            if x.dtype is not self._dtype and x.is_floating_point():
                return False
        return True

    def accepts_uncast(self, x):
        """As `accepts`, for a tensor whose dtype the layer is still to change."""
        return type(x) is _Tensor and self._fits(x) and not hasattr(x, "_keras_mask")

    def narrowed(self, fits):
        """The same promise, for tensors alone that `fits` takes."""
        return FastPath(self.token, self._dtype, fits)


def always(x):
    """A layer without an input spec takes anything."""
    return True


def never(x):
    """The check of a layer that is settled, and has to do something around its `call`."""
    return False


# What a layer holds until it is settled: under a token that never comes.
UNSETTLED = FastPath(FastToken(), fits=never)


def fast_path_of(layer, spec):
    """The promise that `layer` can give now: UNSETTLED, or one under the present tokens.

    Args:
        layer: Layer.
        spec: CallSpec of its `call`.
    """
    if SCOPE.stateless is not None or SCOPE.meta or not layer.built:
        return UNSETTLED
    if torch.compiler.is_compiling():
        return UNSETTLED  # what a trace sets is a reason to compile again
    if not all(part.built and not part._adds_losses for part in layer._flatten_layers()):
        return UNSETTLED
    if not training_mode._warned and layer._shares_training_layer():
        return UNSETTLED  # its next call tells of it
    token = SCOPE.token(layer._autocast_dtype)
    input_spec = layer._input_spec
    if (
        not spec.takes_one
        or layer._input_torch_dtype is None
        or layer._calls_quantized
        or layer._activity_regularizer is not None
        or layer._remat_mode is not None
        or tree.is_nested(input_spec)
        or (layer._supports_masking and layer._makes_masks)
        or (layer._autocast_dtype is not None and layer._mixes_foreign_modules())
    ):
        return FastPath(token, fits=never)
    return FastPath(
        token,
        layer._input_torch_dtype,
        always if input_spec is None else input_spec.quick_check(),
        takes_lists=input_spec is None,
        passes_training=spec.takes_training,
    )


def is_settled(layer, fast=None):
    """Whether the promise of a layer, or this one, holds now."""
    return (fast or layer._fast).token is SCOPE.token(layer._autocast_dtype)


def can_join(layer):
    """Whether the promise of a model holds on when this layer becomes one of its parts."""
    return all(
        part.built and not part._adds_losses and not (part.training and part._in_torch_module)
        for part in layer._flatten_layers()
    )
