"""Attention and AdditiveAttention against their formulas."""

import math

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases
from torchkeras.layers import AdditiveAttention, Attention


def data(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def formula(layer, query, value, key, allowed):
    """Output and scores, with sums over queries and keys written out."""
    scores = torch.zeros(query.shape[0], query.shape[1], key.shape[1])
    scale = 1.0 if layer.scale is None else layer.scale.value
    for t in range(query.shape[1]):
        for s in range(key.shape[1]):
            q, k = query[:, t], key[:, s]
            if isinstance(layer, AdditiveAttention):
                score = (scale * torch.tanh(q + k)).sum(-1)
            elif layer.score_mode == "dot":
                score = scale * (q * k).sum(-1)
            else:
                score = layer.concat_score_weight.value * torch.tanh(scale * (q + k)).sum(-1)
            scores[:, t, s] = score
    weights = torch.exp(scores) * allowed
    weights = weights / weights.sum(-1, keepdim=True)
    return torch.einsum("bts,bsd->btd", weights, value), weights


LAYERS = {
    "dot": (Attention, {}),
    "scaled": (Attention, {"use_scale": True}),
    "concat": (Attention, {"score_mode": "concat"}),
    "concat, scaled": (Attention, {"score_mode": "concat", "use_scale": True}),
    "additive": (AdditiveAttention, {}),
    "additive, plain": (AdditiveAttention, {"use_scale": False}),
}
CAUSAL = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
OF_VALUES = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1]], dtype=torch.bool)
OF_QUERIES = torch.tensor([[1, 1, 0], [0, 1, 1]], dtype=torch.bool)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masks", [(False, False), (False, True), (True, True), (True, False)])
def test_values_are_those_of_the_formula(name, with_key, causal, masks):
    cls, arguments = LAYERS[name]
    layer = cls(**arguments)
    query, value = data(2, 3, 5), data(2, 4, 6 if with_key else 5, seed=1)
    key = data(2, 4, 5, seed=2) if with_key else value
    inputs = [query, value, key] if with_key else [query, value]
    layer(inputs)
    for weight in layer.weights:
        weight.assign(data(*weight.shape, seed=3) + 1)
    allowed = torch.ones(2, 3, 4, dtype=torch.bool)
    allowed = allowed & CAUSAL if causal else allowed
    allowed = allowed & OF_VALUES[:, None] if masks[1] else allowed
    made, scores = formula(layer, query, value, key, allowed)
    if masks[0]:
        made = made * OF_QUERIES[..., None]
    given = {"use_causal_mask": causal}
    if any(masks):
        given["mask"] = [
            m if has else None for m, has in zip((OF_QUERIES, OF_VALUES), masks, strict=True)
        ]
    assert_close(layer(inputs, **given), made)
    assert_close(layer(inputs, **given, return_attention_scores=True), (made, scores))


@pytest.mark.parametrize("name", LAYERS)
def test_masks_of_the_tensors_are_used_and_that_of_the_query_goes_on(name):
    cls, arguments = LAYERS[name]
    x = data(1, 4, 6)
    x[0, 2:] = 0
    masked, layer = keras.layers.Masking()(x), cls(**arguments)
    y = layer([masked, masked])
    assert y._keras_mask.tolist() == [[True, True, False, False]]
    assert_close(y[:, :2], layer([x[:, :2], x[:, :2]]))
    assert (y[:, 2:] == 0).all()
    assert not hasattr(layer([x, masked]), "_keras_mask")
    symbol = keras.layers.Masking()(keras.Input((None, 6)))
    assert layer([symbol, symbol])._keras_mask.shape == (None, None)


@pytest.mark.parametrize("cls", [Attention, AdditiveAttention])
def test_query_without_values_gets_their_mean(cls):
    x, mask = data(1, 3, 6).requires_grad_(), torch.zeros(1, 3, dtype=torch.bool)
    y = cls()([x, x], mask=[None, mask])
    assert_close(y, x.mean(1, keepdim=True).expand(1, 3, 6))
    y.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("cls", [Attention, AdditiveAttention])
def test_dropout_falls_on_scores_in_training_alone(cls):
    x, layer = data(1, 10, 4), cls(dropout=0.4, seed=1)
    made = torch.stack([layer([x, x], training=True) for _ in range(400)])
    error = made.std(0) / math.sqrt(400)
    assert (error > 0).all()
    assert ((made.mean(0) - layer([x, x])).abs() < 6 * error).all()


def test_symbols_have_the_shapes_of_queries_and_values():
    query, value, key = keras.Input((None, 6)), keras.Input((9, 5)), keras.Input((9, 6))
    outputs, scores = Attention()([query, value, key], return_attention_scores=True)
    assert (outputs.shape, scores.shape) == ((None, None, 5), (None, None, 9))


@pytest.mark.parametrize("cls", [Attention, AdditiveAttention])
def test_what_does_not_fit_is_an_error(cls):
    x = data(2, 3, 4)
    for inputs in (x, [x], [x] * 4, [keras.Input((3, 4))], keras.Input((3, 4))):
        with pytest.raises(ValueError, match="takes a list.*Received: inputs="):
            cls()(inputs)
    for mask in (torch.ones(2, 3), [None], [None] * 4):
        with pytest.raises(ValueError, match="takes a list.*Received: mask="):
            cls()([x, x], mask=mask)
    with pytest.raises(ValueError, match="Received: score_mode='sum'"):
        cls(score_mode="sum")
    with pytest.raises(ValueError, match="needs the size of the last axis"):
        AdditiveAttention()([keras.Input((3, None))] * 2)


def held(cls, weights, shapes=((2, 3, 5), (2, 4, 5)), **arguments):
    return case(
        cls,
        arguments,
        list(shapes),
        expected_output_shape=(2, 3, shapes[1][-1]),
        expected_num_weights=weights,
        supports_masking=True,
    )


CASES = {
    "dot": held(Attention, 0),
    "scaled": held(Attention, 1, ((2, 3, 5), (2, 4, 6), (2, 4, 5)), use_scale=True),
    "concat": held(Attention, 2, use_scale=True, score_mode="concat"),
    "dropout": held(Attention, 0, dropout=0.5, seed=1),
    "additive": held(AdditiveAttention, 1, ((2, 3, 5), (2, 4, 6), (2, 4, 5))),
    "additive, dropout": held(AdditiveAttention, 0, use_scale=False, dropout=0.5),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()
