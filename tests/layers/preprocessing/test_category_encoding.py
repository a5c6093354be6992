"""CategoryEncoding: the examples of Keras's documentation, and rules."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.layers import CategoryEncoding

PAIRS = [[0, 1], [0, 0], [1, 2], [3, 1]]


def test_one_hot():
    made = CategoryEncoding(4, "one_hot")([3, 2, 0, 1])
    assert torch.equal(made, torch.eye(4)[[3, 2, 0, 1]])
    assert torch.equal(CategoryEncoding(4, "one_hot")([[3], [2]]), torch.eye(4)[[3, 2]])
    assert CategoryEncoding(4, "one_hot")(PAIRS).shape == (4, 2, 4)
    assert CategoryEncoding(4, "one_hot")(np.array(2)).tolist() == [0, 0, 1, 0]


def test_multi_hot_and_count():
    made = CategoryEncoding(4, "multi_hot")(PAIRS)
    assert made.tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]
    assert torch.equal(CategoryEncoding(4, "binary")(PAIRS), made)
    made = CategoryEncoding(4, "count", dtype="float64")(PAIRS)
    assert made.tolist() == [[1, 1, 0, 0], [2, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]
    assert made.dtype is torch.float64


def test_weights_of_a_count():
    weights = torch.tensor([[0.1, 0.2], [0.1, 0.1], [0.2, 0.3], [0.4, 0.2]], requires_grad=True)
    made = CategoryEncoding(4, "count")(PAIRS, count_weights=weights)
    expected = [[0.1, 0.2, 0, 0], [0.2, 0, 0, 0], [0, 0.2, 0.3, 0], [0, 0.2, 0, 0.4]]
    torch.testing.assert_close(made, torch.tensor(expected))
    made[1].sum().backward()
    assert weights.grad.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0]]
    symbol = CategoryEncoding(4, "count")(keras.Input((2,), dtype="int32"), keras.Input((2,)))
    assert (symbol.shape, symbol.dtype) == ((None, 4), "float32")


def test_last_axis_is_gathered_at_any_rank():
    made = CategoryEncoding(4, "count")(np.array([PAIRS]))
    assert made.tolist() == [[[1, 1, 0, 0], [2, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]]


def test_function_transforms_take_it():
    made = torch.func.vmap(CategoryEncoding(4, "count"))(torch.tensor(PAIRS))
    assert torch.equal(made, CategoryEncoding(4, "count")(PAIRS))


def test_negative_integers_count_nowhere_and_large_ones_are_an_error():
    assert CategoryEncoding(3)([[1, -1]]).tolist() == [[0, 1, 0]]
    with pytest.raises(ValueError, match="from 0 to 2 were expected. Received: 3"):
        CategoryEncoding(3)([[1, 3]])
    assert CategoryEncoding(3)(torch.zeros(0, 2, dtype=torch.int64)).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`num_tokens` must be an int of at least 1"),
        ({"num_tokens": 0}, "`num_tokens` must be an int of at least 1"),
        ({"num_tokens": 3, "output_mode": "int"}, "`output_mode` must be one of"),
        ({"num_tokens": 3, "sparse": True}, "Outputs are dense"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        CategoryEncoding(**arguments)


def test_weights_that_do_not_belong_are_errors():
    with pytest.raises(ValueError, match="belong to output_mode='count'"):
        CategoryEncoding(4)(PAIRS, count_weights=np.ones((4, 2)))
    with pytest.raises(ValueError, match="must have the shape of the inputs"):
        CategoryEncoding(4, "count")(PAIRS, count_weights=np.ones((4, 1)))


def encoding(mode, shape, expected, **more):
    return case(
        CategoryEncoding,
        {"num_tokens": 10, "output_mode": mode},
        shape,
        input_dtype="int64",
        expected_output_shape=expected,
        expected_num_weights=0,
        **more,
    )


@layer_cases(
    {
        "multi_hot": encoding("multi_hot", (2, 3), (2, 10)),
        "one_hot": encoding("one_hot", (2, 3), (2, 3, 10)),
        "one_hot_column": encoding("one_hot", (2, 1), (2, 10)),
        "count": encoding("count", (2, 3, 4), (2, 3, 10)),
        "count_weights": case(
            CategoryEncoding,
            {"num_tokens": 10, "output_mode": "count"},
            (2, 3),
            input_dtype="int64",
            call_kwargs={"count_weights": torch.rand(2, 3)},
            expected_output_shape=(2, 10),
            mask_shape=False,
            dynamic_dims=False,
        ),
    }
)
def test_holds_the_contract_of_layers(check):
    check()
