"""Distiller and its losses, beside Keras's."""

import numpy as np
import pytest
import torch

import torchkeras as keras

X = np.random.RandomState(0).randn(16, 4).astype("float32")
Y = np.random.RandomState(1).randint(0, 3, 16)


def make_model(lib, units, seed, name):
    lib.utils.set_random_seed(seed)
    x = lib.Input((4,), name="x")
    hidden = lib.layers.Dense(units, activation="tanh", name="hidden")(x)
    return lib.Model(x, lib.layers.Dense(3, name="out")(hidden), name=name)


def make(lib, distillation_losses, weights=None, **kwargs):
    models = [make_model(lib, 5, 1, "teacher"), make_model(lib, 5, 2, "student")]
    return lib.distillation.Distiller(
        *models, distillation_losses(lib.distillation), weights, **kwargs
    )


def cases():
    yield lambda d: d.FeatureDistillation("mse"), None
    yield lambda d: d.LogitsDistillation(2.0, "mse"), None
    yield (
        lambda d: [
            d.FeatureDistillation("mae", teacher_layer_name="hidden", student_layer_name="hidden"),
            d.LogitsDistillation(3.0, "mse"),
        ],
        [0.3, 2.0],
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(("distillation_losses", "weights"), list(cases()))
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_trains_as_in_keras(distillation_losses, weights, share):
    real = pytest.importorskip("keras")
    results = []
    start = [model.get_weights() for model in (make_model(keras, 5, s, "m") for s in (1, 2))]
    for lib in (keras, real):
        distiller = make(lib, distillation_losses, weights, student_loss_weight=share)
        distiller.teacher.set_weights(start[0])
        distiller.student.set_weights(start[1])
        loss = lib.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile(lib.optimizers.SGD(0.1), loss)
        history = distiller.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=0).history
        results.append((history, distiller.student.get_weights(), distiller.teacher.get_weights()))
    mine, theirs = results
    assert mine[0].keys() == theirs[0].keys()
    for key in mine[0]:
        np.testing.assert_allclose(mine[0][key], theirs[0][key], rtol=1e-4, atol=1e-5)
    for a, b in zip(mine[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(mine[2], start[0], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("by_name", [True, False])
def test_divergence_is_that_of_the_softmax(by_name):
    loss = "kl_divergence" if by_name else keras.losses.KLDivergence()
    teacher, student = torch.randn(2, 5, 3)
    value = keras.distillation.LogitsDistillation(2.0, loss).compute_loss(teacher, student)
    p, q = torch.softmax(teacher / 2, -1), torch.softmax(student / 2, -1)
    torch.testing.assert_close(value, 4 * (p * (p / q).log()).sum(-1).mean())
    if not by_name:  # Keras's, by the name, is that of the logits themselves
        real = pytest.importorskip("keras")
        theirs = real.distillation.LogitsDistillation(2.0, real.losses.KLDivergence())
        torch.testing.assert_close(value, theirs.compute_loss(teacher, student))


def test_several_outputs_and_those_left_out():
    loss = keras.distillation.FeatureDistillation({"a": "mse", "b": None})
    zeros = {"a": torch.zeros(2, 1), "b": torch.zeros(2, 1)}
    ones = {"a": torch.ones(2, 1), "b": torch.ones(2, 1)}
    loss.validate_outputs(zeros, ones)
    assert loss.compute_loss(zeros, ones) == 1.0
    with pytest.raises(ValueError, match="Loss structure mismatch"):
        loss.validate_outputs(zeros["a"], ones["a"])


def test_it_predicts_as_its_student_and_evaluates():
    distiller = make(keras, lambda d: d.LogitsDistillation())
    distiller.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    np.testing.assert_allclose(
        distiller.predict(X, verbose=0), distiller.student.predict(X, verbose=0)
    )
    report = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert {"loss", "accuracy", "student_loss", "distillation_loss"} <= set(report)
    distiller.reset_metrics()
    assert distiller.total_loss_tracker.result() == 0
    assert not any(w.trainable for w in distiller.teacher.weights)


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_it_is_saved_and_trains_on(tmp_path, suffix):
    distiller = make(
        keras,
        lambda d: [
            d.LogitsDistillation(2.0),
            d.FeatureDistillation("mse", teacher_layer_name="hidden", student_layer_name="hidden"),
        ],
        [1.0, 0.5],
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("adam", loss)
    distiller.fit(X, Y, verbose=0)
    path = tmp_path / f"distiller{suffix}"
    distiller.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), distiller.predict(X, verbose=0))
    assert loaded.distillation_loss_weights == [1.0, 0.5]
    assert loaded.distillation_losses[0].temperature == 2.0
    reports = [d.evaluate(X, Y, verbose=0) for d in (loaded, distiller)]
    np.testing.assert_allclose(*reports, rtol=1e-5)


@pytest.mark.parametrize("lib", ["ours", "keras"])
def test_errors_are_those_of_keras(lib):
    lib = keras if lib == "ours" else pytest.importorskip("keras")
    d = lib.distillation
    for wrong in (
        lambda: d.LogitsDistillation(0),
        lambda: d.LogitsDistillation("hot"),
        lambda: d.LogitsDistillation(2.0, [None]),
        lambda: d.FeatureDistillation(None),
        lambda: make(lib, lambda d: None),
        lambda: make(lib, lambda d: d.LogitsDistillation(), student_loss_weight=2.0),
        lambda: make(lib, lambda d: [d.LogitsDistillation()], [1.0, 2.0]),
        lambda: make(lib, lambda d: d.FeatureDistillation(teacher_layer_name="none")),
        lambda: d.Distiller(3, make_model(lib, 2, 0, "s"), d.LogitsDistillation()),
        lambda: make(lib, lambda d: d.LogitsDistillation()).compile("adam"),
    ):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(NotImplementedError):
        d.DistillationLoss().compute_loss(0, 0)
    x = lib.Input((4,))
    other = lib.Model(x, lib.layers.Dense(2)(x))
    with pytest.raises(ValueError):
        d.Distiller(make_model(lib, 2, 0, "t"), other, d.LogitsDistillation())
