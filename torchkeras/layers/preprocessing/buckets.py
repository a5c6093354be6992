"""Buckets: places of strings and integers by their hash."""

import numpy as np
import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.strings import as_text, is_text
from torchkeras.layers.preprocessing.decimal_hash import decimal_hash, signed, unsigned_modulo
from torchkeras.layers.preprocessing.farm_hash import farm_hash_64
from torchkeras.layers.preprocessing.sip_hash import sip_hash_64


def check_salt(salt):
    """A salt as a list of two ints, or None.

    Raises:
        ValueError: it is neither None, an int nor two ints.

    Example:

    >>> check_salt(133)
    [133, 133]
    """
    pair = [salt, salt] if isinstance(salt, int) else salt
    if pair is None:
        return None
    if not isinstance(pair, (list, tuple)) or [type(part) for part in pair] != [int, int]:
        raise ValueError(f"`salt` must be an int, or two of them. Received: salt={salt!r}.")
    return list(pair)


def numbers_or_text(layer, x, takes_floats=False):
    """Input of a layer as a tensor of integers or an array of text.

    Args:
        layer: Layer, for the message.
        x: tensor, array, number, string, or lists of these.
        takes_floats: bool, whether floats are cut to integers; else they are an error.

    Raises:
        ValueError: `x` is of another kind.

    Example:

    >>> numbers_or_text(keras.layers.Identity(name="here"), [[1, 2]])
    tensor([[1, 2]], dtype=torch.int32)
    """
    if is_text(x) or isinstance(x, np.ndarray) and x.dtype.kind in "OUS":
        return as_text(x)
    x = convert_to_tensor(x)
    if takes_floats and x.is_floating_point():
        return x.long()
    if x.dtype is torch.bool or x.is_floating_point() or x.is_complex():
        raise ValueError(
            f"Layer '{layer.name}' takes integers and text. Received: a tensor of {x.dtype}. "
            "Cast it to integers, or put a Discretization layer in front."
        )
    return x


def fingerprints(x, salt=None):
    """The 64 bits of the hash of each value, as an int64 tensor.

    Text is hashed as UTF-8, each word once, and integers as the decimal text of them.

    Args:
        x: tensor of integers, or array of text.
        salt: two ints for SipHash-2-4, or None for FarmHash64.

    Example:

    >>> torch.equal(fingerprints(np.array(["7", "42"])), fingerprints(torch.tensor([7, 42])))
    True
    """
    if isinstance(x, torch.Tensor):
        return decimal_hash(x, salt)
    words = {}  # a dict keeps their order, and is quicker than sorting
    order = [words.setdefault(word, len(words)) for word in x.ravel().tolist()]
    by_size = {}
    for index, word in enumerate(words):
        data = word.encode()
        by_size.setdefault(len(data), ([], []))
        by_size[len(data)][0].append(index)
        by_size[len(data)][1].append(data)
    hashes = np.zeros(len(words), "uint64")
    for size, (indices, data) in by_size.items():
        data = np.frombuffer(b"".join(data), "uint8").reshape(len(indices), size)
        hashes[indices] = farm_hash_64(data) if salt is None else sip_hash_64(data, salt)
    made = hashes[np.array(order, dtype="int64")].view("int64").reshape(x.shape)
    return convert_to_tensor(made)


def buckets(x, count, salt=None):
    """The bucket of each value, from 0 to `count - 1`.

    Args:
        x, salt: see `fingerprints`.
        count: int.

    Example:

    >>> buckets(np.array(["A", "B", "C", "D", "E"]), 3)
    tensor([1, 0, 1, 1, 2])
    """
    return unsigned_modulo(fingerprints(x, salt), count)


_FACTOR = signed(0xC6A4A7935BD1E995)
_SEED = 0xDECAFCAFFE


def crossed_buckets(values, count):
    """The bucket of each combination of values.

    Args:
        values: list of tensors of integers and arrays of text, all of one shape.
        count: int.

    Source:
        TensorFlow's `tf.sparse.cross_hashed` with its own key: integers stand for themselves,
        strings for their FarmHash64, and `FingerprintCat64` joins one after the other.

    Example:

    >>> crossed_buckets([np.array(["A", "B", "A"]), torch.tensor([101, 101, 102])], 5)
    tensor([1, 4, 3])
    """
    numbers = [x.long() if isinstance(x, torch.Tensor) else fingerprints(x) for x in values]
    device = next((x.device for x in values if isinstance(x, torch.Tensor)), numbers[0].device)
    joined = torch.full_like(numbers[0], _SEED, device=device)
    for x in numbers:
        joined = joined ^ _FACTOR ^ _fold(x.to(device) * _FACTOR) * _FACTOR
        joined = _fold(_fold(joined * _FACTOR) * _FACTOR)
    return unsigned_modulo(joined, count)


def _fold(x):
    return x ^ (x >> 47 & (1 << 17) - 1)
