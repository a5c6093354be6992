"""The version, in one place."""

__version__ = "0.1.0"


def version():
    """Version of torchkeras, as a string.

    Example:

    >>> keras.version() == keras.__version__
    True
    """
    return __version__
