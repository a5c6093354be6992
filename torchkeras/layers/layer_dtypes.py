"""LayerDtypes: the part of Layer that knows in which dtypes it keeps and computes numbers."""

import contextlib

import torch

from torchkeras.core import dtype_policy as dtype_policies
from torchkeras.core import tree
from torchkeras.core.dtype_policy_map import DTypePolicyMap
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype, to_torch_dtype
from torchkeras.layers.fast_path import UNSETTLED
from torchkeras.layers.tracked_module import CHANGES, TrackedModule


class LayerDtypes:
    """Dtype policies, quantization, and moves of a layer to another dtype."""

    def _set_policy(self, policy):
        self._dtype_policy = policy
        if isinstance(policy, DTypePolicyMap):
            policy = policy.policy_of(self.__dict__.get("_path"))
        self._own_policy = policy
        self._quantization_mode = policy.quantization_mode
        self._calls_quantized = bool(policy.quantization_mode and hasattr(self, "quantized_call"))
        self._fast = UNSETTLED
        CHANGES.add()
        compute, variable = policy.compute_dtype, policy.variable_dtype
        self._compute_dtype = to_torch_dtype(compute) if compute != "string" else None
        casts = self._autocast and is_float_dtype(compute)
        # A layer that does not cast reads its weights as they are, within a mixed one too.
        mixed = casts and compute != variable
        self._autocast_dtype = self._compute_dtype if mixed else None
        self._input_torch_dtype = self._compute_dtype if casts else None

    @property
    def dtype_policy(self):
        """The layer's DTypePolicy; it may be set. Of a DTypePolicyMap its path's entry is set."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        policy, known, path = dtype_policies.get(value), self._dtype_policy, self.path
        own = policy.policy_of(path) if isinstance(policy, DTypePolicyMap) else policy
        if self.built and own != self._own_policy and self._calls_quantized:
            raise ValueError(
                f"Layer '{self.name}' has quantized weights, which fit the policy "
                f"'{self._own_policy.name}' alone. Received: dtype_policy='{own.name}'. Make "
                "another layer with float weights."
            )
        if isinstance(known, DTypePolicyMap) and not isinstance(policy, DTypePolicyMap) and path:
            if path in known:
                del known[path]
            known[path] = policy
            policy = known
        old = self._own_policy
        self._set_policy(policy)
        if self.built and self._calls_quantized and own != old:
            try:
                self._quantize_for(own)
            except Exception:
                self._set_policy(old)
                raise

    def _set_path(self, path):
        self._path = path
        if isinstance(self._dtype_policy, DTypePolicyMap):
            self._set_policy(self._dtype_policy)

    @property
    def quantization_mode(self):
        """How weights are quantized: `"int8"`, `"int4"`, `"float8"` or None."""
        return self._quantization_mode

    def _quantize_for(self, policy):
        """Quantize by a policy that was set on the layer with its float weights."""
        self.quantize(policy.quantization_mode)

    def quantize(self, mode=None, type_check=True, config=None):
        """Keep the weights in fewer bits, in the layers that can.

        Raises:
            NotImplementedError: here, since this layer cannot.
        """
        raise NotImplementedError(
            f"Layer '{self.name}' of class {type(self).__name__} has no weights that can be "
            f"quantized. Received: quantize(mode={mode!r}). Dense, EinsumDense, Embedding and "
            "ReversibleEmbedding have."
        )

    @property
    def dtype(self):
        """Dtype name of the weights; same as `variable_dtype`."""
        return self._own_policy.variable_dtype

    @property
    def variable_dtype(self):
        """Dtype name of the weights."""
        return self._own_policy.variable_dtype

    @property
    def compute_dtype(self):
        """Dtype name of the computation."""
        return self._own_policy.compute_dtype

    @property
    def input_dtype(self):
        """Dtype name that float inputs are cast to."""
        return self._own_policy.compute_dtype

    @property
    def autocast(self):
        """Whether float inputs and weights are cast to the compute dtype; it may be set."""
        return self._autocast

    @autocast.setter
    def autocast(self, value):
        self._autocast = value
        self._set_policy(self._dtype_policy)

    def _apply(self, fn, recurse=True):
        # `.half()`, `.to(torch.bfloat16)` and the like change the policy with the weights.
        policy = self._policy_after(fn)
        super()._apply(fn, recurse)
        for metric in self._metrics:
            for variable in metric.variables:
                with torch.no_grad():
                    moved = fn(variable._store[variable._key])
                variable._store[variable._key] = moved.to(to_torch_dtype(variable.dtype))
        if policy is not self._dtype_policy:
            self._set_policy(policy)
        return self

    def _policy_after(self, fn):
        if not is_float_dtype(self.variable_dtype):
            return self._dtype_policy
        old = to_torch_dtype(self.variable_dtype)
        with torch.no_grad():
            new = fn(torch.empty(0, dtype=old)).dtype
        if new is old:
            return self._dtype_policy
        return self._own_policy.with_source(standardize_dtype(new))

    def _mixes_foreign_modules(self):
        """Whether plain modules of torch are called here, whose weights have another dtype."""
        return any(not isinstance(module, TrackedModule) for module in self._modules.values())

    def _torch_autocast(self, first):
        """A context in which plain modules compute in the compute dtype, as torch's users do it."""
        device_type = next((x.device.type for x in tree.flatten(first) if hasattr(x, "device")), "")
        if device_type not in ("cpu", "cuda", "xpu", "mps"):
            return contextlib.nullcontext()  # shapes alone
        return torch.autocast(device_type, self._autocast_dtype)
