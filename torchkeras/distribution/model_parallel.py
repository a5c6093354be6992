"""ModelParallel: weights of wide layers divided, and their products computed in parts."""

import contextlib

import torch

from torchkeras.core import tree
from torchkeras.core.sharding import is_sharded, whole_of
from torchkeras.distribution import process_group
from torchkeras.distribution.distribution_lib import Distribution
from torchkeras.distribution.fully_shard import ReducedByTorch, ShardedReplica
from torchkeras.distribution.layout_map import LayoutMap
from torchkeras.distribution.share import Share
from torchkeras.layers.core.dense import Dense


class ModelParallel(Distribution):
    """Weights are divided as a `LayoutMap` says, and each process computes with its parts.

    Every process is given whole batches. A layer with a divided weight takes its inputs whole,
    multiplies them by its part of the weight, and the results come together before the next
    layer; memory for weights and their optimizer state is divided, and so is the product.
    Results are those of a single process.

    It divides `Dense` layers along one axis over all processes. The axis of batches must have
    size 1: batches divided as well are not supported; for these, use `FullyShard`.

    Args:
        layout_map: LayoutMap of paths of weights, such as `".*dense.*kernel"`, to layouts on a
            mesh; weights that it does not name are whole in every process.
        batch_dim_name: str, the axis of batches of the mesh; None for its first.
        auto_shard_dataset: bool, kept for Keras's signature: every process reads all data.

    Raises:
        TypeError: `layout_map` is no LayoutMap.
        ValueError: it has no mesh; or, in `fit`, the axis of batches has another size than 1, or
            a layout divides a weight of a layer that is no Dense.

    Source: Shoeybi et al. 2019, "Megatron-LM", arXiv:1909.08053, section 3, except that results
    come together after every layer.

    Example:

    >>> mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], devices=["cpu:0"])
    >>> layouts = keras.distribution.LayoutMap(mesh)
    >>> layouts[".*kernel"] = (None, "model")
    >>> keras.distribution.ModelParallel(layout_map=layouts).batch_dim_name
    'batch'
    """

    divides_weights = True

    def __init__(self, *, layout_map=None, batch_dim_name=None, auto_shard_dataset=True):
        if not isinstance(layout_map, LayoutMap):
            raise TypeError(
                "ModelParallel needs a LayoutMap. Received: "
                f"layout_map={layout_map!r} of type {type(layout_map).__name__}. Make one with "
                "keras.distribution.LayoutMap(device_mesh)."
            )
        mesh = layout_map.device_mesh
        if mesh is None:
            raise ValueError(
                "The LayoutMap of ModelParallel needs a mesh. Received: one without. Give "
                "LayoutMap(DeviceMesh(...))."
            )
        super().__init__(mesh, batch_dim_name or mesh.axis_names[0], auto_shard_dataset)
        self.layout_map = layout_map

    @property
    def batch_shard(self):
        """`(0, 1)`: every process takes the whole of each batch."""
        return 0, 1

    def make_replica(self, model):
        """The parts of the model in this process; None in a single process."""
        if not process_group.is_active():
            return None
        mesh = self.device_mesh
        sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))
        if sizes.get(self.batch_dim_name) != 1:
            raise ValueError(
                "ModelParallel works with whole batches: the axis of batches must be one of the "
                f"mesh, of size 1. Received: batch_dim_name={self.batch_dim_name!r} for {mesh}. "
                "Give a mesh of shape (1, processes), or use FullyShard, which divides both."
            )
        return ModelParallelReplica(model, self)


class ModelParallelReplica(ShardedReplica):
    """The parts of a model in one process, all of which see the same rows.

    Args:
        model: model, divided when it is first run.
        distribution: ModelParallel.
    """

    divides_batches = False

    def __init__(self, model, distribution):
        super().__init__(model, distribution)
        self._reducer = _MadeAlike()

    @contextlib.contextmanager
    def training(self):
        """All processes train on the same rows, and so with the same random numbers."""
        state = process_group.broadcast_([torch.get_rng_state()])[0]
        torch.set_rng_state(state)
        yield

    def prepare_training(self, own_step, first_only=False):
        """Divide the weights the first time, and start from the state of process 0."""
        self._own_step = own_step
        if not (first_only and self._trains_alone):
            self.broadcast_state()
            self._trains_alone = first_only

    def _fully_shard(self, units):
        layouts, found = self._distribution.layout_map, []
        for layer in self.model._flatten_layers():
            own = [(key, layer._handles[key]) for key in layer._parameters if key in layer._handles]
            if any(_divides(layouts[handle.path]) for _, handle in own):
                found.append((layer, own))
        if not found:
            raise ValueError(
                "The layouts of ModelParallel must divide some weight. Received: patterns "
                f"{list(layouts)}, of which none matches one of the paths "
                f"{[v.path for v in self.model.trainable_variables][:4]}. A pattern matches a "
                "whole path: '.*dense/kernel'."
            )
        # All are looked at before the first is divided.
        for layer, own in found:
            if type(layer) is not Dense:
                raise ValueError(
                    "ModelParallel divides the weights of Dense layers. Received: a layout for "
                    f"'{layer.name}', a {type(layer).__name__}. Make its pattern more specific, "
                    "or use FullyShard, which divides any layer."
                )
            for _, handle in own:
                layout = layouts[handle.path]
                if layout is not None and len(layout.axes) != handle.ndim:
                    raise ValueError(
                        "A layout names each dimension of the weight. Received: "
                        f"axes={layout.axes} for '{handle.path}', of shape {handle.shape}. Give "
                        f"{handle.ndim} axes."
                    )
        mesh = self._distribution.device_mesh.backend_mesh
        for layer, own in found:
            for key, handle in own:
                _divide(layer, key, layouts[handle.path], mesh)
            layer.register_forward_pre_hook(_Whole(mesh), with_kwargs=True)
            layer.register_forward_hook(_come_together)

    def _own_seed(self, generator):
        pass  # all processes drop the same of the same rows

    def sum_scale(self):
        """1: a sum over this process's rows is that of all."""
        return 1.0

    def total(self, value):
        """The value: this process has all rows."""
        return value

    @contextlib.contextmanager
    def _on_share(self, step, share):
        # The rows count for one of as many equal copies.
        copies = process_group.world_size()
        with super()._on_share(step, Share(share.total, share.total * copies)):
            yield

    def batch_logs(self, hook, logs):
        """Logs as they are: those of all processes are equal."""
        return logs

    def epoch_logs(self, logs):
        """Logs of this process, which those of all are equal to."""
        local = None if callable(logs) else self.model.get_metrics_result()
        return self._final_logs(logs, local)

    def _final_logs(self, logs, local):
        if callable(logs):
            return logs()
        merged = {**logs, **{k: v for k, v in local.items() if k in logs}}
        if "loss" in logs and not float(self.model._loss_tracker.count.value):
            merged["loss"] = logs["loss"]  # of a step that does not know the tracker
        return local if set(local) == set(logs) and "loss" not in logs else merged


class _MadeAlike(ReducedByTorch):
    """Gradients of whole weights are made the very same in all processes, against drift."""

    def apply(self, grads, variables):
        whole = [g for g in grads if g is not None and not is_sharded(g)]
        process_group.all_reduce_(whole, "mean")
        return grads


class _Whole:
    """Makes the inputs of a layer tensors that every process of a mesh has whole."""

    def __init__(self, mesh):
        self._mesh = mesh

    def __call__(self, layer, args, kwargs):
        from torch.distributed.tensor import DTensor, Replicate

        def on_mesh(x):
            if not isinstance(x, torch.Tensor) or is_sharded(x):
                return x
            return DTensor.from_local(x, self._mesh, [Replicate()] * self._mesh.ndim)

        return tree.map_structure(on_mesh, args), tree.map_structure(on_mesh, kwargs)


def _come_together(layer, args, outputs):
    return tree.map_structure(whole_of, outputs)


def _divides(layout):
    return layout is not None and any(axis is not None for axis in layout.axes)


def _divide(layer, key, layout, mesh):
    from torch.distributed.tensor import Replicate, distribute_tensor

    parameter = layer._parameters[key]
    placements = [Replicate()] * mesh.ndim if layout is None else layout.placements
    value = distribute_tensor(parameter.detach(), mesh, placements, src_data_rank=None)
    # Not by the attribute: it stays the handle, which the layer reads its weight by.
    layer._parameters[key] = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
