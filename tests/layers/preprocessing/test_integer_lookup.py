"""IntegerLookup: the examples of Keras's documentation and tests, and rules."""

import json
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.layers import IntegerLookup
from torchkeras.layers.preprocessing.sip_hash import sip_hash_64

VOCABULARY = [12, 36, 1138, 42]
DATA = np.array([[12, 1138, 42, 42], [42, 7, 36, 7]])


def same(made, expected):
    assert made.dtype == expected.dtype
    assert torch.equal(made, expected)


def floats(rows):
    return torch.tensor(rows, dtype=torch.float32)


@pytest.mark.parametrize(
    "convert", [np.asarray, torch.as_tensor, lambda x: x.tolist(), lambda x: x.astype("int32")]
)
def test_integers_become_their_places(convert):
    data = np.array([[12, 1138, 42], [42, 1000, 36]])
    same(IntegerLookup(vocabulary=VOCABULARY)(convert(data)), torch.tensor([[1, 3, 4], [4, 0, 2]]))


def test_adapted_vocabulary_goes_by_count_then_from_the_largest():
    layer = IntegerLookup()
    data = np.array([[12, 1138, 42], [42, 1000, 36]])
    layer.adapt(data)
    assert layer.get_vocabulary() == [-1, 42, 1138, 1000, 36, 12]
    same(layer(data), torch.tensor([[5, 2, 1], [1, 3, 4]]))
    assert layer.get_vocabulary(include_special_tokens=False) == [42, 1138, 1000, 36, 12]
    layer = IntegerLookup(max_tokens=4, mask_token=0)
    layer.adapt([0, 0, 0, -1, -1, 3, 2, 2, 1])
    assert layer.get_vocabulary() == [0, -1, 2, 3]


@pytest.mark.parametrize(
    "data",
    [
        [5, 5, 6],
        np.array([5, 5, 6], "uint8"),
        torch.tensor([[5.0], [5.0], [6.0]]),
        (torch.tensor([n]) for n in (5, 6, 5)),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor([5, 5, 6])), 2),
    ],
    ids=["list", "array", "floats", "generator", "loader"],
)
def test_adapt_takes_all_kinds_of_data(data):
    layer = IntegerLookup()
    layer.adapt(data)
    assert layer.get_vocabulary() == [-1, 5, 6]


def test_batches_can_be_given_one_by_one():
    layer = IntegerLookup()
    layer.reset_state()
    for batch in ([1, 2], [2, 3]):
        layer.update_state(np.array(batch))
    layer.finalize_state()
    assert layer.get_vocabulary() == [-1, 2, 3, 1]
    layer.finalize_state()  # nothing new
    assert layer.get_vocabulary() == [-1, 2, 3, 1]


def test_several_places_for_others():
    made = IntegerLookup(vocabulary=VOCABULARY, num_oov_indices=2)([[12, 1138, 42], [37, 1000, 36]])
    same(made, torch.tensor([[2, 4, 5], [1, 0, 3]]))
    same(IntegerLookup(vocabulary=[1], num_oov_indices=3)([-1, -2, -4]), torch.tensor([2, 1, 2]))
    others = [100, 300, 700, 1100, 1700, 2000]
    options = {"vocabulary": [10, 20, 30], "num_oov_indices": 4}
    assert IntegerLookup(**options)(others).tolist() == [0] * 6
    made = IntegerLookup(**options, oov_method="farmhash")(others)
    assert made.tolist() == [3, 3, 2, 2, 0, 1]
    layer = IntegerLookup(**options, oov_method="farmhash", salt=[137, 42], mask_token=5)
    expected = [1 + sip_hash_64(str(n).encode(), (137, 42)) % 4 for n in others]
    assert layer(others).tolist() == expected
    assert IntegerLookup.from_config(layer.get_config())(others).tolist() == expected


def test_without_places_for_them_others_are_an_error():
    layer = IntegerLookup(vocabulary=[1, 2, 3], num_oov_indices=0)
    same(layer([1, 2, 3]), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="Received: 7. Give tokens out of it a place"):
        layer([1, 7])
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    same(compiled(torch.tensor([3, 1])), torch.tensor([2, 0]))
    with pytest.raises(RuntimeError, match="of its vocabulary alone"):
        compiled(torch.tensor([3, 7]))


def test_vectors():
    layer = IntegerLookup(vocabulary=VOCABULARY, output_mode="one_hot")
    expected = torch.eye(5)[[1, 2, 3, 4, 0]]
    same(layer([12, 36, 1138, 42, 7]), expected)
    same(layer([[12], [36], [1138], [42], [7]]), expected)
    assert layer(np.zeros((1, 2, 2), int)).shape == (1, 2, 2, 5)
    layer = IntegerLookup(vocabulary=VOCABULARY, output_mode="multi_hot")
    same(layer(DATA), floats([[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]))
    layer = IntegerLookup(vocabulary=VOCABULARY, output_mode="count")
    same(layer(DATA), floats([[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]))
    layer = IntegerLookup(vocabulary=[1, 2], mask_token=0, output_mode="count")
    same(layer([[0, 2, 5, 0]]), floats([[1, 0, 1]]))
    layer = IntegerLookup(
        vocabulary=[1, 2], output_mode="multi_hot", max_tokens=5, pad_to_max_tokens=True
    )
    same(layer([1, 7]), floats([1, 1, 0, 0, 0]))


def test_tf_idf():
    layer = IntegerLookup(
        output_mode="tf_idf", vocabulary=VOCABULARY, idf_weights=[0.25, 0.75, 0.6, 0.4]
    )
    expected = floats([[0, 0.25, 0, 0.6, 0.8], [1, 0, 0.75, 0, 0.4]])
    torch.testing.assert_close(layer(DATA), expected)
    layer = IntegerLookup(
        output_mode="tf_idf",
        vocabulary=[-1, *VOCABULARY],
        idf_weights=np.array([0.9, 0.25, 0.75, 0.6, 0.4]),
    )
    expected[1, 0] = 1.8
    torch.testing.assert_close(layer(DATA), expected)
    layer = IntegerLookup(output_mode="tf_idf", max_tokens=6, pad_to_max_tokens=True)
    layer.adapt([1, 1, 1, 2, 2, 3])
    torch.testing.assert_close(layer([1, 2, 4]), floats([1.133732, 0.916291, 1.098612, 0, 0, 0]))
    layer.adapt([[1, 1], [1, 2], [2, 3]])  # 1 and 2 are in two of three documents, 3 in one
    weights = np.log(1 + 3 / (1 + np.array([2, 2, 1])))
    padded = [weights.mean(), *weights, 0, 0]
    np.testing.assert_allclose(layer.idf_weights, padded, rtol=1e-6)


def test_invert():
    layer = IntegerLookup(vocabulary=VOCABULARY, invert=True)
    same(layer([[1, 3, 4], [4, 0, 9]]), torch.tensor([[12, 1138, 42], [42, -1, -1]]))
    forward = IntegerLookup(vocabulary=VOCABULARY, mask_token=0)
    back = IntegerLookup(vocabulary=forward.get_vocabulary(), mask_token=0, invert=True)
    same(back(forward([0, 12, 42, 5])), torch.tensor([0, 12, 42, -1]))
    symbol = back(keras.Input((3,), dtype="int64"))
    assert (symbol.shape, symbol.dtype) == ((None, 3), "int64")
    layer = IntegerLookup(invert=True)
    layer.adapt([5, 5, 7])
    same(layer([1, 2]), torch.tensor([5, 7]))


def test_a_layer_without_vocabulary_knows_nothing():
    same(IntegerLookup()([3, 4]), torch.tensor([0, 0]))


def test_a_vocabulary_comes_from_a_file_that_the_program_names(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("10\n20\n30\n")
    for name in (path, str(path)):
        layer = IntegerLookup(vocabulary=name)
        same(layer([10, 20, 30, 999]), torch.tensor([1, 2, 3, 0]))
    path.write_text("10\nten\n")
    with pytest.raises(ValueError, match="one token or more"):
        IntegerLookup(vocabulary=str(path))
    with pytest.raises(ValueError, match="a file that can be read"):
        IntegerLookup(vocabulary=str(tmp_path / "missing.txt"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("model.safetensors", {}),
        ("model.keras", {"weights_format": "safetensors"}),
        ("model.keras", {"weights_format": "h5"}),
    ],
)
@pytest.mark.parametrize("mode", ["int", "tf_idf"])
@pytest.mark.parametrize("given", [True, False])
def test_models_survive_files(tmp_path, name, options, mode, given):
    if options.get("weights_format") == "h5":
        pytest.importorskip("h5py")
    arguments = {"vocabulary": [7, -3, 2]} if given else {}
    if given and mode == "tf_idf":
        arguments["idf_weights"] = [0.1, 0.7, 0.3]
    layer = IntegerLookup(output_mode=mode, **arguments)
    if not given:
        layer.adapt([7, -3, 2, 2])
    inputs = keras.Input((2,), dtype="int64")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / name, **options)
    again = keras.models.load_model(tmp_path / name)
    data = np.array([[7, 2], [-3, 0]])
    same(again(data), model(data))
    assert again.layers[1].get_vocabulary() == layer.get_vocabulary()
    assert again.layers[1].get_config()["vocabulary"] == layer.get_config()["vocabulary"]


def test_assets_of_other_writers():
    layer = IntegerLookup(output_mode="count")
    layer.set_assets({"vocabulary.txt": b"-1\n7\n9\n"})  # with a line break at the end
    assert layer.get_vocabulary() == [-1, 7, 9]
    empty = IntegerLookup(num_oov_indices=0)
    empty.set_assets(empty.get_assets())
    assert empty.get_vocabulary() == []
    with pytest.raises(ValueError, match="A token in each line"):
        IntegerLookup().set_assets({"vocabulary.txt": b"-1\nseven"})
    with pytest.raises(ValueError, match="list of integers"):
        IntegerLookup().set_assets({"vocabulary.json": b'[-1, "x"]'})


def test_config_of_keras_makes_the_layer():
    """As `keras.layers.IntegerLookup(vocabulary=[3]).get_config()` has it, by Keras's code."""
    config = {
        "name": "integer_lookup",
        "trainable": True,
        "dtype": "float32",
        "invert": False,
        "max_tokens": None,
        "num_oov_indices": 1,
        "oov_token": -1,
        "mask_token": None,
        "output_mode": "int",
        "sparse": False,
        "pad_to_max_tokens": False,
        "vocabulary_dtype": "int64",
        "idf_weights": None,
        "vocabulary": [3],
        "vocabulary_size": 2,
        "oov_method": "floormod",
        "salt": None,
    }
    layer = IntegerLookup.from_config(config)
    same(layer([3, 4]), torch.tensor([1, 0]))
    made = json.loads(json.dumps(layer.get_config()))
    assert {**made, "dtype": None} == {**config, "dtype": None}


def test_pickle_and_dtypes_keep_the_tables():
    layer = IntegerLookup(output_mode="tf_idf")
    layer.adapt([[2**40 + 1, 3], [2**40 + 1, 4]])
    again = pickle.loads(pickle.dumps(layer))
    assert again.get_vocabulary() == layer.get_vocabulary()
    before = layer([[2**40 + 1, 2**40]])
    layer.half().float()
    same(layer([[2**40 + 1, 2**40]]), before)
    assert layer.state_dict() == {} and layer.variables == []


def test_integers_need_no_look_at_the_data():
    """Everything is a function of shapes and dtypes, so it runs without data."""
    for options in ({}, {"num_oov_indices": 2, "oov_method": "farmhash"}, {"num_oov_indices": 0}):
        layer = IntegerLookup(vocabulary=[1, 2], output_mode="count", **options)
        made = layer(torch.zeros(3, 1, dtype=torch.int64, device="meta"))
        assert made.shape == (3, layer.vocabulary_size())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 1}, "`max_tokens` must be an int of at least 2"),
        ({"num_oov_indices": -1}, "`num_oov_indices` must be an int of at least 0"),
        ({"vocabulary_dtype": "int32"}, "`vocabulary_dtype` must be 'int64'"),
        ({"oov_method": "other"}, "`oov_method` must be"),
        ({"salt": 3}, "`salt` belongs to oov_method='farmhash'"),
        ({"sparse": True}, "Outputs are dense"),
        ({"vocabulary": [1.5]}, "list of integers"),
        ({"vocabulary": ["1"]}, "list of integers"),
        ({"vocabulary": [[1]]}, "list of integers"),
        ({"vocabulary": []}, "one token or more"),
        ({"vocabulary": [1, 2, 1]}, r"more than once: \[1\]"),
        ({"vocabulary": [1, 0], "mask_token": 0}, "mask_token=0 at place 1"),
        ({"vocabulary": [1, -1], "invert": True}, "oov_token=-1 at place 1"),
        (
            {"vocabulary": [1], "output_mode": "tf_idf", "idf_weights": [1.0, 2.0]},
            r"one number for each of 1 tokens. Received: shape \(2,\)",
        ),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        IntegerLookup(**arguments)


def test_calls_that_cannot_be_answered_are_errors():
    with pytest.raises(ValueError, match="was given its vocabulary"):
        IntegerLookup(vocabulary=[1]).adapt([1])
    with pytest.raises(RuntimeError, match="has no vocabulary yet"):
        IntegerLookup(output_mode="count")([1])
    with pytest.raises(ValueError, match="computes with numbers"):
        IntegerLookup(vocabulary=[1])(np.array(["a"]))
    with pytest.raises(ValueError, match="inverts integers"):
        IntegerLookup(vocabulary=[1], invert=True)(torch.ones(2))
    with pytest.raises(ValueError, match="needs an `oov_token`"):
        IntegerLookup(vocabulary=[1], num_oov_indices=0, oov_token=None, invert=True)([0])


def lookup(mode, expected_output_shape, **more):
    return case(
        IntegerLookup,
        {"vocabulary": [1, 2, 5], "output_mode": mode, **more},
        input_shape=(2, 3),
        input_dtype="int64",
        expected_output_shape=expected_output_shape,
        expected_num_weights=0,
    )


@layer_cases(
    {
        "int": lookup("int", (2, 3)),
        "count": lookup("count", (2, 4)),
        "one_hot": lookup("one_hot", (2, 3, 5), num_oov_indices=2, oov_method="farmhash"),
        "tf_idf": lookup("tf_idf", (2, 4), idf_weights=[1.0, 2.0, 3.0]),
        "invert": lookup("int", (2, 3), invert=True),
        "adapted": case(
            IntegerLookup,
            {"max_tokens": 4},
            (2, 3),
            input_dtype="int64",
            prepare=lambda layer: layer.adapt([[1, 2], [3, 3]]),
        ),
    }
)
def test_holds_the_contract_of_layers(check):
    check()
