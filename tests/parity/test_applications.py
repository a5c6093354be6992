"""keras.applications against real Keras: names, configs, weights, results, files, arguments."""

import functools
import warnings

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")

from keras.src.applications.nasnet import NASNet as KerasNASNet  # noqa: E402
from keras.src.legacy.saving import legacy_h5_format  # noqa: E402

# NumPy 2 about Keras's own Variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SLOW = pytest.mark.slow
BUILDERS = (
    "ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge "
    "DenseNet121 DenseNet169 DenseNet201 "
    "EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 "
    "EfficientNetB6 EfficientNetB7 "
    "EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L "
    "EfficientNetV2M EfficientNetV2S "
    "InceptionResNetV2 InceptionV3 "
    "MobileNet MobileNetV2 MobileNetV3Large MobileNetV3Small "
    "NASNetLarge NASNetMobile "
    "ResNet101 ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2 "
    "VGG16 VGG19 "
    "Xception "
).split()
# Of these the quick tests compare the architecture, of those in RESULTS what they compute.
QUICK = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetV2B0",
    "InceptionV3",
    "MobileNetV3Large",
    "ResNet50",
    "ResNet50V2",
    "Xception",
)


@pytest.fixture(autouse=True)
def fresh_names():
    keras.utils.clear_session(free_memory=False)


def _builder(library, name):
    # Keras refuses this one on torch, for a fault that its blocks do not have.
    if library is keras and name == "NASNetMobile":
        return functools.partial(
            KerasNASNet,
            penultimate_filters=1056,
            num_blocks=4,
            stem_block_filters=32,
            skip_reduction=False,
            default_size=224,
            name="nasnet_mobile",
        )
    return getattr(library.applications, name)


def _both(builder, options):
    """The model of either library, without memory for weights."""
    with torchkeras.device("meta"):
        ours = _builder(torchkeras, builder)(weights=None, **options)
    with keras.device("meta"):
        return ours, _builder(keras, builder)(weights=None, **options)


def _weights(model):
    return [(weight.path, tuple(weight.shape), weight.trainable) for weight in model.weights]


# What Keras writes besides: Sequentials within a model say how to build and compile them, classes
# that are not registered their name; and what is None may be left out.
_ASIDE = {"compile_config", "registered_name", "build_config"}


def _config(value, aside=()):
    if isinstance(value, dict):
        return {
            key: _config(item, aside)
            for key, item in value.items()
            if item is not None and key not in _ASIDE and key not in aside
        }
    if isinstance(value, (list, tuple)):
        return [_config(item, aside) for item in value]
    return value


def _check_same_architecture(builder, **options):
    ours, theirs = _both(builder, options)
    assert ours.name == theirs.name
    kinds = [[(type(layer).__name__, layer.name) for layer in m.layers] for m in (ours, theirs)]
    assert kinds[0] == kinds[1]
    assert _weights(ours) == _weights(theirs)
    assert ours.count_params() == theirs.count_params()
    # Keras drops more samples the deeper the variants are; see docs/differences.md.
    aside = (
        {"rate"} if builder in ("EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3") else ()
    )
    assert _config(ours.get_config(), aside) == _config(theirs.get_config(), aside)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in BUILDERS]
)
def test_layers_weights_and_config_are_those_of_keras(name):
    # With the classifier, whose names the published weights have.
    _check_same_architecture(name)


OPTIONS = {
    "mobilenet": ("MobileNet", {"alpha": 0.5, "depth_multiplier": 2, "dropout": 0.5}),
    "mobilenet_v2": ("MobileNetV2", {"alpha": 1.4, "input_shape": (96, 96, 3)}),
    "mobilenet_v3": ("MobileNetV3Small", {"alpha": 1.5, "minimalistic": True, "classes": 7}),
    "mobilenet_v3_large": (
        "MobileNetV3Large",
        {"alpha": 0.75, "include_preprocessing": False, "dropout_rate": 0.0, "name": "m"},
    ),
    "efficientnet_v2": ("EfficientNetV2B0", {"include_preprocessing": False, "classes": 3}),
    "one_channel": ("EfficientNetV2B0", {"input_shape": (64, 64, 1), "include_top": False}),
    "convnext": ("ConvNeXtTiny", {"include_preprocessing": False, "name": "mine"}),
    "vgg": ("VGG16", {"include_top": False, "pooling": "max", "input_shape": (40, 50, 3)}),
    "resnet": ("ResNet50", {"include_top": False, "pooling": "avg"}),
    "convnext_features": ("ConvNeXtTiny", {"include_top": False}),
    "classifier": ("ResNet50V2", {"classifier_activation": None, "classes": 5, "name": "mine"}),
}


def test_public_names_are_those_of_keras():
    for name, theirs in vars(keras.applications).items():
        if not name.startswith("_"):
            ours = getattr(torchkeras.applications, name)
            assert [x for x in dir(theirs) if x[0] != "_" and not hasattr(ours, x)] == []


@pytest.mark.parametrize("builder, options", OPTIONS.values(), ids=OPTIONS)
def test_arguments_change_what_they_change_in_keras(builder, options):
    _check_same_architecture(builder, **options)


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV2",
        "VGG16",
        pytest.param("EfficientNetB0", marks=SLOW),
        pytest.param("ResNet50V2", marks=SLOW),
    ],
)
def test_channels_first(name):
    for library in (torchkeras, keras):
        library.config.set_image_data_format("channels_first")
    try:
        _check_same_architecture(name, input_shape=(3, 64, 32))
    finally:
        keras.config.set_image_data_format("channels_last")


def _numbers(model, seed=0):
    """Weights unlike those that a model begins with, for which maps stay of one order."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.dtype != "float32":
            continue
        if weight.path.endswith("kernel"):
            scale = np.sqrt(2 / max(1, np.prod(shape[:-1])))
            value = rng.standard_normal(shape, "float32") * np.float32(scale)
            if "depthwise" in weight.path.split("/")[-1]:
                value *= np.float32(np.sqrt(shape[-2]))
        elif weight.path.endswith("variance"):
            value = rng.uniform(0.5, 2, shape)
        elif weight.path.endswith("gamma"):
            value = rng.uniform(0.5, 1, shape)
        else:
            value = rng.normal(0, 0.2, shape)
        weight.assign(value.astype("float32"))


def _images(shape, raw):
    rng = np.random.default_rng(1)
    return rng.uniform(0 if raw else -1, 255 if raw else 1, (2, *shape)).astype("float32")


RAW = ("Efficient", "ConvNeXt", "MobileNetV3")
RESULTS = {
    "EfficientNetB0": {"input_shape": (33, 40, 3), "classes": 7},
    "MobileNet": {"input_shape": (33, 40, 3), "classes": 7, "alpha": 0.5},
    "MobileNetV2": {"input_shape": (33, 40, 3), "classes": 7, "alpha": 0.5},
    "MobileNetV3Small": {"input_shape": (33, 40, 3), "classes": 7},
    "VGG16": {"input_shape": (32, 40, 3)},
}
SLOW_RESULTS = {
    "ConvNeXtSmall": {"input_shape": (32, 32, 3), "classes": 7},
    "ConvNeXtTiny": {"input_shape": (32, 33, 3)},
    "DenseNet121": {"input_shape": (32, 40, 3), "classes": 7},
    "DenseNet201": {"input_shape": (32, 32, 3), "pooling": "avg"},
    "EfficientNetB3": {"input_shape": (32, 32, 3), "classes": 7},
    "EfficientNetV2B0": {"input_shape": (33, 40, 3), "classes": 7},
    "EfficientNetV2S": {"input_shape": (32, 32, 3), "classes": 7},
    "InceptionResNetV2": {"input_shape": (75, 76, 3), "pooling": "avg"},
    "InceptionV3": {"input_shape": (75, 76, 3), "pooling": "max"},
    "MobileNetV3Large": {"input_shape": (33, 40, 3), "classes": 7, "minimalistic": True},
    "NASNetLarge": {"input_shape": (32, 32, 3), "pooling": "max"},
    "NASNetMobile": {"input_shape": (32, 32, 3), "classes": 7},
    "ResNet101": {"input_shape": (32, 32, 3), "pooling": "avg"},
    "ResNet50": {"input_shape": (32, 40, 3), "pooling": "avg"},
    "ResNet50V2": {"input_shape": (32, 40, 3), "pooling": "avg"},
    "VGG19": {"input_shape": (32, 32, 3), "classes": 7},
    "Xception": {"input_shape": (71, 75, 3), "pooling": "avg"},
}


@pytest.mark.parametrize(
    "name, options",
    [
        *(pytest.param(*item, id=item[0]) for item in RESULTS.items()),
        *(pytest.param(*item, id=item[0], marks=SLOW) for item in SLOW_RESULTS.items()),
    ],
)
def test_a_file_of_keras_gives_its_results(name, options, tmp_path):
    options = {"weights": None, "include_top": "classes" in options, **options}
    theirs = _builder(keras, name)(**options)
    _numbers(theirs)
    x = _images(options["input_shape"], name.startswith(RAW))
    with torch.no_grad():
        expected = theirs(x).cpu().numpy()
    path = tmp_path / "m.weights.h5"
    theirs.save_weights(path)
    ours = _builder(torchkeras, name)(**{**options, "weights": path})
    with torch.no_grad():
        found = ours(torch.from_numpy(x)).numpy()
    assert np.ptp(expected) > 1e-3
    # Sums of up to some thousand terms, in another order, through a hundred layers.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def _save_as_keras_2(model, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.parametrize(
    "name, options",
    [
        ("MobileNet", {"alpha": 0.25, "input_shape": (32, 32, 3), "classes": 3}),
        pytest.param("ConvNeXtTiny", {"input_shape": (32, 32, 3), "classes": 3}, marks=SLOW),
        pytest.param("EfficientNetB0", {"input_shape": (32, 32, 3), "classes": 3}, marks=SLOW),
        pytest.param("InceptionV3", {"include_top": False}, marks=SLOW),
    ],
)
def test_a_file_in_the_layout_of_keras_2(name, options, tmp_path):
    theirs = _builder(keras, name)(weights=None, **options)
    _numbers(theirs)
    path = tmp_path / "m.h5"
    _save_as_keras_2(theirs, path)
    ours = _builder(torchkeras, name)(weights=path, **options)
    for own, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(own.numpy(), other.numpy(), own.path)


def test_the_weights_of_imagenet_are_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    theirs = keras.applications.MobileNet(alpha=0.25, weights=None)
    _numbers(theirs)
    (tmp_path / "models").mkdir()
    _save_as_keras_2(theirs, tmp_path / "models" / "mobilenet_2_5_224_tf.h5")
    ours = torchkeras.applications.MobileNet(alpha=0.25)
    assert ours.name == theirs.name == "mobilenet_0.25_224"
    np.testing.assert_array_equal(ours.get_weights()[-1], theirs.get_weights()[-1])


@pytest.mark.parametrize(
    "name, options",
    [
        ("MobileNetV3Small", {"input_shape": (32, 32, 3), "classes": 3}),
        pytest.param("ConvNeXtTiny", {"input_shape": (32, 32, 3), "classes": 3}, marks=SLOW),
        pytest.param("InceptionResNetV2", {"include_top": False, "pooling": "avg"}, marks=SLOW),
    ],
)
@pytest.mark.parametrize("source", [keras, torchkeras], ids=["from_keras", "to_keras"])
def test_whole_models_are_exchanged(name, options, source, tmp_path):
    target = torchkeras if source is keras else keras
    model = _builder(source, name)(weights=None, **options)
    _numbers(model)
    path = str(tmp_path / "m.keras")
    model.save(path, **({} if source is keras else {"weights_format": "h5"}))
    again = target.saving.load_model(path)
    x = _images((75, 75, 3) if "include_top" in options else (32, 32, 3), name.startswith(RAW))
    expected, found = model.predict(x, verbose=0), again.predict(x, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


MODES = {"caffe": "resnet", "tf": "mobilenet_v2", "torch": "densenet", None: "efficientnet"}


@pytest.mark.parametrize("kind", ["array", "tensor", "symbol"])
@pytest.mark.parametrize(
    "shape, data_format",
    [
        ((4, 5, 3), "channels_last"),
        ((2, 4, 5, 3), None),
        ((3, 4, 5), "channels_first"),
        ((2, 3, 4, 5), "channels_first"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_preprocess_input(mode, shape, data_format, kind):
    x = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
    theirs = getattr(keras.applications, MODES[mode]).preprocess_input
    expected = theirs(x.copy(), data_format=data_format)
    ours = getattr(torchkeras.applications, MODES[mode]).preprocess_input
    if kind == "symbol":
        symbol = torchkeras.Input(batch_shape=shape)
        model = torchkeras.Model(symbol, ours(symbol, data_format=data_format))
        model = torchkeras.models.model_from_json(model.to_json())
        found = model(torch.from_numpy(x))
    else:
        given = x.copy() if kind == "array" else torch.tensor(x)
        found = ours(given, data_format=data_format)
        assert isinstance(found, type(given))
        np.testing.assert_array_equal(np.asarray(given), x)  # Keras writes over it
    # Two roundings, of values up to 255.
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6, atol=2e-5)
    assert np.asarray(found).dtype == expected.dtype


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_preprocess_input_of_integers(mode):
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), "uint8")
    expected = keras.applications.imagenet_utils.preprocess_input(x, mode=mode)
    ours = torchkeras.applications.imagenet_utils.preprocess_input
    symbol = torchkeras.Input((4, 5, 3), dtype="uint8")
    model = torchkeras.Model(symbol, ours(symbol, mode=mode))
    for found in (ours(x, mode=mode), ours(torch.tensor(x), mode=mode), model(torch.tensor(x))):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6, atol=2e-5)
        assert np.asarray(found).dtype == expected.dtype == "float32"


IMAGENET = {"weights": "imagenet"}
NONE = {"weights": None}
# What Keras refuses before it looks for a file.
REFUSED = {
    "no_such_file": ("VGG16", {"weights": "there_is_no_such.h5"}),
    "no_path": ("VGG16", {"weights": ""}),
    "classes": ("VGG19", {**IMAGENET, "classes": 10}),
    "shape_of_imagenet": ("ResNet50", {**IMAGENET, "input_shape": (64, 64, 3)}),
    "channels_of_imagenet": (
        "ResNet50",
        {**IMAGENET, "include_top": False, "input_shape": (64, 64, 1)},
    ),
    "small": ("ResNet50", {**NONE, "input_shape": (31, 64, 3)}),
    "small_xception": ("Xception", {**NONE, "include_top": False, "input_shape": (70, 71, 3)}),
    "small_inception": ("InceptionV3", {**NONE, "include_top": False, "input_shape": (75, 74, 3)}),
    "small_mobilenet": ("MobileNetV3Small", {**NONE, "input_shape": (31, 32, 3)}),
    "unknown": ("EfficientNetB0", {**NONE, "input_shape": (None, None, 3)}),
    "two_sizes": ("DenseNet121", {**NONE, "input_shape": (64, 64)}),
    "four_sizes": ("DenseNet121", {**NONE, "input_shape": (1, 64, 64, 3)}),
    "alpha": ("MobileNet", {**IMAGENET, "alpha": 0.3}),
    "alpha_v2": ("MobileNetV2", {**IMAGENET, "alpha": 0.3}),
    "alpha_v3": ("MobileNetV3Large", {**IMAGENET, "alpha": 0.5, "input_shape": (224, 224, 3)}),
    "minimalistic": (
        "MobileNetV3Small",
        {**IMAGENET, "alpha": 0.75, "minimalistic": True, "input_shape": (224, 224, 3)},
    ),
    "depth_multiplier": ("MobileNet", {**IMAGENET, "depth_multiplier": 2}),
    "not_a_symbol": ("VGG16", {**NONE, "input_tensor": np.zeros((1, 32, 32, 3))}),
}


@pytest.mark.parametrize("name, options", REFUSED.values(), ids=REFUSED)
def test_what_keras_refuses_is_refused(name, options):
    with pytest.raises(ValueError):
        _builder(keras, name)(**options)
    with pytest.raises(ValueError, match="Received: .*=|`input_tensor`"):
        _builder(torchkeras, name)(**options)


@pytest.mark.parametrize("name", ["DenseNet121", "ConvNeXtTiny", "NASNetLarge"])
def test_some_need_the_channels_last(name):
    torchkeras.config.set_image_data_format("channels_first")
    keras.config.set_image_data_format("channels_first")
    try:
        for library in (keras, torchkeras):
            with pytest.raises(ValueError, match="channels_last"):
                _builder(library, name)(weights=None)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", ["MobileNet", "ResNet50"])
def test_unusual_numbers_of_channels_warn(name):
    options = {"include_top": False, "input_shape": (32, 32, 5)}
    with pytest.warns(UserWarning, match="5") as warned:
        _both(name, options)
    assert warned[0].filename == __file__


def _with_predecessors(library):
    first, second = (library.Input((32, 32, 2), name=name) for name in "ab")
    x = library.layers.Conv2D(3, 1, name="mix")(library.layers.Concatenate()([first, second]))
    return _builder(library, "MobileNetV2")(
        weights=None, include_top=False, alpha=0.35, input_tensor=x
    )


def test_an_input_tensor_brings_what_it_comes_from():
    ours, theirs = _with_predecessors(torchkeras), _with_predecessors(keras)
    assert [x.name for x in ours.inputs] == [x.name for x in theirs.inputs] == ["a", "b"]
    assert _weights(ours) == _weights(theirs)
    assert ours.name == theirs.name
    for library, model in ((keras, theirs), (torchkeras, ours)):
        sources = library.utils.get_source_inputs(model.output)
        assert [x.name for x in sources] == ["a", "b"]
        assert all(a is b for a, b in zip(sources, model.inputs, strict=True))


class _Asked(Exception):
    """Instead of a download: what was asked for."""


def _file_asked_for(library, name, options, monkeypatch):
    def get_file(fname, origin, cache_subdir="datasets", file_hash=None):
        raise _Asked(fname, origin, cache_subdir, file_hash)

    if library is keras:
        monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    else:
        monkeypatch.setattr("torchkeras.applications.backbone.get_file", get_file)
    with library.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's about sizes that are left open
        with pytest.raises(_Asked) as caught:
            _builder(library, name)(weights="imagenet", **options)
    return caught.value.args


FILES = [
    *((name, {"include_top": include_top}) for name in BUILDERS for include_top in (True, False)),
    ("MobileNet", {"alpha": 0.5, "input_shape": (160, 160, 3)}),
    ("MobileNet", {"alpha": 0.75, "include_top": False, "input_shape": (128, 128, 3)}),
    ("MobileNetV2", {"alpha": 1.4, "input_shape": (224, 224, 3)}),
    ("MobileNetV2", {"alpha": 0.35, "include_top": False, "input_shape": (96, 96, 3)}),
    ("MobileNetV3Small", {"alpha": 0.75, "input_shape": (224, 224, 3)}),
    ("MobileNetV3Large", {"minimalistic": True, "include_top": False}),
]


@pytest.mark.parametrize(
    "name, options",
    [
        pytest.param(
            *item, id=f"{item[0]}-{index}", marks=[] if item[0] in ("VGG16", "MobileNet") else SLOW
        )
        for index, item in enumerate(FILES)
    ],
)
def test_the_files_asked_for_are_those_of_keras(name, options, monkeypatch):
    expected = _file_asked_for(keras, name, options, monkeypatch)
    assert _file_asked_for(torchkeras, name, options, monkeypatch) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EfficientNetB0", "ResNet50V2"])
def test_with_the_weights_of_imagenet_it_computes_what_keras_does(name, tmp_path, monkeypatch):
    theirs = _builder(keras, name)(weights=None, include_top=False)
    _numbers(theirs)
    path = str(tmp_path / "m.h5")
    _save_as_keras_2(theirs, path)
    for place in ("keras.src.utils.file_utils", "torchkeras.applications.backbone"):
        monkeypatch.setattr(f"{place}.get_file", lambda *args, **kwargs: path)
    x = _images((32, 32, 3), raw=True)
    results = [
        _builder(library, name)(include_top=False, pooling="avg").predict(x, verbose=0)
        for library in (keras, torchkeras)
    ]
    np.testing.assert_allclose(*results, rtol=0, atol=1e-5 * np.abs(results[0]).max())
