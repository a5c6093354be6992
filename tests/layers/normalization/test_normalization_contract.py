"""The normalization layers against the contract of all layers."""

from tests.testing import case, layer_cases
from torchkeras import layers

BN, LN, GN = layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization
RMS, UN = layers.RMSNormalization, layers.UnitNormalization


def same(cls, init_kwargs, shape, num_weights, num_trainable_weights, **expected):
    """A case of a layer whose output has the shape of its input."""
    return case(
        cls,
        init_kwargs,
        shape,
        expected_output_shape=shape,
        expected_output_dtype="float32",
        expected_num_weights=num_weights,
        expected_num_trainable_weights=num_trainable_weights,
        supports_masking=cls is not RMS,
        **expected,
    )


CASES = {
    "batch": same(BN, {}, (4, 3), 4, 2),
    "batch_sequence": same(BN, {}, (4, 5, 3), 4, 2),
    "batch_images": same(BN, {}, (4, 5, 5, 3), 4, 2),
    "batch_channels_first": same(BN, {"axis": 1}, (4, 3, 5, 5), 4, 2),
    "batch_channels_between": same(BN, {"axis": 2}, (4, 5, 3, 2), 4, 2),
    "batch_no_gamma": same(BN, {"scale": False}, (4, 3), 3, 1),
    "batch_no_weights": same(BN, {"scale": False, "center": False}, (4, 5, 3), 2, 0),
    "batch_renorm": same(BN, {"renorm": True, "renorm_clipping": {"rmax": 3.0}}, (4, 5, 3), 7, 2),
    "batch_synchronized": same(BN, {"synchronized": True}, (4, 5, 3), 4, 2),
    "layer": same(LN, {}, (4, 3), 2, 2),
    "layer_two_axes": same(LN, {"axis": [1, 2]}, (4, 3, 5), 2, 2),
    "layer_inner_axis": same(LN, {"axis": 1}, (4, 3, 5), 2, 2),
    "layer_mixed_axes": same(LN, {"axis": [1, -1]}, (4, 3, 5, 2), 2, 2),
    "layer_no_beta": same(LN, {"center": False}, (4, 3), 1, 1),
    "group": same(GN, {"groups": 2}, (4, 6), 2, 2),
    "group_images": same(GN, {"groups": 2}, (4, 5, 5, 6), 2, 2),
    "group_instances": same(GN, {"groups": -1, "axis": 1}, (4, 6, 3), 2, 2),
    "group_no_weights": same(GN, {"groups": 3, "scale": False, "center": False}, (4, 2, 6), 0, 0),
    "rms": same(RMS, {}, (4, 6), 1, 1),
    "rms_two_axes": same(RMS, {"axis": [1, 2]}, (4, 6, 3), 1, 1),
    "rms_inner_axis": same(RMS, {"axis": 1}, (4, 6, 3), 1, 1),
    "unit": same(UN, {}, (4, 6), 0, 0),
    "unit_two_axes": same(UN, {"axis": [1, 2]}, (4, 6, 3), 0, 0),
    "spectral": case(
        layers.SpectralNormalization,
        lambda: {"layer": layers.Dense(3)},
        (4, 6),
        expected_output_shape=(4, 3),
        expected_num_weights=3,
        changes_trainable=True,
    ),
    "spectral_iterations": case(
        layers.SpectralNormalization,
        lambda: {"layer": layers.Dense(3, use_bias=False), "power_iterations": 3},
        (4, 5, 6),
        expected_output_shape=(4, 5, 3),
        expected_num_weights=2,
        changes_trainable=True,
    ),
}


@layer_cases(CASES)
def test_layer_keeps_the_contract(check):
    check()
