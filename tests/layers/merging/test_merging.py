import pytest
import torch

import torchkeras as keras
from torchkeras import layers

A, B, C = (torch.randn(2, 3, generator=torch.Generator().manual_seed(i)) for i in range(3))
VALUES = {
    "add": A + B + C,
    "multiply": A * B * C,
    "average": (A + B + C) / 3,
    "maximum": torch.stack([A, B, C]).amax(0),
    "minimum": torch.stack([A, B, C]).amin(0),
    "concatenate": torch.cat([A, B, C], dim=-1),
}


@pytest.mark.parametrize("name", VALUES)
def test_class_and_function_compute_the_formula(name):
    torch.testing.assert_close(getattr(layers, name)([A, B, C]), VALUES[name])
    torch.testing.assert_close(getattr(layers, name.capitalize())()([A, B, C]), VALUES[name])
    symbols = [keras.Input((3,)) for _ in range(3)]
    assert getattr(layers, name)(symbols).shape == (None, *VALUES[name].shape[1:])


def test_subtract():
    assert torch.equal(layers.subtract([A, B]), A - B)


def test_dot_sums_over_one_axis_of_each():
    x, y = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 5)
    torch.testing.assert_close(
        layers.dot([x, y], axes=(3, 2)), torch.einsum("nijk,nlk->nijl", x, y)
    )
    torch.testing.assert_close(layers.dot([A, B]), (A * B).sum(1, keepdim=True))
    cosine = torch.nn.functional.cosine_similarity(A, B, dim=1)[:, None]
    torch.testing.assert_close(layers.dot([A, B], axes=1, normalize=True), cosine)


def test_lower_ranks_gain_axes_after_the_batch():
    x, y = torch.randn(2, 4, 3), torch.randn(2, 3)
    torch.testing.assert_close(layers.add([x, y]), x + y[:, None, :])
    torch.testing.assert_close(layers.add([y, x]), x + y[:, None, :])


def test_inputs_are_left_alone():
    before = A.clone()
    for cls in (layers.Add, layers.Multiply, layers.Average):
        cls()([A, B])
        assert torch.equal(A, before)


@pytest.mark.parametrize("name", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
def test_one_input_is_a_list_too(name):
    torch.testing.assert_close(getattr(layers, name)()([A]), A)


ONE_STEP = torch.tensor([[[1.0], [2.0], [3.0]]])


def masked(values, *steps):
    x = torch.tensor(values).reshape(1, -1, 1)
    x._keras_mask = torch.tensor([steps])
    return x


def test_masked_elements_leave_the_choice_to_the_others():
    x = masked([9.0, 1.0, 5.0], False, True, True)
    y = masked([2.0, 8.0, 4.0], True, False, True)
    assert layers.Maximum()([x, y]).flatten().tolist() == [2.0, 1.0, 5.0]
    assert layers.Minimum()([x, y]).flatten().tolist() == [2.0, 1.0, 4.0]
    assert layers.Multiply()([x, y]).flatten().tolist() == [2.0, 1.0, 20.0]


def test_mask_is_the_union_and_none_if_one_input_has_none():
    x = masked([1.0, 1.0, 1.0], False, False, True)
    y = masked([1.0, 1.0, 1.0], False, True, True)
    for cls in (layers.Add, layers.Multiply, layers.Maximum):
        assert cls()([x, y])._keras_mask.tolist() == [[False, True, True]]
        assert getattr(cls()([x, ONE_STEP]), "_keras_mask", None) is None


def test_mask_of_concatenate_follows_its_axis():
    x, y = masked([1.0, 1.0], False, True), masked([1.0, 1.0], True, False)
    assert layers.Concatenate(axis=1)([x, y])._keras_mask.tolist() == [[False, True, True, False]]
    assert layers.Concatenate(axis=-1)([x, y])._keras_mask.tolist() == [[True, True]]


def test_symbols_carry_the_mask():
    x = layers.Masking()(keras.Input((4, 3)))
    y = layers.Masking()(keras.Input((4, 3)))
    assert layers.Add()([x, y])._keras_mask.shape == (None, 4)
    assert layers.Add()([x, keras.Input((4, 3))])._keras_mask is None


def test_masks_must_come_as_a_list_of_the_inputs_length():
    layer = layers.Add()
    with pytest.raises(ValueError, match="`mask` should be a list.*Received"):
        layer.compute_mask([A, B], torch.ones(2))
    with pytest.raises(ValueError, match="one entry.*Received: 1 masks for 2"):
        layer.compute_mask([A, B], [None])


def test_integers_are_summed_as_integers():
    x = torch.ones(2, 3, dtype=torch.int32)
    assert layers.add([x, x]).dtype is torch.int32
    symbol = keras.Input((3,), dtype="int32")
    assert layers.add([symbol, symbol]).dtype == "int32"
    assert layers.concatenate([symbol, symbol]).dtype == "int32"


WRONG = {
    "tensor": (layers.Add(), A),
    "empty": (layers.Add(), []),
    "sizes": (layers.Add(), [A, torch.ones(2, 4)]),
    "batches": (layers.Add(), [A, torch.ones(4, 3)]),
    "subtract_one": (layers.Subtract(), [A]),
    "subtract_three": (layers.Subtract(), [A, B, C]),
    "dot_one": (layers.Dot(1), [A]),
    "concatenate_tensor": (layers.Concatenate(), A),
    "concatenate_ranks": (layers.Concatenate(), [A, torch.ones(2, 3, 1)]),
    "concatenate_sizes": (layers.Concatenate(), [torch.ones(2, 3, 4), torch.ones(2, 5, 4)]),
    "concatenate_axis": (layers.Concatenate(axis=2), [A, B]),
    "dot_sizes": (layers.Dot(1), [A, torch.ones(2, 4)]),
    "dot_batch": (layers.Dot(0), [A, B]),
    "dot_vector": (layers.Dot(-1), [torch.ones(3), torch.ones(3)]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs_are_named(case):
    layer, inputs = WRONG[case]
    with pytest.raises(ValueError, match="(?s)Layer '.*Received"):
        layer(inputs)


@pytest.mark.parametrize(
    ("axes", "error"), [("1", TypeError), ((1,), ValueError), ((1.0, 1), ValueError)]
)
def test_dot_axes_are_checked(axes, error):
    with pytest.raises(error, match="`axes`.*Received"):
        layers.Dot(axes)
