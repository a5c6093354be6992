"""timeseries_dataset_from_array: batches of windows of a series."""

import zlib

import numpy as np
import torch

from torchkeras.data import Dataset
from torchkeras.data.sources import Source, as_numbers, as_rows, rows_at, sampled_rows
from torchkeras.data.stages import SourceStage
from torchkeras.utils.argument_values import positive_int


def timeseries_dataset_from_array(
    data,
    targets,
    sequence_length,
    sequence_stride=1,
    sampling_rate=1,
    batch_size=128,
    shuffle=False,
    seed=None,
    start_index=None,
    end_index=None,
    format="tf",
):
    """A dataset of windows that slide over a series.

    Window `i` begins at step `b = start_index + i * sequence_stride` and holds the steps
    `b, b + sampling_rate, ...`, `sequence_length` of them, below `end_index`. Its target is
    `targets[b]`. Windows are cut out of the array when they are asked for.

    Args:
        data: array or tensor `(steps, ...)`.
        targets: array or tensor `(steps, ...)`, or None for windows alone.
        sequence_length: int, steps of a window.
        sequence_stride: int, steps from the beginning of a window to that of the next.
        sampling_rate: int, steps from one value of a window to the next.
        batch_size: int, or None for single windows.
        shuffle: bool, windows in a new order for each pass.
        seed: int or None, for the orders.
        start_index, end_index: int or None: only steps from the first on and below the second.
        format: `"tf"` or `"grain"`, which here give the same.

    Returns:
        `keras.data.Dataset` of windows `(batch, sequence_length, ...)`, or `(windows, targets)`.

    Raises:
        ValueError: an argument is out of its range, or there is not a single window.

    Example:

    >>> series = np.arange(10)
    >>> dataset = keras.utils.timeseries_dataset_from_array(series[:-3], series[3:], 3)
    >>> windows, targets = next(iter(dataset))
    >>> windows[0], targets[0], len(windows)
    (tensor([0, 1, 2]), tensor(3), 5)
    """
    data = _series(data, "data")
    targets = None if targets is None else _series(targets, "targets")
    steps = len(data)
    _check_bounds(start_index, end_index, steps)
    sequence_length = positive_int(sequence_length, "sequence_length")
    for name, value in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if positive_int(value, name) >= steps:
            raise ValueError(
                f"`{name}` must be lower than the length of the data. Received: {name}={value} and "
                f"data of length {steps}."
            )
    if format not in ("tf", "grain"):
        raise ValueError(
            '`format` must be "tf" or "grain"; both give the same Dataset here. Received: '
            f"format={format!r}."
        )
    start = start_index or 0
    end = steps if end_index is None else end_index
    count = end - start - (sequence_length - 1) * sampling_rate
    if targets is not None:
        count = min(count, len(targets) - start)
    if count < 1:
        lengths = f"data of length {steps}"
        if targets is not None:
            lengths += f", targets of length {len(targets)}"
        raise ValueError(
            "At least one whole window, and a target for it, was expected between `start_index` "
            f"and `end_index`. Received: {lengths}, from {start} to {end}, "
            f"sequence_length={sequence_length}, sampling_rate={sampling_rate}. Take shorter "
            "windows or more data."
        )
    starts = range(start, start + count, sequence_stride)
    source = Windows(data, targets, starts, sequence_length, sampling_rate)
    dataset = Dataset(SourceStage(source))
    if shuffle:
        dataset = dataset.shuffle(seed=seed)
    return dataset if batch_size is None else dataset.batch(batch_size)


class Windows(Source):
    """Windows of an array, with a target for each.

    Args:
        data: tensor or read-only NumPy array `(steps, ...)`.
        targets: the same, or None.
        starts: range of the steps at which windows begin.
        length: int, steps of a window.
        rate: int, steps from one value of a window to the next.
    """

    def __init__(self, data, targets, starts, length, rate):
        self._data = data
        self._targets = targets
        self._starts = starts
        self._offsets = torch.arange(0, length * rate, rate, device="cpu")
        self.length = len(starts)

    def __getitem__(self, index):
        windows = self.rows(range(index, index + 1))
        return windows[0] if self._targets is None else (windows[0][0], windows[1][0])

    def rows(self, indices):
        starts = self._starts.start + self._starts.step * as_numbers(indices)
        places = starts[:, None] + self._offsets
        windows = rows_at(self._data, places.reshape(-1))
        windows = windows.reshape(*places.shape, *windows.shape[1:])
        return windows if self._targets is None else (windows, rows_at(self._targets, starts))

    def fingerprint(self):
        shape = (self._starts, len(self._offsets), tuple(self._data.shape))
        return zlib.crc32(repr(shape).encode())

    def sample(self):
        arrays = [self._data] if self._targets is None else [self._data, self._targets]
        return [sampled_rows(array) for array in arrays]


def _series(x, name):
    rows = as_rows(x)
    if not isinstance(rows, (torch.Tensor, np.ndarray)) or not rows.ndim or rows.dtype == object:
        raise ValueError(
            f"`{name}` must be an array of numbers with the steps as its first axis. Received: a "
            f"{type(x).__name__}."
        )
    return rows


def _check_bounds(start_index, end_index, steps):
    if start_index is not None and not 0 <= start_index < steps:
        raise ValueError(
            "`start_index` must be 0 or greater, and lower than the length of the data. Received: "
            f"start_index={start_index} and data of length {steps}."
        )
    if end_index is None:
        return
    if not 0 < end_index < steps:
        raise ValueError(
            "`end_index` must be higher than 0 and lower than the length of the data; None is all "
            f"of it. Received: end_index={end_index} and data of length {steps}."
        )
    if start_index and end_index <= start_index:
        raise ValueError(
            "`end_index` must be higher than `start_index`. Received: "
            f"start_index={start_index} and end_index={end_index}."
        )
