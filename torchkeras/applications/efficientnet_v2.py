"""EfficientNetV2, B0 to B3, S, M and L: whole convolutions at first, separate ones after."""

from dataclasses import dataclass

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
)
from torchkeras.applications.efficientnet import (
    activate,
    add_shortcut,
    blocks_of,
    classify_dropped,
    convolve,
    normalize,
    weigh,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_nothing as preprocess_input  # noqa: F401
from torchkeras.initializers import Constant

# Whether convolutions are whole, expansion, maps, blocks, stride of the first: table 4, and the
# code that the authors published. Kernels are 3 by 3; separate convolutions weigh their maps.
_B = (
    (True, 1, 16, 1, 1),
    (True, 4, 32, 2, 2),
    (True, 4, 48, 2, 2),
    (False, 4, 96, 3, 2),
    (False, 6, 112, 5, 1),
    (False, 6, 192, 8, 2),
)
_S = (
    (True, 1, 24, 2, 1),
    (True, 4, 48, 4, 2),
    (True, 4, 64, 4, 2),
    (False, 4, 128, 6, 2),
    (False, 6, 160, 9, 1),
    (False, 6, 256, 15, 2),
)
_M = (
    (True, 1, 24, 3, 1),
    (True, 4, 48, 5, 2),
    (True, 4, 80, 5, 2),
    (False, 4, 160, 7, 2),
    (False, 6, 176, 14, 1),
    (False, 6, 304, 18, 2),
    (False, 6, 512, 5, 1),
)
_L = (
    (True, 1, 32, 4, 1),
    (True, 4, 64, 7, 2),
    (True, 4, 96, 7, 2),
    (False, 4, 192, 10, 2),
    (False, 6, 224, 19, 1),
    (False, 6, 384, 25, 2),
    (False, 6, 640, 7, 1),
)


@dataclass(frozen=True)
class _Variant:
    """What a member of the family is; `width` and `depth` multiply the maps and blocks."""

    stages: tuple
    stem: int
    size: int
    files: ImageNetFiles
    width: float = 1.0
    depth: float = 1.0

    @property
    def is_small(self):
        """Whether it is of the B series, which sees images as ImageNet's mean and deviation."""
        return self.stages is _B


def _filters(count, width):
    """The multiple of 8 nearest to `count * width`."""
    return max(8, int(count * width + 4) // 8 * 8)


def _normalize(x, name):
    return normalize(x, name, momentum=0.9)


def _whole_block(x, expansion, filters, stride, prefix):
    if expansion == 1:
        x = convolve(x, filters, 3, f"{prefix}project_conv", strides=stride)
        return activate(_normalize(x, f"{prefix}project_bn"), f"{prefix}project_activation")
    wide = expansion * x.shape[channel_axis()]
    x = convolve(x, wide, 3, f"{prefix}expand_conv", strides=stride)
    x = activate(_normalize(x, f"{prefix}expand_bn"), f"{prefix}expand_activation")
    return _normalize(convolve(x, filters, 1, f"{prefix}project_conv"), f"{prefix}project_bn")


def _separate_block(x, expansion, filters, stride, prefix):
    channels = x.shape[channel_axis()]
    x = convolve(x, expansion * channels, 1, f"{prefix}expand_conv")
    x = activate(_normalize(x, f"{prefix}expand_bn"), f"{prefix}expand_activation")
    x = convolve(x, None, 3, f"{prefix}dwconv2", strides=stride)
    x = activate(_normalize(x, f"{prefix}bn"), f"{prefix}activation")
    x = weigh(x, max(1, channels // 4), prefix)
    return _normalize(convolve(x, filters, 1, f"{prefix}project_conv"), f"{prefix}project_bn")


def _preprocess(x, variant, channels):
    if not (variant.is_small and channels == 3):
        return layers.Rescaling(1.0 / 128.0, offset=-1)(x)
    x = layers.Rescaling(1.0 / 255)(x)
    return layers.Normalization(
        mean=[0.485, 0.456, 0.406],
        variance=[0.229**2, 0.224**2, 0.225**2],
        axis=3 if channel_axis() == -1 else 1,
    )(x)


def _efficientnet(request, variant, include_preprocessing):
    shape = image_shape(request, variant.size)
    start = x = image(request, shape)
    if include_preprocessing:
        x = _preprocess(x, variant, shape[-1 if channel_axis() == -1 else 0])
    x = convolve(x, _filters(variant.stem, variant.width), 3, "stem_conv", strides=2)
    x = activate(_normalize(x, "stem_bn"), "stem_activation")
    counts = [count for *_, count, _ in variant.stages]
    for prefix, stage, is_first, drop_rate in blocks_of(counts, variant.depth):
        is_whole, expansion, filters, _, stride = variant.stages[stage]
        filters, stride = _filters(filters, variant.width), stride if is_first else 1
        block = _whole_block if is_whole else _separate_block
        y = block(x, expansion, filters, stride, prefix)
        keeps = stride == 1 and x.shape[channel_axis()] == filters
        x = add_shortcut(y, x, drop_rate, prefix) if keeps else y
    x = convolve(x, _filters(1280, variant.width), 1, "top_conv")
    x = activate(_normalize(x, "top_bn"), "top_activation")
    x = classify_dropped(x, request, 0.2, bias_initializer=Constant(0.0))
    return finish(x, start, request, variant.files)


def _builder(kind, stages, stem, size, md5_top, md5_no_top, parameters, width=1.0, depth=1.0):
    default_name = f"efficientnetv2-{kind.lower()}"
    files = ImageNetFiles(
        f"{KERAS_URL}efficientnet_v2/",
        (f"{default_name}.h5", md5_top),
        (f"{default_name}_notop.h5", md5_no_top),
    )
    variant = _Variant(stages, stem, size, files, width, depth)

    def make(
        include_top=True,
        weights="imagenet",
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        include_preprocessing=True,
        name=default_name,
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
        return _efficientnet(request, variant, include_preprocessing)

    make.__name__ = make.__qualname__ = f"EfficientNetV2{kind}"
    return documented(
        make,
        f"EfficientNetV2{kind}: whole convolutions at first, separate ones after.",
        source="Tan and Le 2021, arXiv:2104.00298, table 4",
        parameters=parameters,
        pixels="raw",
        size=size,
        more="""\
include_preprocessing: bool, whether the model itself scales pixels from 0 to 255.
        """,
    )


EfficientNetV2B0 = _builder(
    *("B0", _B, 32, 224),
    "21ecbf6da12460d5c40bb2f29ceb2188",
    "893217f2bb855e2983157299931e43ff",
    7200312,
)
EfficientNetV2B1 = _builder(
    *("B1", _B, 32, 240),
    "069f0534ff22adf035c89e2d9547a9dc",
    "0e80663031ca32d657f9caa404b6ec37",
    8212124,
    depth=1.1,
)
EfficientNetV2B2 = _builder(
    *("B2", _B, 32, 260),
    "424e49f28180edbde1e94797771950a7",
    "1dfe2e7a5d45b6632553a8961ea609eb",
    10178374,
    width=1.1,
    depth=1.2,
)
EfficientNetV2B3 = _builder(
    *("B3", _B, 32, 300),
    "1f1fc43bd98a6e4fd8fdfd551e02c7a0",
    "f6abf7b5849ac99a89b50dd3fd532856",
    14467622,
    width=1.2,
    depth=1.4,
)
EfficientNetV2S = _builder(
    *("S", _S, 24, 384),
    "e1d88a8495beba45748fedd0cecbe016",
    "af0682fb74e8c54910f2d4393339c070",
    21612360,
)
EfficientNetV2M = _builder(
    *("M", _M, 24, 480),
    "a3bf6aa3276309f4fc6a34aa114c95cd",
    "1b8dc055df72dde80d614482840fe342",
    54431388,
)
EfficientNetV2L = _builder(
    *("L", _L, 32, 480),
    "27e6d408b53c7ebc868fefa357689935",
    "b0b66b5c863aef5b46e8608fe1711615",
    119027848,
)
