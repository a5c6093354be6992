"""Lion: steps of equal size, in the direction of the sign of an average."""

import torch

from torchkeras.core.checks import check_real
from torchkeras.optimizers.optimizer import Optimizer


class Lion(Optimizer):
    """Lion: every entry moves by the learning rate, in the sign of an average of gradients.

    Computes, for a variable `w` with gradient `g`:

    - `w = w - learning_rate * sign(beta_1 * m + (1 - beta_1) * g)`
    - `m = beta_2 * m + (1 - beta_2) * g`

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        beta_1: float in (0, 1], weight of the average in the direction.
        beta_2: float in [0, 1), decay of the average.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Raises:
        ValueError: `beta_1` is not in (0, 1].

    Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2.

    Example:

    >>> v = keras.Variable([1.0, 1.0])
    >>> keras.optimizers.Lion(learning_rate=0.5).apply([torch.tensor([3.0, -0.1])], [v])
    >>> v.numpy()
    array([0.5, 1.5], dtype=float32)
    """

    _state_names = ("_momentums",)

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.99,
        weight_decay=None,
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
        if not 0 < beta_1 <= 1:
            raise ValueError(
                "Argument `beta_1` must be in (0, 1]: at 0 only the sign of the gradient counts. "
                f"Received: beta_1={beta_1}."
            )
        super().__init__(
            learning_rate=learning_rate,
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
        check_real("beta_1", beta_1, least=0, most=1)
        check_real("beta_2", beta_2, least=0, most=1)
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables):
        """Make the average of gradients for each variable."""
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        gradient = gradient.to(variable.value.dtype)
        m = self._momentums[self._get_variable_index(variable)]
        direction = torch.sign(m.value * self.beta_1 + gradient * (1 - self.beta_1))
        variable.assign(variable.value - direction * learning_rate)
        m.assign(m.value * self.beta_2 + gradient * (1 - self.beta_2))

    def _update_group(self, group, grads, learning_rate, step):
        m = group.states["_momentums"]
        direction = torch._foreach_mul(m, self.beta_1)
        torch._foreach_add_(direction, grads, alpha=1 - self.beta_1)
        torch._foreach_sign_(direction)
        torch._foreach_add_(group.params, direction, alpha=-learning_rate)
        torch._foreach_mul_(m, self.beta_2)
        torch._foreach_add_(m, grads, alpha=1 - self.beta_2)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
        }
