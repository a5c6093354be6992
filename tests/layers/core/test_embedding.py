"""Embedding and ReversibleEmbedding: rows of a table."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases
from torchkeras.layers import Embedding, ReversibleEmbedding

IDS = torch.tensor([[3, 0, 1], [0, 9, 3]])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.float32])
@pytest.mark.parametrize("cls", [Embedding, ReversibleEmbedding])
def test_each_integer_becomes_its_row(dtype, cls):
    layer = cls(10, 4)
    assert_close(layer(IDS.to(dtype)), layer.embeddings.value[IDS])
    gradient = torch.autograd.grad(layer(IDS).sum(), layer.embeddings.value)[0]
    counts = torch.bincount(IDS.flatten(), minlength=10)
    assert_close(gradient, counts[:, None].float().expand(10, 4))


def test_floats_of_a_narrow_compute_dtype_keep_their_integers():
    layer = Embedding(400, 2, dtype="mixed_bfloat16")
    y = layer(torch.tensor([301.0, 302.7]))  # bfloat16 has 301 as 302
    assert y.dtype is torch.bfloat16
    assert torch.equal(y, layer.embeddings.value[[301, 302]].bfloat16())


@pytest.mark.parametrize("cls", [Embedding, ReversibleEmbedding])
def test_zero_is_padding_where_that_is_asked_for(cls):
    expected = [[True, False, True], [False, True, True]]
    masking, plain = cls(10, 4, mask_zero=True), cls(10, 4)
    for _ in range(2):  # as any call, and as one of a layer that is settled
        assert masking(IDS)._keras_mask.tolist() == expected
        assert not hasattr(plain(IDS), "_keras_mask")
    symbol = keras.Input((None,), dtype="int32")
    assert masking(symbol)._keras_mask.shape == (None, None)
    assert getattr(plain(symbol), "_keras_mask", None) is None
    model = keras.Sequential([masking, keras.layers.LSTM(3)])
    padded, short = torch.tensor([[3, 1, 0, 0]]), torch.tensor([[3, 1]])
    assert_close(model(padded), model(short))


@pytest.mark.parametrize("cls", [Embedding, ReversibleEmbedding])
@pytest.mark.parametrize("listed", [False, True])
def test_weights_may_be_given(cls, listed):
    table = np.arange(6, dtype="float32").reshape(3, 2)
    layer = cls(3, 2, weights=[table] if listed else table)
    assert layer.built
    assert layer(torch.tensor([2, 0])).tolist() == [[4, 5], [0, 1]]
    layer.build((None,))  # changes nothing
    assert layer(torch.tensor([1])).tolist() == [[2, 3]]
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.built and again.weights[0].shape == (3, 2)
    with pytest.raises(ValueError, match="shape"):
        cls(3, 3, weights=table)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
@pytest.mark.parametrize("name", ["input_dim", "output_dim"])
def test_sizes_are_positive_ints(size, name):
    with pytest.raises(ValueError, match=f"Received: {name}={size}"):
        Embedding(**{"input_dim": 2, "output_dim": 2, name: size})


def test_unsupported_arguments_are_errors():
    with pytest.raises(ValueError, match="Received: quantization_config=2"):
        Embedding(2, 2, quantization_config=2)


def test_integer_without_a_row_is_an_error():
    with pytest.raises(IndexError):
        Embedding(3, 2)(torch.tensor([3]))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("cap", [None, 0.5])
def test_reverse_call_gives_products_with_the_rows(tied, cap):
    layer = ReversibleEmbedding(10, 4, tie_weights=tied, logit_soft_cap=cap)
    x = torch.randn(2, 3, 4)
    made = layer(x, reverse=True)
    table = layer.embeddings.value.T if tied else layer.reverse_embeddings.value
    expected = x @ table
    assert_close(made, expected if cap is None else cap * torch.tanh(expected / cap))
    symbol = layer(keras.Input((None, 4)), reverse=True)
    assert symbol.shape == (None, None, 10)
    assert len(layer.weights) == 2 - tied


def test_reverse_call_may_have_a_dtype_of_its_own():
    layer = ReversibleEmbedding(10, 4, dtype="mixed_bfloat16", reverse_dtype="float32")
    y = layer(IDS)
    logits = layer(y, reverse=True)
    assert (y.dtype, logits.dtype) == (torch.bfloat16, torch.float32)
    assert_close(logits, y.float() @ layer.embeddings.value.T)
    assert layer(keras.Input((4,)), reverse=True).dtype == "float32"


def embedding(cls, **arguments):
    return case(
        cls,
        {"input_dim": 10, "output_dim": 3, **arguments},
        (2, 4),
        input_dtype="int64",
        expected_output_shape=(2, 4, 3),
        expected_num_weights=1,
        supports_masking=arguments.get("mask_zero", False),
        mask_shape=False,
    )


CASES = {
    "plain": embedding(Embedding, embeddings_regularizer="l2"),
    "masks": embedding(Embedding, mask_zero=True, embeddings_constraint="max_norm"),
    "reversible": embedding(ReversibleEmbedding, mask_zero=True),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()
