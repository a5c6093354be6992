"""Every row and rule of section 1 of the design: a weight is a slot, a Variable a handle on it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import torchkeras as keras
from torchkeras import layers
from torchkeras.core import variable
from torchkeras.core.scopes import autocast_scope


class Scale(layers.Layer):
    """One trainable weight and one that is not."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=input_shape[-1:], initializer="ones")
        self.count = self.add_weight(name="count", shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        return x * self.scale.value


def built(layer=None, features=3):
    layer = layers.Dense(2) if layer is None else layer
    layer.build((None, features))
    return layer


# Creation


def test_value_and_facts_of_a_free_variable():
    v = keras.Variable([1.0, 2.0], name="v")
    assert type(v.value) is nn.Parameter
    assert (v.shape, v.ndim, v.dtype, v.name, v.path) == ((2,), 1, "float32", "v", "v")
    assert v.trainable and v.requires_grad
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])


def test_path_takes_the_open_name_scopes():
    with keras.name_scope("outer"), keras.name_scope("inner"):
        v = keras.Variable(1.0, name="v")
    assert (v.path, v.name) == ("outer/inner/v", "v")


def test_names_count_up():
    assert [keras.Variable(0.0).name for _ in range(3)] == ["variable", "variable_1", "variable_2"]


@pytest.mark.parametrize("name", ["a/b", 3])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="`name` must be a string without '/'.*Received"):
        keras.Variable(1.0, name=name)


@pytest.mark.parametrize("value, dtype", [(1, "int32"), (True, "bool"), (1.5, "float32")])
def test_python_numbers_have_keras_dtypes(value, dtype):
    assert keras.Variable(value).dtype == dtype


def test_integers_and_untrained_ones_are_plain_tensors():
    assert type(keras.Variable(3).value) is torch.Tensor
    assert not keras.Variable(3).trainable
    assert type(keras.Variable(3.0, trainable=False).value) is torch.Tensor


@pytest.mark.parametrize("initializer", ["ones", keras.initializers.Ones(), torch.ones])
def test_initializers_make_the_value(initializer):
    if initializer is torch.ones:
        initializer = lambda shape, dtype: torch.ones(shape)  # noqa: E731
    v = keras.Variable(initializer, shape=(2, 3), dtype="float64")
    assert torch.equal(v.value, torch.ones(2, 3, dtype=torch.float64))


def test_the_name_of_an_initializer_makes_the_value(monkeypatch):
    v = keras.Variable("ones", shape=(2,), dtype="float16")
    assert v.numpy().tolist() == [1.0, 1.0] and v.dtype == "float16"
    assert isinstance(v.initializer, keras.initializers.Ones)
    monkeypatch.setattr(variable, "_find_initializer", None)  # as before the import
    with pytest.raises(RuntimeError, match="imported.*Received: initializer='ones'.*Import torchk"):
        keras.Variable("ones", shape=(2,))


def test_an_initializer_needs_a_shape():
    with pytest.raises(ValueError, match="needs its shape.*Received.*shape=None.*Pass shape"):
        keras.Variable(keras.initializers.Ones())


def test_a_value_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\). Received: a value of shape \(2,\)"):
        keras.Variable([1.0, 2.0], shape=(3,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(2),
        lambda: nn.Parameter(torch.ones(2)),
        lambda: np.ones(2, "float32"),
        lambda: keras.Variable([1.0, 1.0]),
    ],
    ids=["tensor", "parameter", "array", "variable"],
)
def test_the_value_shares_no_memory_with_what_it_was_made_from(make):
    source = make()
    v = keras.Variable(source)
    v.assign([5.0, 6.0])
    np.testing.assert_array_equal(np.asarray(keras.ops.convert_to_numpy(source)), [1.0, 1.0])


def test_a_weight_made_in_inference_mode_can_be_trained():
    layer = layers.Dense(2)
    with torch.inference_mode():
        layer(torch.ones(1, 3))
    assert not layer.kernel.value.is_inference()
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.kernel.grad is not None


def test_a_weight_made_in_no_grad_requires_grad():
    with torch.no_grad():
        assert keras.Variable(1.0).value.requires_grad


# The rows of the table


def test_torch_sees_a_plain_module_of_plain_parameters():
    model = nn.Sequential()
    model.dense = built()
    model.scale = built(Scale())
    assert list(model.state_dict()) == ["dense.kernel", "dense.bias", "scale.scale", "scale.count"]
    assert [n for n, _ in model.named_parameters()] == ["dense.kernel", "dense.bias", "scale.scale"]
    assert [n for n, _ in model.named_buffers()] == ["scale.count"]
    assert all(type(p) is nn.Parameter for p in model.parameters())
    assert dict(model.named_parameters())["dense.kernel"] is model.dense.kernel.value


def test_torch_optim_trains_the_slot():
    layer = built()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    before = layer.kernel.numpy().copy()
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(layer.kernel.numpy(), before - 0.5, rtol=1e-6)


def test_to_moves_what_the_handle_shows():
    layer = built(Scale())
    layer.to(torch.float64)
    assert layer.scale.dtype == layer.count.dtype == "float64"
    assert layer.dtype == "float64"
    assert layer(torch.ones(2, 3)).dtype is torch.float64
    layer.to("meta")
    assert layer.scale.device.type == "meta"
    assert layer.scale.value is layer._parameters["scale"]


@pytest.mark.parametrize("assign", [False, True])
def test_load_state_dict(assign):
    layer = built(Scale())
    state = {"scale": torch.full((3,), 4.0), "count": torch.tensor(7.0)}
    layer.load_state_dict(state, assign=assign)
    assert torch.equal(layer.scale.value, state["scale"])
    assert float(layer.count) == 7.0
    assert isinstance(layer.scale.value, nn.Parameter)
    torch.testing.assert_close(layer(torch.ones(1, 3)), torch.full((1, 3), 4.0))


def test_grad_is_that_of_the_parameter():
    layer = built()
    assert layer.kernel.grad is None
    layer(torch.ones(4, 3)).sum().backward()
    assert torch.equal(layer.kernel.value.grad, torch.full((3, 2), 4.0))
    assert layer.kernel.grad is layer.kernel.value.grad
    layer.kernel.grad = None
    assert layer._parameters["kernel"].grad is None


def test_functional_call_reads_the_swapped_tensors_and_changes_nothing():
    layer = built()
    before = layer.kernel.numpy().copy()
    given = {"kernel": torch.ones(3, 2), "bias": torch.tensor([1.0, 2.0])}
    y = torch.func.functional_call(layer, given, (torch.ones(1, 3),))
    assert y.tolist() == [[4.0, 5.0]]
    np.testing.assert_array_equal(layer.kernel.numpy(), before)
    gradients = torch.func.grad(
        lambda state: torch.func.functional_call(layer, state, (torch.ones(1, 3),)).sum()
    )(given)
    assert torch.equal(gradients["kernel"], torch.ones(3, 2))


@pytest.mark.parametrize("strict", [True, False])
def test_export(strict):
    model = keras.Sequential([layers.Dense(2), Scale()])
    x = torch.ones(4, 3)
    y = model(x)
    exported = torch.export.export(model, (x,), strict=strict)
    torch.testing.assert_close(exported.module()(x), y)
    assert set(exported.state_dict) == set(model.state_dict())


@pytest.fixture
def process_group(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_distributed_data_parallel(process_group):
    layer = built(Scale())
    parallel = nn.parallel.DistributedDataParallel(layer)
    parallel(torch.full((2, 3), 2.0)).sum().backward()
    assert layer.scale.grad.tolist() == [4.0, 4.0, 4.0]


def test_fully_sharded(process_group):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    layer = built(Scale())
    fully_shard(layer, mesh=init_device_mesh("cpu", (1,)))
    assert isinstance(layer.scale, DTensor)  # as itself: FSDP reads the attribute again
    assert isinstance(layer.trainable_variables[0].value, DTensor)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    assert layer._parameters["scale"].full_tensor().tolist() == [-1.0, -1.0, -1.0]
    assert [v.path for v in layer.weights] == ["scale/scale", "scale/count"]


def test_stateless_call_reads_given_values_and_returns_new_ones():
    class Count(Scale):
        def call(self, x):
            self.count.assign_add(1)
            return x * self.scale.value

    layer = built(Count())
    y, state = layer.stateless_call([torch.full((3,), 2.0)], [torch.tensor(5.0)], torch.ones(1, 3))
    assert y.tolist() == [[2.0, 2.0, 2.0]]
    assert [float(s) for s in state] == [6.0]
    assert layer.scale.numpy().tolist() == [1.0, 1.0, 1.0] and float(layer.count) == 0.0


def test_stateless_scope_rebinds_and_restores():
    v = keras.Variable(1.0)
    parameter, given = v.value, torch.tensor(5.0)
    with keras.StatelessScope([(v, given)]) as scope:
        assert v.value is given
        v.assign_add(1.0)
        v.assign_sub(3.0)
        assert float(v.value) == 3.0
    assert v.value is parameter and float(v) == 1.0 and float(given) == 5.0
    assert float(scope.get_current_value(v)) == 3.0


def test_mixed_precision_reads_in_the_compute_dtype():
    v, whole = keras.Variable(1.0), keras.Variable(1.0, autocast=False)
    count = keras.Variable(1)
    with autocast_scope(torch.bfloat16):
        assert (v.dtype, whole.dtype, count.dtype) == ("bfloat16", "float32", "int32")
        assert v.value.dtype is torch.bfloat16
        assert v._store[v._key].dtype is torch.float32
    assert v.dtype == "float32"
    (autocast_read := v).value.sum().backward()
    assert autocast_read.grad.dtype is torch.float32


def test_weights_of_a_plain_torch_module_are_handles_on_its_own_slots():
    class Wraps(layers.Layer):
        def __init__(self):
            super().__init__(name="wraps")
            self.inner = nn.Linear(3, 2)

        def call(self, x):
            return self.inner(x)

    layer = Wraps()
    layer(torch.ones(1, 3))
    assert [v.path for v in layer.weights] == ["wraps/inner/weight", "wraps/inner/bias"]
    layer.weights[1].assign([7.0, 8.0])
    assert layer.inner.bias.tolist() == [7.0, 8.0]
    assert layer.weights[0] is layer.weights[0]  # one handle a slot
    layer.inner.weight = nn.Parameter(torch.zeros(2, 3))
    assert layer.weights[0].numpy().sum() == 0
    layer.trainable = False
    assert not layer.inner.weight.requires_grad
    assert layer.trainable_weights == []


def test_paths_of_foreign_weights_do_not_depend_on_who_asked_first():
    layer = layers.TorchModuleWrapper(nn.Linear(2, 2), name="w")
    layer.trainable = False
    assert [v.path for v in layer.weights] == ["w/module/weight", "w/module/bias"]


def test_a_free_variable_owns_a_private_slot():
    v = keras.Variable(1.0)
    assert list(v._store) == ["value"] and v._parameters is None


# Assigning


def test_assign_writes_into_the_same_tensor_and_keeps_grad():
    v = keras.Variable([1.0, 2.0])
    tensor, v.grad = v.value, torch.ones(2)
    result = v.assign(np.array([3, 4]))
    assert v.value is tensor and result.tolist() == [3.0, 4.0]
    assert v.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "method, operand, expected",
    [
        ("assign", 5, [5.0]),
        ("assign_add", 2.0, [3.0]),
        ("assign_sub", torch.tensor([2.0]), [-1.0]),
        ("assign_add", np.array([2], "int64"), [3.0]),
    ],
)
def test_assign_add_and_sub(method, operand, expected):
    v = keras.Variable([1.0])
    operand = [operand] if method == "assign" else operand
    getattr(v, method)(operand)
    assert v.numpy().tolist() == expected


@pytest.mark.parametrize("value", [3, 3.7, True, torch.tensor(3.7), np.float64(3.7)])
def test_assign_converts_to_the_dtype_of_the_variable(value):
    v = keras.Variable(0)
    v.assign(value)
    assert v.dtype == "int32" and int(v) == int(value)


def test_assign_add_of_a_float_to_an_integer_variable():
    v = keras.Variable(1)
    v.assign_add(2.0)
    assert int(v) == 3


@pytest.mark.parametrize("method", ["assign", "assign_add", "assign_sub"])
def test_assign_refuses_another_shape_and_writes_nothing(method):
    v = keras.Variable([1.0, 2.0], name="v")
    with pytest.raises(ValueError, match=r"Variable 'v' expects.*\(2,\).*Received.*\(1,\)"):
        getattr(v, method)([1.0])
    assert v.numpy().tolist() == [1.0, 2.0]


def test_assign_of_a_tensor_with_history_records_nothing():
    v, x = keras.Variable(1.0), torch.tensor(2.0, requires_grad=True)
    v.assign(x * 3)
    assert float(v) == 6.0 and v.value.is_leaf and v.value.grad_fn is None
    v.value.backward()
    assert x.grad is None


def test_assign_another_variable():
    v, w = keras.Variable([1.0]), keras.Variable([2.0])
    v.assign(w)
    w.assign([3.0])
    assert v.numpy().tolist() == [2.0]


# Standing in for the tensor


def test_attributes_it_does_not_define_are_the_tensors():
    v = keras.Variable([1.0, 3.0])
    assert v.mean() == 2.0 and v.device.type == "cpu" and v.is_leaf
    with torch.no_grad():
        v.copy_(torch.zeros(2))
        v.data += 1
    assert v.numpy().tolist() == [1.0, 1.0]
    v.requires_grad = False
    assert not v.value.requires_grad and not v.trainable
    with pytest.raises(AttributeError):
        v.no_such_attribute  # noqa: B018


OPERATIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "truediv": lambda a, b: a / b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "pow": lambda a, b: a**b,
    "matmul": lambda a, b: a @ b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operators_with_variables_tensors_and_arrays(name):
    operation = OPERATIONS[name]
    a, b = torch.tensor([2.0, 3.0]), torch.tensor([4.0, 2.0])
    v, w = keras.Variable(a), keras.Variable(b)
    expected = operation(a, b)
    for left, right in [(v, w), (v, b), (a, w), (v, b.numpy()), (a.numpy(), w)]:
        result = operation(left, right)
        assert isinstance(result, torch.Tensor)
        assert torch.equal(result.detach(), expected)


def test_arithmetic_with_an_array_keeps_the_gradient():
    v = keras.Variable([2.0, 3.0])
    array = np.array([5.0, 7.0], "float32")
    (v * array).sum().backward()
    (array * v).sum().backward()
    assert v.grad.tolist() == [10.0, 14.0]


def test_reflected_operators_with_numbers():
    v = keras.Variable(4.0, trainable=False)
    assert [float(1 + v), float(1 - v), float(2 * v), float(8 / v)] == [5.0, -3.0, 8.0, 2.0]
    assert [float(9 // v), float(9 % v), float(2**v)] == [2.0, 1.0, 16.0]
    assert [float(-v), float(+v), float(abs(-v))] == [-4.0, 4.0, 4.0]


def test_logical_operators():
    v = keras.Variable([True, False])
    other = torch.tensor([True, True])
    assert (v & other).tolist() == [True, False]
    assert (v | other).tolist() == [True, True]
    assert (v ^ other).tolist() == [False, True]
    assert (~v).tolist() == [False, True]


def test_arithmetic_with_a_symbol_is_recorded():
    v, x = keras.Variable([1.0, 2.0, 3.0]), keras.Input((3,))
    data = torch.tensor([[4.0, 4.0, 4.0]])
    for result, expected in [
        (v - x, [[-3.0, -2.0, -1.0]]),
        (x - v, [[3.0, 2.0, 1.0]]),
        (v < x, [[True, True, True]]),
    ]:
        assert isinstance(result, keras.KerasTensor) and result.shape == (None, 3)
        assert keras.Model(x, result)(data).tolist() == expected


def test_torch_and_keras_functions_and_modules_take_a_variable():
    v = keras.Variable([[1.0, 2.0]])
    assert torch.sum(v) == 3.0
    assert torch.cat([v, v]).shape == (2, 2)
    assert torch.nn.functional.linear(torch.ones(1, 2), v).item() == 3.0
    assert keras.ops.sum(v) == 3.0
    torch.sum(v * 2).backward()
    assert v.grad.tolist() == [[2.0, 2.0]]


def test_numpy_takes_a_variable():
    v = keras.Variable([1.0, 2.0])
    assert np.asarray(v).dtype == np.float32
    assert np.asarray(v, dtype="float64").dtype == np.float64
    np.testing.assert_allclose(np.sqrt(v), np.sqrt([1.0, 2.0]), rtol=1e-6)


def test_indexing_iteration_and_length():
    v, index = keras.Variable([1.0, 2.0, 3.0], trainable=False), keras.Variable(1)
    assert v[1:].tolist() == [2.0, 3.0] and v[index] == 2.0
    assert len(v) == 3 and [float(x) for x in v] == [1.0, 2.0, 3.0]
    assert [10, 20][index] == 20


def test_scalars_become_python_numbers():
    v = keras.Variable(2.5)
    assert (float(v), int(v), bool(v), f"{v:.2f}") == (2.5, 2, True, "2.50")
    with pytest.raises(TypeError, match=r"shape \(\) can be made a Python float.*'w'.*\(2,\)"):
        float(keras.Variable([1.0, 2.0], name="w"))


def test_it_is_hashed_by_identity():
    v, w = keras.Variable(1.0), keras.Variable(1.0)
    assert len({v, w, v}) == 2


def test_repr_shows_path_shape_dtype_and_value():
    assert repr(keras.Variable([1.0], name="v")) == (
        "<Variable path=v, shape=(1,), dtype=float32, value=[1.]>"
    )
    layer = built(Scale())
    layer.to("meta")  # no value to show
    assert repr(layer.scale) == "<Variable path=scale/scale, shape=(3,), dtype=float32>"


# Trainable


def test_freezing_a_parameter_clears_requires_grad_in_place():
    layer = built()
    parameter = layer.kernel.value
    layer.kernel.trainable = False
    assert layer.kernel.value is parameter and not parameter.requires_grad
    assert [v.name for v in layer.trainable_variables] == ["bias"]
    assert [v.name for v in layer.weights] == ["kernel", "bias"]
    layer.kernel.trainable = True
    assert parameter.requires_grad and len(layer.trainable_variables) == 2


def test_requires_grad_cleared_by_torch_shows_in_trainable():
    layer = built()
    layer.kernel.value.requires_grad_(False)
    assert not layer.kernel.trainable


def test_a_buffer_made_trainable_moves_to_the_parameters():
    layer = built(Scale())
    layer.count.trainable = True
    assert list(layer._parameters) == ["scale", "count"] and not layer._buffers
    assert isinstance(layer.count.value, nn.Parameter)
    assert layer.count in set(layer.trainable_variables)
    layer.count.trainable = False
    assert list(layer._parameters) == ["scale", "count"]


def test_a_free_variable_can_be_made_trainable():
    v = keras.Variable(1.0, trainable=False)
    v.trainable = True
    (v * 2).backward()
    assert v.grad == 2.0


def test_integers_cannot_be_trained():
    v = keras.Variable(1, name="n")
    with pytest.raises(ValueError, match="Only float variables.*Received.*'n' of dtype int32"):
        v.trainable = True


# Copies


def test_deepcopy_and_pickle_of_a_free_variable():
    v = keras.Variable("ones", shape=(2,), name="v")
    v.constraint = keras.constraints.NonNeg()
    for other in (copy.deepcopy(v), pickle.loads(pickle.dumps(v))):
        other.assign([5.0, 5.0])
        assert v.numpy().tolist() == [1.0, 1.0]
        assert other.path == "v" and isinstance(other.value, nn.Parameter)
        assert isinstance(other.constraint, keras.constraints.NonNeg)


def test_deepcopy_of_a_layers_handle_is_independent():
    layer = built()
    other = copy.deepcopy(layer.kernel)
    other.assign(torch.zeros(3, 2))
    assert layer.kernel.numpy().any()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_layer_has_handles_on_its_own_slots(duplicate):
    layer = built()
    other = duplicate(layer)
    assert other.kernel is not layer.kernel
    assert other.kernel.value is other._parameters["kernel"]
    other.kernel.assign(torch.zeros(3, 2))
    assert layer.kernel.numpy().any()
    assert [v.path for v in other.weights] == [v.path for v in layer.weights]


def test_a_variable_made_by_a_lambda_can_be_pickled():
    v = keras.Variable(lambda shape, dtype: torch.ones(shape), shape=(2,))
    assert pickle.loads(pickle.dumps(v)).numpy().tolist() == [1.0, 1.0]


def test_tied_weights_stay_tied_in_a_copy():
    class Tied(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = built(), built()
            self.second.kernel = self.first.kernel

    layer = copy.deepcopy(Tied())
    assert layer.second.kernel is layer.first.kernel
    layer.first.kernel.assign(torch.zeros(3, 2))
    assert not layer.second.kernel.numpy().any()
    assert len(layer.weights) == 3


def test_numpy_is_a_copy_that_training_does_not_reach():
    v = keras.Variable([1.0, 2.0])
    kept, converted = v.numpy(), np.asarray(v)
    v.assign_add([1.0, 1.0])
    assert kept.tolist() == converted.tolist() == [1.0, 2.0]


def test_get_weights_can_be_set_back_after_training():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    before = layer.get_weights()
    layer.kernel.assign_add(torch.ones(2, 1))
    layer.set_weights(before)
    assert np.array_equal(layer.get_weights()[0], before[0])
    assert not np.array_equal(before[0], before[0] + 1)
