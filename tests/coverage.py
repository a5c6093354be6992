"""What of Keras's public surface is here: `python -m tests.coverage` writes docs/coverage.md.

A name is *compared* where a file of `tests/parity` for its namespace names it. A layer has its
full graph and its export where a case of the contract (`tests/contract.py`) holds them.
"""

import ast
import collections
import functools
import importlib
import pathlib

import torchkeras

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent / "docs" / "coverage.md"
MARKS = ("CORE", "COMMON", "NICHE")

# Why a name is not here. What has no line is work to come.
REASONS = {
    "keras.layers.TFSMLayer": "reads TensorFlow's SavedModel",
    "keras.layers.ActivityRegularization": "torch.export refuses the kept loss",
    **{
        f"keras.layers.{name}": "Keras's asks for TensorFlow; the values of its tests are held"
        for name in ("Hashing", "HashedCrossing", "IntegerLookup", "StringLookup")
    },
    "keras.layers.FlaxLayer": "wraps Flax, which is JAX",
    "keras.layers.JaxLayer": "wraps JAX",
    "keras.callbacks.OrbaxCheckpoint": "Orbax is JAX's",
    "keras.config.set_backend": "there is one backend",
    "keras.config.is_nnx_enabled": "NNX is JAX's",
}

# What has no `call` of its own to compile.
NO_CALL = ("InputLayer", "InputSpec", "Layer", "Wrapper")

Name = collections.namedtuple("Name", "namespace mark name aliases")


def names():
    """Every public name of Keras, as `Name` tuples."""
    lines = (HERE / "keras_names.txt").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if not line.startswith("#")]
    return [Name(namespace, mark, name, aliases) for namespace, mark, name, *aliases in words]


def is_present(name):
    """Whether a name is here, with all its aliases."""
    place = torchkeras
    for part in name.namespace.split(".")[1:]:
        place = getattr(place, part, None)
    return all(hasattr(place, each) for each in (name.name, *name.aliases))


@functools.cache
def _words_of_parity(topic):
    """Identifiers and strings in the parity tests whose file's name has `topic` in it."""
    words = set()
    for path in sorted((HERE / "parity").rglob("*.py")):
        # `drawn_calls` draws the calls that test_ops_properties makes.
        if topic not in path.stem and (topic, path.stem) != ("ops", "drawn_calls"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words.add(getattr(node, "attr", None))
            words.add(getattr(node, "id", None))
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.update(node.value.replace(",", " ").replace(".", " ").split())
    return words


def is_compared(name):
    """Whether a parity test names it."""
    topic = name.namespace.split(".")[1] if "." in name.namespace else ""
    if name.namespace == "keras.optimizers.schedules":
        return any(n in _words_of_parity("schedules") for n in (name.name, *name.aliases))
    found = _words_of_parity(topic)
    if topic not in ("losses", "metrics", "ops", "optimizers", "initializers", "random"):
        found = _words_of_parity("")
    return any(each in found for each in (name.name, *name.aliases))


@functools.cache
def _held_layers():
    """A dict of layer names to the options of their cases in the contract's tables."""
    from tests import testing

    held = collections.defaultdict(list)
    for path in sorted((HERE / "layers").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "@layer_cases(" in source:
            importlib.import_module(".".join(path.relative_to(HERE.parent).with_suffix("").parts))
        for node in ast.walk(ast.parse(source)):
            is_check = getattr(getattr(node, "func", None), "id", None) == "check_layer"
            if is_check and isinstance(node.args[0], ast.Attribute):
                constants = [k for k in node.keywords if isinstance(k.value, ast.Constant)]
                held[node.args[0].attr].append({k.arg: k.value.value for k in constants})
    for cls, options in testing.HELD_CASES:
        held[cls.__name__].append(options)
    return held


def _layer_row(name):
    layer = getattr(torchkeras.layers, name.name, None)
    cases = _held_layers()[getattr(layer, "__name__", name.name)]
    present = is_present(name)
    graph = any(options.get("supports_compile", True) for options in cases)
    export = any(options.get("supports_export", True) for options in cases)
    is_layer = isinstance(layer, type) and name.name not in NO_CALL
    marks = [_tick(present), _tick(present and is_compared(name))]
    marks += [_tick(graph), _tick(export)] if is_layer or not present else ["", ""]
    reason = REASONS.get(f"{name.namespace}.{name.name}", "")
    title = ", ".join(f"`{each}`" for each in (name.name, *name.aliases))
    return f"| {title} | {name.mark} | {' | '.join(marks)} | {reason} |"


def _tick(condition):
    return "yes" if condition else "no"


def _share(chosen, condition):
    if not chosen:
        return ""
    count = sum(map(condition, chosen))
    return f"{count} of {len(chosen)}"


def page():
    """The text of docs/coverage.md."""
    everything = names()
    spaces = collections.defaultdict(list)
    for name in everything:
        spaces[name.namespace].append(name)
    lines = [
        "# What of Keras is here",
        "",
        "Written by `python -m tests.coverage`; a test holds that it is up to date. A name is",
        "*compared* where a test sets it beside the real Keras; where results differ on purpose,",
        "[differences.md](differences.md) says why.",
        "",
        "```python",
        "import torchkeras as keras",
        "",
        'print(hasattr(keras.layers, "Dense"))  # True',
        "```",
        "",
        "| namespace | CORE | COMMON | NICHE | compared |",
        "| --- | --- | --- | --- | --- |",
    ]
    for space, found in [("all", everything), *spaces.items()]:
        shares = [_share([n for n in found if n.mark == mark], is_present) for mark in MARKS]
        compared = _share([n for n in found if is_present(n)], is_compared)
        lines.append(f"| {space} | {' | '.join(shares)} | {compared} |")
    lines += [
        "",
        "## keras.layers, one by one",
        "",
        "*Full graph*: `torch.compile(fullgraph=True)` gives what the layer gives. *Export*:",
        "`torch.export` does. A layer that takes strings has neither.",
        "",
        "| name | mark | present | compared | full graph | export | remark |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_layer_row(name) for name in spaces.pop("keras.layers")]
    lines += ["", "## The other namespaces", ""]
    for space, found in spaces.items():
        lines += [f"### {space}", ""]
        groups = {
            "Here and compared": [n for n in found if is_present(n) and is_compared(n)],
            "Here": [n for n in found if is_present(n) and not is_compared(n)],
            "Not here": [n for n in found if not is_present(n)],
        }
        for title, group in groups.items():
            if group:
                lines += [f"{title}: {', '.join(map(_with_reason, group))}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _with_reason(name):
    reason = REASONS.get(f"{name.namespace}.{name.name}")
    remark = "" if is_present(name) else f" ({name.mark}{': ' + reason if reason else ''})"
    return f"`{name.name}`{remark}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
