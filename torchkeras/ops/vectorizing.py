"""vectorize: a function of single elements, or of small arrays, for tensors of them."""

import functools
import re

import torch

from torchkeras.core import tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.operation import Operation

_AXES = re.compile(r"\(((?:\w+(?:,\w+)*)?)\)")


def vectorize(pyfunc, *, excluded=None, signature=None):
    """A function that applies `pyfunc` to all elements of its arguments at once.

    The arguments broadcast; the loop over their elements is `torch.vmap`, so `pyfunc` consists
    of tensor operations. On symbols the call is a step of the model.

    Args:
        pyfunc: function of tensors of shape (), or of the shapes in `signature`.
        excluded: set of ints and strings, the positional and keyword arguments handed on as
            they are; None for the keyword arguments.
        signature: str such as `"(m,n),(n)->(m)"`, the axes that single arguments and results
            have; None for none.

    Raises:
        ValueError: `pyfunc` is no function, or `signature` is malformed or does not fit the
            arguments.

    Example:

    >>> keras.ops.vectorize(lambda a, b: a * b)(torch.tensor([1, 2, 3]), 2)
    tensor([2, 4, 6])
    >>> norm = keras.ops.vectorize(lambda row: torch.sum(row**2), signature="(n)->()")
    >>> norm(torch.ones(2, 3))
    tensor([3., 3.])
    """
    if not callable(pyfunc):
        raise ValueError(f"`pyfunc` must be a function. Received: pyfunc={pyfunc}.")
    operation = _Vectorized(pyfunc, set(excluded or ()), _parsed(signature))

    @functools.wraps(pyfunc, updated=())
    def vectorized(*args, **kwargs):
        return operation(*args, **kwargs)

    return vectorized


def _parsed(signature):
    """Names of the axes of each argument and of each result, or None."""
    if signature is None:
        return None
    inputs, arrow, outputs = str(signature).replace(" ", "").partition("->")
    sides = []
    for side in (inputs, outputs):
        groups = _AXES.findall(side)
        if not arrow or ",".join(f"({group})" for group in groups) != side:
            raise ValueError(
                "`signature` must be of the form '(m,n),(n)->(m)'. Received: "
                f"signature={signature!r}."
            )
        sides.append([tuple(group.split(",")) if group else () for group in groups])
    return sides


class _Vectorized(Operation):
    """The call of a vectorized function."""

    def __init__(self, function, excluded, axes):
        super().__init__()
        self._function, self._excluded, self._axes = function, excluded, axes

    def call(self, *args, **kwargs):
        mapped = {i: convert_to_tensor(x) for i, x in enumerate(args) if i not in self._excluded}
        names = [()] * len(mapped) if self._axes is None else self._axes[0]
        if len(names) != len(mapped):
            raise ValueError(
                "`signature` must have a group for each argument that is not excluded. Received: "
                f"{len(names)} groups for {len(mapped)} arguments."
            )
        loops, cores = [], []
        sizes = {}
        for x, axes in zip(mapped.values(), names, strict=True):
            place = x.dim() - len(axes)
            found = tuple(x.shape[place:]) if place >= 0 else None
            if found is None or any(
                sizes.setdefault(name, size) != size for name, size in zip(axes, found, strict=True)
            ):
                raise ValueError(
                    "Arguments must have the axes that `signature` names. Received: a tensor of "
                    f"shape {tuple(x.shape)} for axes {axes}, sizes so far {sizes}."
                )
            loops.append(tuple(x.shape[:place]))
            cores.append(found)
        batch = torch.broadcast_shapes(*loops)

        def single(*values):
            values = dict(zip(mapped, values, strict=True))
            given = [values[i] if i in values else x for i, x in enumerate(args)]
            return tree.map_structure(convert_to_tensor, self._function(*given, **kwargs))

        tensors = [
            x.expand(*batch, *core).reshape(-1, *core) if batch else x
            for x, core in zip(mapped.values(), cores, strict=True)
        ]
        if not batch:
            return single(*tensors)
        results = torch.vmap(single)(*tensors)
        return tree.map_structure(lambda y: y.reshape(*batch, *y.shape[1:]), results)


__all__ = ["vectorize"]
