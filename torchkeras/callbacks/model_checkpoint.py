"""ModelCheckpoint: save the model while it is trained."""

import os
import string
import warnings

import numpy as np
import torch

from torchkeras.callbacks.callback import logs_to_floats
from torchkeras.callbacks.monitor_callback import MonitorCallback
from torchkeras.callbacks.save_frequency import SaveFrequency
from torchkeras.core.checks import as_path, check_real, check_switch, check_verbose
from torchkeras.distribution import process_group
from torchkeras.distribution.sharding import is_divided
from torchkeras.utils.progbar import write_line

_MODEL_ENDINGS = (".keras", ".safetensors")
_WEIGHTS_ENDINGS = (".weights.h5", ".safetensors")


class ModelCheckpoint(SaveFrequency, MonitorCallback):
    """Saves the model, or its weights, after each epoch or every so many batches.

    The file name may hold fields in braces, as of `str.format`: `{epoch}`, from 1, `{batch}`,
    from 1, when saving by batches, and the names in the logs: `"{epoch:02d}-{val_loss:.2f}.keras"`.
    A name without them is overwritten. Folders that are missing are made. Saving is atomic: a
    save that fails raises, and the file that was there before is still whole. Of several processes
    of a job the first one writes; `best` is the same in all.

    Args:
        filepath: str or path. Of a whole model it ends in `.keras` or `.safetensors` (Keras: also
            `.h5`), of weights alone in `.weights.h5` or `.safetensors`.
        monitor: str, name of the value in the logs that decides what is best.
        verbose: 0, or 1 for a line at each save.
        save_best_only: bool, save only when the value is better than at all earlier saves. Where
            the logs lack it, a warning is given and the model saved.
        save_weights_only: bool, save the weights alone.
        mode: `"min"`, `"max"` or `"auto"`, by the loss or metric.
        save_freq: `"epoch"`, or int, a number of batches, counted through epochs. The value is
            then that of the epoch so far, and reading it waits for the device at each save (in a
            job of several processes, where it is needed, at each batch).
        initial_value_threshold: float or None, a value that the first save must beat.

    Attributes:
        best: float or None, the value of the last save with `save_best_only`.

    Raises:
        ValueError: another ending, or `save_freq` is neither; or in `fit`, where `mode="auto"`
            cannot tell the direction.
        KeyError: in `fit`, the file name has a field that the logs lack.
        OSError: in `fit`, the file cannot be written.

    Example:

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> save = keras.callbacks.ModelCheckpoint(os.path.join(folder, "{epoch}.safetensors"))
    >>> x, y = np.ones((4, 3)), np.ones((4, 1))
    >>> _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[save])
    >>> sorted(os.listdir(folder))
    ['1.safetensors', '2.safetensors']
    """

    _state_names = ("best", "_batches_seen_since_last_saving", "_last_batch_seen")

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        filepath = as_path("filepath", filepath)
        if initial_value_threshold is not None:
            check_real("initial_value_threshold", initial_value_threshold, finite=False)
        check_verbose(verbose)
        check_switch("save_best_only", save_best_only)
        check_switch("save_weights_only", save_weights_only)
        super().__init__(monitor, mode, initial_value_threshold)
        self.verbose = verbose
        self.filepath = filepath
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self._set_save_freq(save_freq)
        self._current_epoch = 0
        endings = _WEIGHTS_ENDINGS if save_weights_only else _MODEL_ENDINGS
        if not self.filepath.endswith(endings):
            raise ValueError(
                f"A ModelCheckpoint with save_weights_only={save_weights_only} writes files that "
                f"end in {' or '.join(endings)}. Received: filepath={self.filepath!r}. Choose one "
                "of these endings."
            )

    @property
    def _needs_all_rows(self):
        # A value to decide by, or to name a file by, must be that of all processes.
        return self.save_freq != "epoch" and (self.save_best_only or _has_log_fields(self.filepath))

    def on_epoch_begin(self, epoch, logs=None):
        self._current_epoch = epoch

    def _save_on_batch(self, batch, logs):
        self._save_model(self._current_epoch, batch, logs_to_floats(logs))

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save_model(epoch, None, logs or {})

    def _save_model(self, epoch, batch, logs):
        if self.save_best_only and self.monitor_op is None:
            self._set_monitor_op()
        takes_part = process_group.is_chief() or is_divided(self.model)
        path = self._path(epoch, batch, logs) if takes_part else None
        current = logs.get(self.monitor)
        is_comparable = self.save_best_only and self._is_comparable(current)
        if is_comparable:
            if not self._is_improvement(current, self.best):
                self._tell(epoch, f"{self.monitor} is no better than {_short(self.best)}")
                return
            change = f"{self.monitor} is {_short(current)} after {_short(self.best)}, "
        else:
            change = ""
        self._tell(epoch, f"{change}saving to {path}")
        if takes_part:
            self._write(path)
        if is_comparable:
            self.best = current  # only now: a save that failed was not the best one saved

    def _write(self, path):
        from torchkeras.saving.one_writer import without_others

        folder = os.path.dirname(path)
        if folder and process_group.is_chief():
            os.makedirs(folder, exist_ok=True)
        with without_others():
            if self.save_weights_only:
                self.model.save_weights(path, overwrite=True)
            else:
                self.model.save(path, overwrite=True)

    def _is_comparable(self, current):
        if current is None:
            warnings.warn(
                f"The best model is known by '{self.monitor}', which the logs lack. It is saved "
                "without a comparison.",
                stacklevel=2,
            )
            return False
        if isinstance(current, (np.ndarray, torch.Tensor)) and current.ndim:
            warnings.warn(
                f"The best model is known by a single number. Received: '{self.monitor}' of "
                f"shape {tuple(current.shape)}. It is saved without a comparison.",
                stacklevel=2,
            )
            return False
        return True

    def _path(self, epoch, batch, logs):
        fields = {} if batch is None else {"batch": batch + 1}
        try:
            return self.filepath.format(**{"epoch": epoch + 1, **fields, **logs})
        except KeyError as error:
            raise KeyError(
                f"The fields of filepath={self.filepath!r} must be 'epoch', 'batch' when saving "
                f"by batches, or names in the logs: {sorted(logs)}. Received: {error}."
            ) from error

    def _tell(self, epoch, text):
        if self.verbose > 0:
            write_line(f"\nEpoch {epoch + 1}: {text}")


def _short(value):
    return "None" if value is None else f"{value:.5f}"


def _has_log_fields(filepath):
    """Whether a file name has fields besides `{epoch}` and `{batch}`."""
    fields = (field for _, field, _, _ in string.Formatter().parse(filepath) if field is not None)
    return any(field not in ("epoch", "batch") for field in fields)
