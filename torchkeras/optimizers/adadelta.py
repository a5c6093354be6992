"""Adadelta: steps in the units of the variable, from running mean squares."""

import torch

from torchkeras.core.checks import check_real
from torchkeras.optimizers.optimizer import Optimizer


class Adadelta(Optimizer):
    """Adadelta: gradients scaled by the ratio of two running root mean squares.

    Computes, for a variable `w` with gradient `g`:

    - `a = rho * a + (1 - rho) * g**2`
    - `change = -g * sqrt(d + epsilon) / sqrt(a + epsilon)`
    - `d = rho * d + (1 - rho) * change**2`
    - `w = w + learning_rate * change`

    The paper has no learning rate; 1.0 gives its rule.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        rho: float in [0, 1), decay of the running means.
        epsilon: float, keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Zeiler 2012, arXiv:1212.5701, algorithm 1.

    Example:

    >>> v = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.Adadelta(learning_rate=1.0, rho=0.75, epsilon=1.0)
    >>> optimizer.apply([torch.tensor(2.0)], [v])
    >>> round(float(v), 4)  # 1 - 2 * sqrt(1 / (1 + 1))
    -0.4142
    """

    _state_names = ("_accumulated_grads", "_accumulated_delta_vars")

    def __init__(
        self,
        learning_rate=0.001,
        rho=0.95,
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
        check_real("rho", rho, least=0, most=1)
        check_real("epsilon", epsilon, least=0)
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables):
        """Make the running mean squares of gradients and of changes for each variable."""
        if self.built:
            return
        super().build(variables)
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
            variables, ["accumulated_grad", "accumulated_delta_var"]
        )

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        gradient = gradient.to(variable.value.dtype)
        i = self._get_variable_index(variable)
        a, d = self._accumulated_grads[i], self._accumulated_delta_vars[i]
        a.assign(a.value * self.rho + gradient * gradient * (1 - self.rho))
        change = -gradient * (d.value + self.epsilon).sqrt() / (a.value + self.epsilon).sqrt()
        d.assign(d.value * self.rho + change * change * (1 - self.rho))
        variable.assign(variable.value + change * learning_rate)

    def _update_group(self, group, grads, learning_rate, step):
        a = group.states["_accumulated_grads"]
        d = group.states["_accumulated_delta_vars"]
        torch._foreach_mul_(a, self.rho)
        torch._foreach_addcmul_(a, grads, grads, 1 - self.rho)
        roots = torch._foreach_add(a, self.epsilon)
        torch._foreach_sqrt_(roots)
        negated_change = torch._foreach_add(d, self.epsilon)
        torch._foreach_sqrt_(negated_change)
        torch._foreach_mul_(negated_change, grads)
        torch._foreach_div_(negated_change, roots)
        torch._foreach_mul_(d, self.rho)
        torch._foreach_addcmul_(d, negated_change, negated_change, 1 - self.rho)
        torch._foreach_add_(group.params, negated_change, alpha=-learning_rate)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
        }
