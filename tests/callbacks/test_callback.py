import numpy as np
import pytest
import torch

from torchkeras.callbacks import Callback
from torchkeras.callbacks.callback import logs_to_floats
from torchkeras.core.variable import Variable


def test_model_and_params_are_kept():
    callback, model = Callback(), torch.nn.Linear(1, 1)
    assert callback.model is None and callback.params is None
    callback.set_model(model)
    callback.set_params({"epochs": 2})
    assert callback.model is model and callback.params == {"epochs": 2}


def test_model_of_a_ddp_wrapper_is_the_one_inside(monkeypatch):
    class Wrapper(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", Wrapper)
    callback, model = Callback(), torch.nn.Linear(1, 1)
    callback.set_model(Wrapper(model))
    assert callback.model is model


@pytest.mark.parametrize("when", ["begin", "end"])
def test_train_batch_hooks_call_their_older_names(when):
    calls = []

    class Old(Callback):
        pass

    setattr(Old, f"on_batch_{when}", lambda self, batch, logs=None: calls.append((batch, logs)))
    getattr(Old(), f"on_train_batch_{when}")(3, {"loss": 1.0})
    assert calls == [(3, {"loss": 1.0})]


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        np.float32(0.5),
        np.array(0.5),
        np.array([0.5]),
        torch.tensor(0.5),
        torch.tensor([0.5]),
        torch.tensor(0.5, dtype=torch.bfloat16),
        torch.tensor(0.5, requires_grad=True),
        Variable(0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_single_number_becomes_a_float(value):
    floats = logs_to_floats({"loss": value})
    assert floats == {"loss": 0.5} and type(floats["loss"]) is float


def test_ints_and_bools_become_floats():
    floats = logs_to_floats({"a": 3, "b": True, "c": torch.tensor(7)})
    assert floats == {"a": 3.0, "b": 1.0, "c": 7.0}
    assert {type(v) for v in floats.values()} == {float}


def test_arrays_and_objects_stay():
    outputs, marker = torch.zeros(1, 1), object()
    floats = logs_to_floats({"outputs": outputs, "matrix": np.eye(2), "x": marker, "s": "0.5"})
    assert floats["outputs"] is outputs and floats["x"] is marker and floats["s"] == "0.5"
    assert floats["matrix"].shape == (2, 2)


def test_names_are_sorted_and_inner_dicts_merged():
    floats = logs_to_floats({"loss": 1, "b": {"z": 2, "y": 3}, "a": 4})
    assert list(floats.items()) == [("a", 4.0), ("y", 3.0), ("z", 2.0), ("loss", 1.0)]


def test_functions_and_none():
    assert logs_to_floats(None) == {}
    assert logs_to_floats(lambda: None) == {}
    assert logs_to_floats(lambda: {"loss": 2}) == {"loss": 2.0}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_device_values():
    logs = {"a": torch.tensor(0.5, device="cuda"), "b": torch.tensor(3, device="cuda")}
    assert logs_to_floats(logs) == {"a": 0.5, "b": 3.0}
