"""Function: the operations between some symbols and others, as one operation."""

import numpy as np
import torch

from torchkeras.core import tree
from torchkeras.core.convert import convert_to_tensor
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.operation import Operation
from torchkeras.layers.input_spec import describe
from torchkeras.models.graph import Graph, node_of


class Function(Operation):
    """Runs the operations that lead from symbolic inputs to symbolic outputs.

    As a functional model, without being a layer: it has no weights of its own, casts nothing, and
    its inputs may be any symbols, such as `keras.KerasTensor(shape)`.

    Args:
        inputs: KerasTensor, or nested structure of them.
        outputs: likewise, made from the inputs.
        name: str without `/`; None for an automatic one.

    Raises:
        ValueError: `inputs` or `outputs` are empty, or an output depends on something else.

    Example:

    >>> a, b = keras.KerasTensor((None, 3)), keras.KerasTensor((None, 3))
    >>> function = keras.Function([a, b], keras.ops.sigmoid(a + b))
    >>> function([torch.zeros(1, 3), torch.zeros(1, 3)])
    tensor([[0.5000, 0.5000, 0.5000]])
    """

    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        self._inputs_struct = tree.map_structure(lambda x: x, inputs)
        self._outputs_struct = tree.map_structure(lambda x: x, outputs)
        self._inputs = _symbols("inputs", inputs)
        self._outputs = _symbols("outputs", outputs)
        self._graph = Graph(self._inputs, self._outputs)

    @property
    def operations(self):
        """The operations between inputs and outputs, with the layers of `keras.Input`s."""
        own = {id(node.operation) for node in map(node_of, self._inputs) if node is not None}
        starts = {id(start) for start in self._graph.starts} - own
        return [operation for operation in self._graph.operations if id(operation) not in starts]

    @property
    def inputs(self):
        """The symbolic inputs as a flat list."""
        return list(self._inputs)

    @property
    def outputs(self):
        """The symbolic outputs as a flat list."""
        return list(self._outputs)

    def call(self, inputs):
        """The outputs for tensors in the structure of the inputs.

        Raises:
            ValueError: they have another structure, or a shape that does not fit.
        """
        given = self._checked(inputs)
        tensors = [x if isinstance(x, torch.Tensor) else convert_to_tensor(x) for x in given]
        return tree.pack_sequence_as(self._outputs_struct, self._graph.run(tensors))

    def compute_output_spec(self, inputs):
        """KerasTensors of the shapes and dtypes that `call` will give."""
        outputs = self._graph.symbols_for(self._checked(inputs))
        symbols = [KerasTensor(x.shape, x.dtype) for x in outputs]
        return tree.pack_sequence_as(self._outputs_struct, symbols)

    def compute_output_shape(self, input_shape):
        """Shapes of the outputs, in their structure, for shapes in that of the inputs.

        Args:
            input_shape: tuple, or structure of tuples, with None for unknown sizes.
        """
        shapes = tree.map_shape_structure(lambda shape: KerasTensor(shape), input_shape)
        pairs = zip(tree.flatten(shapes), self._inputs, strict=True)
        symbols = [KerasTensor(x.shape, like.dtype) for x, like in pairs]
        inputs = tree.pack_sequence_as(self._inputs_struct, symbols)
        return tree.map_structure(lambda x: x.shape, self.compute_output_spec(inputs))

    def get_config(self):
        """Not there, as in Keras: a functional model has one.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "A Function is no part of a file: its config would be that of a graph. Received: "
            f"get_config() of '{self.name}'. Make a keras.Model of the same inputs and outputs."
        )

    def _checked(self, inputs):
        """`inputs` as a flat list, after a look at their structure and shapes."""
        try:
            tree.assert_same_structure(inputs, self._inputs_struct)
        except (TypeError, ValueError) as error:
            names = tree.map_structure(lambda x: x.name, self._inputs_struct)
            raise ValueError(
                f"Function '{self.name}' takes its inputs in the structure {names}. Received: "
                f"{describe(inputs)}. Give them in the same lists and under the same keys."
            ) from error
        given = [np.asarray(x) if not hasattr(x, "shape") else x for x in tree.flatten(inputs)]
        for x, like in zip(given, self._inputs, strict=True):
            shape = tuple(x.shape)
            fits = len(shape) == len(like.shape) and all(
                size == known or size is None or known is None
                for size, known in zip(shape, like.shape, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"Function '{self.name}' takes shape {like.shape} for its input "
                    f"'{like.name}'. Received: shape {shape}."
                )
        return given


def _symbols(what, structure):
    flat = tree.flatten(structure)
    for x in flat:
        if not isinstance(x, KerasTensor):
            raise ValueError(
                f"`{what}` of a Function must be KerasTensors. Received: {x!r} of type "
                f"{type(x).__name__}."
            )
    if not flat:
        raise ValueError(f"`{what}` of a Function cannot be empty. Received: {what}={structure!r}.")
    return flat
