"""Data in two processes: each sample once, whatever its source, and errors in both at once."""

import importlib.util
import pathlib

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location(
    "distribution_launch", pathlib.Path(__file__).with_name("launch.py")
)
launch = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(launch)

FILE = "data_scenarios.py"
NAMES = [
    "samplers_that_divide",
    "divided_and_uneven",
    "divided_model_parallel",
    "numpy_batches",
    "numpy_batches_divided",
    "of_different_lengths",
    "shuffled_without_a_seed",
    "states_after_fit",
    "arrays_in_another_order",
    "dataset_in_another_order",
    "outputs_of_other_rows",
]
ONCE = np.arange(48)
TWICE = np.arange(48).repeat(2)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One launch for all; processes that differ among themselves fail it."""
    return launch.run(NAMES, 2, tmp_path_factory.mktemp("data"), file=FILE)


def refused(words, *expected):
    """Whether both processes were told the same, with these words in it."""
    assert len(words) == 2
    for part in expected:
        assert all(part in text for text in words), words


def test_samplers_that_divide_are_found(results):
    found = results["samplers_that_divide"]
    for name in ("own", "within", "whole"):
        np.testing.assert_array_equal(found[name], TWICE, err_msg=name)
    assert found["epochs"].tolist() == [0, 1, 1]
    assert found["loss"] == 0
    refused(found["predict"], "one output a sample", "with a Every,")
    refused(found["predict_within"], "with a DistributedSampler,")


def test_every_pass_reads_the_data_of_every_process(results):
    found = results["divided_and_uneven"]
    # 3 and 5 batches of 8: passes of 5 steps, so epochs of 3, 2 (with a warning), 3, 2, 3.
    assert found["rows"].tolist() == [[24, 24], [0, 16], [24, 24], [0, 16], [24, 24]]
    assert found["warned"] == 1


def test_processes_that_share_no_rows_need_the_same(results):
    found = results["divided_model_parallel"]
    refused(found["sampler"], "the whole data", "a Every, which divides it")
    refused(found["generator"], "the same batches", "in process 1 `x`[0, 0] is 1 and not 0")


def test_numpy_batches_train_as_in_one_process(results):
    expected = launch.run_here("numpy_batches", launch.scenarios(FILE))
    for key, value in expected.items():
        np.testing.assert_allclose(results["numpy_batches"][key], value, rtol=1e-5)
    assert results["numpy_batches_divided"]["rows"].tolist() == [48, 48]


def test_different_lengths_are_an_error_in_all(results):
    found = results["of_different_lengths"]
    for name in ("fit", "evaluate", "predict"):
        refused(found[name], "only 5 batches in process 1, and more in process 0", "steps")
    refused(found["rows"], "batch 0 with 8 rows in process 0 and with 7 in process 1")
    assert "an error in process 1" in found["empty"][0]
    assert "an empty generator" in found["empty"][1]
    for name in ("dataset", "loader"):
        refused(found[name], "6 batches in process 0 and 5 in process 1", "auto_shard_dataset")
    refused(found["none"], "at least one batch", "none in process 1")
    np.testing.assert_array_equal(found["steps"], np.arange(32))  # all stop before the end


def test_data_that_shuffles_is_the_same_without_a_seed(results):
    found = results["shuffled_without_a_seed"]
    assert len(found) == 9
    for name, seen in found.items():
        np.testing.assert_array_equal(seen, ONCE if "generator" in name else TWICE, err_msg=name)


def test_states_of_python_and_numpy_after_fit(results):
    found = results["states_after_fit"]
    assert found["alike"] == 1
    assert found["own"].tolist() == [2, 2]


def test_arrays_in_another_order_are_an_error_in_all(results):
    found = results["arrays_in_another_order"]
    for name in ("fit", "evaluate", "predict", "validation"):
        refused(found[name], "the same arrays", "in process 1 x[0, 0] is", "set_random_seed")
    refused(found["labels"], "in process 1 y[")
    refused(found["length"], "in process 1 x has shape (47, 1) and dtype float32, not (48, 1)")
    refused(found["dtype"], "and dtype int64, not (48, 1) and float32")
    refused(found["named"], "x['b'][0, 0] is")


def test_a_dataset_in_another_order_is_warned_of(results):
    found = results["dataset_in_another_order"]
    assert "in process 1 `y`[0, 0] is" in found["order"][0] and not found["order"][1]
    assert not any(found["augmented"])


def test_outputs_of_other_rows_are_an_error(results):
    found = results["outputs_of_other_rows"]
    refused(found["twice"], "an output of shape (8, 1) for 4 rows", "in a single process")
    refused(found["scalar"], "an output of shape () for 4 rows")
