"""Optimizer: what every optimizer shares, from gradients to the updated variables."""

import re
import warnings

import torch

from torchkeras.core import naming, serialization
from torchkeras.core.checks import check_real, check_switch, check_whole
from torchkeras.core.scopes import SCOPE, StatelessScope
from torchkeras.core.variable import Variable
from torchkeras.optimizers.graph_update import apply_in_graph, is_traced
from torchkeras.optimizers.learning_rate import LearningRate
from torchkeras.optimizers.moving_average import MovingAverage
from torchkeras.optimizers.optimizer_state import OptimizerState
from torchkeras.optimizers.slot_plan import each_tensor_once, has_ties
from torchkeras.optimizers.update_paths import UpdatePaths


class Optimizer(OptimizerState, LearningRate, MovingAverage, UpdatePaths):
    """Base class of optimizers: turns gradients into updates of variables.

    An optimizer keeps its own state in Variables: the step counter and the learning rate, on
    the CPU so that reading them never waits for a device, and what `build` makes for each
    trainable variable, on that variable's device. `apply` does, in this order: undo the loss
    scale, accumulate, clip, decay the weights, update, average (EMA), apply constraints, count.
    The gradients passed in are never written to.

    An optimizer of your own defines `build`, `update_step` and `get_config`.

    Args:
        learning_rate: float; a Variable, whose value is taken; a `LearningRateSchedule`; or a
            function without arguments that returns the rate.
        weight_decay: float or None. Before each update a variable is multiplied by
            `1 - learning_rate * weight_decay` (decoupled decay, arXiv:1711.05101).
        clipnorm: float or None, the highest L2 norm of each gradient.
        clipvalue: float or None, the highest absolute value in a gradient.
        global_clipnorm: float or None, the highest L2 norm of all gradients together. At most
            one of the three clips may be given.
        use_ema: bool, whether to keep an exponential moving average of every variable.
        ema_momentum: float in [0, 1], the weight of the old average at each step.
        ema_overwrite_frequency: int, every how many updates the variables are set to their
            averages; None for only in `finalize_variable_values`.
        loss_scale_factor: float or None. `scale_loss` multiplies the loss by it and `apply`
            divides the gradients by it, against underflow in float16.
        gradient_accumulation_steps: int, at least 2, or None. Variables are updated every so
            many calls, with the mean of the gradients. A schedule counts calls, `iterations`
            counts updates (as in Keras).
        name: str, first part of the state's paths; None for an automatic one.

    Raises:
        ValueError: an argument outside the ranges above, or an unknown one.

    Example:

    >>> class Halving(keras.optimizers.Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         variable.assign(variable.value / 2)
    >>> v = keras.Variable(8.0)
    >>> _ = Halving(learning_rate=1.0).apply_gradients([(torch.tensor(1.0), v)])
    >>> float(v)
    4.0
    """

    holds_optimizers = False  # whether it lets others update
    _graph_update = None  # how graphs of whole steps name it
    needs_closure = False  # whether a step computes the loss itself, as torch's LBFGS does

    def __init__(
        self,
        learning_rate,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        **kwargs,
    ):
        if kwargs.pop("decay", None) is not None:
            warnings.warn(
                "The argument `decay` has no effect since Keras 3. Pass a schedule as "
                "learning_rate instead, e.g. keras.optimizers.schedules.InverseTimeDecay.",
                stacklevel=3,
            )
        if kwargs:
            raise ValueError(
                f"Argument(s) not recognized by '{type(self).__name__}'. Received: {kwargs}."
            )
        _check_numbers(
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            loss_scale_factor=loss_scale_factor,
        )
        check_switch("use_ema", use_ema)
        if gradient_accumulation_steps:
            check_whole("gradient_accumulation_steps", gradient_accumulation_steps, least=2)
        _check_arguments(
            {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm},
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
        )
        super().__init__(name)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._trainable_variables = []
        self._trainable_variables_indices = {}
        self._has_ties = False
        self._model_variables_moving_average = []
        self._accumulated_gradients = []
        self._undecayed_variables = []
        self._undecayed_paths = []  # of variables that are yet to be met, as a config names them
        self._undecayed_names = []
        self._plans = {}
        self._iterations = self._host_variable(0, "int32", "iteration")
        self._learning_rate = self._make_learning_rate(learning_rate)

    # State

    @property
    def iterations(self):
        """Number of updates done: an int32 scalar, on the CPU."""
        if self.gradient_accumulation_steps:
            return self._iterations.value // self.gradient_accumulation_steps
        return self._iterations

    def build(self, variables):
        """Make the state for the given trainable variables.

        Args:
            variables: list of Variables; later calls of `apply` may pass these only.

        Raises:
            TypeError: an item is not a Variable.

        Example:

        >>> optimizer = keras.optimizers.SGD(momentum=0.9)
        >>> optimizer.build([keras.Variable([1.0, 2.0], name="w")])
        >>> [v.path for v in optimizer.variables][2:]
        ['sgd/w_momentum']
        """
        variables = list(variables)
        for variable in variables:
            if not isinstance(variable, Variable):
                raise TypeError(
                    "An optimizer is built on a list of keras Variables. Received: an item of "
                    f"type {type(variable).__name__}. Pass `model.trainable_variables`; for "
                    "plain torch parameters, use a torch.optim optimizer."
                )
        self._find_undecayed(variables)
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(
                variables, "average"
            )
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(variable, name="gradient_accumulator")
                for variable in variables
            ]
        self._trainable_variables = variables
        self._index_variables()
        self.built = True

    def _index_variables(self):
        self._trainable_variables_indices = {
            id(variable): i for i, variable in enumerate(self._trainable_variables)
        }
        # One weight under two names: it has two handles, and is stepped once.
        self._has_ties = has_ties(self._trainable_variables)

    def _get_variable_index(self, variable):
        return self._trainable_variables_indices[id(variable)]

    # Updating

    def apply_gradients(self, grads_and_vars):
        """Update variables from `(gradient, variable)` pairs. Returns the counter of calls.

        Example:

        >>> v = keras.Variable(1.0)
        >>> optimizer = keras.optimizers.SGD(learning_rate=0.5)
        >>> int(optimizer.apply_gradients([(torch.tensor(1.0), v)])), float(v)
        (1, 0.5)
        """
        pairs = list(grads_and_vars)
        self.apply([grad for grad, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    def apply(self, grads, trainable_variables=None):
        """Update the variables once.

        Args:
            grads: list of tensors, one for each variable. None is skipped with a warning.
            trainable_variables: list of Variables; None for those the optimizer was built on.
                The first call builds the optimizer on them.

        Raises:
            ValueError: all gradients are None; a variable is unknown; numbers or shapes of
                gradients and variables differ; or the optimizer is not built and
                `trainable_variables` is None.

        Example:

        >>> v = keras.Variable([1.0, 2.0])
        >>> keras.optimizers.SGD(learning_rate=0.5).apply([torch.ones(2)], [v])
        >>> v.numpy()
        array([0.5, 1.5], dtype=float32)
        """
        grads = list(grads)
        if not grads:
            return
        if self._graph_update is not None and is_traced():
            apply_in_graph(self, grads, trainable_variables)
            return
        variables = self._given_variables(grads, trainable_variables)
        if SCOPE.replica is not None:
            grads = SCOPE.replica.reduce_gradients(grads, variables)
        self._apply_whole(grads, variables)

    def _apply_whole(self, grads, variables):
        """Update by gradients that are those of the whole batch, of all processes."""
        if self._has_ties or len(variables) > len(self._trainable_variables):
            grads, variables = each_tensor_once(grads, variables)
        if type(None) in map(type, grads):  # `None in grads` would compare tensors
            grads, variables = _without_missing(grads, variables)
        if SCOPE.stateless is not None:
            # Without no_grad: a stateless update may be differentiated.
            self._apply(grads, self._known(variables))
            return
        with torch.no_grad():
            self._apply(grads, variables)
        # Else a loop inside torch.autocast would go on with the casts of the old weights.
        torch.clear_autocast_cache()

    def _given_variables(self, grads, trainable_variables):
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "The optimizer must be built before gradients can be applied without "
                    f"variables. Received: {len(grads)} gradients, trainable_variables=None. "
                    "Pass the variables, or call `optimizer.build(variables)` first."
                )
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
        if len(grads) != len(variables):
            raise ValueError(
                f"Optimizer '{self.name}' needs one gradient for each variable. Received: "
                f"{len(grads)} gradients for {len(variables)} variables."
            )
        if not self.built:
            with naming.name_scope(self.name, caller=self):
                self.build(variables)
            self.built = True
        return variables

    def _known(self, variables):
        """The optimizer's own handles on the given variables.

        Another handle on the same tensor stands for the same variable.
        """
        indices = self._trainable_variables_indices
        if all(id(v) in indices for v in variables):
            return variables
        known = {id(v._store[v._key]): v for v in reversed(self._trainable_variables)}
        found = []
        for variable in variables:
            tensor = variable._store[variable._key] if isinstance(variable, Variable) else None
            match = variable if id(variable) in indices else known.get(id(tensor))
            if match is None:
                raise ValueError(
                    f"Unknown variable: {variable!r}. Optimizer '{self.name}' was built on "
                    f"{len(indices)} other variables. Make a new optimizer for a new set of "
                    "variables, e.g. after changing which layers are trainable."
                )
            found.append(match)
        return found

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable and its state; a subclass defines it.

        Args:
            gradient: tensor of the variable's shape.
            variable: Variable; write to it with `assign`.
            learning_rate: scalar: float, tensor or Variable.
        """
        raise NotImplementedError(
            f"'{type(self).__name__}' must define `update_step(gradient, variable, learning_rate)`."
        )

    def assign(self, variable, value):
        """Same as `variable.assign(value)`; for `update_step` written as in Keras."""
        variable.assign(value)

    def assign_add(self, variable, value):
        """Same as `variable.assign_add(value)`."""
        variable.assign_add(value)

    def assign_sub(self, variable, value):
        """Same as `variable.assign_sub(value)`."""
        variable.assign_sub(value)

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """One update as a pure function: nothing is modified, new values are returned.

        It may be differentiated, and runs inside `torch.func` transforms.

        Args:
            optimizer_variables: list of tensors, values of `optimizer.variables`.
            grads: list of tensors, one for each trainable variable.
            trainable_variables: list of tensors, values of the variables it was built on.

        Returns:
            `(trainable_variables, optimizer_variables)`: lists of new tensors.

        Raises:
            ValueError: the optimizer is not built, or a list has the wrong length.

        Example:

        >>> v = keras.Variable(1.0)
        >>> optimizer = keras.optimizers.SGD(learning_rate=0.5)
        >>> optimizer.build([v])
        >>> state = [s.value for s in optimizer.variables]
        >>> new, _ = optimizer.stateless_apply(state, [torch.tensor(1.0)], [torch.tensor(3.0)])
        >>> float(new[0]), float(v)
        (2.5, 1.0)
        """
        if not self.built:
            raise ValueError(
                f"To call `stateless_apply`, {type(self).__name__} must be built. Received: an "
                "optimizer without variables. Call `optimizer.build(variables)` first."
            )
        for argument, given, own in (
            ("optimizer_variables", optimizer_variables, self.variables),
            ("trainable_variables", trainable_variables, self._trainable_variables),
        ):
            if len(given) != len(own):
                raise ValueError(
                    f"Argument `{argument}` must be a list of {len(own)} tensors, one for each "
                    f"of the variables of '{self.name}'. Received: a list of length {len(given)}."
                )
        mapping = [
            *zip(self._trainable_variables, trainable_variables, strict=True),
            *zip(self.variables, optimizer_variables, strict=True),
        ]
        with StatelessScope(state_mapping=mapping) as scope:
            self.apply(grads)
        return (
            [scope.get_current_value(v) for v in self._trainable_variables],
            [scope.get_current_value(v) for v in self.variables],
        )

    def scale_loss(self, loss):
        """The loss times `loss_scale_factor`; the loss itself without one.

        Example:

        >>> keras.optimizers.SGD(loss_scale_factor=8.0).scale_loss(0.5)
        4.0
        """
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # Weight decay

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Choose variables that weight decay leaves alone; replaces an earlier choice.

        Args:
            var_list: list of Variables.
            var_names: list of regular expressions; a variable is left alone if one of them is
                found in its name (not its path).

        Example:

        >>> optimizer = keras.optimizers.AdamW()
        >>> optimizer.exclude_from_weight_decay(var_names=["bias", "gamma"])
        """
        self._undecayed_variables = list(var_list or ())
        self._undecayed_paths = []
        self._undecayed_names = list(var_names or ())
        self._plans.clear()

    def _find_undecayed(self, variables):
        """Find the variables that a config names: a model made anew may have other paths.

        These differ in front, by the names of models around; the ends are compared.
        """
        by_end = {}
        for variable in variables:
            by_end.setdefault(_end(variable.path), []).append(variable)
        unmet = []
        for path in self._undecayed_paths:
            alike = by_end.get(_end(path), [])
            found = [v for v in alike if v.path == path] or alike
            if len(found) > 1:
                found.sort(key=lambda v: -_common_end(v.path, path))
                if _common_end(found[0].path, path) > _common_end(found[1].path, path):
                    del found[1:]
            if len(found) == 1:
                self._undecayed_variables += found
            else:
                unmet.append(path)
        self._undecayed_paths = []
        if unmet:
            warnings.warn(
                f"Optimizer '{self.name}' was described as decaying all but {unmet}, which are "
                f"none of its {len(variables)} variables. Call exclude_from_weight_decay again.",
                stacklevel=3,
            )

    def _use_weight_decay(self, variable):
        excluded = self._undecayed_variables
        if excluded and any(holder is v for holder in variable._holders() for v in excluded):
            return False
        return not any(re.search(pattern, variable.name) for pattern in self._undecayed_names)

    # Configs

    def get_config(self):
        """The constructor arguments as a JSON-ready dict; the learning rate as it is now.

        After `exclude_from_weight_decay` it has an entry of that name too, in which the variables
        of `var_list` stand by their paths.

        Example:

        >>> keras.optimizers.SGD(learning_rate=0.5).get_config()["learning_rate"]
        0.5
        """
        rate = self._learning_rate
        paths = [*self._undecayed_paths, *(v.path for v in self._undecayed_variables)]
        excluded = {}
        if paths or self._undecayed_names:
            excluded = {"var_paths": paths, "var_names": list(self._undecayed_names)}
        return {
            **({"exclude_from_weight_decay": excluded} if excluded else {}),
            "name": self.name,
            "learning_rate": (
                float(rate)
                if isinstance(rate, Variable)
                else serialization.serialize_keras_object(rate)
            ),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """An optimizer with the arguments that `get_config` returned, without its state.

        Args:
            config: dict; it is not modified.
            custom_objects: dict of names to classes or functions the config may name.

        Example:

        >>> config = keras.optimizers.SGD(momentum=0.9).get_config()
        >>> keras.optimizers.SGD.from_config(config).momentum
        0.9
        """
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = serialization.deserialize_keras_object(
                config["learning_rate"], custom_objects
            )
        excluded = config.pop("exclude_from_weight_decay", None)
        optimizer = cls(**config)
        if excluded:
            optimizer._undecayed_paths = [str(path) for path in excluded.get("var_paths", ())]
            optimizer._undecayed_names = [str(name) for name in excluded.get("var_names", ())]
        return optimizer

    def __getstate__(self):
        # The tensors gathered for kernels are found anew in a copy or another process.
        return {**self.__dict__, "_plans": {}}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._index_variables()

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def _check_numbers(weight_decay, **above_zero):
    if weight_decay:
        check_real("weight_decay", weight_decay, least=0, cure="Give the fraction, or None.")
    for name, value in above_zero.items():
        if value is None:
            continue
        check_real(name, value, least=0, finite=False, cure="Give a limit above 0, or None.")
        if not value:
            raise ValueError(
                f"`{name}` must be above 0. Received: {name}={value!r}. Give None for none."
            )


def _check_arguments(clips, use_ema, ema_momentum, ema_overwrite_frequency):
    if sum(clip is not None for clip in clips.values()) > 1:
        raise ValueError(
            "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
            + ", ".join(f"{name}={value}" for name, value in clips.items())
            + "."
        )
    if not use_ema:
        return
    check_real("ema_momentum", ema_momentum, least=0, most=1)
    if ema_overwrite_frequency and (
        not isinstance(ema_overwrite_frequency, int) or ema_overwrite_frequency < 1
    ):
        raise ValueError(
            "`ema_overwrite_frequency` must be an integer >= 1, or None. Received: "
            f"ema_overwrite_frequency={ema_overwrite_frequency}."
        )


def _end(path):
    """The last two parts of a path: the names of the layer and of its variable."""
    return tuple(path.split("/")[-2:])


def _common_end(path, other):
    """Number of last parts that two paths share."""
    count = 0
    for part, its in zip(reversed(path.split("/")), reversed(other.split("/")), strict=False):
        if part != its:
            break
        count += 1
    return count


def _without_missing(grads, variables):
    """Gradients that exist with their variables; warns of the others."""
    pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
    missing = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
    if not pairs:
        raise ValueError(
            "No gradients provided for any variable. Received: None for each of "
            f"{missing}. Check that the loss depends on these variables, and that it was not "
            "computed under torch.no_grad()."
        )
    warnings.warn(
        f"Gradients do not exist for variables {missing} when minimizing the loss. If using "
        "`model.compile()`, did you forget to provide a `loss` argument?",
        stacklevel=3,
    )
    return [g for g, _ in pairs], [v for _, v in pairs]
