"""torchkeras: the Keras 3 API as native PyTorch. `import torchkeras as keras`."""

from torchkeras import activations as activations
from torchkeras import applications as applications
from torchkeras import autograd as autograd
from torchkeras import backend as backend
from torchkeras import callbacks as callbacks
from torchkeras import config as config
from torchkeras import constraints as constraints
from torchkeras import data as data
from torchkeras import datasets as datasets
from torchkeras import distillation as distillation
from torchkeras import distribution as distribution
from torchkeras import dtype_policies as dtype_policies
from torchkeras import initializers as initializers
from torchkeras import kernels as kernels
from torchkeras import layers as layers
from torchkeras import legacy as legacy
from torchkeras import losses as losses
from torchkeras import metrics as metrics
from torchkeras import mixed_precision as mixed_precision
from torchkeras import models as models
from torchkeras import ops as ops
from torchkeras import optimizers as optimizers
from torchkeras import preprocessing as preprocessing
from torchkeras import quantizers as quantizers
from torchkeras import random as random
from torchkeras import regularizers as regularizers
from torchkeras import saving as saving
from torchkeras import tree as tree
from torchkeras import utils as utils
from torchkeras import visualization as visualization
from torchkeras import wrappers as wrappers
from torchkeras.core import serialization as _serialization
from torchkeras.core.config import device as device
from torchkeras.core.dtype_policy import DTypePolicy as DTypePolicy
from torchkeras.core.keras_tensor import KerasTensor as KerasTensor
from torchkeras.core.naming import name_scope as name_scope
from torchkeras.core.operation import Operation as Operation
from torchkeras.core.remat import RematScope as RematScope
from torchkeras.core.remat import remat as remat
from torchkeras.core.scopes import StatelessScope as StatelessScope
from torchkeras.core.scopes import SymbolicScope as SymbolicScope
from torchkeras.core.variable import Variable as Variable
from torchkeras.initializers import Initializer as Initializer
from torchkeras.layers import Input as Input
from torchkeras.layers import InputSpec as InputSpec
from torchkeras.layers import Layer as Layer
from torchkeras.losses import Loss as Loss
from torchkeras.metrics import Metric as Metric
from torchkeras.models import Function as Function
from torchkeras.models import Functional as _Functional
from torchkeras.models import Model as Model
from torchkeras.models import Sequential as Sequential
from torchkeras.optimizers import Optimizer as Optimizer
from torchkeras.quantizers import Quantizer as Quantizer
from torchkeras.regularizers import Regularizer as Regularizer
from torchkeras.version import __version__ as __version__
from torchkeras.version import version as version

FloatDTypePolicy = DTypePolicy

_serialization.expose("keras", globals(), only=["Model", "Sequential", "DTypePolicy"])
_serialization.expose("keras.models", globals(), only=["Model", "Sequential"])
_serialization.expose(
    "keras.src.models.functional", {"Functional": _Functional}, only=["Functional"]
)
_serialization.expose(
    "keras.dtype_policies",
    vars(dtype_policies),
    only=[
        "DTypePolicy",
        "DTypePolicyMap",
        "Int4DTypePolicy",
        "QuantizedDTypePolicy",
        "QuantizedFloat8DTypePolicy",
    ],
)
