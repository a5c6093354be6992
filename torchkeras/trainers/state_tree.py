"""The state of a model and its training as nested dicts by path."""

_FORMATS = ("backend_tensor", "numpy_array")


def state_tree(model, value_format):
    """What `Model.get_state_tree` returns."""
    if value_format not in _FORMATS:
        raise ValueError(
            f"`value_format` must be one of {', '.join(map(repr, _FORMATS))}. Received: "
            f"value_format={value_format!r}."
        )
    return {kind: _nested(kind, parts, value_format) for kind, parts in _variables(model).items()}


def assign_state_tree(model, tree):
    """What `Model.set_state_tree` does: nothing is changed where something does not fit."""
    known = _variables(model)
    unknown = [kind for kind in tree if kind not in known]
    if unknown:
        raise ValueError(
            f"A state tree has the keys {list(known)}. Received: also {unknown}. Give what "
            "`get_state_tree` returns, or a part of it."
        )
    pairs = []
    for kind, values in tree.items():
        by_path = {variable.path: variable for variable in known[kind]}
        for path, value in _flat(values).items():
            if path not in by_path:
                raise ValueError(
                    f"The {kind} of '{model.name}' are {sorted(by_path)}. Received: a value for "
                    f"'{path}'. Build (and compile) the model as the one that the tree is of."
                )
            if tuple(getattr(value, "shape", ())) != tuple(by_path[path].shape):
                raise ValueError(
                    f"'{path}' has shape {tuple(by_path[path].shape)}. Received: a value of shape "
                    f"{tuple(getattr(value, 'shape', ()))}."
                )
            pairs.append((by_path[path], value))
    for variable, value in pairs:
        variable.assign(value)


def _variables(model):
    optimizer = getattr(model, "optimizer", None)
    return {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": list(getattr(optimizer, "variables", ())),
        "metrics_variables": model.metrics_variables,
    }


def _nested(kind, variables, value_format):
    result, seen = {}, set()
    for variable in variables:
        if variable.path in seen:
            raise ValueError(
                f"Each of the {kind} needs a path of its own. Received: '{variable.path}' twice. "
                "Give layers, and other objects, unique names."
            )
        seen.add(variable.path)
        *folders, name = variable.path.split("/")
        place = result
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = variable.numpy() if value_format == "numpy_array" else variable.value
    return result


def _flat(tree, prefix=""):
    flat = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        flat.update(_flat(value, f"{path}/") if isinstance(value, dict) else {path: value})
    return flat
