"""DTypePolicyMap: dtype policies of layers by their paths."""

import re
from collections.abc import MutableMapping

from torchkeras.core.dtype_policy import DTypePolicy, get
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object


class DTypePolicyMap(DTypePolicy, MutableMapping):
    """Policies by the paths of layers, given as `dtype` to several layers.

    A key is the path of a layer (`layer.path`), or a regular expression that matches whole paths. A
    path that is a key has that key's policy; else it has that of the one expression that matches
    it; else the default. As a policy by itself the map is its default.

    A layer's path is known once it is built. In a model made from a config or a file it lacks the
    name of the model, as in Keras: `"(model/)?out"` is found in both.

    Args:
        default_policy: policy of layers that no key means, by name or instance; None for
            `keras.config.dtype_policy()`.
        policy_map: dict of keys to policies, or None for an empty one.

    Raises:
        ValueError: `default_policy` is itself a map.
        TypeError: `policy_map` is no dict.

    Example:

    >>> policies = keras.dtype_policies.DTypePolicyMap("float32", {"(.*/)?out": "float64"})
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((3,)),
    ...         keras.layers.Dense(4, dtype=policies),
    ...         keras.layers.Dense(1, dtype=policies, name="out"),
    ...     ]
    ... )
    >>> [layer.dtype for layer in model.layers]
    ['float32', 'float64']
    """

    def __init__(self, default_policy=None, policy_map=None):
        if isinstance(default_policy, DTypePolicyMap):
            raise ValueError(
                "Argument `default_policy` cannot be a DTypePolicyMap. Received: "
                f"default_policy={default_policy!r}. Pass its `default_policy`."
            )
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(
                "Argument `policy_map` must be a dict of paths to policies, or None. Received: "
                f"policy_map={policy_map!r} of type {type(policy_map).__name__}."
            )
        self._default_policy_argument = default_policy
        self._default_policy = get(default_policy)
        self._policy_map = {}
        for key, policy in (policy_map or {}).items():
            self[key] = policy

    @property
    def name(self):
        """`"map_"` and the name of the default policy."""
        return f"map_{self._default_policy.name}"

    @property
    def default_policy(self):
        """The policy of layers that no key means."""
        return self._default_policy

    @property
    def compute_dtype(self):
        """Compute dtype of the default policy."""
        return self._default_policy.compute_dtype

    @property
    def variable_dtype(self):
        """Variable dtype of the default policy."""
        return self._default_policy.variable_dtype

    def policy_of(self, path):
        """The policy of the layer of a path; the default one for None."""
        return self._default_policy if path is None else self[path]

    def __getitem__(self, key):
        """The policy of a path.

        Raises:
            ValueError: several expressions match it.
        """
        if key in self._policy_map:
            return self._policy_map[key]
        patterns = [pattern for pattern in self._policy_map if re.fullmatch(pattern, key)]
        if len(patterns) > 1:
            raise ValueError(
                f"One key of a DTypePolicyMap may match the path '{key}'. Received: {patterns}, "
                "which all do. Use the path as a key, or narrower expressions."
            )
        return self._policy_map[patterns[0]] if patterns else self._default_policy

    def __setitem__(self, key, policy):
        """Add a key, with a policy by name or instance.

        Raises:
            ValueError: the key is there already, or the value means no policy.
        """
        if key in self._policy_map:
            raise ValueError(
                f"A key of a DTypePolicyMap is set once. Received: '{key}', which has "
                f"{self._policy_map[key]!r}. Delete it first."
            )
        try:
            self._policy_map[key] = get(policy)
        except Exception as error:
            raise ValueError(
                f"The policy for '{key}' must be a name, a dtype, a config or a DTypePolicy. "
                f"Received: {policy!r} of type {type(policy).__name__}."
            ) from error

    def __delitem__(self, key):
        del self._policy_map[key]

    def __contains__(self, key):
        return key in self._policy_map

    def __len__(self):
        return len(self._policy_map)

    def __iter__(self):
        return iter(self._policy_map)

    def __eq__(self, other):
        return (
            type(self) is type(other)
            and self._default_policy == other._default_policy
            and self._policy_map == other._policy_map
        )

    def __hash__(self):
        return hash((type(self), self._default_policy))

    def get_config(self):
        """The constructor arguments; a default policy of None stays open."""
        return {
            "default_policy": self._default_policy_argument,
            "policy_map": serialize_keras_object(self._policy_map),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The map that `get_config` described."""
        config = dict(config)
        config["policy_map"] = deserialize_keras_object(config["policy_map"], custom_objects)
        return cls(**config)

    def __repr__(self):
        names = {key: policy.name for key, policy in self._policy_map.items()}
        return f"<DTypePolicyMap default_policy={self._default_policy.name}, mapping={names}>"
