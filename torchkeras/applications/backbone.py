"""What all applications share: arguments, the image they begin with, their end, their files."""

import os
from dataclasses import dataclass
from typing import Any

from torchkeras import activations, layers
from torchkeras.core.config import image_data_format
from torchkeras.core.keras_tensor import is_keras_tensor
from torchkeras.core.user_warnings import warn_user
from torchkeras.models import Model
from torchkeras.utils.file_utils import get_file
from torchkeras.utils.source_inputs import get_source_inputs


@dataclass
class Request:
    """The arguments that every application takes, checked; see `documented`."""

    include_top: bool
    weights: Any
    input_tensor: Any
    input_shape: Any
    pooling: Any
    classes: int
    classifier_activation: Any
    name: Any

    def __post_init__(self):
        weights = self.weights
        is_path = isinstance(weights, (str, os.PathLike)) and os.path.exists(weights)
        if weights is not None and not self.imagenet and not is_path:
            raise ValueError(
                "`weights` must be None for random ones, 'imagenet', or the path of a file. "
                f"Received: weights={weights!r}, and there is no such file."
            )
        if self.pooling not in (None, "avg", "max"):
            raise ValueError(
                f"`pooling` must be None, 'avg' or 'max'. Received: pooling={self.pooling!r}."
            )
        if not self.include_top:
            return
        if self.imagenet and self.classes != 1000:
            raise ValueError(
                "The weights of ImageNet have 1000 classes. Received: "
                f"classes={self.classes}. Pass weights=None, or include_top=False and add a "
                "classifier of your own."
            )
        chosen = activations.get(self.classifier_activation)
        if weights is not None and chosen not in (activations.linear, activations.softmax):
            raise ValueError(
                "With weights from a file, `classifier_activation` must be None or 'softmax'. "
                f"Received: classifier_activation={self.classifier_activation!r}. Pass None, and "
                "apply your function to the logits."
            )

    @property
    def imagenet(self):
        """Whether the weights are Keras's own, trained on ImageNet."""
        return isinstance(self.weights, str) and self.weights == "imagenet"


def channel_axis():
    """The axis of the channels in a batch of images: -1, or 1 if they come first."""
    return -1 if image_data_format() == "channels_last" else 1


def refuse_channels_first(family):
    """Raise where the family cannot work in the layout of images that is set."""
    if image_data_format() == "channels_first":
        raise ValueError(
            f"{family} works on images whose channels come last. Received: the setting "
            "image_data_format='channels_first'. Call "
            "keras.config.set_image_data_format('channels_last') first."
        )


def sizes_of(shape):
    """`(height, width)` of the shape of an image, without the batch."""
    return tuple(shape[:2] if image_data_format() == "channels_last" else shape[1:])


def shape_of(height, width, channels):
    """The shape of an image, without the batch."""
    last = image_data_format() == "channels_last"
    return (height, width, channels) if last else (channels, height, width)


def image_shape(request, default_size, min_size=32):
    """The shape of the images: that asked for, checked, or the default one.

    Args:
        request: Request.
        default_size: int, height and width of the images that the weights were trained on.
        min_size: int, the least height and width.
    """
    given, top = request.input_shape, request.include_top
    default = shape_of(default_size, default_size, 3)
    if not given:
        return default if top else shape_of(None, None, 3)
    shape = tuple(given)
    if len(shape) != 3:
        raise ValueError(
            f"`input_shape` must have three sizes, as {default}. Received: input_shape={given}."
        )
    if request.imagenet and top and shape != default:
        raise ValueError(
            f"The classifier of ImageNet takes images of shape {default}. Received: "
            f"input_shape={given}. Leave `input_shape` out, or pass include_top=False or "
            "weights=None."
        )
    channels = shape[-1 if image_data_format() == "channels_last" else 0]
    if request.imagenet and channels != 3:
        raise ValueError(
            f"The weights of ImageNet are for 3 channels. Received: input_shape={given}. Pass "
            "weights=None for others."
        )
    if channels not in (1, 3):
        warn_user(
            f"Images have 1 or 3 channels as a rule. Received: input_shape={given}, which has "
            f"{channels}."
        )
    check_sizes(shape, min_size)
    if top and None in shape:
        raise ValueError(
            f"With `include_top=True` all sizes must be known. Received: input_shape={given}."
        )
    return shape


def check_sizes(shape, min_size=32):
    """Raise where an image of this shape is too small."""
    if any(size is not None and size < min_size for size in sizes_of(shape)):
        raise ValueError(
            f"Height and width must be at least {min_size}. Received: input_shape={shape}."
        )


def image(request, shape):
    """The symbol that the layers begin with: `input_tensor`, or a new one."""
    if request.input_tensor is None:
        return layers.Input(shape)
    if not is_keras_tensor(request.input_tensor):
        raise ValueError(
            "`input_tensor` must be a KerasTensor, as `keras.Input` gives it. Received: "
            f"input_tensor of type {type(request.input_tensor).__name__}. To run the model on "
            "data, call it."
        )
    return request.input_tensor


def begin(request, default_size, min_size=32):
    """The symbol of the images, once the request is found to be in order."""
    return image(request, image_shape(request, default_size, min_size))


def pool(x, request, named=True):
    """Features without a classifier: pooled over the image, if asked for."""
    kind = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    if request.pooling is None:
        return x
    return kind[request.pooling](name=f"{request.pooling}_pool" if named else None)(x)


def classify(x, request, **options):
    """The last layer: a score for each class."""
    activation = request.classifier_activation
    return layers.Dense(request.classes, activation=activation, name="predictions", **options)(x)


def pool_and_classify(x, request, named=True):
    """The end of most applications: the mean over the image and a classifier, or features."""
    if not request.include_top:
        return pool(x, request, named)
    return classify(layers.GlobalAveragePooling2D(name="avg_pool")(x), request)


def finish(x, start, request, files):
    """The model from the image to `x`, with the weights that were asked for.

    Args:
        x, start: symbols.
        request: Request.
        files: ImageNetFiles of the model.
    """
    inputs = start if request.input_tensor is None else get_source_inputs(request.input_tensor)
    model = Model(inputs, x, name=request.name)
    if request.imagenet:
        model.load_weights(files.path(request.include_top))
    elif request.weights is not None:
        model.load_weights(request.weights)
    return model


@dataclass(frozen=True)
class ImageNetFiles:
    """Where Keras publishes the weights of a model, trained on ImageNet.

    Args:
        url: str, the folder, with its slash.
        top, no_top: `(name, hash)` of the files with and without the classifier; MD5 or SHA256,
            or None where Keras names none.
        cached: their names in the cache, where these are others.
    """

    url: str
    top: tuple
    no_top: tuple
    cached: tuple = (None, None)

    def path(self, include_top):
        """Path of the file in the cache, downloaded where needed."""
        name, file_hash = self.top if include_top else self.no_top
        cached = self.cached[0 if include_top else 1] or name
        return get_file(cached, self.url + name, cache_subdir="models", file_hash=file_hash)


KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"


def kernels_files(folder, name, md5_top, md5_no_top):
    """The files of a model whose names end as those of the first applications do."""
    stem = f"{name}_weights_tf_dim_ordering_tf_kernels"
    return ImageNetFiles(
        f"{KERAS_URL}{folder}/", (f"{stem}.h5", md5_top), (f"{stem}_notop.h5", md5_no_top)
    )


_DOCUMENTATION = """{title}

    Args:
        include_top: bool, whether the model ends in the classifier.
        weights: None for random ones, the path of a file of weights, or "imagenet" for those that
            Keras publishes: they are downloaded into `models` of the cache folder
            (`$KERAS_HOME` or `~/.keras`), and reading them needs h5py.
        input_tensor: KerasTensor to begin with, or None for a new input.
        input_shape: tuple of the sizes of an image without the batch, at least {min_size} high
            and wide; None for a size that is free, which the classifier does not allow. None for
            {size} by {size} pixels of three channels, or without the classifier for any size.
        pooling: without the classifier, "avg" or "max" over the image, or None for maps.
        classes: int, number of classes.
        classifier_activation: activation of the classifier; None for logits.
        {more}name: str, name of the model.

    Returns:
        A functional model. It takes images {pixels},
        and gives scores of the classes, or features.

    Raises:
        ValueError: an argument is not as above, or is not what the weights are for.
        OSError: the weights of ImageNet are not in the cache and cannot be downloaded.

    Source: {source}. Layers and weights have the names, order and shapes of Keras's.

    Example:

    >>> with keras.device("meta"):  # the architecture alone, without memory for its weights
    ...     model = keras.applications.{function}(weights=None)
    >>> model.count_params()
    {parameters}
    """


def documented(function, title, source, parameters, pixels, size=224, min_size=32, more=""):
    """Give a builder of models its docstring, which is the same but for these words."""
    function.__doc__ = _DOCUMENTATION.format(
        title=title,
        function=function.__name__,
        source=source,
        parameters=parameters,
        pixels=_PIXELS[pixels],
        size=size,
        min_size=min_size,
        more=more,
    )
    return function


_PIXELS = {
    "caffe": "prepared by `preprocess_input` (mode caffe)",
    "tf": "prepared by `preprocess_input` (mode tf)",
    "torch": "prepared by `preprocess_input` (mode torch)",
    "raw": "whose pixels are from 0 to 255, as they are",
}


def builder(build, arguments, function, name, title, **documentation):
    """A builder with the arguments that most applications take, in the order that most have.

    Args:
        build: function from a Request, and `arguments` by name, to the model.
        arguments: dict.
        function: str, name of the builder.
        name: str, name that models have by default.
        title: str, first line of the docstring.
        documentation: more for `documented`.
    """

    def make(
        include_top=True,
        weights="imagenet",
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=name,
    ):
        return build(
            Request(
                include_top,
                weights,
                input_tensor,
                input_shape,
                pooling,
                classes,
                classifier_activation,
                name,
            ),
            **arguments,
        )

    make.__name__ = make.__qualname__ = function
    make.__module__ = build.__module__
    return documented(make, title, **documentation)
