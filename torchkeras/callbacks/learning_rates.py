"""What callbacks that set the learning rate ask of the optimizer."""


def check_settable(callback):
    """The optimizer of a callback's model, whose learning rate is a number that can be set.

    Raises:
        ValueError: there is no optimizer, or it has no learning rate.
        TypeError: the rate comes from a schedule or a function.
    """
    optimizer, name = callback.model.optimizer, type(callback).__name__
    if not hasattr(type(optimizer), "learning_rate") and not hasattr(optimizer, "learning_rate"):
        raise ValueError(
            f"{name} needs an optimizer with a `learning_rate`. Received: {optimizer!r}. Compile "
            "the model with one."
        )
    rule = getattr(optimizer, "learning_rate_rule", None)
    if rule is not None:
        raise TypeError(
            f"{name} sets the learning rate to a number, which that of optimizer "
            f"'{optimizer.name}' is not settable to. Received: {rule!r} as its learning rate. "
            "Compile with a float learning_rate, or leave the callback out."
        )
    return optimizer
