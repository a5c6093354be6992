"""TorchModuleWrapper: any `torch.nn.Module` as a layer."""

import functools

import torch
from torch.nn.modules.lazy import LazyModuleMixin

from torchkeras.core import config as core_config
from torchkeras.core import tree
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype, to_torch_dtype
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.call_spec import is_tensor_like
from torchkeras.layers.layer import Layer
from torchkeras.layers.output_spec import infer_output
from torchkeras.ops.core import cast


class TorchModuleWrapper(Layer):
    """Makes a `torch.nn.Module` a layer, for use on symbolic tensors in a functional model.

    Inside a subclassed layer or model a plain module needs no wrapper. The module keeps its own
    parameters, and its training mode follows the layer's. In mixed precision it runs under
    `torch.autocast`. A lazy module gets its weights at build.

    Args:
        module: `torch.nn.Module`.
        name: str, or None for an automatic name.
        output_shape: tuple of sizes with the batch, or structure of such tuples; None to find it
            by running the module without data.

    Input shape: whatever the module takes.
    Output shape: whatever it gives.

    Raises:
        TypeError: `module` is not a `torch.nn.Module`.
        NotImplementedError: its config is asked for and the module has no `get_config`.

    Example:

    >>> layer = keras.layers.TorchModuleWrapper(torch.nn.Linear(3, 2))
    >>> layer(keras.Input((3,))).shape
    (None, 2)
    >>> [w.shape for w in layer.weights]
    [(2, 3), (2,)]
    """

    def __init__(self, module, name=None, output_shape=None, **kwargs):
        super().__init__(name=name, **kwargs)
        if not isinstance(module, torch.nn.Module):
            raise TypeError(
                "`module` must be a torch.nn.Module. Received: "
                f"module={module!r} of type {type(module).__name__}. Use Lambda for a function."
            )
        self.module = module
        self.output_shape = output_shape
        if not self._is_lazy():
            self._finish_build({})

    def _is_lazy(self):
        return any(
            isinstance(part, LazyModuleMixin) and part.has_uninitialized_params()
            for part in self.module.modules()
        )

    def build(self, input_shape):
        # A lazy module finds its sizes in a first run; this one is on zeros, so that a symbolic
        # call has weights too.
        if self._is_lazy():
            dtype = to_torch_dtype(self.compute_dtype)
            run = functools.partial(torch.zeros, dtype=dtype, device=core_config.default_device())
            zeros = tree.map_shape_structure(
                lambda shape: run([1 if size is None else size for size in shape]), input_shape
            )
            was_training = self.module.training
            # `call` takes *args, so a call gives a tuple with the shape of each.
            arguments = zeros if isinstance(zeros, tuple) else (zeros,)
            with torch.no_grad():
                self.module.eval()(*arguments)
            self.module.train(was_training)

    def call(self, *args, training=None, **kwargs):
        outputs = self.module(*args, **kwargs)
        if self._autocast_dtype is None:
            return outputs
        # Under autocast some functions, such as layer_norm, give float32.
        return tree.map_structure(self._in_compute_dtype, outputs)

    def _in_compute_dtype(self, x):
        is_float = is_tensor_like(x) and is_float_dtype(standardize_dtype(x.dtype))
        return cast(x, self.compute_dtype) if is_float else x

    def compute_output_shape(self, input_shape):
        if self.output_shape is not None:
            return self.output_shape
        return super().compute_output_shape(input_shape)

    def compute_output_spec(self, *args, **kwargs):
        if self.output_shape is None:
            return infer_output(self, self._spec_of_call(), args, kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def get_config(self):
        config = super().get_config()
        module = self.module
        if not hasattr(module, "get_config"):
            cls = type(module).__name__
            raise NotImplementedError(
                "A torch module has no config that describes it. Received: a TorchModuleWrapper "
                f"('{self.name}') around a {cls}. Give the module a `get_config` and a "
                "`from_config` method and decorate its class with "
                "keras.saving.register_keras_serializable(), or save the weights only."
            )
        return {
            **config,
            "module": serialize_keras_object(module),
            "output_shape": self.output_shape,
        }

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described; a pickled module in a config is never read.

        Raises:
            ValueError: the config holds a pickled module, as Keras writes it.
        """
        config = dict(config)
        if not isinstance(config.get("module"), dict):
            raise ValueError(
                "The config holds a torch module as a pickle, and torchkeras never runs code from "
                "a file. Received: module of type "
                f"{type(config.get('module')).__name__}. Make the module in your program, wrap "
                "it, and load only its weights."
            )
        config["module"] = deserialize_keras_object(config["module"])
        if isinstance(config.get("output_shape"), list):
            config["output_shape"] = tree.lists_to_tuples(config["output_shape"])
        return super().from_config(config)
