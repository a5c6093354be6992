import copy
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.optimizers import SGD, Adam, AdamW, MultiOptimizer, Muon, OptimizerMap


def make_model(optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5, name="first"), keras.layers.Dense(1, name="last")]
    )
    model.compile(optimizer, "mse")
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, 4)).astype("float32"), rng.normal(size=(16, 1)).astype("float32")


def fit(model, epochs=3):
    model.fit(*data(), batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def assert_same_weights(model, other):
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def make_multi():
    return MultiOptimizer(OptimizerMap(SGD(0.1), {".*first/.*": Adam(0.01)}))


def test_each_part_is_trained_as_by_its_optimizer_alone():
    model, twin = fit(make_model(make_multi()), 1), make_model("sgd")
    first, last = Adam(0.01), SGD(0.1)
    x, y = map(torch.as_tensor, data())
    for part in (slice(0, 8), slice(8, 16)):
        twin.zero_grad()
        ((twin(x[part]) - y[part]) ** 2).mean().backward()
        weights = twin.trainable_variables
        grads = [w.value.grad for w in weights]
        first.apply(grads[:2], weights[:2])
        last.apply(grads[2:], weights[2:])
    for a, b in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


def test_training_goes_on_from_a_file(tmp_path):
    model = fit(make_model(make_multi()))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    assert_same_weights(fit(model), fit(loaded))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_trains_alike(copied):
    model = fit(make_model(make_multi()))
    assert_same_weights(fit(copied(model)), fit(model))


def test_one_optimizer_under_two_keys_stays_one_in_configs():
    shared = Adam()
    chosen = OptimizerMap(SGD(), {"a": shared, "b": shared, "c": Adam(name="adam")})
    again = OptimizerMap.from_config(chosen.get_config())
    assert again["a"] is again["b"] is not again["c"]


def test_a_loss_scale_goes_around_all():
    model = make_model(keras.optimizers.LossScaleOptimizer(make_multi(), 8.0))
    assert_same_weights(fit(model), fit(make_model(make_multi())))
    before = [w.numpy().copy() for w in model.weights]
    model.optimizer.apply([torch.full(tuple(w.shape), float("inf")) for w in model.weights])
    assert int(model.optimizer.iterations) == 6
    for a, b in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)


def test_weight_decay_is_excluded_in_all():
    chosen = OptimizerMap(AdamW(0.1, weight_decay=1.0), {".*first/kernel": Muon(0.1)})
    model = make_model(MultiOptimizer(chosen))
    model.optimizer.exclude_from_weight_decay(var_names=["."])
    before = [w.numpy().copy() for w in model.weights]
    model.optimizer.apply([torch.zeros(tuple(w.shape)) for w in model.weights], model.weights)
    for a, b in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)


def test_a_refused_choice_can_be_put_right():
    chosen = {"x": "sgd"}
    optimizer = MultiOptimizer(lambda v: chosen["x"])
    v = keras.Variable(1.0)
    with pytest.raises(ValueError, match="for the variable 'variable"):
        optimizer.build([v])
    chosen["x"] = SGD(1.0)
    optimizer.apply([torch.tensor(1.0)], [v])
    assert float(v.numpy()) == 0.0


def test_the_same_matching_of_two_keys_names_both():
    chosen = OptimizerMap(SGD(), {"a.*": SGD(), ".*b": SGD()})
    with pytest.raises(ValueError, match=r"'ab'.*'a\.\*', '\.\*b'"):
        chosen["ab"]
    assert len(chosen) == 2 and list(chosen) == ["a.*", ".*b"]
    del chosen["a.*"]
    assert chosen["ab"] is chosen[".*b"]
