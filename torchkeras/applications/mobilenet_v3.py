"""MobileNetV3, Small and Large: inverted bottlenecks, some of which weigh their maps."""

import functools

from torchkeras import layers
from torchkeras.applications.backbone import (
    KERAS_URL,
    ImageNetFiles,
    Request,
    channel_axis,
    check_sizes,
    documented,
    finish,
    image,
    pool,
    shape_of,
    sizes_of,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_nothing as preprocess_input  # noqa: F401
from torchkeras.applications.mobilenet_v2 import check_agreement, normalize
from torchkeras.applications.sizes import divisible, halving_padding
from torchkeras.core.user_warnings import warn_user

# Tables 1 and 2: expansion, maps, kernel (0 for 5, or 3 where minimalistic), stride, whether maps
# are weighed, whether the activation is h-swish.
_SMALL = (
    (1, 16, 3, 2, True, False),
    (72 / 16, 24, 3, 2, False, False),
    (88 / 24, 24, 3, 1, False, False),
    (4, 40, 0, 2, True, True),
    (6, 40, 0, 1, True, True),
    (6, 40, 0, 1, True, True),
    (3, 48, 0, 1, True, True),
    (3, 48, 0, 1, True, True),
    (6, 96, 0, 2, True, True),
    (6, 96, 0, 1, True, True),
    (6, 96, 0, 1, True, True),
)
_LARGE = (
    (1, 16, 3, 1, False, False),
    (4, 24, 3, 2, False, False),
    (3, 24, 3, 1, False, False),
    (3, 40, 0, 2, True, False),
    (3, 40, 0, 1, True, False),
    (3, 40, 0, 1, True, False),
    (6, 80, 3, 2, False, True),
    (2.5, 80, 3, 1, False, True),
    (2.3, 80, 3, 1, False, True),
    (2.3, 80, 3, 1, False, True),
    (6, 112, 3, 1, True, True),
    (6, 112, 3, 1, True, True),
    (6, 160, 0, 2, True, True),
    (6, 160, 0, 1, True, True),
    (6, 160, 0, 1, True, True),
)
_HASHES = {
    "large_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0": (
        "675e7b876c45c57e9e63e6d90a36599c",
        "ec5221f64a2f6d1ef965a614bdae7973",
    ),
    "small_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0": (
        "99cd97fb2fcdad2bf028eb838de69e37",
        "cde8136e733e811080d9fcd8a252f7e4",
    ),
}


def _activate(x, hard_swish):
    return (layers.Activation("hard_swish") if hard_swish else layers.ReLU())(x)


def _weigh(x, prefix):
    """Squeeze and excite: each map times a number between 0 and 1 that all maps decide."""
    filters = x.shape[channel_axis()]
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}avg_pool")(x)
    y = layers.Conv2D(divisible(filters * 0.25), 1, padding="same", name=f"{prefix}conv")(y)
    y = layers.ReLU(name=f"{prefix}relu")(y)
    y = layers.Conv2D(filters, 1, padding="same", name=f"{prefix}conv_1")(y)
    y = layers.ReLU(6.0)(y + 3.0) * (1.0 / 6.0)
    return layers.Multiply(name=f"{prefix}mul")([x, y])


def _block(x, expansion, filters, kernel, stride, weigh, hard_swish, number):
    start, channels = x, x.shape[channel_axis()]
    prefix = f"expanded_conv_{number}_" if number else "expanded_conv_"
    if number:
        x = layers.Conv2D(
            divisible(channels * expansion),
            1,
            padding="same",
            use_bias=False,
            name=f"{prefix}expand",
        )(x)
        x = _activate(normalize(x, f"{prefix}expand_bn"), hard_swish)
    if stride == 2:
        x = layers.ZeroPadding2D(halving_padding(x, kernel), name=f"{prefix}depthwise_pad")(x)
    x = layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{prefix}depthwise",
    )(x)
    x = _activate(normalize(x, f"{prefix}depthwise_bn"), hard_swish)
    if weigh:
        x = _weigh(x, f"{prefix}squeeze_excite_")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(x)
    x = normalize(x, f"{prefix}project_bn")
    if stride == 1 and channels == filters:
        x = layers.Add(name=f"{prefix}add")([start, x])
    return x


def _image(request):
    """The symbol that the layers begin with; sizes may be unknown, even with the classifier."""
    check_agreement(request)
    if request.input_shape:
        shape = tuple(request.input_shape)
    elif request.input_tensor is not None:
        shape = image(request, None).shape[1:]
    else:
        shape = shape_of(None, None, 3)
    check_sizes(shape)
    if request.imagenet and sizes_of(shape) not in ((224, 224), (None, None)):
        warn_user(
            f"The weights of ImageNet are for images of 224 by 224. Received: images of shape "
            f"{shape}."
        )
    return image(request, shape)


def _mobilenet(
    request, kind, blocks, points, alpha, minimalistic, dropout_rate, include_preprocessing
):
    allowed = (1.0,) if minimalistic else (0.75, 1.0)
    if request.imagenet and alpha not in allowed:
        raise ValueError(
            f"With the weights of ImageNet, `alpha` must be {' or '.join(map(str, allowed))}"
            f"{' if minimalistic' if minimalistic else ''}. Received: alpha={alpha}. Pass "
            "weights=None for others."
        )
    start = x = _image(request)
    if include_preprocessing:
        x = layers.Rescaling(scale=1.0 / 127.5, offset=-1.0)(x)
    activate = functools.partial(_activate, hard_swish=not minimalistic)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
    x = activate(normalize(x, "conv_bn"))
    for number, (expansion, filters, kernel, stride, weigh, hard_swish) in enumerate(blocks):
        x = _block(
            x,
            expansion,
            divisible(filters * alpha),
            kernel or (3 if minimalistic else 5),
            stride,
            weigh and not minimalistic,
            hard_swish and not minimalistic,
            number,
        )
    width = divisible(x.shape[channel_axis()] * 6)
    x = layers.Conv2D(width, 1, padding="same", use_bias=False, name="conv_1")(x)
    x = activate(normalize(x, "conv_1_bn"))
    if request.include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        points = divisible(points * alpha) if alpha > 1.0 else points
        x = activate(layers.Conv2D(points, 1, padding="same", name="conv_2")(x))
        if dropout_rate > 0:
            x = layers.Dropout(dropout_rate)(x)
        x = layers.Conv2D(request.classes, 1, padding="same", name="logits")(x)
        x = layers.Flatten()(x)
        x = layers.Activation(request.classifier_activation, name="predictions")(x)
    else:
        x = pool(x, request)
    variant = f"{kind}{'_minimalistic' if minimalistic else ''}_224_{float(alpha)}"
    hashes = _HASHES.get(variant, (None, None))
    stem = f"weights_mobilenet_v3_{variant}_float"
    files = ImageNetFiles(
        f"{KERAS_URL}mobilenet_v3/",
        (f"{stem}.h5", hashes[0]),
        (f"{stem}_no_top_v2.h5", hashes[1]),
    )
    return finish(x, start, request, files)


def _builder(function, kind, blocks, points, parameters):
    def make(
        input_shape=None,
        alpha=1.0,
        minimalistic=False,
        include_top=True,
        weights="imagenet",
        input_tensor=None,
        classes=1000,
        pooling=None,
        dropout_rate=0.2,
        classifier_activation="softmax",
        include_preprocessing=True,
        name=function,
    ):
        request = Request(
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
        )
        return _mobilenet(
            request,
            kind,
            blocks,
            points,
            alpha,
            minimalistic,
            dropout_rate,
            include_preprocessing,
        )

    make.__name__ = make.__qualname__ = function
    return documented(
        make,
        f"{function}: inverted bottlenecks, some of which weigh their maps.",
        source=f"Howard et al. 2019, arXiv:1905.02244, table {2 if kind == 'small' else 1}",
        parameters=parameters,
        pixels="raw",
        more="""\
alpha: float, by which the numbers of maps are multiplied.
        minimalistic: bool, whether to do without kernels of 5, h-swish and the weighing of maps.
        dropout_rate: float, rate of the dropout before the classifier.
        include_preprocessing: bool, whether the model itself scales pixels to -1 to 1.
        """,
    )


MobileNetV3Small = _builder("MobileNetV3Small", "small", _SMALL, 1024, 2554968)
MobileNetV3Large = _builder("MobileNetV3Large", "large", _LARGE, 1280, 5507432)
