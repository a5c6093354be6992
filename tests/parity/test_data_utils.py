"""Images, folders, series and splits beside Keras, whose datasets need grain or TensorFlow."""

import gc
import io
import pathlib

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")
Image = pytest.importorskip("PIL.Image")

import torchkeras as ours  # noqa: E402

RNG = np.random.default_rng(0)
# Keras leaves files and thread pools open, and reads tensors in a way that NumPy gives up.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.fixture(autouse=True)
def leave_nothing_open():
    yield
    gc.collect()


def assert_same_dataset(expected, found, atol=0.0):
    expected, found = list(expected), list(found)
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        one, other = keras.tree.flatten(one), keras.tree.flatten(other)
        for a, b in zip(one, other, strict=True):
            a, b = torch.as_tensor(a), torch.as_tensor(b)
            assert (b.dtype, b.shape) == (a.dtype, a.shape)
            np.testing.assert_allclose(b.numpy(), a.numpy(), atol=atol, rtol=1e-5)


# ---- folders ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three classes of small images of every format and mode, some in a folder below."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("b", "a", "c"):
        (folder / name / "sub").mkdir(parents=True)
        for i, ending in enumerate(("png", "jpg", "bmp", "gif")):
            pixels = RNG.integers(0, 256, (*RNG.integers(5, 40, 2), 3)).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{i}.{ending}")
        for kind, pixels in {
            "rgba.PNG": RNG.integers(0, 256, (9, 7, 4)).astype("uint8"),
            "gray.png": RNG.integers(0, 256, (9, 7)).astype("uint8"),
            "gray16.png": RNG.integers(0, 60000, (9, 7)).astype("uint16"),
        }.items():
            Image.fromarray(pixels).save(folder / name / "sub" / kind)
        (folder / name / "notes.txt").write_text(f"Notes on {name}.\r\nTwo lines, and an é.")
    (folder / ".hidden").mkdir()
    return str(folder)


def both(name, folder, **arguments):
    """Keras's dataset and ours."""
    pytest.importorskip("grain")
    return (
        getattr(keras.utils, name)(folder, format="grain", verbose=False, **arguments),
        getattr(ours.utils, name)(folder, verbose=False, **arguments),
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("kept", [None, "crop_to_aspect_ratio", "pad_to_aspect_ratio"])
@pytest.mark.parametrize("size", [(16, 16), (30, 11), (7, 50)])
def test_images_of_a_folder(pictures, interpolation, kept, size):
    kept = {kept: True} if kept else {}
    expected, found = both(
        "image_dataset_from_directory",
        pictures,
        shuffle=False,
        image_size=size,
        interpolation=interpolation,
        **kept,
    )
    assert found.class_names == expected.class_names == ["a", "b", "c"]
    assert found.file_paths == list(expected.file_paths)
    assert_same_dataset(expected, found, atol=2e-3)  # of 255, in float32 by another order of sums


@pytest.mark.parametrize(
    "arguments",
    [
        {"color_mode": "grayscale", "data_format": "channels_first"},
        {"color_mode": "rgba", "batch_size": 5},
        {"label_mode": "categorical"},
        {"label_mode": "int", "batch_size": None},
        {"label_mode": None},
        {"label_mode": "binary", "class_names": ["c", "a"]},
        {"labels": None},
        {"labels": list(range(21)), "label_mode": "categorical"},
        {"labels": [i % 2 for i in range(21)], "label_mode": "binary"},
        {"validation_split": 0.3, "subset": "training"},
        {"validation_split": 0.3, "subset": "validation"},
    ],
    ids=str,
)
def test_labels_and_modes(pictures, arguments):
    expected, found = both(
        "image_dataset_from_directory", pictures, shuffle=False, image_size=(8, 9), **arguments
    )
    assert found.class_names == expected.class_names
    assert_same_dataset(expected, found, atol=2e-3)


@pytest.mark.parametrize("subset", ["training", "validation", "both"])
def test_a_seed_splits_the_same_files(pictures, subset):
    expected, found = both(
        "image_dataset_from_directory", pictures, seed=5, validation_split=0.3, subset=subset
    )
    expected, found = (x if isinstance(x, list) else [x] for x in (expected, found))
    for one, other in zip(expected, found, strict=True):
        assert other.file_paths == list(one.file_paths)
    if subset == "both":  # validation is not shuffled again
        assert_same_dataset(expected[1], found[1], atol=2e-3)


@pytest.mark.parametrize("max_length", [None, 5, 200])
@pytest.mark.parametrize("batch_size", [2, None])
def test_texts_of_a_folder(pictures, max_length, batch_size):
    arguments = {"shuffle": False, "max_length": max_length, "batch_size": batch_size}
    expected, found = both("text_dataset_from_directory", pictures, **arguments)
    for (words, labels), (our_words, our_labels) in zip(expected, found, strict=True):
        assert torch.equal(our_labels, labels)
        assert our_words.tolist() == list(words) if batch_size else our_words == words


ARGUMENTS = [
    {"labels": "other"},
    {"labels": [0, 1]},
    {"labels": [0, 1], "class_names": ["a"]},
    {"labels": None, "class_names": ["a"]},
    {"class_names": ["a", "d"]},
    {"label_mode": "other"},
    {"label_mode": "binary"},
    {"validation_split": 2.0, "subset": "training"},
    {"validation_split": 0.2},
    {"subset": "training"},
    {"validation_split": 0.2, "subset": "other", "seed": 1},
    {"validation_split": 0.2, "subset": "training"},
    {"format": "other"},
]
OF_IMAGES = [
    {"color_mode": "other"},
    {"image_size": (1, 2, 3)},
    {"interpolation": "other"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS + OF_IMAGES, ids=str)
@pytest.mark.parametrize("kind", ["image", "text", "audio"])
def test_wrong_arguments_are_refused_as_in_keras(pictures, kind, arguments):
    if kind != "image" and arguments in OF_IMAGES or kind == "audio" and "format" in arguments:
        return
    name = f"{kind}_dataset_from_directory"
    for library in (keras, ours):
        with pytest.raises(ValueError):
            getattr(library.utils, name)(pictures, verbose=False, **arguments)


# ---- series -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"sequence_stride": 3},
        {"sampling_rate": 2, "sequence_stride": 3},
        {"start_index": 5, "end_index": 40},
        {"start_index": 5, "targets": None, "sampling_rate": 4},
        {"end_index": 30, "batch_size": None},
        {"sequence_length": 1, "batch_size": 7},
        {"targets": np.arange(20)},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(50,), (50, 2)])
def test_windows_of_a_series(arguments, shape):
    pytest.importorskip("grain")
    data = RNG.normal(size=shape)
    arguments = {"targets": np.arange(50), "sequence_length": 6, "batch_size": 4, **arguments}
    expected = keras.utils.timeseries_dataset_from_array(data, format="grain", **arguments)
    found = ours.utils.timeseries_dataset_from_array(data, **arguments)
    assert_same_dataset(expected, found)
    assert len(found) == len(list(expected))


@pytest.mark.parametrize(
    "arguments",
    [
        {"start_index": -1},
        {"start_index": 50},
        {"end_index": 50},
        {"end_index": -1},
        {"start_index": 10, "end_index": 10},
        {"sampling_rate": 0},
        {"sampling_rate": 50},
        {"sequence_stride": 0},
        {"sequence_stride": 50},
        {"format": "other"},
    ],
    ids=str,
)
def test_wrong_arguments_of_a_series(arguments):
    for library in (keras, ours):
        with pytest.raises(ValueError):
            library.utils.timeseries_dataset_from_array(np.arange(50), None, 5, **arguments)


# ---- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_arrays_to_images_and_back(scale, channels, data_format):
    shape = (5, 7, channels) if data_format == "channels_last" else (channels, 5, 7)
    x = RNG.uniform(0, 255, shape)
    expected = keras.utils.array_to_img(x, data_format, scale)
    found = ours.utils.array_to_img(x, data_format, scale)
    assert found.mode == expected.mode and found.tobytes() == expected.tobytes()
    for dtype in (None, "uint8"):
        a = keras.utils.img_to_array(expected, data_format, dtype)
        b = ours.utils.img_to_array(found, data_format, dtype)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_gray_values_above_255_keep_32_bits():
    x = RNG.integers(0, 4000, (4, 5, 1))
    expected, found = (k.utils.array_to_img(x, scale=False) for k in (keras, ours))
    assert found.mode == expected.mode == "I" and found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"target_size": (6, 5)},
        {"target_size": (6, 5), "interpolation": "bilinear"},
        {"target_size": (12, 3), "interpolation": "lanczos", "keep_aspect_ratio": True},
        {"target_size": (3, 12), "interpolation": "box", "keep_aspect_ratio": True},
    ],
    ids=str,
)
def test_images_of_files(pictures, color_mode, arguments):
    for path in sorted(pathlib.Path(pictures, "a").rglob("*.*")):
        if path.suffix == ".txt":
            continue
        expected = keras.utils.load_img(path, color_mode, **arguments)
        for source in (path, str(path), io.BytesIO(path.read_bytes())):
            found = ours.utils.load_img(source, color_mode, **arguments)
            assert found.mode == expected.mode and found.size == expected.size
            assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.JPEG", "x.bmp"])
def test_files_of_images(tmp_path, name):
    x = RNG.uniform(0, 255, (8, 6, 3))
    for folder, library in (("a", keras), ("b", ours)):
        (tmp_path / folder).mkdir()
        library.utils.save_img(tmp_path / folder / name, x)
    assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    with pytest.warns(UserWarning, match="transparency"):
        ours.utils.save_img(tmp_path / "y.jpg", RNG.uniform(0, 255, (8, 6, 4)))


@pytest.mark.parametrize("size", [(4, 9), (20, 3), (5, 5)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_smart_resize(size, data_format, dtype):
    for shape in ((11, 7, 3), (2, 11, 7, 3)):
        x = RNG.uniform(0, 255, shape).astype(dtype)
        if data_format == "channels_first":
            x = np.moveaxis(x, -1, -3).copy()
        expected, found = (
            k.preprocessing.image.smart_resize(x, size, data_format=data_format)
            for k in (keras, ours)
        )
        assert isinstance(found, np.ndarray) and found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda k: k.utils.array_to_img(np.zeros((3, 4))),
        lambda k: k.utils.array_to_img(np.zeros((3, 4, 2))),
        lambda k: k.utils.img_to_array(np.zeros(3)),
        lambda k: k.utils.load_img(io.BytesIO(), color_mode="hsv"),
        lambda k: k.preprocessing.image.smart_resize(np.zeros((3, 4)), (2, 2)),
        lambda k: k.preprocessing.image.smart_resize(np.zeros((3, 4, 1)), (2,)),
    ],
)
def test_wrong_images(call):
    kinds = set()
    for library in (keras, ours):
        with pytest.raises((ValueError, OSError)) as caught:
            call(library)
        kinds.add(ValueError if isinstance(caught.value, ValueError) else OSError)
    assert ValueError in kinds


# ---- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes", [(0.8, None), (None, 0.25), (3, None), (None, 4), (0.33, 0.67), (7, 3)], ids=str
)
def test_splits_are_those_of_keras(sizes):
    x, y = RNG.normal(size=(10, 2)), np.arange(10)
    # Keras on torch shuffles whatever it is told; so the sizes alone are compared, and the order
    # where it has a seed.
    expected = keras.utils.split_dataset((x, y), *sizes, shuffle=True, seed=7)
    found = ours.utils.split_dataset((x, y), *sizes, shuffle=True, seed=7)
    for one, other in zip(expected, found, strict=True):
        assert_same_dataset([one[i] for i in range(len(one))], other)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"left_size": 0},
        {"left_size": 10},
        {"left_size": -1},
        {"left_size": 1.5},
        {"right_size": 0},
        {"right_size": 10},
        {"left_size": 0.7, "right_size": 0.7},
        {"left_size": 7, "right_size": 7},
        {"left_size": "1"},
    ],
    ids=str,
)
def test_wrong_sizes(arguments):
    kinds = []
    for library in (keras, ours):
        with pytest.raises((ValueError, TypeError)) as caught:
            library.utils.split_dataset(np.arange(10), **arguments)
        kinds.append(type(caught.value))
    assert kinds[0] is kinds[1]


def test_sources_of_symbols():
    names = []
    for library in (keras, ours):
        x, y = library.Input((3,), name="x"), library.Input((3,), name="y")
        z = library.layers.Add()([x, library.layers.Dense(3)(y)])
        names.append([t.name for t in library.utils.get_source_inputs(library.layers.ReLU()(z))])
    assert names[0] == names[1] == ["x", "y"]
    assert ours.utils.get_source_inputs(3) == keras.utils.get_source_inputs(3) == 3
