"""TorchOptimizer: a torch.optim optimizer where a model expects one of ours."""

import inspect
import operator

import torch
from torch import nn

from torchkeras.core import config
from torchkeras.core.variable import Variable
from torchkeras.optimizers.constrain import constrain
from torchkeras.optimizers.graph_update import apply_in_graph, is_traced

_NEEDS_CLOSURE = {}  # class of a torch optimizer -> bool


class TorchOptimizer:
    """Lets a model be compiled with any optimizer from `torch.optim`.

    `optimizers.get`, and so `Model.compile`, makes one from such an argument. The torch
    optimizer does the update as ever; weight decay, clipping and averages are its own matter.

    For schedulers of torch there is `keras.callbacks.TorchScheduler`.

    It follows the model: a weight that has another tensor since (`load_state_dict(assign=True)`)
    is updated there, with the state it had; one that is frozen stays as it is; one that was
    frozen at the build and is trained now joins a function's optimizer, in the group that the
    function gives it, and is an error for an optimizer that was made by the user.

    Args:
        optimizer: a `torch.optim.Optimizer` over the model's parameters; or a function or
            class that makes one from a list of parameters, called at build.

    Raises:
        TypeError: `optimizer` is neither.

    Example:

    >>> v = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.get(lambda params: torch.optim.SGD(params, lr=0.5))
    >>> optimizer.apply([torch.tensor(1.0)], [v])
    >>> float(v)
    0.5
    """

    _graph_update = None  # how graphs of whole steps name it
    use_ema = False
    loss_scale_factor = None
    gradient_accumulation_steps = None

    def __init__(self, optimizer):
        is_optimizer = isinstance(optimizer, torch.optim.Optimizer)
        if not is_optimizer and not callable(optimizer):
            raise TypeError(
                "A torch.optim.Optimizer, or a function from parameters to one, was expected. "
                f"Received: {optimizer!r} of type {type(optimizer).__name__}."
            )
        self.optimizer = optimizer if is_optimizer else None
        self._factory = None if is_optimizer else optimizer
        self.name = "torch_optimizer"
        self.built = False
        self._learning_rate = None  # set before the build
        self._proportions = []  # of the groups' learning rates, when last not all were 0
        self._trainable_variables = []
        self._followed = []  # the variables whose tensors the optimizer holds
        self._tensors = []  # these tensors
        self._stepped = None  # the tensors of the last step, known to be the optimizer's
        self._others = []  # what else the optimizer holds, to be left alone by such a step
        self._first_options = []  # of the groups, as the function has made them
        with config.device("cpu"):
            self._iterations = Variable(0, dtype="int32", trainable=False, name="iteration")

    def build(self, variables):
        """Make the optimizer, or check that it holds exactly these variables' parameters.

        Args:
            variables: list of trainable Variables.

        Raises:
            TypeError: the function given did not return a torch optimizer.
            ValueError: the optimizer's parameters are not those of the variables.
        """
        if self.built:
            return
        variables = list(variables)
        if self._factory is not None:
            self.optimizer = self._make([v._store[v._key] for v in variables])
            self._first_options = [_options(group) for group in self.optimizer.param_groups]
        _check_same_parameters(self.optimizer, variables)
        self._trainable_variables = variables
        self._followed = list(variables)
        self._tensors = [v._store[v._key] for v in variables]
        self.built = True
        if self._learning_rate is not None:
            self.learning_rate = self._learning_rate

    def _make(self, parameters):
        made = self._factory(list({id(p): p for p in parameters}.values()))
        if not isinstance(made, torch.optim.Optimizer):
            raise TypeError(
                "The function given as optimizer must return a torch.optim.Optimizer. "
                f"Received: {made!r} from {self._factory!r}."
            )
        return made

    def apply(self, grads, trainable_variables=None):
        """Put the gradients into `.grad` where they are not yet, and take one step.

        Args:
            grads: list of tensors or None, one for each variable.
            trainable_variables: list of Variables; None for those of the build. The optimizer's
                other parameters stay as they are.

        Raises:
            ValueError: not built and no variables given, or the lists differ in length.
            TypeError: the optimizer evaluates the loss itself, as LBFGS does.
        """
        grads = list(grads)
        if self._graph_update is not None and is_traced():
            apply_in_graph(self, grads, trainable_variables)
            return
        variables = self._given(grads, trainable_variables)
        if self.needs_closure:
            name = type(self.optimizer).__name__
            raise TypeError(
                f"torch's {name} computes the loss several times a step, by a function. Received: "
                "gradients alone. `fit` gives it one in the Trainer's own `train_step`; in one of "
                "your own call `self.optimizer.apply_closure(closure, variables)`."
            )
        tensors = [v._store[v._key] for v in variables]
        for grad, tensor in zip(grads, tensors, strict=True):
            if tensor.grad is not grad:
                tensor.grad = grad
        self._follow(variables, tensors)
        self._step()
        self._end_step(variables)

    def apply_closure(self, closure, trainable_variables):
        """Take one step of an optimizer that computes the loss itself, several times, as LBFGS.

        Args:
            closure: function without arguments that clears the gradients, computes the loss, goes
                backward from it and returns it.
            trainable_variables: list of Variables; the others stay as they are.

        Example:

        >>> v = keras.Variable(1.0)
        >>> optimizer = keras.optimizers.get(lambda p: torch.optim.LBFGS(p, lr=0.5))
        >>> def closure():
        ...     v.grad = None
        ...     loss = (v - 3.0) ** 2
        ...     loss.backward()
        ...     return loss
        >>> optimizer.apply_closure(closure, [v])
        >>> abs(float(v) - 3.0) < 0.01
        True
        """
        variables = list(trainable_variables)
        self.build(variables)
        self._follow(variables, [v._store[v._key] for v in variables])

        def current():
            torch.clear_autocast_cache()  # the optimizer has moved the weights
            return closure()

        self._step(current)
        self._end_step(variables)

    @property
    def needs_closure(self):
        """Whether the optimizer cannot step without a function that computes the loss."""
        if self.optimizer is None:
            return False
        if type(self.optimizer) not in _NEEDS_CLOSURE:
            parameter = inspect.signature(self.optimizer.step).parameters.get("closure")
            needs = parameter is not None and parameter.default is parameter.empty
            _NEEDS_CLOSURE[type(self.optimizer)] = needs
        return _NEEDS_CLOSURE[type(self.optimizer)]

    def _end_step(self, variables):
        with torch.no_grad():
            constrain(variables)
        torch.clear_autocast_cache()  # of the old weights, where a loop is inside torch.autocast
        self._iterations.assign_add(1)

    def _given(self, grads, trainable_variables):
        if trainable_variables is None and not self.built:
            raise ValueError(
                "The optimizer must be built before gradients can be applied without variables. "
                f"Received: {len(grads)} gradients, trainable_variables=None. Pass the "
                "variables, or call `optimizer.build(variables)` first."
            )
        variables = (
            self._trainable_variables if trainable_variables is None else list(trainable_variables)
        )
        if len(grads) != len(variables):
            raise ValueError(
                f"Optimizer '{self.name}' needs one gradient for each variable. Received: "
                f"{len(grads)} gradients for {len(variables)} variables."
            )
        self.build(variables)
        return variables

    def _follow(self, variables, tensors):
        """Let the optimizer hold these tensors; a step is to change no others."""
        known, size = self._stepped or ([], 0), _size(self.optimizer)
        if (
            size == known[1]
            and len(tensors) == len(known[0])
            and all(map(operator.is_, tensors, known[0]))
        ):
            return
        self._follow_replaced()
        held = set(map(id, _parameters(self.optimizer)))
        new = [v for v, t in zip(variables, tensors, strict=True) if id(t) not in held]
        if new and self._factory is None:
            raise _not_the_same(self.optimizer, [v.path for v in new], [])
        if new:
            self._add([v._store[v._key] for v in new])
            self._followed += new
            self._tensors += [v._store[v._key] for v in new]
        chosen = set(map(id, tensors))
        self._others = [p for p in _parameters(self.optimizer) if id(p) not in chosen]
        self._stepped = tensors, _size(self.optimizer)

    def _follow_replaced(self):
        """Put the tensors that the variables hold now in the place of those they held before."""
        now = [v._store[v._key] for v in self._followed]
        pairs = zip(self._tensors, now, strict=True)
        replaced = {id(old): (old, new) for old, new in pairs if old is not new}
        if not replaced:
            return
        for group in self.optimizer.param_groups:
            group["params"][:] = [replaced.get(id(p), (p, p))[1] for p in group["params"]]
        for old, new in replaced.values():
            state = self.optimizer.state.pop(old, None)
            if state is not None and old.shape == new.shape:
                self.optimizer.state[new] = {k: _placed(v, new) for k, v in state.items()}
        self._tensors = now

    def _add(self, tensors):
        """Take in parameters, in groups as the function makes them."""
        if self.needs_closure:  # LBFGS: its state is of all parameters in a row
            self.optimizer.state.clear()
            self.optimizer._numel_cache = None
        for group in self._make(tensors).param_groups:
            options = _options(group)
            if options in self._first_options:  # its rate may be another one by now
                at = self._first_options.index(options)
                self.optimizer.param_groups[at]["params"].extend(group["params"])
            else:
                self._first_options.append(options)
                self.optimizer.add_param_group(group)

    def _step(self, *closure):
        """Step with the gradients of the other parameters out of sight."""
        hidden = [(p, p.grad) for p in self._others if p.grad is not None]
        for param, _ in hidden:
            param.grad = None
        try:
            self.optimizer.step(*closure)
        finally:
            for param, grad in hidden:
                param.grad = grad

    def apply_gradients(self, grads_and_vars):
        """Update variables from `(gradient, variable)` pairs. Returns the step counter."""
        pairs = list(grads_and_vars)
        self.apply([grad for grad, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    @property
    def iterations(self):
        """Number of steps taken: an int32 Variable on the CPU."""
        return self._iterations

    @property
    def variables(self):
        """Always empty: the state belongs to the torch optimizer; see `state_dict`."""
        return []

    @property
    def learning_rate(self):
        """Learning rate of the first parameter group that has one other than 0.

        Setting it scales all groups, so that their rates keep their proportions; after a rate of 0
        they take up those from before.

        Raises:
            ValueError: read before the build, when the optimizer is still to be made.
        """
        if self.optimizer is not None:
            rates, proportions = self.learning_rates, self._known_proportions()
            return rates[_first_other_than_0(proportions)]
        if self._learning_rate is None:
            raise ValueError(
                "The learning rate is known once the optimizer is made from the model's "
                "parameters. Received: a read before that. Build the model, or call "
                "`optimizer.build(variables)`, first."
            )
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        value = float(value)
        if self.optimizer is None:
            self._learning_rate = value
            return
        proportions = self._known_proportions()
        first = _first_other_than_0(proportions)
        if not proportions[first]:
            proportions = [1.0] * len(proportions)
        self.learning_rates = [
            value if i == first else value * (proportion / proportions[first])
            for i, proportion in enumerate(proportions)
        ]

    @property
    def learning_rates(self):
        """Learning rates of the parameter groups, a list of floats. Setting it sets each.

        Example:

        >>> inner = torch.optim.SGD([{"params": [torch.ones(1)], "lr": rate} for rate in (0.5, 2)])
        >>> optimizer = keras.optimizers.get(inner)
        >>> optimizer.learning_rate = 0.25
        >>> optimizer.learning_rates
        [0.25, 1.0]
        """
        return [float(group["lr"]) for group in self._made().param_groups]

    @learning_rates.setter
    def learning_rates(self, values):
        self._known_proportions()
        for group, value in zip(self._made().param_groups, values, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = float(value)

    def _known_proportions(self):
        """The rates of the groups; if all are 0 now, those from before."""
        rates = self.learning_rates
        if any(rates) or len(self._proportions) != len(rates):
            self._proportions = rates
        return self._proportions

    def scale_loss(self, loss):
        """The loss itself; for float16 use `torch.amp.GradScaler` or one of our optimizers."""
        return loss

    def finalize_variable_values(self, var_list):
        """Nothing: there is no moving average."""

    def state_dict(self):
        """The torch optimizer's `state_dict()`."""
        return self._made().state_dict()

    def load_state_dict(self, state_dict):
        """The torch optimizer's `load_state_dict()`."""
        self._made().load_state_dict(state_dict)

    def _made(self):
        if self.optimizer is None:
            raise ValueError(
                "The torch optimizer is made at build. Received: a request for its state "
                "before that. Call `optimizer.build(variables)` first."
            )
        return self.optimizer

    def get_config(self):
        """Always an error: a torch optimizer cannot be described by a config."""
        kind = type(self.optimizer).__name__ if self.optimizer is not None else repr(self._factory)
        raise ValueError(
            "A file can describe torchkeras optimizers only. Received: the torch optimizer "
            f"{kind}. Compile with an optimizer from keras.optimizers; or, as model files hold "
            "its state, compile again after loading and call keras.saving.load_optimizer_state."
        )

    def __repr__(self):
        return f"<TorchOptimizer {self.optimizer if self.optimizer is not None else self._factory}>"


def _parameters(optimizer):
    return [param for group in optimizer.param_groups for param in group["params"]]


def _check_same_parameters(optimizer, variables):
    held = {id(param): param for param in _parameters(optimizer)}
    wanted = {id(v._store[v._key]): v for v in variables}
    missing = [v.path for key, v in wanted.items() if key not in held]
    foreign = [tuple(p.shape) for key, p in held.items() if key not in wanted and _trains(p)]
    if missing or foreign:
        raise _not_the_same(optimizer, missing, foreign)


def _not_the_same(optimizer, missing, foreign):
    parts = []
    if missing:
        parts.append(f"the optimizer does not hold {_some(missing)}")
    if foreign:
        parts.append(f"it holds parameters of shapes {_some(foreign)} that the model lacks")
    return ValueError(
        "A torch optimizer must hold exactly the trainable parameters of the model. "
        f"Received: {type(optimizer).__name__}, where {', and '.join(parts)}. Build the "
        "model before making the optimizer from `model.parameters()`, or pass a function "
        "such as `functools.partial(torch.optim.AdamW, lr=1e-3)`."
    )


def _first_other_than_0(rates):
    return next((i for i, rate in enumerate(rates) if rate), 0)


def _size(optimizer):
    return sum(len(group["params"]) for group in optimizer.param_groups)


def _options(group):
    return {key: value for key, value in group.items() if key not in ("params", "param_names")}


def _placed(value, like):
    """A state of a parameter on the device of the tensor that is now in its place."""
    if isinstance(value, torch.Tensor) and value.shape == like.shape:
        return value.to(like.device)
    return value


def _trains(param):
    return isinstance(param, nn.Parameter) and param.requires_grad


def _some(items):
    shown = ", ".join(str(item) for item in items[:5])
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown
