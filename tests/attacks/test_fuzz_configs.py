"""A sample of what fuzz_configs does at length, and that it finds what is there."""

import json
import sys

import pytest

import torchkeras as keras
from tests.attacks import fuzz_configs
from tests.attacks.fuzz_configs import Corpus, case_of, findings, make_corpus

if not sys.platform.startswith("linux"):
    pytest.skip("limits and peaks are those of Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    return folder


@pytest.mark.slow
def test_everything_that_a_file_may_name_is_drawn(corpus):
    known = Corpus(corpus)
    drawn = {" ".join(name) for name in known.classes}
    for module in ("initializers", "layers", "optimizers", "losses", "metrics", "dtype_policies"):
        for name, cls in vars(getattr(keras, module)).items():
            if isinstance(cls, type) and hasattr(cls, "from_config") and name == cls.__name__:
                if name in ("Layer", "TFSMLayer", "TorchModuleWrapper", "TorchLoss"):
                    continue  # a base, and those that no file can name alone
                assert any(one.endswith(f" {name}") for one in drawn), name
    assert len(known.functions) > 300 and len(known.files) > 700


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a model for each function of torch, torch's own words
def test_unchanged_configs_are_read(corpus):
    known = Corpus(corpus)
    # One takes a function, two look at values, of which there are none while a file is read.
    refused = {"ops.jvp", "torch.nn.functional.gaussian_nll_loss", "torch.where"}
    for name in known.models:
        if name.removeprefix("model: ") in refused:
            with pytest.raises(ValueError, match="such as it can be computed with"):
                keras.models.model_from_json(json.dumps(known.configs[name]))
            continue
        made = keras.models.model_from_json(json.dumps(known.configs[name]))
        assert isinstance(made, keras.Model)


@pytest.mark.slow
def test_changed_configs_are_read_or_refused(corpus):
    count, found = findings(corpus, 3000, seed=0)
    assert count == 3000 and found == []


@pytest.mark.slow
def test_a_case_is_told_by_its_number(corpus):
    known = Corpus(corpus)
    for number in range(50):
        first, again = (case_of(number, 1, known)[:2] for _ in range(2))
        assert repr(first) == repr(again)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda: {}["x"], "raises KeyError"),
        (lambda: bytearray(b"x" * 400 * 10**6), "bytes"),
        (lambda: int("x"), ""),
        (lambda: 1, ""),
    ],
)
def test_what_is_wrong_with_a_read(read, told):
    found = fuzz_configs._outcome("file", read)
    assert told in found and bool(told) == bool(found)
