"""OptimizerState: the Variables that an optimizer keeps, and saving them."""

import warnings

import torch

from torchkeras.core import config, naming
from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.variable import Variable, refuse_replacement
from torchkeras.optimizers.slot_plan import place_like


class OptimizerState:
    """The part of `Optimizer` that makes, lists, places, saves and loads its Variables.

    Args:
        name: str, first part of their paths; None for an automatic one.
    """

    def __init__(self, name):
        self._variables = []
        self._mirrors = []  # pairs (state, the variable whose device and dtype it follows)
        self.name = name or naming.auto_name(type(self).__name__)

    def __setattr__(self, name, value):
        if name != "_variables" and "_variables" not in self.__dict__:
            raise RuntimeError(
                f"'{type(self).__name__}.__init__' must call `super().__init__(...)` before it "
                f"sets attributes. Received: the attribute '{name}' first."
            )
        refuse_replacement(self.__dict__.get(name), value, f"{self.__dict__.get('name')}.{name}")
        # Variables that a subclass keeps as attributes are part of its state.
        if isinstance(value, Variable):
            self._track_variable(value)
        super().__setattr__(name, value)

    def _track_variable(self, variable):
        if not any(variable is known for known in self._variables):
            self._variables.append(variable)

    @property
    def variables(self):
        """List of the state Variables: counter, learning rate, then those made by `build`."""
        return self._variables[:]

    def _host_variable(self, value, dtype, name):
        """A scalar Variable on the CPU, wherever the model is."""
        with config.device("cpu"), naming.name_scope(self.name, caller=self):
            return Variable(
                value,
                dtype=dtype,
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
                name=name,
            )

    def add_variable(
        self,
        shape,
        initializer="zeros",
        dtype=None,
        aggregation="none",
        layout=None,
        name=None,
    ):
        """Make a state Variable.

        Args:
            shape: tuple of ints.
            initializer: name, instance, or function `(shape, dtype) -> tensor`.
            dtype: name of a dtype; None for `floatx()`.
            aggregation: as for `keras.Variable`.
            layout: kept for Keras's signature.
            name: str, last part of the path.

        Example:

        >>> keras.optimizers.SGD().add_variable((2,), name="extra").path
        'sgd/extra'
        """
        constant = _constant(initializer)
        if constant is not None:

            def initializer(shape, dtype):
                device = config.default_device()
                return torch.full(shape, constant, dtype=to_torch_dtype(dtype), device=device)

        return self._add_state(initializer, shape, dtype, aggregation, name)

    def _add_state(self, value, shape, dtype, aggregation, name):
        with naming.name_scope(self.name, caller=self):
            variable = Variable(
                value,
                shape=shape,
                dtype=dtype,
                trainable=False,
                autocast=False,
                aggregation=aggregation,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """Make a state Variable of the shape, dtype and device of another.

        Args:
            reference_variable: Variable. A sharded one gets sharded state.
            name: str, end of the name: `"<path of the reference, with _>_<name>"`.
            initializer: as in `add_variable`.

        Example:

        >>> v = keras.Variable([1.0, 2.0], name="w")
        >>> keras.optimizers.SGD().add_variable_from_reference(v, "momentum").path
        'sgd/w_momentum'
        """
        reference = reference_variable._store[reference_variable._key].detach()
        name = f"{reference_variable.path.replace('/', '_')}_{name or 'var'}"
        constant = _constant(initializer)
        if constant is not None:
            # In the reference's own memory layout and, for a DTensor, its sharding.
            value = torch.full_like(reference, constant)
            variable = self._add_state(value, None, None, "none", name)
        else:
            with config.device(reference.device):
                variable = self.add_variable(
                    tuple(reference.shape), initializer, reference.dtype, name=name
                )
        self._mirrors.append((variable, reference_variable))
        return variable

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """Make one or more state Variables for each trainable variable.

        Args:
            trainable_variables: list of Variables.
            name: str, or list of str for several kinds of state.
            initializer: one for all, or a list as long as `name`.

        Returns:
            A list as long as `trainable_variables`, with None for a variable that is
            overwritten with its gradient; a tuple of such lists where `name` is a list.

        Raises:
            ValueError: the lists of names and initializers differ in length.

        Example:

        >>> optimizer = keras.optimizers.SGD()
        >>> m, v = optimizer.add_optimizer_variables([keras.Variable([1.0])], ["m", "v"])
        >>> len(m), len(v)
        (1, 1)
        """
        names = [name] if isinstance(name, str) else list(name)
        initializers = (
            list(initializer)
            if isinstance(initializer, (list, tuple))
            else [initializer] * len(names)
        )
        if len(names) != len(initializers):
            raise ValueError(
                "Every name needs its initializer: the lists must be of equal length. "
                f"Received: name={name!r}, initializer={initializer!r}."
            )
        made = tuple([] for _ in names)
        for variable in trainable_variables:
            for kind, (kind_name, kind_initializer) in enumerate(
                zip(names, initializers, strict=True)
            ):
                skip = getattr(variable, "overwrite_with_gradient", False)
                made[kind].append(
                    None
                    if skip
                    else self.add_variable_from_reference(variable, kind_name, kind_initializer)
                )
        return made[0] if isinstance(name, str) else made

    def _place_state(self):
        """Let the state follow a model that was moved, cast or sharded after the build."""
        for state, reference in self._mirrors:
            place_like(state, reference)

    # Saving

    def set_weights(self, weights):
        """Set the values of `variables`.

        Args:
            weights: list of arrays, tensors or Variables in the order of `variables`.

        Raises:
            ValueError: the optimizer is not built, or a shape differs.

        Example:

        >>> v = keras.Variable(1.0)
        >>> first, second = keras.optimizers.Adam(), keras.optimizers.Adam()
        >>> first.build([v]), second.build([v])
        (None, None)
        >>> second.set_weights(first.variables)
        """
        if not self.built:
            raise ValueError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. "
                f"Received: {len(weights)} weights. Call `optimizer.build(variables)` first."
            )
        for variable, weight in zip(self.variables, weights, strict=False):
            if tuple(variable.shape) != tuple(weight.shape):
                raise ValueError(
                    f"Optimizer variable '{variable.path}' has shape {variable.shape}. "
                    f"Received: a weight of shape {tuple(weight.shape)}."
                )
            variable.assign(weight)

    def save_own_variables(self, store):
        """Write the state into a dict-like store, as arrays under "0", "1", ...

        Example:

        >>> store = {}
        >>> keras.optimizers.SGD(learning_rate=0.5).save_own_variables(store)
        >>> store
        {'0': array(0, dtype=int32), '1': array(0.5, dtype=float32)}
        """
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store):
        """Read the state that `save_own_variables` wrote.

        A store with another number of arrays is skipped with a warning (as in Keras).

        Example:

        >>> optimizer = keras.optimizers.SGD()
        >>> optimizer.load_own_variables({"0": np.array(3), "1": np.array(0.5)})
        >>> int(optimizer.iterations)
        3
        """
        if len(store.keys()) != len(self.variables):
            hint = "" if self.built else " Build it first: `optimizer.build(variables)`."
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has "
                f"{len(self.variables)} variables whereas the saved optimizer has "
                f"{len(store.keys())} variables.{hint}",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self.variables):
            variable.assign(store[str(i)])


def _constant(initializer):
    """The number that an initializer fills with, or None where it is not a constant."""
    if isinstance(initializer, str):
        return {"zeros": 0.0, "ones": 1.0}.get(initializer)
    return initializer if isinstance(initializer, (int, float)) else None
