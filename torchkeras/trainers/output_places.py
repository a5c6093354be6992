"""A model's outputs as a list of places, and what is given for them brought into that order."""

from torchkeras.core import tree


class OutputPlaces:
    """The outputs of a model in a fixed order, with their names and where they stand.

    A flat dict of outputs goes by the names of a functional model where these are its keys, and by
    its keys else; everything else by the order of `tree.flatten`.

    Args:
        y_pred: structure of the outputs.
        output_names: names of a functional model's outputs, or None.

    Attributes:
        names: list, for each place the name of the output or None.
        paths: list of tuples of keys and positions, for each place the way to it.

    Example:

    >>> from torchkeras.trainers.output_places import OutputPlaces
    >>> places = OutputPlaces({"b": torch.zeros(1), "a": torch.ones(1)}, None)
    >>> places.names, places.align({"a": 1, "b": 2}, "y")
    (['a', 'b'], [1, 2])
    """

    def __init__(self, y_pred, output_names=None):
        self._structure = tree.map_structure(lambda leaf: 0, y_pred)
        self.paths = [path for path, _ in _leaves(y_pred)]
        count = len(self.paths)
        self._keys = None  # of a flat dict, in the order of the places
        if isinstance(y_pred, dict) and len(y_pred) == count:
            keys = [path[0] for path in self.paths]
            self._keys = keys
            if output_names and set(output_names) == set(keys):
                self._keys = list(output_names)
            self.paths = [(key,) for key in self._keys]
            self.names = self._keys
        elif output_names and len(output_names) == count:
            self.names = list(output_names)
        else:
            self.names = [None] * count
        self._places = {path: place for place, path in enumerate(self.paths)}

    def __len__(self):
        return len(self.paths)

    @property
    def known_names(self):
        """The names, for messages; None where outputs have none or share one."""
        names = self.names
        return None if None in names or len(set(names)) < len(names) else names

    def flatten(self, y_pred):
        """Outputs as a list by place."""
        if self._keys is not None and isinstance(y_pred, dict):
            return [y_pred[key] for key in self._keys]
        return tree.flatten(y_pred)

    def align(self, given, argument, partial=()):
        """A structure of targets, or of weights, as a list by place, with None where it has none.

        Args:
            given: structure. A dict goes by its keys, at any depth. A list of one entry for each
                output goes by position, and a shorter one by the first of `partial` of its length.
            argument: str, what it is called in errors.
            partial: sequence of lists of places, in order.

        Returns:
            List, or None where a list has a length that fits nothing.

        Raises:
            ValueError: a key that no output has.
        """
        if given is None:
            return None
        if not tree.is_nested(given):
            flat = [given]
        elif _has_dict(given):
            return self._by_key(given, argument)
        else:
            flat = tree.flatten(given)
        if len(flat) == len(self.paths):
            return flat
        for places in partial:
            if len(places) == len(flat):
                result = [None] * len(self.paths)
                for place, item in zip(places, flat, strict=True):
                    result[place] = item
                return result
        return None

    def _by_key(self, given, argument):
        leaves = _leaves(given)
        places = self._places
        if isinstance(given, dict) and not all(path in places for path, _ in leaves):
            names = self.known_names
            if names and all(len(path) == 1 and path[0] in names for path, _ in leaves):
                places = {(name,): place for place, name in enumerate(names)}
        result = [None] * len(self.paths)
        for path, leaf in leaves:
            if path not in places:
                raise self._unknown(given, path, argument)
            result[places[path]] = leaf
        return result

    def _unknown(self, given, path, argument):
        names = self.known_names
        if any(len(path) > 1 for path in self.paths):
            names = [label(path) for path in self.paths]
        unknown = label(path)
        if isinstance(given, dict) and all(len(path) == 1 for path, _ in _leaves(given)):
            unknown = [key for key in given if key not in (names or ())]
        return ValueError(
            f"{argument} are named like the outputs, {names}. Received: a dict with the unknown "
            f"keys {unknown}. Rename them, or leave them out."
        )

    # What `compile` is given for outputs

    def spread(self, given, argument):
        """What is given for outputs as a list by place of lists.

        One thing is for every output. A dict goes by keys, or by the names of the outputs, and a
        list by position, at any depth; a list in the place of one output is several things for it.

        Args:
            given: loss, metrics or weights, or a structure of them.
            argument: str, name of the argument of `compile`.

        Raises:
            ValueError: it does not fit the outputs.
        """
        result = [[] for _ in self.paths]
        names = self.known_names
        if isinstance(given, dict) and names and not self._is_by_key(given):
            unknown = [key for key in given if key not in names]
            if unknown:
                raise self._unknown_names(given, unknown, argument)
            for place, name in enumerate(names):
                result[place] = _items(given.get(name))
            return result
        places = iter(range(len(self.paths)))
        order = {place: place for place in range(len(self.paths))}
        if self._keys is not None:  # the structure's own order is that of its keys
            own = [path[0] for path, _ in _leaves(self._structure)]
            order = {number: self._keys.index(key) for number, key in enumerate(own)}

        def fill(node, item):
            if not tree.is_nested(node):
                if isinstance(item, dict):
                    raise self._unknown_names(given, list(item), argument)
                result[order[next(places)]].extend(_items(item))
                return
            children = _children(node)
            size = len(tree.flatten(node))
            if not tree.is_nested(item):
                chosen = [item] * len(children)
            elif isinstance(item, dict) and isinstance(node, dict):
                unknown = [key for key in item if key not in node]
                if unknown:
                    raise self._unknown_names(given, unknown, argument)
                chosen = [item.get(key) for key in children]
            elif not isinstance(item, dict) and len(item) == len(children):
                if node is self._structure and self._keys is not None:
                    item = dict(zip(self._keys, item, strict=True))
                    chosen = [item[key] for key in children]
                else:
                    chosen = list(item)
            elif not isinstance(item, dict) and len(tree.flatten(item)) == size:
                chosen = _cut(tree.flatten(item), children.values())
            else:
                raise self._wrong_number(given, argument)
            for child, part in zip(children.values(), chosen, strict=True):
                fill(child, part)

        fill(self._structure, given)
        return result

    def _is_by_key(self, given):
        return isinstance(self._structure, dict) and any(key in self._structure for key in given)

    def _unknown_names(self, given, unknown, argument):
        known = [name for name in self.names if name is not None] or None
        if any(len(path) > 1 for path in self.paths):
            known = [label(path) for path in self.paths]
        return ValueError(
            f"The keys of `{argument}` must be names of the model's outputs, {known}. Received: "
            f"{argument} with the unknown keys {unknown}. "
            + ("Rename them." if known else "Give a list in the order of the outputs.")
        )

    def _wrong_number(self, given, argument):
        entries = len(tree.flatten(given)) if argument != "metrics" else len(given)
        return ValueError(
            f"`{argument}` must have one entry for each of the {len(self)} output(s) of the "
            f"model, or their structure. Received: {entries} entries, {argument}={given}. Use "
            "None for an output to leave out."
        )


def label(path):
    """A path in words, as in the logs: `b/c`."""
    return "/".join(str(key) for key in path)


def _items(item):
    return [leaf for leaf in tree.flatten(item) if leaf is not None] if item is not None else []


def _children(node):
    """`{key or position: child}` in the order of `tree.flatten`."""
    if isinstance(node, dict):
        return {key: node[key] for key in tree._dict_keys(node)}
    return dict(enumerate(node))


def _cut(flat, nodes):
    parts, start = [], 0
    for node in nodes:
        size = len(tree.flatten(node))
        parts.append(flat[start : start + size] if tree.is_nested(node) else flat[start])
        start += size
    return parts


def _has_dict(structure):
    if isinstance(structure, dict):
        return True
    return tree.is_nested(structure) and any(_has_dict(child) for child in structure)


def _leaves(structure):
    """`(path, leaf)` of each leaf, items of named tuples by position as those of lists."""
    if not tree.is_nested(structure):
        return [((), structure)]
    return [
        ((key, *path), leaf)
        for key, child in _children(structure).items()
        for path, leaf in _leaves(child)
    ]
