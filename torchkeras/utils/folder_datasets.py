"""Datasets of the files in a folder: finding them, their classes, splits and labels."""

import os
import zlib

import numpy as np
import torch

from torchkeras.data import Dataset
from torchkeras.data.sources import Source
from torchkeras.data.stages import SourceStage
from torchkeras.distribution import process_group
from torchkeras.utils.regular_files import regular_files


def check_folder_arguments(
    labels, label_mode, class_names, validation_split, subset, shuffle, seed, format="tf"
):
    """Raise a ValueError for a wrong combination of the arguments that all folders share."""
    if not (labels is None or isinstance(labels, (list, tuple)) or _is_inferred(labels)):
        raise ValueError(
            '`labels` must be "inferred" (from the names of the folders), None, or a list or tuple '
            f"of a label for each file. Received: labels={labels!r}."
        )
    if class_names and not _is_inferred(labels):
        raise ValueError(
            '`class_names` goes with labels="inferred" alone. Received: '
            f"labels={labels!r} and class_names={class_names!r}."
        )
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError(
            '`label_mode` must be "int", "categorical", "binary" or None. Received: '
            f"label_mode={label_mode!r}."
        )
    if format not in ("tf", "grain"):
        raise ValueError(
            '`format` must be "tf" or "grain"; both give the same Dataset here. Received: '
            f"format={format!r}."
        )
    if validation_split and not 0 < validation_split < 1:
        raise ValueError(
            "`validation_split` must lie between 0 and 1. Received: "
            f"validation_split={validation_split}."
        )
    if bool(validation_split) != bool(subset):
        raise ValueError(
            "`validation_split` and `subset` are given together, or neither of them. Received: "
            f"validation_split={validation_split} and subset={subset!r}."
        )
    if subset not in ("training", "validation", "both", None):
        raise ValueError(
            f'`subset` must be "training", "validation" or "both". Received: subset={subset!r}.'
        )
    if validation_split and shuffle and seed is None:
        raise ValueError(
            "A split of shuffled files needs a `seed`, so that training and validation share no "
            "file. Received: seed=None. Give one, the same for both subsets, or shuffle=False."
        )


def folder_dataset(
    directory,
    kind,
    endings,
    load,
    finish,
    labels,
    label_mode,
    class_names,
    shuffle,
    seed,
    validation_split,
    subset,
    follow_links,
    verbose,
):
    """The Dataset of a folder, or a list of two of them for `subset="both"`.

    Args:
        directory: path of the folder.
        kind: what the files are called in messages.
        endings: tuple of the endings of their names.
        load: function from a path to an element, which several threads may call.
        finish: function from the Dataset of single elements to the one that is wanted.
        labels: and the others, see `image_dataset_from_directory`.
    """
    if labels is None or label_mode is None:
        labels = label_mode = None
    directory = os.fspath(directory)
    paths, labels, class_names = _index(
        directory, labels, endings, class_names, follow_links, verbose
    )
    if label_mode == "binary" and len(class_names) != 2:
        raise ValueError(
            'label_mode="binary" needs exactly 2 classes. Received: class_names='
            f'{class_names}. Use "int" or "categorical".'
        )
    if label_mode == "categorical" and len(labels):
        if labels.min() < 0 or labels.max() >= len(class_names):
            raise ValueError(
                'label_mode="categorical" needs labels from 0 to the number of classes minus 1. '
                f"Received: labels from {labels.min()} to {labels.max()} of {len(class_names)} "
                'classes. Number them anew, or use label_mode="int".'
            )
    order = np.arange(len(paths))
    if shuffle:
        # As Keras draws it, so that the same seed splits the same files.
        np.random.RandomState(np.random.randint(1e6) if seed is None else seed).shuffle(order)
    parts = _split(order, validation_split, subset, verbose)
    datasets = []
    for name, part in parts:
        if not len(part):
            raise ValueError(
                f"No {name}{kind} found in {directory}. Expected files that end in "
                f"{', '.join(endings)}{', and more of them than a split needs' if name else ''}."
            )
        is_shuffled = shuffle and not (subset == "both" and name == "validation ")
        # What is shuffled in each pass is read from one order, whatever this process has drawn.
        numbers = np.sort(part) if is_shuffled else part
        source = FileSource(
            directory,
            [paths[i] for i in numbers],
            None if labels is None else labels[numbers],
            label_mode,
            len(class_names or ()),
            load,
        )
        dataset = Dataset(SourceStage(source))
        if is_shuffled:
            dataset = dataset.shuffle(seed=seed)
        dataset = finish(dataset)
        dataset.class_names = class_names
        dataset.file_paths = [paths[i] for i in part]
        datasets.append(dataset)
    return datasets if subset == "both" else datasets[0]


class FileSource(Source):
    """Files, each loaded when it is asked for, with their labels.

    Args:
        directory: str, the folder.
        paths: list of str.
        labels: int32 array, or None.
        label_mode: `"int"`, `"binary"`, `"categorical"` or None.
        num_classes: int.
        load: function from a path to an element.
    """

    def __init__(self, directory, paths, labels, label_mode, num_classes, load):
        self._directory = directory
        self._paths = paths
        self._labels = labels
        self._label_mode = label_mode
        self._num_classes = num_classes
        self._load = load
        self.length = len(paths)

    def __getitem__(self, index):
        content = self._load(self._paths[index])
        return content if self._label_mode is None else (content, self._label(index))

    def _label(self, index):
        label = int(self._labels[index])
        if self._label_mode == "int":
            return torch.tensor(label, dtype=torch.int32, device="cpu")
        if self._label_mode == "binary":
            return torch.tensor([label], dtype=torch.float32, device="cpu")
        row = torch.zeros(self._num_classes, dtype=torch.float32, device="cpu")
        row[label] = 1.0
        return row

    def fingerprint(self):
        number = 0 if self._labels is None else zlib.crc32(self._labels.tobytes())
        for path in self._paths:
            name = os.path.relpath(path, self._directory)
            number = zlib.crc32(name.encode(errors="surrogateescape"), number)
        return number


def _is_inferred(labels):
    return isinstance(labels, str) and labels == "inferred"


def _index(directory, labels, endings, class_names, follow_links, verbose):
    """`(paths, labels, class_names)` of the files in a folder, in the order of their names."""
    if not os.path.isdir(directory):
        raise FileNotFoundError(
            f"A folder was expected. Received: directory={directory!r}, where there is none. "
            "Folders behind gs://, s3:// or http:// are copied to a disk first."
        )
    if _is_inferred(labels):
        folders = sorted(
            name
            for name in os.listdir(directory)
            if not name.startswith(".") and os.path.isdir(os.path.join(directory, name))
        )
        if class_names is not None:
            class_names = list(class_names)
            if not set(class_names) <= set(folders) or len(set(class_names)) < len(class_names):
                raise ValueError(
                    "`class_names` must be names of the folders in the directory, each once. "
                    f"Received: class_names={class_names}, where there are {folders}."
                )
            folders = class_names
        found = [
            regular_files(os.path.join(directory, name), endings, follow_links) for name in folders
        ]
        paths = [path for some in found for path in some]
        counts = [len(some) for some in found]
        labels, class_names = np.repeat(np.arange(len(found), dtype="int32"), counts), folders
    else:
        if class_names is not None:
            raise ValueError(
                '`class_names` goes with labels="inferred" alone. Received: class_names='
                f"{class_names!r}."
            )
        paths = regular_files(directory, endings, follow_links)
        if labels is not None:
            labels, class_names = _given(labels, paths, directory)
    if verbose and process_group.is_chief():
        classes = "" if labels is None else f" belonging to {len(class_names)} classes"
        print(f"Found {len(paths)} files{classes}.")
    return paths, labels, class_names


def _given(labels, paths, directory):
    if len(labels) != len(paths):
        raise ValueError(
            "`labels` must have a label for each file. Received: "
            f"{len(labels)} labels and {len(paths)} files in {directory}."
        )
    array = np.asarray(labels)
    if len(labels) and (array.ndim != 1 or array.dtype.kind not in "iub"):
        raise ValueError(
            f"`labels` must be integers. Received: values of dtype {array.dtype} and shape "
            f"{array.shape}. Number the classes from 0."
        )
    return array.astype("int32"), [str(label) for label in sorted(set(labels))]


def _split(order, validation_split, subset, verbose):
    """`(name, numbers)` of each subset that is asked for."""
    if not validation_split:
        return [("", order)]
    count = int(validation_split * len(order))
    parts = {"training": order[: len(order) - count], "validation": order[len(order) - count :]}
    names = list(parts) if subset == "both" else [subset]
    if verbose and process_group.is_chief():
        for name in names:
            print(f"Using {len(parts[name])} files for {name}.")
    return [(f"{name} ", parts[name]) for name in names]
