"""The short examples run: on the sample of MNIST that is in the package, or on images they make."""

import contextlib
import io
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


def test_transfer_learning_trains_the_head_and_then_all():
    example = runpy.run_path(str(EXAMPLES / "transfer_learning.py"))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        model = example["main"](["--images", "256", "--epochs", "4"])
    head, all_of_it = re.findall(r"^(.*), (\d+) weights: accuracy (\S+)$", output.getvalue(), re.M)
    assert (head[:2], all_of_it[:2]) == (("Head alone", "2"), ("All", "38"))
    assert float(head[2]) > 0.6
    assert float(all_of_it[2]) > 0.9
    assert model.get_layer("backbone").trainable
