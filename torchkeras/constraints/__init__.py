"""keras.constraints: projections of weights after each update."""

from torchkeras.constraints.constraints import Constraint as Constraint
from torchkeras.constraints.constraints import MaxNorm as MaxNorm
from torchkeras.constraints.constraints import MinMaxNorm as MinMaxNorm
from torchkeras.constraints.constraints import NonNeg as NonNeg
from torchkeras.constraints.constraints import UnitNorm as UnitNorm
from torchkeras.constraints.lookup import NAMESPACE as _NAMESPACE
from torchkeras.constraints.lookup import deserialize as deserialize
from torchkeras.constraints.lookup import get as get
from torchkeras.constraints.lookup import serialize as serialize

max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

_NAMESPACE.fill(globals(), {"constraint": Constraint})
