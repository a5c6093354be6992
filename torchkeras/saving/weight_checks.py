"""What must hold of a file's tensors before the first of a model's is set."""

import torch

from torchkeras.core.sharding import is_sharded, shard_like
from torchkeras.core.user_warnings import warn_user
from torchkeras.saving.messages import listed


def seed_states(model):
    """States of the model's seed generators as `{name: tensor}`, named like the `state_dict`."""
    found = {}
    for path, module in model.named_modules():
        for generator in getattr(module, "_seed_generators", ()):
            key = f"{path}.{generator.state._key}" if path else generator.state._key
            found.setdefault(key, generator.state.value)
    return found


def check_seeds(seeds, found, path):
    """Raise unless the seeds `found` in a file can take the place of the model's `seeds`."""
    for name, tensor in found.items():
        if tensor.shape != seeds[name].shape or tensor.dtype != seeds[name].dtype:
            raise ValueError(
                f"The seed '{name}' must be a {seeds[name].dtype} tensor of shape "
                f"{tuple(seeds[name].shape)}. Received: {tensor.dtype}, {tuple(tensor.shape)} in "
                f"'{path}'."
            )


def check_seed_shapes(seeds, shapes, path):
    """Raise where the `shapes` of seeds in a file are others than the model's, before reading."""
    for name, shape in shapes.items():
        if tuple(shape) != tuple(seeds[name].shape):
            raise ValueError(
                f"The seed '{name}' must be a tensor of shape {tuple(seeds[name].shape)}. "
                f"Received: shape {tuple(shape)} in '{path}'."
            )


def check_dtypes(dtypes, path):
    """Raise where the dtypes in a file, `{name: (in the file, in the model)}`, cannot be cast."""
    for name, (found, own) in dtypes.items():
        if not torch.can_cast(found, own):
            raise ValueError(
                f"'{name}' must be {own}, or what can be made that. Received: {found} in '{path}'. "
                "Convert the file."
            )


def check_differences(model, path, missing, extra, wrong, skip_mismatch=False):
    """Raise where the names and shapes in a file are not the model's own; or warn, if skipped.

    Args:
        model: Model.
        path: str, the file.
        missing: list of names that the file lacks.
        extra: list of names that the model lacks.
        wrong: dict of names to `(shape in the file, shape in the model)`.
        skip_mismatch: bool.
    """
    if not (missing or extra or wrong):
        return
    differences = [f"{name} {found} for {own}" for name, (found, own) in wrong.items()]
    problem = (
        f"The weights in '{path}' must be those of '{model.name}'. Received: "
        f"{listed('missing', missing)}{listed('unknown', extra)}"
        f"{listed('of another shape', differences)}"
    )
    if not skip_mismatch:
        raise ValueError(
            f"{problem}Load into a model of the same architecture, or pass skip_mismatch=True."
        )
    warn_user(f"{problem}They were skipped.")


def as_weight(tensor, own, name, path):
    """`tensor` in the dtype of the weight `own`, fit to be copied into it.

    Raises:
        ValueError: another shape, or a dtype that cannot become that one.
    """
    # Elements of less than a byte come packed, in another shape than the file declares.
    if tensor.shape == own.shape and torch.can_cast(tensor.dtype, own.dtype):
        tensor = tensor.to(own.dtype)
        return shard_like(tensor.to(own.device), own) if is_sharded(own) else tensor
    raise ValueError(
        f"The weight '{name}' must be {own.dtype} of shape {tuple(own.shape)}, or what can be "
        f"made that. Received: {tensor.dtype} of shape {tuple(tensor.shape)} in '{path}'. Convert "
        "the file."
    )
