"""Residual networks: ResNet50, ResNet101, ResNet152, and the blocks of their second version."""

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
from torchkeras.applications.imagenet_utils import preprocess_caffe as preprocess_input  # noqa: F401

_FILTERS = (64, 128, 256, 512)


def normalize(x, name):
    """Batch normalization with the epsilon of the first weights that were published."""
    # Configs of Keras say 3 for the last axis of a batch of images.
    axis = 3 if channel_axis() == -1 else 1
    return layers.BatchNormalization(axis=axis, epsilon=1.001e-5, name=name)(x)


def normalize_relu(x, name, bn="bn", relu="relu"):
    """Batch normalization, then ReLU."""
    return layers.Activation("relu", name=f"{name}_{relu}")(normalize(x, f"{name}_{bn}"))


def stem(x):
    """A convolution of 7 by 7 at half the size."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    return layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)


def stem_pool(x):
    """The end of the stem: a quarter of the size."""
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _block(x, filters, name, stride=1, project=False):
    """A bottleneck, 1 by 1, 3 by 3, 1 by 1, beside the input or a projection of it."""
    shortcut = x
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = normalize(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = normalize_relu(x, f"{name}_1")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = normalize_relu(x, f"{name}_2")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = normalize(x, f"{name}_3_bn")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _resnet(request, depths, files):
    start = begin(request, 224)
    x = stem_pool(normalize_relu(stem(start), "conv1"))
    for stage, (filters, depth) in enumerate(zip(_FILTERS, depths, strict=True), 2):
        for number in range(1, depth + 1):
            first = number == 1
            stride = 2 if first and stage > 2 else 1
            x = _block(x, filters, f"conv{stage}_block{number}", stride, project=first)
    return finish(pool_and_classify(x, request), start, request, files)


def _variant(depths, md5_top, md5_no_top, parameters):
    number = 3 * sum(depths) + 2
    name = f"resnet{number}"
    return builder(
        _resnet,
        {"depths": depths, "files": kernels_files("resnet", name, md5_top, md5_no_top)},
        f"ResNet{number}",
        name,
        f"ResNet{number}: a residual network of {number} layers.",
        source="He et al. 2015, arXiv:1512.03385, table 1; the stride of a stage is in its first "
        "convolution of 1 by 1, and convolutions have a bias",
        parameters=parameters,
        pixels="caffe",
    )


ResNet50 = _variant(
    (3, 4, 6, 3),
    "2cb95161c43110f7111970584f804107",
    "4d473c1dd8becc155b73f8504c6f6626",
    25636712,
)
ResNet101 = _variant(
    (3, 4, 23, 3),
    "f1aeb4b969a6efcfb50fad2f0c20cfc5",
    "88cf7a10940856eca736dc7b7e228a21",
    44707176,
)
ResNet152 = _variant(
    (3, 8, 36, 3),
    "100835be76be38e30d865e96f2aaae62",
    "ee4c566cf9a93f14d82f913c2dc6dd0c",
    60419944,
)
