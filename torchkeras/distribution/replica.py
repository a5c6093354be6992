"""Replica: a model in one of several processes, as the Trainer works with it."""

import contextlib
import math
import warnings

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.distribution import process_group, random_state, state_reduction
from torchkeras.distribution.gradient_reducer import GradientReducer
from torchkeras.distribution.share import Share


class Replica:
    """The whole of a model in one process of several, trained on this process's rows.

    The Trainer asks it around each loop and each step; in a single process a `OneProcess` is in
    its place. Every method but `scaled_loss` is called by all processes at the same time.

    Args:
        model: a built model.
        bucket_cap_mb: float or None, MiB of gradients that travel together.
        find_unused_parameters: bool or `"auto"`, as for `DataParallel`.

    Attributes:
        share: Share of the running step; outside of steps the whole.
    """

    divides_batches = True  # whether each process has rows of its own
    takes_graphs = True  # whether a step of the Trainer's may be one compiled graph

    def __init__(self, model, bucket_cap_mb=None, find_unused_parameters="auto"):
        self.model = model
        self.share = Share(1, 1)
        self._reducer = GradientReducer(model, bucket_cap_mb, find_unused_parameters)
        self._statistics = None
        self._own_step = False
        self._gives = False  # whether the step is a graph, which gives its gradients
        self._trains_alone = False  # whether batches are trained on one by one, outside of `fit`
        self._known = None  # versions of weights that are the same everywhere
        self._listening = {}  # hook -> (whether callbacks see it, whether they read its logs)

    def outlives(self, distribution):
        """Whether the model stays with this one though another Distribution was set.

        Args:
            distribution: the Distribution set now, or None.
        """
        return False

    def division(self, distribution):
        """The arguments by which an `EpochIterator` gives this process its rows.

        Args:
            distribution: the Distribution that has made this one.
        """
        return {
            "shard": distribution.batch_shard,
            "divided": not distribution.auto_shard_dataset,
        }

    # Around loops

    @contextlib.contextmanager
    def training(self):
        """Inside, the weights of process 0 are those of all, and random numbers differ."""
        with random_state.own_streams():
            yield
            self._agree_on_seeds()
        self._reducer.release()
        self._know()

    def prepare_training(self, own_step, first_only=False):
        """Start all processes from the state of process 0.

        Args:
            own_step: bool, whether the steps are a `train_step` of the user's own.
            first_only: bool, only if that was not done before: for single batches.
        """
        self._own_step = own_step
        if not (first_only and self._trains_alone):
            if self._trains_alone:
                self.gather_accumulators()
            self.broadcast_state()
            if first_only:
                random_state.take_own_stream()
            self._trains_alone = first_only

    def warn_of_repeats(self, sampler):
        """Warn where a DistributedSampler gives samples twice, which an evaluation then counts."""
        if sampler is None:
            return
        repeated = sampler.total_size - len(sampler.dataset)
        if repeated > 0 and process_group.is_chief():
            warnings.warn(
                f"The DistributedSampler repeats {repeated} of {len(sampler.dataset)} samples, to "
                "give every process as many, and `evaluate` counts them twice. Give a DataLoader "
                "without one: the processes share its batches, and each sample counts once.",
                stacklevel=4,
            )

    def prepare_inference(self, first_only=False):
        """Let all processes have the weights of process 0."""
        if SCOPE.replica is not None or self.model._running is not None:
            return  # within a loop that has seen to it
        if self._statistics is None or (not first_only and self._has_changed()):
            if self._statistics is not None:
                self._statistics.synchronize()
            self.broadcast_state(with_optimizer=False)

    def _know(self):
        """Take the weights as they are now for the same in all processes."""
        self._known = _versions(self.model)

    def _has_changed(self):
        """Whether in any process anything was written to what all knew to be the same."""
        changed = (
            self._known is None
            or self._known != _versions(self.model)
            or self._statistics.have_changed()
        )
        flag = torch.tensor([changed], dtype=torch.uint8)
        process_group.all_reduce_([flag], "max")
        return bool(flag)

    def broadcast_state(self, with_optimizer=True):
        """Give every process the weights of process 0, and the state of its optimizer."""
        model = self.model
        self._check_same_model()
        tensors = [*model.parameters(), *model.buffers()]
        process_group.broadcast_(tensors)
        for generator in self._seed_generators():
            process_group.broadcast_([generator.state.value])
        self._statistics = state_reduction.Statistics(model)
        self._know()
        if with_optimizer and model.optimizer is not None:
            self._broadcast_optimizer(model.optimizer)
            for generator in self._seed_generators():
                self._own_seed(generator)
            self._statistics.note()

    def _check_same_model(self):
        ours = [(name, tuple(t.shape), str(t.dtype)) for name, t in self.model.state_dict().items()]
        theirs = process_group.broadcast_object(ours)
        if ours != theirs:
            different = sorted({str(item) for item in set(ours) ^ set(theirs)})
            raise ValueError(
                "Every process must build the same model. Received: in process "
                f"{process_group.rank()} one that differs from that of process 0 in "
                f"{', '.join(different[:6])}. Build it the same way in all of them."
            )

    def _broadcast_optimizer(self, optimizer):
        accumulators = getattr(optimizer, "_accumulated_gradients", ())
        process_group.broadcast_([v._store[v._key] for v in optimizer.variables])
        if process_group.rank() and not self._own_step:
            for accumulator in accumulators:  # process 0 has what all have accumulated
                accumulator._store[accumulator._key].zero_()
        inner = getattr(optimizer, "optimizer", None)
        if isinstance(inner, torch.optim.Optimizer):
            # Through the host: a tensor would arrive on the GPU of process 0.
            state = tree.map_structure(_on_host, inner.state_dict())
            state = process_group.broadcast_object(state)
            if process_group.rank():
                inner.load_state_dict(state)

    def _seed_generators(self):
        found = {}
        for module in self.model.modules():
            for generator in getattr(module, "_seed_generators", ()):
                found[id(generator)] = generator
        return list(found.values())

    def _own_seed(self, generator):
        """Let this process draw other numbers for its rows than the others for theirs."""
        state = generator.state.value
        seed = random_state.mixed_seed(int(state[0]), process_group.rank())
        generator.state.assign(torch.stack([torch.tensor(seed), state[1].cpu()]))

    def _agree_on_seeds(self):
        for generator in self._seed_generators():
            process_group.broadcast_([generator.state.value])

    def begin_pass(self, callbacks, hook, flag):
        """Look at which callbacks listen to the batches of a pass, and whether to stop already.

        Args:
            callbacks: CallbackList of this process.
            hook: str, name of the hook at the end of its batches.
            flag: str, attribute of the model by which a callback ends it.

        Returns:
            bool, whether a callback wants to stop already.
        """
        self._listen(callbacks, hook)
        return self.agree(flag)  # a callback may also have set the learning rate

    def synchronize_state(self):
        """Bring together what processes keep apart within an epoch.

        Statistics of layers become the same everywhere; gradients accumulated so far go to
        process 0, so that what it saves is the whole.
        """
        self.synchronize_statistics()
        self.gather_accumulators()

    def synchronize_statistics(self):
        """Make statistics of layers, such as moving averages, the same everywhere."""
        if self._statistics is not None:
            self._statistics.synchronize()

    def gather_accumulators(self):
        """Move what the optimizer has accumulated of gradients to process 0."""
        optimizer = self.model.optimizer
        accumulators = getattr(optimizer, "_accumulated_gradients", ())
        if not accumulators:
            return
        tensors = [a._store[a._key] for a in accumulators]
        if not self._accumulates_alone():
            return  # they are the same everywhere
        process_group.all_reduce_(tensors)
        if process_group.rank():
            torch._foreach_zero_(tensors)

    # Steps

    def training_step(self, step, iterator):
        """`step`, a function of a batch, run on this process's rows of it.

        Args:
            step: function of the data that returns the logs. Where its attribute
                `gives_gradients` is true, they are averaged when the optimizer is given them.
            iterator: EpochIterator that gives the batches.
        """
        self._gives = getattr(step, "gives_gradients", False)
        if self._gives:
            self._reducer.stand_by()
        else:
            self._reducer.look_up()

        def run(data):
            with self._on_share(step, iterator.share), self._reducing():
                return step(data)

        return run

    def evaluating_step(self, step, iterator):
        """`step`, a function of a batch without gradients, run on this process's rows of it."""

        def run(data):
            with self._on_share(step, iterator.share):
                return step(data)

        return run

    @contextlib.contextmanager
    def another_loop(self):
        """Inside a loop may run that a callback has begun within a step of another one."""
        share = self.share
        yield
        self.share = share

    @contextlib.contextmanager
    def _on_share(self, step, share):
        self.share = share
        kept = None
        if share.is_ghost:
            if hasattr(step, "counts_metrics"):
                step.counts_metrics = False
            kept = state_reduction.kept(self.model.metrics_variables)
        outer, SCOPE.replica = SCOPE.replica, self
        try:
            yield
        finally:
            SCOPE.replica = outer
            if kept is not None:
                state_reduction.put_back(self.model.metrics_variables, kept)
                if hasattr(step, "counts_metrics"):
                    step.counts_metrics = True

    @contextlib.contextmanager
    def _reducing(self):
        self._begin(self.share)
        watch = None
        if self._own_step:
            # An own step may use optimizers of torch, with gradients that it sets itself.
            watch = register_optimizer_step_pre_hook(self._before_step)
        try:
            yield
        except BaseException:
            self._reducer.abandon()
            raise
        finally:
            if watch is not None:
                watch.remove()
        self._reducer.end()

    def _before_step(self, optimizer, args, kwargs):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        parameters = [p for p in parameters if p.requires_grad]
        grads = self._reducer.apply([p.grad for p in parameters], parameters)
        for parameter, grad in zip(parameters, grads, strict=True):
            if parameter.grad is not grad:
                parameter.grad = grad

    def _begin(self, share):
        communicates = True
        if not self._own_step and self._accumulates_alone():
            optimizer = self.model.optimizer
            calls = int(optimizer._iterations.value)
            communicates = (calls + 1) % optimizer.gradient_accumulation_steps == 0
        if self._own_step:
            self._reducer.begin(share.weight, True, share.is_even, communicates)
        else:
            # The loss carries the share: the plain average is right for any.
            accumulated = communicates and self._accumulates_alone()
            weight = 1 / process_group.world_size()
            self._reducer.begin(weight, False, True, communicates, accumulated, self._gives)
            if accumulated:
                self._reducer.lay(self._take_accumulated())

    def _accumulates_alone(self):
        """Whether gradients are accumulated in each process, and averaged when they are used."""
        optimizer = self.model.optimizer
        return bool(
            not self._own_step
            and optimizer is not None
            and optimizer.gradient_accumulation_steps
            and optimizer.built
        )

    def _take_accumulated(self):
        """`{parameter: gradient}` that this process has accumulated; the accumulators become 0."""
        optimizer = self.model.optimizer
        scale = optimizer.loss_scale_factor or 1.0
        gradients = {}
        for variable, accumulator in zip(
            optimizer._trainable_variables, optimizer._accumulated_gradients, strict=True
        ):
            parameter = variable._store[variable._key]
            if parameter in gradients:
                continue  # one weight under two names, which accumulates under the first
            tensor = accumulator._store[accumulator._key]
            gradients[parameter] = tensor * scale
            tensor.zero_()
        return gradients

    def scaled_loss(self, loss):
        """The loss to go backward from, in the Trainer's own step: it carries this share."""
        if self._own_step:
            return loss
        if not self.share.is_even:
            loss = loss * (self.share.weight * process_group.world_size())
        return self._reducer.before_backward(loss)

    def scaled_gradients(self, gradients):
        """Gradients of a loss without `scaled_loss`, as they are with it."""
        if not self.share.is_even:
            present = [gradient for gradient in gradients if gradient is not None]
            scale = self.share.weight * process_group.world_size()
            torch._foreach_mul_(present, scale)
        return gradients

    def gradient_weight(self):
        """What this process's gradients count for, against those of the others."""
        if not self._own_step or self.share.is_even:
            return 1.0
        return self.share.weight * process_group.world_size()

    def reduce_gradients(self, grads, variables):
        """What an optimizer is to apply: gradients of the whole batch."""
        return self._reducer.apply(grads, variables)

    def sum_scale(self):
        """Factor for a loss that is a sum: so that the mean by shares is the sum of all."""
        return self.share.total / self.share.rows if self.share.rows else 0.0

    def total(self, value):
        """The sum over all processes of what each has summed over its own rows.

        The gradient of a loss made of it is, as the mean by shares, that of the whole batch.

        Args:
            value: tensor, of one shape in all processes.
        """
        everyone = value.detach().clone()
        if self.share.is_ghost:
            everyone.zero_()
        process_group.all_reduce_([everyone])
        if self.share.is_ghost:
            return everyone + 0.0 * value
        return everyone + (value - value.detach()) / self.share.weight

    def normalizer(self, total, least=0.0):
        """What to divide a sum over this process's values by, given its own count or weight.

        The mean by shares of such quotients is the sum of all values over the total of all.

        Args:
            total: scalar tensor, this process's count of unmasked values, or sum of weights.
            least: float, a lower bound of the total of all.
        """
        if self.share.is_ghost:
            everyone = torch.zeros_like(total)
            process_group.all_reduce_([everyone])
            return torch.ones_like(total)
        everyone = total.detach().clone()
        process_group.all_reduce_([everyone])
        return everyone.clamp(min=least) * self.share.weight

    # Logs and decisions

    def _listen(self, callbacks, hook):
        """Find out whether callbacks of any process see batches, and whether they read logs."""
        flags = torch.tensor(callbacks.batch_interest(hook), dtype=torch.uint8)
        process_group.all_reduce_([flags], "max")
        self._listening[hook] = tuple(map(bool, flags.tolist()))

    def listens(self, hook):
        """Whether callbacks of any process see batches: see `CallbackList.batch_interest`."""
        return self._listening[hook][0]

    def batch_logs(self, hook, logs):
        """Logs for a batch hook: those of all processes where a callback reads them at once."""
        if not self._listening[hook][1]:
            return logs
        local = None if callable(logs) else _as_floats(self.model.get_metrics_result())
        with state_reduction.metrics_reduced(self.model.metrics_variables):
            logs = self._final_logs(logs, local)
            return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in logs.items()}

    def agrees_on_graph(self, failure):
        """Whether the graphs of a training step have failed in no process.

        Args:
            failure: str, why they have in this one; or None.
        """
        flag = torch.tensor([failure is not None], dtype=torch.uint8)
        process_group.all_reduce_([flag], "max")
        return not flag

    def agree_after_batch(self, hook, flag):
        """Whether to stop after a batch: agreed on where callbacks may have decided so."""
        return self.listens(hook) and self.agree(flag)

    def single_batch_logs(self, logs):
        """Logs of a step on a batch outside of any loop: those of all its rows."""
        return self.epoch_logs(logs)

    def epoch_logs(self, logs):
        """Logs of all processes together, the same in each; metrics then hold that state too."""
        local = None if callable(logs) else _as_floats(self.model.get_metrics_result())
        state_reduction.reduce_metrics(self.model.metrics_variables)
        return self._final_logs(logs, local)

    def _final_logs(self, logs, local):
        """Logs of a step with metrics that by now hold the state of all processes."""
        if callable(logs):
            return logs()
        results = self.model.get_metrics_result()
        averaged = state_reduction.reduce_logs(logs, self.share.weight)
        if set(results) == set(logs):
            of_metrics = set(results)
            if "loss" in results and not float(self.model._loss_tracker.count.value):
                of_metrics.remove("loss")  # of a step that does not know the tracker
        else:
            return {**averaged, **self._results_in(logs, results, local)}
        return {**averaged, **{name: results[name] for name in of_metrics}}

    def _results_in(self, logs, results, local):
        """What a step of one's own reports of metrics, by whatever name: their results so far.

        A value is taken for a metric's where it is that metric's in every process that had rows.
        """
        pairs = {
            (name, metric)
            for name, value in logs.items()
            for metric, result in local.items()
            if result is not None and result == _as_float(value)
        }
        found = process_group.all_gather_object(None if self.share.is_ghost else pairs)
        pairs = set.intersection(*(pairs for pairs in found if pairs is not None))
        # Of metrics with the same value, the one with the name of the entry.
        chosen = dict(sorted(pairs, key=lambda pair: (pair[0] == pair[1], pair[1])))
        return {name: results[metric] for name, metric in chosen.items()}

    def agree(self, flag="stop_training"):
        """Stop everywhere if anywhere; the learning rates are those of process 0.

        Returns:
            bool, whether to stop. The flag itself may change at any time, by a signal, and in one
            process alone: so loops go by what was agreed on.
        """
        model = self.model
        chief = process_group.rank() == 0
        ours = _learning_rates(model.optimizer)
        rates = ours if chief else [0.0] * len(ours)
        flags = [float(model.__dict__.get(flag, False))]
        message = torch.tensor(flags + rates, dtype=torch.float64)
        process_group.all_reduce_([message])
        stop, *rates = message.tolist()
        if stop:
            model.__dict__[flag] = True
        if not chief and ours != rates and not any(map(math.isnan, ours + rates)):
            _set_learning_rates(model.optimizer, rates)
        return bool(stop)

    def agree_on_start(self):
        """Take over the epoch that a callback of process 0 goes on from, and its state."""
        found = self.model.__dict__.get("_initial_epoch")
        epochs = process_group.all_gather_object(found)
        if all(epoch is None for epoch in epochs):
            return
        self.broadcast_state()
        if epochs[0] is None:
            epochs[0] = next(epoch for epoch in epochs if epoch is not None)
        self.model.__dict__["_initial_epoch"] = epochs[0]


def _on_host(value):
    return value.cpu() if isinstance(value, torch.Tensor) else value


def _versions(model):
    """What tells whether a weight was written to, or replaced; None where torch does not count."""
    parameters = list(model.parameters())
    if any(p.is_inference() for p in parameters):
        return None
    return [(id(p), p._version) for p in parameters]


def _learning_rates(optimizer):
    """The learning rates as floats, one for each group of a torch optimizer; nan where it is
    none's to set."""
    if optimizer is None or getattr(optimizer, "learning_rate_rule", None) is not None:
        return [float("nan")]
    try:
        rates = getattr(optimizer, "learning_rates", None)
        return [float(optimizer.learning_rate)] if rates is None else rates
    except (TypeError, ValueError):
        return [float("nan")]


def _set_learning_rates(optimizer, rates):
    if hasattr(optimizer, "learning_rates"):
        optimizer.learning_rates = rates
    else:
        optimizer.learning_rate = rates[0]


def _as_floats(logs):
    return {name: _as_float(value) for name, value in logs.items()}


def _as_float(value):
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
