"""CompileLoss: what `compile(loss=...)` means for the outputs a model turns out to have."""

from torchkeras import losses, metrics
from torchkeras.core import tree
from torchkeras.core.scopes import SCOPE
from torchkeras.metrics.accuracy_metrics import is_binary_or_sparse_categorical
from torchkeras.trainers.output_places import OutputPlaces, label

# Names whose meaning depends on the shapes of targets and outputs.
_BY_SHAPE = ("crossentropy", "ce")


class CompileLoss:
    """The losses of a model, matched to its outputs at the first batch.

    Args:
        loss: loss (name, function, object) for every output, or a list, dict or deeper structure
            of them by output; None in it leaves an output out, and a list in the place of one
            output adds several losses up.
        loss_weights: float, or floats by output or by loss.
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
        self.compile_metrics = None  # those of the same `compile`
        self._entries = None  # (place of the output, loss, weight)
        self._outputs = None
        self._partial = ()  # places of the targets, where not every output has one

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The weighted sum of the losses, as a scalar tensor; None if no output has a loss."""
        if self._entries is None:
            self._build(y_true, y_pred)
        if not self._entries:
            return None
        if (
            len(self._entries) == 1
            and not tree.is_nested(y_pred)
            and not tree.is_nested(y_true)
            and y_true is not None
        ):
            _, loss, weight = self._entries[0]
            value = loss(y_true, y_pred, sample_weight)
            if SCOPE.replica is not None:
                value = _among_processes(loss, value)
            return value if weight is None else value * weight
        return self._sum(y_true, y_pred, sample_weight)

    def _sum(self, y_true, y_pred, sample_weight):
        preds = self._outputs.flatten(y_pred)
        trues = self._targets(self._outputs, self._partial, y_true)
        weights = self._weights(sample_weight)
        total = None
        for number, (place, loss, weight) in enumerate(self._entries):
            if trues[place] is None:
                raise self._missing_target(self._outputs, place)
            value = loss(trues[place], preds[place], weights[place])
            if SCOPE.replica is not None:
                value = _among_processes(loss, value)
            if self.metrics:
                self.metrics[number].update_state(
                    value.detach(), sample_weight=preds[place].shape[0]
                )
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total

    # Targets and weights by place

    def places(self, outputs):
        """The places of the outputs that have a loss, in order."""
        chosen = outputs.spread(self.user_loss, "loss")
        return [place for place, items in enumerate(chosen) if items]

    def _targets(self, outputs, partial, y_true):
        flat = outputs.align(y_true, "Targets", partial)
        if flat is None:
            given = 0 if y_true is None else len(tree.flatten(y_true))
            names = f" {outputs.known_names}" if outputs.known_names else ""
            raise ValueError(
                f"The model has {len(outputs)} output(s){names} and {len(partial[0])} loss(es), so "
                f"that many target arrays are needed. Received: {given} in `y`. Give one for each "
                "output, as a list or dict, or None as the loss of an output without a target."
            )
        return flat

    def _missing_target(self, outputs, place):
        name = outputs.names[place] or (label(outputs.paths[place]) if len(outputs) > 1 else "")
        return ValueError(
            "Every output with a loss needs a target. Received: none for output "
            f"{name or place!r}. Give it in `y`, or None as its loss."
        )

    def _weights(self, sample_weight):
        """The sample weights of each place."""
        count = len(self._outputs)
        if not tree.is_nested(sample_weight):
            return [sample_weight] * count
        flat = self._outputs.align(sample_weight, "Sample weights", self._partial)
        if flat is not None:
            return flat
        flat = tree.flatten(sample_weight)
        if len(flat) == 1:
            return flat * count
        raise ValueError(
            f"`sample_weight` must be one array, or one for each of the {count} outputs. "
            f"Received: {len(flat)} arrays. Use None for an output without weights."
        )

    # The first batch

    @property
    def built(self):
        """Whether the outputs are known yet."""
        return self._entries is not None

    def build(self, y_true, y_pred):
        """Match the losses to outputs and targets.

        Args:
            y_true: structure of targets.
            y_pred: structure of outputs.
        """
        if not self.built:
            self._build(y_true, y_pred)

    def _build(self, y_true, y_pred):
        outputs = OutputPlaces(y_pred, self.output_names)
        chosen = outputs.spread(self.user_loss, "loss")
        weights = self._loss_weights(outputs, chosen)
        places = [place for place, items in enumerate(chosen) if items]
        partial = [places]
        if self.compile_metrics is not None:
            partial.append(sorted({*places, *self.compile_metrics.places(outputs)}))
        trues, preds = self._targets(outputs, partial, y_true), outputs.flatten(y_pred)
        if isinstance(y_pred, dict) and isinstance(self.user_loss, dict):
            # The order in which the user names them, as in Keras, is that of `evaluate`'s list.
            first = [path[0] for path in outputs.paths]
            rank = {key: number for number, key in enumerate(self.user_loss)}
            places = sorted(places, key=lambda place: rank.get(first[place], 0))
        entries, labels = [], []
        for place in places:
            if trues[place] is None:
                raise self._missing_target(outputs, place)
            for item, weight in zip(chosen[place], weights[place], strict=True):
                loss = _get_loss(item, trues[place], preds[place])
                entries.append((place, loss, weight))
                labels.append(_label(outputs, place, loss))
        if len(entries) > 1:
            self.metrics = [metrics.Mean(name=f"{name}_loss") for name in _unique(labels)]
            for metric, (place, *_) in zip(self.metrics, entries, strict=True):
                metric.to(preds[place].device)
        self._outputs, self._partial, self._entries = outputs, partial, entries

    def _loss_weights(self, outputs, chosen):
        """For each place, the weights of its losses, None for 1."""
        given = self.user_weights
        if given is None or isinstance(given, (float, int)):
            weight = None if given is None else float(given)
            return [[weight] * len(items) for items in chosen]
        count = sum(map(len, chosen))
        flat = tree.flatten(given)
        if isinstance(given, (list, tuple)) and len(flat) == count != len(outputs):
            flat = iter(flat)  # one for each loss
            return [[next(flat) for _ in items] for items in chosen]
        weights = outputs.spread(given, "loss_weights")
        result = []
        for place, (items, found) in enumerate(zip(chosen, weights, strict=True)):
            if len(found) < 2:
                found = (found or [None]) * len(items)
            if len(found) != len(items) and items:
                raise ValueError(
                    "`loss_weights` must have one entry for each loss. Received: "
                    f"{len(found)} weights for {len(items)} losses of output "
                    f"{outputs.names[place] or place!r}, loss_weights={given}. Give one number, or "
                    "as many as losses."
                )
            result.append(found[: len(items)])
        return result


def _label(outputs, place, loss):
    """What a loss is called in the logs: by the keys to its output, or by the output's name."""
    path = outputs.paths[place]
    if path and isinstance(path[-1], str):
        return label(path)
    return label((*path[:-1], outputs.names[place] or loss.name))


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


def reads_labels(loss):
    """Whether what `compile` was given as a loss takes class numbers as targets.

    Example:

    >>> from torchkeras.trainers.compile_loss import reads_labels
    >>> reads_labels("sparse_categorical_crossentropy"), reads_labels("mse")
    (True, False)
    """
    flat = [item for item in tree.flatten(loss) if item is not None]
    if len(flat) != 1 or flat[0] in _BY_SHAPE:
        return False
    return bool(getattr(losses.get(flat[0]), "_keeps_integer_targets", False))


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
