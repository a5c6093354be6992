"""GroupQueryAttention: MultiHeadAttention whose keys and values are repeated in groups."""

import math

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases
from torchkeras.layers import GroupQueryAttention, MultiHeadAttention


def data(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def many_heads(layer, query, value):
    """A MultiHeadAttention that computes the same, each group's weights given to all its heads."""
    other = MultiHeadAttention(
        layer.num_query_heads,
        layer.head_dim,
        use_bias=layer.use_bias,
        use_gate=layer.use_gate,
        sliding_window=layer.sliding_window,
    )
    other(query, value)
    repeats = layer.num_query_heads // layer.num_key_value_heads
    for ours, theirs in zip(layer.weights, other.weights, strict=True):
        weight = ours.value.detach()
        if weight.shape != theirs.shape:
            weight = weight.repeat_interleave(repeats, dim=-2)
        theirs.assign(weight)
    return other


ALLOWED = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)
CALLS = {
    "plain": {},
    "causal": {"use_causal_mask": True},
    "mask": {"attention_mask": ALLOWED.expand(2, 3, 4)},
    "values": {"value_mask": torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0]])},
}


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "arguments", [{}, {"use_gate": True, "sliding_window": 2}, {"use_bias": False}]
)
def test_values_are_those_of_attention_with_repeated_heads(groups, name, arguments):
    query, value = data(2, 3, 8), data(2, 4, 8, seed=1)
    layer = GroupQueryAttention(5, 6, groups, **arguments)
    layer(query, value)
    for weight in layer.weights:
        weight.assign(data(*weight.shape, seed=weight.shape[-1]))
    other, given = many_heads(layer, query, value), CALLS[name]
    assert_close(layer(query, value, **given), other(query, value, **given))
    given = {**given, "return_attention_scores": True}
    assert_close(layer(query, value, **given), other(query, value, **given))


def test_weights_of_a_group_serve_all_its_heads():
    layer = GroupQueryAttention(4, 6, 2)
    layer.build((None, None, 8), (None, None, 8))
    shapes = [w.shape for w in layer.weights]
    assert shapes[::2] == [(8, 6, 4), (8, 2, 4), (8, 2, 4), (6, 4, 8)]


def test_dropout_falls_on_scores_in_training_alone():
    x = data(2, 20, 8)
    layer = GroupQueryAttention(4, 4, 2, dropout=0.4, seed=1)
    made = torch.stack([layer(x, x, training=True) for _ in range(400)])
    error = made.std(0) / math.sqrt(400)
    assert (error > 0).all()
    assert ((made.mean(0) - layer(x, x)).abs() < 6 * error).all()


def test_symbols_have_the_shapes_of_queries_and_keys():
    query, value = keras.Input((None, 6)), keras.Input((9, 6))
    outputs, scores = GroupQueryAttention(4, 4, 2)(query, value, return_attention_scores=True)
    assert (outputs.shape, scores.shape) == ((None, None, 6), (None, 4, None, 9))


@pytest.mark.parametrize(
    "arguments",
    [
        {"head_dim": 0},
        {"num_query_heads": 3},
        {"num_query_heads": 0},
        {"num_key_value_heads": 0},
        {"sliding_window": 0},
        {"dropout": 0.5, "flash_attention": True},
    ],
)
def test_arguments_out_of_range_are_errors(arguments):
    given = {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2, **arguments}
    with pytest.raises(ValueError, match=f"Received: .*{next(iter(arguments))}="):
        GroupQueryAttention(**given)


def test_shapes_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="same positions. Received"):
        GroupQueryAttention(4, 4, 2)(data(2, 3, 6), data(2, 4, 6), data(2, 5, 6))
    with pytest.raises(ValueError, match="number of features. Received"):
        GroupQueryAttention(4, 4, 2)(keras.Input((3, 6)), keras.Input((4, 5)))


def held(expected_num_weights=8, call_kwargs=None, **arguments):
    return case(
        GroupQueryAttention,
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2, **arguments},
        (2, 4, 5),
        call_args=(data(2, 4, 5, seed=1),),
        call_kwargs=call_kwargs,
        expected_num_weights=expected_num_weights,
        supports_masking=True,
        # torch.export has no place for the losses of a call.
        supports_export="activity_regularizer" not in arguments,
    )


CASES = {
    "plain": held(kernel_regularizer="l2"),
    "causal": held(10, {"use_causal_mask": True}, sliding_window=2, use_gate=True),
    "dropout": held(dropout=0.5, activity_regularizer="l2", kernel_constraint="max_norm"),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()
