"""Trainer: compile, fit, evaluate, predict; the half of a Model that is not a layer."""

import contextlib
import warnings

import numpy as np
import torch

from torchkeras.core import config, tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.scopes import SCOPE
from torchkeras.trainers.compile_loss import CompileLoss
from torchkeras.trainers.compile_metrics import CompileMetrics
from torchkeras.trainers.data_adapters.data_adapter_utils import (
    class_weight_to_sample_weights,
    train_validation_split,
    unpack_x_y_sample_weight,
)
from torchkeras.trainers.epoch_iterator import EpochIterator


class Trainer:
    """Mix-in that gives a model `compile`, `fit`, `evaluate` and `predict`.

    What happens to a batch is in methods to override: `train_step`, `test_step` and
    `predict_step`, and within them `compute_loss` and `compute_metrics`. The Trainer clears the
    gradients before each `train_step`, puts the model into training or inference mode, turns
    gradients off outside of training, and reads no value from the device until somebody asks.
    """

    def __init__(self):
        state = self.__dict__
        state["optimizer"] = None
        state["compiled"] = False
        state["loss"] = None
        state["stop_training"] = False
        state["run_eagerly"] = False
        state["jit_compile"] = False
        state["steps_per_execution"] = 1
        state["_compile_loss"] = None
        state["_compile_metrics"] = None
        state["_compile_config"] = None
        state["_loss_tracker"] = None
        state["_running"] = None  # what a running fit has looked up once
        state["_validation_iterator"] = None

    # Compiling

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=True,
    ):
        """Choose how the model is trained and measured.

        Args:
            optimizer: name, Optimizer, `torch.optim.Optimizer`, or a function from a list of
                parameters to one.
            loss: name, Loss, function `(y_true, y_pred)`, or torch loss module; a list or dict of
                them by output; None when `train_step` makes its own.
            loss_weights: float, or list or dict of floats by output.
            metrics: list of names, functions or Metrics; a list of lists or dict by output.
            weighted_metrics: likewise, for metrics that are given the sample weights.
            run_eagerly: bool, never compile the model's call.
            steps_per_execution: int, at least 1; callbacks see every so many batches.
            jit_compile: bool or `"auto"`. True runs the model's call through `torch.compile`;
                `"auto"` means False.
            auto_scale_loss: kept for Keras's signature; gradients in float16 are scaled by the
                optimizer's `loss_scale_factor`.

        Raises:
            ValueError: an unknown name, or an argument of the wrong kind. The model then keeps
                what it was compiled with before.

        Example:

        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="adam", loss="mse", metrics=["mae"])
        """
        from torchkeras import metrics as metrics_module
        from torchkeras import optimizers

        if isinstance(steps_per_execution, bool) or not isinstance(steps_per_execution, int):
            raise TypeError(
                "`steps_per_execution` must be an int. Received: "
                f"steps_per_execution={steps_per_execution!r}."
            )
        if steps_per_execution < 1:
            raise ValueError(
                "`steps_per_execution` must be at least 1. Received: "
                f"steps_per_execution={steps_per_execution}."
            )
        if jit_compile not in (True, False, None, "auto"):
            raise ValueError(
                f"`jit_compile` must be True, False or 'auto'. Received: {jit_compile!r}."
            )
        if run_eagerly and jit_compile is True:
            raise ValueError(
                "A model cannot run eagerly and compiled at once. Received: run_eagerly=True and "
                "jit_compile=True. Choose one."
            )
        chosen = optimizers.get(optimizer)
        output_names = getattr(self, "output_names", None)
        compile_loss = None
        if loss is not None:
            compile_loss = CompileLoss(loss, loss_weights, output_names=output_names)
        compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            compile_metrics = CompileMetrics(metrics, weighted_metrics, output_names=output_names)
        # Nothing above has changed the model; nothing below fails. The attributes are set past
        # `__setattr__`: a torch loss module given as `loss` is no part of the network.
        state = self.__dict__
        state["optimizer"] = chosen
        state["loss"] = loss
        state["_compile_loss"] = compile_loss
        state["_compile_metrics"] = compile_metrics
        state["_loss_tracker"] = metrics_module.Mean(name="loss")
        state["run_eagerly"] = bool(run_eagerly)
        state["jit_compile"] = jit_compile is True
        state["steps_per_execution"] = steps_per_execution
        state["stop_training"] = False
        state["compiled"] = True
        state["_compiled_call_impl"] = None
        state["_compile_config"] = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile is True,
        }

    def get_compile_config(self):
        """The arguments of `compile` as a config, or None if some cannot be described in one."""
        if not self.compiled:
            return None
        from torchkeras.core.serialization import serialize_keras_object

        arguments = {**self._compile_config, "optimizer": self.optimizer}
        try:
            return {key: serialize_keras_object(value) for key, value in arguments.items()}
        except (TypeError, ValueError, NotImplementedError) as error:
            warnings.warn(
                f"The compile arguments of '{self.name}' cannot be described in a config and are "
                f"left out: {error} Call `compile` again after loading.",
                stacklevel=2,
            )
            return None

    def compile_from_config(self, config):
        """Compile as `get_compile_config` described, and build the optimizer if possible."""
        from torchkeras.core.serialization import deserialize_keras_object

        self.compile(**deserialize_keras_object(config))
        if self.built and hasattr(self.optimizer, "build"):
            self.optimizer.build(self.trainable_variables)

    def _assert_compiled(self, method):
        if not self.compiled:
            raise ValueError(
                f"A model must be compiled before `{method}`. Received: '{self.name}', which is "
                "not. Call `model.compile(optimizer=..., loss=...)` first."
            )

    # Metrics

    @property
    def metrics(self):
        """The loss tracker, metrics set as attributes, and those given to `compile`."""
        found = []
        if self._loss_tracker is not None:
            found.append(self._loss_tracker)
        found.extend(self._metrics)
        for layer in self._flatten_layers(include_self=False):
            if not isinstance(layer, Trainer):
                found.extend(layer._metrics)
        if self._compile_metrics is not None:
            found.append(self._compile_metrics)
        if self._compile_loss is not None:
            found.extend(self._compile_loss.metrics)
        return found

    @property
    def metrics_names(self):
        """Names of the metrics."""
        return [metric.name for metric in self.metrics]

    def reset_metrics(self):
        """Set every metric back to its start."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self):
        """Results of all metrics so far, by name, as scalar tensors on the device."""
        results = {}
        for metric in self.metrics:
            result = metric.result()
            if isinstance(result, dict):
                results.update(result)
            else:
                results[metric.name] = result
        return results

    def _move_metrics(self, device):
        for metric in self.metrics:
            for single in getattr(metric, "metrics", None) or [metric]:
                if hasattr(single, "to"):
                    single.to(device)

    # Steps

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True, allow_empty=False
    ):
        """The scalar that a step minimizes: the compiled loss and what layers added.

        Args:
            x: inputs of the batch.
            y: targets.
            y_pred: outputs of the model.
            sample_weight: weights, or None.
            training: bool, whether this is a training step.
            allow_empty: bool, return zero where there is no loss instead of raising.

        Raises:
            ValueError: there is no loss at all.
        """
        total = None
        if self._compile_loss is not None:
            total = self._compile_loss(y, y_pred, sample_weight)
        for loss in self._added_losses():
            loss = loss.sum() if loss.dim() else loss
            total = loss if total is None else total + loss
        if total is None:
            if allow_empty:
                return torch.zeros((), device=self._device())
            raise ValueError(
                f"There is no loss to compute for '{self.name}'. Received: loss=None in "
                "`compile()`. Give `compile` a loss, or override `compute_loss`."
            )
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Let the metrics given to `compile` see a batch, and return all results.

        Returns:
            dict of names to scalar tensors.
        """
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def train_step(self, data):
        """Train on one batch: forward, loss, backward, update, metrics.

        Gradients are clear when it is called.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            dict of names to scalars, for the logs.
        """
        self._train_on(data)
        return self.get_metrics_result()

    def _train_on(self, data):
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x) if self.training else self(x, training=True)
        loss = self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
        )
        self._loss_tracker.update_state(loss.detach(), sample_weight=_batch_size(x))
        optimizer = self.optimizer
        if optimizer.loss_scale_factor is not None:
            optimizer.scale_loss(loss).backward()
        else:
            loss.backward()
        running = self._running
        variables = self.trainable_variables if running is None else running.trainable
        optimizer.apply([v._store[v._key].grad for v in variables], variables)
        self._see_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data):
        """Evaluate one batch: forward, loss, metrics.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            dict of names to scalars, for the logs.
        """
        self._test_on(data)
        return self.get_metrics_result()

    def _test_on(self, data):
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x) if not self.training else self(x, training=False)
        loss = self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False, allow_empty=True
        )
        self._loss_tracker.update_state(loss.detach(), sample_weight=_batch_size(x))
        self._see_metrics(x, y, y_pred, sample_weight)

    def _see_metrics(self, x, y, y_pred, sample_weight):
        if type(self).compute_metrics is not Trainer.compute_metrics:
            self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        elif self._compile_metrics is not None:
            with torch.no_grad():
                self._compile_metrics.update_state(y, y_pred, sample_weight)

    def predict_step(self, data):
        """Outputs for one batch.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`; only `x` is used.
        """
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x) if not self.training else self(x, training=False)

    def _step_function(self, name, default):
        """`(function of a batch, whether its result is the logs)` for one kind of step.

        The Trainer's own steps return nothing, so that metrics are only computed when read. An
        override of `compute_metrics` may name the logs itself, so it counts as an own step.
        """
        cls = type(self)
        plain = (
            getattr(cls, name) is getattr(Trainer, name)
            and name not in self.__dict__
            and cls.compute_metrics is Trainer.compute_metrics
        )
        if plain:
            return default, False
        return getattr(self, name), True

    def _clear_gradients(self):
        for variable in self._running.trainable:
            variable._store[variable._key].grad = None

    def _added_losses(self):
        """`self.losses`, without a walk through the model where it is known to have none."""
        running = self._running
        if running is None or type(self).losses is not _LOSSES():
            return self.losses
        if running.tokens is not SCOPE.tokens:
            running.look_up(self)
        if not running.adds_losses:
            return ()
        return self.losses

    def _device(self):
        for parameter in self.parameters():
            return parameter.device
        return config.default_device()

    # Preparing

    def _build_for_data(self, iterator_data):
        """Create the weights for the shapes of `iterator_data`, where that needs no real batch."""
        if self.built:
            return
        arrays = tree.flatten(iterator_data)
        if not arrays or not all(hasattr(a, "shape") and hasattr(a, "dtype") for a in arrays):
            return  # a DataLoader, generator or the like: the first batch builds the model

        def symbol(array):
            dtype = standardize_dtype(array.dtype)
            dtype = config.floatx() if is_float_dtype(dtype) else dtype
            return KerasTensor((None, *array.shape[1:]), dtype)

        self._build_symbolically(tree.map_structure(symbol, iterator_data))

    def _build_symbolically(self, symbols):
        if not tree.is_nested(symbols) and hasattr(self, "_stack"):
            self.build(symbols.shape)
            return
        try:
            with contextlib.suppress(NotImplementedError):
                self(symbols)
        finally:
            self._inbound_nodes.clear()

    def _build_for_batch(self, batch):
        """Create the weights with a first real batch, before anything is trained on it."""
        x, _, _ = unpack_x_y_sample_weight(batch)
        self._build_for_data(x)
        if not self.built:
            with torch.no_grad():
                self(x, training=False)

    def _prepare_training(self):
        """Everything a training step needs to find in place."""
        if self.optimizer is not None and not self.optimizer.built and self.built:
            self.optimizer.build(self.trainable_variables)
        if self.jit_compile and self.built and self.__dict__["_compiled_call_impl"] is None:
            self.__dict__["_compiled_call_impl"] = torch.compile(self._call_impl)
        self._move_metrics(self._device())
        self._running = _Running(self)

    @contextlib.contextmanager
    def _mode(self, training):
        """Training or inference mode for the whole model; afterwards each part has its own again.

        After training every part is in inference mode.
        """
        modules = list(self.modules())
        flags = [module.training for module in modules]
        self.train(training)
        try:
            with torch.set_grad_enabled(training):
                yield
        finally:
            self._running = None
            if training:
                self.eval()
            else:
                for module, flag in zip(modules, flags, strict=True):
                    module.__dict__["training"] = flag

    # Loops

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Train for a number of epochs.

        Args:
            x: inputs: array, tensor, list or dict of them by input; or a DataLoader, PyDataset or
                generator of batches `(x, y)` or `(x, y, sample_weight)`.
            y: targets in the structure of the outputs; None where `x` brings them.
            batch_size: int, samples a step; None for 32. Only for arrays.
            epochs: int, number of the last epoch (`initial_epoch` counts).
            verbose: 0 silent, 1 a moving bar, 2 a line an epoch, or `"auto"`.
            callbacks: list of Callbacks.
            validation_split: fraction of the arrays, from their end, that is held out and
                evaluated after each epoch.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or a data set, instead.
            shuffle: bool, a new order each epoch, or `"batch"`. Only for arrays.
            class_weight: dict of class index to weight.
            sample_weight: array of a weight for each sample.
            initial_epoch: int, epoch to start at.
            steps_per_epoch: int, steps that make an epoch; None for one pass.
            validation_steps: int, steps of each evaluation; None for one pass.
            validation_batch_size: int or None for `batch_size`.
            validation_freq: int, or list of epochs (from 1), when to evaluate.

        Returns:
            History, whose `history` is a dict of names to lists of floats, one for each epoch.

        Raises:
            ValueError: the model is not compiled, or the data does not fit.

        Example:

        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> x, y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
        >>> history = model.fit(x, y, epochs=2, verbose=0)
        >>> len(history.history["loss"])
        2
        """
        from torchkeras.callbacks import CallbackList

        self._assert_compiled("fit")
        _check_epochs(epochs, initial_epoch)
        limit = config.max_epochs()
        epochs = min(epochs, limit) if limit else epochs
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        self._build_for_data(x)
        device = self._device()
        iterator = EpochIterator(
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            steps_per_execution=self.steps_per_execution,
            device=device,
        )
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks,
                add_history=True,
                add_progbar=verbose != 0,
                model=self,
                verbose=verbose,
                epochs=epochs,
                steps=iterator.num_batches,
            )
        self.__dict__["stop_training"] = False
        self.__dict__["_validation_iterator"] = None
        try:
            with self._mode(True):
                if self.built:
                    self._prepare_training()
                callbacks.on_train_begin()
                logs = {}
                for epoch in range(initial_epoch, epochs):
                    logs = self._fit_epoch(iterator, epoch, callbacks)
                    if validation_data is not None and _is_due(epoch, validation_freq):
                        logs.update(
                            self._validate(
                                validation_data,
                                validation_batch_size or batch_size,
                                validation_steps,
                                callbacks,
                                verbose,
                            )
                        )
                    callbacks.on_epoch_end(epoch, logs)
                    if self.stop_training:
                        break
                self._finish_optimizer()
                callbacks.on_train_end(logs)
        finally:
            self.__dict__["_validation_iterator"] = None
        return self.history

    def _finish_optimizer(self):
        finalize = getattr(self.optimizer, "finalize_variable_values", None)
        if finalize is not None:
            finalize(self.trainable_variables)

    def _fit_epoch(self, iterator, epoch, callbacks):
        """One pass over the training data; returns the logs of its end."""
        self.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        if self._running is not None:
            self._running.look_up(self)  # a callback may have frozen layers
        step_function, returns_logs = self._step_function("train_step", self._train_on)
        current = logs_now = self.get_metrics_result
        group, done = self.steps_per_execution, 0
        epoch_steps = iterator.enumerate_epoch()
        for step, batch in epoch_steps:
            if done == 0 and callbacks.wants_train_batch_begin:
                callbacks.on_train_batch_begin(step)
            if self._running is None:
                self._build_for_batch(batch)
                self._prepare_training()
            self._clear_gradients()
            result = step_function(batch[0] if iterator.bare_batches else batch)
            logs_now = result if returns_logs else current
            done += 1
            if done == group:
                done = 0
                if callbacks.wants_train_batch_end:
                    callbacks.on_train_batch_end(step, logs_now)
                if self.stop_training:
                    break
        else:
            if done and callbacks.wants_train_batch_end:
                callbacks.on_train_batch_end(step, logs_now)
        epoch_steps.close()
        return self._epoch_logs(logs_now)

    def _epoch_logs(self, last):
        """Logs of a whole epoch: the metrics' results, unless a step names other things."""
        results = self.get_metrics_result()
        if isinstance(last, dict) and set(last) != set(results):
            results = last
        return dict(results)

    def _validate(self, data, batch_size, steps, callbacks, verbose):
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        if self._validation_iterator is None:
            self.__dict__["_validation_iterator"] = EpochIterator(
                x=x,
                y=y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                steps_per_epoch=steps,
                steps_per_execution=self.steps_per_execution,
                device=self._device(),
            )
        running = self._running
        try:
            logs = self._evaluate(self._validation_iterator, callbacks)
        finally:
            self.train()
            self._running = running
        return {f"val_{name}": value for name, value in logs.items()}

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Loss and metrics on data, leaving the model as it is.

        Args:
            x, y, batch_size, sample_weight, verbose, callbacks: as in `fit`.
            steps: int, number of batches; None for one pass.
            return_dict: bool, return a dict by name instead of a list.

        Returns:
            The loss as a float if there is nothing else, else a list of floats: the loss and the
            metrics in the order of `compile`.

        Raises:
            ValueError: the model is not compiled, or the data does not fit.

        Example:

        >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> model.evaluate(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        1.0
        """
        from torchkeras.callbacks import CallbackList

        if kwargs:
            raise ValueError(f"`evaluate` takes no such arguments. Received: {list(kwargs)}.")
        self._assert_compiled("evaluate")
        self._build_for_data(x)
        iterator = EpochIterator(
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps_per_epoch=steps,
            steps_per_execution=self.steps_per_execution,
            device=self._device(),
        )
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks,
                add_progbar=verbose != 0,
                model=self,
                verbose=verbose,
                epochs=1,
                steps=iterator.num_batches,
            )
        logs = {name: _as_number(v) for name, v in self._evaluate(iterator, callbacks).items()}
        return logs if return_dict else self._in_order(logs)

    def _evaluate(self, iterator, callbacks):
        with self._mode(False):
            self._move_metrics(self._device())
            self._running = _Running(self)
            self.reset_metrics()
            callbacks.on_test_begin()
            step_function, returns_logs = self._step_function("test_step", self._test_on)
            logs = self.get_metrics_result
            group, done = self.steps_per_execution, 0
            for step, batch in iterator.enumerate_epoch():
                if done == 0 and callbacks.wants_test_batch_begin:
                    callbacks.on_test_batch_begin(step)
                if not self.built:
                    self._build_for_batch(batch)
                result = step_function(batch[0] if iterator.bare_batches else batch)
                logs = result if returns_logs else self.get_metrics_result
                done = (done + 1) % group
                if done == 0 and callbacks.wants_test_batch_end:
                    callbacks.on_test_batch_end(step, logs)
            if done and callbacks.wants_test_batch_end:
                callbacks.on_test_batch_end(step, logs)
            logs = self._epoch_logs(logs)
            callbacks.on_test_end(logs)
        return logs

    def _in_order(self, logs):
        """Values of the logs in the order of the metrics; the value itself if there is one."""
        names = []
        for metric in self.metrics:
            if isinstance(metric, CompileMetrics):
                names.extend(single.name for single in metric.metrics)
            else:
                names.append(metric.name)
        values = [logs[name] for name in dict.fromkeys(names) if name in logs]
        values += [logs[name] for name in sorted(logs) if name not in names]
        return values[0] if len(values) == 1 else values

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Outputs for all samples of the data, in order.

        Args:
            x, batch_size, verbose, callbacks: as in `fit`.
            steps: int, number of batches; None for one pass.

        Returns:
            NumPy array, or structure of arrays, with the batches joined along the first axis.

        Raises:
            ValueError: the data does not fit.

        Example:

        >>> model = keras.Sequential([keras.layers.Dense(2)])
        >>> model.predict(np.ones((5, 3)), verbose=0).shape
        (5, 2)
        """
        from torchkeras.callbacks import CallbackList

        self._build_for_data(x)
        iterator = EpochIterator(
            x=x,
            batch_size=batch_size,
            steps_per_epoch=steps,
            steps_per_execution=self.steps_per_execution,
            device=self._device(),
        )
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks,
                add_progbar=verbose != 0,
                model=self,
                verbose=verbose,
                epochs=1,
                steps=iterator.num_batches,
            )
        batches = []
        with self._mode(False):
            callbacks.on_predict_begin()
            group, done, outputs = self.steps_per_execution, 0, None
            for step, batch in iterator.enumerate_epoch():
                if done == 0 and callbacks.wants_predict_batch_begin:
                    callbacks.on_predict_batch_begin(step)
                if not self.built:
                    self._build_for_batch(batch)
                outputs = self.predict_step(batch[0] if iterator.bare_batches else batch)
                # One wait for the device at the end, instead of one a batch.
                batches.append(tree.map_structure(_start_copy_to_cpu, outputs))
                done = (done + 1) % group
                if done == 0 and callbacks.wants_predict_batch_end:
                    callbacks.on_predict_batch_end(step, {"outputs": outputs})
            if done and callbacks.wants_predict_batch_end:
                callbacks.on_predict_batch_end(step, {"outputs": outputs})
            callbacks.on_predict_end()
        if not batches:
            raise ValueError(f"`predict` needs data. Received: no batch at all for '{self.name}'.")
        _wait_for_copies(batches)
        return tree.map_structure(lambda *parts: _join(parts), *batches)

    # Single batches

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One training step on one batch of arrays.

        Args:
            x, y, sample_weight: arrays, or structures of them.
            class_weight: dict of class index to weight.
            return_dict: bool, return a dict by name instead of a list.

        Returns:
            Loss and metrics since the metrics were last reset, as in `evaluate`.
        """
        self._assert_compiled("train_on_batch")
        data = self._single_batch(x, y, sample_weight, class_weight)
        step_function, returns_logs = self._step_function("train_step", self._train_on)
        with self._mode(True):
            if not self.built:
                self._build_for_batch(data)
                data = tree.map_structure(lambda t: _to_device(t, self._device()), data)
            self._prepare_training()
            self._clear_gradients()
            result = step_function(data)
        return self._batch_result(result if returns_logs else None, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics on one batch of arrays; see `train_on_batch`."""
        self._assert_compiled("test_on_batch")
        data = self._single_batch(x, y, sample_weight, None)
        step_function, returns_logs = self._step_function("test_step", self._test_on)
        with self._mode(False):
            if not self.built:
                self._build_for_batch(data)
            self._move_metrics(self._device())
            result = step_function(data)
        return self._batch_result(result if returns_logs else None, return_dict)

    def predict_on_batch(self, x):
        """Outputs for one batch of arrays, as NumPy arrays."""
        data = self._single_batch(x, None, None, None)
        with self._mode(False):
            if not self.built:
                self._build_for_batch(data)
            outputs = self.predict_step(data)
        return tree.map_structure(_numpy, outputs)

    def _single_batch(self, x, y, sample_weight, class_weight):
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "Weights come by sample or by class. Received: both sample_weight and "
                    "class_weight. Leave one out."
                )
            sample_weight = class_weight_to_sample_weights(y, class_weight)
        data = [x] if y is None and sample_weight is None else [x, y]
        data += [] if sample_weight is None else [sample_weight]
        if not self.built:
            self._build_for_data(x)
        device = self._device()

        def convert(a):
            if a is None:
                return None
            tensor = convert_to_tensor(a)
            if tensor.dtype is torch.float64:
                tensor = tensor.to(getattr(torch, config.floatx()))
            return _to_device(tensor, device)

        return tuple(
            part
            if part is None
            else tree.map_structure(convert, part)
            if _is_structure(part)
            else convert(part)
            for part in data
        )

    def _batch_result(self, logs, return_dict):
        logs = {k: _as_number(v) for k, v in self._epoch_logs(logs).items()}
        return logs if return_dict else self._in_order(logs)


class _Running:
    """What the steps of a running loop look up once instead of at every step."""

    def __init__(self, model):
        self.look_up(model)

    def look_up(self, model):
        self.tokens = SCOPE.tokens
        self.trainable = model.trainable_variables
        self.adds_losses = any(layer._adds_losses for layer in model._flatten_layers()) or any(
            variable.regularizer is not None for variable in self.trainable
        )


def _LOSSES():
    from torchkeras.layers.layer import Layer

    return Layer.losses


def _batch_size(x):
    if isinstance(x, torch.Tensor):
        return x.shape[0] if x.dim() else 1
    for leaf in tree.flatten(x):
        if leaf is not None and getattr(leaf, "shape", None):
            return leaf.shape[0]
    return 1


def _is_structure(x):
    return isinstance(x, dict) or (
        isinstance(x, (list, tuple)) and any(hasattr(item, "shape") for item in tree.flatten(x))
    )


def _to_device(x, device):
    return x.to(device) if isinstance(x, torch.Tensor) else x


def _start_copy_to_cpu(x):
    if not isinstance(x, torch.Tensor):
        return x
    x = x.detach()
    return x if x.device.type == "cpu" else x.to("cpu", non_blocking=True)


def _wait_for_copies(batches):
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def _numpy(x):
    from torchkeras.core.convert import convert_to_numpy

    return convert_to_numpy(x)


def _join(parts):
    if all(isinstance(part, torch.Tensor) for part in parts):
        return _numpy(parts[0] if len(parts) == 1 else torch.cat(parts))
    return np.concatenate([np.asarray(part) for part in parts])


def _as_number(value):
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else _numpy(value)
    if hasattr(value, "_as_tensor"):
        return _as_number(value._as_tensor())
    return value


def _is_due(epoch, validation_freq):
    if isinstance(validation_freq, (list, tuple, set)):
        return epoch + 1 in validation_freq
    return (epoch + 1) % validation_freq == 0


def _check_epochs(epochs, initial_epoch):
    for name, value in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(
                f"`{name}` must be an int. Received: {name}={value!r} of type "
                f"{type(value).__name__}."
            )
        if value < 0:
            raise ValueError(f"`{name}` cannot be negative. Received: {name}={value}.")
