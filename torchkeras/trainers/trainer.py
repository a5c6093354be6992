"""Trainer: fit, evaluate, predict; the half of a Model that is not a layer."""

import contextlib
import operator
import sys

import torch

from torchkeras import kernels
from torchkeras.callbacks import CallbackList
from torchkeras.callbacks.callback import logs_to_floats
from torchkeras.core import config
from torchkeras.core.checks import check_whole
from torchkeras.core.convert import convert_to_numpy
from torchkeras.core.user_warnings import warn_user
from torchkeras.distribution import process_group
from torchkeras.distribution.distribution_lib import effective_distribution
from torchkeras.distribution.one_process import OneProcess
from torchkeras.trainers.argument_checks import (
    check_loop,
    check_shuffle,
    check_validation,
    no_batch_error,
)
from torchkeras.trainers.batch_loop import run_batches
from torchkeras.trainers.building import build_for, build_optimizer, finish_optimizer
from torchkeras.trainers.compile_loss import reads_labels
from torchkeras.trainers.data_adapters.data_adapter_utils import (
    ClassWeight,
    train_validation_split,
    unpack_x_y_sample_weight,
)
from torchkeras.trainers.data_checks import check_validation_data, check_values
from torchkeras.trainers.epoch_iterator import EpochIterator
from torchkeras.trainers.graph import compile_call
from torchkeras.trainers.loop_mode import LoopMode
from torchkeras.trainers.predictions import Predictions, SharedPredictions, predict_at_once
from torchkeras.trainers.resuming import keeps_position, set_metrics, with_backup
from torchkeras.trainers.state_tree import assign_state_tree, state_tree
from torchkeras.trainers.stateless_step import written_back
from torchkeras.trainers.steps import Running, Steps, forget_frozen, overrides
from torchkeras.trainers.unmoved import unmoved_on_error


class Trainer(Steps):
    """Mix-in that gives a model `compile`, `fit`, `evaluate` and `predict`.

    What happens to a batch is in methods to override: `train_step`, `test_step` and
    `predict_step`, and within them `compute_loss` and `compute_metrics`. The Trainer clears the
    gradients before each `train_step`, puts the model into training or inference mode, turns
    gradients off outside of training, and reads no value from the device until somebody asks.
    """

    def __init__(self):
        super().__init__()
        # The model's part in a job of processes, and the Distribution that made it.
        self.__dict__.update(_replica=OneProcess(self), _replica_of=None)
        self.__dict__["_training_data"] = None  # the EpochIterator of the `fit` that runs

    def __getstate__(self):
        # A copy is outside of any loop; a compiled call cannot be copied, and is made anew.
        return {
            **super().__getstate__(),
            "_running": None,
            "_parts_that_move": None,
            "_loop_mode": None,
            "_compiled_call_impl": None,
            "_graph_steps": {},
            "_calls_s": [],
            "_replica": None,
            "_replica_of": None,
            "_training_data": None,
            "_put_back": None,
        }

    def __setstate__(self, state):
        super().__setstate__(state)
        self.__dict__["_replica"] = OneProcess(self)

    # Getting ready

    def _device(self):
        for parameter in self.parameters():
            return parameter.device
        return config.default_device()

    def _uses_graphs(self):
        replica = self._replica
        whole = isinstance(replica, OneProcess) or self._has_standard_steps()
        return replica.takes_graphs and whole and super()._uses_graphs()

    def _graph_step(self, name):
        step = super()._graph_step(name)
        shared = getattr(step, "gives_gradients", False)
        return step if not shared or self._replica.agrees_on_graph(step.failure) else None

    def _has_whole_steps(self):
        # In one of several processes the clock would choose another way than in the others.
        return isinstance(self._replica, OneProcess) and super()._has_whole_steps()

    def _join_job(self):
        """Find this process's part in a job of several: a Replica, or a OneProcess."""
        process_group.ensure_initialized()
        distribution = effective_distribution()
        if distribution is not self._replica_of and not self._replica.outlives(distribution):
            made = None if distribution is None else distribution.make_replica(self)
            self.__dict__.update(_replica=made or OneProcess(self), _replica_of=distribution)
        return self._replica

    def _batches(self, x, y=None, sample_weight=None, **arguments):
        """An EpochIterator over the data, whose batches come on the device of the model.

        In one of several processes they are its rows of the batches.
        """
        check_values(self, x, y, sample_weight, arguments.get("class_weight"))
        return EpochIterator(
            x=x,
            y=y,
            sample_weight=sample_weight,
            device=self._device(),
            **self._replica.division(self._replica_of),
            **arguments,
        )

    def _class_weight(self, class_weight):
        """Class weights that know whether the compiled loss is one of class numbers."""
        if isinstance(class_weight, dict) and reads_labels(self.loss):
            return ClassWeight(class_weight)
        return class_weight

    def _prepare(self):
        """Put in place what every loop needs, once the model is built."""
        if self.jit_compile:
            kernels.load()  # a trace takes what is loaded by then
            if not self._uses_graphs() and self._compiled_call_impl is None:
                compile_call(self)
                if process_group.is_chief() and not isinstance(self._replica, OneProcess):
                    own = "gradients of a step of your own are averaged while it runs"
                    cause = own if self._replica.takes_graphs else "its weights are divided"
                    warn_user(
                        f"jit_compile: '{self.name}' has its call compiled, and not its steps: "
                        f"{cause} among the processes."
                    )
        self._move_metrics(self._device())
        self.__dict__["_running"] = Running(self)

    def _prepare_training(self, first_only=False):
        self._prepare()
        build_optimizer(self)
        forget_frozen(self)
        self._replica.prepare_training(overrides(self, "train_step"), first_only)

    @contextlib.contextmanager
    def _mode(self, training):
        """Training or inference mode for the whole model; afterwards each part has its own again.

        After training every part is in inference mode, unless a loop around it is to go on, or
        the model is part of a plain torch module. Layers that start in training mode have theirs.
        """
        mode = LoopMode.begin(self, training)
        torch.clear_autocast_cache()  # weights may have been set since they were cast
        try:
            with torch.set_grad_enabled(training):
                yield
        finally:
            mode.end()

    # State

    def get_state_tree(self, value_format="backend_tensor"):
        """All variables of the model and of its training, as nested dicts by their paths.

        Args:
            value_format: `"backend_tensor"` for the tensors themselves, `"numpy_array"` for
                copies.

        Returns:
            dict of `"trainable_variables"`, `"non_trainable_variables"`,
            `"optimizer_variables"` and `"metrics_variables"`.

        Raises:
            ValueError: an unknown format, or a path that two variables have.

        Example:

        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="d")], name="m")
        >>> tree = model.get_state_tree("numpy_array")
        >>> tree["trainable_variables"]["m"]["d"]["bias"]
        array([0.], dtype=float32)
        """
        return state_tree(self, value_format)

    def set_state_tree(self, state_tree):
        """Assign values from nested dicts by path; see `get_state_tree`.

        Args:
            state_tree: dict as `get_state_tree` returns, or a part of one.

        Raises:
            ValueError: a path or shape that the model does not have; nothing is changed then.
        """
        assign_state_tree(self, state_tree)

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
        resume=None,
    ):
        """Train for a number of epochs.

        Args:
            x: inputs: array, tensor, list or dict of them by input; or a Dataset, DataLoader,
                PyDataset or generator of batches `(x, y)` or `(x, y, sample_weight)`.
            y: targets in the structure of the outputs; None where `x` brings them.
            batch_size: int, samples a step; None for 32. Only for arrays.
            epochs: int, number of the last epoch (`initial_epoch` counts).
            verbose: 0 silent, 1 a moving bar, 2 a line an epoch, or `"auto"`.
            callbacks: list of Callbacks.
            validation_split: float from 0 to below 1, the fraction of the arrays, from their
                end, that is held out and evaluated after each epoch.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or a data set, instead.
            shuffle: bool, a new order each epoch, or `"batch"`. Only for arrays.
            class_weight: dict of class index to weight: of labels (each its own), of the largest
                value of one-hot rows, the mean over the classes of multi-hot rows.
            sample_weight: array of a weight for each sample.
            initial_epoch: int, epoch to start at.
            steps_per_epoch: int, steps that make an epoch; None for one pass.
            validation_steps: int, steps of each evaluation; None for one pass.
            validation_batch_size: int or None for `batch_size`.
            validation_freq: int, or list of epochs (from 1), when to evaluate.
            resume: str or path of a folder: the run is backed up there after each epoch and at a
                signal to end, and goes on from there when the program runs again. The same as
                `callbacks.BackupAndRestore(resume)` as the last callback.

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
        check_whole("epochs", epochs, least=0)
        check_whole("initial_epoch", initial_epoch, least=0)
        epochs, initial_epoch = operator.index(epochs), operator.index(initial_epoch)
        check_loop(
            verbose,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
        )
        check_shuffle(shuffle)
        check_validation(validation_split, validation_freq)
        epochs = min(epochs, config.max_epochs() or epochs)
        if resume is not None:
            callbacks = with_backup(callbacks, resume)
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
            class_weight=self._class_weight(class_weight),
        )
        validation = None
        if validation_data is not None:
            validation = self._batches(
                *unpack_x_y_sample_weight(validation_data),
                batch_size=batch_size if validation_batch_size is None else validation_batch_size,
                steps_per_epoch=validation_steps,
            )
        iterator.records = keeps_position(callbacks)
        self.__dict__["_training_data"] = iterator
        try:
            build_for(self, iterator)
            if validation is not None:
                check_validation_data(self, (x, y), validation_data)
            with unmoved_on_error(self), replica.training(), self._mode(True):
                self._prepare_training()
                if validation is not None:
                    replica.warn_of_repeats(validation.sampler)
                callbacks = self._callback_list(
                    callbacks, verbose, iterator, epochs=epochs, add_history=True
                )
                self.__dict__["stop_training"] = False
                callbacks.on_train_begin()
                replica.agree_on_start()
                restored = self.__dict__.pop("_initial_epoch", None)
                if restored is not None:  # a callback has brought back an earlier run
                    initial_epoch = restored or initial_epoch
                    if not iterator.data_adapter.one_shot:
                        iterator.reset()  # a pass begun before has another run's order
                    if self.__dict__.pop("_is_over", False):  # that run had only to end
                        epochs = initial_epoch
                under_way = self.__dict__.pop("_resumed_loop", None)
                if under_way is not None:
                    iterator.go_on(under_way["position"])
                logs = {}
                for epoch in range(initial_epoch, epochs):
                    steps = iterator.num_batches
                    self.__dict__["_steps_to_come"] = steps and steps * (epochs - epoch)
                    logs = self._fit_epoch(iterator, epoch, callbacks, under_way)
                    under_way = None
                    if verbose:
                        self._tell_news()
                    if validation is not None and _is_due(epoch, validation_freq):
                        validation.reset()  # the same samples each time
                        evaluated = self._evaluate(validation, callbacks)
                        if not evaluated and not validation.exhausted:
                            raise no_batch_error("The validation of `fit`", self.name)
                        logs.update({f"val_{name}": v for name, v in evaluated.items()})
                    callbacks.on_epoch_end(epoch, logs)
                    if replica.agree():
                        break
                if initial_epoch < epochs or restored is not None:
                    finish_optimizer(self)
                callbacks.on_train_end(logs)
        finally:
            iterator.reset()
            if validation is not None:
                validation.reset()
            self.__dict__.update(_steps_to_come=None, _training_data=None)
            for left in ("_put_back", "_initial_epoch", "_resumed_loop", "_is_over"):  # by an error
                self.__dict__.pop(left, None)
            if isinstance(callbacks, CallbackList):
                callbacks._release()
        return self.history

    def _fit_epoch(self, iterator, epoch, callbacks, under_way=None):
        """One pass over the training data; returns the logs of its end.

        `under_way` is the state of a loop that another run has begun.
        """
        self.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        within_epoch = under_way is not None and under_way["position"]["steps"] > 0
        if within_epoch:
            callbacks._after_resumed_epoch_begin()
            set_metrics(self, under_way["metrics"], iterator)
        self.__dict__.pop("_put_back", None)  # from here on what an earlier run had is this one's
        self._running.look_up(self)  # a callback may have frozen layers
        forget_frozen(self)
        train_on = self._step_function("train_step", self._train_on)
        logs = run_batches(self, "train", train_on, iterator, callbacks)
        if logs is None and within_epoch:
            logs = under_way["logs"]  # it was saved after the last batch
        if logs is None:
            if not iterator.exhausted:
                raise no_batch_error("`fit`", self.name)
            logs = {}  # a generator at its end, of which there was a warning
        self._replica.synchronize_state()
        return self._replica.epoch_logs(logs)

    def _tell_news(self):
        """What the steps as graphs have to say."""
        for step in self._graph_steps.values():
            if step.news and process_group.is_chief():
                print(step.news)
            step.news = None

    def _callback_list(self, callbacks, verbose, iterator, epochs=1, add_history=False):
        if isinstance(callbacks, CallbackList):
            return callbacks
        if not process_group.is_chief() or verbose is None:
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
        check_loop(verbose, batch_size=batch_size, steps=steps)
        replica = self._join_job()
        iterator = self._batches(x, y, sample_weight, batch_size=batch_size, steps_per_epoch=steps)
        try:
            build_for(self, iterator)
            replica.prepare_inference()
            replica.warn_of_repeats(iterator.sampler)
            logs = self._evaluate(iterator, self._callback_list(callbacks, verbose, iterator))
        finally:
            iterator.reset()
        if not logs:
            raise no_batch_error("`evaluate`", self.name)
        return self._numbers(logs, return_dict)

    def _evaluate(self, iterator, callbacks):
        """One pass in inference mode; returns its logs."""
        with self._mode(False), self._replica.another_loop():
            self._prepare()
            self.__dict__["stop_evaluating"] = False
            callbacks.on_test_begin()
            self.reset_metrics()
            test_on = self._step_function("test_step", self._test_on)
            logs = run_batches(self, "test", test_on, iterator, callbacks) or {}
            logs = self._replica.epoch_logs(logs)
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
        check_loop(verbose, batch_size=batch_size, steps=steps)
        check_values(self, x, None, None)
        replica = self._join_job()
        if verbose == 0 and steps is None and not callbacks and self._predicts_plainly():
            outputs = predict_at_once(self, x, batch_size)
            if outputs is not None:
                return outputs
        iterator = self._batches(x, batch_size=batch_size, steps_per_epoch=steps)
        predictions = _predictions(replica, iterator)
        try:
            build_for(self, iterator)
            replica.prepare_inference()
            callbacks = self._callback_list(callbacks, verbose, iterator)
            with self._mode(False), self._replica.another_loop():
                self._prepare()
                self.__dict__["stop_predicting"] = False
                callbacks.on_predict_begin()
                predict_on = self._collecting(predictions)
                run_batches(self, "predict", predict_on, iterator, callbacks)
                callbacks.on_predict_end()
        finally:
            iterator.reset()
        if not len(predictions):
            raise no_batch_error("`predict`", self.name)
        return predictions.join()

    def _predicts_plainly(self):
        """Whether `predict` is a call of the model, and nothing else."""
        return (
            isinstance(self._replica, OneProcess)
            and not overrides(self, "predict_step")
            and self._loop_mode is None
        )

    def _collecting(self, predictions):
        """The function of a batch that gives its outputs, and adds them to Predictions."""
        predict = self._predict_function()

        def predict_on(data):
            outputs = predict(data)
            predictions.add(outputs)
            return outputs

        return predict_on

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
        with unmoved_on_error(self, draws_data=False), self._mode(True):
            self._prepare_training(first_only=True)
            self.reset_metrics()
            self._clear_gradients()
            train_on = self._step_function("train_step", self._train_on)
            run = replica.training_step(train_on, iterator)
            with written_back(train_on):
                logs = run(data)
            replica.synchronize_statistics()
            return self._numbers(replica.single_batch_logs(logs), return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics on one batch of arrays; see `train_on_batch`."""
        self._assert_compiled("test_on_batch")
        replica = self._join_job()
        data, iterator = self._one_batch(x, y, sample_weight)
        replica.prepare_inference(first_only=True)
        with self._mode(False):
            self._prepare()
            self.reset_metrics()
            test_on = self._step_function("test_step", self._test_on)
            run = replica.evaluating_step(test_on, iterator)
            with written_back(test_on):
                logs = run(data)
            return self._numbers(replica.single_batch_logs(logs), return_dict)

    def predict_on_batch(self, x):
        """Outputs for one batch of arrays, as NumPy arrays.

        Args:
            x: array, or structure of arrays.
        """
        replica = self._join_job()
        outputs = predict_at_once(self, x, sys.maxsize) if self._predicts_plainly() else None
        if outputs is not None:
            return outputs
        data, iterator = self._one_batch(x)
        predictions = _predictions(replica, iterator)
        replica.prepare_inference(first_only=True)
        with self._mode(False):
            self._prepare()
            replica.evaluating_step(self._collecting(predictions), iterator)(data)
        return predictions.join()

    def _one_batch(self, x, y=None, sample_weight=None, class_weight=None):
        """All of the arrays as one batch, and its iterator; builds the model if need be."""
        class_weight = self._class_weight(class_weight)
        iterator = self._batches(x, y, sample_weight, class_weight=class_weight, steps_per_epoch=1)
        build_for(self, iterator)
        batch = iterator.peek()
        return (batch[0] if iterator.bare_batches else batch), iterator


def _predictions(replica, iterator):
    return SharedPredictions(replica, iterator) if replica.divides_batches else Predictions()


def _is_due(epoch, validation_freq):
    if isinstance(validation_freq, (list, tuple, set)):
        return epoch + 1 in validation_freq
    return (epoch + 1) % validation_freq == 0
