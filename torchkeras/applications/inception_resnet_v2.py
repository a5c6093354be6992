"""InceptionResNetV2: branches of convolutions of several sizes, beside a shortcut."""

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
from torchkeras.core import serialization
from torchkeras.layers.layer import Layer


class CustomScaleLayer(Layer):
    """Computes `first + scale * second` of a list of two tensors.

    Args:
        scale: float.

    Input shape: two of one shape.
    Output shape: that.

    Example:

    >>> CustomScaleLayer(0.5)([torch.ones(2), torch.ones(2)])
    tensor([1.5000, 1.5000])
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        first, second = inputs
        return first + second * self.scale

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


serialization.expose(
    "keras.src.applications.inception_resnet_v2", {"CustomScaleLayer": CustomScaleLayer}
)


def _axis():
    return 3 if channel_axis() == -1 else 1


def _convolve(x, filters, size, stride=1, padding="same", name=None):
    x = layers.Conv2D(filters, size, strides=stride, padding=padding, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(axis=_axis(), scale=False, name=name and f"{name}_bn")(x)
    return layers.Activation("relu", name=name and f"{name}_ac")(x)


def _chain(x, *convolutions):
    """Convolutions `(filters, size)`, then stride and padding where not as usual."""
    for arguments in convolutions:
        x = _convolve(x, *arguments)
    return x


_HALVE = (2, "valid")
# Branches of the blocks of a kind: fig. 16, 17 and 19 of the paper, in other widths.
_BRANCHES = {
    "block35": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    "block17": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    "block8": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
}


def _block(x, kind, number, scale, is_active=True):
    name = f"{kind}_{number}"
    branches = [_chain(x, *convolutions) for convolutions in _BRANCHES[kind]]
    y = layers.Concatenate(axis=_axis(), name=f"{name}_mixed")(branches)
    y = layers.Conv2D(x.shape[_axis()], 1, padding="same", name=f"{name}_conv")(y)
    x = CustomScaleLayer(scale)([x, y])
    return layers.Activation("relu", name=f"{name}_ac")(x) if is_active else x


def _inception_resnet(request):
    start = begin(request, 299, min_size=75)
    x = _chain(start, (32, 3, *_HALVE), (32, 3, 1, "valid"), (64, 3))
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = _chain(x, (80, 1, 1, "valid"), (192, 3, 1, "valid"))
    x = layers.MaxPooling2D(3, strides=2)(x)

    branches = [
        _convolve(x, 96, 1),
        _chain(x, (48, 1), (64, 5)),
        _chain(x, (64, 1), (96, 3), (96, 3)),
        _convolve(layers.AveragePooling2D(3, strides=1, padding="same")(x), 64, 1),
    ]
    x = layers.Concatenate(axis=_axis(), name="mixed_5b")(branches)
    for number in range(1, 11):
        x = _block(x, "block35", number, 0.17)

    branches = [
        _convolve(x, 384, 3, *_HALVE),
        _chain(x, (256, 1), (256, 3), (384, 3, *_HALVE)),
        layers.MaxPooling2D(3, strides=2)(x),
    ]
    x = layers.Concatenate(axis=_axis(), name="mixed_6a")(branches)
    for number in range(1, 21):
        x = _block(x, "block17", number, 0.1)

    branches = [
        _chain(x, (256, 1), (384, 3, *_HALVE)),
        _chain(x, (256, 1), (288, 3, *_HALVE)),
        _chain(x, (256, 1), (288, 3), (320, 3, *_HALVE)),
        layers.MaxPooling2D(3, strides=2)(x),
    ]
    x = layers.Concatenate(axis=_axis(), name="mixed_7a")(branches)
    for number in range(1, 10):
        x = _block(x, "block8", number, 0.2)
    x = _block(x, "block8", 10, 1.0, is_active=False)
    x = _convolve(x, 1536, 1, name="conv_7b")
    return finish(pool_and_classify(x, request, named=False), start, request, _FILES)


_FILES = kernels_files(
    "inception_resnet_v2",
    "inception_resnet_v2",
    "e693bd0210a403b3192acc6073ad2e96",
    "d19885ff4a710c122648d3b5c3b684e4",
)

InceptionResNetV2 = builder(
    _inception_resnet,
    {},
    "InceptionResNetV2",
    "inception_resnet_v2",
    "InceptionResNetV2: forty blocks of parallel convolutions, each beside a shortcut.",
    source="Szegedy et al. 2016, arXiv:1602.07261, fig. 15, with the stem of InceptionV3",
    parameters=55873736,
    pixels="tf",
    size=299,
    min_size=75,
)
