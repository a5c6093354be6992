"""keras.saving: files and configs."""

from torchkeras.core.serialization import custom_object_scope as custom_object_scope
from torchkeras.core.serialization import deserialize_keras_object as deserialize_keras_object
from torchkeras.core.serialization import get_custom_objects as get_custom_objects
from torchkeras.core.serialization import get_registered_name as get_registered_name
from torchkeras.core.serialization import get_registered_object as get_registered_object
from torchkeras.core.serialization import (
    register_keras_serializable as register_keras_serializable,
)
from torchkeras.core.serialization import serialize_keras_object as serialize_keras_object
from torchkeras.saving.file_editor import KerasFileEditor as KerasFileEditor
from torchkeras.saving.name_maps import torch_names as torch_names
from torchkeras.saving.saving_api import load_model as load_model
from torchkeras.saving.saving_api import load_optimizer_state as load_optimizer_state
from torchkeras.saving.saving_api import load_weights as load_weights
from torchkeras.saving.saving_api import save_model as save_model
from torchkeras.saving.saving_api import save_weights as save_weights

CustomObjectScope = custom_object_scope
