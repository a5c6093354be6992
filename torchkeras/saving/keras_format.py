"""The `.keras` archive: a zip of metadata, config and weights, each as it is, uncompressed.

| member | what |
| --- | --- |
| `metadata.json` | when and by what it was written |
| `config.json` | the model's config and compile arguments |
| `model.weights.safetensors` | weights, seeds, optimizer state; see `safetensors_format` |
| `assets/...` | bytes that layers keep, such as a vocabulary; see `assets` |
| `model.weights.h5` | instead of that: the same in Keras's layout; see `h5_format` |

With HDF5 weights Keras 3 opens the archive, and archives that Keras 3 wrote are read here.
"""

import contextlib
import datetime
import json
import zipfile

from torchkeras.core.serialization import custom_object_scope, serialize_with_sharing
from torchkeras.saving import archive as archives
from torchkeras.saving import h5_format, safetensors_format
from torchkeras.saving.archive import open_archive
from torchkeras.saving.assets import assign_assets, by_layout, collect_assets
from torchkeras.saving.atomic import atomic_write
from torchkeras.saving.messages import json_object
from torchkeras.saving.model_config import rebuild_model
from torchkeras.version import __version__

_KERAS_VERSION = "3.15.1"  # the version whose configs and layout ours are


def save_model(model, path, include_optimizer=True, weights_format="safetensors"):
    """Write an archive.

    Args:
        model: built model.
        path: str.
        include_optimizer: bool.
        weights_format: "safetensors" or "h5".
    """
    is_h5 = weights_format == "h5"
    to_bytes = (h5_format if is_h5 else safetensors_format).to_bytes
    weights = to_bytes(model, path, include_optimizer)
    metadata = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "torchkeras_version": __version__,
    }
    config = json.dumps(serialize_with_sharing(model))
    assets = collect_assets(by_layout(model))
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        file.writestr(archives.METADATA, json.dumps(metadata))
        file.writestr(archives.CONFIG, config)
        file.writestr(archives.H5 if is_h5 else archives.SAFETENSORS, weights)
        for name, data in assets.items():
            file.writestr(name, data)


def load_model(path, custom_objects=None, compile=True):
    """Make the model that an archive describes, with its weights and its optimizer's state."""
    with open_archive(path) as archive, custom_object_scope(custom_objects or {}):
        config = json_object(
            archive.read(archives.CONFIG), path, ".keras", archive.stored_size(archives.CONFIG)
        )
        with _weights_of(archive, path) as weights:
            return rebuild_model(config, _WithAssets(weights, archive, path), path, compile)


class _WithAssets:
    """The reader of an archive's weights, and of its assets."""

    def __init__(self, weights, archive, path):
        self._weights, self._archive, self._path = weights, archive, path

    def __getattr__(self, name):
        return getattr(self._weights, name)

    def assign_assets(self, model):
        """Give the layers of a model their assets."""
        found = {name: self._archive.read(name) for name in self._archive.assets}
        assign_assets(by_layout(model), found, self._path)


@contextlib.contextmanager
def open_weights(path):
    """The reader of the weights in an archive."""
    with open_archive(path) as archive, _weights_of(archive, path) as weights:
        yield weights


@contextlib.contextmanager
def _weights_of(archive, path):
    if archives.H5 in archive.names:
        with h5_format.open_weights(path, archive.read(archives.H5)) as weights:
            yield weights
    else:
        file = safetensors_format.FileInMemory(archive.read(archives.SAFETENSORS), path)
        yield safetensors_format.Weights(file, path)
