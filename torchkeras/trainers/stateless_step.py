"""Running steps of JAX's form, `train_step(self, state, data) -> (logs, state)`, under `fit`."""

import contextlib
import inspect

from torchkeras.core.variable import Variable


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
            self._variables = self._collect()
            self._state = tuple([v.value for v in part] for part in self._variables)
        result = self._step(self._state, data)
        sizes = [len(part) for part in self._variables]
        if not _is_logs_and_state(result, sizes):
            raise ValueError(
                f"A step that takes `(state, data)` must return `(logs, state)`, the state as "
                f"{len(sizes)} lists of {sizes} tensors. Received: {_outline(result)} from "
                f"{type(self._model).__name__}.{self._step.__name__}."
            )
        logs, state = result
        self._state = state if self.counts_metrics else (*state[:-1], self._state[-1])
        return logs

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
                if value is not variable._store[variable._key]:
                    variable.assign(value.value if isinstance(value, Variable) else value)
        self._state = None


def stateless_prediction(model):
    """A function of data for a `predict_step` of JAX's form, or None if it has another."""
    step = model.predict_step
    if not takes_state(step):
        return None
    parts = (model.trainable_variables, model.non_trainable_variables)

    def predict(data):
        result = step(tuple([v.value for v in part] for part in parts), data)
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
