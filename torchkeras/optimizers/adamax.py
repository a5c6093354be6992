"""Adamax: Adam with the largest recent gradient in place of the mean square."""

import torch

from torchkeras.core.checks import check_real
from torchkeras.optimizers.optimizer import Optimizer


class Adamax(Optimizer):
    """Adamax: Adam with a decaying maximum of gradients in place of their mean square.

    Computes, at the step number t (from 1), for a variable `w` with gradient `g`:

    - `m = beta_1 * m + (1 - beta_1) * g`
    - `u = max(beta_2 * u, abs(g))`
    - `w = w - learning_rate / (1 - beta_1**t) * m / (u + epsilon)`

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        beta_1: float in [0, 1), decay of the average of gradients.
        beta_2: float in [0, 1), decay of the maximum.
        epsilon: float, keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Kingma and Ba 2014, arXiv:1412.6980, algorithm 2; `epsilon` is not in the paper.

    Example:

    >>> v = keras.Variable(1.0)
    >>> keras.optimizers.Adamax(learning_rate=0.5).apply([torch.tensor(3.0)], [v])
    >>> round(float(v), 4)
    0.5
    """

    _state_names = ("_m", "_u")

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
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
        check_real("beta_1", beta_1, least=0, below=1)
        check_real("beta_2", beta_2, least=0, most=1)
        check_real("epsilon", epsilon, least=0)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        """Make the average `m` and the maximum `u` for each variable."""
        if self.built:
            return
        super().build(variables)
        self._m, self._u = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        gradient = gradient.to(variable.value.dtype)
        i = self._get_variable_index(variable)
        m, u = self._m[i], self._u[i]
        m.assign(m.value + (gradient - m.value) * (1 - self.beta_1))
        u.assign(torch.maximum(u.value * self.beta_2, gradient.abs()))
        rate = learning_rate / (1 - self.beta_1 ** self._step())
        variable.assign(variable.value - m.value * rate / (u.value + self.epsilon))

    def _update_group(self, group, grads, learning_rate, step):
        m, u = group.states["_m"], group.states["_u"]
        torch._foreach_lerp_(m, grads, 1 - self.beta_1)
        torch._foreach_mul_(u, self.beta_2)
        torch._foreach_maximum_(u, torch._foreach_abs(grads))
        rate = learning_rate / (1 - self.beta_1**step)
        torch._foreach_addcdiv_(group.params, m, torch._foreach_add(u, self.epsilon), -rate)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
