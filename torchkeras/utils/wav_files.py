"""Reading .wav files: PCM of 8 to 32 bits and floats, as float32 tensors."""

import dataclasses
import os
import struct

import numpy as np
import torch

from torchkeras.utils.regular_files import open_regular

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MOST_CHUNKS = 1000


@dataclasses.dataclass
class WavHeader:
    """What the header of a .wav file says.

    Args:
        channels: int.
        rate: int, samples a second.
        sample_bytes: int, bytes of a sample of one channel.
        is_float: bool.
        start: int, place of the first sample in the file.
        frames: int, samples of each channel.
    """

    channels: int
    rate: int
    sample_bytes: int
    is_float: bool
    start: int
    frames: int


def read_wav(path, frames=None):
    """The samples of a .wav file and their rate.

    Args:
        path: path.
        frames: int, samples to read of each channel; None for all.

    Returns:
        `(samples, rate)`: a float32 tensor `(samples, channels)` from -1 to 1, and an int.

    Raises:
        ValueError: the file is none of this kind, or broken.
        OSError: it cannot be read.

    Example:

    >>> import wave
    >>> with wave.open("tone.wav", "wb") as file:
    ...     file.setparams((1, 2, 8000, 0, "NONE", ""))
    ...     file.writeframes(np.array([0, 16384, -32768], "<i2").tobytes())
    >>> from torchkeras.utils.wav_files import read_wav
    >>> samples, rate = read_wav("tone.wav")
    >>> samples.flatten().tolist(), rate
    ([0.0, 0.5, -1.0], 8000)
    """
    with open_regular(path) as file:
        try:
            header = _read_header(file, os.fstat(file.fileno()).st_size)
        except (struct.error, EOFError) as error:
            raise _broken(path, "it ends within its header") from error
        except ValueError as error:
            raise _broken(path, error) from error
        count = header.frames if frames is None else min(frames, header.frames)
        file.seek(header.start)
        size = count * header.channels * header.sample_bytes
        content = file.read(size)
    if len(content) < size:
        raise _broken(path, "it ends within its samples")
    samples = _as_floats(content, header).reshape(count, header.channels)
    return torch.from_numpy(samples), header.rate


def _broken(path, reason):
    return ValueError(
        f"A .wav file of PCM or float samples was expected. Received: {path}: {reason}. Convert "
        "it, or leave it out of the folder."
    )


def _read_header(file, file_bytes):
    riff, _, form = struct.unpack("<4sI4s", file.read(12))
    if riff != b"RIFF" or form != b"WAVE":
        raise ValueError("it does not begin as one")
    layout = None
    for _ in range(_MOST_CHUNKS):
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"fmt ":
            layout = _read_layout(file.read(min(size, 40)))
            file.seek(max(size - 40, 0), os.SEEK_CUR)
        elif name == b"data":
            break
        else:
            file.seek(size, os.SEEK_CUR)
        file.seek(size % 2, os.SEEK_CUR)  # chunks begin at even places
    else:
        raise ValueError(f"there are no samples in its first {_MOST_CHUNKS} chunks")
    if layout is None:
        raise ValueError("its samples come before their format")
    channels, rate, sample_bytes, is_float = layout
    start = file.tell()
    left = file_bytes - start
    # Programs that write to a pipe do not know the size, and leave the largest one, or 0.
    if size in (0, 0xFFFFFFFF) or size >= 0x7FFFFFFF:
        size = left
    if size > left:
        raise ValueError(f"it has {left} bytes of samples where its header says {size}")
    frames = size // (channels * sample_bytes)
    return WavHeader(channels, rate, sample_bytes, is_float, start, frames)


def _read_layout(chunk):
    code, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if code == _EXTENSIBLE:
        (code,) = struct.unpack_from("<H", chunk, 24)
    widths = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
    if bits not in widths.get(code, ()):
        raise ValueError(f"its samples are of format {code} with {bits} bits")
    if not channels or not rate or frame_bytes != channels * bits // 8:
        raise ValueError(
            f"its header says {channels} channels at {rate} Hz in frames of {frame_bytes} bytes"
        )
    return channels, rate, bits // 8, code == _FLOAT


def _as_floats(content, header):
    if header.is_float:
        return np.frombuffer(content, f"<f{header.sample_bytes}").astype("float32")
    if header.sample_bytes == 1:  # the only one without a sign
        return (np.frombuffer(content, "u1").astype("float32") - 128) / 128
    if header.sample_bytes == 3:
        # Three bytes as the upper ones of four keep their sign.
        wide = np.zeros((len(content) // 3, 4), "u1")
        wide[:, 1:] = np.frombuffer(content, "u1").reshape(-1, 3)
        return wide.view("<i4").reshape(-1).astype("float32") / 2**31
    scale = 2.0 ** (8 * header.sample_bytes - 1)
    return (np.frombuffer(content, f"<i{header.sample_bytes}") / scale).astype("float32")
