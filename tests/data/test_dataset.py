"""keras.data.Dataset: what each step gives, orders and seeds, lengths, specs and errors."""

import collections
import pickle
import random

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.data import Dataset, TensorSpec


def plain(element):
    """An element with Python numbers and lists in the place of tensors."""
    return keras.tree.map_structure(
        lambda leaf: leaf.tolist() if isinstance(leaf, (torch.Tensor, np.ndarray)) else leaf,
        element,
    )


def values(dataset):
    return [plain(element) for element in dataset]


def stream(count):
    """The numbers below `count`, of a dataset that knows neither length nor places."""
    return Dataset.from_generator(lambda: iter(torch.arange(count)))


def add_ten(x):
    return x + 10


def is_even(x):
    return x % 2 == 0


STEPS = {
    "map": (lambda d: d.map(add_ten), lambda n: [x + 10 for x in n]),
    "filter": (lambda d: d.filter(is_even), lambda n: n[::2]),
    "batch": (lambda d: d.batch(4), lambda n: [n[i : i + 4] for i in range(0, len(n), 4)]),
    "batch, remainder dropped": (
        lambda d: d.batch(4, drop_remainder=True),
        lambda n: [n[i : i + 4] for i in range(0, len(n) // 4 * 4, 4)],
    ),
    "padded batch": (lambda d: d.padded_batch(4), lambda n: [n[:4], n[4:8], n[8:]]),
    "unbatch": (lambda d: d.batch(4).unbatch(), lambda n: n),
    "unbatch, remainder dropped": (
        lambda d: d.batch(4, drop_remainder=True).unbatch(),
        lambda n: n[:8],
    ),
    "unbatch of what was changed": (
        lambda d: d.batch(4).map(add_ten).unbatch(),
        lambda n: [x + 10 for x in n],
    ),
    "rebatch": (
        lambda d: d.batch(4).prefetch().rebatch(3),
        lambda n: [n[:3], n[3:6], n[6:9], n[9:]],
    ),
    "take": (lambda d: d.take(3), lambda n: n[:3]),
    "take all": (lambda d: d.take(-1), lambda n: n),
    "take too many": (lambda d: d.take(30), lambda n: n),
    "skip": (lambda d: d.skip(3), lambda n: n[3:]),
    "skip all": (lambda d: d.skip(-1), lambda n: []),
    "skip too many": (lambda d: d.skip(30), lambda n: []),
    "shard": (lambda d: d.shard(3, 1), lambda n: n[1::3]),
    "repeat": (lambda d: d.repeat(2), lambda n: n * 2),
    "repeat never": (lambda d: d.repeat(0), lambda n: []),
    "repeat for ever": (lambda d: d.repeat().take(25), lambda n: (n * 3)[:25]),
    "enumerate": (lambda d: d.enumerate(5), lambda n: [(i, x) for i, x in enumerate(n, 5)]),
    "concatenate": (lambda d: d.concatenate(Dataset.range(2)), lambda n: [*n, 0, 1]),
    "zip": (lambda d: Dataset.zip(d, Dataset.range(3)), lambda n: [(x, x) for x in n[:3]]),
    "cache": (lambda d: d.cache(), lambda n: n),
    "prefetch": (lambda d: d.prefetch(2), lambda n: n),
    "prefetch without a buffer": (lambda d: d.prefetch(0), lambda n: n),
    "apply": (lambda d: d.apply(lambda other: other.take(2)), lambda n: n[:2]),
    "several": (
        lambda d: d.prefetch(2).map(add_ten).skip(1).batch(3).prefetch().take(2).cache(),
        lambda n: [[x + 10 for x in n[1:4]], [x + 10 for x in n[4:7]]],
    ),
}


@pytest.mark.parametrize("source", [Dataset.range, stream], ids=["numbered", "stream"])
@pytest.mark.parametrize("name", STEPS)
def test_each_step_gives_in_each_pass_what_it_says(name, source):
    step, expected = STEPS[name]
    numbers = list(range(10))
    dataset = step(source(10))
    assert [values(dataset) for _ in range(2)] == [expected(numbers)] * 2


@pytest.mark.parametrize("name", STEPS)
def test_the_number_of_elements_is_known_without_reading_them(name):
    step, expected = STEPS[name]
    of_range, of_stream = step(Dataset.range(10)), step(stream(10))
    unknown = name in ("filter", "unbatch of what was changed")
    count = len(expected(list(range(10))))
    assert of_range.cardinality() == (-2 if unknown else count)
    if not unknown:
        assert len(of_range) == count
    assert of_stream.cardinality() in (-2, count)


def test_cardinality_of_endless_datasets():
    endless = Dataset.range(3).repeat()
    assert endless.cardinality().numpy() == keras.data.INFINITE_CARDINALITY == -1
    assert endless.batch(2).map(add_ten).prefetch().cardinality() == -1
    assert Dataset.zip(endless, Dataset.range(5)).cardinality() == 5
    assert endless.take(4).cardinality() == 4
    assert endless.filter(is_even).cardinality() == keras.data.UNKNOWN_CARDINALITY == -2
    assert Dataset.range(2).concatenate(endless).cardinality() == -1
    assert Dataset.range(0).repeat().cardinality() == 0
    for dataset in (endless, stream(3)):
        with pytest.raises(TypeError, match="length of this dataset"):
            len(dataset)
        assert dataset  # nobody asks for its length


@pytest.mark.parametrize("buffer_size", [1, 3, 10, 99, None])
@pytest.mark.parametrize("source", [Dataset.range, stream], ids=["numbered", "stream"])
def test_shuffle_gives_every_element_once_in_a_new_order_each_pass(buffer_size, source):
    if source is stream and buffer_size is None:
        with pytest.raises(ValueError, match="needs `buffer_size`"):
            source(10).shuffle()
        return
    dataset = source(10).shuffle(buffer_size, seed=2)
    passes = [values(dataset) for _ in range(3)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    if buffer_size == 1:
        assert passes == [list(range(10))] * 3
        return
    assert len({tuple(one) for one in passes}) == 3
    for one in passes:  # an element waits in the buffer, and cannot come before it is in there
        assert all(x < place + (buffer_size or 10) for place, x in enumerate(one))
    # The same seed gives the same orders again, in another dataset, too.
    again = source(10).shuffle(buffer_size, seed=2)
    assert [values(again) for _ in range(3)] == passes
    assert values(source(10).shuffle(buffer_size, seed=3)) != passes[0]


def test_a_buffer_for_all_makes_every_order_equally_likely():
    dataset = Dataset.range(3).shuffle(3, seed=1)
    counts = {}
    for _ in range(1200):
        order = tuple(values(dataset))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    # Each of 6 orders comes 200 times, with a standard deviation of 13.
    assert min(counts.values()) > 140 and max(counts.values()) < 260


def test_without_a_seed_orders_come_from_torchs_default_generator():
    dataset = Dataset.range(50).shuffle(50)
    keras.utils.set_random_seed(1)
    first = [values(dataset) for _ in range(2)]
    keras.utils.set_random_seed(1)
    other = Dataset.range(50).shuffle(50)
    assert [values(other) for _ in range(2)] == first
    assert first[0] != first[1]


def test_no_random_number_is_drawn_where_nothing_is_random():
    keras.utils.set_random_seed(1)
    expected = torch.rand(1)
    keras.utils.set_random_seed(1)
    values(Dataset.range(3).shuffle(3, seed=1).batch(2).prefetch())
    assert Dataset.range(3).map(lambda x: torch.rand(2)).element_spec.shape == (2,)
    assert torch.equal(torch.rand(1), expected)


def test_one_order_for_all_passes():
    dataset = Dataset.range(20).shuffle(20, reshuffle_each_iteration=False)
    assert values(dataset) == values(dataset) != list(range(20))
    repeated = values(Dataset.range(20).shuffle(20, seed=4).repeat(2))
    assert sorted(repeated[:20]) == sorted(repeated[20:]) == list(range(20))
    assert repeated[:20] != repeated[20:]


def test_two_shuffles_do_not_undo_each_other():
    dataset = Dataset.range(30).shuffle(30, seed=1).shuffle(30, seed=1)
    assert values(dataset) != list(range(30))


def test_elements_are_those_of_the_arrays_in_every_structure():
    x, y = np.arange(12, dtype="float32").reshape(6, 2), np.arange(6)
    words = np.array(list("abcdef"))
    tensors = {"x": x, "both": (torch.from_numpy(y), ["u", "v", "w", "x", "y", "z"])}
    dataset = Dataset.from_tensor_slices((tensors, words))
    features, word = dataset[4]
    assert features["x"].tolist() == [8, 9] and word == "e" and features["both"][1] == "y"
    assert features["both"][0].dtype == torch.int64
    features, batch = list(dataset.batch(4))[1]
    assert features["x"].tolist() == x[4:].tolist()
    assert batch.tolist() == ["e", "f"] and batch.dtype == object
    assert dataset.batch(4).element_spec == (
        {
            "x": TensorSpec((None, 2), "float32"),
            "both": (TensorSpec((None,), "int64"), TensorSpec((None,), "string")),
        },
        TensorSpec((None,), "string"),
    )


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0),
        np.arange(6.0)[::-1],
        np.broadcast_to(np.float32(3.0), (6,)),
        np.arange(6, dtype=">i4"),
        [0, 1, 2, 3, 4, 5],
        [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]],
        torch.arange(6, dtype=torch.bfloat16),
        np.arange(6) > 2,
    ],
    ids=["float64", "reversed", "read-only", "big-endian", "list", "lists", "bfloat16", "bool"],
)
def test_arrays_of_every_kind_are_read(array):
    expected = torch.as_tensor(array).tolist() if isinstance(array, torch.Tensor) else None
    expected = np.asarray(array).tolist() if expected is None else expected
    dataset = Dataset.from_tensor_slices(array)
    assert values(dataset) == expected
    assert values(dataset.shuffle(6, seed=0).batch(6))[0] != [] and len(dataset) == 6
    assert values(dataset.batch(6)) == [expected]
    assert dataset[5].dtype == next(iter(dataset.batch(6))).dtype


def test_pandas_columns_and_variables_are_read():
    class Column:  # what a pandas Series shows
        iloc = None

        def to_numpy(self):
            return np.arange(3.0)

    dataset = Dataset.from_tensor_slices(({"a": Column()}, keras.Variable([1.0, 2.0, 3.0])))
    assert values(dataset)[2] == ({"a": 2.0}, 3.0)


def test_a_batch_does_not_share_the_memory_of_the_arrays():
    x = np.zeros(4)
    next(iter(Dataset.from_tensor_slices(x).batch(4)))[:] = 1
    assert x.tolist() == [0, 0, 0, 0]


def test_from_tensors_from_indexed_and_from_generator():
    assert values(Dataset.from_tensors(([1, 2], 3))) == [([1, 2], 3)]
    items = torch.utils.data.TensorDataset(torch.arange(3), torch.arange(3) + 1)
    assert values(Dataset.from_indexed(items)) == [(0, 1), (1, 2), (2, 3)]

    def count(start, stop):
        yield from ((np.float32(i), "word") for i in range(start, stop))

    dataset = Dataset.from_generator(count, args=(2, 4))
    assert values(dataset) == [(2.0, "word"), (3.0, "word")]
    assert dataset.element_spec == (TensorSpec((), "float32"), TensorSpec((), "string"))
    assert values(Dataset.range(1, 10, 4)) == [1, 5, 9]


def test_a_function_gets_the_items_of_a_tuple_and_may_return_anything():
    x, y = np.arange(4.0), np.arange(4)
    pairs = Dataset.from_tensor_slices((x, y))
    assert values(pairs.map(lambda a, b: {"sum": a + b, "list": [1, 2]}))[3] == {
        "sum": 6.0,
        "list": [1, 2],
    }
    assert values(pairs.map(lambda a, b: a.numpy() * 2)) == [0.0, 2.0, 4.0, 6.0]
    dicts = pairs.map(lambda a, b: {"a": a}).map(lambda d: d["a"])
    assert values(dicts) == [0.0, 1.0, 2.0, 3.0]
    assert values(pairs.filter(lambda a, b: b > 1)) == [(2.0, 2), (3.0, 3)]


def test_layers_in_map_run_in_the_mode_they_are_called_in():
    layer = keras.layers.Dropout(0.5, seed=1)
    dataset = Dataset.from_tensor_slices(np.ones((4, 100), "float32")).batch(2)
    dropped = list(dataset.map(lambda x: layer(x, training=True), num_parallel_calls=4).prefetch(2))
    assert all(0.3 < (x == 0).float().mean() < 0.7 for x in dropped)


def test_data_collects_no_gradients():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    dataset = Dataset.from_tensor_slices(np.ones((4, 3), "float32")).batch(2).map(layer)
    assert not next(iter(dataset)).requires_grad
    weights = torch.ones(3, requires_grad=True)
    streams = (Dataset.from_generator(lambda: iter([weights * 2])), Dataset.from_tensors(weights))
    assert not any(next(iter(stream)).requires_grad for stream in streams)


def test_mappings_are_dicts():
    class Tokens(collections.UserDict):
        pass

    dataset = Dataset.range(2).map(lambda i: Tokens(ids=[1, 2]))
    assert values(dataset.batch(2)) == [{"ids": [[1, 2], [1, 2]]}]


def test_padded_batch_fills_up_at_the_ends():
    rows = [(torch.ones(n, 1), n) for n in (2, 3, 1)]
    dataset = Dataset.from_indexed(rows)
    (x, n), (last, _) = dataset.padded_batch(2)
    assert x.shape == (2, 3, 1) and x[0, :, 0].tolist() == [1, 1, 0] and n.tolist() == [2, 3]
    assert last.shape == (1, 1, 1)
    (x, _), *_ = dataset.padded_batch(3, ((4, None), ()), (-1.0, 0))
    assert x[:, :, 0].tolist() == [[1, 1, -1, -1], [1, 1, 1, -1], [1, -1, -1, -1]]
    with pytest.raises(ValueError, match="at least the sizes of the elements"):
        next(iter(dataset.padded_batch(3, ((2, None), ()))))
    with pytest.raises(ValueError, match="a size for each axis"):
        next(iter(dataset.padded_batch(3, ((4,), ()))))
    assert dataset.padded_batch(2).element_spec[0] == TensorSpec((None, None, None), "float32")


def test_cache_reads_each_element_once_and_keeps_its_order():
    read = []

    def note(x):
        read.append(int(x))
        return x

    dataset = Dataset.range(6).shuffle(6, seed=1).map(note).cache()
    half = values(dataset.take(3))
    first = values(dataset)
    assert first[:3] == half
    assert sorted(first) == list(range(6)) and values(dataset) == first
    assert sorted(read) == list(range(6))
    # A stream is kept when it was read to its end.
    read.clear()
    dataset = stream(4).map(note).cache()
    next(iter(dataset))
    assert values(dataset) == values(dataset) == [0, 1, 2, 3]
    assert read == [0, 0, 1, 2, 3]


def test_looking_at_the_spec_does_not_fix_the_order_of_a_cache():
    dataset = Dataset.range(30).shuffle(30, seed=1).cache()
    assert dataset.element_spec == TensorSpec((), "int64")
    assert values(dataset) == values(Dataset.range(30).shuffle(30, seed=1))


def test_specs_follow_the_steps():
    dataset = Dataset.from_tensor_slices(np.zeros((5, 3), "float32"))
    assert dataset.batch(2, drop_remainder=True).element_spec == TensorSpec((2, 3), "float32")
    assert dataset.batch(2).unbatch().element_spec == TensorSpec((3,), "float32")
    assert dataset.batch(2).map(lambda x: x.sum(1)).element_spec == TensorSpec((2,), "float32")
    assert dataset.enumerate().take(2).shuffle(2).prefetch().repeat().element_spec == (
        TensorSpec((), "int64"),
        TensorSpec((3,), "float32"),
    )
    assert Dataset.zip({"a": dataset, "b": (Dataset.range(2),)}).element_spec == {
        "a": TensorSpec((3,), "float32"),
        "b": (TensorSpec((), "int64"),),
    }
    with pytest.raises(ValueError, match="without any"):
        Dataset.range(0).element_spec  # noqa: B018


def test_numpy_iterator():
    (x, word), *_ = Dataset.from_tensor_slices(
        (np.ones(2, "float32"), ["a", "b"])
    ).as_numpy_iterator()
    assert isinstance(x, np.ndarray | np.generic) and x.dtype == "float32" and word == "a"


@pytest.mark.parametrize(
    "steps",
    [
        lambda d: d.map(add_ten).shuffle(4, seed=1).batch(3).prefetch(),
        lambda d: d.filter(is_even).repeat(2),
        lambda d: d.cache().padded_batch(2),
    ],
)
def test_datasets_can_be_pickled_and_go_on_where_they_were(steps):
    dataset = steps(Dataset.range(10))
    values(dataset)
    copy = pickle.loads(pickle.dumps(dataset))
    assert [values(copy) for _ in range(2)] == [values(dataset) for _ in range(2)]


def test_a_data_loader_reads_a_dataset_that_has_an_order():
    dataset = Dataset.range(10).map(add_ten)
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True)
    assert sorted(torch.cat(list(loader)).tolist()) == list(range(10, 20))
    assert dataset[-1] == 19
    with pytest.raises(IndexError, match="has 10 elements"):
        dataset[10]
    for other in (dataset.shuffle(3), dataset.filter(is_even), dataset.repeat(2), stream(3)):
        with pytest.raises(TypeError, match="found by number only"):
            other[0]


BAD_CALLS = {
    "batch_size=0": (ValueError, "`batch_size` must be at least 1", lambda d: d.batch(0)),
    "batch_size=2.5": (TypeError, "`batch_size` must be an integer", lambda d: d.batch(2.5)),
    "count=-2": (ValueError, "`count` must be at least -1", lambda d: d.take(-2)),
    "skip": (TypeError, "`count` must be an integer", lambda d: d.skip("1")),
    "buffer_size": (ValueError, "`buffer_size` must be at least 1", lambda d: d.shuffle(0)),
    "seed": (TypeError, "`seed` must be an integer", lambda d: d.shuffle(2, seed="a")),
    "index": (ValueError, "`index` must be below `num_shards`", lambda d: d.shard(2, 2)),
    "map_func": (TypeError, "`map_func` must be a function", lambda d: d.map(1)),
    "predicate": (TypeError, "`predicate` must be a function", lambda d: d.filter(None)),
    "predicate's result": (
        ValueError,
        "must return True or False",
        lambda d: list(d.batch(2).filter(is_even)),
    ),
    "filename": (ValueError, "in memory only", lambda d: d.cache("file")),
    "num_workers": (ValueError, "`num_workers` must be at least 0", lambda d: d.prefetch(1, -1)),
    "zip": (TypeError, "`zip` needs a keras.data.Dataset", lambda d: Dataset.zip(d, [1])),
    "zip of none": (ValueError, "at least one dataset", lambda d: Dataset.zip()),
    "concatenate": (TypeError, "`concatenate` needs", lambda d: d.concatenate([1])),
    "apply": (TypeError, "`apply` needs", lambda d: d.apply(lambda other: 1)),
    "unbatch": (ValueError, "`unbatch` needs batches", lambda d: list(d.unbatch())),
    "called generator": (
        TypeError,
        "must be a function that returns an iterator",
        lambda d: Dataset.from_generator(iter([1])),
    ),
    "an iterator": (
        TypeError,
        "`len\\(x\\)` and `x\\[i\\]`",
        lambda d: Dataset.from_indexed(iter([])),
    ),
    "no rows": (ValueError, "first axis of samples", lambda d: Dataset.from_tensor_slices(3)),
    "uneven": (
        ValueError,
        r"same number of samples.*\(2,\), \(3,\)",
        lambda d: Dataset.from_tensor_slices(([1, 2], [1, 2, 3])),
    ),
    "an object": (
        ValueError,
        "an item of type object",
        lambda d: list(d.map(lambda x: {"a": object()})),
    ),
    "shapes": (
        ValueError,
        r"one shape and dtype.*\(0,\), \(1,\)",
        lambda d: list(d.map(lambda x: torch.zeros(int(x))).batch(2)),
    ),
    "structures": (
        ValueError,
        "structures do not match",
        lambda d: list(d.map(lambda x: {str(int(x)): x}).batch(2)),
    ),
    "itself": (TypeError, "A Dataset is made by", lambda d: Dataset([1, 2])),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls_say_what_is_wrong(name):
    kind, words, call = BAD_CALLS[name]
    with pytest.raises(kind, match=words):
        call(Dataset.range(4))


def test_random_functions_repeat_with_the_global_seed():
    def noisy(x):
        return x + random.random() + np.random.rand() + torch.rand(())

    dataset = Dataset.range(4).map(noisy).prefetch(4)
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        runs.append(values(dataset))
    assert runs[0] == runs[1] != values(dataset)
