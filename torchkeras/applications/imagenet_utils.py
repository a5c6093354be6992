"""keras.applications.imagenet_utils: images into what a model was trained on, and classes out."""

import functools
import json

import numpy as np

from torchkeras import ops
from torchkeras.core import config
from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.utils.file_utils import get_file

_CLASS_INDEX = "imagenet_class_index.json"
_CLASS_INDEX_URL = f"https://storage.googleapis.com/download.tensorflow.org/data/{_CLASS_INDEX}"
_CLASS_INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"

# Of the training images: "caffe" in the order blue, green, red and in 0 to 255, "torch" in 0 to 1.
_MEANS = {"caffe": [103.939, 116.779, 123.68], "torch": [0.485, 0.456, 0.406]}
_DEVIATIONS = [0.229, 0.224, 0.225]


def preprocess_input(x, data_format=None, mode="caffe"):
    """Bring images of pixels from 0 to 255 to the values that a model was trained on.

    The input is left as it is; Keras writes over it where its type allows.

    Args:
        x: array, tensor or KerasTensor of 3 or 4 axes, red, green and blue on that of the
            channels. Integers become `floatx()`, floats keep their dtype.
        data_format: "channels_last" or "channels_first"; None for `image_data_format()`.
        mode: "tf" scales to -1 to 1. "torch" scales to 0 to 1, takes off the mean of ImageNet's
            training images and divides by their deviation. "caffe" reverses the channels and
            takes off the mean.

    Returns:
        What `x` is, of the same shape.

    Raises:
        ValueError: `mode` or `data_format` is another.

    Example:

    >>> image = np.full((1, 2, 2, 3), 255, "uint8")
    >>> keras.applications.imagenet_utils.preprocess_input(image, mode="tf").max()
    np.float32(1.0)
    """
    if mode not in ("caffe", "tf", "torch"):
        raise ValueError(
            f"`mode` must be 'caffe', 'tf' or 'torch'. Received: mode={mode!r}. The model's own "
            "`preprocess_input`, as in keras.applications.resnet, knows its mode."
        )
    channels_last = config.standardize_data_format(data_format) == "channels_last"
    if isinstance(x, np.ndarray):
        x = x if np.issubdtype(x.dtype, np.floating) else x.astype(config.floatx())
        flip, constant = np.flip, functools.partial(np.array, dtype=x.dtype)
    else:
        x = _as_floats(x)
        flip, constant = ops.flip, functools.partial(_constant, like=x)
    if mode == "tf":
        return x / 127.5 - 1.0
    x = flip(x, -1 if channels_last else -3) if mode == "caffe" else x / 255.0
    shape = (3,) if channels_last else (3, 1, 1)
    x = x - constant(_MEANS[mode]).reshape(shape)
    return x / constant(_DEVIATIONS).reshape(shape) if mode == "torch" else x


def preprocess_caffe(x, data_format=None):
    """Reverse the channels of images from 0 to 255, and take off the mean of ImageNet's.

    Args:
        x, data_format: as those of `keras.applications.imagenet_utils.preprocess_input`.

    Returns:
        What `x` is, of the same shape.

    Raises:
        ValueError: `data_format` is another.

    Example:

    >>> image = np.array([[[255.0, 116.779, 103.939]]])  # red, green, blue
    >>> [round(float(value), 3) for value in preprocess_caffe(image)[0, 0]]
    [0.0, 0.0, 131.32]
    """
    return preprocess_input(x, data_format, mode="caffe")


def preprocess_tf(x, data_format=None):
    """Scale images from 0 to 255 to -1 to 1.

    Args:
        x, data_format: as those of `keras.applications.imagenet_utils.preprocess_input`.

    Returns:
        What `x` is, of the same shape.

    Raises:
        ValueError: `data_format` is another.

    Example:

    >>> preprocess_tf(torch.tensor([[[0.0, 127.5, 255.0]]]))
    tensor([[[-1.,  0.,  1.]]])
    """
    return preprocess_input(x, data_format, mode="tf")


def preprocess_torch(x, data_format=None):
    """Scale images from 0 to 255 to 0 to 1, then to the mean and deviation of ImageNet's.

    Args:
        x, data_format: as those of `keras.applications.imagenet_utils.preprocess_input`.

    Returns:
        What `x` is, of the same shape.

    Raises:
        ValueError: `data_format` is another.

    Example:

    >>> bool((preprocess_torch(torch.full((1, 2, 2, 3), 255.0)) > 2).all())
    True
    """
    return preprocess_input(x, data_format, mode="torch")


def preprocess_nothing(x, data_format=None):
    """Return images as they are: the model itself scales pixels from 0 to 255.

    It is there so that each model has a `preprocess_input`.

    Args:
        x: array, tensor or KerasTensor.
        data_format: has no effect.

    Returns:
        `x`.

    Example:

    >>> preprocess_nothing(torch.tensor([255.0]))
    tensor([255.])
    """
    return x


def decode_predictions(preds, top=5):
    """Names of the classes of ImageNet that a model finds most likely.

    The list of classes is the file `models/imagenet_class_index.json` of the cache folder
    (`$KERAS_HOME` or `~/.keras`), downloaded at the first call.

    Args:
        preds: array or tensor of shape `(batch, 1000)`.
        top: int, how many classes of each.

    Returns:
        For each sample a list of tuples `(identifier, name, score)`, the highest score first.

    Raises:
        ValueError: `preds` has another shape.
        OSError: the list is not in the cache and cannot be downloaded.

    Example:

    >>> keras.applications.imagenet_utils.decode_predictions(np.zeros((1, 10)))
    ... # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: Predictions of shape (batch, 1000) were expected. Received: preds of shape (1, 10...
    """
    if len(preds.shape) != 2 or preds.shape[1] != 1000:
        raise ValueError(
            f"Predictions of shape (batch, 1000) were expected. Received: preds of shape "
            f"{tuple(preds.shape)}. A model with the classes of ImageNet gives them; other classes "
            "have names of your own."
        )
    names = _class_names(
        get_file(_CLASS_INDEX, _CLASS_INDEX_URL, cache_subdir="models", file_hash=_CLASS_INDEX_MD5)
    )
    scores = convert_to_numpy(preds)
    places = scores.argsort(axis=1)[:, ::-1][:, :top]
    return [
        [(*names[str(place)], row[place]) for place in best]
        for row, best in zip(scores, places, strict=True)
    ]


@functools.lru_cache(maxsize=1)
def _class_names(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _as_floats(x):
    x = x if isinstance(x, KerasTensor) else ops.convert_to_tensor(x)
    return x if is_float_dtype(standardize_dtype(x.dtype)) else ops.cast(x, config.floatx())


def _constant(values, like):
    tensor = ops.convert_to_tensor(values, dtype=standardize_dtype(like.dtype))
    return tensor if isinstance(like, KerasTensor) else tensor.to(like.device)
