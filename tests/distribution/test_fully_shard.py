"""Weights divided among 2 and 3 processes: trained to those of a single one."""

import importlib.util
import pathlib
import pickle

import numpy as np
import pytest

import torchkeras as keras
from torchkeras.distribution.one_process import OneProcess

HERE = pathlib.Path(__file__).parent
NAMES = [
    "adam_with_clipping",  # 120 steps
    "clipping_of_each",
    "averages_and_decay",
    "accumulation",
    "rule_of_ones_own",
    "rules_of_whole_weights",
    "optimizer_of_torch",
    "loss_scale",
    "predicted_first",
    "trained_whole_before",
    "set_weights",
    "nested_and_tied",
    "own_step",
    "copies_of_parts",
    "low_precision",
    "layouts",
    "model_parallel",
]


def _module(name):
    spec = importlib.util.spec_from_file_location(f"sharded_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


launch, scenarios = _module("launch"), _module("sharded_scenarios")


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def results(request, tmp_path_factory):
    """One launch for all; it fails where processes differ among themselves."""
    folder = tmp_path_factory.mktemp("fully_shard")
    arguments = [HERE / "sharded_scenarios.py", folder / "results", folder, *NAMES]
    finished = launch.torchrun(arguments, request.param, timeout_s=150)
    assert finished.returncode == 0, finished.stdout[-8000:]
    return pickle.loads((folder / "results").read_bytes())


@pytest.fixture(scope="module")
def alone():
    return {}


@pytest.mark.parametrize("name", NAMES)
def test_results_are_those_of_a_single_process(name, results, alone, tmp_path):
    if name not in alone:
        alone[name] = scenarios.run(name, tmp_path)
    expected, found = alone[name], results[name]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        # A sum in another order may round to another bfloat16.
        tolerance = 0.05 if name == "low_precision" else 1e-5
        np.testing.assert_allclose(found[key], value, tolerance, tolerance, err_msg=key)


@pytest.mark.slow
def test_compiled_models_train_alike(tmp_path):
    arguments = [HERE / "sharded_scenarios.py", tmp_path / "results", tmp_path, "compiled"]
    finished = launch.torchrun(arguments, 2, timeout_s=240)
    assert finished.returncode == 0, finished.stdout[-8000:]
    found = pickle.loads((tmp_path / "results").read_bytes())["compiled"]
    for key, value in scenarios.run("compiled", tmp_path).items():
        np.testing.assert_allclose(found[key], value, 1e-5, 1e-5, err_msg=key)


def test_one_process_trains_the_whole_model():
    with keras.distribution.FullyShard().scope():
        model = scenarios.classifier()
        model.fit(scenarios.X, scenarios.LABELS, epochs=1, verbose=0)
    assert type(model._replica) is OneProcess
    assert not any(map(scenarios.is_sharded, model.parameters()))


def test_a_mesh_of_three_axes_is_refused():
    mesh = keras.distribution.DeviceMesh((1, 1, 1), ["a", "b", "c"], devices=["cpu:0"])
    with pytest.raises(ValueError, match="a mesh of shape"):
        keras.distribution.FullyShard(mesh)


def test_policy_must_be_that_of_the_layers():
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    from torchkeras.distribution.fully_shard import _check_policy

    model = scenarios.classifier()
    with pytest.raises(ValueError, match="computes in torch.float32"):
        _check_policy(MixedPrecisionPolicy(param_dtype=torch.bfloat16), model)
    _check_policy(MixedPrecisionPolicy(reduce_dtype=torch.float32), model)
