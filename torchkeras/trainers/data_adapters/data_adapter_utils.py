"""Tuples of (x, y, sample_weight), class weights, structures of arrays, copies to a device."""

import copy
import math
import mmap
from collections.abc import Mapping

import numpy as np
import torch

from torchkeras.core import config, tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.strings import as_text, is_text

DATA_NAMES = ("x", "y", "sample_weight")

# torch computes little in these; Keras widens them too.
_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64}


def unpack_x_y_sample_weight(data):
    """Split a batch into `(x, y, sample_weight)`, with None for what it lacks.

    Args:
        data: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`; a list counts as a tuple.

    Raises:
        ValueError: the tuple has no item, or more than three.

    Example:

    >>> keras.utils.unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    if not isinstance(data, (tuple, list)):
        return data, None, None
    size = len(data)
    if size == 2:
        return data[0], data[1], None
    if size == 3:
        return tuple(data)
    if size == 1:
        return data[0], None, None
    raise _wrong_batch_size_error(data)


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """Join the parts of a batch into what `fit` reads; the inverse of `unpack_x_y_sample_weight`.

    Without `y` the result is `x` itself, in a tuple of one only if `x` is a list or tuple.

    Args:
        x: structure of arrays, the inputs.
        y: structure of arrays or None, the targets.
        sample_weight: structure of arrays or None; left out if `y` is None, as in Keras.

    Example:

    >>> keras.utils.pack_x_y_sample_weight([1, 2]), keras.utils.pack_x_y_sample_weight(1, 2)
    (([1, 2],), (1, 2))
    """
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def as_batch_tuple(batch):
    """`batch` as a tuple: a list is read as a tuple, all else, a list of strings too, is `x`.

    More items than `(x, y, sample_weight)` are for a `train_step` of one's own.

    Example:

    >>> from torchkeras.trainers.data_adapters.data_adapter_utils import as_batch_tuple
    >>> as_batch_tuple([1, 2]), as_batch_tuple(["one", "two"]), as_batch_tuple(1)
    ((1, 2), (['one', 'two'],), (1,))
    """
    if is_bare(batch):
        return (batch,)
    if not batch:
        raise _wrong_batch_size_error(batch)
    return tuple(batch) if isinstance(batch, list) else batch


def is_bare(batch):
    """Whether a batch is `x` with no tuple around it: all but lists and tuples.

    A list of strings is `x` too: that is what a DataLoader makes of single strings.
    """
    if not isinstance(batch, list):
        return not isinstance(batch, tuple)
    return len(batch) > 0 and isinstance(batch[0], (str, bytes))


def data_names(batch):
    """What the items of a batch are called in messages."""
    return [*DATA_NAMES, *(f"batch[{i}]" for i in range(3, len(batch)))][: len(batch)]


def text_as_arrays(part):
    """Inputs with NumPy arrays in the place of lists and arrays of strings."""
    if isinstance(part, torch.Tensor):
        return part
    if is_text(part):
        return as_text(part)
    if isinstance(part, Mapping):
        if not any(is_text(value) or tree.is_nested(value) for value in part.values()):
            return part
        items = {key: text_as_arrays(value) for key, value in part.items()}
        return like(part, items) if isinstance(part, dict) else items
    if isinstance(part, (list, tuple)) and not is_array_like(part):
        return like(part, [text_as_arrays(item) for item in part])
    return part


def _wrong_batch_size_error(batch):
    return ValueError(
        "A batch is `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`. Received: a "
        f"{type(batch).__name__} of {len(batch)} items. Put several inputs into one list or "
        "dict: `([x1, x2], y)`; more items are for a `train_step` of your own."
    )


def class_weight_to_sample_weights(y, class_weight):
    """Weight of each sample, looked up from its class.

    `result[i] = class_weight[c]`, with `c` the class of sample `i`. A class without an entry
    weighs 1. What `y` holds is seen by its values:

    - labels, in `(samples,)`, `(samples, 1)` or any shape with a value above 1, have a weight
      each: those of `(samples, steps)` give weights `(samples, steps)`;
    - rows that add up to 1, one-hot or probabilities, are of the class of their largest value;
    - rows of several ones, multi-hot, weigh the mean of the weights of their classes, and rows of
      none weigh 1.

    Nothing is read back from an accelerator for labels of one axis, or with `ClassWeight`.

    Args:
        y: array or tensor of labels.
        class_weight: dict of class index (int, 0 or more) -> weight (float).

    Input shape: `(samples, ...)` labels, or `(samples, ..., classes)`.
    Output shape: that of the labels, or of `y` without its last axis; dtype `floatx()`, a tensor
    on the device of `y`.

    Raises:
        TypeError: `class_weight` is no dict of numbers.
        ValueError: `y` is a structure of several targets, or None.

    Example:

    >>> class_weight_to_sample_weights(np.array([0, 1, 2]), {0: 0.5, 1: 2.0})
    tensor([0.5000, 2.0000, 1.0000])
    """
    check_class_weight(class_weight, y)
    rows = as_rows(y, "y")
    kind = "labels"
    if len(rows.shape) > 1 and rows.shape[-1] != 1:
        if not getattr(class_weight, "of_labels", False):
            kind = _kind_of_targets(rows)
    weights = [_weights_of_targets(part, kind, class_weight) for part in _tensor_blocks(rows)]
    return weights[0] if len(weights) == 1 else torch.cat(weights)


# Values of an array that are looked at together: whole arrays of targets would need several times
# their memory for what comes in between.
_BLOCK_VALUES = 1 << 21


def blocks(rows):
    """Parts of an array along its first axis, each of at most some millions of values.

    Example:

    >>> from torchkeras.trainers.data_adapters.data_adapter_utils import blocks
    >>> [len(part) for part in blocks(np.zeros((3, 1 << 20)))]
    [2, 1]
    """
    values = math.prod(rows.shape[1:])
    step = max(1, _BLOCK_VALUES // max(values, 1))
    if not rows.shape or step >= rows.shape[0]:
        return [rows]
    return (rows[start : start + step] for start in range(0, rows.shape[0], step))


def _tensor_blocks(rows):
    """`blocks` as tensors, booleans as numbers."""
    for part in blocks(rows):
        part = rows_to_tensor(part)
        yield part.to(torch.uint8) if part.dtype is torch.bool else part


def _weights_of_targets(labels, kind, class_weight):
    dtype = to_torch_dtype(config.floatx())
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels.squeeze(-1)
    elif kind == "multi-hot":
        classes = range(labels.shape[-1])
        weights = [float(class_weight.get(label, 1.0)) for label in classes]
        weights = torch.tensor(weights, dtype=dtype, device=labels.device)
        hot = labels.to(dtype)
        count = hot.sum(-1)
        mean = (hot * weights).sum(-1) / count.clamp(min=1.0)
        return torch.where(count > 0, mean, 1.0)
    elif kind == "classes":
        labels = labels.argmax(-1)
    labels = labels.round().long() if labels.is_floating_point() else labels.long()
    if not class_weight:
        return torch.ones(labels.shape, dtype=dtype, device=labels.device)
    # A search in the sorted classes: one pass, whatever the number of classes.
    items = sorted((int(label), float(weight)) for label, weight in class_weight.items())
    classes = torch.tensor([label for label, _ in items], device=labels.device)
    weights = torch.tensor([weight for _, weight in items], dtype=dtype, device=labels.device)
    position = torch.searchsorted(classes, labels).clamp_(max=len(items) - 1)
    return torch.where(classes[position] == labels, weights[position], 1.0)


class ClassWeight(dict):
    """Class weights for a loss of class numbers, whose targets are labels whatever they look like.

    Example:

    >>> class_weight_to_sample_weights(np.eye(2, dtype=int), ClassWeight({1: 2.0}))
    tensor([[2., 1.],
            [1., 2.]])
    """

    of_labels = True


def _kind_of_targets(rows):
    """Whether targets of several axes are `"labels"`, `"classes"` (one a row) or `"multi-hot"`."""
    found = []
    for y in _tensor_blocks(rows):
        is_binary = ((y == 0) | (y == 1)).all()
        adds_up = ((y.sum(-1, dtype=torch.float64) - 1.0).abs() < 1e-3).all()
        found.append(torch.stack([is_binary, adds_up, ~(y > 1).any()]))
    # One reading for all of it; where the data is on an accelerator, this waits.
    is_binary, adds_up, none_above = torch.stack(found).all(0).tolist()
    if not none_above:
        return "labels"
    return "multi-hot" if is_binary and not adds_up else "classes"


def check_class_weight(class_weight, y):
    """Raise unless `class_weight` is a dict of numbers and `y` one array of targets."""
    numbers = (int, float, np.integer, np.floating)
    if not isinstance(class_weight, dict) or not all(
        isinstance(label, numbers) and isinstance(weight, numbers)
        for label, weight in class_weight.items()
    ):
        raise TypeError(
            "`class_weight` must be a dict of class index to weight, such as {0: 1.0, 1: 2.5}. "
            f"Received: class_weight={class_weight!r}. Map class names to their indices first."
        )
    if y is None:
        raise ValueError(
            "`class_weight` weighs samples by their targets. Received: class_weight without `y`. "
            "Give `y` too, or leave `class_weight` out."
        )
    if tree.is_nested(y):
        raise ValueError(
            "`class_weight` is only supported for models with a single output. Received: `y` as "
            f"a {type(y).__name__} of {len(y)} targets. Give one `sample_weight` array per "
            "output instead."
        )


def add_class_weight(batch, class_weight):
    """`batch` with its class weights as sample weights; a batch without targets stays as is."""
    if len(batch) == 1:
        return batch
    if len(batch) > 3:
        raise _wrong_batch_size_error(batch)
    if len(batch) == 3 and batch[2] is not None:
        raise both_weights_error()
    return (batch[0], batch[1], class_weight_to_sample_weights(batch[1], class_weight))


def both_weights_error():
    """The error for `class_weight` beside `sample_weight`."""
    return ValueError(
        "Only one of `class_weight` and `sample_weight` can weigh the samples. Received: both. "
        "Multiply the class weights into `sample_weight` and leave `class_weight` out."
    )


def unsupported_argument_error(argument, kind):
    """The error for an argument that the data source `kind` already decides."""
    fixes = {
        "y": f"Let the {kind} give `(x, y)` batches",
        "sample_weight": f"Let the {kind} give `(x, y, sample_weight)` batches",
        "batch_size": f"Set the batch size in the {kind}",
        "shuffle": f"Shuffle in the {kind}",
    }
    return ValueError(
        f"A {kind} given as `x` brings its own batches. Received: `{argument}` beside it. "
        f"{fixes[argument]}, and leave `{argument}` out."
    )


def state_of(source):
    """The state of a source with methods `state_dict` and `load_state_dict`; else None."""
    if hasattr(source, "state_dict") and hasattr(source, "load_state_dict"):
        return source.state_dict()
    return None


def set_state(source, state):
    """Give a source the state that `state_of` told, unless it told none."""
    if state is not None:
        source.load_state_dict(state)


# ---- structures of arrays -------------------------------------------------------------------


def _is_scalar(x):
    return isinstance(x, (bool, int, float, complex, str, bytes, np.generic))


def _is_number_list(x):
    return isinstance(x, (list, tuple)) and all(_is_scalar(v) or _is_number_list(v) for v in x)


def is_array_like(x):
    """Whether `x` is one array: it has rows that can be taken by position.

    True of tensors, NumPy and pandas objects, SciPy sparse matrices, anything with
    `__array__`, and (nested) lists of numbers.
    """
    if isinstance(x, (np.ndarray, torch.Tensor)):
        return True
    if isinstance(x, (list, tuple)):
        return _is_number_list(x)
    if _is_scalar(x) or isinstance(x, type):
        return False
    return hasattr(x, "__array__") or hasattr(x, "tocsr") or hasattr(x, "_as_tensor")


def can_convert_arrays(structure):
    """Whether every leaf of a nested list, tuple or dict is None or an array.

    Example:

    >>> can_convert_arrays([np.ones(2), {"a": [1, 2]}]), can_convert_arrays({"a": iter([1])})
    (True, False)
    """
    if structure is None or is_array_like(structure):
        return True
    if isinstance(structure, Mapping):
        return all(can_convert_arrays(value) for value in structure.values())
    if isinstance(structure, (list, tuple)):
        return all(can_convert_arrays(value) for value in structure)
    return False


def map_arrays(function, structure, name):
    """Rebuild `structure` with `function(array, name)` for each array in it; None stays None.

    Lists of numbers count as arrays, unlike in `tree.map_structure`, and mappings that are no
    dicts (a tokenizer's output) become dicts. The name of a leaf reads like the expression that
    reaches it: `x['image']`, `y[1]`.

    Example:

    >>> map_arrays(lambda array, name: name, {"a": [np.ones(1), [1, 2]]}, "x")
    {'a': ["x['a'][0]", "x['a'][1]"]}
    """
    if structure is None:
        return None
    if is_array_like(structure):
        return function(structure, name)
    if isinstance(structure, Mapping):
        items = {k: map_arrays(function, v, f"{name}[{k!r}]") for k, v in structure.items()}
        return like(structure, items) if isinstance(structure, dict) else items
    return like(
        structure, [map_arrays(function, v, f"{name}[{i}]") for i, v in enumerate(structure)]
    )


def like(container, items):
    """`items` (a dict or list) in a container of the type of `container`: a dict, list or tuple."""
    kind = type(container)
    if kind is dict or kind is list:
        return items
    if isinstance(container, dict):
        result = copy.copy(container)  # an OrderedDict, a defaultdict
        result.update(items)
        return result
    if isinstance(container, list):
        return items
    return kind(*items) if hasattr(container, "_fields") else tuple(items)


def named_leaves(structure, name):
    """The arrays of `structure` as a list of `(name, array)`, in the order of `map_arrays`."""
    leaves = []
    map_arrays(lambda array, label: leaves.append((label, array)), structure, name)
    return leaves


def as_rows(array, name):
    """`array` in a form whose rows can be sliced: list to tensor, pandas to NumPy, sparse to CSR.

    A pandas Series of n values becomes `(n, 1)`, as in Keras. Text is a NumPy array of `str`
    objects, and may be in `x` alone.

    Raises:
        ValueError: no sample axis, symbolic input, ragged lists, or anything but numbers.
    """
    if hasattr(array, "_as_tensor"):  # a Variable
        array = array._as_tensor()
    if isinstance(array, (list, tuple)):
        if name.startswith("x") and is_text(array):
            return as_text(array)
        array = _from_list(array, name)
    elif hasattr(array, "tocsr"):
        array = array.tocsr()
    elif hasattr(array, "iloc") and hasattr(array, "to_numpy"):
        array = array.to_numpy()
        array = array[:, None] if array.ndim == 1 else array
    elif not isinstance(array, (np.ndarray, torch.Tensor)):
        array = np.asarray(array)
    if name.startswith("x") and is_text(array):
        return as_text(array)
    if not isinstance(array, torch.Tensor) and array.dtype.kind in "OUSTMm":
        raise ValueError(
            f"`{name}` must hold numbers or booleans. Received: dtype {array.dtype} and shape "
            f"{tuple(array.shape)}. Convert it first, e.g. with `.astype('float32')`; strings "
            "need a StringLookup or TextVectorization layer."
        )
    if len(array.shape) == 0:
        raise ValueError(
            f"`{name}` needs a first axis of samples. Received: a single value. Put it in a "
            "list, or reshape it to (1,)."
        )
    if isinstance(array, torch.Tensor) and array.requires_grad:
        array = array.detach()  # data collects no gradients
    if isinstance(array, torch.Tensor) and array.layout is not torch.strided:
        raise ValueError(
            f"`{name}` must be a dense tensor. Received: layout {array.layout}. Call "
            "`.to_dense()` on it, or give a SciPy sparse matrix, which is read batch by batch."
        )
    return array


def _from_list(values, name):
    try:
        with config.device("cpu"):
            return convert_to_tensor(values)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`{name}` must be an array, or rows of numbers of one length. Received: a "
            f"{type(values).__name__} of {len(values)} items that makes no such array. Pad ragged "
            "rows with keras.utils.pad_sequences; turn strings into indices first."
        ) from error


def check_lengths(leaves):
    """Number of samples shared by all of `leaves`, a list of `(name, array)`.

    Raises:
        ValueError: the lengths differ, or are zero.
    """
    if not leaves:
        raise ValueError(
            "`x` must hold at least one array. Received: none. Give the inputs as `x`."
        )
    lengths = {int(array.shape[0]) for _, array in leaves}
    if len(lengths) > 1:
        sizes = ", ".join(f"{name}: {array.shape[0]}" for name, array in leaves)
        raise ValueError(
            "All arrays must have the same number of samples (first axis). Received: "
            f"{sizes}. Cut or pad them to one length."
        )
    if lengths == {0}:
        raise ValueError(
            "The data must hold at least one sample. Received: "
            + ", ".join(f"{name} of shape {tuple(array.shape)}" for name, array in leaves)
            + ". Check the filter or path that made it."
        )
    return lengths.pop()


def train_validation_split(arrays, validation_split):
    """Split arrays into a first part for training and a last part for validation.

    Of `n` samples the first `floor(n * (1 - validation_split))` are for training. Nothing is
    shuffled, and both parts are views of the data.

    Args:
        arrays: nested lists, tuples or dicts of arrays of equal length, or None.
        validation_split: float, above 0 and below 1, fraction of the samples to hold out.

    Returns:
        `(train_arrays, validation_arrays)`, both with the structure of `arrays`.

    Raises:
        ValueError: something is no array, lengths differ, or one part would be empty.

    Example:

    >>> (x, y), (x_val, y_val) = train_validation_split((np.arange(5), np.arange(5)), 0.4)
    >>> x, x_val
    (array([0, 1, 2]), array([3, 4]))
    """
    parts = arrays if isinstance(arrays, tuple) else (arrays,)
    if not all(can_convert_arrays(part) for part in parts):
        kinds = sorted({type(leaf).__name__ for leaf in tree.flatten(arrays)})
        raise ValueError(
            "`validation_split` needs data as arrays or tensors. Received: data of type "
            f"{', '.join(kinds)}. Give `validation_data` instead."
        )
    names = data_names(parts)
    rows = [map_arrays(as_rows, part, name) for part, name in zip(parts, names, strict=False)]
    leaves = []
    for part, name in zip(rows, names, strict=False):
        leaves.extend(named_leaves(part, name))
    if not leaves:
        return arrays, arrays
    count = check_lengths(leaves)
    split_at = math.floor(count * (1.0 - validation_split))
    if not 0 < split_at < count:
        raise ValueError(
            "`validation_split` must leave at least one sample for training and one for "
            f"validation. Received: validation_split={validation_split} with {count} samples. "
            "Give more data, or a fraction between 0 and 1 that leaves both."
        )
    first = [map_arrays(lambda array, _: array[:split_at], part, "x") for part in rows]
    last = [map_arrays(lambda array, _: array[split_at:], part, "x") for part in rows]
    return (tuple(first), tuple(last)) if isinstance(arrays, tuple) else (first[0], last[0])


# ---- tensors and devices --------------------------------------------------------------------


def is_mapped(array):
    """Whether an array or tensor lies in a file that is mapped into memory: a map, or a view of it.

    Example:

    >>> from torchkeras.trainers.data_adapters.data_adapter_utils import is_mapped
    >>> is_mapped(np.ones(2))
    False
    """
    if isinstance(array, torch.Tensor):
        return array.device.type == "cpu" and array.untyped_storage().filename is not None
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(array, mmap.mmap)


def is_shareable(array):
    """Whether torch can view the memory of a NumPy array, in the dtype that batches have.

    Example:

    >>> from torchkeras.trainers.data_adapters.data_adapter_utils import is_shareable
    >>> is_shareable(np.ones(2)), is_shareable(np.ones(2, dtype="uint16"))
    (True, False)
    """
    dtype = array.dtype
    return (
        dtype.kind != "V"
        and dtype.name not in ("bfloat16", "uint16", "uint32", "uint64")
        and dtype.isnative
        and all(stride >= 0 for stride in array.strides)
    )


def share_memory(array):
    """A tensor on the memory of a NumPy array; copied only where torch cannot view it.

    The tensor of a read-only array shares its memory too, and must not be written to.
    """
    if array.dtype.kind == "V" or array.dtype.name == "bfloat16":
        return convert_to_tensor(array).cpu()
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    if not array.flags.writeable:
        array = np.asarray(_WritableView(array))
    tensor = torch.from_numpy(array)
    return tensor.to(_WIDER[tensor.dtype]) if tensor.dtype in _WIDER else tensor


class _WritableView:
    """The memory of a read-only array, declared writable: torch warns about the flag alone."""

    def __init__(self, array):
        pointer, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (pointer, False)}
        self._keep_alive = array


def full_device(device):
    """`device` with its index ("cuda" is "cuda:0"), so that it equals the device of its tensors."""
    if device is None:
        return None
    device = torch.device(device)
    return device if device.type == "cpu" else torch.empty(0, device=device).device


def to_device(x, device):
    """`x` on `device`, structures kept; without waiting where the memory is pinned.

    Objects with a `to` method of their own (packed sequences, the batches of tokenizers and of
    graph libraries) are asked to move themselves; what is no data stays as it is.

    Example:

    >>> to_device((torch.ones(1), ["id"]), torch.device("cpu"))
    (tensor([1.]), ['id'])
    """
    if isinstance(x, torch.Tensor):
        return x if x.device == device else x.to(device, non_blocking=True)
    kind = type(x)
    if kind is tuple or kind is list:
        return kind([to_device(item, device) for item in x])
    if kind is dict:
        return {key: to_device(value, device) for key, value in x.items()}
    move = getattr(x, "to", None)
    if callable(move):
        return move(device)
    if isinstance(x, Mapping) and not isinstance(x, dict):
        return {key: to_device(value, device) for key, value in x.items()}
    if tree.is_nested(x):
        return tree.map_structure(lambda leaf: to_device(leaf, device), x)
    return x


def pin(x):
    """`x` in page-locked memory, from which a copy to CUDA does not wait."""
    return x if x.is_pinned() else x.pin_memory()


def rows_to_tensor(rows):
    """A tensor of what `as_rows` gave, on the memory it has where that can be written to."""
    if isinstance(rows, torch.Tensor):
        return rows
    if hasattr(rows, "tocsr"):
        rows = rows.toarray()
    tensor = share_memory(rows)
    return tensor if rows.flags.writeable else tensor.clone()


def batch_to_tensors(batch, pinned=False):
    """`batch` with each array made a tensor; dtypes stay, and NumPy memory is shared.

    Args:
        batch: tuple of structures of arrays, lists of numbers, tensors or None; text in `x` stays.
        pinned: bool, put the tensors made here into page-locked memory.

    Raises:
        ValueError: something in it is no array of numbers.

    Example:

    >>> batch_to_tensors((np.ones(1), {"a": [1, 2]}))
    (tensor([1.], dtype=torch.float64), {'a': tensor([1, 2], dtype=torch.int32)})
    """

    def convert(array, name):
        if isinstance(array, torch.Tensor):
            return array
        rows = as_rows(array, name)
        if is_text(rows):
            return rows
        tensor = rows_to_tensor(rows)
        return pin(tensor) if pinned else tensor

    def convert_part(part, name):
        if part is None or isinstance(part, torch.Tensor):
            return part
        if not can_convert_arrays(part):
            kinds = sorted({type(leaf).__name__ for leaf in tree.flatten(part)})
            raise ValueError(
                f"A batch must hold arrays or tensors. Received: `{name}` with items of type "
                f"{', '.join(kinds)}. Convert them to arrays in the data source."
            )
        return map_arrays(convert, part, name)

    return tuple(
        [convert_part(part, name) for part, name in zip(batch, data_names(batch), strict=True)]
    )
