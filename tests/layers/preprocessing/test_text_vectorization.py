"""TextVectorization: what Keras's documentation and tests of it promise, and its rules."""

import copy
import io
import json
import math
import pickle
import re
import string
import zipfile

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.layers import TextVectorization

TEXTS = ["Foo bar.", "Bar, baz!", "baz bada boom"]
WORDS = ["baz", "bar", "foo"]


def same(made, expected):
    expected = torch.as_tensor(expected)
    assert made.dtype == expected.dtype
    torch.testing.assert_close(made, expected)


def floats(rows):
    return torch.tensor(rows, dtype=torch.float32)


def adapted(data=TEXTS, **arguments):
    layer = TextVectorization(**arguments)
    layer.adapt(data)
    return layer


# Vocabularies


def test_adapted_vocabulary_goes_by_count_then_from_the_last_word_to_the_first():
    layer = adapted()
    assert layer.get_vocabulary() == ["", "[UNK]", "baz", "bar", "foo", "boom", "bada"]
    assert layer.get_vocabulary(include_special_tokens=False)[:2] == ["baz", "bar"]
    assert layer.vocabulary_size() == 7
    same(layer([["foo qux bar"], ["qux baz"]]), [[4, 1, 3], [1, 2, 0]])


@pytest.mark.parametrize(
    ("mode", "kept"), [("int", ["baz", "bar"]), ("count", ["baz", "bar", "foo"])]
)
def test_max_tokens_keeps_the_most_frequent_tokens(mode, kept):
    layer = adapted(max_tokens=4, output_mode=mode)
    assert layer.get_vocabulary(include_special_tokens=False) == kept
    assert layer.vocabulary_size() == 4


def batches(data):
    for text in data:
        yield [text]


SOURCES = {
    "list": lambda: TEXTS,
    "tuple": lambda: tuple(TEXTS),
    "column": lambda: [[text] for text in TEXTS],
    "array": lambda: np.array(TEXTS),
    "objects": lambda: np.array(TEXTS, dtype=object)[:, None],
    "bytes": lambda: np.array([text.encode() for text in TEXTS]),
    "generator": lambda: batches(TEXTS),
    "loader": lambda: torch.utils.data.DataLoader(TEXTS, batch_size=2),
    "loader with labels": lambda: torch.utils.data.DataLoader(
        [(text, torch.ones(1)) for text in TEXTS], batch_size=2
    ),
    "pairs of arrays": lambda: ((np.array([text]), np.ones(1)) for text in TEXTS),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_adapt_takes_texts_in_every_form(source, mode):
    layer = adapted(SOURCES[source](), output_mode=mode)
    assert layer.get_vocabulary(False) == ["baz", "bar", "foo", "boom", "bada"]
    if mode == "tf_idf":  # each text counts as one, however it comes
        rare, common = math.log(1 + 3 / 2), math.log(1 + 3 / 3)
        mean = (2 * common + 3 * rare) / 5
        same(layer(["foo bar new"]), floats([[mean, 0, common, rare, 0, 0]]))


def test_adapt_takes_some_batches_of_a_source_without_end():
    def endless():
        while True:
            yield ["hello world", "foo"]

    layer = TextVectorization()
    layer.adapt(endless(), steps=3)
    assert layer.get_vocabulary(False) == ["world", "hello", "foo"]
    layer.adapt(np.array(["a", "b", "c"]), batch_size=1, steps=2)
    assert layer.get_vocabulary(False) == ["b", "a"]  # in place of what was learned before


@pytest.mark.parametrize(
    "vocabulary", [WORDS, tuple(WORDS), np.array(WORDS), np.array(WORDS, dtype=object), "file"]
)
def test_given_vocabulary(vocabulary, tmp_path):
    if isinstance(vocabulary, str):
        vocabulary = str(tmp_path / "words.txt")
        (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    for layer in (TextVectorization(vocabulary=vocabulary), TextVectorization()):
        if not layer.get_vocabulary(False):
            layer.set_vocabulary(vocabulary)
        assert layer.get_vocabulary() == ["", "[UNK]", *WORDS]
        same(layer([["foo qux bar"], ["qux baz"]]), [[4, 1, 3], [1, 2, 0]])
    with pytest.raises(ValueError, match="was given its vocabulary"):
        TextVectorization(vocabulary=vocabulary).adapt(["a"])


def test_special_tokens_may_stand_in_front_of_a_vocabulary():
    layer = TextVectorization(vocabulary=["", "[UNK]", "a"])
    assert layer.get_vocabulary() == ["", "[UNK]", "a"]
    layer = TextVectorization(vocabulary=["[UNK]", "a"], output_mode="count")
    assert layer.get_vocabulary() == ["[UNK]", "a"]


# From texts to tokens


@pytest.mark.parametrize(
    ("arguments", "text", "tokens"),
    [
        ({}, "Hello, World!  It's\tnice.", ["hello", "world", "its", "nice"]),
        ({"standardize": "lower"}, "Hello, it's", ["hello,", "it's"]),
        ({"standardize": "strip_punctuation"}, "Hello, it's", ["Hello", "its"]),
        ({"standardize": None}, "Hello, it's", ["Hello,", "it's"]),
        ({"standardize": np.char.upper}, "Hello, é", ["HELLO,", "É"]),
        ({"split": "character"}, "Ab c", ["a", "b", " ", "c"]),
        ({"split": None}, "Ab c.", ["ab c"]),
        ({"split": lambda x: np.char.split(x, "|")}, "a b|c", ["a b", "c"]),
        ({"ngrams": 2}, "a b c", ["a", "b", "c", "a b", "b c"]),
        ({"ngrams": (1, 3)}, "a b c", ["a", "b", "c", "a b c"]),
        ({"ngrams": (2,)}, "a b c", ["a b", "b c"]),
        ({"ngrams": 2, "split": "character"}, "ab", ["a", "b", "a b"]),
    ],
)
def test_tokens(arguments, text, tokens):
    if arguments.get("split") and callable(arguments["split"]):
        arguments = {**arguments, "standardize": None}
    layer = TextVectorization(vocabulary=tokens, **arguments)
    same(layer([[text]]), [list(range(2, 2 + len(tokens)))])
    again = adapted([text], **arguments)
    assert sorted(again.get_vocabulary(False)) == sorted(tokens)


def test_functions_see_arrays_of_strings():
    seen = []

    def standardize(x):
        seen.append((type(x), x.dtype.kind, x.shape))
        return x

    def split(x):
        seen.append((type(x), x.dtype.kind, x.shape))
        return np.char.split(x)

    layer = TextVectorization(standardize=standardize, split=split, vocabulary=["a", "b"])
    same(layer(np.array([["a b"], ["b"]], dtype=object)), [[2, 3], [3, 0]])
    assert seen == [(np.ndarray, "U", (2, 1)), (np.ndarray, "U", (2,))]


def by_the_book(texts, vocabulary, ngrams, mode, first):
    """Rows of places or of counts, a token at a time."""
    rows = []
    for text in texts:
        text = re.sub("[A-Z]", lambda found: found[0].lower(), text)
        text = "".join(c for c in text if c not in string.punctuation)
        words = [word for word in re.split(r"[ \t\n\v\f\r]+", text) if word]
        tokens = [
            " ".join(words[start : start + width])
            for width in range(1, ngrams + 1)
            for start in range(len(words) - width + 1)
        ]
        known = {word: place for place, word in enumerate(vocabulary, first)}
        places = [known.get(token, first - 1) for token in tokens]
        if mode == "int":
            rows.append(places)
        else:
            counts = [places.count(place) for place in range(first + len(vocabulary))]
            rows.append([min(count, 1) for count in counts] if mode == "multi_hot" else counts)
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


@pytest.mark.parametrize("mode", ["int", "multi_hot", "count"])
@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_random_texts_as_by_a_loop_over_tokens(mode, ngrams):
    rng = np.random.default_rng(ngrams)
    letters = [*"aAbB \t\n.,'-é\xa0\u2003Éß\x1f\x00", "\U0001f600", "\x85"]
    texts = ["".join(rng.choice(letters, rng.integers(0, 30))) for _ in range(60)]
    layer = adapted(texts[:30], ngrams=ngrams, output_mode=mode, max_tokens=20)
    vocabulary = layer.get_vocabulary(include_special_tokens=False)
    assert len(vocabulary) > 10
    expected = by_the_book(texts, vocabulary, ngrams, mode, first=2 if mode == "int" else 1)
    same(layer(texts), expected if mode == "int" else expected.float())


# Forms of inputs and outputs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("foo bar", [4, 3]),
        (b"foo bar", [4, 3]),
        (["foo bar", "baz"], [[4, 3], [2, 0]]),
        ([b"foo bar", b"baz"], [[4, 3], [2, 0]]),
        ((["foo bar"], ["baz"]), [[4, 3], [2, 0]]),
        (np.array("foo bar"), [4, 3]),
        (np.array(["foo bar", "baz"]), [[4, 3], [2, 0]]),
        (np.array([b"foo bar", b"baz"]), [[4, 3], [2, 0]]),
        (np.array([["foo bar"], ["baz"]], dtype=object), [[4, 3], [2, 0]]),
        (np.array([[["foo bar"], ["baz"]]]), [[[4, 3], [2, 0]]]),
        (np.array(["", " "]), np.zeros((2, 0), "int64")),
        (np.array([], dtype=str), np.zeros((0, 0), "int64")),
    ],
)
def test_inputs_in_every_form(given, expected):
    layer = TextVectorization(vocabulary=WORDS)
    same(layer(given), expected)
    if len(np.shape(given)):
        symbol = keras.Input(np.shape(given)[1:], dtype="string")
        assert layer(symbol).dtype == "int64"
        assert layer(symbol).shape[1:-1] == np.shape(expected)[1:-1]
        assert layer(symbol).shape[-1] is None


def test_words_that_are_split_already():
    layer = TextVectorization(split=None, vocabulary=WORDS)
    same(layer([["foo"], ["new"]]), [[4], [1]])
    same(layer([["foo", "bar"], ["", "baz"]]), [[4, 3], [0, 2]])
    same(layer(["foo", "bar"]), [4, 3])
    same(layer("foo"), 4)
    assert layer(keras.Input((2,), dtype="string")).shape == (None, 2)
    layer = TextVectorization(split=None, vocabulary=WORDS, output_sequence_length=3)
    same(layer([["foo", "bar"], ["new", "baz"]]), [[4, 3, 0], [1, 2, 0]])
    assert layer(keras.Input((2,), dtype="string")).shape == (None, 3)
    layer = TextVectorization(split=None, ngrams=2, vocabulary=["foo bar"])
    same(layer([["foo", "bar"]]), [[1, 1, 2]])
    assert layer(keras.Input((2,), dtype="string")).shape == (None, 3)
    layer = TextVectorization(split=None, vocabulary=WORDS, output_mode="count")
    same(layer([["foo", "foo"], ["", "new"]]), floats([[0, 0, 0, 2], [1, 0, 0, 0]]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [[4, 1, 3], [1, 2, 0], [4, 0, 0]]),
        ({"output_sequence_length": 4}, [[4, 1, 3, 0], [1, 2, 0, 0], [4, 0, 0, 0]]),
        ({"output_sequence_length": 2}, [[4, 1], [1, 2], [4, 0]]),
        ({"ragged": True}, [[4, 1, 3], [1, 2, 0], [4, 0, 0]]),
        ({"ragged": True, "output_sequence_length": 2}, [[4, 1], [1, 2], [4, 0]]),
        ({"ragged": True, "output_sequence_length": 9}, [[4, 1, 3], [1, 2, 0], [4, 0, 0]]),
    ],
)
def test_lengths_of_sequences(arguments, expected):
    layer = TextVectorization(vocabulary=WORDS, **arguments)
    same(layer([["foo qux bar"], ["qux baz"], ["foo"]]), expected)
    length = None if arguments.get("ragged") else arguments.get("output_sequence_length")
    assert layer(keras.Input((1,), dtype="string")).shape == (None, length)
    assert layer(keras.Input((), dtype="string")).shape == (None, length)


VECTORS = {
    "multi_hot": [[0, 1, 1, 0], [1, 1, 0, 1]],
    "count": [[0, 1, 1, 0], [1, 2, 0, 1]],
    "tf_idf": [[0, 0.3, 0.5, 0], [1 / 3, 0.6, 0, 0.2]],
    "one_hot": [
        [[0, 1, 0, 0], [0, 0, 1, 0], [0] * 4, [0] * 4],
        [[0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]],
    ],
}


@pytest.mark.parametrize("mode", VECTORS)
@pytest.mark.parametrize("padded", [False, True])
def test_vectors(mode, padded):
    weights = [0.3, 0.5, 0.2] if mode == "tf_idf" else None
    layer = TextVectorization(
        vocabulary=["foo", "bar", "baz"],
        idf_weights=weights,
        output_mode=mode,
        max_tokens=6 if padded else None,
        pad_to_max_tokens=padded,
    )
    expected = torch.nn.functional.pad(floats(VECTORS[mode]), (0, 2 if padded else 0))
    same(layer(["foo bar", "Baz foo, foo new!"]), expected)
    same(layer([["foo bar"], ["Baz foo, foo new!"]]), expected)
    same(layer("Baz foo, foo new!"), expected[1])
    symbol = layer(keras.Input((1,), dtype="string"))
    assert (symbol.dtype, len(symbol.shape)) == ("float32", expected.dim())
    assert symbol.shape[-1] == expected.shape[-1]


def test_weights_of_tokens_by_the_formula():
    texts = ["a a b", "a c", "a", "d d d d"]
    layer = adapted(texts, output_mode="tf_idf", max_tokens=6, pad_to_max_tokens=True)
    assert layer.get_vocabulary() == ["[UNK]", "d", "a", "c", "b"]
    found_in = {"d": 1, "a": 3, "c": 1, "b": 1}  # of the four texts
    idf = {word: math.log(1 + 4 / (1 + n)) for word, n in found_in.items()}
    mean = sum(idf.values()) / 4
    same(layer(["a a d zebra"]), floats([[mean, idf["d"], 2 * idf["a"], 0, 0, 0]]))


def test_ngrams_make_a_bag():
    layer = adapted(["to be or not to be"], ngrams=2, output_mode="count", max_tokens=4)
    assert layer.get_vocabulary() == ["[UNK]", "to be", "to", "be"]
    same(layer(["to be to"]), floats([[1, 1, 2, 1]]))  # "be to" is unknown


@pytest.mark.parametrize("name", ["binary", "tf-idf"])
def test_old_names_of_modes(name):
    modes = {"binary": "multi_hot", "tf-idf": "tf_idf"}
    assert TextVectorization(output_mode=name).get_config()["output_mode"] == modes[name]


def test_encoding_is_that_of_bytes():
    layer = TextVectorization(encoding="latin-1")
    text = "caf\xe9".encode("latin-1")
    layer.adapt(np.array([text]))
    assert layer.get_vocabulary(False) == ["caf\xe9"]
    same(layer([text]), [[2]])
    same(layer(["caf\xe9"]), [[2]])
    layer.adapt(iter([[text, b"\xe0"]]))
    assert layer.get_vocabulary(False) == ["\xe0", "caf\xe9"]
    layer.set_vocabulary([b"\xe8"])
    same(layer(["\xe8"]), [[2]])
    assert layer.get_config()["encoding"] == "latin-1"


# In models


def test_a_functional_model_reads_text_and_trains():
    vectorize = adapted(["good fine nice", "bad poor ugly"])
    inputs = keras.Input((1,), dtype="string")
    x = keras.layers.Embedding(vectorize.vocabulary_size(), 8, mask_zero=True)(vectorize(inputs))
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    x = ["good nice", "poor", "fine good fine", "bad ugly bad poor", "nice", "ugly", "fine"]
    y = np.array([[1.0], [0], [1], [0], [1], [0], [1]])
    model.fit(x, y, epochs=30, batch_size=3, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1
    predicted = model.predict(np.array(["good fine nice", "bad"]), batch_size=1, verbose=0)
    assert predicted[0] > 0.7 and predicted[1] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{"output_sequence_length": 3}, {"output_mode": "count"}])
def test_a_compiled_model_leaves_text_out_of_its_graphs(arguments):
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, keras.layers.Rescaling(2.0)(adapted(**arguments)(inputs)))
    data = np.array(["foo bar", "baz new", "foo", "boom baz boom"])
    expected = model.predict(data, batch_size=2, verbose=0)
    model.compile("sgd", "mse", jit_compile=True)
    np.testing.assert_array_equal(model.predict(data, batch_size=2, verbose=0), expected)


def test_first_layer_of_a_sequential_model():
    vectorize = TextVectorization(vocabulary=WORDS, output_sequence_length=3)
    model = keras.Sequential([vectorize, keras.layers.Embedding(5, 4)])
    assert model(np.array([["foo qux bar"], ["qux baz"]])).shape == (2, 3, 4)


class Texts(torch.utils.data.Dataset):
    def __init__(self, layer):
        self.layer = layer

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.layer(["foo bar", "baz", "foo", "new"][index])


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_workers_of_a_loader_vectorize(context):
    layer = TextVectorization(vocabulary=WORDS, output_sequence_length=2, standardize=np.char.lower)
    loader = torch.utils.data.DataLoader(
        Texts(layer), batch_size=4, num_workers=1, multiprocessing_context=context
    )
    (batch,) = loader
    same(batch, [[4, 3], [2, 0], [4, 0], [1, 0]])


# Configs, copies and files


def shout(x):
    return np.char.upper(x)


def by_bars(x):
    return np.char.split(x, "|")


FILES = [
    ("model.safetensors", {}),
    ("model.keras", {"weights_format": "safetensors"}),
    ("model.keras", {"weights_format": "h5"}),
]


@pytest.mark.parametrize(("name", "options"), FILES)
@pytest.mark.parametrize(
    ("arguments", "is_given"),
    [
        ({}, False),
        ({"ngrams": (1, 2), "output_sequence_length": 5, "standardize": None}, False),
        ({"output_mode": "tf_idf", "max_tokens": 9, "pad_to_max_tokens": True}, False),
        ({"output_mode": "tf_idf"}, True),
        ({"vocabulary": WORDS, "split": "character"}, True),
    ],
)
def test_models_with_it_survive_files(tmp_path, name, options, arguments, is_given):
    if options.get("weights_format") == "h5":
        pytest.importorskip("h5py")
    if is_given and arguments.get("output_mode") == "tf_idf":
        arguments = {**arguments, "vocabulary": WORDS, "idf_weights": [0.1, 0.2, 0.6]}
    layer = TextVectorization(**arguments)
    if not is_given:
        layer.adapt([*TEXTS, "\xe9t\xe9"])
    inputs = keras.Input((1,), dtype="string")
    outputs = layer(inputs)
    if layer.get_config()["output_mode"] == "tf_idf":
        outputs = keras.layers.Dense(2)(outputs)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / name, **options)
    again = keras.models.load_model(tmp_path / name)
    data = np.array([["foo bar"], ["baz \xe9t\xe9 new, more words"]])
    same(again(data), model(data))
    assert again.layers[1].get_vocabulary() == layer.get_vocabulary()
    assert again.layers[1].get_config() == layer.get_config()


def test_files_have_the_layout_of_keras(tmp_path):
    """Its layer and the lookup layer within each write, and ask for, all that was learned."""
    h5py = pytest.importorskip("h5py")
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), adapted(output_mode="tf_idf"), keras.layers.Dense(1)]
    )
    model.save(tmp_path / "model.keras", weights_format="h5")
    places = ["layers/text_vectorization", "layers/text_vectorization/_lookup_layer"]
    ours = tmp_path / "model.keras", tmp_path / "as_keras.keras"
    with zipfile.ZipFile(ours[0]) as archive, zipfile.ZipFile(ours[1], "w") as other:
        for name in archive.namelist():
            if not name.endswith("idf_weights.json"):  # which is ours alone
                other.writestr(name, archive.read(name))
        for place in places:
            words = archive.read(f"assets/{place}/vocabulary.txt").decode().split("\n")
            assert words == ["[UNK]", "baz", "bar", "foo", "boom", "bada"]
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            for place in places:
                np.testing.assert_allclose(file[f"{place}/vars/idf_weights"][1], math.log(2))
    data = np.array(["foo bar", "bada new"])
    same(keras.models.load_model(ours[1])(data), model(data).detach())


def test_functions_are_named_in_files(tmp_path):
    layer = TextVectorization(standardize=shout, split=by_bars)
    layer.adapt(["a|b c"])
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    known = {"shout": shout, "by_bars": by_bars}
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects=known)
    assert again.layers[1].get_vocabulary(False) == ["B C", "A"]
    same(again(np.array(["b c|a"])), [[2, 3]])
    with pytest.raises(ValueError, match="`standardize` that is not known here. Received: 'shout'"):
        keras.models.load_model(tmp_path / "model.keras")


def test_the_vocabulary_of_a_file_goes_into_model_files(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("\n".join(WORDS))
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), TextVectorization(vocabulary=str(words))]
    )
    model.save(tmp_path / "model.keras")
    words.unlink()
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].get_vocabulary(False) == WORDS
    assert str(words) not in json.dumps(again.get_config())


def test_a_config_opens_no_file(tmp_path):
    (tmp_path / "words.txt").write_text("secret")
    config = TextVectorization().get_config()
    config["vocabulary"] = str(tmp_path / "words.txt")
    with pytest.raises(ValueError, match="opens no file"):
        TextVectorization.from_config(config)
    whole = keras.saving.serialize_keras_object(TextVectorization())
    whole["config"]["vocabulary"] = str(tmp_path / "words.txt")
    with pytest.raises(ValueError, match="opens no file"):
        keras.saving.deserialize_keras_object(whole)


def test_config_of_keras_makes_the_layer():
    """As `keras.layers.TextVectorization(vocabulary=["a"], ngrams=(1, 2)).get_config()`."""
    config = {
        "name": "text_vectorization",
        "trainable": True,
        "dtype": {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": "float32"},
            "registered_name": None,
        },
        "max_tokens": None,
        "standardize": "lower_and_strip_punctuation",
        "split": "whitespace",
        "ngrams": [1, 2],
        "output_mode": "int",
        "output_sequence_length": None,
        "pad_to_max_tokens": False,
        "sparse": False,
        "ragged": False,
        "vocabulary": ["a"],
        "idf_weights": None,
        "encoding": "utf-8",
        "vocabulary_size": 3,
    }
    layer = TextVectorization.from_config(config)
    same(layer(["a z"]), [[2, 1, 1]])
    assert layer.get_config() == {**config, "ngrams": (1, 2)}
    assert list(layer.get_config()) == list(config)


@pytest.mark.parametrize("mode", ["int", "multi_hot", "tf_idf"])
def test_a_layer_made_again_before_it_has_words_can_adapt(mode):
    again = TextVectorization.from_config(TextVectorization(output_mode=mode).get_config())
    again.adapt(TEXTS)
    assert again.get_vocabulary(False) == ["baz", "bar", "foo", "boom", "bada"]


@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_copies_have_the_vocabulary(mode):
    layer = adapted(output_mode=mode, standardize=shout)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert again.get_vocabulary() == layer.get_vocabulary()
        same(again(TEXTS), layer(TEXTS))


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"standardize": "upper"}, "`standardize` must be None, one of 'lower', .*'upper'"),
        ({"split": "word"}, "`split` must be None, one of 'whitespace', .*'word'"),
        ({"ngrams": "2"}, "`ngrams` must be None, an int"),
        ({"ngrams": [1, 2]}, "`ngrams` must be None, an int"),
        ({"ngrams": (1, "2")}, "`ngrams` must be None, an int"),
        ({"ngrams": 0}, "`ngrams` must be None, an int"),
        ({"output_mode": "words"}, "`output_mode` must be one of"),
        ({"output_sequence_length": "5"}, "`output_sequence_length` must be None or an int"),
        ({"output_sequence_length": 0}, "`output_sequence_length` must be None or an int"),
        ({"output_mode": "count", "output_sequence_length": 5}, "belongs to output_mode='int'"),
        ({"output_mode": "count", "ragged": True}, "`ragged` belongs to output_mode='int'"),
        ({"output_mode": "count", "sparse": True}, "Outputs are dense"),
        ({"encoding": "utf-9"}, "`encoding` must be the name of an encoding"),
        ({"max_tokens": 1}, "`max_tokens` must be an int of at least 2"),
        ({"pad_to_max_tokens": True}, "`pad_to_max_tokens` needs `max_tokens`"),
        ({"vocabulary": []}, "one token or more"),
        ({"vocabulary": "/no/such/file"}, "No such file"),
        ({"vocabulary": ["a", "b", "a"]}, r"Received more than once: \['a'\]"),
        ({"vocabulary": ["a", ""]}, "mask_token='' at place 1"),
        ({"vocabulary": ["a", "b"], "max_tokens": 3}, "max_tokens=3 places. Received: 4"),
        ({"vocabulary": ["a"], "output_mode": "tf_idf"}, "`idf_weights` belong to"),
        ({"vocabulary": ["a"], "idf_weights": [1.0]}, "`idf_weights` belong to"),
        (
            {"vocabulary": ["a"], "output_mode": "tf_idf", "idf_weights": [1.0, 2.0]},
            "one number for each of 1 tokens",
        ),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextVectorization(**arguments)


def test_calls_that_cannot_be_answered_are_errors():
    layer = TextVectorization(vocabulary=WORDS)
    for given in (np.array([["a", "b"]]), keras.Input((2,), dtype="string")):
        with pytest.raises(
            ValueError, match="with a last axis of size 1. Received: inputs of shape"
        ):
            layer(given)
    with pytest.raises(ValueError, match="Text was expected"):
        layer(torch.ones(2))
    with pytest.raises(RuntimeError, match="has no vocabulary yet"):
        TextVectorization(output_mode="multi_hot")(["a"])
    layer = adapted(output_mode="multi_hot")
    with pytest.raises(RuntimeError, match="vectors of 6 entries"):
        layer.adapt(["a"])


def text_case(expected_output_shape, expected_output_dtype, **arguments):
    return case(
        TextVectorization,
        {"vocabulary": ["a", "b", "c"], **arguments},
        input_data=np.array([["a z"], ["b c a"]]),
        expected_output_shape=expected_output_shape,
        expected_output_dtype=expected_output_dtype,
        expected_num_weights=0,
        supports_compile=False,
        supports_export=False,
    )


@layer_cases(
    {
        "int": text_case((2, 4), "int64", output_sequence_length=4),
        "count": text_case((2, 4), "float32", output_mode="count"),
        "tf_idf": text_case((2, 4), "float32", output_mode="tf_idf", idf_weights=[0.5, 0.25, 2.0]),
    }
)
def test_holds_the_contract_of_layers(check):
    check()
