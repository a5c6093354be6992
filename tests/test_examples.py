"""The short examples run: on the sample of MNIST that is in the package, or on images they make."""

import pathlib
import re
import runpy

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def kfold():
    return runpy.run_path(str(EXAMPLES / "kfold_validation.py"))


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_each_sample_is_held_out_once_and_never_from_itself(kfold, folds):
    held_out_of_all = []
    for train, held_out in kfold["split"](20, folds):
        assert set(train) | set(held_out) == set(range(20))
        assert not set(train) & set(held_out)
        assert len(held_out) in (20 // folds, 20 // folds + 1)
        held_out_of_all.extend(held_out)
    assert sorted(held_out_of_all) == list(range(20))
    assert held_out_of_all != list(range(20))


def test_kfold_validation_prints_a_score_for_each_fold_and_their_mean(kfold, capsys):
    kfold["main"](["--folds", "3", "--epochs", "2"])
    lines = capsys.readouterr().out.splitlines()
    scores = [float(x) for x in re.findall(r"^Fold \d: (\S+) ", "\n".join(lines), re.MULTILINE)]
    assert len(scores) == 3
    assert min(scores) > 0.6
    mean, spread = re.fullmatch(r"Accuracy: (\S+), plus or minus (\S+)", lines[3]).groups()
    assert float(mean) == pytest.approx(np.mean(scores), abs=0.001)
    assert float(spread) == pytest.approx(np.std(scores), abs=0.001)
    assert float(lines[4].rpartition(" ")[2]) > 0.6


def test_kfold_validation_needs_two_folds(kfold, capsys):
    with pytest.raises(SystemExit):
        kfold["main"](["--folds", "1"])
    assert "--folds must be at least 2" in capsys.readouterr().err


def test_transfer_learning_trains_the_head_and_then_all(capsys):
    example = runpy.run_path(str(EXAMPLES / "transfer_learning.py"))
    model = example["main"](["--images", "256", "--epochs", "4"])
    output = capsys.readouterr().out
    head, all_of_it = re.findall(r"^(.*), (\d+) weights: accuracy (\S+)$", output, re.MULTILINE)
    assert (head[:2], all_of_it[:2]) == (("Head alone", "2"), ("All", "38"))
    assert float(head[2]) > 0.6
    assert float(all_of_it[2]) > 0.9
    assert model.get_layer("backbone").trainable


def test_a_folder_of_pictures_trains_a_convnet(capsys):
    pytest.importorskip("PIL")
    example = runpy.run_path(str(EXAMPLES / "image_folder.py"))
    example["main"](["--count", "60", "--size", "20", "--epochs", "10"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "Found 180 files belonging to 3 classes.",
        "Using 144 files for training.",
        "Using 36 files for validation.",
    ]
    assert float(lines[-2].rpartition(" ")[2]) > 0.6  # a guess is right in a third of them
    assert re.fullmatch(r"(disc|square|cross) is taken for (disc|square|cross)\.", lines[-1])


def _forecast_errors(arguments, capsys):
    example = runpy.run_path(str(EXAMPLES / "timeseries_forecasting.py"))
    example["main"](arguments)
    lines = capsys.readouterr().out.splitlines()
    found = (re.fullmatch(r"(.*): (\S+) degrees", line).groups() for line in lines)
    return {name: float(error) for name, error in found}


def test_a_forecast_beats_saying_that_nothing_changes(capsys):
    errors = _forecast_errors(["--years", "0.7", "--window", "48", "--epochs", "3"], capsys)
    models = ["dense", "convolutional", "lstm", "stacked_gru", "bidirectional"]
    assert list(errors) == ["no change", *models]
    assert errors["dense"] < errors["no change"]


@pytest.mark.slow
def test_all_forecasts_beat_saying_that_nothing_changes(capsys):
    errors = _forecast_errors(["--years", "1.5"], capsys)
    limit = errors.pop("no change")
    assert all(error < limit for error in errors.values()), (limit, errors)


def test_windows_of_the_weather_and_their_targets():
    example = runpy.run_path(str(EXAMPLES / "timeseries_forecasting.py"))
    weather = example["make_weather"](400)
    (_, validation, _), mean, deviation = example["make_datasets"](weather, 10, 8)
    x, y = next(iter(validation))
    # Starts at hour 200, so that the last hour that is seen is 209, and the target that of 233.
    np.testing.assert_allclose(x[0, -1, 0] * deviation + mean, weather[209, 0], rtol=1e-4)
    assert float(y[0]) == weather[209 + 24, 0]
