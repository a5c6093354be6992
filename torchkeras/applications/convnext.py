"""ConvNeXt, Tiny to XLarge: a residual network with the habits of a transformer."""

import functools

import numpy as np

from torchkeras import initializers, layers
from torchkeras.applications.backbone import (
    KERAS_URL,
    ImageNetFiles,
    Request,
    documented,
    finish,
    image,
    image_shape,
    pool,
    refuse_channels_first,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_nothing as preprocess_input  # noqa: F401
from torchkeras.core import serialization
from torchkeras.layers.layer import Layer
from torchkeras.models import Sequential

_MEANS, _DEVIATIONS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class LayerScale(Layer):
    """Multiplies each feature by a learned number, small at first.

    Args:
        init_values: float, what all of them begin with.
        projection_dim: int, number of features.

    Input shape: `(batch, ..., projection_dim)`.
    Output shape: that of the input.

    Source: Touvron et al. 2021, arXiv:2103.17239, eq. 4.

    Example:

    >>> LayerScale(0.5, 3)(torch.ones(1, 3)).detach()
    tensor([[0.5000, 0.5000, 0.5000]])
    """

    keeps_shape = True

    def __init__(self, init_values, projection_dim, **kwargs):
        super().__init__(**kwargs)
        self.init_values = init_values
        self.projection_dim = projection_dim

    def build(self, input_shape):
        self.gamma = self.add_weight(
            shape=(self.projection_dim,), initializer=initializers.Constant(self.init_values)
        )

    def call(self, x):
        gamma = self.gamma.value
        return x.to(gamma.dtype) * gamma

    def get_config(self):
        return {
            **super().get_config(),
            "init_values": self.init_values,
            "projection_dim": self.projection_dim,
        }


serialization.expose("keras.src.applications.convnext", {"LayerScale": LayerScale})

_normalize = functools.partial(layers.LayerNormalization, epsilon=1e-6)


def _block(x, filters, name):
    """A wide convolution of each map, then two dense layers for each pixel."""
    y = layers.Conv2D(filters, 7, padding="same", groups=filters, name=f"{name}_depthwise_conv")(x)
    y = _normalize(name=f"{name}_layernorm")(y)
    y = layers.Dense(4 * filters, name=f"{name}_pointwise_conv_1")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(filters, name=f"{name}_pointwise_conv_2")(y)
    y = LayerScale(1e-6, filters, name=f"{name}_layer_scale")(y)
    # The place of stochastic depth, which the published models are without.
    y = layers.Activation("linear", name=f"{name}_identity")(y)
    return x + y


def _start_of_stage(stage, filters, name):
    """What comes before the blocks of a stage: a quarter of the size at first, then half of it."""
    if stage == 0:
        convolution = layers.Conv2D(filters, 4, strides=4, name=f"{name}_stem_conv")
        return Sequential(
            [convolution, _normalize(name=f"{name}_stem_layernorm")], name=f"{name}_stem"
        )
    number = stage - 1
    convolution = layers.Conv2D(filters, 2, strides=2, name=f"{name}_downsampling_conv_{number}")
    return Sequential(
        [_normalize(name=f"{name}_downsampling_layernorm_{number}"), convolution],
        name=f"{name}_downsampling_block_{number}",
    )


def _convnext(request, depths, filters, files, include_preprocessing):
    refuse_channels_first("ConvNeXt")
    shape = image_shape(request, 224)
    start = x = image(request, shape)
    name = request.name
    if include_preprocessing and shape[-1] == 3:
        x = layers.Normalization(
            mean=(255 * _MEANS).tolist(),
            variance=((255 * _DEVIATIONS) ** 2).tolist(),
            name=f"{name}_prestem_normalization",
        )(x)
    for stage, depth in enumerate(depths):
        x = _start_of_stage(stage, filters << stage, name)(x)
        for block in range(depth):
            x = _block(x, filters << stage, f"{name}_stage_{stage}_block_{block}")
    if request.include_top:
        x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
        x = _normalize(name=f"{name}_head_layernorm")(x)
        x = layers.Dense(
            request.classes, activation=request.classifier_activation, name=f"{name}_head_dense"
        )(x)
    else:
        x = _normalize()(pool(x, request, named=False))
    return finish(x, start, request, files)


def _builder(size, depths, filters, hash_top, hash_no_top, parameters):
    default_name = f"convnext_{size.lower()}"
    files = ImageNetFiles(
        f"{KERAS_URL}convnext/",
        (f"{default_name}.h5", hash_top),
        (f"{default_name}_notop.h5", hash_no_top),
    )

    def make(
        include_top=True,
        include_preprocessing=True,
        weights="imagenet",
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
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
            name or default_name,  # the names of the layers begin with it
        )
        return _convnext(request, depths, filters, files, include_preprocessing)

    make.__name__ = make.__qualname__ = f"ConvNeXt{size}"
    return documented(
        make,
        f"ConvNeXt{size}: {sum(depths)} blocks of a convolution of 7 by 7 and two dense layers.",
        source="Liu et al. 2022, arXiv:2201.03545, section 2",
        parameters=parameters,
        pixels="raw",
        more="""\
include_preprocessing: bool, whether the model itself normalizes pixels from 0 to 255.
        """,
    )


ConvNeXtTiny = _builder(
    *("Tiny", (3, 3, 9, 3), 96),
    "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
    "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    28589128,
)
ConvNeXtSmall = _builder(
    *("Small", (3, 3, 27, 3), 96),
    "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
    "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    50223688,
)
ConvNeXtBase = _builder(
    *("Base", (3, 3, 27, 3), 128),
    "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
    "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    88591464,
)
ConvNeXtLarge = _builder(
    *("Large", (3, 3, 27, 3), 192),
    "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
    "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    197767336,
)
ConvNeXtXLarge = _builder(
    *("XLarge", (3, 3, 27, 3), 256),
    "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
    "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    350196968,
)
