"""CompileLoss: what `compile(loss=...)` means for the outputs a model turns out to have."""

from torchkeras import losses, metrics
from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical

# Names whose meaning depends on the shapes of targets and outputs.
_BY_SHAPE = ("crossentropy", "ce")


class CompileLoss:
    """The losses of a model, matched to its outputs at the first batch.

    Args:
        loss: loss (name, function, object) for every output, or a list or dict of them by
            output; None in it leaves an output out.
        loss_weights: float, list or dict of floats by output.
        output_names: names of a functional model's outputs, or None.

    Raises:
        ValueError: a loss is unknown; or, at the first batch, losses, weights, targets and
            outputs do not fit each other.

    Example:

    >>> from torchkeras.trainers.compile_loss import CompileLoss
    >>> loss = CompileLoss(["mse", None], loss_weights=0.5)
    >>> loss([torch.zeros(2, 1)], [torch.ones(2, 1), torch.ones(2, 3)])
    tensor(0.5000)
    """

    def __init__(self, loss, loss_weights=None, output_names=None):
        if loss_weights is not None and not isinstance(
            loss_weights, (list, tuple, dict, float, int)
        ):
            raise ValueError(
                "`loss_weights` must be a float, or a list or dict of floats. Received: "
                f"loss_weights={loss_weights!r} of type {type(loss_weights).__name__}. Give one "
                "float for each output."
            )
        # Unknown names are found now, at `compile`, rather than at the first batch.
        for item in tree.flatten(loss):
            if item is not None and item not in _BY_SHAPE:
                losses.get(item)
        self.user_loss = loss
        self.user_weights = loss_weights
        self.output_names = output_names
        self.metrics = []  # a Mean for each output's loss, where there are several
        self._entries = None  # (place in y_pred, place in y_true, loss, weight)
        self._order = None  # names of the outputs in the order of the places, where they have any

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The weighted sum of the losses, as a scalar tensor; None if no output has a loss."""
        if self._entries is None:
            self._build(y_true, y_pred)
        if not self._entries:
            return None
        if not tree.is_nested(y_pred) and not tree.is_nested(y_true) and y_true is not None:
            _, _, loss, weight = self._entries[0]
            value = loss(y_true, y_pred, sample_weight)
            if SCOPE.replica is not None:
                value = _among_processes(loss, value)
            return value if weight is None else value * weight
        return self._sum(y_true, y_pred, sample_weight)

    def _sum(self, y_true, y_pred, sample_weight):
        flat_pred = self._flatten(y_pred)
        flat_true = self._flatten_targets(y_true, len(flat_pred))
        weights = self._flatten_weights(sample_weight, len(flat_pred))
        total = None
        for number, (place, target, loss, weight) in enumerate(self._entries):
            value = loss(flat_true[target], flat_pred[place], weights[number])
            if SCOPE.replica is not None:
                value = _among_processes(loss, value)
            if self.metrics:
                self.metrics[number].update_state(
                    value.detach(), sample_weight=flat_pred[place].shape[0]
                )
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total

    # Outputs, targets and weights as lists

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

    def _flatten(self, y_pred):
        if isinstance(y_pred, dict) and self._order and set(self._order) == set(y_pred):
            return [y_pred[name] for name in self._order]
        return tree.flatten(y_pred)

    def _flatten_targets(self, y_true, count):
        """Targets as a list: by name one for each output, else those that were given."""
        if isinstance(y_true, dict) and self._order:
            unknown = [name for name in y_true if name not in self._order]
            if unknown:
                raise ValueError(
                    f"Targets are named like the outputs, {self._order}. Received: a dict with "
                    f"the unknown keys {unknown}. Rename them, or leave them out."
                )
            return [y_true.get(name) for name in self._order]
        flat = [] if y_true is None else tree.flatten(y_true)
        wanted = len(self._entries) if self._entries is not None else None
        if self._entries is not None and len(flat) not in (count, wanted):
            raise self._wrong_targets(count, wanted, len(flat))
        return flat

    def _wrong_targets(self, count, wanted, given):
        names = f" {self._order}" if self._order else ""
        return ValueError(
            f"The model has {count} output(s){names} and {wanted} loss(es), so that many target "
            f"arrays are needed. Received: {given} in `y`. Give one for each output, as a list or "
            "dict, or None as the loss of an output without a target."
        )

    def _flatten_weights(self, sample_weight, count):
        """The weights of each entry."""
        if not tree.is_nested(sample_weight):
            return [sample_weight] * len(self._entries)
        if isinstance(sample_weight, dict) and self._order:
            return [sample_weight.get(self._order[place]) for place, *_ in self._entries]
        flat = tree.flatten(sample_weight)
        if len(flat) == count:
            return [flat[place] for place, *_ in self._entries]
        if len(flat) == len(self._entries):
            return flat
        if len(flat) == 1:
            return flat * len(self._entries)
        raise ValueError(
            f"`sample_weight` must be one array, or one for each of the {count} outputs. "
            f"Received: {len(flat)} arrays. Use None for an output without weights."
        )

    # The first batch

    def _build(self, y_true, y_pred):
        names = self._names(y_pred)
        self._order = None if None in names or len(set(names)) < len(names) else names
        count = len(names)
        chosen = self._per_output(self.user_loss, names, "loss")
        if isinstance(self.user_weights, (float, int)):
            weights = [float(self.user_weights)] * count
        else:
            weights = self._weights_per_output(chosen, names)
        wanted = [place for place, loss in enumerate(chosen) if loss is not None]
        if isinstance(y_pred, dict) and isinstance(self.user_loss, dict):
            # The order in which the user names them, as in Keras, is that of `evaluate`'s list.
            wanted = [names.index(key) for key in self.user_loss if self.user_loss[key] is not None]
        pred = self._flatten(y_pred)
        true = self._flatten_targets(y_true, count)
        if len(true) == count:
            targets = wanted
        elif len(true) == len(wanted):
            targets = [sorted(wanted).index(place) for place in wanted]
        else:
            raise self._wrong_targets(count, len(wanted), len(true))
        entries, labels = [], []
        for place, target in zip(wanted, targets, strict=True):
            if true[target] is None:
                raise ValueError(
                    "Every output with a loss needs a target. Received: none for output "
                    f"{names[place] or place!r}. Give it in `y`, or None as its loss."
                )
            loss = _get_loss(chosen[place], true[target], pred[place])
            entries.append((place, target, loss, weights[place]))
            labels.append(names[place] or loss.name)
        if len(entries) > 1:
            self.metrics = [metrics.Mean(name=f"{name}_loss") for name in _unique(labels)]
            for metric, (place, *_) in zip(self.metrics, entries, strict=True):
                metric.to(pred[place].device)
        self._entries = entries

    def _per_output(self, given, names, argument):
        """One entry of `given` for each output, in the order of `names`."""
        if not tree.is_nested(given):
            return [given] * len(names)
        if isinstance(given, dict):
            unknown = [key for key in given if key not in names]
            if unknown:
                known = [name for name in names if name is not None]
                raise ValueError(
                    f"The keys of `{argument}` must be names of the model's outputs, {known}. "
                    f"Received: {argument} with the unknown keys {unknown}. "
                    + ("Rename them." if known else "Give a list in the order of the outputs.")
                )
            return [given.get(name) for name in names]
        flat = tree.flatten(given)
        if len(flat) != len(names):
            raise ValueError(
                f"`{argument}` must have one entry for each of the {len(names)} output(s) of the "
                f"model. Received: {len(flat)} entries, {argument}={given}. Use None for an "
                "output without a loss."
            )
        return flat

    def _weights_per_output(self, chosen, names):
        given = self.user_weights
        with_loss = [place for place, loss in enumerate(chosen) if loss is not None]
        if isinstance(given, (list, tuple)) and len(given) == len(with_loss) < len(names):
            by_place = dict(zip(with_loss, given, strict=True))
            return [by_place.get(place) for place in range(len(names))]
        return self._per_output(given, names, "loss_weights")


def _get_loss(identifier, y_true, y_pred):
    """A Loss object: a plain function is wrapped, so that weights and reductions apply."""
    name = identifier if isinstance(identifier, str) else getattr(identifier, "__name__", None)
    if isinstance(identifier, str) and identifier in _BY_SHAPE:
        is_binary, is_sparse = is_binary_or_sparse_categorical(y_true, y_pred)
        kind = "binary" if is_binary else "sparse_categorical" if is_sparse else "categorical"
        identifier = f"{kind}_crossentropy"
    loss = losses.get(identifier)
    if isinstance(loss, losses.Loss):
        return loss
    return losses.LossFunctionWrapper(loss, name=name or type(loss).__name__)


def _among_processes(loss, value):
    """A process's part of a loss: the mean of the parts by rows is the loss of the batch."""
    return value * SCOPE.replica.sum_scale() if loss.reduction == "sum" else value


def _unique(names):
    """`names` with `_1`, `_2`, ... after repeated ones."""
    seen, result = {}, []
    for name in names:
        number = seen.get(name, 0)
        seen[name] = number + 1
        result.append(f"{name}_{number}" if number else name)
    return result
