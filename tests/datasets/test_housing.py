"""Boston and California Housing: one file of x and y, shuffled and split."""

import numpy as np
import pytest

from torchkeras.datasets import boston_housing, california_housing
from torchkeras.utils.file_utils import hash_file

MODULES = {"boston_housing.npz": boston_housing, "california_housing.npz": california_housing}
COUNT = 700


@pytest.fixture(params=MODULES)
def published(request, tmp_path, monkeypatch):
    path = tmp_path / request.param
    x = np.arange(COUNT * 3, dtype="float64").reshape(COUNT, 3)
    np.savez(path, x=x, y=x[:, 0] * 10)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    module = MODULES[request.param]
    monkeypatch.setattr(module, "ORIGIN", path.as_uri())
    monkeypatch.setattr(module, "FILE_HASH", hash_file(path))
    return path


@pytest.mark.parametrize(("test_split", "train"), [(0.2, 560), (0.0, 700), (0.999, 0)])
def test_split_keeps_every_row_once_with_its_target(published, test_split, train):
    module = MODULES[published.name]
    (x_train, y_train), (x_test, y_test) = module.load_data(test_split=test_split)
    assert x_train.shape == (train, 3) and x_test.shape == (COUNT - train, 3)
    x, y = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    np.testing.assert_array_equal(y, x[:, 0] * 10)
    assert sorted(x[:, 0].tolist()) == list(range(0, COUNT * 3, 3))
    assert x[:, 0].tolist() != sorted(x[:, 0].tolist())


def test_seed_decides_the_order(published):
    load_data = MODULES[published.name].load_data
    first = load_data(seed=1)[0][1].tolist()
    assert load_data(seed=1)[0][1].tolist() == first
    assert load_data(seed=2)[0][1].tolist() != first


def test_file_goes_into_the_cache(published):
    MODULES[published.name].load_data()
    cached = published.parent / "home" / "datasets" / published.name
    assert cached.read_bytes() == published.read_bytes()
    published.unlink()
    MODULES[published.name].load_data()
    cached.write_bytes(b"other")
    with pytest.raises(OSError, match=f"'{published.name}'.*so it is not used.*KERAS_HOME"):
        MODULES[published.name].load_data()


@pytest.mark.parametrize("test_split", [-0.1, 1, 1.5, float("nan")])
@pytest.mark.parametrize("module", MODULES.values())
def test_bad_test_split_is_an_error_before_any_download(module, test_split, monkeypatch):
    monkeypatch.setattr(module, "fetch", lambda *arguments: pytest.fail("downloaded"))
    with pytest.raises(ValueError, match=f"Received: test_split={test_split}"):
        module.load_data(test_split=test_split)


@pytest.mark.parametrize("published", ["california_housing.npz"], indirect=True)
def test_small_california_is_the_first_600_rows(published):
    (x_train, _), (x_test, _) = california_housing.load_data("small")
    x = np.concatenate([x_train, x_test])
    assert sorted(x[:, 0].tolist()) == list(range(0, 600 * 3, 3))


def test_unknown_version_is_an_error():
    with pytest.raises(ValueError, match="version='tiny'"):
        california_housing.load_data("tiny")
