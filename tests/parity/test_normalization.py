"""The normalization layers against real Keras on its torch backend."""

import json

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")

BN, LN, GN = "BatchNormalization", "LayerNormalization", "GroupNormalization"
RMS, UN = "RMSNormalization", "UnitNormalization"

EVERYTHING = {
    "beta_initializer": "ones",
    "gamma_initializer": "he_normal",
    "beta_regularizer": "l2",
    "gamma_regularizer": "l2",
    "beta_constraint": "non_neg",
    "gamma_constraint": "max_norm",
}
CASES = {
    "batch": (BN, {}, (4, 3)),
    "batch_sequence": (BN, {"momentum": 0.8, "epsilon": 1e-2}, (4, 5, 3)),
    "batch_images": (BN, {}, (4, 5, 2, 3)),
    "batch_videos": (BN, {}, (2, 2, 3, 2, 3)),
    "batch_first": (BN, {"axis": 1}, (4, 3, 5, 2)),
    "batch_between": (BN, {"axis": -2}, (4, 2, 3, 5)),
    "batch_no_gamma": (BN, {"scale": False}, (4, 3)),
    "batch_no_beta": (BN, {"center": False}, (4, 3)),
    "batch_no_weights": (BN, {"scale": False, "center": False}, (4, 5, 3)),
    "batch_frozen": (BN, {"trainable": False}, (4, 3)),
    "batch_all": (
        BN,
        {
            **EVERYTHING,
            "moving_mean_initializer": "ones",
            "moving_variance_initializer": "zeros",
        },
        (4, 5),
    ),
    "batch_mixed": (BN, {"dtype": "mixed_bfloat16"}, (4, 5, 3)),
    "batch_mixed_float16": (BN, {"dtype": "mixed_float16"}, (4, 5, 3)),
    "batch_float64": (BN, {"dtype": "float64"}, (4, 5, 3)),
    "batch_renorm": (BN, {"renorm": True}, (4, 5, 3)),
    "batch_renorm_clipped": (
        BN,
        {
            "renorm": True,
            "renorm_clipping": {"rmax": 1.1, "rmin": 0.9, "dmax": 0.1},
            "renorm_momentum": 0.7,
            "scale": False,
        },
        (4, 5, 3),
    ),
    "batch_renorm_dmax": (BN, {"renorm": True, "renorm_clipping": {"dmax": 0.1}}, (4, 5, 3)),
    "layer": (LN, {}, (4, 3)),
    "layer_sequence": (LN, {"epsilon": 1e-6}, (4, 5, 3)),
    "layer_last_two": (LN, {"axis": [-2, -1]}, (4, 5, 3)),
    "layer_apart": (LN, {"axis": [1, 3]}, (4, 5, 2, 3)),
    "layer_both_ends": (LN, {"axis": [1, -1]}, (4, 5, 2, 3)),
    "layer_unsorted": (LN, {"axis": [3, 1]}, (4, 5, 2, 3)),
    "layer_no_gamma": (LN, {"scale": False}, (4, 3)),
    "layer_no_beta": (LN, {"center": False}, (4, 3)),
    "layer_no_weights": (LN, {"scale": False, "center": False}, (4, 3)),
    "layer_all": (LN, EVERYTHING, (4, 5)),
    "layer_mixed": (LN, {"dtype": "mixed_bfloat16"}, (4, 5, 3)),
    "group": (GN, {"groups": 2}, (4, 6)),
    "group_images": (GN, {"groups": 3}, (4, 2, 3, 6)),
    "group_first": (GN, {"groups": 2, "axis": 1}, (4, 6, 3, 2)),
    "group_between": (GN, {"groups": 2, "axis": 2}, (4, 3, 6, 2)),
    "group_instances": (GN, {"groups": -1}, (4, 5, 6)),
    "group_one": (GN, {"groups": 1, "center": False}, (4, 5, 6)),
    "group_no_weights": (GN, {"groups": 2, "scale": False, "center": False}, (4, 5, 6)),
    "group_all": (GN, {"groups": 2, **EVERYTHING}, (4, 6)),
    "group_mixed": (GN, {"groups": 2, "dtype": "mixed_bfloat16"}, (4, 5, 6)),
    "rms": (RMS, {}, (4, 3)),
    "rms_last_two": (RMS, {"axis": [-2, -1], "epsilon": 1e-3}, (4, 5, 3)),
    "rms_mixed": (RMS, {"dtype": "mixed_bfloat16"}, (4, 5, 3)),
    "unit": (UN, {}, (4, 3)),
    "unit_axes": (UN, {"axis": [1, 2]}, (4, 5, 3)),
    "unit_first": (UN, {"axis": 1}, (4, 5, 3)),
    "unit_mixed": (UN, {"dtype": "mixed_bfloat16"}, (4, 5, 3)),
}


def both(name, kwargs):
    return [getattr(k.layers, name)(**kwargs, name="layer") for k in (torchkeras, keras)]


def make_input(shape, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor((rng.normal(size=shape) * 2 + 0.5).astype("float32"))


def copy_weights(ours, theirs):
    rng = np.random.default_rng(1)
    values = [rng.uniform(0.5, 2, size=w.shape).astype("float32") for w in theirs.weights]
    ours.set_weights(values)
    theirs.set_weights(values)


def tolerance(kwargs):
    # bfloat16 keeps 8 bits, float16 11; both sides round sums at different places.
    return {"mixed_bfloat16": 2e-2, "mixed_float16": 3e-3}.get(kwargs.get("dtype"), 1e-5)


def normalized(config):
    return json.loads(json.dumps(config))


def step(layer, x, **call):
    """Output, and gradients of the input and of the weights, of one call."""
    x = x.clone().requires_grad_()
    for weight in layer.trainable_weights:
        weight.value.grad = None
    y = layer(x, **call)
    weights = torch.tensor(np.random.default_rng(2).normal(size=tuple(y.shape))).to(y.dtype)
    ((y * weights).sum() + sum(layer.losses)).backward()
    return [y.detach(), x.grad, *(w.value.grad for w in layer.trainable_weights)]


def values(layer):
    return [w.value.detach().float() for w in layer.weights]


def assert_alike(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_outputs_gradients_and_statistics_over_steps(case, training):
    name, kwargs, shape = CASES[case]
    ours, theirs = both(name, kwargs)
    ours.build(shape), theirs.build(shape)
    copy_weights(ours, theirs)
    call = {"training": training} if name == BN else {}
    for seed in range(3):
        x = make_input(shape, seed)
        results = [step(layer, x, **call) for layer in (ours, theirs)]
        assert_alike(*results, tolerance(kwargs))
        # Statistics are float32 on both sides, whatever the compute dtype.
        assert_alike(values(ours), values(theirs), max(tolerance(kwargs) / 10, 1e-5))
    assert_alike([ours(x)], [theirs(x)], tolerance(kwargs))


@pytest.mark.parametrize("kwargs", [{}, {"renorm": True}, {"dtype": "mixed_bfloat16"}])
@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 2, 5, 3)])
def test_masks_in_training(shape, kwargs):
    ours, theirs = both(BN, kwargs)
    ours.build(shape), theirs.build(shape)
    copy_weights(ours, theirs)
    mask = torch.tensor(np.random.default_rng(3).uniform(size=shape[:-1]) > 0.4)
    for seed in range(3):
        x = make_input(shape, seed)
        results = [step(layer, x, mask=mask, training=True) for layer in (ours, theirs)]
        assert_alike(*results, tolerance(kwargs))
        assert_alike(values(ours), values(theirs), max(tolerance(kwargs) / 10, 1e-5))


@pytest.mark.parametrize("case", CASES)
def test_config_is_keras_config_before_and_after_the_first_call(case):
    name, kwargs, shape = CASES[case]
    ours, theirs = both(name, kwargs)
    for _ in range(2):
        configs = [
            k.saving.serialize_keras_object(x)
            for k, x in zip((torchkeras, keras), (ours, theirs), strict=True)
        ]
        assert normalized(configs[0]) == normalized(configs[1])
        assert ours.built == theirs.built
        ours(make_input(shape)), theirs(make_input(shape))
    made = torchkeras.saving.deserialize_keras_object(normalized(configs[1]))
    assert normalized(made.get_config()) == normalized(theirs.get_config())
    made = keras.saving.deserialize_keras_object(normalized(configs[0]))
    assert normalized(made.get_config()) == normalized(ours.get_config())


@pytest.mark.parametrize("case", CASES)
def test_weights_have_keras_paths_shapes_and_flags(case):
    name, kwargs, shape = CASES[case]
    described = []
    for layer in both(name, kwargs):
        layer(make_input(shape))
        described.append([(w.path, tuple(w.shape), w.trainable) for w in layer.weights])
        described[-1] += [len(layer.trainable_weights), layer.supports_masking]
        described[-1] += [layer.compute_dtype, layer.variable_dtype]
        described[-1] += [str(w.value.dtype) for w in layer.weights]
    assert described[0] == described[1]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [None, 4])
def test_symbolic_shapes(case, batch):
    name, kwargs, shape = CASES[case]
    results = []
    for library, layer in zip((torchkeras, keras), both(name, kwargs), strict=True):
        y = layer(library.Input(batch_shape=(batch, *shape[1:])))
        results.append((tuple(y.shape), y.dtype))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", [BN, LN, GN, UN, RMS])
@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
def test_masks_pass_on_as_in_keras(name):
    x = make_input((2, 3, 4))
    x[0, 1] = 0
    kwargs = {"groups": 2} if name == GN else {}
    masks = []
    for library, layer in zip((torchkeras, keras), both(name, kwargs), strict=True):
        y = layer(library.layers.Masking()(x.clone()))
        masks.append(getattr(y, "_keras_mask", None))
    assert (masks[0] is None) == (masks[1] is None)
    assert masks[1] is None or torch.equal(*masks)


def spectral(power_iterations=1):
    made = []
    for library in (torchkeras, keras):
        inner = library.layers.Dense(3, name="inner")
        made.append(library.layers.SpectralNormalization(inner, power_iterations, name="layer"))
    for layer in made:
        layer.build((4, 5))
    copy_weights(*made)
    return made


@pytest.mark.parametrize("power_iterations", [1, 3])
def test_spectral_normalization_over_steps(power_iterations):
    ours, theirs = spectral(power_iterations)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    for seed in range(3):
        x = make_input((4, 5), seed)
        results = [step(layer, x, training=True) for layer in (ours, theirs)]
        assert_alike(*results, 1e-5)
        assert_alike(values(ours), values(theirs), 1e-5)
    assert_alike([ours(x)], [theirs(x)], 1e-5)
    configs = [
        normalized(k.saving.serialize_keras_object(layer))
        for k, layer in zip((torchkeras, keras), (ours, theirs), strict=True)
    ]
    assert configs[0] == configs[1]


def models():
    made = []
    for library in (torchkeras, keras):
        layers = library.layers
        inputs = library.Input((4, 6))
        x = layers.BatchNormalization(name="batch")(inputs)
        x = layers.LayerNormalization(axis=[1, 2], name="layer")(x)
        x = layers.GroupNormalization(2, name="group")(x)
        x = layers.SpectralNormalization(layers.Dense(3, name="inner"), name="spectral")(x)
        x = layers.RMSNormalization(name="rms")(x)
        x = layers.BatchNormalization(renorm=True, axis=1, name="renorm")(x)
        outputs = layers.UnitNormalization(name="unit")(x)
        made.append(library.Model(inputs, outputs))
    return made


# h5py and NumPy on Keras's own side.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
@pytest.mark.parametrize("from_keras", [True, False])
def test_saved_files_are_exchanged(tmp_path, from_keras, ending):
    pytest.importorskip("h5py")
    ours, theirs = models()
    source, target = (theirs, ours) if from_keras else (ours, theirs)
    rng = np.random.default_rng(4)
    source.set_weights([rng.uniform(0.5, 2, w.shape).astype("float32") for w in source.weights])
    path = tmp_path / f"model{ending}"
    if ending == ".weights.h5":
        source.save_weights(path)
        target.load_weights(path)
    elif from_keras:
        source.save(path)
        target = torchkeras.saving.load_model(path)
    else:
        source.save(path, weights_format="h5")
        target = keras.saving.load_model(path)
    # A layer inside another has a shorter path once it was made from a config, in Keras too.
    assert [w.name for w in target.weights] == [w.name for w in source.weights]
    x = make_input((2, 4, 6))
    torch.testing.assert_close(source(x), target(x), rtol=1e-5, atol=1e-5)


REFUSED = {
    "batch_axis": lambda lib: lib.layers.BatchNormalization(axis=None),
    "batch_mask": lambda lib: lib.layers.BatchNormalization()(
        torch.ones(2, 3, 4), mask=torch.ones(2, 3, 4) > 0
    ),
    "batch_channels": lambda lib: lib.Sequential(
        [lib.Input((3,)), lib.layers.BatchNormalization()]
    ).layers[0](torch.ones(2, 4)),
    "renorm_keys": lambda lib: lib.layers.BatchNormalization(
        renorm=True, renorm_clipping={"max": 1.0}
    ),
    "renorm_limits": lambda lib: lib.layers.BatchNormalization(
        renorm=True, renorm_clipping={"rmax": 1.0, "rmin": 2.0}
    ),
    "renorm_dmax": lambda lib: lib.layers.BatchNormalization(
        renorm=True, renorm_clipping={"dmax": -1.0}
    ),
    "layer_axis": lambda lib: lib.layers.LayerNormalization(axis="last"),
    "group_groups": lambda lib: lib.layers.GroupNormalization(0),
    "group_divides": lambda lib: lib.layers.GroupNormalization(4)(torch.ones(2, 6)),
    "group_unknown": lambda lib: lib.layers.GroupNormalization(2)(lib.Input((None,))),
    "unit_axis": lambda lib: lib.layers.UnitNormalization(axis="last"),
    "spectral_layer": lambda lib: lib.layers.SpectralNormalization("dense"),
    "spectral_iterations": lambda lib: lib.layers.SpectralNormalization(lib.layers.Dense(2), 0),
    "spectral_kernel": lambda lib: lib.layers.SpectralNormalization(lib.layers.ReLU())(
        torch.ones(2, 3)
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_keras_refuses_is_refused_with_the_same_class_of_error(case):
    with pytest.raises(Exception) as theirs:
        REFUSED[case](keras)
    with pytest.raises(type(theirs.value)) as ours:
        REFUSED[case](torchkeras)
    assert "Received" in str(ours.value)


def test_the_names_of_keras_are_all_there():
    names = {name for name in dir(keras.layers) if name.endswith("Normalization")}
    # "Normalization" learns its statistics from data ahead of training: a preprocessing layer.
    assert names - {"Normalization"} <= set(dir(torchkeras.layers))
