import json
import os
import pathlib
import pickle

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import torchkeras as keras
from torchkeras.callbacks import CallbackList, LambdaCallback, TensorBoard
from torchkeras.callbacks.tensorboard import _as_images
from torchkeras.callbacks.tensorboard_graph import GraphRecorder, layer_graph, to_graph_def

X = torch.linspace(-1, 1, 48).reshape(16, 3)
Y = X.sum(1, keepdim=True)
EVERYTHING = dict.fromkeys(["scalars", "tensors", "images", "histograms"], 0)


def make(**arguments):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="relu", name="hidden"),
            keras.layers.Dropout(0.5, name="drop"),
            keras.layers.Dense(1, name="out"),
        ],
        name="m",
    )
    model.compile(keras.optimizers.SGD(0.125), "mse", metrics=["mae"], **arguments)
    return model


def fit(board, model=None, epochs=3, **arguments):
    """4 batches an epoch."""
    arguments = {"validation_data": (X, Y), "batch_size": 4, "verbose": 0, **arguments}
    return (model or make()).fit(X, Y, epochs=epochs, callbacks=[board], **arguments)


def read(folder):
    events = EventAccumulator(str(folder), size_guidance=EVERYTHING)
    events.Reload()
    return events


def scalars(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_every_tag(tmp_path):
    """All options at once: these tags and no others."""
    board = TensorBoard(
        tmp_path, histogram_freq=1, write_images=True, write_steps_per_second=True,
        update_freq="batch", profile_batch=2,
    )  # fmt: skip
    fit(board)
    train, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    weights = ["m/hidden/kernel", "m/hidden/bias", "m/out/kernel", "m/out/bias"]
    names = ["loss", "mae", "steps_per_second"]
    found = train.Tags()
    assert set(found["scalars"]) == {
        *(f"epoch_{name}" for name in (*names, "learning_rate")),
        *(f"batch_{name}" for name in names),
    }
    assert set(found["histograms"]) == {
        f"{path}/{kind}" for path in weights for kind in ("histogram", "gradient_histogram")
    }
    # The bias of one number makes no picture.
    assert set(found["images"]) == {f"{path}/image" for path in weights[:3]}
    assert set(found["tensors"]) == {"keras", "batch_2/text_summary"}
    assert found["graph"] is True
    found = validation.Tags()
    assert set(found["scalars"]) == {
        f"{kind}_{name}{end}"
        for name in ("loss", "mae")
        for kind, end in (("epoch", ""), ("evaluation", "_vs_iterations"))
    }
    assert not any(found[kind] for kind in found if kind != "scalars")


def test_default_tags_are_those_of_keras(tmp_path):
    fit(TensorBoard(tmp_path))
    found = read(tmp_path / "train").Tags()
    assert set(found["scalars"]) == {"epoch_loss", "epoch_mae", "epoch_learning_rate"}
    assert found["tensors"] == ["keras"] and not found["histograms"] and not found["images"]


def test_values_are_those_of_the_history(tmp_path):
    history = fit(TensorBoard(tmp_path)).history
    train, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    for name, values in history.items():
        events = validation if name.startswith("val_") else train
        found = scalars(events, f"epoch_{name.removeprefix('val_')}")
        assert [step for step, _ in found] == [0, 1, 2]
        np.testing.assert_allclose([value for _, value in found], values, rtol=1e-6)
    assert scalars(train, "epoch_learning_rate") == [(epoch, 0.125) for epoch in range(3)]
    found = scalars(validation, "evaluation_loss_vs_iterations")
    assert [step for step, _ in found] == [4, 8, 12]
    np.testing.assert_allclose([value for _, value in found], history["val_loss"], rtol=1e-6)


@pytest.mark.parametrize("update_freq, steps", [("batch", range(1, 9)), (3, [3, 6]), (100, [])])
def test_batches(tmp_path, update_freq, steps):
    seen = {}
    board = TensorBoard(tmp_path, update_freq=update_freq)
    note = LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.__setitem__(len(seen) + 1, logs["loss"])
    )
    model = make()
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[board, note])
    events = read(tmp_path / "train")
    tags = events.Tags()["scalars"]
    assert ("batch_loss" in tags) is bool(steps)
    found = dict(scalars(events, "batch_loss")) if steps else {}
    assert found == pytest.approx({step: seen[step] for step in steps})


def test_no_batch_hook_unless_needed():
    def hooks(**arguments):
        found = CallbackList([TensorBoard("unused", **arguments)])
        return found.wants_train_batch_begin, found.wants_train_batch_end

    assert hooks(histogram_freq=1, write_steps_per_second=True) == (False, False)
    assert hooks(update_freq=5) == hooks(profile_batch=2) == (True, True)


def test_batch_logs_are_read_only_when_written(tmp_path):
    reads = []

    def logs():
        reads.append(1)
        return {"loss": torch.tensor(1.0)}

    hooks = CallbackList([TensorBoard(tmp_path, update_freq=4, write_graph=False)], model=make())
    hooks.on_train_begin()
    for batch in range(8):
        hooks.on_train_batch_begin(batch)
        hooks.on_train_batch_end(batch, logs)
    hooks.on_train_end()
    assert len(reads) == 2


@pytest.mark.parametrize("frequency, epochs", [(1, [0, 1, 2]), (2, [0, 2])])
def test_histograms(tmp_path, frequency, epochs):
    model = make()
    fit(TensorBoard(tmp_path, histogram_freq=frequency), model)
    events = read(tmp_path / "train")
    found = events.Histograms("m/hidden/kernel/histogram")
    assert [event.step for event in found] == epochs
    if epochs[-1] == 2:
        kernel = model.get_weights()[0]
        last = found[-1].histogram_value
        assert (last.num, last.min, last.max) == (12, kernel.min(), kernel.max())
        assert last.sum == pytest.approx(kernel.sum(), abs=1e-6)
    gradient = events.Histograms("m/out/kernel/gradient_histogram")[-1].histogram_value
    assert gradient.num == 4 and gradient.max > gradient.min


def test_weights_that_are_not_numbers_do_not_end_the_training(tmp_path):
    model = make()
    weights = model.get_weights()
    model.set_weights([np.full_like(weights[0], np.nan), *weights[1:]])
    fit(TensorBoard(tmp_path, histogram_freq=1, write_images=True), model, epochs=1)
    found = read(tmp_path / "train").Tags()
    assert "m/hidden/kernel/histogram" not in found["histograms"]
    assert np.isnan(scalars(read(tmp_path / "train"), "epoch_loss")[0][1])


@pytest.mark.parametrize(
    "shape, images",
    [
        ((5,), (1, 5, 1, 1)),
        ((2, 7), (1, 2, 7, 1)),
        ((7, 2), (1, 2, 7, 1)),
        ((3, 4, 6), (6, 3, 4, 1)),
        ((3, 3, 1, 8), (8, 3, 3, 1)),
        ((4, 5, 6, 3), (4, 5, 6, 3)),
        ((3, 3, 4, 8), None),
        ((2, 3, 4, 5, 6), None),
        ((), None),
        ((0, 3), None),
    ],
)
def test_shapes_of_images(shape, images):
    weight = np.arange(np.prod(shape, dtype=int), dtype="float32").reshape(shape)
    found = _as_images(weight)
    assert (None if found is None else found.shape) == images
    if images:
        assert (found.min(), found.max()) == (0.0, 1.0)


def test_image_can_be_decoded(tmp_path):
    import io

    from PIL import Image

    fit(TensorBoard(tmp_path, histogram_freq=1, write_images=True), epochs=1)
    image = read(tmp_path / "train").Images("m/hidden/kernel/image")[0]
    assert Image.open(io.BytesIO(image.encoded_image_string)).size == (4, 3)  # width, height


# Graph


def test_graph_of_operations(tmp_path):
    fit(TensorBoard(tmp_path))
    nodes = {node.name: node for node in read(tmp_path / "train").Graph().node}
    for name, node in nodes.items():
        assert set(node.input) <= set(nodes), name
    assert {"input", "output", "m/hidden/kernel", "m/out/bias"} <= set(nodes)
    assert any(name.startswith("m/drop/") for name in nodes)  # it is the graph of a training step
    seen, queue = set(), ["output"]  # everything in the model leads to the output
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += nodes[name].input
    assert seen == set(nodes)
    sizes = [d.size for d in nodes["output"].attr["_output_shapes"].list.shape[0].dim]
    assert sizes == [4, 1]


def test_graph_of_layers_is_read_by_tensorboard():
    from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def

    x = keras.Input((3,), name="x")
    h = keras.layers.Dense(2, name="left")(x)
    model = keras.Model(x, keras.layers.Concatenate(name="join")([h, x]), name="f")
    graph = keras_model_to_graph_def(json.loads(layer_graph(model)))
    assert {node.name: list(node.input) for node in graph.node} == {
        "f/x": [], "f/left": ["f/x"], "f/join": ["f/left", "f/x"],
    }  # fmt: skip


class TwoBranches(keras.Model):
    def __init__(self):
        super().__init__(name="two")
        self.a = keras.layers.Dense(2, name="a")
        self.b = keras.layers.Dense(2, name="b")

    def call(self, inputs):
        return self.a(inputs["p"]) + torch.tanh(self.b(inputs["q"])).T.T


def test_graph_of_a_subclassed_model():
    model, done = TwoBranches(), []
    data = {"p": torch.ones(1, 3), "q": torch.ones(1, 2)}
    model(data)
    recorder = GraphRecorder(model, when_done=lambda: done.append(1))
    expected = model(data)
    nodes = {name: (operation, inputs) for name, operation, inputs, _ in recorder.nodes}
    assert nodes["two/add"] == ("add", ["two/a/addmm", "two/T_1"])
    assert nodes["two/T_1"] == ("T", ["two/T"]) and nodes["two/T"] == ("T", ["two/tanh"])
    assert nodes["output"] == ("Output", ["two/add"])
    assert "input_1" in nodes["two/b/addmm"][1] and "input" in nodes["two/a/addmm"][1]
    assert layer_graph(model) is None
    # It has left the model, and changes nothing.
    count = len(recorder.nodes)
    assert torch.equal(model(data), expected)
    assert (done, len(recorder.nodes)) == ([1], count)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert len(to_graph_def(recorder.nodes).node) == count


def test_recorder_leaves_a_model_whose_call_fails():
    model = make()
    recorder = GraphRecorder(model)
    with pytest.raises(ValueError):
        model(torch.ones(1, 7))
    recorder.remove()
    assert model(torch.ones(1, 3)).shape == (1, 1)
    assert torch.overrides._len_torch_function_stack() == 0


def test_graph_changes_no_result():
    def weights(**arguments):
        keras.utils.set_random_seed(0)
        model = make()
        callbacks = [TensorBoard(**arguments)] if arguments else []
        model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
        return model.get_weights()

    for one, other in zip(weights(), weights(log_dir="logs"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_without_a_graph(tmp_path):
    fit(TensorBoard(tmp_path / "a", write_graph=False))
    found = read(tmp_path / "a" / "train").Tags()
    assert not found["graph"] and not found["tensors"]


# Profile, embeddings


def test_profile_of_batches(tmp_path):
    fit(TensorBoard(tmp_path, profile_batch=(2, 3)))
    (trace,) = (tmp_path / "train").glob("*.pt.trace.json")
    events = json.loads(trace.read_text())["traceEvents"]
    names = [event.get("name", "") for event in events]
    assert names.count("aten::addmm") == 2 * 2  # two batches, two layers
    texts = read(tmp_path / "train").Tensors("batch_3/text_summary")
    assert "| aten::addmm | 4 |" in texts[0].tensor_proto.string_val[0].decode()


def test_profile_that_the_training_ends(tmp_path):
    fit(TensorBoard(tmp_path, profile_batch=(11, 1000)))
    assert len(list((tmp_path / "train").glob("*.pt.trace.json"))) == 1


def test_profile_beside_another_profiler(tmp_path):
    board = TensorBoard(tmp_path, profile_batch=2)
    with torch.profiler.profile() as profiler:
        with pytest.warns(UserWarning, match="profile_batch=2 while another one runs"):
            fit(board, epochs=1)
    assert "aten::addmm" in [event.key for event in profiler.key_averages()]
    assert not list((tmp_path / "train").glob("*.pt.trace.json"))


@pytest.mark.parametrize(
    "given, batches", [(0, (0, 0)), (5, (5, 5)), ((2, 4), (2, 4)), ("3", (3, 3)), ("3,9", (3, 9))]
)
def test_batches_to_profile(given, batches):
    board = TensorBoard(profile_batch=given)
    assert (board._start_batch, board._stop_batch) == batches


@pytest.mark.parametrize("given", [-1, (3, 2), (1, 2, 3), "x", 1.5, True, None])
def test_batches_to_profile_are_checked(given):
    with pytest.raises(ValueError, match="profile_batch="):
        TensorBoard(profile_batch=given)


@pytest.mark.parametrize("given", [0, -1, "step", 1.5, True])
def test_update_freq_is_checked(given):
    with pytest.raises(ValueError, match="update_freq="):
        TensorBoard(update_freq=given)


class Words(keras.Model):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(5, 2)
        self.dense = keras.layers.Dense(1)

    def call(self, inputs):
        return self.dense(self.words(inputs).flatten(1))


def embedding_model():
    model = Words()
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("metadata", ["labels.tsv", {"words": "labels.tsv"}, None])
def test_embeddings_are_found_by_the_projector(tmp_path, metadata):
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin

    (tmp_path / "labels.tsv").write_text("a\nb\nc\nd\ne\n")
    model = embedding_model()
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata=metadata)
    x = torch.arange(5)[:, None]
    model.fit(x, x.float(), verbose=0, callbacks=[board])
    plugin = ProjectorPlugin(TBContext(logdir=str(tmp_path)))
    plugin._update_configs()
    (embedding,) = plugin._configs["."].embeddings
    assert embedding.tensor_name == "words" and list(embedding.tensor_shape) == [5, 2]
    assert embedding.metadata_path == ("" if metadata is None else "labels.tsv")
    matrix = np.loadtxt(tmp_path / embedding.tensor_path, delimiter="\t")
    np.testing.assert_allclose(matrix, model.get_weights()[0], rtol=1e-5)


def test_metadata_of_unknown_layers(tmp_path):
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"others": "x.tsv"})
    with pytest.raises(ValueError, match=r"\['words'\]. Received: \['others'\]"):
        CallbackList([board], model=embedding_model())


# Ways of use


def test_evaluate_alone(tmp_path):
    model = make()
    board = TensorBoard(tmp_path)
    result = model.evaluate(X, Y, verbose=0, callbacks=[board], return_dict=True)
    model.predict(X, verbose=0, callbacks=[board])
    events = read(tmp_path / "validation")
    (found,) = scalars(events, "evaluation_loss_vs_iterations")
    assert found == (0, pytest.approx(result["loss"]))
    assert os.listdir(tmp_path) == ["validation"] and not board._writers


def test_two_trainings_go_to_the_same_runs(tmp_path):
    model, board = make(), TensorBoard(tmp_path)
    fit(board, model, epochs=1)
    fit(board, model, epochs=2, initial_epoch=1)
    assert [step for step, _ in scalars(read(tmp_path / "train"), "epoch_loss")] == [0, 1]


def test_generator_of_batches(tmp_path):
    batches = ((X[:4], Y[:4]) for _ in range(6))
    make().fit(
        batches, steps_per_epoch=3, epochs=2, verbose=0,
        callbacks=[TensorBoard(tmp_path, update_freq=1)],
    )  # fmt: skip
    events = read(tmp_path / "train")
    assert [step for step, _ in scalars(events, "batch_loss")] == [1, 2, 3, 4, 5, 6]
    assert events.Tags()["graph"]


def test_torch_optimizer(tmp_path):
    model = make()
    model.compile(lambda params: torch.optim.SGD(params, lr=0.25), "mse")
    fit(TensorBoard(tmp_path, write_steps_per_second=True), model, epochs=1)
    events = read(tmp_path / "train")
    assert scalars(events, "epoch_learning_rate") == [(0, 0.25)]
    assert scalars(events, "epoch_steps_per_second")[0][1] > 0


def test_written_while_the_training_goes_on(tmp_path):
    seen = []
    look = LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            len(scalars(read(tmp_path / "train"), "epoch_loss"))
        )
    )
    make().fit(X, Y, epochs=2, verbose=0, callbacks=[TensorBoard(tmp_path), look])
    assert seen == [1, 2]


def test_pickle(tmp_path):
    board = TensorBoard(tmp_path, update_freq=7)
    fit(board, epochs=1)
    board.set_model(None)
    assert pickle.loads(pickle.dumps(board)).update_freq == 7


def test_no_file_before_there_is_something_to_write(tmp_path):
    TensorBoard(tmp_path / "logs").set_model(make())
    assert not pathlib.Path(tmp_path / "logs").exists()
