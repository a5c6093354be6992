"""CSVLogger: the logs of each epoch as a line of a CSV file."""

import collections.abc
import csv
import os

import numpy as np

from torchkeras.callbacks.callback import Callback
from torchkeras.core.checks import as_path, check_switch, check_text
from torchkeras.distribution import process_group


class CSVLogger(Callback):
    """Writes the logs of each epoch to a CSV file, which can be read while the training runs.

    The columns are `epoch`, from 0, and the names in the logs of the first epoch in alphabetical
    order; where these have no validation, columns for it follow all the same, with `NA` until
    there is one (as in Keras). Every line is on its way to the disk when its epoch has ended. Of
    several processes of a job the first one writes.

    Args:
        filename: str or path. Its folder must exist.
        separator: str of one character between columns.
        append: bool, go on in an existing file, rather than start it anew at each `fit`. Values
            go into the columns of its header; new names become further columns, with `NA` in the
            lines that are there, for which the file is written anew.

    Raises:
        OSError: in `fit`, the file cannot be written.
        ValueError: in `fit`, the file to append to has no header of this class.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "log.csv")
    >>> log = keras.callbacks.CSVLogger(path)
    >>> log.on_train_begin()
    >>> log.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
    >>> log.on_train_end()
    >>> with open(path) as file:
    ...     print(file.read().strip())
    epoch,loss,val_loss
    0,0.5,0.75
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        filename = as_path("filename", filename)
        check_text("separator", separator)
        check_switch("append", append)
        self.sep = separator
        self.filename = filename
        self.append = append
        self.append_header = True
        self.keys = None
        self.writer = None
        self.csv_file = None

    def on_train_begin(self, logs=None):
        self._close()
        if not process_group.is_chief():
            return
        if self.append:
            self.append_header = not (
                os.path.exists(self.filename) and os.path.getsize(self.filename)
            )
        self.keys = None
        if self.append and not self.append_header:
            self._read_header()
        # newline="": the csv module writes its own ends of lines.
        self.csv_file = open(self.filename, "a" if self.append else "w", newline="")

    def _read_header(self):
        """Take the columns of the file that is appended to."""
        with open(self.filename, newline="") as file:
            header = next(csv.reader(file, delimiter=self.sep), [])
        if header[:1] != ["epoch"]:
            raise ValueError(
                "CSVLogger(append=True) goes on in a file that CSVLogger has written, with the "
                f"header 'epoch{self.sep}...'. Received: {self.filename}, whose first line has "
                f"the columns {header}. Give another file name, or the separator of that file."
            )
        self.keys = header[1:]

    def _add_columns(self, names):
        """Write the file anew with further columns."""
        self.csv_file.close()
        with open(self.filename, newline="") as file:
            lines = list(csv.reader(file, delimiter=self.sep))
        self.keys += names
        part = f"{self.filename}.part"
        with open(part, "w", newline="") as file:
            writer = csv.writer(file, delimiter=self.sep)
            writer.writerow(["epoch", *self.keys])
            size = len(self.keys) + 1
            writer.writerows([*line, *["NA"] * (size - len(line))] for line in lines[1:])
        os.replace(part, self.filename)
        self.csv_file = open(self.filename, "a", newline="")

    def on_epoch_end(self, epoch, logs=None):
        if self.csv_file is None:
            return  # another process writes
        logs = logs or {}
        if self.writer is None:
            if self.keys is None:
                self.keys = sorted(logs)
                if not any(key.startswith("val_") for key in self.keys):
                    self.keys += [f"val_{key}" for key in self.keys]
            elif further := sorted(set(logs) - set(self.keys)):
                self._add_columns(further)
            self.writer = csv.writer(self.csv_file, delimiter=self.sep)
            if self.append_header:
                self.writer.writerow(["epoch", *self.keys])
        self.writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])
        self.csv_file.flush()

    def on_train_end(self, logs=None):
        self._close()

    def _close(self):
        if self.csv_file is not None:
            self.csv_file.close()
        self.csv_file = self.writer = None

    def __getstate__(self):
        # A copy, or another process, opens the file itself.
        return {**self.__dict__, "csv_file": None, "writer": None}


def _cell(value):
    is_scalar = isinstance(value, str) or (isinstance(value, np.ndarray) and value.ndim == 0)
    if isinstance(value, collections.abc.Iterable) and not is_scalar:
        return f'"[{", ".join(map(str, value))}]"'
    return value
