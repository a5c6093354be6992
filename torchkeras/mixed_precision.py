"""keras.mixed_precision: dtype policies and the loss scale, under the names of tf.keras."""

from torchkeras.core.dtype_policy import DTypePolicy as DTypePolicy
from torchkeras.core.dtype_policy import dtype_policy as dtype_policy
from torchkeras.core.dtype_policy import set_dtype_policy as set_dtype_policy
from torchkeras.optimizers import LossScaleOptimizer as LossScaleOptimizer

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy
