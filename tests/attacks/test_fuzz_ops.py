"""A small sample of what fuzz_ops does at length."""

import pytest

from tests.attacks.fuzz_ops import findings


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
