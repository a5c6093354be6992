"""keras.data: datasets that feed `fit`, in the manner of `tf.data` and without TensorFlow."""

from torchkeras.data.dataset import AUTOTUNE as AUTOTUNE
from torchkeras.data.dataset import Dataset as Dataset
from torchkeras.data.elements import TensorSpec as TensorSpec
from torchkeras.data.stages import INFINITE as INFINITE_CARDINALITY  # noqa: F401
from torchkeras.data.stages import UNKNOWN as UNKNOWN_CARDINALITY  # noqa: F401
