"""Running what the documents show: the code in their blocks, and the outputs they promise."""

import contextlib
import io
import re

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_PROMISE = re.compile(r"^ *print\(.*\)  # (.*)$", flags=re.MULTILINE)


def blocks(text):
    """`(language, text)` of every fenced block of a Markdown text."""
    return _BLOCK.findall(text)


def run_python_blocks(path):
    """Run the Python blocks of a document, in order, in one namespace.

    A comment after a `print(...)` promises what is printed: it must be among the lines that its
    block prints, in order.

    Args:
        path: path of a Markdown file.

    Returns:
        `(namespace, count of the promises)`.
    """
    namespace, count = {"__name__": path.stem}, 0
    for number, (language, text) in enumerate(blocks(path.read_text(encoding="utf-8"))):
        if language != "python":
            continue
        code = compile(text, f"{path.name}, block {number}", "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        lines = iter(printed.getvalue().splitlines())
        for promise in _PROMISE.findall(text):
            kept = any(line == promise for line in lines)
            assert kept, f"{path.name}, block {number}: {promise!r} is not in its place in\n" + (
                printed.getvalue()
            )
            count += 1
    return namespace, count
