"""CSVLogger: the logs of each epoch as a line of a CSV file."""

import collections.abc
import contextlib
import csv
import os

import numpy as np

from torchkeras.callbacks.callback import Callback
from torchkeras.core.checks import as_path, check_switch, check_text
from torchkeras.distribution import process_group
from torchkeras.saving.atomic import atomic_write


class CSVLogger(Callback):
    """Writes the logs of each epoch to a CSV file, which can be read while the training runs.

    The columns are `epoch`, from 0, and the names in the logs of the first epoch in alphabetical
    order; where these have no validation, columns for it follow all the same, with `NA` until
    there is one (as in Keras). A line is in the file as a whole when its epoch has ended, or where
    the disk is full not at all. Of several processes of a job the first one writes. In a run that
    `BackupAndRestore` brings back, `append=True` keeps the lines of the epochs before.

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
        self._lines = None
        self._next_epoch = 0

    def on_train_begin(self, logs=None):
        self._close()
        if not process_group.is_chief():
            return
        self.append_header = not (
            self.append and os.path.exists(self.filename) and os.path.getsize(self.filename)
        )
        self.keys = None
        if not self.append_header:
            self._read_header()
            self._end_last_line()
        self._open("a" if self.append else "w")

    def _open(self, mode):
        # Unbuffered: what a full disk refuses must not be written later, at some other call.
        self.csv_file = open(self.filename, f"{mode}b", buffering=0)
        self.writer = None
        with open(self.filename, "rb") as file:
            self._lines = _Lines(self.csv_file, sum(1 for _ in file))

    def _read_header(self):
        """Take the columns of the file that is appended to."""
        with open(self.filename, newline="", encoding="utf-8") as file:
            header = next(csv.reader(file, delimiter=self.sep), [])
        if header[:1] != ["epoch"]:
            raise ValueError(
                "CSVLogger(append=True) goes on in a file that CSVLogger has written, with the "
                f"header 'epoch{self.sep}...'. Received: {self.filename}, whose first line has "
                f"the columns {header}. Give another file name, or the separator of that file."
            )
        self.keys = header[1:]

    def _end_last_line(self):
        """A last line that a power cut has left unfinished is removed, any other one ended."""
        with open(self.filename, "r+b") as file:
            content = file.read()
            if content.endswith(b"\n"):
                return
            place = content.rfind(b"\n") + 1
            last = content[place:].decode("utf-8", "replace")
            cells = next(csv.reader([last], delimiter=self.sep), [])
            if place and len(cells) <= len(self.keys):
                file.truncate(place)
            else:
                file.write(b"\n" if content.endswith(b"\r") else b"\r\n")

    def _add_columns(self, names):
        """Write the file anew with further columns."""
        self.csv_file.close()
        with open(self.filename, newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file, delimiter=self.sep))
        keys = [*self.keys, *names]
        try:
            with atomic_write(self.filename) as part:
                with open(part, "w", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file, delimiter=self.sep)
                    writer.writerow(["epoch", *keys])
                    size = len(keys) + 1
                    writer.writerows([*line, *["NA"] * (size - len(line))] for line in lines[1:])
            self.keys = keys
        finally:
            self._open("a")

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
            self.writer = csv.writer(self._lines, delimiter=self.sep)
            if self.append_header:
                self.writer.writerow(["epoch", *self.keys])
                self.append_header = False
        self.writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])
        self._next_epoch = epoch + 1

    def on_train_end(self, logs=None):
        self._close()

    def _close(self):
        if self.csv_file is not None:
            self.csv_file.close()
        self.csv_file = self.writer = None

    def on_epoch_begin(self, epoch, logs=None):
        self._next_epoch = epoch

    def state_dict(self):
        """How many lines there are, and what epoch the next one is of; `{}` where none is open."""
        if self.csv_file is None:
            return {}
        return {"lines": self._lines.count, "epoch": self._next_epoch}

    def load_state_dict(self, state_dict):
        """Remove the lines of epochs that a run which goes on will train once more.

        Such as one whose line was written and whose backup was not, since the run was killed.
        Where other lines follow, such as those of another run, all stay.
        """
        lines, epoch = (state_dict.get(name) for name in ("lines", "epoch"))
        numbers = type(lines) is int and type(epoch) is int and lines >= 0
        if self.csv_file is None or not self.append or not numbers:
            return
        self._next_epoch = epoch
        with open(self.filename, "rb") as file:
            content = list(file)
        lines = max(lines, 1)  # the header stays
        text = [line.decode("utf-8", "replace") for line in content[lines:]]
        found = [row[0] if row else None for row in csv.reader(text, delimiter=self.sep)]
        if found and found == [str(number) for number in range(epoch, epoch + len(found))]:
            os.truncate(self.filename, sum(map(len, content[:lines])))
            self.csv_file.close()
            self._open("a")

    def __getstate__(self):
        # A copy, or another process, opens the file itself.
        return {**self.__dict__, "csv_file": None, "writer": None, "_lines": None}


class _Lines:
    """Writes lines to a file, each as a whole or, where the disk is full, not at all.

    Args:
        file: unbuffered binary file, open for appending.
        count: int, lines that are there.
    """

    def __init__(self, file, count):
        self._file = file
        self.count = count

    def write(self, text):
        data = text.encode("utf-8")
        size = os.fstat(self._file.fileno()).st_size
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(size)
            raise
        self.count += data.count(b"\n")
        return len(text)


def _cell(value):
    is_scalar = isinstance(value, str) or (isinstance(value, np.ndarray) and value.ndim == 0)
    if isinstance(value, collections.abc.Iterable) and not is_scalar:
        return f'"[{", ".join(map(str, value))}]"'
    return value
