"""keras.optimizers.legacy: names of Keras 2, each of which says that it is gone."""


class _Gone:
    """An ImportError in the place of an optimizer of Keras 2, as in Keras 3.

    Example:

    >>> try:
    ...     keras.optimizers.legacy.Adam(0.1)
    ... except ImportError as error:
    ...     print(str(error)[:24])
    `keras.optimizers.legacy
    """

    def __init__(self, *args, **kwargs):
        raise ImportError(
            "`keras.optimizers.legacy` holds the optimizers of Keras 2, which are not here. "
            "Received: a call of one. Take the one of that name from `keras.optimizers`, and a "
            "schedule in the place of `decay`."
        )


Adagrad = Adam = Ftrl = RMSprop = SGD = Optimizer = _Gone
