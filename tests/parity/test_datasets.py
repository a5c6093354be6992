import importlib
import inspect
import io
import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import torch

from torchkeras import datasets
from torchkeras.utils import file_utils
from torchkeras.utils.numerical_utils import normalize, to_categorical

keras = pytest.importorskip("keras")

MODULES = [
    "boston_housing",
    "california_housing",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "imdb",
    "mnist",
    "reuters",
]
FUNCTIONS = [
    *((name, "load_data") for name in MODULES),
    ("imdb", "get_word_index"),
    ("reuters", "get_word_index"),
    ("reuters", "get_label_names"),
]
DOWNLOADS = [pair for pair in FUNCTIONS if pair[1] != "get_label_names"]


def both(module, function):
    ours = getattr(getattr(datasets, module), function)
    theirs = getattr(getattr(keras.datasets, module), function)
    return ours, theirs


def keras_source(module):
    return importlib.import_module(f"keras.src.datasets.{module}")


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def assert_same(ours, theirs):
    for our_part, their_part in zip(ours, theirs, strict=True):
        for our_array, their_array in zip(our_part, their_part, strict=True):
            assert our_array.dtype == their_array.dtype
            assert our_array.shape == their_array.shape
            assert our_array.tolist() == their_array.tolist()


def test_module_names():
    public = {name for name in dir(keras.datasets) if not name.startswith("_")}
    assert public == set(MODULES) == set(datasets.__all__)


@pytest.mark.parametrize(("module", "function"), FUNCTIONS)
def test_signatures(module, function):
    ours, theirs = both(module, function)
    assert inspect.signature(ours) == inspect.signature(theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (file_utils.get_file, "get_file"),
        (to_categorical, "to_categorical"),
        (normalize, "normalize"),
    ],
)
def test_utility_signatures(ours, theirs):
    assert inspect.signature(ours) == inspect.signature(getattr(keras.utils, theirs))


@pytest.mark.parametrize(("module", "function"), DOWNLOADS)
def test_url_hash_and_place_of_each_file(module, function, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    their_calls, our_calls = [], []

    class Done(Exception):
        pass

    def their_get_file(fname=None, origin=None, **options):
        their_calls.append((fname, origin, options))
        if len(their_calls) == expected_calls:
            raise Done
        return ""

    def our_download(origin, path, file_hash, algorithm, refused):
        our_calls.append((origin, os.path.relpath(path, tmp_path), file_hash, algorithm))
        if len(our_calls) == expected_calls:
            raise Done
        open(path, "w").close()

    expected_calls = 4 if module == "fashion_mnist" else 1
    monkeypatch.setattr(keras_source(module), "get_file", their_get_file)
    monkeypatch.setattr(file_utils, "_download", our_download)
    for load in both(module, function):
        with pytest.raises(Done):
            load()
    for (fname, origin, options), ours in zip(their_calls, our_calls, strict=True):
        # Where Keras unpacks into `fname`, the archive itself is kept as `fname`_archive.
        name = f"{fname}_archive" if options.get("extract") else fname
        place = os.path.join(options.get("cache_subdir", "datasets"), name)
        file_hash = options.get("file_hash")
        algorithm = "md5" if file_hash and len(file_hash) == 32 else "sha256"
        assert ours == (origin, place, file_hash, algorithm)


def test_reuters_label_names():
    ours, theirs = both("reuters", "get_label_names")
    assert ours() == theirs()


# The same small file through both


@pytest.fixture
def use_file(monkeypatch):
    def use(module, path):
        monkeypatch.setattr(keras_source(module), "get_file", lambda *a, **k: str(path))
        monkeypatch.setattr(getattr(datasets, module), "fetch", lambda *a, **k: str(path))

    return use


@pytest.mark.parametrize("module", ["boston_housing", "california_housing"])
@pytest.mark.parametrize("options", [{}, {"test_split": 0.37, "seed": 5}, {"test_split": 0.0}])
def test_housing(module, options, use_file, tmp_path):
    x = np.random.RandomState(0).rand(701, 3)
    np.savez(tmp_path / "a.npz", x=x, y=x[:, 0])
    use_file(module, tmp_path / "a.npz")
    ours, theirs = both(module, "load_data")
    assert_same(ours(**options), theirs(**options))
    if module == "california_housing":
        assert_same(ours("small", **options), theirs("small", **options))


REVIEW_OPTIONS = [
    {},
    {"num_words": 30},
    {"num_words": 30, "skip_top": 5},
    {"skip_top": 5, "oov_char": None},
    {"maxlen": 9},
    {"start_char": None},
    {"start_char": None, "index_from": 0},
    {"start_char": 7, "index_from": 1, "oov_char": 9, "seed": 3, "num_words": 20},
]


@pytest.mark.parametrize("options", REVIEW_OPTIONS, ids=str)
@pytest.mark.parametrize("module", ["imdb", "reuters"])
def test_reviews(module, options, use_file, tmp_path):
    random = np.random.RandomState(0)

    def reviews(count):
        lengths = random.randint(2, 15, count)
        return object_array([random.randint(1, 50, n).tolist() for n in lengths])

    if module == "imdb":
        arrays = {"x_train": reviews(40), "x_test": reviews(30)}
        arrays |= {"y_train": np.arange(40), "y_test": np.arange(30)}
    else:
        arrays = {"x": reviews(50), "y": np.arange(50)}
    np.savez(tmp_path / "a.npz", **arrays)
    use_file(module, tmp_path / "a.npz")
    ours, theirs = both(module, "load_data")
    assert_same(ours(**options), theirs(**options))


@pytest.mark.parametrize("label_mode", ["fine", "coarse"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_cifar100(label_mode, data_format, monkeypatch, tmp_path):
    from torchkeras.core import config

    random = np.random.RandomState(0)
    archive_path, folder = tmp_path / "a.tar.gz", tmp_path / "cifar-100-python"
    folder.mkdir()
    with tarfile.open(archive_path, "w:gz") as archive:
        for name in ("train", "test"):
            batch = {
                b"data": random.randint(0, 256, (3, 3072)).astype("uint8"),
                b"fine_labels": random.randint(0, 100, 3).tolist(),
                b"coarse_labels": random.randint(0, 20, 3).tolist(),
            }
            content = pickle.dumps(batch, protocol=3)
            (folder / name).write_bytes(content)
            info = tarfile.TarInfo(f"cifar-100-python/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    monkeypatch.setattr(keras_source("cifar100"), "get_file", lambda **k: str(tmp_path))
    monkeypatch.setattr(datasets.cifar100, "fetch", lambda *a: str(archive_path))
    ours, theirs = both("cifar100", "load_data")
    before = config.image_data_format(), keras.config.image_data_format()
    try:
        config.set_image_data_format(data_format)
        keras.config.set_image_data_format(data_format)
        assert_same(ours(label_mode), theirs(label_mode))
    finally:
        config.set_image_data_format(before[0])
        keras.config.set_image_data_format(before[1])


# get_file


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fname": "name"},
        {"fname": "name", "extract": True},
        {"fname": "name.v1.tar.gz", "extract": True},
        {"extract": True},
        {"fname": "name", "untar": True},
        {"cache_subdir": "a/b"},
    ],
    ids=str,
)
def test_get_file_puts_the_same_files_in_the_same_places(options, tmp_path, capsys):
    source = tmp_path / "things.tar.gz"
    (tmp_path / "a.txt").write_text("abc")
    with tarfile.open(source, "w:gz") as archive:
        archive.add(tmp_path / "a.txt", "sub/a.txt")
    found = []
    for get_file in (file_utils.get_file, keras.utils.get_file):
        cache = tmp_path / "cache"
        cache.mkdir()
        path = get_file(origin=source.as_uri(), cache_dir=str(cache), **options)
        files = {
            p.relative_to(cache).as_posix(): p.read_bytes() for p in cache.rglob("*") if p.is_file()
        }
        found.append((path, files))
        shutil.rmtree(cache)
    assert found[0] == found[1]


# to_categorical and normalize


@pytest.mark.parametrize(
    ("x", "num_classes"),
    [
        ([0, 1, 2], None),
        ([0, 2], 5),
        ([[0], [1]], 3),
        ([[[0], [1]]], None),
        ([[1, 0, 2]], None),
        (2, None),
        (2, 4),
        ([1.7, 0.2], None),
        ([True, False], None),
        ([], 3),
        ([0, 1], 0),
        (np.zeros((0, 1)), 2),
        ([[1]], None),
        (["1", "0"], None),
    ],
)
def test_to_categorical_of_arrays(x, num_classes):
    ours, theirs = to_categorical(x, num_classes), keras.utils.to_categorical(x, num_classes)
    assert isinstance(ours, np.ndarray)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 2), ()])
def test_to_categorical_of_tensors(shape, dtype):
    x = torch.tensor([0, 2, 1, 2])[: int(np.prod(shape))].reshape(shape).to(dtype)
    torch.testing.assert_close(
        to_categorical(x, 4), keras.utils.to_categorical(x, 4), rtol=0, atol=0
    )


@pytest.mark.parametrize("order", [0, 1, 2, 3, np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((5,), -1), ((3, 4), -1), ((3, 4), 1), ((2, 3, 4), 1), ((2, 3, 4), -2)]
)
def test_normalize_of_arrays(shape, axis, dtype, order):
    x = (np.random.RandomState(0).randn(*shape) * 4).astype(dtype)
    x[(0,) * (x.ndim - 1)] = 0
    ours, theirs = normalize(x, axis, order), keras.utils.normalize(x, axis, order)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    # Both call numpy's norm; only the memory order of the sum may differ.
    np.testing.assert_allclose(ours, theirs, rtol=1e-2 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64])
@pytest.mark.parametrize(
    ("shape", "axis", "order"),
    [
        *(
            (shape, axis, order)
            for shape, axis in [((5,), -1), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), 1)]
            for order in (1, 2, 3)
        ),
        # For axis=None and other orders, Keras takes a matrix norm.
        ((3, 4), None, 2),
    ],
)
def test_normalize_of_tensors(shape, axis, order, dtype):
    x = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 4).to(dtype)
    ours, theirs = normalize(x, axis, order), keras.utils.normalize(x, axis, order)
    # Keras multiplies by a reciprocal square root: a few roundings apart.
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-7)


def test_keras_scales_arrays_wrongly_along_axis_0():
    # The reason for the difference that the docstring names; equal once Keras mends it.
    x = np.array([[3.0, 1.0], [4.0, 0.0]])
    theirs = keras.utils.normalize(x, axis=0)
    assert not np.allclose(np.linalg.norm(theirs, axis=0), 1)
    np.testing.assert_allclose(np.linalg.norm(normalize(x, axis=0), axis=0), 1)
