"""What every layer owes, a function for each debt; `check_layer` of tests/testing.py asks them."""

import contextlib
import copy
import json
import pickle
import warnings

import numpy as np
import torch

import torchkeras as keras
from torchkeras.core import dtype_policy, tree
from torchkeras.core.dtypes import standardize_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.call_spec import call_spec, shapes_of
from torchkeras.layers.output_spec import says_shape

# Twice the rounding of one operation in the dtype, with some room for sums over features.
_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def assert_close(actual, expected, dtype=torch.float32):
    """Tensors of two structures are equal up to the rounding of `dtype`; dtypes may differ."""
    actual, expected = tree.flatten(actual), tree.flatten(expected)
    assert len(actual) == len(expected)
    tolerance = _TOLERANCE.get(dtype, 0)
    for a, b in zip(actual, expected, strict=True):
        if _is_text(b):
            assert np.array_equal(a, b)
            continue
        torch.testing.assert_close(
            a, b, rtol=tolerance, atol=tolerance, check_dtype=False, equal_nan=True
        )


class Subject:
    """A layer class, with the arguments of its constructor and of the calls it is held to.

    Args:
        cls: the Layer class.
        init_kwargs: dict of constructor arguments, or a function that returns a new one.
        args, kwargs: arguments of a call.
        prepare: function of a new layer, run before its first call; None for nothing.
        custom_objects: dict of what configs may name.

    Attributes:
        layer, outputs: a built layer, and what it gives; set by `check_build`.
        varies: whether a call in training draws numbers or changes state; by `check_training`.
    """

    def __init__(self, cls, init_kwargs, args, kwargs, prepare=None, custom_objects=None):
        self.cls = cls
        self.args = args
        self.kwargs = kwargs
        self.prepare = prepare or (lambda layer: None)
        self.custom_objects = custom_objects
        self._init_kwargs = init_kwargs

    def init_kwargs(self):
        """Constructor arguments, without layers that another instance holds."""
        return self._init_kwargs() if callable(self._init_kwargs) else dict(self._init_kwargs)

    def make(self, **more):
        """A new layer."""
        layer = self.cls(**{**self.init_kwargs(), **more})
        self.prepare(layer)
        return layer

    def remade(self):
        """A layer made from the config of `layer`."""
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(self.layer)))
        layer = keras.saving.deserialize_keras_object(config, custom_objects=self.custom_objects)
        self.prepare(layer)
        return layer

    def call(self, layer, **more):
        """What a call of `layer` gives; its state is then what it was."""
        with kept_state(layer):
            return tree.map_structure(_copy, layer(*self.args, **{**self.kwargs, **more}))

    @property
    def data(self):
        """All arguments of a call, as one structure."""
        return (self.args, self.kwargs)

    @property
    def is_tensors(self):
        """Whether all data are tensors, which torch can trace."""
        return not any(_is_text(x) for x in _data_of(self.data))

    @property
    def has_one_argument(self):
        """Whether a call is `layer(x)`."""
        return len(self.args) == 1 and not self.kwargs


def _copy(y):
    # The output may be the state itself, which is about to be restored.
    if not isinstance(y, torch.Tensor):
        return y
    copied = y.clone()
    if hasattr(y, "_keras_mask"):
        copied._keras_mask = y._keras_mask
    return copied


@contextlib.contextmanager
def kept_state(layer):
    """Put back, at the end, what every parameter and buffer of `layer` holds now."""
    saved = [
        (store, key, tensor, tensor.detach().clone())
        for part in layer.modules()
        for store in (part._parameters, part._buffers)
        for key, tensor in store.items()
        if tensor is not None
    ]
    try:
        yield
    finally:
        for store, key, tensor, value in saved:
            store[key] = tensor
            if not torch.equal(tensor, value):
                with torch.no_grad():
                    tensor.copy_(value)


def _values(variables):
    return [v.value.detach().clone() for v in variables]


def assert_same(before, variables, message):
    """The variables hold what they held `before`."""
    for value, variable in zip(before, variables, strict=True):
        assert torch.equal(value, variable.value), f"{message}: {variable.path}"


def tensors_of(structure):
    """The tensors among the leaves of a structure."""
    return [leaf for leaf in tree.flatten(structure) if isinstance(leaf, torch.Tensor)]


def shapes_in(structure):
    """A structure of tensors or symbols as one of shapes."""
    return tree.map_structure(lambda x: tuple(x.shape), structure)


def _any_float(structure):
    return any(x.is_floating_point() for x in tensors_of(structure))


def _is_text(x):
    """Whether data or a leaf of outputs are strings."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "USO"
    return isinstance(x, (str, list))


def seed_states(layer):
    """Variables that hold the seeds of `layer`."""
    return [g.state for part in layer._flatten_layers() for g in part._seed_generators]


# Symbols, and data of other sizes


def _is_data(node):
    """Whether a node of the arguments is one array: a tensor, an array, or lists of strings."""
    if isinstance(node, (torch.Tensor, np.ndarray)):
        return True
    leaves = tree.flatten(node) if isinstance(node, list) else []
    return bool(leaves) and all(isinstance(leaf, str) for leaf in leaves)


def _map_data(func, structure):
    return tree.traverse(lambda node: func(node) if _is_data(node) else None, structure)


def _data_of(structure):
    found = []
    _map_data(found.append, structure)
    return found


def _symbols(structure, is_unknown=lambda axis, size: False):
    """KerasTensors for the data, None where `is_unknown`; masks become symbols too."""

    def symbol(x):
        shape = np.shape(x) if isinstance(x, list) else tuple(x.shape)
        shape = [None if is_unknown(axis, n) else n for axis, n in enumerate(shape)]
        made = KerasTensor(shape, _dtype_of(x))
        if getattr(x, "_keras_mask", None) is not None:
            made._keras_mask = symbol(x._keras_mask)
        return made

    return _map_data(symbol, structure)


def _dtype_of(x):
    return "string" if _is_text(x) else standardize_dtype(x.dtype)


def _doubled(structure, is_unknown):
    """The data with every axis that `is_unknown` twice as long."""

    def double(x):
        if isinstance(x, list):
            return double(np.array(x)).tolist()
        join = np.concatenate if isinstance(x, np.ndarray) else torch.cat
        for axis, size in enumerate(x.shape):
            if is_unknown(axis, size):
                x = join([x, x], axis)
        return x

    return _map_data(double, structure)


def _assert_symbols(symbols, outputs, others=None, exact=False):
    """The symbols stand for `outputs`, and for `others`, which came from other sizes.

    A size may be None, but with `exact` only where the two differ.
    """
    symbols, outputs = tree.flatten(symbols), tree.flatten(outputs)
    others = outputs if others is None else tree.flatten(others)
    for symbol, y, other in zip(symbols, outputs, others, strict=True):
        if not isinstance(symbol, KerasTensor):
            assert symbol == y  # None, say, for a state that is not returned
            continue
        assert symbol.dtype == _dtype_of(y), f"{symbol!r} stands for {y.dtype}"
        shape = [a if a == b else None for a, b in zip(y.shape, other.shape, strict=True)]
        message = f"symbol of {symbol.shape}, tensors of {tuple(y.shape)}, {tuple(other.shape)}"
        assert len(symbol.shape) == len(shape), message
        for found, expected in zip(symbol.shape, shape, strict=True):
            assert found == expected or (found is None and not exact), message
        masks = [getattr(each, "_keras_mask", None) for each in (symbol, y)]
        assert (masks[0] is None) == (masks[1] is None), f"masks: {masks}"
        if masks[1] is not None:
            for found, size in zip(masks[0].shape, masks[1].shape, strict=True):
                assert found in (None, size), "the symbol's mask has another shape"


# The debts


def check_build(subject):
    """Weights appear at the first call, under the names torch knows them by; calls repeat."""
    torch.manual_seed(0)
    layer = subject.make()
    assert layer.built or layer.weights == []
    outputs = layer(*subject.args, **subject.kwargs)
    assert layer.built
    names = {id(p) for p in layer.parameters()} | {id(b) for b in layer.buffers()}
    for variable in layer.variables:
        assert id(variable.value) in names, f"torch does not know {variable.path}"
        is_seed = any(variable is state for state in seed_states(layer))
        assert variable.path.startswith(layer.name) or is_seed
    subject.layer = layer
    before = _values(layer.variables)
    subject.outputs = subject.call(layer)  # this one may take the fast path
    if not getattr(layer, "stateful", False):
        assert_close(subject.outputs, outputs)
        layer(*subject.args, **subject.kwargs)
        assert_same(before, layer.variables, "a call in inference changed")


def check_flags(subject):
    """`train`, `eval` and `training=` set the mode of every part, the last for one call."""
    layer = subject.layer
    assert layer.training is False
    for mode in (True, False):
        layer.train(mode)
        assert all(module.training is mode for module in layer.modules())
        subject.call(layer, training=not mode)
        assert all(module.training is mode for module in layer.modules()), (
            "training= must be restored"
        )


def check_training(subject, changes_trainable):
    """A call in training changes no weight that an optimizer owns, and state as it says.

    What `stateless_call` returns as new state is what the call itself leaves behind.
    """
    layer = subject.layer
    random = bool(seed_states(layer))
    trainable, others = layer.trainable_variables, layer.non_trainable_variables
    subject.varies = random
    for training in (False, True):
        kwargs = {**subject.kwargs, "training": True} if training else subject.kwargs
        given = _values(trainable), _values(others)
        before = _values(layer.variables)
        result, state = layer.stateless_call(*given, *subject.args, **kwargs)
        assert_same(before, layer.variables, "stateless_call changed")
        assert_same(given[1], others, "stateless_call changed")
        assert len(state) == len(others)
        if training and random:
            again, _ = layer.stateless_call(*given, *subject.args, **kwargs)
            assert_close(again, result)
        with kept_state(layer):
            outputs = layer(*subject.args, **kwargs)
            if not changes_trainable:
                assert_same(given[0], trainable, "a call changed")
            if not (training and random):
                assert_close(result, outputs)
                assert_close(state, _values(others))
            left = _values(layer.variables)
        changed = any(not torch.equal(a, b) for a, b in zip(before, left, strict=True))
        subject.varies |= training and changed


def check_config(subject):
    """A config is JSON and makes the same layer again, with the same weights."""
    layer = subject.layer
    config = layer.get_config()
    json.dumps(config)
    with keras.saving.custom_object_scope(subject.custom_objects or {}):
        again = type(layer).from_config(copy.deepcopy(config))
        assert again.get_config() == config
    remade = subject.remade()
    assert type(remade) is type(layer)
    assert json.dumps(remade.get_config()) == json.dumps(config)
    assert [w.shape for w in remade.weights] == [w.shape for w in layer.weights], "build_config"
    for ours, theirs in zip(layer.weights, remade.weights, strict=True):
        # A layer among the arguments is built on its own, outside the scope of this one.
        assert theirs.path == ours.path or (
            not _is_single(layer) and ours.path.endswith("/" + theirs.path)
        )
    remade(*subject.args, **subject.kwargs)


def check_state_dict(subject):
    """`state_dict` is all of a layer; another one takes it."""
    layer = subject.layer
    state = layer.state_dict()
    seeds = {id(v) for v in seed_states(layer)}
    kept = [v for v in layer.variables if id(v) not in seeds]
    assert len(state) >= len(kept)
    for assign in (False, True):
        other = subject.remade()
        other(*subject.args, **subject.kwargs)
        for variable in other.weights:
            if variable.value.is_floating_point():
                variable.assign(torch.full_like(variable.value, 0.5))
        other.load_state_dict(copy.deepcopy(state), strict=True, assign=assign)
        for a, b in zip(other.weights, layer.weights, strict=True):
            assert torch.equal(a.value, b.value)
        assert_close(subject.call(other), subject.outputs)


def check_copies(subject, supports_pickle):
    """Copies compute the same and share nothing."""
    layer = subject.layer
    copies = [copy.deepcopy(layer)]
    if supports_pickle:
        copies.append(pickle.loads(pickle.dumps(layer)))
    for other in copies:
        assert_close(subject.call(other), subject.outputs)
        assert len(other.variables) == len(layer.variables)
        before = _values(layer.variables)
        for variable in other.variables:
            variable.assign(torch.zeros_like(variable.value))
        assert_same(before, layer.variables, "the copy shares memory with its original")


def check_arrays(subject):
    """NumPy arrays are taken as tensors are."""
    arrays = _map_data(
        lambda x: x.numpy() if isinstance(x, torch.Tensor) and x.dtype is not torch.bfloat16 else x,
        subject.data,
    )
    with kept_state(subject.layer):
        assert_close(subject.layer(*arrays[0], **arrays[1]), subject.outputs)


def check_symbolic(subject):
    """Symbols have the shapes, dtypes and masks of the tensors they stand for."""
    args, kwargs = _symbols(subject.data)
    for layer in (subject.layer, subject.make()):
        _assert_symbols(layer(*args, **kwargs), subject.outputs, exact=True)
        assert layer.built
    assert [w.shape for w in layer.weights] == [w.shape for w in subject.layer.weights]


def check_output_shape(subject, static_shape):
    """`compute_output_shape` needs no weights and, where a class defines it, no `call`."""

    def call(*args, **kwargs):
        raise AssertionError("`compute_output_shape` ran `call`")

    shapes = shapes_of(subject.layer._spec_of_call().bind(*_symbols(subject.data)))
    for layer in (subject.layer, subject.make()):
        says = says_shape(layer)
        if not says and len(shapes) != 1:
            return  # it must be told of every tensor; only a layer of its own can
        if says and static_shape:
            layer.__dict__["call"] = call
        try:
            if len(shapes) == 1:
                shape = layer.compute_output_shape(shapes_in(_symbols(subject.args[0])))
            else:
                rule = call_spec(type(layer).compute_output_shape)
                shape = layer.compute_output_shape(**rule.shape_arguments(shapes))
        finally:
            layer.__dict__.pop("call", None)
        assert tree.flatten(shape) == tree.flatten(shapes_in(subject.outputs))


def check_dynamic_batch(subject):
    """With a batch of unknown size, exactly the sizes that depend on it are unknown."""
    batch = np.shape(_data_of(subject.data)[0])[0]

    def is_batch(axis, size):
        return axis == 0 and size == batch

    args, kwargs = _symbols(subject.data, is_batch)
    more_args, more_kwargs = _doubled(subject.data, is_batch)
    symbols = subject.make()(*args, **kwargs)
    more = subject.make()(*more_args, **more_kwargs)
    _assert_symbols(symbols, subject.outputs, more, exact=True)


def check_dynamic_dims(subject):
    """A size beside the batch may be unknown, unless the layer needs it to be built.

    Sizes of the data that are equal are taken for one size. A layer that takes twice that size,
    with weights of the same shapes, does not need it: it must take None for it. Any other may
    refuse None.
    """
    sizes = {n for x in _data_of(subject.data) for n in np.shape(x)[1:] if n > 1}
    for size in sorted(sizes):

        def is_unknown(axis, n, size=size):
            return axis > 0 and n == size

        others = _outputs_of_doubled(subject, is_unknown)
        args, kwargs = _symbols(subject.data, is_unknown)
        for made in (subject.make, lambda: subject.layer):
            layer = made()
            try:
                outputs = layer(*args, **kwargs)
            except (ValueError, RuntimeError) as error:
                assert others is None, f"the layer needs no size {size}, and refuses None: {error}"
                continue
            _assert_symbols(outputs, subject.outputs, others)


def _outputs_of_doubled(subject, is_unknown):
    """What a new layer gives for data of the other size; None if it needs the size it has."""
    args, kwargs = _doubled(subject.data, is_unknown)
    layer = subject.make()
    try:
        outputs = layer(*args, **kwargs)
        subject.layer(*_symbols(args), **_symbols(kwargs))
    except (ValueError, RuntimeError, IndexError, TypeError):
        return None
    same = [w.shape for w in layer.weights] == [w.shape for w in subject.layer.weights]
    return outputs if same else None


def check_masks(subject, mask_shape, expected_mask):
    """A mask that rides on the input comes out as `compute_mask` says: by default, unchanged."""
    layer, first = subject.layer, subject.args[0]
    given = subject.kwargs.get("mask")
    if given is None:
        if not any(x.dim() > 1 for x in tensors_of(first)):
            return
        generator = torch.Generator().manual_seed(2)
        first = tree.map_structure(lambda x: _with_mask(x, mask_shape, generator), first)
        given = _masks_of(first)
    with kept_state(layer), _lost_masks():
        outputs = layer(first, *subject.args[1:], **subject.kwargs)
    if expected_mask is not None:
        expected = expected_mask(given)
    elif not layer.supports_masking:
        if not _is_single(layer):
            return  # the layers within may put masks on what they return
        expected = None
    elif type(layer).compute_mask is keras.layers.Layer.compute_mask:
        expected = given
    else:
        expected = layer.compute_mask(first, given)
    flat = tree.flatten(outputs)
    masks = tree.flatten(expected)
    masks += [None] * (len(flat) - len(masks))
    for found, mask in zip(_masks_of(flat), masks, strict=True):
        assert (found is None) == (mask is None), f"mask of the output: {found}, expected {mask}"
        assert mask is None or torch.equal(found, mask), "the output has another mask"
    with _lost_masks():
        symbols = layer(*_symbols((first, *subject.args[1:])), **_symbols(subject.kwargs))
    _assert_symbols(symbols, outputs)


@contextlib.contextmanager
def _lost_masks():
    """Inside, a layer may say that it does not hand on a mask."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*was given an input with a mask")
        yield


def _masks_of(structure):
    return tree.map_structure(lambda x: getattr(x, "_keras_mask", None), structure)


def _is_single(layer):
    return len(list(layer._flatten_layers())) == 1


def _with_mask(x, shape, generator):
    if not isinstance(x, torch.Tensor) or x.dim() < 2:
        return x
    mask = torch.rand(shape or x.shape[:-1], generator=generator) > 0.4
    mask.flatten()[0] = False
    mask.flatten()[-1] = True
    x = x.clone()
    x._keras_mask = mask
    return x


def check_gradients(subject):
    """A gradient, finite and not zero, reaches every trainable weight and every float input."""
    layer = subject.layer
    for training in (False, True) if subject.varies else (False,):
        layer.zero_grad()
        args, kwargs = tree.map_structure(
            lambda x: (
                x.clone().requires_grad_()
                if isinstance(x, torch.Tensor) and x.is_floating_point()
                else x
            ),
            subject.data,
        )
        if training:
            kwargs = {**kwargs, "training": True}
        with kept_state(layer):
            outputs = tensors_of(layer(*args, **kwargs))
            outputs = [y for y in outputs if y.is_floating_point()]
            if not any(y.requires_grad for y in outputs):
                assert not layer.trainable_weights
                return
            generator = torch.Generator().manual_seed(1)
            loss = sum((y * torch.randn(y.shape, generator=generator).to(y)).sum() for y in outputs)
            (loss + sum(layer.losses)).backward()
        leaves = [(w.path, w.grad) for w in layer.trainable_weights]
        leaves += [("input", x.grad) for x in tensors_of((args, kwargs)) if x.requires_grad]
        for name, grad in leaves:
            assert grad is not None, f"no gradient in {name}"
            assert torch.isfinite(grad).all(), f"the gradient in {name} is not finite"
            assert grad.abs().sum() > 0, f"the gradient in {name} is zero"
    layer.zero_grad()


def check_functional_call(subject):
    """`torch.func.functional_call` computes with the tensors it is given, and changes nothing."""
    layer = subject.layer
    before = _values(layer.variables)
    tensors = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    state = {
        key: tensor.detach() * 2 + 0.25 if tensor.is_floating_point() else tensor.clone()
        for key, tensor in tensors.items()
    }
    other = copy.deepcopy(layer)
    with torch.no_grad():
        for name, tensor in [*other.named_parameters(), *other.named_buffers()]:
            tensor.copy_(state[name])
    called = torch.func.functional_call(layer, state, subject.args, subject.kwargs)
    assert_same(before, layer.variables, "functional_call changed")
    assert_close(called, subject.call(other))
    assert_close(subject.call(layer), subject.outputs)


def check_random(subject):
    """In training a draw follows `torch.manual_seed`, or the layer's own seed."""
    if not seed_states(subject.layer):
        return
    init_kwargs, config = subject.init_kwargs(), subject.layer.get_config()
    for seed in (None, 3):
        if "seed" in init_kwargs or seed is not None and "seed" not in config:
            continue
        runs = []
        for _ in range(2):
            torch.manual_seed(1)
            layer = subject.make() if seed is None else subject.make(seed=seed)
            kwargs = {**subject.kwargs, "training": True}
            runs.append([layer(*subject.args, **kwargs) for _ in range(2)])
        assert_close(runs[0], runs[1])
        first, second = (torch.cat([y.flatten() for y in tensors_of(run)]) for run in runs[0])
        assert not torch.equal(first, second), "two draws are the same"


def check_sequential(subject):
    """torch's own container takes the layer."""
    sequential = torch.nn.Sequential(subject.layer).eval()
    with kept_state(sequential):
        assert_close(sequential(*subject.args), subject.outputs)
    assert set(sequential.state_dict()) == {f"0.{key}" for key in subject.layer.state_dict()}


def check_mixed_precision(subject):
    """Under `mixed_bfloat16` floats come out as bfloat16, from weights that stay float32."""
    default = dtype_policy.dtype_policy()
    dtype_policy.set_dtype_policy("mixed_bfloat16")  # for the layers among the arguments
    try:
        layer = subject.make(dtype="mixed_bfloat16")
    finally:
        dtype_policy.set_dtype_policy(default)
    outputs = layer(*subject.args, **subject.kwargs)
    for y in tensors_of(outputs):
        assert not y.is_floating_point() or y.dtype is torch.bfloat16
    for weight in layer.weights:
        assert weight.value.dtype is not torch.bfloat16
    for p in layer.parameters():
        assert p.dtype is torch.float32
    if any(y.requires_grad for y in tensors_of(outputs)):
        sum(y.float().sum() for y in tensors_of(outputs)).backward()
        assert all(p.grad.dtype is torch.float32 for p in layer.parameters() if p.requires_grad)


def check_dtype_moves(subject, supports_half):
    """`.to(dtype)` moves weights and computation, there and back."""
    if not _any_float(subject.outputs):
        return
    for dtype in (torch.float64, torch.float16) if supports_half else (torch.float64,):
        moved = copy.deepcopy(subject.layer).to(dtype)
        assert all(p.dtype is dtype for p in moved.parameters())
        assert moved.compute_dtype == standardize_dtype(dtype)
        result = subject.call(moved)
        assert all(y.dtype is dtype for y in tensors_of(result) if y.is_floating_point())
        back = moved.to(torch.float32)
        tolerance = torch.float32 if dtype is torch.float64 else dtype
        assert_close(subject.call(back), subject.outputs, tolerance)


def check_compile(subject):
    """One graph, in inference and, where that is another computation, in training."""
    layer = subject.layer
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with kept_state(layer):
        assert_close(compiled(*subject.args, **subject.kwargs), subject.outputs)
    if subject.varies:
        layer.train()
        with kept_state(layer):
            outputs, state = layer(*subject.args, **subject.kwargs), _values(layer.variables)
        with kept_state(layer):
            result = compiled(*subject.args, **subject.kwargs)
            if not seed_states(layer):
                assert_close(result, outputs)
                assert_close(_values(layer.variables), state)
        layer.eval()
    torch._dynamo.reset()


def check_export(subject):
    """`torch.export` takes the layer."""
    with kept_state(subject.layer):
        program = torch.export.export(subject.layer, subject.args, subject.kwargs, strict=False)
    assert_close(program.module()(*subject.args, **subject.kwargs), subject.outputs)
