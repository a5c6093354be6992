"""Variable: Keras's handle on a slot that holds a Parameter, a buffer, or a free tensor.

The tensor lives in exactly one place, `_store[_key]`: for a layer's weight that is the module's
own `_parameters` or `_buffers`. The handle reads and writes there and keeps only what torch
does not know (path, initializer, regularizer, constraint), so whatever torch does to the slot
(`.to`, `functional_call`, sharding) shows in the handle at once.
"""

import numpy as np
import torch
from torch import nn

from torchkeras.core import config, naming
from torchkeras.core.claims import values_follow
from torchkeras.core.convert import convert_to_numpy, convert_to_tensor
from torchkeras.core.dtypes import standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import OPS
from torchkeras.core.scopes import SCOPE, meta_scope
from torchkeras.core.sharding import is_sharded, shard_like
from torchkeras.core.variable_operators import define_operators, unwrap


class Variable:
    """A named piece of state: a weight, an optimizer moment, a counter.

    It is not a tensor but stands wherever one may: operators, `torch` and `keras.ops`
    functions, indexing and NumPy accept it. Attributes it does not define itself (`grad`,
    `device`, `mean`, ...) are those of the current tensor.

    Args:
        initializer: the value (number, array, tensor), an initializer or its name, or a
            function `(shape, dtype) -> tensor`; the last three need `shape`.
        shape: tuple of ints.
        dtype: name of a dtype; None means that of the value, or `floatx()`.
        trainable: bool, whether optimizers update it. Integer variables never are.
        autocast: bool, whether a mixed-precision layer reads it in its compute dtype.
        aggregation: `"none"`, `"mean"`, `"sum"` or `"only_first_replica"`: how replicas of a
            distributed job combine it.
        synchronization: kept for Keras's signature.
        name: str without `/`; None gives `variable`, `variable_1`, ...

    Raises:
        ValueError: an initializer without a shape, or a name with `/`.

    Example:

    >>> v = keras.Variable([1.0, 2.0], name="v")
    >>> v.assign_add([1.0, 1.0])
    tensor([2., 3.])
    >>> v * 2
    tensor([4., 6.], grad_fn=<MulBackward0>)
    >>> v.shape, v.dtype
    ((2,), 'float32')
    """

    _is_variable = True

    def __init__(
        self,
        initializer,
        shape=None,
        dtype=None,
        trainable=True,
        autocast=True,
        aggregation="none",
        synchronization="auto",
        name=None,
    ):
        name = name or naming.auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"`name` must be a string without '/'. Received: name={name!r}.")
        if isinstance(initializer, str):
            initializer = _initializer_named(initializer)
        # A slot made under inference_mode could never be updated outside it.
        with torch.inference_mode(False), torch.no_grad(), meta_scope(False):
            if callable(initializer) and not isinstance(initializer, torch.Tensor):
                if shape is None:
                    raise ValueError(
                        "A Variable made by an initializer needs its shape. Received: "
                        f"initializer={initializer}, shape=None. Pass shape=(...)."
                    )
                dtype = standardize_dtype(dtype)
                draws = values_follow() and getattr(type(initializer), "_draws_alone", False)
                made = _zeros if draws else initializer
                value = convert_to_tensor(made(tuple(shape), dtype=dtype), dtype)
            else:
                value = convert_to_tensor(initializer, dtype)
                if not isinstance(initializer, (bool, int, float, list, tuple)):
                    value = value.clone()  # it may be, or share memory with, what was given
                initializer = None
        if shape is not None and tuple(value.shape) != tuple(shape):
            raise ValueError(
                f"Variable '{name}' expects a value of shape {tuple(shape)}. Received: a value "
                f"of shape {tuple(value.shape)}."
            )
        differentiable = value.is_floating_point() or value.is_complex()
        trainable = bool(trainable) and differentiable
        if trainable:
            value = nn.Parameter(value)
        path = naming.current_path()
        self._set_facts({"value": value}, "value", f"{path}/{name}" if path else name, trainable)
        self.initializer = initializer
        self.autocast = autocast
        self.aggregation = aggregation
        self.synchronization = synchronization

    def _set_facts(self, store, key, path, trainable):
        self._store = store
        self._key = key
        self._path = path
        self._trainable = trainable
        self._parameters = None  # of the module that owns the slot, where there is one
        self.initializer = None
        self.regularizer = None
        self.constraint = None
        self.autocast = True
        self.aggregation = "none"
        self.synchronization = "auto"
        self.overwrite_with_gradient = False
        self.persistent = True  # False for what belongs to a run: a seed, a recurrent state
        self.foreign = False  # whether a plain torch module owns the slot
        self._ties = None  # handles on other slots seen to hold the same tensor; see `_tie`

    @classmethod
    def _of_slot(cls, store, key, path):
        """A handle on a slot that already exists, such as `nn.Linear`'s `weight`."""
        handle = cls.__new__(cls)
        handle._set_facts(store, key, path, isinstance(store[key], nn.Parameter))
        handle.foreign = True
        return handle

    def _tie(self, other):
        """Remember that another slot holds the same tensor: one weight under two names."""
        ties = self._ties or [self]
        known = set(map(id, ties))
        ties += [handle for handle in other._ties or [other] if id(handle) not in known]
        for handle in ties:
            handle._ties = ties

    def _holders(self):
        """The handles known to hold this tensor now; itself alone, as a rule."""
        if self._ties is None:
            return (self,)
        tensor = self._store[self._key]
        return [handle for handle in self._ties if handle._store.get(handle._key) is tensor]

    def _release(self):
        """Leave the module that owns the slot, and keep the tensor in a private one."""
        self._store, self._key = {"value": self._store.pop(self._key)}, "value"
        self._parameters = None

    # Reading

    @property
    def value(self):
        """The tensor in the slot now (a real Parameter for a trainable weight)."""
        tensor = self._store[self._key]
        return tensor if SCOPE.read is None else SCOPE.read(self, tensor)

    @value.setter
    def value(self, value):
        # After `v.value += 1` under no_grad, or a method that works in place, it is there already.
        if value is not self._store[self._key]:
            self.assign(value)

    def _as_tensor(self):
        return self.value

    @property
    def path(self):
        """Name with the names of the layers around it: `"model/dense/kernel"`."""
        return self._path

    @property
    def name(self):
        """Last part of the path."""
        return self._path.rpartition("/")[2]

    @property
    def shape(self):
        """Shape as a plain tuple of ints."""
        return tuple(self._store[self._key].shape)

    @property
    def ndim(self):
        """Number of axes."""
        return self._store[self._key].ndim

    @property
    def dtype(self):
        """Name of the dtype a read gives: `"float32"`, or the compute dtype under autocast."""
        return standardize_dtype(self.value.dtype if SCOPE.read else self._store[self._key].dtype)

    @property
    def grad(self):
        """Gradient that torch has accumulated, or None."""
        return self._store[self._key].grad

    @grad.setter
    def grad(self, grad):
        self._store[self._key].grad = grad

    @property
    def data(self):
        """The tensor detached from autograd, sharing memory, as in torch."""
        return self._store[self._key].data

    @data.setter
    def data(self, data):
        self._store[self._key].data = data

    @property
    def requires_grad(self):
        """Whether torch records gradients for the tensor."""
        return self._store[self._key].requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad):
        self._store[self._key].requires_grad = requires_grad

    @property
    def trainable(self):
        """Whether optimizers update it. Setting it also switches torch's `requires_grad`."""
        if not self._trainable:
            return False
        tensor = self._store[self._key]
        return tensor.requires_grad if isinstance(tensor, nn.Parameter) else True

    @trainable.setter
    def trainable(self, value):
        value = bool(value)
        tensor = self._store[self._key]
        if value and not (tensor.is_floating_point() or tensor.is_complex()):
            raise ValueError(
                f"Only float variables can be trained. Received: trainable=True for "
                f"'{self.path}' of dtype {self.dtype}."
            )
        if value and not isinstance(tensor, nn.Parameter):
            self._move_to_parameter(tensor)
        elif isinstance(tensor, nn.Parameter) and tensor.requires_grad is not value:
            tensor.requires_grad_(value)
        self._trainable = value

    def _move_to_parameter(self, tensor):
        if self._parameters is not None and self._store is not self._parameters:
            del self._store[self._key]
            self._store = self._parameters
        self._store[self._key] = nn.Parameter(tensor)

    def numpy(self):
        """The value as a NumPy array of its own: later updates do not reach it."""
        return np.array(convert_to_numpy(self._store[self._key]))

    def stop_gradient(self):
        """The value outside of autograd."""
        return self.value.detach()

    # Writing

    def assign(self, value):
        """Replace the value; shape must fit, dtype is converted. Returns the new value.

        Example:

        >>> keras.Variable(1.0).assign(3)
        tensor(3.)
        """
        tensor = self._store[self._key]
        if SCOPE.stateless is None and isinstance(value, (int, float)) and not tensor.dim():
            return self._write(tensor.fill_, value)
        value = self._as_slot_value(value)
        if SCOPE.stateless is not None:
            SCOPE.stateless.set(self, value)
            return value
        return self._write(tensor.copy_, value)

    def assign_add(self, value):
        """Add `value` in place. Returns the new value.

        Example:

        >>> keras.Variable(1.0).assign_add(2.0)
        tensor(3.)
        """
        return self._accumulate(value, 1)

    def assign_sub(self, value):
        """Subtract `value` in place. Returns the new value.

        Example:

        >>> keras.Variable(1.0).assign_sub(2.0)
        tensor(-1.)
        """
        return self._accumulate(value, -1)

    def _accumulate(self, value, sign):
        tensor = self._store[self._key]
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            value = self._as_slot_value(value)
        elif isinstance(value, float) and not tensor.is_floating_point():
            value = int(value)
        if SCOPE.stateless is not None:
            value = tensor + value if sign > 0 else tensor - value
            SCOPE.stateless.set(self, value)
            return value
        return self._write(tensor.add_ if sign > 0 else tensor.sub_, value)

    def _write(self, method, value):
        if SCOPE.meta:
            return self.value
        if isinstance(value, torch.Tensor) and value.requires_grad:
            value = value.detach()
        tensor = self._store[self._key]
        if not tensor.requires_grad:
            method(value)
            return tensor
        with torch.no_grad():
            method(value)
        torch.clear_autocast_cache()  # inside torch.autocast it holds casts of the old value
        return tensor.detach() if torch.is_grad_enabled() else tensor

    def _write_result(self, result):
        """Assign what an in-place operator has computed; returns the variable itself."""
        tensor = self._store[self._key]
        if result.dtype is not tensor.dtype and not torch.can_cast(result.dtype, tensor.dtype):
            raise TypeError(
                f"The result of an in-place operator must fit variable '{self.path}' of dtype "
                f"{standardize_dtype(tensor.dtype)}. Received: a result of dtype "
                f"{standardize_dtype(result.dtype)}. Use `assign` with a value cast to its dtype."
            )
        self.assign(result)
        return self

    def _as_slot_value(self, value):
        """`value` as a tensor of this variable's dtype, device and exact shape."""
        tensor = self._store[self._key]
        if type(value) is torch.Tensor and value.dtype is tensor.dtype:
            converted = value
        else:
            converted = convert_to_tensor(value, tensor.dtype)
        if converted.shape != tensor.shape:
            raise ValueError(
                f"Variable '{self.path}' expects a value of shape {tuple(tensor.shape)}. "
                f"Received: a value of shape {tuple(converted.shape)}."
            )
        if converted.device != tensor.device and not SCOPE.meta:
            converted = converted.to(tensor.device)
        if type(converted) is torch.Tensor and is_sharded(tensor):
            converted = shard_like(converted, tensor)
        return converted

    # Standing in for the tensor

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return getattr(self.value, name)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func(*unwrap(args), **unwrap(kwargs or {}))

    def __array__(self, dtype=None, copy=None):
        array = convert_to_numpy(self._store[self._key])
        if copy is False:
            return np.asarray(array, dtype=dtype)
        return np.array(array, dtype=dtype)

    def __float__(self):
        return float(self._scalar("float"))

    def __int__(self):
        return int(self._scalar("int"))

    def __bool__(self):
        return bool(self._scalar("bool"))

    def _scalar(self, kind):
        tensor = self._store[self._key]
        if tensor.dim():
            raise TypeError(
                f"Only a Variable of shape () can be made a Python {kind}. Received: "
                f"'{self.path}' of shape {self.shape}."
            )
        return tensor.item()

    def __index__(self):
        return self._store[self._key].__index__()

    def __len__(self):
        return len(self._store[self._key])

    def __iter__(self):
        return iter(self.value)

    def __getitem__(self, index):
        return self.value[unwrap(index)]

    def __setitem__(self, index, value):
        tensor = self._store[self._key]
        if isinstance(value, Variable):
            value = value._store[value._key]
        if isinstance(value, torch.Tensor):
            value = value.detach().to(tensor.dtype)
        else:
            value = convert_to_tensor(value, tensor.dtype).to(tensor.device)
        if SCOPE.stateless is not None:
            changed = tensor.clone()
            changed[unwrap(index)] = value
            SCOPE.stateless.set(self, changed)
        elif not SCOPE.meta:
            self._write(lambda value: tensor.__setitem__(unwrap(index), value), value)

    def __round__(self, ndigits=None):
        return OPS["round"](self.value, ndigits or 0)

    def __repr__(self):
        value = self._store.get(self._key)
        shown = f", value={convert_to_numpy(value)}" if _is_concrete(value) else ""
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}{shown}>"

    def __format__(self, spec):
        return format(self._scalar("float"), spec) if spec else repr(self)

    def __getstate__(self):
        # The initializer has done its work, and it may be a lambda. Ties are found anew.
        return {**self.__dict__, "initializer": None, "_ties": None}

    def __setstate__(self, state):
        self.__dict__.update(state)

    __hash__ = object.__hash__

    __array_priority__ = 1000  # so that `ndarray + variable` asks the variable, as with a tensor


def refuse_replacement(variable, value, place):
    """Raise where `value` is about to take the place of a Variable, which would be lost with it.

    Args:
        variable: what is there now, of any kind.
        value: what is to be there.
        place: str that names the place in the error, such as `"layer.kernel"`.

    Raises:
        TypeError: `variable` is a Variable, and `value` a tensor or array.
    """
    if isinstance(variable, Variable) and isinstance(value, _VALUES):
        kind = "nn.Parameter" if isinstance(value, nn.Parameter) else type(value).__name__
        raise TypeError(
            f"{place} is Variable '{variable.path}', which keeps its place: a Variable or a "
            f"Parameter was expected. Received: a value of type {kind}. Set its value with "
            f"`{place}.assign(value)`, or change it in place, as in `{place} += value`."
        )


_VALUES = (torch.Tensor, np.ndarray, np.generic)


_find_initializer = None


def find_initializers_with(get):
    """Let a Variable be made by the name of an initializer.

    Args:
        get: function from a name to the initializer: `keras.initializers.get`, which stands above
            the core and hands itself down here when it is imported.
    """
    global _find_initializer
    _find_initializer = get


def _initializer_named(name):
    if _find_initializer is None:
        raise RuntimeError(
            "The names of initializers are known once torchkeras.initializers is imported. "
            f"Received: initializer={name!r} before that. Import torchkeras, or give a function "
            "(shape, dtype) -> tensor."
        )
    return _find_initializer(name)


def _zeros(shape, dtype):
    return torch.zeros(shape, dtype=to_torch_dtype(dtype), device=config.default_device())


def _is_concrete(tensor):
    return type(tensor) in (torch.Tensor, nn.Parameter) and tensor.device.type != "meta"


define_operators(Variable)
