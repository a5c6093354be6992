"""The same `fit` in 1, 2 and 3 processes: weights, logs and outputs are equal."""

import importlib.util
import pathlib

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location(
    "distribution_launch", pathlib.Path(__file__).with_name("launch.py")
)
launch = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(launch)

# Equal to a single process, up to the difference that sums in another order make.
EQUAL = {
    "adam_with_clipping": 1e-5,
    "accumulation": 1e-5,
    "tied_weights": 1e-5,
    "sparse_gradients": 1e-5,
    "all_at_once": 1e-5,
    "batch_normalization": 1e-5,
    "batch_normalization_of_few": 1e-5,
    "small_batches": 1e-5,
    "reductions": 1e-5,
    "torch_losses": 1e-5,
    "extremes": 1e-5,
    "text": 1e-5,
    "torch_metrics": 1e-4,  # a correlation of parts that are merged
    "masks": 1e-5,
    "all_metrics": 1e-5,
    "several_outputs": 1e-5,
    "own_steps": 1e-5,
    "torch_optimizer": 1e-5,
    "unused_weights": 1e-5,
    "accumulation_without_some_weights": 1e-5,
    "frozen_on_the_way": 1e-5,
    "sources": 1e-5,
    "single_batches": 1e-5,
    "first_single_batches": 1e-5,
    "single_batches_and_fit": 1e-5,
    "metric_by_another_name": 1e-5,
    "evaluation_within_an_epoch": 1e-5,
    "decisions": 1e-5,
    "model_is_untouched": 1e-5,
    "precisions": 5e-3,  # a sum in another order may round to another bfloat16
}
if importlib.util.find_spec("torchmetrics") is None:
    del EQUAL["torch_metrics"]
# The same in all processes, and by its nature other than in a single one.
ALIKE = [
    "moving_averages_of_each",
    "loss_scale",
    "closures",
    "unused_in_some_processes",
    "unused_later",
    "divided_data",
    "random_numbers",
    "masks_of_single_batches",
    "averages_after_single_batches",
    "weights_set_in_one_process",
    "stopped_from_outside",
    "a_flag_set_while_processes_agree",
    "ways",
    "printed",
]


# Three share most batches unevenly, which is the harder case.
@pytest.fixture(scope="module", params=[pytest.param(2, marks=pytest.mark.slow), 3])
def processes(request):
    return request.param


@pytest.fixture(scope="module")
def results(processes, tmp_path_factory):
    """One launch for all scenarios; processes that differ among themselves fail it."""
    return launch.run([*EQUAL, *ALIKE], processes, tmp_path_factory.mktemp("distribution"))


@pytest.fixture(scope="module")
def alone():
    return {}


@pytest.mark.parametrize("name", EQUAL)
def test_results_are_those_of_a_single_process(name, results, alone):
    if name not in alone:
        alone[name] = launch.run_here(name)
    expected, found = alone[name], results[name]
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(
            found[key], value, rtol=EQUAL[name], atol=EQUAL[name], err_msg=f"{name}: {key}"
        )


def test_evaluate_and_predict_are_exact(results, alone):
    name = "adam_with_clipping"
    expected = alone.setdefault(name, launch.run_here(name))
    for key in ("evaluated", "predicted", "log_loss"):
        np.testing.assert_allclose(results[name][key], expected[key], rtol=2e-6, atol=1e-6)


def test_statistics_of_processes_become_one(results):
    statistics = results["moving_averages_of_each"]
    np.testing.assert_array_equal(statistics["first"], statistics["again"])
    for name in ("unused_in_some_processes", "unused_later", "divided_data"):
        assert all(np.isfinite(values).all() for values in results[name].values())


def test_all_processes_skip_the_same_steps_until_a_loss_scale_fits(results):
    found = results["loss_scale"]
    for steps, most in (("None", 78), ("2", 39)):
        assert 0 < found[f"{steps}_iterations"] < most
        assert 1 < found[f"{steps}_scale"] < 2.0**25
        losses = found[f"{steps}_log_loss"]
        assert losses[-1] < 0.7 * losses[0]


def test_an_optimizer_that_computes_the_loss_itself_is_refused(results):
    assert "LBFGS in one of several processes" in str(results["closures"]["message"])


def test_random_numbers_differ_inside_fit_only(results, processes):
    found = results["random_numbers"]
    assert found["masks"] == processes and found["seeded"] == processes
    assert found["seed_states"] == 1 and found["streams"] == 1


def test_single_batches_are_trained_with_masks_of_their_own(results, processes):
    assert results["masks_of_single_batches"]["different"].tolist() == [processes] * 3


def test_a_flag_set_anywhere_at_any_time_stops_all(results):
    found = results["stopped_from_outside"]
    assert found["steps"] == 22 and len(found["log_loss"]) == 2  # 13 steps are in the second epoch
    flags = results["a_flag_set_while_processes_agree"]
    assert not flags["first"] and flags["next"]


def test_gradients_travel_while_others_are_computed(results):
    found = {key: str(value) for key, value in results["ways"].items()}
    assert found == {
        "plain": "hooks overlap overlap overlap overlap",
        "own_step": "hooks overlap overlap overlap overlap",
        "two_optimizers": "hooks hooks hooks hooks hooks",
        "accumulation": "None hooks None overlap None",
        "unused": "hooks overlap overlap overlap overlap",
    }


def test_one_process_prints(results):
    assert results["output"].count("Model: ") == 1
    assert results["output"].count("loss: ") == 6


@pytest.mark.slow
@pytest.mark.parametrize("count", [2])
def test_compiled_model_trains_alike(count, tmp_path):
    found = launch.run(["compiled"], count, tmp_path)["compiled"]
    expected = launch.run_here("compiled")
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5, err_msg=key)
