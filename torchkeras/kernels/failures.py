"""What a failure inside an op was: torch's stable interface hands it on without type and text."""

import torch

from torchkeras.kernels import fakes


def raise_torchs_own(error, op, *args):
    """Raise torch's own error, such as `torch.OutOfMemoryError`, where a call of torch failed.

    The same memory is asked for, and the same products are computed, by torch's own functions.
    Returns where `error` has another cause, or they succeed: the caller raises it again.

    Args:
        error: RuntimeError that the op raised.
        op: string, its name.
        args: its arguments.

    Example:

    >>> from torchkeras.kernels.failures import raise_torchs_own
    >>> raise_torchs_own(RuntimeError("of another kind"), "dropout", torch.ones(1), 0.5, None)
    """
    if "API call failed" not in str(error):
        return
    with torch.no_grad():
        # All at once, as in the op: what is given back too early could serve a second time.
        held = [a.contiguous() if isinstance(a, torch.Tensor) else a for a in args]
        held.append(fakes.FUNCTIONS[op](*args))
        if op == "dense_act_dropout":
            torch.mm(args[0], args[1])
        elif op == "dense_act_dropout_backward":
            gy, x, kernel = args[:3]
            held.append(torch.empty_like(gy))
            torch.mm(gy, kernel.t()), torch.mm(x.t(), gy)
