"""Build script: metadata is in pyproject.toml; the compiled kernels are declared here.

They are optional: without torch, or without a compiler that works, the package is installed as
plain Python and compiles them at first use, if it can by then. `TORCHKERAS_KERNELS=require` makes
their lack an error, `off` leaves them out, `TORCHKERAS_BUILD_CUDA=1` adds those for CUDA.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = pathlib.Path(__file__).resolve().parent
MODE = os.environ.get("TORCHKERAS_KERNELS") or "auto"

# By its path: torchkeras itself imports torch, which a build environment does not have.
_spec = importlib.util.spec_from_file_location("build", ROOT / "torchkeras/kernels/build.py")
builder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(builder)

# Finds torch without importing it, which would take seconds.
PROBE = """
import importlib.util, json, os
folder = os.path.dirname(importlib.util.find_spec("torch").origin)
spec = importlib.util.spec_from_file_location("version", os.path.join(folder, "version.py"))
version = importlib.util.module_from_spec(spec)
spec.loader.exec_module(version)
print(json.dumps([folder, str(version.__version__), version.cuda]))
"""


def find_torch():
    """The torch that the package will run with, or None.

    pip builds in an environment of its own, made by PYTHONPATH alone: -I looks past it, to the
    torch that is installed for this interpreter.
    """
    for options in ([], ["-I"]):
        command = [sys.executable, *options, "-c", PROBE]
        probe = subprocess.run(
            command, capture_output=True, text=True, cwd=sysconfig.get_path("stdlib")
        )
        if probe.returncode == 0:
            return builder.Torch(*json.loads(probe.stdout.splitlines()[-1]))
    return None


def give_up(reason):
    if MODE == "require":
        raise SystemExit(f"torchkeras: TORCHKERAS_KERNELS is 'require', and {reason}.")
    print(f"torchkeras: installed without compiled kernels: {reason}.", file=sys.stderr)


def extensions(torch):
    if MODE == "off":
        return []
    if torch is None:
        give_up("torch is not installed; run `pip install torch` first")
        return []
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        give_up("a free-threaded Python has no stable interface; they are compiled at first use")
        return []
    names = ["_C", "_C_cuda"] if os.environ.get("TORCHKERAS_BUILD_CUDA") == "1" else ["_C"]
    files = sorted(path.relative_to(ROOT).as_posix() for path in builder.sources(ROOT / "csrc"))
    return [
        Extension(f"torchkeras.{name}", files, py_limited_api=True, optional=True) for name in names
    ]


class BuildKernels(build_ext):
    """Compiles with the commands that are used at run time too, and survives their failure."""

    def build_extension(self, extension):
        output = pathlib.Path(self.get_ext_fullpath(extension.name))
        output.parent.mkdir(parents=True, exist_ok=True)
        cuda = extension.name.endswith("_cuda")
        try:
            builder.compile_library(
                output,
                TORCH,
                ROOT / "csrc",
                cuda,
                python_include=None if cuda else sysconfig.get_path("include"),
                timeout=1800,
            )
        except builder.BuildError as error:
            output.unlink(missing_ok=True)  # of an earlier build, in build/
            give_up(error)


class BuildWithSources(build_py):
    """Adds csrc to a wheel, for compilation at first use; an editable install finds its own."""

    def run(self):
        super().run()
        if not self.editable_mode:
            package = pathlib.Path(self.build_lib, "torchkeras")
            # Of an earlier build with other settings; this one's are compiled after this step.
            for library in package.glob("_C*.so"):
                library.unlink()
            target = package / "csrc"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / "csrc", target)


TORCH = find_torch()
EXTENSIONS = extensions(TORCH)
setup(
    ext_modules=EXTENSIONS,
    cmdclass={"build_ext": BuildKernels, "build_py": BuildWithSources},
    # One wheel for Python 3.10 and later.
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if EXTENSIONS else {},
)
