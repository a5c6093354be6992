"""Process-wide settings."""

import threading

import pytest
import torch

import torchkeras as keras
from torchkeras.core import config
from torchkeras.core.scopes import meta_scope


def test_defaults_are_those_of_keras():
    assert keras.config.floatx() == "float32" and keras.config.epsilon() == 1e-7
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.backend() == "torch" and keras.config.is_interactive_logging_enabled()
    assert keras.config.max_epochs() is None and keras.config.max_steps_per_epoch() is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_floatx_decides_the_dtype_of_what_has_none(dtype):
    keras.config.set_floatx(dtype)
    assert keras.Variable(1.0).dtype == dtype
    assert keras.layers.Layer().dtype == dtype
    assert keras.ops.convert_to_tensor([1.5]).dtype is getattr(torch, dtype)


@pytest.mark.parametrize("value", ["int32", None, "float"])
def test_floatx_must_be_a_float(value):
    with pytest.raises(ValueError, match="`floatx` must be one of.*Received"):
        keras.config.set_floatx(value)
    assert keras.config.floatx() == "float32"


def test_settings_are_kept():
    keras.config.set_epsilon(1)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_max_epochs(3)
    keras.config.set_max_steps_per_epoch(4)
    keras.config.disable_interactive_logging()
    assert keras.config.epsilon() == 1.0 and type(keras.config.epsilon()) is float
    assert keras.config.image_data_format() == "channels_first"
    assert (keras.config.max_epochs(), keras.config.max_steps_per_epoch()) == (3, 4)
    assert not keras.config.is_interactive_logging_enabled()
    keras.config.enable_interactive_logging()
    assert keras.config.is_interactive_logging_enabled()


def test_data_formats():
    assert config.standardize_data_format(None) == "channels_last"
    assert config.standardize_data_format("Channels_First") == "channels_first"
    with pytest.raises(ValueError, match="`data_format` must be.*Received: data_format='nchw'"):
        config.standardize_data_format("NCHW")


def test_no_notebook_here():
    assert not config.is_notebook()


def test_device_scopes_nest_and_end():
    outside = config.default_device()
    with keras.device("cpu"):
        with keras.device("meta"):
            assert keras.Variable("ones", shape=(2,)).device.type == "meta"
        assert config.default_device() == torch.device("cpu")
        with pytest.raises(ZeroDivisionError), keras.device("meta"):
            1 / 0  # noqa: B018
        assert config.default_device().type == "cpu"
    assert config.default_device() == outside


def test_keras_names_of_devices():
    with keras.device("GPU:1"):
        assert config.default_device() == torch.device("cuda:1")


def test_a_device_scope_belongs_to_its_thread():
    seen = []
    with keras.device("meta"):
        thread = threading.Thread(target=lambda: seen.append(config.default_device().type))
        thread.start()
        thread.join(10)
    assert seen != ["meta"]


def test_shape_inference_is_on_meta():
    with keras.device("cpu"), meta_scope():
        assert config.default_device().type == "meta"


class _Devices(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return str(config.default_device())


@pytest.mark.parametrize(("workers", "expected"), [(0, "meta"), (1, "cpu")])
def test_the_workers_of_a_loader_leave_the_accelerator_alone(workers, expected, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    loader = torch.utils.data.DataLoader(
        _Devices(), num_workers=workers, multiprocessing_context="fork" if workers else None
    )
    assert list(loader) == [[expected]]


def test_torchs_default_device_counts():
    torch.set_default_device("meta")
    try:
        assert config.default_device().type == "meta"
    finally:
        torch.set_default_device(None)


def test_traceback_filtering_is_a_switch_that_is_remembered():
    assert keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    assert not keras.config.is_traceback_filtering_enabled()
    keras.config.enable_traceback_filtering()
    assert keras.config.is_traceback_filtering_enabled()
