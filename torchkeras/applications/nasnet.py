"""NASNetMobile and NASNetLarge: two cells that a search has found, in stacks."""

from torchkeras import layers
from torchkeras.applications.backbone import (
    KERAS_URL,
    ImageNetFiles,
    Request,
    classify,
    documented,
    finish,
    image,
    image_shape,
    pool,
    refuse_channels_first,
)
from torchkeras.applications.imagenet_utils import decode_predictions as decode_predictions
from torchkeras.applications.imagenet_utils import preprocess_tf as preprocess_input  # noqa: F401
from torchkeras.applications.sizes import halving_padding
from torchkeras.core.naming import name_scope

# Scopes stand in the paths of weights, as in Keras.


def _normalize(x, name):
    return layers.BatchNormalization(momentum=0.9997, epsilon=1e-3, name=name)(x)


def _convolve(x, filters, name, bn=None):
    """A convolution of 1 by 1, normalized where `bn` names the normalization."""
    x = layers.Conv2D(
        filters, 1, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return _normalize(x, bn) if bn else x


def _relu(x, name=None):
    return layers.Activation("relu", name=name)(x)


def _separable(x, filters, kernel, name, stride=1):
    """Two separable convolutions, of which the first may halve the size."""
    with name_scope(f"separable_conv_block_{name}"):
        return _separable_in_scope(x, filters, kernel, name, stride)


def _separable_in_scope(x, filters, kernel, name, stride):
    x = _relu(x)
    if stride == 2:
        padding = halving_padding(x, kernel)
        x = layers.ZeroPadding2D(padding, name=f"separable_conv_1_pad_{name}")(x)
    for number in (1, 2):
        x = _relu(x) if number == 2 else x
        x = layers.SeparableConv2D(
            filters,
            kernel,
            strides=stride if number == 1 else 1,
            padding="valid" if number == 1 and stride == 2 else "same",
            use_bias=False,
            name=f"separable_conv_{number}_{name}",
        )(x)
        x = _normalize(x, f"separable_conv_{number}_bn_{name}")
    return x


def _average(x, name):
    return layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)


def _adjust(previous, filters, is_larger, cell):
    """The output of the cell before the last, in the size and with the maps of the last one."""
    with name_scope("adjust_block"):
        if is_larger:
            with name_scope(f"adjust_reduction_block_{cell}"):
                return _halve(previous, filters, cell)
        if previous.shape[-1] == filters:
            return previous
        with name_scope(f"adjust_projection_block_{cell}"):
            name = f"adjust_conv_projection_{cell}"
            return _convolve(_relu(previous), filters, name, f"adjust_bn_{cell}")


def _halve(x, filters, cell):
    """Every other pixel, and every other one of those between them."""
    x = _relu(x, f"adjust_relu_1_{cell}")
    even = layers.AveragePooling2D(1, strides=2, name=f"adjust_avg_pool_1_{cell}")(x)
    even = _convolve(even, filters // 2, f"adjust_conv_1_{cell}")
    odd = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    odd = layers.Cropping2D(((1, 0), (1, 0)))(odd)
    odd = layers.AveragePooling2D(1, strides=2, name=f"adjust_avg_pool_2_{cell}")(odd)
    odd = _convolve(odd, filters // 2, f"adjust_conv_2_{cell}")
    return _normalize(layers.concatenate([even, odd]), f"adjust_bn_{cell}")


def _normal_cell(x, previous, filters, is_larger, cell):
    with name_scope(f"normal_A_block_{cell}"):
        p = _adjust(previous, filters, is_larger, cell)
        h = _convolve(_relu(x), filters, f"normal_conv_1_{cell}", f"normal_bn_1_{cell}")
        with name_scope("block_1"):
            left = _separable(h, filters, 5, f"normal_left1_{cell}")
            right = _separable(p, filters, 3, f"normal_right1_{cell}")
            x1 = layers.add([left, right], name=f"normal_add_1_{cell}")
        with name_scope("block_2"):
            left = _separable(p, filters, 5, f"normal_left2_{cell}")
            right = _separable(p, filters, 3, f"normal_right2_{cell}")
            x2 = layers.add([left, right], name=f"normal_add_2_{cell}")
        x3 = layers.add([_average(h, f"normal_left3_{cell}"), p], name=f"normal_add_3_{cell}")
        left, right = _average(p, f"normal_left4_{cell}"), _average(p, f"normal_right4_{cell}")
        x4 = layers.add([left, right], name=f"normal_add_4_{cell}")
        with name_scope("block_5"):
            x5 = _separable(h, filters, 3, f"normal_left5_{cell}")
            x5 = layers.add([x5, h], name=f"normal_add_5_{cell}")
        return layers.concatenate([p, x1, x2, x3, x4, x5], name=f"normal_concat_{cell}")


def _reduction_cell(x, previous, filters, is_larger, cell):
    with name_scope(f"reduction_A_block_{cell}"):
        p = x if previous is None else _adjust(previous, filters, is_larger, cell)
        h = _convolve(_relu(x), filters, f"reduction_conv_1_{cell}", f"reduction_bn_1_{cell}")
        padded = layers.ZeroPadding2D(halving_padding(h, 3), name=f"reduction_pad_1_{cell}")(h)
        with name_scope("block_1"):
            left = _separable(h, filters, 5, f"reduction_left1_{cell}", stride=2)
            right = _separable(p, filters, 7, f"reduction_right1_{cell}", stride=2)
            x1 = layers.add([left, right], name=f"reduction_add_1_{cell}")
        with name_scope("block_2"):
            left = layers.MaxPooling2D(3, strides=2, name=f"reduction_left2_{cell}")(padded)
            right = _separable(p, filters, 7, f"reduction_right2_{cell}", stride=2)
            x2 = layers.add([left, right], name=f"reduction_add_2_{cell}")
        with name_scope("block_3"):
            left = layers.AveragePooling2D(3, strides=2, name=f"reduction_left3_{cell}")(padded)
            right = _separable(p, filters, 5, f"reduction_right3_{cell}", stride=2)
            x3 = layers.add([left, right], name=f"reduction_add3_{cell}")
        x4 = layers.add([x2, _average(x1, f"reduction_left4_{cell}")])
        with name_scope("block_5"):
            left = _separable(x1, filters, 3, f"reduction_left4_{cell}")
            right = layers.MaxPooling2D(3, strides=2, name=f"reduction_right5_{cell}")(padded)
            x5 = layers.add([left, right], name=f"reduction_add4_{cell}")
        return layers.concatenate([x2, x3, x4, x5], name=f"reduction_concat_{cell}")


def _nasnet(request, size, penultimate, blocks, stem, skips_reduction, files):
    refuse_channels_first("NASNet")
    if request.input_shape is None and request.input_tensor is None:
        request.input_shape = (size, size, 3)
    start = image(request, image_shape(request, size))
    filters = penultimate // 24  # a cell gives six times its filters, and widths double twice
    x = layers.Conv2D(
        stem, 3, strides=2, use_bias=False, kernel_initializer="he_normal", name="stem_conv1"
    )(start)
    x = _normalize(x, "stem_bn1")
    before = _reduction_cell(x, None, filters // 4, False, "stem_1")
    x, previous = _reduction_cell(before, x, filters // 2, True, "stem_2"), before
    for stack in range(3):
        is_larger = True  # the input of the reduction before
        if stack:
            width = filters << stack
            reduced = _reduction_cell(x, previous, width, False, f"reduce_{stack * blocks}")
            previous = previous if skips_reduction else x
            x = reduced
        first = stack * blocks + (stack > 0)
        for cell in range(first, first + blocks):
            y = _normal_cell(x, previous, filters << stack, is_larger, cell)
            x, previous, is_larger = y, x, False
    x = _relu(x)
    if request.include_top:
        x = classify(layers.GlobalAveragePooling2D()(x), request)
    else:
        x = pool(x, request, named=False)
    return finish(x, start, request, files)


def _builder(kind, md5_top, md5_no_top, parameters, **architecture):
    lower = kind.lower()
    files = ImageNetFiles(
        f"{KERAS_URL}nasnet/",
        (f"NASNet-{lower}.h5", md5_top),
        (f"NASNet-{lower}-no-top.h5", md5_no_top),
        (f"nasnet_{lower}.h5", f"nasnet_{lower}_no_top.h5"),
    )

    def make(
        input_shape=None,
        include_top=True,
        weights="imagenet",
        input_tensor=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=f"nasnet_{lower}",
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
        return _nasnet(request, files=files, **architecture)

    make.__name__ = make.__qualname__ = f"NASNet{kind}"
    return documented(
        make,
        f"NASNet{kind}: {3 * architecture['blocks']} cells that a search has found.",
        source="Zoph et al. 2017, arXiv:1707.07012, fig. 2 and 4, NASNet-A "
        f"({architecture['blocks']} @ {architecture['penultimate']})",
        parameters=parameters,
        pixels="tf",
        size=architecture["size"],
    )


NASNetMobile = _builder(
    "Mobile",
    "020fb642bf7360b370c678b08e0adf61",
    "1ed92395b5b598bdda52abe5c0dbfd63",
    5326716,
    size=224,
    penultimate=1056,
    blocks=4,
    stem=32,
    skips_reduction=False,
)
NASNetLarge = _builder(
    "Large",
    "11577c9a518f0070763c2b964a382f17",
    "d81d89dc07e6e56530c4e77faddd61b5",
    88949818,
    size=331,
    penultimate=4032,
    blocks=6,
    stem=96,
    skips_reduction=True,
)
