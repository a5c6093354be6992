"""Adagrad: gradients divided by the root of the sum of their squares."""

import torch

from torchkeras.core.checks import check_real
from torchkeras.optimizers.optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad: each entry's gradient over the root of the sum of all its squares so far.

    Computes, for a variable `w` with gradient `g`: `a = a + g**2`, then
    `w = w - learning_rate * g / sqrt(a + epsilon)`.

    `epsilon` is under the root (as in Keras); `torch.optim.Adagrad` adds it to the root.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        initial_accumulator_value: float, at least 0, the value of `a` before the first step.
        epsilon: float, keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Duchi et al. 2011, JMLR 12, figure 1, diagonal case.

    Example:

    >>> v = keras.Variable(1.0)
    >>> keras.optimizers.Adagrad(0.5, initial_accumulator_value=0.0).apply([torch.tensor(3.0)], [v])
    >>> round(float(v), 4)
    0.5
    """

    _state_names = ("_accumulators",)

    def __init__(
        self,
        learning_rate=0.001,
        initial_accumulator_value=0.1,
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
        check_real("initial_accumulator_value", initial_accumulator_value, least=0)
        check_real("epsilon", epsilon, least=0)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables):
        """Make the sum of squares for each variable."""
        if self.built:
            return
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(
            variables, "accumulator", initializer=self.initial_accumulator_value
        )

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        gradient = gradient.to(variable.value.dtype)
        a = self._accumulators[self._get_variable_index(variable)]
        a.assign(a.value + gradient * gradient)
        variable.assign(variable.value - gradient * learning_rate / (a.value + self.epsilon).sqrt())

    def _update_group(self, group, grads, learning_rate, step):
        accumulators = group.states["_accumulators"]
        torch._foreach_addcmul_(accumulators, grads, grads)
        roots = torch._foreach_add(accumulators, self.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(group.params, grads, roots, -learning_rate)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }
