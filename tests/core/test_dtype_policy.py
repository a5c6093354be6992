"""DTypePolicy and the default policy."""

import copy
import pickle

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import DTypePolicy
from torchkeras.core import dtype_policy


@pytest.mark.parametrize(
    "name, compute, variable",
    [
        ("float32", "float32", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("mixed_float16", "float16", "float32"),
        ("mixed_bfloat16", "bfloat16", "float32"),
        ("int8", "int8", "int8"),
    ],
)
def test_the_two_dtypes(name, compute, variable):
    policy = DTypePolicy(name)
    assert (policy.name, policy.compute_dtype, policy.variable_dtype) == (name, compute, variable)
    assert repr(policy) == f'<DTypePolicy "{name}">' and policy.quantization_mode is None


@pytest.mark.parametrize("name", ["mixed_float64", "bfloat", ""])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="A dtype policy is a dtype name.*Received"):
        DTypePolicy(name)


def test_a_name_is_a_string():
    with pytest.raises(TypeError, match="`name` must be a string.*Received.*dtype"):
        DTypePolicy(torch.float32)


def test_equality_hash_and_copies():
    policy = DTypePolicy("mixed_float16")
    for other in (DTypePolicy("mixed_float16"), copy.deepcopy(policy)):
        assert other == policy and hash(other) == hash(policy)
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert policy != DTypePolicy("float16") and policy != "mixed_float16"
    assert DTypePolicy.from_config(policy.get_config()) == policy


def test_get():
    policy = DTypePolicy("float16")
    assert dtype_policy.get(policy) is policy
    for identifier in ("float16", torch.float16, np.float16, dtype_policy.serialize(policy)):
        assert dtype_policy.get(identifier) == policy
    assert dtype_policy.get(None).name == "float32"


def test_the_default_policy():
    keras.config.set_floatx("float64")
    assert keras.config.dtype_policy().name == "float64"
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert keras.layers.Layer().compute_dtype == "bfloat16"
    assert keras.layers.Layer(dtype="float32").compute_dtype == "float32"
    keras.config.set_dtype_policy(None)
    assert keras.layers.Layer().dtype == "float64"


def test_convert_input():
    policy = DTypePolicy("float16")
    assert policy.convert_input(np.ones(2), True, "float16").dtype is torch.float16
    assert policy.convert_input(np.ones(2), False, "float16").dtype is torch.float64
    assert policy.convert_input(np.ones(2, "int32"), True, "float16").dtype is torch.int32
    symbol = keras.Input((2,))
    assert policy.convert_input(symbol, True, "float16") is symbol
    assert policy.convert_input("text", True, "float16") == "text"
