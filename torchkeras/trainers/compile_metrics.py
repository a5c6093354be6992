"""CompileMetrics: what `compile(metrics=...)` means for the outputs a model turns out to have."""

from collections import OrderedDict

from torchkeras import metrics as metrics_module
from torchkeras.core import tree
from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical

# Names whose meaning depends on the shapes of targets and outputs: the classes for one binary
# output, for class numbers and for one-hot targets.
_ACCURACIES = (
    metrics_module.BinaryAccuracy,
    metrics_module.SparseCategoricalAccuracy,
    metrics_module.CategoricalAccuracy,
)
_CROSSENTROPIES = (
    metrics_module.BinaryCrossentropy,
    metrics_module.SparseCategoricalCrossentropy,
    metrics_module.CategoricalCrossentropy,
)
_BY_SHAPE = {
    "accuracy": _ACCURACIES,
    "acc": _ACCURACIES,
    "crossentropy": _CROSSENTROPIES,
    "ce": _CROSSENTROPIES,
}


class CompileMetrics:
    """The metrics of a model, matched to its outputs at the first batch.

    Args:
        metrics: list of metrics (names, functions, objects) for a model with one output; a list
            of lists or a dict by output for several.
        weighted_metrics: likewise, for metrics that are given the sample weights.
        output_names: names of a functional model's outputs, or None.

    Raises:
        ValueError: a metric is unknown; or, at the first batch, metrics, targets and outputs do
            not fit each other.

    Example:

    >>> from torchkeras.trainers.compile_metrics import CompileMetrics
    >>> metrics = CompileMetrics(["mae"], weighted_metrics=["mae"])
    >>> y_true, y_pred = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
    >>> metrics.update_state(y_true, y_pred, sample_weight=torch.tensor([1.0, 0.0]))
    >>> metrics.result()
    {'mae': tensor(1.5000), 'weighted_mae': tensor(1.)}
    """

    name = "compile_metrics"

    def __init__(self, metrics, weighted_metrics=None, output_names=None):
        for argument, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value is not None and not isinstance(value, (list, tuple, dict)):
                raise ValueError(
                    f"`{argument}` must be a list, or a dict by output name. Received: "
                    f"{argument}={value!r} of type {type(value).__name__}. Put it into a list."
                )
            # Unknown names are found now, at `compile`, rather than at the first batch.
            for item in tree.flatten(value or []):
                if item is not None and item not in _BY_SHAPE:
                    metrics_module.get(item)
        self.user_metrics = metrics
        self.user_weighted_metrics = weighted_metrics
        self.output_names = output_names
        self._plain = None  # (place of the output, place of its target, name in the logs, metric)
        self._weighted = ()
        self._order = None  # names of the outputs in the order of the places, where they have any

    @property
    def built(self):
        """Whether the outputs are known yet."""
        return self._plain is not None

    @property
    def metrics(self):
        """The metric objects, those without weights first."""
        return [metric for *_, metric in (*(self._plain or ()), *self._weighted)]

    @property
    def variables(self):
        """The variables of all metrics."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def to(self, device):
        """Move the state of every metric to a device. Returns this object."""
        for metric in self.metrics:
            metric.to(device)
        return self

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Let every metric see a batch."""
        if self._plain is None:
            self._build(y_true, y_pred)
        if not tree.is_nested(y_pred) and not tree.is_nested(y_true):
            for *_, metric in self._plain:
                metric.update_state(y_true, y_pred)
            for *_, metric in self._weighted:
                metric.update_state(y_true, y_pred, sample_weight)
            return
        trues, preds = self._flatten(y_true), self._flatten(y_pred)
        for place, target, _, metric in self._plain:
            metric.update_state(trues[target], preds[place])
        if self._weighted:
            weights = self._flatten(sample_weight) if tree.is_nested(sample_weight) else []
            if len(weights) < len(trues):
                weights = [weights[0] if weights else sample_weight] * len(trues)
            for place, target, _, metric in self._weighted:
                metric.update_state(trues[target], preds[place], weights[target])

    def reset_state(self):
        """Set every metric back to its start."""
        for metric in self.metrics:
            metric.reset_state()

    def result(self):
        """Results by name, as in Keras's logs: `<output>_<metric>` where there are several
        outputs, `weighted_<metric>` where a plain metric has the name already."""
        results, seen = {}, {}
        for kind, entries in (("plain", self._plain or ()), ("weighted", self._weighted)):
            for *_, output_name, metric in entries:
                prefix = f"{output_name}_" if output_name else ""
                name = prefix + metric.name
                if name in seen and kind == "weighted":
                    name = f"{prefix}weighted_{metric.name}"
                number = seen.get(name, 0)
                seen[name] = number + 1
                results[f"{name}_{number}" if number else name] = metric.result()
        return results

    def _flatten(self, structure):
        if isinstance(structure, dict) and self._order:
            return [structure.get(name) for name in self._order]
        return tree.flatten(structure)

    # The first batch

    def _build(self, y_true, y_pred):
        count = len(tree.flatten(y_pred))
        names = self._names(y_pred, count)
        is_flat = tree.is_nested(y_pred) and len(y_pred) == count
        self._order = names if count > 1 and is_flat else None
        trues, preds = self._flatten(y_true), self._flatten(y_pred)

        def match(given, argument):
            entries = []
            per_output = self._per_output(given, count, names, argument)
            targets = _targets_of(per_output, trues, names, argument)
            for place, items in enumerate(per_output):
                output_name = names[place] if count > 1 and names else None
                for item in items:
                    metric = _get_metric(item, trues[targets[place]], preds[place])
                    metric.to(preds[place].device)
                    entries.append((place, targets[place], output_name, metric))
            return entries

        plain = match(self.user_metrics, "metrics")
        self._weighted = match(self.user_weighted_metrics, "weighted_metrics")
        self._plain = plain

    def _names(self, y_pred, count):
        """Names of the outputs, or None."""
        names = self.output_names
        if isinstance(y_pred, dict) and len(y_pred) == count:
            if not names or set(names) != set(y_pred):
                names = list(y_pred) if isinstance(y_pred, OrderedDict) else sorted(y_pred)
        return names if names and len(names) == count else None

    def _per_output(self, given, count, names, argument):
        """A list of metrics for each output."""
        if not given:
            return [[] for _ in range(count)]
        if count == 1 and not isinstance(given, dict):
            chosen = [given]
        elif isinstance(given, dict):
            unknown = [key for key in given if key not in (names or ())]
            if unknown and not (count == 1 and names is None):
                raise ValueError(
                    f"The keys of `{argument}` must be names of the model's outputs, {names}. "
                    f"Received: {argument} with the unknown keys {unknown}. "
                    + ("Rename them." if names else "Give a list in the order of the outputs.")
                )
            chosen = [given] if count == 1 else [given.get(name) for name in names]
        elif len(given) == count:
            chosen = list(given)
        else:
            raise ValueError(
                f"`{argument}` must have one entry, or list, for each of the {count} outputs of "
                f"the model. Received: {len(given)} entries, {argument}={given}. Use None for an "
                "output without metrics."
            )
        return [[item for item in tree.flatten(m) if item is not None] for m in chosen]


def _targets_of(per_output, trues, names, argument):
    """For each output the place of its target: there may be none for those not measured."""
    measured = [place for place, items in enumerate(per_output) if items]
    if len(trues) == len(per_output):
        missing = [names[place] if names else place for place in measured if trues[place] is None]
        if missing:
            raise ValueError(
                f"Every output with `{argument}` needs a target. Received: none for the outputs "
                f"{missing}. Give it in `y`, or None as their {argument}."
            )
        return list(range(len(per_output)))
    if len(trues) == len(measured) or not measured:
        return [measured.index(p) if p in measured else None for p in range(len(per_output))]
    raise ValueError(
        f"`{argument}` measures {len(measured)} of {len(per_output)} outputs, so that many targets "
        f"are needed. Received: {len(trues)} in `y`. Give one for each output."
    )


def _get_metric(item, y_true, y_pred):
    """A Metric object, with the name that was given as a string."""
    if isinstance(item, metrics_module.Metric):
        item.reset_state()  # of what it may have measured before
        return item
    if isinstance(item, str) and item in _BY_SHAPE:
        is_binary, is_sparse = is_binary_or_sparse_categorical(y_true, y_pred)
        classes = _BY_SHAPE[item]
        return classes[0 if is_binary else 1 if is_sparse else 2](name=item)
    found = metrics_module.get(item)
    if isinstance(found, type):
        found = found(name=item) if isinstance(item, str) else found()
    if isinstance(found, metrics_module.Metric):
        if isinstance(item, str):
            found.name = item
        return found
    name = item if isinstance(item, str) else getattr(found, "__name__", None)
    return metrics_module.MeanMetricWrapper(found, name=name or type(found).__name__)
