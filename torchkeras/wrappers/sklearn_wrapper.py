"""Models as estimators of scikit-learn: classifier, regressor and transformer."""

import copy

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from torchkeras.models import Model, clone_model


class _Estimator(BaseEstimator):
    """What the three have in common: a model, made and fitted in `fit`."""

    _takes_several_outputs = True

    def __init__(self, model, warm_start=False, model_kwargs=None, fit_kwargs=None):
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def fit(self, X, y, **kwargs):
        """Make the model and fit it.

        Args:
            X: array `(samples, features)`.
            y: array `(samples,)` or `(samples, outputs)`.
            **kwargs: arguments of the model's `fit`, before those of `fit_kwargs`.

        Returns:
            The estimator.

        Raises:
            RuntimeError: the model is not compiled.
        """
        X, y = validate_data(self, X, y, multi_output=self._takes_several_outputs)
        y = self._encoded(y)
        model = self._model_for(X, y)
        if not (model.compiled and model.loss and model.optimizer):
            raise RuntimeError(
                "The model of an estimator must be compiled, with a loss and an optimizer. "
                f"Received: '{model.name}'. Call model.compile(optimizer, loss)."
            )
        self.history_ = model.fit(X, y, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def predict(self, X):
        """Predictions in the form of the targets of `fit`.

        Args:
            X: array `(samples, features)`.
        """
        return self._decoded(self._outputs(X))

    @property
    def epoch_(self):
        """List of the epochs of the last `fit`."""
        return self.history_.epoch if hasattr(self, "history_") else 0

    def set_fit_request(self, **kwargs):
        """Ask for metadata to be handed to `fit`, where scikit-learn's metadata routing is on.

        Args:
            **kwargs: names of arguments to True, False, None or another name.

        Raises:
            RuntimeError: metadata routing is off.
        """
        if not get_config().get("enable_metadata_routing", False):
            raise RuntimeError(
                "Metadata is routed where scikit-learn was told so. Received: set_fit_request() "
                "without. Call sklearn.set_config(enable_metadata_routing=True)."
            )
        self._metadata_request = MetadataRequest(owner=type(self).__name__)
        for name, alias in kwargs.items():
            self._metadata_request.fit.add_request(param=name, alias=alias)
        return self

    def _model_for(self, X, y):
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if not isinstance(self.model, Model):
            return self.model(X=X, y=y, **(self.model_kwargs or {}))
        return self.model if self.warm_start else clone_model(self.model)

    def _outputs(self, X):
        check_is_fitted(self)
        verbose = (self.fit_kwargs or {}).get("verbose", "auto")
        return self.model_.predict(validate_data(self, X, reset=False), verbose=verbose)

    def _encoded(self, y):
        type_of_target(y, raise_unknown=True)
        self._is_flat = y.ndim == 1
        return y.reshape(-1, 1) if self._is_flat else y

    def _decoded(self, y):
        return np.squeeze(y, axis=1) if self._is_flat and y.ndim == 2 else y

    def __sklearn_clone__(self):
        # Other parameters are taken as they are, as the checks of scikit-learn want it.
        is_model = isinstance(self.model, Model)
        return type(self)(
            model=copy.deepcopy(self.model) if is_model else self.model,
            warm_start=self.warm_start,
            model_kwargs=self.model_kwargs,
            fit_kwargs=self.fit_kwargs,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        tags.target_tags.multi_output = self._takes_several_outputs
        return tags


_ARGUMENTS = """

    Args:
        model: compiled Model, of which `fit` fits a copy; or function that takes `X`, `y` (as the
            model will get it) and `model_kwargs`, and returns one.
        warm_start: bool, whether `fit` goes on with the model of the last one, and at first with
            `model` itself.
        model_kwargs: dict of further arguments of the function.
        fit_kwargs: dict of arguments of the model's `fit`.

    Attributes:
        model_: the fitted Model.
        history_: the History of its `fit`.
"""


class SKLearnClassifier(ClassifierMixin, _Estimator):
    __doc__ = f"""A model as a classifier of scikit-learn.

    The model learns one-hot targets, and gives a score for each class.
{_ARGUMENTS.rstrip()}
        classes_: array of the classes' labels.

    Raises:
        ValueError: in `fit`, fewer than two classes, or targets of several outputs.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    >>> model.compile("adam", "categorical_crossentropy")
    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0]] * 8), np.array(["a", "b"] * 8)
    >>> classifier = keras.wrappers.SKLearnClassifier(model, fit_kwargs={{"verbose": 0}})
    >>> classifier.fit(X, y).predict(X).shape
    (16,)
    """

    _takes_several_outputs = False

    def decision_function(self, X):
        """The model's outputs, a score for each class.

        Args:
            X: array `(samples, features)`.
        """
        return self._outputs(X)

    def _encoded(self, y):
        kind = type_of_target(y, raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                "A classifier takes one label for each sample. Received: Unknown label type: "
                f"{kind!r}."
            )
        check_classification_targets(y)
        self._is_flat = y.ndim == 1
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(
                "A classifier can't train when only one class is present. Received: class "
                f"{self.classes_[0]!r} alone."
            )
        return np.eye(len(self.classes_))[places.reshape(-1)]

    def _decoded(self, y):
        labels = self.classes_[np.argmax(y, axis=1)]
        return labels if self._is_flat else labels[:, None]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class SKLearnRegressor(RegressorMixin, _Estimator):
    __doc__ = f"""A model as a regressor of scikit-learn.
{_ARGUMENTS}
    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> regressor = keras.wrappers.SKLearnRegressor(model, fit_kwargs={{"verbose": 0}})
    >>> regressor.fit(np.ones((4, 2)), np.ones(4)).predict(np.ones((3, 2))).shape
    (3,)
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnTransformer(TransformerMixin, _Estimator):
    __doc__ = f"""A model as a transformer of scikit-learn, whose outputs are new features.
{_ARGUMENTS}
    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)])
    >>> model.compile("adam", "mse")
    >>> transformer = keras.wrappers.SKLearnTransformer(model, fit_kwargs={{"verbose": 0}})
    >>> transformer.fit_transform(np.ones((4, 2)), np.ones((4, 5))).shape
    (4, 5)
    """

    def transform(self, X):
        """The model's outputs.

        Args:
            X: array `(samples, features)`.
        """
        return self._outputs(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
