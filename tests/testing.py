"""check_layer: what every layer owes, in one call; layer_cases: a table of such calls."""

import functools

import numpy as np
import pytest
import torch

from tests import contract
from tests.contract import assert_close as assert_close
from torchkeras.core import tree
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor


def make_inputs(input_shape, input_dtype="float32", seed=0):
    """Random tensors for a shape, or a structure of shapes; floats of both signs, ints 0 to 9."""
    generator = torch.Generator().manual_seed(seed)

    def one(shape):
        dtype = to_torch_dtype(input_dtype)
        if dtype.is_floating_point:
            return torch.randn(shape, generator=generator).to(dtype)
        return torch.randint(0, 10, shape, generator=generator).to(dtype)

    return tree.map_shape_structure(one, input_shape)


def check_layer(
    cls,
    init_kwargs,
    input_shape=None,
    input_data=None,
    *,
    input_dtype="float32",
    call_args=(),
    call_kwargs=None,
    prepare=None,
    mask_shape=None,
    expected_output_shape=None,
    expected_output_dtype=None,
    expected_num_weights=None,
    expected_num_trainable_weights=None,
    expected_num_non_trainable_weights=None,
    expected_num_seed_generators=None,
    expected_num_losses=None,
    expected_mask=None,
    supports_masking=None,
    custom_objects=None,
    changes_trainable=False,
    static_shape=True,
    dynamic_batch=True,
    dynamic_dims=True,
    supports_symbols=True,
    supports_mixed_precision=True,
    supports_half=True,
    supports_config=True,
    supports_pickle=True,
    supports_compile=True,
    supports_export=True,
    part="all",
):
    """Hold a layer class to the contract of all layers, and return a built layer.

    A call in inference changes nothing, unless the layer's attribute `stateful` is True; one in
    training may change weights that are not trainable.

    Args:
        cls: the Layer class.
        init_kwargs: dict of constructor arguments; where layers are among them, a function that
            returns a new one.
        input_shape: tuple with the batch, or a list or dict of such tuples.
        input_data: the input itself, instead of a shape: a tensor, array or list of strings, or
            a structure of these.
        input_dtype: dtype of inputs made from `input_shape`.
        call_args, call_kwargs: further arguments of every call, by place and by name; those that
            are tensors become symbols, carry gradients and so on, as the first one does.
        prepare: function run on each new layer before its first call, such as
            `lambda layer: layer.adapt(data)`.
        mask_shape: shape of the mask that rides on each input; None for all axes but the last, as
            `Masking` makes it; False where no such mask makes sense.
        expected_output_shape: tuple, or structure of tuples; None for no expectation.
        expected_output_dtype: dtype name; None for no expectation.
        expected_num_...: counts; None for no expectation.
        expected_mask: function that gives the masks of the outputs for those of the input; None
            for the same, or where the class defines `compute_mask`, for what that gives.
        supports_masking: what the attribute must say; None for no expectation.
        custom_objects: dict of what configs may name.
        changes_trainable: whether a call in training changes trainable weights too.
        static_shape: whether a `compute_output_shape` of the class does without `call`.
        dynamic_batch: whether a symbolic batch of None must work.
        dynamic_dims: whether other sizes must be free to be None, where the weights do not
            depend on them.
        supports_...: False leaves the part out.
        part: "all"; "eager" leaves out torch.compile and torch.export, which take ten times as
            long as all else; "graphs" asks for these alone.
    """
    inputs = make_inputs(input_shape, input_dtype) if input_data is None else input_data
    args, kwargs = tree.map_structure(_numbers_as_tensor, ((inputs, *call_args), call_kwargs or {}))
    subject = contract.Subject(cls, init_kwargs, args, kwargs, prepare, custom_objects)
    contract.check_build(subject)
    layer, outputs = subject.layer, subject.outputs
    contract.check_training(subject, changes_trainable)
    if part != "graphs":
        expected_counts = {
            "weights": expected_num_weights,
            "trainable_weights": expected_num_trainable_weights,
            "non_trainable_weights": expected_num_non_trainable_weights,
            "_seed_generators": expected_num_seed_generators,
            "losses": expected_num_losses,
        }
        for name, count in expected_counts.items():
            if count is not None:
                found = getattr(layer, name)
                assert len(found) == count, f"{name}: {len(found)}, expected {count}"
        if expected_output_shape is not None:
            assert contract.shapes_in(outputs) == expected_output_shape
        if expected_output_dtype is not None:
            for y in contract.tensors_of(outputs):
                assert standardize_dtype(y.dtype) == expected_output_dtype
        if supports_masking is not None:
            assert layer.supports_masking is supports_masking

        contract.check_flags(subject)
        if supports_config:
            contract.check_config(subject)
            contract.check_state_dict(subject)
        contract.check_copies(subject, supports_pickle)
        contract.check_arrays(subject)
        if supports_symbols:
            contract.check_symbolic(subject)
            contract.check_output_shape(subject, static_shape)
            if dynamic_batch:
                contract.check_dynamic_batch(subject)
            if dynamic_dims:
                contract.check_dynamic_dims(subject)
            if mask_shape is not False:
                contract.check_masks(subject, mask_shape, expected_mask)
        contract.check_gradients(subject)
        contract.check_functional_call(subject)
        contract.check_random(subject)
        if subject.has_one_argument:
            contract.check_sequential(subject)
        if supports_mixed_precision:
            contract.check_mixed_precision(subject)
        contract.check_dtype_moves(subject, supports_half)
    if part != "eager" and subject.is_tensors:
        if supports_compile:
            contract.check_compile(subject)
        if supports_export:
            contract.check_export(subject)
    return layer


def _numbers_as_tensor(x):
    return torch.as_tensor(x) if isinstance(x, np.ndarray) and x.dtype.kind in "biufc" else x


# The classes that a table of cases holds to the contract, with the options of their cases; filled
# as test files are imported.
HELD_CASES = []


def layer_cases(cases):
    """Mark a test of one argument, `check`, to run once for each of `cases`.

    torch.compile and torch.export take most of the time of a case. They are part of the first
    case of each class; for the others they are tests of their own, marked `slow`.

    Args:
        cases: dict of names to `case(...)`.
    """
    params, seen = [], set()
    for name, check in cases.items():
        cls = check.args[0]
        part = "eager" if cls in seen else "all"
        params.append(pytest.param(functools.partial(check, part=part), id=name))
        if cls in seen:
            graphs = functools.partial(check, part="graphs")
            params.append(pytest.param(graphs, id=f"{name}-graphs", marks=pytest.mark.slow))
        seen.add(cls)
        HELD_CASES.append((cls, check.keywords))
    return pytest.mark.parametrize("check", params)


def case(cls, init_kwargs, *args, **kwargs):
    """A call of `check_layer` with these arguments, to be made by a test under `layer_cases`."""
    return functools.partial(check_layer, cls, init_kwargs, *args, **kwargs)


def check_symbol_dtype(layer, inputs):
    """The symbol of a call has the dtype of the tensor it stands for, integers included."""
    symbols = tree.map_structure(
        lambda x: KerasTensor(tuple(x.shape), standardize_dtype(x.dtype)), inputs
    )
    symbol, tensor = layer(symbols), layer(inputs)
    assert symbol.dtype == standardize_dtype(tensor.dtype)
    assert is_float_dtype(symbol.dtype) == tensor.is_floating_point()
