"""Shapes and dtypes of results, found by running the function on tensors without data.

Part of one idea, with operation.py and keras_tensor.py: see operation.py.

A trace puts a number in the place of each unknown size, and everything it tells is told twice,
with different numbers: what differs between the two runs, be it a size of the result, a size that
a layer asks for to build its weights, or a number in an error, depends on an unknown size and is
None. What agrees is known, so no stand-in, nor anything computed from one, reaches a user.
"""

import contextlib
import re
import threading

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from torchkeras.core import config
from torchkeras.core.arguments import leaves_of, map_leaves, symbols_of
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.scopes import SCOPE, meta_scope, spec_scope

# Stand-ins for an unknown size, in the first run and in the second. All are highly composite, so
# that reshapes such as (-1, 8) divide. The first ones are larger than what functions index and cut
# off; not much larger, as a function may loop over an axis. The others are for functions that
# refuse long sequences, or make so large tensors of them that their size overflows.
_PAIRS = ((1680, 2520), (48, 96), (4, 8))
_PAIRS_WITH_DATA = ((48, 96), (480, 960))
_MOST_DATA = 2**26  # elements of the inputs of a run that needs data


class _Question(BaseException):
    """A run asks for the symbolic shape of a tensor; it ends here and is run again."""

    def __init__(self, shape):
        self.shape = shape


class _Indefinite(ValueError):
    """The result has as many parts as an unknown size is long."""


class _Endless(RuntimeError):
    """Code reads values again and again, and does not end for the zeros it is given."""


class _Patience(TorchDispatchMode):
    """Counts how often code asks for a value, as a loop does for its condition."""

    most = 10_000

    def __init__(self):
        super().__init__()
        self._reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            self._reads += 1
            if self._reads > self.most:
                raise _Endless(
                    "The shapes of symbolic results are found by a run on zeros where `call` needs "
                    "values, and this run does not end. Received: a loop that has asked for "
                    f"{self.most} values. A loop whose condition depends on data is written with "
                    "keras.ops.while_loop; or say the shape of the output, by `keeps_shape = True` "
                    "or `compute_output_shape`."
                )
        return func(*args, **(kwargs or {}))


class _Exact:
    """The answers of a run without unknown sizes."""

    def get(self, shape):
        return shape


class _Reading(threading.local):
    allowed = True


_READING = _Reading()


@contextlib.contextmanager
def without_data():
    """Inside, `infer` runs functions on meta tensors alone, and constants lose their values, too.

    For what a file names, with arguments that it gives: no memory is there to be read or written.

    Example:

    >>> from torchkeras.core.shapes import infer, without_data
    >>> with without_data():
    ...     infer(torch.add, (keras.KerasTensor((None, 3)), torch.ones(3)), {}).shape
    (None, 3)
    """
    previous, _READING.allowed = _READING.allowed, False
    try:
        yield
    finally:
        _READING.allowed = previous


def infer(function, args, kwargs, modules=()):
    """KerasTensors for the result of `function(*args, **kwargs)`.

    Args:
        function: a function on tensors.
        args, kwargs: its arguments, KerasTensors among them.
        modules: `torch.nn.Module`s whose parameters and buffers it reads.

    Returns:
        What the function returns, with a KerasTensor for each tensor.

    Raises:
        Exception: what the function raised, for no choice of the unknown sizes did it run. Its
            text says None for numbers that depend on them.
    """
    symbols = symbols_of((args, kwargs))

    def on_meta(sizes):
        with meta_scope(), torch.no_grad(), _meta_slots(modules):
            return _run_twice(function, args, kwargs, sizes, "meta")

    def with_data(sizes):
        device = _device(modules)
        devices = [device] if device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices), _copied_slots(modules), _Patience():
            return _run_twice(function, args, kwargs, sizes, device)

    first_error, told = None, []
    for sizes in _choices(symbols, args, kwargs, modules, told):
        try:
            return on_meta(sizes)
        except _Indefinite:
            raise
        except Exception as error:
            first_error = first_error or error
            told += [int(n) for n in _NUMBER.findall(str(error)) if n.isdigit()]
            if not isinstance(error, (RuntimeError, IndexError, ValueError)) or _needs_data(error):
                break
    if _READING.allowed and isinstance(first_error, (RuntimeError, TypeError)):
        # Data-dependent code, NumPy, or a tensor on a real device: run on zeros instead.
        for pair in _PAIRS_WITH_DATA if _unknown(symbols) else _PAIRS_WITH_DATA[:1]:
            sizes = dict.fromkeys(_unknown(symbols), pair)
            if sum(_numel(symbol, pair[1]) for symbol in symbols) > _MOST_DATA:
                break
            try:
                return with_data(sizes)
            except _Endless:
                raise
            except Exception:
                continue
    raise first_error from None


def infer_on_symbols(function, args, kwargs, modules=()):
    """As `infer`, but by calling the function on the symbols themselves, where it takes them.

    Quicker and more exact than a trace, as the function sees None for an unknown size. A function
    that needs a number in its place raises, and is traced.

    Args:
        function, args, kwargs, modules: as for `infer`.
    """
    try:
        with spec_scope(), torch.no_grad(), _meta_slots(modules):
            result = function(*args, **kwargs)
    except Exception:
        return infer(function, args, kwargs, modules)
    return map_leaves(_own_symbol, result)


def _own_symbol(x):
    """A new symbol for a symbol or tensor, since a symbol comes from one call; else `x`."""
    if not isinstance(x, (KerasTensor, torch.Tensor)):
        return x
    symbol = KerasTensor(x.shape, x.dtype)
    mask = getattr(x, "_keras_mask", None)
    symbol._keras_mask = None if mask is None else _own_symbol(mask)
    return symbol


def symbolic_shape(x):
    """Shape of a tensor or symbol, with None for a size that a trace only stands in for.

    To be asked for whatever outlasts a call, such as the shapes of weights. Inside a trace the
    first answer costs a repetition of the runs, so code before the question runs again.

    Example:

    >>> from torchkeras.core.shapes import symbolic_shape
    >>> symbolic_shape(torch.ones(2, 3))
    (2, 3)
    """
    shape = tuple(x.shape)
    if SCOPE.trace is None or getattr(type(x), "_is_symbolic", False):
        return shape
    answer = SCOPE.trace.get(shape)
    if answer is None:
        raise _Question(shape)
    return answer


def _unknown(symbols):
    """Keys `(id, axis)` of the unknown sizes of symbols."""
    return [(id(s), a) for s in symbols for a, size in enumerate(s.shape) if size is None]


def _numel(symbol, size):
    total = 1
    for d in symbol.shape:
        total *= size if d is None else d
    return total


def _choices(symbols, args, kwargs, modules, told):
    """Dicts from unknown sizes to their stand-ins in both runs, the likely ones first.

    `told` holds the numbers in the errors so far: sizes of tensors that are no arguments.
    """
    unknown = _unknown(symbols)
    if not unknown:
        yield {}
        return
    for pair in _PAIRS:
        yield dict.fromkeys(unknown, pair)
    # An unknown size may have to be one that is given: first at one place, counted from the right
    # as in broadcasting, then wherever an argument has a known size beside the unknown one.
    place = {key: key[1] - len(s.shape) for s in symbols for key in unknown if key[0] == id(s)}
    given = [s.shape for s in symbols]
    given += [tuple(x.shape) for x in leaves_of((args, kwargs)) if isinstance(x, torch.Tensor)]
    weights = [tuple(w.shape) for module in modules for w in module.parameters()]
    known = dict.fromkeys([*told, *[d for s in (*given, *weights) for d in s]])
    sizes = [d for d in known if d is not None and 1 < d < 2**20][:8]
    for p in dict.fromkeys(place.values()):
        for size in sizes:
            yield {key: (size, size) if q == p else _PAIRS[1] for key, q in place.items()}
    beside = {}
    for key, p in place.items():
        known = [s[p] for s in given if -p <= len(s) and s[p] not in (None, 1)]
        beside[key] = (known[0],) * 2 if known else _PAIRS[1]
    yield beside


def _needs_data(error):
    text = str(error)
    return isinstance(error, NotImplementedError) or "meta" in text or "same device" in text


def _run_twice(function, args, kwargs, sizes, device):
    """Symbols for what both runs give, or the error that both raise."""
    # A trace of known sizes inside another one may know them from stand-ins: the outer one answers.
    exact = _Exact() if SCOPE.trace is None else SCOPE.trace
    answers = ({}, {}) if sizes else (exact, exact)
    while True:
        first = _attempt(function, args, kwargs, sizes, device, 0, answers[0])
        if not sizes:
            second = first
            break
        second = _attempt(function, args, kwargs, sizes, device, 1, answers[1])
        if not isinstance(first, _Question):
            break
        other = second.shape if isinstance(second, _Question) else first.shape
        answer = _differences(first.shape, other)
        answers[0][first.shape] = answers[1][other] = answer
    if isinstance(first, BaseException):
        raise _without_stand_ins(first, second, (args, kwargs)) if sizes else first
    if isinstance(second, BaseException):
        raise _without_stand_ins(second, None, (args, kwargs))
    return _symbols(first, second)


def _attempt(function, args, kwargs, sizes, device, run, answers):
    previous, SCOPE.trace = SCOPE.trace, answers
    try:
        return _run(function, args, kwargs, sizes, device, run)
    except (Exception, _Question) as error:
        return error
    finally:
        SCOPE.trace = previous


def _run(function, args, kwargs, sizes, device, run):
    moved = {}

    def concrete(leaf):
        if isinstance(leaf, torch.Tensor):
            if device != "meta" or leaf.is_meta:
                return leaf
            if id(leaf) not in moved:
                moved[id(leaf)] = leaf.detach().to("meta")
            return moved[id(leaf)]
        if not getattr(type(leaf), "_is_symbolic", False):
            return leaf
        shape = [
            sizes[id(leaf), axis][run] if d is None else d for axis, d in enumerate(leaf.shape)
        ]
        tensor = torch.zeros(shape, dtype=to_torch_dtype(leaf.dtype), device=device)
        if leaf._keras_mask is not None:
            mask_shape = [
                shape[axis] if d is None else d for axis, d in enumerate(leaf._keras_mask.shape)
            ]
            tensor._keras_mask = torch.ones(mask_shape, dtype=torch.bool, device=device)
        return tensor

    return function(*map_leaves(concrete, args), **map_leaves(concrete, kwargs))


def _differences(first, second):
    return tuple([a if a == b else None for a, b in zip(first, second, strict=True)])


def _symbols(first, second):
    """Compare two runs: KerasTensors with None where the sizes differ."""
    if isinstance(first, torch.Tensor):
        symbol = KerasTensor(_differences(first.shape, second.shape), first.dtype)
        mask = getattr(first, "_keras_mask", None)
        if mask is not None:
            symbol._keras_mask = _symbols(mask, second._keras_mask)
        return symbol
    if isinstance(first, dict):
        return type(first)((key, _symbols(first[key], second[key])) for key in first)
    if isinstance(first, torch.Size):
        return _differences(first, second)
    if isinstance(first, (list, tuple)):
        if len(first) != len(second):
            raise _Indefinite(
                "A symbolic result has a known number of parts. Received: a function that gives "
                "as many parts as an unknown size is long. Use a known size, or keras.ops.map."
            )
        items = [_symbols(a, b) for a, b in zip(first, second, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    if type(first) is int and first != second:
        return None  # a size that is not known
    return first


_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")


def _without_stand_ins(first, second, arguments):
    """The error of the first run, with None for the numbers that differ in the second."""
    given = ", ".join(str(symbol.shape) for symbol in symbols_of(arguments))
    general = (
        "The function fits no sizes that were tried for the unknown ones. Received: symbols of "
        f"shapes {given}."
    )

    def told(a, b):
        if b is None or _NUMBER.split(a) != _NUMBER.split(b):
            return None
        others = iter(_NUMBER.findall(b))
        return _NUMBER.sub(lambda n: n[0] if n[0] == next(others) else "None", a)

    text = told(str(first), str(second) if isinstance(second, Exception) else None)
    if len(first.args) == 1 and isinstance(first.args[0], str):
        first.args = (text or general,)
    elif text != str(first):
        first = ValueError(text or general)
    notes = getattr(first, "__notes__", None)
    if notes:
        others = getattr(second, "__notes__", [])
        others = others if len(others) == len(notes) else [None] * len(notes)
        notes[:] = [t for t in map(told, list(notes), others) if t is not None]
    return first


def _device(modules):
    for module in modules:
        for parameter in module.parameters():
            return parameter.device
    return config.default_device()


def _meta_slots(modules):
    """Put meta tensors into every slot of `modules` meanwhile."""
    return _other_slots(modules, lambda tensor: tensor.detach().to("meta"))


def _copied_slots(modules):
    """Put copies into every slot of `modules` meanwhile, so that a run changes no state."""
    return _other_slots(modules, lambda tensor: tensor.detach().clone())


@contextlib.contextmanager
def _other_slots(modules, replacement):
    saved = []
    try:
        for module in modules:
            for part in module.modules():
                for store in (part._parameters, part._buffers):
                    for key, tensor in store.items():
                        if tensor is not None and tensor.device.type != "meta":
                            saved.append((store, key, tensor))
        for store, key, tensor in saved:
            store[key] = replacement(tensor)
        yield
    finally:
        for store, key, tensor in saved:
            store[key] = tensor
