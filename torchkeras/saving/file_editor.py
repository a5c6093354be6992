"""KerasFileEditor: look into a file of weights, change what is in it, and write it anew."""

import contextlib
import json

import numpy as np
import torch

from torchkeras.saving import archive as archives
from torchkeras.saving import h5_format, safetensors_format
from torchkeras.saving.archive import open_archive
from torchkeras.saving.h5_reader import open_h5, read_tensor
from torchkeras.saving.messages import json_object
from torchkeras.saving.safetensors_format import FileInMemory

_VARS = "vars"


class KerasFileEditor:
    """The weights of a file as nested dicts, which can be changed and saved again.

    For files that no longer fit a model that has changed. In HDF5 files weights have the names
    of Keras's layout, `layers/dense` with `0` and `1`; in `.safetensors` those of `state_dict`,
    `dense` with `kernel` and `bias`. Nothing in a file is run, and no model is made.

    Args:
        filepath: str or path ending in `.weights.h5`, `.keras` or `.safetensors`.

    Attributes:
        weights_dict: nested dict; its leaves are arrays, or tensors where NumPy lacks the dtype.
        config, metadata: dicts of a `.keras` file; None for others.
        object_metadata: dict of paths, from the root `/`, to what the file says of an object.

    Raises:
        ValueError: another ending, or a file that is damaged.
        FileNotFoundError: there is no such file.

    Example:

    >>> import os, tempfile
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.weights.safetensors")
    >>> model.save_weights(path)
    >>> editor = keras.saving.KerasFileEditor(path)
    >>> editor.rename_object("dense", "head")
    >>> editor.save(path)
    >>> keras.saving.KerasFileEditor(path).summary()
    Weights of 'model.weights.safetensors'
      head
        bias: shape=(2,), dtype=float32
        kernel: shape=(3, 2), dtype=float32
    """

    def __init__(self, filepath):
        self.filepath = str(filepath)
        self.config = self.metadata = None
        self.object_metadata = {}
        self.weights_dict = {}
        if self.filepath.endswith(".weights.h5"):
            self._read_h5(None)
        elif self.filepath.endswith(".keras"):
            self._read_archive()
        elif self.filepath.endswith(".safetensors"):
            with safetensors_format.OpenFile(self.filepath) as file:
                self._read_safetensors(file)
        else:
            raise ValueError(
                "A file of weights ends in .weights.h5, .keras or .safetensors. Received: "
                f"filepath='{filepath}'."
            )

    # Reading

    def _read_archive(self):
        path = self.filepath
        with open_archive(path) as archive:
            self.config = json_object(archive.read(archives.CONFIG), path, ".keras")
            if archives.METADATA in archive.names:
                self.metadata = json_object(archive.read(archives.METADATA), path, ".keras")
            if archives.H5 in archive.names:
                self._read_h5(archive.read(archives.H5))
            else:
                self._read_safetensors(FileInMemory(archive.read(archives.SAFETENSORS), path))

    def _read_h5(self, data):
        self._is_h5 = True
        with open_h5(self.filepath, data) as groups:
            for path, datasets in groups.items():
                parts = [part for part in path.split("/") if part]
                if parts and parts[-1] == _VARS:
                    parts.pop()
                for name, dataset in datasets.items():
                    inner = f"{path}/{name}"
                    value = read_tensor(dataset, inner, self.filepath, groups.checksums)
                    _inside(self.weights_dict, parts)[name] = _as_array(value)
                about = _name_of_group(datasets)
                if about is not None:
                    self.object_metadata["/" + "/".join(parts)] = {"name": about}

    def _read_safetensors(self, file):
        self._is_h5 = False
        metadata = file.metadata() or {}
        names = {
            name: name
            for name in file.keys()
            if "/" not in name  # optimizer, seeds and assets stand under such names
        }
        aliases = json_object(metadata.get("aliases", "{}"), self.filepath)
        names.update({name: first for name, first in aliases.items() if first in names})
        for name, first in sorted(names.items()):
            *parts, last = name.split(".")
            value = _as_array(file.get_tensor(first))
            _inside(self.weights_dict, parts)[last] = value

    # Looking

    def summary(self):
        """Print the objects and weights of the file."""
        print(f"Weights of '{self.filepath.replace(chr(92), '/').rpartition('/')[2]}'")
        for line in self._lines(self.weights_dict, "", "  "):
            print(line)

    def _lines(self, weights, path, indent):
        for key, value in weights.items():
            inner = f"{path}/{key}"
            if isinstance(value, dict):
                name = self.object_metadata.get(inner, {}).get("name")
                yield f"{indent}{key}" + (f" ('{name}')" if name else "")
                yield from self._lines(value, inner, indent + "  ")
            else:
                dtype = str(value.dtype).removeprefix("torch.")
                yield f"{indent}{key}: shape={tuple(value.shape)}, dtype={dtype}"

    def compare(self, reference_model):
        """Print how the file differs from what a model would write.

        Args:
            reference_model: built Model.

        Returns:
            dict with `status`, `"success"` or `"error"`; `error_count`, the number of objects
            and weights that one of the two lacks, or that have other shapes; and `match_count`,
            the number of weights that fit.
        """
        expected = self._spec_of(reference_model)
        problems = []
        matches = _compared(self.weights_dict, expected, "", problems)
        for problem in problems:
            print(f"... {problem}")
        if problems:
            print(f"Found {len(problems)} error(s): the file does not fit the model.")
        else:
            print(f"The file fits the model, with {matches} weight(s).")
        return {
            "status": "error" if problems else "success",
            "error_count": len(problems),
            "match_count": matches,
        }

    def _spec_of(self, model):
        """What the file of a model would hold, as nested dicts of its values."""
        spec = {}
        if not self._is_h5:
            for name, tensor in model.state_dict().items():
                *parts, last = name.split(".")
                _inside(spec, parts)[last] = tensor
            return spec
        # An optimizer counts where the file has one: others save weights alone.
        groups = h5_format._collect(model, include_optimizer="optimizer" in self.weights_dict)
        for path, (_, values) in groups.items():
            parts = [part for part in path.split("/") if part and part != _VARS]
            for name, value in values.items():
                _inside(spec, parts)[name] = value
        return spec

    # Editing

    def rename_object(self, object_name, new_name):
        """Give an object another name, in its place among the others.

        Args:
            object_name: str, its path, or its name where only one has it.
            new_name: str, without `/`.

        Raises:
            ValueError: there is no such object, or one of the new name.
        """
        if "/" in new_name:
            raise ValueError(
                "The new name of an object is no path: it stays where it is. Received: "
                f"new_name='{new_name}'."
            )
        holder, name = self._find(object_name)
        if new_name in holder and new_name != name:
            raise ValueError(
                f"Objects in one place have different names. Received: new_name='{new_name}', "
                "which is there already. Delete that one first."
            )
        items = [(new_name if key == name else key, value) for key, value in holder.items()]
        holder.clear()
        holder.update(items)

    def delete_object(self, object_name):
        """Leave an object out, with all in it.

        Args:
            object_name: str, its path, or its name where only one has it.
        """
        holder, name = self._find(object_name)
        del holder[name]

    def add_object(self, object_path, weights):
        """Put a new object into the file.

        Args:
            object_path: str, its path; the objects around it are there.
            weights: dict of names (in HDF5 files mostly `"0"`, `"1"`...) to arrays or tensors.

        Raises:
            ValueError: `weights` is no dict, or an object around it is missing.
        """
        weights = _checked(weights)
        *parts, name = object_path.split("/")
        holder = self.weights_dict
        for part in parts:
            holder = holder.get(part) if isinstance(holder, dict) else None
            if not isinstance(holder, dict):
                raise ValueError(self._unknown("/".join(parts)))
        holder[name] = weights

    def delete_weight(self, object_name, weight_name):
        """Leave one weight of an object out.

        Args:
            object_name: str, its path, or its name where only one has it.
            weight_name: str.

        Raises:
            ValueError: there is no such object or weight.
        """
        weights = self._weights_of(object_name)
        if weight_name not in weights:
            raise ValueError(
                f"Object '{object_name}' has the weights {list(weights)}. Received: "
                f"weight_name='{weight_name}'."
            )
        del weights[weight_name]

    def add_weights(self, object_name, weights):
        """Put weights into an object, in the place of those that have their names.

        Args:
            object_name: str, its path, or its name where only one has it.
            weights: dict of names to arrays or tensors.

        Raises:
            ValueError: there is no such object, or `weights` is no dict.
        """
        self._weights_of(object_name).update(_checked(weights))

    def _weights_of(self, object_name):
        holder, name = self._find(object_name)
        if not isinstance(holder[name], dict):
            raise ValueError(
                f"An object holds weights. Received: '{object_name}', which is a weight itself."
            )
        return holder[name]

    def _find(self, object_name):
        """The dict that holds an object, and its name there."""
        if "/" in object_name:
            *parts, name = object_name.split("/")
            holder = self.weights_dict
            for part in parts:
                holder = holder.get(part) if isinstance(holder, dict) else None
            if not isinstance(holder, dict) or name not in holder:
                raise ValueError(self._unknown(object_name))
            return holder, name
        holders = [holder for holder in _dicts_in(self.weights_dict) if object_name in holder]
        if not holders:
            raise ValueError(self._unknown(object_name))
        if len(holders) > 1:
            raise ValueError(
                f"A name must mean one object. Received: '{object_name}', of which there are "
                f"{len(holders)}. Give its path."
            )
        return holders[0], object_name

    def _unknown(self, name):
        return (
            f"'{self.filepath}' has no such object. Received: '{name}'. `summary()` lists all that "
            "there are."
        )

    # Writing

    def save(self, filepath):
        """Write the weights to a file, whole or not at all; the old one may be its place.

        Args:
            filepath: str or path: `.weights.h5` for what was in HDF5, else `.safetensors`.

        Raises:
            ValueError: another ending.
        """
        filepath = str(filepath)
        ending = ".weights.h5" if self._is_h5 else ".safetensors"
        if not filepath.endswith(ending):
            raise ValueError(
                f"The weights of '{self.filepath}' go into a file that ends in {ending}. "
                f"Received: filepath='{filepath}'."
            )
        if self._is_h5:
            groups = {}
            self._collect_groups(self.weights_dict, "", groups)
            h5_format.write_groups(filepath, groups)
        else:
            tensors = dict(_named_tensors(self.weights_dict, ""))
            safetensors_format.write_tensors(filepath, tensors, {"aliases": json.dumps({})})

    def resave_weights(self, filepath):
        """`save`, under Keras's other name for it."""
        self.save(filepath)

    def _collect_groups(self, weights, path, groups):
        own = {key: value for key, value in weights.items() if not isinstance(value, dict)}
        if own:
            name = self.object_metadata.get(path or "/", {}).get("name")
            groups[f"{path}/{_VARS}".lstrip("/")] = (name, own)
        for key, value in weights.items():
            if isinstance(value, dict):
                self._collect_groups(value, f"{path}/{key}", groups)


def _inside(weights, parts):
    for part in parts:
        weights = weights.setdefault(part, {})
    return weights


def _as_array(tensor):
    return tensor if tensor.dtype is torch.bfloat16 else tensor.numpy()


def _name_of_group(datasets):
    """The name that a file gives to the object of a group, or None."""
    with contextlib.suppress(OSError, RuntimeError, KeyError, TypeError, ValueError, StopIteration):
        name = next(iter(datasets.values())).parent.attrs["name"]
        if isinstance(name, str) and len(name) < 1000:
            return name
    return None


def _checked(weights):
    if not isinstance(weights, dict):
        raise ValueError(
            "`weights` must be a dict of names to arrays. Received: weights of type "
            f"{type(weights).__name__}."
        )
    return {
        name: _checked(value)
        if isinstance(value, dict)
        else value
        if isinstance(value, torch.Tensor)
        else np.asarray(value)
        for name, value in weights.items()
    }


def _dicts_in(weights):
    yield weights
    for value in weights.values():
        if isinstance(value, dict):
            yield from _dicts_in(value)


def _named_tensors(weights, path):
    for key, value in weights.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _named_tensors(value, name)
        else:
            yield name, torch.as_tensor(value)


def _compared(found, expected, path, problems):
    """Number of weights that fit; what does not goes to `problems`."""
    matches = 0
    for key in [*expected, *(key for key in found if key not in expected)]:
        inner = f"{path}/{key}" if path else key
        mine, theirs = found.get(key), expected.get(key)
        if mine is None or theirs is None:
            what = "object" if isinstance(theirs if mine is None else mine, dict) else "weight"
            has, lacks = ("model", "file") if mine is None else ("file", "model")
            problems.append(f"The {what} '{inner}' of the {has} is not in the {lacks}.")
        elif isinstance(mine, dict) and isinstance(theirs, dict):
            matches += _compared(mine, theirs, inner, problems)
        elif isinstance(mine, dict) or isinstance(theirs, dict):
            problems.append(f"'{inner}' is an object in one and a weight in the other.")
        elif tuple(mine.shape) != tuple(theirs.shape):
            shapes = f"{tuple(mine.shape)} in the file and {tuple(theirs.shape)} in the model"
            problems.append(f"The weight '{inner}' has shape {shapes}.")
        else:
            matches += 1
    return matches
