"""Trainer: fit, evaluate, predict; the half of a Model that is not a layer."""

import contextlib
import inspect
import warnings

import numpy as np
import torch

from torchkeras import kernels
from torchkeras.callbacks import CallbackList
from torchkeras.callbacks.callback import logs_to_floats
from torchkeras.core import config, tree
from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.scopes import SCOPE
from torchkeras.distribution import process_group
from torchkeras.distribution.distribution_lib import effective_distribution
from torchkeras.layers.layer import Layer
from torchkeras.trainers.compilation import Compilation
from torchkeras.trainers.data_adapters.data_adapter_utils import (
    train_validation_split,
    unpack_x_y_sample_weight,
)
from torchkeras.trainers.epoch_iterator import EpochIterator
from torchkeras.trainers.predictions import Predictions, SharedPredictions
from torchkeras.trainers.stateless_step import (
    StatelessStep,
    stateless_prediction,
    takes_state,
    write_back,
    written_back,
)


class Trainer(Compilation):
    """Mix-in that gives a model `compile`, `fit`, `evaluate` and `predict`.

    What happens to a batch is in methods to override: `train_step`, `test_step` and
    `predict_step`, and within them `compute_loss` and `compute_metrics`. The Trainer clears the
    gradients before each `train_step`, puts the model into training or inference mode, turns
    gradients off outside of training, and reads no value from the device until somebody asks.
    """

    def __init__(self):
        super().__init__()
        self.__dict__["_running"] = None  # what the loop that runs has looked up once
        self.__dict__["_replica"] = None  # the model's part in a job of several processes
        self.__dict__["_replica_of"] = None  # the Distribution that made it

    def __getstate__(self):
        # A copy is outside of any loop; a compiled call cannot be copied, and is made anew.
        return {
            **super().__getstate__(),
            "_running": None,
            "_compiled_call_impl": None,
            "_replica": None,
            "_replica_of": None,
        }

    # Steps: what happens to a batch

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The scalar that a step minimizes: the compiled loss and what layers added.

        Args:
            x: inputs of the batch.
            y: targets.
            y_pred: outputs of the model.
            sample_weight: weights, or None.
            training: bool, whether this is a training step.

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
            raise ValueError(
                f"There is no loss to compute for '{self.name}'. Received: loss=None in "
                "`compile()`. Give `compile` a loss, or override `compute_loss`."
            )
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Let the metrics given to `compile` see a batch, and return all results.

        Args:
            x: inputs of the batch.
            y: targets.
            y_pred: outputs of the model.
            sample_weight: weights, or None.

        Returns:
            dict of names to scalar tensors, the logs of the step.
        """
        self._update_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def train_step(self, data):
        """Train on one batch: forward, loss, backward, update, metrics.

        Gradients are clear when it is called. An override may also have JAX's form,
        `train_step(self, state, data)`, and return `(logs, state)`; the state is the tensors of
        the trainable, the non-trainable, the optimizer's and the metrics' variables.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            dict of names to scalars, for the logs.
        """
        return _logs_now(self._train_on(data))

    def _train_on(self, data):
        """`train_step`, except that the logs may be a function: read only if somebody asks."""
        running = self._running or _Running(self)
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x) if self.training else self(x, training=True)
        loss = self._loss_of(x, y, y_pred, sample_weight, True, running)
        variables = running.trainable
        if type(loss) is not torch.Tensor or loss.dim() or not loss.requires_grad:
            variables = self._check_trainable(loss, variables)
        self._loss_tracker.update_state(loss.detach(), sample_weight=_batch_size(x))
        if not running.own_metrics:
            # Before the update: if they do not fit the outputs, the weights are as they were.
            self._update_metrics(y, y_pred, sample_weight)
        if variables:
            optimizer = self.optimizer
            if SCOPE.replica is not None:
                loss = SCOPE.replica.scaled_loss(loss)
            if optimizer.loss_scale_factor is not None:
                optimizer.scale_loss(loss).backward()
            else:
                loss.backward()
            optimizer.apply([v._store[v._key].grad for v in variables], variables)
        if running.own_metrics:
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        return self.get_metrics_result

    def test_step(self, data):
        """Evaluate one batch: forward, loss, metrics.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            dict of names to scalars, for the logs.
        """
        return _logs_now(self._test_on(data))

    def _test_on(self, data):
        running = self._running or _Running(self)
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x) if not self.training else self(x, training=False)
        loss = self._loss_of(x, y, y_pred, sample_weight, False, running)
        self._loss_tracker.update_state(loss.detach(), sample_weight=_batch_size(x))
        if running.own_metrics:
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        self._update_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result

    def predict_step(self, data):
        """Outputs for one batch.

        An override may also have JAX's form, `predict_step(self, state, data)`, and return the
        outputs and the non-trainable variables' tensors.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`; only `x` is used.
        """
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x) if not self.training else self(x, training=False)

    def _loss_of(self, x, y, y_pred, sample_weight, training, running):
        if running.old_compute_loss:
            return self.compute_loss(x, y, y_pred, sample_weight)
        return self.compute_loss(x, y, y_pred, sample_weight, training=training)

    def _added_losses(self):
        """`self.losses`, without a walk through the model where it is known to have none."""
        running = self._running
        if running is None or type(self).losses is not Layer.losses:
            return self.losses
        if running.tokens is not SCOPE.tokens:
            running.look_up(self)
        return self.losses if running.adds_losses else ()

    def _check_trainable(self, loss, variables):
        """The variables to train by this loss: none, with a warning, where there are none."""
        if not variables:
            warnings.warn(f"Model '{self.name}' has no trainable weights.", stacklevel=5)
            return variables
        if not isinstance(loss, torch.Tensor):
            received = f"{loss!r} of type {type(loss).__name__}"
        elif loss.dim():
            received = f"a tensor of shape {tuple(loss.shape)}"
        elif not loss.requires_grad:
            received = "a tensor that does not depend on any trainable weight"
        else:
            return variables
        raise ValueError(
            f"The loss of '{self.name}' must be a scalar tensor with a gradient. Received: "
            f"{received}. Reduce it to one number, out of the model's outputs and without "
            "`detach` or `no_grad`."
        )

    def _update_metrics(self, y, y_pred, sample_weight):
        if self._compile_metrics is not None:
            with torch.no_grad():
                self._compile_metrics.update_state(y, y_pred, sample_weight)

    def _step_function(self, name, default):
        """The function of a batch that gives its logs, for one kind of step.

        The logs are a dict, or from the Trainer's own step a function that returns one.
        """
        if not _overrides(self, name):
            return default
        step = getattr(self, name)
        if takes_state(step):
            return StatelessStep(self, step, training=name == "train_step")

        def checked_step(data):
            logs = step(data)
            if not isinstance(logs, dict):
                raise TypeError(
                    f"`{name}` must return a dict of names to scalars, the logs. Received: "
                    f"{logs!r} from {type(self).__name__}.{name}. End it, for example, with "
                    "`return self.get_metrics_result()`."
                )
            return logs

        return checked_step

    def _clear_gradients(self):
        for variable in self._running.trainable:
            variable._store[variable._key].grad = None

    # Getting ready

    def _device(self):
        for parameter in self.parameters():
            return parameter.device
        return config.default_device()

    def _join_job(self):
        """Find this process's part in a job of several; None in a single one."""
        process_group.ensure_initialized()
        distribution = effective_distribution()
        if distribution is not self._replica_of:
            if self._replica is not None and self._replica.outlives(distribution):
                return self._replica
            replica = None if distribution is None else distribution.make_replica(self)
            self.__dict__.update(_replica=replica, _replica_of=distribution)
        return self._replica

    def _batches(self, x, y=None, sample_weight=None, **arguments):
        """An EpochIterator over the data, whose batches come on the device of the model.

        In one of several processes they are its rows of the batches.
        """
        if self._replica is not None:
            arguments["shard"] = self._replica_of.batch_shard
            arguments["divided"] = not self._replica_of.auto_shard_dataset
        return EpochIterator(
            x=x,
            y=y,
            sample_weight=sample_weight,
            steps_per_execution=self.steps_per_execution,
            device=self._device(),
            **arguments,
        )

    def _build_from(self, iterator):
        """Create the weights that do not exist yet, for the shapes of the first batch."""
        if all(layer.built for layer in self._flatten_layers()):
            return
        batch = iterator.peek()
        if batch is None:
            raise ValueError(
                f"A batch is needed to build '{self.name}' for its shapes. Received: data "
                "without any. Check the generator or data set, or call `build(input_shape)`."
            )
        x, _, _ = unpack_x_y_sample_weight(batch)
        if self.built or not self._build_symbolically(x):
            with torch.no_grad():
                self(x, training=False)

    def _build_symbolically(self, x):
        """Build by a call on symbols of any batch size. Returns whether that was possible."""
        if not all(isinstance(leaf, torch.Tensor) for leaf in tree.flatten(x)):
            return False

        def symbol(tensor):
            dtype = standardize_dtype(tensor.dtype)
            dtype = config.floatx() if is_float_dtype(dtype) else dtype
            return KerasTensor((None, *tensor.shape[1:]), dtype)

        if isinstance(x, torch.Tensor) and hasattr(self, "_stack"):
            self.build((None, *x.shape[1:]))
            return self.built
        try:
            with contextlib.suppress(NotImplementedError):
                self(tree.map_structure(symbol, x))
        finally:
            self._inbound_nodes.clear()
        return self.built

    def _prepare(self):
        """Put in place what every loop needs, once the model is built."""
        if self.jit_compile and self._compiled_call_impl is None:
            kernels.load()  # a trace takes what is loaded by then
            self.__dict__["_compiled_call_impl"] = torch.compile(self._call_impl)
        self._move_metrics(self._device())
        self.__dict__["_running"] = _Running(self)

    def _prepare_training(self, first_only=False):
        self._prepare()
        optimizer = self.optimizer
        if optimizer is None:
            if not _overrides(self, "train_step"):
                raise ValueError(
                    f"Training '{self.name}' needs an optimizer. Received: optimizer=None in "
                    "`compile()`. Give one, or override `train_step`."
                )
        elif not optimizer.built:
            optimizer.build(self.trainable_variables)
        if self._replica is not None:
            self._replica.prepare_training(_overrides(self, "train_step"), first_only)

    @contextlib.contextmanager
    def _training(self):
        """Around a training loop: training mode, and one state for all processes."""
        with contextlib.ExitStack() as stack:
            if self._replica is not None:
                stack.enter_context(self._replica.training())
            stack.enter_context(self._mode(True))
            yield

    @contextlib.contextmanager
    def _mode(self, training):
        """Training or inference mode for the whole model; afterwards each part has its own again.

        After training every part is in inference mode, unless a loop around it is to go on.
        """
        outer = self._running
        modules = list(self.modules())
        flags = [module.training for module in modules]
        self.train(training)
        try:
            with torch.set_grad_enabled(training):
                yield
        finally:
            self.__dict__["_running"] = outer
            if training and outer is None:
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
            validation_split: float from 0 to below 1, the fraction of the arrays, from their
                end, that is held out and evaluated after each epoch.
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
        self._assert_compiled("fit")
        _check_count("epochs", epochs, least=0)
        _check_count("initial_epoch", initial_epoch, least=0)
        _check_validation(validation_split, validation_freq)
        epochs = min(epochs, config.max_epochs() or epochs)
        replica = self._join_job()
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        iterator = self._batches(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
        )
        validation = None
        if validation_data is not None:
            validation = self._batches(
                *unpack_x_y_sample_weight(validation_data),
                batch_size=validation_batch_size or batch_size,
                steps_per_epoch=validation_steps,
            )
        try:
            self._build_from(iterator)
            with self._training():
                self._prepare_training()
                if replica is not None and validation is not None:
                    replica.warn_of_repeats(validation.sampler)
                callbacks = self._callback_list(
                    callbacks, verbose, iterator, epochs=epochs, add_history=True
                )
                self.__dict__["stop_training"] = False
                callbacks.on_train_begin()
                if replica is not None:
                    replica.agree_on_start()
                restored = self.__dict__.pop("_initial_epoch", None)
                if restored is not None:  # a callback has brought back an earlier run
                    initial_epoch = restored or initial_epoch
                    if not iterator.data_adapter.one_shot:
                        iterator.reset()  # a pass begun before has another run's order
                logs = {}
                for epoch in range(initial_epoch, epochs):
                    logs = self._fit_epoch(iterator, epoch, callbacks)
                    if validation is not None and _is_due(epoch, validation_freq):
                        validation.reset()  # the same samples each time
                        evaluated = self._evaluate(validation, callbacks)
                        logs.update({f"val_{name}": v for name, v in evaluated.items()})
                    callbacks.on_epoch_end(epoch, logs)
                    if self.stop_training if replica is None else replica.agree():
                        break
                if initial_epoch < epochs:
                    self._finish_optimizer()
                callbacks.on_train_end(logs)
        finally:
            iterator.reset()
            if validation is not None:
                validation.reset()
        return self.history

    def _fit_epoch(self, iterator, epoch, callbacks):
        """One pass over the training data; returns the logs of its end."""
        self.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        self._running.look_up(self)  # a callback may have frozen layers
        train_on = run = self._step_function("train_step", self._train_on)
        replica, stop = self._replica, False
        if replica is not None:
            stop = replica.begin_epoch(callbacks)
            run = replica.training_step(train_on, iterator)
        wants_end = self._wants_end(callbacks.wants_train_batch_end, "on_train_batch_end")
        logs = {}
        group, done = self.steps_per_execution, 0
        with contextlib.closing(iterator.enumerate_epoch()) as steps, written_back(train_on):
            for step, batch in steps:
                if done == 0 and callbacks.wants_train_batch_begin:
                    callbacks.on_train_batch_begin(step)
                self._clear_gradients()
                logs = run(batch[0] if iterator.bare_batches else batch)
                done += 1
                if done == group:
                    done = 0
                    if wants_end:
                        write_back(train_on)
                        stop |= self._end_batch(callbacks.on_train_batch_end, step, logs)
                    if stop or (replica is None and self.stop_training):
                        break
            if done and wants_end:
                write_back(train_on)
                self._end_batch(callbacks.on_train_batch_end, step, logs)
        if replica is not None:
            replica.synchronize_state()
        return self._epoch_logs(logs)

    def _wants_end(self, wanted, hook):
        """Whether to call a hook at the ends of batches: also where another process wants it."""
        return wanted or (self._replica is not None and self._replica.listens(hook))

    def _end_batch(self, hook, step, logs, flag="stop_training"):
        """Call the hook of a batch's end; returns whether processes have agreed to stop."""
        replica = self._replica
        if replica is None:
            hook(step, logs)
            return False
        hook(step, replica.batch_logs(hook.__name__, logs))
        return replica.agree_after_batch(hook.__name__, flag)

    def _another_loop(self):
        """Around a loop that a callback may have begun within another one."""
        return contextlib.nullcontext() if self._replica is None else self._replica.another_loop()

    def _epoch_logs(self, last):
        """Logs of a whole epoch: the metrics' results, unless the steps name other things."""
        if self._replica is not None:
            return self._replica.epoch_logs(last)
        if callable(last):
            return last()
        results = self.get_metrics_result()
        if set(results) != set(last):
            return dict(last)
        if "loss" in last and not float(self._loss_tracker.count.value):
            results["loss"] = last["loss"]  # of a step that does not know the tracker
        return results

    def _finish_optimizer(self):
        optimizer = self.optimizer
        if optimizer is not None and optimizer.built:
            # Those it was built on: a layer may have been frozen since.
            optimizer.finalize_variable_values(optimizer._trainable_variables)

    def _callback_list(self, callbacks, verbose, iterator, epochs=1, add_history=False):
        if isinstance(callbacks, CallbackList):
            return callbacks
        if self._replica is not None and not process_group.is_chief():
            verbose = 0
        return CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            model=self,
            verbose=verbose,
            epochs=epochs,
            steps=iterator.num_batches,
        )

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
            The loss as a float if there is nothing else, else a list of floats: the loss, the
            metrics in the order of `compile`, then what else the logs hold.

        Raises:
            ValueError: the model is not compiled, or the data does not fit.

        Example:

        >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> model.evaluate(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        1.0
        """
        if kwargs:
            raise ValueError(
                f"`evaluate` takes no such arguments. Received: {list(kwargs)}. Check their "
                "spelling."
            )
        self._assert_compiled("evaluate")
        replica = self._join_job()
        iterator = self._batches(x, y, sample_weight, batch_size=batch_size, steps_per_epoch=steps)
        try:
            self._build_from(iterator)
            if replica is not None:
                replica.prepare_inference()
                replica.warn_of_repeats(iterator.sampler)
            logs = self._evaluate(iterator, self._callback_list(callbacks, verbose, iterator))
        finally:
            iterator.reset()
        if not logs:
            raise _no_batch("evaluate", self.name)
        return self._numbers(logs, return_dict)

    def _evaluate(self, iterator, callbacks):
        """One pass in inference mode; returns its logs."""
        with self._mode(False), self._another_loop():
            self._prepare()
            self.__dict__["stop_evaluating"] = False
            callbacks.on_test_begin()
            self.reset_metrics()
            test_on = run = self._step_function("test_step", self._test_on)
            replica, stop = self._replica, False
            if replica is not None:
                stop = replica.begin_pass(callbacks, "on_test_batch_end", "stop_evaluating")
                run = replica.evaluating_step(test_on, iterator)
            wants_end = self._wants_end(callbacks.wants_test_batch_end, "on_test_batch_end")
            logs = {}
            group, done = self.steps_per_execution, 0
            with contextlib.closing(iterator.enumerate_epoch()) as steps, written_back(test_on):
                for step, batch in steps:
                    if done == 0 and callbacks.wants_test_batch_begin:
                        callbacks.on_test_batch_begin(step)
                    logs = run(batch[0] if iterator.bare_batches else batch)
                    done = (done + 1) % group
                    if done == 0 and wants_end:
                        hook = callbacks.on_test_batch_end
                        stop |= self._end_batch(hook, step, logs, "stop_evaluating")
                    if stop or (replica is None and self.stop_evaluating):
                        break
                if done and wants_end:
                    self._end_batch(callbacks.on_test_batch_end, step, logs, "stop_evaluating")
            logs = self._epoch_logs(logs)
            callbacks.on_test_end(logs)
        return logs

    def _numbers(self, logs, return_dict):
        """Logs as floats, in a dict or in the order of the metrics."""
        logs = {
            name: convert_to_numpy(value) if isinstance(value, torch.Tensor) else value
            for name, value in logs_to_floats(logs).items()
        }
        return logs if return_dict else self._in_order(logs)

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
        replica = self._join_job()
        iterator = self._batches(x, batch_size=batch_size, steps_per_epoch=steps)
        predictions = _predictions(replica, iterator)
        try:
            self._build_from(iterator)
            if replica is not None:
                replica.prepare_inference()
            callbacks = self._callback_list(callbacks, verbose, iterator)
            with self._mode(False), self._another_loop():
                self._prepare()
                self.__dict__["stop_predicting"] = False
                callbacks.on_predict_begin()
                self._predict_pass(iterator, callbacks, predictions)
                callbacks.on_predict_end()
        finally:
            iterator.reset()
        if not len(predictions):
            raise _no_batch("predict", self.name)
        return predictions.join()

    def _predict_pass(self, iterator, callbacks, predictions):
        predict = stateless_prediction(self) or self.predict_step
        replica, stop = self._replica, False
        if replica is not None:
            stop = replica.begin_pass(callbacks, "on_predict_batch_end", "stop_predicting")
            predict = replica.evaluating_step(predict, iterator)
        group, done, outputs = self.steps_per_execution, 0, None
        with contextlib.closing(iterator.enumerate_epoch()) as steps:
            for step, batch in steps:
                if done == 0 and callbacks.wants_predict_batch_begin:
                    callbacks.on_predict_batch_begin(step)
                outputs = predict(batch[0] if iterator.bare_batches else batch)
                predictions.add(outputs)
                done = (done + 1) % group
                if done == 0 and callbacks.wants_predict_batch_end:
                    callbacks.on_predict_batch_end(step, {"outputs": outputs})
                if replica is not None:
                    stop |= replica.agree_after_batch("on_predict_batch_end", "stop_predicting")
                if stop or (replica is None and self.stop_predicting):
                    break
            if done and callbacks.wants_predict_batch_end:
                callbacks.on_predict_batch_end(step, {"outputs": outputs})

    # Single batches

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One training step on one batch of arrays.

        Args:
            x, y, sample_weight: arrays, or structures of them.
            class_weight: dict of class index to weight.
            return_dict: bool, return a dict by name instead of a list.

        Returns:
            Loss and metrics of this batch, as in `evaluate`.

        Example:

        >>> model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)), return_dict=True)
        {'loss': 1.0}
        """
        self._assert_compiled("train_on_batch")
        replica = self._join_job()
        data, iterator = self._one_batch(x, y, sample_weight, class_weight)
        with self._mode(True):
            self._prepare_training(first_only=True)
            self.reset_metrics()
            self._clear_gradients()
            train_on = run = self._step_function("train_step", self._train_on)
            if replica is not None:
                run = replica.training_step(train_on, iterator)
            with written_back(train_on):
                logs = run(data)
            if replica is not None:
                replica.synchronize_statistics()
            return self._numbers(self._batch_results(logs), return_dict)

    def _batch_results(self, logs):
        """Logs of a single batch; in a job of several processes those of all its rows."""
        return _logs_now(logs) if self._replica is None else self._replica.epoch_logs(logs)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics on one batch of arrays; see `train_on_batch`."""
        self._assert_compiled("test_on_batch")
        replica = self._join_job()
        data, iterator = self._one_batch(x, y, sample_weight)
        with self._mode(False):
            self._prepare()
            self.reset_metrics()
            test_on = run = self._step_function("test_step", self._test_on)
            if replica is not None:
                replica.prepare_inference(first_only=True)
                run = replica.evaluating_step(test_on, iterator)
            with written_back(test_on):
                logs = run(data)
            return self._numbers(self._batch_results(logs), return_dict)

    def predict_on_batch(self, x):
        """Outputs for one batch of arrays, as NumPy arrays.

        Args:
            x: array, or structure of arrays.
        """
        replica = self._join_job()
        data, iterator = self._one_batch(x)
        predictions = _predictions(replica, iterator)
        with self._mode(False):
            self._prepare()
            predict = stateless_prediction(self) or self.predict_step
            if replica is not None:
                replica.prepare_inference(first_only=True)
                predict = replica.evaluating_step(predict, iterator)
            predictions.add(predict(data))
        return predictions.join()

    def _one_batch(self, x, y=None, sample_weight=None, class_weight=None):
        """All of the arrays as one batch, and its iterator; builds the model if need be."""
        iterator = self._batches(x, y, sample_weight, class_weight=class_weight, steps_per_epoch=1)
        self._build_from(iterator)
        batch = iterator.peek()
        return (batch[0] if iterator.bare_batches else batch), iterator


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
        self.own_metrics = _overrides(model, "compute_metrics")
        # Before Keras 3.3 `compute_loss` had no `training`.
        self.old_compute_loss = _overrides(model, "compute_loss") and not _takes_training(
            model.compute_loss
        )


def _overrides(model, name):
    """Whether the model's class, or the model itself, has a method in the Trainer's place."""
    return getattr(type(model), name) is not getattr(Trainer, name) or name in model.__dict__


def _predictions(replica, iterator):
    if replica is None or not replica.divides_batches:
        return Predictions()
    return SharedPredictions(replica, iterator)


def _logs_now(logs):
    return logs() if callable(logs) else logs


def _takes_training(function):
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)


def _batch_size(x):
    if isinstance(x, torch.Tensor):
        return x.shape[0] if x.dim() else 1
    for leaf in tree.flatten(x):
        if getattr(leaf, "shape", None):
            return leaf.shape[0]
    return 1


def _is_due(epoch, validation_freq):
    if isinstance(validation_freq, (list, tuple, set)):
        return epoch + 1 in validation_freq
    return (epoch + 1) % validation_freq == 0


def _check_count(name, value, least):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"`{name}` must be an int of at least {least}. Received: {name}={value!r} of type "
            f"{type(value).__name__}. Give a whole number."
        )
    if value < least:
        raise ValueError(
            f"`{name}` must be at least {least}. Received: {name}={value}. Give a larger number."
        )


def _check_validation(validation_split, validation_freq):
    if isinstance(validation_split, bool) or not isinstance(validation_split, (int, float)):
        raise TypeError(
            "`validation_split` must be a float from 0 to below 1. Received: validation_split="
            f"{validation_split!r} of type {type(validation_split).__name__}. Give the fraction "
            "of the samples to hold out."
        )
    if not 0 <= validation_split < 1:
        raise ValueError(
            "`validation_split` must be a fraction of the samples, from 0 to below 1. Received: "
            f"validation_split={validation_split}. For a number of samples, divide it by their "
            "count, or give `validation_data`."
        )
    if not isinstance(validation_freq, (list, tuple, set)):
        _check_count("validation_freq", validation_freq, least=1)


def _no_batch(method, name):
    return ValueError(
        f"`{method}` needs at least one batch. Received: data without any, for '{name}'. Check "
        "the generator or data set; a generator can be read only once."
    )
