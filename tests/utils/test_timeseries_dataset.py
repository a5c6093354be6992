"""Windows of a series: values by the formula, bounds, orders and errors."""

import numpy as np
import pytest
import torch

import torchkeras as keras

make = keras.utils.timeseries_dataset_from_array


def rows(dataset):
    return [x.tolist() for batch in dataset for x in batch]


def test_the_example_of_keras():
    windows = rows(make(np.arange(99), None, 10, sampling_rate=2, sequence_stride=3))
    assert windows[0] == list(range(0, 20, 2)) and windows[1] == list(range(3, 23, 2))
    assert windows[-1] == list(range(78, 98, 2)) and len(windows) == 27


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("rate", [1, 3])
@pytest.mark.parametrize("start", [None, 0, 7])
@pytest.mark.parametrize("end", [None, 35])
def test_windows_and_targets_by_the_formula(stride, rate, start, end):
    data, targets = np.random.rand(40, 2), np.arange(40) * 10
    dataset = make(data, targets, 5, stride, rate, 8, start_index=start, end_index=end)
    first, stop = start or 0, end or 40
    begins = [b for b in range(first, stop, stride) if b + 4 * rate < stop]
    windows = np.concatenate([x for x, _ in dataset])
    np.testing.assert_array_equal(windows, [data[b : b + 5 * rate : rate][:5] for b in begins])
    np.testing.assert_array_equal(np.concatenate([y for _, y in dataset]), targets[begins])


def test_targets_that_end_before_the_data():
    # Keras reads past the end of such targets where `start_index` is above 0.
    dataset = make(np.arange(50), np.arange(30), 5, start_index=10)
    assert sum(len(y) for _, y in dataset) == 20


def test_shuffled_windows_keep_their_targets():
    dataset = make(np.arange(60.0), np.arange(60), 3, shuffle=True, seed=1, batch_size=16)
    orders = []
    for _ in range(2):
        pairs = [
            (x[0], y) for xs, ys in dataset for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
        ]
        assert all(a == b for a, b in pairs)
        orders.append([y for _, y in pairs])
    assert sorted(orders[0]) == list(range(58)) and orders[0] != orders[1]
    assert [
        y for _, ys in make(np.arange(60.0), np.arange(60), 3, shuffle=True, seed=1) for y in ys
    ] == orders[0]


def test_tensors_memory_maps_and_single_windows(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(20, dtype="float32"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for data in (torch.arange(20.0), mapped, list(range(20))):
        dataset = make(data, data, 4, batch_size=None)
        window, target = next(iter(dataset))
        assert window.tolist() == [0, 1, 2, 3] and target == 0 and len(dataset) == 17
    assert make(mapped, None, 4).element_spec == keras.data.TensorSpec((None, 4), "float32")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"sequence_length": 0}, "`sequence_length` must be at least 1"),
        ({"sequence_length": 11}, "At least one whole window"),
        ({"sequence_length": 6, "sampling_rate": 2}, "At least one whole window"),
        ({"targets": np.arange(3), "start_index": 3}, "At least one whole window"),
        ({"end_index": 0}, "`end_index` must be higher than 0"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"data": np.array(["a", "b"])}, "`data` must be an array of numbers"),
        ({"data": np.float32(3)}, "`data` must be an array of numbers"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        make(**{"data": np.arange(10), "targets": None, "sequence_length": 3, **arguments})
