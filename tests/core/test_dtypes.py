"""Names of dtypes and their promotion."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.core.dtypes import (
    NAME_TO_TORCH,
    is_float_dtype,
    is_int_dtype,
    result_type,
    standardize_dtype,
    to_torch_dtype,
)


@pytest.mark.parametrize("name", NAME_TO_TORCH)
def test_names_and_torch_dtypes_are_one_to_one(name):
    assert standardize_dtype(to_torch_dtype(name)) == name == standardize_dtype(name)
    assert standardize_dtype(f"torch.{name}") == name


@pytest.mark.parametrize(
    "given, expected",
    [
        (None, "float32"),
        (float, "float32"),
        (int, "int32"),
        (bool, "bool"),
        (np.float64, "float64"),
        (np.dtype("uint8"), "uint8"),
        (np.dtype(">i4"), "int32"),
        ("half", "float16"),
        ("double", "float64"),
        ("string", "string"),
    ],
    ids=str,
)
def test_what_stands_for_a_dtype(given, expected):
    assert standardize_dtype(given) == expected


@pytest.mark.parametrize(
    "given",
    ["float31", object(), torch.qint8, "", []],
    ids=["unknown", "object", "qint8", "empty", "list"],
)
def test_what_does_not(given):
    with pytest.raises(ValueError, match="`dtype` must name one of.*Received: dtype="):
        standardize_dtype(given)


def test_no_tensor_holds_strings():
    with pytest.raises(ValueError, match="cannot hold strings.*Received.*Encode"):
        to_torch_dtype("string")


def test_kinds():
    floats = {n for n in NAME_TO_TORCH if is_float_dtype(n)}
    ints = {n for n in NAME_TO_TORCH if is_int_dtype(n)}
    assert floats == {n for n, t in NAME_TO_TORCH.items() if t.is_floating_point}
    assert ints == {f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)}


REAL = [n for n in NAME_TO_TORCH if not n.startswith(("float8", "complex"))]


@pytest.mark.parametrize("a", REAL)
def test_promotion_is_symmetric_idempotent_and_associative(a):
    assert result_type(a) == result_type(a, a) == a
    for b in REAL:
        both = result_type(a, b)
        assert both == result_type(b, a) == result_type(a, both)
        for c in ("int8", "bfloat16", "uint64"):
            assert result_type(a, b, c) == result_type(b, c, a)


def test_python_scalars_are_weak():
    assert result_type("bfloat16", float) == result_type("bfloat16", int) == "bfloat16"
    assert result_type("uint8", int) == "uint8" and result_type("uint8", float) == "float32"
    assert result_type(int) == "int32" and result_type(float) == "float32"
    assert result_type() == "float32" and result_type("int64", "uint64") == "float32"
    keras.config.set_floatx("float16")
    assert result_type(float) == result_type("int32", float) == result_type(None) == "float16"


def test_float8_takes_no_part():
    assert result_type("float8_e4m3fn") == "float8_e4m3fn"
    with pytest.raises(ValueError, match="float8.*Received"):
        result_type("float8_e4m3fn", "float32")
