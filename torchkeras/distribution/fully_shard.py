"""FullyShard: weights, gradients and optimizer state divided among the processes."""

import torch

from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.sharding import is_sharded, shard_like, whole_of
from torchkeras.distribution import process_group, state_reduction
from torchkeras.distribution.device_mesh import limit_waiting
from torchkeras.distribution.distribution_lib import Distribution
from torchkeras.distribution.replica import Replica


class FullyShard(Distribution):
    """Every process trains on its rows of each batch, and keeps a part of every weight only.

    The parts of a layer's weights are gathered when the layer runs, and let go of after it; its
    gradients are averaged over all rows while they are divided. So of weights, gradients and
    optimizer state a process needs the memory of one part, and of one layer as a whole. Results
    are those of `DataParallel`, and of a single process. It is torch's `fully_shard` (FSDP2),
    applied to each layer of the model and to the model.

    From the first `fit`, `evaluate` or `predict` on the weights in the slots are DTensors. To
    read or save them (`get_weights`, `save`, ...) is a matter of all processes, not of one alone:
    the parts come together for it. Until then each process builds the whole model.

    Limits: between calls the attribute `layer.kernel` is the DTensor itself, and the Variable is
    in `layer.weights`; a layer's weights are whole only while the model calls that layer, or one
    of the model's own layers around it; a `train_step` of your own needs batches whose rows divide
    evenly among the processes; weights may not be added or moved afterwards; all processes must
    call the same layers in every step.

    Args:
        mesh: DeviceMesh, or torch's, over all processes; None for one axis. With two axes
            weights are divided along the second, and the same along the first.
        policy: torch's `MixedPrecisionPolicy`, or None. Its `param_dtype` must be the compute
            dtype of the layers, such as that of the dtype policy "mixed_bfloat16".
        reshard_after_forward: bool, whether weights are let go of between the forward and the
            backward pass. False takes memory and saves messages.
        offload_policy: torch's `OffloadPolicy`, or None.
        auto_shard_dataset: bool, as in `Distribution`.

    Raises:
        ValueError: the mesh does not hold every process once.

    Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277; Rajbhandari et al. 2019, "ZeRO",
    arXiv:1910.02054, stage 3.

    Example:

    >>> keras.distribution.FullyShard().reshard_after_forward
    True
    """

    divides_weights = True

    def __init__(
        self,
        mesh=None,
        policy=None,
        reshard_after_forward=True,
        offload_policy=None,
        auto_shard_dataset=True,
    ):
        if mesh is not None and len(mesh.shape) > 2:
            raise ValueError(
                "FullyShard divides along one axis, or keeps copies along a first and divides "
                f"along a second. Received: a mesh of shape {tuple(mesh.shape)}."
            )
        super().__init__(mesh, "batch", auto_shard_dataset)
        self.policy = policy
        self.reshard_after_forward = reshard_after_forward
        self.offload_policy = offload_policy

    def make_replica(self, model):
        """The parts of the model in this process; None in a single process."""
        if not process_group.is_active():
            return None
        return ShardedReplica(model, self)

    def torch_mesh(self, device_type):
        """torch's mesh of all processes.

        Args:
            device_type: str, "cpu" or "cuda".
        """
        from torch.distributed.device_mesh import init_device_mesh

        mesh = self.device_mesh
        if mesh is None:
            mesh = init_device_mesh(device_type, (process_group.world_size(),))
            limit_waiting(mesh)
            return mesh
        mesh = getattr(mesh, "backend_mesh", mesh)
        if mesh.size() != process_group.world_size():
            raise ValueError(
                "The mesh of FullyShard holds every process once. Received: a mesh of "
                f"{mesh.size()} for {process_group.world_size()} processes."
            )
        return mesh


class ShardedReplica(Replica):
    """The parts of a model in one process, trained on this process's rows.

    Args:
        model: model, divided when it is first run.
        distribution: FullyShard.
    """

    takes_graphs = False

    def __init__(self, model, distribution):
        super().__init__(model)
        self._distribution = distribution
        self._reducer = ReducedByTorch()
        self._is_sharded = False

    def broadcast_state(self, with_optimizer=True):
        """Give every process the state of process 0; the first time, divide the weights."""
        if not self._is_sharded:
            super().broadcast_state(with_optimizer=False)
            if with_optimizer and self.model.optimizer is not None:
                self._broadcast_optimizer(self.model.optimizer)
            self._shard()
        else:
            self._check_same_model()
        self._broadcast_undivided(with_optimizer)
        self._statistics = state_reduction.Statistics(self.model)
        self._know()

    def outlives(self, distribution):
        """Whether the model is divided, and the Distribution set now divides no weights."""
        return self._is_sharded and not (distribution is not None and distribution.divides_weights)

    def _broadcast_undivided(self, with_optimizer):
        """What every process has in full: statistics of layers, counters, seeds."""
        model, optimizer = self.model, self.model.optimizer
        tensors = [*model.parameters(), *model.buffers()]
        if with_optimizer and optimizer is not None:
            tensors += [variable._store[variable._key] for variable in optimizer.variables]
        process_group.broadcast_([t for t in tensors if not is_sharded(t)])
        for generator in self._seed_generators():
            process_group.broadcast_([generator.state.value])
            if with_optimizer:
                self._own_seed(generator)

    def _accumulates_alone(self):
        return False  # what is accumulated is the processes' average, of the part here

    def _begin(self, share):
        if self._own_step and not share.is_even:
            raise ValueError(
                "A `train_step` of your own under FullyShard needs as many rows in every process. "
                f"Received: a batch of {share.total} rows for {process_group.world_size()} "
                "processes. Choose a batch size that they divide, and drop the last batch."
            )

    # Dividing

    def _shard(self):
        """Divide the weights of the model, and the optimizer's state with them."""
        model = self.model
        sharded_before = [n for n, p in model.named_parameters() if is_sharded(p)]
        if sharded_before:
            raise ValueError(
                "FullyShard divides a model once. Received: "
                f"'{model.name}', whose weights are divided already. Build it anew, or go on with "
                "the distribution that divided it."
            )
        before = [(m._parameters, k, p) for m in model.modules() for k, p in m._parameters.items()]
        self._fully_shard(list(_units(model)))
        self._is_sharded = True
        renewed = {id(old): store[key] for store, key, old in before if old is not None}
        for variable in model.trainable_variables:
            if variable.regularizer is not None:
                variable.regularizer = OfWhole(variable.regularizer)
            if variable.constraint is not None:
                variable.constraint = OfWhole(variable.constraint)
        _shard_optimizer(model.optimizer, renewed)

    def _fully_shard(self, units):
        from torch.distributed.fsdp import fully_shard

        distribution, model = self._distribution, self.model
        device = next((p.device.type for p in model.parameters()), "cpu")
        options = {
            "mesh": distribution.torch_mesh(device),
            "reshard_after_forward": distribution.reshard_after_forward,
        }
        if distribution.policy is not None:
            _check_policy(distribution.policy, model)
            options["mp_policy"] = distribution.policy
        if distribution.offload_policy is not None:
            options["offload_policy"] = distribution.offload_policy
        tied = _tied(units)
        for module in [*units, model]:
            ignored = {} if module is model else {"ignored_params": tied}
            cls = module.__class__
            # torch derives a class of its own for methods of use to a loop; ours stays itself,
            # for configs, files and copies. The state and hooks are not the class's.
            fully_shard(module, **options, **ignored)
            module.__class__ = cls


class OfWhole:
    """A function of a weight, such as a regularizer, applied to the whole of a divided one.

    Args:
        function: function of a tensor.
    """

    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        if not is_sharded(x):
            return self.function(x)
        return self.function(_Whole.apply(x))


class _Whole(torch.autograd.Function):
    """The whole of a sharded tensor. Its gradients are averaged over the processes, as the
    data's are: each process's loss counts for its share."""

    @staticmethod
    def forward(ctx, part):
        ctx.reference = part.detach()
        return whole_of(part.detach())

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone(memory_format=torch.contiguous_format)
        process_group.all_reduce_([grad], "mean")
        return shard_like(grad, ctx.reference)


class ReducedByTorch:
    """The place of a GradientReducer where torch's hooks have averaged the gradients."""

    def look_up(self):
        pass

    def release(self):
        pass

    def abandon(self):
        pass

    def end(self):
        pass

    def before_backward(self, loss):
        return loss

    def apply(self, grads, variables):
        return grads


def _units(model):
    """The layers that are gathered one at a time: those of the model, and of models inside."""
    layers = getattr(model, "layers", None)
    found = {}
    for layer in layers if layers is not None else model.children():
        inner = [layer]
        if isinstance(getattr(layer, "layers", None), list) and hasattr(layer, "train_step"):
            inner = _units(layer)
        for unit in inner:
            if unit is not model and any(True for _ in unit.parameters()):
                found[id(unit)] = unit
    return found.values()


def _tied(units):
    """Parameters that several units share: they are gathered with the model as a whole."""
    seen, tied = set(), set()
    for unit in units:
        for parameter in unit.parameters():
            (tied if parameter in seen else seen).add(parameter)
    return tied


def _check_policy(policy, model):
    if policy.param_dtype is None:
        return
    for layer in model._flatten_layers():
        dtype = to_torch_dtype(layer.compute_dtype)
        if dtype != policy.param_dtype and any(True for _ in layer.parameters(recurse=False)):
            raise ValueError(
                "The `param_dtype` of the policy must be the dtype that layers compute in. "
                f"Received: {policy.param_dtype} for layer '{layer.name}', which computes in "
                f"{dtype}. Set a dtype policy such as keras.config.set_dtype_policy("
                "'mixed_bfloat16') before the model is made."
            )


def _shard_optimizer(optimizer, renewed):
    """Divide an optimizer's state as its weights are.

    Args:
        optimizer: Optimizer, TorchOptimizer or None.
        renewed: dict of the id of a parameter as it was to the one in its place.
    """
    inner = getattr(optimizer, "optimizer", None)
    if not isinstance(inner, torch.optim.Optimizer):
        if optimizer is not None and optimizer.built:
            optimizer._place_state()
        return
    for group in inner.param_groups:
        group["params"] = [renewed.get(id(p), p) for p in group["params"]]
    state = {}
    for parameter, values in inner.state.items():
        new = renewed.get(id(parameter), parameter)
        state[new] = {
            key: shard_like(value, new)
            if isinstance(value, torch.Tensor) and value.shape == new.shape and new.dim()
            else value
            for key, value in values.items()
        }
    inner.state.clear()
    inner.state.update(state)
