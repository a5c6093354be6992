"""Rules for the raw torch functions that models and layers use most; others are traced.

A trace on meta tensors takes up to 0.6 ms for a function, and the first one imports for seconds;
a rule takes some 20 µs. A rule that does not know the arguments it gets raises, whereupon the
function is traced after all, which also finds the words for what cannot fit.
"""

import torch
import torch.nn.functional as F

from torchkeras.core.arguments import leaves_of
from torchkeras.core.op_specs import TORCH_RULES, Misfit
from torchkeras.ops import shape_rules as rules

_ELEMENTWISE = (
    "abs absolute acos add asin atan atan2 bitwise_and bitwise_not bitwise_or bitwise_xor ceil "
    "clamp clamp_max clamp_min clip clone cos cosh detach div divide eq erf erfc erfinv exp exp2 "
    "expm1 fill floor floor_divide fmod frac ge gt isfinite isinf isnan le lerp log log10 log1p "
    "log2 logaddexp logical_and logical_not logical_or logical_xor lt maximum minimum mul multiply "
    "nan_to_num ne neg negative ones_like pow reciprocal relu remainder round rsqrt selu sigmoid "
    "sign sin sinh sqrt square sub subtract tan tanh true_divide trunc where zeros_like"
).split()
_METHODS = (
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __div__ __rdiv__ "
    "__pow__ __rpow__ __floordiv__ __rfloordiv__ __mod__ __rmod__ __neg__ __abs__ __invert__ "
    "__eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__ __xor__ "
    "bfloat16 bool contiguous double float half int long"
).split()
_ACTIVATIONS = (
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu relu6 "
    "selu sigmoid silu softplus softshrink softsign tanh tanhshrink threshold"
).split()


def _elementwise(*args, **kwargs):
    tensors = [x for x in leaves_of((args, kwargs)) if hasattr(x, "shape")]
    return rules.broadcast_shapes(*map(rules.shape_of, tensors))


def _reduced(input, dim=None, keepdim=False, *, dtype=None):
    if dim == ():  # some of torch's functions then reduce all axes, some none
        raise TypeError
    return rules.reduced(input, dim, keepdim)


def _along(input, dim, *, _stacklevel=3, dtype=None):
    return rules.over_axes(input, _one_axis(dim))


def _one_axis(dim):
    """`dim` if it is one axis."""
    if not isinstance(dim, int):
        raise TypeError
    return dim


def _linear(input, weight, bias=None):
    return rules.matmul_shapes(rules.shape_of(input), rules.shape_of(weight)[::-1])


def _embedding(input, weight, padding_idx=None, max_norm=None, **kwargs):
    return (*rules.shape_of(input), *rules.shape_of(weight)[1:])


def _layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    shape, tail = rules.shape_of(input), tuple(normalized_shape)
    if shape[len(shape) - len(tail) :] != tail:
        raise Misfit
    return shape


def _cat(tensors, dim=0):
    shapes = [rules.shape_of(x) for x in tensors]
    return rules.concatenate_shapes(shapes, dim)


def _stack(tensors, dim=0):
    return rules.stack(tensors, dim)


def _sizes(sizes):
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes


def _reshape(input, *shape):
    shape = _sizes(shape)
    if not all(type(d) is int for d in shape):  # torch knows no None
        raise TypeError
    return rules.reshape(input, shape)


def _permute(input, *dims):
    return rules.transpose(input, _sizes(dims))


def _transpose(input, dim0, dim1):
    return rules.swapaxes(input, dim0, dim1)


def _flatten(input, start_dim=0, end_dim=-1):
    shape = rules.shape_of(input)
    start, end = rules.axis_of(start_dim, shape), rules.axis_of(end_dim, shape)
    if end < start:
        raise Misfit
    return (*shape[:start], rules.product(shape[start : end + 1]), *shape[end + 1 :])


def _unsqueeze(input, dim):
    return rules.expand_dims(input, _one_axis(dim))


def _add(names, spaces, shape, dtype=None):
    for space in spaces:
        for name in names:
            function = getattr(space, name, None)
            if function is not None:
                TORCH_RULES[function] = (shape, dtype)


_BOTH = (torch, torch.Tensor)
_add(_ELEMENTWISE, _BOTH, _elementwise)
_add(_METHODS, (torch.Tensor,), _elementwise)
_add(_ACTIVATIONS, (F,), _elementwise)
_add("all amax amin any argmax argmin logsumexp mean sum".split(), _BOTH, _reduced)
_add(["softmax", "log_softmax"], (*_BOTH, F), _along)
_add(["matmul", "mm"], _BOTH, rules.matmul)
_add(["__matmul__"], (torch.Tensor,), rules.matmul)
_add(["linear"], (F,), _linear)
_add(["embedding"], (F,), _embedding, rules.of_second)
_add(["layer_norm"], (F, torch), _layer_norm, rules.kept)
_add(["cat", "concat", "concatenate"], (torch,), _cat)
_add(["stack"], (torch,), _stack)
_add(["reshape", "view"], _BOTH, _reshape, rules.kept)
_add(["permute"], _BOTH, _permute, rules.kept)
_add(["transpose", "swapaxes"], _BOTH, _transpose, rules.kept)
_add(["flatten"], _BOTH, _flatten, rules.kept)
_add(["unsqueeze"], _BOTH, _unsqueeze, rules.kept)
