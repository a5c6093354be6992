"""Nadam: Adam with Nesterov momentum."""

import torch

from torchkeras.core import config
from torchkeras.core.checks import check_real
from torchkeras.core.scopes import SCOPE
from torchkeras.core.variable import Variable
from torchkeras.optimizers.optimizer import Optimizer


class Nadam(Optimizer):
    """Nadam: Adam that looks one momentum step ahead.

    Computes, at the step number t (from 1), for a variable `w` with gradient `g`:

    - `u_t = beta_1 * (1 - 0.5 * 0.96**t)`, and `p`, the product of `u_1` to `u_t`
    - `m = beta_1 * m + (1 - beta_1) * g` and `v = beta_2 * v + (1 - beta_2) * g**2`
    - `m_hat = u_{t+1} * m / (1 - p * u_{t+1}) + (1 - u_t) * g / (1 - p)`
    - `w = w - learning_rate * m_hat / (sqrt(v / (1 - beta_2**t)) + epsilon)`

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        beta_1: float in [0, 1), decay of the average of gradients.
        beta_2: float in [0, 1), decay of the average of squares.
        epsilon: float, keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 8, with the
    momentum schedule of its experiments (`0.96**t`, as in Keras).

    Example:

    >>> v = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.Nadam(learning_rate=0.5)
    >>> optimizer.apply([torch.tensor(3.0)], [v])
    >>> 0.4 < float(v) < 0.6
    True
    """

    _state_names = ("_momentums", "_velocities")

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
        """Make the averages `m` and `v` for each variable, and the product `p`."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        dtype = variables[0].dtype if variables else None
        with config.device("cpu"):
            self._u_product = Variable(1.0, dtype=dtype, trainable=False)

    def _schedule(self, step):
        """The momentum factors `u_t` and `u_{t+1}`."""
        u = self.beta_1 * (1 - 0.5 * 0.96**step)
        u_next = self.beta_1 * (1 - 0.5 * 0.96 ** (step + 1))
        return u, u_next

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        self._u_product.assign(self._u_product.value * self._schedule(self._step())[0])
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def _update_groups(self, plan, grads, learning_rate, step):
        self._u_product.assign(self._u_product.value * self._schedule(step)[0])
        super()._update_groups(plan, grads, learning_rate, step)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        gradient = gradient.to(variable.value.dtype)
        i = self._get_variable_index(variable)
        m, v = self._momentums[i], self._velocities[i]
        step = self._step()
        u, u_next = self._schedule(step)
        product = self._u_product.value
        if SCOPE.stateless is None:
            product = product.item()
        m.assign(m.value + (gradient - m.value) * (1 - self.beta_1))
        v.assign(v.value + (gradient * gradient - v.value) * (1 - self.beta_2))
        ahead = m.value * (u_next / (1 - product * u_next)) + gradient * ((1 - u) / (1 - product))
        root = (v.value / (1 - self.beta_2**step)).sqrt() + self.epsilon
        variable.assign(variable.value - ahead * learning_rate / root)

    def _update_group(self, group, grads, learning_rate, step):
        m, v = group.states["_momentums"], group.states["_velocities"]
        u, u_next = self._schedule(step)
        product = self._u_product.value.item()
        torch._foreach_lerp_(m, grads, 1 - self.beta_1)
        torch._foreach_mul_(v, self.beta_2)
        torch._foreach_addcmul_(v, grads, grads, 1 - self.beta_2)
        roots = torch._foreach_div(v, 1 - self.beta_2**step)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, self.epsilon)
        from_m = -learning_rate * u_next / (1 - product * u_next)
        from_g = -learning_rate * (1 - u) / (1 - product)
        torch._foreach_addcdiv_(group.params, m, roots, from_m)
        torch._foreach_addcdiv_(group.params, grads, roots, from_g)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
