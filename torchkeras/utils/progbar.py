"""Progbar: one line of progress, moving in a terminal, printed once elsewhere."""

import math
import os
import shutil
import sys
import time

import torch

from torchkeras.core import config
from torchkeras.distribution import process_group

_NEVER = math.inf


class Progbar:
    """Shows steps done, time per step and metrics.

    With `verbose=1` in a terminal or notebook a bar moves, at most every `interval` seconds,
    and its last state stays as a line:

        63/63 ━━━━━━━━━━━━━━━━━━━━ 0s 3ms/step - accuracy: 0.9105 - loss: 0.3092

    Anywhere else (a file, a pipe), and with `verbose=2`, one plain line without control
    characters is written at the end. Values may be tensors on any device; they are read only
    when a line is written.

    Args:
        target: int, number of steps, or None if unknown.
        width: int, characters of the bar.
        verbose: 0 (silent), 1 (bar), 2 (one line), or `"auto"`: 1 where a bar can move, else 2.
        interval: float, least time between two drawings, in seconds.
        stateful_metrics: names shown as they are; all others are averaged over the steps.
        stateless_metrics: names averaged over the steps; all others are shown as they are.
            Give one of the two; without either everything is averaged.
        unit_name: str, what a step is called.
        prefix: str, written in front of a plain line.

    Raises:
        ValueError: both lists of names are given, or `verbose` is another string.

    Example:

    >>> bar = keras.utils.Progbar(2, verbose=0)
    >>> bar.update(1, [("loss", 0.5)])
    >>> bar.add(1, [("loss", torch.tensor(1.5))])
    """

    def __init__(
        self,
        target,
        width=20,
        verbose=1,
        interval=0.05,
        stateful_metrics=None,
        stateless_metrics=None,
        unit_name="step",
        prefix="",
    ):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Only one of `stateful_metrics` and `stateless_metrics` can be given, the other "
                f"is its complement. Received: {sorted(stateful_metrics)} and "
                f"{sorted(stateless_metrics)}. Drop one."
            )
        self._can_move = can_draw_bar()
        if verbose == "auto":
            verbose = 1 if self._can_move else 2
        elif isinstance(verbose, str):
            raise ValueError(f"`verbose` must be 0, 1, 2 or 'auto'. Received: verbose={verbose!r}.")
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.prefix = prefix
        self._shown_as_is = set(stateful_metrics or ())
        self._averaged = None if stateless_metrics is None else set(stateless_metrics)
        # Time before which no drawing is due; a caller that builds values may look at it first.
        self.next_draw = 0.0 if verbose == 1 and self._can_move else _NEVER
        self._values = {}
        self._seen_so_far = 0
        self._bar = None
        self._start = time.perf_counter()
        self._after_first_step = None

    def update(self, current, values=None, finalize=None):
        """Show that `current` steps are done.

        Args:
            current: int, steps done so far.
            values: pairs `(name, value of the last step)`; the mean of an averaged name weighs
                each value by the steps since the update before.
            finalize: bool, whether to write the last line. None: `current >= target`.

        Example:

        >>> keras.utils.Progbar(None, verbose=0).update(3, [("loss", 0.25)], finalize=True)
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        if values:
            self._remember(values, max(current - self._seen_so_far, 1), finalize)
        self._seen_so_far = current
        now = time.perf_counter()
        time_per_step = self._time_per_step(current, now)
        if finalize:
            self._finish(current, now - self._start, time_per_step)
        elif now >= self.next_draw:
            self._draw(current, time_per_step)
            self.next_draw = time.perf_counter() + self.interval

    def add(self, n, values=None):
        """Show that `n` more steps are done.

        Example:

        >>> keras.utils.Progbar(5, verbose=0).add(2)
        """
        self.update(self._seen_so_far + n, values)

    def _remember(self, values, steps, finalize):
        for name, value in values:
            averaged = (
                name not in self._shown_as_is if self._averaged is None else name in self._averaged
            )
            if isinstance(value, torch.Tensor):
                value = value.detach()
            if not averaged or finalize:  # the caller's last value already is the epoch's mean
                self._values[name] = (value, 1)
            else:
                total, count = self._values.get(name, (0.0, 0))
                self._values[name] = (total + value * steps, count + steps)

    def _time_per_step(self, current, now):
        # The first step warms up caches and compilers, so it is left out once there are others.
        if current > 1 and self._after_first_step is not None:
            return (now - self._after_first_step) / (current - 1)
        if current == 1:
            self._after_first_step = now
        return (now - self._start) / current if current else 0.0

    def _metrics(self):
        parts = []
        for name, (total, count) in self._values.items():
            value = float(total.mean() if hasattr(total, "mean") else total) / count
            text = f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
            parts.append(f" - {name}: {text}")
        return "".join(parts)

    def _count(self, current):
        if not self.target:
            return f"{current}/Unknown"
        return f"{current:{len(str(self.target))}d}/{self.target}"

    def _draw(self, current, time_per_step):
        info = f"{_duration(time_per_step, self.unit_name)}{self._metrics()}"
        count, bar = self._count(current), ""
        if self.target:
            info = f"{_clock(time_per_step * (self.target - current))} {info}"
            bar = f" {{bar:{self.width}}}"
        layout = f"{count}{bar} {{desc}}"
        if self._bar is None:
            self._bar = _open_bar(
                total=self.target or None, initial=current, desc=info, bar_format=layout
            )
            return
        self._bar.n, self._bar.bar_format = current, layout
        if not config.is_notebook():
            self._bar.ncols = _columns()  # the window may have been resized
        self._bar.set_description_str(info, refresh=False)
        self._bar.refresh()

    def _finish(self, current, elapsed, time_per_step):
        bar, self._bar = self._bar, None
        moving = self.verbose == 1 and self._can_move
        if not moving and self.verbose not in (1, 2):
            return
        count = self._count(current) if self.target else str(current)
        info = f"{_duration(time_per_step, self.unit_name)}{self._metrics()}"
        if not moving:
            write_line(f"{self.prefix}{count} - {elapsed:.0f}s - {info}")
            return
        info = f"{elapsed:.0f}s {info}"
        if bar is not None and config.is_notebook():
            bar.n, bar.leave = current, True
            bar.bar_format = f"{count} {{bar}} {{desc}}"
            bar.set_description_str(info, refresh=False)
            bar.close()
            return
        if bar is not None:
            bar.close()  # wipes its line; tqdm's own last line would be cut at the window's edge
        empty, full = _bar_characters()
        filled = self.width if not self.target else int(self.width * current / self.target)
        write_line(f"{count} {full * filled}{empty * (self.width - filled)} {info}")


def can_draw_bar():
    """Whether standard output is a terminal or notebook, and interactive logging is on."""
    if not config.is_interactive_logging_enabled():
        return False
    isatty = getattr(sys.stdout, "isatty", None)
    if isatty is not None and isatty():
        return os.environ.get("TERM") != "dumb"
    return config.is_notebook()


def write_line(text):
    """Write one line to standard output, replacing characters its encoding lacks.

    Of several processes of a job only the first one writes.
    """
    if sys.stdout is None or not process_group.is_chief():  # a program without a console
        return
    try:
        sys.stdout.write(text + "\n")
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


def _bar_characters():
    try:
        "─━".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ".="
    return "─━"


def _open_bar(**arguments):
    # Imported at the first drawing; the notebook flavour pulls in IPython.
    if config.is_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm.std import tqdm

        arguments |= {"ncols": _columns(), "nrows": 24, "ascii": _bar_characters()}

    class Bar(tqdm):
        monitor_interval = 0  # no watching thread: drawing is ours, and workers may fork

    return Bar(file=sys.stdout, leave=False, **arguments)


def _columns():
    # tqdm draws nothing where a terminal reports no size, as under `docker exec -t`.
    return shutil.get_terminal_size().columns


def _duration(seconds, unit_name):
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit_name}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit_name}"
    return f"{seconds * 1e6:.0f}us/{unit_name}"


def _clock(seconds):
    seconds = int(seconds)
    if seconds > 3600:
        return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds > 60 else f"{seconds}s"
