import copy
import pickle

import numpy as np
import pytest
import torch

from torchkeras import losses
from torchkeras.losses import lookup
from torchkeras.losses import loss as loss_module


class Distance(losses.Loss):
    def call(self, y_true, y_pred):
        return (y_true - y_pred).abs().sum(-1)


def test_a_subclass_gets_its_arguments_in_the_dtype_of_the_loss():
    seen = []

    class Spy(losses.Loss):
        def call(self, y_true, y_pred):
            seen.extend([y_true.dtype, y_pred.dtype])
            return y_pred.mean(-1)

    Spy(dtype="float64")(np.array([[1, 2]]), torch.ones(1, 2, dtype=torch.float16))
    assert seen == [torch.float64, torch.float64]


def test_weights_scale_samples():
    value = Distance()(torch.zeros(2, 2), torch.ones(2, 2), sample_weight=[1.0, 3.0])
    assert float(value) == pytest.approx((1 * 2 + 3 * 2) / 2)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", 8.0), ("sum_over_batch_size", 4.0), ("mean", 4.0), ("mean_with_sample_weight", 2.0)],
)
def test_reductions(reduction, expected):
    loss = Distance(reduction=reduction)
    assert float(loss(torch.zeros(2, 2), torch.ones(2, 2), [1.0, 3.0])) == pytest.approx(expected)


@pytest.mark.parametrize("reduction", ["none", None])
def test_no_reduction_gives_the_values(reduction):
    value = Distance(reduction=reduction)(torch.zeros(2, 2), torch.ones(2, 2), [1.0, 3.0])
    assert value.tolist() == [2.0, 6.0]


def test_weights_of_samples_count_for_all_their_steps():
    loss = losses.MeanSquaredError(reduction="none")
    y_pred = torch.ones(3, 3, 2)  # as many steps as samples: the shape alone does not tell
    value = loss(torch.zeros(3, 3, 2), y_pred, torch.tensor([1.0, 2.0, 3.0]))
    assert value.tolist() == [[1.0] * 3, [2.0] * 3, [3.0] * 3]


def test_weights_of_samples_beside_a_mask_of_steps():
    y_pred = torch.ones(2, 3, 4)
    y_pred._keras_mask = torch.tensor([[True, False, False], [True, True, True]])
    value = losses.MeanSquaredError()(torch.zeros(2, 3, 4), y_pred, torch.tensor([4.0, 1.0]))
    assert float(value) == pytest.approx((4 * 1 + 1 * 3) / 4)


def test_masked_values_do_not_count():
    y_pred = torch.tensor([[1.0], [100.0]])
    y_pred._keras_mask = torch.tensor([True, False])
    assert float(losses.MeanSquaredError()(torch.zeros(2, 1), y_pred)) == pytest.approx(1.0)


def test_weights_that_do_not_fit():
    with pytest.raises(ValueError, match=r"Received: weights of shape \(5,\)"):
        losses.MeanSquaredError()(torch.zeros(4, 3, 2), torch.zeros(4, 3, 2), torch.ones(5))


@pytest.mark.parametrize("name", ["MeanSquaredError", "Huber", "BinaryCrossentropy", "Hinge"])
def test_shapes_that_do_not_fit(name):
    with pytest.raises(ValueError, match="Received: y_true of shape"):
        getattr(losses, name)()(torch.zeros(4, 3), torch.full((4, 2), 0.5))


def test_an_empty_batch_is_finite():
    value = losses.MeanSquaredError()(torch.zeros(0, 4, 3), torch.zeros(0, 4, 3))
    assert float(value) == 0.0


def test_unknown_reduction():
    with pytest.raises(ValueError, match="Received: reduction='average'"):
        losses.MeanSquaredError(reduction="average")


def test_a_subclass_may_change_call():
    class Doubled(losses.MeanSquaredError):
        def call(self, y_true, y_pred):
            return 2.0 * super().call(y_true, y_pred)

    assert float(Doubled()(torch.zeros(2, 1), torch.ones(2, 1))) == 2.0


def test_a_loss_without_call():
    with pytest.raises(NotImplementedError, match="must define `call"):
        losses.Loss()(torch.zeros(1), torch.zeros(1))


def test_nested_targets():
    class Both(losses.Loss):
        def call(self, y_true, y_pred):
            return (y_true["a"] - y_pred["a"]).abs() + (y_true["b"] - y_pred["b"]).abs()

    y_true = {"a": torch.zeros(2), "b": torch.zeros(2, dtype=torch.int64)}
    y_pred = {"a": torch.ones(2), "b": torch.full((2,), 2.0)}
    assert float(Both()(y_true, y_pred)) == 3.0


@pytest.mark.parametrize("name", ["Huber", "MeanAbsolutePercentageError", "Poisson", "Hinge"])
def test_copies(name):
    loss = getattr(losses, name)(reduction="sum")
    y_true, y_pred = torch.rand(3, 2) + 0.1, torch.rand(3, 2) + 0.1
    expected = loss(y_true, y_pred)
    for again in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(again(y_true, y_pred), expected)
        assert again.get_config() == loss.get_config()


@pytest.mark.parametrize("delta", [1.0, 0.25])
def test_huber_keeps_its_delta(delta):
    loss = losses.Huber(delta=delta)
    again = losses.deserialize(losses.serialize(loss))
    y_pred = torch.tensor([[3.0]])
    expected = delta * (3.0 - delta / 2)
    assert float(loss(torch.zeros(1, 1), y_pred)) == pytest.approx(expected)
    assert float(again(torch.zeros(1, 1), y_pred)) == pytest.approx(expected)


def test_wrapped_function_of_the_user():
    def cubic(y_true, y_pred, scale):
        return scale * (y_true - y_pred).abs().pow(3).mean(-1)

    loss = losses.LossFunctionWrapper(cubic, name="cubic", scale=2.0)
    assert float(loss(torch.zeros(2), torch.full((2, 1), 2.0))) == 16.0
    config = losses.serialize(loss)
    again = losses.deserialize(config, custom_objects={"cubic": cubic})
    assert again.fn is cubic
    assert again.get_config() == loss.get_config()


def test_config_of_an_unknown_function():
    config = losses.serialize(losses.LossFunctionWrapper(losses.huber))
    config["config"]["fn"]["config"] = "system"
    with pytest.raises(ValueError, match="Received: 'system'"):
        losses.deserialize(config)


def test_get():
    loss = losses.Huber()
    assert losses.get(None) is None
    assert losses.get(loss) is loss
    assert losses.get("mse") is losses.mean_squared_error
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert losses.get({"class_name": "Huber", "config": {"delta": 3.0}}).delta == 3.0
    with pytest.raises(ValueError, match="Received: 'mean_squared_eror'"):
        losses.get("mean_squared_eror")


def test_the_fused_mean_is_the_mean_of_the_values():
    y_true, y_pred = torch.rand(6, 3, 4), torch.rand(6, 3, 4, requires_grad=True)
    for name, function in sorted(lookup.NAMESPACE.functions.items()):
        if not hasattr(function, "_fused_mean") or "sparse" in name:
            continue
        mean = function._fused_mean(y_true, y_pred)
        values = function(y_true, y_pred).mean()
        if mean is not None:
            torch.testing.assert_close(mean, values, rtol=2e-6, atol=1e-7)
            (ours,) = torch.autograd.grad(mean, y_pred)
            (expected,) = torch.autograd.grad(values, y_pred)
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)


def test_targets_of_another_device_follow_the_predictions():
    y_pred = torch.zeros(3, 2, device="meta")
    assert losses.MeanSquaredError()(torch.zeros(3, 2), y_pred).device.type == "meta"


def test_squeeze_rule():
    squeeze = loss_module.squeeze_or_expand_to_same_rank

    def shapes(a, b, **kwargs):
        return tuple(tuple(x.shape) for x in squeeze(torch.zeros(a), torch.zeros(b), **kwargs))

    assert shapes((4,), (4, 1)) == ((4, 1), (4, 1))
    assert shapes((4,), (4, 1), expand_rank_1=False) == ((4,), (4,))
    assert shapes((4, 3, 1), (4, 3)) == ((4, 3), (4, 3))
    assert shapes((4, 3), (4,)) == ((4, 3), (4,))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MeanSquaredError", {}),
        ("Huber", {}),
        ("Hinge", {}),
        ("KLDivergence", {}),
        ("CosineSimilarity", {}),
        ("BinaryCrossentropy", {}),
        ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
        ("SparseCategoricalCrossentropy", {}),
        ("SparseCategoricalCrossentropy", {"from_logits": True}),
        ("SparseCategoricalCrossentropy", {"ignore_class": 1}),
    ],
)
def test_one_graph(name, arguments, weighted):
    torch._dynamo.reset()
    loss = getattr(losses, name)(**arguments)
    y_pred = torch.rand(8, 5)
    y_true = torch.randint(0, 5, (8,))
    if "Sparse" not in name:
        y_true = torch.nn.functional.one_hot(y_true, 5).float()
    weights = torch.rand(8) if weighted else None
    compiled = torch.compile(lambda t, p, w: loss(t, p, w), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(y_true, y_pred, weights), loss(y_true, y_pred, weights))
