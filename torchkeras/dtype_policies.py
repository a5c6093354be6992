"""keras.dtype_policies: in which dtypes layers store and compute."""

from torchkeras.core.dtype_policy import DTypePolicy as DTypePolicy
from torchkeras.core.dtype_policy import deserialize as deserialize
from torchkeras.core.dtype_policy import get as get
from torchkeras.core.dtype_policy import serialize as serialize
from torchkeras.core.dtype_policy_map import DTypePolicyMap as DTypePolicyMap
from torchkeras.core.quantized_policy import Int4DTypePolicy as Int4DTypePolicy
from torchkeras.core.quantized_policy import QuantizedDTypePolicy as QuantizedDTypePolicy
from torchkeras.core.quantized_policy import (
    QuantizedFloat8DTypePolicy as QuantizedFloat8DTypePolicy,
)

FloatDTypePolicy = DTypePolicy
