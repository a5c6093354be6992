"""The normalization layers against the contract of all layers."""

import copy

import pytest

from tests import testing
from tests.testing import check_layer
from torchkeras import layers

BN, LN, GN = layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization
RMS, UN = layers.RMSNormalization, layers.UnitNormalization

# Layer, arguments, shape, number of weights, number of trainable ones.
CASES = {
    "batch": (BN, {}, (4, 3), 4, 2),
    "batch_sequence": (BN, {}, (4, 5, 3), 4, 2),
    "batch_images": (BN, {}, (4, 5, 5, 3), 4, 2),
    "batch_channels_first": (BN, {"axis": 1}, (4, 3, 5, 5), 4, 2),
    "batch_channels_between": (BN, {"axis": 2}, (4, 5, 3, 2), 4, 2),
    "batch_no_gamma": (BN, {"scale": False}, (4, 3), 3, 1),
    "batch_no_weights": (BN, {"scale": False, "center": False}, (4, 5, 3), 2, 0),
    "batch_renorm": (BN, {"renorm": True, "renorm_clipping": {"rmax": 3.0}}, (4, 5, 3), 7, 2),
    "batch_synchronized": (BN, {"synchronized": True}, (4, 5, 3), 4, 2),
    "layer": (LN, {}, (4, 3), 2, 2),
    "layer_two_axes": (LN, {"axis": [1, 2]}, (4, 3, 5), 2, 2),
    "layer_inner_axis": (LN, {"axis": 1}, (4, 3, 5), 2, 2),
    "layer_mixed_axes": (LN, {"axis": [1, -1]}, (4, 3, 5, 2), 2, 2),
    "layer_no_beta": (LN, {"center": False}, (4, 3), 1, 1),
    "group": (GN, {"groups": 2}, (4, 6), 2, 2),
    "group_images": (GN, {"groups": 2}, (4, 5, 5, 6), 2, 2),
    "group_instances": (GN, {"groups": -1, "axis": 1}, (4, 6, 3), 2, 2),
    "group_no_weights": (GN, {"groups": 3, "scale": False, "center": False}, (4, 2, 6), 0, 0),
    "rms": (RMS, {}, (4, 6), 1, 1),
    "rms_two_axes": (RMS, {"axis": [1, 2]}, (4, 6, 3), 1, 1),
    "rms_inner_axis": (RMS, {"axis": 1}, (4, 6, 3), 1, 1),
    "unit": (UN, {}, (4, 6), 0, 0),
    "unit_two_axes": (UN, {"axis": [1, 2]}, (4, 6, 3), 0, 0),
}


@pytest.fixture(autouse=True)
def flags_of_a_copy(monkeypatch):
    """A call in training moves statistics: let the check of the flags make it on a copy."""
    check = testing._check_flags
    monkeypatch.setattr(
        testing, "_check_flags", lambda layer, *args: check(copy.deepcopy(layer), *args)
    )


@pytest.mark.parametrize("case", CASES)
def test_layer_keeps_the_contract(case):
    cls, init_kwargs, shape, num_weights, num_trainable_weights = CASES[case]
    check_layer(
        cls,
        init_kwargs,
        shape,
        expected_output_shape=shape,
        expected_output_dtype="float32",
        expected_num_weights=num_weights,
        expected_num_trainable_weights=num_trainable_weights,
        supports_masking=cls is not RMS,
    )


def test_spectral_normalization_keeps_the_contract():
    def make(dtype=None):
        inner = layers.Dense(3, dtype=dtype)
        return layers.SpectralNormalization(inner, dtype=dtype)

    check_layer(
        make,
        {},
        (4, 6),
        expected_output_shape=(4, 3),
        expected_num_weights=3,
        supports_config=False,  # a layer made from a config has other paths, as in Keras
    )
