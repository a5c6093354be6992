"""FeatureSpace: the sizes of Keras's tests, values from the layers, and all kinds of data."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.utils import FeatureSpace

NUMBERS = [i / 10 for i in range(10)]
DATA = {
    **{f"float_{i}": NUMBERS for i in (1, 2, 3)},
    **{f"int_{i}": list(range(10)) for i in (1, 2, 3)},
    **{f"string_{i}": [str(i) for i in range(10)] for i in (1, 2)},
}
KINDS = {
    "float_1": "float",
    "float_2": "float_normalized",
    "float_3": "float_discretized",
    "string_1": "string_categorical",
    "string_2": "string_hashed",
    "int_1": "integer_categorical",
    "int_2": "integer_hashed",
    "int_3": "integer_categorical",
}
CROSSES = [("float_3", "string_1"), ("string_2", "int_2")]


def space(data=DATA, **options):
    made = FeatureSpace(**{"features": KINDS, "crosses": CROSSES, **options})
    made.adapt(data)
    return made


def sample(index=0):
    return {name: values[index] for name, values in DATA.items()}


def arrays():
    return {name: np.array(values) for name, values in DATA.items()}


def tensors():
    """Numbers as tensors; text cannot be one."""
    return {
        name: values if name.startswith("string") else torch.tensor(values)
        for name, values in DATA.items()
    }


class Rows(torch.utils.data.Dataset):
    """A sample for each index, with a label."""

    def __init__(self, function=lambda row: row):
        self.function = function

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return self.function(sample(index)), float(index)


def test_joined_features_have_the_sizes_of_keras():
    """195 and 148 entries, as in Keras's tests."""
    fs = space()
    assert fs(DATA).shape == (10, 195)
    assert fs(sample()).shape == (195,)
    assert torch.equal(fs(arrays()), fs(DATA))
    assert torch.equal(fs(tensors()), fs(DATA))
    assert torch.equal(fs({k: v[:, None] for k, v in arrays().items()}), fs(DATA))
    for index in (0, 7):
        assert torch.equal(fs(sample(index)), fs(DATA)[index])
    cls = FeatureSpace
    fs = space(
        features={
            "float_1": cls.float(),
            "float_2": cls.float_normalized(),
            "float_3": cls.float_discretized(num_bins=3),
            "string_1": cls.string_categorical(max_tokens=5),
            "string_2": cls.string_hashed(num_bins=32),
            "int_1": cls.integer_categorical(max_tokens=5, num_oov_indices=2),
            "int_2": cls.integer_hashed(num_bins=32),
            "int_3": cls.integer_categorical(max_tokens=5),
        },
        crosses=[cls.cross(names, crossing_dim=32) for names in CROSSES],
    )
    assert fs(sample()).shape == (148,)


def test_a_dict_holds_each_feature():
    out = space(output_mode="dict")(DATA)
    assert list(out) == [*sorted(KINDS), "float_3_X_string_1", "string_2_X_int_2"]
    assert {name: y.shape[1] for name, y in out.items()} == {
        "float_1": 1,
        "float_2": 1,
        "float_3": 32,
        "int_1": 11,
        "int_2": 32,
        "int_3": 11,
        "string_1": 11,
        "string_2": 32,
        "float_3_X_string_1": 32,
        "string_2_X_int_2": 32,
    }
    one = space(output_mode="dict")(sample(3))
    assert all(torch.equal(one[name], y[3]) for name, y in out.items())
    joined = space()(DATA)
    assert torch.equal(torch.cat(list(out.values()), 1), joined)


def test_values_are_those_of_the_layers():
    out = space(output_mode="dict")(DATA)
    numbers = np.array(NUMBERS)
    np.testing.assert_allclose(out["float_1"][:, 0], numbers, rtol=1e-6)
    expected = (numbers - numbers.mean()) / numbers.std()
    np.testing.assert_allclose(out["float_2"][:, 0], expected, rtol=1e-5, atol=1e-6)
    places = [10 - i for i in range(10)]  # equally frequent: the last comes first
    assert torch.equal(out["int_1"], torch.eye(11)[places])
    bins = layers.Hashing(32)(DATA["string_2"])
    assert torch.equal(out["string_2"], torch.eye(32)[bins])
    crossed = layers.HashedCrossing(32)([bins, layers.Hashing(32)(DATA["int_2"])])
    assert torch.equal(out["string_2_X_int_2"], torch.eye(32)[crossed])


def test_integers_stay_integers_in_a_dict():
    cls = FeatureSpace
    out = space(
        features={
            **KINDS,
            "string_1": cls.string_categorical(output_mode="int"),
            "int_2": cls.integer_hashed(num_bins=32, output_mode="int"),
        },
        crosses=[cls.cross(("string_2", "int_2"), output_mode="int", crossing_dim=32)],
        output_mode="dict",
    )(sample())
    for name in ("string_1", "int_2", "string_2_X_int_2"):
        assert out[name].shape == (1,) and not out[name].is_floating_point()


@pytest.mark.parametrize(
    "make",
    [
        arrays,
        tensors,
        lambda: [{k: v[i : i + 4] for k, v in arrays().items()} for i in (0, 4, 8)],
        lambda: (sample(i) for i in range(10)),
        lambda: torch.utils.data.DataLoader(Rows(), batch_size=4),
        Rows,
    ],
    ids=["arrays", "tensors", "batches", "samples", "loader", "dataset"],
)
def test_adapt_takes_all_kinds_of_data(make):
    assert torch.equal(space(make())(DATA), space()(DATA))


def test_adapt_is_one_pass_that_may_be_repeated():
    fs = space(iter([DATA]))
    fs.adapt({**DATA, "int_1": [7] * 10})
    assert fs.preprocessors["int_1"].get_vocabulary() == [-1, 7]
    assert fs(DATA).shape == (10, 195 - 9)
    assert fs.get_encoded_features().shape == (None, 195 - 9)


def test_functional_model_of_raw_features():
    fs = space()
    model = keras.Model(fs.get_inputs(), layers.Dense(1)(fs.get_encoded_features()))
    model.compile("adam", "mse")
    y = np.arange(10.0)
    model.fit(arrays(), y, batch_size=4, verbose=0)
    assert model.evaluate(arrays(), y, verbose=0) > 0
    made = model.predict(torch.utils.data.DataLoader(Rows(), batch_size=4), verbose=0)
    np.testing.assert_allclose(made, model.predict(arrays(), verbose=0), rtol=1e-6)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_features_are_prepared_ahead_of_the_model(workers):
    fs = space()
    features = fs.get_encoded_features()
    model = keras.Model(features, layers.Dense(1)(features))
    model.compile("adam", "mse")
    loader = torch.utils.data.DataLoader(Rows(fs), batch_size=4, num_workers=workers)
    batch = next(iter(loader))[0]
    torch.testing.assert_close(batch, fs(DATA)[:4])
    model.fit(loader, verbose=0)


def test_it_is_a_layer_within_a_model():
    fs = space()
    inputs = fs.get_inputs()
    model = keras.Model(inputs, layers.Dense(2)(fs(inputs)))
    assert model(arrays()).shape == (10, 2)
    assert fs in model.layers


def test_layers_of_ones_own_and_given_statistics_need_no_adapt():
    data = {"f": [1.0, 4.0], "t": ["b", "z"], "d": [0.0, 1.0]}
    fs = FeatureSpace(
        {
            "f": FeatureSpace.feature(
                "float32", layers.Normalization(mean=1.0, variance=9.0), "float"
            ),
            "t": FeatureSpace.feature("string", layers.StringLookup(vocabulary=["b"]), "one_hot"),
            "d": FeatureSpace.float_discretized(None, bin_boundaries=[0.5]),
            "h": FeatureSpace.integer_hashed(3),
        }
    )
    made = fs({**data, "h": [0, 1], "extra": [None, None]})
    assert made.tolist() == [[1, 0, 0, 0, 1, 0, 0, 1], [0, 1, 1, 1, 0, 0, 1, 0]]


def test_a_layer_with_an_adapt_of_its_own_sees_every_batch():
    class Largest(layers.Layer):
        most = 0.0

        def adapt(self, data):
            self.most = max(float(batch.max()) for batch in data)

        def call(self, x):
            return x / self.most

    fs = FeatureSpace({"a": FeatureSpace.feature("float32", Largest(), "float")})
    fs.adapt({"a": a} for a in ([1.0, 2.0], [4.0]))
    assert fs({"a": [1.0]}).tolist() == [[0.25]]


@pytest.mark.parametrize("name", ["fs.keras", "fs.safetensors", "h5/fs.keras"])
def test_files(tmp_path, name):
    if name.startswith("h5"):
        pytest.importorskip("h5py")
        (tmp_path / "h5").mkdir()
    fs = space()
    fs.save(tmp_path / name, **({"weights_format": "h5"} if name.startswith("h5") else {}))
    again = keras.models.load_model(tmp_path / name)
    assert isinstance(again, FeatureSpace)
    again.save(tmp_path / "again.keras")  # before it is used
    expected = fs(DATA)
    for loaded in (again, keras.models.load_model(tmp_path / "again.keras")):
        assert torch.equal(loaded(DATA), expected)
        model = keras.Model(loaded.get_inputs(), loaded.get_encoded_features())
        np.testing.assert_array_equal(model.predict(arrays(), verbose=0), expected)


def test_a_model_around_it_is_saved(tmp_path):
    fs = space()
    model = keras.Model(fs.get_inputs(), layers.Dense(1)(fs.get_encoded_features()))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    made = again.predict(arrays(), verbose=0)
    np.testing.assert_array_equal(made, model.predict(arrays(), verbose=0))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(again):
    """A DataLoader that starts new processes sends one to each."""
    fs = space()
    assert torch.equal(again(fs)(DATA), fs(DATA))


def test_config_makes_the_same():
    fs = FeatureSpace(KINDS, crosses=CROSSES, output_mode="dict", hashing_dim=7)
    config = json.loads(json.dumps(fs.get_config()))
    again = FeatureSpace.from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    again.adapt(DATA)
    assert again(sample())["int_2"].shape == (7,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureSpace({}), "one or more"),
        (lambda: FeatureSpace({"a": "strange"}), "A feature is one of float, float_normalized"),
        (lambda: FeatureSpace({"a": "float"}, output_mode="x"), "`output_mode` must be"),
        (lambda: FeatureSpace.feature("float32", None, "x"), "`output_mode` must be one of"),
        (lambda: FeatureSpace.cross(("a", "b"), 3, "float"), "`output_mode` must be one of"),
        (
            lambda: FeatureSpace({"a": "float"}, crosses=[("a", "a")], crossing_dim=None),
            "need `crossing_dim`",
        ),
        (lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), "should be present in"),
        (
            lambda: FeatureSpace({"a": "integer_categorical"})({"a": [0]}),
            "You need to call `.adapt",
        ),
        (
            lambda: FeatureSpace({"a": "float_normalized"}).get_encoded_features(),
            "You need to call `.adapt",
        ),
        (lambda: FeatureSpace({"a": "float"})([1.0]), "takes a dict"),
        (lambda: FeatureSpace({"a": "float"})({"b": [1.0]}), r"features \['a'\].*\['b'\]"),
        (lambda: FeatureSpace({"a": "float"}).adapt(3), "a dict of arrays, or an iterable"),
        (lambda: FeatureSpace({"a": "float"}).adapt([]), "at least one batch"),
        (
            lambda: FeatureSpace({"a": FeatureSpace.integer_hashed(3, "int")})({"a": [1]}),
            "Feature 'a' cannot be joined",
        ),
        (
            lambda: FeatureSpace(
                {"a": FeatureSpace.feature("float32", layers.Rescaling(2), "one_hot")}
            )({"a": [1]}),
            "integers of a known range",
        ),
        (lambda: FeatureSpace({"a": "float_normalized"}).save("a.keras"), "You need to call"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
