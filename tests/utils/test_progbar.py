import fcntl
import functools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest
import torch

from torchkeras.core import config
from torchkeras.utils.progbar import Progbar

THREE_EPOCHS = """
import sys, time, torch
from torchkeras.callbacks import CallbackList
verbose, steps, encoding = sys.argv[1], 20, None
verbose = verbose if verbose == "auto" else int(verbose)
hooks = CallbackList(add_progbar=True, verbose=verbose, epochs=3, steps=steps)
hooks.on_train_begin()
for epoch in range(3):
    hooks.on_epoch_begin(epoch)
    for step in range(steps):
        time.sleep(0.006)
        hooks.on_train_batch_end(step, lambda: {"loss": torch.tensor(0.5), "accuracy": 0.75})
    hooks.on_epoch_end(epoch, {"loss": 0.25, "accuracy": 0.875, "val_loss": 1e-5})
hooks.on_train_end()
assert "IPython" not in sys.modules
"""
FINAL_VALUES = "accuracy: 0.8750 - loss: 0.2500 - val_loss: 1.0000e-05"


def run_in_terminal(code, *arguments, columns=120, **environment):
    """What a program writes to a pseudo-terminal, as text."""
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", 24 if columns else 0, columns, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    environment = {**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux reports the closed other end this way
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    text = b"".join(chunks).decode()
    assert process.wait(timeout=60) == 0, text
    return text


@functools.cache
def three_epochs_in_terminal(columns):
    return run_in_terminal(THREE_EPOCHS, "1", columns=columns)


def run_into_file(tmp_path, code, *arguments, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    path = tmp_path / "log.txt"
    with open(path, "wb") as file:
        command = [sys.executable, "-c", code, *arguments]
        subprocess.run(command, stdout=file, env=environment, timeout=60, check=True)
    return path.read_bytes().decode()


def screen_lines(text):
    """The lines left on the screen after carriage returns have overwritten what was there."""
    lines = []
    for raw in text.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in raw.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return [line for line in lines if line]


def test_terminal_shows_header_and_final_line_of_each_epoch():
    text = three_epochs_in_terminal(120)
    lines = screen_lines(text)
    assert lines[::2] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    for line in lines[1::2]:
        pattern = rf"20/20 ━{{20}} \d+s \d+ms/step - {re.escape(FINAL_VALUES)}"
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize("columns", [120, 0])
def test_terminal_bar_moves(columns):
    text = three_epochs_in_terminal(columns)
    drawn = [int(n) for n in re.findall(r"\r *(\d+)/20 [━─]{20} \d+s \d+ms/step", text)]
    first_epoch = drawn[: drawn.index(1, 1)]
    assert first_epoch[0] == 1
    # 20 steps of at least 6 ms at 0.1 s a drawing: the first step and one more, if not several.
    assert len(set(first_epoch)) >= 2


def test_narrow_terminal_cuts_the_moving_line_but_not_the_last():
    text = three_epochs_in_terminal(40)
    moving = [part for part in re.split(r"[\r\n]", text) if "━─" in part]
    assert moving and max(map(len, moving)) <= 40
    assert text.count(FINAL_VALUES) == 3


def test_terminal_without_unicode_gets_an_ascii_bar():
    text = run_in_terminal(THREE_EPOCHS, "1", PYTHONIOENCODING="ascii")
    assert re.search(r"20/20 ={20} \d+s", text)
    assert text.isascii()


def test_dumb_terminal_gets_plain_lines():
    text = run_in_terminal(THREE_EPOCHS, "1", TERM="dumb")
    assert len(text.replace("\r\n", "\n").splitlines()) == 3


@pytest.mark.parametrize("verbose", ["1", "2", "auto"])
def test_file_gets_one_line_per_epoch_without_control_characters(tmp_path, verbose):
    text = run_into_file(tmp_path, THREE_EPOCHS, verbose)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    lines = text.splitlines()
    assert len(lines) == 3
    for epoch, line in enumerate(lines, 1):
        pattern = rf"Epoch {epoch}/3 - 20/20 - \d+s - \d+ms/step - {re.escape(FINAL_VALUES)}"
        assert re.fullmatch(pattern, line), line


def test_verbose_2_in_a_terminal_is_one_line_per_epoch():
    text = run_in_terminal(THREE_EPOCHS, "2")
    assert len(text.replace("\r\n", "\n").splitlines()) == 3
    assert "\r" not in text.replace("\r\n", "\n")


def test_verbose_0_is_silent(capsys):
    bar = Progbar(2, verbose=0)
    bar.update(1, [("loss", 1.0)])
    bar.update(2, [("loss", 1.0)])
    assert capsys.readouterr().out == ""


def test_metric_name_outside_the_encoding_is_replaced(tmp_path):
    code = (
        "from torchkeras.utils.progbar import Progbar\n"
        "Progbar(1, verbose=2).update(1, [('größe', 1.0)])"
    )
    assert "gr??e: 1.0000" in run_into_file(tmp_path, code, PYTHONIOENCODING="ascii")


def final_line(capsys, bar, *updates):
    for update in updates:
        bar.update(*update)
    return capsys.readouterr().out


def test_values_are_averaged_over_steps(capsys):
    # The mean over 4 steps of which 1 gave 1.0 and 3 gave 5.0 is 4.0.
    bar = Progbar(5, verbose=2)
    bar.update(1, [("loss", 1.0)])
    bar.update(4, [("loss", torch.tensor(5.0))])
    assert "loss: 4.0000" in final_line(capsys, bar, (5, None, True))


def test_last_value_replaces_the_average(capsys):
    bar = Progbar(2, verbose=2)
    assert "loss: 3.0000" in final_line(capsys, bar, (1, [("loss", 1.0)]), (2, [("loss", 3.0)]))


@pytest.mark.parametrize(
    "names, expected",
    [
        ({"stateful_metrics": ["a"]}, "a: 4.0000 - b: 3.0000"),
        ({"stateless_metrics": ["a"]}, "a: 3.0000 - b: 4.0000"),
    ],
)
def test_choice_of_averaged_names(capsys, names, expected):
    bar = Progbar(9, verbose=2, **names)
    line = final_line(
        capsys,
        bar,
        (1, [("a", 2.0), ("b", 2.0)]),
        (2, [("a", 4.0), ("b", 4.0)]),
        (9, None, True),
    )
    assert expected in line


def test_small_and_nan_values(capsys):
    bar = Progbar(1, verbose=2)
    values = [("a", 0.0005), ("b", -0.25), ("c", float("nan"))]
    assert "a: 5.0000e-04 - b: -0.2500 - c: nan" in final_line(capsys, bar, (1, values))


def test_add_counts_steps(capsys):
    bar = Progbar(7, verbose=2)
    bar.add(3)
    assert capsys.readouterr().out == ""
    bar.add(4)
    assert capsys.readouterr().out.startswith("7/7 - 0s")


def test_unknown_target_ends_by_finalize(capsys):
    bar = Progbar(None, verbose=1)
    bar.update(3)
    assert capsys.readouterr().out == ""
    bar.update(4, finalize=True)
    assert capsys.readouterr().out.startswith("4 - 0s")


def test_unknown_target_in_a_terminal():
    code = (
        "from torchkeras.utils.progbar import Progbar\n"
        "bar = Progbar(None)\nbar.update(3, [('loss', 1.0)])\nbar.update(4, finalize=True)"
    )
    text = run_in_terminal(code)
    assert "3/Unknown" in text
    assert screen_lines(text)[-1].startswith("4 ━━━━━━━━━━━━━━━━━━━━ 0s")


def test_time_per_step_leaves_out_the_first(capsys):
    bar = Progbar(3, verbose=2)
    time.sleep(0.3)
    bar.update(1)
    bar.update(2)
    bar.update(3)
    line = capsys.readouterr().out
    milliseconds = float(re.search(r"(\d+)us/step|(\d+)ms/step", line)[1] or 1e5) / 1e3
    assert milliseconds < 100


def test_unit_name(capsys):
    assert "/sample" in final_line(capsys, Progbar(1, verbose=2, unit_name="sample"), (1,))


def test_disabled_interactive_logging_never_draws():
    code = (
        "from torchkeras.core import config\nfrom torchkeras.utils.progbar import Progbar\n"
        "config.disable_interactive_logging()\nbar = Progbar(2)\nbar.update(1)\nbar.update(2)"
    )
    text = run_in_terminal(code).replace("\r\n", "\n")
    assert len(text.splitlines()) == 1 and "\r" not in text


def test_bar_of_a_user_around_ours_survives():
    code = (
        "from tqdm import tqdm\nimport sys\nfrom torchkeras.utils.progbar import Progbar\n"
        "for trial in tqdm(range(2), file=sys.stdout, desc='trial'):\n"
        "    bar = Progbar(2, interval=0)\n"
        "    for i in range(2):\n        bar.update(i + 1)\n"
    )
    text = run_in_terminal(code)
    assert text.count("2/2 ━━━━━━━━━━━━━━━━━━━━") == 2 and "trial: 100%" in text


def test_drawing_starts_no_thread():
    code = (
        "import threading\nfrom torchkeras.utils.progbar import Progbar\n"
        "bar = Progbar(3, interval=0)\nbar.update(1)\nbar.update(2)\n"
        "assert threading.active_count() == 1, threading.enumerate()"
    )
    run_in_terminal(code)


def test_tqdm_and_ipython_stay_out_of_the_import():
    code = (
        "import sys, torchkeras.utils.progbar\n"
        "assert not {'IPython', 'tqdm.auto', 'tqdm.notebook'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_both_lists_of_names_are_an_error():
    with pytest.raises(ValueError, match="Only one of `stateful_metrics`"):
        Progbar(1, stateful_metrics=["a"], stateless_metrics=["b"])


def test_unknown_verbose_name_is_an_error():
    with pytest.raises(ValueError, match="verbose='loud'"):
        Progbar(1, verbose="loud")


def test_auto_is_one_line_outside_a_terminal(capsys):
    assert Progbar(1, verbose="auto").verbose == 2
    assert config.is_interactive_logging_enabled()


def test_tensor_values_are_read_only_for_a_line(monkeypatch, capsys):
    reads = []
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: reads.append(1) or 0.5)
    bar = Progbar(100, verbose=1)
    for step in range(1, 100):
        bar.update(step, [("loss", torch.tensor(0.5))])
    assert reads == []
    bar.update(100, [("loss", torch.tensor(0.5))])
    assert reads == [1]
    assert "loss: 0.5000" in capsys.readouterr().out
