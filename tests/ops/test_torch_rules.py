"""Rules of raw torch functions: what torch gives on tensors, found without a trace."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torchkeras as keras
from torchkeras.core import shapes
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.op_specs import TORCH_RULES
from torchkeras.core.scopes import spec_scope

CALLS = {
    "relu": lambda x: F.relu(x) + torch.relu(x).relu(),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "exp of ints": lambda x: torch.exp(x.int()),
    "clamp": lambda x: x.clamp(0, 1).clamp(min=0.5),
    "clamp by tensors": lambda x: torch.clamp(x, torch.zeros(3, 1), torch.ones(4)),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "compared": lambda x: torch.eq(x, 1) & (x < 2),
    "add": lambda x: torch.add(x, torch.ones(3, 4), alpha=2),
    "reflected": lambda x: torch.ones(3, 1, dtype=torch.float64) - x,
    "a tensor on the left": lambda x: (torch.ones(4) * x + (torch.ones(4) > x)) / torch.ones(()),
    "division": lambda x: torch.div(x.long(), 2, rounding_mode="floor"),
    "half": lambda x: x.half() + 1.5,
    "double": lambda x: x.double().contiguous(),
    "sum": lambda x: x.sum(),
    "sum of ints": lambda x: torch.sum(x.int(), dim=1),
    "sum over two": lambda x: x.sum((0, -1), keepdim=True),
    "mean": lambda x: torch.mean(x, -1, True),
    "mean with a dtype": lambda x: x.long().mean(1, dtype=torch.float16),
    "amax": lambda x: torch.amax(x, dim=(1, 2)),
    "argmax": lambda x: x.argmax(-1) + torch.argmin(x, 1, keepdim=True)[:, 0, :3],
    "all": lambda x: (x > 0).all(1),
    "softmax": lambda x: F.softmax(x, dim=-1) + x.softmax(1) + torch.log_softmax(x, 0),
    "matmul": lambda x: torch.matmul(x, torch.ones(4, 2)) @ torch.ones(2),
    "matmul from the left": lambda x: torch.ones(5, 3) @ x,
    "linear": lambda x: F.linear(x, torch.ones(2, 4), torch.ones(2)),
    "linear with one unit": lambda x: F.linear(x, torch.ones(4)),
    "embedding": lambda x: F.embedding(x.long(), torch.ones(9, 2, dtype=torch.float64)),
    "layer_norm": lambda x: F.layer_norm(x, (4,), torch.ones(4)),
    "cat": lambda x: torch.cat([x, x.int()], dim=-1),
    "cat of unlike": lambda x: torch.cat((x, torch.ones(6, 2, 4)), 1),
    "stack": lambda x: torch.stack([x, x], 1),
    "reshape": lambda x: x.reshape(-1, 2, 6) + torch.reshape(x, (-1, 2, 6)),
    "view": lambda x: x.view(6, 12),
    "permute": lambda x: x.permute(2, 0, 1) + torch.permute(x, (2, 0, -2)),
    "transpose": lambda x: x.transpose(1, -1),
    "flatten": lambda x: torch.flatten(x, 1) + x.flatten(start_dim=1, end_dim=-1),
    "flatten all": lambda x: x.flatten(),
    "unsqueeze": lambda x: x.unsqueeze(-1) + torch.unsqueeze(x, 3),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_those_of_tensors_and_take_no_trace(name, monkeypatch):
    function = CALLS[name]
    expected = function(torch.full((6, 3, 4), 0.5))
    monkeypatch.setattr(shapes, "infer", None)
    with spec_scope():
        for shape in [(6, 3, 4), (None, 3, 4), (None, None, 4)]:
            y = function(KerasTensor(shape))
            assert y.dtype is expected.dtype
            assert len(y.shape) == len(expected.shape)
            assert all(a in (None, b) for a, b in zip(y.shape, expected.shape, strict=True))
            assert shape[0] is None or y.shape == expected.shape


def test_functions_of_one_argument_give_what_a_trace_gives():
    x, compared = KerasTensor((None, 4), "float32"), 0
    for function in TORCH_RULES:
        try:
            expected = shapes.infer(function, (x,), {})
        except Exception:  # it takes more arguments, or other dtypes
            continue
        if not isinstance(expected, KerasTensor):
            continue
        with spec_scope():
            y = KerasTensor.__torch_function__(function, (), (x,))
        assert (y.shape, y._dtype) == (expected.shape, expected.dtype), function
        compared += 1
    assert compared > 100


# Each with what torch itself says of the same call on tensors of size 6.
WRONG = {
    "axis": (lambda x: torch.sum(x, 5), IndexError, "Dimension out of range"),
    "sizes": (lambda x: torch.cat([x, torch.ones(3, 5)]), RuntimeError, "Sizes of tensors"),
    "argument": (lambda x: F.relu(x, no_such=1), TypeError, "no_such"),
    "reshape": (lambda x: x.reshape(3, 5), RuntimeError, r"shape '\[3, 5\]' is invalid"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_explained_by_torch(name):
    function, error, words = WRONG[name]
    with pytest.raises(error, match=words) as caught:
        function(KerasTensor((None, 4)))
    for pair in shapes._PAIRS + shapes._PAIRS_WITH_DATA:
        assert not any(str(size) in str(caught.value) for size in pair if size > 4)


def test_arguments_without_a_rule_are_traced():
    x = KerasTensor((None, 4))
    with spec_scope():
        assert torch.sum(x, ()).shape == ()
        assert torch.amax(x, ()).shape == ()
        assert torch.reshape(x, shape=(-1, 2)).shape == (None, 2)
        assert torch.max(x, dim=1).values.shape == (None,)
        assert x.view(torch.int32).dtype is torch.int32
        assert torch.bmm(KerasTensor((None, 2, 3)), torch.ones(7, 3, 5)).shape == (7, 2, 5)


def test_recorded_functions_use_the_rules_and_run():
    x = keras.Input((4,))
    y = torch.relu(x).mean(dim=1)
    assert y.shape == (None,)
    data = torch.tensor([[-1.0, 1.0, 2.0, 6.0]])
    assert keras.Model(x, y)(data).tolist() == [2.25]
    with pytest.raises(ValueError, match="TorchModuleWrapper"):
        nn.Linear(4, 2)(x)
