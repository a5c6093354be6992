"""BackupAndRestore: a run that was interrupted goes on where it was."""

import contextlib
import os
import shutil
import warnings

from torchkeras.callbacks.callback import Callback
from torchkeras.callbacks.save_frequency import SaveFrequency
from torchkeras.callbacks.training_state import (
    load_training_state,
    save_training_state,
    set_states,
)
from torchkeras.distribution import process_group
from torchkeras.distribution.random_state import set_random_states
from torchkeras.distribution.sharding import whole_state


class BackupAndRestore(SaveFrequency, Callback):
    """Saves the whole state of `fit`, and continues from it when the same program runs again.

    The state is that of the model, the optimizer, random layers, the global random generators of
    Python, NumPy and torch, and of the other callbacks: the waiting of EarlyStopping and
    ReduceLROnPlateau, what ModelCheckpoint has found best, and History, which then spans all
    epochs. A run that was killed between two epochs and goes on ends bit-equal to one that was
    never interrupted, where data and computation are themselves repeatable. Of another kind is
    data that does not begin anew with each epoch: generators, and `steps_per_epoch` below a
    whole pass, start from their first batch. A CSVLogger needs `append=True` to keep its lines.

    A callback of your own takes part with methods `state_dict()`, which returns a dict of
    numbers, strings, arrays and structures of them, and `load_state_dict(state)`.

    The state is saved after all callbacks have seen the end of the epoch, wherever this one
    stands among them. The file is replaced atomically: a crash while it is written leaves the
    one before. It is a `.safetensors` file, and reading it runs no code.

    Args:
        backup_dir: str or path, folder of the file, made where missing; one for each run.
        save_freq: `"epoch"`, or int, a number of batches, counted through epochs. A run that
            was saved within an epoch goes on, with the weights of then, at that epoch's first
            batch (as in Keras).
        double_checkpoint: bool, keep the state before the last one too, which is read where
            the last one is missing or damaged.
        delete_checkpoint: bool, delete the files when `fit` ends in order, early or not.

    Raises:
        ValueError: an argument is out of range; or in `fit`, the model has not been built, or
            the file is that of another model.
        OSError: in `fit`, the file cannot be written.

    Example:

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> x, y = np.ones((4, 3)), np.ones((4, 1))
    >>> def run(epochs):
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    ...     model.compile("adam", "mse")
    ...     backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    ...     return model.fit(x, y, epochs=epochs, verbose=0, callbacks=[backup])
    >>> run(2).epoch, run(5).epoch
    ([0, 1], [0, 1, 2, 3, 4])
    """

    _state_names = ("_batches_seen_since_last_saving", "_last_batch_seen")

    def __init__(
        self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True
    ):
        super().__init__()
        if not backup_dir:
            raise ValueError(
                f"`backup_dir` must be the path of a folder. Received: backup_dir={backup_dir!r}."
            )
        self._set_save_freq(save_freq)
        self.backup_dir = os.fsdecode(backup_dir)
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._path = os.path.join(self.backup_dir, "latest.safetensors")
        self._previous_path = f"{self._path}.bkp"
        self._current_epoch = 0
        self._callbacks = None  # all callbacks of the running fit, where a CallbackList told
        self._companions = ()  # the same, from before it begins
        self._restored = None

    def _before_train_begin(self, callbacks):
        self._companions = callbacks

    def on_train_begin(self, logs=None):
        if not self.model.built:
            raise ValueError(
                "BackupAndRestore needs a model that was built before `fit`. Received: "
                f"'{self.model.name}', whose shapes only the first batch would tell. Call it on "
                "a batch, or `build(input_shape)`, first."
            )
        self._current_epoch = 0
        self._last_batch_seen = None
        # Process 0 reads for all: weights and optimizer are sent to the others by `fit`.
        with whole_state(self.model, write_back=True):
            found = self._load() if process_group.is_chief() else None
        self._restored = process_group.broadcast_object(found)
        if self._restored is not None:
            progress, _, random_states = self._restored
            self.model._initial_epoch = self._current_epoch = progress["epoch"]
            set_random_states(random_states)

    def _load(self):
        """The state of an earlier run, set in the model; None if there was no earlier run."""
        there = [p for p in (self._path, self._previous_path) if os.path.lexists(p)]
        for path in there[:-1]:
            try:
                return load_training_state(path, self.model, self._companions)
            except ValueError as error:
                warnings.warn(f"{error} Trying '{there[-1]}'.", stacklevel=2)
        return load_training_state(there[-1], self.model, self._companions) if there else None

    def _after_train_begin(self, callbacks):
        """The others have cleared their states by now."""
        self._callbacks = callbacks
        if self._restored is not None:
            _, callback_states, random_states = self._restored
            self._restored = None
            set_states(callbacks, callback_states)
            set_random_states(random_states)

    def on_epoch_begin(self, epoch, logs=None):
        self._current_epoch = epoch

    def _save_on_batch(self, batch, logs):
        self._save()

    def on_epoch_end(self, epoch, logs=None):
        self._current_epoch = epoch + 1
        self._last_batch_seen = None
        if self.save_freq == "epoch" and self._callbacks is None:
            self._save()

    def _after_epoch_end(self, epoch):
        if self.save_freq == "epoch" and self._callbacks is not None:
            self._save()

    def on_train_end(self, logs=None):
        self._callbacks, self._companions = None, ()
        if not (self.delete_checkpoint and process_group.is_chief()):
            return
        for path in (self._path, self._previous_path):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        with contextlib.suppress(OSError):  # something else is in the folder, which stays then
            os.rmdir(self.backup_dir)

    def _save(self):
        from torchkeras.saving.atomic import atomic_write

        if process_group.is_chief():
            os.makedirs(self.backup_dir, exist_ok=True)
            if self.double_checkpoint and os.path.exists(self._path):
                with atomic_write(self._previous_path) as temporary:
                    shutil.copyfile(self._path, temporary)
        progress = {"epoch": self._current_epoch, "batch": self._last_batch_seen}
        save_training_state(self._path, self.model, self._callbacks or [self], progress)

    def __getstate__(self):
        return {**self.__dict__, "_callbacks": None, "_companions": ()}
