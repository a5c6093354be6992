"""State that processes keep apart, brought together: metrics, statistics of layers, logs."""

import contextlib
import warnings

import numpy as np
import torch

from torchkeras.distribution import process_group


def reduce_metrics(variables):
    """Replace the state of metrics by that of all processes together, by its `aggregation`.

    A sum or count is added up (`"sum"`, as `Metric.add_variable` makes it), a `"mean"` averaged,
    of a `"max"` or `"min"` the largest or smallest taken, `"only_first_replica"` taken from
    process 0, and `"none"` left as it is. State that is `"gathered"` combines itself.

    Args:
        variables: list of Variables, the same in every process.

    Example:

    >>> from torchkeras.distribution.state_reduction import reduce_metrics
    >>> metric = keras.metrics.Mean()
    >>> metric.update_state([1.0, 2.0])
    >>> reduce_metrics(metric.variables)
    >>> float(metric.result())
    1.5
    """
    by_rule = {}
    for variable in variables:
        if variable.aggregation == "gathered":
            everyone = process_group.all_gather_object(_on_host(variable._store[variable._key]))
            variable._store[variable._key] = variable.combine(everyone)
            continue
        if getattr(variable, "warns", None):
            _warn_of_sum(variable)
        tensor = variable._store[variable._key]
        by_rule.setdefault(variable.aggregation, []).append(tensor)
    for rule in ("sum", "mean", "max", "min"):
        process_group.all_reduce_(by_rule.get(rule, []), rule)
    process_group.broadcast_(by_rule.get("only_first_replica", []))


def _on_host(state):
    return [item.cpu() for item in state] if isinstance(state, list) else state.cpu()


def _warn_of_sum(variable):
    variable.warns = False  # once
    if process_group.is_chief():
        warnings.warn(
            f"The state '{variable.path}' of a metric was written with `assign`, and is added up "
            "over the processes. Say how to combine it: add_weight(..., aggregation='max'), 'min' "
            "or 'mean', or aggregation='sum' if the sum is right.",
            stacklevel=2,
        )


@contextlib.contextmanager
def metrics_reduced(variables):
    """Inside, metrics hold the state of all processes; afterwards that of this one again."""
    before = kept(variables)
    reduce_metrics(variables)
    try:
        yield
    finally:
        put_back(variables, before)


def kept(variables):
    """Copies of the values, for `put_back`."""
    return {id(v): _copy(v._store[v._key]) for v in variables}


def _copy(state):
    return list(state) if isinstance(state, list) else state.clone()


def put_back(variables, values):
    """Give variables the values of `kept`; what they begin with to those that did not exist."""
    with torch.no_grad():
        for variable in variables:
            tensor = variable._store[variable._key]
            value = values.get(id(variable))
            if variable.aggregation == "gathered":  # of another size by now, or a list
                variable._store[variable._key] = value
            elif value is None and callable(variable.initializer):
                tensor.copy_(variable.initializer(tuple(tensor.shape), dtype=variable.dtype))
            elif value is None:
                tensor.zero_()
            else:
                tensor.copy_(value)


def reduce_logs(logs, weight):
    """Numbers in the logs of a step averaged over the processes by the rows they are of.

    Args:
        logs: dict of names to numbers, tensors or anything else, which stays.
        weight: float, fraction of the batch that this process had.

    Example:

    >>> from torchkeras.distribution.state_reduction import reduce_logs
    >>> reduce_logs({"a": torch.tensor(2.0), "b": "text"}, 1.0)
    {'a': 2.0, 'b': 'text'}
    """
    names = [name for name, value in logs.items() if _is_number(value)]
    values = torch.tensor([float(logs[name]) for name in names], dtype=torch.float64)
    # A ghost's numbers count for nothing, also where they are not finite.
    values = values * weight if weight else torch.zeros_like(values)
    process_group.all_reduce_([values])
    return {**logs, **dict(zip(names, values.tolist(), strict=True))}


def _is_number(value):
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex()
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


class Statistics:
    """The non-trainable state of a model that training changes, such as moving averages.

    Each process has moving averages of its own rows. `synchronize` makes them one: the mean over
    the processes of those floats that were written to since the last time, process 0's value of
    other numbers. States of random generators and of stateful layers stay apart.

    Args:
        model: a built model.
    """

    def __init__(self, model):
        self._model = model
        self._marks = {}
        self.note()

    def note(self):
        """Take what the model holds now as agreed upon."""
        self._marks = {name: _mark(tensor) for name, tensor in self._tensors()}

    def have_changed(self):
        """Whether this process has written to the state since it was agreed upon."""
        return any(_has_changed(tensor, self._marks.get(name)) for name, tensor in self._tensors())

    def synchronize(self):
        """Make the state one. Every process must call it."""
        tensors = list(self._tensors())
        changed = torch.tensor(
            [_has_changed(tensor, self._marks.get(name)) for name, tensor in tensors],
            dtype=torch.uint8,
        )
        if len(tensors):
            # Whether something was written may differ, where it depends on the data.
            process_group.all_reduce_([changed], "max")
        chosen = [
            tensor for (_, tensor), flag in zip(tensors, changed.tolist(), strict=True) if flag
        ]
        process_group.all_reduce_([t for t in chosen if t.is_floating_point()], "mean")
        process_group.broadcast_([t for t in chosen if not t.is_floating_point()])
        self.note()

    def _tensors(self):
        """`(name, tensor)` of each slot, in the order of the model's modules."""
        skipped = set()
        for module in self._model.modules():
            for generator in getattr(module, "_seed_generators", ()):
                skipped.add(id(generator.state._store[generator.state._key]))
            if getattr(module, "stateful", False):
                skipped.update(id(tensor) for tensor in module._buffers.values())
        for name, tensor in self._model.named_buffers():
            if id(tensor) not in skipped:
                yield name, tensor
        for name, parameter in self._model.named_parameters():
            if not parameter.requires_grad:
                yield name, parameter


def _mark(tensor):
    """What tells whether a tensor was written to: of a frozen weight its version, else a copy.

    torch's batch_norm writes running statistics without a new version.
    """
    if isinstance(tensor, torch.nn.Parameter):
        # A slot that was bound anew, or moved, is another tensor.
        return id(tensor), None if tensor.is_inference() else tensor._version
    return tensor.detach().clone()


def _has_changed(tensor, mark):
    if isinstance(mark, torch.Tensor):
        return mark.shape != tensor.shape or not torch.equal(mark.to(tensor.device), tensor)
    return mark is None or mark != _mark(tensor)
