"""SaveFrequency: the part of a saving callback that knows when a save is due."""


class SaveFrequency:
    """Mix-in of callbacks that save after each epoch or every so many batches.

    With `save_freq="epoch"` the callback has no batch hook at all, so a step costs nothing. Else
    `_save_on_batch(batch, logs)` is called every `save_freq` batches, counted through epochs;
    with `compile(steps_per_execution=n)`, at the first end of n steps after that.

    Args:
        save_freq: `"epoch"`, or int of at least 1.

    Raises:
        ValueError: `save_freq` is neither.

    Example:

    >>> from torchkeras.callbacks.save_frequency import SaveFrequency
    >>> class Save(SaveFrequency, keras.callbacks.Callback):
    ...     def _save_on_batch(self, batch, logs):
    ...         print("save", batch)
    >>> save = Save()
    >>> save._set_save_freq(2)
    >>> for batch in [0, 1, 2, 0, 1]:
    ...     save.on_train_batch_end(batch)
    save 1
    save 0
    """

    _supports_device_logs = True

    def _set_save_freq(self, save_freq):
        is_int = isinstance(save_freq, int) and not isinstance(save_freq, bool)
        if save_freq != "epoch" and not (is_int and save_freq >= 1):
            raise ValueError(
                "`save_freq` must be 'epoch', or an int of at least 1, a number of batches. "
                f"Received: save_freq={save_freq!r}."
            )
        self.save_freq = save_freq
        self._batches_seen_since_last_saving = 0
        self._last_batch_seen = None

    @property
    def _unused_hooks(self):
        is_own = type(self).on_train_batch_end is SaveFrequency.on_train_batch_end
        return ("on_train_batch_end",) if is_own and self.save_freq == "epoch" else ()

    def on_train_batch_end(self, batch, logs=None):
        if self._is_due(batch):
            self._save_on_batch(batch, logs)

    def _is_due(self, batch):
        """Whether to save at the end of this batch, which is counted."""
        if self.save_freq == "epoch":
            return False
        last = self._last_batch_seen
        is_new_epoch = last is None or batch <= last
        self._last_batch_seen = batch
        self._batches_seen_since_last_saving += batch + 1 if is_new_epoch else batch - last
        if self._batches_seen_since_last_saving < self.save_freq:
            return False
        self._batches_seen_since_last_saving = 0
        return True
