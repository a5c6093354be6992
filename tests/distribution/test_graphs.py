"""jit_compile=True in several processes: the weights and logs of one process without graphs."""

import importlib.util
import pathlib

import numpy as np
import pytest

from torchkeras.trainers import graph

_spec = importlib.util.spec_from_file_location(
    "distribution_launch", pathlib.Path(__file__).with_name("launch.py")
)
launch = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(launch)

pytestmark = [
    pytest.mark.skipif(not graph.can_trace_gradients(), reason="this torch traces no gradients"),
    pytest.mark.slow,
]
FILE = "graph_scenarios.py"
SCENARIOS = [
    "plain",
    "clipped_and_averaged",
    "accumulated",
    "sums",
    "small_batches",
    "masks",
    "unused_weights",
    "meddled",
    "without_and_with",
    "own_step",
]


# Three share most batches unevenly.
@pytest.fixture(scope="module", params=[2, 3])
def results(request, tmp_path_factory):
    """One launch for all scenarios; processes that differ among themselves fail it."""
    return launch.run(SCENARIOS, request.param, tmp_path_factory.mktemp("graphs"), file=FILE)


@pytest.mark.parametrize("name", SCENARIOS)
def test_results_are_those_of_a_single_process(name, results):
    expected = launch.run_here(name, launch.scenarios(FILE))
    assert results[name].keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(
            results[name][key], value, rtol=1e-5, atol=1e-5, err_msg=f"{name}: {key}"
        )


def test_why_there_is_no_graph_is_told_once(results):
    lines = [line for line in results["output"].splitlines() if "UserWarning: jit_compile" in line]
    assert sum("messages between the processes" in line for line in lines) == 2  # and evaluation
    assert sum("a step of your own are averaged while it runs" in line for line in lines) == 1
