"""LambdaCallback: a callback made of functions."""

from torchkeras.callbacks.callback import Callback
from torchkeras.core.checks import check_function


class LambdaCallback(Callback):
    """A callback whose hooks are the functions given.

    Args:
        on_epoch_begin: function of `(epoch, logs)`.
        on_epoch_end: function of `(epoch, logs)`.
        on_train_begin: function of `(logs)`.
        on_train_end: function of `(logs)`.
        on_train_batch_begin: function of `(batch, logs)`.
        on_train_batch_end: function of `(batch, logs)`.
        **kwargs: functions for the other methods of `Callback`, by name.

    Raises:
        ValueError: a name is no method of `Callback`.

    Example:

    >>> callback = keras.callbacks.LambdaCallback(on_test_end=lambda logs: print(logs["loss"]))
    >>> callback.on_test_end({"loss": 0.5})
    0.5
    """

    def __init__(
        self,
        on_epoch_begin=None,
        on_epoch_end=None,
        on_train_begin=None,
        on_train_end=None,
        on_train_batch_begin=None,
        on_train_batch_end=None,
        **kwargs,
    ):
        super().__init__()
        unknown = sorted(name for name in kwargs if not callable(getattr(Callback, name, None)))
        if unknown:
            hooks = [name for name in dir(Callback) if name.startswith("on_")]
            raise ValueError(
                f"The hooks of a callback are {', '.join(hooks)}. Received: {', '.join(unknown)}. "
                "Correct the name; data can be attached after construction."
            )
        functions = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in functions.items():
            check_function(name, function)
            if function is not None:
                setattr(self, name, function)
