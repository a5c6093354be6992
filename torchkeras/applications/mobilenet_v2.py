"""MobileNetV2: blocks that widen, convolve each map and narrow again."""

from torchkeras import layers
from torchkeras.applications.backbone import (
    KERAS_URL,
    ImageNetFiles,
    Request,
    channel_axis,
    classify,
    documented,
    finish,
    image,
    image_shape,
    pool,
    sizes_of,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_tf as preprocess_input  # noqa: F401
from torchkeras.applications.mobilenet import check_alpha, default_size, size_of_weights
from torchkeras.applications.sizes import divisible, halving_padding

# Expansion, maps, blocks, stride of the first: table 2.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_SIZES = (96, 128, 160, 192, 224)  # of images that there are weights for
_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


def check_agreement(request):
    """Raise where `input_shape` and `input_tensor` are of other sizes."""
    shape, tensor = request.input_shape, request.input_tensor
    if shape and tensor is not None:
        image(request, None)
        if sizes_of(shape) != sizes_of(tensor.shape[1:]):
            raise ValueError(
                "`input_shape` must be that of `input_tensor`. Received: "
                f"input_shape={shape}, input_tensor of shape {tensor.shape}. Leave one out."
            )


def normalize(x, name):
    """Batch normalization with a slow mean."""
    return layers.BatchNormalization(axis=channel_axis(), epsilon=1e-3, momentum=0.999, name=name)(
        x
    )


def _active(x, name, relu):
    return layers.ReLU(6.0, name=relu)(normalize(x, name))


def _block(x, expansion, filters, stride, number):
    """An inverted bottleneck, beside the input where that has the same shape."""
    start, channels = x, x.shape[channel_axis()]
    prefix = f"block_{number}_" if number else "expanded_conv_"
    if number:
        x = layers.Conv2D(
            expansion * channels, 1, padding="same", use_bias=False, name=f"{prefix}expand"
        )(x)
        x = _active(x, f"{prefix}expand_BN", f"{prefix}expand_relu")
    if stride == 2:
        x = layers.ZeroPadding2D(halving_padding(x, 3), name=f"{prefix}pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{prefix}depthwise",
    )(x)
    x = _active(x, f"{prefix}depthwise_BN", f"{prefix}depthwise_relu")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(x)
    x = normalize(x, f"{prefix}project_BN")
    if channels == filters and stride == 1:
        return layers.Add(name=f"{prefix}add")([start, x])
    return x


def MobileNetV2(
    input_shape=None,
    alpha=1.0,
    include_top=True,
    weights="imagenet",
    input_tensor=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name=None,
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
    check_agreement(request)
    given = input_shape
    if not given and input_tensor is not None:
        given = image(request, None).shape[1:]
    shape = image_shape(request, default_size(given, _SIZES))
    check_alpha(request, alpha, _ALPHAS)
    size = size_of_weights(request, shape, _SIZES)
    request.name = name or f"mobilenetv2_{alpha:0.2f}_{size}"

    start = image(request, shape)
    x = layers.Conv2D(
        divisible(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="Conv1"
    )(start)
    x = _active(x, "bn_Conv1", "Conv1_relu")
    number = 0
    for expansion, filters, blocks, stride in _STAGES:
        for block in range(blocks):
            width = divisible(int(filters * alpha))
            x = _block(x, expansion, width, 1 if block else stride, number)
            number += 1
    x = layers.Conv2D(divisible(1280 * max(alpha, 1.0)), 1, use_bias=False, name="Conv_1")(x)
    x = _active(x, "Conv_1_bn", "out_relu")
    if include_top:
        x = classify(layers.GlobalAveragePooling2D()(x), request)
    else:
        x = pool(x, request, named=False)
    stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{size}"
    files = ImageNetFiles(
        f"{KERAS_URL}mobilenet_v2/", (f"{stem}.h5", None), (f"{stem}_no_top.h5", None)
    )
    return finish(x, start, request, files)


documented(
    MobileNetV2,
    "MobileNetV2: inverted bottlenecks with linear ends.",
    source="Sandler et al. 2018, arXiv:1801.04381, table 2",
    parameters=3538984,
    pixels="tf",
    more="""\
alpha: float, by which the numbers of maps are multiplied.
        """,
)
