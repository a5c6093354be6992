"""keras.regularizers: penalties on weights and outputs."""

from torchkeras.regularizers.lookup import NAMESPACE as _NAMESPACE
from torchkeras.regularizers.lookup import deserialize as deserialize
from torchkeras.regularizers.lookup import get as get
from torchkeras.regularizers.lookup import serialize as serialize
from torchkeras.regularizers.regularizers import L1 as L1
from torchkeras.regularizers.regularizers import L1L2 as L1L2
from torchkeras.regularizers.regularizers import L2 as L2
from torchkeras.regularizers.regularizers import OrthogonalRegularizer as OrthogonalRegularizer
from torchkeras.regularizers.regularizers import Regularizer as Regularizer

l1 = L1
l1_l2 = L1L2
l2 = L2
orthogonal_regularizer = OrthogonalRegularizer

# Keras's `get` knows L1L2 as "l1l2" only.
_NAMESPACE.fill(globals(), {"regularizer": Regularizer, "l1l2": L1L2})
