import copy
import gc
import pickle
import sys
import weakref

import pytest
import torch

import torchkeras as keras
from torchkeras.models.graph import Graph, record_graph, replay_graph

layers, ops = keras.layers, keras.ops


def names(graph):
    return [operation.name for operation in graph.operations]


def test_operations_stand_by_falling_distance_from_the_outputs():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    first = layers.Dense(2, name="first")(a)
    second = layers.Dense(2, name="second")(first)
    both = layers.Add(name="both")([second, b])
    graph = Graph([a, b], [both])
    assert names(graph) == ["a", "first", "second", "b", "both"]
    assert [node.operation.name for node in graph.steps] == ["first", "second", "both"]


def test_shared_layer_stands_where_its_farthest_call_is():
    x = keras.Input((2,), name="x")
    shared = layers.Dense(2, name="shared")
    middle = layers.Dense(2, name="middle")(shared(x))
    graph = Graph([x], [shared(middle)])
    assert names(graph) == ["x", "shared", "middle"]
    assert [len(graph.calls[operation]) for operation in graph.operations] == [0, 2, 1]


def test_unused_input_comes_among_the_last():
    x, unused = keras.Input((2,), name="x"), keras.Input((2,), name="unused")
    graph = Graph([x, unused], [layers.Dense(1, name="d")(x)])
    assert names(graph) == ["x", "unused", "d"]
    assert graph.run([torch.zeros(1, 2), torch.zeros(1, 2)])[0].shape == (1, 1)


def test_calls_of_one_operation_run_in_the_order_they_were_recorded():
    order = []

    class Log(layers.Layer):
        def call(self, x, tag=None):
            order.append(tag)
            return x + 1

    x = keras.Input((2,))
    log = Log()
    first, second = log(x, tag=1), log(x, tag=2)
    graph = Graph([x], [second, first])
    order.clear()
    graph.run([torch.zeros(1, 2)])
    assert order == [1, 2]


def test_output_that_needs_another_input_is_an_error_that_names_it():
    x, other = keras.Input((2,), name="x"), keras.Input((2,), name="other")
    with pytest.raises(ValueError, match=r"(?s)made from its inputs.*name=other.*\['x'\].*Add it"):
        Graph([x], [x + other])


def test_two_operations_of_one_name_are_an_error():
    x = keras.Input((2,))
    y = layers.Dense(2, name="twin")(layers.Dense(2, name="twin")(x))
    with pytest.raises(ValueError, match=r"different names. Received: \['twin'\]"):
        Graph([x], [y])


def test_one_output_of_a_layer_may_be_an_input_and_another_be_computed():
    x = keras.Input((4,))
    left, right = ops.split(x, 2, axis=1)
    graph = Graph([left, x], [left + right])
    given = torch.full((1, 2), 100.0)
    result = graph.run([given, torch.arange(4.0)[None]])[0]
    assert result.tolist() == [[102.0, 103.0]]
    with pytest.raises(ValueError, match="made from its inputs"):
        Graph([left], [left + right])


def test_the_same_input_twice_takes_the_last_value():
    x, y = keras.Input((1,)), keras.Input((1,))
    graph = Graph([x, x, y], [x - y])
    values = [torch.tensor([[v]]) for v in (1.0, 5.0, 2.0)]
    assert graph.run(values)[0].item() == 3.0


def test_outputs_in_a_dict_keep_their_keys_whatever_their_order():
    class Pair(layers.Layer):
        def call(self, x):
            return {"b": x + 1, "a": x * 10}

    x = keras.Input((1,))
    pair = Pair()(x)
    run = Graph([x], [pair["a"], pair["b"]]).run
    assert [y.item() for y in run([torch.tensor([[3.0]])])] == [30.0, 4.0]


def test_results_that_are_no_tensors_are_passed_over():
    class Pair(layers.Layer):
        def call(self, x):
            return None, x + 1

    x = keras.Input((1,))
    nothing, y = Pair()(x)
    assert nothing is None
    assert Graph([x], [y]).run([torch.tensor([[3.0]])])[0].item() == 4.0
    graph = Graph([x], [y + x])
    assert graph.run([torch.tensor([[3.0]])])[0].item() == 7.0


def test_model_whose_outputs_are_inputs_passes_them_on():
    a, b = keras.Input((1,)), keras.Input((1,))
    tensors = [torch.ones(1, 1), torch.zeros(1, 1)]
    assert Graph([a, b], [b, a, b]).run(tensors) == [tensors[1], tensors[0], tensors[1]]


@pytest.mark.parametrize("chain", [True, False])
def test_intermediate_tensors_are_freed_as_soon_as_they_are_used(chain):
    made, alive = [], []

    class Watch(layers.Layer):
        def call(self, x):
            if x.device.type != "meta":
                alive.append(sum(ref() is not None for ref in made))
            y = x + 1
            if x.device.type != "meta":
                made.append(weakref.ref(y))
            return y

    x = keras.Input((2,))
    y = Watch()(x)
    if not chain:
        y = layers.Concatenate()([y, x])
    for _ in range(6):
        y = Watch()(y)
    run = Graph([x], [y]).run
    made.clear(), alive.clear()
    gc.disable()
    try:
        with torch.no_grad():
            run([torch.zeros(1, 2)])
    finally:
        gc.enable()
    assert max(alive) <= 1  # the input of the running step
    assert sum(ref() is not None for ref in made) == 0


def test_graph_deeper_than_the_recursion_limit():
    depth = sys.getrecursionlimit() + 50
    x = y = keras.Input((1,))
    for _ in range(depth):
        y = y + 1.0
    graph = Graph([x], [y])
    assert graph.run([torch.zeros(1, 1)])[0].item() == depth
    record = pickle.loads(pickle.dumps(record_graph(graph, ([x], [y]))))
    inputs, outputs = replay_graph(copy.deepcopy(record))
    assert Graph(inputs, outputs).run([torch.zeros(1, 1)])[0].item() == depth


def test_replay_keeps_the_original_untouched_and_numbers_calls_alike():
    x = keras.Input((2,))
    dense = layers.Dense(2)
    y = ops.concatenate([dense(x), dense(dense(x))[:, 1:]], axis=-1)
    graph = Graph([x], [y])
    before = len(dense._inbound_nodes)
    copied = copy.deepcopy(record_graph(graph, (x, y)))
    inputs, outputs = replay_graph(copied)
    again = Graph([inputs], [outputs])
    assert len(dense._inbound_nodes) == before
    assert names(again) == names(graph)
    assert [graph.reference(node.outputs[0])[1:] for node in graph.steps] == [
        again.reference(node.outputs[0])[1:] for node in again.steps
    ]
    batch = torch.randn(3, 2)
    torch.testing.assert_close(again.run([batch]), graph.run([batch]))
