"""Steps: what happens to a batch, in training, evaluation and prediction."""

import inspect

import torch

from torchkeras import optimizers
from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.core.strings import is_text
from torchkeras.core.user_warnings import warn_user
from torchkeras.layers.layer import Layer
from torchkeras.trainers import graph_step
from torchkeras.trainers.auto_step import AutoStep
from torchkeras.trainers.compilation import Compilation
from torchkeras.trainers.data_adapters.data_adapter_utils import unpack_x_y_sample_weight
from torchkeras.trainers.graph import can_trace_gradients, compile_call
from torchkeras.trainers.own_graph import OWN_STEPS
from torchkeras.trainers.stateless_step import (
    StatelessStep,
    flat_logs,
    stateless_prediction,
    takes_state,
)


class Steps(Compilation):
    """The part of a Trainer that is called for each batch, in methods to override."""

    def __init__(self):
        super().__init__()
        self.__dict__["_running"] = None  # what the loop that runs has looked up once
        self.__dict__["_graph_steps"] = {}  # by the name of the step
        self.__dict__["_calls_s"] = []  # seconds of the first calls by `predict_at_once`
        self.__dict__["_steps_to_come"] = None  # in this call of `fit`, where that is known
        self.__dict__["_loop_mode"] = None  # the LoopMode of the innermost loop that runs

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
        return _now(self._train_on(data))

    def _train_on(self, data):
        """`train_step`, except that the logs may be a function: read only if somebody asks."""
        running = self._running or Running(self)
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
            if optimizer.needs_closure:
                self._step_by_closure(loss, variables, (x, y, sample_weight), running)
                return self._logs_of(x, y, y_pred, sample_weight, running)
            if SCOPE.replica is not None:
                loss = SCOPE.replica.scaled_loss(loss)
            optimizer.scale_loss(loss).backward()
            optimizer.apply([v._store[v._key].grad for v in variables], variables)
        return self._logs_of(x, y, y_pred, sample_weight, running)

    def _note_batch(self, x, y, y_pred, sample_weight, loss, running):
        """In a graph: let the loss tracker and the metrics see the batch.

        Returns the outputs and their masks where these go to a `compute_metrics` of the user's,
        which runs after the graph; else None.
        """
        self._loss_tracker.update_state(loss, sample_weight=_batch_size(x))
        if running.own_metrics:
            masks = tree.map_structure(lambda y: getattr(y, "_keras_mask", None), y_pred)
            return tree.map_structure(torch.Tensor.detach, y_pred), masks
        self._update_metrics(y, y_pred, sample_weight)
        return None

    def _logs_of(self, x, y, y_pred, sample_weight, running):
        if running.own_metrics:
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        return self.get_metrics_result

    def _step_by_closure(self, loss, variables, data, running):
        """Let an optimizer step that computes the loss several times, such as torch's LBFGS."""
        if SCOPE.replica is not None:
            name = type(self.optimizer.optimizer).__name__
            raise ValueError(
                f"torch's {name} computes the loss several times a step, which each process would "
                f"do in its own way. Received: {name} in one of several processes. Train in one, "
                "or with another optimizer."
            )
        x, y, sample_weight = data
        first = [loss]  # of the outputs that the metrics have seen

        def closure():
            if first:
                now = first.pop()
            else:
                for variable in variables:
                    variable._store[variable._key].grad = None
                y_pred = self(x) if self.training else self(x, training=True)
                now = self._loss_of(x, y, y_pred, sample_weight, True, running)
            now.backward()
            return now

        self.optimizer.apply_closure(closure, variables)

    def test_step(self, data):
        """Evaluate one batch: forward, loss, metrics.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            dict of names to scalars, for the logs.
        """
        return _now(self._test_on(data))

    def _test_on(self, data):
        running = self._running or Running(self)
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
            warn_user(f"Model '{self.name}' has no trainable weights.")
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

    def _has_own_steps(self):
        return overrides(self, "train_step") or overrides(self, "test_step")

    def _step_function(self, name, default):
        """The function of a batch that gives its logs, for one kind of step.

        The logs are a dict, or from the Trainer's own step a function that returns one.
        """
        if not overrides(self, name):
            return self._graph_step(name) or default
        step, graph = getattr(self, name), self._graph_step(name)
        if takes_state(step):
            step = graph.by_state if graph else step
            return StatelessStep(self, step, training=name == "train_step")
        run = graph or step

        def checked_step(data):
            logs = run(data)
            if name == "train_step":
                _check_scaled(self)
            if not isinstance(logs, dict):
                raise TypeError(
                    f"`{name}` must return a dict of names to scalars, the logs. Received: "
                    f"{logs!r} from {type(self).__name__}.{name}. End it, for example, with "
                    "`return self.get_metrics_result()`."
                )
            return flat_logs(logs)

        return checked_step

    def _predict_function(self):
        """The function of a batch that gives its outputs."""
        graph = self._graph_step("predict_step")
        return stateless_prediction(self, graph) or graph or self.predict_step

    def _graph_step(self, name):
        """The step as a graph, kept from loop to loop; None where it is to run eagerly."""
        kind = self._graph_kind(name)
        if kind is None:
            return None
        step = self._graph_steps.get(name)
        if step is None or not step.fits(self._running):
            step = self._graph_steps[name] = kind(self, self._running)
        step.begin_epoch(self._steps_to_come)
        return step

    def _graph_kind(self, name):
        if name == "train_step" and getattr(self.optimizer, "needs_closure", False):
            if self.jit_compile and self._compiled_call_impl is None:
                compile_call(self)
                kind = type(self.optimizer.optimizer).__name__
                warn_user(
                    f"jit_compile: '{self.name}' has its call compiled, and not its training "
                    f"step: torch's {kind} computes the loss several times a step."
                )
            return None
        if self._uses_graphs():
            return (OWN_STEPS if overrides(self, name) else graph_step.STEPS)[name]
        measures = self.jit_auto and name == "train_step" and self._has_whole_steps()
        return AutoStep if measures else None

    def _uses_graphs(self):
        """Whether steps run as graphs."""
        # Only where it is asked for: the answer imports torch's compiler.
        return self.jit_compile and can_trace_gradients()

    def _has_whole_steps(self):
        """Whether the clock may choose between graphs and eager steps."""
        return self._has_standard_steps()

    def _has_standard_steps(self):
        """Whether a step is the Trainer's from its beginning to its end."""
        return not any(overrides(self, name) for name in graph_step.STEPS)

    def _clear_gradients(self):
        # A step of one's own may have updated the weights past our optimizers: inside
        # torch.autocast the next one must not compute with the casts of the old weights.
        torch.clear_autocast_cache()
        for variable in self._running.trainable:
            variable._store[variable._key].grad = None


def forget_frozen(model):
    """Let go of the gradients that weights have from steps before they were frozen."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.grad = None


class Running:
    """What the steps of a running loop look up once instead of at every step."""

    def __init__(self, model):
        self.look_up(model)

    def look_up(self, model):
        self.tokens = SCOPE.tokens
        self.trainable = model.trainable_variables
        self.adds_losses = any(layer._adds_losses for layer in model._flatten_layers()) or any(
            variable.regularizer is not None
            for weight in self.trainable
            for variable in weight._holders()
        )
        self.own_metrics = overrides(model, "compute_metrics")
        # Before Keras 3.3 `compute_loss` had no `training`.
        self.old_compute_loss = overrides(model, "compute_loss") and not _takes_training(
            model.compute_loss
        )


def overrides(model, name):
    """Whether the model's class, or the model itself, has a method in the Trainer's place.

    Args:
        model: Steps.
        name: str, such as `"train_step"`.
    """
    return getattr(type(model), name) is not getattr(Steps, name) or name in model.__dict__


def _check_scaled(model):
    """Raise where a step divides gradients by a loss scale that it has not multiplied by."""
    optimizer = model.optimizer
    if (
        isinstance(optimizer, optimizers.LossScaleOptimizer)
        and optimizer._has_divided
        and not optimizer._has_scaled
    ):
        raise ValueError(
            f"The optimizer of '{model.name}' divides gradients by a loss scale, since the model "
            "computes in float16. Received: a `train_step` that does not multiply the loss by it. "
            "Go backward from `self.optimizer.scale_loss(loss)`, or compile with "
            "auto_scale_loss=False."
        )


def _now(logs):
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
    if isinstance(x, dict):
        x = next((value for value in x.values() if is_text(value)), "")
    return len(x) if isinstance(x, (list, tuple)) and is_text(x) else 1
