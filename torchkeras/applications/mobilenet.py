"""MobileNet: convolutions taken apart into those of each map and those of each pixel."""

from torchkeras import layers
from torchkeras.applications.backbone import (
    KERAS_URL,
    ImageNetFiles,
    Request,
    channel_axis,
    documented,
    finish,
    image,
    image_shape,
    pool,
    sizes_of,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_tf as preprocess_input  # noqa: F401
from torchkeras.core.user_warnings import warn_user

# Maps and stride of the blocks.
_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
_SIZES = (128, 160, 192, 224)  # of images that there are weights for
_ALPHAS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}


def default_size(input_shape, sizes):
    """The size among those of the published weights that an image has, or 224."""
    height, width = sizes_of(input_shape) if input_shape else (None, None)
    return height if height == width and height in sizes else 224


def size_of_weights(request, shape, sizes):
    """Height of the images, and with the weights of ImageNet the size that these are for."""
    height, width = sizes_of(shape)
    if not request.imagenet or (height == width and height in sizes):
        return height
    if height is None and width is None:
        return 224
    warn_user(
        f"The weights of ImageNet are for square images of {', '.join(map(str, sizes))} pixels. "
        f"Received: images of shape {shape}. Those for 224 are loaded."
    )
    return 224


def check_alpha(request, alpha, alphas):
    """Raise where there are no weights of this width."""
    if request.imagenet and alpha not in alphas:
        raise ValueError(
            f"With the weights of ImageNet, `alpha` must be one of {', '.join(map(str, alphas))}. "
            f"Received: alpha={alpha}. Pass weights=None for others."
        )


def _active(x, name):
    x = layers.BatchNormalization(axis=channel_axis(), name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _block(x, filters, stride, depth_multiplier, number):
    if stride == 2:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        depth_multiplier=depth_multiplier,
        use_bias=False,
        name=f"conv_dw_{number}",
    )(x)
    x = _active(x, f"conv_dw_{number}")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"conv_pw_{number}")(x)
    return _active(x, f"conv_pw_{number}")


def _classify(x, request, dropout):
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(request.classes, 1, padding="same", name="conv_preds")(x)
    x = layers.Reshape((request.classes,), name="reshape_2")(x)
    return layers.Activation(request.classifier_activation, name="predictions")(x)


def MobileNet(
    input_shape=None,
    alpha=1.0,
    depth_multiplier=1,
    dropout=1e-3,
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
    shape = image_shape(request, default_size(input_shape, _SIZES))
    check_alpha(request, alpha, _ALPHAS)
    if request.imagenet and depth_multiplier != 1:
        raise ValueError(
            "With the weights of ImageNet, `depth_multiplier` must be 1. Received: "
            f"depth_multiplier={depth_multiplier}. Pass weights=None for others."
        )
    size = size_of_weights(request, shape, _SIZES)
    request.name = name or f"mobilenet_{alpha:0.2f}_{size}"

    start = image(request, shape)
    x = layers.Conv2D(int(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="conv1")(
        start
    )
    x = _active(x, "conv1")
    for number, (filters, stride) in enumerate(_BLOCKS, 1):
        x = _block(x, int(filters * alpha), stride, depth_multiplier, number)
    x = _classify(x, request, dropout) if include_top else pool(x, request, named=False)
    stem = f"mobilenet_{_ALPHAS.get(alpha)}_{size}_tf"
    files = ImageNetFiles(
        f"{KERAS_URL}mobilenet/", (f"{stem}.h5", None), (f"{stem}_no_top.h5", None)
    )
    return finish(x, start, request, files)


documented(
    MobileNet,
    "MobileNet: convolutions of each map, then of each pixel.",
    source="Howard et al. 2017, arXiv:1704.04861, table 1",
    parameters=4253864,
    pixels="tf",
    more="""\
alpha: float, by which the numbers of maps are multiplied.
        depth_multiplier: int, maps that the convolution of a map makes of it.
        dropout: float, rate of the dropout before the classifier.
        """,
)
