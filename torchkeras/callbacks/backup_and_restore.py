"""BackupAndRestore: a run that was interrupted goes on where it was."""

import contextlib
import os
import shutil
import warnings

from torchkeras.callbacks.callback import Callback, logs_to_floats
from torchkeras.callbacks.save_frequency import SaveFrequency
from torchkeras.callbacks.stop_signals import StopSignals, end_by
from torchkeras.callbacks.training_state import (
    keep_state,
    load_training_state,
    save_training_state,
    set_states,
)
from torchkeras.core.checks import as_path, check_switch
from torchkeras.distribution import process_group
from torchkeras.distribution.random_state import set_random_states
from torchkeras.distribution.sharding import whole_state


class BackupAndRestore(SaveFrequency, Callback):
    """Saves the whole state of `fit`, and continues from it when the same program runs again.

    The state is that of the model, the optimizer, random layers, the global random generators of
    Python, NumPy and torch, and of the other callbacks: the waiting of EarlyStopping and
    ReduceLROnPlateau, what ModelCheckpoint has found best, and History, which then spans all
    epochs. A run that was killed between two epochs and goes on ends bit-equal to one that was
    never interrupted, where data and computation are themselves repeatable; with `save_freq` an
    int one that was killed at any step does, too. A CSVLogger needs `append=True` to keep its
    lines. A run that was lost after its last epoch, or that EarlyStopping had ended, trains no
    further.

    Within an epoch, and between epochs of `steps_per_epoch` below a whole pass, the file tells
    where the data is. Arrays, a `PyDataset`, a `keras.data.Dataset` and a DataLoader begin their
    pass with the random generators that it had, a `generator=` of the loader's included, and go
    on after the batches that were read: arrays, a PyDataset and the sampler of a DataLoader
    without workers skip them, others read them again. A source with methods `state_dict()` and
    `load_state_dict(state)`, such as torchdata's StatefulDataLoader, goes on by these. What a
    PyDataset changes in itself from epoch to epoch it must keep by them. A generator cannot be
    wound forward: it goes on with the first batch that it gives, for what is left of the epoch,
    and a program that wants others skips them before it calls `fit`.

    While `fit` runs in the main thread, SIGTERM and SIGINT (Ctrl-C) end it after the step that
    runs: the state is saved, and the program ends with exit code 143, or by a KeyboardInterrupt,
    for a shell 130. One that comes during the validation waits for its end; a second one of its
    kind does what it does without this callback, as does a handler of the program's own. In
    several processes they stop at the end of the epoch, or with `save_freq` an int of the step.

    A callback of your own takes part with methods `state_dict()`, which returns a dict of
    numbers, strings, arrays and structures of them, and `load_state_dict(state)`.

    The state is saved after all callbacks have seen the end of the epoch, wherever this one
    stands among them. The file is replaced atomically: a crash while it is written leaves the
    one before. It is a `.safetensors` file, and reading it runs no code.

    Args:
        backup_dir: str or path, folder of the file, made where missing; one for each run.
        save_freq: `"epoch"`, or int, a number of batches, counted through epochs. A run that
            was saved within an epoch goes on at the next batch, with the metrics of then (Keras
            begins that epoch anew, with the weights of then).
        double_checkpoint: bool, keep the state before the last one too, which is read where
            the last one is missing or damaged.
        delete_checkpoint: bool, delete the files when `fit` ends in order, early or not, and the
            folder, and those above it that this callback has made, where nothing else is there.

    What the program's own code raises while the state is brought back, in a callback, a data set
    or an optimizer, leaves the model as it was before `fit`; in several processes it ends the job.

    In an epoch that is gone on with, `on_epoch_begin` is called once more, for callbacks that
    prepare something there; what it changes of the state is undone.

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

    _keeps_position = True  # `fit` then notes where the data is
    _state_names = ("_batches_seen_since_last_saving", "_last_batch_seen", "_folders_made")

    def __init__(
        self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True
    ):
        super().__init__()
        if not backup_dir:
            raise ValueError(
                f"`backup_dir` must be the path of a folder. Received: backup_dir={backup_dir!r}."
            )
        self._set_save_freq(save_freq)
        check_switch("double_checkpoint", double_checkpoint)
        check_switch("delete_checkpoint", delete_checkpoint)
        self.backup_dir = as_path("backup_dir", backup_dir)
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._path = os.path.join(self.backup_dir, "latest.safetensors")
        self._previous_path = f"{self._path}.bkp"
        self._current_epoch = 0
        self._folders_made = 0  # the backup's own, and those above it
        self._callbacks = None  # all callbacks of the running fit, where a CallbackList told
        self._companions = ()  # the same, from before it begins
        self._restored = None
        self._signals = None

    def _before_train_begin(self, callbacks):
        self._companions = callbacks

    def on_train_begin(self, logs=None):
        if not self.model.built:
            raise ValueError(
                "BackupAndRestore needs a model that was built before `fit`. Received: "
                f"'{self.model.name}', whose shapes only the first batch would tell. Call it on "
                "a batch, or `build(input_shape)`, first."
            )
        self._current_epoch = self._folders_made = 0
        self._last_batch_seen = None
        self._release()
        if getattr(self.model, "_training_data", None) is not None:  # inside `fit`
            self._signals = StopSignals(self._ask_to_stop)
        self._restore()
        if self._restored is not None:
            progress, _, random_states = self._restored
            self.model._initial_epoch = self._current_epoch = progress["epoch"]
            loops = progress.get("loops")
            if loops:
                rank, is_same_job = process_group.rank(), len(loops) == process_group.world_size()
                self.model.__dict__["_resumed_loop"] = loops[rank if is_same_job else 0]
            set_random_states(random_states)

    def _ask_to_stop(self):
        self.model.stop_training = True

    def _restore(self):
        # Process 0 reads for all: weights and optimizer are sent to the others by `fit`.
        with whole_state(self.model, write_back=True):
            found = self._load() if process_group.is_chief() else None
        self._restored = process_group.broadcast_object(found)

    def _load(self):
        """The state of an earlier run, set in the model; None if there was no earlier run."""
        there = [p for p in (self._path, self._previous_path) if os.path.lexists(p)]
        in_fit = getattr(self.model, "_training_data", None) is not None
        has_kept = self.model.__dict__.get("_put_back") is not None
        if there and in_fit and not has_kept and not process_group.is_active():
            # What the program's own code raises, until the first step, `fit` answers by this. In
            # several processes an error ends the job.
            self.model.__dict__["_put_back"] = keep_state(self.model)
        for path in there[:-1]:
            try:
                return load_training_state(path, self.model, self._companions)
            except ValueError as error:
                warnings.warn(f"{error} Trying '{there[-1]}'.", stacklevel=2)
        return load_training_state(there[-1], self.model, self._companions) if there else None

    def _after_train_begin(self, callbacks):
        """The others have cleared their states by now."""
        self._callbacks = callbacks
        self._set_states_of_callbacks()

    def _set_states_of_callbacks(self):
        if self._restored is not None:
            _, callback_states, random_states = self._restored
            self._restored = None
            set_states(self._callbacks, callback_states)
            if any(getattr(callback, "_had_stopped", False) for callback in self._callbacks):
                self.model.__dict__["_is_over"] = True
            set_random_states(random_states)

    def _after_resumed_epoch_begin(self):
        """Others may have changed the learning rate, weights or themselves: once is enough."""
        self._restore()
        self.model._replica.broadcast_state()
        self._set_states_of_callbacks()

    def on_epoch_begin(self, epoch, logs=None):
        self._current_epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._callbacks is None and self._is_due(batch):
            self._save()

    @property
    def _unused_hooks(self):
        return ("on_train_batch_end",) if self.save_freq == "epoch" else ()

    def _after_train_batch_end(self, batch, logs):
        if self._is_due(batch):
            self._save(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._current_epoch = epoch + 1
        self._last_batch_seen = None
        if self.save_freq == "epoch" and self._callbacks is None:
            self._save()

    def _after_epoch_end(self, epoch):
        if self.save_freq == "epoch" and self._callbacks is not None:
            self._save()
        self._end_if_told(saved=self.save_freq == "epoch")

    def _after_stop(self):
        self._end_if_told(saved=False)

    def _end_if_told(self, saved):
        received = self._signals.received if self._signals is not None else 0
        number = max(process_group.all_gather_object(received))
        if not number:
            return
        if not saved:
            self._save()
        self._release()
        end_by(number)

    def _release(self):
        signals, self._signals = self._signals, None
        if signals is not None:
            signals.release()

    def on_train_end(self, logs=None):
        self._callbacks, self._companions = None, ()
        if not (self.delete_checkpoint and process_group.is_chief()):
            return
        from torchkeras.saving.atomic import remove_leftovers

        for path in (self._previous_path, self._path):  # one who is killed here leaves the last
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        remove_leftovers(self.backup_dir)
        folder, folders = os.path.abspath(self.backup_dir), self._folders_made
        with contextlib.suppress(OSError):  # something else is in the folder, which stays then
            for _ in range(max(folders, 1) if type(folders) is int else 1):
                os.rmdir(folder)
                folder = os.path.dirname(folder)
        self._folders_made = 0

    def _loops(self, logs):
        """What each process knows of where its loop is; None outside of `fit`."""
        model = self.model
        if getattr(model, "_training_data", None) is None:
            return None
        if logs is None and model._training_data.is_within_epoch:
            logs = model.get_metrics_result()
        return process_group.all_gather_object(
            {
                "position": model._training_data.position(),
                "metrics": [v.value.detach().cpu().clone() for v in model.metrics_variables],
                "logs": logs_to_floats(logs),
            }
        )

    def _make_folder(self):
        folder, missing = os.path.abspath(self.backup_dir), 0
        while not os.path.isdir(folder):
            folder, missing = os.path.dirname(folder), missing + 1
        if missing:
            self._folders_made = missing
            os.makedirs(self.backup_dir, exist_ok=True)

    def _save(self, logs=None):
        from torchkeras.saving.atomic import atomic_write

        if process_group.is_chief():
            self._make_folder()
            if self.double_checkpoint and os.path.exists(self._path):
                with atomic_write(self._previous_path) as temporary:
                    shutil.copyfile(self._path, temporary)
        progress = {"epoch": self._current_epoch, "batch": self._last_batch_seen}
        progress["loops"] = self._loops(logs)
        save_training_state(self._path, self.model, self._callbacks or [self], progress)

    def __getstate__(self):
        return {**self.__dict__, "_callbacks": None, "_companions": (), "_signals": None}
