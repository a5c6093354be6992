"""The examples about text learn what they are about, on data that they make up."""

import pathlib
import re
import runpy

import numpy as np
import pytest
import torch

import torchkeras as keras

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def run(name, arguments, capsys):
    """The last number that an example prints about new texts, and all that it prints."""
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](arguments.split())
    printed = capsys.readouterr().out
    return float(re.findall(r"(?:accuracy|mistake): (\d\.\d+)", printed)[-1]), printed


# Half of the reviews are praise; single words tell little more than chance.
@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        ("--model bigrams --samples 2000 --epochs 5", 0.7),
        ("--model tf_idf --samples 2000 --epochs 5", 0.7),
        pytest.param("--model lstm", 0.95, marks=pytest.mark.slow),
        pytest.param("--model transformer", 0.8, marks=pytest.mark.slow),
    ],
)
def test_classification_of_reviews_beats_single_words(arguments, least, capsys):
    accuracy, printed = run("text_classification", arguments, capsys)
    assert accuracy > least
    probability = float(re.search(r"([\d.]+) The plot was not really clever", printed)[1])
    assert probability < (0.6 if least < 0.8 else 0.3)


@pytest.mark.parametrize("kind", ["tf_idf", "lstm", "transformer"])
def test_classifiers_of_strings_survive_files(kind, tmp_path):
    example = runpy.run_path(str(EXAMPLES / "text_classification.py"))
    texts, _ = example["make_reviews"](50, np.random.default_rng(1))
    vectorize = example["vectorization"](kind)
    vectorize.adapt(texts)
    strings = keras.Input((1,), dtype="string")
    model = keras.Model(strings, example["make_model"](kind, vectorize)(vectorize(strings)))
    model.save(tmp_path / "model.keras")
    own = {name: example[name] for name in ("PositionalEmbedding", "TransformerEncoder")}
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects=own)
    found, expected = (m.predict(texts, verbose=0) for m in (again, model))
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(expected) > 0  # texts are told apart


@pytest.mark.parametrize(
    ("name", "layers", "sizes"),
    [
        ("translation_transformer", ["PositionalEmbedding", "Block"], (9, 12)),
        ("text_generation", ["Places", "Block"], (9,)),
    ],
)
def test_transformers_see_no_later_word_and_survive_files(name, layers, sizes, tmp_path):
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    model = example["make_model"](*sizes)
    rng = np.random.default_rng(0)
    x = [rng.integers(1, size, (4, example["LENGTH"])) for size in sizes]
    whole = model.predict(x, verbose=0)
    changed = [*x[:-1], x[-1].copy()]
    changed[-1][:, 6:] = 1 + changed[-1][:, 6:] % (sizes[-1] - 1)  # words from the seventh on
    other = model.predict(changed, verbose=0)
    # Sums of other numbers of terms round differently.
    np.testing.assert_allclose(other[:, :6], whole[:, :6], rtol=1e-5, atol=1e-5)
    assert np.abs(other[:, 6:] - whole[:, 6:]).max() > 1e-3
    model.save(tmp_path / "model.keras")
    own = {name: example[name] for name in layers}
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects=own)
    np.testing.assert_array_equal(again.predict(x, verbose=0), whole)


def test_single_words_tell_little():
    """Else the example would not be about the order of words."""
    example = runpy.run_path(str(EXAMPLES / "text_classification.py"))
    texts, labels = example["make_reviews"](2000, np.random.default_rng(1))
    assert 0.4 < labels.mean() < 0.6
    for word in (*example["GOOD"], *example["BAD"]):
        praise = labels[[f" {word}" in text for text in texts]].mean()
        assert 0.3 < praise < 0.7


@pytest.mark.slow
def test_translation(capsys):
    # By chance one sentence in thousands would be right.
    right, printed = run("translation_transformer", "--epochs 3 --samples 4000", capsys)
    assert right > 0.9
    assert len(re.findall(r"^(the|a) .* -> \w+(ko|i) ", printed, re.MULTILINE)) == 3


@pytest.mark.slow
def test_generation(capsys):
    right, _ = run("text_generation", "--epochs 3", capsys)
    assert right > 0.8


def test_sampling_of_words():
    sample = runpy.run_path(str(EXAMPLES / "text_generation.py"))["sample"]
    torch.manual_seed(0)
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(20_000, 4)

    def shares(**arguments):
        return torch.bincount(sample(logits, **arguments), minlength=4) / len(logits)

    # 20,000 draws: a share is within 0.015 of its probability, more than four standard errors.
    expected = {
        "all": ({}, [0.5, 0.3, 0.15, 0.05]),
        "the best two": ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        "squares": ({"temperature": 0.5}, [0.684, 0.247, 0.062, 0.007]),
        "the best": ({"temperature": 0}, [1, 0, 0, 0]),
    }
    for arguments, probabilities in expected.values():
        found = shares(**arguments)
        torch.testing.assert_close(found, torch.tensor(probabilities) * 1.0, atol=0.015, rtol=0)


def test_stories_are_judged_by_the_grammar():
    example = runpy.run_path(str(EXAMPLES / "text_generation.py"))
    stories = [
        s.removesuffix(" [end]") for s in example["make_stories"](20, np.random.default_rng(2))
    ]
    assert all(map(example["is_right"], stories))
    story = stories[0].split()
    for place in range(len(story)):
        wrong = " ".join([*story[:place], "wrong", *story[place + 1 :]])
        assert not example["is_right"](wrong)
    other = next(a for a in example["ANIMALS"] if a not in story)
    assert not example["is_right"](" ".join([*story[:-2], other, "."]))  # another friend
    assert not example["is_right"](" ".join(story[:-1]))
