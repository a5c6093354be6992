"""OneProcess: what stands in a Replica's place where a model is trained by one process alone."""

import contextlib


class OneProcess:
    """The whole of a model in the only process, or in one that shares nothing with others.

    It has the methods by which the Trainer works with a `Replica`, and there is nobody to tell
    anything: so the training loop is written once. A step is run as it is, without a wrapper.

    Args:
        model: the model.

    Example:

    >>> from torchkeras.distribution.one_process import OneProcess
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> alone = OneProcess(model)
    >>> alone.training_step(model.train_step, None) == model.train_step
    True
    >>> alone.agree()
    False
    """

    divides_batches = False
    takes_graphs = True

    def __init__(self, model):
        self.model = model

    def outlives(self, distribution):
        """False: there is nothing here that a model would stay with."""
        return False

    def division(self, distribution):
        """No arguments for `EpochIterator`: every batch is read as a whole."""
        return {}

    # Around loops

    def training(self):
        """A context manager in which nothing differs."""
        return contextlib.nullcontext()

    def another_loop(self):
        """A context manager in which nothing differs."""
        return contextlib.nullcontext()

    def prepare_training(self, own_step, first_only=False):
        """Nothing: the state is here."""

    def prepare_inference(self, first_only=False):
        """Nothing: the weights are here."""

    def agree_on_start(self):
        """Nothing: a callback has told the model itself."""

    def broadcast_state(self, with_optimizer=True):
        """Nothing: nobody else has weights."""

    def warn_of_repeats(self, sampler):
        """Nothing: what a sampler repeats is what the user has chosen."""

    def begin_pass(self, callbacks, hook, flag):
        """False: a flag counts from the end of the first batch."""
        return False

    def synchronize_state(self):
        """Nothing: nothing is apart."""

    def synchronize_statistics(self):
        """Nothing: nothing is apart."""

    def gather_accumulators(self):
        """Nothing: the gradients accumulated so far are here."""

    # Steps

    def training_step(self, step, iterator):
        """`step` itself."""
        return step

    def evaluating_step(self, step, iterator):
        """`step` itself."""
        return step

    # Logs and decisions

    def listens(self, hook):
        """False: there are no callbacks but those given."""
        return False

    def batch_logs(self, hook, logs):
        """The logs as they are."""
        return logs

    def single_batch_logs(self, logs):
        """Logs of a step on a batch outside of any loop: what the step has returned."""
        return logs() if callable(logs) else logs

    def epoch_logs(self, logs):
        """Logs of a whole epoch: the metrics' results, unless the steps name other things.

        Args:
            logs: what the last step has returned.
        """
        if callable(logs):
            return logs()
        results = self.model.get_metrics_result()
        if set(results) != set(logs):
            return dict(logs)
        if "loss" in logs and not float(self.model._loss_tracker.count.value):
            results["loss"] = logs["loss"]  # of a step that does not know the tracker
        return results

    def agree(self, flag="stop_training"):
        """Whether a callback has set the flag of the model."""
        return getattr(self.model, flag)

    def agrees_on_graph(self, failure):
        """True: whatever has failed is known here."""
        return True

    def agree_after_batch(self, hook, flag):
        """Whether a callback, or another thread, has set the flag of the model."""
        return getattr(self.model, flag)
