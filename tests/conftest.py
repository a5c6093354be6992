"""What every test starts from: Keras on torch, one thread, fresh names, seeds and settings."""

import gc
import os
import pathlib

os.environ["KERAS_BACKEND"] = "torch"  # read by real Keras at its import
# One thread for each worker of pytest-xdist, and for the processes that tests start: read by
# OpenMP when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Set in the workers of pytest-xdist; tests of the progress bar bring terminals of their own.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

import torchkeras  # noqa: E402
from torchkeras.core import config, dtype_policy, serialization  # noqa: E402
from torchkeras.datasets import _readers  # noqa: E402
from torchkeras.datasets import mnist as mnist_module  # noqa: E402
from torchkeras.utils.file_utils import cache_home  # noqa: E402

# The models here are small: a second thread costs more than it brings, and sums keep their order.
torch.set_num_threads(1)

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """`-n auto`: a worker for each core that this process may use, which may be fewer than all."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:  # a container's share of the processor time, as Linux has it
        quota, period = pathlib.Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    return max(cores or 1, 1)


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish():
    """Leave what is here for good, torch and the tests, out of every later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_session():
    """Start a test with automatic names from 0 and a fixed seed; undo the settings it changes."""
    settings = dict(config._settings)
    policy = dtype_policy._default_policy
    default_dtype = torch.get_default_dtype()
    registries = [
        (registry, dict(registry))
        for registry in (serialization._registered, serialization._registered_names)
    ]
    torchkeras.utils.clear_session(free_memory=False)
    torchkeras.utils.set_random_seed(0)
    # Dynamo switches these checks off for the whole process; Keras's random functions rely on them.
    torch.distributions.Distribution.set_default_validate_args(True)
    yield
    config._settings.clear()
    config._settings.update(settings)
    dtype_policy._default_policy = policy
    torch.set_default_dtype(default_dtype)
    for registry, content in registries:
        registry.clear()
        registry.update(content)


@pytest.fixture(scope="session")
def mnist_path():
    """A file with the real MNIST that is already on this machine; a test without one is skipped.

    Looked for in `$TORCHKERAS_TEST_MNIST`, in the data set cache, and beside the repository in
    `shared/data`.
    """
    asked_for = os.environ.get("TORCHKERAS_TEST_MNIST")
    candidates = [
        pathlib.Path(cache_home()) / "datasets" / "mnist.npz",
        REPOSITORY.parent / "shared" / "data" / "mnist.npz",
    ]
    for path in [pathlib.Path(asked_for)] if asked_for else candidates:
        if path.is_file() and _readers.arrays_match(path, mnist_module.ARRAY_DIGESTS):
            return path
    if asked_for:
        pytest.fail(f"TORCHKERAS_TEST_MNIST is {asked_for}, which is no file with MNIST's arrays.")
    pytest.skip(
        "the full MNIST is not on this machine: put mnist.npz into the data set cache, or its "
        "path into TORCHKERAS_TEST_MNIST"
    )


@pytest.fixture(scope="session")
def _mnist_arrays(mnist_path):
    with np.load(mnist_path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def mnist(_mnist_arrays):
    """The real MNIST as `load_data` returns it: uint8 images (n, 28, 28) and labels (n,)."""
    arrays = _mnist_arrays
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
