"""Xception: separable convolutions with shortcuts."""

from torchkeras import layers
from torchkeras.applications.backbone import (
    begin,
    builder,
    channel_axis,
    finish,
    kernels_files,
    pool_and_classify,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_tf as preprocess_input  # noqa: F401


def _normalize(x, name=None):
    return layers.BatchNormalization(axis=channel_axis(), name=name)(x)


def _relu(x, name):
    return layers.Activation("relu", name=f"{name}_act")(x)


def _convolve(x, filters, name, stride=1):
    x = layers.Conv2D(filters, 3, strides=stride, use_bias=False, name=name)(x)
    return _relu(_normalize(x, f"{name}_bn"), name)


def _separable(x, filters, name):
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return _normalize(x, f"{name}_bn")


def _halve(x, filters, name, starts_active=False):
    """Two separable convolutions and a pooling, beside a projection at half the size."""
    shortcut = layers.Conv2D(filters[-1], 1, strides=2, padding="same", use_bias=False)(x)
    shortcut = _normalize(shortcut)
    for number, size in enumerate(filters, 1):
        if number > 1 or not starts_active:
            x = _relu(x, f"{name}_sepconv{number}")
        x = _separable(x, size, f"{name}_sepconv{number}")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
    return layers.add([x, shortcut])


def _xception(request):
    start = begin(request, 299, min_size=71)
    # Entry flow
    x = _convolve(start, 32, "block1_conv1", stride=2)
    x = _convolve(x, 64, "block1_conv2")
    x = _halve(x, (128, 128), "block2", starts_active=True)
    x = _halve(x, (256, 256), "block3")
    x = _halve(x, (728, 728), "block4")
    # Middle flow
    for block in range(5, 13):
        y = x
        for number in (1, 2, 3):
            name = f"block{block}_sepconv{number}"
            y = _separable(_relu(y, name), 728, name)
        x = layers.add([y, x])
    # Exit flow
    x = _halve(x, (728, 1024), "block13")
    for number, filters in enumerate((1536, 2048), 1):
        name = f"block14_sepconv{number}"
        x = _relu(_separable(x, filters, name), name)
    return finish(pool_and_classify(x, request, named=False), start, request, _FILES)


_FILES = kernels_files(
    "xception",
    "xception",
    "0a58e3b7378bc2990ea3b43d5981f1f6",
    "b0042744bf5b25fce3cb969f33bebb97",
)

Xception = builder(
    _xception,
    {},
    "Xception",
    "xception",
    "Xception: 36 convolutions, all but two of them separable, with shortcuts.",
    source="Chollet 2016, arXiv:1610.02357, fig. 5",
    parameters=22910480,
    pixels="tf",
    size=299,
    min_size=71,
)
