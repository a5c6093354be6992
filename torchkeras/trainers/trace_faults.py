"""Where torch's tracing fails: what it says then, and what it gets wrong."""

import contextlib
import os
import re

import torch

from torchkeras import version

_OWN_FILES = tuple(os.path.dirname(module.__file__) + os.sep for module in (torch, version))


def cause_of(error):
    """Why torch has made no graph: one line, with the place in the user's code.

    Args:
        error: Exception, Dynamo's or Inductor's.
    """
    text = str(error)
    if type(error).__name__ == "FailOnRecompileLimitHit":
        return "something in Python changes with the steps, and each change takes another graph"
    said = re.search(r"'msg': ConstantVariable\(str: '(.*?)'\)", text)
    if said:
        cause = said[1]
    else:
        lines = [line.strip() for line in text.splitlines()]
        cause = next((line for line in lines if line), type(error).__name__)
        cause = cause.removesuffix(".")
        if "graph_break()" in cause:
            cause = "torch leaves the graph"
    places = re.findall(r'File "([^"]+)", line (\d+), in (\w+)\n\s+(.+)', text)
    users = [place for place in places if not place[0].startswith(_OWN_FILES)]
    if users:
        file, line, function, code = users[-1]
        cause += f" in {function}: `{code.strip()}` ({os.path.basename(file)}, line {line})"
    return cause


@contextlib.contextmanager
def writes_to_scalars_kept(module):
    """Let torch not trace again for the sake of float64 scalars on the CPU.

    It would, to make constants of those that are read as numbers, and in the second trace torch
    2.13 drops what is written to the others: a metric in float64 would count nothing.

    Args:
        module: FX module that Dynamo has made, about to be compiled.
    """
    from torch._dynamo.symbolic_convert import TensorifyState
    from torch.fx.experimental.symbolic_shapes import SymT, symbol_is_type

    shapes = torch._guards.TracingContext.get().fake_mode.shape_env
    numbers = {str(s) for s in shapes.backed_var_to_val if symbol_is_type(s, SymT.FLOAT)}
    for node in module.graph.nodes:
        value = node.meta.get("example_value")
        if node.op == "placeholder" and isinstance(value, torch.SymFloat):
            numbers.discard(str(value.node._expr))  # a number indeed
    added = numbers - TensorifyState.force_specializations
    TensorifyState.force_specializations.update(added)
    try:
        yield
    finally:
        TensorifyState.force_specializations.difference_update(added)
