"""MultiHeadAttention against its formula, head by head."""

import math

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases
from torchkeras.layers import MultiHeadAttention


def data(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def projected(dense, x):
    """`x` on a projection, `(..., heads, size)`, without EinsumDense."""
    y = torch.tensordot(x, dense.kernel.value, dims=1)
    return y if dense.bias is None else y + dense.bias.value


def attention(layer, query, value, key=None, allowed=None):
    """Output and scores for one sequence of each sample, one head after the other."""
    key = value if key is None else key
    q, k, v = (
        projected(dense, x)
        for dense, x in (
            (layer.query_dense, query),
            (layer.key_dense, key),
            (layer.value_dense, value),
        )
    )
    if allowed is None:
        allowed = torch.ones(query.shape[0], query.shape[1], value.shape[1], dtype=torch.bool)
    outputs, all_scores = [], []
    for head in range(layer.num_heads):
        products = torch.einsum("bth,bsh->bts", q[:, :, head], k[:, :, head])
        weights = torch.exp(products / math.sqrt(layer.key_dim)) * allowed
        total = weights.sum(-1, keepdim=True)
        scores = torch.where(total > 0, weights / total, 0.0)
        all_scores.append(scores)
        outputs.append(torch.einsum("bts,bsh->bth", scores, v[:, :, head]))
    heads = torch.stack(outputs, dim=2)
    if layer.use_gate:
        heads = heads * torch.sigmoid(projected(layer._gate_dense, query))
    dense = layer.output_dense
    made = torch.tensordot(heads, dense.kernel.value, dims=2)
    made = made if dense.bias is None else made + dense.bias.value
    return made, torch.stack(all_scores, dim=1)


def random_biases(layer):
    for weight in layer.weights:
        weight.assign(data(*weight.shape, seed=weight.shape[-1]))
    return layer


@pytest.mark.parametrize("cross", ["self", "value", "value and key"])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"value_dim": 5}, {"output_shape": 7}, {"use_bias": False}, {"use_gate": True}],
)
def test_values_are_those_of_the_formula(cross, arguments):
    layer = MultiHeadAttention(3, 4, **arguments)
    query = data(2, 5, 6)
    others = {"self": [query], "value": [data(2, 4, 8)]}
    others = others.get(cross, [data(2, 4, 8), data(2, 4, 3, seed=1)])
    layer(query, *others)
    random_biases(layer)
    made, scores = attention(layer, query, *others)
    assert_close(layer(query, *others), made)
    outputs = layer(query, *others, return_attention_scores=True)
    assert isinstance(outputs, tuple)
    assert_close(outputs, (made, scores))


ALLOWED = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0]], dtype=torch.bool)
CAUSAL = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
NEAR = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]], dtype=torch.bool)
OF_KEYS = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1]], dtype=torch.bool)
HEADS = torch.rand(2, 3, 3, 4, generator=torch.Generator().manual_seed(3)) > 0.3
MASKS = {
    "of positions": ({"attention_mask": ALLOWED.expand(2, 3, 4)}, ALLOWED),
    "of one sample": ({"attention_mask": ALLOWED}, ALLOWED),
    "of numbers": ({"attention_mask": ALLOWED.int().expand(2, 3, 4)}, ALLOWED),
    "causal": ({"use_causal_mask": True}, CAUSAL),
    "of values": ({"value_mask": OF_KEYS}, OF_KEYS[:, None]),
    "of keys and values": (
        {"value_mask": OF_KEYS, "key_mask": OF_KEYS.flip(1)},
        (OF_KEYS & OF_KEYS.flip(1))[:, None],
    ),
    "causal, of values and positions": (
        {"use_causal_mask": True, "value_mask": OF_KEYS, "attention_mask": ALLOWED},
        CAUSAL & ALLOWED & OF_KEYS[:, None],
    ),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("window", [None, 2])
def test_masks_say_which_keys_a_query_sees(name, window):
    given, allowed = MASKS[name]
    allowed = (allowed if window is None else allowed & NEAR).expand(2, 3, 4)
    query, value = data(2, 3, 6), data(2, 4, 6, seed=1)
    layer = MultiHeadAttention(3, 4, sliding_window=window)
    layer(query, value)
    made, scores = attention(layer, query, value, allowed=allowed)
    assert_close(layer(query, value, **given, return_attention_scores=True), (made, scores))
    some = allowed.any(-1)  # what a query without keys gets is a test of its own
    assert some.sum() >= 3
    assert_close(layer(query, value, **given)[some], made[some])


def test_mask_may_differ_between_heads():
    query, value = data(2, 3, 6), data(2, 4, 6, seed=1)
    layer = MultiHeadAttention(3, 4)
    scores = layer(query, value, attention_mask=HEADS, return_attention_scores=True)[1]
    assert torch.equal(scores > 0, HEADS)


def test_masks_of_the_tensors_are_used_and_that_of_the_query_goes_on():
    x = data(1, 4, 6)
    x[0, 2:] = 0
    masked = keras.layers.Masking()(x)
    layer = MultiHeadAttention(2, 4)
    y = layer(masked, masked)
    assert y._keras_mask.tolist() == [[True, True, False, False]]
    assert_close(y[:, :2], layer(x[:, :2], x[:, :2]))
    y, scores = layer(x, masked, return_attention_scores=True)
    assert not hasattr(y, "_keras_mask")
    assert (scores[..., 2:] == 0).all()
    symbol = keras.layers.Masking()(keras.Input((None, 6)))
    assert layer(symbol, symbol)._keras_mask.shape == (None, None)
    assert masked._keras_mask.tolist() == [[True, True, False, False]]  # it is the caller's


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_query_without_keys_gets_the_mean_of_all_values_or_nothing(dropout):
    x, mask = data(1, 3, 6), torch.tensor([[[1, 1, 1], [0, 0, 0], [0, 1, 0]]])
    layer = MultiHeadAttention(2, 4, dropout=dropout)
    x.requires_grad_()
    y = layer(x, x, attention_mask=mask)
    heads = projected(layer.value_dense, x).mean(1) * (not dropout)
    assert_close(y[:, 1], torch.tensordot(heads, layer.output_dense.kernel.value, dims=2))
    y.sum().backward()
    assert x.grad.isfinite().all()
    y, scores = layer(x, x, attention_mask=mask, return_attention_scores=True)
    assert_close(y[:, 1], torch.zeros(1, 6))
    assert_close(scores[:, :, 1], torch.zeros(1, 2, 3))


@pytest.mark.parametrize("axes", [None, (1, 2), 1, (2,), (-3, -2)])
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_over_axes_is_that_over_a_sequence(axes, is_causal):
    x = data(2, 3, 4, 6)
    layer = MultiHeadAttention(2, 5, attention_axes=axes)
    made, scores = layer(x, x, use_causal_mask=is_causal, return_attention_scores=True)
    assert_close(layer(x, x, use_causal_mask=is_causal), made)
    if axes in (None, (1, 2), (-3, -2)):
        rows = x.reshape(2, 12, 6)
        allowed = torch.ones(12, 12, dtype=torch.bool)
        expected = attention(layer, rows, rows, allowed=allowed.tril() if is_causal else allowed)
        assert_close(made, expected[0].reshape(2, 3, 4, 6))
        assert_close(scores, expected[1].reshape(2, 2, 3, 4, 3, 4))
    else:
        rows = (x.transpose(1, 2) if axes == 1 else x).flatten(0, 1)
        size = rows.shape[1]
        allowed = torch.ones(size, size, dtype=torch.bool)
        expected, parts = attention(
            layer, rows, rows, allowed=allowed.tril() if is_causal else allowed
        )
        expected = expected.unflatten(0, (2, -1))
        assert_close(made, expected.transpose(1, 2) if axes == 1 else expected)
        assert_close(scores, parts.unflatten(0, (2, -1)))


def test_masks_of_several_axes():
    x, lacks = data(2, 3, 4, 6), torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(1))
    lacks = lacks > 0.5
    allowed = torch.rand(2, 3, 4, 3, 4, generator=torch.Generator().manual_seed(2)) > 0.3
    layer = MultiHeadAttention(2, 5)
    given = {"value_mask": lacks, "attention_mask": allowed}
    made, scores = layer(x, x, **given, return_attention_scores=True)
    assert_close(layer(x, x, **given), made)
    rows = x.reshape(2, 12, 6)
    expected = attention(
        layer, rows, rows, allowed=allowed.reshape(2, 12, 12) & lacks.reshape(2, 1, 12)
    )
    assert_close(made, expected[0].reshape(2, 3, 4, 6))
    assert_close(scores, expected[1].reshape(2, 2, 3, 4, 3, 4))


def test_dropout_falls_on_scores_in_training_alone():
    x = data(2, 50, 6)
    layer = MultiHeadAttention(2, 4, dropout=0.4, seed=1)
    made, scores = layer(x, x, training=True, return_attention_scores=True)
    assert_close(scores.sum(-1), torch.ones(2, 2, 50))  # they are told before the dropout
    assert not torch.allclose(made, layer(x, x))
    made = torch.stack([layer(x, x, training=True) for _ in range(400)])
    error = made.std(0) / math.sqrt(400)
    assert ((made.mean(0) - layer(x, x)).abs() < 6 * error).all()


@pytest.mark.parametrize("flash", [None, False, True])
def test_flash_attention_changes_nothing(flash):
    layer, plain = MultiHeadAttention(2, 4, flash_attention=flash), MultiHeadAttention(2, 4)
    x = data(2, 3, 6)
    plain(x, x), layer(x, x)
    layer.set_weights(plain.get_weights())
    assert torch.equal(layer(x, x), plain(x, x))


def test_symbols_have_the_shapes_of_queries_and_keys():
    layer = MultiHeadAttention(2, 4, output_shape=(7, 8))
    query, value = keras.Input((None, 6)), keras.Input((9, 5))
    outputs, scores = layer(query, value, return_attention_scores=True)
    assert (outputs.shape, scores.shape) == ((None, None, 7, 8), (None, 2, None, 9))
    layer = MultiHeadAttention(2, 4, attention_axes=(2,))
    x = keras.Input((3, 9, 6))
    _, scores = layer(x, x, return_attention_scores=True)
    assert scores.shape == (None, 3, 2, 9, 9)


def test_bfloat16_inside_a_mixed_model():
    layer = MultiHeadAttention(2, 4, dtype="mixed_bfloat16")
    x = data(2, 3, 6)
    mask = torch.tensor([[[1, 1, 1], [0, 0, 0], [0, 1, 0]]])
    assert layer(x, x).dtype is torch.bfloat16
    assert layer(x, x, attention_mask=mask).isfinite().all()
    assert layer.query_dense.kernel.value.dtype is torch.float32


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_heads": 0},
        {"num_heads": 2.0},
        {"key_dim": -1},
        {"value_dim": 0},
        {"sliding_window": 0},
        {"attention_axes": "1"},
        {"output_shape": 2.5},
        {"dropout": 0.5, "flash_attention": True},
    ],
)
def test_arguments_out_of_range_are_errors(arguments):
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=f"`{name}`.*Received|Received: {name}"):
        MultiHeadAttention(**{"num_heads": 2, "key_dim": 2, **arguments})


def test_keys_and_values_that_differ_are_an_error():
    layer = MultiHeadAttention(2, 4)
    with pytest.raises(ValueError, match="same positions. Received"):
        layer(data(2, 3, 6), data(2, 4, 6), data(2, 5, 6))
    with pytest.raises(ValueError, match="makes no scores. Received"):
        layer = MultiHeadAttention(2, 4, flash_attention=True)
        layer(data(2, 3, 6), data(2, 4, 6), return_attention_scores=True)


def held(*others, expected_num_weights=8, call_kwargs=None, **arguments):
    return case(
        MultiHeadAttention,
        {"num_heads": 2, "key_dim": 3, **arguments},
        (2, 4, 5),
        call_args=others or (data(2, 4, 5, seed=1),),
        call_kwargs=call_kwargs,
        expected_num_weights=expected_num_weights,
        supports_masking=True,
        # torch.export has no place for the losses of a call.
        supports_export="activity_regularizer" not in arguments,
    )


CASES = {
    "plain": held(kernel_regularizer="l2"),
    "no bias": held(use_bias=False, expected_num_weights=4),
    "cross": held(data(2, 3, 6), data(2, 3, 2), value_dim=2, output_shape=7),
    "causal": held(
        call_kwargs={"use_causal_mask": True},
        sliding_window=2,
        use_gate=True,
        expected_num_weights=10,
    ),
    "dropout": held(dropout=0.5, activity_regularizer="l2", kernel_constraint="max_norm"),
    "mask": held(call_kwargs={"attention_mask": torch.ones(2, 4, 4, dtype=torch.bool)}),
    "axes": case(
        MultiHeadAttention,
        {"num_heads": 2, "key_dim": 3, "attention_axes": (2,)},
        (2, 3, 4, 5),
        call_args=(data(2, 3, 4, 5, seed=1),),
    ),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()
