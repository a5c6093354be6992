"""STFTSpectrogram, MelSpectrogram and the initializer STFT: Keras's values, Fourier's, SciPy's."""

import math

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, layer_cases
from torchkeras.initializers.windows import window_values
from torchkeras.layers import MelSpectrogram, STFTSpectrogram

SMALL = {"frame_length": 16, "frame_step": 5}
MEL = {"fft_length": 64, "sequence_stride": 20, "sampling_rate": 8000, "num_mel_bins": 6}


@layer_cases(
    {
        "log": case(STFTSpectrogram, SMALL, input_shape=(2, 40, 2), expected_num_weights=2),
        "stft_same": case(
            STFTSpectrogram,
            {**SMALL, "mode": "stft", "padding": "same", "expand_dims": True},
            input_shape=(2, 41, 2),
            expected_output_shape=(2, 9, 18, 2),
        ),
        "real": case(
            STFTSpectrogram,
            {**SMALL, "mode": "real", "data_format": "channels_first"},
            input_shape=(2, 3, 40),
            expected_num_weights=1,
            expected_output_shape=(2, 27, 5),
        ),
        "mel": case(MelSpectrogram, MEL, input_shape=(2, 100), mask_shape=False),
        "mel_magnitudes": case(
            MelSpectrogram,
            {**MEL, "mag_exp": 1.0, "power_to_db": False, "window": None},
            input_shape=(3, 81),
            mask_shape=False,
        ),
    }
)
def test_contract(check):
    check()


MODES = ["log", "magnitude", "psd", "real", "imag", "angle", "stft"]
OPTIONS = [
    {},
    {
        "padding": "same",
        "expand_dims": True,
        "window": "hamming",
        "periodic": True,
        "scaling": "spectrum",
    },
    {"data_format": "channels_first", "window": None, "fft_length": 64},
]


def compared(name, options, x):
    real = pytest.importorskip("keras")
    mine, theirs = (getattr(lib.layers, name)(**options) for lib in (keras, real))
    a, b = mine(x).detach().numpy(), theirs(x).detach().numpy()
    assert a.shape == b.shape == tuple(mine.compute_output_shape(x.shape))
    configs = [layer.get_config() for layer in (mine, theirs)]
    for config in configs:
        config.pop("name"), config.pop("dtype")
    assert configs[0] == configs[1]
    assert [w.path.split("/")[1:] for w in mine.weights] == [
        w.path.split("/")[1:] for w in theirs.weights
    ]
    return a, b


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", OPTIONS)
def test_stft_is_that_of_keras(mode, options):
    x = np.random.RandomState(0).randn(2, 90, 90).astype("float32")[..., :3]
    if "data_format" in options:
        x = x.transpose(0, 2, 1)
    a, b = compared("STFTSpectrogram", {**SMALL, "mode": mode, **options}, x)
    difference = np.abs(a - b)
    if mode == "angle":  # which jumps by a full circle
        difference = np.minimum(difference, 2 * math.pi - difference)
    # Keras computes the angles of the waves in float32; logarithms stretch small numbers.
    assert difference.max() < (2e-3 if mode in ("angle", "log") else 1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"power_to_db": False, "mag_exp": 1.0, "window": "hamming"},
        {
            "window": None,
            "sequence_length": 50,
            "max_freq": 3000.0,
            "ref_power": 0.5,
            "top_db": 9.0,
        },
    ],
)
@pytest.mark.parametrize("shape", [(2, 200), (200,)])
def test_mel_is_that_of_keras(options, shape):
    x = np.random.RandomState(0).randn(*shape).astype("float32")
    a, b = compared("MelSpectrogram", {**MEL, **options}, x)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)  # its triangles are of float32


def test_stft_is_fouriers():
    x = torch.randn(1, 16, 1, dtype=torch.float64)
    layer = STFTSpectrogram(
        "stft", frame_length=16, window="hann", periodic=True, scaling=None, dtype="float64"
    )
    window = torch.hann_window(16, dtype=torch.float64)
    expected = torch.fft.rfft(x[0, :, 0] * window)
    torch.testing.assert_close(layer(x)[0, 0], torch.cat([expected.real, expected.imag]))


def test_a_tone_is_loudest_in_its_band():
    layer = MelSpectrogram(**{**MEL, "fft_length": 512, "num_mel_bins": 40})
    times = torch.arange(4000) / 8000
    loudest = layer(torch.sin(2 * math.pi * 1000 * times))[:, 50].argmax()
    edges = np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(4000 / 700), 42)
    nearest = np.abs(edges[1:-1] - 1127 * np.log1p(1000 / 700)).argmin()
    assert loudest == nearest


def test_silence_has_a_gradient_and_frames_are_counted():
    x = torch.zeros(2, 199, requires_grad=True)
    y = MelSpectrogram(**MEL)(x)
    y.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert y.shape == (2, 6, 10)  # 1 + 199 // 20; Keras's symbols say 11


NAMES = "boxcar hann hamming blackman nuttall blackmanharris flattop bartlett cosine triang"


@pytest.mark.parametrize("name", NAMES.split())
@pytest.mark.parametrize("periodic", [True, False])
def test_windows_are_scipys(name, periodic):
    signal = pytest.importorskip("scipy.signal")
    for length in (1, 2, 9, 16):
        expected = signal.get_window(name, length, periodic)
        np.testing.assert_allclose(window_values(name, length, periodic), expected, atol=1e-12)


def test_the_initializer_is_that_of_keras():
    real = pytest.importorskip("keras")
    for options in ({}, {"side": "imag", "window": "blackman", "scaling": "spectrum"}):
        mine, theirs = keras.initializers.STFT(**options), real.initializers.STFT(**options)
        assert mine.get_config() == theirs.get_config()
        a, b = mine((16, 1, 9)), theirs((16, 1, 9)).detach()
        torch.testing.assert_close(a, b, atol=2e-6, rtol=0)  # Keras's angles are of float32
        again = keras.initializers.deserialize(real.initializers.serialize(theirs))
        assert again((16, 1, 9)).equal(a)
    assert isinstance(keras.initializers.get("stft"), keras.initializers.STFT)


def test_windows_of_values_survive_the_config():
    window = np.linspace(0.1, 1, 16)
    for layer in (
        STFTSpectrogram(**SMALL, window=window),
        MelSpectrogram(**MEL, sequence_length=16, window=window),
    ):
        x = torch.randn((1, 80, 1) if isinstance(layer, STFTSpectrogram) else (1, 80))
        twin = keras.layers.deserialize(keras.layers.serialize(layer))
        assert twin(x).equal(layer(x))


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (STFTSpectrogram, {"mode": "power"}, "`mode` must be one of log.*mode='power'"),
        (STFTSpectrogram, {"padding": "full"}, "`padding` must be one of valid, same"),
        (STFTSpectrogram, {"scaling": "x"}, "`scaling` must be 'density'"),
        (STFTSpectrogram, {"frame_step": 300}, "`frame_step` must be from 1"),
        (STFTSpectrogram, {"fft_length": 3}, "`fft_length` must be at least"),
        (STFTSpectrogram, {"window": "glass"}, "the name of a window"),
        (MelSpectrogram, {"sequence_length": 4096}, "`sequence_length` must be at most"),
        (MelSpectrogram, {"window": "kaiser"}, "must be 'hann', 'hamming'"),
        (MelSpectrogram, {"window": [1.0]}, "must have `sequence_length` values"),
    ],
)
def test_errors_in_arguments(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options)


def test_errors_in_calls():
    with pytest.raises(TypeError, match="takes signals of floats"):
        STFTSpectrogram(**SMALL)(torch.ones(1, 40, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match="needs more than that"):
        MelSpectrogram(**MEL)(torch.ones(1, 32))
    with pytest.raises(ValueError, match="as many values as a frame"):
        keras.initializers.STFT(window=np.ones(3))((4, 1, 3))
    with pytest.warns(UserWarning, match="power of two"):
        STFTSpectrogram(fft_length=300)
