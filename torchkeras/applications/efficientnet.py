"""EfficientNetB0 to B7: one architecture, scaled in width, depth and the size of images at once."""

import math

from torchkeras import layers
from torchkeras.applications.backbone import (
    ImageNetFiles,
    begin,
    builder,
    channel_axis,
    classify,
    finish,
    pool,
    shape_of,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_nothing as preprocess_input  # noqa: F401
from torchkeras.applications.sizes import divisible, halving_padding
from torchkeras.initializers import VarianceScaling

# Expansion, kernel, maps, blocks, stride of the first: table 1.
_STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
_DEVIATIONS = (0.229, 0.224, 0.225)
_URL = "https://storage.googleapis.com/keras-applications/"


def convolve(x, filters, kernel, name, **options):
    """A convolution, or one of each map where `filters` is None, with the family's initializer."""
    initializer = VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")
    options = {"padding": "same", "use_bias": False, **options}
    if filters is None:
        return layers.DepthwiseConv2D(
            kernel, depthwise_initializer=initializer, name=name, **options
        )(x)
    return layers.Conv2D(filters, kernel, kernel_initializer=initializer, name=name, **options)(x)


def normalize(x, name, momentum=0.99):
    """Batch normalization."""
    axis = 3 if channel_axis() == -1 else 1
    return layers.BatchNormalization(axis=axis, momentum=momentum, name=name)(x)


def activate(x, name):
    """Swish."""
    return layers.Activation("swish", name=name)(x)


def weigh(x, narrow, prefix):
    """Squeeze and excite: each map times a number between 0 and 1 that all maps decide."""
    filters = x.shape[channel_axis()]
    y = layers.GlobalAveragePooling2D(name=f"{prefix}se_squeeze")(x)
    y = layers.Reshape(shape_of(1, 1, filters), name=f"{prefix}se_reshape")(y)
    y = convolve(y, narrow, 1, f"{prefix}se_reduce", use_bias=True, activation="swish")
    y = convolve(y, filters, 1, f"{prefix}se_expand", use_bias=True, activation="sigmoid")
    return layers.multiply([x, y], name=f"{prefix}se_excite")


def add_shortcut(x, start, drop_rate, prefix):
    """`x` and what its block began with, which in training is all that some samples have."""
    if drop_rate:
        noise_shape = (None, 1, 1, 1)
        x = layers.Dropout(drop_rate, noise_shape=noise_shape, name=f"{prefix}drop")(x)
    return layers.add([x, start], name=f"{prefix}add")


def classify_dropped(x, request, dropout, **options):
    """The end of the family: mean, dropout and classifier, or features."""
    if not request.include_top:
        return pool(x, request)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(dropout, name="top_dropout")(x)
    initializer = VarianceScaling(1 / 3, mode="fan_out", distribution="uniform")
    return classify(x, request, kernel_initializer=initializer, **options)


def blocks_of(stages, repeats, drop_rate=0.2):
    """`(prefix of names, number of the stage, whether its first, rate of dropped samples)` of each.

    Args:
        stages: list of ints, the blocks of each stage.
        repeats: float, by which they are multiplied, rounded up.
        drop_rate: float, that of the last block is just below it.
    """
    counts = [math.ceil(repeats * count) for count in stages]
    done = 0
    for stage, count in enumerate(counts):
        for block in range(count):
            prefix = f"block{stage + 1}{chr(ord('a') + block)}_"
            yield prefix, stage, block == 0, drop_rate * done / sum(counts)
            done += 1


def _block(x, expansion, kernel, filters, stride, drop_rate, prefix):
    start, channels = x, x.shape[channel_axis()]
    if expansion != 1:
        x = convolve(x, expansion * channels, 1, f"{prefix}expand_conv")
        x = activate(normalize(x, f"{prefix}expand_bn"), f"{prefix}expand_activation")
    if stride == 2:
        x = layers.ZeroPadding2D(halving_padding(x, kernel), name=f"{prefix}dwconv_pad")(x)
    padding = "same" if stride == 1 else "valid"
    x = convolve(x, None, kernel, f"{prefix}dwconv", strides=stride, padding=padding)
    x = activate(normalize(x, f"{prefix}bn"), f"{prefix}activation")
    x = weigh(x, max(1, channels // 4), prefix)
    x = normalize(convolve(x, filters, 1, f"{prefix}project_conv"), f"{prefix}project_bn")
    if stride == 1 and channels == filters:
        x = add_shortcut(x, start, drop_rate, prefix)
    return x


def _efficientnet(request, width, depth, size, dropout, files):
    start = begin(request, size)
    x = layers.Rescaling(1.0 / 255.0)(start)
    x = layers.Normalization(axis=3 if channel_axis() == -1 else 1)(x)
    if request.imagenet:
        # The published weights were trained on values divided by the root of the deviations too.
        x = layers.Rescaling([1.0 / math.sqrt(deviation) for deviation in _DEVIATIONS])(x)
    x = layers.ZeroPadding2D(halving_padding(x, 3), name="stem_conv_pad")(x)
    x = convolve(x, divisible(32 * width), 3, "stem_conv", strides=2, padding="valid")
    x = activate(normalize(x, "stem_bn"), "stem_activation")
    counts = [count for *_, count, _ in _STAGES]
    for prefix, stage, is_first, drop_rate in blocks_of(counts, depth):
        expansion, kernel, filters, _, stride = _STAGES[stage]
        stride = stride if is_first else 1
        x = _block(x, expansion, kernel, divisible(filters * width), stride, drop_rate, prefix)
    x = convolve(x, divisible(1280 * width), 1, "top_conv")
    x = activate(normalize(x, "top_bn"), "top_activation")
    return finish(classify_dropped(x, request, dropout), start, request, files)


def _variant(number, width, depth, size, dropout, md5_top, md5_no_top, parameters):
    name = f"efficientnetb{number}"
    files = ImageNetFiles(_URL, (f"{name}.h5", md5_top), (f"{name}_notop.h5", md5_no_top))
    return builder(
        _efficientnet,
        {"width": width, "depth": depth, "size": size, "dropout": dropout, "files": files},
        f"EfficientNetB{number}",
        name,
        f"EfficientNetB{number}: {width} times as wide and {depth} times as deep as the smallest.",
        source="Tan and Le 2019, arXiv:1905.11946, table 1",
        parameters=parameters,
        pixels="raw",
        size=size,
    )


EfficientNetB0 = _variant(
    *(0, 1.0, 1.0, 224, 0.2),
    "902e53a9f72be733fc0bcb005b3ebbac",
    "50bc09e76180e00e4465e1a485ddc09d",
    5330571,
)
EfficientNetB1 = _variant(
    *(1, 1.0, 1.1, 240, 0.2),
    "1d254153d4ab51201f1646940f018540",
    "74c4e6b3e1f6a1eea24c589628592432",
    7856239,
)
EfficientNetB2 = _variant(
    *(2, 1.1, 1.2, 260, 0.3),
    "b15cce36ff4dcbd00b6dd88e7857a6ad",
    "111f8e2ac8aa800a7a99e3239f7bfb39",
    9177569,
)
EfficientNetB3 = _variant(
    *(3, 1.2, 1.4, 300, 0.3),
    "ffd1fdc53d0ce67064dc6a9c7960ede0",
    "af6d107764bb5b1abb91932881670226",
    12320535,
)
EfficientNetB4 = _variant(
    *(4, 1.4, 1.8, 380, 0.4),
    "18c95ad55216b8f92d7e70b3a046e2fc",
    "ebc24e6d6c33eaebbd558eafbeedf1ba",
    19466823,
)
EfficientNetB5 = _variant(
    *(5, 1.6, 2.2, 456, 0.4),
    "ace28f2a6363774853a83a0b21b9421a",
    "38879255a25d3c92d5e44e04ae6cec6f",
    30562527,
)
EfficientNetB6 = _variant(
    *(6, 1.8, 2.6, 528, 0.5),
    "165f6e37dce68623721b423839de8be5",
    "9ecce42647a20130c1f39a5d4cb75743",
    43265143,
)
EfficientNetB7 = _variant(
    *(7, 2.0, 3.1, 600, 0.5),
    "8c03f828fec3ef71311cd463b6759d99",
    "cbcfe4450ddf6f3ad90b1b398090fe4a",
    66658687,
)
