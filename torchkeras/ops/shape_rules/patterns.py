"""Patterns of `rearrange`: what axes are taken apart, moved and joined."""

import functools
import re

from torchkeras.core.op_specs import Misfit
from torchkeras.ops.shape_rules.basics import product

_TOKEN = re.compile(r"\.\.\.|[A-Za-z_]\w*|1|\(|\)|\s+")


_REST = frozenset({"..."})  # outside of parentheses, where it stays as many axes as it is


@functools.lru_cache(1024)
def parsed(pattern):
    """Both sides of a pattern: a list of groups each, a group being a tuple of names."""
    sides = pattern.split("->")
    if len(sides) != 2:
        raise Misfit(f"`pattern` must be of the form 'a b -> b a'. Received: pattern={pattern!r}.")
    left, right = (_groups(side, pattern) for side in sides)
    names = [[name for group in side for name in group] for side in (left, right)]
    for side in names:
        if len(set(side)) != len(side):
            raise Misfit(f"`pattern` names an axis twice. Received: pattern={pattern!r}.")
    if set(names[0]) != set(names[1]):
        raise Misfit(
            "both sides of `pattern` must name the same axes. Received: pattern="
            f"{pattern!r}, with {sorted(set(names[0]) ^ set(names[1]))} on one side only."
        )
    if _REST not in left and "..." in names[0]:
        raise Misfit(
            f"`...` must stand outside of parentheses on the left. Received: pattern={pattern!r}."
        )
    return left, right


def _groups(side, pattern):
    groups, inner, place = [], None, 0
    while place < len(side):
        token = _TOKEN.match(side, place)
        text = token[0] if token else None
        if text is None or text == "(" and inner is not None or text == ")" and inner is None:
            raise Misfit(
                "`pattern` consists of names, '...', '1' and single parentheses. Received: "
                f"pattern={pattern!r}."
            )
        place = token.end()
        if text == "(":
            inner = []
        elif text == ")":
            groups.append(tuple(inner))
            inner = None
        elif not text.isspace() and text != "1":
            if inner is None:
                groups.append(_REST if text == "..." else (text,))
            else:
                inner.append(text)
        elif text == "1" and inner is None:
            groups.append(())
    if inner is not None:
        raise Misfit(f"`pattern` leaves a parenthesis open. Received: pattern={pattern!r}.")
    return groups


def plan(pattern, shape, lengths):
    """How a tensor of a shape is rearranged.

    Returns:
        Tuple of the shape to take axes apart to, the order to put them in, and the shape to join
        them to. An unknown size is None.
    """
    left, right = parsed(pattern)
    left = list(left)
    text = f"Received: pattern={pattern!r} for a tensor of shape {shape}, lengths {lengths}."
    rest = len(shape) - len(left) + 1
    batch = []
    if _REST in left:
        if rest < 0:
            raise Misfit(f"the tensor has too few axes for the pattern. {text}")
        batch = [f"...{i}" for i in range(rest)]
        place = left.index(_REST)
        left[place : place + 1] = [(name,) for name in batch]
    if len(left) != len(shape):
        raise Misfit(f"`pattern` must name each axis. {text}")
    if any(not isinstance(size, int) or size < 0 for size in lengths.values()):
        raise Misfit(f"lengths of axes must be ints of at least 0. {text}")
    sizes = {}
    for group, size in zip(left, shape, strict=True):
        open_names = [name for name in group if name not in lengths]
        known = product(lengths[name] for name in group if name in lengths)
        if len(open_names) > 1:
            raise Misfit(f"of a group of axes, all lengths but one must be given. {text}")
        sizes.update({name: lengths[name] for name in group if name in lengths})
        if open_names:
            fits = known > 0 and (size is None or not size % known)
        else:
            fits = size in (None, known)
        if not fits:
            raise Misfit(f"the lengths do not fit. {text}")
        if open_names:
            sizes[open_names[0]] = None if size is None else size // known
    unknown = set(lengths) - set(sizes)
    if unknown:
        raise Misfit(f"`pattern` names no axes {sorted(unknown)}. {text}")
    names = [name for group in left for name in group]
    joined = [
        [other for name in group for other in (batch if name == "..." else [name])]
        if group != _REST
        else batch
        for group in right
    ]
    result = []
    for group, members in zip(right, joined, strict=True):
        if group == _REST:
            result.extend(sizes[name] for name in members)
        else:
            result.append(product(sizes[name] for name in members))
    order = [names.index(name) for members in joined for name in members]
    return [sizes[name] for name in names], order, result
