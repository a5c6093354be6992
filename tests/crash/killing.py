"""Writers that are killed: at random moments, and before each use of a file."""

import os
import pathlib
import random
import signal
import time

from tests.crash.forks import Child, kill_before_event, sleep_exactly
from tests.crash.writers import WRITERS, found_in, strays


def _write(writer, name, folder, number, event=None):
    WRITERS[name].prepare(folder, number)
    os.write(writer, b"b")
    if event is not None:
        kill_before_event(event)
    WRITERS[name].write(folder, number)
    os.write(writer, b"e")
    return None


def _written(name, folder, number):
    """Write undisturbed; returns how long it took."""
    child = Child(_write, name, folder, number)
    child.wait_for_byte()
    begin = time.perf_counter()
    child.wait_for_byte()
    duration = time.perf_counter() - begin
    code, text = child.wait()
    assert code == 0, text
    return duration


def _prepare(name, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    # So that all is imported before the first child is made.
    WRITERS[name].prepare(folder, 0)
    WRITERS[name].write(folder, 0)
    assert found_in(name, folder) == 0
    return folder


def kill_at_random(name, folder, seed, kills=100):
    """Kill a writer again and again, at moments spread over the time that it takes.

    Returns:
        dict: `kills`; `whole`, of them those after which the old or the new file was there;
        `inside`, those that came before the writer had ended; `left`, those that left something
        unfinished; `new`, of those inside the ones after which the new file was there; `strays`
        after one more save.
    """
    folder, draw = _prepare(name, folder), random.Random(seed)
    old = 0
    durations = [_written(name, folder, old) for _ in range(5)]
    duration = sorted(durations)[2]
    counts = dict.fromkeys(("whole", "inside", "left", "new"), 0)
    problems = []
    for number in range(1, kills + 1):
        child = Child(_write, name, folder, number)
        child.wait_for_byte()
        sleep_exactly(duration * 1.1 * (number - draw.random()) / kills)
        child.kill()
        code, text = child.wait()
        has_ended = text.startswith("be")
        assert has_ended or code == -signal.SIGKILL, text
        try:
            found = found_in(name, folder)
            is_whole = found in ((number,) if has_ended else (old, number))
        except Exception as error:
            is_whole, found = False, f"{type(error).__name__}: {error}"
        if not is_whole:
            problems.append(f"kill {number}: {found} after {old}")
        counts["whole"] += is_whole
        counts["inside"] += not has_ended
        counts["left"] += bool(strays(name, folder))
        counts["new"] += not has_ended and found == number
        old = found
    _written(name, folder, kills + 1)
    last = found_in(name, folder)
    assert last == kills + 1, last
    return {"kills": kills, **counts, "strays": strays(name, folder), "problems": problems}


def kill_before_each_event(name, folder, most=10_000):
    """Kill a writer before its first use of a file, its second, and so on until it ends."""
    folder, old, left = _prepare(name, folder), 0, 0
    for event in range(1, most):
        child = Child(_write, name, folder, event, event)
        code, text = child.wait()
        has_ended = code == 0
        assert has_ended or code == -signal.SIGKILL, text
        found = found_in(name, folder)
        assert found in ((event,) if has_ended else (old, event)), (event, found, old)
        left += bool(strays(name, folder))
        old = found
        if has_ended:
            return {"events": event - 1, "left": left, "strays": strays(name, folder)}
    raise AssertionError(f"the writer had not ended after {most} events")
