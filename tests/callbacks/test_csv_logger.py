import csv
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import torchkeras as keras
from torchkeras.callbacks import CSVLogger, LambdaCallback


def fit(callbacks, epochs=2, **arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x = np.ones((4, 3), "float32")
    return model.fit(x, x[:, :1], epochs=epochs, verbose=0, callbacks=callbacks, **arguments)


def rows(path, **arguments):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, **arguments))


def test_lines_are_the_history(tmp_path):
    path = tmp_path / "log.csv"
    history = fit([CSVLogger(path)], epochs=3, validation_split=0.5).history
    lines = rows(path)
    assert [line["epoch"] for line in lines] == ["0", "1", "2"]
    assert list(lines[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    for name, values in history.items():
        assert [float(line[name]) for line in lines] == values


def test_separator_and_path_as_text(tmp_path):
    path = str(tmp_path / "log.csv")
    fit([CSVLogger(path, separator=";")])
    assert set(rows(path, delimiter=";")[0]) == {"epoch", "loss", "mae", "val_loss", "val_mae"}


def test_validation_that_comes_later_has_its_columns(tmp_path):
    path = tmp_path / "log.csv"
    history = fit([CSVLogger(path)], validation_split=0.5, validation_freq=2).history
    lines = rows(path)
    assert lines[0]["val_loss"] == "NA"
    assert float(lines[1]["val_loss"]) == history["val_loss"][0]


@pytest.mark.parametrize("append, lines", [(True, 4), (False, 2)])
def test_appending(tmp_path, append, lines):
    path = tmp_path / "log.csv"
    log = CSVLogger(path, append=append)
    fit([log])
    fit([log])
    assert len(rows(path)) == lines  # one header only


def test_empty_file_gets_a_header(tmp_path):
    path = tmp_path / "log.csv"
    path.touch()
    fit([CSVLogger(path, append=True)])
    assert len(rows(path)) == 2


def test_values_of_other_kinds(tmp_path):
    log = CSVLogger(tmp_path / "log.csv")
    log.on_train_begin()
    log.on_epoch_end(0, {"text": "a,b", "list": [1, 2], "array": np.array(3.0)})
    log.on_train_end()
    line = rows(tmp_path / "log.csv")[0]
    assert (line["text"], line["list"], line["array"]) == ("a,b", '"[1, 2]"', "3.0")


def test_file_is_complete_after_each_epoch(tmp_path):
    path = tmp_path / "log.csv"
    seen = []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(len(rows(path))))
    fit([CSVLogger(path), look], epochs=3)
    assert seen == [1, 2, 3]


def test_file_is_readable_after_a_crash(tmp_path):
    script = f"""
        import os
        import numpy as np
        import torchkeras as keras
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        crash = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs: e < 2 or os._exit(7))
        log = keras.callbacks.CSVLogger({str(tmp_path / "log.csv")!r})
        x = np.ones((4, 3))
        model.fit(x, x[:, :1], epochs=9, verbose=0, callbacks=[log, crash])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=os.environ)
    assert done.returncode == 7
    assert [line["epoch"] for line in rows(tmp_path / "log.csv")] == ["0", "1"]


def test_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fit([CSVLogger(tmp_path / "nowhere" / "log.csv")])


def written(path, *epochs, **arguments):
    log = keras.callbacks.CSVLogger(path, append=True, **arguments)
    log.on_train_begin()
    for number, logs in enumerate(epochs):
        log.on_epoch_end(number, logs)
    log.on_train_end()
    return path.read_text().splitlines()


def test_appended_values_go_into_their_columns(tmp_path):
    path = tmp_path / "log.csv"
    written(path, {"loss": 1.0, "mae": 2.0, "val_loss": 3.0})
    lines = written(path, {"val_loss": 6.0, "loss": 4.0, "mae": 5.0}, {"loss": 7.0})
    assert lines == ["epoch,loss,mae,val_loss", "0,1.0,2.0,3.0", "0,4.0,5.0,6.0", "1,7.0,NA,NA"]


def test_appended_names_become_columns(tmp_path):
    path = tmp_path / "log.csv"
    written(path, {"loss": 1.0, "val_loss": 2.0}, separator=";")
    lines = written(
        path, {"accuracy": 3.0, "loss": 4.0, "val_loss": 5.0}, {"loss": 6.0}, separator=";"
    )
    assert lines == [
        "epoch;loss;val_loss;accuracy",
        "0;1.0;2.0;NA",
        "0;4.0;5.0;3.0",
        "1;6.0;NA;NA",
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]


def test_a_file_of_another_kind_is_not_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"the columns \['a', 'b'\]"):
        written(path, {"loss": 1.0})
    assert path.read_text() == "a,b\n1,2\n"


def log_of(path, *epochs, append=True):
    log = CSVLogger(path, append=append)
    log.on_train_begin()
    for epoch in epochs:
        log.on_epoch_begin(epoch)
        log.on_epoch_end(epoch, {"loss": epoch / 2})
    return log


@pytest.mark.parametrize(
    "torn, lines", [("2,", 2), ("2,1.0", 2), ("2,1.0,NA", 3), ("2,1.0,NA\r", 3), ("", 2)]
)
def test_a_torn_last_line_is_none(tmp_path, torn, lines):
    path = tmp_path / "log.csv"
    log_of(path, 0, 1).on_train_end()
    with open(path, "a", newline="") as file:
        file.write(torn)
    log_of(path, 7).on_train_end()
    assert [line["epoch"] for line in rows(path)] == [*map(str, range(lines)), "7"]
    assert all(None not in line.values() for line in rows(path))


def test_a_run_that_goes_on_writes_no_line_twice(tmp_path):
    path = tmp_path / "log.csv"
    log_of(path, 0, 1).on_train_end()  # of an earlier run, which stays
    log = log_of(path, 0, 1)
    state = log.state_dict()
    log.on_epoch_begin(2)
    log.on_epoch_end(2, {"loss": 5.0})  # and killed before its backup was written
    log.on_train_end()
    again = log_of(path)
    again.load_state_dict(state)
    again.on_epoch_end(2, {"loss": 6.0})
    again.on_train_end()
    assert [line["epoch"] for line in rows(path)] == ["0", "1", "0", "1", "2"]
    assert rows(path)[-1]["loss"] == "6.0"


@pytest.mark.parametrize("epochs", [(0, 1), (3,), (2, 2)])
def test_lines_of_others_stay(tmp_path, epochs):
    path = tmp_path / "log.csv"
    log = log_of(path, 0, 1)
    state = log.state_dict()
    log.on_train_end()
    log_of(path, *epochs).on_train_end()
    before = path.read_bytes()
    again = log_of(path)
    again.load_state_dict(state)
    again.on_train_end()
    assert path.read_bytes() == before


def test_permissions_stay_where_columns_are_added(tmp_path):
    path = tmp_path / "log.csv"
    log_of(path, 0).on_train_end()
    path.chmod(0o600)
    log = log_of(path)
    log.on_epoch_end(1, {"loss": 1.0, "new": 2.0})
    log.on_train_end()
    assert path.stat().st_mode & 0o777 == 0o600
    assert rows(path)[1]["new"] == "2.0"
    assert os.listdir(tmp_path) == ["log.csv"]
