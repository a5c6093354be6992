"""keras.initializers: what weights start from."""

import numpy as _np
import torch as _torch

from torchkeras.core import serialization as _serialization
from torchkeras.core.naming import to_snake_case as _to_snake_case
from torchkeras.initializers.constant_initializers import Constant as Constant
from torchkeras.initializers.constant_initializers import Identity as Identity
from torchkeras.initializers.constant_initializers import Ones as Ones
from torchkeras.initializers.constant_initializers import Zeros as Zeros
from torchkeras.initializers.initializer import Initializer as Initializer
from torchkeras.initializers.random_initializers import GlorotNormal as GlorotNormal
from torchkeras.initializers.random_initializers import GlorotUniform as GlorotUniform
from torchkeras.initializers.random_initializers import HeNormal as HeNormal
from torchkeras.initializers.random_initializers import HeUniform as HeUniform
from torchkeras.initializers.random_initializers import LecunNormal as LecunNormal
from torchkeras.initializers.random_initializers import LecunUniform as LecunUniform
from torchkeras.initializers.random_initializers import Orthogonal as Orthogonal
from torchkeras.initializers.random_initializers import RandomNormal as RandomNormal
from torchkeras.initializers.random_initializers import RandomUniform as RandomUniform
from torchkeras.initializers.random_initializers import TruncatedNormal as TruncatedNormal
from torchkeras.initializers.random_initializers import VarianceScaling as VarianceScaling

IdentityInitializer = identity = Identity
OrthogonalInitializer = orthogonal = Orthogonal
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

_CLASSES = (
    *(Constant, Identity, Initializer, Ones, Zeros),
    *(GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform),
    *(Orthogonal, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling),
)
_BY_NAME = {cls.__name__: cls for cls in _CLASSES}
_BY_NAME.update({_to_snake_case(cls.__name__): cls for cls in _CLASSES})
_BY_NAME.update(IdentityInitializer=Identity, OrthogonalInitializer=Orthogonal)
# Names from before Keras 3 that it still reads.
_BY_NAME.update(normal=RandomNormal, uniform=RandomUniform, one=Ones, zero=Zeros)


def serialize(initializer):
    """Config of an initializer.

    Args:
        initializer: an `Initializer`, or a registered function.

    Returns:
        A JSON-ready dict.

    Example:

    >>> keras.initializers.serialize(keras.initializers.Ones())["class_name"]
    'Ones'
    """
    return _serialization.serialize_keras_object(initializer)


def deserialize(config, custom_objects=None):
    """Initializer that a config describes.

    Args:
        config: dict with `class_name` and `config`, as `serialize` returns it. Without a
            `module`, the class is one of this module's.
        custom_objects: dict of names to classes or functions the config may name.

    Raises:
        ValueError: the config names something unknown.

    Example:

    >>> keras.initializers.deserialize({"class_name": "Constant", "config": {"value": 2}})
    <Constant value=2>
    """
    if isinstance(config, dict) and not config.get("module"):
        config = {**config, "module": "keras.initializers"}
    return _serialization.deserialize_keras_object(config, custom_objects)


def get(identifier):
    """Initializer that `identifier` means.

    Args:
        identifier: a name (`"glorot_uniform"`, `"GlorotUniform"`, or that of a registered
            object), a class, a config, a tensor or array (the value itself: the weight must
            have its shape), any callable `(shape, dtype) -> tensor`, which is returned as it
            is, or None, for which None is returned.

    Raises:
        ValueError: `identifier` is none of these.

    Example:

    >>> keras.initializers.get("he_normal")
    <HeNormal seed=None>
    >>> keras.initializers.get(torch.eye(2))((2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    found = identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    if isinstance(found, str):
        found = _serialization.get_registered_object(found, module_objects=_BY_NAME)
    elif isinstance(identifier, (_torch.Tensor, _np.ndarray, _np.generic)):
        found = Constant(identifier)
        found._exact_shape = tuple(identifier.shape)
    if found is None and identifier is None:
        return None
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise ValueError(
            "An initializer is given by its name, class, config or instance, or as a function "
            f"(shape, dtype) -> tensor. Received: {identifier!r}. The names are: "
            f"{', '.join(sorted(name for name in _BY_NAME if name.islower()))}."
        )
    return found


_serialization.expose("keras.initializers", globals())
