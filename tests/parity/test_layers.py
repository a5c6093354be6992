"""The first layer families against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")


def named(x, factor=2.0):
    return x * factor


CASES = {
    "dense": ("Dense", {"units": 4}, (2, 3)),
    "dense_no_bias": ("Dense", {"units": 4, "use_bias": False}, (2, 3)),
    "dense_relu": ("Dense", {"units": 4, "activation": "relu"}, (2, 5, 3)),
    "dense_softmax": ("Dense", {"units": 4, "activation": "softmax"}, (2, 3)),
    "dense_all": (
        "Dense",
        {
            "units": 4,
            "activation": "gelu",
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l2",
            "activity_regularizer": "l2",
            "kernel_constraint": "max_norm",
            "bias_constraint": "non_neg",
            "trainable": False,
        },
        (2, 3),
    ),
    "dense_narrow": ("Dense", {"units": 10}, (3, 128)),
    "dense_mixed": ("Dense", {"units": 4, "dtype": "mixed_bfloat16"}, (2, 3)),
    "conv2d": ("Conv2D", {"filters": 4, "kernel_size": 3}, (2, 7, 6, 3)),
    "conv2d_same": ("Conv2D", {"filters": 4, "kernel_size": 2, "padding": "same"}, (2, 7, 6, 3)),
    "conv2d_same_strides": (
        "Conv2D",
        {"filters": 4, "kernel_size": (4, 3), "padding": "SAME", "strides": (2, 3)},
        (2, 7, 6, 3),
    ),
    "conv2d_channels_first": (
        "Conv2D",
        {"filters": 4, "kernel_size": 3, "data_format": "channels_first", "groups": 2},
        (2, 4, 7, 6),
    ),
    "conv2d_all": (
        "Conv2D",
        {
            "filters": 4,
            "kernel_size": (3, 2),
            "padding": "same",
            "dilation_rate": (1, 2),
            "activation": "gelu",
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l2",
            "activity_regularizer": "l2",
            "kernel_constraint": "max_norm",
            "bias_constraint": "non_neg",
            "trainable": False,
        },
        (2, 7, 6, 3),
    ),
    "conv2d_no_bias": ("Conv2D", {"filters": 4, "kernel_size": 1, "use_bias": False}, (2, 5, 5, 3)),
    "conv2d_mixed": (
        "Conv2D",
        {"filters": 4, "kernel_size": 3, "dtype": "mixed_bfloat16"},
        (2, 7, 6, 3),
    ),
    "conv1d": ("Conv1D", {"filters": 4, "kernel_size": 3}, (2, 7, 3)),
    "conv1d_causal": (
        "Conv1D",
        {
            "filters": 4,
            "kernel_size": 3,
            "padding": "causal",
            "dilation_rate": 2,
            "use_bias": False,
        },
        (2, 7, 3),
    ),
    "conv1d_causal_first": (
        "Conv1D",
        {"filters": 4, "kernel_size": 2, "padding": "causal", "data_format": "channels_first"},
        (2, 3, 7),
    ),
    "conv3d": ("Conv3D", {"filters": 4, "kernel_size": 2}, (2, 4, 3, 5, 3)),
    "conv3d_same_strides": (
        "Conv3D",
        {"filters": 4, "kernel_size": (3, 2, 1), "padding": "same", "strides": (2, 1, 2)},
        (2, 4, 3, 5, 3),
    ),
    "conv1d_transpose": ("Conv1DTranspose", {"filters": 4, "kernel_size": 3}, (2, 5, 3)),
    "conv2d_transpose": (
        "Conv2DTranspose",
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"},
        (2, 4, 5, 3),
    ),
    "conv2d_transpose_padded": (
        "Conv2DTranspose",
        {
            "filters": 4,
            "kernel_size": (3, 4),
            "strides": 2,
            "padding": "same",
            "output_padding": (1, 0),
            "data_format": "channels_first",
            "use_bias": False,
        },
        (2, 3, 4, 5),
    ),
    "conv2d_transpose_dilated": (
        "Conv2DTranspose",
        {"filters": 4, "kernel_size": 3, "dilation_rate": (1, 2), "kernel_regularizer": "l2"},
        (2, 4, 5, 3),
    ),
    "conv3d_transpose": (
        "Conv3DTranspose",
        {"filters": 2, "kernel_size": 2, "strides": (1, 2, 3), "output_padding": (0, 1, 2)},
        (2, 2, 3, 2, 3),
    ),
    "depthwise_conv1d": ("DepthwiseConv1D", {"kernel_size": 3}, (2, 7, 3)),
    "depthwise_conv2d": (
        "DepthwiseConv2D",
        {
            "kernel_size": 3,
            "strides": 2,
            "padding": "same",
            "depth_multiplier": 2,
            "depthwise_regularizer": "l2",
            "depthwise_constraint": "max_norm",
        },
        (2, 7, 6, 3),
    ),
    "depthwise_conv2d_first": (
        "DepthwiseConv2D",
        {"kernel_size": 2, "data_format": "channels_first", "dilation_rate": 2},
        (2, 3, 7, 6),
    ),
    "separable_conv1d": ("SeparableConv1D", {"filters": 4, "kernel_size": 3}, (2, 7, 3)),
    "separable_conv2d": (
        "SeparableConv2D",
        {
            "filters": 4,
            "kernel_size": 3,
            "strides": 2,
            "padding": "same",
            "depth_multiplier": 2,
            "activation": "relu",
            "pointwise_regularizer": "l2",
            "pointwise_initializer": "he_normal",
        },
        (2, 7, 6, 3),
    ),
    "separable_conv2d_first": (
        "SeparableConv2D",
        {"filters": 4, "kernel_size": 2, "data_format": "channels_first", "use_bias": False},
        (2, 3, 7, 6),
    ),
    "einsum_dense": (
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": (4, 2, 4), "bias_axes": "de"},
        (2, 4, 3),
    ),
    "einsum_dense_all": (
        "EinsumDense",
        {
            "equation": "...c,cd->...d",
            "output_shape": 4,
            "bias_axes": "d",
            "activation": "gelu",
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l2",
            "activity_regularizer": "l2",
            "kernel_constraint": "max_norm",
            "bias_constraint": "non_neg",
            "trainable": False,
        },
        (2, 4, 3),
    ),
    "einsum_dense_right": (
        "EinsumDense",
        {"equation": "ab...,bc->ac...", "output_shape": 4, "bias_axes": "c"},
        (2, 3, 5),
    ),
    "einsum_dense_steps": (
        "EinsumDense",
        {"equation": "abc,bd->adc", "output_shape": (4, 3), "bias_axes": "d"},
        (2, 5, 3),
    ),
    "einsum_dense_mixed": (
        "EinsumDense",
        {"equation": "ab,bc->ac", "output_shape": 4, "dtype": "mixed_bfloat16"},
        (2, 3),
    ),
    "max_pooling1d": ("MaxPooling1D", {}, (2, 7, 3)),
    "global_max_pooling1d": ("GlobalMaxPooling1D", {}, (2, 7, 3)),
    "adaptive_max_pooling1d": ("AdaptiveMaxPooling1D", {"output_size": 3}, (2, 7, 3)),
    "average_pooling1d": ("AveragePooling1D", {"pool_size": 2}, (2, 7, 3)),
    "global_average_pooling1d": ("GlobalAveragePooling1D", {}, (2, 7, 3)),
    "adaptive_average_pooling1d": ("AdaptiveAveragePooling1D", {"output_size": 3}, (2, 7, 3)),
    "max_pooling2d": ("MaxPooling2D", {}, (2, 7, 6, 3)),
    "global_max_pooling2d": ("GlobalMaxPooling2D", {}, (2, 7, 6, 3)),
    "adaptive_max_pooling2d": ("AdaptiveMaxPooling2D", {"output_size": 3}, (2, 7, 6, 3)),
    "average_pooling2d": ("AveragePooling2D", {"pool_size": 2}, (2, 7, 6, 3)),
    "global_average_pooling2d": ("GlobalAveragePooling2D", {}, (2, 7, 6, 3)),
    "adaptive_average_pooling2d": ("AdaptiveAveragePooling2D", {"output_size": 3}, (2, 7, 6, 3)),
    "max_pooling3d": ("MaxPooling3D", {}, (2, 4, 5, 6, 3)),
    "global_max_pooling3d": ("GlobalMaxPooling3D", {}, (2, 4, 5, 6, 3)),
    "adaptive_max_pooling3d": ("AdaptiveMaxPooling3D", {"output_size": 3}, (2, 4, 5, 6, 3)),
    "average_pooling3d": ("AveragePooling3D", {"pool_size": 2}, (2, 4, 5, 6, 3)),
    "global_average_pooling3d": ("GlobalAveragePooling3D", {}, (2, 4, 5, 6, 3)),
    "adaptive_average_pooling3d": ("AdaptiveAveragePooling3D", {"output_size": 3}, (2, 4, 5, 6, 3)),
    "max_pooling1d_same": ("MaxPooling1D", {"pool_size": 4, "padding": "same"}, (2, 7, 3)),
    "max_pooling2d_same": (
        "MaxPooling2D",
        {"pool_size": (2, 3), "strides": (1, 2), "padding": "same"},
        (2, 7, 6, 3),
    ),
    "max_pooling3d_first": (
        "MaxPooling3D",
        {"strides": 1, "padding": "same", "data_format": "channels_first"},
        (2, 3, 4, 5, 6),
    ),
    "average_pooling2d_same": (
        "AveragePooling2D",
        {"pool_size": 3, "strides": 1, "padding": "same"},
        (2, 7, 6, 3),
    ),
    "average_pooling2d_first": (
        "AveragePooling2D",
        {"pool_size": (2, 3), "strides": 2, "data_format": "channels_first"},
        (2, 3, 7, 6),
    ),
    "global_average_pooling1d_kept": (
        "GlobalAveragePooling1D",
        {"keepdims": True, "data_format": "channels_first"},
        (2, 3, 7),
    ),
    "global_max_pooling3d_kept": ("GlobalMaxPooling3D", {"keepdims": True}, (2, 4, 5, 6, 3)),
    "adaptive_max_pooling2d_first": (
        "AdaptiveMaxPooling2D",
        {"output_size": (3, 2), "data_format": "channels_first"},
        (2, 3, 7, 6),
    ),
    "cropping1d": ("Cropping1D", {}, (2, 5, 3)),
    "cropping1d_sides": ("Cropping1D", {"cropping": (0, 2)}, (2, 5, 3)),
    "cropping2d": ("Cropping2D", {}, (2, 5, 6, 3)),
    "cropping2d_sides": ("Cropping2D", {"cropping": ((1, 0), (0, 2))}, (2, 5, 6, 3)),
    "cropping2d_first": (
        "Cropping2D",
        {"cropping": (1, 2), "data_format": "channels_first"},
        (2, 3, 5, 6),
    ),
    "cropping3d": ("Cropping3D", {}, (2, 4, 5, 6, 3)),
    "cropping3d_first": (
        "Cropping3D",
        {"cropping": ((1, 0), (0, 2), (1, 1)), "data_format": "channels_first"},
        (2, 3, 4, 5, 6),
    ),
    "zero_padding1d": ("ZeroPadding1D", {}, (2, 5, 3)),
    "zero_padding1d_first": (
        "ZeroPadding1D",
        {"padding": (0, 2), "data_format": "channels_first"},
        (2, 3, 5),
    ),
    "zero_padding2d": ("ZeroPadding2D", {"padding": 2}, (2, 5, 6, 3)),
    "zero_padding2d_first": (
        "ZeroPadding2D",
        {"padding": ((1, 0), (0, 2)), "data_format": "channels_first"},
        (2, 3, 5, 6),
    ),
    "zero_padding3d": ("ZeroPadding3D", {"padding": (0, 1, 2)}, (2, 4, 5, 6, 3)),
    "up_sampling1d": ("UpSampling1D", {"size": 3}, (2, 5, 3)),
    "up_sampling2d": ("UpSampling2D", {}, (2, 5, 6, 3)),
    "up_sampling2d_first": (
        "UpSampling2D",
        {"size": (2, 3), "data_format": "channels_first"},
        (2, 3, 5, 6),
    ),
    "up_sampling2d_bilinear": (
        "UpSampling2D",
        {"size": (2, 3), "interpolation": "bilinear"},
        (2, 5, 6, 3),
    ),
    "up_sampling2d_bicubic": (
        "UpSampling2D",
        {"size": 3, "interpolation": "bicubic", "data_format": "channels_first"},
        (2, 3, 5, 6),
    ),
    "up_sampling3d": ("UpSampling3D", {"size": (1, 2, 3)}, (2, 2, 3, 4, 3)),
    "attention": ("Attention", {}, [(2, 3, 5), (2, 4, 5)]),
    "attention_key": ("Attention", {"use_scale": True}, [(2, 3, 5), (2, 4, 6), (2, 4, 5)]),
    "attention_concat": (
        "Attention",
        {"score_mode": "concat", "use_scale": True, "dropout": 0.5, "seed": 3},
        [(2, 3, 5), (2, 4, 5)],
    ),
    "attention_mixed": ("Attention", {"dtype": "mixed_bfloat16"}, [(2, 3, 5), (2, 4, 5)]),
    "additive_attention": ("AdditiveAttention", {}, [(2, 3, 5), (2, 4, 5)]),
    "additive_attention_plain": (
        "AdditiveAttention",
        {"use_scale": False, "dropout": 0.5},
        [(2, 3, 5), (2, 4, 6), (2, 4, 5)],
    ),
    "identity": ("Identity", {}, (2, 3)),
    "masking": ("Masking", {"mask_value": 0.0}, (2, 3, 4)),
    "lambda": ("Lambda", {"function": named, "arguments": {"factor": 3.0}}, (2, 3)),
    "activation": ("Activation", {"activation": "tanh"}, (2, 3)),
    "relu": ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, (4, 5)),
    "leaky_relu": ("LeakyReLU", {}, (2, 3)),
    "elu": ("ELU", {"alpha": 0.5}, (2, 3)),
    "prelu": ("PReLU", {"alpha_initializer": "ones"}, (4, 3)),
    "prelu_shared": ("PReLU", {"shared_axes": [1, 2]}, (4, 3, 3, 2)),
    "softmax": ("Softmax", {}, (2, 3)),
    "softmax_axes": ("Softmax", {"axis": [1, 2]}, (2, 3, 4)),
    "dropout": ("Dropout", {"rate": 0.5, "noise_shape": (None, 1), "seed": 3}, (2, 3)),
    "alpha_dropout": ("AlphaDropout", {"rate": 0.5}, (2, 3)),
    "gaussian_dropout": ("GaussianDropout", {"rate": 0.5}, (2, 3)),
    "gaussian_noise": ("GaussianNoise", {"stddev": 0.5}, (2, 3)),
    "spatial_dropout1d": ("SpatialDropout1D", {"rate": 0.5}, (2, 3, 4)),
    "spatial_dropout2d": ("SpatialDropout2D", {"rate": 0.5}, (2, 3, 3, 4)),
    "spatial_dropout3d": ("SpatialDropout3D", {"rate": 0.5}, (2, 3, 3, 3, 4)),
    "activity_regularization": ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (2, 3)),
    "flatten": ("Flatten", {}, (2, 3, 4)),
    "flatten_first": ("Flatten", {"data_format": "channels_first"}, (2, 3, 4, 5)),
    "flatten_vector": ("Flatten", {}, (3,)),
    "reshape": ("Reshape", {"target_shape": (-1, 3)}, (2, 12)),
    "permute": ("Permute", {"dims": (3, 1, 2)}, (2, 3, 4, 5)),
    "repeat_vector": ("RepeatVector", {"n": 3}, (2, 4)),
    "rescaling": ("Rescaling", {"scale": 0.5, "offset": -1.0}, (2, 3)),
    "add": ("Add", {}, [(2, 3), (2, 3), (2, 3)]),
    "add_broadcast": ("Add", {}, [(2, 3), (2, 4, 3)]),
    "add_one": ("Add", {}, [(2, 3)]),
    "subtract": ("Subtract", {}, [(2, 3), (2, 1)]),
    "multiply": ("Multiply", {}, [(2, 3), (2, 3), (2, 1)]),
    "average": ("Average", {}, [(2, 3), (2, 3), (2, 3)]),
    "maximum": ("Maximum", {}, [(2, 3), (2, 3)]),
    "minimum": ("Minimum", {}, [(2, 3), (2, 3)]),
    "concatenate": ("Concatenate", {"axis": 1}, [(2, 3, 4), (2, 2, 4)]),
    "dot": ("Dot", {"axes": 1}, [(2, 3), (2, 3)]),
    "dot_axes": ("Dot", {"axes": (2, 1)}, [(2, 3, 4), (2, 4, 5)]),
    "dot_4d": ("Dot", {"axes": (3, 1)}, [(2, 3, 4, 5), (2, 5, 6)]),
    "dot_negative": ("Dot", {"axes": (-1, -2)}, [(2, 3, 5), (2, 5, 6)]),
    "dot_vector": ("Dot", {"axes": (2, 1)}, [(2, 3, 5), (2, 5)]),
    "dot_normalize": ("Dot", {"axes": 1, "normalize": True}, [(2, 3), (2, 3)]),
}


def make_inputs(shape, seed=0):
    rng = np.random.default_rng(seed)
    shapes = shape if isinstance(shape, list) else [shape]
    tensors = [torch.tensor(rng.normal(size=s).astype("float32")) for s in shapes]
    return tensors if isinstance(shape, list) else tensors[0]


def leaf_list(inputs):
    return inputs if isinstance(inputs, list) else [inputs]


def normalized(config):
    return json.loads(json.dumps(config))


def both(name, kwargs):
    theirs = getattr(keras.layers, name)(**kwargs, name="layer")
    ours = getattr(torchkeras.layers, name)(**kwargs, name="layer")
    return ours, theirs


def copy_weights(ours, theirs, seed=1):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=w.shape).astype("float32") for w in theirs.weights]
    ours.set_weights(values)
    theirs.set_weights(values)


def tolerance(kwargs):
    # bfloat16 keeps 8 bits, and both sides round sums at different places.
    return 2e-2 if kwargs.get("dtype") == "mixed_bfloat16" else 1e-5


@pytest.mark.parametrize("case", CASES)
def test_config_is_keras_config_before_and_after_the_first_call(case):
    name, kwargs, shape = CASES[case]
    ours, theirs = both(name, kwargs)
    serialized = torchkeras.saving.serialize_keras_object(ours)
    assert normalized(serialized) == normalized(keras.saving.serialize_keras_object(theirs))
    assert ours.built == theirs.built
    assert repr(ours) == repr(theirs)
    ours(make_inputs(shape))
    theirs(make_inputs(shape))
    serialized = torchkeras.saving.serialize_keras_object(ours)
    assert normalized(serialized) == normalized(keras.saving.serialize_keras_object(theirs))


@pytest.mark.parametrize("case", CASES)
def test_config_of_keras_makes_the_layer_and_ours_makes_theirs(case):
    name, kwargs, _ = CASES[case]
    ours, theirs = both(name, kwargs)
    known = {"named": named}
    config = normalized(keras.saving.serialize_keras_object(theirs))
    made = torchkeras.saving.deserialize_keras_object(config, custom_objects=known)
    assert normalized(made.get_config()) == normalized(theirs.get_config())
    config = normalized(torchkeras.saving.serialize_keras_object(ours))
    made = keras.saving.deserialize_keras_object(config, custom_objects=known)
    assert normalized(made.get_config()) == normalized(ours.get_config())


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients(case):
    name, kwargs, shape = CASES[case]
    ours, theirs = both(name, kwargs)
    results = []
    for layer in (ours, theirs):
        layer(make_inputs(shape))
    copy_weights(ours, theirs)
    for layer in (ours, theirs):
        inputs = make_inputs(shape)
        for x in leaf_list(inputs):
            x.requires_grad_()
        y = layer(inputs)
        weight = torch.tensor(np.random.default_rng(2).normal(size=tuple(y.shape))).to(y.dtype)
        loss = (y * weight).sum() + sum(layer.losses)
        loss.backward()
        grads = [x.grad for x in leaf_list(inputs)]
        grads += [w.value.grad for w in layer.trainable_weights]
        results.append((y, loss, grads))
    (y, loss, grads), (their_y, their_loss, their_grads) = results
    assert y.dtype == their_y.dtype
    assert len(grads) == len(their_grads)
    rtol = tolerance(kwargs)
    torch.testing.assert_close(y, their_y, rtol=rtol, atol=rtol)
    torch.testing.assert_close(loss, their_loss, rtol=rtol, atol=10 * rtol)
    for a, b in zip(grads, their_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("case", CASES)
def test_weights_have_keras_paths_shapes_and_flags(case):
    name, kwargs, shape = CASES[case]
    ours, theirs = both(name, kwargs)
    described = []
    for layer in (ours, theirs):
        layer(make_inputs(shape))
        described.append(
            [(w.path, tuple(w.shape), w.trainable, str(w.dtype)) for w in layer.weights]
        )
        # Keras leaves the path of a layer without weights at None for some of them.
        path = layer.path if layer.weights else None
        described[-1].append((path, layer.supports_masking, layer.compute_dtype))
        described[-1].append([len(layer.variables), len(layer.trainable_variables)])
    assert described[0] == described[1]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [None, 2])
def test_symbolic_shapes(case, batch):
    name, kwargs, shape = CASES[case]
    results = []
    for library, layer in zip((torchkeras, keras), both(name, kwargs), strict=True):
        shapes = shape if isinstance(shape, list) else [shape]
        symbols = [library.Input(batch_shape=(batch, *s[1:])) for s in shapes]
        y = layer(symbols if isinstance(shape, list) else symbols[0])
        results.append((tuple(y.shape), y.dtype))
    assert results[0] == results[1]


OPEN_SHAPES = {
    "dense": ("Dense", {"units": 4}, (None, None, 3)),
    "flatten": ("Flatten", {}, (None, None, 3)),
    "reshape": ("Reshape", {"target_shape": (-1, 6)}, (None, None, 3)),
    "reshape_open": ("Reshape", {"target_shape": (2, -1)}, (None, 4, None)),
    "permute": ("Permute", {"dims": (2, 1)}, (None, None, 3)),
    "repeat_vector": ("RepeatVector", {"n": 2}, (None, None)),
    "conv1d": ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal"}, (None, None, 3)),
    "conv2d": ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2}, (None, None, 9, 3)),
    "conv2d_transpose": (
        "Conv2DTranspose",
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
        (None, None, 9, 3),
    ),
    "separable_conv2d": ("SeparableConv2D", {"filters": 4, "kernel_size": 3}, (None, None, 9, 3)),
    "max_pooling2d": ("MaxPooling2D", {"padding": "same"}, (None, None, 9, 3)),
    "average_pooling1d": ("AveragePooling1D", {"pool_size": 2}, (None, None, 3)),
    "global_max_pooling2d": ("GlobalMaxPooling2D", {}, (None, None, None, 3)),
    "cropping2d": ("Cropping2D", {"cropping": 1}, (None, None, 9, 3)),
    "zero_padding2d": ("ZeroPadding2D", {}, (None, None, 9, 3)),
    "up_sampling1d": ("UpSampling1D", {}, (None, None, 3)),
    "up_sampling2d": ("UpSampling2D", {}, (None, None, 9, 3)),
    "add": ("Add", {}, [(None, None, 3), (None, 5, 3)]),
    "multiply": ("Multiply", {}, [(None, None, 3), (None, None, 1)]),
    "concatenate": ("Concatenate", {"axis": 1}, [(None, None, 3), (None, 5, 3)]),
    "concatenate_last": ("Concatenate", {}, [(None, None, 3), (None, None, 4)]),
}


@pytest.mark.parametrize("case", OPEN_SHAPES)
def test_symbolic_shapes_with_unknown_sizes(case):
    name, kwargs, shape = OPEN_SHAPES[case]
    results = []
    for library, layer in zip((torchkeras, keras), both(name, kwargs), strict=True):
        shapes = shape if isinstance(shape, list) else [shape]
        symbols = [library.Input(batch_shape=s) for s in shapes]
        results.append(tuple(layer(symbols if isinstance(shape, list) else symbols[0]).shape))
    assert results[0] == results[1]


MASKED = {
    "dense": ("Dense", {"units": 4}),
    "dropout": ("Dropout", {"rate": 0.5}),
    "activation": ("Activation", {"activation": "relu"}),
    "identity": ("Identity", {}),
    "relu": ("ReLU", {}),
    "flatten": ("Flatten", {}),
    "reshape": ("Reshape", {"target_shape": (12,)}),
    "lambda": ("Lambda", {"function": named}),
    "global_average_pooling1d": ("GlobalAveragePooling1D", {}),
    "global_max_pooling1d": ("GlobalMaxPooling1D", {}),
    "max_pooling1d": ("MaxPooling1D", {}),
    "conv1d": ("Conv1D", {"filters": 2, "kernel_size": 2}),
    "rescaling": ("Rescaling", {"scale": 2.0}),
}


# Keras warns where a layer drops a mask.
@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
@pytest.mark.parametrize("case", MASKED)
def test_masks_pass_on_as_in_keras(case):
    name, kwargs = MASKED[case]
    x = make_inputs((2, 3, 4))
    x[0, 1] = 0
    masks = []
    for library, layer in zip((torchkeras, keras), both(name, kwargs), strict=True):
        y = layer(library.layers.Masking()(x.clone()))
        masks.append(getattr(y, "_keras_mask", None))
    if masks[1] is None:
        assert masks[0] is None
    else:
        assert torch.equal(masks[0], masks[1])


MERGES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"]


@pytest.mark.parametrize("name", MERGES)
@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, False)])
def test_masks_of_merging_layers(name, masked):
    inputs = make_inputs([(2, 3, 4), (2, 3, 4)])
    inputs[0][0, 1] = 0
    inputs[1][1, 2] = 0
    inputs[1][0, 1] = 0
    results = []
    for library, layer in zip((torchkeras, keras), both(name, {}), strict=True):
        given = [
            library.layers.Masking()(x.clone()) if m else x.clone()
            for x, m in zip(inputs, masked, strict=True)
        ]
        y = layer(given)
        results.append((y, getattr(y, "_keras_mask", None)))
    torch.testing.assert_close(results[0][0], results[1][0])
    if results[1][1] is None:
        assert results[0][1] is None
    else:
        assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("axis", [1, -1])
def test_mask_of_concatenate_along_an_axis(axis):
    inputs = make_inputs([(2, 3, 4), (2, 3, 4)])
    inputs[0][0, 1] = 0
    masks = []
    for library, layer in zip(
        (torchkeras, keras), both("Concatenate", {"axis": axis}), strict=True
    ):
        y = layer([library.layers.Masking()(inputs[0].clone()), inputs[1].clone()])
        masks.append(y._keras_mask)
    assert torch.equal(*masks)


def test_softmax_with_a_mask():
    x = make_inputs((2, 3, 4))
    mask = torch.tensor([[True, True, False, False]] * 3)
    for axis in (-1, [1, 2]):
        ours, theirs = both("Softmax", {"axis": axis})
        torch.testing.assert_close(ours(x, mask=mask), theirs(x, mask=mask))


def test_dense_on_integers_is_computed_in_the_dtype_of_the_kernel():
    ours, theirs = both("Dense", {"units": 4})
    x = torch.arange(6).reshape(2, 3)
    ours(x), theirs(x)
    copy_weights(ours, theirs)
    y = ours(x)
    assert y.dtype is torch.float32
    torch.testing.assert_close(y, theirs(x))


REFUSED = {
    "dense_units": lambda lib: lib.layers.Dense(0),
    "dense_units_type": lambda lib: lib.layers.Dense(2.5),
    "dense_rank": lambda lib: lib.layers.Dense(2)(torch.ones(3)),
    "dense_unknown": lambda lib: lib.layers.Dense(2)(lib.Input((None,))),
    "einsum_dense_equation": lambda lib: lib.layers.EinsumDense("ab,bc", 4)(torch.ones(2, 3)),
    "einsum_dense_output": lambda lib: lib.layers.EinsumDense("ab,bc->ad", 4)(torch.ones(2, 3)),
    "einsum_dense_kernel": lambda lib: lib.layers.EinsumDense("ab,bcd->ac", 4)(torch.ones(2, 3)),
    "einsum_dense_bias": lambda lib: lib.layers.EinsumDense("ab,bc->ac", 4, bias_axes="d")(
        torch.ones(2, 3)
    ),
    "einsum_dense_sizes": lambda lib: lib.layers.EinsumDense("abc,cd->abd", (6, 4))(
        torch.ones(2, 5, 3)
    ),
    "einsum_dense_unknown": lambda lib: lib.layers.EinsumDense("ab,bc->ac", 4)(lib.Input((None,))),
    "embedding_input_dim": lambda lib: lib.layers.Embedding(0, 2),
    "embedding_output_dim": lambda lib: lib.layers.Embedding(2, True),
    "embedding_weights": lambda lib: lib.layers.Embedding(3, 2, weights=np.ones((3, 3))),
    "wrapper": lambda lib: lib.layers.Wrapper("dense"),
    "attention_mode": lambda lib: lib.layers.Attention(score_mode="sum"),
    "attention_tensor": lambda lib: lib.layers.Attention()(torch.ones(2, 3, 4)),
    "attention_one": lambda lib: lib.layers.AdditiveAttention()([torch.ones(2, 3, 4)]),
    "attention_mask": lambda lib: lib.layers.Attention()(
        [torch.ones(2, 3, 4)] * 2, mask=torch.ones(2, 3)
    ),
    "dropout_rate": lambda lib: lib.layers.Dropout(1.5),
    "dropout_noise_shape": lambda lib: lib.layers.Dropout(0.5, noise_shape=(0, 1)),
    "gaussian_noise": lambda lib: lib.layers.GaussianNoise(2.0),
    "relu": lambda lib: lib.layers.ReLU(max_value=-1.0),
    "leaky_relu": lambda lib: lib.layers.LeakyReLU(negative_slope=-1.0),
    "permute": lambda lib: lib.layers.Permute((0, 1)),
    "reshape_two_open": lambda lib: lib.layers.Reshape((-1, -1)),
    "reshape_negative": lambda lib: lib.layers.Reshape((-2, 3)),
    "reshape_sizes": lambda lib: lib.layers.Reshape((2, 4))(lib.Input((9,))),
    "repeat_vector": lambda lib: lib.layers.RepeatVector(0),
    "pooling_size": lambda lib: lib.layers.MaxPooling2D(0),
    "pooling_window": lambda lib: lib.layers.MaxPooling2D(5)(lib.Input((4, 4, 3))),
    "pooling_rank": lambda lib: lib.layers.MaxPooling2D(2)(torch.ones(2, 4, 3)),
    "pooling_padding": lambda lib: lib.layers.AveragePooling1D(2, padding="full")(
        lib.Input((4, 3))
    ),
    "global_pooling_rank": lambda lib: lib.layers.GlobalMaxPooling2D()(torch.ones(2, 4, 3)),
    "adaptive_pooling_1d": lambda lib: lib.layers.AdaptiveMaxPooling1D((2, 2)),
    "adaptive_pooling_2d": lambda lib: lib.layers.AdaptiveMaxPooling2D((2, 2, 2)),
    "adaptive_pooling_type": lambda lib: lib.layers.AdaptiveAveragePooling3D("ab"),
    "cropping1d": lambda lib: lib.layers.Cropping1D((1, 2, 3)),
    "cropping2d": lambda lib: lib.layers.Cropping2D(-1),
    "cropping2d_all": lambda lib: lib.layers.Cropping2D(2)(torch.ones(1, 4, 9, 3)),
    "cropping3d": lambda lib: lib.layers.Cropping3D((1, 2)),
    "zero_padding1d": lambda lib: lib.layers.ZeroPadding1D((1, -2)),
    "zero_padding2d": lambda lib: lib.layers.ZeroPadding2D("ab"),
    "zero_padding3d": lambda lib: lib.layers.ZeroPadding3D((1, 2)),
    "up_sampling1d": lambda lib: lib.layers.UpSampling1D(0),
    "up_sampling1d_type": lambda lib: lib.layers.UpSampling1D(2.0),
    "up_sampling2d": lambda lib: lib.layers.UpSampling2D((2, 0)),
    "up_sampling2d_name": lambda lib: lib.layers.UpSampling2D(2, interpolation="cubic")(
        torch.ones(1, 4, 4, 3)
    ),
    "up_sampling3d": lambda lib: lib.layers.UpSampling3D((2, 2)),
    "add_tensor": lambda lib: lib.layers.Add()(torch.ones(2, 3)),
    "add_batches": lambda lib: lib.layers.Add()([torch.ones(2, 3), torch.ones(4, 3)]),
    "add_shapes": lambda lib: lib.layers.Add()([torch.ones(2, 3), torch.ones(2, 4)]),
    "subtract_three": lambda lib: lib.layers.Subtract()([torch.ones(2, 3)] * 3),
    "concatenate_tensor": lambda lib: lib.layers.Concatenate()(torch.ones(2, 3)),
    "concatenate_ranks": lambda lib: lib.layers.Concatenate()(
        [torch.ones(2, 3), torch.ones(2, 3, 1)]
    ),
    "concatenate_sizes": lambda lib: lib.layers.Concatenate(axis=1)(
        [torch.ones(2, 3, 4), torch.ones(2, 3, 5)]
    ),
    "dot_sizes": lambda lib: lib.layers.Dot(axes=1)([torch.ones(2, 3), torch.ones(2, 4)]),
    "dot_three": lambda lib: lib.layers.Dot(axes=1)([torch.ones(2, 3)] * 3),
    "dot_batch": lambda lib: lib.layers.Dot(axes=0)([torch.ones(2, 3), torch.ones(2, 3)]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_keras_refuses_is_refused_with_the_same_class_of_error(case):
    with pytest.raises(Exception) as theirs:
        REFUSED[case](keras)
    with pytest.raises(type(theirs.value)) as ours:
        REFUSED[case](torchkeras)
    assert "Received" in str(ours.value)
