"""Who makes an object from a file asks here before it takes much memory beside tensors.

`saving.memory_limit` counts the tensors that are made while a file is read. Lists and arrays whose
length a config may choose it does not see: they are claimed.
"""

import threading


class _Claims(threading.local):
    def __init__(self):
        self.limits = ()  # those that are in force, the outermost first
        self.draws_nothing = False


_CLAIMS = _Claims()


def claim_memory(size_bytes):
    """Say that so many bytes are about to be taken; nothing happens where no file is read.

    Raises:
        ValueError: that is more than the file that is being read is worth.

    Example:

    >>> from torchkeras.core.claims import claim_memory
    >>> claim_memory(2**60)
    """
    for limit in _CLAIMS.limits:
        limit.claim(size_bytes)


def values_follow():
    """Whether weights are made that a file will set: random numbers need not be drawn for them.

    Example:

    >>> from torchkeras.core.claims import values_follow
    >>> values_follow()
    False
    """
    return _CLAIMS.draws_nothing


class Limited:
    """A scope in which `claim` of this object is asked; base of limits.

    Args:
        values_follow: bool, what `values_follow()` answers inside.
    """

    def __init__(self, values_follow=False):
        self._values_follow = values_follow
        self._outer = []

    def claim(self, size_bytes):
        """Raise a ValueError if so many bytes are too many."""

    def __enter__(self):
        self._outer.append((_CLAIMS.limits, _CLAIMS.draws_nothing))
        _CLAIMS.limits = (*_CLAIMS.limits, self)
        _CLAIMS.draws_nothing = self._values_follow
        return self

    def __exit__(self, *error):
        _CLAIMS.limits, _CLAIMS.draws_nothing = self._outer.pop()


class ClaimLimit(Limited):
    """A scope in which claims may come to so many bytes; tensors are not counted.

    For a text that describes a model: its weights may be of any size, all else is small.

    Args:
        most_bytes: int.

    Example:

    >>> from torchkeras.core.claims import ClaimLimit, claim_memory
    >>> with ClaimLimit(1000):
    ...     claim_memory(2000)
    Traceback (most recent call last):
    ...
    ValueError: What a model needs beside its weights must be in proportion to its description. \
Received: a config that asks for 2000 bytes, where 1000 are allowed. It is damaged or hostile.
    """

    def __init__(self, most_bytes):
        super().__init__()
        self._most, self._asked = most_bytes, 0

    def claim(self, size_bytes):
        """Count bytes that are about to be taken."""
        self._asked += size_bytes
        if self._asked > self._most:
            raise ValueError(
                "What a model needs beside its weights must be in proportion to its description. "
                f"Received: a config that asks for {self._asked} bytes, where {self._most} are "
                "allowed. It is damaged or hostile."
            )
