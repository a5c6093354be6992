"""CompileMetrics: what `compile(metrics=...)` means for the outputs a model turns out to have."""

from torchkeras import metrics as metrics_module
from torchkeras.core import tree
from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical
from torchkeras.trainers.output_places import OutputPlaces

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


class CompileMetrics(metrics_module.Metric):
    """The metrics of a model as one metric, matched to its outputs at the first batch.

    A function of its variables (`stateless_update_state` and its siblings) knows them once it is
    built: by a batch, or by `build`.

    Args:
        metrics: list of metrics (names, functions, objects) for a model with one output; a list
            of lists, a dict or a deeper structure by output for several.
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

    def __init__(self, metrics, weighted_metrics=None, output_names=None):
        super().__init__(name="compile_metrics")
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
        self.compile_loss = None  # that of the same `compile`
        self._plain = None  # (place of the output, name in the logs, metric)
        self._weighted = ()
        self._outputs = None
        self._partial = ()  # places of the targets, where not every output has one

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
        """The variables of all metrics, in their order."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def to(self, device):
        """Move the state of every metric to a device. Returns this object."""
        for metric in self.metrics:
            metric.to(device)
        return self

    def build(self, y_true, y_pred):
        """Match the metrics to outputs and targets, and make all of their variables.

        Args:
            y_true: structure of targets.
            y_pred: structure of outputs.
        """
        if not self.built:
            self._build(y_true, y_pred)
            # Some make their variables at the first batch, for its shapes.
            self.update_state(y_true, y_pred)
            self.reset_state()

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
        outputs = self._outputs
        preds = outputs.flatten(y_pred)
        trues = self._targets(outputs, self._partial, y_true)
        for place, _, metric in self._plain:
            metric.update_state(trues[place], preds[place])
        if self._weighted:
            weights = self._weights(sample_weight)
            for place, _, metric in self._weighted:
                metric.update_state(trues[place], preds[place], weights[place])

    def _weights(self, sample_weight):
        count = len(self._outputs)
        if not tree.is_nested(sample_weight):
            return [sample_weight] * count
        flat = self._outputs.align(sample_weight, "Sample weights", self._partial)
        return flat if flat is not None else tree.flatten(sample_weight)[:1] * count

    def reset_state(self):
        """Set every metric back to its start."""
        for metric in self.metrics:
            metric.reset_state()

    def result(self):
        """Results by name, as in Keras's logs: `<output>_<metric>` where there are several
        outputs, `weighted_<metric>` where a plain metric has the name already."""
        # The names of the losses are taken: a metric "loss" must not hide the loss.
        losses = () if self.compile_loss is None else self.compile_loss.metrics
        results, seen = {}, {"loss": 1, **{loss.name: 1 for loss in losses}}
        for kind, entries in (("plain", self._plain or ()), ("weighted", self._weighted)):
            for *_, output_name, metric in entries:
                prefix = f"{output_name}_" if output_name else ""
                name = prefix + metric.name
                if name in seen and kind == "weighted":
                    name = f"{prefix}weighted_{metric.name}"
                number = seen.get(name, 0)
                seen[name] = number + 1
                result = metric.result()
                if isinstance(result, dict):  # of several numbers, by names of their own
                    results.update({f"{prefix}{key}": value for key, value in result.items()})
                else:
                    results[f"{name}_{number}" if number else name] = result
        return results

    def get_config(self):
        """Not to be had: the arguments of `compile` are what makes it again.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "The metrics of `compile` have no config of their own. Received: a call of "
            "CompileMetrics.get_config. Use `model.get_compile_config()`."
        )

    # The first batch

    def _build(self, y_true, y_pred):
        outputs = OutputPlaces(y_pred, self.output_names)
        partial = [self.places(outputs)]
        if self.compile_loss is not None:
            with_loss = self.compile_loss.places(outputs)
            partial = [with_loss, sorted({*with_loss, *partial[0]}), *partial]
        count = len(outputs)
        trues, preds = self._targets(outputs, partial, y_true), outputs.flatten(y_pred)

        def match(given, argument):
            entries = []
            per_output = self._per_output(outputs, given, argument)
            measured = [place for place, items in enumerate(per_output) if items]
            missing = [outputs.names[place] or place for place in measured if trues[place] is None]
            if missing:
                raise ValueError(
                    f"Every output with `{argument}` needs a target. Received: none for the "
                    f"outputs {missing}. Give it in `y`, or None as their {argument}."
                )
            for place in measured:
                output_name = outputs.names[place] if count > 1 else None
                for item in per_output[place]:
                    metric = _get_metric(item, trues[place], preds[place])
                    metric.to(preds[place].device)
                    entries.append((place, output_name, metric))
            return entries

        plain = match(self.user_metrics, "metrics")
        self._weighted = match(self.user_weighted_metrics, "weighted_metrics")
        self._outputs, self._partial, self._plain = outputs, partial, plain

    def places(self, outputs):
        """The places of the outputs that are measured, in order."""
        plain = self._per_output(outputs, self.user_metrics, "metrics")
        weighted = self._per_output(outputs, self.user_weighted_metrics, "weighted_metrics")
        return [place for place in range(len(outputs)) if plain[place] or weighted[place]]

    def _per_output(self, outputs, given, argument):
        """A list of metrics for each output."""
        if not given:
            return [[] for _ in range(len(outputs))]
        if len(outputs) == 1 and (not isinstance(given, dict) or outputs.names == [None]):
            return [[item for item in tree.flatten(given) if item is not None]]
        return outputs.spread(given, argument)

    def _targets(self, outputs, partial, y_true):
        flat = outputs.align(y_true, "Targets", partial)
        if flat is None and not (measured := self.places(outputs)):
            return [None] * len(outputs)
        if flat is None:
            given = 0 if y_true is None else len(tree.flatten(y_true))
            raise ValueError(
                f"The metrics measure {len(measured)} of {len(outputs)} outputs, so that many "
                f"targets are needed. Received: {given} in `y`. Give one for each output."
            )
        return flat


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
        found.reset_state()
        if isinstance(item, str):
            found.name = item
        return found
    name = item if isinstance(item, str) else getattr(found, "__name__", None)
    return metrics_module.MeanMetricWrapper(found, name=name or type(found).__name__)
