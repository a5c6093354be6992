"""Nested structures."""

from collections import OrderedDict, namedtuple

import pytest

import torchkeras as keras
from torchkeras.core import tree

Pair = namedtuple("Pair", ["first", "second"])
STRUCTURES = [
    3,
    None,
    [],
    {},
    [1, (2, None), {"b": 3, "a": [4]}],
    OrderedDict([("z", 1), ("a", (2,))]),
    Pair(1, [2, Pair(3, 4)]),
    {2: 1, 1: 2},
    {"a": 1, 3: 2},  # keys that do not sort
]


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_flatten_and_pack_are_inverse(structure):
    flat = tree.flatten(structure)
    packed = tree.pack_sequence_as(structure, flat)
    assert packed == structure and type(packed) is type(structure)
    mapped = tree.map_structure(lambda leaf: leaf, structure)
    assert mapped == structure and type(mapped) is type(structure)
    assert [leaf for _, leaf in tree.flatten_with_path(structure)] == flat


def test_order_of_dicts():
    assert tree.flatten({"b": 1, "a": 2}) == [2, 1]
    assert tree.flatten(OrderedDict([("b", 1), ("a", 2)])) == [1, 2]
    assert list(tree.map_structure(lambda v: v, {"b": 1, "a": 2})) == ["b", "a"]


def test_named_tuples_have_their_fields_as_paths():
    assert tree.flatten_with_path({"x": Pair(1, [2])}) == [
        (("x", "first"), 1),
        (("x", "second", 0), 2),
    ]


def test_map_structure_over_several():
    assert tree.map_structure(lambda a, b: a - b, {"a": [5], "b": 3}, {"b": 1, "a": (2,)}) == {
        "a": [3],
        "b": 2,
    }


@pytest.mark.parametrize(
    "a, b", [([1], [1, 2]), ([1], 1), ({"a": 1}, {"b": 1}), ({"a": 1}, [1]), ([[1]], [1])]
)
def test_structures_that_differ(a, b):
    with pytest.raises(ValueError, match="do not match.*Received.*Give both the same"):
        tree.map_structure(lambda x, y: x, a, b)
    with pytest.raises(ValueError, match="do not match"):
        tree.assert_same_structure(a, b)
    with pytest.raises(ValueError, match="do not match"):
        tree.assert_same_structure(b, a)


def test_same_paths():
    tree.assert_same_paths({"a": [1, 2]}, {"a": (3, 4)})
    with pytest.raises(ValueError, match=r"only in the first.*'a', 1"):
        tree.assert_same_paths({"a": [1, 2]}, {"a": [1]})


def test_map_structure_up_to():
    assert tree.map_structure_up_to({"a": 0}, len, {"a": [1, 2]}) == {"a": 2}
    assert tree.map_structure_up_to(0, sum, [1, 2]) == 3
    with pytest.raises(ValueError, match="do not match"):
        tree.map_structure_up_to([0, 0], len, [[1]])


@pytest.mark.parametrize("values", [[1], [1, 2, 3]])
def test_pack_counts(values):
    with pytest.raises(ValueError, match=f"2 leaves. Received: {len(values)} values"):
        tree.pack_sequence_as([0, 0], values)


def test_traverse_top_down_stops_where_it_replaces():
    seen = []

    def visit(node):
        seen.append(node)
        return "x" if isinstance(node, tuple) else None

    assert tree.traverse(visit, [1, (2, 3)]) == [1, "x"]
    assert seen == [[1, (2, 3)], 1, (2, 3)]


def test_traverse_bottom_up_sees_what_was_replaced():
    result = tree.traverse(
        lambda node: sum(node) if isinstance(node, list) else None, [1, [2, [3]]], top_down=False
    )
    assert result == 6
    none = keras.tree.MAP_TO_NONE
    assert tree.traverse(lambda v: none if v == 2 else None, [1, 2], top_down=False) == [1, None]
    assert tree.traverse(lambda v: none if v == 2 else None, [1, 2]) == [1, None]


def test_lists_to_tuples():
    assert tree.lists_to_tuples([1, {"a": [2]}, (3, [4])]) == (1, {"a": (2,)}, (3, (4,)))


def test_shapes():
    assert tree.is_shape((None, 3)) and tree.is_shape([2]) and tree.is_shape(())
    assert not tree.is_shape([(2,)]) and not tree.is_shape("ab")
    assert tree.map_shape_structure(list, {"a": (None, 3), "b": [(2,), ()]}) == {
        "a": [None, 3],
        "b": [[2], []],
    }
    with pytest.raises(ValueError, match="Expected shapes.*Received: 3"):
        tree.map_shape_structure(len, {"a": 3})
