"""keras.legacy.saving: configs in the form of Keras 2, under Keras's name for them."""

from torchkeras.utils.legacy import deserialize_keras_object as deserialize_keras_object
from torchkeras.utils.legacy import serialize_keras_object as serialize_keras_object
