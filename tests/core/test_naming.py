"""Automatic names, name scopes, clear_session."""

import threading

import pytest
import torch

import torchkeras as keras
from torchkeras.core import naming


@pytest.mark.parametrize(
    "name, expected",
    [
        ("Dense", "dense"),
        ("MyDense2D", "my_dense2d"),
        ("LSTMCell", "lstm_cell"),
        ("already_snake", "already_snake"),
        ("With Space-and.dots", "with_spaceanddots"),
    ],
)
def test_snake_case(name, expected):
    assert naming.to_snake_case(name) == expected


def test_names_count_per_prefix():
    assert [naming.auto_name("A"), naming.auto_name("A"), naming.auto_name("B")] == [
        "a",
        "a_1",
        "b",
    ]
    assert naming.get_uid("a") == 3 and naming.get_uid("new") == 1


def test_scopes_nest_and_end_after_errors():
    with naming.name_scope("a"), naming.name_scope("b"):
        assert naming.current_path() == "a/b"
    with pytest.raises(ZeroDivisionError), naming.name_scope("c"):
        1 / 0  # noqa: B018
    assert naming.current_path() == ""


def test_the_same_caller_counts_once():
    me, other = object(), object()
    with naming.name_scope("a", caller=me), naming.name_scope("a", caller=me):
        assert naming.current_path() == "a"
        with naming.name_scope("a", caller=other), naming.name_scope("b", caller=other):
            assert naming.current_path() == "a/a/b"
        assert naming.current_path() == "a"
    assert naming.current_path() == ""


@pytest.mark.parametrize("name", ["a/b", None, 3])
def test_bad_names(name):
    with pytest.raises(ValueError, match="`name` must be a string without '/'. Received"):
        naming.name_scope(name)


def test_a_scope_belongs_to_its_thread():
    seen = []
    with naming.name_scope("a"):
        thread = threading.Thread(target=lambda: seen.append(naming.current_path()))
        thread.start()
        thread.join(10)
    assert seen == [""]


def test_clear_session_restarts_names_and_leaves_open_scopes():
    naming.auto_name("dense")
    with naming.name_scope("a"):
        keras.utils.clear_session()
        assert naming.current_path() == "a"
    assert naming.auto_name("dense") == "dense" and naming.current_path() == ""


def test_a_weight_is_its_layers_own_within_a_scope_of_build():
    class Block(keras.layers.Layer):
        def build(self, input_shape):
            with keras.name_scope("inner"):
                self.scale = self.add_weight(shape=(1,), name="scale")
                self.dense = keras.layers.Dense(1, name="dense")
                self.dense.build(input_shape)
                self.free = keras.Variable(1.0, name="free")

        def call(self, x):
            return self.dense(x) * self.scale

    with keras.name_scope("outer"):
        block = Block(name="block")
        block(torch.ones(1, 2))
    # As Keras has it: the weights of sublayers carry the scope, the layer's own do not.
    assert [w.path for w in block.weights] == [
        "outer/block/scale",
        "outer/block/inner/free",
        "outer/block/inner/dense/kernel",
        "outer/block/inner/dense/bias",
    ]


def test_options_of_a_scope():
    me = object()
    with naming.name_scope("a", caller=me):
        with naming.name_scope("a", caller=me, deduplicate=False):
            assert naming.current_path() == "a/a"
        with naming.name_scope("b", override_parent="x/y"):
            assert naming.current_path() == "x/y/b"
            with naming.name_scope("c"):
                assert keras.Variable(1.0, name="v").path == "x/y/b/c/v"
