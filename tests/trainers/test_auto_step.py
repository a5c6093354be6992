"""jit_compile="auto": a graph where it pays, by the clock; here by a clock of the test's own."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.trainers import auto_step, graph

pytestmark = pytest.mark.skipif(
    not graph.can_trace_gradients(), reason="this torch traces no gradients"
)
X, Y = np.ones((12, 3), "float32"), np.ones((12, 1), "float32")


@pytest.fixture
def step_s(monkeypatch):
    """Seconds that a step takes, to be set by the test: of an eager step, and of a graph."""
    seconds, now = {"eager": 0.1, "graph": 0.05}, [0.0]

    def compile_module(module, inputs, options):
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    original = auto_step.AutoStep._run

    def run(self, data):
        now[0] += seconds[self._kind]
        return original(self, data)

    monkeypatch.setattr(graph, "compile_module", compile_module)
    monkeypatch.setattr(auto_step.AutoStep, "_run", run)
    monkeypatch.setattr(auto_step.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(auto_step, "_TIMED", 3)
    monkeypatch.setattr(auto_step, "_SKIPPED", 2)
    return seconds


def fit(epochs, jit_compile="auto", model=None, **arguments):
    if model is None:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=jit_compile)
    model.fit(X, Y, batch_size=4, epochs=epochs, **{"verbose": 0, **arguments})
    return model


# A model of two modules: 2 * (10 + 0.6) s must be saved, 0.02 s a step are: by 1,060 steps.
@pytest.mark.parametrize(
    ("epochs", "graph_s", "chosen"), [(340, 0.05, None), (360, 0.05, "graph"), (360, 0.2, "eager")]
)
def test_a_graph_is_made_where_it_pays_and_kept_where_it_is_faster(
    epochs, graph_s, chosen, step_s, capsys
):
    step_s["graph"] = graph_s
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=4, epochs=epochs, verbose=2)
    step = model._graph_steps["train_step"]
    assert step.chosen == chosen
    said = capsys.readouterr().out.count("jit_compile='auto'")
    assert said == (0 if chosen is None else 1)
    if chosen:
        assert step._kind == chosen
        assert ("50 ms a step instead of 100" in step.reason) == (chosen == "graph")


def test_the_choice_stays_until_the_model_is_compiled_again(step_s):
    model = fit(400)
    step = model._graph_steps["train_step"]
    fit(1, model=model)
    assert model._graph_steps["train_step"] is step and step.chosen == "graph"
    model.compile("sgd", "mse")
    assert not model._graph_steps


def test_nothing_is_compiled_where_the_end_is_not_known(step_s):
    def batches():
        while True:
            yield X, Y

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for _ in range(2000):
        model.train_on_batch(X, Y)
    assert model._graph_steps["train_step"].chosen is None
    model.fit(batches(), steps_per_epoch=400, epochs=3, verbose=0)  # by a known number of steps
    assert model._graph_steps["train_step"].chosen == "graph"


def test_weights_are_those_of_eager_steps_up_to_rounding(step_s):
    graph_model, eager_model = fit(400), fit(400, jit_compile=False)
    assert graph_model._graph_steps["train_step"].chosen == "graph"
    for ours, theirs in zip(graph_model.get_weights(), eager_model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["deterministic", "jit_compile", "run_eagerly"])
def test_eager_steps_can_be_asked_for(way, step_s):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    arguments = {"jit_compile": False} if way == "jit_compile" else {}
    model.compile("sgd", "mse", run_eagerly=way == "run_eagerly", **arguments)
    torch.use_deterministic_algorithms(way == "deterministic")
    try:
        fit(400, model=model)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(step.chosen is None for step in model._graph_steps.values())


@pytest.mark.filterwarnings("error")
def test_what_has_no_graph_stays_eager_without_a_warning(step_s):
    class Branching(keras.layers.Layer):
        def call(self, x):
            return x if float(x.detach().sum()) > 0 else -x

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1), Branching()])
    model.compile("sgd", "mse")
    fit(400, model=model)
    step = model._graph_steps["train_step"]
    assert step.chosen == "eager" and step.reason.startswith("torch makes no graph of it")


def test_the_compiler_is_not_imported_for_a_short_training():
    code = """
import sys, numpy as np, torchkeras as keras
model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
x, y = np.ones((8, 3)), np.ones((8, 1))
model.fit(x, y, batch_size=2, epochs=9, verbose=0)
model.evaluate(x, y, verbose=0)
model.predict(x, verbose=0)
print("torch._dynamo" in sys.modules, "torch._inductor" in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout.split() == ["False", "False"], finished.stderr[-2000:]
