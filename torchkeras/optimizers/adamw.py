"""AdamW: Adam with decoupled weight decay switched on."""

from torchkeras.optimizers.adam import Adam


class AdamW(Adam):
    """Adam that also shrinks each variable by `learning_rate * weight_decay` before each step.

    The update is that of `Adam`; only the default of `weight_decay` differs, and it may not be
    None. Decay that should spare biases and norms: see `exclude_from_weight_decay`.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        weight_decay: float. Variables are multiplied by `1 - learning_rate * weight_decay`.
        beta_1, beta_2, epsilon, amsgrad: as in `Adam`.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: as in `Optimizer`.

    Raises:
        ValueError: `weight_decay` is None.

    Source: Loshchilov and Hutter 2017, arXiv:1711.05101, algorithm 2, with the learning rate
    as the schedule multiplier.

    Example:

    >>> v = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.AdamW(learning_rate=0.5, weight_decay=0.5)
    >>> optimizer.apply([torch.tensor(0.0)], [v])
    >>> float(v)
    0.75
    """

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        **kwargs,
    ):
        if weight_decay is None:
            raise ValueError(
                "Argument `weight_decay` must be a float. Received: weight_decay=None. For no "
                "decay use Adam."
            )
        super().__init__(
            learning_rate=learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
            **kwargs,
        )
