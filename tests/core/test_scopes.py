"""The flags of a thread, and StatelessScope."""

import threading

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras.core.scopes import SCOPE, autocast_scope, meta_scope, spec_scope


def state():
    return SCOPE.read, SCOPE.autocast, SCOPE.stateless, SCOPE.meta, SCOPE.fast_token


def test_scopes_nest_and_restore_even_after_errors():
    before = state()
    with pytest.raises(ZeroDivisionError):
        with autocast_scope(torch.float16), meta_scope(), keras.StatelessScope():
            with autocast_scope(None):
                assert SCOPE.autocast is None and SCOPE.meta
            assert SCOPE.autocast is torch.float16
            1 / 0  # noqa: B018
    assert state() == before


def test_autocast_scope_changes_the_token():
    outside = SCOPE.fast_token
    with autocast_scope(torch.float16):
        inside = SCOPE.fast_token
        assert inside is SCOPE.token(torch.float16) is not outside
    with autocast_scope(torch.float16):
        assert SCOPE.fast_token is inside
    assert SCOPE.fast_token is outside is SCOPE.token(None)


def test_renewed_tokens_stay_renewed_when_a_scope_ends():
    before, tokens = SCOPE.fast_token, SCOPE.tokens
    with autocast_scope(torch.float16):
        SCOPE.renew_tokens()
    assert SCOPE.fast_token is SCOPE.token(None) is not before
    assert SCOPE.tokens is not tokens


def test_weights_are_read_on_meta_and_not_written():
    v = keras.Variable([1.0, 2.0])
    with meta_scope():
        assert v.value.device.type == "meta" and v.dtype == "float32"
        v.assign([3.0, 4.0])
        v.assign_add([1.0, 1.0])
        with autocast_scope(torch.float16):
            assert v.value.dtype is torch.float16 and v.value.device.type == "meta"
        with meta_scope(False):
            assert v.value.device.type == "cpu"
    assert v.numpy().tolist() == [1.0, 2.0]


def test_a_variable_made_on_meta_is_real():
    with meta_scope():
        v = keras.Variable("ones", shape=(2,))
    assert v.numpy().tolist() == [1.0, 1.0]


def test_each_thread_has_its_own_flags():
    seen = []

    def run():
        seen.append(state())
        SCOPE.depth = 7

    with autocast_scope(torch.float16), meta_scope(), keras.StatelessScope():
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(10)
    assert seen == [(None, None, None, False, SCOPE.token(None))] and SCOPE.depth == 0


def test_stateless_scopes_nest():
    v = keras.Variable(1.0, trainable=False)
    with keras.StatelessScope([(v, torch.tensor(2.0))]) as outer:
        with keras.StatelessScope([(v, torch.tensor(5.0))]) as inner:
            v.assign_add(1.0)
        assert float(v.value) == 2.0 and float(inner.get_current_value(v)) == 6.0
        v.assign_add(10.0)
        assert SCOPE.stateless is outer
    assert float(v.value) == 1.0 and float(outer.get_current_value(v)) == 12.0


def test_untouched_variables_have_no_value_in_the_scope():
    with keras.StatelessScope() as scope:
        v = keras.Variable(1.0)
        assert scope.get_current_value(v) is None
    assert scope.get_current_value(v) is None and float(v) == 1.0


def test_a_stateless_scope_with_a_wrong_value_changes_nothing():
    v, w = keras.Variable(1.0), keras.Variable([1.0, 2.0])
    with pytest.raises(ValueError, match=r"expects a value of shape \(2,\)"):
        with keras.StatelessScope([(v, torch.tensor(5.0)), (w, torch.ones(3))]):
            pass
    assert float(v) == 1.0 and SCOPE.stateless is None


def test_values_are_converted_for_the_variable():
    v = keras.Variable(1.0)
    with keras.StatelessScope([(v, 3)]):
        assert v.value.dtype is torch.float32 and float(v.value) == 3.0


def test_gradients_flow_to_the_given_values():
    v, given = keras.Variable(1.0), torch.tensor(3.0, requires_grad=True)
    with keras.StatelessScope([(v, given)]) as scope:
        v.assign(v * v)
    scope.get_current_value(v).backward()
    assert given.grad == 6.0


@pytest.mark.parametrize("collects, expected", [(True, 1), (False, 0)])
def test_losses_are_collected_on_demand(collects, expected):
    layer = keras.layers.Layer()
    with keras.StatelessScope(collect_losses=collects) as scope:
        layer.add_loss(torch.tensor(1.0))
        assert len(layer.losses) == expected
    assert len(scope.losses) == expected and layer.losses == []


def test_spec_scope_records_nothing():
    x = keras.Input((4,), name="x")
    names = [keras.layers.Dense(1).name, keras.KerasTensor((1,)).name]
    with spec_scope():
        assert SCOPE.spec and SCOPE.meta
        y = keras.ops.relu(x + 1)[:, :2]
        z = torch.relu(y).mean(dim=1)
        wide = torch.nn.functional.linear(x, torch.nn.Parameter(torch.ones(3, 4)))
        mixed = torch.cat([x, torch.ones(7, 2)], 1)
        by_variable = torch.matmul(x, keras.Variable(torch.ones(4, 5)))
    assert not SCOPE.spec and not SCOPE.meta
    assert (y.shape, z.shape, wide.shape) == ((None, 2), (None,), (None, 3))
    assert (mixed.shape, by_variable.shape) == ((7, 6), (None, 5))
    assert x._keras_history.operation._outbound_nodes == []
    assert not hasattr(y, "_keras_history") and not hasattr(wide, "_keras_history")
    # No automatic name was used up.
    after = [keras.layers.Dense(1).name, keras.KerasTensor((1,)).name]
    numbers = [int(name.rpartition("_")[2]) if name[-1].isdigit() else 0 for name in names + after]
    assert numbers[2] == numbers[0] + 1 and numbers[3] == numbers[1] + 1
    assert keras.ops.relu(x)._keras_history.operation.name == "relu"


def test_symbols_in_a_spec_scope_answer_like_tensors():
    x = keras.KerasTensor((None, 3), "float16")
    with spec_scope():
        assert x.dtype is torch.float16 and x.dtype in (torch.float16, torch.float32)
        assert x.device.type == "meta" and (x.ndim, x.dim()) == (2, 2)
        assert (x.size(), x.size(0), x.size(-1)) == ((None, 3), None, 3)
        assert x.is_floating_point() is True
        assert keras.ops.cast(x, x.dtype).dtype is torch.float16
        for use in (
            lambda: torch.zeros(x.shape[0]),
            lambda: x.view(x.size(0), -1),
            lambda: range(x.shape[0]),
            lambda: x.shape[0] * 2,
            lambda: x.shape[0] > 1,
            lambda: torch.zeros(x.shape, device=x.device),
        ):
            with pytest.raises(TypeError):
                use()
    assert x.dtype == "float16" and x.size(1) == 3
    with pytest.raises(AttributeError):
        x.device  # noqa: B018


def test_operations_of_ones_own_in_a_spec_scope():
    class Double(keras.Operation):
        def call(self, x):
            return 2 * x

    operation, x = Double(), keras.Input((3,))
    with spec_scope():
        assert operation(x).shape == (None, 3)
    assert operation._inbound_nodes == []


def test_an_error_ends_a_spec_scope():
    with pytest.raises(ZeroDivisionError):
        with spec_scope():
            1 / 0  # noqa: B018
    assert not SCOPE.spec and not SCOPE.meta


@pytest.mark.parametrize(
    "mapping, message",
    [
        ([("x", 1.0)], r"must be keras Variables. Received: 'x' of type str"),
        ([(torch.ones(2), torch.ones(2))], "must be keras Variables. Received: .* of type Tensor"),
        ([(keras.Variable([1.0, 2.0]), 1.0)], r"of shape \(2,\).*Received: a value of shape \(\)"),
        ([(keras.Variable([1.0, 2.0]), np.ones(3))], r"Received: a value of shape \(3,\)"),
    ],
)
def test_a_stateless_scope_checks_its_mapping_when_it_is_made(mapping, message):
    with pytest.raises(ValueError, match=message):
        keras.StatelessScope(mapping)


def test_a_stateless_scope_knows_its_values_before_it_is_entered():
    v, w = keras.Variable([1.0, 2.0]), keras.Variable([3.0, 4.0])
    scope = keras.StatelessScope([(v, w)], initialize_variables=False)
    assert scope.get_current_value(v).tolist() == [3.0, 4.0]
    assert scope.get_current_value(w) is None
