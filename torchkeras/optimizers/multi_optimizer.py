"""MultiOptimizer: several optimizers, each for its part of the variables."""

import torch

from torchkeras.core import naming, serialization
from torchkeras.core.scopes import SCOPE
from torchkeras.optimizers.optimizer import Optimizer
from torchkeras.optimizers.optimizer_map import check_inner


class MultiOptimizer(Optimizer):
    """Updates every variable by the optimizer that is chosen for it.

    The choice is made once, at the build. Each optimizer counts and clips for itself, with its own
    learning rate: there is none of all of them, so that callbacks that set one do not apply.

    Args:
        optimizer_map: an `OptimizerMap`, or a function from a Variable to its Optimizer, which
            must return the same object for variables that are to share one.
        loss_scale_factor: float or None, in the place of that of every optimizer.
        name: str, first part of the state's paths; None for an automatic one.

    Raises:
        ValueError: at the build, if what is chosen for a variable is not an Optimizer, or one
            that itself holds others.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> first, rest = keras.optimizers.Muon(), keras.optimizers.AdamW()
    >>> chosen = keras.optimizers.OptimizerMap(rest, {".*/dense/kernel": first})
    >>> model.compile(keras.optimizers.MultiOptimizer(chosen), "mse")
    >>> model.optimizer.build(model.trainable_variables)
    >>> [len(optimizer._trainable_variables) for optimizer in model.optimizer.optimizers]
    [1, 3]
    """

    holds_optimizers = True

    def __init__(self, optimizer_map, loss_scale_factor=None, name=None):
        self.__dict__["_inner_optimizers"] = []
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        self._places = []  # of each variable's optimizer
        if hasattr(optimizer_map, "values"):
            for optimizer in optimizer_map.values():
                self._place_of(optimizer)
        default = getattr(optimizer_map, "default_optimizer", None)
        if default is not None:
            self._place_of(default)

    def _place_of(self, optimizer):
        for place, known in enumerate(self._inner_optimizers):
            if known is optimizer:
                return place
        optimizer.loss_scale_factor = self.loss_scale_factor
        self._inner_optimizers.append(optimizer)
        return len(self._inner_optimizers) - 1

    @property
    def optimizers(self):
        """List of the optimizers."""
        return self._inner_optimizers

    def build(self, variables):
        """Choose an optimizer for each variable, and make the state of each optimizer."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self.built = False  # should a choice be refused
        places = []
        for variable in variables:
            optimizer = self._optimizer_map(variable)
            check_inner(optimizer, f"The optimizer for the variable '{variable.path}'")
            places.append(self._place_of(optimizer))
        for place, optimizer in enumerate(self._inner_optimizers):
            its = [v for v, at in zip(variables, places, strict=True) if at == place]
            if not its:
                continue
            with naming.name_scope(optimizer.name, caller=optimizer, override_parent=""):
                optimizer.build(its)
        self._places = places
        self.built = True

    @property
    def variables(self):
        """List of the state Variables: one's own, then those of each optimizer."""
        return [*self._variables, *(v for o in self._inner_optimizers for v in o.variables)]

    @property
    def loss_scale_factor(self):
        """Float or None; set for all optimizers."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        self._loss_scale_factor = value
        for optimizer in self._inner_optimizers:
            optimizer.loss_scale_factor = value

    @property
    def learning_rate(self):
        """An AttributeError: each optimizer has its own."""
        raise AttributeError(
            "A MultiOptimizer has no learning rate of its own. Received: a read of it. Read "
            "`learning_rate` of one of its `optimizers`."
        )

    @learning_rate.setter
    def learning_rate(self, value):
        raise AttributeError(
            f"A MultiOptimizer has no learning rate of its own. Received: learning_rate={value!r}. "
            "Set `learning_rate` of one of its `optimizers`."
        )

    @property
    def learning_rates(self):
        """Learning rates of the optimizers, a list of floats; NaN where a schedule gives it."""
        return [
            float("nan") if o.learning_rate_rule is not None else float(o.learning_rate)
            for o in self._inner_optimizers
        ]

    @learning_rates.setter
    def learning_rates(self, values):
        for optimizer, value in zip(self._inner_optimizers, values, strict=True):
            if optimizer.learning_rate_rule is None:
                optimizer.learning_rate = value

    def _apply_whole(self, grads, variables):
        known = self._known(variables)
        parts = {}
        for grad, variable in zip(grads, known, strict=True):
            place = self._places[self._get_variable_index(variable)]
            parts.setdefault(place, ([], []))
            parts[place][0].append(grad)
            parts[place][1].append(variable)
        for place, part in sorted(parts.items()):
            self._inner_optimizers[place]._apply_whole(*part)
        if SCOPE.stateless is None:
            with torch.no_grad():
                self._iterations.assign_add(1)
        else:
            self._iterations.assign_add(1)

    def _place_state(self):
        for optimizer in self._inner_optimizers:
            optimizer._place_state()

    def finalize_variable_values(self, var_list):
        """Let each optimizer set its variables to their moving averages, if it keeps some."""
        known = self._known(list(var_list))
        for place, optimizer in enumerate(self._inner_optimizers):
            its = [v for v in known if self._places[self._get_variable_index(v)] == place]
            if its:
                optimizer.finalize_variable_values(its)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Choose variables that the weight decay of every optimizer leaves alone."""
        for optimizer in self._inner_optimizers:
            optimizer.exclude_from_weight_decay(var_list, var_names)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            "optimizer_map": serialization.serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """An optimizer with the arguments that `get_config` returned, without its state."""
        chosen = serialization.deserialize_keras_object(config["optimizer_map"], custom_objects)
        return cls(**{**config, "optimizer_map": chosen})
