"""The weights in a `.h5` file of Keras 2, as Keras publishes those of its applications.

| in the file | what |
| --- | --- |
| attribute `layer_names` of the root | the layers, in order |
| attribute `weight_names` of the group of a layer | paths of its arrays, trainable ones first |
| `top_level_model_weights` | likewise, of weights that belong to no layer |

In the file of a whole model all that is in the group `model_weights`; nothing else of it is looked
at. Such files are read, not written.
"""

import contextlib

import torch

from torchkeras.saving.h5_reader import open_h5, read_tensor
from torchkeras.saving.messages import unreadable
from torchkeras.saving.weight_checks import as_weight, check_differences

_WHOLE_MODEL, _OWN_WEIGHTS = "model_weights", "top_level_model_weights"


@contextlib.contextmanager
def open_weights(path):
    """The reader of the weights in a file."""
    with open_h5(path) as groups:
        yield Weights(groups, path)


class Weights:
    """The weights in an open file.

    Args:
        groups: what `open_h5` gives.
        path: str.
    """

    def __init__(self, groups, path):
        self._groups, self._path = groups, path
        self._root = ""
        names = groups.names("", "layer_names")
        if names is None and _WHOLE_MODEL in groups:
            self._root = f"{_WHOLE_MODEL}/"
            names = groups.names(_WHOLE_MODEL, "layer_names")
        if names is None:
            raise unreadable(path, "it does not say which layers it has", "Keras 2 .h5")
        self._layers = {name: self._datasets(name) for name in names}
        has_own = f"{self._root}{_OWN_WEIGHTS}" in groups
        self._own = self._datasets(_OWN_WEIGHTS) if has_own else []

    def _datasets(self, layer):
        """`[(path, dataset)]` of the weights of a layer."""
        found = []
        group = f"{self._root}{layer}"
        if group not in self._groups:
            raise unreadable(self._path, f"it lacks the layer {layer!r}", "Keras 2 .h5")
        for name in self._groups.names(group, "weight_names") or ():
            folder, _, last = f"{group}/{name}".rpartition("/")
            dataset = self._groups.get(folder, {}).get(last)
            if dataset is None:
                raise unreadable(self._path, f"it lacks the weight {name!r}", "Keras 2 .h5")
            found.append((f"{folder}/{last}", dataset))
        return found

    def assign_weights(self, model, skip_mismatch=False, by_name=False):
        """Set the weights of a built model; all of them, or none when something does not fit."""
        pairs = self._pairs_by_name(model) if by_name else self._pairs_in_order(model)
        if self._own:
            pairs.append((model.name, list(model._own_variables()), self._own))
        missing, extra, wrong, fitting = [], [], {}, []
        for layer, variables, datasets in pairs:
            missing += [variable.path for variable in variables[len(datasets) :]]
            extra += [path for path, _ in datasets[len(variables) :]]
            if len(variables) != len(datasets):
                continue  # which of them is the one too many, nothing says
            for variable, (path, dataset) in zip(variables, datasets, strict=True):
                if tuple(dataset.shape) == tuple(variable.shape):
                    fitting.append((variable, path, dataset))
                else:
                    wrong[f"{path} (for {layer})"] = tuple(dataset.shape), tuple(variable.shape)
        check_differences(model, self._path, missing, extra, wrong, skip_mismatch)
        # All are read before the first is set: a file that breaks off changes nothing.
        slots = [variable._store[variable._key] for variable, _, _ in fitting]
        values = [
            as_weight(read_tensor(dataset, path, self._path, {}), slot, path, self._path)
            for slot, (_, path, dataset) in zip(slots, fitting, strict=True)
        ]
        with torch.no_grad():
            for slot, value in zip(slots, values, strict=True):
                slot.copy_(value)

    def _pairs_in_order(self, model):
        """`(name of a layer, its variables, its datasets)`, whatever the names."""
        layers = [(layer.name, found) for layer in model.layers if (found := _variables(layer))]
        stored = [datasets for datasets in self._layers.values() if datasets]
        if len(layers) != len(stored):
            raise ValueError(
                f"'{model.name}' has {len(layers)} layers with weights. Received: "
                f"{len(stored)} in '{self._path}'. Load into a model of the same architecture "
                "(include_top=False for a file whose name says so), or pass by_name=True."
            )
        return [(*layer, datasets) for layer, datasets in zip(layers, stored, strict=True)]

    def _pairs_by_name(self, model):
        return [
            (layer.name, _variables(layer), self._layers[layer.name])
            for layer in model.layers
            if layer.name in self._layers
        ]


def _variables(layer):
    """The weights of a layer in the order of Keras 2: the trainable ones first."""
    return layer.trainable_weights + layer.non_trainable_weights
