"""keras.backend: small helpers under the names Keras users know."""

from torchkeras.core.config import backend as backend
from torchkeras.core.config import epsilon as epsilon
from torchkeras.core.config import floatx as floatx
from torchkeras.core.config import image_data_format as image_data_format
from torchkeras.core.config import set_epsilon as set_epsilon
from torchkeras.core.config import set_floatx as set_floatx
from torchkeras.core.config import set_image_data_format as set_image_data_format
from torchkeras.core.dtypes import is_float_dtype as is_float_dtype
from torchkeras.core.dtypes import is_int_dtype as is_int_dtype
from torchkeras.core.dtypes import result_type as result_type
from torchkeras.core.dtypes import standardize_dtype as standardize_dtype
from torchkeras.core.keras_tensor import is_keras_tensor as is_keras_tensor
from torchkeras.core.naming import clear_session as clear_session
from torchkeras.core.naming import get_uid as get_uid
