"""FarmHash64, by which Keras's preprocessing layers put strings into buckets."""

import numpy as np

_BITS = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def farm_hash_64(data):
    """Fingerprint of bytes, the same on every machine and in every version.

    Args:
        data: bytes, or a `(strings, size)` array of uint8 for many of one size.

    Returns:
        int from 0 to 2**64 - 1, or a `(strings,)` array of uint64.

    Source:
        `farmhash::Fingerprint64` of https://github.com/google/farmhash (Pike 2014), which
        TensorFlow's `to_hash_bucket_fast` takes modulo the number of buckets.

    Example:

    >>> [farm_hash_64(text) % 3 for text in (b"Hello", b"TensorFlow", b"2.x")]
    [0, 2, 2]
    """
    if isinstance(data, (bytes, bytearray)):
        return int(farm_hash_64(np.frombuffer(data, "uint8").reshape(1, -1))[0])
    size = data.shape[1]
    if size <= 16:
        return _up_to_16(data, size)
    if size <= 32:
        return _up_to_32(data, size)
    if size <= 64:
        return _up_to_64(data, size)
    return _longer(data, size)


# Arrays of uint64 wrap around, as the algorithm wants it; constants are kept to 64 bits by hand.


def _word(data, at, size=8):
    return np.ascontiguousarray(data[:, at : at + size]).view(f"<u{size}")[:, 0].astype("uint64")


def _factor(constant, size):
    return constant + 2 * size & _BITS


def _turn(value, by):
    return value >> by | value << 64 - by


def _fold(value):
    return value ^ value >> 47


def _mix(u, v, factor):
    """Two words in one."""
    a = _fold((u ^ v) * factor)
    return _fold((v ^ a) * factor) * factor


def _up_to_16(data, size):
    factor = _factor(_K2, size)
    if size >= 8:
        a, b = _word(data, 0) + _K2, _word(data, size - 8)
        return _mix(_turn(b, 37) * factor + a, (_turn(a, 25) + b) * factor, factor)
    if size >= 4:
        return _mix((_word(data, 0, 4) << 3) + size, _word(data, size - 4, 4), factor)
    if size:
        y = _word(data, 0, 1) + (_word(data, size >> 1, 1) << 8)
        z = (_word(data, size - 1, 1) << 2) + size
        return _fold(y * _K2 ^ z * _K0) * _K2
    return np.full(len(data), _K2, "uint64")


def _head(data, size, first):
    """The words that the middle lengths share: sums `y` and `z`, the first word, the factor."""
    factor = _factor(_K2, size)
    a, b = _word(data, 0) * first, _word(data, 8)
    c, d = _word(data, size - 8) * factor, _word(data, size - 16) * _K2
    y = _turn(a + b, 43) + _turn(c, 30) + d
    z = a + _turn(b + _K2, 18) + c
    return y, z, a, factor


def _up_to_32(data, size):
    y, z, _, factor = _head(data, size, _K1)
    return _mix(y, z, factor)


def _up_to_64(data, size):
    y, z, a, factor = _head(data, size, _K2)
    z = _mix(y, z, factor)
    e, f = _word(data, 16) * factor, _word(data, 24)
    g = (y + _word(data, size - 32)) * factor
    h = (z + _word(data, size - 24)) * factor
    u = _turn(e + f, 43) + _turn(g, 30) + h
    return _mix(u, e + _turn(f + a, 18) + g, factor)


def _pair(data, at, a, b):
    """32 bytes taken into a pair of words."""
    w, x, y, z = (_word(data, at + 8 * index) for index in range(4))
    a = a + w
    b = _turn(b + a + z, 21)
    c, a = a, a + x + y
    return a + z, b + _turn(a, 44) + c


def _longer(data, size):
    seed = 81
    y = seed * _K1 + 113 & _BITS
    z = y * _K2 + 113 & _BITS
    z = (z ^ z >> 47) * _K2 & _BITS
    nothing = np.zeros(len(data), "uint64")
    x, y, z = _word(data, 0) + (seed * _K2 & _BITS), nothing + y, nothing + z
    v, w = (nothing, nothing), (nothing, nothing)
    whole = (size - 1) // 64 * 64
    rest = size - 1 & 63
    for at in range(0, whole, 64):
        x, y, z, v, w = _block(data, at, x, y, z, v, w, _K1, 1)
    factor = _K1 + ((z & 0xFF) << 1)
    w = (w[0] + rest, w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x, y, z, v, w = _block(data, whole + rest - 63, x, y, z, v, w, factor, 9)
    first = _mix(v[0], w[0], factor) + _fold(y) * _K0 + z
    return _mix(first, _mix(v[1], w[1], factor) + x, factor)


def _block(data, at, x, y, z, v, w, factor, weight):
    """64 bytes taken into the state."""
    x = _turn(x + y + v[0] + _word(data, at + 8), 37) * factor
    y = _turn(y + v[1] + _word(data, at + 48), 42) * factor
    x = x ^ w[1] * weight
    y = y + v[0] * weight + _word(data, at + 40)
    z = _turn(z + w[0], 33) * factor
    v = _pair(data, at, v[1] * factor, x + w[0])
    w = _pair(data, at + 32, z + w[1], y + _word(data, at + 16))
    return z, y, x, v, w
