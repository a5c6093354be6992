"""The graph of a model for TensorBoard, recorded while the model computes."""

import contextlib

import torch
from torch.overrides import TorchFunctionMode

from torchkeras.core import tree


class GraphRecorder(TorchFunctionMode):
    """Watches one forward pass of a model, and has then its operations as graph nodes.

    Layers are scopes, operations, parameters, inputs and outputs are nodes in them. Nothing is
    computed a second time, so random numbers and counters are as without it. A model that is
    compiled by `torch.compile` has no single operations to record.

    Args:
        model: the model.
        when_done: function without arguments, called after that pass.

    Attributes:
        nodes: list of `(name, operation, names of its inputs, shape or None)`.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="d")], name="m")
    >>> recorder = GraphRecorder(model)
    >>> _ = model(torch.ones(1, 3))
    >>> [name for name, *_ in recorder.nodes]
    ['input', 'm/d/bias', 'm/d/kernel', 'm/d/addmm', 'output']
    """

    def __init__(self, model, when_done=None):
        super().__init__()
        self.nodes = []
        self._when_done = when_done
        self._model = model
        self._names = {}  # id of a tensor: name of the node that made it
        self._kept = []  # those tensors; the id of one that was freed could come again
        self._taken = {}
        self._scopes = []
        self._running = False
        self._handles = []
        for name, module in model.named_modules():
            title = getattr(module, "name", None) or name.rpartition(".")[2] or "model"
            self._handles += [
                module.register_forward_pre_hook(self._before(title), with_kwargs=True),
                module.register_forward_hook(self._after, with_kwargs=True, always_call=True),
            ]

    def remove(self):
        """Leave the model, whether or not a pass was seen."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._names, self._kept = {}, []

    def _before(self, title):
        def enter(module, args, kwargs):
            if module is self._model and not self._running:
                self._running = True
                for tensor in _tensors((args, kwargs)):
                    self._add("input", "Input", [], tensor, scope="")
                self._parameters = {
                    id(tensor): name.rpartition(".")[2]
                    for name, tensor in (*module.named_parameters(), *module.named_buffers())
                }
                self.__enter__()
            if self._running:
                self._scopes.append(str(title))

        return enter

    def _after(self, module, args, kwargs, outputs):
        if not self._running:
            return
        self._scopes.pop()
        if self._scopes:
            return
        self.__exit__(None, None, None)
        for tensor in _tensors(outputs):
            self._add("output", "Output", [self._name_of(tensor)], tensor, scope="")
        self.remove()
        if self._when_done is not None:
            self._when_done()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [t for t in _tensors(result) if func is not torch.Tensor.requires_grad_]
        name = getattr(func, "__name__", str(func))
        if name == "__get__":  # an attribute that is a tensor, such as `.T`
            made = [t for t in made if id(t) not in self._names and id(t) not in self._parameters]
            name = getattr(getattr(func, "__self__", None), "__name__", "attribute")
        if made:
            inputs = [self._name_of(t) for t in _tensors((args, kwargs))]
            first = self._add(name.strip("_"), name.strip("_"), inputs, made[0])
            for tensor in made[1:]:
                self._remember(tensor, first)
        return result

    def _name_of(self, tensor):
        """Name of the node that made a tensor; a parameter's or constant's is added now."""
        if id(tensor) not in self._names:
            name = self._parameters.get(id(tensor))
            kind = "Const" if name is None else "Parameter"
            self._add(name or "constant", kind, [], tensor)
        return self._names[id(tensor)]

    def _add(self, name, operation, inputs, tensor, scope=None):
        if scope is None:
            scope = "/".join(self._scopes)
        name = f"{scope}/{name}" if scope else name
        number = self._taken[name] = self._taken.get(name, -1) + 1
        name = f"{name}_{number}" if number else name
        self.nodes.append((name, operation, inputs, tuple(tensor.shape)))
        self._remember(tensor, name)
        return name

    def _remember(self, tensor, name):
        self._names[id(tensor)] = name
        self._kept.append(tensor)


def _tensors(structure):
    found = []
    for leaf in tree.flatten(structure):
        if isinstance(leaf, torch.Tensor):
            found.append(leaf)
        elif hasattr(leaf, "_as_tensor"):  # a Variable
            found.append(leaf._as_tensor())
    return found


def to_graph_def(nodes):
    """The nodes of a GraphRecorder as a GraphDef message.

    Example:

    >>> to_graph_def([("input", "Input", [], (2, 3))]).node[0].op
    'Input'
    """
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    graph.versions.producer = 22  # of TensorFlow's graphs, which TensorBoard reads
    for name, operation, inputs, shape in nodes:
        node = graph.node.add(name=name, op=operation, input=inputs)
        sizes = node.attr["_output_shapes"].list.shape.add()
        for size in shape:
            sizes.dim.add(size=size)
    return graph


def layer_graph(model):
    """The config of a Functional or Sequential model as JSON that TensorBoard draws; else None.

    TensorBoard's reader knows graphs whose calls take tensors alone; any other model is None too.

    Example:

    >>> import json
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> json.loads(layer_graph(model))["class_name"]
    'Sequential'
    >>> layer_graph(keras.Model()) is None
    True
    """
    import json

    from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def

    with contextlib.suppress(Exception):  # a config that cannot be made, or not be read there
        config = model.to_json()
        if json.loads(config)["config"].get("layers"):
            keras_model_to_graph_def(json.loads(config))
            return config
    return None
