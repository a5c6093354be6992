"""Distribution: how the work of a model is divided among the processes of a job."""

import os

import torch

from torchkeras.distribution import process_group
from torchkeras.distribution.replica import Replica

_current = None


class Distribution:
    """Base class: what is divided, and along which axis.

    A subclass defines `make_replica(model)`, which returns the `Replica` that the Trainer works
    with in this process, and `batch_shard` where not every process has rows of its own.

    Args:
        device_mesh: DeviceMesh, or None for one axis over all processes.
        batch_dim_name: str, the axis of the mesh along which batches are divided.
        auto_shard_dataset: bool, whether every process is given the same data and takes its
            rows of each batch. False: the data given to a process is its own already.

    Example:

    >>> keras.distribution.DataParallel().batch_dim_name
    'batch'
    """

    divides_weights = False  # whether a process holds parts of the weights only

    def __init__(self, device_mesh=None, batch_dim_name="batch", auto_shard_dataset=True):
        self._device_mesh = device_mesh
        self._batch_dim_name = batch_dim_name
        self._auto_shard_dataset = bool(auto_shard_dataset)

    @property
    def device_mesh(self):
        """The DeviceMesh, or None for one axis over all processes."""
        return self._device_mesh

    @property
    def batch_dim_name(self):
        """Name of the axis along which batches are divided."""
        return self._batch_dim_name

    @property
    def auto_shard_dataset(self):
        """Whether every process is given the same data and takes its rows of each batch."""
        return self._auto_shard_dataset

    def make_replica(self, model):
        """The part of `model` in this process, as the Trainer works with it."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `make_replica(model)`. Received: a class without "
            "it. Use DataParallel, or override the method."
        )

    @property
    def batch_shard(self):
        """`(number, count)`: which part of each batch is this process's, and of how many."""
        return process_group.rank(), process_group.world_size()

    def scope(self):
        """Context manager that makes this the distribution inside.

        Example:

        >>> with keras.distribution.DataParallel().scope():
        ...     type(keras.distribution.distribution()).__name__
        'DataParallel'
        """
        return _Scope(self)

    def __repr__(self):
        return f"<{type(self).__name__} processes={process_group.world_size()}>"


class DataParallel(Distribution):
    """Every process holds the whole model and trains on its rows of each batch.

    It is what a job of several processes does unless `set_distribution` says otherwise. The
    batch size given to `fit` is that of the whole job, as in a single process: the rows of a
    batch are split evenly, the gradients are averaged over all its rows while they are being
    computed (torch's DistributedDataParallel), and the result is that of a single process.

    Args:
        device_mesh: DeviceMesh of one axis, or None for all processes.
        devices: kept for Keras's signature: each process has the one device of its number.
        auto_shard_dataset: bool, as in `Distribution`.
        bucket_cap_mb: float or None for torch's 25, MiB of gradients that travel together.
        find_unused_parameters: bool or `"auto"`: whether each step looks for weights that had no
            part in the loss. `"auto"` asks the first step.

    Raises:
        ValueError: a mesh of several axes.

    Source: Li et al. 2020, "PyTorch Distributed", VLDB 13(12).

    Example:

    >>> keras.distribution.set_distribution(keras.distribution.DataParallel())
    >>> keras.distribution.distribution()
    <DataParallel processes=1>
    >>> keras.distribution.set_distribution(None)
    """

    def __init__(
        self,
        device_mesh=None,
        devices=None,
        auto_shard_dataset=True,
        bucket_cap_mb=None,
        find_unused_parameters="auto",
    ):
        if device_mesh is not None and len(device_mesh.shape) != 1:
            raise ValueError(
                "DataParallel divides along one axis. Received: device_mesh of shape "
                f"{tuple(device_mesh.shape)}. Use ModelParallel for a mesh of several axes."
            )
        name = "batch" if device_mesh is None else device_mesh.axis_names[0]
        super().__init__(device_mesh, name, auto_shard_dataset)
        self.devices = devices
        self.bucket_cap_mb = bucket_cap_mb
        self.find_unused_parameters = find_unused_parameters

    def make_replica(self, model):
        """The whole model, whose gradients are averaged; None in a single process."""
        if not process_group.is_active():
            return None
        return Replica(model, self.bucket_cap_mb, self.find_unused_parameters)


class _Scope:
    def __init__(self, distribution):
        self._distribution = distribution
        self._outer = None

    def __enter__(self):
        self._outer = _current
        set_distribution(self._distribution)
        return self._distribution

    def __exit__(self, *exc):
        set_distribution(self._outer)


def set_distribution(value):
    """Choose how the models of this program are divided among the processes.

    Args:
        value: Distribution, or None for the default: DataParallel where there are several
            processes.

    Raises:
        TypeError: anything else.

    Example:

    >>> keras.distribution.set_distribution(None)
    """
    global _current
    if value is not None and not isinstance(value, Distribution):
        raise TypeError(
            "`set_distribution` takes a Distribution or None. Received: "
            f"{value!r} of type {type(value).__name__}. Pass keras.distribution.DataParallel()."
        )
    _current = value


def distribution():
    """The Distribution chosen, or None.

    Example:

    >>> keras.distribution.distribution() is None
    True
    """
    return _current


def effective_distribution():
    """The Distribution that training uses; None in a single process without a choice.

    Example:

    >>> from torchkeras.distribution.distribution_lib import effective_distribution
    >>> effective_distribution() is None
    True
    """
    if _current is None and process_group.is_active():
        set_distribution(DataParallel())
    return _current


def list_devices(device_type=None):
    """Names of all devices of the job, one a process; in a single process those of the machine.

    Args:
        device_type: `"cpu"`, `"gpu"`, or None for GPUs where there are any.

    Example:

    >>> keras.distribution.list_devices("cpu")
    ['cpu:0']
    """
    kind = (device_type or ("gpu" if torch.cuda.is_available() else "cpu")).lower()
    kind = "gpu" if kind == "cuda" else kind
    if kind not in ("cpu", "gpu"):
        raise ValueError(
            "`device_type` must be 'cpu', 'gpu' or None. Received: device_type="
            f"{device_type!r}. Leave it out for the devices that compute."
        )
    count = process_group.world_size()
    if not process_group.is_active():
        started = process_group.started_together()
        count = int(os.environ["WORLD_SIZE"]) if started else _local_count(kind)
    return [f"{kind}:{i}" for i in range(count)]


def get_device_count(device_type=None):
    """Number of devices of the job; see `list_devices`.

    Example:

    >>> keras.distribution.get_device_count("cpu")
    1
    """
    return len(list_devices(device_type))


def _local_count(kind):
    return torch.cuda.device_count() if kind == "gpu" else 1
