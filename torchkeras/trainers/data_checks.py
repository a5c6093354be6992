"""Values that no training can mean, looked for once, before the first step.

Only arrays in the memory of the host are looked at: an accelerator would be waited for.
"""

import numpy as np
import torch

from torchkeras.core.checks import check_real
from torchkeras.trainers.compile_loss import reads_labels
from torchkeras.trainers.data_adapters import data_adapter_utils as utils
from torchkeras.trainers.steps import overrides


def check_values(model, x, y, sample_weight, class_weight=None):
    """Raise a ValueError where arrays hold what `model` can make no sense of.

    These are complex numbers for a model of real inputs, targets that are complex or, for a loss
    of class numbers, lie between two of them, and weights of samples that are no finite numbers.
    Negative weights have a meaning, as the advantages in policy gradients, and are taken.

    Args:
        model: a compiled Trainer, or one that only predicts.
        x, y, sample_weight: what `fit` was given; what is no array is left alone.
        class_weight: dict or None.

    Example:

    >>> from torchkeras.trainers.data_checks import check_values
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3)])
    >>> model.compile(loss="sparse_categorical_crossentropy")
    >>> check_values(model, np.ones((2, 1)), np.array([0.0, 2.0]), None)
    >>> check_values(model, np.ones((2, 1)), np.array([0.5, 2.0]), None)
    Traceback (most recent call last):
    ValueError: `y` must hold class numbers for this loss. Received: y with the value 0.5. Give \
integers, or take a loss for numbers.
    """
    if _has_real_inputs(model):
        _refuse_complex("x", x)
    is_own_step = overrides(model, "train_step") or overrides(model, "test_step")
    if y is not None and not is_own_step:
        _refuse_complex("y", y)
        if model.loss is not None and reads_labels(model.loss):
            _check_labels(y)
    if sample_weight is not None:
        _refuse_complex("sample_weight", sample_weight)
        for name, array in _host_floats("sample_weight", sample_weight):
            wrong = [part[~np.isfinite(part)] for part in utils.blocks(array)]
            count = sum(part.size for part in wrong)
            if count:
                first = next(part[0] for part in wrong if part.size)
                raise ValueError(
                    f"`{name}` must hold finite numbers. Received: {name} with {count} of "
                    f"{array.size} values such as {first}. Give 0 to samples that do not count."
                )
    if class_weight is not None:
        check_class_weights(class_weight, _number_of_classes(model))


def check_class_weights(class_weight, count=None):
    """Raise unless `class_weight` maps classes, from 0 below `count`, to weights from 0.

    Example:

    >>> from torchkeras.trainers.data_checks import check_class_weights
    >>> check_class_weights({0: 1.0, 1: 2.5}, count=2)
    """
    if not isinstance(class_weight, dict):
        return  # the adapter says what it must be
    for label, weight in class_weight.items():
        if not isinstance(label, (int, float, np.integer, np.floating)):
            return
        if label != int(label if np.isfinite(label) else -1) or label < 0:
            raise ValueError(
                "`class_weight` must have class numbers from 0 as its keys. Received: the key "
                f"{label!r} in class_weight={class_weight}. Number the classes 0, 1, 2, ..."
            )
        if count is not None and label >= count:
            raise ValueError(
                f"`class_weight` must have classes of the model as its keys, 0 to {count - 1}. "
                f"Received: the key {label!r} in class_weight={class_weight}. Leave that class "
                "out, or give the model more outputs."
            )
        check_real(f"class_weight[{label!r}]", weight, least=0, cure="Give 1 for no weight.")


def _number_of_classes(model):
    """Outputs of a model whose labels number them; None where that is not known."""
    if model.loss is None or not reads_labels(model.loss):
        return None
    shape = _output_shape(model)
    if not isinstance(shape, tuple) or not shape or not isinstance(shape[-1], int):
        return None
    return shape[-1] if shape[-1] > 1 else None


def _output_shape(model):
    try:
        return model.output_shape
    except (AttributeError, ValueError, RuntimeError):
        return None  # it is known of a graph of layers alone


def _has_real_inputs(model):
    try:
        inputs = model.inputs
    except (AttributeError, ValueError, RuntimeError):
        return False
    return bool(inputs) and not any("complex" in str(symbol.dtype) for symbol in inputs)


def _arrays(name, data):
    """`(name, array)` of the NumPy arrays and tensors in `data`; of other data none."""
    if isinstance(data, (np.ndarray, torch.Tensor)):
        return [(name, data)]
    if not isinstance(data, (list, tuple, dict)) or not utils.can_convert_arrays(data):
        return []
    leaves = utils.named_leaves(data, name)
    return [
        (n, np.asarray(a) if isinstance(a, (list, tuple)) and _is_flat(a) else a)
        for n, a in leaves
        if isinstance(a, (np.ndarray, torch.Tensor))
        or (isinstance(a, (list, tuple)) and _is_flat(a))
    ]


def _is_flat(values):
    return all(isinstance(value, (int, float, complex, np.number)) for value in values)


def _refuse_complex(name, data):
    for place, array in _arrays(name, data):
        is_tensor = isinstance(array, torch.Tensor)
        if array.is_complex() if is_tensor else array.dtype.kind == "c":
            raise ValueError(
                f"`{place}` must hold real numbers. Received: {place} of dtype {array.dtype} and "
                f"shape {tuple(array.shape)}. Give its real and imaginary parts, or its absolute "
                "value, as floats."
            )


def _host_floats(name, data):
    """Floats in the memory of the host, as NumPy arrays."""
    for place, array in _arrays(name, data):
        if isinstance(array, torch.Tensor):
            if array.device.type != "cpu" or not array.is_floating_point() or array.requires_grad:
                continue
            if array.layout is not torch.strided:
                continue
            array = array.float().numpy() if array.dtype is torch.bfloat16 else array.numpy()
        if array.dtype.kind == "f":
            yield place, array


def _check_labels(y):
    for place, array in _host_floats("y", y):
        for part in utils.blocks(array):
            wrong = part[part != np.rint(part)]  # NaN too
            if wrong.size:
                raise ValueError(
                    f"`{place}` must hold class numbers for this loss. Received: {place} with the "
                    f"value {wrong[0]}. Give integers, or take a loss for numbers."
                )


def check_validation_data(model, training, validation_data):
    """Raise a ValueError where arrays to validate on cannot go through a model as those to train.

    Shapes and structures are compared before anything is trained: those of `x` with the model's
    inputs, and the shape of one target with that of the training's.

    Args:
        model: a built Trainer.
        training: `(x, y)` given to `fit`.
        validation_data: what `fit` was given.
    """
    x, y, _ = utils.unpack_x_y_sample_weight(validation_data)
    if overrides(model, "test_step"):
        return
    _check_against_inputs(model, x)
    train_y = training[1]
    if train_y is None or not _arrays("y", train_y) or not _arrays("x", x):
        return
    counts = [0 if part is None else len(_arrays("y", part)) for part in (train_y, y)]
    if counts[0] and not counts[1]:
        raise ValueError(
            "`validation_data` must have targets, as the training has. Received: 0 arrays of "
            f"targets to validate on, and {counts[0]} to train on. Give `validation_data=(x, y)`."
        )
    if counts == [1, 1]:
        (_, ours), (_, theirs) = _arrays("y", y)[0], _arrays("y", train_y)[0]
        shapes = tuple(ours.shape[1:]), tuple(theirs.shape[1:])
        if shapes[0] and shapes[1] and _is_fixed(model) and shapes[0] != shapes[1]:
            raise ValueError(
                "`validation_data` must have targets of the shape that the training has. Received: "
                f"targets of shape {tuple(ours.shape)} to validate on, and {tuple(theirs.shape)} "
                "to train on. Give both the same axes after the first."
            )


def _is_fixed(model):
    """Whether the outputs have one shape for all batches."""
    shape = _output_shape(model)
    return isinstance(shape, tuple) and bool(shape) and None not in shape[1:]


def _check_against_inputs(model, x):
    if not _has_real_inputs(model):
        return
    inputs, arrays = model.inputs, _arrays("x", x)
    if len(inputs) != 1 or len(arrays) != 1:
        return
    expected, found = tuple(inputs[0].shape), tuple(arrays[0][1].shape)
    if len(found) != len(expected):
        return  # an axis of one may be added or left out
    if any(e is not None and e != f for e, f in zip(expected[1:], found[1:], strict=True)):
        raise ValueError(
            f"`validation_data` must fit the model's input of shape {expected}. Received: "
            f"validation x of shape {found}. Give samples as those that it is trained on."
        )
