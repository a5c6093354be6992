"""EinsumDense against torch.einsum."""

import math

import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases

# equation, output_shape, bias_axes, shape of the input, of kernel, bias and output
EQUATIONS = {
    "dense": ("ab,bc->ac", 4, "c", (2, 3), (3, 4), (4,), (2, 4)),
    "heads": ("abc,cde->abde", (None, 2, 4), "de", (2, 5, 3), (3, 2, 4), (2, 4), (2, 5, 2, 4)),
    "joined": ("abcd,cde->abe", (None, 4), "e", (2, 5, 2, 3), (2, 3, 4), (4,), (2, 5, 4)),
    "steps": ("abc,bd->adc", (4, None), "d", (2, 5, 3), (5, 4), (4, 1), (2, 4, 3)),
    "moved": ("abc,cde->abed", (None, 4, 2), None, (2, 5, 3), (3, 2, 4), None, (2, 5, 4, 2)),
    "each step": ("abc,bcd->abd", (None, 4), "bd", (2, 5, 3), (5, 3, 4), (5, 4), (2, 5, 4)),
    "some bias": ("abc,cde->abde", (None, 2, 4), "d", (2, 5, 3), (3, 2, 4), (2, 1), (2, 5, 2, 4)),
    "left": ("...x,xy->...y", 4, "y", (2, 5, 3), (3, 4), (4,), (2, 5, 4)),
    "left heads": ("...x,xyz->...yz", (2, 4), "yz", (2, 5, 3), (3, 2, 4), (2, 4), (2, 5, 2, 4)),
    "left, none": ("...bx,xy->...by", (None, 4), "by", (2, 5, 3), (3, 4), (5, 4), (2, 5, 4)),
    "right": ("ab...,bc->ac...", 4, "c", (2, 3, 5), (3, 4), (4, 1), (2, 4, 5)),
    "right, two": ("ab...,bc->ac...", 4, None, (2, 3, 5, 6), (3, 4), None, (2, 4, 5, 6)),
    "spaces": ("ab, bc -> ac", 4, "c", (2, 3), (3, 4), (4,), (2, 4)),
}


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("activation", [None, "sigmoid", "relu", "softmax"])
def test_values_are_those_of_the_equation(name, activation):
    equation, output_shape, bias_axes, shape, kernel, bias, output = EQUATIONS[name]
    layer = keras.layers.EinsumDense(
        equation, output_shape, activation, bias_axes, bias_initializer="uniform"
    )
    x = torch.randn(shape)
    made = layer(x)
    assert layer.kernel.shape == kernel
    assert (None if layer.bias is None else layer.bias.shape) == bias
    expected = torch.einsum(equation, x, layer.kernel.value)
    expected = expected if bias is None else expected + layer.bias.value
    assert_close(made, keras.activations.get(activation)(expected))
    assert made.shape == output


def test_whatever_sizes_are_unknown_are_those_of_the_input():
    layer = keras.layers.EinsumDense("abc,cd->abd", (None, 4))
    assert layer(keras.Input((5, 3))).shape == (None, 5, 4)
    assert layer(keras.Input((None, 3))).shape == (None, None, 4)
    layer = keras.layers.EinsumDense("...c,cd->...d", 4)
    assert layer.compute_output_shape((None, None, 7, 3)) == (None, None, 7, 4)


def test_initializers_know_inputs_from_outputs():
    layer = keras.layers.EinsumDense(
        "abc,cde->abde", (None, 50, 40), kernel_initializer=keras.initializers.HeNormal(seed=1)
    )
    layer.build((None, None, 30))
    assert math.isclose(layer.kernel.value.detach().std(), math.sqrt(2 / 30), rel_tol=0.02)
    again = keras.layers.EinsumDense.from_config(layer.get_config())
    again.build((None, None, 30))
    assert torch.equal(layer.kernel.value, again.kernel.value)


def test_integers_are_computed_in_the_dtype_of_the_kernel():
    for equation in ("ab,bc->ac", "ab,cb->ac"):
        layer = keras.layers.EinsumDense(equation, 4)
        x = torch.arange(6).reshape(2, 3)
        assert_close(layer(x), layer(x.float()))


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (("ab,bc", 4), (2, 3), "equation='ab,bc'"),
        (("ab...,bc->...ac", 4), (2, 3), "must have the form"),
        (("ab,bc->ac", 4), (2, 3, 5), "input_shape=\\(2, 3, 5\\)"),
        (("ab...,bc->ac...", 4), (2,), "at least 2"),
        (("abc,cd->abd", 4), (2, 5, 3), "output_shape=\\(4,\\)"),
        (("abc,cd->abd", (6, 4)), (2, 5, 3), "5 in the input, 6 in"),
        (("ab,bc->ad", 4), (2, 3), "'d' in the output alone"),
        (("ab,bcd->ac", 4), (2, 3), "'d' in the kernel alone"),
        (("ab,bc->ac", 4, None, "d"), (2, 3), "bias_axes='d'"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, shape, message):
    with pytest.raises(ValueError, match=f"Received.*{message}|{message}.*Received"):
        keras.layers.EinsumDense(*arguments)(torch.ones(shape))


def test_unsupported_arguments_are_errors():
    with pytest.raises(ValueError, match="Received: gptq_unpacked_column_size=2"):
        keras.layers.EinsumDense("ab,bc->ac", 4, gptq_unpacked_column_size=2)


def einsum(name, **arguments):
    equation, output_shape, bias_axes, shape, _, bias, output = EQUATIONS[name]
    given = {"equation": equation, "output_shape": output_shape, "bias_axes": bias_axes}
    return case(
        keras.layers.EinsumDense,
        {**given, **arguments},
        shape,
        expected_output_shape=output,
        expected_num_weights=1 if bias is None else 2,
        supports_masking=False,
        # torch.export has no place for the losses of a call.
        supports_export="activity_regularizer" not in arguments,
    )


CASES = {
    "heads": einsum("heads", kernel_regularizer="l2"),
    "joined": einsum("joined", activation="relu"),
    "steps": einsum("steps", activation="gelu", kernel_constraint="max_norm"),
    "left": einsum("left", activity_regularizer="l2"),
    "right": einsum("right, two"),
}


@layer_cases(CASES)
def test_holds_the_contract_of_layers(check):
    check()
