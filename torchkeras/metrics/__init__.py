"""keras.metrics: what is watched during training and evaluation."""

from torchkeras.core import serialization
from torchkeras.core.naming import to_snake_case as _to_snake_case
from torchkeras.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
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
)
from torchkeras.metrics.accuracy_metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from torchkeras.metrics.auc import AUC
from torchkeras.metrics.confusion_metrics import (
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from torchkeras.metrics.correlation_metrics import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    concordance_correlation,
    pearson_correlation,
)
from torchkeras.metrics.f_score_metrics import F1Score, FBetaScore
from torchkeras.metrics.hinge_metrics import CategoricalHinge, Hinge, SquaredHinge
from torchkeras.metrics.iou_metrics import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from torchkeras.metrics.metric import Metric
from torchkeras.metrics.probabilistic_metrics import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
)
from torchkeras.metrics.reduction_metrics import Mean, MeanMetricWrapper, Sum
from torchkeras.metrics.regression_metrics import (
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    R2Score,
    RootMeanSquaredError,
)

_CLASSES = {
    cls.__name__: cls
    for cls in (
        Metric,
        Mean,
        Sum,
        MeanMetricWrapper,
        MeanSquaredError,
        RootMeanSquaredError,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredLogarithmicError,
        CosineSimilarity,
        LogCoshError,
        R2Score,
        AUC,
        FalseNegatives,
        FalsePositives,
        Precision,
        PrecisionAtRecall,
        Recall,
        RecallAtPrecision,
        SensitivityAtSpecificity,
        SpecificityAtSensitivity,
        TrueNegatives,
        TruePositives,
        ConcordanceCorrelation,
        PearsonCorrelation,
        Hinge,
        SquaredHinge,
        CategoricalHinge,
        KLDivergence,
        Poisson,
        BinaryCrossentropy,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
        Accuracy,
        BinaryAccuracy,
        CategoricalAccuracy,
        SparseCategoricalAccuracy,
        TopKCategoricalAccuracy,
        SparseTopKCategoricalAccuracy,
        F1Score,
        FBetaScore,
        IoU,
        BinaryIoU,
        MeanIoU,
        OneHotIoU,
        OneHotMeanIoU,
    )
}
_BY_NAME = {
    **_CLASSES,
    **{_to_snake_case(name): cls for name, cls in _CLASSES.items()},
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "MAPE": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "MSLE": MeanSquaredLogarithmicError,
}
_FUNCTIONS = {
    function.__name__: function
    for function in (
        binary_crossentropy,
        binary_focal_crossentropy,
        categorical_crossentropy,
        categorical_focal_crossentropy,
        categorical_hinge,
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
        accuracy,
        binary_accuracy,
        categorical_accuracy,
        sparse_categorical_accuracy,
        top_k_categorical_accuracy,
        sparse_top_k_categorical_accuracy,
        concordance_correlation,
        pearson_correlation,
    )
}


def _function_named(name):
    """The function that a config names.

    Raises:
        ValueError: there is none of that name.
    """
    found = _FUNCTIONS.get(name) or serialization.get_registered_object(name)
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
    if (
        isinstance(config, dict)
        and config.get("module") is None
        and config.get("class_name") in _CLASSES
    ):
        config = {**config, "module": "keras.metrics"}
    found = serialization.deserialize_keras_object(config, custom_objects)
    if isinstance(found, str):
        return _BY_NAME[found] if found in _BY_NAME else _function_named(found)
    return found


def get(identifier):
    """The metric that `identifier` means.

    Args:
        identifier: name of a class, as `"RootMeanSquaredError"` or `"root_mean_squared_error"`,
            also `"mse"` and the like; a config; a function `(y_true, y_pred)`, Metric instance
            or class; or None.

    Returns:
        A Metric, a function, or None.

    Raises:
        ValueError: `identifier` means no metric.

    Example:

    >>> keras.metrics.get("mse")
    <MeanSquaredError name=mean_squared_error>
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        found = _BY_NAME.get(identifier) or serialization.get_registered_object(identifier)
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise ValueError(
            "A metric is given by name, config, function or Metric. Received: "
            f"{identifier!r}. The names are those of keras.metrics, such as 'mse' or "
            "'sparse_categorical_accuracy'."
        )
    return found


serialization.expose("keras.metrics", globals())
