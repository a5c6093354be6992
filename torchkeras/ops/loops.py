"""Loops and branches.

They are plain Python: a condition is read from the device. Inside shape inference, where nothing
has a value, a branch is taken as true and a loop runs its body once.
"""

import torch

from torchkeras.core import tree
from torchkeras.core.convert import convert_to_tensor, is_tensor
from torchkeras.core.operation import op, op_names
from torchkeras.core.scopes import SCOPE
from torchkeras.ops import loop_specs as specs


def _holds(condition):
    """Truth of a condition, or None for a tensor without values."""
    if is_tensor(condition) and condition.is_meta:
        return None
    return bool(condition)


@op(spec=specs.cond)
def cond(pred, true_fn, false_fn):
    """What `true_fn()` returns if `pred` holds, else what `false_fn()` returns.

    Args:
        pred: bool, or boolean tensor of shape ().
        true_fn, false_fn: functions without arguments, whose results have the same shapes.

    Example:

    >>> keras.ops.cond(torch.tensor(True), lambda: 1, lambda: 2)
    1
    """
    return false_fn() if _holds(pred) is False else true_fn()


@op(spec=specs.switch)
def switch(index, branches, *operands):
    """What the chosen one of several functions returns.

    Args:
        index: int, or tensor of shape (); clipped to the functions there are.
        branches: sequence of functions, whose results have the same shapes.
        *operands: their arguments.

    Example:

    >>> keras.ops.switch(1, [lambda x: x, lambda x: -x], torch.tensor([3]))
    tensor([-3])
    """
    if is_tensor(index) and index.is_meta:
        return branches[0](*operands)
    return branches[sorted((0, int(index), len(branches) - 1))[1]](*operands)


@op(spec=specs.while_loop)
def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """`loop_vars` after `body` ran on them for as long as `cond` held.

    Args:
        cond: function of the loop variables that returns a bool or a tensor of shape ().
        body: function of the loop variables that returns their next values.
        loop_vars: tensor, or tuple or list of structures of tensors.
        maximum_iterations: int, or None for no limit.

    Returns:
        The last values, a tuple if `loop_vars` is a tuple or list.

    Example:

    >>> keras.ops.while_loop(lambda i: i < 5, lambda i: i + 2, torch.tensor(0))
    tensor(6)
    """
    several = isinstance(loop_vars, (tuple, list))
    values = tuple(loop_vars) if several else (loop_vars,)
    values = tree.map_structure(convert_to_tensor, values)
    count = 0
    while maximum_iterations is None or count < maximum_iterations:
        holds = _holds(cond(*values))
        if holds is False:
            break
        values = body(*values)
        values = tuple(values) if isinstance(values, (tuple, list)) else (values,)
        count += 1
        if SCOPE.trace is not None:  # shapes are wanted; they do not change from turn to turn
            break
    return values if several else values[0]


@op(spec=specs.fori_loop)
def fori_loop(lower, upper, body_fun, init_val):
    """`init_val` after `body_fun(i, value)` for each `i` from `lower` up to, without, `upper`.

    Args:
        lower, upper: ints.
        body_fun: function of the index and the value, which returns the next value.
        init_val: first value, any structure.

    Example:

    >>> keras.ops.fori_loop(0, 3, lambda i, total: total + i, torch.tensor(0))
    tensor(3)
    """
    if SCOPE.trace is not None or any(is_tensor(x) and x.is_meta for x in (lower, upper)):
        return body_fun(lower, init_val)
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


@op(spec=specs.scan)
def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """Fold a function over the first axis, keeping what it returns at each step.

    Args:
        f: function `(carry, x) -> (carry, y)`; `y` may be None.
        init: first carry, a tensor or a structure of tensors.
        xs: tensor, or structure of tensors, whose first axis is walked; None to walk `length`
            steps with `x=None`.
        length: int, number of steps; None for the size of that axis.
        reverse: bool, whether to walk from the end; the results keep the order of `xs`.
        unroll: for Keras's signature; a Python loop needs none.

    Returns:
        Tuple of the last carry and the `y`s stacked along a new first axis; zeros like `init`
        in their place where `f` returns None.

    Raises:
        TypeError: `f` is not callable.
        ValueError: neither `xs` nor `length` is given, or there is no step to take.

    Example:

    >>> keras.ops.scan(lambda c, x: (c + x, c + x), torch.tensor(0), torch.tensor([1, 2, 3]))
    (tensor(6), tensor([1, 3, 6]))
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function of (carry, x). Received: f={f}.")
    if xs is None and length is None:
        raise ValueError("`scan` needs `xs`, or `length`, to walk over. Received: None for both.")
    carry = tree.map_structure(convert_to_tensor, init)
    nothing = tree.map_structure(torch.zeros_like, carry)
    xs = None if xs is None else tree.map_structure(convert_to_tensor, xs)
    steps = int(length) if length is not None else tree.flatten(xs)[0].shape[0]
    if not steps:
        raise ValueError(
            "`scan` needs at least one step, to know what `f` returns. Received: an axis of size "
            "0 to walk over."
        )
    ys = []
    for i in reversed(range(steps)) if reverse else range(steps):
        x = None if xs is None else tree.map_structure(lambda item, i=i: item[i], xs)
        carry, y = f(carry, x)
        ys.append(nothing if y is None else y)
    ys = ys[::-1] if reverse else ys
    return carry, tree.map_structure(lambda *items: torch.stack(_tensors(items)), *ys)


def _tensors(items):
    return [convert_to_tensor(item) for item in items]


@op(spec=specs.associative_scan)
def associative_scan(f, elems, reverse=False, axis=0):
    """Running combinations along an axis, by a function for which brackets make no difference.

    The function works on many pairs at once, and is called about `2 * log2(n)` times.

    Args:
        f: function `(a, b) -> c` of structures like `elems`, with `f(f(a, b), c)` equal to
            `f(a, f(b, c))`, element by element along the axis.
        elems: tensor, or structure of tensors of one size along the axis.
        reverse: bool, whether to combine from the end.
        axis: int.

    Returns:
        What `elems` is: at place `i` the combination of all elements up to `i`.

    Raises:
        TypeError: `f` is not callable.
        ValueError: the tensors are of different sizes along the axis.

    Source: Blelloch 1990, "Prefix sums and their applications".

    Example:

    >>> keras.ops.associative_scan(lambda a, b: a + b, torch.tensor([1, 2, 3, 4]))
    tensor([ 1,  3,  6, 10])
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function of (a, b). Received: f={f}.")
    specs.check_scanned(elems, axis)
    flat = [convert_to_tensor(x) for x in tree.flatten(elems)]
    flat = [torch.flip(x, (axis,)) for x in flat] if reverse else flat

    def combined(a, b):
        both = f(tree.pack_sequence_as(elems, a), tree.pack_sequence_as(elems, b))
        return _tensors(tree.flatten(both))

    flat = _prefixes(combined, flat, axis)
    flat = [torch.flip(x, (axis,)) for x in flat] if reverse else flat
    return tree.pack_sequence_as(elems, flat)


def _prefixes(combined, xs, axis):
    """Running combinations of a list of tensors along an axis."""
    n = xs[0].shape[axis]
    if n < 2:
        return xs
    index = torch.arange(n, device=xs[0].device)
    even, odd = index[0::2], index[1::2]
    pairs = combined(*[[x.index_select(axis, i) for x in xs] for i in (even[: n // 2], odd)])
    at_odd = _prefixes(combined, pairs, axis)
    ends = [y.narrow(axis, 0, (n - 1) // 2) for y in at_odd]
    first = [x.narrow(axis, 0, 1) for x in xs]
    if n > 2:
        at_even = combined(ends, [x.index_select(axis, even[1:]) for x in xs])
        at_even = [torch.cat(both, axis) for both in zip(first, at_even, strict=True)]
    else:
        at_even = first
    # Even and odd places in turns, by one gathering.
    turns = torch.where(index % 2 == 0, index // 2, len(even) + index // 2)
    joined = [torch.cat(both, axis) for both in zip(at_even, at_odd, strict=True)]
    return [x.index_select(axis, turns) for x in joined]


@op(spec=specs.map)
def map(f, xs):
    """`f` of each slice of `xs` along the first axis, the results stacked.

    Args:
        f: function of one slice.
        xs: tensor, or structure of tensors.

    Example:

    >>> keras.ops.map(lambda x: x * 2, torch.tensor([1, 2]))
    tensor([2, 4])
    """
    return scan._run(lambda carry, x: (carry, f(x)), (), xs)[1]


@op(spec=specs.vectorized_map)
def vectorized_map(function, elements):
    """`function` of each slice of `elements` along the first axis, computed all at once.

    Args:
        function: function of one slice, of tensor operations that `torch.vmap` knows.
        elements: tensor, or structure of tensors.

    Example:

    >>> keras.ops.vectorized_map(lambda x: x.sum(), torch.ones(2, 3))
    tensor([3., 3.])
    """
    return torch.vmap(function)(tree.map_structure(convert_to_tensor, elements))


__all__ = op_names(__name__)
