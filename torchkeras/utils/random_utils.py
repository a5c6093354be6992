"""set_random_seed: one call that seeds everything."""

import random

import numpy as np
import torch


def set_random_seed(seed):
    """Seed Python's, NumPy's and torch's random generators, on every device.

    Weights made, dropout masks drawn and data shuffled after it are the same in each run.

    Args:
        seed: int from 0 to 2**32 - 1.

    Raises:
        ValueError: `seed` is not such an int.

    Example:

    >>> keras.utils.set_random_seed(1)
    >>> a = torch.rand(2)
    >>> keras.utils.set_random_seed(1)
    >>> bool((torch.rand(2) == a).all())
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"`seed` must be an int from 0 to 2**32 - 1. Received: seed={seed!r}.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
