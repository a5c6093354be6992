"""`python -m torchkeras.kernels status` and `build`: look at the kernels, or compile them."""

import argparse
import sys

import torch

from torchkeras.kernels import build, cache, loader


def main(arguments=None):
    """Run the command line; returns the exit code: 0, or 1 where `build` failed.

    Args:
        arguments: list of strings; None for those of the process.

    Example:

    >>> from torchkeras.kernels.__main__ import main
    >>> main(["status"])  # doctest: +ELLIPSIS
    mode: ...
    """
    parser = argparse.ArgumentParser(prog="python -m torchkeras.kernels", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="show which kernels are used, and why")
    build_parser = commands.add_parser("build", help="compile the kernels into the cache")
    build_parser.add_argument("--cuda", action="store_true", help="those for CUDA, with nvcc")
    options = parser.parse_args(arguments)
    if options.command == "status":
        _show(loader.status())
        return 0
    return _build(options.cuda)


def _show(facts, indent=""):
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{indent}{name}:")
            _show(value, indent + "  ")
        else:
            print(f"{indent}{name}: {'-' if value is None else value}")


def _build(cuda):
    for is_cuda in (False, True) if cuda else (False,):
        name = "CUDA kernels" if is_cuda else "CPU kernels"
        facts = loader.status()
        facts = facts["cuda"] if is_cuda else facts
        if facts["loaded"]:
            print(f"{name}: {facts['path']}, compiled already")
            continue
        try:
            library = "_C_cuda" if is_cuda else "_C"
            path = cache.compile_into_cache(build.source_folder(), library, is_cuda, timeout=1800)
            if not is_cuda or torch.cuda.is_available():
                torch.ops.load_library(str(path))
        except (build.BuildError, OSError) as error:
            print(getattr(error, "output", ""), end="", file=sys.stderr)
            print(f"{name}: cannot be had: {error}", file=sys.stderr)
            return 1
        print(f"{name}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
