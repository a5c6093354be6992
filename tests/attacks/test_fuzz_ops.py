"""A small sample of what fuzz_ops does at length."""

import pytest

from tests.attacks.fuzz_ops import _REQUIRED, _all_calls, findings
from tests.ops.test_symbolic import Symbol, replace


def test_a_sample_of_hostile_calls_ends_in_python():
    assert findings(500, seed=0) == []


def test_what_ends_the_process_or_takes_too_long_is_found():
    assert findings(2, seed=0, only="self") == [
        (0, "test.self", "ended by -11"),
        (1, "test.self", "takes too long"),
    ]


@pytest.mark.slow
def test_many_hostile_calls_end_in_python():
    assert findings(10_000, seed=1) == []


def test_the_calls_are_right_before_they_are_changed():
    wrong = []
    for name, function, args, kwargs in _all_calls():
        needed = {n: v for n, v in _REQUIRED.items() if n in getattr(function, "arguments", ())}
        try:
            function(*replace(args, Symbol.data), **kwargs, **needed)
        except Exception as error:
            wrong.append(f"{name}: {repr(error)[:120]}")
    assert not wrong
