"""Windows of signal processing, by their names in SciPy."""

import math

import numpy as np

# Sums of cosines: w(n) = a0 - a1 cos(x) + a2 cos(2x) - ..., x = 2 pi n / (length - 1).
_COSINES = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.50, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
_ALIASES = {"hanning": "hann", "hamm": "hamming", "ones": "boxcar", "rectangular": "boxcar"}


def window_values(name, length, periodic=True):
    """A window as an array of float64.

    Args:
        name: str, one of the windows that are sums of cosines, "bartlett" or "cosine"; any other
            that SciPy knows by name alone, where it is installed.
        length: int, number of values.
        periodic: bool, whether it is to be repeated; else it is symmetric.

    Raises:
        ValueError: there is no window of that name.

    Example:

    >>> from torchkeras.initializers.windows import window_values
    >>> window_values("hann", 4).round(3).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    name = _ALIASES.get(name, name)
    count = length + 1 if periodic else length
    if name not in _COSINES and name not in ("bartlett", "cosine"):
        return _of_scipy(name, length, periodic)
    if length == 1:
        return np.ones(1)
    places = np.arange(count)
    if name == "bartlett":
        window = 1 - np.abs(2 * places / (count - 1) - 1)
    elif name == "cosine":
        window = np.sin(math.pi / count * (places + 0.5))
    else:
        angles = 2 * math.pi * places / (count - 1)
        terms = enumerate(_COSINES[name])
        window = sum((-1) ** k * factor * np.cos(k * angles) for k, factor in terms)
    return window[:length]


def _of_scipy(name, length, periodic):
    try:
        from scipy.signal import get_window
    except ImportError as error:
        names = ", ".join(sorted([*_COSINES, "bartlett", "cosine"]))
        raise ValueError(
            f"`window` must be one of {names}, or, with SciPy installed, one of its own. "
            f"Received: window={name!r}. Give the values of the window as an array."
        ) from error
    try:
        return get_window(name, length, periodic)
    except ValueError as error:
        raise ValueError(
            f"`window` must be the name of a window, or its values. Received: window={name!r}."
        ) from error
