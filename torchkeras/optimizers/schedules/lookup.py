"""Learning-rate schedules by config."""

from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.optimizers.schedules.learning_rate_schedule import LearningRateSchedule

NAMESPACE = Namespace(
    "keras.optimizers.schedules",
    LearningRateSchedule,
    "A learning-rate schedule is given by its config.",
)


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
    return NAMESPACE.deserialize(config, custom_objects)
