"""Operations, nodes and `@op`."""

import pickle

import pytest
import torch

import torchkeras as keras
from torchkeras.core.operation import OPS, FunctionOperation, Node, TorchFunction, op, op_names


class Double(keras.Operation):
    def call(self, x):
        return 2 * x


def test_an_operation_runs_on_tensors_and_is_recorded_on_symbols():
    operation, x = Double(name="twice"), keras.Input((3,))
    assert operation(torch.ones(2)).tolist() == [2.0, 2.0]
    y = operation(x)
    assert y.shape == (None, 3)
    node = operation._inbound_nodes[0]
    assert isinstance(node, Node) and node.outputs == [y] and node.input_tensors == [x]
    assert tuple(y._keras_history) == (operation, 0, 0)
    assert node.parent_nodes == [x._keras_history.operation._inbound_nodes[0]]
    assert x._keras_history.operation._outbound_nodes == [node]
    assert not node.is_input and node.parent_nodes[0].is_input


def test_input_and_output_are_those_of_the_first_call():
    operation, x = Double(name="twice"), keras.Input((3,))
    with pytest.raises(AttributeError, match="'twice' has no symbolic input yet"):
        operation.input  # noqa: B018
    y = operation(x)
    operation(y)
    assert operation.input is x and operation.output is y


def test_input_of_several_arguments():
    class Add(keras.Operation):
        def call(self, a, b):
            return a + b, a - b

    a, b = keras.Input((2,)), keras.Input((2,))
    operation = Add()
    first, second = operation(a, b=b)
    assert operation.input == [a, b] or [id(t) for t in operation.input] == [id(a), id(b)]
    assert [id(t) for t in operation.output] == [id(first), id(second)]


def test_call_must_be_defined():
    with pytest.raises(NotImplementedError, match="Operation must define a `call`"):
        keras.Operation()(torch.ones(1))


def test_names_and_config():
    assert [Double().name, Double().name] == ["double", "double_1"]
    assert Double.from_config(Double(name="d").get_config()).name == "d"
    assert repr(Double(name="d")) == "<Operation name=d>"
    with pytest.raises(ValueError, match="`name` must be a string without '/'.*for Double"):
        Double(name="a/b")


def test_a_node_that_takes_one_symbol_twice_is_counted_once():
    x = keras.Input((3,))
    x + x
    assert len(x._keras_history.operation._outbound_nodes) == 1


def test_op_keeps_the_function_and_registers_it():
    @op(name="test_triple")
    def triple(x, factor=3):
        """Words."""
        return x * factor

    try:
        assert triple.__doc__ == "Words." and triple.__name__ == "triple"
        assert OPS["test_triple"] is triple and triple._run(2) == 6
        y = triple(keras.Input((3,)), factor=4)
        operation = y._keras_history.operation
        assert type(operation) is FunctionOperation and operation.op_name == "test_triple"
        again = pickle.loads(pickle.dumps(operation))
        assert again.name == operation.name and again(torch.ones(1)).tolist() == [3.0]
    finally:
        del OPS["test_triple"]


def test_an_op_has_the_name_of_its_function():
    try:

        @op
        def test_quadruple(x):
            return x * 4

        assert OPS["test_quadruple"] is test_quadruple
        assert op_names(__name__, "another") == ["another", "test_quadruple"]
        y = test_quadruple(keras.Input((3,)))
        assert y._keras_history.operation.name.startswith("test_quadruple")
    finally:
        OPS.pop("test_quadruple", None)


def test_rooms_of_ops_hold_what_their_modules_define():
    from torchkeras import ops

    rooms = {name: getattr(ops, name) for name in ("core", "linalg", "math", "nn", "numpy")}
    names = [name for room in rooms.values() for name in room.__all__]
    assert sorted(ops.__all__) == sorted([*names, *rooms, "image"])
    assert all(callable(getattr(room, name)) for room in rooms.values() for name in room.__all__)
    for room, name in [("nn", "swish"), ("core", "map"), ("numpy", "abs"), ("math", "top_k")]:
        assert name in rooms[room].__all__ and getattr(ops, name) is getattr(rooms[room], name)
    assert "canonical_axes" not in ops.__all__ and not hasattr(ops, "canonical_axes")


def test_a_raw_torch_function_is_recorded():
    x = keras.Input((4,))
    for y, expected in [
        (torch.relu(x), (None, 4)),
        (x.view(-1, 2), (None, 2)),
        (x.mean(dim=1), (None,)),
        (torch.cat([x, x], dim=1), (None, 8)),
    ]:
        assert y.shape == expected
        assert type(y._keras_history.operation) is TorchFunction
    assert torch.relu(x)._keras_history.operation.name.startswith("relu")


def test_a_torch_module_on_a_symbol_is_an_error_that_names_the_wrapper():
    with pytest.raises(ValueError, match="nn.Parameter.*TorchModuleWrapper"):
        torch.nn.Linear(3, 2)(keras.Input((3,)))


def test_a_tensor_property_is_no_step():
    with pytest.raises(AttributeError):
        keras.Input((3,)).grad  # noqa: B018
