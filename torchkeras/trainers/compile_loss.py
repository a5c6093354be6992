"""CompileLoss: what `compile(loss=...)` means for the outputs a model turns out to have."""

from torchkeras.core import tree


class CompileLoss:
    """The losses of a model, matched to its outputs at the first batch.

    Args:
        loss: loss (name, function, object) for every output, or a list or dict of them by
            output; None in it leaves an output out.
        loss_weights: float, list or dict of floats by output.
        output_names: names of a functional model's outputs, or None.

    Raises:
        ValueError: losses, weights, targets and outputs do not fit each other.
    """

    def __init__(self, loss, loss_weights=None, output_names=None):
        if loss_weights is not None and not isinstance(
            loss_weights, (list, tuple, dict, float, int)
        ):
            raise ValueError(
                "`loss_weights` must be a float, or a list or dict of floats. Received: "
                f"loss_weights={loss_weights!r} of type {type(loss_weights).__name__}."
            )
        self.user_loss = loss
        self.user_weights = loss_weights
        self.output_names = output_names
        self.metrics = []  # a Mean for each output's loss, where there are several
        self._entries = None  # (place in y_pred, place in y_true, loss, weight)
        self._resolve_known()

    def _resolve_known(self):
        """Find unknown names now, at `compile`, rather than at the first batch."""
        from torchkeras import losses

        def resolve(loss):
            if isinstance(loss, str) and loss not in _BY_SHAPE:
                losses.get(loss)
            return loss

        tree.map_structure(resolve, self.user_loss)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The weighted sum of the losses, as a scalar tensor; None if no output has a loss."""
        if self._entries is None:
            self._build(y_true, y_pred)
        if not tree.is_nested(y_pred) and not tree.is_nested(y_true):
            if not self._entries:
                return None
            _, _, loss, weight = self._entries[0]
            value = loss(y_true, y_pred, sample_weight)
            return value if weight is None else value * weight
        flat_pred = self._flatten(y_pred)
        flat_true = self._flatten_targets(y_true, len(flat_pred))
        flat_weight = self._flatten_weights(sample_weight, len(flat_pred))
        total = None
        for number, (place, target, loss, weight) in enumerate(self._entries):
            value = loss(flat_true[target], flat_pred[place], flat_weight[place])
            if self.metrics:
                self.metrics[number].update_state(
                    value.detach(), sample_weight=flat_pred[place].shape[0]
                )
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total

    # Matching outputs, targets and losses

    def _names(self, y_pred):
        """Names of the outputs in the order of `_flatten`; None where they have none."""
        if isinstance(y_pred, dict) and not any(tree.is_nested(v) for v in y_pred.values()):
            keys = list(y_pred)
            if self.output_names and set(self.output_names) == set(keys):
                return list(self.output_names)
            return sorted(keys)
        count = len(tree.flatten(y_pred))
        if self.output_names and len(self.output_names) == count:
            return list(self.output_names)
        return [None] * count

    def _flatten(self, structure):
        if isinstance(structure, dict) and self._order and set(self._order) == set(structure):
            return [structure[name] for name in self._order]
        return tree.flatten(structure)

    def _flatten_targets(self, y_true, count):
        if isinstance(y_true, dict) and self._order:
            unknown = [name for name in self._targets if name not in y_true]
            if unknown:
                raise ValueError(
                    f"Targets are needed for the outputs {self._targets}. Received: a dict with "
                    f"the keys {list(y_true)}; missing: {unknown}."
                )
            return [y_true.get(name) for name in self._targets]
        return tree.flatten(y_true)

    def _flatten_weights(self, sample_weight, count):
        if sample_weight is None or not tree.is_nested(sample_weight):
            return [sample_weight] * count
        if isinstance(sample_weight, dict) and self._order:
            return [sample_weight.get(name) for name in self._order]
        flat = tree.flatten(sample_weight)
        if len(flat) == 1:
            return flat * count
        if len(flat) != count:
            raise ValueError(
                f"`sample_weight` must be one array, or one for each of the {count} outputs. "
                f"Received: {len(flat)} arrays."
            )
        return flat

    def _build(self, y_true, y_pred):
        from torchkeras.metrics import Mean

        self._order = names = self._names(y_pred)
        if None in names or len(set(names)) < len(names):
            self._order = None
        count = len(names)
        per_output = self._per_output(self.user_loss, y_pred, names, "loss")
        if self.user_weights is None:
            weights = [None] * count
        elif isinstance(self.user_weights, (float, int)):
            weights = [float(self.user_weights)] * count
        else:
            weights = self._per_output(self.user_weights, y_pred, names, "loss_weights")
        wanted = [place for place, loss in enumerate(per_output) if loss is not None]
        given = len(tree.flatten(y_true)) if y_true is not None else 0
        if isinstance(y_true, dict) and self._order:
            self._targets = [names[place] for place in wanted]
            targets = range(len(wanted))
        elif given == count:
            targets = wanted
        elif given == len(wanted):
            targets = range(given)
        else:
            raise ValueError(
                f"The model has {count} output(s) {names if self._order else ''} and "
                f"{len(wanted)} loss(es), so that many targets are needed. Received: {given} "
                "target array(s)."
            )
        pred = self._flatten(y_pred)
        true = self._flatten_targets(y_true, count)
        entries, labels = [], []
        for place, target in zip(wanted, targets, strict=True):
            loss = _get_loss(per_output[place], true[target], pred[place])
            entries.append((place, target, loss, weights[place]))
            labels.append(names[place] or entries[-1][2].name)
        if len(entries) > 1:
            self.metrics = [Mean(name=f"{name}_loss") for name in _unique(labels)]
            for metric, (place, *_) in zip(self.metrics, entries, strict=True):
                metric.to(pred[place].device)
        self._entries = entries

    def _per_output(self, given, y_pred, names, argument):
        """One entry of `given` for each output, in the order of `names`."""
        count = len(names)
        if not tree.is_nested(given):
            return [given] * count
        if isinstance(given, dict):
            known = [name for name in names if name is not None]
            unknown = [key for key in given if key not in known]
            if unknown:
                raise ValueError(
                    f"The keys of `{argument}` must be names of the model's outputs, {known}. "
                    f"Received: {argument} with the unknown keys {unknown}."
                )
            return [given.get(name) for name in names]
        flat = list(given)
        if any(tree.is_nested(item) for item in flat):
            flat = tree.flatten(given)
        if len(flat) != count:
            raise ValueError(
                f"`{argument}` must have one entry for each of the {count} output(s) of the "
                f"model. Received: {len(flat)} entries, {argument}={given}."
            )
        return flat


# Names whose meaning depends on the shapes of targets and outputs.
_BY_SHAPE = ("crossentropy", "ce")


def _get_loss(identifier, y_true, y_pred):
    """A Loss object: a plain function is wrapped, so that weights and reductions apply."""
    from torchkeras import losses
    from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical

    name = identifier if isinstance(identifier, str) else getattr(identifier, "__name__", None)
    if isinstance(identifier, str) and identifier in _BY_SHAPE:
        is_binary, is_sparse = is_binary_or_sparse_categorical(y_true, y_pred)
        kind = "binary" if is_binary else "sparse_categorical" if is_sparse else "categorical"
        identifier = f"{kind}_crossentropy"
    loss = losses.get(identifier)
    if isinstance(loss, losses.Loss):
        return loss
    return losses.LossFunctionWrapper(loss, name=name or type(loss).__name__)


def _unique(names):
    """`names` with `_1`, `_2`, ... after repeated ones."""
    seen, result = {}, []
    for name in names:
        number = seen.get(name, 0)
        seen[name] = number + 1
        result.append(f"{name}_{number}" if number else name)
    return result
