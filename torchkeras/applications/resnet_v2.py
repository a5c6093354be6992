"""Residual networks that normalize before each convolution: ResNet50V2, 101V2 and 152V2."""

from torchkeras import layers
from torchkeras.applications.backbone import (
    begin,
    builder,
    finish,
    kernels_files,
    pool_and_classify,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_tf as preprocess_input  # noqa: F401
from torchkeras.applications.resnet import normalize_relu, stem, stem_pool

_FILTERS = (64, 128, 256, 512)


def _block(x, filters, name, stride=1, project=False):
    """A bottleneck of what was normalized, beside the input as it came."""
    active = normalize_relu(x, name, "preact_bn", "preact_relu")
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(active)
    else:
        shortcut = layers.MaxPooling2D(1, strides=stride)(x) if stride > 1 else x
    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(active)
    y = normalize_relu(y, f"{name}_1")
    y = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(y)
    y = layers.Conv2D(filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(y)
    y = normalize_relu(y, f"{name}_2")
    y = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(y)
    return layers.Add(name=f"{name}_out")([shortcut, y])


def _resnet_v2(request, depths, files):
    start = begin(request, 224)
    x = stem_pool(stem(start))
    for stage, (filters, depth) in enumerate(zip(_FILTERS, depths, strict=True), 2):
        for number in range(1, depth + 1):
            # The last block of a stage halves the size, where the first version's next one does.
            stride = 2 if number == depth and stage < 5 else 1
            x = _block(x, filters, f"conv{stage}_block{number}", stride, project=number == 1)
    x = normalize_relu(x, "post")
    return finish(pool_and_classify(x, request), start, request, files)


def _variant(depths, md5_top, md5_no_top, parameters):
    number = 3 * sum(depths) + 2
    name = f"resnet{number}v2"
    return builder(
        _resnet_v2,
        {"depths": depths, "files": kernels_files("resnet", name, md5_top, md5_no_top)},
        f"ResNet{number}V2",
        name,
        f"ResNet{number}V2: a residual network of {number} layers, normalized before each.",
        source="He et al. 2016, arXiv:1603.05027, fig. 4e",
        parameters=parameters,
        pixels="tf",
    )


ResNet50V2 = _variant(
    (3, 4, 6, 3),
    "3ef43a0b657b3be2300d5770ece849e0",
    "fac2f116257151a9d068a22e544a4917",
    25613800,
)
ResNet101V2 = _variant(
    (3, 4, 23, 3),
    "6343647c601c52e1368623803854d971",
    "c0ed64b8031c3730f411d2eb4eea35b5",
    44675560,
)
ResNet152V2 = _variant(
    (3, 8, 36, 3),
    "a49b44d1979771252814e80f8ec446f9",
    "ed17cf2e0169df9d443503ef94b23b33",
    60380648,
)
