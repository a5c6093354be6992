"""TrackedModule: an `nn.Module` that keeps hold of Variables, sublayers, metrics and seeds."""

import torch
from torch import nn

from torchkeras.core.scopes import SCOPE
from torchkeras.core.variable import Variable, refuse_replacement
from torchkeras.layers import tracking
from torchkeras.layers.fast_path import UNSETTLED
from torchkeras.layers.training_mode import TrainingMode


class Changes:
    """How often an attribute of any layer was set: what was prepared for a model is then void."""

    def __init__(self):
        self.count = 0

    def add(self):
        """Count one. Not in a trace, which would be made anew for each count."""
        if not torch.compiler.is_compiling():
            self.count += 1


CHANGES = Changes()


class TrackedModule(TrainingMode, nn.Module):
    """The half of a layer that owns things; the other half, `Layer`, computes.

    Whatever is assigned to an attribute is put where torch looks for it: tensors of Variables
    into `_parameters` and `_buffers`, modules into `_modules`. The attribute itself stays what
    was assigned: a Variable, a layer, a list.
    """

    # Names that `__setattr__` stores as they are: of no weight, layer or container of them.
    _plain_attributes = frozenset({"_fast", "_handles", "_tracked", "training"})

    def __new__(cls, *args, **kwargs):
        # Torch's dicts exist before the subclass's __init__ runs, so that attributes may be set
        # ahead of super().__init__(), as in Keras.
        module = super().__new__(cls)
        nn.Module.__init__(module)
        module.__dict__["training"] = False  # a choice of nobody's, see training_mode.py
        module._handles = {}  # name of slot or attribute -> Variable
        module._tracked = {}  # attribute -> the modules, metrics and seeds in it
        module._fast = UNSETTLED  # see Layer.forward
        return module

    def _free_slot(self, name):
        """A name for a slot, as close to `name` as what is taken allows."""
        name = name.replace(".", "_")
        slot, number = name, 0
        while self._is_taken(slot):
            number += 1
            slot = f"{name}_{number}"
        return slot

    def _is_taken(self, slot):
        dicts = (self._parameters, self._buffers, self._modules, self._handles, self.__dict__)
        return any(slot in names for names in dicts) or hasattr(type(self), slot)

    def _adopt(self, variable, slot):
        """Move a free variable's tensor into this module's own dicts."""
        tensor = variable._store[variable._key]
        is_parameter = isinstance(tensor, nn.Parameter)
        store = self._parameters if is_parameter else self._buffers
        if hasattr(self, slot):  # the class has an attribute of that name, which torch would refuse
            store[slot] = tensor
            if not variable.persistent:
                self._non_persistent_buffers_set.add(slot)
        elif is_parameter:
            self.register_parameter(slot, tensor)  # by torch's own way, which libraries watch
        else:
            self.register_buffer(slot, tensor, persistent=variable.persistent)
        variable._store, variable._key = store, slot
        variable._parameters = self._parameters
        self._handles[slot] = variable

    def _owns(self, variable):
        return variable._parameters is self._parameters

    def _rename_slot(self, variable, slot):
        old = variable._key
        variable._store[slot] = variable._store.pop(old)
        variable._key = slot
        if old in self._non_persistent_buffers_set:
            self._non_persistent_buffers_set.discard(old)
            self._non_persistent_buffers_set.add(slot)
        del self._handles[old]
        self._handles[slot] = variable

    def _bind_variable(self, name, variable):
        state = self.__dict__
        if variable._parameters is None:
            self._adopt(variable, name)
        elif not self._owns(variable):
            self._handles[name] = variable  # shared with the layer that owns it
        elif variable._key != name and state.get(variable._key) is not variable:
            # The slot takes the attribute's name: torch finds weights by attribute.
            self._rename_slot(variable, name)
        state[name] = variable

    def __setattr__(self, name, value):
        state = self.__dict__
        if name in self._plain_attributes:
            if name == "training" and value is not self.training:
                # A wrapper such as torch.compile's only repeats what is there.
                state["_mode_is_set"] = True
            state[name] = value
            return
        CHANGES.add()
        handles = state["_handles"]
        held = state.get(name)
        if isinstance(value, torch.Tensor):
            own = name in handles and handles[name]._key == name
            if own or isinstance(held, Variable):
                self._put_tensor(name, handles[name] if own else held, value)
                return
        elif isinstance(held, Variable):
            refuse_replacement(held, value, f"{self.__dict__.get('name')}.{name}")
        variable, module = isinstance(value, Variable), isinstance(value, nn.Module)
        # An empty list or dict counts: items may come later.
        container = not (variable or module) and (
            tracking.is_tracked(value)
            or tracking.holds_tracked(value)
            or (type(value) in (list, dict) and not value)
        )
        if (variable or module or container) and _is_property(type(self), name):
            object.__setattr__(self, name, value)
            return
        if variable:
            if held is not value:
                self._forget(name, keep=value)
            self._bind_variable(name, value)
        elif module:
            if name in state["_tracked"] or name in handles or isinstance(held, Variable):
                self._forget(name)
            self._hand_down_mode(value)
            state.pop(name, None)
            nn.Module.__setattr__(self, name, value)
            self._fast = UNSETTLED
        elif container:
            if name not in state["_tracked"]:
                self._forget(name)
            self._track(name, value)
        else:
            if (
                name in state["_tracked"]
                or name in state["_modules"]
                or name in handles
                or isinstance(held, Variable)
            ):
                self._forget(name)
            nn.Module.__setattr__(self, name, value)

    def _put_tensor(self, name, handle, value):
        """Put a tensor that is assigned to the attribute of a variable into the variable's slot.

        A Parameter may take any weight's place, as in torch, and any tensor that of a weight that
        is not trained: so do `load_state_dict(assign=True)` and FSDP2. A plain tensor in a
        Parameter's place would never be trained.
        """
        store, key = handle._store, handle._key
        plain = type(value) is torch.Tensor
        if isinstance(value, nn.Parameter):
            if store is not handle._parameters:  # it is to be trained from now on
                del store[key]
                self._non_persistent_buffers_set.discard(key)
                handle._store = store = handle._parameters
            handle._trainable = True
        elif plain and isinstance(store.get(key), nn.Parameter):
            refuse_replacement(handle, value, f"{self.__dict__.get('name')}.{name}")
        elif plain and key in store and store[key].shape != value.shape:
            value = handle._as_slot_value(value)  # says what is wrong
        if SCOPE.stateless is not None:
            SCOPE.stateless.set(handle, value)
        elif not SCOPE.meta:
            store[key] = value
        if plain or type(value) is nn.Parameter:
            self.__dict__[name] = handle
        else:
            # FSDP2 puts a DTensor here and reads the attribute again.
            self.__dict__.pop(name, None)

    def _track(self, name, value):
        value = tracking.wrap(value, self, name)
        self.__dict__[name] = value
        self._register_items(name, value)

    def _retrack(self, name):
        """A list or dict in the attribute `name` has changed."""
        if name in self._tracked:
            self._track(name, self.__dict__[name])

    def _register_items(self, name, value):
        """Register what `value`, now held by the attribute `name`, contains.

        What was there before keeps its place in torch's dicts, so an append to a list does not
        reorder the weights.
        """
        modules, items = {}, {"variables": [], "metrics": [], "seeds": []}
        known = {id(handle) for handle in self._handles.values()}
        for key, item in tracking.items_by_name(name, value):
            if isinstance(item, nn.Module):
                modules[key] = item
            elif isinstance(item, Variable):
                items["variables"].append(item)
                if item._parameters is None:
                    self._adopt(item, self._free_slot(key))
                elif id(item) not in known:
                    self._handles[self._free_slot(key)] = item
            elif tracking.is_metric(item):
                items["metrics"].append(item)
            else:
                items["seeds"].append(item)
                if item.state._parameters is None:
                    self._adopt(item.state, self._free_slot(f"{key}_state"))
        before = self._tracked.get(name, {"modules": (), "variables": (), "seeds": ()})
        for key, module in modules.items():
            if key not in before["modules"] and self._modules.get(key, module) is not module:
                raise ValueError(
                    f"Layer '{self.__dict__.get('name')}' has two sublayers for the name "
                    f"'{key}'. Received: {module!r} in attribute '{name}'. Rename the attribute."
                )
        for key in before["modules"]:
            if key not in modules:
                self._modules.pop(key, None)
        for key, module in modules.items():
            self._hand_down_mode(module)
            self._modules[key] = module
        self._tracked[name] = {"modules": tuple(modules), **items}
        now = {id(variable) for variable in _held_variables(items)}
        for variable in _held_variables(before):
            if id(variable) not in now:
                self._let_go(variable)
        self._fast = UNSETTLED

    @property
    def _metrics(self):
        return [metric for items in self._tracked.values() for metric in items["metrics"]]

    @property
    def _seed_generators(self):
        return [seed for items in self._tracked.values() for seed in items["seeds"]]

    def _forget(self, name, keep=None):
        """Drop what the attribute `name` held, before it is given something else.

        A weight that stays, and whose slot has this name, makes room: torch would take it for
        what the attribute holds. Only `keep`, which is about to be the attribute, need not.
        """
        state = self.__dict__
        if name in self._tracked:
            self._register_items(name, None)
            del self._tracked[name]
        self._modules.pop(name, None)
        held = state.pop(name, None)
        if isinstance(held, Variable):
            self._let_go(held)
        left = self._handles.get(name)
        if left is not None and left is not keep and self._owns(left):
            bound = (key for key, value in state.items() if value is left)
            self._rename_slot(left, next(bound, None) or self._free_slot(name))
        self._fast = UNSETTLED

    def _let_go(self, variable):
        """Give up a variable that no attribute of the layer, list or dict holds any more."""
        held = [value for value in self.__dict__.values() if isinstance(value, Variable)]
        for items in self._tracked.values():
            held += _held_variables(items)
        if any(other is variable for other in held):
            return
        keys = [key for key, handle in self._handles.items() if handle is variable]
        for key in keys:
            del self._handles[key]
        if keys and self._owns(variable):
            self._non_persistent_buffers_set.discard(variable._key)
            variable._release()

    def __delattr__(self, name):
        handle = self._handles.get(name)
        if name in self._tracked or name in self._modules or name in self.__dict__:
            self._forget(name)
        elif handle is not None:
            self._let_go(handle)
        else:
            nn.Module.__delattr__(self, name)

    def __setstate__(self, state):
        super().__setstate__(state)
        for name in self._tracked:
            self.__dict__[name] = tracking.wrap(self.__dict__[name], self, name)
        self._fast = UNSETTLED

    @property
    def _layers(self):
        return [module for module in self._modules.values() if isinstance(module, TrackedModule)]

    def _flatten_layers(self, include_self=True, recursive=True):
        modules = self.modules() if recursive else self.children()
        for module in modules:
            if isinstance(module, TrackedModule) and (include_self or module is not self):
                yield module

    def _own_states(self):
        """The variables of the layer that are no weights: they belong to a run."""
        states = [h for h in self._handles.values() if not h.persistent]
        states += [generator.state for generator in self._seed_generators]
        return list({id(state): state for state in states}.values())

    def _own_variables(self):
        handles = [h for h in self._handles.values() if h.persistent]
        own = [h for h in handles if self._owns(h)]
        slots = {handle._key for handle in self._handles.values() if self._owns(handle)}
        foreign = tracking.foreign_handles(self, self.__dict__.get("_path") or self.name, slots)
        shared = [h for h in handles if not self._owns(h)]
        every = [*own, *foreign, *shared]
        # By slot, not by tensor: a stateless call puts plain tensors into both kinds.
        parameters = [h for h in every if h._store is h._parameters]
        others = [h for h in every if h._store is not h._parameters]
        return parameters + others

    def _collect_variables(self, with_states):
        found = {}  # id of the tensor, which is what a variable is -> its first handle

        def add(variable):
            first = found.setdefault(id(variable._store[variable._key]), variable)
            if first is not variable:
                first._tie(variable)

        def visit(module, path):
            if isinstance(module, TrackedModule):
                path = module.__dict__.get("_path") or module.name
                for variable in module._own_variables():
                    add(variable)
                if with_states:
                    for state in module._own_states():
                        add(state)
            else:
                for variable in tracking.foreign_handles(module, path):
                    add(variable)
            for key, child in module._modules.items():
                if child is not None and id(child) not in seen:
                    seen.add(id(child))
                    visit(child, f"{path}/{key}")

        seen = {id(self)}
        visit(self, "")
        return list(found.values())

    @property
    def variables(self):
        """All Variables of the layer and its sublayers, seeds included, metrics not."""
        return self._collect_variables(with_states=True)

    @property
    def weights(self):
        """The weights of the layer and its sublayers: `variables` without seeds and states."""
        return self._collect_variables(with_states=False)

    @property
    def trainable_variables(self):
        """The variables that optimizers update; none if the layer is frozen."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self):
        """The variables that optimizers leave alone, seeds included."""
        variables = self.variables
        return [v for v in variables if not v.trainable] if self.trainable else variables

    @property
    def trainable_weights(self):
        """The weights that optimizers update; none if the layer is frozen."""
        return [w for w in self.weights if w.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self):
        """The weights that optimizers leave alone."""
        weights = self.weights
        return [w for w in weights if not w.trainable] if self.trainable else weights

    @property
    def metrics_variables(self):
        """The variables of the metrics kept in the layer and its sublayers."""
        metrics = [m for layer in self._flatten_layers() for m in layer._metrics]
        return list({id(v): v for m in metrics for v in m.variables}.values())

    @property
    def trainable(self):
        """Whether optimizers update the weights. Setting it reaches all sublayers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        value = bool(value)
        for module in self.modules():
            if isinstance(module, TrackedModule):
                module.__dict__["_trainable"] = value
                for variable in module._own_variables():
                    if variable._store is variable._parameters and not variable.foreign:
                        variable.trainable = value
            for parameter in module._parameters.values():
                if parameter is not None and _is_differentiable(parameter):
                    parameter.requires_grad_(value)

    def get_weights(self):
        """Values of `weights` as a list of NumPy arrays."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights):
        """Set all weights from a list of arrays, as `get_weights` gave; all or none.

        Raises:
            ValueError: the number or a shape differs.
        """
        own = self.weights
        if len(own) != len(weights):
            raise ValueError(
                f"Layer '{self.name}' has {len(own)} weights. Received: a list of "
                f"{len(weights)} values."
            )
        for variable, value in zip(own, weights, strict=True):
            if tuple(variable.shape) != tuple(getattr(value, "shape", ())):
                raise ValueError(
                    f"Weight '{variable.path}' of layer '{self.name}' has shape "
                    f"{variable.shape}. Received: a value of shape "
                    f"{tuple(getattr(value, 'shape', ()))}."
                )
        # All conversions come before the first write.
        values = [v._as_slot_value(value) for v, value in zip(own, weights, strict=True)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)

    def count_params(self):
        """Number of scalars in the weights.

        Raises:
            ValueError: the layer has not been built.
        """
        if not self.built:
            raise ValueError(
                f"Layer '{self.name}' has no weights to count before it is built. Received: an "
                "unbuilt layer. Call it on data, or `build(input_shape)`."
            )
        return sum(weight.value.numel() for weight in self.weights)

    def save_own_variables(self, store):
        """Put the values of the layer's own variables into the dict `store`, by number."""
        for index, variable in enumerate(self._own_variables()):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store):
        """Set the layer's own variables from `store`; the reverse of `save_own_variables`."""
        own = self._own_variables()
        if len(own) != len(store):
            raise ValueError(
                f"Layer '{self.name}' has {len(own)} variables of its own. Received: "
                f"{len(store)} values. Build the layer before loading."
            )
        values = [v._as_slot_value(store[str(index)]) for index, v in enumerate(own)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)


def _held_variables(items):
    return [*items["variables"], *(seed.state for seed in items["seeds"])]


def _is_differentiable(tensor):
    return tensor.is_floating_point() or tensor.is_complex()


def _is_property(cls, name):
    return isinstance(getattr(cls, name, None), property)
