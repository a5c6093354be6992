import pytest
import torch

from torchkeras.kernels import dense


@pytest.mark.parametrize("shape", [(4, 6), (0, 6), (2, 3, 6), (2, 2, 2, 6), (4, 300), (1, 1)])
@pytest.mark.parametrize("units", [1, 2, 5, 10, 11, 40])
@pytest.mark.parametrize("use_bias", [True, False])
def test_value_and_gradients_are_those_of_the_formula(shape, units, use_bias):
    def leaves():
        g = torch.Generator().manual_seed(0)
        shapes = [shape, (shape[-1], units), (units,)]
        values = [torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
        return [v.requires_grad_() for v in values[: 2 + use_bias]]

    x, kernel, *bias = leaves()
    y = dense(x, kernel, *bias)
    y.square().sum().backward()
    x2, kernel2, *bias2 = leaves()
    expected = torch.einsum("...i,io->...o", x2, kernel2) + (bias2[0] if bias2 else 0)
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected)
    for a, b in zip([x, kernel, *bias], [x2, kernel2, *bias2], strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("shape", [(3, 130), (2, 3, 130)])
def test_gradcheck_first_and_second_order(shape):
    x = torch.randn(shape, dtype=torch.float64)[..., :130].requires_grad_()
    kernel = torch.randn(130, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(dense, (x, kernel, bias), fast_mode=True)
    assert torch.autograd.gradgradcheck(dense, (x, kernel, bias), fast_mode=True)


def test_activation_may_work_in_place_without_touching_inputs():
    x, kernel, bias = torch.randn(4, 3), torch.randn(3, 5), torch.randn(5)
    before = [t.clone() for t in (x, kernel, bias)]
    y = dense(x, kernel, bias, torch.relu_)
    torch.testing.assert_close(y, (x @ kernel + bias).clamp(min=0))
    for t, b in zip((x, kernel, bias), before, strict=True):
        assert torch.equal(t, b)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.int64, torch.float32),
        (torch.uint8, torch.float32),
        (torch.bool, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
        (torch.complex64, torch.complex64),
    ],
)
def test_another_dtype_is_promoted(dtype, expected):
    x = torch.tensor([[1, 0], [1, 1]]).to(dtype)
    y = dense(x, torch.tensor([[2.0], [3.0]]), torch.tensor([1.0]))
    assert y.dtype is expected
    assert torch.equal(y, torch.tensor([[3.0], [6.0]]).to(expected))


@pytest.mark.parametrize("units", [4, 40])
def test_non_contiguous_input(units):
    x, kernel = torch.randn(300, 6).t(), torch.randn(units, 300).t()
    torch.testing.assert_close(dense(x, kernel), x.contiguous() @ kernel.contiguous())


@pytest.mark.parametrize("units", [4, 40])
def test_vmap_over_inputs_and_over_weights(units):
    x, kernels, bias = torch.randn(5, 3, 130), torch.randn(5, 130, units), torch.randn(units)
    torch.testing.assert_close(
        torch.func.vmap(dense, in_dims=(0, None, None))(x, kernels[0], bias),
        x @ kernels[0] + bias,
    )
    torch.testing.assert_close(
        torch.func.vmap(lambda k: dense(x[0], k, bias, torch.relu_))(kernels),
        (x[0] @ kernels + bias).relu(),
    )


# torch compiles its own decompositions with torch.jit at the first jvp.
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_forward_mode():
    x, kernel, t = torch.randn(4, 3), torch.randn(3, 5), torch.randn(4, 3)
    _, tangent = torch.func.jvp(lambda x: dense(x, kernel), (x,), (t,))
    torch.testing.assert_close(tangent, t @ kernel)


def test_autocast_computes_in_the_lower_dtype():
    with torch.autocast("cpu", torch.bfloat16):
        for shape in ((4, 3), (2, 4, 3)):
            assert dense(torch.ones(shape), torch.ones(3, 5)).dtype is torch.bfloat16


@pytest.mark.gpu
def test_cuda_equals_cpu():
    x, kernel, bias = torch.randn(4, 130), torch.randn(130, 10), torch.randn(10)
    y = dense(x.cuda(), kernel.cuda(), bias.cuda())
    # TF32 is off by default, so the sums differ by float32 rounding only.
    torch.testing.assert_close(y.cpu(), dense(x, kernel, bias), rtol=1e-5, atol=1e-4)
