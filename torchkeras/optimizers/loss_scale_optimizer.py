"""LossScaleOptimizer: an optimizer behind a loss scale that finds its own size, for float16."""

import torch

from torchkeras.core import config, serialization
from torchkeras.core.scopes import SCOPE
from torchkeras.core.sharding import is_sharded, local_part
from torchkeras.optimizers.lookup import get
from torchkeras.optimizers.optimizer import Optimizer
from torchkeras.optimizers.torch_optimizer import TorchOptimizer
from torchkeras.optimizers.traced import choose

# What has an effect on the inner optimizer only, by its values without effect (as in Keras).
_OF_THE_INNER = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """Multiplies the loss by a scale, and divides the gradients by it before another optimizer.

    Small gradients vanish in float16, whose smallest number is 6e-8; scaled up they do not. A
    step with an infinite or NaN gradient changes nothing and halves the scale; so many steps
    without one double it. `compile` puts one around the optimizer of a `mixed_float16` model
    (`auto_scale_loss`), and `fit` scales the loss. A `train_step` of one's own goes backward from
    `self.optimizer.scale_loss(loss)`.

    On an accelerator the step is taken back by the device itself, at the cost of a copy of the
    weights and the state, and nothing waits for it; where torch's optimizers are inside, or
    several processes train, or gradients are accumulated, its verdict is read once a step.

    Args:
        inner_optimizer: Optimizer, or what `keras.optimizers.get` makes one from. Its
            `loss_scale_factor` is set to None.
        initial_scale: float, the first scale. Too high a one is lowered soon.
        dynamic_growth_steps: int, steps in a row without an infinite gradient that double it.
        name: str, first part of the state's paths; None for an automatic one.

    Raises:
        ValueError: an argument that belongs to the inner optimizer.

    Source: Micikevicius et al. 2017, arXiv:1710.03740, section 3.2, with factors 2 and 1/2.

    Example:

    >>> v = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), 8.0)
    >>> optimizer.apply([torch.tensor(8.0)], [v])
    >>> optimizer.apply([torch.tensor(float("inf"))], [v])
    >>> float(v), float(optimizer.dynamic_scale), int(optimizer.iterations)
    (0.5, 4.0, 1)
    """

    holds_optimizers = True

    def __init__(
        self,
        inner_optimizer,
        initial_scale=2.0**15,
        dynamic_growth_steps=2000,
        name=None,
        **kwargs,
    ):
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "The scale of a LossScaleOptimizer is always dynamic. Received: dynamic=False. "
                "For a fixed one set `loss_scale_factor` of the inner optimizer."
            )
        for argument, default in _OF_THE_INNER.items():
            value = kwargs.pop(argument, default)
            if value != default:
                raise ValueError(
                    f"LossScaleOptimizer has no `{argument}` of its own. Received: "
                    f"{argument}={value!r}. Give it to the inner optimizer."
                )
        super().__init__(learning_rate=0.0, name=name, **kwargs)
        self.inner_optimizer = get(inner_optimizer)
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        if isinstance(self.inner_optimizer, Optimizer):
            self.inner_optimizer.loss_scale_factor = None  # else it would divide once more
        # Whether a loss was scaled, and gradients were divided: a step must do both.
        self._has_scaled = self._has_divided = False
        self._verdicts = []  # of steps that the device was left to take back

    def build(self, variables):
        """Make the scale, and the inner optimizer's state, for the given trainable variables."""
        variables = list(variables)
        device = variables[0]._store[variables[0]._key].device if variables else "cpu"
        with config.device(device):
            self.step_counter = self.add_variable((), "zeros", "int32", name="step_counter")
            self.dynamic_scale = self.add_variable(
                (), float(self.initial_scale), "float32", name="dynamic_scale"
            )
        self.inner_optimizer.build(variables)
        super().build(variables)

    def _of_inner(name):
        def read(self):
            return getattr(self.inner_optimizer, name)

        def write(self, value):
            setattr(self.inner_optimizer, name, value)

        return property(read, write, doc=f"`{name}` of the inner optimizer.")

    learning_rate = _of_inner("learning_rate")
    learning_rates = _of_inner("learning_rates")
    learning_rate_rule = _of_inner("learning_rate_rule")
    del _of_inner

    @property
    def variables(self):
        """List of the state Variables: one's own, then the inner optimizer's."""
        self._take_back(wait=True)
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def iterations(self):
        """Number of updates done; those that were skipped do not count."""
        self._take_back(wait=True)
        return self.inner_optimizer.iterations

    def scale_loss(self, loss):
        """The loss times the scale of now.

        Example:

        >>> optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 8.0)
        >>> optimizer.scale_loss(0.5)
        4.0
        """
        self._has_scaled = True
        return loss * (self.dynamic_scale.value if self.built else self.initial_scale)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Choose variables that the inner optimizer's weight decay leaves alone."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list):
        """Let the inner optimizer set the variables to their moving averages, if it keeps some."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def _place_state(self):
        for variable in (self.step_counter, self.dynamic_scale):
            reference = self._trainable_variables[0]
            device = reference._store[reference._key].device
            variable._store[variable._key] = variable._store[variable._key].to(device)
        if isinstance(self.inner_optimizer, Optimizer):
            self.inner_optimizer._place_state()

    def _apply_whole(self, grads, variables):
        self._has_divided = True
        self._take_back(wait=SCOPE.replica is not None)
        if SCOPE.stateless is not None:
            self._apply_or_keep(grads, variables)
            return
        with torch.no_grad():
            self._place_state()
            self._apply_or_keep(grads, variables)

    def _apply_or_keep(self, grads, variables):
        grads, finite = self._unscaled(grads, variables)
        inner = self.inner_optimizer
        if SCOPE.stateless is not None:
            touched = [*self._known(variables), *inner.variables]
            self._apply_where(finite, grads, variables, touched)
        elif self._reads_verdict(finite):
            if finite.item():
                self._apply_inner(grads, variables)
        else:
            touched = [*variables, *(state for state, _ in inner._mirrors)]
            touched += [v for v in inner.variables if v not in _Identities(touched)]
            host = _Identities([inner._iterations, inner._learning_rate])
            self._apply_where(finite, grads, variables, [v for v in touched if v not in host])
            self._note(finite)
        self._update_scale(finite)

    def _reads_verdict(self, finite):
        inner = self.inner_optimizer
        return (
            finite.device.type == "cpu"
            or isinstance(inner, TorchOptimizer)
            or inner.gradient_accumulation_steps
            or inner.holds_optimizers
            or SCOPE.replica is not None
        )

    def _apply_inner(self, grads, variables):
        if isinstance(self.inner_optimizer, TorchOptimizer):
            self.inner_optimizer.apply(grads, variables)
        else:
            self.inner_optimizer._apply_whole(grads, variables)

    def _apply_where(self, finite, grads, variables, touched):
        """Update, and put back what was before where a gradient was not finite."""
        stateless = SCOPE.stateless is not None
        before = [local_part(v._store[v._key]) for v in touched]
        if not stateless:
            before = [tensor.detach().clone() for tensor in before]
        self._apply_inner(grads, variables)
        for variable, old in zip(touched, before, strict=True):
            new = local_part(variable._store[variable._key])
            chosen = choose(finite, new, old)
            if stateless:
                SCOPE.stateless.set(variable, chosen)
            else:
                new.copy_(chosen)

    def _unscaled(self, grads, variables):
        """The gradients divided by the scale, and whether all are finite: a tensor, not read."""
        scale = self.dynamic_scale._store[self.dynamic_scale._key]
        grads = [g if g is None or g.layout is torch.strided else g.to_dense() for g in grads]
        present = [local_part(g) for g in grads if g is not None]
        present = [g for g in present if g.numel()]  # a process may hold no part of a weight
        highest = [
            torch.linalg.vector_norm(g, float("inf"), dtype=torch.float32)
            if g.dtype.itemsize < 4
            else torch.linalg.vector_norm(g, float("inf"))
            for g in present
        ]
        finite = torch.tensor(True, device=scale.device)
        if highest:
            finite = torch.stack([h.to(scale.device) for h in highest]).isfinite().all()
        if any(g is not None and is_sharded(g) for g in grads):
            flag = finite.to(torch.int32)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MIN)
            finite = flag.bool()
        unscaled = [
            g if g is None or v.overwrite_with_gradient else g / scale.to(g.device)
            for g, v in zip(grads, variables, strict=True)
        ]
        return unscaled, finite

    def _update_scale(self, finite):
        scale, counter = (v._store[v._key] for v in (self.dynamic_scale, self.step_counter))
        grows = finite & (counter >= self.dynamic_growth_steps - 1)
        doubled = torch.where(torch.isfinite(scale * 2), scale * 2, scale)
        self.dynamic_scale.assign(
            torch.where(finite, torch.where(grows, doubled, scale), scale / 2)
        )
        self.step_counter.assign(torch.where(finite & ~grows, counter + 1, 0))

    # Steps that the device has taken back, and that the counter on the host has counted

    def _note(self, finite):
        flag, event = finite, None
        if finite.device.type == "cuda":
            flag = torch.empty((), dtype=torch.bool, pin_memory=True)
            flag.copy_(finite, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._verdicts.append((flag, event))

    def _take_back(self, wait):
        """Let the inner optimizer's counter leave out the skipped steps that are known by now."""
        while self._verdicts:
            flag, event = self._verdicts[0]
            if event is not None and not event.query():
                if not wait:
                    return
                event.synchronize()
            del self._verdicts[0]
            if not flag.item():
                self.inner_optimizer._iterations.assign_sub(1)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            "name": self.name,
            "inner_optimizer": serialization.serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """An optimizer with the arguments that `get_config` returned, without its state."""
        config = dict(config)
        inner = serialization.deserialize_keras_object(
            config.pop("inner_optimizer"), custom_objects
        )
        return cls(inner, **config)

    def __getstate__(self):
        self._take_back(wait=True)
        return super().__getstate__()


class _Identities:
    """A set of objects by identity; `in` of a list would compare Variables' values."""

    def __init__(self, objects):
        self._ids = set(map(id, objects))

    def __contains__(self, item):
        return id(item) in self._ids
