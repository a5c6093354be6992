"""The flags of a thread, and StatelessScope."""

import threading

import pytest
import torch

import torchkeras as keras
from torchkeras.core.scopes import SCOPE, autocast_scope, meta_scope


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
