"""StringLookup: the examples of Keras's documentation, and its rules."""

import json
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.layers import StringLookup
from torchkeras.layers.preprocessing.sip_hash import sip_hash_64

WORDS = ["a", "b", "c", "d"]


def floats(rows):
    return torch.tensor(rows, dtype=torch.float32)


def same(made, expected):
    assert made.dtype == expected.dtype
    assert torch.equal(made, expected)


def test_words_become_their_places():
    made = StringLookup(vocabulary=WORDS)([["a", "c", "d"], ["d", "z", "b"]])
    same(made, torch.tensor([[1, 3, 4], [4, 0, 2]]))


def test_adapted_vocabulary_goes_by_count_then_from_the_last_word_to_the_first():
    layer = StringLookup()
    layer.adapt([["a", "c", "d"], ["d", "z", "b"]])
    assert layer.get_vocabulary() == ["[UNK]", "d", "z", "c", "b", "a"]
    same(layer([["a", "c", "d"], ["d", "z", "b"]]), torch.tensor([[5, 3, 1], [1, 2, 4]]))
    assert layer.vocabulary_size() == 6
    assert layer.get_vocabulary(include_special_tokens=False) == ["d", "z", "c", "b", "a"]


@pytest.mark.parametrize(
    "data",
    [
        np.array([["x", "y"], ["y", "é"]]),
        np.array([[b"x", b"y"], [b"y", "é".encode()]]),
        ["x", "y", "y", "é"],
        iter([np.array(["x", "y"]), np.array(["y", "é"])]),
    ],
)
def test_adapt_takes_arrays_bytes_lists_and_batches(data):
    layer = StringLookup()
    layer.adapt(data)
    assert layer.get_vocabulary() == ["[UNK]", "y", "é", "x"]


def test_adapt_leaves_special_tokens_out_and_keeps_the_most_frequent_words():
    layer = StringLookup(max_tokens=4, mask_token="")
    layer.adapt(["", "", "", "[UNK]", "[UNK]", "b", "b", "a", "c"])
    assert layer.get_vocabulary() == ["", "[UNK]", "b", "c"]
    same(layer(["", "b", "a", "[UNK]"]), torch.tensor([0, 2, 1, 1]))


def test_adapt_forgets_what_it_learned_before():
    layer = StringLookup()
    layer.adapt(["a", "b"])
    layer.adapt(["c"])
    assert layer.get_vocabulary() == ["[UNK]", "c"]


def test_words_out_of_the_vocabulary_share_places_by_their_hash():
    layer = StringLookup(vocabulary=WORDS, num_oov_indices=2)
    made = layer([["a", "c", "d"], ["m", "z", "b"]])
    same(made, torch.tensor([[2, 4, 5], [0, 1, 3]]))
    layer = StringLookup(vocabulary=WORDS, num_oov_indices=2, mask_token="")
    same(layer(["", "m", "z", "a"]), torch.tensor([0, 1, 2, 3]))
    assert layer.get_vocabulary() == ["", "[UNK]", "[UNK]", *WORDS]


def test_without_places_for_them_such_words_are_an_error():
    layer = StringLookup(vocabulary=WORDS, num_oov_indices=0)
    same(layer(["a", "d"]), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="Received: 'z'. Give tokens out of it a place"):
        layer(["a", "z"])


def test_a_salt_makes_another_choice_among_places_for_other_words():
    words = ["x", "y", "z", "w", "v", "u"]
    layer = StringLookup(vocabulary=WORDS, num_oov_indices=4, salt=[137, 42])
    expected = [sip_hash_64(word.encode(), (137, 42)) % 4 for word in words]
    assert layer(words).tolist() == expected
    assert StringLookup.from_config(layer.get_config())(words).tolist() == expected


def test_tf_idf():
    """The values of Keras's own tests."""
    layer = StringLookup(mask_token="", output_mode="tf_idf", max_tokens=7)
    layer.adapt(["one", "one", "one", "two", "two", "three"])
    weights = np.log(1 + 6 / (1 + np.array([3, 2, 1])))
    np.testing.assert_allclose(layer.idf_weights[1:], weights, rtol=1e-6)
    np.testing.assert_allclose(layer.idf_weights[0], weights.mean(), rtol=1e-6)
    made = layer(["one", "two", "four"])
    np.testing.assert_allclose(made, [1.1337324, 0.91629076, 1.0986123, 0], rtol=1e-6)
    layer = StringLookup(mask_token="", output_mode="tf_idf", max_tokens=7)
    layer.adapt([["one", "one"], ["one", "two"], ["two", "three"]])
    made = layer([["one", "two"], ["two", "four"]])
    expected = [[0, 0.6931472, 0.6931472, 0], [0.76752836, 0, 0.6931472, 0]]
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_one_hot():
    layer = StringLookup(vocabulary=WORDS, output_mode="one_hot")
    rows = [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
    words = ["a", "b", "c", "d", "z"]
    same(layer(words), floats(rows))
    same(layer([[word] for word in words]), floats(rows))
    same(layer([words]), floats([rows]))
    same(layer("b"), floats(rows[1]))


def test_multi_hot_and_count():
    data = [["a", "c", "d", "d"], ["d", "z", "b", "z"]]
    layer = StringLookup(vocabulary=WORDS, output_mode="multi_hot")
    same(layer(data), floats([[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]))
    layer = StringLookup(vocabulary=WORDS, output_mode="count")
    same(layer(data), floats([[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]))
    same(layer(data[1]), floats([2, 0, 1, 0, 1]))
    same(layer("a"), floats([0, 1, 0, 0, 0]))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_mask_token_is_left_out_of_vectors(mode):
    layer = StringLookup(vocabulary=["a"], mask_token="", output_mode=mode)
    assert layer.get_vocabulary() == ["[UNK]", "a"]
    same(layer([[""], ["a"]]), floats([[0, 0], [0, 1]]))


def test_vectors_can_be_padded():
    layer = StringLookup(max_tokens=4, pad_to_max_tokens=True, output_mode="count")
    assert layer(keras.Input((3,), dtype="string")).shape == (None, 4)
    layer.adapt(["a"])
    same(layer([["a", "z"]]), floats([[1, 1, 0, 0]]))


def test_invert_gives_the_words():
    layer = StringLookup(vocabulary=WORDS, invert=True)
    made = layer(np.array([[1, 3, 4], [4, 0, 2], [9, -1, 1]]))
    assert made.tolist() == [["a", "c", "d"], ["d", "[UNK]", "b"], ["[UNK]", "[UNK]", "a"]]
    layer = StringLookup(vocabulary=WORDS, invert=True, mask_token="", num_oov_indices=2)
    assert layer(torch.tensor([0, 1, 2, 3])).tolist() == ["", "[UNK]", "[UNK]", "a"]
    assert layer(keras.Input((2,), dtype="int64")).dtype == "string"


def test_functional_model_reads_text():
    inputs = keras.Input(shape=(1,), dtype="string")
    model = keras.Model(inputs, StringLookup(vocabulary=WORDS)(inputs))
    assert (model.output.shape, model.output.dtype) == ((None, 1), "int64")
    same(model(np.array([["d"], ["z"]])), torch.tensor([[4], [0]]))
    there_and_back = StringLookup(vocabulary=WORDS, invert=True)(model.output)
    model = keras.Model(inputs, there_and_back)
    assert model(np.array([["d"], ["z"]])).tolist() == [["d"], ["[UNK]"]]


@pytest.mark.parametrize("mode", ["int", "multi_hot"])
def test_symbols_have_the_dtype_and_shape_of_tensors(mode):
    layer = StringLookup(vocabulary=WORDS, output_mode=mode)
    symbol, tensor = layer(keras.Input((None,), dtype="string")), layer([["a", "b"]])
    assert symbol.dtype == str(tensor.dtype).removeprefix("torch.")
    assert symbol.shape == ((None, None) if mode == "int" else (None, 5))
    assert layer.compute_output_shape((1, 2)) == tuple(tensor.shape)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("model.safetensors", {}),
        ("model.keras", {"weights_format": "safetensors"}),
        ("model.keras", {"weights_format": "h5"}),
    ],
)
@pytest.mark.parametrize("mode", ["int", "count"])
@pytest.mark.parametrize("word", ["x", "", "line\nbreak"])
def test_adapted_model_survives_files(tmp_path, name, options, mode, word):
    if options.get("weights_format") == "h5":
        pytest.importorskip("h5py")
    layer = StringLookup(output_mode=mode, num_oov_indices=0 if word == "" else 1)
    layer.adapt(["b", "b", "é", word])
    inputs = keras.Input(shape=(1,), dtype="string")
    outputs = layer(inputs)
    if mode == "count":
        outputs = keras.layers.Dense(2)(outputs)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / name, **options)
    again = keras.models.load_model(tmp_path / name)
    data = np.array([[word], ["b"], ["é"]])
    same(again(data), model(data))
    assert again.layers[1].get_vocabulary() == layer.get_vocabulary()


def test_given_vocabulary_is_in_the_config():
    layer = StringLookup(vocabulary=np.array(WORDS), mask_token="", output_mode="int")
    config = json.loads(json.dumps(layer.get_config()))
    assert config["vocabulary"] == WORDS
    assert StringLookup.from_config(config).get_vocabulary() == layer.get_vocabulary()
    layer.set_vocabulary(["x"])
    again = StringLookup.from_config(layer.get_config())
    assert again.get_vocabulary() == ["", "[UNK]", "x"]


def test_config_of_keras_makes_the_layer():
    """As `keras.layers.StringLookup(vocabulary=["a"]).get_config()` gives it."""
    config = {
        "name": "string_lookup",
        "trainable": True,
        "dtype": {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": "float32"},
            "registered_name": None,
        },
        "invert": False,
        "max_tokens": None,
        "num_oov_indices": 1,
        "oov_token": "[UNK]",
        "mask_token": None,
        "output_mode": "int",
        "sparse": False,
        "pad_to_max_tokens": False,
        "idf_weights": None,
        "vocabulary": ["a"],
        "vocabulary_size": 2,
        "oov_method": "floormod",
        "salt": None,
        "encoding": "utf-8",
    }
    layer = StringLookup.from_config(config)
    same(layer(["a", "z"]), torch.tensor([1, 0]))
    made = layer.get_config()
    assert made["dtype"]["config"]["name"] == "int64"  # Keras's says float32 and means nothing
    assert {**made, "dtype": None} == {**config, "dtype": None}


def test_a_vocabulary_comes_from_a_file_that_the_program_names(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("é\nb\n", encoding="utf-8")
    layer = StringLookup(vocabulary=str(path))
    assert layer.get_vocabulary() == ["[UNK]", "é", "b"]
    assert layer.get_config()["vocabulary"] is None  # it is an asset, as in Keras
    inputs = keras.Input((1,), dtype="string")
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    path.unlink()
    again = keras.models.load_model(tmp_path / "model.keras").layers[1]
    assert again.get_vocabulary() == layer.get_vocabulary()


class Inner(keras.layers.Layer):
    """A layer whose constructor hands a path of its config on."""

    def __init__(self, words):
        super().__init__()
        self.words = words
        self.lookup = StringLookup(vocabulary=words)


def test_a_config_opens_no_file(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("a\n")
    config = {**StringLookup(vocabulary=WORDS).get_config(), "vocabulary": str(path)}
    with pytest.raises(ValueError, match="opens no file that it names"):
        StringLookup.from_config(config)
    config = keras.saving.serialize_keras_object(Inner(["a"]))
    config["config"]["words"] = str(path)
    with pytest.raises(ValueError, match="opens no file that it names"):
        keras.saving.deserialize_keras_object(config, custom_objects={"Inner": Inner})


def test_inverse_learns_its_words_too():
    layer = StringLookup(invert=True)
    layer.adapt(["a", "b", "b"])
    assert layer([1, 2, 0]).tolist() == ["b", "a", "[UNK]"]


def test_pickle_keeps_the_vocabulary():
    layer = StringLookup()
    layer.adapt(["a", "b"])
    assert pickle.loads(pickle.dumps(layer)).get_vocabulary() == layer.get_vocabulary()


def test_special_tokens_may_stand_in_front_of_a_vocabulary():
    layer = StringLookup(vocabulary=["", "[UNK]", "a"], mask_token="")
    assert layer.get_vocabulary() == ["", "[UNK]", "a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 1}, "`max_tokens` must be an int of at least 2"),
        ({"num_oov_indices": -1}, "`num_oov_indices` must be an int of at least 0"),
        ({"pad_to_max_tokens": True}, "`pad_to_max_tokens` needs `max_tokens`"),
        ({"output_mode": "ragged"}, "`output_mode` must be one of"),
        ({"output_mode": "tf_idf", "vocabulary": ["a"]}, "`idf_weights` belong to"),
        ({"output_mode": "tf_idf", "idf_weights": [1.0]}, "belong to a vocabulary"),
        ({"output_mode": "count", "invert": True}, "`invert` needs output_mode='int'"),
        ({"sparse": True}, "`sparse`"),
        ({"encoding": "latin-1"}, "Bytes are read as UTF-8"),
        ({"salt": "x"}, "`salt`"),
        ({"oov_method": "x"}, "`oov_method` must be"),
        ({"idf_weights": [1.0]}, "`idf_weights`"),
        ({"vocabulary": []}, "must have one token or more"),
        ({"vocabulary": "words.txt"}, "a file that can be read"),
        ({"vocabulary": [1, 2]}, "Text was expected"),
        ({"vocabulary": ["a", "b", "a"]}, r"Received more than once: \['a'\]"),
        ({"vocabulary": ["a", "b"], "max_tokens": 2}, "max_tokens=2 places. Received: 3"),
        ({"vocabulary": ["a", ""], "mask_token": ""}, "mask_token='' at place 1"),
        ({"vocabulary": ["a", "[UNK]"], "invert": True}, r"oov_token='\[UNK\]' at place 1"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        StringLookup(**arguments)


def test_calls_that_cannot_be_answered_are_errors():
    with pytest.raises(ValueError, match="was given its vocabulary"):
        StringLookup(vocabulary=WORDS).adapt(["a"])
    with pytest.raises(RuntimeError, match="has no vocabulary yet"):
        StringLookup(output_mode="count")(["a"])
    with pytest.raises(ValueError, match="Text was expected"):
        StringLookup(vocabulary=WORDS)(torch.ones(2))
    with pytest.raises(ValueError, match="inverts integers"):
        StringLookup(vocabulary=WORDS, invert=True)(torch.ones(2))
    layer = StringLookup(output_mode="count")
    layer.adapt(["a", "b"])
    with pytest.raises(RuntimeError, match="vectors of 3 entries"):
        layer.adapt(["a"])
    with pytest.raises(ValueError, match="`idf_weights` belong to"):
        layer.set_vocabulary(["a", "b"], idf_weights=[1.0, 2.0])


def test_a_file_of_words_must_be_text(tmp_path):
    (tmp_path / "words").write_bytes(b"a\n\xff\n")
    (tmp_path / "good").write_bytes("a\r\nä\n".encode())
    with pytest.raises(ValueError, match="UTF-8.*Received: .*words.*0xff"):
        StringLookup(vocabulary=tmp_path / "words")
    with pytest.raises(ValueError, match="UTF-8.*Received: .*which is a folder"):
        StringLookup(vocabulary=tmp_path)
    assert StringLookup(vocabulary=tmp_path / "good").get_vocabulary() == ["[UNK]", "a", "ä"]


def lookup(mode, expected_output_shape):
    return case(
        StringLookup,
        {"vocabulary": WORDS, "output_mode": mode},
        input_data=np.array([["a", "z"], ["b", "c"]]),
        expected_output_shape=expected_output_shape,
        expected_num_weights=0,
        supports_compile=False,
        supports_export=False,
    )


@layer_cases({"int": lookup("int", (2, 2)), "count": lookup("count", (2, 5))})
def test_holds_the_contract_of_layers(check):
    check()
