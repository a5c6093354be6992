"""Densely connected networks: DenseNet121, DenseNet169 and DenseNet201."""

from torchkeras import layers
from torchkeras.applications.backbone import (
    begin,
    builder,
    finish,
    kernels_files,
    pool_and_classify,
    refuse_channels_first,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_torch as preprocess_input  # noqa: F401
from torchkeras.applications.resnet import normalize, normalize_relu

_GROWTH = 32  # maps that each layer adds


def _layer(x, name):
    """Narrow to four times the growth, convolve, and put the new maps behind those that came."""
    y = normalize_relu(x, f"{name}_0")
    y = layers.Conv2D(4 * _GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(y)
    y = normalize_relu(y, f"{name}_1")
    y = layers.Conv2D(_GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
    return layers.Concatenate(axis=3, name=f"{name}_concat")([x, y])


def _transition(x, name):
    """Half the maps, at half the size."""
    x = normalize_relu(x, name)
    x = layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"{name}_conv")(x)
    return layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)


def _densenet(request, depths, files):
    refuse_channels_first("DenseNet")
    start = begin(request, 224)
    x = layers.ZeroPadding2D(3)(start)
    x = layers.Conv2D(64, 7, strides=2, use_bias=False, name="conv1_conv")(x)
    x = normalize_relu(x, "conv1")
    x = layers.ZeroPadding2D(1)(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, depth in enumerate(depths, 2):
        for number in range(1, depth + 1):
            x = _layer(x, f"conv{stage}_block{number}")
        if stage < 5:
            x = _transition(x, f"pool{stage}")
    x = layers.Activation("relu", name="relu")(normalize(x, "bn"))
    return finish(pool_and_classify(x, request), start, request, files)


def _variant(depths, md5_top, md5_no_top, parameters):
    number = 2 * sum(depths) + 5
    name = f"densenet{number}"
    return builder(
        _densenet,
        {"depths": depths, "files": kernels_files("densenet", name, md5_top, md5_no_top)},
        f"DenseNet{number}",
        name,
        f"DenseNet{number}: {number} layers, each of which sees all before it in its stage.",
        source="Huang et al. 2016, arXiv:1608.06993, table 1, with half the maps after each stage",
        parameters=parameters,
        pixels="torch",
    )


DenseNet121 = _variant(
    (6, 12, 24, 16),
    "9d60b8095a5708f2dcce2bca79d332c7",
    "30ee3e1110167f948a6b9946edeeb738",
    8062504,
)
DenseNet169 = _variant(
    (6, 12, 32, 32),
    "d699b8f76981ab1b30698df4c175e90b",
    "b8c4d4c20dd625c148057b9ff1c1176b",
    14307880,
)
DenseNet201 = _variant(
    (6, 12, 48, 32),
    "1ceb130c1ea1b78c3bf6114dbdfd8807",
    "c13680b51ded0fb44dff2d8f86ac8bb1",
    20242984,
)
