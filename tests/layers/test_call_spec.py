"""What signatures say about calls and builds."""

import inspect
import re

import pytest
import torch

from torchkeras.layers.call_spec import CallSpec, call_spec, shapes_of


def spec_of(function):
    return CallSpec(function)


@pytest.mark.parametrize(
    "function, takes_one, takes_training, takes_mask, has_var_keyword",
    [
        (lambda self, x: 0, True, False, False, False),
        (lambda self, x, training=None, mask=None: 0, True, True, True, False),
        (lambda self, x, y: 0, False, False, False, False),
        (lambda self, x, y=1: 0, True, False, False, False),
        (lambda self: 0, False, False, False, False),
        (lambda self, *args, **kwargs: 0, True, False, False, True),
        (lambda self, x, *, y: 0, False, False, False, False),
        (lambda self, *, x: 0, False, False, False, False),
        (lambda self, x, *, training: 0, False, True, False, False),
    ],
)
def test_facts(function, takes_one, takes_training, takes_mask, has_var_keyword):
    spec = spec_of(function)
    assert spec.takes_one is takes_one and spec.takes_training is takes_training
    assert spec.takes_mask is takes_mask and spec.has_var_keyword is has_var_keyword


def test_bind_gives_arguments_by_name_without_defaults():
    spec = spec_of(lambda self, x, y=2, *rest, z=3, **more: 0)
    assert spec.bind((1,), {}) == {"x": 1}
    assert spec.bind((1, 5, 6), {"z": 4, "w": 7}) == {"x": 1, "y": 5, "rest": (6,), "z": 4, "w": 7}
    assert list(spec.bind((), {"z": 4, "w": 7, "x": 1})) == ["x", "z", "w"]
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        spec.bind((), {})


@pytest.mark.parametrize(
    "function, args, kwargs",
    [
        (lambda self, x, y=2, *, z=3: 0, (1,), {"z": 1, "y": 5}),
        (lambda self, x, /, y=2: 0, (1,), {"y": 5}),
        (lambda self, x, /, **more: 0, (1,), {"x": 5}),
        (lambda self, *rest, **more: 0, (1, 2), {"a": 5}),
        (lambda self: 0, (), {}),
        (lambda self, x: 0, (1, 2), {}),  # each of these is an error
        (lambda self, x: 0, (1,), {"x": 2}),
        (lambda self, x: 0, (1,), {"y": 2}),
        (lambda self, x, /: 0, (), {"x": 2}),
        (lambda self, x, y: 0, (), {"y": 2}),
    ],
)
def test_bind_is_that_of_python(function, args, kwargs):
    signature = inspect.signature(function)
    try:
        expected = signature.bind(None, *args, **kwargs).arguments
    except TypeError as error:
        with pytest.raises(TypeError, match=re.escape(str(error))):
            CallSpec(function).bind(args, kwargs)
        return
    del expected["self"]
    expected.update(expected.pop("more", {}))
    found = CallSpec(function).bind(args, kwargs)
    assert found == expected and list(found) == list(expected)


def test_training_is_found_by_name_and_by_place():
    spec = spec_of(lambda self, x, mask=None, training=None: 0)
    assert spec.training_of((1,), {}) is None and spec.training_of((1, 2, True), {}) is True
    assert spec.training_of((1,), {"training": False}) is False
    assert spec.with_training((1, 2, None), {}, True) == ((1, 2, True), {})
    assert spec.with_training((1,), {"mask": 2}, True) == ((1,), {"mask": 2, "training": True})


def test_a_spec_is_read_once():
    def call(self, x):
        return x

    assert call_spec(call) is call_spec(call)


def test_shapes_of_tensor_arguments_only():
    arguments = {
        "x": torch.ones(2, 3),
        "parts": {"a": torch.ones(1), "b": [None, torch.ones(2)]},
        "rate": 0.5,
        "nothing": None,
        "mask": torch.ones(2),
        "x_mask": torch.ones(2),
        "mixed": [torch.ones(1), "text"],
        "empty": [],
    }
    assert shapes_of(arguments) == {"x": (2, 3), "parts": {"a": (1,), "b": [None, (2,)]}}


@pytest.mark.parametrize(
    "function, shapes, expected",
    [
        (lambda self, input_shape: 0, {"x": (2,)}, {"input_shape": (2,)}),
        (lambda self, shape: 0, {"x": (2,), "y": (3,)}, {"shape": (2,)}),
        (
            lambda self, y_shape, x_shape: 0,
            {"x": (2,), "y": (3,)},
            {"x_shape": (2,), "y_shape": (3,)},
        ),
        (lambda self, x_shape, other=None: 0, {"x": (2,), "y": (3,)}, {"x_shape": (2,)}),
        (lambda self, a, b=None: 0, {"x": (2,), "y": (3,)}, {"a": (2,)}),
        (lambda self, **shapes: 0, {"x": (2,), "y": (3,)}, {"x_shape": (2,), "y_shape": (3,)}),
        (lambda self: 0, {"x": (2,)}, {}),
        (lambda self, input_shape: 0, {}, {"input_shape": None}),
    ],
)
def test_arguments_of_build(function, shapes, expected):
    assert CallSpec(function).shape_arguments(shapes) == expected
