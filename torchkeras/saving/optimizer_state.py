"""The state of an optimizer as a list of tensors and, for torch's, a JSON frame around them."""

import torch

from torchkeras.optimizers.loss_scale_optimizer import LossScaleOptimizer
from torchkeras.optimizers.torch_optimizer import TorchOptimizer

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


def set_optimizer_state(model, tensors, frame):
    """Give the optimizer of a built model the state that `get_optimizer_state` gave; all or none.

    Args:
        model: built and compiled model. Its optimizer is built if it was not.
        tensors: list of tensors.
        frame: dict or None, as `get_optimizer_state` gave it.

    Raises:
        ValueError: the state is that of another optimizer or of other variables.
    """
    scale, optimizer = _without_scale(model.optimizer)
    of_torch = frame is not None and "class_name" in frame
    if isinstance(optimizer, TorchOptimizer) is not of_torch:
        raise ValueError(
            "The state must come from the same kind of optimizer. Received: the state of a "
            f"{'torch' if of_torch else 'torchkeras'} optimizer for {optimizer!r}. Compile "
            "with the optimizer that was saved."
        )
    shapes = None if of_torch else [tuple(tensor.shape) for tensor in tensors]
    _build_on(model, (frame or {}).get("variables"), shapes)
    if not of_torch:
        _set_variables(scale or optimizer, tensors)
        return
    own = scale.variables if scale else []
    if [t.shape for t in tensors[: len(own)]] != [v.shape for v in own]:
        raise ValueError(
            f"The state of {scale!r} begins with {len(own)} scalars. Received: that of an "
            "optimizer without a loss scale. Compile with the optimizer that was saved."
        )
    _set_torch_state(optimizer, tensors, frame)
    for variable, tensor in zip(own, tensors, strict=False):
        variable.assign(tensor)


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
    if not isinstance(names, list) or any(id(tensors.get(str(n))) not in handles for n in names):
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
    if shapes is None or shapes == [variable.shape for variable in fresh.variables]:
        optimizer.__dict__.update(fresh.__dict__)


def _without_scale(optimizer):
    """`(the LossScaleOptimizer or None, the optimizer itself)`."""
    if isinstance(optimizer, LossScaleOptimizer):
        return optimizer, optimizer.inner_optimizer
    return None, optimizer


def _set_variables(optimizer, tensors):
    shapes = [tuple(tensor.shape) for tensor in tensors]
    expected = [variable.shape for variable in optimizer.variables]
    if shapes != expected:
        raise ValueError(
            f"The state of {optimizer!r} has {len(expected)} tensors, of shapes "
            f"{_some(expected)}. Received: {len(shapes)} tensors, of shapes {_some(shapes)}. "
            "Compile with the optimizer that was saved, and with the same layers frozen."
        )
    for variable, tensor in zip(optimizer.variables, tensors, strict=True):
        variable.assign(tensor)


def _set_torch_state(optimizer, tensors, frame):
    inner = optimizer.optimizer
    name = frame.get("class_name")
    if name != type(inner).__name__:
        raise ValueError(
            "The state must come from the same kind of optimizer. Received: the state of a "
            f"torch optimizer {name!r} for a {type(inner).__name__}. Compile with the optimizer "
            "that was saved."
        )
    try:
        state = _from_frame(frame["state"], tensors)
        for saved, current in zip(state["param_groups"], inner.param_groups, strict=True):
            saved.update({key: current[key] for key in _PROGRAM_OPTIONS if key in current})
        _check_fused_shapes(inner, state)
        iterations = torch.tensor(frame["iterations"], dtype=torch.int32)
        inner.load_state_dict(state)
        optimizer.iterations.assign(iterations)
    except Exception as error:
        raise ValueError(
            f"The state of a {name} over the model's parameters was expected. Received: a state "
            f"that does not fit it ({type(error).__name__}: {error})."
        ) from error


def _check_fused_shapes(optimizer, state):
    """Fused kernels read as many elements as the parameter has, without looking at the state."""
    number = 0
    for group in optimizer.param_groups:
        for param in group["params"]:
            for key, value in state["state"].get(number, {}).items():
                is_tensor = isinstance(value, torch.Tensor)
                expected = torch.Size() if key == "step" else param.shape
                if group.get("fused") and is_tensor and value.shape != expected:
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
        return tensors[content].clone()
    if kind == "dict":
        return {key: _from_frame(item, tensors) for key, item in content}
    if kind not in ("list", "tuple"):
        raise ValueError(f"A frame of a list or dict was expected. Received: {kind!r}.")
    items = [_from_frame(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _some(items):
    return f"{items[:5]}{' and so on' if len(items) > 5 else ''}"
