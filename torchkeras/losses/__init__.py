"""keras.losses: what training makes small."""

from torchkeras.core.serialization import expose as _expose
from torchkeras.losses.binary import BinaryCrossentropy as BinaryCrossentropy
from torchkeras.losses.binary import binary_crossentropy as binary_crossentropy
from torchkeras.losses.categorical import CategoricalCrossentropy as CategoricalCrossentropy
from torchkeras.losses.categorical import categorical_crossentropy as categorical_crossentropy
from torchkeras.losses.distribution import KLDivergence as KLDivergence
from torchkeras.losses.distribution import Poisson as Poisson
from torchkeras.losses.distribution import kl_divergence as kl_divergence
from torchkeras.losses.distribution import poisson as poisson
from torchkeras.losses.focal import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from torchkeras.losses.focal import CategoricalFocalCrossentropy as CategoricalFocalCrossentropy
from torchkeras.losses.focal import binary_focal_crossentropy as binary_focal_crossentropy
from torchkeras.losses.focal import categorical_focal_crossentropy as categorical_focal_crossentropy
from torchkeras.losses.generalized import (
    CategoricalGeneralizedCrossEntropy as CategoricalGeneralizedCrossEntropy,
)
from torchkeras.losses.generalized import (
    categorical_generalized_cross_entropy as categorical_generalized_cross_entropy,
)
from torchkeras.losses.hinge import CategoricalHinge as CategoricalHinge
from torchkeras.losses.hinge import Hinge as Hinge
from torchkeras.losses.hinge import SquaredHinge as SquaredHinge
from torchkeras.losses.hinge import categorical_hinge as categorical_hinge
from torchkeras.losses.hinge import hinge as hinge
from torchkeras.losses.hinge import squared_hinge as squared_hinge
from torchkeras.losses.lookup import NAMESPACE as _NAMESPACE
from torchkeras.losses.lookup import deserialize as deserialize
from torchkeras.losses.lookup import get as get
from torchkeras.losses.lookup import serialize as serialize
from torchkeras.losses.loss import Loss as Loss
from torchkeras.losses.loss_function_wrapper import LossFunctionWrapper as LossFunctionWrapper
from torchkeras.losses.overlap import Dice as Dice
from torchkeras.losses.overlap import Tversky as Tversky
from torchkeras.losses.overlap import dice as dice
from torchkeras.losses.overlap import tversky as tversky
from torchkeras.losses.regression import CosineSimilarity as CosineSimilarity
from torchkeras.losses.regression import Huber as Huber
from torchkeras.losses.regression import LogCosh as LogCosh
from torchkeras.losses.regression import MeanAbsoluteError as MeanAbsoluteError
from torchkeras.losses.regression import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from torchkeras.losses.regression import MeanSquaredError as MeanSquaredError
from torchkeras.losses.regression import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from torchkeras.losses.regression import cosine_similarity as cosine_similarity
from torchkeras.losses.regression import huber as huber
from torchkeras.losses.regression import log_cosh as log_cosh
from torchkeras.losses.regression import mean_absolute_error as mean_absolute_error
from torchkeras.losses.regression import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from torchkeras.losses.regression import mean_squared_error as mean_squared_error
from torchkeras.losses.regression import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from torchkeras.losses.sequence import CTC as CTC
from torchkeras.losses.sequence import ctc as ctc
from torchkeras.losses.similarity import Circle as Circle
from torchkeras.losses.similarity import circle as circle
from torchkeras.losses.sparse_categorical import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from torchkeras.losses.sparse_categorical import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from torchkeras.losses.torch_loss import TorchLoss as TorchLoss

# Keras keeps this class out of its public names, and its configs say where it lives: the place
# that is exposed first is the one that a config names.
_expose("keras.src.losses.losses", {"LossFunctionWrapper": LossFunctionWrapper})
_NAMESPACE.fill(
    globals(),
    {
        "bce": binary_crossentropy,
        "BCE": binary_crossentropy,
        "kld": kl_divergence,
        "KLD": kl_divergence,
        "kullback_leibler_divergence": kl_divergence,
        "logcosh": log_cosh,
        "mae": mean_absolute_error,
        "MAE": mean_absolute_error,
        "mape": mean_absolute_percentage_error,
        "MAPE": mean_absolute_percentage_error,
        "mse": mean_squared_error,
        "MSE": mean_squared_error,
        "msle": mean_squared_logarithmic_error,
        "MSLE": mean_squared_logarithmic_error,
    },
)
