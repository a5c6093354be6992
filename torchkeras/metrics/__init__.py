"""keras.metrics: what is watched during training and evaluation."""

from torchkeras.core.naming import to_snake_case as _to_snake_case
from torchkeras.losses import binary_crossentropy as binary_crossentropy
from torchkeras.losses import binary_focal_crossentropy as binary_focal_crossentropy
from torchkeras.losses import categorical_crossentropy as categorical_crossentropy
from torchkeras.losses import categorical_focal_crossentropy as categorical_focal_crossentropy
from torchkeras.losses import categorical_hinge as categorical_hinge
from torchkeras.losses import hinge as hinge
from torchkeras.losses import huber as huber
from torchkeras.losses import kl_divergence as kl_divergence
from torchkeras.losses import log_cosh as log_cosh
from torchkeras.losses import mean_absolute_error as mean_absolute_error
from torchkeras.losses import mean_absolute_percentage_error as mean_absolute_percentage_error
from torchkeras.losses import mean_squared_error as mean_squared_error
from torchkeras.losses import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from torchkeras.losses import poisson as poisson
from torchkeras.losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from torchkeras.losses import squared_hinge as squared_hinge
from torchkeras.metrics.accuracy_metrics import Accuracy as Accuracy
from torchkeras.metrics.accuracy_metrics import BinaryAccuracy as BinaryAccuracy
from torchkeras.metrics.accuracy_metrics import CategoricalAccuracy as CategoricalAccuracy
from torchkeras.metrics.accuracy_metrics import (
    SparseCategoricalAccuracy as SparseCategoricalAccuracy,
)
from torchkeras.metrics.accuracy_metrics import (
    SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy,
)
from torchkeras.metrics.accuracy_metrics import TopKCategoricalAccuracy as TopKCategoricalAccuracy
from torchkeras.metrics.accuracy_metrics import accuracy as accuracy
from torchkeras.metrics.accuracy_metrics import binary_accuracy as binary_accuracy
from torchkeras.metrics.accuracy_metrics import categorical_accuracy as categorical_accuracy
from torchkeras.metrics.accuracy_metrics import (
    sparse_categorical_accuracy as sparse_categorical_accuracy,
)
from torchkeras.metrics.accuracy_metrics import (
    sparse_top_k_categorical_accuracy as sparse_top_k_categorical_accuracy,
)
from torchkeras.metrics.accuracy_metrics import (
    top_k_categorical_accuracy as top_k_categorical_accuracy,
)
from torchkeras.metrics.auc import AUC as AUC
from torchkeras.metrics.confusion_metrics import FalseNegatives as FalseNegatives
from torchkeras.metrics.confusion_metrics import FalsePositives as FalsePositives
from torchkeras.metrics.confusion_metrics import Precision as Precision
from torchkeras.metrics.confusion_metrics import PrecisionAtRecall as PrecisionAtRecall
from torchkeras.metrics.confusion_metrics import Recall as Recall
from torchkeras.metrics.confusion_metrics import RecallAtPrecision as RecallAtPrecision
from torchkeras.metrics.confusion_metrics import (
    SensitivityAtSpecificity as SensitivityAtSpecificity,
)
from torchkeras.metrics.confusion_metrics import (
    SpecificityAtSensitivity as SpecificityAtSensitivity,
)
from torchkeras.metrics.confusion_metrics import TrueNegatives as TrueNegatives
from torchkeras.metrics.confusion_metrics import TruePositives as TruePositives
from torchkeras.metrics.correlation_metrics import ConcordanceCorrelation as ConcordanceCorrelation
from torchkeras.metrics.correlation_metrics import PearsonCorrelation as PearsonCorrelation
from torchkeras.metrics.correlation_metrics import (
    concordance_correlation as concordance_correlation,
)
from torchkeras.metrics.correlation_metrics import pearson_correlation as pearson_correlation
from torchkeras.metrics.f_score_metrics import F1Score as F1Score
from torchkeras.metrics.f_score_metrics import FBetaScore as FBetaScore
from torchkeras.metrics.hinge_metrics import CategoricalHinge as CategoricalHinge
from torchkeras.metrics.hinge_metrics import Hinge as Hinge
from torchkeras.metrics.hinge_metrics import SquaredHinge as SquaredHinge
from torchkeras.metrics.iou_metrics import BinaryIoU as BinaryIoU
from torchkeras.metrics.iou_metrics import IoU as IoU
from torchkeras.metrics.iou_metrics import MeanIoU as MeanIoU
from torchkeras.metrics.iou_metrics import OneHotIoU as OneHotIoU
from torchkeras.metrics.iou_metrics import OneHotMeanIoU as OneHotMeanIoU
from torchkeras.metrics.lookup import NAMESPACE as _NAMESPACE
from torchkeras.metrics.lookup import deserialize as deserialize
from torchkeras.metrics.lookup import get as get
from torchkeras.metrics.lookup import serialize as serialize
from torchkeras.metrics.metric import Metric as Metric
from torchkeras.metrics.probabilistic_metrics import BinaryCrossentropy as BinaryCrossentropy
from torchkeras.metrics.probabilistic_metrics import (
    CategoricalCrossentropy as CategoricalCrossentropy,
)
from torchkeras.metrics.probabilistic_metrics import KLDivergence as KLDivergence
from torchkeras.metrics.probabilistic_metrics import Poisson as Poisson
from torchkeras.metrics.probabilistic_metrics import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from torchkeras.metrics.reduction_metrics import Mean as Mean
from torchkeras.metrics.reduction_metrics import MeanMetricWrapper as MeanMetricWrapper
from torchkeras.metrics.reduction_metrics import Sum as Sum
from torchkeras.metrics.regression_metrics import CosineSimilarity as CosineSimilarity
from torchkeras.metrics.regression_metrics import LogCoshError as LogCoshError
from torchkeras.metrics.regression_metrics import MeanAbsoluteError as MeanAbsoluteError
from torchkeras.metrics.regression_metrics import (
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
)
from torchkeras.metrics.regression_metrics import MeanSquaredError as MeanSquaredError
from torchkeras.metrics.regression_metrics import (
    MeanSquaredLogarithmicError as MeanSquaredLogarithmicError,
)
from torchkeras.metrics.regression_metrics import R2Score as R2Score
from torchkeras.metrics.regression_metrics import RootMeanSquaredError as RootMeanSquaredError

_NAMESPACE.fill(
    globals(),
    {
        **{_to_snake_case(name): cls for name, cls in _NAMESPACE.classes_of(globals()).items()},
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
    },
    names_functions=False,
)
