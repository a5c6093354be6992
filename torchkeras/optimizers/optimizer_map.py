"""OptimizerMap: which optimizer updates which variable, by the variable's path."""

import contextlib
import re
from collections.abc import MutableMapping

from torchkeras.core import serialization
from torchkeras.optimizers.optimizer import Optimizer


class OptimizerMap(MutableMapping):
    """Optimizers by the paths of variables, for a `MultiOptimizer`.

    A key is a path, or a regular expression that matches whole paths. A path that is a key has that
    key's optimizer; else it has that of the one expression that matches it; else the default.

    Args:
        default_optimizer: Optimizer of the variables that no key means.
        optimizer_map: dict of keys to Optimizers, or None for an empty one. Several keys may have
            the same Optimizer.

    Raises:
        TypeError: an argument of another type.

    Example:

    >>> default = keras.optimizers.SGD()
    >>> chosen = keras.optimizers.OptimizerMap(default, {"encoder/.*": keras.optimizers.Adam()})
    >>> chosen["encoder/dense/kernel"].name, chosen["decoder/dense/kernel"].name
    ('adam', 'sgd')
    """

    def __init__(self, default_optimizer, optimizer_map=None):
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                "Argument `default_optimizer` must be an Optimizer. Received: "
                f"default_optimizer={default_optimizer!r} of type "
                f"{type(default_optimizer).__name__}. Make one with keras.optimizers.get()."
            )
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(
                "Argument `optimizer_map` must be a dict of paths to Optimizers, or None. "
                f"Received: optimizer_map={optimizer_map!r} of type {type(optimizer_map).__name__}."
            )
        self._default_optimizer = default_optimizer
        self._optimizer_map = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self):
        """The Optimizer of variables that no key means."""
        return self._default_optimizer

    def __getitem__(self, key):
        """The optimizer of a path.

        Raises:
            ValueError: several expressions match it.
        """
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        patterns = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(patterns) > 1:
            raise ValueError(
                f"One key of an OptimizerMap may match the variable '{key}'. Received: {patterns}, "
                "which all do. Use its path as a key, or narrower expressions."
            )
        return self._optimizer_map[patterns[0]] if patterns else self._default_optimizer

    def __setitem__(self, key, optimizer):
        """Add a key.

        Raises:
            ValueError: the key is there already or is not a string, or the value is not an
                Optimizer, or one that holds others.
        """
        if key in self._optimizer_map:
            raise ValueError(
                f"A key of an OptimizerMap is set once. Received: '{key}', which has "
                f"{self._optimizer_map[key]!r}. Delete it first."
            )
        if not isinstance(key, str):
            raise ValueError(
                f"A key of an OptimizerMap must be a string. Received: {key!r} of type "
                f"{type(key).__name__}."
            )
        check_inner(optimizer, f"The optimizer of '{key}'")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key):
        del self._optimizer_map[key]

    def __len__(self):
        return len(self._optimizer_map)

    def __iter__(self):
        return iter(self._optimizer_map)

    def __call__(self, variable):
        """The optimizer of a Variable."""
        return self[variable.path]

    def get_config(self):
        """The constructor arguments as a JSON-ready dict; what is one optimizer has one number."""
        arguments = {
            "default_optimizer": self._default_optimizer,
            "optimizer_map": self._optimizer_map,
        }
        if serialization.is_sharing():
            return serialization.serialize_keras_object(arguments)
        return serialization.serialize_with_sharing(arguments)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A map of new optimizers, as `get_config` described them."""
        is_sharing = serialization.is_sharing()
        with contextlib.nullcontext() if is_sharing else serialization.sharing_scope():
            return cls(
                *(
                    serialization.deserialize_keras_object(config[name], custom_objects)
                    for name in ("default_optimizer", "optimizer_map")
                )
            )


def check_inner(optimizer, name):
    """Raise a ValueError for what cannot be inside a MultiOptimizer."""
    if isinstance(optimizer, Optimizer) and not optimizer.holds_optimizers:
        return
    raise ValueError(
        f"{name} must be an Optimizer that is not a LossScaleOptimizer or a MultiOptimizer. "
        f"Received: {optimizer!r} of type {type(optimizer).__name__}. Put these around the "
        "MultiOptimizer, and optimizers of torch into groups of parameters of one of their own."
    )
