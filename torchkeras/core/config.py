"""Process-wide settings: float type, fuzz factor, image layout, default device, log style."""

import contextlib
import sys
import threading

import torch

from torchkeras.core.scopes import SCOPE

_FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")

_settings = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "interactive_logging": True,
    "traceback_filtering": True,
    "max_epochs": None,
    "max_steps_per_epoch": None,
    "flash_attention": None,
}
_local = threading.local()


def backend():
    """Name of the array library underneath: always `"torch"`.

    Example:

    >>> keras.config.backend()
    'torch'
    """
    return "torch"


def set_backend(backend):
    """Kept for Keras's name: torch is what there is.

    Args:
        backend: `"torch"`.

    Raises:
        ValueError: any other name.

    Example:

    >>> keras.config.set_backend("torch")
    """
    if backend != "torch":
        raise ValueError(
            "torchkeras computes with torch, and with nothing else. Received: backend="
            f"{backend!r}. Import Keras itself, with KERAS_BACKEND set, for another."
        )


def is_nnx_enabled():
    """Whether the features for Flax NNX are on: never, they are of JAX.

    Example:

    >>> keras.config.is_nnx_enabled()
    False
    """
    return False


def enable_flash_attention():
    """Let torch choose its flash attention kernel in attention layers (the default).

    It holds for layers made from now on. Torch then takes that kernel where device, dtype and
    shapes allow it.

    Example:

    >>> keras.config.enable_flash_attention()
    """
    _settings["flash_attention"] = None


def disable_flash_attention():
    """Keep torch from its flash attention kernel in attention layers made from now on.

    Example:

    >>> keras.config.disable_flash_attention()
    >>> keras.config.is_flash_attention_enabled()
    False
    >>> keras.config.enable_flash_attention()
    """
    _settings["flash_attention"] = False


def is_flash_attention_enabled():
    """False where flash attention is off, else None: torch chooses (as in Keras).

    Example:

    >>> keras.config.is_flash_attention_enabled() is None
    True
    """
    return _settings["flash_attention"]


def enable_unsafe_deserialization():
    """Kept for Keras's name, without effect: code from a file is never run.

    In Keras it lets files bring compiled Python lambdas and pickles, with which whoever wrote a
    file can do anything on the machine that reads it. Here such a file is refused in any case:
    define the function with `def`, and give it to `custom_objects` or register it.

    Example:

    >>> keras.config.enable_unsafe_deserialization()
    """


def floatx():
    """Default float dtype of weights and of converted Python floats, as a string.

    Example:

    >>> keras.config.floatx()
    'float32'
    """
    return _settings["floatx"]


def set_floatx(value):
    """Set the default float dtype.

    Args:
        value: `"float16"`, `"bfloat16"`, `"float32"` or `"float64"`.

    Raises:
        ValueError: any other value.

    Example:

    >>> keras.config.set_floatx("float32")
    """
    if value not in _FLOAT_NAMES:
        raise ValueError(
            f"`floatx` must be one of {', '.join(_FLOAT_NAMES)}. Received: value={value!r}."
        )
    _settings["floatx"] = value


def epsilon():
    """Small constant that keeps divisions and logarithms finite (default 1e-7, as in Keras).

    Example:

    >>> keras.config.epsilon()
    1e-07
    """
    return _settings["epsilon"]


def set_epsilon(value):
    """Set the constant that `epsilon()` returns.

    Example:

    >>> keras.config.set_epsilon(1e-7)
    """
    _settings["epsilon"] = float(value)


def image_data_format():
    """Default axis order of images: `"channels_last"` (as in Keras) or `"channels_first"`.

    Example:

    >>> keras.config.image_data_format()
    'channels_last'
    """
    return _settings["image_data_format"]


def set_image_data_format(data_format):
    """Set the default axis order of images.

    Args:
        data_format: `"channels_last"` or `"channels_first"`.

    Raises:
        ValueError: any other value.

    Example:

    >>> keras.config.set_image_data_format("channels_last")
    """
    _settings["image_data_format"] = standardize_data_format(data_format)


def standardize_data_format(data_format):
    """Return a valid data format; None means the configured default."""
    if data_format is None:
        return image_data_format()
    data_format = str(data_format).lower()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            "`data_format` must be 'channels_last' or 'channels_first'. "
            f"Received: data_format={data_format!r}."
        )
    return data_format


def max_epochs():
    """Upper bound that `fit` puts on `epochs`, or None (no bound).

    Example:

    >>> keras.config.max_epochs() is None
    True
    """
    return _settings["max_epochs"]


def set_max_epochs(value):
    """Bound the epochs of every `fit`, for dry runs; None removes the bound.

    Example:

    >>> keras.config.set_max_epochs(None)
    """
    _settings["max_epochs"] = value


def max_steps_per_epoch():
    """Upper bound on the steps of an epoch, or None (no bound).

    Example:

    >>> keras.config.max_steps_per_epoch() is None
    True
    """
    return _settings["max_steps_per_epoch"]


def set_max_steps_per_epoch(value):
    """Bound the steps of every epoch, for dry runs; None removes the bound.

    Example:

    >>> keras.config.set_max_steps_per_epoch(None)
    """
    _settings["max_steps_per_epoch"] = value


def enable_interactive_logging():
    """Write progress to the screen with a moving bar where it is a terminal (the default).

    Example:

    >>> keras.config.enable_interactive_logging()
    """
    _settings["interactive_logging"] = True


def disable_interactive_logging():
    """Write progress through `logging`-style plain lines, without a moving bar.

    Example:

    >>> keras.config.disable_interactive_logging()
    >>> keras.config.enable_interactive_logging()
    """
    _settings["interactive_logging"] = False


def is_interactive_logging_enabled():
    """Whether progress may be drawn as a moving bar.

    Example:

    >>> keras.config.is_interactive_logging_enabled()
    True
    """
    return _settings["interactive_logging"]


def enable_traceback_filtering():
    """Kept for Keras's name (the default there): errors here keep their own, short traceback.

    Example:

    >>> keras.config.enable_traceback_filtering()
    """
    _settings["traceback_filtering"] = True


def disable_traceback_filtering():
    """Kept for Keras's name: nothing of a traceback is ever left out.

    Example:

    >>> keras.config.disable_traceback_filtering()
    >>> keras.config.enable_traceback_filtering()
    """
    _settings["traceback_filtering"] = False


def is_traceback_filtering_enabled():
    """What the two switches were last set to; it changes nothing.

    Example:

    >>> keras.config.is_traceback_filtering_enabled()
    True
    """
    return _settings["traceback_filtering"]


def is_notebook():
    """Whether the code runs in a Jupyter kernel (without importing IPython)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def default_device():
    """Device on which weights and converted arrays are created, as a `torch.device`.

    In order: the innermost `keras.device(...)` scope, a device set by
    `torch.set_default_device`, the machine's accelerator, the CPU. The workers of a DataLoader
    leave the accelerator to their parent, whose children cannot use it after a fork. While
    shapes are inferred it is the meta device, where tensors have no data.
    """
    if SCOPE.meta:
        return torch.device("meta")
    stack = getattr(_local, "devices", None)
    if stack:
        return stack[-1]
    if torch.compiler.is_compiling():
        device = torch.empty(0).device  # Dynamo does not trace `get_default_device`
    else:
        device = torch.get_default_device()
    if device.type == "cpu" and not _is_data_worker() and torch.accelerator.is_available():
        device = torch.accelerator.current_accelerator()
    return device


def _is_data_worker():
    # Dynamo does not trace `get_worker_info`.
    return not torch.compiler.is_compiling() and torch.utils.data.get_worker_info() is not None


@contextlib.contextmanager
def device(name):
    """Scope inside which weights and converted arrays are created on the device `name`.

    Args:
        name: a torch device or its name; Keras's `"gpu:0"` means `"cuda:0"`.

    Example:

    >>> with keras.device("cpu"):
    ...     x = keras.ops.ones((2,))
    """
    if isinstance(name, str):
        name = name.lower().replace("gpu", "cuda")
    stack = _local.__dict__.setdefault("devices", [])
    stack.append(torch.device(name))
    try:
        yield
    finally:
        stack.pop()
