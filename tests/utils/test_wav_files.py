"""Reading .wav files: every width of samples, and files that are broken."""

import struct

import numpy as np
import pytest
import torch

from torchkeras.utils.audio_resampling import resample, resampled_length
from torchkeras.utils.wav_files import read_wav

SAMPLES = np.array([[0.0, 0.5], [-0.5, 0.25], [-1.0, 0.75]])


def wav(content, code=1, channels=2, bits=16, rate=8000, extra=b"", before=b"", size=None):
    frame = channels * bits // 8
    layout = struct.pack("<HHIIHH", code, channels, rate, rate * frame, frame, bits) + extra
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(content) if size is None else size) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def int24(x):
    return x.astype("<i4").view("u1").reshape(-1, 4)[:, :3].tobytes()


KINDS = {
    "8 bits": wav((SAMPLES * 128 + 128).astype("u1").tobytes(), bits=8),
    "16 bits": wav((SAMPLES * 2**15).astype("<i2").tobytes()),
    "24 bits": wav(int24(SAMPLES * 2**23), bits=24),
    "32 bits": wav((SAMPLES * 2**31).astype("<i4").tobytes(), bits=32),
    "float": wav(SAMPLES.astype("<f4").tobytes(), code=3, bits=32),
    "double": wav(SAMPLES.astype("<f8").tobytes(), code=3, bits=64),
    "extensible": wav(
        (SAMPLES * 2**15).astype("<i2").tobytes(),
        code=0xFFFE,
        extra=struct.pack("<HHIH", 22, 16, 3, 1) + bytes(14),
    ),
    "other chunks": wav(
        (SAMPLES * 2**15).astype("<i2").tobytes(), before=b"LIST" + struct.pack("<I", 3) + b"abc\0"
    ),
    "of a pipe": wav((SAMPLES * 2**15).astype("<i2").tobytes(), size=0xFFFFFFFF),
}


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_every_width(tmp_path, kind):
    (tmp_path / "x.wav").write_bytes(KINDS[kind])
    samples, rate = read_wav(tmp_path / "x.wav")
    assert samples.dtype == torch.float32 and rate == 8000
    np.testing.assert_array_equal(samples, SAMPLES)
    np.testing.assert_array_equal(read_wav(tmp_path / "x.wav", 2)[0], SAMPLES[:2])


BROKEN = {
    "empty": (b"", "ends within its header"),
    "text": (b"This is no recording at all.", "does not begin as one"),
    "cut in its header": (KINDS["16 bits"][:30], "ends within its header"),
    "cut in its samples": (KINDS["16 bits"][:-2], "10 bytes of samples where its header says 12"),
    "larger than it is": (wav(bytes(12), size=2**30), "where its header says 1073741824"),
    "no channel": (wav(bytes(12), channels=0), "0 channels"),
    "no rate": (wav(bytes(12), rate=0), "at 0 Hz"),
    "compressed": (wav(bytes(12), code=2), "format 2 with 16 bits"),
    "12 bits": (wav(bytes(12), bits=12), "format 1 with 12 bits"),
    "no format": (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\0\0\0\0", "before their format"),
    "chunks without end": (
        b"RIFF\0\0\0\0WAVE" + (b"junk" + bytes(4)) * 5000,
        "no samples in its first 1000 chunks",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_an_error_that_names_them(tmp_path, kind):
    content, words = BROKEN[kind]
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.wav.*{words}"):
        read_wav(tmp_path / "x.wav")


def test_any_bytes_give_samples_or_a_value_error(tmp_path):
    generator = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(KINDS["16 bits"])
        for place in generator.integers(0, len(content), 3):
            content[place] = generator.integers(256)
        (tmp_path / "x.wav").write_bytes(content)
        try:
            samples, _ = read_wav(tmp_path / "x.wav")
        except ValueError:
            continue
        assert samples.numel() <= len(content)


@pytest.mark.parametrize("rates", [(8000, 16000), (44100, 16000), (16000, 44100), (8000, 7999)])
def test_tones_below_half_of_both_rates_stay(rates):
    old, new = rates
    seconds = torch.arange(old // 10).double() / old
    tone = torch.stack([torch.sin(2 * torch.pi * 500 * seconds), torch.cos(seconds * 1000)], 1)
    found = resample(tone.float(), old, new)
    assert len(found) == resampled_length(len(tone), old, new)
    at = torch.arange(len(found)).double() / new
    expected = torch.stack([torch.sin(2 * torch.pi * 500 * at), torch.cos(at * 1000)], 1)
    inner = slice(100, -100)  # near its ends a recording is followed by silence
    # The ripple of a window of 6 crossings.
    torch.testing.assert_close(found[inner], expected[inner].float(), atol=0.01, rtol=0)


def test_tones_above_half_of_the_new_rate_go():
    tone = torch.sin(2 * torch.pi * 3500 * torch.arange(800) / 8000)[:, None]
    assert resample(tone, 8000, 4000)[50:-50].abs().max() < 0.03


def test_length_and_rates_of_every_size():
    samples = torch.rand(50, 1)
    assert torch.equal(resample(samples, 8000, 8000), samples)
    assert torch.equal(resample(samples, 8000, 8000, 20), samples[:20])
    whole = resample(samples, 8000, 7919)
    torch.testing.assert_close(resample(samples, 8000, 7919, 20), whole[:20])
    assert resample(samples, 4_000_000_007, 8000).shape == (1, 1)
    assert resample(torch.rand(0, 2), 8000, 4000).shape == (0, 2)
