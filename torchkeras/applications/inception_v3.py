"""InceptionV3: branches of convolutions of several sizes, side by side."""

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


def _axis():
    return 3 if channel_axis() == -1 else 1


def _convolve(x, filters, height, width, stride=1, padding="same"):
    x = layers.Conv2D(filters, (height, width), strides=stride, padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization(axis=_axis(), scale=False)(x)
    return layers.Activation("relu")(x)


def _chain(x, *convolutions):
    """Convolutions `(filters, height, width)`, then stride and padding where not as usual."""
    for arguments in convolutions:
        x = _convolve(x, *arguments)
    return x


def _pooled(x, filters):
    x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    return _convolve(x, filters, 1, 1)


def _join(branches, name=None):
    return layers.concatenate(branches, axis=_axis(), name=name)


def _small(x, pooled_filters, name):
    """Fig. 5 of the paper, with one convolution of 5 by 5 left."""
    return _join(
        [
            _convolve(x, 64, 1, 1),
            _chain(x, (48, 1, 1), (64, 5, 5)),
            _chain(x, (64, 1, 1), (96, 3, 3), (96, 3, 3)),
            _pooled(x, pooled_filters),
        ],
        name,
    )


def _long(x, filters, name):
    """Fig. 6: rows and columns of 7."""
    n = filters
    return _join(
        [
            _convolve(x, 192, 1, 1),
            _chain(x, (n, 1, 1), (n, 1, 7), (192, 7, 1)),
            _chain(x, (n, 1, 1), (n, 7, 1), (n, 1, 7), (n, 7, 1), (192, 1, 7)),
            _pooled(x, 192),
        ],
        name,
    )


def _wide(x, number):
    """Fig. 7: rows and columns of 3, side by side."""
    one = _convolve(x, 320, 1, 1)
    three = _convolve(x, 384, 1, 1)
    three = _join([_convolve(three, 384, 1, 3), _convolve(three, 384, 3, 1)], f"mixed9_{number}")
    double = _chain(x, (448, 1, 1), (384, 3, 3))
    double = _join([_convolve(double, 384, 1, 3), _convolve(double, 384, 3, 1)])
    return _join([one, three, double, _pooled(x, 192)], f"mixed{9 + number}")


def _inception(request):
    start = begin(request, 299, min_size=75)
    x = _chain(start, (32, 3, 3, 2, "valid"), (32, 3, 3, 1, "valid"), (64, 3, 3))
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = _chain(x, (80, 1, 1, 1, "valid"), (192, 3, 3, 1, "valid"))
    x = layers.MaxPooling2D(3, strides=2)(x)
    for number, filters in enumerate((32, 64, 64)):
        x = _small(x, filters, f"mixed{number}")
    x = _join(
        [
            _convolve(x, 384, 3, 3, 2, "valid"),
            _chain(x, (64, 1, 1), (96, 3, 3), (96, 3, 3, 2, "valid")),
            layers.MaxPooling2D(3, strides=2)(x),
        ],
        "mixed3",
    )
    for number, filters in enumerate((128, 160, 160, 192), 4):
        x = _long(x, filters, f"mixed{number}")
    x = _join(
        [
            _chain(x, (192, 1, 1), (320, 3, 3, 2, "valid")),
            _chain(x, (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, 2, "valid")),
            layers.MaxPooling2D(3, strides=2)(x),
        ],
        "mixed8",
    )
    for number in (0, 1):
        x = _wide(x, number)
    return finish(pool_and_classify(x, request, named=False), start, request, _FILES)


_FILES = kernels_files(
    "inception_v3",
    "inception_v3",
    "9a0d58056eeedaa3f26cb7ebd46da564",
    "bcbd6486424b2319ff4ef7d526e38f63",
)

InceptionV3 = builder(
    _inception,
    {},
    "InceptionV3",
    "inception_v3",
    "InceptionV3: eleven blocks of parallel convolutions.",
    source="Szegedy et al. 2015, arXiv:1512.00567, table 1, without the auxiliary classifier",
    parameters=23851784,
    pixels="tf",
    size=299,
    min_size=75,
)
