"""same_spec: the symbol of an output that has the input's dtype."""

from torchkeras.core.dtypes import is_float_dtype
from torchkeras.core.keras_tensor import KerasTensor


def same_spec(layer, x, shape=None):
    """Symbol for what `layer` makes of `x` without changing its dtype.

    Floats come in the layer's compute dtype, since the layer casts them; integers and booleans
    stay what they are.

    Args:
        layer: Layer that is called.
        x: KerasTensor, its input.
        shape: tuple, shape of the output; None for that of `x`, whose mask it then keeps if
            the layer supports masking.

    Example:

    >>> from torchkeras.layers.same_spec import same_spec
    >>> same_spec(keras.layers.Flatten(), keras.Input((2, 3), dtype="int32"), (None, 6)).dtype
    'int32'
    """
    casts = layer.autocast and is_float_dtype(x.dtype) and is_float_dtype(layer.compute_dtype)
    symbol = KerasTensor(
        x.shape if shape is None else shape, layer.compute_dtype if casts else x.dtype
    )
    if shape is None and layer.supports_masking:
        symbol._keras_mask = x._keras_mask
    return symbol
