"""Quantizable: the part of Dense, EinsumDense and Embedding for weights of few bits."""

import torch

from torchkeras.core import dtype_policy as dtype_policies
from torchkeras.core.quantized_policy import (
    QuantizedFloat8DTypePolicy,
    check_width,
)
from torchkeras.core.serialization import deserialize_keras_object, serialize_keras_object
from torchkeras.layers.layer import Layer
from torchkeras.quantizers.quantization_config import (
    Int4QuantizationConfig,
    QuantizationConfig,
    check_is_config,
    resolve_config,
)
from torchkeras.quantizers.quantizer import AbsMaxQuantizer
from torchkeras.quantizers.weight_codes import decode, encode

_FLOAT8_PARTS = ("inputs", "kernel", "outputs_grad")


class Quantizable:
    """Weights as integers with scales, made by `quantize` or in the `build` of the layer.

    A class says in `_quantized_weights` which of its weights can be quantized, in `_code_of` how,
    and computes with them in `quantized_call`, which calls run in place of `call`. The weights
    keep their names: `layer.kernel` then holds integers, and `kernel_scale` stands beside it.
    """

    _plain_attributes = Layer._plain_attributes | {"_codes", "inputs_quantizer"}
    _quantized_weights = ()
    _file_order = ()  # names of the weights, in the order of Keras's files
    _modes = ("int8", "int4")
    _codes = None  # name of each quantized weight -> its WeightCode, {} for float8
    inputs_quantizer = None
    quantization_config = None

    def _set_quantization(self, config):
        if config is not None:
            check_is_config(config, "quantization_config")
            self.quantization_config = config

    def _quantization_of_config(self):
        return {"quantization_config": serialize_keras_object(self.quantization_config)}

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described."""
        if config.get("quantization_config") is not None:
            quantization = deserialize_keras_object(config["quantization_config"])
            config = {**config, "quantization_config": quantization}
        return super().from_config(config)

    # From floats to integers

    def quantize(self, mode=None, type_check=True, config=None):
        """Keep the weights in fewer bits from now on.

        Args:
            mode: `"int8"`, `"int4"`, or for Dense and EinsumDense `"float8"`; None for that of
                the config.
            type_check: bool, whether a subclass is refused, whose `call` may do something else.
            config: QuantizationConfig of `keras.quantizers`; None for the default of the mode.

        Raises:
            ValueError: the layer is not built, or is quantized already; the arguments mean nothing.
            NotImplementedError: the layer does not know the mode, or is of a subclass.

        Example:

        >>> layer = keras.layers.Dense(4)
        >>> layer.build((None, 3))
        >>> layer.quantize("int8")
        >>> [(w.name, w.dtype) for w in layer.weights]
        [('bias', 'float32'), ('kernel', 'int8'), ('kernel_scale', 'float32')]
        """
        config = resolve_config(mode, config)
        mode = config.mode
        if not self.built:
            raise ValueError(
                f"A layer is quantized when its weights are there. Received: layer '{self.name}', "
                "which is not built. Call it on data, or `build(input_shape)`, first."
            )
        if self._codes is not None:
            raise ValueError(
                f"Layer '{self.name}' is quantized already, by dtype policy "
                f"'{self.dtype_policy.name}'. Received: mode={mode!r}. Quantize a copy of the "
                "layer with float weights."
            )
        if type_check and "_quantized_weights" not in vars(type(self)):
            raise NotImplementedError(
                f"Layer '{self.name}' is of class {type(self).__name__}, a subclass, whose `call` "
                "may not be that of quantized weights. Received: quantize(...). Give "
                "type_check=False if it is."
            )
        self._check_mode(mode)
        check_width(mode, self.compute_dtype)
        quantizer = QuantizationConfig.weight_quantizer_or_default(config, None)
        made = {}
        if mode != "float8":
            block_size = self._block_size(config)
            for name in self._quantized_weights:
                if name in self._handles:
                    value = self._handles[name]._store[self._handles[name]._key].detach()
                    code = self._code_of(name, tuple(value.shape), mode, block_size)
                    made[name] = code.shape, encode(value, code, quantizer)
        # Nothing above has changed the layer, and nothing below can fail.
        self.quantization_config = config
        if self._quantization_mode is None:
            self._set_policy(_policy_for(mode, config, self._own_policy))
        if mode == "float8":
            self._add_float8_states()
        for name, (shape, values) in made.items():
            delattr(self, name)
            setattr(self, name, self._add_quantized(name, shape))
            for suffix, value in zip(("", "_scale", "_zero"), values, strict=True):
                if value is not None:
                    getattr(self, name + suffix).assign(value)

    def _quantize_for(self, policy):
        """Quantize by a policy that was set on the layer with its float weights."""
        config = None
        if policy.quantization_mode == "int4":
            config = Int4QuantizationConfig(block_size=getattr(policy, "block_size", None))
        self.quantize(policy.quantization_mode, config=config)

    def _check_mode(self, mode):
        reason = None
        if mode not in self._modes:
            reason = f"can be quantized by {' and '.join(self._modes)}"
        elif mode == "float8" and self.lora_enabled:
            reason = "has LoRA, which goes with int8 and int4"
        if reason:
            raise NotImplementedError(
                f"Layer '{self.name}' of class {type(self).__name__} {reason}. Received: "
                f"mode={mode!r}."
            )

    def _block_size(self, config):
        if isinstance(config, Int4QuantizationConfig):
            size = config.block_size
        else:
            size = getattr(self._own_policy, "block_size", None)
        return None if size == -1 else size

    # Weights

    def add_weight(self, *args, name=None, **kwargs):
        """As Layer's; in `build`, a weight to be quantized is made as one, without its values."""
        mode = self._quantization_mode
        if mode is None or not self._building or name not in self._quantized_weights:
            return super().add_weight(*args, name=name, **kwargs)
        self._check_mode(mode)
        if mode != "float8":
            return self._add_quantized(name, tuple(kwargs["shape"]))
        self._add_float8_states()
        return super().add_weight(*args, name=name, **kwargs)

    def _add_quantized(self, name, shape):
        """Create the integers of a weight, and what belongs to them; returns the integers."""
        mode, config = self._quantization_mode, self.quantization_config
        code = self._code_of(name, shape, mode, self._block_size(config))
        self._codes = {**(self._codes or {}), name: code}
        self.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(
            config, self._default_inputs_quantizer(mode)
        )

        def add(name, shape, **arguments):
            return Layer.add_weight(self, shape=shape, trainable=False, name=name, **arguments)

        weight = add(name, code.stored_shape, initializer="zeros", dtype="int8")
        setattr(self, f"{name}_scale", add(f"{name}_scale", code.scale_shape, initializer="ones"))
        if code.block_size is not None:
            zero = add(
                f"{name}_zero", code.scale_shape, initializer="zeros", dtype=self._zero_dtype(name)
            )
            setattr(self, f"{name}_zero", zero)
            if name == self._quantized_weights[0]:
                rows = torch.arange(code.matrix[code.axis])
                self.g_idx = add("g_idx", rows.shape, initializer="zeros", dtype="float32")
                self.g_idx.assign(rows // code.block_size)
        return weight

    def _zero_dtype(self, name):
        return "int8"

    def _default_inputs_quantizer(self, mode):
        return AbsMaxQuantizer() if mode == "int8" else None

    def _add_float8_states(self):
        """Create the scales of products of 8-bit floats, which gradients are to overwrite."""
        self._codes = {}
        length = getattr(
            self._own_policy,
            "amax_history_length",
            QuantizedFloat8DTypePolicy.default_amax_history_length,
        )
        for part in _FLOAT8_PARTS:
            for name, shape, initializer in (
                (f"{part}_scale", (), "ones"),
                (f"{part}_amax_history", (length,), "zeros"),
            ):
                state = Layer.add_weight(
                    self,
                    shape=shape,
                    initializer=initializer,
                    dtype="float32",
                    autocast=False,
                    overwrite_with_gradient=True,
                    name=name,
                )
                state.trainable = self._trainable
                setattr(self, name, state)

    def _stored(self, name):
        """The integers of a weight, its scale, zero and code."""
        zero = self._handles.get(f"{name}_zero")
        return (
            self._handles[name].value,
            self._handles[f"{name}_scale"].value,
            None if zero is None else zero.value,
            self._codes[name],
        )

    def _lora_shape(self):
        codes = self._codes or {}
        name = self._lora_weight
        return codes[name].shape if name in codes else super()._lora_shape()

    def enable_lora(self, rank, *args, **kwargs):
        """As without quantization; see `LowRankUpdate.enable_lora`."""
        if self._quantization_mode == "float8":
            raise NotImplementedError(
                f"LoRA goes with int8 and int4. Received: layer '{self.name}', quantized by float8."
            )
        super().enable_lora(rank, *args, **kwargs)

    # Files

    def _file_variables(self):
        """`(name, Variable)` in the order of files: Keras's, then what a subclass has added."""
        lora = {f"lora_{self._lora_weight}_{part}" for part in "ab"}
        own = {id(variable): variable for variable in self._own_variables()}
        named = [(name, self._handles[name]) for name in self._file_order if name in self._handles]
        taken = {id(variable) for _, variable in named}
        rest = [(v.name, v) for key, v in own.items() if key not in taken and v.name not in lora]
        return named + rest

    def save_own_variables(self, store):
        """Put the layer's variables into the dict `store`; LoRA's product is in the integers."""
        if self._codes is None:
            return super().save_own_variables(store)
        merged = self._encoded_with_lora() if self.lora_enabled else {}
        for index, (name, variable) in enumerate(self._file_variables()):
            store[str(index)] = merged[name] if name in merged else variable.numpy()

    def _encoded_with_lora(self):
        name = self._lora_weight
        with torch.no_grad():
            stored, scale, zero, code = self._stored(name)
            _, a, b = (part.value for part in self._lora_parts())
            value = decode(stored, scale, zero, code, self._compute_dtype)
            value = value + self.lora_alpha / self.lora_rank * (a @ b)
            values = encode(value, code)
        names = [name, f"{name}_scale", f"{name}_zero"]
        return dict(zip(names, values, strict=True))

    def load_own_variables(self, store):
        """Set the layer's variables from `store`; with LoRA, as it was before any training."""
        if self._codes is None:
            return super().load_own_variables(store)
        own = [variable for _, variable in self._file_variables()]
        if len(own) != len(store):
            raise ValueError(
                f"Layer '{self.name}', quantized by '{self.dtype_policy.name}', has {len(own)} "
                f"variables in files. Received: {len(store)} values. Load the file into a layer "
                "that is quantized in the same way."
            )
        values = [v._as_slot_value(store[str(index)]) for index, v in enumerate(own)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)
        if self.lora_enabled:
            b = self._lora_parts()[2]
            b.assign(b.value.detach() * 0)


def _policy_for(mode, config, source):
    if mode == "int4":
        size = config.block_size
        mode = f"int4/{-1 if size is None else size}"
    return dtype_policies.get(f"{mode}_from_{source.name}")
