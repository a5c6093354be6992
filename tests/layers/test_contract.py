"""Every layer of the first families against the contract of all layers."""

import torch

from tests.testing import case, layer_cases
from torchkeras import layers


def scaled(x, factor=2.0):
    return x * factor


CASES = {
    "dense": case(
        layers.Dense, {"units": 4}, (2, 3), expected_output_shape=(2, 4), expected_num_weights=2
    ),
    "dense_no_bias": case(
        layers.Dense,
        {"units": 4, "use_bias": False},
        (2, 3),
        expected_output_shape=(2, 4),
        expected_num_weights=1,
    ),
    "dense_relu": case(
        layers.Dense,
        {"units": 8, "activation": "relu"},
        (4, 3),
        expected_output_shape=(4, 8),
        expected_num_weights=2,
    ),
    "dense_softmax": case(
        layers.Dense,
        {"units": 4, "activation": "softmax"},
        (2, 3),
        expected_output_shape=(2, 4),
        expected_num_weights=2,
    ),
    "dense_3d": case(
        layers.Dense,
        {"units": 4, "activation": "tanh"},
        (2, 5, 3),
        expected_output_shape=(2, 5, 4),
        expected_num_weights=2,
    ),
    "dense_narrow": case(
        layers.Dense, {"units": 10}, (3, 128), expected_output_shape=(3, 10), expected_num_weights=2
    ),
    "identity": case(
        layers.Identity, {}, (2, 3), expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "masking": case(
        layers.Masking, {}, (2, 3, 4), expected_output_shape=(2, 3, 4), expected_num_weights=0
    ),
    "lambda": case(
        layers.Lambda,
        {"function": scaled, "arguments": {"factor": 3.0}},
        (2, 3),
        expected_output_shape=(2, 3),
        expected_num_weights=0,
        custom_objects={"scaled": scaled},
        static_shape=False,
    ),
    "activation": case(
        layers.Activation,
        {"activation": "tanh"},
        (2, 3),
        expected_output_shape=(2, 3),
        expected_num_weights=0,
    ),
    "relu": case(
        layers.ReLU,
        {"max_value": 2.0, "negative_slope": 0.1},
        (4, 3),
        expected_output_shape=(4, 3),
        expected_num_weights=0,
    ),
    "leaky_relu": case(
        layers.LeakyReLU, {}, (2, 3), expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "elu": case(
        layers.ELU, {"alpha": 0.5}, (2, 3), expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "prelu": case(layers.PReLU, {}, (4, 3), expected_output_shape=(4, 3), expected_num_weights=1),
    "prelu_shared": case(
        layers.PReLU,
        {"shared_axes": [1, 2]},
        (4, 3, 3, 2),
        expected_output_shape=(4, 3, 3, 2),
        expected_num_weights=1,
    ),
    "softmax": case(
        layers.Softmax,
        {},
        (2, 3),
        expected_output_shape=(2, 3),
        expected_num_weights=0,
        mask_shape=(2, 3),
    ),
    "softmax_two_axes": case(
        layers.Softmax,
        {"axis": [1, 2]},
        (2, 3, 4),
        expected_output_shape=(2, 3, 4),
        expected_num_weights=0,
        mask_shape=(2, 3, 4),
    ),
    "dropout": case(
        layers.Dropout, {"rate": 0.5}, (4, 8), expected_output_shape=(4, 8), expected_num_weights=0
    ),
    "dropout_noise_shape": case(
        layers.Dropout,
        {"rate": 0.5, "noise_shape": (None, 1, None)},
        (4, 3, 8),
        expected_output_shape=(4, 3, 8),
        expected_num_weights=0,
    ),
    "dropout_seeded": case(
        layers.Dropout,
        {"rate": 0.5, "seed": 3},
        (4, 8),
        expected_output_shape=(4, 8),
        expected_num_weights=0,
    ),
    "dropout_zero": case(
        layers.Dropout, {"rate": 0}, (4, 8), expected_output_shape=(4, 8), expected_num_weights=0
    ),
    "alpha_dropout": case(
        layers.AlphaDropout,
        {"rate": 0.2},
        (4, 8),
        expected_output_shape=(4, 8),
        expected_num_weights=0,
    ),
    "gaussian_dropout": case(
        layers.GaussianDropout,
        {"rate": 0.2},
        (4, 8),
        expected_output_shape=(4, 8),
        expected_num_weights=0,
    ),
    "gaussian_noise": case(
        layers.GaussianNoise,
        {"stddev": 0.2},
        (4, 8),
        expected_output_shape=(4, 8),
        expected_num_weights=0,
    ),
    "spatial_dropout1d": case(
        layers.SpatialDropout1D,
        {"rate": 0.5},
        (4, 3, 8),
        expected_output_shape=(4, 3, 8),
        expected_num_weights=0,
    ),
    "spatial_dropout2d": case(
        layers.SpatialDropout2D,
        {"rate": 0.5},
        (4, 2, 2, 8),
        expected_output_shape=(4, 2, 2, 8),
        expected_num_weights=0,
    ),
    "spatial_dropout2d_first": case(
        layers.SpatialDropout2D,
        {"rate": 0.5, "data_format": "channels_first"},
        (4, 8, 2, 2),
        expected_output_shape=(4, 8, 2, 2),
        expected_num_weights=0,
    ),
    "spatial_dropout3d": case(
        layers.SpatialDropout3D,
        {"rate": 0.5},
        (4, 2, 2, 2, 8),
        expected_output_shape=(4, 2, 2, 2, 8),
        expected_num_weights=0,
    ),
    # torch.export warns of the loss, a tensor that the call leaves behind on the layer.
    "activity_regularization": case(
        layers.ActivityRegularization,
        {"l1": 0.1, "l2": 0.2},
        (2, 3),
        expected_output_shape=(2, 3),
        expected_num_weights=0,
        expected_num_losses=1,
        supports_export=False,
    ),
    "flatten": case(
        layers.Flatten, {}, (2, 3, 4), expected_output_shape=(2, 12), expected_num_weights=0
    ),
    "flatten_first": case(
        layers.Flatten,
        {"data_format": "channels_first"},
        (2, 3, 4, 5),
        expected_output_shape=(2, 60),
        expected_num_weights=0,
    ),
    "flatten_vector": case(
        layers.Flatten, {}, (3,), expected_output_shape=(3, 1), expected_num_weights=0
    ),
    "reshape": case(
        layers.Reshape,
        {"target_shape": (4, 3)},
        (2, 12),
        expected_output_shape=(2, 4, 3),
        expected_num_weights=0,
    ),
    "reshape_open": case(
        layers.Reshape,
        {"target_shape": (-1, 3)},
        (2, 12),
        expected_output_shape=(2, 4, 3),
        expected_num_weights=0,
    ),
    "permute": case(
        layers.Permute,
        {"dims": (2, 1)},
        (2, 3, 4),
        expected_output_shape=(2, 4, 3),
        expected_num_weights=0,
    ),
    "repeat_vector": case(
        layers.RepeatVector,
        {"n": 3},
        (2, 4),
        expected_output_shape=(2, 3, 4),
        expected_num_weights=0,
    ),
    "rescaling": case(
        layers.Rescaling,
        {"scale": 0.5, "offset": -1.0},
        (2, 3),
        expected_output_shape=(2, 3),
        expected_num_weights=0,
    ),
    "rescaling_channels": case(
        layers.Rescaling,
        {"scale": [0.5, 1.0, 2.0], "offset": [0.0, 1.0, -1.0]},
        (2, 4, 4, 3),
        expected_output_shape=(2, 4, 4, 3),
        expected_num_weights=0,
    ),
    "add": case(
        layers.Add,
        {},
        [(2, 3), (2, 3), (2, 3)],
        expected_output_shape=(2, 3),
        expected_num_weights=0,
    ),
    "add_broadcast": case(
        layers.Add,
        {},
        [(2, 3), (2, 4, 3)],
        expected_output_shape=(2, 4, 3),
        expected_num_weights=0,
        mask_shape=False,
    ),
    "subtract": case(
        layers.Subtract, {}, [(2, 3), (2, 3)], expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "multiply": case(
        layers.Multiply, {}, [(2, 3), (2, 1)], expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "average": case(
        layers.Average, {}, [(2, 3), (2, 3)], expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "maximum": case(
        layers.Maximum, {}, [(2, 3), (2, 3)], expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "minimum": case(
        layers.Minimum, {}, [(2, 3), (2, 3)], expected_output_shape=(2, 3), expected_num_weights=0
    ),
    "concatenate": case(
        layers.Concatenate,
        {},
        [(2, 3), (2, 4)],
        expected_output_shape=(2, 7),
        expected_num_weights=0,
    ),
    "concatenate_axis": case(
        layers.Concatenate,
        {"axis": 1},
        [(2, 3, 4), (2, 2, 4)],
        expected_output_shape=(2, 5, 4),
        expected_num_weights=0,
    ),
    "dot": case(
        layers.Dot,
        {"axes": 1},
        [(2, 3), (2, 3)],
        expected_output_shape=(2, 1),
        expected_num_weights=0,
    ),
    "dot_axes": case(
        layers.Dot,
        {"axes": (2, 1)},
        [(2, 3, 4), (2, 4, 5)],
        expected_output_shape=(2, 3, 5),
        expected_num_weights=0,
    ),
    "dot_normalize": case(
        layers.Dot,
        {"axes": -1, "normalize": True},
        [(2, 3, 4), (2, 4)],
        expected_output_shape=(2, 3),
        expected_num_weights=0,
    ),
    "torch_module_wrapper": case(
        layers.TorchModuleWrapper,
        lambda: {"module": torch.nn.Linear(3, 4)},
        (2, 3),
        expected_output_shape=(2, 4),
        expected_num_weights=2,
        static_shape=False,
        supports_config=False,  # a torch module has no config
        supports_mixed_precision=False,  # nor does it read its weights in another dtype
    ),
}


@layer_cases(CASES)
def test_layer_keeps_the_contract(check):
    check()
