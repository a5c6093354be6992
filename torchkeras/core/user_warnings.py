"""Warnings that name the user's line, however many calls of the library lie between."""

import sys
import warnings

_OURS = ("torch.", "torchkeras.")


def warn_user(message):
    """Warn at the line outside of torchkeras and torch that called into them, by whatever way.

    Example:

    >>> import warnings
    >>> from torchkeras.core.user_warnings import warn_user
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_user("mind the gap")
    >>> str(caught[0].message)
    'mind the gap'
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
