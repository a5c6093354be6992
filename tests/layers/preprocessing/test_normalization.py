"""Normalization: formulas, the examples of Keras's documentation, and what `adapt` takes."""

import json

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.layers import Normalization
from torchkeras.layers.preprocessing import normalization

X = np.random.default_rng(0).normal(3, 2, (24, 4, 3)).astype("float32")


def adapted(data, **options):
    layer = Normalization(**options)
    layer.adapt(data)
    return layer


def test_examples_of_the_documentation():
    layer = adapted(np.arange(1.0, 6.0, dtype="float32"), axis=None)
    np.testing.assert_allclose(layer([1.0, 2.0, 3.0]), [-1.4142135, -0.70710677, 0], rtol=1e-6)
    data = np.array([[0, 7, 4], [2, 9, 6], [0, 7, 4], [2, 9, 6]], "float32")
    assert adapted(data)(data[:1]).tolist() == [[-1, -1, -1]]
    assert adapted(data, invert=True)(np.array([[1.0, 2.0, 3.0]])).tolist() == [[2, 10, 8]]
    made = Normalization(mean=3.0, variance=2.0)(np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_allclose(made, [[-1.4142135], [-0.70710677], [0]], rtol=1e-6)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (2, -2), None])
def test_kept_axes_have_mean_0_and_variance_1(axis):
    layer = adapted(X, axis=axis)
    kept = {a % 3 for a in ((axis,) if isinstance(axis, int) else axis or ())}
    reduced = tuple(a for a in range(3) if a not in kept)
    made = layer(X).numpy()
    np.testing.assert_allclose(made.mean(reduced), 0, atol=1e-5)
    np.testing.assert_allclose(made.var(reduced), 1, atol=1e-5)
    assert layer.mean.shape == tuple(X.shape[a] if a in kept else 1 for a in range(3))
    back = Normalization(axis=axis, invert=True)
    back.adapt(X)
    np.testing.assert_allclose(back(made), X, rtol=1e-5, atol=1e-5)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[8 * index : 8 * index + 8], np.zeros(8)


def loader(*arrays):
    data = torch.utils.data.TensorDataset(*map(torch.from_numpy, arrays))
    return torch.utils.data.DataLoader(data, batch_size=7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.from_numpy(X),
        lambda: X.astype("float64"),
        lambda: X.tolist(),
        lambda: [X[:5], X[5:]],
        lambda: [(X[:5], np.zeros(5)), (X[5:], np.zeros(19))],
        lambda: (X[i : i + 10] for i in range(0, 24, 10)),
        lambda: loader(X),
        lambda: loader(X, np.zeros(24)),
        Batches,
    ],
    ids=["tensor", "float64", "nested", "list", "pairs", "generator", "loader", "labels", "py"],
)
def test_data_of_every_kind_give_the_same(make):
    layer = adapted(make())
    np.testing.assert_allclose(layer.adapt_mean, X.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(layer.adapt_variance, X.var((0, 1)), rtol=1e-5)


def test_batches_merge_without_loss_of_digits():
    """Mean 1e9 and variance 1: in float32, or by the mean of squares, nothing would be left."""
    data = 1e9 + np.random.default_rng(1).normal(0, 1, (1000, 1))
    layer = adapted(np.array_split(data, 37), dtype="float64")
    np.testing.assert_allclose(layer.adapt_variance, data.var(0), rtol=1e-6)
    np.testing.assert_allclose(layer.adapt_mean, data.mean(0), rtol=1e-15)
    layer = adapted([data[:0], data, data[:0]], dtype="float64")
    np.testing.assert_allclose(layer.adapt_variance, data.var(0), rtol=1e-6)


def test_large_arrays_are_read_in_parts(monkeypatch):
    monkeypatch.setattr(normalization, "_NUMBERS_AT_ONCE", 50)
    sizes = []
    merge = Normalization._merge

    def watched(self, part):
        sizes.append(part.numel())
        merge(self, part)

    monkeypatch.setattr(Normalization, "_merge", watched)
    layer = adapted(X)
    assert max(sizes) <= 50 and sum(sizes) == X.size
    np.testing.assert_allclose(layer.adapt_mean, X.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(layer.adapt_variance, X.var((0, 1)), rtol=1e-5)
    layer = Normalization(axis=(0, -1))
    layer.build((24, 4, 3))
    layer.adapt(X)
    np.testing.assert_allclose(layer.adapt_variance, X.var(1), rtol=1e-5)
    layer = Normalization(axis=(0, 1))
    layer.build((4, 3))
    layer.adapt([X[0], X[1]])
    np.testing.assert_allclose(layer.adapt_mean, X[:2].mean(0), rtol=1e-6)


def test_small_deviations_count_as_epsilon():
    layer = adapted(np.full((4, 1), 2.0))
    made = layer(np.array([[2.0], [2.0 + 2.0**-20]]))
    np.testing.assert_allclose(made, [[0], [2.0**-20 / 1e-7]], rtol=1e-6)


def test_weights_are_those_of_keras():
    layer = Normalization(name="scale")
    layer.build((None, 3))
    assert [(w.path, w.shape, w.dtype) for w in layer.weights] == [
        ("scale/mean", (3,), "float32"),
        ("scale/variance", (3,), "float32"),
        ("scale/count", (), "int32"),
    ]
    assert list(layer.state_dict()) == ["adapt_mean", "adapt_variance", "count"]
    assert not layer.trainable_weights
    assert torch.equal(layer(torch.ones(1, 3)), torch.ones(1, 3))  # as it is before `adapt`


def test_adapt_again_forgets_what_was_learned():
    layer = adapted(X)
    layer.adapt(X[:3] + 1)
    np.testing.assert_allclose(layer.adapt_mean, (X[:3] + 1).mean((0, 1)), rtol=1e-6)


def test_given_statistics_broadcast_from_the_last_axis():
    mean = np.arange(1.0, 6.0)
    layer = Normalization(axis=(1, 2), mean=mean, variance=np.ones(5))
    assert layer.mean is None
    layer.build((2, 7, 5, 3))
    assert layer.mean.shape == (1, 7, 5, 1)
    assert torch.equal(layer.mean[0, 6, :, 0], torch.arange(1.0, 6.0))
    assert layer.weights == []
    config = json.loads(json.dumps(layer.get_config()))
    assert config["mean"] == [1, 2, 3, 4, 5] and config["axis"] == [1, 2]
    again = Normalization.from_config(config)
    x = torch.rand(2, 7, 5, 3)
    assert torch.equal(again(x), layer(x))
    assert Normalization.from_config(Normalization(axis=None).get_config()).axis == ()


@pytest.mark.parametrize(
    ("name", "options"),
    [("model.safetensors", {}), ("model.keras", {}), ("model.keras", {"weights_format": "h5"})],
)
@pytest.mark.parametrize("given", [True, False])
def test_models_survive_files(tmp_path, name, options, given):
    if options:
        pytest.importorskip("h5py")
    layer = Normalization(mean=[1.0, 2, 3], variance=[4.0, 5, 6]) if given else adapted(X[:, 0])
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    model.save(tmp_path / name, **options)
    again = keras.models.load_model(tmp_path / name)
    assert np.array_equal(again.predict(X[:, 0], verbose=0), model.predict(X[:, 0], verbose=0))


def test_symbols_and_mixed_precision():
    symbol = Normalization(mean=0.0, variance=1.0)(keras.Input((None, 3), dtype="int32"))
    assert (symbol.shape, symbol.dtype) == ((None, None, 3), "float32")
    layer = adapted(X, dtype="mixed_bfloat16")
    assert layer(X).dtype is torch.bfloat16 and layer.adapt_mean.dtype == "float32"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normalization(mean=0.5), "given together"),
        (lambda: Normalization(variance=0.5), "given together"),
        (lambda: Normalization(mean=[1.0], variance=1.0), "must have one shape"),
        (lambda: Normalization(mean=[[1.0]], variance=[[1.0]]), "must have one shape"),
        (lambda: Normalization(mean=[1.0, 2], variance=[1.0, 2]).build((1, 3)), "must broadcast"),
        (lambda: Normalization(axis=3).build((2, 2)), "must be axes of the input"),
        (lambda: Normalization(axis=-4).build((2, 3, 4)), "must be axes of the input"),
        (lambda: Normalization(axis=(1, -1)).build((2, 3)), "none of them twice"),
        (lambda: Normalization(axis=1).build((None, None)), "needs the size"),
        (lambda: adapted(np.arange(3.0)), "The batch cannot be among"),
        (lambda: adapted([]), "at least one batch"),
        (lambda: adapted(iter([np.ones((8, 4)), np.ones((8, 6))])), "an incompatible shape"),
        (lambda: adapted(X, mean=0.0, variance=1.0), "was given its mean and variance"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_layer_that_was_built_adapts_to_such_data_alone():
    layer = Normalization()
    layer.build((10, 5))
    with pytest.raises(ValueError, match="an incompatible shape"):
        layer.adapt(np.ones((10, 3)))


def normalizing(options, shape=(2, 5, 3), **more):
    return case(
        Normalization, options, shape, expected_output_shape=shape, supports_masking=True, **more
    )


@layer_cases(
    {
        "adapted": normalizing(
            {},
            prepare=lambda layer: layer.adapt(X),
            expected_num_weights=3,
            expected_num_non_trainable_weights=3,
        ),
        "given": normalizing(
            {"mean": [1.0, 2, 3], "variance": [1.0, 2, 3]}, expected_num_weights=0
        ),
        "all": normalizing({"axis": None, "invert": True}, (2, 3)),
        "integers": normalizing({"axis": (1, 2)}, input_dtype="int32"),
    }
)
def test_holds_the_contract_of_layers(check):
    check()
