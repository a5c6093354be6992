"""TorchScheduler: a scheduler of torch.optim.lr_scheduler, stepped during training."""

import torch

from torchkeras.callbacks.callback import Callback
from torchkeras.optimizers import LossScaleOptimizer, TorchOptimizer

_PLATEAU = torch.optim.lr_scheduler.ReduceLROnPlateau


class TorchScheduler(Callback):
    """Steps a scheduler of torch after each epoch or batch; the model has an optimizer of torch.

    The learning rate of an epoch's last batch is in its logs. A backup (`BackupAndRestore`) holds
    the scheduler's state.

    Args:
        scheduler: a `torch.optim.lr_scheduler.LRScheduler` over the optimizer that the model was
            compiled with; or a function that makes one from the optimizer, for a model compiled
            with a function that makes that.
        every: `"epoch"` or `"batch"`, after what it is stepped.
        monitor: str, the log that torch's `ReduceLROnPlateau` is given.

    Raises:
        ValueError: another `every`; at the start of training, where the scheduler is of another
            optimizer than the model's, or the model has none of torch; where the logs lack
            `monitor`.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> model.compile(optimizer, "mse")
    >>> halve = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> x, y = np.zeros((4, 3)), np.zeros((4, 1))
    >>> callbacks = [keras.callbacks.TorchScheduler(halve)]
    >>> model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks).history["learning_rate"]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, scheduler, every="epoch", monitor="val_loss"):
        super().__init__()
        if every not in ("epoch", "batch"):
            raise ValueError(
                f"Argument `every` must be 'epoch' or 'batch'. Received: every={every!r}."
            )
        is_one = isinstance(scheduler, (torch.optim.lr_scheduler.LRScheduler, _PLATEAU))
        self.scheduler = scheduler if is_one else None
        self._factory = None if is_one else scheduler
        self.every = every
        self.monitor = monitor
        self._groups = []  # of the optimizer, with what they were before the scheduler was made

    def on_train_begin(self, logs=None):
        optimizer = self._optimizer()
        if (
            self._factory is not None
            and getattr(self.scheduler, "optimizer", None) is not optimizer
        ):
            self._groups = [(group, dict(group)) for group in optimizer.param_groups]
            self.scheduler = self._factory(optimizer)
        if self.scheduler.optimizer is not optimizer:
            raise ValueError(
                "The scheduler of a TorchScheduler must be of the optimizer that the model was "
                f"compiled with. Received: one of {self.scheduler.optimizer!r}. Give both the same "
                "object, or give a function that makes a scheduler from an optimizer."
            )

    def _optimizer(self):
        """The torch optimizer of the model."""
        optimizer = self.model.optimizer
        if isinstance(optimizer, LossScaleOptimizer):
            optimizer = optimizer.inner_optimizer
        if not isinstance(optimizer, TorchOptimizer):
            raise ValueError(
                "TorchScheduler needs a model compiled with an optimizer of torch. Received: "
                f"{optimizer!r}. Give an optimizer of keras a schedule as `learning_rate`, or use "
                "the callback LearningRateScheduler."
            )
        return optimizer.optimizer

    def on_train_batch_end(self, batch, logs=None):
        if self.every == "batch":
            self._step(logs)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.every == "epoch":
            self._step(logs)

    def _step(self, logs):
        self._groups = []
        if not isinstance(self.scheduler, _PLATEAU):
            self.scheduler.step()
            return
        value = (logs or {}).get(self.monitor)
        if value is None:
            raise ValueError(
                f"ReduceLROnPlateau is stepped by the log '{self.monitor}'. Received: logs "
                f"{sorted(logs or {})}. Pass validation data to `fit`, or another `monitor`."
            )
        self.scheduler.step(float(value))

    def state_dict(self):
        """The scheduler's `state_dict()`; `{}` before there is one."""
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state_dict):
        """Go on from a `state_dict()`.

        A scheduler that was just made has set the rates of its beginning. Where the optimizer had
        been restored before, they are put back.
        """
        if self.scheduler is None or not state_dict:
            return
        self.scheduler.load_state_dict(state_dict)
        for group, (known, before) in zip(
            self.scheduler.optimizer.param_groups, self._groups, strict=False
        ):
            if group is known:
                group.update(before)
