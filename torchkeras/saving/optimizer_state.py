"""The state of an optimizer as a list of tensors and, for torch's, a JSON frame around them."""

import torch

from torchkeras.optimizers.loss_scale_optimizer import LossScaleOptimizer
from torchkeras.optimizers.torch_optimizer import TorchOptimizer

# How a torch optimizer computes. The program decides that, not the file.
_PROGRAM_OPTIONS = ("foreach", "fused", "capturable", "differentiable")


def get_optimizer_state(optimizer):
    """`(tensors, frame)` of an optimizer; the frame is None for torchkeras's own.

    An optimizer that was not built, or None, has no state.

    Args:
        optimizer: Optimizer, TorchOptimizer or None.

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
    if not isinstance(optimizer, TorchOptimizer):
        return [variable.value for variable in (scale or optimizer).variables], None
    tensors = [variable.value for variable in scale.variables] if scale else []
    frame = {
        "class_name": type(optimizer.optimizer).__name__,
        "iterations": int(optimizer.iterations),
        "state": _to_frame(optimizer.state_dict(), tensors),
    }
    return tensors, frame


def set_optimizer_state(model, tensors, frame):
    """Give the optimizer of a built model the state that `get_optimizer_state` gave; all or none.

    Args:
        model: built and compiled model. Its optimizer is built if it was not.
        tensors: list of tensors.
        frame: dict for a torch optimizer, or None.

    Raises:
        ValueError: the state is that of another optimizer or of other variables.
    """
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    scale, optimizer = _without_scale(optimizer)
    if isinstance(optimizer, TorchOptimizer) is not (frame is not None):
        raise ValueError(
            "The state must come from the same kind of optimizer. Received: the state of a "
            f"{'torchkeras' if frame is None else 'torch'} optimizer for {optimizer!r}. Compile "
            "with the optimizer that was saved."
        )
    if frame is None:
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
