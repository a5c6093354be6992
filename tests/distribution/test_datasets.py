"""A `keras.data.Dataset` in two processes: each sample once, in one order, with one result."""

import importlib.util
import pathlib

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location(
    "distribution_launch", pathlib.Path(__file__).with_name("launch.py")
)
launch = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(launch)

FILE = "dataset_scenarios.py"
NAMES = [
    "every_sample_once",
    "noise_of_its_own_in_each_process",
    "seeds_of_its_own_in_each_process",
    "losses_of_one_process",
    "other_data_in_another_process",
    "folders",
]
TWICE = np.arange(48).repeat(2)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return launch.run(NAMES, 2, tmp_path_factory.mktemp("datasets"), file=FILE)


def test_every_sample_is_seen_once_an_epoch(results):
    found = results["every_sample_once"]
    for name in (name for name in found if not name.endswith("_counts")):
        np.testing.assert_array_equal(found[name], TWICE, err_msg=name)
        # Of the 5 rows of a batch one process takes 3, and of the last 3 it takes 2.
        expected = [58, 38] if name == "batches_shuffled" else [48, 48]
        assert found[f"{name}_counts"].tolist() == expected, name


def test_rows_of_several_processes_have_noise_of_their_own(results):
    # 48 samples, and a copy of the first row on which a model may be built.
    assert results["noise_of_its_own_in_each_process"]["count"] >= 48


def test_process_0_draws_the_order_for_all(results):
    found = results["seeds_of_its_own_in_each_process"]
    for name, seen in found.items():
        np.testing.assert_array_equal(seen, TWICE, err_msg=name)


def test_the_result_is_that_of_a_single_process(results):
    expected = launch.run_here("losses_of_one_process", launch.scenarios(FILE))
    for name, value in expected.items():
        # Sums in another order.
        np.testing.assert_allclose(results["losses_of_one_process"][name], value, rtol=1e-4)


def test_different_data_is_an_error_in_all_processes(results):
    found = results["other_data_in_another_process"]
    for words in found["order"]:
        assert "as in process 0" in words and "auto_shard_dataset=False" in words
    assert all("6 batches in process 0 and 5 in process 1" in words for words in found["length"])
    assert all("endless Dataset" in words for words in found["endless"])
    np.testing.assert_array_equal(found["divided"], np.arange(48))
    assert found["divided_counts"].tolist() == [24, 24]


def test_files_shuffled_without_a_seed(results):
    np.testing.assert_array_equal(results["folders"]["seen"], np.arange(14))
    assert results["folders"]["counts"].tolist() == [8, 6]  # of batches of 5, 5 and 4
    assert results["output"].count("Found 14 files belonging to 2 classes.") == 1
