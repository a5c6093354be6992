"""CallbackList: several callbacks behind the hooks of one."""

from torchkeras.callbacks.callback import Callback, logs_to_floats
from torchkeras.callbacks.history import History
from torchkeras.callbacks.progbar_logger import ProgbarLogger
from torchkeras.core import tree

_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)


class CallbackList(Callback):
    """Calls the hooks of several callbacks, in their order.

    A batch hook reaches only the callbacks that define it, and `wants_train_batch_begin`,
    `wants_train_batch_end` and their `test` and `predict` siblings say whether anyone does, so
    that a training loop spends nothing on the others. Which callbacks define what is looked up
    here and again after each `*_begin` hook.

    Every hook takes `logs` as a dict of numbers and tensors, as a function that returns one, or
    None. Tensors are read into floats at once for all callbacks, and for a batch hook only if
    one of them does not mark itself `_supports_device_logs`.

    Some things serve the library's own callbacks. `_unused_hooks` names batch hooks that a class
    defines and an object, as it was set up, does not need. `_after_train_begin(callbacks)`,
    `_after_train_batch_end(batch, logs)`, where batch hooks are called, and
    `_after_epoch_end(epoch)` are called once every callback has had its own hook, for one that
    depends on the state of the others; `_after_resumed_epoch_begin()` likewise, in an epoch that
    another run began. `_after_stop()` is called within an epoch that is ended early, and
    `_release()` whenever `fit` is left. For jobs of several processes, `_only_shows = True` marks
    a callback that decides nothing, and `_needs_all_rows = True` one whose batch hooks need the
    logs of all processes though it does not read each of them.

    Args:
        callbacks: a `Callback`, or nested lists of them, or None.
        add_history: bool, append a `History` unless there is one.
        add_progbar: bool, append a `ProgbarLogger` unless there is one.
        model: the model, or None.
        **params: given to each callback by `set_params`, where there are any.

    Raises:
        TypeError: an item is a class, or no callback.

    Example:

    >>> hooks = keras.callbacks.CallbackList(add_history=True, epochs=1)
    >>> hooks.on_train_begin()
    >>> hooks.on_epoch_end(0, {"loss": torch.tensor(0.5)})
    >>> hooks.callbacks[0].history, hooks.wants_train_batch_end
    ({'loss': [0.5]}, False)
    """

    _supports_device_logs = True  # in a list of lists, the inner one decides

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks = tree.flatten(callbacks) if callbacks else []
        for callback in self.callbacks:
            _check_callback(callback)
        self._history = self._last_of(History)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        self._progbar = self._last_of(ProgbarLogger)
        if self._progbar is None and add_progbar:
            self._progbar = ProgbarLogger()
            self.callbacks.append(self._progbar)
        self.set_model(model)
        self.set_params(params)
        self._find_hooks()

    def _last_of(self, kind):
        return next((c for c in reversed(self.callbacks) if isinstance(c, kind)), None)

    def set_params(self, params):
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model):
        # `is None`: a model may define `__len__`, and an empty one is false.
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def _find_hooks(self):
        self._methods, self._reads_floats, self._listeners = {}, {}, {}
        for hook in _BATCH_HOOKS:
            found = [(c, _own_method(c, hook)) for c in self.callbacks]
            found = [(callback, method) for callback, method in found if method is not None]
            self._methods[hook] = [method for _, method in found]
            self._reads_floats[hook] = not all(
                getattr(callback, "_supports_device_logs", False) for callback, _ in found
            )
            self._listeners[hook] = [callback for callback, _ in found]
        self._after_train_batch = [
            method
            for method in (getattr(c, "_after_train_batch_end", None) for c in self.callbacks)
            if method is not None
        ]
        self.wants_train_batch_begin = bool(self._methods["on_train_batch_begin"])
        self.wants_train_batch_end = bool(self._methods["on_train_batch_end"])
        self.wants_test_batch_begin = bool(self._methods["on_test_batch_begin"])
        self.wants_test_batch_end = bool(self._methods["on_test_batch_end"])
        self.wants_predict_batch_begin = bool(self._methods["on_predict_batch_begin"])
        self.wants_predict_batch_end = bool(self._methods["on_predict_batch_end"])

    def batch_interest(self, hook):
        """What callbacks want of the ends of batches, beyond showing what this process has.

        Args:
            hook: str, such as `"on_train_batch_end"`.

        Returns:
            `(acts, reads)`: whether one may decide something at a batch, at its beginning too;
            and whether one reads the logs, which then are to be those of all processes.

        Example:

        >>> keras.callbacks.CallbackList(add_progbar=True).batch_interest("on_train_batch_end")
        (False, False)
        """
        interests = [_interest(callback, hook) for callback in self._listeners[hook]]
        acts = any(acts for acts, _ in interests)
        begins = bool(self._methods[hook.replace("_end", "_begin")])
        return acts or begins, any(reads for _, reads in interests)

    def _call_batch_hook(self, hook, batch, logs):
        methods = self._methods[hook]
        if not methods:
            return
        if self._reads_floats[hook]:
            logs = logs_to_floats(logs)
        for method in methods:
            method(batch, logs=logs)

    def on_batch_begin(self, batch, logs=None):
        self._call_batch_hook("on_batch_begin", batch, logs)

    def on_batch_end(self, batch, logs=None):
        self._call_batch_hook("on_batch_end", batch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._call_batch_hook("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._call_batch_hook("on_train_batch_end", batch, logs)
        for method in self._after_train_batch:
            method(batch, logs)

    def on_test_batch_begin(self, batch, logs=None):
        self._call_batch_hook("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self._call_batch_hook("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch, logs=None):
        self._call_batch_hook("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._call_batch_hook("on_predict_batch_end", batch, logs)

    def on_epoch_begin(self, epoch, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)
        self._find_hooks()

    def on_epoch_end(self, epoch, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)
        for callback in self.callbacks:
            if hasattr(callback, "_after_epoch_end"):
                callback._after_epoch_end(epoch)

    def on_train_begin(self, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            if hasattr(callback, "_before_train_begin"):
                callback._before_train_begin(self.callbacks)
        for callback in self.callbacks:
            callback.on_train_begin(logs)
        for callback in self.callbacks:
            if hasattr(callback, "_after_train_begin"):
                callback._after_train_begin(self.callbacks)
        self._find_hooks()

    def on_train_end(self, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def _tell(self, hook):
        for callback in self.callbacks:
            method = getattr(callback, hook, None)
            if method is not None:
                method()

    def _after_stop(self):
        self._tell("_after_stop")

    def _after_resumed_epoch_begin(self):
        self._tell("_after_resumed_epoch_begin")
        self._find_hooks()

    def _release(self):
        self._tell("_release")

    def on_test_begin(self, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            callback.on_test_begin(logs)
        self._find_hooks()

    def on_test_end(self, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            callback.on_test_end(logs)

    def on_predict_begin(self, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            callback.on_predict_begin(logs)
        self._find_hooks()

    def on_predict_end(self, logs=None):
        logs = logs_to_floats(logs)
        for callback in self.callbacks:
            callback.on_predict_end(logs)


def _own_method(callback, hook):
    """The method of `callback` to call for `hook`, or None if it defines none."""
    if hook in getattr(callback, "_unused_hooks", ()):
        return None
    if isinstance(callback, CallbackList):
        return getattr(callback, hook) if callback._methods[hook] else None
    if hook in getattr(callback, "__dict__", ()) or getattr(
        type(callback), hook, None
    ) is not getattr(Callback, hook):
        return getattr(callback, hook, None)
    if hook.startswith("on_train_batch"):
        return _own_method(callback, hook.replace("train_", ""))
    return None


def _interest(callback, hook):
    """`(acts, reads)` of one callback: see `CallbackList.batch_interest`."""
    if isinstance(callback, CallbackList):
        return callback.batch_interest(hook)
    if getattr(callback, "_only_shows", False):
        return False, False
    reads = not getattr(callback, "_supports_device_logs", False)
    return True, reads or getattr(callback, "_needs_all_rows", False)


def _check_callback(callback):
    if isinstance(callback, type):
        raise TypeError(
            f"`callbacks` must hold instances. Received: the class {callback.__name__}. Call it: "
            f"{callback.__name__}(...)."
        )
    if not isinstance(callback, Callback) and not hasattr(callback, "on_epoch_end"):
        raise TypeError(
            "`callbacks` must hold Callback instances. Received: "
            f"{callback!r} of type {type(callback).__name__}. Wrap a function: "
            "LambdaCallback(on_epoch_end=function)."
        )
