"""keras.utils: helpers around models and data."""

from torchkeras.core.config import disable_interactive_logging as disable_interactive_logging
from torchkeras.core.config import enable_interactive_logging as enable_interactive_logging
from torchkeras.core.config import is_interactive_logging_enabled as is_interactive_logging_enabled
from torchkeras.core.dtypes import standardize_dtype as standardize_dtype
from torchkeras.core.keras_tensor import is_keras_tensor as is_keras_tensor
from torchkeras.core.naming import clear_session as clear_session
from torchkeras.core.serialization import custom_object_scope as custom_object_scope
from torchkeras.core.serialization import deserialize_keras_object as deserialize_keras_object
from torchkeras.core.serialization import get_custom_objects as get_custom_objects
from torchkeras.core.serialization import get_registered_name as get_registered_name
from torchkeras.core.serialization import get_registered_object as get_registered_object
from torchkeras.core.serialization import (
    register_keras_serializable as register_keras_serializable,
)
from torchkeras.core.serialization import serialize_keras_object as serialize_keras_object
from torchkeras.trainers.data_adapters.data_adapter_utils import (
    pack_x_y_sample_weight as pack_x_y_sample_weight,
)
from torchkeras.trainers.data_adapters.data_adapter_utils import (
    unpack_x_y_sample_weight as unpack_x_y_sample_weight,
)
from torchkeras.trainers.data_adapters.py_dataset_adapter import PyDataset as PyDataset
from torchkeras.utils import bounding_boxes as bounding_boxes
from torchkeras.utils import legacy as legacy
from torchkeras.utils.audio_dataset_utils import (
    audio_dataset_from_directory as audio_dataset_from_directory,
)
from torchkeras.utils.config import Config as Config
from torchkeras.utils.dataset_splitting import split_dataset as split_dataset
from torchkeras.utils.feature_space import FeatureSpace as FeatureSpace
from torchkeras.utils.file_utils import get_file as get_file
from torchkeras.utils.image_dataset_utils import (
    image_dataset_from_directory as image_dataset_from_directory,
)
from torchkeras.utils.image_utils import array_to_img as array_to_img
from torchkeras.utils.image_utils import img_to_array as img_to_array
from torchkeras.utils.image_utils import load_img as load_img
from torchkeras.utils.image_utils import save_img as save_img
from torchkeras.utils.model_visualization import model_to_dot as model_to_dot
from torchkeras.utils.model_visualization import plot_model as plot_model
from torchkeras.utils.numerical_utils import normalize as normalize
from torchkeras.utils.numerical_utils import to_categorical as to_categorical
from torchkeras.utils.progbar import Progbar as Progbar
from torchkeras.utils.random_utils import set_random_seed as set_random_seed
from torchkeras.utils.sequence_utils import pad_sequences as pad_sequences
from torchkeras.utils.source_inputs import get_source_inputs as get_source_inputs
from torchkeras.utils.text_dataset_utils import (
    text_dataset_from_directory as text_dataset_from_directory,
)
from torchkeras.utils.timeseries_dataset_utils import (
    timeseries_dataset_from_array as timeseries_dataset_from_array,
)

CustomObjectScope = custom_object_scope
Sequence = PyDataset
