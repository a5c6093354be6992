"""Every layer of the contract's tables gives the mask that the layer of Keras gives."""

import inspect
import warnings

import pytest
import torch

import torchkeras
from tests.contract import tensors_of
from tests.layers.normalization.test_normalization_contract import CASES as NORMALIZATION
from tests.layers.test_contract import CASES as FIRST
from tests.testing import check_layer, make_inputs
from torchkeras.core import tree

keras = pytest.importorskip("keras")

# The first case of each class; a function or a torch module has no twin in Keras.
CASES = {}
for check in [*FIRST.values(), *NORMALIZATION.values()]:
    CASES.setdefault(check.args[0].__name__, check)
del CASES["Lambda"], CASES["TorchModuleWrapper"]


@pytest.mark.parametrize("name", CASES)
def test_output_masks_are_those_of_keras(name):
    check = CASES[name]
    given = inspect.signature(check_layer).bind(*check.args, **check.keywords).arguments
    init_kwargs, mask_shape = given["init_kwargs"], given.get("mask_shape")
    ours = given["cls"](**(init_kwargs() if callable(init_kwargs) else init_kwargs))
    config = torchkeras.saving.serialize_keras_object(ours)
    theirs = keras.saving.deserialize_keras_object(config)
    results, told = [], []
    for layer in (ours, theirs):
        inputs = masked(make_inputs(given["input_shape"]), mask_shape)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results.append(tensors_of(layer(inputs)))
        told.append(any("input with a mask" in str(warning.message) for warning in caught))
    assert told[0] == told[1], f"a warning of a lost mask: {told[0]}, in Keras: {told[1]}"
    found, expected = results
    for a, b in zip(found, expected, strict=True):
        a, b = getattr(a, "_keras_mask", None), getattr(b, "_keras_mask", None)
        assert (a is None) == (b is None), f"{a}, in Keras {b}"
        assert a is None or torch.equal(a, b)


def masked(inputs, shape):
    generator = torch.Generator().manual_seed(3)

    def put_mask(x):
        x._keras_mask = torch.rand(shape or x.shape[:-1], generator=generator) > 0.4
        return x

    return tree.map_structure(put_mask, inputs)
