"""DeviceMesh and TensorLayout: names for the axes of the processes, and how tensors lie on them."""

import math

import numpy as np
import torch

from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.sharding import is_sharded, shard_like
from torchkeras.distribution import process_group
from torchkeras.distribution.distribution_lib import list_devices


class DeviceMesh:
    """The devices of a job, one a process, as an array with a name for each axis.

    Args:
        shape: tuple of ints, e.g. `(8,)`, or `(4, 2)` for 4 parts of a batch on 2 devices each.
        axis_names: list of str, a name for each axis.
        devices: list of names of devices, or None for all of the job, in the order of processes.

    Raises:
        ValueError: the shape does not fit the names or the number of devices.

    Example:

    >>> mesh = keras.distribution.DeviceMesh((1,), ["batch"], devices=["cpu:0"])
    >>> mesh.shape, mesh.axis_names
    ((1,), ['batch'])
    """

    def __init__(self, shape, axis_names, devices=None):
        if not shape or not axis_names or len(shape) != len(axis_names):
            raise ValueError(
                "A mesh needs a size and a name for each axis. Received: "
                f"shape={shape}, axis_names={axis_names}. Give both in the same length."
            )
        devices = np.array(list_devices() if devices is None else devices)
        if math.prod(shape) != devices.size:
            raise ValueError(
                "A mesh holds every device once. Received: "
                f"shape={shape} for {devices.size} devices. Give sizes whose product is "
                f"{devices.size}, or start another number of processes."
            )
        self._shape = shape
        self._axis_names = axis_names
        self._devices = devices.reshape(shape)
        self._backend_mesh = None

    @property
    def shape(self):
        """Sizes of the axes."""
        return self._shape

    @property
    def axis_names(self):
        """Names of the axes."""
        return self._axis_names

    @property
    def devices(self):
        """NumPy array of the names of the devices, in the mesh's shape."""
        return self._devices

    @property
    def backend_mesh(self):
        """The `torch.distributed` DeviceMesh; every process must ask for it at the same time."""
        if self._backend_mesh is None:
            from torch.distributed.device_mesh import init_device_mesh

            kind = "cuda" if str(self._devices.flat[0]).startswith(("gpu", "cuda")) else "cpu"
            self._backend_mesh = init_device_mesh(
                kind, tuple(self._shape), mesh_dim_names=tuple(self._axis_names)
            )
            limit_waiting(self._backend_mesh)
        return self._backend_mesh

    def __repr__(self):
        return f"<DeviceMesh shape={self.shape}, axis_names={self.axis_names}>"


def limit_waiting(mesh):
    """Make the groups of a mesh wait as long as those of the job; torch gives them half an hour.

    Set afterwards: `backend_override` takes options of one backend only, and would give an axis
    of all processes, which has the job's own group, another one.

    Args:
        mesh: torch's DeviceMesh.
    """
    import torch.distributed as dist

    # torch has no public name for it; without it the groups keep torch's own time.
    set_timeout = getattr(dist.distributed_c10d, "_set_pg_timeout", None)
    for group in mesh.get_all_groups():
        if set_timeout is not None and group.group_name != dist.group.WORLD.group_name:
            set_timeout(process_group.timeout(), group)


class TensorLayout:
    """Along which axis of a mesh each dimension of a tensor is divided.

    Args:
        axes: tuple with, for each dimension, the name of an axis, or None for undivided.
        device_mesh: DeviceMesh or None, to be set later, once.

    Raises:
        ValueError: a name that the mesh does not have, or one that stands twice.

    Example:

    >>> keras.distribution.TensorLayout((None, "model")).axes
    (None, 'model')
    """

    def __init__(self, axes, device_mesh=None):
        self._axes = tuple(axes)
        self._device_mesh = device_mesh
        self._check()

    @property
    def axes(self):
        """Names of axes of the mesh, by dimension."""
        return self._axes

    @property
    def device_mesh(self):
        """The DeviceMesh, or None."""
        return self._device_mesh

    @device_mesh.setter
    def device_mesh(self, device_mesh):
        if self._device_mesh is not None:
            raise ValueError(
                "The mesh of a layout is set once. Received: another one for a layout on "
                f"{self._device_mesh}. Make a new TensorLayout."
            )
        self._device_mesh = device_mesh
        self._check()

    @property
    def placements(self):
        """torch's placements: for each axis of the mesh, which dimension it divides."""
        from torch.distributed.tensor import Replicate, Shard

        if self._device_mesh is None:
            raise ValueError(
                "A layout needs a mesh to place tensors. Received: "
                f"{self!r}. Give device_mesh=DeviceMesh(...)."
            )
        return [
            Shard(self._axes.index(name)) if name in self._axes else Replicate()
            for name in self._device_mesh.axis_names
        ]

    def _check(self):
        names = [name for name in self._axes if name is not None]
        known = names if self._device_mesh is None else self._device_mesh.axis_names
        if set(names) - set(known) or len(set(names)) < len(names):
            raise ValueError(
                f"Each axis of a layout must be one of {list(known)}, and stand once. Received: "
                f"axes={self._axes}. Use None for a dimension that is not divided."
            )

    def __repr__(self):
        return f"<TensorLayout axes={self.axes}, device_mesh={self.device_mesh}>"


def distribute_tensor(tensor, layout):
    """Divide a tensor among the processes; every process must call it with the same tensor.

    Args:
        tensor: tensor or Variable; each process keeps its part.
        layout: TensorLayout with a mesh, or a torch DTensor to divide alike.

    Returns:
        A DTensor of the same shape; in a single process the tensor itself.

    Raises:
        ValueError: the layout has another number of dimensions than the tensor, or no mesh.

    Example:

    >>> mesh = keras.distribution.DeviceMesh((1,), ["model"], devices=["cpu:0"])
    >>> layout = keras.distribution.TensorLayout((None, "model"), mesh)
    >>> keras.distribution.distribute_tensor(torch.ones(2, 4), layout).shape
    torch.Size([2, 4])
    """
    tensor = convert_to_tensor(tensor)
    if isinstance(layout, torch.Tensor):
        return shard_like(tensor, layout)
    if len(layout.axes) != tensor.dim():
        raise ValueError(
            "A layout names each dimension of the tensor. Received: "
            f"axes={layout.axes} for shape {tuple(tensor.shape)}. Give {tensor.dim()} axes."
        )
    placements = layout.placements
    if not process_group.ensure_initialized():
        return tensor
    mesh = layout.device_mesh.backend_mesh
    if is_sharded(tensor):
        return tensor.redistribute(mesh, placements)
    from torch.distributed.tensor import distribute_tensor as distribute

    return distribute(tensor, mesh, placements, src_data_rank=None)
