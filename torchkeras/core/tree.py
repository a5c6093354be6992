"""Nested structures of lists, tuples, named tuples and dicts (leaves: everything else, None too).

A plain dict is walked in sorted key order, an `OrderedDict` in its own order, as in Keras.
"""

from collections import OrderedDict


def _is_namedtuple(x):
    return isinstance(x, tuple) and hasattr(x, "_fields")


def _dict_keys(x):
    if isinstance(x, OrderedDict):
        return list(x)
    try:
        return sorted(x)
    except TypeError:
        return list(x)


def is_nested(structure):
    """Whether `structure` is a list, tuple or dict.

    Example:

    >>> keras.tree.is_nested([1]), keras.tree.is_nested(1)
    (True, False)
    """
    return isinstance(structure, (list, tuple, dict))


def traverse(func, structure, top_down=True):
    """Rebuild `structure`, letting `func` replace any node.

    Args:
        func: called with every node, containers too. None keeps the node, `MAP_TO_NONE`
            puts None in its place, any other result replaces it.
        structure: nested lists, tuples, dicts.
        top_down: bool, visit a container before (True) or after its items.

    Example:

    >>> keras.tree.traverse(lambda v: v * 2 if isinstance(v, int) else None, [1, (2, "a")])
    [2, (4, 'a')]
    """

    def visit(node):
        if top_down:
            result = func(node)
            if result is not None:
                return None if result is MAP_TO_NONE else result
        if is_nested(node):
            node = _rebuild(node, [visit(child) for child in _children(node)])
            if top_down:
                return node
        elif top_down:
            return node
        result = func(node)
        if result is None:
            return node
        return None if result is MAP_TO_NONE else result

    return visit(structure)


class MAP_TO_NONE:
    """What the function given to `traverse` returns to put None in a node's place."""


def _children(structure):
    if isinstance(structure, dict):
        return [structure[key] for key in _dict_keys(structure)]
    return list(structure)


def _rebuild(structure, children):
    if isinstance(structure, dict):
        by_key = dict(zip(_dict_keys(structure), children, strict=True))
        if type(structure) in (dict, OrderedDict):
            return type(structure)((key, by_key[key]) for key in structure)
        copy = structure.copy()
        copy.update(by_key)
        return copy
    if _is_namedtuple(structure):
        return type(structure)(*children)
    return tuple(children) if isinstance(structure, tuple) else list(children)


def flatten(structure):
    """Leaves of `structure` as a list.

    Example:

    >>> keras.tree.flatten({"b": 1, "a": [2, (3,)]})
    [2, 3, 1]
    """
    if not isinstance(structure, (list, tuple, dict)):
        return [structure]
    leaves = []
    for child in _children(structure):
        leaves.extend(flatten(child))
    return leaves


def flatten_with_path(structure):
    """Leaves of `structure` with their paths, as a list of `(path, leaf)`.

    Example:

    >>> keras.tree.flatten_with_path({"a": [5]})
    [(('a', 0), 5)]
    """
    if not is_nested(structure):
        return [((), structure)]
    if isinstance(structure, dict):
        keys = _dict_keys(structure)
    else:
        keys = structure._fields if _is_namedtuple(structure) else range(len(structure))
    return [
        ((key, *path), leaf)
        for key, child in zip(keys, _children(structure), strict=True)
        for path, leaf in flatten_with_path(child)
    ]


def map_structure(func, *structures):
    """Apply `func` leaf by leaf to structures of one shape, and rebuild the first's structure.

    Raises:
        ValueError: the structures differ.

    Example:

    >>> keras.tree.map_structure(lambda a, b: a + b, [1, {"k": 2}], [10, {"k": 20}])
    [11, {'k': 22}]
    """
    first = structures[0]
    if not is_nested(first):
        return func(*structures)
    if len(structures) > 1:
        for other in structures[1:]:
            _assert_same_node(first, other)
    children = zip(*(_children(s) for s in structures), strict=True)
    return _rebuild(first, [map_structure(func, *group) for group in children])


def map_structure_up_to(shallow_structure, func, *structures):
    """Apply `func` to the parts of `structures` that stand where `shallow_structure` has leaves.

    Example:

    >>> keras.tree.map_structure_up_to([0, 0], len, [[1, 2], [3]])
    [2, 1]
    """
    if not is_nested(shallow_structure):
        return func(*structures)
    for other in structures:
        _assert_same_node(shallow_structure, other)
    children = zip(_children(shallow_structure), *(_children(s) for s in structures), strict=True)
    return _rebuild(
        shallow_structure, [map_structure_up_to(shape, func, *rest) for shape, *rest in children]
    )


def _assert_same_node(a, b):
    same = (
        isinstance(b, dict) and set(a) == set(b)
        if isinstance(a, dict)
        else isinstance(b, (list, tuple)) and len(a) == len(b)
    )
    if not same:
        raise ValueError(
            "The structures do not match: expected one like the first. Received: "
            f"{_outline(a)} and {_outline(b)}. Give both the same nesting, lengths and keys."
        )


def _outline(structure):
    return map_structure(lambda leaf: "*", structure) if is_nested(structure) else "a leaf"


def assert_same_structure(a, b):
    """Raise ValueError unless `a` and `b` nest alike (types of list and tuple may differ).

    Example:

    >>> keras.tree.assert_same_structure([1, 2], [3, 4])
    """
    if is_nested(a):
        _assert_same_node(a, b)
        for x, y in zip(_children(a), _children(b), strict=True):
            assert_same_structure(x, y)
    elif is_nested(b):
        _assert_same_node(b, a)


def assert_same_paths(a, b):
    """Raise ValueError unless the leaves of `a` and `b` have the same paths.

    Example:

    >>> keras.tree.assert_same_paths({"a": [1]}, {"a": (2,)})
    """
    paths_a = {path for path, _ in flatten_with_path(a)}
    paths_b = {path for path, _ in flatten_with_path(b)}
    if paths_a != paths_b:
        raise ValueError(
            "The structures must have the same paths. Received: only in the first: "
            f"{sorted(map(str, paths_a - paths_b))}; only in the second: "
            f"{sorted(map(str, paths_b - paths_a))}."
        )


def pack_sequence_as(structure, flat_sequence):
    """Rebuild `structure` with the leaves of `flat_sequence`, in the order of `flatten`.

    Raises:
        ValueError: the numbers of leaves differ.

    Example:

    >>> keras.tree.pack_sequence_as({"a": 0, "b": (0, 0)}, [1, 2, 3])
    {'a': 1, 'b': (2, 3)}
    """
    flat_sequence = list(flat_sequence)
    count = len(flatten(structure))
    if count != len(flat_sequence):
        raise ValueError(
            f"`structure` has {count} leaves. Received: {len(flat_sequence)} values to fill it."
        )
    values = iter(flat_sequence)

    def fill(node):
        if is_nested(node):
            return _rebuild(node, [fill(child) for child in _children(node)])
        return next(values)

    return fill(structure)


def lists_to_tuples(structure):
    """`structure` with every list made a tuple, so that it can be hashed.

    Example:

    >>> keras.tree.lists_to_tuples([1, [2]])
    (1, (2,))
    """
    if isinstance(structure, list):
        return tuple(lists_to_tuples(child) for child in structure)
    if is_nested(structure):
        return _rebuild(structure, [lists_to_tuples(child) for child in _children(structure)])
    return structure


def is_shape(x):
    """Whether `x` is a shape: a list or tuple of ints and Nones."""
    return isinstance(x, (list, tuple)) and all(d is None or isinstance(d, int) for d in x)


def map_shape_structure(func, structure):
    """Apply `func` to every shape (tuple of ints and Nones) in `structure`.

    Example:

    >>> keras.tree.map_shape_structure(len, {"a": (None, 3), "b": [(2,)]})
    {'a': 2, 'b': [1]}
    """
    if is_shape(structure):
        return func(tuple(structure))
    if not is_nested(structure):
        raise ValueError(f"Expected shapes or nested shapes. Received: {structure!r}.")
    return _rebuild(structure, [map_shape_structure(func, c) for c in _children(structure)])
