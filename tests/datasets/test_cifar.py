"""CIFAR-10 and CIFAR-100: the same kind of archive, with other names and labels."""

import io
import struct
import tarfile

import numpy as np
import pytest

from torchkeras.core import config
from torchkeras.datasets import cifar10, cifar100
from torchkeras.utils.file_utils import hash_file


def python2_pickle(batch):
    """Pickle a batch as Python 2 did for CIFAR: protocol 2, with all strings as bytes."""

    def string(value):
        return b"T" + struct.pack("<i", len(value)) + value

    def value_of(value):
        if isinstance(value, np.ndarray):
            shape = b"".join(b"J" + struct.pack("<i", size) for size in value.shape)
            return (
                b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
                b"(K\x01" + shape + b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
                b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
                + string(value.tobytes())
                + b"tb"
            )
        if isinstance(value, list):
            return b"](" + b"".join(map(value_of, value)) + b"e"
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        return string(value)

    items = b"".join(string(key) + value_of(value) for key, value in batch.items())
    return b"\x80\x02}(" + items + b"u."


def batch(seed, count=4):
    random = np.random.RandomState(seed)
    return {
        b"data": random.randint(0, 256, (count, 3072)).astype("uint8"),
        b"labels": random.randint(0, 10, count).tolist(),
        b"fine_labels": random.randint(0, 100, count).tolist(),
        b"coarse_labels": random.randint(0, 20, count).tolist(),
        b"batch_label": b"a batch",
        b"filenames": [b"a.png"] * count,
    }


CIFAR10 = {f"cifar-10-batches-py/data_batch_{i}": batch(i) for i in range(1, 6)}
CIFAR10["cifar-10-batches-py/test_batch"] = batch(6, count=2)
CIFAR100 = {"cifar-100-python/train": batch(7), "cifar-100-python/test": batch(8, count=2)}


@pytest.fixture
def published(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for module, batches in ((cifar10, CIFAR10), (cifar100, CIFAR100)):
        path = tmp_path / f"{module.FNAME}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in {**batches, "readme.html": b"text"}.items():
                content = python2_pickle(content) if isinstance(content, dict) else content
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        monkeypatch.setattr(module, "ORIGIN", path.as_uri())
        monkeypatch.setattr(module, "FILE_HASH", hash_file(path))
    return tmp_path


@pytest.fixture
def channels_first():
    before = config.image_data_format()
    config.set_image_data_format("channels_first")
    yield
    config.set_image_data_format(before)


def expected_images(batches):
    """Row = 1024 red, 1024 green, 1024 blue values, each row by row; here by plain indexing."""
    data = np.concatenate([content[b"data"] for content in batches])
    return np.stack([data[:, channel * 1024 :][:, :1024] for channel in range(3)], -1).reshape(
        -1, 32, 32, 3
    )


def test_cifar10(published):
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    train, test = list(CIFAR10.values())[:5], list(CIFAR10.values())[5:]
    np.testing.assert_array_equal(x_train, expected_images(train))
    np.testing.assert_array_equal(x_test, expected_images(test))
    assert y_train.tolist() == [[label] for content in train for label in content[b"labels"]]
    assert y_test.tolist() == [[label] for content in test for label in content[b"labels"]]
    assert x_train.dtype == x_test.dtype == y_train.dtype == y_test.dtype == np.uint8
    assert x_train.flags.c_contiguous and x_train.flags.writeable


@pytest.mark.parametrize("label_mode", ["fine", "coarse"])
def test_cifar100(published, label_mode):
    (x_train, y_train), (x_test, y_test) = cifar100.load_data(label_mode)
    train, test = CIFAR100.values()
    key = f"{label_mode}_labels".encode()
    np.testing.assert_array_equal(x_train, expected_images([train]))
    np.testing.assert_array_equal(x_test, expected_images([test]))
    assert y_train.tolist() == [[label] for label in train[key]]
    assert y_test.tolist() == [[label] for label in test[key]]
    assert x_train.dtype == np.uint8 and y_train.dtype == y_test.dtype == np.int64


@pytest.mark.parametrize("module", [cifar10, cifar100])
def test_channels_first(published, channels_first, module):
    (x_train, _), (x_test, _) = module.load_data()
    config.set_image_data_format("channels_last")
    (x_last, _), _ = module.load_data()
    assert x_train.shape[1:] == x_test.shape[1:] == (3, 32, 32)
    np.testing.assert_array_equal(x_train, x_last.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("module", [cifar10, cifar100])
def test_cache_holds_the_archive_only_and_suffices(published, module):
    first = module.load_data()
    (published / f"{module.FNAME}.tar.gz").unlink()
    folder = published / "home" / "datasets"
    assert [path.name for path in folder.iterdir()] == [f"{module.FNAME}_archive"]
    np.testing.assert_array_equal(module.load_data()[0][0], first[0][0])


@pytest.mark.parametrize("module", [cifar10, cifar100])
def test_no_network_is_one_clear_error(published, module):
    (published / f"{module.FNAME}.tar.gz").unlink()
    folder = published / "home" / "datasets"
    folder.mkdir(parents=True)
    (folder / f"{module.FNAME}_archive").write_bytes(b"other")
    with pytest.raises(OSError, match="so it is not used") as caught:
        module.load_data()
    for part in (f"{module.FNAME}_archive", str(folder), module.ORIGIN, "KERAS_HOME"):
        assert part in str(caught.value)


def test_unknown_label_mode_is_an_error():
    with pytest.raises(ValueError, match="label_mode='medium'"):
        cifar100.load_data("medium")
