"""CompileMetrics: what `compile(metrics=...)` means for the outputs a model turns out to have."""

from torchkeras.core import tree


class CompileMetrics:
    """The metrics of a model, matched to its outputs at the first batch.

    Args:
        metrics: list of metrics (names, functions, objects) for a model with one output; a list
            of lists or a dict by output for several.
        weighted_metrics: likewise, for metrics that are given the sample weights.
        output_names: names of a functional model's outputs, or None.

    Raises:
        ValueError: metrics and outputs do not fit each other.
    """

    name = "compile_metrics"

    def __init__(self, metrics, weighted_metrics=None, output_names=None):
        for argument, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value is not None and not isinstance(value, (list, tuple, dict)):
                raise ValueError(
                    f"`{argument}` must be a list, or a dict by output name. Received: "
                    f"{argument}={value!r} of type {type(value).__name__}. Put it into a list."
                )
        self.user_metrics = metrics
        self.user_weighted_metrics = weighted_metrics
        self.output_names = output_names
        self._plain = None  # (place of the output, its name in the logs, metric)
        self._weighted = ()
        self._resolve_known()

    def _resolve_known(self):
        """Find unknown names now, at `compile`, rather than at the first batch."""
        from torchkeras import metrics

        for item in tree.flatten([self.user_metrics or [], self.user_weighted_metrics or []]):
            if isinstance(item, str) and item not in _BY_SHAPE:
                metrics.get(item)

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

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Let every metric see a batch."""
        if self._plain is None:
            self._build(y_true, y_pred)
        if not tree.is_nested(y_pred) and not tree.is_nested(y_true):
            for _, _, metric in self._plain:
                metric.update_state(y_true, y_pred)
            for _, _, metric in self._weighted:
                metric.update_state(y_true, y_pred, sample_weight)
            return
        trues, preds = self._flatten(y_true), self._flatten(y_pred)
        for place, _, metric in self._plain:
            if trues[place] is not None:
                metric.update_state(trues[place], preds[place])
        if self._weighted:
            weights = [sample_weight] * len(preds)
            if tree.is_nested(sample_weight):
                weights = self._flatten(sample_weight)
                weights = weights * len(preds) if len(weights) == 1 else weights
            for place, _, metric in self._weighted:
                metric.update_state(trues[place], preds[place], weights[place])

    def reset_state(self):
        """Set every metric back to its start."""
        for metric in self.metrics:
            metric.reset_state()

    def result(self):
        """Results by name, as in Keras's logs: `<output>_<metric>` where there are several
        outputs, `weighted_<metric>` where a plain metric has the name already."""
        results, seen = {}, {}
        for kind, entries in (("plain", self._plain or ()), ("weighted", self._weighted)):
            for _, output_name, metric in entries:
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

    def _build(self, y_true, y_pred):
        count = len(tree.flatten(y_pred))
        flat = tree.is_nested(y_pred) and len(y_pred) == count
        names = self.output_names
        if flat and isinstance(y_pred, dict):
            if not names or set(names) != set(y_pred):
                names = sorted(y_pred)
        if not names or len(names) != count:
            names = None
        self._order = names if count > 1 and flat else None
        trues, preds = self._flatten(y_true), self._flatten(y_pred)
        if len(trues) != len(preds):
            trues = trues + [None] * (len(preds) - len(trues))

        def match(given, argument):
            entries = []
            for place, metrics in enumerate(self._per_output(given, count, names, argument)):
                output_name = names[place] if count > 1 and names else None
                for item in metrics:
                    metric = _get_metric(item, trues[place], preds[place])
                    metric.to(preds[place].device)
                    entries.append((place, output_name, metric))
            return entries

        plain = match(self.user_metrics, "metrics")
        self._weighted = match(self.user_weighted_metrics, "weighted_metrics")
        self._plain = plain

    def _per_output(self, given, count, names, argument):
        """A list of metrics for each output."""
        if not given:
            return [[] for _ in range(count)]
        if count == 1:
            return [[item for item in tree.flatten(given) if item is not None]]
        if isinstance(given, dict):
            unknown = [key for key in given if key not in (names or ())]
            if unknown:
                raise ValueError(
                    f"The keys of `{argument}` must be names of the model's outputs, {names}. "
                    f"Received: {argument} with the unknown keys {unknown}."
                )
            chosen = [given.get(name) for name in names]
        elif len(given) == count:
            chosen = list(given)
        else:
            raise ValueError(
                f"`{argument}` must have one entry, or list, for each of the {count} outputs of "
                f"the model. Received: {len(given)} entries, {argument}={given}."
            )
        return [[item for item in tree.flatten(m) if item is not None] for m in chosen]


# Names whose meaning depends on the shapes of targets and outputs.
_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")


def _get_metric(item, y_true, y_pred):
    from torchkeras import metrics
    from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical

    if isinstance(item, metrics.Metric):
        return item
    if isinstance(item, str) and item in _BY_SHAPE and y_true is not None:
        kind = "accuracy" if item in ("accuracy", "acc") else "crossentropy"
        is_binary, is_sparse = is_binary_or_sparse_categorical(y_true, y_pred)
        names = {
            "accuracy": (
                metrics.BinaryAccuracy,
                metrics.SparseCategoricalAccuracy,
                metrics.CategoricalAccuracy,
            ),
            "crossentropy": (
                metrics.BinaryCrossentropy,
                metrics.SparseCategoricalCrossentropy,
                metrics.CategoricalCrossentropy,
            ),
        }[kind]
        cls = names[0] if is_binary else names[1] if is_sparse else names[2]
        return cls(name=item)
    found = metrics.get(item)
    if isinstance(found, type):
        found = found(name=item) if isinstance(item, str) else found()
    if isinstance(found, metrics.Metric):
        if isinstance(item, str):
            found.name = item
        return found
    name = item if isinstance(item, str) else getattr(found, "__name__", None)
    return metrics.MeanMetricWrapper(found, name=name or type(found).__name__)
