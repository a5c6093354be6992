import pytest
import torch

from torchkeras.callbacks import Callback, CallbackList, History, LambdaCallback, ProgbarLogger

MODES = ("train", "test", "predict")
BATCH_HOOKS = [f"on_{mode}_batch_{when}" for mode in MODES for when in ("begin", "end")]
OTHER_HOOKS = [f"on_{mode}_{when}" for mode in MODES for when in ("begin", "end")]


class Recorder(Callback):
    def __init__(self):
        super().__init__()
        self.calls = []


def wants(hooks):
    return {hook for hook in BATCH_HOOKS if getattr(hooks, hook.replace("on_", "wants_"))}


def recording(hook):
    """A callback that defines one hook and records the logs it gets."""
    calls = []

    def method(self, *args, **kwargs):
        calls.append((args, kwargs))

    return type("One", (Callback,), {hook: method})(), calls


@pytest.mark.parametrize("hook", BATCH_HOOKS)
def test_only_the_defined_batch_hook_is_wanted_and_called(hook):
    callback, calls = recording(hook)
    hooks = CallbackList([callback])
    assert wants(hooks) == {hook}
    for name in BATCH_HOOKS:
        getattr(hooks, name)(2, {"loss": torch.tensor(0.5)})
    assert calls == [((2,), {"logs": {"loss": 0.5}})]


@pytest.mark.parametrize("when", ["begin", "end"])
def test_older_batch_hook_counts_as_train_batch_hook(when):
    callback, calls = recording(f"on_batch_{when}")
    hooks = CallbackList([callback])
    assert wants(hooks) == {f"on_train_batch_{when}"}
    getattr(hooks, f"on_train_batch_{when}")(0)
    getattr(hooks, f"on_batch_{when}")(1)
    assert [args for args, _ in calls] == [(0,), (1,)]


def test_train_batch_hook_that_calls_super_reaches_the_older_one_once():
    calls = []

    class Both(Callback):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)

        def on_batch_end(self, batch, logs=None):
            calls.append(batch)

    CallbackList([Both()]).on_train_batch_end(4, {})
    assert calls == [4]


def test_inherited_hooks_count():
    callback, calls = recording("on_test_batch_end")
    hooks = CallbackList([type("Child", (type(callback),), {})()])
    assert wants(hooks) == {"on_test_batch_end"}


def test_hooks_on_the_instance_count():
    calls = []
    function = LambdaCallback(on_train_batch_end=lambda batch, logs: calls.append(logs["loss"]))
    plain = Callback()
    plain.on_predict_batch_begin = lambda batch, logs: calls.append(batch)
    hooks = CallbackList([function, plain])
    assert wants(hooks) == {"on_train_batch_end", "on_predict_batch_begin"}
    hooks.on_train_batch_end(0, {"loss": torch.tensor(2.0)})
    hooks.on_predict_batch_begin(7)
    assert calls == [2.0, 7]


def test_hooks_set_at_the_start_of_training_count():
    class Late(Callback):
        def on_train_begin(self, logs=None):
            self.on_train_batch_end = lambda batch, logs: None

    hooks = CallbackList([Late()])
    assert wants(hooks) == set()
    hooks.on_train_begin()
    assert wants(hooks) == {"on_train_batch_end"}


@pytest.mark.parametrize("hook", OTHER_HOOKS)
def test_begin_and_end_hooks_get_floats(hook):
    callback, calls = recording(hook)
    getattr(CallbackList([callback]), hook)({"loss": torch.tensor(0.5)})
    assert calls == [(({"loss": 0.5},), {})]


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end"])
def test_epoch_hooks_get_the_epoch_and_floats(hook):
    callback, calls = recording(hook)
    getattr(CallbackList([callback]), hook)(3, lambda: {"loss": torch.tensor(0.5)})
    assert calls == [((3, {"loss": 0.5}), {})]


def test_missing_logs_are_an_empty_dict():
    callback, calls = recording("on_epoch_begin")
    CallbackList([callback]).on_epoch_begin(0)
    assert calls == [((0, {}), {})]


def test_callbacks_share_one_dict_of_logs():
    class Adds(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["learning_rate"] = 0.1

    history = History()
    CallbackList([Adds(), history]).on_epoch_end(0, {"loss": 1.0})
    assert history.history == {"loss": [1.0], "learning_rate": [0.1]}


class OnDevice(Callback):
    _supports_device_logs = True

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(logs)


def test_logs_are_not_built_for_callbacks_that_read_the_device_themselves():
    callback = OnDevice()

    def logs():
        raise AssertionError("built")

    hooks = CallbackList([callback])
    hooks.on_train_batch_end(0, logs)
    assert callback.seen == [logs]


def test_one_ordinary_callback_has_the_logs_read_for_all():
    on_device, ordinary = OnDevice(), recording("on_train_batch_end")
    built = []
    hooks = CallbackList([on_device, ordinary[0]])
    hooks.on_train_batch_end(0, lambda: built.append(1) or {"loss": torch.tensor(0.5)})
    assert on_device.seen == [{"loss": 0.5}] and ordinary[1][0][1] == {"logs": {"loss": 0.5}}
    assert built == [1]


def test_progress_is_of_no_interest_to_other_processes():
    hooks = CallbackList(add_history=True, add_progbar=True)
    assert hooks.batch_interest("on_train_batch_end") == (False, False)
    assert wants(hooks) >= {"on_train_batch_end"}


class AllRows(OnDevice):
    _needs_all_rows = True


class Begins(Callback):
    def on_train_batch_begin(self, batch, logs=None):
        pass


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("make", "interest"),
    [
        (OnDevice, (True, False)),
        (AllRows, (True, True)),
        (Begins, (True, False)),
        (lambda: recording("on_train_batch_end")[0], (True, True)),
        (lambda: recording("on_test_batch_end")[0], (False, False)),
        (ProgbarLogger, (False, False)),
    ],
)
def test_what_callbacks_want_of_batches(make, interest, nested):
    callbacks = CallbackList([make()]) if nested else [make()]
    found = CallbackList([callbacks], add_progbar=True).batch_interest("on_train_batch_end")
    assert found == interest


def test_history_alone_wants_no_batch_hooks():
    assert wants(CallbackList(add_history=True)) == set()


def test_default_callbacks_are_added_once():
    hooks = CallbackList(add_history=True, add_progbar=True)
    assert [type(c) for c in hooks.callbacks] == [History, ProgbarLogger]
    again = CallbackList(hooks.callbacks, add_history=True, add_progbar=True)
    assert again.callbacks == hooks.callbacks


def test_nested_and_single_callbacks():
    a, b, c = Callback(), Callback(), Callback()
    assert CallbackList([a, (b, [c])]).callbacks == [a, b, c]
    assert CallbackList(a).callbacks == [a]


def test_list_in_a_list_keeps_lazy_logs():
    on_device = OnDevice()
    hooks = CallbackList([CallbackList([on_device])])
    assert wants(hooks) == {"on_train_batch_end"}
    marker = {"loss": torch.tensor(1.0)}
    hooks.on_train_batch_end(0, marker)
    assert on_device.seen == [marker] and on_device.seen[0] is marker


def test_model_and_params_reach_every_callback():
    callback, model = Callback(), torch.nn.Sequential()  # empty, so false
    hooks = CallbackList([callback], add_history=True, model=model, epochs=2, steps=5)
    assert callback.model is model and hooks.model is model
    assert callback.params == hooks.params == {"epochs": 2, "steps": 5}
    assert model.history is hooks.callbacks[1]


def test_class_instead_of_instance_is_an_error():
    with pytest.raises(TypeError, match=r"the class History\. Call it: History\("):
        CallbackList([History])


def test_function_instead_of_callback_is_an_error():
    with pytest.raises(TypeError, match="LambdaCallback"):
        CallbackList([print])


def test_duck_typed_callback_needs_only_some_hooks():
    class Duck:
        def __init__(self):
            self.calls = []

        def on_epoch_end(self, epoch, logs):
            self.calls.append(logs)

    duck = Duck()
    hooks = CallbackList([duck])
    assert wants(hooks) == set()
    hooks.on_train_batch_end(0)
    hooks.on_epoch_end(0, {"loss": 1})
    assert duck.calls == [{"loss": 1.0}]
