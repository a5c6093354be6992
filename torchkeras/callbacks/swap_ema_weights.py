"""SwapEMAWeights: evaluate with the moving averages of the weights."""

import torch

from torchkeras.callbacks.callback import Callback
from torchkeras.core.checks import check_switch


class SwapEMAWeights(Callback):
    """Puts the optimizer's moving averages in place of the weights while the model is evaluated.

    For an optimizer with `use_ema=True`. Weights and averages change places, without a second
    copy of the model, before `evaluate`, `predict` and each validation, and change back after.
    With `swap_on_epoch=True` the averages stay in the model from its validation to the start of
    the next epoch, so that a ModelCheckpoint after this callback saves them. Nothing else may
    change the weights meanwhile.

    Args:
        swap_on_epoch: bool, swap at the end and start of epochs too.

    Raises:
        ValueError: at the first swap, where the optimizer keeps no averages.

    Source: Polyak and Juditsky 1992, doi:10.1137/0330046, with a decaying mean.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    >>> swap = keras.callbacks.SwapEMAWeights()
    >>> x = np.ones((4, 1))
    >>> _ = model.fit(x, x, epochs=1, verbose=0, validation_data=(x, x), callbacks=[swap])
    """

    _state_names = ("_ema_weights_in_model",)

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        check_switch("swap_on_epoch", swap_on_epoch)
        self.swap_on_epoch = swap_on_epoch
        self._ema_weights_in_model = False

    def on_epoch_begin(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._set(averages=False)

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._set(averages=True)

    def _after_epoch_end(self, epoch):
        if not self._ema_weights_in_model:
            return
        if epoch == self.params["epochs"] - 1 or self.model.stop_training:
            # `fit` now sets the weights to the averages, which must be the averages again.
            with torch.no_grad():
                for weight, average in self._pairs():
                    average.copy_(weight)
            self._ema_weights_in_model = False

    def on_test_begin(self, logs=None):
        self._set(averages=True)

    def on_test_end(self, logs=None):
        self._set(averages=False)

    def on_predict_begin(self, logs=None):
        self._set(averages=True)

    def on_predict_end(self, logs=None):
        self._set(averages=False)

    def _set(self, averages):
        if averages is self._ema_weights_in_model:
            return
        with torch.no_grad():
            for weight, average in self._pairs():
                kept = weight.clone()
                weight.copy_(average)
                average.copy_(kept)
        self._ema_weights_in_model = averages

    def _pairs(self):
        """`(weight, its average)` as tensors; none before the first training step."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # behind a loss scale
        if not getattr(optimizer, "use_ema", False):
            raise ValueError(
                "SwapEMAWeights needs an optimizer that averages the weights. Received: "
                f"{optimizer!r} with use_ema=False. Compile with an optimizer made with "
                "use_ema=True."
            )
        pairs = zip(
            optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
        )
        return [(weight.value, average.value) for weight, average in pairs if average is not None]
