"""Running steps of JAX's form, `train_step(self, state, data) -> (logs, state)`, under `fit`."""

import contextlib
import inspect

import torch

from torchkeras.core.variable import Variable
from torchkeras.trainers.data_adapters.data_adapter_utils import unpack_x_y_sample_weight


def takes_state(step):
    """Whether a bound step method has JAX's form: it takes a state before the data."""
    parameters = inspect.signature(step).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters) == 2


class StatelessStep:
    """A step function of data that carries the state of a step of JAX's form.

    The state is lists of tensors: those of the trainable and the non-trainable variables, of the
    optimizer's (in training only), and of the metrics'. It is read from the model at the first
    step, handed from step to step, and put back into the model by `write_back`, which the Trainer
    calls wherever somebody may look.

    Args:
        model: the model.
        step: bound method `(state, data) -> (logs, state)`.
        training: bool, whether the optimizer's variables are part of the state.

    Attributes:
        counts_metrics: bool, whether the metrics' state of the next step is kept.
    """

    counts_metrics = True

    def __init__(self, model, step, training):
        self._model = model
        self._step = step
        self._training = training
        self._state = None
        self._variables = None

    def __call__(self, data):
        if self._state is None:
            build_metrics(self._model, data)
            self._variables = self._collect()
            self._state = tuple([v.value.detach() for v in part] for part in self._variables)
        result = self._step(self._state, data)
        sizes = [len(part) for part in self._variables]
        if not _is_logs_and_state(result, sizes):
            raise ValueError(
                f"A step that takes `(state, data)` must return `(logs, state)`, the state as "
                f"{len(sizes)} lists of {sizes} tensors. Received: {_outline(result)} from "
                f"{type(self._model).__name__}.{'train_step' if self._training else 'test_step'}."
            )
        logs, state = result
        self._state = state if self.counts_metrics else (*state[:-1], self._state[-1])
        return flat_logs(logs)

    def _collect(self):
        model = self._model
        parts = [model.trainable_variables, model.non_trainable_variables]
        if self._training:
            parts.append(model.optimizer.variables)
        parts.append(model.metrics_variables)
        return parts

    def write_back(self):
        """Give the model the state as it is now."""
        if self._state is None:
            return
        for variables, values in zip(self._variables, self._state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                value = value.value if isinstance(value, Variable) else value
                if not _is_same(value, variable._store[variable._key]):
                    variable.assign(value)
        self._state = None


def flat_logs(logs):
    """Logs with those of a metric of several results in them, rather than in a dict of their own.

    Example:

    >>> from torchkeras.trainers.stateless_step import flat_logs
    >>> flat_logs({"loss": 1.0, "compile_metrics": {"mae": 2.0}})
    {'loss': 1.0, 'mae': 2.0}
    """
    if not any(isinstance(value, dict) for value in logs.values()):
        return logs
    flat = {}
    for name, value in logs.items():
        flat.update(flat_logs(value) if isinstance(value, dict) else {name: value})
    return flat


def build_metrics(model, data):
    """Make the variables of what `compile` was given, which else appear at the first batch."""
    metrics, loss = model._compile_metrics, model._compile_loss
    metrics = None if metrics is None or metrics.built else metrics
    loss = None if loss is None or loss.built else loss
    if metrics is None and loss is None:
        return
    try:
        x, y, _ = unpack_x_y_sample_weight(data)
        if y is None:
            return
        with torch.no_grad():
            y_pred = model(x, training=False)
    except (TypeError, ValueError, RuntimeError, LookupError):
        return  # batches of another form, which the step knows how to read
    for part in (loss, metrics):
        if part is not None:
            with torch.no_grad():
                part.build(y, y_pred)


def stateless_prediction(model, graph=None):
    """A function of data for a `predict_step` of JAX's form, or None if it has another.

    `graph` is the step as a graph, where it runs as one.
    """
    step = model.predict_step
    if not takes_state(step):
        return None
    if graph is not None:
        step = graph.by_state
    parts = (model.trainable_variables, model.non_trainable_variables)

    def predict(data):
        result = step(tuple([v.value.detach() for v in part] for part in parts), data)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(
                "A predict_step that takes `(state, data)` must return `(outputs, "
                f"non_trainable_variables)`. Received: {type(result).__name__} from "
                f"{type(model).__name__}.predict_step."
            )
        return result[0]

    return predict


def write_back(step):
    """Give the model the state that a step carries, if it carries one."""
    if isinstance(step, StatelessStep):
        step.write_back()


@contextlib.contextmanager
def written_back(step):
    """At the end, and after an error, the model has the state of the last whole step."""
    try:
        yield
    finally:
        write_back(step)


def _is_same(value, tensor):
    """Whether a value of the state is what the model has given it."""
    return (
        isinstance(value, torch.Tensor)
        and value.data_ptr() == tensor.data_ptr()
        and value.shape == tensor.shape
        and value.dtype is tensor.dtype
    )


def _is_logs_and_state(result, sizes):
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], dict):
        return False
    state = result[1]
    return (
        isinstance(state, (tuple, list))
        and len(state) == len(sizes)
        and all(
            isinstance(part, (tuple, list)) and len(part) == size
            for part, size in zip(state, sizes, strict=True)
        )
    )


def _outline(result):
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], (tuple, list)):
        sizes = [len(p) if isinstance(p, (tuple, list)) else type(p).__name__ for p in result[1]]
        return f"({type(result[0]).__name__}, lists of {sizes})"
    return type(result).__name__
