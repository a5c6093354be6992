"""Checksums in our files, compared as they are read: damage is an error, not other weights.

The checksum of a tensor is quick to take, at the speed of memory: its bytes are added up as
little-endian 64-bit integers, modulo 2^64, in pages of 4,096, and the CRC-32 of these sums, and of
the bytes after the last whole page, is the checksum. A changed word changes the sum of its page,
and pages that changed places change the CRC.

| metadata of a `.safetensors` file | what |
| --- | --- |
| `torchkeras.checksums` | those of the tensors, 8 hexadecimal digits each, names sorted |
| `torchkeras.checksum` | the CRC-32 of the rest of the header, as JSON, names sorted |

Other readers pass over them. A file that has neither is read as it is.
"""

import json
import re
import zlib

import numpy as np
import torch
from safetensors.torch import save_file

from torchkeras.saving.messages import clipped

_SUMS, _SEAL = "torchkeras.checksums", "torchkeras.checksum"
_PAGE_BYTES = 4096
_READ_BYTES = 2**20  # whole pages, which stay in the cache of the processor
_NO_SEAL = "0" * 8


class DamagedFileError(ValueError):
    """What a file holds is not what was written to it."""


def damaged(path, name, problem="other bytes than were written"):
    """The error of a file in which the bytes of `name` have changed."""
    return DamagedFileError(
        f"A file must be as it was written. Received: '{path}', in which {clipped(name)} has "
        f"{problem}. The file is damaged: copy it anew, or go back to an earlier one. If a program "
        "has changed it on purpose, let that leave out 'torchkeras.checksums' and the like."
    )


def checksum(tensor):
    """8 hexadecimal digits for the bytes of a tensor, or of an array of NumPy.

    Example:

    >>> from torchkeras.saving.checksums import checksum
    >>> checksum(torch.zeros(3)) == checksum(torch.zeros(3, dtype=torch.int32))
    True
    >>> checksum(torch.zeros(3)) == checksum(torch.tensor([0.0, 0.0, -0.0]))
    False
    """
    if isinstance(tensor, np.ndarray):
        array = np.require(tensor, requirements=["C", "W"])  # a copy where torch would warn
        tensor = torch.from_numpy(array.reshape(-1).view(np.uint8))
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu()
    return f"{_crc(data, 0):08x}"


def _crc(data, crc):
    """The CRC of the sums of pages, and of the bytes after the last one, begun with `crc`."""
    whole = data.numel() // _PAGE_BYTES * _PAGE_BYTES
    if whole:
        pages = data[:whole]
        if pages.storage_offset() % 8:
            pages = pages.clone()
        sums = pages.view(torch.int64).view(-1, _PAGE_BYTES // 8).sum(1)
        crc = zlib.crc32(sums.numpy(), crc)
    return zlib.crc32(data[whole:].numpy(), crc)


def checksum_of_file(file, size):
    """The `checksum` of the next bytes of an open file, which are read and not mapped.

    A disk that fails is an OSError so, where a mapped file would end the program.

    Args:
        file: file of bytes.
        size: int, how many.

    Raises:
        OSError: they cannot be read.

    Example:

    >>> import io
    >>> from torchkeras.saving.checksums import checksum, checksum_of_file
    >>> checksum_of_file(io.BytesIO(bytes(5000)), 5000) == checksum(torch.zeros(1250))
    True
    """
    buffer = torch.empty(min(size, _READ_BYTES), dtype=torch.uint8)
    view, crc = memoryview(buffer.numpy()), 0
    while size:
        count = min(size, _READ_BYTES)
        if file.readinto(view[:count]) != count:
            raise OSError(f"the file ends {size} bytes too early")
        crc = _crc(buffer[:count], crc)
        size -= count
    return f"{crc:08x}"


def checksum_of_json(value):
    """8 hexadecimal digits for what can be written as JSON, whatever the order of names in dicts.

    Example:

    >>> from torchkeras.saving.checksums import checksum_of_json
    >>> checksum_of_json({"a": 1, "b": 2}) == checksum_of_json({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def save_with_checksums(tensors, path, metadata):
    """Write a `.safetensors` file, as `safetensors.torch.save_file` does.

    Args:
        tensors: dict of names to tensors, each with memory of its own.
        path: str.
        metadata: dict of strings.

    Returns:
        str, the checksum of the header. As this holds those of the tensors, it stands for all.
    """
    sums = "".join(checksum(tensors[name]) for name in sorted(tensors))
    save_file(tensors, path, metadata={**metadata, _SUMS: sums, _SEAL: _NO_SEAL})
    with open(path, "r+b") as file:
        text = file.read(int.from_bytes(file.read(8), "little"))
        seal = _seal(json.loads(text))
        place = re.search(rf'"{re.escape(_SEAL)}":"{_NO_SEAL}"'.encode(), text).end() - 9
        file.seek(8 + place)
        file.write(seal.encode())
    return seal


def _seal(header):
    metadata = {k: v for k, v in header["__metadata__"].items() if k != _SEAL}
    return checksum_of_json({**header, "__metadata__": metadata})


def read_checksums(header, path):
    """`{name: checksum}` of the tensors in a `.safetensors` file; empty where it has none.

    Args:
        header: dict, what the header says.
        path: str, for messages.

    Raises:
        DamagedFileError: the header is not as it was written.
    """
    metadata = header.get("__metadata__")
    metadata = metadata if isinstance(metadata, dict) else {}
    if _SUMS not in metadata and _SEAL not in metadata:
        return {}
    names = sorted(name for name in header if name != "__metadata__")
    sums = metadata.get(_SUMS)
    if not isinstance(sums, str) or metadata.get(_SEAL) != _seal(header):
        raise damaged(path, "the header")
    if len(sums) != 8 * len(names):
        raise damaged(path, "the header", "checksums for another number of tensors")
    return {name: sums[8 * i : 8 * i + 8] for i, name in enumerate(names)}


def header_checksum(header):
    """The checksum that a header holds of itself, or None."""
    metadata = header.get("__metadata__")
    return metadata.get(_SEAL) if isinstance(metadata, dict) else None


def check_tensor(tensor, name, checksums, path):
    """Raise where a tensor, as it was read, is not the one that was written.

    Args:
        tensor: torch.Tensor.
        name: str.
        checksums: dict of names to checksums; a tensor whose name is not there is not compared.
        path: str, for messages.

    Raises:
        DamagedFileError: it is another one.
    """
    if name in checksums and checksum(tensor) != checksums[name]:
        raise damaged(path, f"'{name}'")
