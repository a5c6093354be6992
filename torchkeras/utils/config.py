"""Config: named values that can be frozen."""

import difflib
import json


class Config:
    """A dict whose entries are attributes as well, and which can be frozen.

    Args:
        **kwargs: the first entries.

    Example:

    >>> config = keras.utils.Config(rate=0.1)
    >>> config.seed = 3
    >>> config["rate"], config.seed, sorted(config)
    (0.1, 3, ['rate', 'seed'])
    >>> config.freeze()
    >>> config.seed = 4
    Traceback (most recent call last):
        ...
    ValueError: A frozen Config cannot be changed. Received: seed=4. Call `unfreeze()` first.
    """

    _own = frozenset({"_config", "_frozen"})

    def __init__(self, **kwargs):
        object.__setattr__(self, "_config", kwargs)
        object.__setattr__(self, "_frozen", False)

    @property
    def frozen(self):
        """Whether changes are errors."""
        return self._frozen

    def freeze(self):
        """Make every later change an error."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self):
        """Allow changes again."""
        object.__setattr__(self, "_frozen", False)

    def _check_open(self, what):
        if self._frozen:
            raise ValueError(
                f"A frozen Config cannot be changed. Received: {what}. Call `unfreeze()` first."
            )

    def as_dict(self):
        """The entries as a new dict."""
        return dict(self._config)

    def to_json(self):
        """The entries as JSON."""
        return json.dumps(self._config)

    def keys(self):
        """The names."""
        return self._config.keys()

    def values(self):
        """The values."""
        return self._config.values()

    def items(self):
        """Pairs of names and values."""
        return self._config.items()

    def get(self, keyname, value=None):
        """The value of a name, or `value` where there is none."""
        return self._config.get(keyname, value)

    def pop(self, *args):
        """Take an entry out, as `dict.pop` does."""
        self._check_open(f"pop{args}")
        return self._config.pop(*args)

    def update(self, *args, **kwargs):
        """Put entries in, as `dict.update` does."""
        self._check_open("update(...)")
        self._config.update(*args, **kwargs)

    def __setattr__(self, name, value):
        if name in self._own or hasattr(type(self), name):
            object.__setattr__(self, name, value)
            return
        self[name] = value

    def __getattr__(self, name):
        config = self.__dict__.get("_config", {})
        if name in config:
            return config[name]
        close = difflib.get_close_matches(name, config, n=1, cutoff=0.7)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise AttributeError(f"Unknown attribute: '{name}'.{hint}")

    def __setitem__(self, key, item):
        self._check_open(f"{key}={item!r}")
        self._config[key] = item

    def __getitem__(self, key):
        return self._config[key]

    def __delitem__(self, key):
        self._check_open(f"del {key}")
        del self._config[key]

    def __iter__(self):
        return iter(sorted(self._config))

    def __len__(self):
        return len(self._config)

    def __contains__(self, item):
        return item in self._config

    def __repr__(self):
        return f"<Config {self._config}>"
