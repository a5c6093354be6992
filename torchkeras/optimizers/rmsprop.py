"""RMSprop: gradients divided by the root of their running mean square."""

import torch

from torchkeras.core.checks import check_real, check_switch
from torchkeras.optimizers.optimizer import Optimizer


class RMSprop(Optimizer):
    """RMSprop: each entry's gradient over the root of its running mean square.

    Computes, for a variable `w` with gradient `g`:

    - `v = rho * v + (1 - rho) * g**2`
    - `change = learning_rate * g / sqrt(v + epsilon)`; if `centered`, the square of the running
      mean of gradients is subtracted from `v` under the root
    - `w = w - change`; with momentum, `m = momentum * m + change` and `w = w - m`

    `epsilon` is under the root (as in Keras); `torch.optim.RMSprop` adds it to the root.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        rho: float in [0, 1), decay of the running means.
        momentum: float, at least 0.
        epsilon: float, keeps the division finite.
        centered: bool, whether to divide by an estimate of the variance.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Hinton 2012, "Neural networks for machine learning", lecture 6e; centered: Graves
    2013, arXiv:1308.0850, eq. 38 to 45.

    Example:

    >>> v = keras.Variable(1.0)
    >>> keras.optimizers.RMSprop(learning_rate=0.1, rho=0.75).apply([torch.tensor(3.0)], [v])
    >>> round(float(v), 4)
    0.8
    """

    _state_names = ("_velocities", "_momentums", "_average_gradients")

    def __init__(
        self,
        learning_rate=0.001,
        rho=0.9,
        momentum=0.0,
        epsilon=1e-7,
        centered=False,
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
        check_real("rho", rho, least=0, most=1)
        check_real("momentum", momentum, least=0, most=1)
        check_real("epsilon", epsilon, least=0)
        check_switch("centered", centered)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered
        self._momentums = []
        self._average_gradients = []

    def build(self, variables):
        """Make the running mean of squares, the momentum and the running mean, as needed."""
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(variables, "momentum")
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(variables, "average_gradient")

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        gradient = gradient.to(variable.value.dtype)
        i = self._get_variable_index(variable)
        velocity = self._velocities[i]
        velocity.assign(velocity.value * self.rho + gradient * gradient * (1 - self.rho))
        variance = velocity.value
        if self.centered:
            average = self._average_gradients[i]
            average.assign(average.value * self.rho + gradient * (1 - self.rho))
            variance = variance - average.value * average.value
        change = gradient * learning_rate / (variance + self.epsilon).sqrt()
        if self.momentum > 0:
            m = self._momentums[i]
            m.assign(m.value * self.momentum + change)
            change = m.value
        variable.assign(variable.value - change)

    def _update_group(self, group, grads, learning_rate, step):
        velocities = group.states["_velocities"]
        torch._foreach_mul_(velocities, self.rho)
        torch._foreach_addcmul_(velocities, grads, grads, 1 - self.rho)
        roots = torch._foreach_add(velocities, self.epsilon)
        if self.centered:
            averages = group.states["_average_gradients"]
            torch._foreach_mul_(averages, self.rho)
            torch._foreach_add_(averages, grads, alpha=1 - self.rho)
            torch._foreach_addcmul_(roots, averages, averages, -1)
        torch._foreach_sqrt_(roots)
        if self.momentum > 0:
            m = group.states["_momentums"]
            torch._foreach_mul_(m, self.momentum)
            torch._foreach_addcdiv_(m, grads, roots, learning_rate)
            torch._foreach_sub_(group.params, m)
        else:
            torch._foreach_addcdiv_(group.params, grads, roots, -learning_rate)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
