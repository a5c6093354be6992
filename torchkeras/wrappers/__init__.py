"""keras.wrappers: models as estimators of scikit-learn, which is imported when one is asked for."""

_NAMES = ("SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer")


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        from torchkeras.wrappers import sklearn_wrapper
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "sklearn":
            raise
        raise ImportError(
            f"{name} is an estimator of scikit-learn, 1.6 or later, which is not installed. Run: "
            'pip install "torchkeras[sklearn]"'
        ) from error
    return getattr(sklearn_wrapper, name)


def __dir__():
    return sorted(_NAMES)
