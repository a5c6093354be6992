"""IMDB and Reuters: lists of word indices, and what the arguments do to them."""

import json

import numpy as np
import pytest

from torchkeras.datasets import imdb, reuters
from torchkeras.utils.file_utils import hash_file

# Sequence i holds the words i + 1, i + 2, ...: its first word tells which one it is.
TRAIN = [list(range(i + 1, i + 3 + i % 4)) for i in range(20)]
TEST = [list(range(i + 1, i + 3 + i % 3)) for i in range(30, 40)]
WORDS = {"the": 1, "caf\u00e9": 2}


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


@pytest.fixture(autouse=True)
def published(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    np.savez(
        tmp_path / "imdb.npz",
        x_train=object_array(TRAIN),
        y_train=np.arange(20) % 2,
        x_test=object_array(TEST),
        y_test=np.arange(30, 40) % 2,
    )
    np.savez(tmp_path / "reuters.npz", x=object_array(TRAIN), y=np.arange(20) % 2)
    for module, name in ((imdb, "imdb"), (reuters, "reuters")):
        words = tmp_path / f"{name}_word_index.json"
        words.write_text(json.dumps(WORDS, ensure_ascii=False), encoding="utf-8")
        data = tmp_path / f"{name}.npz"
        monkeypatch.setattr(module, "ORIGIN", data.as_uri())
        monkeypatch.setattr(module, "FILE_HASH", hash_file(data))
        monkeypatch.setattr(module, "WORD_INDEX_ORIGIN", words.as_uri())
        monkeypatch.setattr(module, "WORD_INDEX_FILE_HASH", hash_file(words, "md5"))
    return tmp_path


@pytest.fixture(params=[imdb, reuters])
def module(request):
    return request.param


def together(data):
    (x_train, y_train), (x_test, y_test) = data
    for x, y in ((x_train, y_train), (x_test, y_test)):
        assert x.dtype == object and x.shape == y.shape and y.dtype == np.int64
    return x_train.tolist() + x_test.tolist(), y_train.tolist() + y_test.tolist()


def originals(module):
    return TRAIN + TEST if module is imdb else TRAIN


def test_default_is_shift_start_mark_and_a_cut_largest_word(module):
    sequences, labels = together(module.load_data())
    largest = max(max(x) for x in originals(module)) + 3
    assert all(x[0] == 1 for x in sequences)
    for x, y in zip(sequences, labels, strict=True):
        assert (x[1] - 3 - 1) % 2 == y
    back = [[1] + [w + 3 if w + 3 < largest else 2 for w in x] for x in originals(module)]
    assert sorted(sequences) == sorted(back)
    assert sequences != back


def test_without_mark_and_shift_words_are_those_of_the_file(module):
    sequences, _ = together(module.load_data(num_words=99, start_char=None, index_from=0))
    assert sorted(sequences) == originals(module)


@pytest.mark.parametrize("index_from", [None, 0])
def test_index_from_none_is_zero(module, index_from):
    sequences, _ = together(module.load_data(num_words=99, start_char=5, index_from=index_from))
    assert sorted(sequences) == [[5, *x] for x in originals(module)]


def test_num_words_and_skip_top_replace(module):
    plain, _ = together(module.load_data(num_words=99))
    cut, _ = together(module.load_data(num_words=12, skip_top=6))
    assert cut == [[w if 6 <= w < 12 else 2 for w in x] for x in plain]


def test_oov_char_none_leaves_out(module):
    plain, _ = together(module.load_data(num_words=99))
    cut, _ = together(module.load_data(num_words=12, skip_top=6, oov_char=None))
    assert cut == [[w for w in x if 6 <= w < 12] for x in plain]


def test_maxlen_drops_sequences_of_that_length_and_their_labels(module):
    plain, labels = together(module.load_data(num_words=99))
    kept, kept_labels = together(module.load_data(num_words=99, maxlen=4))
    expected = [(x, y) for x, y in zip(plain, labels, strict=True) if len(x) < 4]
    assert sorted(zip(kept, kept_labels, strict=True)) == sorted(expected)
    # All of length 3: still one list an element.
    assert {len(x) for x in kept} == {3}


def test_maxlen_that_drops_all_is_an_error(module):
    with pytest.raises(ValueError, match="maxlen=3, shortest sequence: 3. Raise maxlen"):
        module.load_data(maxlen=3)


def test_seed_decides_the_order(module):
    first, _ = together(module.load_data(seed=1))
    assert together(module.load_data(seed=1))[0] == first
    assert together(module.load_data(seed=2))[0] != first


def test_imdb_keeps_its_parts():
    (x_train, _), (x_test, _) = imdb.load_data(num_words=99, start_char=None, index_from=0)
    assert sorted(x_train.tolist()) == TRAIN and sorted(x_test.tolist()) == TEST


@pytest.mark.parametrize(("test_split", "train"), [(0.2, 16), (0, 20), (0.5, 10)])
def test_reuters_split(test_split, train):
    (x_train, _), (x_test, _) = reuters.load_data(test_split=test_split)
    assert len(x_train) == train and len(x_test) == 20 - train


def test_reuters_bad_split_is_an_error():
    with pytest.raises(ValueError, match="test_split=1.2"):
        reuters.load_data(test_split=1.2)


def test_imdb_unknown_argument_is_an_error():
    with pytest.raises(TypeError, match="Received also: nb_words"):
        imdb.load_data(nb_words=3)


def test_word_index(module):
    assert module.get_word_index() == WORDS


def test_files_go_into_the_cache_and_suffice(module, published):
    name = module.__name__.rpartition(".")[2]
    module.load_data()
    module.get_word_index()
    folder = published / "home" / "datasets"
    files = [f"{name}.npz", f"{name}_word_index.json"]
    assert sorted(path.name for path in folder.iterdir()) == files
    for file in files:
        (published / file).unlink()
    module.load_data()
    module.get_word_index()
    for file, load in zip(files, (module.load_data, module.get_word_index), strict=True):
        (folder / file).write_bytes(b"{}")
        with pytest.raises(OSError, match=f"'{file}'.*so it is not used.*KERAS_HOME"):
            load()


def test_reuters_labels_are_46_different_names():
    names = reuters.get_label_names()
    assert isinstance(names, tuple) and len(names) == len(set(names)) == 46
    assert names[0] == "cocoa" and names[-1] == "lead"
