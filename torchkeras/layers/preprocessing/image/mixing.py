"""What layers share that mix two images of a batch: weights, partners, and mixtures of values."""

import torch

from torchkeras.core.dtypes import is_float_dtype
from torchkeras.core.keras_tensor import KerasTensor


def draw_beta(layer, data, alpha, seed=None):
    """For each image a number of the Beta distribution with both parameters `alpha`.

    Args:
        layer: image layer that draws.
        data: what `get_random_transformation` was given.
        alpha: float above 0, or a tensor of one for each image.
        seed: int or `SeedGenerator`; None for the layer's own.

    Example:

    >>> from torchkeras.layers.preprocessing.image.mixing import draw_beta
    >>> draw_beta(keras.layers.MixUp(), torch.ones(2, 4, 4, 3), alpha=0.2).shape
    torch.Size([2])
    """
    source, batch, device = layer._source(data, seed)
    if not isinstance(alpha, torch.Tensor):
        alpha = torch.full((batch,), float(alpha), device=device)
    # As in keras.random.beta: by logarithms, and from streams that do not meet.
    return torch.sigmoid(source.log_gamma(alpha) - source.log_gamma(alpha, stream=13))


def draw_order(layer, data, seed=None):
    """The images of a batch in random order: their places, of shape `(batch,)`.

    Example:

    >>> from torchkeras.layers.preprocessing.image.mixing import draw_order
    >>> draw_order(keras.layers.MixUp(), torch.ones(3, 4, 4, 3)).sort().values
    tensor([0, 1, 2])
    """
    return layer.draw_uniform(data, seed=seed).argsort()


def mixed(values, order, weight):
    """`weight * values + (1 - weight) * values[order]`, with a weight for each image.

    Example:

    >>> from torchkeras.layers.preprocessing.image.mixing import mixed
    >>> mixed(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 0]), torch.tensor([0.75]))
    tensor([[0.7500, 0.2500],
            [0.2500, 0.7500]])
    """
    dtype = values.dtype if values.is_floating_point() else torch.float32
    values = values.to(dtype)
    weight = weight.reshape(-1, *[1] * (values.dim() - 1)).to(dtype)
    return weight * values + (1 - weight) * values.index_select(0, order)


def mixed_labels(layer, labels, order, weight):
    """Mixed labels; a ValueError for numbers of classes, of which no mean can be taken.

    Args:
        layer: the layer that mixes.
        labels: `(batch, classes)`, or floats of any shape with a row for each image.
        order: places of the partners, of shape `(batch,)`.
        weight: share of the image's own label, of shape `(batch,)`.
    """
    if labels.dim() == 1 and not labels.is_floating_point():
        raise ValueError(
            f"Layer '{layer.name}' mixes labels, so these must be rows of numbers, such as one-hot "
            f"rows of shape (batch, classes), or floats. Received: labels of shape "
            f"{tuple(labels.shape)} and dtype {str(labels.dtype)[6:]}. Make rows of numbers of "
            "classes with keras.ops.one_hot."
        )
    return mixed(labels, order, weight)


def mixed_symbols(symbols, names):
    """Symbols of a dict of data, those of mixed entries in floats.

    Args:
        symbols: dict of symbols, or the symbol of images alone.
        names: keys of the entries that are mixed.
    """
    if not isinstance(symbols, dict):
        return symbols
    floats = {
        name: KerasTensor(symbols[name].shape, "float32")
        for name in names
        if name in symbols and not is_float_dtype(symbols[name].dtype)
    }
    return {**symbols, **floats}


def check_one_hot(layer, masks):
    """ValueError for masks that hold the number of a class in each pixel.

    Args:
        layer: the layer that is to mix them.
        masks: batch of masks.
    """
    ids = masks.dim() < 4 or masks.shape[layer.channels_axis] == 1
    if ids and not masks.is_floating_point():
        raise ValueError(
            f"Layer '{layer.name}' mixes masks, so these must be one-hot, with a channel for each "
            "class, or floats. Received: segmentation_masks of shape "
            f"{tuple(masks.shape)} and dtype {str(masks.dtype)[6:]}. Use keras.ops.one_hot."
        )
