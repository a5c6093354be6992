import io
import subprocess
import sys

import pytest
import torch

import torchkeras as keras
from torchkeras.utils.summary_utils import print_summary
from torchkeras.utils.text_table import cut, fit_widths, wrap


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def small_model():
    layers = [
        keras.Input((3,)),
        keras.layers.Dense(2, name="first"),
        keras.layers.Dense(1, name="b"),
    ]
    return keras.Sequential(layers, name="small")


def two_branches():
    x = keras.Input((4,), name="x")
    ends = [keras.layers.Dense(2, name=name)(x) for name in ("left", "right")]
    return keras.Model(x, keras.layers.Add(name="sum")(ends), name="branches")


def summary(model, **options):
    texts = []
    print_summary(model, print_fn=texts.append, **options)
    assert len(texts) == 1
    return texts[0]


def rows(model, **options):
    """Cells of the body, each row joined where it is wrapped."""
    found = [[]]
    for line in summary(model, **options).splitlines():
        if line.startswith("│"):
            found[-1].append([cell.strip() for cell in line.strip("│").split("│")])
        elif line.startswith("├"):
            found.append([])
    return [[" ".join(parts).strip() for parts in zip(*row, strict=True)] for row in found]


def test_whole_text():
    expected = """\
Model: "small"
┏━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━┓
┃                  ┃              ┃  Param ┃
┃ Layer (type)     ┃ Output Shape ┃      # ┃
┡━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━┩
│ first (Dense)    │ (None, 2)    │      8 │
├──────────────────┼──────────────┼────────┤
│ b (Dense)        │ (None, 1)    │      3 │
└──────────────────┴──────────────┴────────┘
 Total params: 11 (44.00 B)
 Trainable params: 11 (44.00 B)
 Non-trainable params: 0 (0.00 B)
"""
    assert summary(small_model(), line_length=44) == expected


def test_goes_to_stdout_in_one_call(monkeypatch):
    class Stream(io.StringIO):
        writes = 0

        def write(self, text):
            Stream.writes += 1
            return super().write(text)

    stream, model = Stream(), small_model()
    monkeypatch.setattr(sys, "stdout", stream)
    print_summary(model)
    assert Stream.writes == 1
    assert stream.getvalue() == summary(model)


@pytest.mark.parametrize("columns", [1, 3, 8, 20, 80])
def test_no_line_is_longer_than_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = summary(two_branches(), show_trainable=True).splitlines()
    assert max(len(line) for line in lines) <= columns


def test_any_line_length_gives_a_rectangle():
    for model in (small_model(), two_branches(), keras.Sequential()):
        for show_trainable in (False, True):
            for length in range(1, 150):
                text = summary(model, line_length=length, show_trainable=show_trainable)
                table = [line for line in text.splitlines() if line[0] in "┏┃┡│├└"]
                assert len({len(line) for line in table}) == 1
                if length > 30:
                    assert len(table[0]) == length


def test_default_length():
    assert len(summary(small_model()).splitlines()[1]) == 88
    assert len(summary(two_branches()).splitlines()[1]) == 108
    assert len(summary(two_branches(), show_trainable=True).splitlines()[1]) == 120


def test_positions_in_characters_are_fractions_of_the_length():
    model = small_model()
    relative = summary(model, positions=[0.4, 0.7, 1.0], line_length=100)
    assert summary(model, positions=[40, 70, 100]) == relative


def test_shape_is_that_of_the_call_in_this_model():
    layer = keras.layers.Dense(2, name="shared")
    short, long = keras.Input((5, 3)), keras.Input((9, 3))
    first, second = keras.Model(short, layer(short)), keras.Model(long, layer(long))
    assert rows(first)[1][1] == "(None, 5, 2)"
    assert rows(second)[1][1] == "(None, 9, 2)"


def test_connections_of_a_model_that_starts_inside_another():
    x = keras.Input((3,))
    hidden = keras.layers.Dense(4, name="before")(keras.layers.Dense(4, name="earlier")(x))
    ends = [keras.layers.Dense(2, name=name)(hidden) for name in ("left", "right")]
    model = keras.Model(hidden, keras.layers.Add(name="sum")(ends))
    start, left, right, total = rows(model)
    assert start[1:] == ["(None, 4)", "0", "-"]
    assert left[3] == right[3] == f"{model.input_names[0]}[0][0]"
    assert total[3] == "left[0][0], right[0][0]"


def test_ops_and_torch_functions_are_rows():
    x = keras.Input((4,), name="x")
    table = rows(keras.Model(x, torch.relu(keras.ops.expand_dims(x, 1))))
    assert [row[0] for row in table] == [
        "x (InputLayer)",
        "expand_dims (ExpandDims)",
        "relu (TorchFunction)",
    ]
    assert [row[2] for row in table] == ["0", "0", "0"]


def test_torch_modules_of_a_subclassed_model_are_rows_at_their_place():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.before = keras.layers.Dense(2, name="dense_before")
            self.body = torch.nn.Linear(2, 3)
            self.shapeless = torch.nn.ReLU()
            self.lazy = torch.nn.LazyLinear(4)

    model = Net()
    table = rows(model, show_trainable=True)
    assert table == [
        ["dense_before (Dense)", "?", "0 (unbuilt)", "-"],
        ["body (Linear)", "?", "9", "Y"],
        ["lazy (LazyLinear)", "?", "0 (unbuilt)", "Y"],
    ]
    model.body.requires_grad_(False)
    assert rows(model, show_trainable=True)[1][3] == "N"


def test_an_attribute_called_layers_that_holds_no_layers():
    class Stack(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.layers = 3

        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((3,)), Stack(name="stack")])
    assert [row[0] for row in rows(model, expand_nested=True)] == ["stack (Stack)"]


def test_nested_layers_are_indented_by_level():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="deep")], name="inner")
    outer = keras.Sequential([keras.Input((3,)), inner], name="outer")
    model = keras.Sequential([keras.Input((3,)), outer], name="model")
    text = summary(model, expand_nested=True)
    for name in ("│ outer (Sequential)", "│    └ inner (Sequential)", "│       └ deep (Dense)"):
        assert name in text
    assert "inner" not in summary(model)


def test_sizes_count_the_bits_of_a_boolean():
    class Flags(keras.layers.Layer):
        def build(self, input_shape):
            self.add_weight(shape=(16,), dtype="bool", initializer="zeros", trainable=False)
            self.add_weight(shape=(1024,), dtype="float16")

        def call(self, x):
            return x

    text = summary(keras.Sequential([keras.Input((3,)), Flags()]))
    assert " Total params: 1,040 (2.00 KB)\n" in text
    assert " Non-trainable params: 16 (2.00 B)\n" in text


def test_torch_optimizer_is_counted():
    model = small_model()
    model.compile(optimizer=lambda p: torch.optim.SGD(p, lr=0.1), loss="mse")
    model.train_on_batch(torch.zeros(2, 3), torch.zeros(2, 1))
    assert " Optimizer params: " in summary(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": [0.5, 1.0]}, r"ends of 3 columns.*Received: positions=\[0.5, 1.0\]"),
        ({"positions": [0.0, 0.5, 1.0]}, "each above 0"),
        ({"positions": [0.5, 0.4, 1.0]}, "must rise"),
        ({"line_length": -3}, "Received: line_length=-3"),
        ({"layer_range": ["first"]}, r"two strings.*Received: layer_range=\['first'\]"),
        ({"layer_range": "ab"}, "two strings"),
        ({"layer_range": [1, 2]}, "two strings"),
        ({"layer_range": ["first", "last"]}, r"'last' matches none.*\['first', 'b'\]"),
    ],
)
def test_errors_tell_what_was_expected(options, message):
    with pytest.raises(ValueError, match=message):
        summary(small_model(), **options)


def test_stdout_without_box_characters():
    script = (
        "import torchkeras as keras\n"
        "keras.Sequential([keras.layers.Dense(1, name='only')], name='m').summary(line_length=40)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "COLUMNS": "80", "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    lines = result.stdout.decode("ascii").splitlines()
    assert lines[1] == "+" + "-" * 38 + "+"
    assert set(lines[4]) == set("|-+")
    assert lines[5].split() == "| only (Dense) | ? | 0 |".split()


@pytest.mark.parametrize("space", range(12, 60))
def test_widths_fill_the_space(space):
    widths = fit_widths([8, 6, 20], space)
    assert sum(widths) == space
    assert min(widths) >= 0


def test_wrap_keeps_every_word():
    text = "   one two three four"
    for width in range(8, 30):
        lines = wrap(text, width)
        assert all(len(line) <= width for line in lines)
        assert " ".join(lines).split() == text.split()
    assert wrap("abcdefgh", 3, fold=True) == ["abc", "def", "gh"]
    assert wrap("文字", 1, fold=True) == ["…", "…"]


def test_cut_counts_wide_characters_twice():
    assert cut("文字文字", 5) == "文字"
    assert cut("e\u0301e\u0301e", 2) == "e\u0301e\u0301"
    assert cut("abc", 0) == ""
