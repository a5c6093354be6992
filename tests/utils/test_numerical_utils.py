import math

import numpy as np
import pytest
import torch

from torchkeras.utils.numerical_utils import normalize, to_categorical

# to_categorical


@pytest.mark.parametrize(
    ("x", "num_classes", "shape"),
    [
        ([0, 2, 1], None, (3, 3)),
        ([0, 2, 1], 5, (3, 5)),
        ([0, 1], 0, (2, 2)),
        ([[0], [1]], None, (2, 2)),
        ([[[1], [0]]], None, (1, 2, 2)),
        ([[1, 0, 1]], None, (1, 3, 2)),
        ([1], None, (1, 2)),
        (2, 4, (4,)),
        ([], 3, (0, 3)),
    ],
)
@pytest.mark.parametrize("kind", ["list", "numpy", "torch"])
def test_one_hot_shape_and_place(kind, x, num_classes, shape):
    values = np.array(x, dtype="int64")
    given = {"list": x, "numpy": values, "torch": torch.tensor(values)}[kind]
    result = to_categorical(given, num_classes)
    assert isinstance(result, torch.Tensor if kind == "torch" else np.ndarray)
    assert result.dtype == (torch.int64 if kind == "torch" else np.float64)
    assert tuple(result.shape) == shape
    result = np.asarray(result).reshape(-1, shape[-1])
    assert (result.sum(-1) == 1).all()
    assert result.argmax(-1).tolist() == values.reshape(-1).tolist()


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_label_dtypes(make):
    expected = [[0, 1], [1, 0]]
    assert to_categorical(make([True, False])).tolist() == expected
    assert to_categorical(make([1.7, 0.2])).tolist() == expected
    assert to_categorical(make([1, 0])).tolist() == expected
    assert to_categorical(np.array([1, 0], dtype="uint8")).tolist() == expected
    assert to_categorical(torch.tensor([1, 0], dtype=torch.uint8)).tolist() == expected


def test_strings_of_digits_are_labels_as_in_keras():
    assert to_categorical(["1", "0"]).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("make", [np.array, torch.tensor])
@pytest.mark.parametrize(
    ("x", "num_classes"),
    [
        ([0, -1], 3),
        ([0, -1], None),
        ([0.0, -0.5], 3),
        ([0, 3], 3),
        ([0.0, 3.0], 3),
        ([0.0, math.nan], 3),
        ([0.0, math.nan], None),
        ([0.0, math.inf], None),
        ([0.0, -math.inf], 3),
        ([0.0, 1e300], 3),
    ],
)
def test_labels_outside_the_classes_are_an_error(make, x, num_classes):
    with pytest.raises(ValueError, match="Labels must be .* Received: x with labels .* Mask"):
        to_categorical(make(x), num_classes)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_no_labels_and_no_num_classes_is_an_error(make):
    with pytest.raises(ValueError, match=r"x of shape \(0,\). Pass num_classes"):
        to_categorical(make([]))


def test_bad_num_classes_is_an_error():
    with pytest.raises(ValueError, match="num_classes=-2"):
        to_categorical([0], -2)
    with pytest.raises(TypeError, match="num_classes=2.5"):
        to_categorical([0], 2.5)


def test_words_are_an_error():
    with pytest.raises(TypeError, match="`x` must hold integer class labels"):
        to_categorical(["cat", "dog"])


def test_input_is_not_changed():
    x = np.array([[1], [0]])
    to_categorical(x)
    assert x.tolist() == [[1], [0]]


# normalize


def norms(x, axis, order):
    x = np.abs(np.asarray(x))
    if order == np.inf:
        return x.max(axis)
    return (x**order).sum(axis) ** (1 / order)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3, (0, 2), None])
@pytest.mark.parametrize(
    ("make", "order"),
    [
        *((make, order) for make in (np.array, torch.tensor) for order in (1, 2, 3)),
        (np.array, np.inf),
    ],
)
def test_norm_along_the_axis_is_one(make, order, axis):
    x = np.random.RandomState(0).randn(2, 3, 4)
    result = normalize(make(x), axis, order)
    assert isinstance(result, torch.Tensor if make is torch.tensor else np.ndarray)
    assert result.shape == (2, 3, 4)
    np.testing.assert_allclose(norms(result, axis, order), 1, rtol=1e-12)
    ratio = np.asarray(result) / x
    assert (ratio > 0).all()


def test_vectors_keep_keras_shapes():
    assert normalize(np.array([3.0, 4.0])).tolist() == [[0.6, 0.8]]
    assert normalize(torch.tensor([3.0, 4.0], dtype=torch.float64)).tolist() == [0.6, 0.8]


@pytest.mark.parametrize("make", [np.array, torch.tensor])
@pytest.mark.parametrize("order", [1, 2])
def test_zeros_stay_zeros(make, order):
    assert normalize(make([[0.0, 0.0], [0.0, 2.0]]), order=order).tolist() == [[0, 0], [0, 1]]


def test_half_precision_zeros_stay_zeros():
    x = torch.zeros(1, 3, dtype=torch.float16)
    assert normalize(x).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (np.array([[3, 4]]), np.float64),
        (np.array([[3, 4]], "float32"), np.float32),
        (torch.tensor([[3, 4]]), torch.float32),
        (torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.float64),
        ([[3, 4]], torch.float32),
    ],
)
def test_result_dtype(x, dtype):
    result = normalize(x)
    assert result.dtype == dtype
    np.testing.assert_allclose(np.asarray(result), [[0.6, 0.8]], rtol=1e-6)


def test_gradient_flows_and_is_finite_at_zero():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    normalize(x)[:, 0].sum().backward()
    # d(x0 / |x|) / dx = (1 - n0 n0, -n0 n1) / |x| with n = (0.6, 0.8), |x| = 5
    torch.testing.assert_close(x.grad[0], torch.tensor([0.64 / 5, -0.48 / 5]))
    assert torch.isfinite(x.grad).all()


def test_scalar_tensor_becomes_a_vector_as_in_keras():
    assert normalize(torch.tensor(-3.0)).tolist() == [-1.0]


@pytest.mark.parametrize("order", [0, -1, 1.5, np.inf, "fro"])
def test_bad_order_for_tensors_is_an_error(order):
    with pytest.raises(ValueError, match="`order` must be an int"):
        normalize(torch.ones(2), order=order)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_bad_axis_is_an_error(make):
    with pytest.raises(ValueError):
        normalize(make([[1.0]]), axis=2)
