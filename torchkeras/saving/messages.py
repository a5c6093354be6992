"""Errors and warnings about files: short whatever the file quotes, and placed at the caller."""

import json

_MAX_NODES = 1_000_000  # of JSON: more than a thousand layers need, and some 200 MB
_CHARACTERS_A_NODE = 8  # of JSON beyond that: less than numbers take, more than empty lists
_MAX_TEXT = 2000  # characters of a message that may quote the file


def clipped(message):
    """The message as a string of limited length."""
    text = str(message)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def listed(what, names):
    """`"what: first, second. "`, or nothing without names."""
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return clipped(f"{what}: {', '.join(sorted(names)[:5])}{more}. ")


def unreadable(path, problem, kind=".safetensors"):
    """The error of a file that is not what its ending says."""
    return ValueError(
        f"A {kind} file was expected. Received: '{path}', which cannot be read as one: "
        f"{clipped(problem)}. It may be damaged or of another format."
    )


def no_file(path):
    """The error of a file that is not there."""
    return FileNotFoundError(f"There is no file to load. Received: '{path}'. Check the path.")


def json_object(text, path, kind=".safetensors", size=None):
    """The JSON object in `text`, no name of which may occur twice: readers would differ.

    Args:
        text: str or bytes.
        path: str, the file.
        kind: str, ending of such files.
        size: int, bytes that the text takes in the file; None for its length.
    """
    commas, ends = (",", "[{") if isinstance(text, str) else (b",", b"[{")
    nodes = text.count(commas) + sum(text.count(ends[i : i + 1]) for i in range(2))
    if nodes > _MAX_NODES + (len(text) if size is None else size) // _CHARACTERS_A_NODE:
        raise unreadable(path, f"a description in it has {nodes} parts", kind)
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, f"a description in it is not JSON ({error})", kind) from error
    if not isinstance(value, dict):
        problem = f"a description in it is a {type(value).__name__}, not an object"
        raise unreadable(path, problem, kind)
    return value


def _without_duplicates(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        names = iter([name for name, _ in pairs])
        twice = next(name for name in names if found.pop(name, names) is names)
        raise ValueError(f"the name {clipped(twice)!r} occurs twice")
    return found
