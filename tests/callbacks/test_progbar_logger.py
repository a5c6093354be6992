import re
import time

import pytest
import torch

from torchkeras.callbacks import CallbackList, ProgbarLogger


def run_fit(steps, epochs=1, known=True, verbose=2, validate=False, planned=None):
    hooks = CallbackList(
        add_progbar=True,
        verbose=verbose,
        epochs=epochs,
        steps=(planned or steps) if known else None,
    )
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        for step in range(steps):
            hooks.on_train_batch_end(step, {"loss": torch.tensor(9.0)})
        if validate:
            hooks.on_test_begin()
            hooks.on_test_batch_end(0, {"loss": torch.tensor(8.0)})
            hooks.on_test_end({"loss": 8.0})
        hooks.on_epoch_end(epoch, {"loss": 0.5})
    hooks.on_train_end({})


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_one_line_an_epoch_with_the_logs_of_its_end(capsys, verbose):
    run_fit(3, epochs=2, verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines, 1):
        assert re.fullmatch(rf"Epoch {epoch}/2 - 3/3 - 0s - \S+/step - loss: 0\.5000", line)


def test_single_epoch_has_no_header(capsys):
    run_fit(3)
    assert capsys.readouterr().out.startswith("3/3 - 0s")


def test_verbose_0_is_silent(capsys):
    run_fit(3, epochs=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_validation_inside_fit_is_silent(capsys):
    run_fit(3, validate=True)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_unknown_number_of_steps_is_learnt_in_the_first_epoch(capsys):
    run_fit(4, epochs=2, known=False)
    first, second = capsys.readouterr().out.splitlines()
    assert "4/4" in first and "4/4" in second


def test_epoch_cut_short_shows_the_steps_done(capsys):
    run_fit(4, planned=10)
    assert capsys.readouterr().out.startswith(" 4/10 - ")


@pytest.mark.parametrize("mode", ["test", "predict"])
def test_evaluate_and_predict_print_one_line(capsys, mode):
    hooks = CallbackList(add_progbar=True, verbose=2, epochs=1, steps=2)
    getattr(hooks, f"on_{mode}_begin")()
    for step in range(2):
        logs = {"loss": 1.0} if mode == "test" else {"outputs": torch.zeros(2, 3)}
        getattr(hooks, f"on_{mode}_batch_end")(step, logs)
    getattr(hooks, f"on_{mode}_end")({"loss": 0.5} if mode == "test" else None)
    line = capsys.readouterr().out
    assert line.startswith("2/2 - 0s") and line.count("\n") == 1
    assert ("loss: 0.5000" in line) == (mode == "test") and "outputs" not in line


def test_evaluate_after_fit_prints(capsys):
    logger = ProgbarLogger()
    hooks = CallbackList([logger], verbose=2, epochs=1, steps=1)
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    hooks.on_train_batch_end(0)
    hooks.on_epoch_end(0)
    hooks.on_train_end()
    hooks.on_test_begin()
    hooks.on_test_batch_end(0)
    hooks.on_test_end()
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_logs_are_not_built_where_no_bar_moves(capsys):
    hooks = CallbackList(add_progbar=True, verbose=1, epochs=1, steps=5)
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)

    def logs():
        raise AssertionError("built")

    for step in range(5):
        hooks.on_train_batch_end(step, logs)
    hooks.on_epoch_end(0, {"loss": 1.0})
    assert "loss: 1.0000" in capsys.readouterr().out


def test_a_moving_bar_reads_logs_at_most_every_tenth_of_a_second(monkeypatch, capsys):
    monkeypatch.setattr("torchkeras.utils.progbar.can_draw_bar", lambda: True)
    monkeypatch.setattr("torchkeras.callbacks.progbar_logger.can_draw_bar", lambda: True)
    built = []
    hooks = CallbackList(add_progbar=True, verbose=1, epochs=1, steps=10**6)
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    start, step = time.perf_counter(), 0
    while time.perf_counter() - start < 0.35:
        hooks.on_train_batch_end(step, lambda: built.append(1) or {"loss": torch.tensor(1.0)})
        step += 1
    elapsed = time.perf_counter() - start
    hooks.on_epoch_end(0, {})
    assert 2 <= len(built) <= 1 + elapsed / 0.1
    assert step > 1000
