"""Files of models, changed as somebody would who knows of their checksums."""

import json


def without_checksums(metadata):
    """The metadata of a `.safetensors` file, for another one with other tensors."""
    return {k: v for k, v in metadata.items() if not k.startswith("torchkeras.")}


def write_index(path, index):
    """Replace the index of a sharded checkpoint, or that of a set of files, by a changed one."""
    for name in ("checksum", "checksums"):
        index.pop(name, None)
    path.write_text(json.dumps(index))
