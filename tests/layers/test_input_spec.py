"""InputSpec and the checks of inputs."""

import itertools

import pytest
import torch

import torchkeras as keras
from torchkeras import InputSpec
from torchkeras.layers.input_spec import assert_input_compatibility, describe

SPECS = {
    "ndim": InputSpec(ndim=2),
    "min": InputSpec(min_ndim=2),
    "max": InputSpec(max_ndim=2),
    "shape": InputSpec(shape=(None, 3)),
    "axes": InputSpec(axes={-1: 3}),
    "axis_beyond_min": InputSpec(min_ndim=1, axes={1: 3}),
    "negative_axis_beyond": InputSpec(min_ndim=1, axes={-2: 3}),
    "axis_beyond_ndim": InputSpec(ndim=1, axes={-2: 3}),
    "several": InputSpec(min_ndim=2, axes={0: 2, -1: 3, 1: None}),
    "dtype": InputSpec(dtype="float32"),
    "squeeze": InputSpec(shape=(None, 3), allow_last_axis_squeeze=True),
    "squeeze_one": InputSpec(shape=(None, 1), allow_last_axis_squeeze=True),
    "anything": InputSpec(),
}
SHAPES = [s for n in range(4) for s in itertools.product((1, 2, 3), repeat=n)]


def fits(name, shape, dtype):
    """What each spec means, in plain words of Python."""
    n = len(shape)
    last = shape[-1] if shape else None
    return {
        "ndim": n == 2,
        "min": n >= 2,
        "max": n <= 2,
        "shape": n == 2 and last == 3,
        "axes": last == 3,
        "axis_beyond_min": n >= 2 and shape[1] == 3,
        "negative_axis_beyond": n >= 2 and shape[-2] == 3,
        "axis_beyond_ndim": False,
        "several": n >= 2 and shape[0] == 2 and last == 3,
        "dtype": dtype == "float32",
        "squeeze": (n == 2 and last == 3) or (n == 3 and shape[1:] == (3, 1)),
        "squeeze_one": (n == 2 and last == 1) or n == 1 or (n == 3 and shape[1:] == (1, 1)),
        "anything": True,
    }[name]


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("name", SPECS)
def test_the_check_and_the_quick_check(name, dtype):
    spec, quick = SPECS[name], SPECS[name].quick_check()
    for shape in SHAPES:
        x = torch.zeros(shape, dtype=getattr(torch, dtype))
        expected = fits(name, shape, dtype)
        assert (spec.problem(shape, dtype) is None) is expected, shape
        if quick(x):  # it may send a good input the long way, and never lets a bad one pass
            assert expected, shape
        elif "squeeze" not in name:
            assert not expected, shape


def test_unknown_sizes_fit():
    assert InputSpec(shape=(2, 3)).problem((None, None), "float32") is None
    assert InputSpec(axes={-1: 3}).problem((None, None), "float32") is None


@pytest.mark.parametrize(
    "spec, message",
    [
        (InputSpec(ndim=3), "expects an input of rank 3"),
        (InputSpec(min_ndim=3), "expects an input of rank at least 3"),
        (InputSpec(max_ndim=1), "expects an input of rank at most 1"),
        (InputSpec(dtype="int32"), "expects an input of dtype int32"),
        (InputSpec(axes={-1: 16}), "expects 16 features on axis -1"),
        (InputSpec(axes={0: 16}), "expects 16 as the size on axis 0"),
        (InputSpec(shape=(2, 5)), r"expects an input of shape \(2, 5\)"),
        (InputSpec(axes={4: 1}), "expects an input with an axis 4"),
    ],
)
def test_errors_have_three_parts(spec, message):
    received = r"\. Received: x of shape \(2, 3\) and dtype float32\."
    with pytest.raises(ValueError, match=f"^Layer 'd' {message}{received}$"):
        assert_input_compatibility(spec, torch.ones(2, 3), "d")


def test_several_inputs():
    specs = [InputSpec(ndim=1), None, InputSpec(ndim=2, optional=True)]
    assert_input_compatibility(specs, [torch.ones(1), torch.ones(1, 1, 1), None], "d")
    with pytest.raises(ValueError, match=r"expects 3 input\(s\). Received: 1"):
        assert_input_compatibility(specs, [torch.ones(1)], "d")
    with pytest.raises(ValueError, match="rank 1. Received"):
        assert_input_compatibility(specs, [torch.ones(1, 1), None, None], "d")
    with pytest.raises(ValueError, match="expects a tensor as input 0. Received.*NoneType"):
        assert_input_compatibility(specs, [None, None, None], "d")


def test_named_inputs():
    specs = [InputSpec(ndim=1, name="a"), InputSpec(ndim=2, name="b", optional=True)]
    assert_input_compatibility(specs, {"b": torch.ones(1, 1), "a": torch.ones(1)}, "d")
    assert_input_compatibility(specs, {"a": torch.ones(1), "extra": torch.ones(1)}, "d")
    with pytest.raises(ValueError, match=r"keys \['a', 'b'\]. Received: keys \['b'\].*\['a'\]"):
        assert_input_compatibility(specs, {"b": torch.ones(1, 1)}, "d")
    with pytest.raises(ValueError, match=r"rank 1. Received: input 'a' of shape \(1, 1\)"):
        assert_input_compatibility(specs, {"a": torch.ones(1, 1)}, "d")


def test_what_is_no_tensor():
    with pytest.raises(ValueError, match="expects a tensor as input 0. Received: 'x' of type str"):
        assert_input_compatibility(InputSpec(ndim=1), "x", "d")
    assert_input_compatibility(None, "x", "d")


def test_config_and_repr():
    spec = InputSpec(shape=(None, 3), dtype=torch.float16, axes={"-1": 3})
    assert spec.axes == {-1: 3} and spec.ndim == 2
    assert repr(spec) == "InputSpec(dtype=float16, shape=(None, 3), axes={-1: 3})"
    assert repr(InputSpec(ndim=2)) == "InputSpec(ndim=2)"
    assert InputSpec.from_config(spec.get_config()).get_config() == spec.get_config()


def test_axes_beyond_the_rank_are_refused():
    for rank in ({"ndim": 2}, {"max_ndim": 2}, {"shape": (1, 2)}):
        with pytest.raises(ValueError, match="`axes` must name axes below the rank 2. Received"):
            InputSpec(axes={2: 1}, **rank)


@pytest.mark.parametrize("axes", [{"a": 1}, [1, 2]], ids=str)
def test_axes_must_be_a_dict_of_ints(axes):
    with pytest.raises(TypeError, match="`axes` must be a dict with integer keys. Received"):
        InputSpec(axes=axes)


def test_describe_shows_shapes():
    assert describe(torch.ones(2, 3)) == "shape (2, 3)"
    assert describe([torch.ones(2), None, "x"]) == "[shape (2,), 'None', 'str']"
    assert describe(keras.Input((3,))) == "shape (None, 3)"
