"""VGG16 and VGG19: stacks of 3 by 3 convolutions, halved in size by pooling."""

from torchkeras import layers
from torchkeras.applications.backbone import begin, builder, classify, finish, kernels_files, pool

_FILTERS = (64, 128, 256, 512, 512)


def _vgg(request, depths, files):
    start = x = begin(request, 224)
    for block, (filters, depth) in enumerate(zip(_FILTERS, depths, strict=True), 1):
        for number in range(1, depth + 1):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"block{block}_conv{number}"
            )(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    if request.include_top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        x = classify(x, request)
    else:
        x = pool(x, request, named=False)
    return finish(x, start, request, files)


def _variant(depths, md5_top, md5_no_top, parameters):
    number = sum(depths) + 3
    files = kernels_files(f"vgg{number}", f"vgg{number}", md5_top, md5_no_top)
    return builder(
        _vgg,
        {"depths": depths, "files": files},
        f"VGG{number}",
        f"vgg{number}",
        f"VGG{number}: {sum(depths)} convolutions of 3 by 3, and three dense layers.",
        source="Simonyan and Zisserman 2014, arXiv:1409.1556, table 1, column "
        f"{'D' if number == 16 else 'E'}",
        parameters=parameters,
        pixels="caffe",
    )


VGG16 = _variant(
    (2, 2, 3, 3, 3),
    "64373286793e3c8b2b4e3219cbf3544b",
    "6d6bbae143d832006294945121d1f1fc",
    138357544,
)
VGG19 = _variant(
    (2, 2, 4, 4, 4),
    "cbe5617147190e668d6c5d5026f83318",
    "253f8cb515780f3b799900260a226db6",
    143667240,
)
