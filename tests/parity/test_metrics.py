"""Metrics against real Keras 3 on its torch backend: results, states, configs, errors."""

import json

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from torchkeras import metrics  # noqa: E402

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

# Keras converts tensors in a way that NumPy warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RNG = np.random.default_rng(1)
# Both add float32 numbers, in another order.
TOLERANCE = {"rtol": 2e-6, "atol": 1e-6}


def numbers(*shape):
    return RNG.normal(size=shape).astype("float32")


def unit(*shape):
    return RNG.uniform(0.02, 0.98, size=shape).astype("float32")


def probabilities(*shape):
    raw = unit(*shape)
    return raw / raw.sum(-1, keepdims=True)


def one_hot(*shape):
    return np.eye(shape[-1], dtype="float32")[RNG.integers(0, shape[-1], size=shape[:-1])]


def labels(*shape):
    return RNG.integers(0, shape[-1], size=shape[:-1])


def column_labels(*shape):
    return labels(*shape)[..., None]


def class_numbers(*shape):
    return RNG.integers(0, 3, size=shape)


def bits(*shape):
    return RNG.integers(0, 2, size=shape)


# class name, arguments, targets, predictions
MEANS = [
    ("Accuracy", {}, class_numbers, class_numbers),
    ("BinaryAccuracy", {}, bits, unit),
    ("BinaryAccuracy", {"threshold": 0.2}, bits, unit),
    ("CategoricalAccuracy", {}, one_hot, unit),
    ("SparseCategoricalAccuracy", {}, labels, numbers),
    ("SparseCategoricalAccuracy", {}, column_labels, numbers),
    ("TopKCategoricalAccuracy", {"k": 2}, one_hot, unit),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, labels, unit),
    ("MeanSquaredError", {}, numbers, numbers),
    ("MeanAbsoluteError", {}, numbers, numbers),
    ("MeanAbsolutePercentageError", {}, numbers, numbers),
    ("MeanSquaredLogarithmicError", {}, unit, unit),
    ("RootMeanSquaredError", {}, numbers, numbers),
    ("CosineSimilarity", {}, numbers, numbers),
    ("LogCoshError", {}, numbers, numbers),
    ("BinaryCrossentropy", {}, bits, unit),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, bits, numbers),
    ("CategoricalCrossentropy", {}, one_hot, unit),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, one_hot, numbers),
    ("SparseCategoricalCrossentropy", {}, labels, unit),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, labels, numbers),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, labels, unit),
    ("KLDivergence", {}, probabilities, probabilities),
    ("Poisson", {}, unit, unit),
    ("Hinge", {}, bits, numbers),
    ("SquaredHinge", {}, bits, numbers),
    ("CategoricalHinge", {}, one_hot, numbers),
    ("PearsonCorrelation", {}, numbers, numbers),
    ("ConcordanceCorrelation", {}, numbers, numbers),
]
COUNTS = [
    ("TruePositives", {}, bits, unit),
    ("FalsePositives", {"thresholds": 0.3}, bits, unit),
    ("TrueNegatives", {"thresholds": [0.7, 0.2]}, bits, unit),
    ("FalseNegatives", {"thresholds": [0.0, 0.5, 1.0]}, bits, unit),
    ("Precision", {}, bits, unit),
    ("Precision", {"thresholds": [0.9, 0.1, 0.4]}, bits, unit),
    ("Precision", {"top_k": 2}, one_hot, unit),
    ("Precision", {"top_k": 2, "class_id": 1, "thresholds": 0.4}, one_hot, unit),
    ("Recall", {}, bits, unit),
    ("Recall", {"thresholds": [0.9, 0.1, 0.4]}, bits, unit),
    ("Recall", {"class_id": 2}, one_hot, unit),
    ("SensitivityAtSpecificity", {"specificity": 0.5}, bits, unit),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "num_thresholds": 50}, bits, unit),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "num_thresholds": 1}, bits, unit),
    ("PrecisionAtRecall", {"recall": 0.5}, bits, unit),
    ("RecallAtPrecision", {"precision": 0.5, "class_id": 0}, bits, unit),
    ("AUC", {}, bits, unit),
    ("AUC", {"curve": "PR", "num_thresholds": 30}, bits, unit),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, bits, unit),
    ("AUC", {"curve": "PRGAIN", "summation_method": "minoring"}, bits, unit),
    ("AUC", {"thresholds": [0.1, 0.3, 0.8]}, bits, unit),
    ("AUC", {"from_logits": True}, bits, numbers),
    ("AUC", {"label_weights": [0.2, 0.5, 0.2, 0.1]}, bits, unit),
]
# Kinds whose weights, if any, are one a sample, and whose inputs are matrices.
MATRICES = [
    ("AUC", {"multi_label": True}, bits, unit),
    ("AUC", {"multi_label": True, "num_labels": 4, "curve": "PR"}, bits, unit),
    ("AUC", {"multi_label": True, "label_weights": [0.2, 0.5, 0.2, 0.1]}, bits, unit),
    ("R2Score", {}, numbers, numbers),
    ("R2Score", {"class_aggregation": None}, numbers, numbers),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, numbers, numbers),
    ("R2Score", {"num_regressors": 3}, numbers, numbers),
    ("F1Score", {}, one_hot, unit),
    ("F1Score", {"average": "micro", "threshold": 0.4}, one_hot, unit),
    ("FBetaScore", {"average": "macro", "beta": 2.0}, one_hot, unit),
    ("FBetaScore", {"average": "weighted", "beta": 0.5, "threshold": 0.3}, one_hot, unit),
]
SEGMENTATIONS = [
    ("IoU", {"num_classes": 3, "target_class_ids": [0, 2]}, class_numbers, class_numbers),
    ("BinaryIoU", {"threshold": 0.4}, bits, unit),
    ("BinaryIoU", {"target_class_ids": [1]}, bits, unit),
    ("MeanIoU", {"num_classes": 3, "ignore_class": 1}, class_numbers, class_numbers),
    ("MeanIoU", {"num_classes": 3, "dtype": "float32"}, class_numbers, class_numbers),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [0, 3]}, one_hot, unit),
    ("OneHotMeanIoU", {"num_classes": 4}, one_hot, unit),
]
ALL = MEANS + COUNTS + MATRICES + SEGMENTATIONS


def ids(cases):
    return [f"{name}-{i}" for i, (name, *_) in enumerate(cases)]


def pair(name, arguments):
    return getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)


def to_numpy(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def assert_same_result(ours, theirs):
    value, expected = ours.result(), theirs.result()
    assert tuple(value.shape) == tuple(expected.shape)
    np.testing.assert_allclose(value.numpy(), to_numpy(expected), **TOLERANCE)


def assert_same_state(ours, theirs):
    names = [variable.name for variable in ours.variables]
    assert names == [variable.name for variable in theirs.variables]
    for variable, other in zip(ours.variables, theirs.variables, strict=True):
        assert variable.shape == tuple(other.shape)
        assert variable.dtype == other.dtype
        np.testing.assert_allclose(variable.numpy(), to_numpy(other.value), rtol=3e-6, atol=2e-6)


def run(ours, theirs, batches, masks=None):
    """Both on the same batches; where they differ on purpose, see docs/differences.md."""
    rows = 0
    for i, (y_true, y_pred, weights) in enumerate(batches):
        own, other = torch.tensor(y_pred), keras.ops.convert_to_tensor(y_pred)
        if masks is not None:
            own._keras_mask = torch.tensor(masks[i])
            other._keras_mask = keras.ops.convert_to_tensor(masks[i])
        own_weights = None if weights is None else torch.tensor(weights)
        ours.update_state(torch.tensor(y_true), own, own_weights)
        ignores = isinstance(ours, metrics.SparseCategoricalCrossentropy) and ours.ignore_class
        if ignores and weights is None and masks is None:
            weights = np.ones(y_true.shape, "float32")  # without, Keras counts what is ignored
        theirs.update_state(keras.ops.convert_to_tensor(y_true), other, weights)
        if isinstance(ours, metrics.R2Score):  # Keras counts the values instead of the samples
            rows += len(y_true)
            theirs.num_samples.assign(rows)
        assert_same_result(ours, theirs)
    assert_same_state(ours, theirs)
    ours.reset_state()
    theirs.reset_state()
    assert_same_state(ours, theirs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", ALL, ids=ids(ALL))
def test_several_batches(case, weighted):
    name, arguments, targets, predictions = case
    if weighted and case in SEGMENTATIONS and arguments.get("dtype") is None:
        pytest.skip("a confusion matrix of integers refuses fractional weights")
    weights = [None] * 3
    if weighted and case in SEGMENTATIONS:
        weights = [unit(20), unit(20), unit(12)]
    elif weighted:
        weights = [unit(5), unit(5), unit(3)]
    sizes = [5, 5, 3]
    if case in COUNTS and weighted:
        # Keras multiplies weights of samples only with predictions of one axis more.
        weights = [w[:, None] * np.ones((1, 4), "float32") for w in weights]
        if "top_k" in arguments or "class_id" in arguments:
            weights = [w[:, 0] for w in weights]
    batches = [(targets(n, 4), predictions(n, 4), w) for n, w in zip(sizes, weights, strict=True)]
    run(*pair(name, arguments), batches)


@pytest.mark.parametrize("weights_shape", [None, (5,), (5, 3)])
@pytest.mark.parametrize("case", MEANS, ids=ids(MEANS))
def test_three_axes(case, weights_shape):
    name, arguments, targets, predictions = case
    if "ignore_class" in arguments and weights_shape == (5,):
        pytest.skip("Keras cannot multiply these weights with the mask of the class")
    weights = None if weights_shape is None else unit(*weights_shape)
    run(*pair(name, arguments), [(targets(5, 3, 4), predictions(5, 3, 4), weights)] * 2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", MEANS, ids=ids(MEANS))
def test_masks(case, weighted):
    name, arguments, targets, predictions = case
    if name == "RootMeanSquaredError":
        pytest.skip("Keras leaves masks out of it")
    mask = RNG.integers(0, 2, size=(5, 3)).astype(bool)
    weights = unit(5, 3) if weighted else None
    batches = [(targets(5, 3, 4), predictions(5, 3, 4), weights)] * 2
    run(*pair(name, arguments), batches, [mask, ~mask])


VECTORS = ["BinaryAccuracy", "MeanSquaredError", "RootMeanSquaredError", "Hinge", "Precision"]
VECTORS += ["MeanAbsoluteError", "AUC", "TruePositives"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("true_shape", [(6,), (6, 1)])
@pytest.mark.parametrize("pred_shape", [(6,), (6, 1)])
@pytest.mark.parametrize("name", VECTORS)
def test_vectors_and_columns(name, true_shape, pred_shape, weighted):
    if name == "Hinge" and true_shape != pred_shape:
        pytest.skip("Keras multiplies every target with every prediction here")
    y_true = bits(*true_shape).astype("float32")
    if weighted and name in ("MeanSquaredError", "MeanAbsoluteError", "Hinge"):
        if len(pred_shape) == len(true_shape) == 1:
            pytest.skip("the value of a vector is a scalar, which one weight a sample does not fit")
    run(*pair(name, {}), [(y_true, unit(*pred_shape), unit(6) if weighted else None)] * 2)


@pytest.mark.parametrize("weights", [None, 0.5, 7, "vector", "matrix"])
@pytest.mark.parametrize("shape", [(), (4,), (4, 3), (4, 3, 2)])
@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_mean_and_sum(name, shape, weights):
    ours, theirs = pair(name, {})
    if weights == "vector":
        weights = unit(*shape[:1])
    elif weights == "matrix":
        weights = unit(*shape[:2])
    assert_same_result(ours, theirs)
    for values in (numbers(*shape), numbers(*shape)):
        ours.update_state(torch.tensor(values), weights)
        theirs.update_state(values, weights)
        assert_same_result(ours, theirs)
    assert_same_state(ours, theirs)
    ours.reset_state()
    theirs.reset_state()
    assert_same_result(ours, theirs)


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "uint8"])
def test_mean_of_other_dtypes(dtype):
    ours, theirs = pair("Mean", {})
    values = (RNG.uniform(0, 2, size=(5, 3)) > 1).astype(dtype)
    ours.update_state(torch.tensor(values))
    theirs.update_state(values)
    assert_same_result(ours, theirs)


def test_paths_of_variables():
    ours, theirs = pair("Mean", {"name": "loss"})
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    assert [v.trainable for v in ours.variables] == [False, False]


FUNCTIONS = [
    ("binary_accuracy", {}, bits, unit),
    ("categorical_accuracy", {}, one_hot, unit),
    ("sparse_categorical_accuracy", {}, labels, unit),
    ("sparse_categorical_accuracy", {}, column_labels, unit),
    ("top_k_categorical_accuracy", {"k": 2}, one_hot, unit),
    ("sparse_top_k_categorical_accuracy", {"k": 3}, labels, unit),
    ("binary_crossentropy", {"label_smoothing": 0.1}, bits, unit),
    ("binary_focal_crossentropy", {"gamma": 1.0}, bits, unit),
    ("categorical_crossentropy", {"from_logits": True}, one_hot, numbers),
    ("categorical_focal_crossentropy", {"alpha": 0.5}, one_hot, unit),
    ("sparse_categorical_crossentropy", {}, labels, unit),
    ("categorical_hinge", {}, one_hot, numbers),
    ("hinge", {}, bits, numbers),
    ("squared_hinge", {}, bits, numbers),
    ("huber", {"delta": 0.5}, numbers, numbers),
    ("kl_divergence", {}, probabilities, probabilities),
    ("log_cosh", {}, numbers, numbers),
    ("mean_absolute_error", {}, numbers, numbers),
    ("mean_absolute_percentage_error", {}, numbers, numbers),
    ("mean_squared_error", {}, numbers, numbers),
    ("mean_squared_logarithmic_error", {}, unit, unit),
    ("poisson", {}, unit, unit),
    ("pearson_correlation", {}, numbers, numbers),
    ("concordance_correlation", {}, numbers, numbers),
]


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4)])
@pytest.mark.parametrize("case", FUNCTIONS, ids=ids(FUNCTIONS))
def test_functions(case, shape):
    name, arguments, targets, predictions = case
    y_true, y_pred = targets(*shape), predictions(*shape)
    value = getattr(metrics, name)(torch.tensor(y_true), torch.tensor(y_pred), **arguments)
    expected = getattr(keras.metrics, name)(
        keras.ops.convert_to_tensor(y_true), keras.ops.convert_to_tensor(y_pred), **arguments
    )
    if targets is not column_labels:  # which Keras reshapes to the targets it was given
        assert tuple(value.shape) == tuple(expected.shape)
    np.testing.assert_allclose(value.numpy().ravel(), to_numpy(expected).ravel(), **TOLERANCE)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_metric_of_ones_own(weighted):
    def make(base, ops):
        class Range(base):
            def __init__(self, name="range", **kwargs):
                super().__init__(name=name, **kwargs)
                self.low = self.add_weight(name="low", initializer="zeros")
                self.high = self.add_variable((), "zeros", name="high")

            def update_state(self, y_true, y_pred, sample_weight=None):
                error = ops.abs(y_true - y_pred)
                if sample_weight is not None:
                    error = error * ops.convert_to_tensor(sample_weight)[:, None]
                self.high.assign(ops.maximum(self.high, ops.max(error)))
                self.low.assign_add(ops.min(error))

            def result(self):
                return self.high - self.low

        return Range()

    from torchkeras import ops

    ours, theirs = make(metrics.Metric, ops), make(keras.metrics.Metric, keras.ops)
    batches = [(numbers(5, 4), numbers(5, 4), unit(5) if weighted else None) for _ in range(3)]
    run(ours, theirs, batches)
    assert ours.get_config() == theirs.get_config()
    y_true, y_pred, _ = batches[0]
    value = ours(torch.tensor(y_true), torch.tensor(y_pred))
    expected = theirs(*map(keras.ops.convert_to_tensor, (y_true, y_pred)))
    np.testing.assert_allclose(float(value), float(expected), rtol=1e-6)


def test_top_k_from_sorted_ids():
    ids_of_best = np.array([[3, 1, 0], [2, 0, 1], [1, 2, 3]])
    ours, theirs = pair("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True})
    ours.update_state(torch.tensor([1, 1, 3]), torch.tensor(ids_of_best))
    theirs.update_state(np.array([1, 1, 3]), ids_of_best)
    assert_same_result(ours, theirs)
    assert ours.get_config() == theirs.get_config()


@pytest.mark.parametrize("case", ALL, ids=ids(ALL))
def test_configs(case):
    name, arguments = case[:2]
    ours, theirs = pair(name, {**arguments, "name": "mine"})
    config, expected = metrics.serialize(ours), keras.metrics.serialize(theirs)
    assert config == expected
    again = metrics.deserialize(json.loads(json.dumps(expected)))
    assert type(again) is type(ours)
    assert metrics.serialize(again) == config
    if not arguments.get("label_weights"):  # which Keras does not read back itself
        assert keras.metrics.serialize(keras.metrics.deserialize(config)) == expected


def test_config_of_a_wrapper():
    ours = metrics.MeanMetricWrapper(metrics.mean_squared_error, name="mine")
    theirs = keras.metrics.MeanMetricWrapper(keras.metrics.mean_squared_error, name="mine")
    assert metrics.serialize(ours) == keras.metrics.serialize(theirs)
    again = metrics.deserialize(keras.metrics.serialize(theirs))
    assert again._fn is metrics.mean_squared_error


@pytest.mark.parametrize("name", sorted(n for n in dir(keras.metrics) if not n.startswith("_")))
def test_every_public_name_is_here(name):
    assert hasattr(metrics, name)


@pytest.mark.parametrize(
    "identifier",
    ["mse", "MSE", "mae", "mape", "msle", "bce", "BCE", "accuracy", "auc", "AUC", "Recall"]
    + ["precision", "f1_score", "sparse_categorical_accuracy", "root_mean_squared_error"],
)
def test_names(identifier):
    assert type(metrics.get(identifier)).__name__ == type(keras.metrics.get(identifier)).__name__


@pytest.mark.parametrize("identifier", ["nothing", "acc", 5])
def test_errors_of_get(identifier):
    for module in (metrics, keras.metrics):
        with pytest.raises(ValueError):
            module.get(identifier)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Precision", {"thresholds": 1.5}),
        ("AUC", {"num_thresholds": 1}),
        ("AUC", {"curve": "ROCK"}),
        ("AUC", {"summation_method": "guess"}),
        ("AUC", {"num_labels": 3}),
        ("R2Score", {"class_aggregation": "sum"}),
        ("R2Score", {"num_regressors": -1}),
        ("FBetaScore", {"beta": 1}),
        ("FBetaScore", {"average": "mean"}),
        ("F1Score", {"threshold": 2.0}),
        ("PrecisionAtRecall", {"recall": 1.2}),
        ("PrecisionAtRecall", {"recall": 0.2, "num_thresholds": 0}),
        ("IoU", {"num_classes": 2, "target_class_ids": [2]}),
    ],
)
def test_errors_of_arguments(name, arguments):
    for module in (metrics, keras.metrics):
        with pytest.raises(ValueError):
            getattr(module, name)(**arguments)


def test_directions():
    for name, arguments, *_ in ALL:
        ours, theirs = pair(name, arguments)
        assert getattr(theirs, "_direction", None) == ours._direction, name


@pytest.mark.parametrize(
    ("true_shape", "pred_shape"),
    [((8,), (8, 1)), ((8, 1), (8, 1)), ((8,), (8, 5)), ((8, 1), (8, 5)), ((8, 5), (8, 5))]
    + [((8, 3), (8, 3, 5)), ((8, 3, 1), (8, 3, 5)), ((8,), (8,))],
)
def test_resolution_of_accuracy(true_shape, pred_shape):
    from keras.src.trainers.compile_utils import is_binary_or_sparse_categorical

    from torchkeras.metrics import accuracy_metrics

    y_true, y_pred = torch.zeros(true_shape), torch.zeros(pred_shape)
    assert accuracy_metrics.is_binary_or_sparse_categorical(
        y_true, y_pred
    ) == is_binary_or_sparse_categorical(y_true, y_pred)


def test_stateless_calls():
    y_true, y_pred = numbers(5, 3), numbers(5, 3)
    ours, theirs = pair("MeanSquaredError", {})
    state = ours.stateless_update_state(
        ours.stateless_reset_state(), torch.tensor(y_true), torch.tensor(y_pred)
    )
    expected = theirs.stateless_update_state(theirs.stateless_reset_state(), y_true, y_pred)
    np.testing.assert_allclose([float(x) for x in state], [float(x) for x in expected], **TOLERANCE)
    np.testing.assert_allclose(
        float(ours.stateless_result(state)), float(theirs.stateless_result(expected)), **TOLERANCE
    )
    assert float(ours.result()) == 0.0
