"""The state of an optimizer as a list of tensors and, for torch's, a JSON frame around them."""

import contextlib
import math

import torch

from torchkeras.optimizers.loss_scale_optimizer import LossScaleOptimizer
from torchkeras.optimizers.torch_optimizer import TorchOptimizer
from torchkeras.saving.messages import clipped

_MOST_TIMES_WEIGHTS = 256  # LBFGS keeps a hundred updates, each with its change of gradients
# How a torch optimizer computes. The program decides that, not the file.
_PROGRAM_OPTIONS = ("foreach", "fused", "capturable", "differentiable")


def get_optimizer_state(optimizer, model=None):
    """`(tensors, frame)` of an optimizer; the frame is None for torchkeras's own, as a rule.

    An optimizer that was not built, or None, has no state. Where it was built on other weights
    than those that are trainable now, since layers were frozen, the frame names them.

    Args:
        optimizer: Optimizer, TorchOptimizer or None.
        model: the model it trains, or None to take its trainable weights for those of the build.

    Raises:
        ValueError: a torch optimizer keeps something else than tensors, numbers and strings.

    Example:

    >>> optimizer = keras.optimizers.SGD(momentum=0.9)
    >>> get_optimizer_state(optimizer)
    ([], None)
    >>> optimizer.build([keras.Variable([1.0, 2.0])])
    >>> [tuple(tensor.shape) for tensor in get_optimizer_state(optimizer)[0]]
    [(), (), (2,)]
    """
    if optimizer is None or not optimizer.built:
        return [], None
    scale, optimizer = _without_scale(optimizer)
    names = {} if model is None else _names_where_others(optimizer, model)
    if not isinstance(optimizer, TorchOptimizer):
        return [variable.value for variable in (scale or optimizer).variables], names or None
    tensors = [variable.value for variable in scale.variables] if scale else []
    frame = {
        "class_name": type(optimizer.optimizer).__name__,
        "iterations": int(optimizer.iterations),
        "state": _to_frame(optimizer.state_dict(), tensors),
        **names,
    }
    return tensors, frame


def prepare_optimizer(model, shapes, frame):
    """Build a model's optimizer for a state, and check all that is known before it is read.

    Args:
        model: built and compiled model. Its optimizer is built if it was not.
        shapes: list of shapes of the tensors, tuples.
        frame: dict or None, as `get_optimizer_state` gave it.

    Raises:
        ValueError: the state is that of another optimizer or of other variables; the optimizer is
            as it was.
    """
    if frame is not None and not isinstance(frame, dict):
        raise ValueError(
            "The state of an optimizer is described by a dict. Received: a "
            f"{type(frame).__name__}. The file is damaged."
        )
    scale, optimizer = _without_scale(model.optimizer)
    of_torch = frame is not None and "class_name" in frame
    if isinstance(optimizer, TorchOptimizer) is not of_torch:
        raise ValueError(
            "The state must come from the same kind of optimizer. Received: the state of a "
            f"{'torch' if of_torch else 'torchkeras'} optimizer for {optimizer!r}. Compile "
            "with the optimizer that was saved."
        )
    with optimizer_as_it_was(model.optimizer):
        _build_on(model, (frame or {}).get("variables"), None if of_torch else shapes)
        if not of_torch:
            _check_shapes(scale or optimizer, shapes)
            return
        own = scale.variables if scale else []
        if [tuple(shape) for shape in shapes[: len(own)]] != [tuple(v.shape) for v in own]:
            raise ValueError(
                f"The state of {scale!r} begins with {len(own)} scalars. Received: that of an "
                "optimizer without a loss scale. Compile with the optimizer that was saved."
            )
        weights = sum(v.value.numel() for v in optimizer._followed)
        if sum(map(math.prod, shapes)) > _MOST_TIMES_WEIGHTS * weights + 2**20:
            raise ValueError(
                "The state of an optimizer is some times as large as its weights. Received: "
                f"{sum(map(math.prod, shapes))} elements for {weights}. The file is damaged."
            )


def set_optimizer_state(model, tensors, frame):
    """Give the optimizer of a built model the state that `get_optimizer_state` gave; all or none.

    Args:
        model: built and compiled model. Its optimizer is built if it was not.
        tensors: list of tensors.
        frame: dict or None, as `get_optimizer_state` gave it.

    Raises:
        ValueError: the state is that of another optimizer or of other variables; the optimizer is
            as it was.
    """
    plan_optimizer_state(model, tensors, frame)()


def plan_optimizer_state(model, tensors, frame):
    """As `set_optimizer_state`, but returns the function that sets what has been checked.

    It does not fail, so several parts can be checked before the first is set. The optimizer is
    built.
    """
    scale, optimizer = _without_scale(model.optimizer)
    with optimizer_as_it_was(model.optimizer):
        prepare_optimizer(model, [tuple(tensor.shape) for tensor in tensors], frame)
        own = (scale or optimizer).variables if frame is None or "class_name" not in frame else []
        own = scale.variables if scale and not own else own
        _check_dtypes(own, tensors)
        inner = None
        if frame is not None and "class_name" in frame:
            inner = _torch_state(optimizer, tensors, frame)

    def set_all():
        if inner is not None:
            state, iterations = inner
            optimizer.optimizer.load_state_dict(state)
            optimizer.iterations.assign(iterations)
        for variable, tensor in zip(own, tensors, strict=False):
            variable.assign(tensor)

    return set_all


@contextlib.contextmanager
def optimizer_as_it_was(optimizer):
    """After an error inside, an optimizer has the attributes that it had, built or not.

    Args:
        optimizer: Optimizer, TorchOptimizer or None.

    Example:

    >>> from torchkeras.saving.optimizer_state import optimizer_as_it_was
    >>> optimizer = keras.optimizers.SGD()
    >>> try:
    ...     with optimizer_as_it_was(optimizer):
    ...         optimizer.build([keras.Variable([1.0])])
    ...         raise OSError
    ... except OSError:
    ...     optimizer.built
    False
    """
    optimizers = [] if optimizer is None else {optimizer, _without_scale(optimizer)[1]}
    before = [{k: _copied(v) for k, v in o.__dict__.items()} for o in optimizers]
    try:
        yield
    except BaseException:
        for optimizer, attributes in zip(optimizers, before, strict=True):
            optimizer.__dict__.clear()
            optimizer.__dict__.update(attributes)
        raise


def _copied(value):
    return value.copy() if type(value) in (list, dict, set) else value


def _names_where_others(optimizer, model):
    """`{"variables": names}` of what the optimizer was built on, if that is not what is trained."""
    of_torch = isinstance(optimizer, TorchOptimizer)
    built_on = optimizer._followed if of_torch else optimizer._trainable_variables
    held = [variable._store[variable._key] for variable in built_on]
    trained = [variable._store[variable._key] for variable in model.trainable_variables]
    if list(map(id, held)) == list(map(id, trained)):
        return {}
    names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}
    if any(id(tensor) not in names for tensor in held):
        return {}  # of weights that the model has no more
    return {"variables": [names[id(tensor)] for tensor in held]}


def _build_on(model, names, shapes):
    """Let the model's optimizer be built on the weights of these names; None for the trainable."""
    optimizer = model.optimizer
    if names is None:
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        return
    tensors = model.state_dict(keep_vars=True)
    handles = {id(v._store[v._key]): v for v in model.weights}
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    known = known and len(set(names)) == len(names)
    if not known or any(id(tensors.get(name)) not in handles for name in names):
        raise ValueError(
            "The state of an optimizer must be that of weights of the model. Received: names "
            f"that '{model.name}' lacks. Load it into the model that was saved."
        )
    variables = [handles[id(tensors[name])] for name in names]
    if not optimizer.built:
        optimizer.build(variables)
        return
    _, inner = _without_scale(optimizer)
    built_on = inner._followed if isinstance(inner, TorchOptimizer) else inner._trainable_variables
    if list(map(id, built_on)) == list(map(id, variables)):
        return
    if isinstance(inner, TorchOptimizer):
        if inner._factory is None or inner is not optimizer:
            return  # whether the state fits is seen when it is set
        fresh = TorchOptimizer(inner._factory)
    else:
        fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(variables)
    if shapes is not None:
        _check_shapes(fresh, shapes)
    optimizer.__dict__.update(fresh.__dict__)


def _without_scale(optimizer):
    """`(the LossScaleOptimizer or None, the optimizer itself)`."""
    if isinstance(optimizer, LossScaleOptimizer):
        return optimizer, optimizer.inner_optimizer
    return None, optimizer


def _check_shapes(optimizer, shapes):
    expected = [tuple(variable.shape) for variable in optimizer.variables]
    if [tuple(shape) for shape in shapes] != expected:
        raise ValueError(
            f"The state of {optimizer!r} has {len(expected)} tensors, of shapes "
            f"{_some(expected)}. Received: {len(shapes)} tensors, of shapes {_some(shapes)}. "
            "Compile with the optimizer that was saved, and with the same layers frozen."
        )


def _check_dtypes(variables, tensors):
    for variable, tensor in zip(variables, tensors, strict=False):
        if not torch.can_cast(tensor.dtype, variable.value.dtype):
            raise ValueError(
                f"The state '{variable.name}' of an optimizer must be {variable.value.dtype}, or "
                f"what can be made that. Received: {tensor.dtype}. The file is damaged."
            )


def _torch_state(optimizer, tensors, frame):
    """`(state_dict, iterations)` that fit a torch optimizer."""
    inner = optimizer.optimizer
    name = frame.get("class_name")
    if name != type(inner).__name__:
        raise ValueError(
            "The state must come from the same kind of optimizer. Received: the state of a "
            f"torch optimizer {clipped(repr(name))} for a {type(inner).__name__}. Compile with "
            "the optimizer that was saved."
        )
    try:
        state = _from_frame(frame["state"], tensors)
        for saved, current in zip(state["param_groups"], inner.param_groups, strict=True):
            saved.update({key: current[key] for key in _PROGRAM_OPTIONS if key in current})
            _check_group(saved, current)
        _check_state_shapes(inner, state)
        if type(frame["iterations"]) is not int:
            raise TypeError(f"iterations={frame['iterations']!r}")
        return state, torch.tensor(frame["iterations"], dtype=torch.int32)
    except Exception as error:
        raise ValueError(
            f"The state of a {name} over the model's parameters was expected. Received: a state "
            f"that does not fit it ({type(error).__name__}: {clipped(error)})."
        ) from error


def _check_group(saved, current):
    """Raise unless a file's options of a group of parameters are of the kinds that are in use."""
    lacking = [key for key in current if key not in saved]
    if lacking:
        raise ValueError(f"A group has the options {list(current)}. Received: none of {lacking}.")
    for key, value in saved.items():
        if key == "params":
            numbers = isinstance(value, list) and all(type(item) is int for item in value)
            fitting = numbers and len(value) == len(current["params"])
        else:
            fitting = key not in current or _alike(value, current[key])
        if not fitting:
            raise ValueError(f"The option '{key}' of a group is of another kind: {value!r}.")


def _alike(value, current):
    if value is None or current is None:
        return True
    if isinstance(current, (list, tuple)):
        fitting = isinstance(value, (list, tuple)) and len(value) == len(current)
        return fitting and all(map(_alike, value, current))
    if isinstance(current, str):
        return isinstance(value, str)
    numbers = (bool, int, float, torch.Tensor)
    return not isinstance(current, numbers) or isinstance(value, numbers)


# What torch's optimizers keep of a parameter, elementwise.
_ELEMENTWISE = frozenset(
    "exp_avg exp_avg_sq max_exp_avg_sq exp_inf momentum_buffer square_avg grad_avg acc_delta sum "
    "prev step_size".split()
)


def _check_state_shapes(optimizer, state):
    """Fused kernels read as many elements as the parameter has, without looking at the state."""
    number = 0
    for group in optimizer.param_groups:
        for param in group["params"]:
            for key, value in state["state"].get(number, {}).items():
                is_tensor = isinstance(value, torch.Tensor)
                fused = group.get("fused") and is_tensor
                expected = torch.Size() if key == "step" else param.shape
                if (fused or (is_tensor and key in _ELEMENTWISE)) and value.shape != expected:
                    raise ValueError(
                        f"'{key}' of parameter {number} must have shape {tuple(expected)}. "
                        f"Received: shape {tuple(value.shape)}."
                    )
            number += 1


def _to_frame(value, tensors):
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, dict):
        return {"dict": [[key, _to_frame(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_to_frame(item, tensors) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(
        "A file can hold tensors, numbers and strings of a torch optimizer's state. Received: "
        f"{value!r} of type {type(value).__name__}. Save with include_optimizer=False."
    )


def _from_frame(frame, tensors):
    if not isinstance(frame, dict):
        return frame
    ((kind, content),) = frame.items()
    if kind == "tensor":
        if type(content) is not int or not 0 <= content < len(tensors):
            raise ValueError(f"A number of a tensor was expected. Received: {content!r}.")
        return tensors[content].clone()
    if kind == "dict":
        return {key: _from_frame(item, tensors) for key, item in content}
    if kind not in ("list", "tuple"):
        raise ValueError(f"A frame of a list or dict was expected. Received: {kind!r}.")
    items = [_from_frame(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _some(items):
    return f"{items[:5]}{' and so on' if len(items) > 5 else ''}"
