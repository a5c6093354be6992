import hashlib
import os
import pathlib
import shutil

import numpy as np
import pytest

from torchkeras.datasets import mnist
from torchkeras.utils.file_utils import hash_file

REPOSITORY = pathlib.Path(__file__).parents[2]


def small_mnist(seed=0):
    random = np.random.RandomState(seed)
    return {
        "x_train": random.randint(0, 256, (6, 28, 28)).astype("uint8"),
        "y_train": np.arange(6, dtype="uint8"),
        "x_test": random.randint(0, 256, (2, 28, 28)).astype("uint8"),
        "y_test": np.arange(2, dtype="uint8"),
    }


def assert_equal(data, arrays):
    (x_train, y_train), (x_test, y_test) = data
    found = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.uint8


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The path of a small file that takes the place of the one at Keras's URL."""
    path = tmp_path / "published.npz"
    np.savez_compressed(path, **small_mnist())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(mnist, "ORIGIN", path.as_uri())
    monkeypatch.setattr(mnist, "FILE_HASH", hash_file(path))
    (tmp_path / "home" / "datasets").mkdir(parents=True)
    return path


@pytest.fixture
def cached(published):
    return published.parent / "home" / "datasets" / "mnist.npz"


def test_first_use_downloads_into_the_cache(published, cached):
    assert_equal(mnist.load_data(), small_mnist())
    assert cached.read_bytes() == published.read_bytes()


def test_second_use_needs_no_network(published, cached):
    mnist.load_data()
    published.unlink()
    assert_equal(mnist.load_data(), small_mnist())


def test_path_is_the_name_in_the_cache(published, cached):
    mnist.load_data("other.npz")
    assert (cached.parent / "other.npz").exists()
    assert not cached.exists()


def test_same_arrays_in_another_zip_are_used(published, cached, monkeypatch):
    known = {
        name: (array.shape, "uint8", hashlib.sha256(array.tobytes()).hexdigest())
        for name, array in small_mnist().items()
    }
    monkeypatch.setattr(mnist, "ARRAY_DIGESTS", known)
    np.savez(cached, **small_mnist())
    before = cached.read_bytes()
    published.unlink()
    assert_equal(mnist.load_data(), small_mnist())
    assert cached.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_other_file_in_the_cache_is_downloaded_again(published, cached, content):
    if content is None:
        np.savez_compressed(cached, **small_mnist(seed=1))
    else:
        cached.write_bytes(content)
    assert_equal(mnist.load_data(), small_mnist())
    assert cached.read_bytes() == published.read_bytes()


@pytest.mark.parametrize("has_other_file", [False, True])
def test_no_network_is_one_clear_error(published, cached, has_other_file):
    if has_other_file:
        np.savez_compressed(cached, **small_mnist(seed=1))
    published.unlink()
    with pytest.raises(OSError) as caught:
        mnist.load_data()
    message = str(caught.value)
    for part in ("mnist.npz", str(cached.parent), mnist.ORIGIN, mnist.FILE_HASH, "KERAS_HOME"):
        assert part in message
    assert "put the file" in message
    assert ("so it is not used" in message) == has_other_file


def test_changed_file_at_the_url_is_refused(published, cached):
    np.savez_compressed(published, **small_mnist(seed=1))
    with pytest.raises(ValueError, match="must have the sha256"):
        mnist.load_data()
    assert not cached.exists()


def test_real_mnist_in_another_zip_is_used_without_a_download(tmp_path, monkeypatch):
    given = os.environ.get("TORCHKERAS_TEST_MNIST")
    source = pathlib.Path(given or REPOSITORY.parent / "shared" / "data" / "mnist.npz")
    if not source.is_file():
        pytest.skip(f"no MNIST at {source}; name one in TORCHKERAS_TEST_MNIST")
    folder = tmp_path / "datasets"
    folder.mkdir()
    shutil.copy(source, folder / "mnist.npz")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "ORIGIN", "file:///nowhere/mnist.npz")
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    # How often each digit occurs, as published.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_train).tolist() == counts
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]

    (x_few, y_few), (x_test_few, y_test_few) = mnist.load_sample()
    for x, y, few_x, few_y, count in (
        (x_train, y_train, x_few, y_few, 150),
        (x_test, y_test, x_test_few, y_test_few, 50),
    ):
        for digit in range(10):
            first = x[y == digit][:count]
            np.testing.assert_array_equal(few_x[few_y == digit], first)


def test_sample_is_balanced_and_of_mnist_format():
    (x_train, y_train), (x_test, y_test) = mnist.load_sample()
    for x, y, count in ((x_train, y_train, 150), (x_test, y_test, 50)):
        assert x.shape == (10 * count, 28, 28) and y.shape == (10 * count,)
        assert x.dtype == np.uint8 and y.dtype == np.uint8
        assert np.bincount(y).tolist() == [count] * 10
        assert x.min() == 0 and x.max() == 255


def test_sample_is_learnable_by_nearest_mean():
    (x_train, y_train), (x_test, y_test) = mnist.load_sample()
    means = np.stack([x_train[y_train == digit].mean(0).reshape(-1) for digit in range(10)])
    distance = ((x_test.reshape(-1, 1, 784).astype("float32") - means) ** 2).sum(-1)
    # Nearest mean reaches 82 % on the whole of MNIST; chance is 10 %.
    assert (distance.argmin(1) == y_test).mean() > 0.7


def test_sample_is_described_and_small():
    folder = pathlib.Path(mnist.__file__).parent / "samples"
    assert (folder / "mnist_sample.npz").stat().st_size < 400_000
    readme = (folder / "README.md").read_text()
    for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0"):
        assert word in readme
    (x_train, y_train), (x_test, y_test) = mnist.load_sample()
    for array in (x_train, y_train, x_test, y_test):
        assert hashlib.sha256(array.tobytes()).hexdigest() in readme
