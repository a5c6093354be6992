import gzip
import struct

import numpy as np
import pytest

from torchkeras.datasets import fashion_mnist

LABELS, IMAGES, TEST_LABELS, TEST_IMAGES = fashion_mnist.FILES


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def arrays():
    random = np.random.RandomState(0)
    return {
        LABELS: np.arange(5, dtype="uint8"),
        IMAGES: random.randint(0, 256, (5, 28, 28)).astype("uint8"),
        TEST_LABELS: np.arange(3, dtype="uint8"),
        TEST_IMAGES: random.randint(0, 256, (3, 28, 28)).astype("uint8"),
    }


@pytest.fixture
def published(tmp_path, monkeypatch, arrays):
    folder = tmp_path / "published"
    folder.mkdir()
    for name, array in arrays.items():
        (folder / name).write_bytes(idx(array))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fashion_mnist, "ORIGIN_FOLDER", folder.as_uri() + "/")
    return folder


@pytest.fixture
def cache(published):
    folder = published.parent / "home" / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    return folder


def assert_loads(arrays):
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    for found, name in (
        (x_train, IMAGES),
        (y_train, LABELS),
        (x_test, TEST_IMAGES),
        (y_test, TEST_LABELS),
    ):
        np.testing.assert_array_equal(found, arrays[name])
        assert found.dtype == np.uint8 and found.flags.writeable


def test_download_then_cache(published, cache, arrays):
    assert_loads(arrays)
    for name in arrays:
        (published / name).unlink()
        assert (cache / name).exists()
    assert_loads(arrays)


# Names of their own: a gzip holds the second in which it was made, and pytest's processes would
# disagree on what the cases are called.
INCOMPLETE = {
    "empty": b"",
    "no gzip": b"no gzip",
    "nothing": gzip.compress(b""),
    "half a header": gzip.compress(b"\0\0\x08"),
    "no sizes": gzip.compress(b"\0\0\x08\x03" + bytes(4)),
    "of floats": gzip.compress(b"\0\0\x0d\x01" + struct.pack(">I", 3) + bytes(3)),
    "too short": gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes(2)),
    "too long": gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes(4)),
    "of huge sizes": gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", *[2**32 - 1] * 3)),
    "cut off": gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes(3))[:-9],
}


@pytest.mark.parametrize("content", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_incomplete_file_in_the_cache_is_downloaded_again(published, cache, arrays, content):
    (cache / TEST_LABELS).write_bytes(content)
    assert_loads(arrays)
    assert (cache / TEST_LABELS).read_bytes() == (published / TEST_LABELS).read_bytes()


def test_gzip_bomb_is_not_unfolded(published, cache, arrays, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "_LIMIT_BYTES", 5000)
    (published / TEST_LABELS).write_bytes(idx(np.zeros(100_000, "uint8")))
    with pytest.raises(ValueError, match="Received: 5001 bytes"):
        fashion_mnist.load_data()


def test_labels_and_images_must_agree(published, cache, arrays):
    (published / LABELS).write_bytes(idx(np.arange(4, dtype="uint8")))
    with pytest.raises(ValueError, match=r"images of shape \(5, 28, 28\) and labels of shape \(4,"):
        fashion_mnist.load_data()


def test_no_network_is_one_clear_error(published, cache):
    (published / IMAGES).unlink()
    with pytest.raises(OSError) as caught:
        fashion_mnist.load_data()
    for part in (IMAGES, str(cache), fashion_mnist.ORIGIN_FOLDER + IMAGES, "KERAS_HOME"):
        assert part in str(caught.value)
