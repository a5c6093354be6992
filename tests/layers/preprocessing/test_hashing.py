"""Hashing and HashedCrossing: values that Keras's tests and documentation give, and rules."""

import random

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.layers import HashedCrossing, Hashing
from torchkeras.layers.preprocessing.buckets import buckets, fingerprints
from torchkeras.layers.preprocessing.decimal_hash import decimal_hash
from torchkeras.layers.preprocessing.farm_hash import farm_hash_64
from torchkeras.layers.preprocessing.sip_hash import sip_hash_64

LETTERS = [["A"], ["B"], ["C"], ["D"], ["E"]]
NAMES = ["omar", "stringer", "marlo", "wire", "skywalker"]
NUMBERS = [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "data", "bins"),
    [
        ({"num_bins": 3}, LETTERS, [1, 0, 1, 1, 2]),
        ({"num_bins": 3, "salt": [133, 137]}, LETTERS, [1, 2, 1, 0, 2]),
        ({"num_bins": 3, "salt": 133}, LETTERS, [0, 0, 2, 1, 0]),
        ({"num_bins": 3, "mask_value": ""}, [["A"], ["B"], [""], ["C"], ["D"]], [1, 1, 0, 2, 2]),
        ({"num_bins": 1}, LETTERS, [0, 0, 0, 0, 0]),
        ({"num_bins": 1, "mask_value": "A"}, LETTERS, [0, 0, 0, 0, 0]),
        ({"num_bins": 2}, NAMES, [0, 0, 1, 0, 0]),
        ({"num_bins": 3, "mask_value": ""}, NAMES, [1, 1, 2, 1, 1]),
        ({"num_bins": 3, "mask_value": "omar"}, NAMES, [0, 1, 2, 1, 1]),
        ({"num_bins": 2, "salt": [133, 137]}, NAMES, [0, 1, 0, 1, 0]),
        ({"num_bins": 2, "salt": [211, 137]}, NAMES, [1, 0, 1, 0, 1]),
        ({"num_bins": 3}, NUMBERS, [1, 0, 1, 0, 2]),
        ({"num_bins": 3}, np.array(NUMBERS, "float32") + 0.5, [1, 0, 1, 0, 2]),
        ({"num_bins": 3, "salt": (133, 137)}, NUMBERS, [1, 1, 2, 0, 1]),
        ({"num_bins": 4, "mask_value": 2}, NUMBERS, [2, 1, 0, 1, 3]),
        ({"num_bins": 2}, [[[1], [2]], [[2], [3]], [[3], [4]]], [1] * 6),
    ],
)
def test_values_of_tensorflow(arguments, data, bins):
    made = Hashing(**arguments)(data)
    assert made.dtype is torch.int64
    assert made.flatten().tolist() == bins
    assert made.shape == np.shape(data)


def test_vectors():
    vectors = [[0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    column = np.array(NUMBERS)[:, None]
    one_hot = Hashing(3, output_mode="one_hot")
    assert one_hot(column).tolist() == vectors
    assert one_hot(np.array([NUMBERS])).tolist() == [vectors]
    assert one_hot("A").tolist() == [0, 1, 0]
    assert Hashing(3, output_mode="multi_hot")([NUMBERS]).tolist() == [[1, 1, 1]]
    assert Hashing(3, output_mode="count")([NUMBERS]).tolist() == [[2, 2, 1]]
    assert Hashing(3, output_mode="count", dtype="float64")(NUMBERS).dtype is torch.float64


@pytest.mark.parametrize("key", [None, (133, 2**64 - 5)])
def test_integers_hash_as_their_text_at_every_length(key):
    rng = random.Random(0)
    values = [
        0,
        2**63 - 1,
        -(2**63),
        *[s * 10**n + s * k for n in range(19) for k in (-1, 0, 1) for s in (1, -1)],
    ]
    values += [
        s * rng.randrange(10**n, min(10 ** (n + 1), 2**63)) for n in range(19) for s in (1, -1)
    ]
    made = decimal_hash(torch.tensor(values), key).tolist()
    for value, found in zip(values, made, strict=True):
        text = str(value).encode()
        assert found % 2**64 == (farm_hash_64(text) if key is None else sip_hash_64(text, key))


def test_sip_hash_has_the_values_of_its_paper():
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert sip_hash_64(bytes(range(15)), key) == 0xA129CA6149BE45E5  # appendix A
    assert sip_hash_64(b"", key) == 0x726FDB47DD0E0E31  # vectors_sip64 of the authors' code


def test_texts_of_many_lengths_are_hashed_together():
    texts = ["x" * size for size in (0, 1, 5, 9, 20, 40, 70, 200)] + ["é", "x", ""]
    made = fingerprints(np.array(texts, dtype=object).reshape(1, -1))
    assert made.shape == (1, 11)
    assert [h % 2**64 for h in made.flatten().tolist()] == [farm_hash_64(t.encode()) for t in texts]
    assert buckets(np.empty((0, 2), dtype=object), 3).shape == (0, 2)


def crossed():
    return np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102])


def test_crossing_has_the_values_of_tensorflow():
    assert HashedCrossing(5)(crossed()).tolist() == [1, 4, 1, 1, 3]
    columns = [x[:, None] for x in crossed()]
    assert HashedCrossing(5)(columns).tolist() == [[1], [4], [1], [1], [3]]
    vectors = torch.eye(5)[[1, 4, 1, 1, 3]]
    layer = HashedCrossing(5, output_mode="one_hot")
    assert torch.equal(layer(crossed()), vectors)
    assert torch.equal(layer(columns), vectors)
    made = HashedCrossing(10)((np.array("A"), np.array(101)))
    assert (made.shape, made.tolist()) == ((), 1)
    assert HashedCrossing(2, dtype="int32")(crossed()).dtype is torch.int32


def test_functional_models_of_text(tmp_path):
    text, number = keras.Input((1,), dtype="string"), keras.Input((1,), dtype="int64")
    bins = Hashing(7, salt=3, mask_value="B")(text)
    both = HashedCrossing(5, output_mode="one_hot")([text, number])
    model = keras.Model([text, number], [bins, both])
    assert [(y.shape, y.dtype) for y in model.outputs] == [
        ((None, 1), "int64"),
        ((None, 5), "float32"),
    ]
    columns = [x[:, None] for x in crossed()]
    made = model.predict(columns, verbose=0)
    assert np.array_equal(made[1], np.eye(5)[[1, 4, 1, 1, 3]])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").predict(columns, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(again, made, strict=True))


@pytest.mark.parametrize("layer", [Hashing(5), Hashing(5, salt=7), HashedCrossing(5)])
def test_integers_need_no_look_at_the_data(layer):
    """Everything is a function of shapes and dtypes, so it runs without data."""
    x = torch.zeros(3, 1, dtype=torch.int64, device="meta")
    assert layer([x, x] if isinstance(layer, HashedCrossing) else x).shape == (3, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hashing(None), "`num_bins` must be an int of at least 1"),
        (lambda: Hashing(0), "`num_bins` must be an int of at least 1"),
        (lambda: Hashing(2, salt="string"), "`salt` must be an int, or two of them"),
        (lambda: Hashing(2, salt=[1]), "`salt` must be an int, or two of them"),
        (lambda: Hashing(2, salt=[1, 2, 3]), "`salt` must be an int, or two of them"),
        (lambda: Hashing(2, output_mode="other"), "`output_mode` must be one of"),
        (lambda: Hashing(2, dtype="float32"), "`dtype` must be 'int32' or 'int64'"),
        (lambda: Hashing(2, sparse=True), "Outputs are dense"),
        (lambda: Hashing(2)(torch.tensor([True])), "integers and text"),
        (lambda: HashedCrossing(0), "`num_bins` must be"),
        (lambda: HashedCrossing(5, output_mode="count"), "`output_mode` must be one of"),
        (lambda: HashedCrossing(5)(np.array([1])), "list of two or more"),
        (lambda: HashedCrossing(5)([np.array([1])]), "list of two or more"),
        (lambda: HashedCrossing(5)([np.ones((1, 2), int)] * 2), r"shape \(\), \(batch,\)"),
        (lambda: HashedCrossing(5)([np.ones(1, int), np.ones(2, int)]), "have one shape"),
        (lambda: HashedCrossing(5)([np.ones(1), np.ones(1)]), "integers and text"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


INTEGERS = torch.tensor([[0, -3], [70000, 4]])


@layer_cases(
    {
        "int": case(
            Hashing,
            {"num_bins": 3},
            input_data=INTEGERS,
            expected_output_shape=(2, 2),
            expected_output_dtype="int64",
            supports_mixed_precision=False,
        ),
        "text": case(
            Hashing,
            {"num_bins": 3, "mask_value": "a"},
            supports_mixed_precision=False,
            input_data=np.array([["a", "z"], ["b", "c"]]),
            expected_num_weights=0,
        ),
        "salt": case(
            Hashing,
            {"num_bins": 3, "salt": 5, "output_mode": "count"},
            input_data=INTEGERS,
            expected_output_shape=(2, 3),
        ),
        "crossing": case(
            HashedCrossing,
            {"num_bins": 4},
            input_data=[torch.tensor([1, 2]), torch.tensor([4, 5])],
            expected_output_shape=(2,),
            supports_mixed_precision=False,
        ),
        "crossing_one_hot": case(
            HashedCrossing,
            {"num_bins": 4, "output_mode": "one_hot"},
            input_data=[torch.tensor([[1], [2]]), torch.tensor([[4], [5]])],
            expected_output_shape=(2, 4),
        ),
    }
)
def test_holds_the_contract_of_layers(check):
    check()
