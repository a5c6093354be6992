import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import metrics
from torchkeras.core.scopes import SCOPE, meta_scope
from torchkeras.distribution.state_reduction import reduce_metrics


class BookRootMeanSquaredError(metrics.Metric):
    """The metric of the book, word for word in what it calls."""

    def __init__(self, name="rmse", **kwargs):
        super().__init__(name=name, **kwargs)
        self.mse_sum = self.add_weight(name="mse_sum", initializer="zeros")
        self.total_samples = self.add_weight(
            name="total_samples", initializer="zeros", dtype="int32"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = keras.ops.one_hot(y_true, num_classes=keras.ops.shape(y_pred)[1])
        mse = keras.ops.sum(keras.ops.square(y_true - y_pred))
        self.mse_sum.assign_add(mse)
        num_samples = keras.ops.shape(y_pred)[0]
        self.total_samples.assign_add(num_samples)

    def result(self):
        return keras.ops.sqrt(self.mse_sum / keras.ops.cast(self.total_samples, "float32"))

    def reset_state(self):
        self.mse_sum.assign(0.0)
        self.total_samples.assign(0)


def test_a_metric_of_the_users():
    metric = BookRootMeanSquaredError()
    y_pred = torch.tensor([[0.0, 1.0], [3.0, 0.0]], requires_grad=True)
    metric.update_state(torch.tensor([1, 0]), y_pred)
    metric.update_state(torch.tensor([1, 1]), y_pred)
    assert float(metric.result()) == pytest.approx(((4.0 + 9.0 + 1.0) / 4) ** 0.5)
    assert [v.path for v in metric.variables] == ["rmse/mse_sum", "rmse/total_samples"]
    assert not metric.mse_sum.value.requires_grad
    metric.reset_state()
    assert float(metric.mse_sum) == 0.0
    assert int(metric.total_samples) == 0


def test_it_is_no_module():
    assert not isinstance(metrics.Mean(), torch.nn.Module)


def test_variables_of_metrics_in_attributes_lists_and_dicts():
    class Many(metrics.Metric):
        def __init__(self):
            super().__init__(name="many")
            self.own = self.add_weight(name="own")
            self.one = metrics.Sum(name="one")
            self.some = [metrics.Sum(name="two")]
            self.named = {"three": (metrics.Sum(name="three"),)}
            self.free = keras.Variable(0.0, trainable=False, name="free")

    metric = Many()
    metric.some.append(metrics.Sum(name="four"))
    metric.again = metric.one
    paths = [v.path for v in metric.variables]
    assert paths == ["many/own", "free", "one/total", "two/total", "four/total", "three/total"]
    metric.one.total.assign(3.0)
    metric.reset_state()
    assert float(metric.one.total) == 0.0


def test_two_metrics_that_know_each_other():
    first, second = metrics.Sum(name="a"), metrics.Sum(name="b")
    first.other, second.other = second, first
    assert [v.path for v in first.variables] == ["a/total", "b/total"]


def test_super_must_come_first():
    class Early(metrics.Metric):
        def __init__(self):
            self.state = self.add_weight(name="state")

    with pytest.raises(RuntimeError, match=r"first call super\(\).__init__\(\)"):
        Early()


@pytest.mark.parametrize("method", ["update_state", "result"])
def test_what_a_subclass_owes(method):
    with pytest.raises(NotImplementedError, match=f"must define `{method}`"):
        getattr(metrics.Metric(), method)()


def test_initializer_shape_and_dtype():
    metric = metrics.Metric(name="some/metric", dtype="float64")
    ones = metric.add_weight(shape=(2, 3), initializer="ones", name="ones")
    assert ones.value.tolist() == [[1.0] * 3] * 2
    assert ones.path == "some>metric/ones"
    assert (metric.dtype, ones.dtype, ones.trainable, ones.autocast) == (
        "float64",
        "float32",
        False,
        False,
    )
    assert metric.add_weight(dtype="int32", name="n").dtype == "int32"


def test_call_updates_and_gives_the_result():
    metric = metrics.Mean()
    assert float(metric(torch.tensor([1.0, 3.0]))) == 2.0
    assert float(metric(torch.tensor([8.0]))) == 4.0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize(
    "metric",
    [
        metrics.Mean(),
        metrics.SparseCategoricalAccuracy(),
        metrics.MeanAbsolutePercentageError(),
        metrics.MeanMetricWrapper(metrics.poisson),
        metrics.AUC(),
    ],
    ids=lambda metric: metric.name,
)
def test_copies_are_equal_and_apart(metric, copied):
    metric.reset_state()
    again = copied(metric)
    values = (torch.rand(4),) if metric.name == "mean" else (torch.ones(4), torch.rand(4, 1))
    if "accuracy" in metric.name:
        values = (torch.zeros(4), torch.rand(4, 3))
    again.update_state(*values)
    assert not any(variable.value.any() for variable in metric.variables)
    metric.update_state(*values)
    torch.testing.assert_close(metric.result(), again.result())


def test_no_graph_is_kept():
    class Token:
        pass

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, token):
            ctx.token = token  # alive as long as the node of the graph
            return x * 2.0

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2.0, None

    x = torch.ones(3, 2, requires_grad=True)
    alive, kept = [], []
    for metric in (
        metrics.Mean(),
        metrics.Sum(),
        metrics.MeanSquaredError(),
        metrics.RootMeanSquaredError(),
        metrics.CategoricalAccuracy(),
        metrics.Precision(),
        metrics.AUC(),
        metrics.R2Score(),
        metrics.F1Score(),
        metrics.CosineSimilarity(),
    ):
        token = Token()
        alive.append(weakref.ref(token))
        y_pred = Double.apply(x, token)
        del token
        assert alive[-1]() is not None
        arguments = (y_pred,) if type(metric).__name__ in ("Mean", "Sum") else (x.detach(), y_pred)
        metric.update_state(*arguments)
        assert not any(v.value.requires_grad for v in metric.variables)
        assert not metric.result().requires_grad
        kept.append(metric)
        del y_pred, arguments
    gc.collect()
    assert all(reference() is None for reference in alive)


def test_updates_in_inference_mode_and_outside():
    metric = metrics.MeanSquaredError()
    with torch.inference_mode():
        metric.update_state(torch.zeros(2, 1), torch.ones(2, 1))
        assert float(metric.result()) == 1.0
    metric.update_state(torch.zeros(2, 1), torch.full((2, 1), 3.0))
    assert float(metric.result()) == 5.0
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_state_is_written_in_place():
    metric = metrics.Mean()
    tensors = [variable.value for variable in metric.variables]
    metric.update_state(torch.tensor(2.0, requires_grad=True), sample_weight=3)
    metric.update_state(torch.tensor([2.0, 4.0]))
    assert [float(x) for x in tensors] == [12.0, 5.0]
    metric.reset_state()
    assert all(v.value is x for v, x in zip(metric.variables, tensors, strict=True))


def test_a_result_does_not_change_with_the_next_batch():
    for metric in (metrics.Sum(), metrics.Mean()):
        metric.update_state(torch.tensor([1.0]))
        result = metric.result()
        metric.update_state(torch.tensor([5.0]))
        assert float(result) == 1.0
    metric = metrics.TruePositives()
    metric.update_state([1], [0.9])
    result = metric.result()
    metric.update_state([1], [0.9])
    assert float(result) == 1.0


STATELESS = [
    (metrics.Mean, (torch.tensor([1.0, 4.0]),)),
    (metrics.Sum, (torch.tensor([1.0, 4.0]),)),
    (metrics.SparseCategoricalAccuracy, (torch.tensor([0, 1]), torch.eye(2))),
    (metrics.MeanSquaredError, (torch.zeros(2, 2), torch.eye(2))),
    (metrics.RootMeanSquaredError, (torch.zeros(2, 2), torch.eye(2))),
    (metrics.Recall, (torch.tensor([0.0, 1.0]), torch.tensor([0.2, 0.7]))),
    (BookRootMeanSquaredError, (torch.tensor([0, 0]), torch.eye(2))),
]


@pytest.mark.parametrize(("cls", "batch"), STATELESS, ids=lambda x: getattr(x, "__name__", ""))
def test_stateless_calls_change_nothing(cls, batch):
    metric, reference = cls(), cls()
    metric.update_state(*batch)
    before = [v.value for v in metric.variables]
    values = [v.numpy().copy() for v in metric.variables]
    state = metric.stateless_reset_state()
    assert not any(x.any() for x in state)
    once = metric.stateless_update_state(state, *batch)
    twice = metric.stateless_update_state(once, *batch)
    reference.update_state(*batch)
    torch.testing.assert_close(metric.stateless_result(once), reference.result())
    reference.update_state(*batch)
    torch.testing.assert_close(metric.stateless_result(twice), reference.result())
    assert not any(x.any() for x in state)
    assert all(v.value is x for v, x in zip(metric.variables, before, strict=True))
    for variable, value in zip(metric.variables, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_stateless_calls_want_a_tensor_a_variable():
    metric = metrics.Mean()
    for call in (metric.stateless_result, metric.stateless_update_state):
        with pytest.raises(ValueError, match="each of the 2 variables.*Received: 1"):
            call([torch.tensor(0.0)])


def test_shape_inference_changes_nothing():
    metric = metrics.Mean()
    with meta_scope():
        metric.update_state(torch.ones(3, device="meta"))
        metric.reset_state()
    assert [float(v) for v in metric.variables] == [0.0, 0.0]


def test_moving_to_another_device():
    metric = metrics.MeanSquaredError()
    assert metric.to("meta") is metric
    assert {v.value.device.type for v in metric.variables} == {"meta"}


def test_state_follows_the_data_off_the_cpu():
    metric = metrics.MeanSquaredError()
    metric.update_state(torch.zeros(2, 1, device="meta"), torch.zeros(2, 1, device="meta"))
    assert {v.value.device.type for v in metric.variables} == {"meta"}


def test_config_round_trip():
    metric = metrics.TopKCategoricalAccuracy(k=3, name="top", dtype="float64")
    again = metrics.deserialize(metrics.serialize(metric))
    assert (again.k, again.name, again.dtype) == (3, "top", "float64")
    assert float(again.result()) == 0.0


def test_get():
    metric = metrics.Mean()
    assert metrics.get(None) is None
    assert metrics.get(metric) is metric
    assert metrics.get(metrics.mean_squared_error) is metrics.mean_squared_error
    assert isinstance(metrics.get("RootMeanSquaredError"), metrics.RootMeanSquaredError)
    assert isinstance(metrics.get(metrics.Sum), metrics.Sum)
    assert metrics.get({"class_name": "Recall", "config": {"top_k": 2}}).top_k == 2
    with pytest.raises(ValueError, match="Received: 'acuracy'"):
        metrics.get("acuracy")


def test_a_registered_metric_by_name():
    @keras.saving.register_keras_serializable("tests", name="mine")
    class Mine(metrics.Mean):
        pass

    assert isinstance(metrics.get("tests>mine"), Mine)
    assert isinstance(metrics.deserialize(metrics.serialize(Mine())), Mine)


def test_state_made_at_the_first_batch_is_part_of_a_stateless_update():
    y_true, y_pred = torch.tensor([[1.0], [4.0], [3.0]]), torch.tensor([[2.0], [4.0], [4.0]])
    metric = keras.metrics.R2Score()
    state = metric.stateless_update_state(metric.stateless_reset_state(), y_true[:2], y_pred[:2])
    state = metric.stateless_update_state(state, y_true[2:], y_pred[2:])
    expected = 1 - 2 / (26 - 64 / 3)  # squared errors over those about the mean, 8 / 3
    assert metric.stateless_result(state).item() == pytest.approx(expected)
    assert not any(variable.value.any() for variable in metric.variables)


class Largest(keras.metrics.Metric):
    def __init__(self, **arguments):
        super().__init__(name="largest")
        self.value = self.add_weight(name="value", **arguments)
        self.seen = self.add_weight(name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value.assign(torch.maximum(self.value.value, y_pred.max()))
        self.seen.assign_add(1.0)


def test_state_that_is_assigned_says_how_processes_combine_it(monkeypatch):
    metric = Largest()
    metric.update_state(None, torch.ones(2))
    reduce_metrics(metric.variables)  # outside of a step of one of several processes: no warning
    monkeypatch.setattr(SCOPE, "replica", object())
    metric.update_state(None, torch.ones(2))
    with pytest.warns(UserWarning, match="'largest/value'.*aggregation='max'"):
        reduce_metrics(metric.variables)
    reduce_metrics(metric.variables)  # once
    for aggregation in ("max", "sum"):
        metric = Largest(aggregation=aggregation)
        assert metric.value.aggregation == aggregation
        metric.update_state(None, torch.ones(2))
        reduce_metrics(metric.variables)
    with pytest.raises(ValueError, match="`aggregation` must be one of"):
        Largest(aggregation="largest")
