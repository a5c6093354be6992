"""Elementwise functions of numerical work, bits and complex numbers, against NumPy and SciPy."""

import numpy as np
import pytest
import torch

from torchkeras import ops

HALVES = (torch.float16, torch.bfloat16)
EDGES = [0.0, -0.0, 1.0, -1.0, 2.0**-24, 65504.0, -65504.0, 0.1, float("inf"), float("nan")]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nextafter_steps_in_its_own_dtype(dtype):
    a, b = np.meshgrid(np.array(EDGES, dtype), np.array(EDGES, dtype))
    ours = ops.nextafter(torch.tensor(a), torch.tensor(b))
    with np.errstate(all="ignore"):
        expected = np.nextafter(a, b)
    np.testing.assert_array_equal(ours, expected)
    assert ours.dtype == getattr(torch, dtype)


def test_nextafter_of_bfloat16():
    x = torch.tensor([1.0, -2.0, 0.0], dtype=torch.bfloat16)
    assert ops.nextafter(x, 3.0).tolist() == [1.0078125, -1.9921875, 2.0**-133]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ldexp_where_the_power_alone_overflows(dtype):
    x = np.array([1e-38, 3.0, 1e30, 1.5, -1.0, 0.0], dtype)
    n = np.array([200, -140, -200, 2000, -2000, 3000], "int32")
    ours = ops.ldexp(torch.tensor(x), torch.tensor(n))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(ours, np.ldexp(x, n))
    assert ops.ldexp(torch.tensor([3.0]), 2).tolist() == [12.0]
    with pytest.raises(TypeError, match="`x2` must hold ints"):
        ops.ldexp(torch.ones(2), torch.ones(2))


def test_ldexp_has_a_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    ops.ldexp(x, torch.tensor([3, -1])).sum().backward()
    assert x.grad.tolist() == [8.0, 0.5]


def test_gammainc_is_that_of_scipy():
    special = pytest.importorskip("scipy.special")
    a = np.random.default_rng(0).uniform(0.1, 20, (5, 4))
    x = np.random.default_rng(1).uniform(0, 30, (4,))
    ours = ops.gammainc(torch.tensor(a), torch.tensor(x))
    np.testing.assert_allclose(ours, special.gammainc(a, x), rtol=1e-9)
    assert ops.gammainc(torch.ones(2, dtype=torch.float16), 1).dtype is torch.float16
    point = torch.tensor(2.0, requires_grad=True)
    ops.gammainc(torch.tensor(3.0), point).backward()
    assert abs(point.grad - 2.0**2 * np.exp(-2.0) / 2) < 1e-6  # t^(a - 1) exp(-t) / gamma(a)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "name", ["i0", "cbrt", "sinc", "exp2", "deg2rad", "angle", "hypot", "signbit"]
)
def test_half_precision_is_taken_on_the_cpu(name, dtype):
    x = torch.tensor([0.5, -1.0], dtype=dtype)
    args = (x, x) if name == "hypot" else (x,)
    result = getattr(ops, name)(*args)
    exact = getattr(ops, name)(*[a.double() for a in args])
    torch.testing.assert_close(result.double(), exact.double(), rtol=1e-2, atol=1e-2)


def test_complex_numbers_and_their_parts():
    z = torch.tensor([3 + 4j, -1j, 2 + 0j])
    assert ops.real(z).tolist() == [3, 0, 2] and ops.imag(z).tolist() == [4, -1, 0]
    assert ops.isreal(z).tolist() == [False, False, True]
    assert torch.equal(ops.view_as_complex(ops.view_as_real(z)), z)
    assert ops.conj(z).tolist() == [3 - 4j, 1j, 2 + 0j] and not ops.conj(z).is_conj()
    torch.testing.assert_close(ops.polar(ops.abs(z), ops.angle(z)), z)
    assert ops.imag(torch.ones(2)).tolist() == [0, 0]
    assert ops.view_as_complex(torch.ones(1, 2, dtype=torch.float64)).dtype is torch.complex128
    with pytest.raises(TypeError, match="`fabs` takes real numbers"):
        ops.fabs(z)
    with pytest.raises(ValueError, match=r"^keras.ops.view_as_complex: .*\(2, 3\)"):
        ops.view_as_complex(torch.ones(2, 3))


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hanning"])
@pytest.mark.parametrize("points", [0, 1, 2, 7])
def test_windows_are_those_of_numpy(name, points):
    for x in (points, torch.tensor(points), np.int64(points)):
        ours = getattr(ops, name)(x)
        np.testing.assert_allclose(ours, getattr(np, name)(points), atol=1e-6)
        assert ours.dtype is torch.float32


def test_kaiser_and_windows_that_are_none():
    np.testing.assert_allclose(ops.kaiser(6, 8.6), np.kaiser(6, 8.6), atol=1e-6)
    with pytest.raises(ValueError, match="at least 0. Received: x=-1"):
        ops.hanning(-1)
    with pytest.raises(ValueError, match="one number of points"):
        ops.hanning(torch.ones(2))


def test_bits_and_divisors():
    x = torch.tensor([12, -7, 0], dtype=torch.int16)
    assert ops.gcd(x, 8).tolist() == [4, 1, 8] and ops.lcm(x, 8).tolist() == [24, 56, 0]
    assert ops.left_shift(x, 2).tolist() == [48, -28, 0]
    assert ops.right_shift(x, 1).tolist() == [6, -4, 0]
    assert ops.bitwise_not(x).tolist() == [-13, 6, -1]
    assert ops.gcd(x, 8).dtype is torch.int16
    for dtype in (torch.int32, torch.int64):  # where torch divides by -1, which ends the process
        limits = torch.iinfo(dtype)
        a, b = (torch.tensor([v], dtype=dtype) for v in (limits.max, limits.min))
        assert ops.gcd(a, b).tolist() == ops.gcd(b, a).tolist() == [1]
        assert ops.lcm(a, b).dtype is ops.lcm(b, a).dtype is dtype
        assert ops.lcm(b, b * 0).tolist() == [0]
    assert ops.bitwise_invert(torch.tensor([True])).tolist() == [False]
