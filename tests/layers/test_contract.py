"""Every layer of the first families against the contract of all layers."""

import pytest
import torch

from tests.testing import check_layer
from torchkeras import layers


def scaled(x, factor=2.0):
    return x * factor


CASES = {
    "dense": (layers.Dense, {"units": 4}, (2, 3), (2, 4), 2),
    "dense_no_bias": (layers.Dense, {"units": 4, "use_bias": False}, (2, 3), (2, 4), 1),
    "dense_relu": (layers.Dense, {"units": 8, "activation": "relu"}, (4, 3), (4, 8), 2),
    "dense_softmax": (layers.Dense, {"units": 4, "activation": "softmax"}, (2, 3), (2, 4), 2),
    "dense_3d": (layers.Dense, {"units": 4, "activation": "tanh"}, (2, 5, 3), (2, 5, 4), 2),
    "dense_narrow": (layers.Dense, {"units": 10}, (3, 128), (3, 10), 2),
    "identity": (layers.Identity, {}, (2, 3), (2, 3), 0),
    "masking": (layers.Masking, {}, (2, 3, 4), (2, 3, 4), 0),
    "lambda": (
        layers.Lambda,
        {"function": scaled, "arguments": {"factor": 3.0}},
        (2, 3),
        (2, 3),
        0,
    ),
    "activation": (layers.Activation, {"activation": "tanh"}, (2, 3), (2, 3), 0),
    "relu": (layers.ReLU, {"max_value": 2.0, "negative_slope": 0.1}, (4, 3), (4, 3), 0),
    "leaky_relu": (layers.LeakyReLU, {}, (2, 3), (2, 3), 0),
    "elu": (layers.ELU, {"alpha": 0.5}, (2, 3), (2, 3), 0),
    "prelu": (layers.PReLU, {}, (4, 3), (4, 3), 1),
    "prelu_shared": (layers.PReLU, {"shared_axes": [1, 2]}, (4, 3, 3, 2), (4, 3, 3, 2), 1),
    "softmax": (layers.Softmax, {}, (2, 3), (2, 3), 0),
    "softmax_two_axes": (layers.Softmax, {"axis": [1, 2]}, (2, 3, 4), (2, 3, 4), 0),
    "dropout": (layers.Dropout, {"rate": 0.5}, (4, 8), (4, 8), 0),
    "dropout_noise_shape": (
        layers.Dropout,
        {"rate": 0.5, "noise_shape": (None, 1, None)},
        (4, 3, 8),
        (4, 3, 8),
        0,
    ),
    "dropout_seeded": (layers.Dropout, {"rate": 0.5, "seed": 3}, (4, 8), (4, 8), 0),
    "dropout_zero": (layers.Dropout, {"rate": 0}, (4, 8), (4, 8), 0),
    "alpha_dropout": (layers.AlphaDropout, {"rate": 0.2}, (4, 8), (4, 8), 0),
    "gaussian_dropout": (layers.GaussianDropout, {"rate": 0.2}, (4, 8), (4, 8), 0),
    "gaussian_noise": (layers.GaussianNoise, {"stddev": 0.2}, (4, 8), (4, 8), 0),
    "spatial_dropout1d": (layers.SpatialDropout1D, {"rate": 0.5}, (4, 3, 8), (4, 3, 8), 0),
    "spatial_dropout2d": (layers.SpatialDropout2D, {"rate": 0.5}, (4, 2, 2, 8), (4, 2, 2, 8), 0),
    "spatial_dropout2d_first": (
        layers.SpatialDropout2D,
        {"rate": 0.5, "data_format": "channels_first"},
        (4, 8, 2, 2),
        (4, 8, 2, 2),
        0,
    ),
    "spatial_dropout3d": (
        layers.SpatialDropout3D,
        {"rate": 0.5},
        (4, 2, 2, 2, 8),
        (4, 2, 2, 2, 8),
        0,
    ),
    "activity_regularization": (
        layers.ActivityRegularization,
        {"l1": 0.1, "l2": 0.2},
        (2, 3),
        (2, 3),
        0,
    ),
    "flatten": (layers.Flatten, {}, (2, 3, 4), (2, 12), 0),
    "flatten_first": (
        layers.Flatten,
        {"data_format": "channels_first"},
        (2, 3, 4, 5),
        (2, 60),
        0,
    ),
    "flatten_vector": (layers.Flatten, {}, (3,), (3, 1), 0),
    "reshape": (layers.Reshape, {"target_shape": (4, 3)}, (2, 12), (2, 4, 3), 0),
    "reshape_open": (layers.Reshape, {"target_shape": (-1, 3)}, (2, 12), (2, 4, 3), 0),
    "permute": (layers.Permute, {"dims": (2, 1)}, (2, 3, 4), (2, 4, 3), 0),
    "repeat_vector": (layers.RepeatVector, {"n": 3}, (2, 4), (2, 3, 4), 0),
    "rescaling": (layers.Rescaling, {"scale": 0.5, "offset": -1.0}, (2, 3), (2, 3), 0),
    "rescaling_channels": (
        layers.Rescaling,
        {"scale": [0.5, 1.0, 2.0], "offset": [0.0, 1.0, -1.0]},
        (2, 4, 4, 3),
        (2, 4, 4, 3),
        0,
    ),
    "add": (layers.Add, {}, [(2, 3), (2, 3), (2, 3)], (2, 3), 0),
    "add_broadcast": (layers.Add, {}, [(2, 3), (2, 4, 3)], (2, 4, 3), 0),
    "subtract": (layers.Subtract, {}, [(2, 3), (2, 3)], (2, 3), 0),
    "multiply": (layers.Multiply, {}, [(2, 3), (2, 1)], (2, 3), 0),
    "average": (layers.Average, {}, [(2, 3), (2, 3)], (2, 3), 0),
    "maximum": (layers.Maximum, {}, [(2, 3), (2, 3)], (2, 3), 0),
    "minimum": (layers.Minimum, {}, [(2, 3), (2, 3)], (2, 3), 0),
    "concatenate": (layers.Concatenate, {}, [(2, 3), (2, 4)], (2, 7), 0),
    "concatenate_axis": (layers.Concatenate, {"axis": 1}, [(2, 3, 4), (2, 2, 4)], (2, 5, 4), 0),
    "dot": (layers.Dot, {"axes": 1}, [(2, 3), (2, 3)], (2, 1), 0),
    "dot_axes": (layers.Dot, {"axes": (2, 1)}, [(2, 3, 4), (2, 4, 5)], (2, 3, 5), 0),
    "dot_normalize": (
        layers.Dot,
        {"axes": -1, "normalize": True},
        [(2, 3, 4), (2, 4)],
        (2, 3),
        0,
    ),
}

# What each case does not owe, and why.
EXCEPTIONS = {
    # torch.export warns of the loss, a tensor that the call leaves behind on the layer.
    "activity_regularization": {"expected_num_losses": 1, "supports_export": False},
    "lambda": {"custom_objects": {"scaled": scaled}},
}


@pytest.mark.parametrize("case", CASES)
def test_layer_keeps_the_contract(case):
    cls, init_kwargs, input_shape, output_shape, num_weights = CASES[case]
    check_layer(
        cls,
        init_kwargs,
        input_shape,
        expected_output_shape=output_shape,
        expected_num_weights=num_weights,
        **EXCEPTIONS.get(case, {}),
    )


def test_torch_module_wrapper_keeps_the_contract():
    check_layer(
        layers.TorchModuleWrapper,
        {"module": torch.nn.Linear(3, 4)},
        (2, 3),
        expected_output_shape=(2, 4),
        expected_num_weights=2,
        supports_config=False,  # a torch module has no config
        supports_mixed_precision=False,  # nor does it read its weights in another dtype
    )
