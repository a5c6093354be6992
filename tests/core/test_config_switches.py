"""keras.config beside Keras's, the switch of flash attention, and what stays refused."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import torchkeras as keras


class Calls(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def uses_flash(layer, *args):
    mode = Calls()
    mode.names = []
    with mode:
        layer(*args)
    return any("flash_attention" in name for name in mode.names)


def make_layers():
    x = torch.randn(2, 5, 8)
    return [
        (keras.layers.MultiHeadAttention(2, 4), (x, x)),
        (keras.layers.GroupQueryAttention(4, 4, 2), (x, x)),
        (keras.layers.Attention(), ([x, x],)),
    ]


def test_flash_attention_is_off_for_layers_made_so():
    default = make_layers()
    keras.config.disable_flash_attention()
    assert keras.config.is_flash_attention_enabled() is False
    without = make_layers()
    keras.config.enable_flash_attention()
    assert keras.config.is_flash_attention_enabled() is None
    for (layer, args), (plain, _) in zip(default, without, strict=True):
        layer(*args), plain(*args)
        plain.set_weights(layer.get_weights())
        assert uses_flash(layer, *args) and not uses_flash(plain, *args)
        torch.testing.assert_close(layer(*args), plain(*args))


def test_the_function_of_ops_follows_the_setting_of_now():
    x = torch.randn(1, 5, 2, 4)
    attend = keras.ops.dot_product_attention
    assert uses_flash(attend, x, x, x)
    assert not uses_flash(lambda *args: attend(*args, flash_attention=False), x, x, x)
    keras.config.disable_flash_attention()
    assert not uses_flash(attend, x, x, x)


def test_all_of_keras_config_is_here():
    real = pytest.importorskip("keras")
    names = {name for name in vars(real.config) if not name.startswith("_")}
    assert {name for name in names if not hasattr(keras.config, name)} == set()
    for name in sorted(names):
        if name.startswith("is_") and "logging" not in name:
            assert getattr(keras.config, name)() == getattr(real.config, name)(), name
    real.config.disable_flash_attention()
    try:
        assert real.config.is_flash_attention_enabled() is False
    finally:
        real.config.enable_flash_attention()
    assert real.config.is_flash_attention_enabled() is None


def test_the_backend_is_torch():
    keras.config.set_backend("torch")
    with pytest.raises(ValueError, match="computes with torch.*backend='jax'"):
        keras.config.set_backend("jax")


def test_code_in_a_config_is_refused_with_every_switch():
    real = pytest.importorskip("keras")
    x = real.Input((2,))
    text = real.Model(x, real.layers.Lambda(lambda x: x * 5, output_shape=(2,))(x)).to_json()
    for _ in range(2):
        with pytest.raises(ValueError, match="never runs code from a file"):
            keras.models.model_from_json(text)
        keras.config.enable_unsafe_deserialization()
    config = {"class_name": "__lambda__", "config": {"value": ["", None, None]}}
    with pytest.raises(ValueError, match="never runs code from a file"):
        keras.saving.deserialize_keras_object(config, safe_mode=False)
