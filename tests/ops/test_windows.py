"""What slides windows: transforms there and back, padding, attention."""

import math

import numpy as np
import pytest
import torch

from torchkeras import ops

SIGNAL = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 24)))


@pytest.mark.parametrize("window", ["hann", "hamming", torch.linspace(0.5, 1.0, 8)])
@pytest.mark.parametrize("length, fft_length", [(8, 8), (8, 12), (8, 9)])
def test_istft_turns_stft_back(length, fft_length, window):
    arguments = {"sequence_length": length, "sequence_stride": 2, "fft_length": fft_length}
    parts = ops.stft(SIGNAL, **arguments, window=window)
    assert parts[0].shape == (
        2,
        3,
        1 + (24 + fft_length // 2 * 2 - fft_length) // 2,
        fft_length // 2 + 1,
    )
    back = ops.istft(parts, **arguments, length=24, window=window)
    # Without the ends, where a window of another length is divided as if it went on.
    torch.testing.assert_close(back[..., 8:16], SIGNAL[..., 8:16])
    if length == fft_length:
        torch.testing.assert_close(back, SIGNAL)


def test_stft_is_the_transform_of_each_window():
    real, imag = ops.stft(SIGNAL, 6, 5, 6, window=None, center=False)
    for i in range(real.shape[-2]):
        expected = torch.fft.rfft(SIGNAL[..., 5 * i : 5 * i + 6])
        torch.testing.assert_close(torch.complex(real[..., i, :], imag[..., i, :]), expected)
    sequences = ops.extract_sequences(SIGNAL, 6, 5)
    torch.testing.assert_close(ops.rfft(sequences)[0], real)
    with pytest.raises(TypeError, match="float32 or float64 was expected"):
        ops.stft(torch.ones(8, dtype=torch.float16), 4, 2, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32])
def test_transforms_take_every_number(dtype):
    x = torch.tensor([1, 2, 3, 4]).to(dtype)
    result = torch.float32 if dtype is torch.int32 else dtype
    for real, imag in (ops.rfft(x), ops.fft((x, x * 0))):
        assert real.dtype is imag.dtype is result and real[0] == 10 and imag[1] == 2
    assert ops.irfft(ops.rfft(x)).tolist() == [1, 2, 3, 4]
    real, imag = ops.ifft2(ops.fft2((x[None], x[None] * 0)))
    assert real.tolist() == [[1, 2, 3, 4]] and not imag.any()


@pytest.mark.parametrize("stride", [1, 2])
def test_padding_does_not_count_in_a_mean(stride):
    x = torch.tensor([1.0, 2.0, 4.0, 8.0])[None, :, None]
    ours = ops.average_pool(x, 2, stride, "same")
    assert ours.flatten().tolist() == ([1.5, 3.0, 6.0, 8.0] if stride == 1 else [1.5, 6.0])
    assert (ops.max_pool(-x, 2, 1, "same").flatten() < 0).all()


def test_a_fold_counts_how_often_a_place_is_covered():
    x = torch.rand(2, 3, 5, 6)
    blocks = ops.unfold(x, 3, padding=1)
    counts = ops.fold(ops.unfold(torch.ones_like(x), 3, padding=1), (5, 6), 3, padding=1)
    torch.testing.assert_close(ops.fold(blocks, (5, 6), 3, padding=1), x * counts)


def test_integers_are_convolved_and_pooled():
    x = torch.arange(6).reshape(1, 6, 1)
    assert ops.conv(x, torch.ones(2, 1, 1)).flatten().tolist() == [1, 3, 5, 7, 9]
    assert ops.max_pool(x, 3).flatten().tolist() == [2, 5]
    assert ops.adaptive_average_pool(x, 2).flatten().tolist() == [1, 4]


def plain_attention(query, key, value, allowed=None, bias=0.0, cap=None):
    """The definition, head by head; a query's head `h` reads the keys' head `h // group`."""
    group = query.shape[2] // key.shape[2]
    key, value = key.repeat_interleave(group, 2), value.repeat_interleave(group, 2)
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    scores = scores if cap is None else cap * torch.tanh(scores / cap)
    scores = scores + bias
    scores = scores if allowed is None else scores.masked_fill(~allowed, -math.inf)
    return torch.einsum("bhqk,bkhd->bqhd", torch.softmax(scores, -1), value)


def operands():
    rng = np.random.default_rng(0)
    shapes = [(2, 3, 4, 5), (2, 6, 2, 5), (2, 6, 2, 7), (2, 4, 3, 6)]
    return [torch.tensor(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("cap", [None, 1.5])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("extra", ["nothing", "bias", "mask"])
def test_attention_is_its_definition(extra, is_causal, cap):
    query, key, value, bias = operands()
    causal = torch.ones(3, 6, dtype=torch.bool).tril() if is_causal else torch.tensor(True)
    mask = (bias > -1) | (torch.arange(6) == 0)
    given = {"nothing": {}, "bias": {"bias": bias}, "mask": {"mask": mask}}[extra]
    ours = ops.dot_product_attention(
        query, key, value, is_causal=is_causal, attn_logits_soft_cap=cap, **given
    )
    allowed = causal & mask if extra == "mask" else causal
    expected = plain_attention(query, key, value, allowed, given.get("bias", 0.0), cap)
    torch.testing.assert_close(ours, expected)


def test_a_query_that_may_attend_to_nothing_gets_the_mean():
    query, key, value, _ = operands()
    mask = torch.zeros(1, 1, 1, 6, dtype=torch.bool)
    ours = ops.dot_product_attention(query, key, value, mask=mask)
    expected = value.mean(1, keepdim=True).repeat_interleave(2, 2).expand(2, 3, 4, 7)
    torch.testing.assert_close(ours, expected)


def test_the_flash_kernel_or_none():
    query, key, value, _ = (x.float() for x in operands())
    value = value[..., :5]
    ours = ops.dot_product_attention(query, key, value, flash_attention=True)
    torch.testing.assert_close(ours, plain_attention(query, key, value))
