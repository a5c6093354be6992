"""Regression, confusion, AUC, F-score and IoU metrics: values from their formulas."""

import math

import pytest
import torch

from torchkeras import losses, metrics

Y_TRUE = torch.tensor([0, 0, 1, 1, 1])
Y_PRED = torch.tensor([0.1, 0.6, 0.4, 0.7, 0.9])


def test_root_mean_squared_error():
    metric = metrics.RootMeanSquaredError()
    metric.update_state(torch.zeros(2, 1), torch.tensor([[3.0], [4.0]]))
    metric.update_state(torch.zeros(2), torch.tensor([[0.0], [1.0]]))
    assert float(metric.result()) == pytest.approx((26 / 4) ** 0.5)
    metric.reset_state()
    metric.update_state([0.0, 0.0], [1.0, 7.0], sample_weight=[3.0, 0.0])
    assert float(metric.result()) == 1.0


def test_r2_score():
    y_true = torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    y_pred = torch.tensor([[1.0], [3.0], [3.0], [5.0]])
    expected = 1 - 2 / float((y_true - y_true.mean()).square().sum())
    assert float(metrics.R2Score()(y_true, y_pred)) == pytest.approx(expected)
    adjusted = metrics.R2Score(num_regressors=1)
    assert float(adjusted(y_true, y_pred)) == pytest.approx(1 - (1 - expected) * 3 / 2)
    too_many = metrics.R2Score(num_regressors=3)
    with pytest.warns(UserWarning, match="Received: 4 samples, num_regressors=3"):
        assert float(too_many(y_true, y_pred)) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"shape \(batch, outputs\)"):
        metrics.R2Score().update_state(torch.zeros(3), torch.zeros(3))


def test_adjusted_r2_score_counts_samples_however_many_outputs():
    y_true = torch.tensor([[1.0, 0.0], [2.0, 3.0], [3.0, 1.0], [6.0, 2.0]])
    y_pred = torch.tensor([[1.0, 1.0], [3.0, 2.0], [3.0, 1.0], [5.0, 2.0]])
    plain = 1 - 2 / (y_true - y_true.mean(0)).square().sum(0)
    metric = metrics.R2Score(class_aggregation=None, num_regressors=2)
    metric.update_state(y_true[:3], y_pred[:3])
    metric.update_state(y_true[3:], y_pred[3:])
    expected = 1 - (1 - plain) * (4 - 1) / (4 - 2 - 1)
    torch.testing.assert_close(metric.result(), expected)


def test_r2_score_of_targets_that_do_not_vary():
    y_true = torch.tensor([[2.0, 2.0, 1.0], [2.0, 2.0, 3.0]])
    y_pred = torch.tensor([[2.0, 3.0, 1.0], [2.0, 2.0, 3.0]])
    metric = metrics.R2Score(class_aggregation=None)
    # As scikit-learn: exact is 1, anything else 0.
    assert metric(y_true, y_pred).tolist() == [1.0, 0.0, 1.0]
    metric.reset_state()
    assert metric.result().tolist() == [0.0, 0.0, 0.0]
    constant = metrics.R2Score(class_aggregation="variance_weighted_average")
    assert constant(y_true[:, :2], y_pred[:, :2]).item() == 0.5


def test_an_ignored_class_is_left_out_of_the_mean():
    y_true = torch.tensor([[0, 1], [2, 2]])
    y_pred = torch.tensor([[[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], [[0.2, 0.2, 0.6]] * 2])
    expected = -(math.log(0.5) + math.log(0.8)) / 2
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=2)
    assert metric(y_true, y_pred).item() == pytest.approx(expected)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=2)
    assert loss(y_true, y_pred).item() == pytest.approx(expected)


@pytest.mark.parametrize("weights", [None, [[1.0, 2.0], [3.0, 4.0]], [1.0, 3.0]])
def test_a_mask_leaves_steps_out_of_the_root_mean_squared_error(weights):
    y_pred = torch.tensor([[[1.0], [9.0]], [[2.0], [9.0]]])
    y_pred._keras_mask = torch.tensor([[True, False], [True, False]])
    sample_weight = None if weights is None else torch.tensor(weights)
    found = metrics.RootMeanSquaredError()(torch.zeros(2, 2, 1), y_pred, sample_weight).item()
    expected = (1 + 4) / 2 if weights is None else (1 * 1 + 3 * 4) / 4
    assert found == pytest.approx(expected**0.5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("thresholds", [0.5, [0.5], [0.65, 0.0, 0.5], [0.0, 0.5, 1.0]])
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("TruePositives", (True, True)),
        ("FalsePositives", (False, True)),
        ("TrueNegatives", (False, False)),
        ("FalseNegatives", (True, False)),
    ],
)
def test_counts(name, wanted, thresholds, weighted):
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0]) if weighted else None
    metric = getattr(metrics, name)(thresholds=thresholds)
    metric.update_state(Y_TRUE, Y_PRED, weights)
    metric.update_state(Y_TRUE[:2], Y_PRED[:2], None if weights is None else weights[:2])
    truth, prediction = torch.cat([Y_TRUE, Y_TRUE[:2]]), torch.cat([Y_PRED, Y_PRED[:2]])
    weight = torch.ones(7) if weights is None else torch.cat([weights, weights[:2]])
    expected = [
        float(weight[(truth.bool() == wanted[0]) & ((prediction > t) == wanted[1])].sum())
        for t in (thresholds if isinstance(thresholds, list) else [thresholds])
    ]
    assert metric.result().reshape(-1).tolist() == pytest.approx(expected)


def test_precision_and_recall():
    assert float(metrics.Precision()(Y_TRUE, Y_PRED)) == pytest.approx(2 / 3)
    assert float(metrics.Recall()(Y_TRUE, Y_PRED)) == pytest.approx(2 / 3)
    shares = metrics.Precision(thresholds=[0.8, 0.0])(Y_TRUE, Y_PRED)
    assert shares.tolist() == pytest.approx([1.0, 3 / 5])
    assert float(metrics.Precision()(torch.zeros(3), torch.zeros(3))) == 0.0


def test_top_k_and_class_id():
    y_true = torch.tensor([[0, 1, 0], [0, 0, 1]])
    y_pred = torch.tensor([[0.5, 0.4, 0.1], [0.2, 0.7, 0.1]])
    assert float(metrics.Precision(top_k=2)(y_true, y_pred)) == pytest.approx(1 / 4)
    assert float(metrics.Recall(top_k=2)(y_true, y_pred)) == pytest.approx(1 / 2)
    assert float(metrics.Precision(class_id=1)(y_true, y_pred)) == 0.0
    assert float(metrics.Recall(class_id=1, thresholds=0.3)(y_true, y_pred)) == 1.0
    with pytest.raises(ValueError, match="`class_id` needs predictions of shape"):
        metrics.Recall(class_id=1).update_state(Y_TRUE, Y_PRED)


def test_shapes_that_do_not_fit():
    for metric in (metrics.Precision(), metrics.AUC(), metrics.TruePositives()):
        with pytest.raises(ValueError, match="Received: y_true of shape"):
            metric.update_state(torch.zeros(3), torch.zeros(4))
        with pytest.raises(ValueError, match="Received: weights of shape"):
            metric.update_state(torch.zeros(4), torch.zeros(4), torch.zeros(3))


def test_trade_offs():
    # Above 0.6: 2 of 3 positives, no negative. Above 0.1: all positives and one negative.
    assert float(metrics.RecallAtPrecision(1.0)(Y_TRUE, Y_PRED)) == pytest.approx(2 / 3)
    assert float(metrics.PrecisionAtRecall(1.0)(Y_TRUE, Y_PRED)) == pytest.approx(3 / 4)
    assert float(metrics.SensitivityAtSpecificity(0.5)(Y_TRUE, Y_PRED)) == 1.0
    assert float(metrics.SpecificityAtSensitivity(0.6)(Y_TRUE, Y_PRED)) == 1.0
    with pytest.raises(ValueError, match=r"`recall` must lie in \[0, 1\]"):
        metrics.PrecisionAtRecall(1.5)


def test_roc_area_is_the_share_of_ordered_pairs():
    positive, negative = Y_PRED[Y_TRUE == 1], Y_PRED[Y_TRUE == 0]
    expected = float((positive[:, None] > negative).float().mean())
    metric = metrics.AUC(num_thresholds=1001)
    metric.update_state(Y_TRUE[:3], Y_PRED[:3])
    metric.update_state(Y_TRUE[3:], Y_PRED[3:])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    logits = metrics.AUC(num_thresholds=1001, from_logits=True)
    assert float(logits(Y_TRUE, torch.logit(Y_PRED))) == pytest.approx(expected, abs=1e-6)


def test_area_of_several_labels():
    y_true = torch.stack([Y_TRUE, 1 - Y_TRUE], 1)
    y_pred = torch.stack([Y_PRED, Y_PRED], 1)
    single = float(metrics.AUC()(Y_TRUE, Y_PRED))
    weighted = metrics.AUC(multi_label=True, label_weights=[3.0, 1.0])
    assert float(weighted.result()) == 0.0
    expected = (3 * single + (1 - single)) / 4
    assert float(weighted(y_true, y_pred)) == pytest.approx(expected, abs=1e-6)
    weighted.reset_state()
    assert float(weighted.result()) == 0.0
    with pytest.raises(ValueError, match=r"shape \(batch, labels\)"):
        metrics.AUC(multi_label=True).update_state(Y_TRUE, Y_PRED)


def test_perfect_predictions_reach_the_whole_area():
    y_true = torch.tensor([0.0, 0.0, 1.0, 1.0])
    for curve in ("ROC", "PR", "PRGAIN"):
        for method in ("interpolation", "majoring"):
            metric = metrics.AUC(curve=curve, summation_method=method)
            assert float(metric(y_true, y_true)) == pytest.approx(1.0, abs=1e-5)


def test_f_scores():
    y_true = torch.tensor([[1, 1], [1, 0], [0, 1]])
    y_pred = torch.tensor([[0.2, 0.6], [0.9, 0.8], [0.4, 0.1]])
    # Class 0: precision 1, recall 1/2. Class 1: precision 1/2, recall 1/2.
    scores = metrics.F1Score(threshold=0.5)(y_true, y_pred)
    assert scores.tolist() == pytest.approx([2 / 3, 1 / 2], rel=1e-5)
    macro = metrics.FBetaScore(average="macro", beta=2.0, threshold=0.5)(y_true, y_pred)
    assert float(macro) == pytest.approx((5 * 0.5 / 4.5 + 5 * 0.25 / 2.5) / 2, rel=1e-5)
    micro = metrics.F1Score(average="micro", threshold=0.5)(y_true, y_pred)
    assert float(micro) == pytest.approx(2 * 2 / (3 + 4), rel=1e-5)
    assert float(metrics.F1Score().result()) == 0.0
    with pytest.raises(ValueError, match=r"shape \(batch, classes\)"):
        metrics.F1Score().update_state(Y_TRUE, Y_PRED)


def test_iou():
    y_true, y_pred = torch.tensor([[0, 0], [1, 2]]), torch.tensor([[0, 1], [1, 1]])
    metric = metrics.MeanIoU(num_classes=4)
    assert float(metric(y_true, y_pred)) == pytest.approx((1 / 2 + 1 / 3 + 0) / 3, abs=1e-6)
    assert metric.variables[0].dtype == "int32"
    ignoring = metrics.MeanIoU(num_classes=3, ignore_class=2)
    assert float(ignoring(y_true, y_pred)) == pytest.approx((1 / 2 + 1 / 2) / 2, abs=1e-6)
    outside = metrics.MeanIoU(num_classes=2)
    assert float(outside(y_true, y_pred)) == pytest.approx(1 / 2, abs=1e-6)
    assert float(metrics.MeanIoU(num_classes=2).result()) == 0.0


def test_iou_refuses_fractions_in_whole_counts():
    weights = torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match="cannot count fractions"):
        metrics.MeanIoU(num_classes=2).update_state([0, 1], [0, 1], weights)
    metric = metrics.MeanIoU(num_classes=2, dtype="float32")
    metric.update_state([0, 1], [0, 1], weights)
    assert float(metric.result()) == pytest.approx(1.0)


def test_probabilistic_and_hinge_metrics_are_means_of_their_losses():
    y_true, y_pred = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    for name in (
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "KLDivergence",
        "Poisson",
        "Hinge",
        "SquaredHinge",
        "CategoricalHinge",
        "LogCoshError",
    ):
        metric = getattr(metrics, name)()
        for i in range(2):
            metric.update_state(y_true[i : i + 1], y_pred[i : i + 1])
        expected = metric._fn(y_true, y_pred).mean()
        torch.testing.assert_close(metric.result(), expected)


def test_cosine_similarity_is_minus_the_loss():
    metric = metrics.CosineSimilarity(axis=-1)
    value = metric([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]])
    assert float(value) == pytest.approx(0.5)
    assert metrics.deserialize(metrics.serialize(metrics.CosineSimilarity(axis=1))).axis == 1


def test_correlations():
    y_true = torch.tensor([[1.0, 2.0, 4.0]])
    assert float(metrics.PearsonCorrelation()(y_true, 3 * y_true + 2)) == pytest.approx(1.0)
    assert float(metrics.PearsonCorrelation()(y_true, -y_true)) == pytest.approx(-1.0)
    assert float(metrics.ConcordanceCorrelation()(y_true, y_true)) == pytest.approx(1.0)
    assert float(metrics.ConcordanceCorrelation()(y_true, y_true + 1)) < 1.0
