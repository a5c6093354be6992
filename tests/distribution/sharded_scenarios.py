"""Models whose weights are divided: the same training as with whole ones, and their files.

A scenario is a function of a folder that returns a dict of arrays, the same in every process.
Called with several processes it divides the weights; called with one it does not.
"""

import contextlib
import datetime
import os
import pathlib
import pickle
import shutil
import sys
import time
from unittest import mock

import numpy as np
import torch
import torch.distributed.checkpoint as dcp

import torchkeras as keras
from torchkeras import layers
from torchkeras.core.sharding import is_sharded, local_part
from torchkeras.distribution import process_group
from torchkeras.saving import sharded_save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(99, 5)).astype("float32")
LABELS = RNG.integers(0, 3, 99)


def classifier(optimizer=None, **options):
    """Odd sizes: no axis is a multiple of 2 or of 3, and one is smaller than 3."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(
                7,
                activation="tanh",
                kernel_regularizer=keras.regularizers.L2(0.01),
                kernel_constraint=keras.constraints.MaxNorm(1.5),
            ),
            layers.Dense(1, activation="tanh"),
            layers.Dense(11, activation="relu"),
            layers.BatchNormalization(synchronized=True),
            layers.Dense(3),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.01, global_clipnorm=0.3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **options,
    )
    return model


def outcome(model, history=None, **more):
    found = {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
    if history is not None:
        found.update({f"log_{k}": np.array(v) for k, v in history.history.items()})
    return {**found, **{k: np.asarray(v) for k, v in more.items()}}


def state_of(model):
    optimizer = model.optimizer.variables
    return {f"optimizer_{i}": v.numpy() for i, v in enumerate(optimizer)}


def divide(distribution=None):
    if process_group.is_active():
        keras.distribution.set_distribution(distribution or keras.distribution.FullyShard())


def trained(optimizer, epochs=8, **options):
    divide()
    model = classifier(optimizer, **options)
    history = model.fit(
        X, LABELS, batch_size=7, epochs=epochs, verbose=0, validation_data=(X[:31], LABELS[:31])
    )
    assert all(map(is_sharded, model.parameters())) is process_group.is_active()
    # Parts are updated by torch's kernels as whole weights are, where there is one for the rule.
    plans = model.optimizer._plans.values()
    assert all(plan is None for plan in plans) is (type(model.optimizer) is Plain)
    evaluated = model.evaluate(X[:50], LABELS[:50], batch_size=16, verbose=0)
    predicted = model.predict(X, verbose=0)
    return outcome(model, history, evaluated=evaluated, predicted=predicted, **state_of(model))


def adam_with_clipping(folder):
    return trained(None)


def clipping_of_each(folder):
    return trained(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=0.05), 2)


def averages_and_decay(folder):
    optimizer = keras.optimizers.AdamW(
        0.01, weight_decay=0.02, clipvalue=0.05, use_ema=True, ema_overwrite_frequency=5
    )
    return trained(optimizer, 2)


def accumulation(folder):
    optimizer = keras.optimizers.RMSprop(
        0.01, global_clipnorm=0.3, gradient_accumulation_steps=4, loss_scale_factor=8.0
    )
    return trained(optimizer, 2)


def loss_scale(folder):
    """A scale that grows, and one step whose gradients are not finite."""
    divide()
    inner = keras.optimizers.Adam(0.01, global_clipnorm=0.3)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, 16.0, dynamic_growth_steps=20)
    model = classifier(optimizer)
    history = model.fit(X, LABELS, batch_size=7, epochs=2, verbose=0)
    before = [v.numpy() for v in model.trainable_weights]
    optimizer.dynamic_scale.assign(float("inf"))
    model.fit(X, LABELS, batch_size=101, epochs=1, verbose=0)
    assert all(map(np.array_equal, before, [v.numpy() for v in model.trainable_weights]))
    optimizer.dynamic_scale.assign(4.0)
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    return outcome(model, history, iterations=int(optimizer.iterations), **state_of(model))


class Plain(keras.optimizers.Optimizer):
    """A rule of one's own, which works on DTensors variable by variable."""

    def update_step(self, gradient, variable, learning_rate):
        variable.assign_sub(gradient * learning_rate)


def rule_of_ones_own(folder):
    return trained(Plain(0.1, global_clipnorm=0.3), 2)


def rules_of_whole_weights(folder):
    """Rules that read a weight as a whole, and one that does not, each in layers of its own."""
    divide()
    optimizers = [
        keras.optimizers.Lamb(0.01, weight_decay=0.1),
        keras.optimizers.Adafactor(0.05, clipnorm=0.1),
        keras.optimizers.Muon(0.01),
        keras.optimizers.ScheduleFreeAdamW(0.01),
        keras.optimizers.Ftrl(0.05, l1_regularization_strength=1e-4),
    ]
    places = {"dense": 0, "dense_1": 3, "dense_2": 1, "batch_normalization": 4, "dense_3": 2}
    chosen = keras.optimizers.OptimizerMap(
        optimizers[4], {f".*/{name}/.*": optimizers[i] for name, i in places.items()}
    )
    model = classifier(keras.optimizers.MultiOptimizer(chosen))
    history = model.fit(X, LABELS, batch_size=7, epochs=2, verbose=0)
    assert all(o.built for o in optimizers)
    return outcome(model, history, **state_of(model))


def optimizer_of_torch(folder):
    divide()
    model = classifier(lambda parameters: torch.optim.AdamW(parameters, 0.01))
    model.fit(X, LABELS, batch_size=7, epochs=2, verbose=0)
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    return outcome(model)


def predicted_first(folder):
    """Divided by `predict`, when there is no optimizer's state yet; then trained in two fits."""
    divide()
    model = classifier()
    predicted = model.predict(X, verbose=0)
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    model.fit(X, LABELS, batch_size=9, epochs=1, verbose=0)
    return outcome(model, predicted=predicted)


def trained_whole_before(folder):
    """The optimizer has state when the weights are divided, and it is divided with them."""
    keras.distribution.set_distribution(None)
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    divide()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    return outcome(model, **state_of(model))


def set_weights(folder):
    """Whole values go into divided weights, and come out of them."""
    divide()
    model = classifier()
    model.evaluate(X, LABELS, verbose=0)
    values = [np.full(w.shape, i + 0.5, "float32") for i, w in enumerate(model.get_weights())]
    model.set_weights(values)
    return outcome(model)


def nested_and_tied(folder):
    """A model in a model, and a layer that is called twice."""
    divide()
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(5, activation="tanh")])
    shared = layers.Dense(5, activation="tanh")
    inputs = keras.Input((5,))
    outputs = layers.Dense(3)(shared(inner(shared(inputs))))
    model = keras.Model(inputs, outputs)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    return outcome(model)


class OwnStep(keras.Model):
    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        loss.backward()
        variables = self.trainable_variables
        self.optimizer.apply([v.grad for v in variables], variables)
        self._loss_tracker.update_state(loss)
        return {"loss": loss}


def own_step(folder):
    divide()
    inputs = keras.Input((5,))
    model = OwnStep(inputs, layers.Dense(3)(layers.Dense(4, activation="relu")(inputs)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(X[:96], LABELS[:96], batch_size=12, epochs=2, verbose=0)
    found = outcome(model, history)
    if process_group.is_active():
        try:
            model.fit(X[:7], LABELS[:7], batch_size=7, verbose=0)
        except ValueError as error:
            assert "drop the last batch" in str(error)
        else:
            raise AssertionError("a batch that does not divide evenly was taken")
    return found


def layouts(folder):
    """Tensors divided by layouts on a mesh; each part and the whole are as they should be."""
    world_size, rank = process_group.world_size(), process_group.rank()
    mesh = keras.distribution.DeviceMesh((1, world_size), ["batch", "model"])
    layout_map = keras.distribution.LayoutMap(mesh)
    layout_map[".*kernel"] = (None, "model")
    kernel = torch.arange(15.0).reshape(3, 5)
    divided = keras.distribution.distribute_tensor(kernel, layout_map["dense/kernel"])
    whole = keras.ops.convert_to_numpy(divided)
    if process_group.is_active():
        expected = kernel.tensor_split([3], dim=1)[rank] if world_size == 2 else None
        assert expected is None or torch.equal(local_part(divided), expected)
        rows = keras.distribution.TensorLayout(("model", None), mesh)
        again = keras.distribution.distribute_tensor(divided, rows)
        assert again.placements[1].is_shard(0)
        np.testing.assert_array_equal(again.full_tensor(), kernel)
        alike = keras.distribution.distribute_tensor(torch.ones(3, 5), divided)
        assert local_part(alike).shape == local_part(divided).shape
    return {"whole": whole}


def model_parallel(folder):
    """Kernels divided by columns or by rows, a bias with them, and the rest whole."""
    world_size = process_group.world_size()
    if process_group.is_active():
        mesh = keras.distribution.DeviceMesh((1, world_size), ["batch", "model"])
        layout_map = keras.distribution.LayoutMap(mesh)
        layout_map[".*wide/kernel"] = (None, "model")
        layout_map[".*wide/bias"] = ("model",)
        layout_map[".*back/kernel"] = ("model", None)
        divide(keras.distribution.ModelParallel(layout_map=layout_map))
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(7, "relu", kernel_regularizer="l2", name="wide"),
            layers.Dense(4, "tanh", name="back"),
            layers.BatchNormalization(),
            layers.Dropout(0.2, seed=3),
            layers.Dense(3, name="last"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01, global_clipnorm=0.3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
    )
    history = model.fit(
        X, LABELS, batch_size=7, epochs=4, verbose=0, validation_data=(X[:31], LABELS[:31])
    )
    if process_group.is_active():
        refused(".*/gamma", ("model",), "a BatchNormalization")
        refused("wide/kernel", (None, "model"), "none matches")
        refused(".*wide/kernel", (None, "model", None), "of shape")
        refused(".*wide/kernel", (None, "batch"), "of size 1", (world_size, 1))
    divided = [is_sharded(v.value) for v in model.trainable_variables]
    assert divided == [process_group.is_active()] * 4 + [False] * 4, divided
    model.save(folder / "parallel.safetensors")
    evaluated = model.evaluate(X[:50], LABELS[:50], batch_size=16, verbose=0)
    predicted = model.predict(X, verbose=0)
    return outcome(model, history, evaluated=evaluated, predicted=predicted, **state_of(model))


def refused(pattern, axes, problem, shape=None):
    """A layout that ModelParallel cannot follow is an error, and not an undivided weight."""
    shape = shape or (1, process_group.world_size())
    mesh = keras.distribution.DeviceMesh(shape, ["batch", "model"])
    layout_map = keras.distribution.LayoutMap(mesh)
    layout_map[pattern] = axes
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(7, name="wide"), layers.BatchNormalization()]
    )
    outer = keras.distribution.distribution()
    try:
        with keras.distribution.ModelParallel(layout_map=layout_map).scope():
            model.predict(X[:3], verbose=0)
    except ValueError as error:
        assert problem in str(error), error
    else:
        raise AssertionError(f"{pattern} was taken")
    assert keras.distribution.distribution() is outer


def low_precision(folder):
    """Messages and products in bfloat16, on a mesh of Keras's kind; weights stay float32."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    if process_group.is_active():
        mesh = keras.distribution.DeviceMesh((process_group.world_size(),), ["data"])
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        divide(keras.distribution.FullyShard(mesh, policy, reshard_after_forward=False))
    outer = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier()
    finally:
        keras.config.set_dtype_policy(outer)
    model.fit(X, LABELS, batch_size=7, epochs=2, verbose=0)
    assert {v.dtype for v in model.weights} == {"float32"}
    return outcome(model)


def copies_of_parts(folder):
    """Two axes: copies along the first, parts along the second."""
    if process_group.is_active():
        parts = 2 if process_group.world_size() == 4 else 1
        shape = (process_group.world_size() // parts, parts)
        mesh = keras.distribution.DeviceMesh(shape, ["copy", "part"])
        divide(keras.distribution.FullyShard(mesh))
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=2, verbose=0)
    return outcome(model)


def compiled(folder):
    divide()
    model = classifier(jit_compile=True)
    model.fit(X[:96], LABELS[:96], batch_size=8, epochs=2, verbose=0)
    return outcome(model)


# Files


def files_of_the_whole(folder):
    """`save` and `save_weights` write what a single process loads."""
    divide()
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    paths = [folder / f"whole.{ending}" for ending in ("safetensors", "keras")]
    weights = folder / "whole_weights.safetensors"
    for path in paths:
        model.save(path)
    model.save_weights(weights)
    assert all(map(is_sharded, model.parameters())) is process_group.is_active()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    found = outcome(model, **state_of(model))
    model.load_weights(weights)
    return {**found, **{f"loaded_{k}": v for k, v in outcome(model).items()}}


def checkpoint_of_callback(folder):
    divide()
    model = classifier()
    callback = keras.callbacks.ModelCheckpoint(folder / "epoch_{epoch}.safetensors")
    model.fit(X, LABELS, batch_size=7, epochs=2, verbose=0, callbacks=[callback])
    return outcome(model)


def saved_in_parts(folder):
    """One save and, after more training, another at the same place; then training goes on."""
    divide()
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    keras.distribution.save_sharded(model, folder / "again", step=1)
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    pending = keras.distribution.save_sharded(model, folder / "parts", 2, asynchronous=True)
    at_save = outcome(model, **state_of(model))
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0, shuffle=False)
    pending.wait()
    assert pending.done
    keras.distribution.save_sharded(model, folder / "again", step=3)
    return {**at_save, **{f"after_{k}": v for k, v in outcome(model, **state_of(model)).items()}}


def loaded_in_parts(folder):
    """What `saved_in_parts` has saved, by another number of processes; then training goes on."""
    divide()
    model = classifier()
    step = keras.distribution.load_sharded(model, folder / "parts")["step"]
    assert all(map(is_sharded, model.parameters())) is process_group.is_active()
    at_save = outcome(model, **state_of(model))
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0, shuffle=False)
    after = outcome(model, **state_of(model))
    return {**at_save, **{f"after_{k}": v for k, v in after.items()}, "step": np.array(step)}


def torch_optimizer_in_parts(folder):
    divide()
    model = classifier(lambda parameters: torch.optim.AdamW(parameters, 0.01))
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    keras.distribution.save_sharded(model, folder / "torch")
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0, shuffle=False)
    expected = outcome(model)
    again = classifier(lambda parameters: torch.optim.AdamW(parameters, 0.01))
    keras.distribution.load_sharded(again, folder / "torch")
    again.fit(X, LABELS, batch_size=7, epochs=1, verbose=0, shuffle=False)
    for name, value in outcome(again).items():
        np.testing.assert_array_equal(value, expected[name])
    return expected


def left_pending(folder):
    """The program ends while a thread still writes."""
    divide()
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    found = outcome(model, **state_of(model))
    keras.distribution.save_sharded(model, folder / "pending", 5, asynchronous=True)
    return found


def failed_save(folder):
    """A process that cannot write: all hear of it at once, and the checkpoint before stays."""
    divide()
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    place, last = folder / "failed", process_group.world_size() - 1
    keras.distribution.save_sharded(model, place, step=1)
    expected = outcome(model, **state_of(model))
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    # When it writes, when it makes ready to write, when it copies, and when the first one does.
    writer = dcp.HuggingFaceStorageWriter
    full = mock.patch.object(writer, "write_data", side_effect=OSError(28, "No space left"))
    refused_save(model, place, "No space left", full, last)
    denied = PermissionError(13, "Permission denied")
    for asynchronous in (False, True):
        for what, number in ((os, last), (os, 0), (dcp, last)):
            name = "makedirs" if what is os else "HuggingFaceStorageWriter"
            fault = mock.patch.object(what, name, side_effect=denied)
            refused_save(model, place, "PermissionError", fault, number, asynchronous)
    memory = mock.patch.object(torch.Tensor, "to", no_memory)
    refused_save(model, place, "MemoryError", memory, last, asynchronous=True)
    # A folder of its own for each process.
    own = folder / f"own_{process_group.rank()}"
    shutil.copytree(place, own)
    refused_save(model, own, "one that all processes see", contextlib.nullcontext(), last)
    for kept in (place, own):
        assert keras.distribution.load_sharded(model, kept)["step"] == 1
        for name, value in outcome(model, **state_of(model)).items():
            np.testing.assert_array_equal(value, expected[name])
    return expected


def failed_load(folder):
    """A process whose disk fails, or that meets a damaged part: all hear of it, nothing is set."""
    divide()
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    place, last = folder / "failed_load", process_group.world_size() - 1
    keras.distribution.save_sharded(model, place, step=1)
    saved = outcome(model, **state_of(model))
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    expected = outcome(model, **state_of(model))
    read, calls = dcp.HuggingFaceStorageReader._process_read_request, []

    def fail(self, *arguments):
        if process_group.rank() == last and len(calls) == 3:
            raise OSError(5, "Input/output error")
        calls.append(arguments)
        read(self, *arguments)

    with mock.patch.object(dcp.HuggingFaceStorageReader, "_process_read_request", fail):
        refused_load(model, place, "Input/output error", (OSError, RuntimeError), last)
    same_as(model, expected)
    part = sorted(place.glob("save-*/*.safetensors"))[-1]
    whole = part.read_bytes()
    process_group.barrier()
    if process_group.is_chief():
        part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    process_group.barrier()
    refused_load(model, place, "has other bytes than were", (ValueError, RuntimeError), last)
    same_as(model, expected)
    process_group.barrier()
    if process_group.is_chief():
        part.write_bytes(whole)
    process_group.barrier()
    assert keras.distribution.load_sharded(model, place)["step"] == 1
    same_as(model, saved)
    return saved


def refused_load(model, place, problem, kinds, number):
    """A load with a fault in the process of a number."""
    try:
        keras.distribution.load_sharded(model, place)
    except kinds as error:
        own, told = process_group.rank() == number, f"in process {number}, for" in str(error)
        assert problem in str(error) and own is not told, error
    else:
        raise AssertionError(f"a load that failed was silent: {problem}")


def same_as(model, expected):
    for name, value in outcome(model, **state_of(model)).items():
        np.testing.assert_array_equal(value, expected[name])


def refused_save(model, place, problem, fault, number, asynchronous=False):
    """A save with a fault in the process of a number."""
    before, start = sorted(place.iterdir()), time.monotonic()
    with fault if process_group.rank() == number else contextlib.nullcontext():
        try:
            pending = keras.distribution.save_sharded(model, place, 2, asynchronous)
            if asynchronous:
                pending.wait()
        except RuntimeError as error:
            assert problem in str(error) and f"in process {number}, for" in str(error), error
        else:
            raise AssertionError(f"a save that failed was silent: {problem}")
    seconds = time.monotonic() - start
    assert seconds < 20, f"{problem}: {seconds:.0f} s"  # others wait for a minute
    assert sorted(place.iterdir()) == before


_to = torch.Tensor.to


def no_memory(tensor, *arguments, **options):
    if options.get("copy"):
        raise MemoryError("no memory for a copy")
    return _to(tensor, *arguments, **options)


def time_limits(folder):
    """All groups wait for as long as the job's; that of all processes is the job's own."""
    mesh = keras.distribution.DeviceMesh((1, process_group.world_size()), ["batch", "model"])
    groups = [*mesh.backend_mesh.get_all_groups(), sharded_save._background_group()]
    times = [group._get_backend(torch.device("cpu")).options._timeout for group in groups]
    expected = process_group.timeout()
    assert expected == datetime.timedelta(seconds=float(os.environ["TORCHKERAS_TIMEOUT_S"]))
    assert times == [expected] * 3, times
    assert len({group.group_name for group in groups}) == 3
    return {"seconds": np.array(expected.total_seconds())}


def first_alone_then_all(folder):
    """Process 0 saves, and later all do: the others wait for the second file."""
    path, model = folder / "twice.safetensors", classifier()
    found = {}
    for value in (1.0, 2.0):
        if process_group.is_chief():
            model.save(path)
        process_group.barrier()
        model.set_weights([np.full(w.shape, value, "float32") for w in model.get_weights()])
        if process_group.is_chief():
            time.sleep(0.3)  # the others are there first
        model.save(path)
        found[f"saved_{value}"] = keras.saving.load_model(path).get_weights()[0]
        process_group.barrier()  # all have read it
    return found


def killed_save(folder):
    """The last process dies while the others write."""
    divide()
    model = classifier()
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    keras.distribution.save_sharded(model, folder / "killed", step=1)
    expected = outcome(model, **state_of(model))
    if process_group.is_chief():
        (folder / "killed.pickle").write_bytes(pickle.dumps(expected))
    model.fit(X, LABELS, batch_size=7, epochs=1, verbose=0)
    if process_group.rank() == process_group.world_size() - 1:
        dcp.HuggingFaceStorageWriter.write_data = lambda *arguments: os._exit(17)
    keras.distribution.save_sharded(model, folder / "killed", step=2)


def _main(path, folder, names):
    process_group.initialize()
    results = {}
    for name in names:
        results[name] = found = run(name, folder)
        everyone = process_group.all_gather_object(found)
        for rank, other in enumerate(everyone):
            assert found.keys() == other.keys(), (name, rank)
            for key in found:
                assert np.array_equal(found[key], other[key]), (name, key, rank)
    if process_group.is_chief():
        pathlib.Path(path).write_bytes(pickle.dumps(results))


def run(name, folder):
    keras.distribution.set_distribution(None)
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    try:
        return globals()[name](pathlib.Path(folder))
    finally:
        keras.distribution.set_distribution(None)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
