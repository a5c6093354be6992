"""Scans, gradients of one's own, functions of single elements, patterns."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import ops

X = torch.tensor(np.random.default_rng(0).normal(size=(3, 7, 2)))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("axis", [0, 1, -2])
def test_associative_scan_is_a_running_total(n, axis, reverse):
    x = X[:, :n] if axis else X[:, :n].transpose(0, 1)
    turned = x.flip(axis) if reverse else x
    ours = ops.associative_scan(lambda a, b: a + b, x, reverse=reverse, axis=axis)
    expected = torch.cumsum(turned, axis)
    torch.testing.assert_close(ours, expected.flip(axis) if reverse else expected)
    assert ops.associative_scan(lambda a, b: a + b, x[:, :0], axis=1).shape[1] == 0


def test_associative_scan_of_a_structure_keeps_the_order_of_its_arguments():
    def combined(a, b):  # of linear functions x -> m * x + c, the first one applied first
        return {"m": a["m"] * b["m"], "c": b["m"] * a["c"] + b["c"]}

    functions = {"m": X[0, :, 0], "c": X[0, :, 1]}
    ours = ops.associative_scan(combined, functions)
    value = torch.tensor(0.0, dtype=X.dtype)
    for i in range(7):
        value = functions["m"][i] * value + functions["c"][i]
        torch.testing.assert_close(ours["c"][i], value)
    with pytest.raises(ValueError, match="tensors along axis 0"):
        ops.associative_scan(combined, {"m": X[0, :3, 0], "c": X[0, :, 1]})
    with pytest.raises(TypeError, match="`f` must be a function"):
        ops.associative_scan(None, X)


def test_gradients_pass_through_an_associative_scan():
    x = X[:, :, 0].clone().requires_grad_()
    ops.associative_scan(lambda a, b: a * b, x, axis=1).sum().backward()
    y = X[:, :, 0].clone().requires_grad_()
    torch.cumprod(y, 1).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def in_torch_form(x, y):
    def grad(*args, upstream):
        return upstream * args[1], upstream * 100

    return x * y, grad


def in_jax_form(x, y):
    def grad(upstream):
        return upstream * y, upstream * 100

    return x * y, grad


@pytest.mark.parametrize("function", [in_torch_form, in_jax_form])
def test_custom_gradient(function):
    x, y = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    result = ops.custom_gradient(function)(x, y)
    (result * 2).backward()
    assert (result.item(), x.grad.item(), y.grad.item()) == (6.0, 6.0, 200.0)
    variable = keras.Variable(2.0)
    ops.custom_gradient(function)(variable, y.detach()).backward()
    assert variable.value.grad.item() == 3.0


def test_custom_gradient_of_several_results_and_other_arguments():
    @ops.custom_gradient
    def parts(x, factor, *, shift=0.0):
        def grad(*args, upstream):
            a, b = upstream
            return a + 10 * b, None

        return (x * factor + shift, {"again": x}["again"]), grad

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a, b = parts(x, 3, shift=1.0)
    assert a.tolist() == [4.0, 7.0] and b.tolist() == [1.0, 2.0]
    (a.sum() + b.sum()).backward()
    assert x.grad.tolist() == [11.0, 11.0]
    with pytest.raises(ValueError, match="must return a pair"):
        ops.custom_gradient(lambda x: x)(x)

    wrong = ops.custom_gradient(lambda x: (x, lambda upstream: (upstream, upstream)))
    with pytest.raises(ValueError, match="2 for 1 arguments"):
        wrong(x).sum().backward()


def test_functions_of_ones_own_are_steps_of_a_model():
    own = ops.custom_gradient(lambda x: (x * 2, lambda upstream: upstream * 7))
    each = ops.vectorize(lambda a: a + 1)
    inputs = keras.Input((3,))
    outputs = each(own(inputs))
    assert outputs.shape == (None, 3)
    model, x = keras.Model(inputs, outputs), torch.ones(2, 3, requires_grad=True)
    result = model(x)
    assert result.tolist() == [[3.0] * 3] * 2
    result.sum().backward()
    assert x.grad.tolist() == [[7.0] * 3] * 2


def test_vectorize_broadcasts_as_numpy():
    def own(a, b):
        return torch.where(a > b, a - b, a + b)

    a, b = X[0], X[0, 0]
    expected = np.vectorize(lambda a, b: a - b if a > b else a + b)(a, b)
    np.testing.assert_allclose(ops.vectorize(own)(a, b), expected)
    assert ops.vectorize(own)(1.0, 2.0).item() == 3.0
    scaled = ops.vectorize(lambda x, names: x * len(names), excluded={1})
    assert scaled(torch.ones(2), ["a", "b"]).tolist() == [2.0, 2.0]


def test_vectorize_by_signature():
    product = ops.vectorize(lambda m, v: m @ v, signature="(m,n),(n)->(m)")
    matrices, vectors = torch.rand(4, 1, 2, 3), torch.rand(5, 3)
    expected = torch.einsum("amn,bn->abm", matrices[:, 0], vectors)
    torch.testing.assert_close(product(matrices, vectors), expected)
    both = ops.vectorize(lambda v: (v.sum(), v * 2), signature="(n)->(),(n)")
    total, double = both(vectors)
    assert total.shape == (5,) and double.shape == (5, 3)
    for signature in ("(n->(n)", "n->n", "(n)"):
        with pytest.raises(ValueError, match="`signature` must be of the form"):
            ops.vectorize(torch.sum, signature=signature)
    with pytest.raises(ValueError, match="axes that `signature` names"):
        product(matrices, torch.rand(5, 4))
    with pytest.raises(ValueError, match="2 groups for 1 arguments"):
        product(matrices)
    with pytest.raises(ValueError, match="`pyfunc` must be a function"):
        ops.vectorize(3)


def test_jvp_of_structures_and_what_is_handed_on():
    x, t = X[0], X[1]
    value, along, extra = ops.jvp(
        lambda x: (ops.sum(x**2), {"double": x * 2}), [x], [t], has_aux=True
    )
    torch.testing.assert_close(along, (2 * x * t).sum())
    torch.testing.assert_close(extra["double"], 2 * x)
    assert value == (x**2).sum()
    with pytest.raises(TypeError, match="`primals` must be a tuple or list"):
        ops.jvp(torch.sin, x, t)


REARRANGED = {
    "a b c -> c b a": lambda x: x.permute(2, 1, 0),
    "a b c -> (a b) c": lambda x: x.reshape(21, 2),
    "a b c -> a (c b)": lambda x: x.permute(0, 2, 1).reshape(3, 14),
    "... c -> c ...": lambda x: x.permute(2, 0, 1),
    "a ... -> (...) a": lambda x: x.permute(1, 2, 0).reshape(14, 3),
    "a b c -> a 1 b c": lambda x: x[:, None],
    "a b c ->a b c": lambda x: x,
}


@pytest.mark.parametrize("pattern", REARRANGED)
def test_rearrange(pattern):
    torch.testing.assert_close(ops.rearrange(X, pattern), REARRANGED[pattern](X))


def test_rearrange_takes_axes_apart():
    x = torch.arange(24).reshape(4, 6)
    ours = ops.rearrange(x, "(a p) (b q) -> a b (p q)", p=2, q=3)
    torch.testing.assert_close(ours, x.reshape(2, 2, 2, 3).permute(0, 2, 1, 3).reshape(2, 2, 6))
    assert ops.rearrange(torch.ones(2, 1, 3), "a 1 b -> b a").shape == (3, 2)


@pytest.mark.parametrize(
    "pattern, lengths, words",
    [
        ("a b c", {}, "of the form"),
        ("a b -> b a", {}, "must name each axis"),
        ("a b c -> a b", {}, "same axes"),
        ("a a c -> a c", {}, "names an axis twice"),
        ("(a b) c d -> a b c d", {}, "all lengths but one"),
        ("(a b) c d -> a b c d", {"a": 2}, "lengths do not fit"),
        ("a b c -> a b c", {"z": 2}, "names no axes"),
        ("((a b) c) d e -> a b c d e", {"a": 1}, "single parentheses"),
        ("(a b c -> a b c", {}, "open"),
        ("a b c) -> a b c", {}, "single parentheses"),
        ("a b c -> c b a", {"a": -3}, "ints of at least 0"),
        ("... a b c d -> a b c d ...", {}, "too few axes"),
    ],
)
def test_patterns_that_do_not_fit_are_explained(pattern, lengths, words):
    for x in (X, keras.KerasTensor((3, 7, 2))):
        with pytest.raises(ValueError, match=f"^keras.ops.rearrange: .*{words}"):
            ops.rearrange(x, pattern, **lengths)
