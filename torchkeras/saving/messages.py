"""Errors and warnings about files: short whatever the file quotes, and placed at the caller."""

import json

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


def json_object(text, path, kind=".safetensors"):
    """The JSON object in `text`, no name of which may occur twice: readers would differ."""
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
