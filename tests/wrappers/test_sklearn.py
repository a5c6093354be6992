"""Models as estimators of scikit-learn, by scikit-learn's own checks; those that fail with Keras's
wrappers, for the same reasons, are left out here, too."""

import subprocess
import sys

import numpy as np
import pytest

import torchkeras as keras

pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import estimator_checks_generator  # noqa: E402

from torchkeras.wrappers import (  # noqa: E402
    SKLearnClassifier,
    SKLearnRegressor,
    SKLearnTransformer,
)


def make_model(X, y, loss, activation=None, layers=(10,)):
    keras.utils.set_random_seed(0)  # the checks compare fits
    x = inputs = keras.Input((X.shape[1],))
    for units in layers:
        x = keras.layers.Dense(units, activation="relu")(x)
    model = keras.Model(inputs, keras.layers.Dense(y.shape[1], activation=activation)(x))
    model.compile(loss=loss, optimizer="rmsprop")
    return model


ESTIMATORS = [
    SKLearnClassifier(
        make_model,
        model_kwargs={"loss": "categorical_crossentropy", "activation": "softmax"},
        fit_kwargs={"epochs": 1, "verbose": 0},
    ),
    SKLearnRegressor(make_model, model_kwargs={"loss": "mse"}, fit_kwargs={"verbose": 0}),
    SKLearnTransformer(make_model, model_kwargs={"loss": "mse"}, fit_kwargs={"verbose": 0}),
]
# As in Keras: fits differ from each other, and weights of 0 are weights.
LEFT_OUT = {
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_classes",
    "check_classifier_data_not_an_array",
    "check_supervised_y_2d",
    "check_fit_idempotent",
    "check_classifiers_train",
}


def checks():
    for estimator in ESTIMATORS:
        for _, check in estimator_checks_generator(estimator, legacy=True):
            name = getattr(check, "func", check).__name__
            if name not in LEFT_OUT:
                yield pytest.param(estimator, check, id=f"{type(estimator).__name__}-{name}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_checks_of_scikit_learn(estimator, check):
    keras.config.set_floatx("float64")
    check(estimator)


def data(classes=3):
    generator = np.random.RandomState(0)
    labels = generator.randint(classes, size=120)
    return np.eye(classes)[labels] + 0.1 * generator.randn(120, classes), labels


def test_a_classifier_learns_labels_of_any_kind():
    X, y = data()
    names = np.array(["dog", "cat", "bird"])[y]
    estimator = SKLearnClassifier(
        make_model,
        model_kwargs={"loss": "categorical_crossentropy", "activation": "softmax"},
        fit_kwargs={"verbose": 0, "epochs": 1},
    )
    pipe = make_pipeline(StandardScaler(), estimator)
    pipe.fit(X, names, sklearnclassifier__epochs=40)
    assert pipe.score(X, names) > 0.95
    assert list(estimator.classes_) == ["bird", "cat", "dog"]
    assert len(estimator.history_.history["loss"]) == 40 and estimator.epoch_[-1] == 39
    assert estimator.decision_function(X).shape == (120, 3)
    assert estimator.fit_kwargs == {"verbose": 0, "epochs": 1}


def compiled():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_it_fits_as_keras_does():
    real = pytest.importorskip("keras")
    X, y = data()
    model = compiled()
    theirs = real.Sequential([real.Input((3,)), real.layers.Dense(1)])
    theirs.compile(real.optimizers.SGD(0.05), "mse")
    theirs.set_weights(model.get_weights())
    options = {"verbose": 0, "epochs": 2, "shuffle": False}
    found = []
    for lib, net in ((keras, model), (real, theirs)):
        # A function that gives the model itself: a clone would have new weights.
        make = lambda X, y, net=net: net  # noqa: E731
        estimator = lib.wrappers.SKLearnRegressor(make, fit_kwargs=options)
        found.append(estimator.fit(X, y.astype("float32")).predict(X))
    assert found[0].shape == (120,)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_a_given_model_is_copied_unless_the_start_is_warm():
    X, y = data()
    model = compiled()
    before = model.get_weights()[0].copy()
    cold = SKLearnRegressor(model, fit_kwargs={"verbose": 0}).fit(X, y)
    np.testing.assert_array_equal(model.get_weights()[0], before)
    assert cold.model_ is not model and cold.fit(X, y).model_ is not model
    warm = SKLearnRegressor(model, warm_start=True, fit_kwargs={"verbose": 0}).fit(X, y)
    assert warm.model_ is model and warm.fit(X, y).model_ is model
    assert model.optimizer.iterations == 8
    twin = clone(warm)
    assert twin.model is not model and twin.fit_kwargs == warm.fit_kwargs


def test_errors():
    X, y = data()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(RuntimeError, match="must be compiled"):
        SKLearnRegressor(model).fit(X, y)
    with pytest.raises(ValueError, match="only one class is present"):
        SKLearnClassifier(compiled()).fit(X, np.zeros(120, int))
    with pytest.raises(ValueError, match="one label for each sample.*'continuous'"):
        SKLearnClassifier(compiled()).fit(X, X[:, 0])
    with pytest.raises(RuntimeError, match="enable_metadata_routing=True"):
        SKLearnRegressor(compiled()).set_fit_request(sample_weight=True)
    with pytest.raises(AttributeError):
        keras.wrappers.SKLearnOracle  # noqa: B018


def test_it_is_imported_when_asked_for():
    code = (
        "import sys, torchkeras as k; assert 'sklearn' not in sys.modules\n"
        "sys.modules['sklearn'] = None\n"
        "try: k.wrappers.SKLearnRegressor\n"
        "except ImportError as e: assert 'pip install \"torchkeras[sklearn]\"' in str(e), e\n"
        "else: raise SystemExit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=100).returncode == 0
