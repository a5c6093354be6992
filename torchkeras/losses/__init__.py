"""keras.losses: what training makes small."""

import torch

from torchkeras.core import serialization
from torchkeras.losses.crossentropy import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    sparse_categorical_crossentropy,
)
from torchkeras.losses.distribution import KLDivergence, Poisson, kl_divergence, poisson
from torchkeras.losses.hinge import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from torchkeras.losses.loss import Loss, LossFunctionWrapper
from torchkeras.losses.overlap import Dice, Tversky, dice, tversky
from torchkeras.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from torchkeras.losses.sequence import CTC, ctc
from torchkeras.losses.similarity import Circle, circle
from torchkeras.losses.torch_loss import TorchLoss

_OBJECTS = {
    function_or_class.__name__: function_or_class
    for function_or_class in (
        Loss,
        LossFunctionWrapper,
        BinaryCrossentropy,
        BinaryFocalCrossentropy,
        CategoricalCrossentropy,
        CategoricalFocalCrossentropy,
        CategoricalGeneralizedCrossEntropy,
        CategoricalHinge,
        Circle,
        CosineSimilarity,
        CTC,
        Dice,
        Hinge,
        Huber,
        KLDivergence,
        LogCosh,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredError,
        MeanSquaredLogarithmicError,
        Poisson,
        SparseCategoricalCrossentropy,
        SquaredHinge,
        Tversky,
        binary_crossentropy,
        binary_focal_crossentropy,
        categorical_crossentropy,
        categorical_focal_crossentropy,
        categorical_generalized_cross_entropy,
        categorical_hinge,
        circle,
        cosine_similarity,
        ctc,
        dice,
        hinge,
        huber,
        kl_divergence,
        log_cosh,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_squared_error,
        mean_squared_logarithmic_error,
        poisson,
        sparse_categorical_crossentropy,
        squared_hinge,
        tversky,
    )
}
_OBJECTS.update(
    bce=binary_crossentropy,
    BCE=binary_crossentropy,
    kld=kl_divergence,
    KLD=kl_divergence,
    kullback_leibler_divergence=kl_divergence,
    logcosh=log_cosh,
    mae=mean_absolute_error,
    MAE=mean_absolute_error,
    mape=mean_absolute_percentage_error,
    MAPE=mean_absolute_percentage_error,
    mse=mean_squared_error,
    MSE=mean_squared_error,
    msle=mean_squared_logarithmic_error,
    MSLE=mean_squared_logarithmic_error,
)


def serialize(loss):
    """The config of a loss, or of a loss function by its name.

    Args:
        loss: Loss instance or named function.

    Example:

    >>> keras.losses.serialize(keras.losses.MeanSquaredError())["config"]["name"]
    'mean_squared_error'
    """
    return serialization.serialize_keras_object(loss)


def deserialize(name, custom_objects=None):
    """The loss that a config describes.

    Args:
        name: dict that `serialize` returned (`module` may lack), or the name of a loss.
        custom_objects: dict of further names to classes or functions.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.losses.deserialize({"class_name": "Huber", "config": {"delta": 2.0}})
    <Huber name=huber_loss>
    """
    if isinstance(name, dict) and name.get("module") is None and name.get("class_name") in _OBJECTS:
        name = {**name, "module": "keras.losses"}
    found = serialization.deserialize_keras_object(name, custom_objects)
    if not isinstance(found, str):
        return found
    if found not in _OBJECTS:
        raise ValueError(
            f"A config must name a loss of keras.losses or a registered one. Received: '{found}'. "
            f"Pass custom_objects={{'{found}': ...}}."
        )
    return _OBJECTS[found]


def get(identifier):
    """The loss that `identifier` means.

    Args:
        identifier: name of a class (which is instantiated) or function, also `"mse"`, `"bce"`
            and the like; a config; a function `(y_true, y_pred)`, Loss instance or class;
            a loss module of torch, whose argument order is turned around; or None.

    Returns:
        A Loss, a function, or None.

    Raises:
        ValueError: `identifier` means no loss.

    Example:

    >>> keras.losses.get("MeanSquaredError")
    <MeanSquaredError name=mean_squared_error>
    >>> keras.losses.get("mse") is keras.losses.mean_squared_error
    True
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        found = _OBJECTS.get(identifier) or serialization.get_registered_object(identifier)
    if isinstance(found, type):
        found = found()
    if isinstance(found, torch.nn.Module):
        found = TorchLoss(found)
    if not callable(found):
        raise ValueError(
            "A loss is given by name, config, function, Loss or torch.nn loss module. Received: "
            f"{identifier!r}. The names are those of keras.losses, such as 'mse' or "
            "'sparse_categorical_crossentropy'."
        )
    return found


# Keras keeps this class out of its public names, and its configs say where it lives.
serialization.expose("keras.src.losses.losses", {"LossFunctionWrapper": LossFunctionWrapper})
serialization.expose("keras.losses", globals())
