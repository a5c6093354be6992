"""Shapes of ops on symbols with unknown sizes: right or unknown, and never a number nobody gave."""

import inspect
import itertools
import types

import numpy as np
import pytest
import torch

from torchkeras import ops
from torchkeras.core.arguments import map_leaves
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.op_specs import Misfit
from torchkeras.core.operation import OPS
from torchkeras.ops import shape_rules


def k(*shape, dtype="float32"):
    return KerasTensor(shape, dtype)


INDEX = k(None, 2, dtype="int32")

# Each with the shape that follows from the definition of the function.
CASES = {
    "an index beyond any stand-in": (lambda: k(None, 6)[5000], (6,)),
    "an index on an unknown axis": (lambda: k(None, None, 6)[:, 50], (None, 6)),
    "a slice of an unknown axis": (lambda: k(None, 6)[:4], (None, 6)),
    "a slice from the end": (lambda: k(None, 6)[-3:], (None, 6)),
    "a step": (lambda: k(None, 7)[::2, ::2], (None, 4)),
    "an empty slice": (lambda: k(None, 7)[3:3], (0, 7)),
    "a new axis": (lambda: k(None, 6)[..., None], (None, 6, 1)),
    "an index tensor": (lambda: k(None, 6)[INDEX], (None, 2, 6)),
    "two index tensors apart": (
        lambda: ops.get_item(k(3, None, 5), ([0, 1], slice(None), [2, 3])),
        (2, None),
    ),
    "two index tensors side by side": (
        lambda: ops.get_item(k(None, 4, 5), (slice(None), [0, 1], [[2], [3]])),
        (None, 2, 2),
    ),
    "a symbolic mask": (lambda: k(None, 4, 5)[k(None, 4, dtype="bool")], (None, 5)),
    "a mask with values": (lambda: k(3, None)[torch.tensor([True, False, True])], (2, None)),
    "unknown beside 7": (lambda: k(None, None, 3) + k(None, 7, 3), (None, 7, 3)),
    "unknown beside 1": (lambda: k(None, 3) * k(1, 3), (None, 3)),
    "unknown beside nothing": (lambda: k(None, 3) - k(3), (None, 3)),
    "unknown beside a tensor": (lambda: ops.maximum(k(None, 3), torch.ones(5, 1)), (5, 3)),
    "three arguments": (lambda: ops.where(k(None, 1, dtype="bool"), k(7, 1), k(3)), (7, 3)),
    "reshape of an unknown size": (lambda: ops.reshape(k(None, 6), (-1, 5)), (None, 5)),
    "reshape without -1": (lambda: ops.reshape(k(None, 6), (9, 4)), (9, 4)),
    "reshape with two known": (lambda: ops.reshape(k(4, 6), (None, 3)), (8, 3)),
    "reshape by a symbol": (lambda: ops.reshape(k(4, 6), (k(dtype="int32"), 6)), (4, 6)),
    "ravel": (lambda: ops.ravel(k(None, 6)), (None,)),
    "matmul": (lambda: k(None, None) @ k(6, 5), (None, 5)),
    "matmul of vectors": (lambda: ops.matmul(k(None), k(6)), ()),
    "matmul of batches": (lambda: ops.matmul(k(None, 1, 2, 3), k(4, 3, 5)), (None, 4, 2, 5)),
    "dot": (lambda: ops.dot(k(None, 3), k(5, None, 7)), (None, 5, 7)),
    "tensordot": (lambda: ops.tensordot(k(None, 3, 4), k(4, None, 2), ((1, 2), (1, 0))), (None, 2)),
    "einsum": (
        lambda: ops.einsum("...ij,jk->...ik", k(None, 7, 2, None), k(3, 5)),
        (None, 7, 2, 5),
    ),
    "einsum without an arrow": (lambda: ops.einsum("ba,ca", k(None, 3), k(5, 3)), (None, 5)),
    "einsum of one letter": (lambda: ops.einsum("i,i->i", k(None), k(1)), (None,)),
    "concatenate": (lambda: ops.concatenate([k(None, 3), k(4, None)], 1), (4, None)),
    "concatenate along the unknown": (lambda: ops.concatenate([k(None, 3), k(4, 3)]), (None, 3)),
    "stack": (lambda: ops.stack([k(None, 3), k(4, None)], -1), (4, 3, 2)),
    "hstack": (lambda: ops.hstack([k(None), k(3)]), (None,)),
    "vstack": (lambda: ops.vstack([k(None), k(2, 3)]), (3, 3)),
    "append": (lambda: ops.append(k(2, 3), k(None)), (None,)),
    "repeat": (lambda: ops.repeat(k(None, 3), 2, axis=1), (None, 6)),
    "repeat of an unknown axis": (lambda: ops.repeat(k(None, 3), 2, axis=0), (None, 3)),
    "repeat by counts": (lambda: ops.repeat(k(None, 3), torch.tensor([2, 0, 1]), 1), (None, 3)),
    "repeat by a symbol": (lambda: ops.repeat(k(2, 3), k(3, dtype="int32"), 1), (2, None)),
    "tile": (lambda: ops.tile(k(None, 3), (2, 1, 4)), (2, None, 12)),
    "pad": (lambda: ops.pad(k(None, 3), ((1, 1), (2, 0))), (None, 5)),
    "reflect": (lambda: ops.pad(k(None, 3), ((5000, 0), (2, 0)), mode="reflect"), (None, 5)),
    "take": (lambda: ops.take(k(9, None), INDEX, axis=0), (None, 2, None)),
    "take of the flattened": (lambda: ops.take(k(None, 9), [5000]), (1,)),
    "take along an axis": (
        lambda: ops.take_along_axis(k(None, 4), k(7, 2, dtype="int32"), 1),
        (7, 2),
    ),
    "squeeze of an unknown axis": (lambda: ops.squeeze(k(None, 1, 3)), (None, 3)),
    "one_hot": (lambda: ops.one_hot(INDEX, 4, axis=1), (None, 4, 2)),
    "glu": (lambda: ops.glu(k(None, 8)), (None, 4)),
    "diff": (lambda: ops.diff(k(None, 8), 3), (None, 5)),
    "diag": (lambda: ops.diag(k(None), -2), (None, None)),
    "diagonal": (lambda: ops.diagonal(k(2, 3, None), axis1=1, axis2=2), (2, None)),
    "cumsum of the flattened": (lambda: ops.cumsum(k(None, 8)), (None,)),
    "slice": (lambda: ops.slice(k(None, 6), (5000, 0), (5000, 2)), (5000, 2)),
    "broadcast_to": (lambda: ops.broadcast_to(k(None, 1), (7, 3)), (7, 3)),
    "scatter_update": (
        lambda: ops.scatter_update(k(None, 3), [[5000]], torch.ones(1, 3)),
        (None, 3),
    ),
    "segment_sum": (lambda: ops.segment_sum(k(None, 3), k(None, dtype="int32"), 4), (4, 3)),
    "linspace": (lambda: ops.linspace(k(None, 3), k(3), 5, axis=-1), (None, 3, 5)),
    "map": (lambda: ops.map(lambda row: row[:2], k(None, 3)), (None, 2)),
    "scan": (lambda: ops.scan(lambda c, x: (c + x, c), torch.zeros(3), k(None, 3))[1], (None, 3)),
    "vectorized_map": (lambda: ops.vectorized_map(lambda row: row.sum(), k(None, 3)), (None,)),
}


@pytest.mark.parametrize("name", CASES)
def test_unknown_sizes(name):
    function, expected = CASES[name]
    assert function().shape == expected


def test_parts_of_an_unknown_axis():
    assert [part.shape for part in ops.split(k(None, 3), 7)] == [(None, 3)] * 7
    assert [part.shape for part in ops.split(k(None, 3), [2, 9])] == [(2, 3), (7, 3), (None, 3)]
    assert [part.shape for part in ops.split(k(None, 3), [1], axis=1)] == [(None, 1), (None, 2)]
    assert [part.shape for part in ops.unstack(k(None, 3), 2)] == [(3,), (3,)]
    q, r = ops.qr(k(None, 5, 3))
    assert (q.shape, r.shape) == ((None, 5, 3), (None, 3, 3))
    values, indices = ops.top_k(k(None, None), 5000)
    assert values.shape == indices.shape == (None, 5000) and indices.dtype == "int32"
    mean, variance = ops.moments(k(None, 3), axes=(0, 1), keepdims=True)
    assert mean.shape == variance.shape == (1, 1)


# Each with the name of the op, and words of the argument and shapes at fault.
MISFITS = {
    "add": (lambda x: x + k(5, 6), r"do not broadcast.*\(None, 4\), \(5, 6\)"),
    "where": (lambda x: ops.where(k(3, dtype="bool"), x, 0), r"do not broadcast.*\(3,\)"),
    "sum": (lambda x: ops.sum(x, axis=2), r"`axis` must lie in \[-2, 2\).*axis=2.*\(None, 4\)"),
    "softmax": (lambda x: ops.softmax(x, axis=(0, 5)), r"`axis` must lie in \[-2, 2\).*axis=5"),
    "reshape": (lambda x: ops.reshape(x, (3, 5)), r"as many.*newshape=\(3, 5\).*\(None, 4\)"),
    "matmul": (lambda x: x @ k(5, 2), r"the last axis.*\(None, 4\), \(5, 2\)"),
    "tensordot": (lambda x: ops.tensordot(x, k(5), 1), r"summed over.*\(None, 4\), \(5,\)"),
    "einsum": (lambda x: ops.einsum("ij,jk", x, k(3, 2)), r"do not broadcast.*\(4,\), \(3,\)"),
    "concatenate": (lambda x: ops.concatenate([x, k(2, 5)]), r"\(None, 4\), \(2, 5\)"),
    "stack": (lambda x: ops.stack([x, k(2, 5)]), r"one size.*\(None, 4\), \(2, 5\)"),
    "split": (lambda x: ops.split(x, 3, axis=1), r"equal parts.*axis 1 of x of shape \(None, 4\)"),
    "squeeze": (lambda x: ops.squeeze(x, 1), r"axis=1 for x of shape \(None, 4\)"),
    "transpose": (lambda x: ops.transpose(x, (0, 0)), r"each axis once.*axes=\(0, 0\)"),
    "get_item": (lambda x: x[:, 4], r"\[-4, 4\) on axis 1. Received: 4 .*\(None, 4\)"),
    "top_k": (lambda x: ops.top_k(x, 5), r"k=5 for x of shape \(None, 4\)"),
    "unstack": (lambda x: ops.unstack(x), r"Pass `num`"),
    "det": (lambda x: ops.det(k(None, 3, 4)), r"square.*\(None, 3, 4\)"),
    "expand_dims": (lambda x: ops.expand_dims(x, 3), r"\[-3, 3\)"),
    "glu": (lambda x: ops.glu(k(None, 5)), r"even size.*\(None, 5\)"),
    "slice": (lambda x: ops.slice(x, (0, 3), (2, 2)), r"within `inputs` of shape \(None, 4\)"),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 5)), r"shape=\(2, 5\) .*\(None, 4\)"),
    "repeat": (lambda x: ops.repeat(x, [1, 2], axis=1), r"4 elements.*2 counts"),
    "nonzero": (lambda x: ops.nonzero(x), r"depends on the values"),
    "conv": (lambda x: ops.conv(k(None, 4, 3), k(5, 3, 2)), r"fit into the inputs.*\(None, 4, 3\)"),
    "conv_transpose": (
        lambda x: ops.conv_transpose(k(None, 4, 3), k(2, 3, 2)),
        r"as many channels.*\(None, 4, 3\), kernel of shape \(2, 3, 2\)",
    ),
    "depthwise_conv": (
        lambda x: ops.depthwise_conv(k(None, 4, 3), k(2, 4, 1)),
        r"as many channels",
    ),
    "separable_conv": (
        lambda x: ops.separable_conv(k(None, 4, 3), k(2, 3, 2), k(1, 5, 2)),
        r"`pointwise_kernel`.*\(1, 5, 2\) for 6 channels",
    ),
    "max_pool": (lambda x: ops.max_pool(x, 2), r"1 to 3 spatial axes.*\(None, 4\)"),
    "average_pool": (
        lambda x: ops.average_pool(k(None, 4, 3), 0),
        r"`pool_size` must be an int of",
    ),
    "adaptive_max_pool": (
        lambda x: ops.adaptive_max_pool(k(None, 4, 3), (1, 2)),
        r"`output_size` must be.*Received: output_size=\(1, 2\)",
    ),
    "fold": (lambda x: ops.fold(k(None, 6, 4), 3, 2), r"multiple of the 4 places.*\(None, 6, 4\)"),
    "unfold": (lambda x: ops.unfold(k(None, 1, 2, 9), 3), r"axis of size 2, kernel_size=\(3, 3\)"),
    "depth_to_space": (
        lambda x: ops.depth_to_space(k(None, 2, 2, 6), 2),
        r"block_size\*\*2.*\(None, 2, 2, 6\)",
    ),
    "space_to_depth": (
        lambda x: ops.space_to_depth(k(None, 3, 2, 1), 2),
        r"multiples of block_size",
    ),
    "dot_product_attention": (
        lambda x: ops.dot_product_attention(k(None, 3, 3, 4), k(None, 5, 2, 4), k(None, 5, 2, 4)),
        r"the heads of `query` are a multiple.*\(None, 5, 2, 4\)",
    ),
    "batch_normalization": (
        lambda x: ops.batch_normalization(x, k(3), k(4), -1),
        r"`mean` must be of the size of axis -1: \(4,\).*\(3,\)",
    ),
    "rfft": (lambda x: ops.rfft(x, 0), r"`fft_length` must be an int of at least 1"),
    "fft2": (lambda x: ops.fft2((x, k(None, 5))), r"one shape.*\(None, 5\)"),
    "irfft": (lambda x: ops.irfft((k(None, 1), k(None, 1))), r"Pass `fft_length`"),
    "stft": (lambda x: ops.stft(x, 4, 0, 4), r"`sequence_stride` must be an int of at least 1"),
    "istft": (
        lambda x: ops.istft((x, x), 4, 1, 4),
        r"fft_length // 2 \+ 1 frequencies.*\(None, 4\)",
    ),
    "extract_sequences": (lambda x: ops.extract_sequences(x, 5, 1), r"must fit.*sequence_length=5"),
    "cdist": (lambda x: ops.cdist(x, k(2, 3)), r"one size.*\(None, 4\), \(2, 3\)"),
    "segment_sum": (lambda x: ops.segment_sum(x, k(3, dtype="int32"), -1), r"`\w+` must"),
    "unravel_index": (
        lambda x: ops.unravel_index(k(2, dtype="int32"), (-1, 2)),
        r"must hold sizes",
    ),
    "linspace": (lambda x: ops.linspace(x, x, -1), r"`num` must be at least 0"),
    "one_hot": (
        lambda x: ops.one_hot(k(2, dtype="int32"), -1),
        r"`num_classes` must be at least 0",
    ),
    "tile": (lambda x: ops.tile(x, (1, -1)), r"`repeats` must not be negative"),
    "array_split": (lambda x: ops.array_split(x, 2**40), r"number of parts.*1099511627776"),
    "quantile": (lambda x: ops.quantile(x, 0.5, method="no"), r"`method` must be"),
    "norm": (lambda x: ops.norm(x, axis=(0, 1, -1)), r"pair of different ints"),
    "matrix_power": (lambda x: ops.matrix_power(k(2, 2), 2**40), r"below 2\*\*31"),
    "associative_scan": (
        lambda x: ops.associative_scan(lambda a, b: a, [x, k(3, 5)], axis=1),
        r"tensors along axis 1.*\(None, 4\), \(3, 5\)",
    ),
    "categorical_crossentropy": (
        lambda x: ops.categorical_crossentropy(k(None, 3), x),
        r"\(None, 3\), output of shape \(None, 4\)",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_cannot_fit_is_an_error_of_the_op(name):
    function, words = MISFITS[name]
    with pytest.raises(ValueError, match=rf"^keras.ops.{name}: .*{words}") as caught:
        function(k(None, 4))
    assert not isinstance(caught.value, Misfit)


def data(*shape, dtype="float32"):
    """A tensor in the place of a symbol."""
    return torch.ones([2 if size is None else size for size in shape], dtype=to_torch_dtype(dtype))


ON_SYMBOLS_ALONE = ("nonzero", "unstack")  # what these lack there, data has


@pytest.mark.parametrize("name", [name for name in MISFITS if name not in ON_SYMBOLS_ALONE])
def test_what_cannot_fit_is_the_same_error_on_data(name, monkeypatch):
    function, words = MISFITS[name]
    monkeypatch.setitem(globals(), "k", data)
    if name in ("add", "matmul", "get_item"):  # there the operators of torch are asked
        operator = {"add": ops.add, "matmul": ops.matmul, "get_item": ops.get_item}[name]
        others = {"add": data(5, 6), "matmul": data(5, 2), "get_item": (slice(None), 4)}

        def function(x):
            return operator(x, others[name])

    with pytest.raises(ValueError, match=rf"^keras.ops.{name}: .*{words.replace('None', '2')}"):
        function(data(None, 4))


def test_wrong_arguments_are_those_of_the_op():
    with pytest.raises(TypeError, match="missing a required argument: 'newshape'"):
        ops.reshape(k(None, 4))
    with pytest.raises(TypeError, match="no_such"):
        ops.relu(k(None, 4), no_such=1)


KEYS = [0, -1, 1, slice(None), slice(1, 3), slice(None, None, 2), slice(-2, None), None, Ellipsis]
KEYS += [torch.tensor([0, 1, 1]), torch.tensor([[1], [0]]), [1, 0], np.array([0, 1, 0])]


def test_every_pair_of_indices_gives_the_shape_of_tensors():
    sizes, compared = (3, 4, 5), 0
    x = torch.zeros(sizes)
    for key in itertools.product(KEYS, repeat=2):
        for more in ((), (torch.tensor([2, 0, 1]),), (slice(4),), (-2,)):
            index = (*key, *more)
            if sum(part is Ellipsis for part in index) > 1:
                continue
            try:
                expected = tuple(x[index].shape)
            except IndexError:
                with pytest.raises(ValueError, match="keras.ops.get_item"):
                    ops.get_item(k(*sizes), index)
                continue
            assert ops.get_item(k(*sizes), index).shape == expected, index
            found = ops.get_item(k(None, None, None), index).shape
            pairs = zip(found, expected, strict=True)
            assert all(a in (None, b) for a, b in pairs), index
            compared += 1
    assert compared > 400


def test_sizes_agree_with_broadcasting_of_torch():
    shapes = [(), (1,), (3,), (2, 3), (2, 1), (4, 1, 3), (1, 2, 1)]
    for a, b in itertools.product(shapes, repeat=2):
        try:
            expected = tuple(torch.broadcast_shapes(a, b))
        except RuntimeError:
            with pytest.raises(Misfit, match="do not broadcast"):
                shape_rules.broadcast_shapes(a, b)
            continue
        assert shape_rules.broadcast_shapes(a, b) == expected


# Loops and branches


def test_loops_on_symbols_end():
    x = k(None, 3)
    grown = ops.while_loop(lambda v: ops.sum(v) < 1, lambda v: v * 2, x)
    assert grown.shape == (None, 3)
    i, total = ops.while_loop(lambda i, v: i < 10**15, lambda i, v: (i + 1, v), [0, x])
    assert (i.shape, i.dtype, total.shape) == ((), "int32", (None, 3))
    assert ops.fori_loop(0, 10**15, lambda i, v: v + i, x).shape == (None, 3)
    assert ops.fori_loop(0, k(dtype="int32"), lambda i, v: v + i, torch.ones(2)).shape == (2,)
    carry, ys = ops.scan(lambda c, x: (c + x, (c, x[0])), torch.zeros(3), k(10**9, 3))
    assert carry.shape == (3,) and [y.shape for y in ys] == [(10**9, 3), (10**9,)]
    with pytest.raises(TypeError, match="no truth value.*keras.ops.cond"):
        while x[0, 0] > 1:
            x = x * 2


def test_branches_agree_on_shape_and_dtype():
    truth = k(dtype="bool")
    assert ops.cond(truth, lambda: torch.ones(2), lambda: torch.zeros(2)).shape == (2,)
    with pytest.raises(ValueError, match=r"keras.ops.cond.*\(2,\) of float32 and \(3,\)"):
        ops.cond(truth, lambda: torch.ones(2), lambda: torch.zeros(3))
    chosen = ops.switch(k(dtype="int32"), [lambda x: x, lambda x: -x], k(None, 3))
    assert chosen.shape == (None, 3)
    with pytest.raises(ValueError, match="keras.ops.switch.*float32 and.*int32"):
        ops.switch(k(dtype="int32"), [lambda x: x, lambda x: ops.cast(x, "int32")], k(None, 3))


def test_a_branch_that_uses_a_symbol_from_outside_is_explained():
    x = k(None, 3)
    with pytest.raises(ValueError, match="keras.ops.cond.*symbol from outside.*keras.ops.where"):
        ops.cond(k(dtype="bool"), lambda: x, lambda: x * 2)
    holder = types.SimpleNamespace(x=x)
    with pytest.raises(ValueError, match="keras.ops.cond.*symbol from outside"):
        ops.cond(k(dtype="bool"), lambda: holder.x, lambda: holder.x * 2)
    with pytest.raises(ValueError, match="keras.ops.map.*symbol from outside"):
        ops.map(lambda row: (lambda y: y + x)(row), k(5, 3))


@pytest.mark.parametrize("repeats", [-1, [1, -1, 2], torch.tensor([1, -1, 2])])
@pytest.mark.parametrize("make", [lambda: torch.ones(3), lambda: k(3)])
def test_negative_counts_are_refused(make, repeats):
    with pytest.raises(ValueError, match="`repeats` must not be negative"):
        ops.repeat(make(), repeats, axis=0)


@pytest.mark.parametrize("repeats", [2**60, [1, 2**62, 2**62], torch.tensor([2**62, 2**62, 1])])
@pytest.mark.parametrize("make", [lambda: torch.ones(3), lambda: k(3)])
def test_counts_beyond_any_memory_are_refused(make, repeats):
    with pytest.raises(ValueError, match="fits in memory"):
        ops.repeat(make(), repeats, axis=0)


@pytest.mark.parametrize("repeats", [[1, 2], torch.tensor([1, 2])])
def test_counts_that_fit_no_axis_are_refused(repeats):
    with pytest.raises(ValueError, match="one for each of the 3 elements"):
        ops.repeat(torch.ones(3), repeats, axis=0)


OTHERS = {  # arguments beside the axis, by their names
    "x1": k(None, 4),
    "x2": k(None, 4),
    "xs": [k(None, 4), k(None, 4)],
    "start": k(None, 4),
    "stop": k(None, 4),
    "target": k(None, 4),
    "output": k(None, 4),
    "inputs": k(None, 4, dtype="int32"),
    "indices": k(None, 4, dtype="int32"),
    "indices_or_sections": 2,
    "num_classes": 3,
    "num": 2,
    "q": 0.5,
    "repeats": 2,
    "shift": 1,
    "f": lambda a, b: a,
    "kth": 1,
    "mean": k(4),
    "variance": k(4),
}
PAIRS = ("transpose", "tensordot", "rot90")  # which take a pair of axes
WITH_AXIS = [
    name
    for name in sorted(set(ops.__all__) & set(OPS))
    if {"axis", "axes"} & set(inspect.signature(OPS[name]).parameters) and name != "unique"
]


@pytest.mark.parametrize("name", WITH_AXIS)
def test_an_axis_out_of_range_is_named_by_every_op(name):
    arguments = {}
    for parameter in inspect.signature(OPS[name]).parameters.values():
        if parameter.name in ("axis", "axes"):
            arguments[parameter.name] = (7, 0) if name in PAIRS else 7
        elif parameter.default is parameter.empty or parameter.name in ("num", "num_classes"):
            arguments[parameter.name] = OTHERS.get(parameter.name, k(None, 4))
    if name == "stack":
        arguments["x"] = OTHERS["xs"]
    words = rf"^keras.ops.{name}: `ax\w+` must lie in .*Received.*7"
    with pytest.raises(ValueError, match=words):
        OPS[name](**arguments)
    tensors = map_leaves(
        lambda x: data(*x.shape, dtype=x.dtype) if isinstance(x, KerasTensor) else x, arguments
    )
    with pytest.raises(ValueError, match=words):
        OPS[name](**tensors)
