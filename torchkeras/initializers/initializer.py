"""Initializer: the base class."""

import inspect
import reprlib


class Initializer:
    """Base class of objects that make a weight's first value.

    A subclass defines `__call__(shape, dtype=None)`, which returns a tensor, and, if its
    constructor has arguments, `get_config`.

    Example:

    >>> class Two(keras.initializers.Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return 2 * keras.initializers.Ones()(shape, dtype)
    >>> Two()((2,))
    tensor([2., 2.])
    """

    def __call__(self, shape, dtype=None):
        """The first value of a weight.

        Args:
            shape: tuple of ints.
            dtype: dtype of the weight; None for `keras.config.floatx()`.

        Raises:
            NotImplementedError: always; subclasses replace it.
        """
        raise NotImplementedError(
            f"An initializer must define `__call__(self, shape, dtype=None)`. Received: "
            f"{type(self).__name__}, which does not. Add the method, and return a tensor."
        )

    def get_config(self):
        """The constructor's arguments, as a JSON-ready dict."""
        return {}

    @classmethod
    def from_config(cls, config):
        """The initializer that `get_config` described."""
        return cls(**config)

    def clone(self):
        """A new initializer with the same configuration.

        Without a seed the clone draws a seed of its own, and so gives other numbers.

        Example:

        >>> keras.initializers.Constant(3.0).clone()
        <Constant value=3.0>
        """
        return type(self).from_config(self.get_config())

    def __repr__(self):
        """`<Name argument=value>`, of the arguments that are not at their default; and `seed`."""
        defaults = inspect.signature(type(self)).parameters
        config = self.get_config()
        shown = ""
        for key, value in config.items():
            if key != "seed" and not (key in defaults and value == defaults[key].default):
                text = reprlib.repr(getattr(self, key, value))  # at most some 30 characters
                shown += f" {key}={' '.join(text.split())}"
        if "seed" in config:
            seed = config["seed"]
            shown += f" seed={seed['class_name'] if isinstance(seed, dict) else seed}"
        return f"<{type(self).__name__}{shown}>"
