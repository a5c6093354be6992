"""check_layer: what every layer owes, in one call."""

import copy
import json
import pickle

import torch

import torchkeras as keras
from torchkeras.core import tree
from torchkeras.core.dtypes import is_float_dtype, standardize_dtype, to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor

# Twice the rounding of one operation in the dtype, with some room for sums over features.
_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def assert_close(actual, expected, dtype=torch.float32):
    """Tensors of two structures are equal up to the rounding of `dtype`; dtypes may differ."""
    actual, expected = tree.flatten(actual), tree.flatten(expected)
    assert len(actual) == len(expected)
    tolerance = _TOLERANCE.get(dtype, 0)
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(
            a, b, rtol=tolerance, atol=tolerance, check_dtype=False, equal_nan=True
        )


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
    call_kwargs=None,
    expected_output_shape=None,
    expected_output_dtype=None,
    expected_num_weights=None,
    expected_num_trainable_weights=None,
    expected_num_seed_generators=None,
    expected_num_losses=None,
    supports_masking=None,
    custom_objects=None,
    dynamic_batch=True,
    supports_mixed_precision=True,
    supports_half=True,
    supports_config=True,
    supports_pickle=True,
    supports_compile=True,
    supports_export=True,
):
    """Hold a layer class to the contract of all layers, and return a built layer.

    Args:
        cls: the Layer class.
        init_kwargs: dict of constructor arguments.
        input_shape: tuple with the batch, or a list or dict of such tuples.
        input_data: the input itself, instead of a shape.
        input_dtype: dtype of inputs made from `input_shape`.
        call_kwargs: dict of further arguments of every call.
        expected_output_shape: tuple, or structure of tuples; None for no expectation.
        expected_output_dtype: dtype name; None for no expectation.
        expected_num_...: counts; None for no expectation.
        supports_masking: what the attribute must say; None for no expectation.
        custom_objects: dict of what configs may name.
        dynamic_batch: whether a symbolic batch of None must work.
        supports_...: False leaves the part out.
    """
    inputs = make_inputs(input_shape, input_dtype) if input_data is None else input_data
    kwargs = call_kwargs or {}
    torch.manual_seed(0)
    layer = cls(**init_kwargs)
    outputs = _check_build(layer, inputs, kwargs)
    expected_counts = {
        "weights": expected_num_weights,
        "trainable_weights": expected_num_trainable_weights,
        "_seed_generators": expected_num_seed_generators,
        "losses": expected_num_losses,
    }
    for name, count in expected_counts.items():
        if count is not None:
            found = getattr(layer, name)
            assert len(found) == count, f"{name}: {len(found)}, expected {count}"
    if expected_output_shape is not None:
        shapes = tree.map_structure(lambda y: tuple(y.shape), outputs)
        assert shapes == expected_output_shape
    if expected_output_dtype is not None:
        assert all(standardize_dtype(y.dtype) == expected_output_dtype for y in _tensors(outputs))
    if supports_masking is not None:
        assert layer.supports_masking is supports_masking

    _check_flags(layer, inputs, kwargs)
    if supports_config:
        _check_config(layer, inputs, kwargs, custom_objects)
        _check_state_dict(layer, inputs, kwargs, outputs, custom_objects)
    _check_copies(layer, inputs, kwargs, outputs, supports_pickle)
    _check_symbolic(layer, cls, init_kwargs, inputs, kwargs, outputs, dynamic_batch)
    _check_gradients(layer, inputs, kwargs)
    _check_functional_call(layer, inputs, kwargs, outputs)
    _check_stateless_call(layer, inputs, kwargs, outputs)
    _check_random(cls, init_kwargs, inputs, kwargs)
    if not kwargs:
        _check_sequential(layer, inputs, outputs)
    if supports_mixed_precision:
        _check_mixed_precision(cls, init_kwargs, inputs, kwargs)
    _check_dtype_moves(layer, inputs, kwargs, outputs, supports_half)
    if supports_compile:
        _check_compile(layer, inputs, kwargs, outputs)
    if supports_export:
        _check_export(layer, inputs, kwargs, outputs)
    return layer


def _tensors(structure):
    return [leaf for leaf in tree.flatten(structure) if isinstance(leaf, torch.Tensor)]


def _shapes(structure):
    return tree.map_structure(lambda x: tuple(x.shape), structure)


def _values(layer):
    return [v.value.detach().clone() for v in layer.variables]


def _any_float(structure):
    return any(x.is_floating_point() for x in _tensors(structure))


def _check_build(layer, inputs, kwargs):
    """Weights appear at the first call, under the names torch knows them by."""
    if type(layer).build is keras.layers.Layer.build or not layer.built:
        assert layer.weights == [] or layer.built
    outputs = layer(inputs, **kwargs)
    assert layer.built
    names = {id(p) for p in layer.parameters()} | {id(b) for b in layer.buffers()}
    for variable in layer.variables:
        assert id(variable.value) in names, f"torch does not know {variable.path}"
        assert variable.path.startswith(layer.name) or variable in _seed_states(layer)
    assert_close(layer(inputs, **kwargs), outputs)  # the second call may take the fast path
    return outputs


def _seed_states(layer):
    return [g.state for part in layer._flatten_layers() for g in part._seed_generators]


def _check_flags(layer, inputs, kwargs):
    assert layer.training is False
    layer.train()
    assert all(module.training for module in layer.modules())
    layer(inputs, **{**kwargs, "training": False})
    assert all(module.training for module in layer.modules()), "training= must be restored"
    layer.eval()
    assert not any(module.training for module in layer.modules())
    layer(inputs, **{**kwargs, "training": True})
    assert not any(module.training for module in layer.modules()), "training= must be restored"


def _remade(layer, custom_objects):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)


def _check_config(layer, inputs, kwargs, custom_objects):
    config = layer.get_config()
    json.dumps(config)
    with keras.saving.custom_object_scope(custom_objects or {}):
        again = type(layer).from_config(copy.deepcopy(config))
        assert again.get_config() == config
    remade = _remade(layer, custom_objects)
    assert type(remade) is type(layer)
    assert json.dumps(remade.get_config()) == json.dumps(config)
    assert [w.shape for w in remade.weights] == [w.shape for w in layer.weights], "build_config"
    assert [w.path for w in remade.weights] == [w.path for w in layer.weights]
    remade(inputs, **kwargs)


def _check_state_dict(layer, inputs, kwargs, outputs, custom_objects):
    state = layer.state_dict()
    seeds = {id(v) for v in _seed_states(layer)}
    kept = [v for v in layer.variables if id(v) not in seeds]
    assert len(state) >= len(kept)
    for assign in (False, True):
        other = _remade(layer, custom_objects)
        other(inputs, **kwargs)
        for variable in other.weights:
            if variable.value.is_floating_point():
                variable.assign(torch.full_like(variable.value, 0.5))
        other.load_state_dict(copy.deepcopy(state), strict=True, assign=assign)
        for a, b in zip(other.weights, layer.weights, strict=True):
            assert torch.equal(a.value, b.value)
        assert_close(other(inputs, **kwargs), outputs)


def _check_copies(layer, inputs, kwargs, outputs, supports_pickle):
    copies = [copy.deepcopy(layer)]
    if supports_pickle:
        copies.append(pickle.loads(pickle.dumps(layer)))
    for other in copies:
        assert_close(other(inputs, **kwargs), outputs)
        assert len(other.variables) == len(layer.variables)
        before = _values(layer)
        for variable in other.variables:
            variable.assign(torch.zeros_like(variable.value))
        for a, b in zip(before, _values(layer), strict=True):
            assert torch.equal(a, b), "the copy shares memory with its original"


def _check_symbolic(layer, cls, init_kwargs, inputs, kwargs, outputs, dynamic_batch):
    def symbols(batch):
        return tree.map_structure(
            lambda x: KerasTensor(batch(tuple(x.shape)), standardize_dtype(x.dtype)), inputs
        )

    static = symbols(lambda shape: shape)
    for made in (layer, cls(**init_kwargs)):
        symbolic = made(static, **kwargs)
        assert _shapes(symbolic) == _shapes(outputs)
        for symbol, y in zip(tree.flatten(symbolic), _tensors(outputs), strict=True):
            if _any_float(inputs):
                assert symbol.dtype == standardize_dtype(y.dtype)
        assert made.built
    assert [w.shape for w in made.weights] == [w.shape for w in layer.weights]
    if not kwargs:
        shape = layer.compute_output_shape(_shapes(inputs))
        assert tree.flatten(shape) == tree.flatten(_shapes(outputs))
    if dynamic_batch:
        symbolic = cls(**init_kwargs)(symbols(lambda shape: (None, *shape[1:])), **kwargs)
        for symbol, y in zip(tree.flatten(symbolic), _tensors(outputs), strict=True):
            assert symbol.shape == (None, *y.shape[1:])


def _check_gradients(layer, inputs, kwargs):
    layer.zero_grad()
    inputs = tree.map_structure(
        lambda x: x.clone().requires_grad_() if x.is_floating_point() else x, inputs
    )
    outputs = [y for y in _tensors(layer(inputs, **kwargs)) if y.is_floating_point()]
    if not any(y.requires_grad for y in outputs):
        assert not layer.trainable_weights
        return
    generator = torch.Generator().manual_seed(1)
    loss = sum((y * torch.randn(y.shape, generator=generator).to(y)).sum() for y in outputs)
    (loss + sum(layer.losses)).backward()
    leaves = [(w.path, w.grad) for w in layer.trainable_weights]
    leaves += [("input", x.grad) for x in _tensors(inputs) if x.requires_grad]
    for name, grad in leaves:
        assert grad is not None, f"no gradient in {name}"
        assert torch.isfinite(grad).all(), f"the gradient in {name} is not finite"
        assert grad.abs().sum() > 0, f"the gradient in {name} is zero"
    layer.zero_grad()


def _check_functional_call(layer, inputs, kwargs, outputs):
    before = _values(layer)
    state = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    floats = {k: v.detach() * 2 + 0.25 for k, v in state.items() if v.is_floating_point()}
    called = torch.func.functional_call(layer, floats, (inputs,), kwargs)
    for a, b in zip(before, _values(layer), strict=True):
        assert torch.equal(a, b), "functional_call changed the layer"
    other = copy.deepcopy(layer)
    with torch.no_grad():
        for name, tensor in [*other.named_parameters(), *other.named_buffers()]:
            if name in floats:
                tensor.copy_(floats[name])
    assert_close(called, other(inputs, **kwargs))
    assert_close(layer(inputs, **kwargs), outputs)


def _check_stateless_call(layer, inputs, kwargs, outputs):
    for training in (False, True):
        before = _values(layer)
        trainable = [v.value.detach().clone() for v in layer.trainable_variables]
        others = [v.value.detach().clone() for v in layer.non_trainable_variables]
        arguments = {**kwargs, "training": True} if training else kwargs
        result, state = layer.stateless_call(trainable, others, inputs, **arguments)
        assert len(state) == len(others)
        for a, b in zip(before, _values(layer), strict=True):
            assert torch.equal(a, b), "stateless_call changed the layer"
        if training:
            again, _ = layer.stateless_call(trainable, others, inputs, **arguments)
            assert_close(again, result)
        else:
            assert_close(result, outputs)


def _check_random(cls, init_kwargs, inputs, kwargs):
    """In training a draw follows `torch.manual_seed`, or the layer's own seed."""
    layer = cls(**init_kwargs)
    layer(inputs, **kwargs)
    if not _seed_states(layer):
        return
    arguments = {**kwargs, "training": True}
    for seed in (None, 3):
        if "seed" in init_kwargs or seed is not None and "seed" not in layer.get_config():
            continue
        runs = []
        for _ in range(2):
            torch.manual_seed(1)
            made = cls(**init_kwargs) if seed is None else cls(**init_kwargs, seed=seed)
            runs.append([made(inputs, **arguments), made(inputs, **arguments)])
        assert_close(runs[0], runs[1])
        first, second = (torch.cat([y.flatten() for y in _tensors(run)]) for run in runs[0])
        assert not torch.equal(first, second), "two draws are the same"


def _check_sequential(layer, inputs, outputs):
    sequential = torch.nn.Sequential(layer).eval()
    assert_close(sequential(inputs), outputs)
    assert set(sequential.state_dict()) == {f"0.{key}" for key in layer.state_dict()}


def _check_mixed_precision(cls, init_kwargs, inputs, kwargs):
    if not _any_float(inputs):
        return
    layer = cls(**{**init_kwargs, "dtype": "mixed_bfloat16"})
    outputs = layer(inputs, **kwargs)
    for y in _tensors(outputs):
        assert not y.is_floating_point() or y.dtype is torch.bfloat16
    for weight in layer.weights:
        assert weight.value.dtype is not torch.bfloat16
    for p in layer.parameters():
        assert p.dtype is torch.float32
    if any(y.requires_grad for y in _tensors(outputs)):
        sum(y.float().sum() for y in _tensors(outputs)).backward()
        assert all(p.grad.dtype is torch.float32 for p in layer.parameters() if p.requires_grad)


def _check_dtype_moves(layer, inputs, kwargs, outputs, supports_half):
    if not _any_float(inputs):
        return
    for dtype in (torch.float64, torch.float16) if supports_half else (torch.float64,):
        moved = copy.deepcopy(layer).to(dtype)
        assert all(p.dtype is dtype for p in moved.parameters())
        assert moved.compute_dtype == standardize_dtype(dtype)
        result = moved(inputs, **kwargs)
        assert all(y.dtype is dtype for y in _tensors(result) if y.is_floating_point())
        back = moved.to(torch.float32)
        tolerance = torch.float32 if dtype is torch.float64 else dtype
        assert_close(back(inputs, **kwargs), outputs, tolerance)


def _check_compile(layer, inputs, kwargs, outputs):
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_close(compiled(inputs, **kwargs), outputs)
    if _seed_states(layer):
        layer.train()
        compiled(inputs, **kwargs)
        layer.eval()
    torch._dynamo.reset()


def _check_export(layer, inputs, kwargs, outputs):
    program = torch.export.export(layer, (inputs,), kwargs, strict=False)
    assert_close(program.module()(inputs, **kwargs), outputs)


def check_symbol_dtype(layer, inputs):
    """The symbol of a call has the dtype of the tensor it stands for, integers included."""
    symbols = tree.map_structure(
        lambda x: KerasTensor(tuple(x.shape), standardize_dtype(x.dtype)), inputs
    )
    symbol, tensor = layer(symbols), layer(inputs)
    assert symbol.dtype == standardize_dtype(tensor.dtype)
    assert is_float_dtype(symbol.dtype) == tensor.is_floating_point()
