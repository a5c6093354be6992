"""Learning-rate schedules."""

from torchkeras.core import serialization
from torchkeras.optimizers.schedules.cosine_decay import CosineDecay
from torchkeras.optimizers.schedules.cosine_decay_restarts import CosineDecayRestarts
from torchkeras.optimizers.schedules.exponential_decay import ExponentialDecay
from torchkeras.optimizers.schedules.inverse_time_decay import InverseTimeDecay
from torchkeras.optimizers.schedules.learning_rate_schedule import LearningRateSchedule
from torchkeras.optimizers.schedules.piecewise_constant_decay import PiecewiseConstantDecay
from torchkeras.optimizers.schedules.polynomial_decay import PolynomialDecay

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]

_SCHEDULES = {
    cls.__name__: cls
    for cls in (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def serialize(learning_rate_schedule):
    """The config of a schedule: a JSON-ready dict that names its class.

    Example:

    >>> schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    >>> keras.optimizers.schedules.serialize(schedule)["class_name"]
    'ExponentialDecay'
    """
    return serialization.serialize_keras_object(learning_rate_schedule)


def deserialize(config, custom_objects=None):
    """The schedule that a config describes.

    Args:
        config: dict that `serialize` returned; `class_name` and `config` are enough.
        custom_objects: dict of names to schedule classes of your own.

    Raises:
        ValueError: the config names an unknown class.

    Example:

    >>> config = {"class_name": "ExponentialDecay", "config": {
    ...     "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}}
    >>> keras.optimizers.schedules.deserialize(config)(10)
    tensor(0.0500)
    """
    if isinstance(config, dict) and "module" not in config:
        if config.get("class_name") in _SCHEDULES:
            config = {**config, "module": "keras.optimizers.schedules"}
    return serialization.deserialize_keras_object(config, custom_objects)


serialization.expose("keras.optimizers.schedules", globals())
