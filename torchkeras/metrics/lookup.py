"""Metrics by name and by config."""

from torch import nn

from torchkeras.core import serialization
from torchkeras.core.namespaces import Namespace
from torchkeras.losses.torch_loss import ValuesOfTorch, is_of_torch
from torchkeras.metrics.metric import Metric
from torchkeras.metrics.torch_metric import TorchMetric, is_torch_metric

NAMESPACE = Namespace(
    "keras.metrics",
    Metric,
    "A metric is given by name, config, function or Metric.",
    own_first=True,  # as in Keras
)


def function_named(name):
    """The function that a config names; a name may be that of a class too.

    Raises:
        ValueError: there is none of that name.
    """
    found = NAMESPACE.functions.get(name) or serialization.get_registered_object(name)
    if not callable(found) or isinstance(found, type):
        raise ValueError(
            "A config must name a function of keras.metrics, or a registered one. "
            f"Received: '{name}'. Pass custom_objects={{'{name}': {name}}}."
        )
    return found


def serialize(metric):
    """The config of a metric, or of a metric function by its name.

    Args:
        metric: Metric instance or named function.

    Example:

    >>> keras.metrics.serialize(keras.metrics.Mean())["config"]
    {'name': 'mean', 'dtype': 'float32'}
    """
    return serialization.serialize_keras_object(metric)


def deserialize(config, custom_objects=None):
    """The metric that a config describes.

    Args:
        config: dict that `serialize` returned (`module` may lack), or the name of a metric.
        custom_objects: dict of further names to classes or functions.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.metrics.deserialize({"class_name": "Recall", "config": {"name": "found"}})
    <Recall name=found>
    """
    return NAMESPACE.deserialize(config, custom_objects)


def get(identifier):
    """The metric that `identifier` means.

    Args:
        identifier: name of a class, as `"RootMeanSquaredError"` or `"root_mean_squared_error"`,
            also `"mse"` and the like; a config; a function `(y_true, y_pred)`, Metric instance
            or class; a metric of torchmetrics, or a loss module or function of torch, whose
            argument order is turned around; or None.

    Returns:
        A Metric, a function, or None.

    Raises:
        ValueError: `identifier` means no metric.

    Example:

    >>> keras.metrics.get("mse")
    <MeanSquaredError name=mean_squared_error>
    """
    found = NAMESPACE.get(identifier)
    if is_torch_metric(found):
        return TorchMetric(found)
    if isinstance(found, nn.Module) or is_of_torch(found):
        return ValuesOfTorch(found)
    return found
