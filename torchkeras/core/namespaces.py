"""Namespace: what `get` and `deserialize` of `keras.losses`, `keras.initializers`, ... share."""

import types

from torchkeras.core import serialization

_OWN_FUNCTIONS = ("get", "serialize", "deserialize")


class Namespace:
    """Objects of one kind, found by name or by config.

    Args:
        module: name in configs, Keras's own: `"keras.losses"`.
        kind: base class of the objects; None where all of them are functions.
        expected: sentence for errors, on the forms in which an object may be given.
        own_first: bool, whether our objects come before registered ones of the same name.

    Attributes:
        names: dict of names to the classes and functions that `get` knows.
        functions: dict of names to functions alone.
    """

    def __init__(self, module, kind, expected, own_first=False):
        self.module = module
        self.kind = kind
        self.expected = expected
        self.own_first = own_first
        self.names = {}
        self.functions = {}

    def fill(self, namespace, aliases=None, names_functions=True):
        """Offer what a package's `__init__` imports, to `get` and to configs.

        Args:
            namespace: dict of names, the `globals()` of that `__init__`.
            aliases: dict of further names, which stand above those of `namespace`.
            names_functions: bool, whether `get` knows the functions by name; configs always may
                name them.
        """
        self.functions = {
            name: value
            for name, value in namespace.items()
            if isinstance(value, types.FunctionType)
            and not name.startswith("_")
            and name not in _OWN_FUNCTIONS
        }
        functions = self.functions if names_functions else {}
        self.names = {**functions, **self.classes_of(namespace), **(aliases or {})}
        serialization.expose(self.module, namespace)

    def classes_of(self, namespace):
        """`{name: class}` of the public classes of this kind."""
        return {
            name: value
            for name, value in namespace.items()
            if isinstance(value, type)
            and not name.startswith("_")
            and self.kind is not None
            and issubclass(value, self.kind)
        }

    def find(self, name):
        """The class or function that `name` means, or None."""
        if self.own_first and name in self.names:
            return self.names[name]
        return serialization.get_registered_object(name, module_objects=self.names)

    def get(self, identifier):
        """The object that a name, config, class or callable means; None for None.

        Raises:
            ValueError: `identifier` means nothing here.
        """
        if identifier is None:
            return None
        found = identifier
        if isinstance(identifier, dict):
            found = self.deserialize(identifier)
        elif isinstance(identifier, str):
            found = self.find(identifier)
        if self.kind is None:
            is_one = callable(found)
        else:
            found = found() if isinstance(found, type) else found
            is_one = callable(found) or isinstance(found, self.kind)
        if not is_one:
            raise self.unknown(identifier)
        return found

    def unknown(self, identifier):
        """The error for an identifier that means nothing here."""
        names = ", ".join(sorted(name for name in self.names if name.islower()))
        return ValueError(
            f"{self.expected} Received: {identifier!r}. The names are: {names}. Pass what is your "
            "own as it is, or register it with keras.saving.register_keras_serializable()."
        )

    def deserialize(self, config, custom_objects=None):
        """The object that a config, or a name, describes.

        A config may lack its module, which then is this one.

        Raises:
            ValueError: the config names something unknown.
        """
        if isinstance(config, dict) and "class_name" in config and not config.get("module"):
            config = {"config": {}, **config, "module": self.module}
        found = serialization.deserialize_keras_object(config, custom_objects)
        if not isinstance(found, str):
            return found
        name, found = found, self.find(found) or self.functions.get(found)
        if found is None:
            raise ValueError(
                f"A config must name an object of {self.module} or a registered one. Received: "
                f"'{name}'. Register it with keras.saving.register_keras_serializable(), or pass "
                f"custom_objects={{'{name}': ...}}."
            )
        return found
