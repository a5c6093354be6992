import pytest

from torchkeras.callbacks import Callback, LambdaCallback

HOOKS = [name for name in dir(Callback) if name.startswith("on_")]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_can_be_given(hook):
    calls = []
    callback = LambdaCallback(**{hook: lambda *args, **kwargs: calls.append(args)})
    for name in HOOKS:
        getattr(callback, name)(*((1,) if "epoch" in name or "batch" in name else ()))
    # The newer batch hooks call the older ones.
    assert calls == [(1,)] * len(calls) if "batch" in hook or "epoch" in hook else calls == [()]
    assert calls


def test_none_leaves_the_hook_alone():
    callback = LambdaCallback(on_epoch_end=None, on_test_begin=None)
    assert vars(callback).keys() == {"params", "_model"}


def test_unknown_hook_is_an_error():
    with pytest.raises(ValueError, match="Received: on_epoch_ends"):
        LambdaCallback(on_epoch_ends=print)
