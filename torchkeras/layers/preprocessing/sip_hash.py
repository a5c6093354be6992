"""SipHash-2-4, by which Keras's preprocessing layers put strings into buckets with a salt."""

import numpy as np

_BITS = (1 << 64) - 1
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def sip_hash_64(data, key):
    """Hash of bytes under a key, which makes it another function of them.

    Args:
        data: bytes, or a `(strings, size)` array of uint8 for many of one size.
        key: two ints of 64 bits.

    Returns:
        int from 0 to 2**64 - 1, or a `(strings,)` array of uint64.

    Source:
        Aumasson and Bernstein 2012, https://www.aumasson.jp/siphash/siphash.pdf, section 2, with
        2 rounds for each word and 4 at the end: what TensorFlow's `to_hash_bucket_strong` takes
        modulo the number of buckets.

    Example:

    >>> [sip_hash_64(text, (133, 137)) % 3 for text in (b"A", b"B", b"C", b"D", b"E")]
    [1, 2, 1, 0, 2]
    """
    if isinstance(data, (bytes, bytearray)):
        return int(sip_hash_64(np.frombuffer(data, "uint8").reshape(1, -1), key)[0])
    count, size = data.shape
    padded = np.zeros((count, size // 8 * 8 + 8), "uint8")
    padded[:, :size] = data
    padded[:, -1] = size & 0xFF
    state = start(np.zeros(count, "uint64"), key, _BITS)
    for word in padded.view("<u8").astype("uint64").T:
        state = take(state, word, sip_round)
    return finish(state, sip_round)


def start(zeros, key, bits):
    """The four words before the first of the data: `zeros` gives their shape."""
    keys = (key[0], key[1], key[0], key[1])
    return [zeros + ((a ^ k) & bits) for a, k in zip(_START, keys, strict=True)]


def take(state, word, rounds):
    """The state when it has taken a word of the data in."""
    state = [*state[:3], state[3] ^ word]
    for _ in range(2):
        state = rounds(state)
    return [state[0] ^ word, *state[1:]]


def finish(state, rounds):
    """The hash that a state ends in."""
    state = [*state[:2], state[2] ^ 0xFF, state[3]]
    for _ in range(4):
        state = rounds(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def sip_round(state, turn=lambda value, by: value >> by | value << 64 - by):
    """One round; `turn` rotates the bits of words to the left."""
    v0, v1, v2, v3 = state
    v0, v2 = v0 + v1, v2 + v3
    v1, v3 = turn(v1, 64 - 13) ^ v0, turn(v3, 64 - 16) ^ v2
    v0 = turn(v0, 32)
    v2, v0 = v2 + v1, v0 + v3
    v1, v3 = turn(v1, 64 - 17) ^ v2, turn(v3, 64 - 21) ^ v0
    return [v0, v1, turn(v2, 32), v3]
