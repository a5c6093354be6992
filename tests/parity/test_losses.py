"""Losses against real Keras 3 on its torch backend: values, gradients, configs, errors."""

import json

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from torchkeras import losses  # noqa: E402

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

# Keras converts tensors in a way that NumPy warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RNG = np.random.default_rng(0)
# Both compute in float32, in another order of the same sums.
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


def signs(*shape):
    return RNG.choice([-1.0, 1.0], size=shape).astype("float32")


def bits(*shape):
    return RNG.integers(0, 2, size=shape)


# class name, arguments, targets, predictions
LOSSES = [
    ("MeanSquaredError", {}, numbers, numbers),
    ("MeanAbsoluteError", {}, numbers, numbers),
    ("MeanAbsolutePercentageError", {}, numbers, numbers),
    ("MeanSquaredLogarithmicError", {}, unit, unit),
    ("Huber", {}, numbers, numbers),
    ("Huber", {"delta": 0.3}, numbers, numbers),
    ("LogCosh", {}, numbers, numbers),
    ("CosineSimilarity", {}, numbers, numbers),
    ("Poisson", {}, unit, unit),
    ("KLDivergence", {}, probabilities, probabilities),
    ("Hinge", {}, signs, numbers),
    ("Hinge", {}, bits, numbers),
    ("SquaredHinge", {}, signs, numbers),
    ("CategoricalHinge", {}, one_hot, numbers),
    ("BinaryCrossentropy", {}, bits, unit),
    ("BinaryCrossentropy", {"from_logits": True}, bits, numbers),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, bits, unit),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, bits, numbers),
    ("CategoricalCrossentropy", {}, one_hot, unit),
    ("CategoricalCrossentropy", {"from_logits": True}, one_hot, numbers),
    ("CategoricalCrossentropy", {"from_logits": True}, probabilities, numbers),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, one_hot, probabilities),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, one_hot, numbers),
    ("SparseCategoricalCrossentropy", {}, labels, unit),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, labels, numbers),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, labels, probabilities),
    (
        "SparseCategoricalCrossentropy",
        {"from_logits": True, "ignore_class": 2},
        labels,
        numbers,
    ),
    ("BinaryFocalCrossentropy", {}, bits, unit),
    (
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "from_logits": True},
        bits,
        numbers,
    ),
    ("CategoricalFocalCrossentropy", {}, one_hot, unit),
    (
        "CategoricalFocalCrossentropy",
        {"gamma": 1.0, "from_logits": True, "label_smoothing": 0.1},
        one_hot,
        numbers,
    ),
    ("Dice", {}, bits, unit),
    ("Tversky", {"alpha": 0.3, "beta": 0.7}, bits, unit),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, labels, probabilities),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(LOSSES)]
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None]


def theirs_of(name):
    # Keras exports no public name for the newest loss.
    from keras.src.losses import losses as source

    return getattr(source, name)


def pair(name, arguments):
    return getattr(losses, name)(**arguments), theirs_of(name)(**for_keras(name, arguments))


def for_keras(name, arguments):
    """Arguments by which Keras 3.15.1 computes the same: see docs/differences.md."""
    if name == "Tversky":
        return {**arguments, "alpha": arguments["beta"], "beta": arguments["alpha"]}
    return arguments


def to_numpy(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def compare(ours, theirs, y_true, y_pred, sample_weight=None, mask=None):
    """Values and gradients of both."""
    own = torch.tensor(y_pred, requires_grad=True)
    other = keras.ops.convert_to_tensor(y_pred)
    other.requires_grad_(True)
    own_in, other_in = own * 1.0, other * 1.0
    if mask is not None:
        own_in._keras_mask = torch.tensor(mask)
        other_in._keras_mask = keras.ops.convert_to_tensor(mask)
    weights = None if sample_weight is None else torch.tensor(sample_weight)
    value = ours(torch.tensor(y_true), own_in, weights)
    expected = theirs(y_true, other_in, sample_weight)
    assert tuple(value.shape) == tuple(expected.shape)
    np.testing.assert_allclose(value.detach().numpy(), to_numpy(expected), **TOLERANCE)
    value.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(own.grad.numpy(), to_numpy(other.grad), **TOLERANCE)


@pytest.mark.parametrize("shape", [(6, 4), (5, 3, 4)])
@pytest.mark.parametrize(("name", "arguments", "targets", "predictions"), LOSSES, ids=IDS)
def test_value_and_gradient(name, arguments, targets, predictions, shape):
    compare(*pair(name, arguments), targets(*shape), predictions(*shape))


@pytest.mark.parametrize(
    ("weights_shape", "with_mask"),  # Keras multiplies a mask into weights of its own shape only
    [(None, False), (None, True), ((5, 1), False), ((5, 3), False), ((5, 3), True)],
    ids=str,
)
@pytest.mark.parametrize(("name", "arguments", "targets", "predictions"), LOSSES, ids=IDS)
def test_every_reduction(name, arguments, targets, predictions, weights_shape, with_mask):
    if name in ("Dice", "Tversky"):  # one value for all, so that there is nothing to weigh or mask
        weights_shape, with_mask = weights_shape and (), False
    if weights_shape == (5, 1) and "ignore_class" in arguments:  # which makes a mask
        weights_shape = (5, 3)
    mask = RNG.integers(0, 2, size=(5, 3)).astype(bool) if with_mask else None
    weights = None if weights_shape is None else unit(*weights_shape)
    y_true, y_pred = targets(5, 3, 4), predictions(5, 3, 4)
    for reduction in REDUCTIONS:
        ours, theirs = pair(name, {**arguments, "reduction": reduction})
        compare(ours, theirs, y_true, y_pred, weights, mask)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["CTC", "Circle"])
def test_every_reduction_of_ctc_and_circle(name, weighted):
    y_true, y_pred = np.array([[1, 2, 0], [3, 1, 1], [0, 0, 0]]), numbers(3, 8, 4)
    if name == "Circle":
        y_true, y_pred = np.array([0, 0, 1, 1, 2, 0]), numbers(6, 5)
        y_pred /= np.linalg.norm(y_pred, axis=-1, keepdims=True)
    weights = unit(len(y_true)) if weighted else None
    for reduction in REDUCTIONS:
        arguments = {"reduction": reduction}
        compare(*pair(name, arguments), y_true, y_pred, weights)


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("weights_shape", [None, (5, 3)])
def test_a_loss_of_ones_own(weights_shape, with_mask):
    def make(base, ops):
        class Quartic(base):
            def call(self, y_true, y_pred):
                return ops.mean((y_true - y_pred) ** 4, axis=-1)

        return Quartic

    from torchkeras import ops

    ours, theirs = make(losses.Loss, ops), make(keras.losses.Loss, keras.ops)
    mask = RNG.integers(0, 2, size=(5, 3)).astype(bool) if with_mask else None
    weights = None if weights_shape is None else unit(*weights_shape)
    for reduction in REDUCTIONS:
        pairs = [cls(name="quartic", reduction=reduction) for cls in (ours, theirs)]
        compare(*pairs, numbers(5, 3, 4), numbers(5, 3, 4), weights, mask)
        assert pairs[0].get_config() == pairs[1].get_config()


FUNCTIONS = [
    ("binary_crossentropy", {}, bits, unit),
    (
        "binary_crossentropy",
        {"from_logits": True, "label_smoothing": 0.1, "axis": 1},
        bits,
        numbers,
    ),
    ("categorical_crossentropy", {"label_smoothing": 0.1}, one_hot, unit),
    ("categorical_crossentropy", {"from_logits": True}, one_hot, numbers),
    ("sparse_categorical_crossentropy", {"ignore_class": 1}, labels, unit),
    ("sparse_categorical_crossentropy", {"from_logits": True}, labels, numbers),
    ("binary_focal_crossentropy", {"apply_class_balancing": True, "gamma": 1.0}, bits, unit),
    ("binary_focal_crossentropy", {"from_logits": True, "axis": 1}, bits, numbers),
    ("categorical_focal_crossentropy", {"alpha": 0.5}, one_hot, unit),
    ("categorical_focal_crossentropy", {"from_logits": True}, one_hot, numbers),
    ("kl_divergence", {}, probabilities, probabilities),
    ("poisson", {}, unit, unit),
    ("mean_absolute_error", {}, numbers, numbers),
    ("mean_squared_error", {}, numbers, numbers),
    ("mean_absolute_percentage_error", {}, numbers, numbers),
    ("mean_squared_logarithmic_error", {}, unit, unit),
    ("cosine_similarity", {"axis": 1}, numbers, numbers),
    ("huber", {"delta": 0.5}, numbers, numbers),
    ("log_cosh", {}, numbers, numbers),
    ("hinge", {}, signs, numbers),
    ("squared_hinge", {}, bits, numbers),
    ("categorical_hinge", {}, one_hot, numbers),
    ("dice", {"axis": (1, 2)}, bits, unit),
    ("tversky", {"axis": (1, 2), "alpha": 0.3, "beta": 0.7}, bits, unit),
    ("categorical_generalized_cross_entropy", {"q": 0.3}, labels, probabilities),
    ("ctc", {}, None, None),
    ("circle", {"gamma": 8.0, "margin": 0.2}, None, None),
    ("circle", {"remove_diagonal": False}, None, None),
]


@pytest.mark.parametrize(
    ("name", "arguments", "targets", "predictions"),
    FUNCTIONS,
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_every_function_and_its_gradient(name, arguments, targets, predictions):
    if name == "ctc":
        y_true, y_pred = np.array([[1, 2, 0], [3, 1, 1]]), numbers(2, 8, 4)
    elif name == "circle":
        y_true, y_pred = np.array([0, 0, 1, 1, 2, 0]), numbers(6, 5)
        arguments = {"ref_labels": y_true, "ref_embeddings": y_pred, **arguments}
    else:
        y_true, y_pred = targets(5, 3, 4), predictions(5, 3, 4)
    source = (
        keras.losses
        if hasattr(keras.losses, name)
        else __import__("keras.src.losses.losses", fromlist=[name])
    )
    results = []
    for function, convert, options in (
        (getattr(losses, name), torch.tensor, arguments),
        (getattr(source, name), keras.ops.convert_to_tensor, for_keras(name.title(), arguments)),
    ):
        options = {k: convert(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        prediction = torch.tensor(y_pred, requires_grad=True)
        value = function(convert(y_true), prediction, **options)
        value.sum().backward()
        results.append((value.detach().numpy(), prediction.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weights_shape", [None, (5, 3)])
@pytest.mark.parametrize("name", ["MeanSquaredError", "SparseCategoricalCrossentropy"])
def test_masks(name, weights_shape, reduction):
    targets = numbers if name == "MeanSquaredError" else labels
    mask = RNG.integers(0, 2, size=(5, 3)).astype(bool)
    weights = None if weights_shape is None else unit(*weights_shape)
    ours, theirs = pair(name, {"reduction": reduction})
    compare(ours, theirs, targets(5, 3, 4), probabilities(5, 3, 4), weights, mask)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_mask_that_hides_everything(reduction):
    ours, theirs = pair("MeanSquaredError", {"reduction": reduction})
    compare(ours, theirs, numbers(2, 3, 4), numbers(2, 3, 4), None, np.zeros((2, 3), bool))


def test_mask_and_ignored_class_together():
    ours, theirs = pair("SparseCategoricalCrossentropy", {"ignore_class": 0})
    mask = np.array([[True, True, False], [True, False, True]])
    y_true = np.array([[0, 1, 2], [3, 0, 1]])
    compare(ours, theirs, y_true, probabilities(2, 3, 4), None, mask)


@pytest.mark.parametrize(
    ("true_shape", "pred_shape"),
    [((6,), (6, 1)), ((6, 1), (6,)), ((6,), (6,)), ((6, 1), (6, 1)), ((6, 3, 1), (6, 3))],
)
@pytest.mark.parametrize("name", ["MeanSquaredError", "Huber", "BinaryCrossentropy", "Hinge"])
def test_ranks_that_differ_by_one(name, true_shape, pred_shape):
    ours, theirs = pair(name, {})
    compare(ours, theirs, bits(*true_shape).astype("float32"), unit(*pred_shape))


@pytest.mark.parametrize("target_shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_sparse_label_dtypes(dtype, target_shape):
    ours, theirs = pair("SparseCategoricalCrossentropy", {})
    y_true = RNG.integers(0, 3, size=target_shape).astype(dtype)
    compare(ours, theirs, y_true, probabilities(4, 3))


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("axis", [1, -2, -1, 2])
def test_class_axis(axis, from_logits):
    arguments = {"axis": axis, "from_logits": from_logits}
    shape = (2, 3, 5)
    classes = shape[axis]
    rest = [size for i, size in enumerate(shape) if i != axis % 3]
    y_true = RNG.integers(0, classes, size=rest)
    hot = np.moveaxis(np.eye(classes, dtype="float32")[y_true], -1, axis)
    compare(*pair("SparseCategoricalCrossentropy", arguments), y_true, unit(*shape))
    compare(*pair("CategoricalCrossentropy", arguments), hot, unit(*shape))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["MeanSquaredError", "CategoricalCrossentropy"])
def test_dtype_of_the_loss(name, dtype):
    ours, theirs = pair(name, {"dtype": dtype})
    value = ours(torch.tensor(one_hot(4, 3)), torch.tensor(unit(4, 3)))
    expected = theirs(one_hot(4, 3), unit(4, 3))
    assert ours.dtype == theirs.dtype == dtype
    assert keras.backend.standardize_dtype(expected.dtype) == str(value.dtype).split(".")[1]


@pytest.mark.parametrize(("name", "arguments", "targets", "predictions"), LOSSES, ids=IDS)
def test_functions(name, arguments, targets, predictions):
    from keras.src.losses import losses as source

    function = theirs_of(name)(**arguments).fn.__name__
    y_true, y_pred = targets(5, 4), predictions(5, 4)
    expected = getattr(source, function)(
        keras.ops.convert_to_tensor(y_true),
        keras.ops.convert_to_tensor(y_pred),
        **for_keras(name, arguments),
    )
    value = getattr(losses, function)(torch.tensor(y_true), torch.tensor(y_pred), **arguments)
    np.testing.assert_allclose(value.numpy(), to_numpy(expected), **TOLERANCE)


def test_ctc():
    y_true = np.array([[1, 2, 0], [3, 1, 1]])
    compare(losses.CTC(), keras.losses.CTC(), y_true, numbers(2, 8, 4))


def test_circle():
    y_pred = numbers(6, 5)
    y_pred /= np.linalg.norm(y_pred, axis=-1, keepdims=True)
    y_true = np.array([0, 0, 1, 1, 2, 0])
    compare(losses.Circle(gamma=8.0), keras.losses.Circle(gamma=8.0), y_true, y_pred)


PUBLIC = [(name, arguments) for name, arguments, *_ in LOSSES if hasattr(keras.losses, name)] + [
    ("CTC", {}),
    ("Circle", {"gamma": 8.0}),
]
KEPT_BESIDES_KERAS = {("Huber", "delta"): 0.3}


@pytest.mark.parametrize(("name", "arguments"), PUBLIC)
def test_configs(name, arguments):
    arguments = {**arguments, "reduction": "sum", "name": "mine"}
    ours, theirs = getattr(losses, name)(**arguments), theirs_of(name)(**arguments)
    config = losses.serialize(ours)
    expected = keras.losses.serialize(theirs)
    for (cls, key), value in KEPT_BESIDES_KERAS.items():
        if cls == name and arguments.get(key) == value:
            expected["config"][key] = value
    assert config == expected
    again = losses.deserialize(json.loads(json.dumps(expected)))
    assert type(again) is type(ours)
    assert again.get_config() == ours.get_config()
    if name != "CategoricalGeneralizedCrossEntropy":  # which Keras writes but does not read
        assert keras.losses.deserialize(config).get_config() == theirs.get_config()


def test_config_of_a_wrapped_function():
    from keras.src.losses.losses import LossFunctionWrapper

    expected = keras.losses.serialize(LossFunctionWrapper(keras.losses.huber, delta=2.0))
    loss = losses.deserialize(expected)
    assert loss.fn is losses.huber
    config = losses.serialize(loss)
    assert config["config"] == expected["config"]
    assert config["module"] == expected["module"]
    assert keras.losses.deserialize(config).fn is keras.losses.huber


@pytest.mark.parametrize("name", sorted(n for n in dir(keras.losses) if not n.startswith("_")))
def test_every_public_name_is_here(name):
    assert hasattr(losses, name)


@pytest.mark.parametrize(
    "name",
    ["mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "bce", "BCE", "kld", "KLD"]
    + ["huber", "hinge", "poisson", "cosine_similarity", "sparse_categorical_crossentropy"],
)
def test_names_of_functions(name):
    assert losses.get(name).__name__ == keras.losses.get(name).__name__


@pytest.mark.parametrize(
    "identifier", ["nothing", "accuracy", 3, {"class_name": "No", "config": {}}]
)
def test_errors_of_get(identifier):
    kinds = []
    for module in (losses, keras.losses):
        with pytest.raises((ValueError, TypeError)) as caught:
            module.get(identifier)
        kinds.append(caught.type)
    assert issubclass(kinds[0], kinds[1]) or kinds == [ValueError, TypeError]


@pytest.mark.parametrize("reduction", ["average", 1, "AUTO"])
def test_errors_of_reduction(reduction):
    for module in (losses, keras.losses):
        with pytest.raises(ValueError, match="reduction"):
            module.MeanSquaredError(reduction=reduction)


@pytest.mark.parametrize(
    ("name", "true_shape", "pred_shape"),
    [
        ("CategoricalCrossentropy", (4, 3), (4, 5)),
        ("BinaryCrossentropy", (4, 3), (4, 5)),
        ("SparseCategoricalCrossentropy", (5,), (4, 3)),
        ("SparseCategoricalCrossentropy", (4, 3), (4, 3)),
    ],
)
def test_errors_of_shapes(name, true_shape, pred_shape):
    for module in (losses, keras.losses):
        with pytest.raises(ValueError):
            getattr(module, name)()(torch.zeros(true_shape), torch.full(pred_shape, 0.5))
