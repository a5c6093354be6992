import numpy as np
import pytest
import torch

from torchkeras.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter


def count(n):
    for i in range(n):
        yield np.full((2, 1), i, "float64"), [i, i]


def test_first_batch_is_looked_at_without_loss():
    reads = []

    def source():
        for i in range(3):
            reads.append(i)
            yield (np.array([i]),)

    adapter = GeneratorDataAdapter(source())
    assert reads == [0]
    assert [x.tolist() for (x,) in adapter.batches()] == [[0], [1], [2]]


def test_numpy_and_lists_become_tensors_of_their_dtype():
    x, y = next(GeneratorDataAdapter(count(1)).batches())
    assert x.dtype is torch.float64 and y.tolist() == [0, 0]


@pytest.mark.parametrize(
    "item, length, bare",
    [
        (np.zeros(2), 1, True),
        ({"a": np.zeros(2)}, 1, True),
        ((np.zeros(2),), 1, False),
        ([np.zeros(2), np.zeros(2)], 2, False),
        ((np.zeros(2), np.zeros(2), np.ones(2)), 3, False),
    ],
)
def test_kinds_of_items(item, length, bare):
    adapter = GeneratorDataAdapter(iter([item]))
    (batch,) = adapter.batches()
    assert isinstance(batch, tuple) and len(batch) == length and adapter.bare_batches == bare


def test_generator_goes_on_where_it_was():
    adapter = GeneratorDataAdapter(count(4))
    assert adapter.one_shot and adapter.num_batches is None
    assert next(adapter.batches())[1].tolist() == [0, 0]
    assert [y.tolist() for _, y in adapter.batches()] == [[1, 1], [2, 2], [3, 3]]
    assert list(adapter.batches()) == []


def test_other_iterables_start_anew():
    class Loader:
        passes = 0

        def __iter__(self):
            Loader.passes += 1
            return count(2)

        def __len__(self):
            return 2

    adapter = GeneratorDataAdapter(Loader())
    assert not adapter.one_shot and adapter.num_batches == 2
    for _ in range(2):
        assert [y.tolist() for _, y in adapter.batches()] == [[0, 0], [1, 1]]
    assert Loader.passes == 2


def test_device_and_class_weight():
    adapter = GeneratorDataAdapter(count(2), class_weight={1: 3.0})
    assert [w.tolist() for _, _, w in adapter.batches()] == [[1, 1], [3, 3]]
    x, y = next(GeneratorDataAdapter(count(1), device="meta").batches())
    assert x.is_meta and y.is_meta


def test_empty_generator_is_an_error():
    with pytest.raises(ValueError, match="at least one batch. Received: an empty generator"):
        GeneratorDataAdapter(count(0))


def test_unusable_first_batch_is_an_error_at_once():
    with pytest.raises(ValueError, match="`x` with items of type set"):
        GeneratorDataAdapter(iter([{1, 2}]))
    with pytest.raises(ValueError, match=r"`batch\[3\]` with items of type set"):
        GeneratorDataAdapter(iter([(np.zeros(1), np.zeros(1), None, {1})]))
    with pytest.raises(ValueError, match="a tuple of 0 items"):
        GeneratorDataAdapter(iter([()]))


def test_errors_of_the_generator_pass_through():
    def source():
        yield np.zeros(1)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(GeneratorDataAdapter(source()).batches())
