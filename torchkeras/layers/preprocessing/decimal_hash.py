"""Hashes of integers written as decimal text, in torch: on any device, without a look at them."""

import torch

from torchkeras.layers.preprocessing import farm_hash, sip_hash

_DIGITS = 19  # of the largest number of 64 bits
_MINUS, _ZERO = ord("-"), ord("0")


def decimal_hash(x, key=None):
    """FarmHash64 of the decimal text of each integer; with a key, SipHash-2-4 of it.

    Args:
        x: tensor of integers.
        key: two ints, or None.

    Returns:
        int64 tensor of the shape of `x`, with the bits of the unsigned hash.

    Example:

    >>> from torchkeras.layers.preprocessing.farm_hash import farm_hash_64
    >>> made = decimal_hash(torch.tensor([-12, 2024]))
    >>> [int(h) % 2**64 for h in made] == [farm_hash_64(b"-12"), farm_hash_64(b"2024")]
    True
    """
    words, size = _text(x.long())
    return _farm(words, size) if key is None else _sip(words, size, key)


def unsigned_modulo(x, count):
    """Remainder of 64 unsigned bits, which torch has as int64, by an int.

    Example:

    >>> unsigned_modulo(torch.tensor([-1]), 10), (2**64 - 1) % 10
    (tensor([5]), 5)
    """
    half = _right(x, 1) % count
    return (half * 2 + (x & 1)) % count


def signed(value):
    """The int64 of the same bits as an unsigned int.

    Example:

    >>> signed(2**64 - 1)
    -1
    """
    value &= (1 << 64) - 1
    return value - (value >> 63 << 64)


_K0, _K1, _K2 = (signed(k) for k in (farm_hash._K0, farm_hash._K1, farm_hash._K2))


def _text(x):
    """The bytes of the decimal text, in three words with the first byte lowest, and their number.

    Bytes past the end are 0.
    """
    places = torch.arange(_DIGITS, device=x.device)
    above = torch.div(x.unsqueeze(-1), 10**places, rounding_mode="trunc")
    digits = torch.fmod(above, 10).abs() + _ZERO
    count = (above != 0).sum(-1, keepdim=True).clamp(min=1)
    minus = (x < 0).unsqueeze(-1)
    size = count + minus
    at = torch.where(places < count, size - 1 - places, 24)  # where each digit stands in the text
    shifted = digits << (at & 7) * 8
    words = [torch.where(at >> 3 == word, shifted, 0).sum(-1) for word in range(3)]
    words[0] = words[0] + minus.squeeze(-1) * _MINUS
    return words, size.squeeze(-1)


def _right(x, by):
    """Shift to the right that fills up with zeros."""
    mask = (1 << 64 - by) - 1 if by else -1
    return x >> by & mask


def _turn(x, by):
    return _right(x, by) | x << 64 - by


def _fold(x):
    return x ^ _right(x, 47)


def _mix(u, v, factor):
    a = _fold((u ^ v) * factor)
    return _fold((v ^ a) * factor) * factor


def _byte(words, at):
    word = torch.where(at < 8, words[0], torch.where(at < 16, words[1], words[2]))
    return word >> (at & 7) * 8 & 0xFF


def _word(words, at):
    """Eight bytes from `at`, a tensor, on."""
    low = torch.where(at < 8, words[0], torch.where(at < 16, words[1], words[2]))
    high = torch.where(at < 8, words[1], torch.where(at < 16, words[2], 0))
    by = (at & 7) * 8
    # A shift by 64 bits is undefined, so the word above moves in two steps.
    ones = torch.where(by == 0, -1, (1 << (64 - by).clamp(max=63)) - 1)
    return low >> by & ones | high << 1 << (63 - by).clamp(min=0) & torch.where(by == 0, 0, -1)


def _farm(words, size):
    """The four ways of FarmHash64 for up to 32 bytes, of which each element takes its own."""
    factor = 2 * size + _K2
    first, second = words[0], words[1]
    y = _byte(words, size * 0) + (_byte(words, size >> 1) << 8)
    z = size + (_byte(words, size - 1) << 2)
    up_to_3 = _fold(y * _K2 ^ z * _K0) * _K2

    last = _word(words, (size - 4).clamp(min=0)) & 0xFFFFFFFF
    up_to_7 = _mix(size + ((first & 0xFFFFFFFF) << 3), last, factor)

    last = _word(words, (size - 8).clamp(min=0))
    a = first + _K2
    up_to_16 = _mix(_turn(last, 37) * factor + a, (_turn(a, 25) + last) * factor, factor)

    a, b, c = first * _K1, second, last * factor
    d = _word(words, (size - 16).clamp(min=0)) * _K2
    y = _turn(a + b, 43) + _turn(c, 30) + d
    up_to_32 = _mix(y, a + _turn(b + _K2, 18) + c, factor)

    short = torch.where(size < 4, up_to_3, up_to_7)
    return torch.where(size < 8, short, torch.where(size < 17, up_to_16, up_to_32))


def _sip(words, size, key):
    state = [torch.zeros_like(size) + signed(word) for word in sip_hash.start(0, key, -1)]

    def rounds(values):
        return sip_hash.sip_round(values, _turn)

    for index, word in enumerate(words):
        ends_here = size >> 3 == index
        taken = sip_hash.take(state, torch.where(ends_here, word | size << 56, word), rounds)
        there = size >> 3 >= index
        state = [torch.where(there, new, old) for new, old in zip(taken, state, strict=True)]
    return sip_hash.finish(state, rounds)
