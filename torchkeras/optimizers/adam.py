"""Adam: steps scaled by running averages of the gradient and of its square."""

import torch

from torchkeras.core.checks import check_real, check_switch
from torchkeras.optimizers.optimizer import Optimizer

# The kernel divides by 1 - beta**step; here the corrections are part of the learning rate, and
# after this many steps the kernel's own are exactly 1, for any beta below 1.
_ENDLESS = 1e30


class Adam(Optimizer):
    """Adam: each entry moves by the mean of its gradient over the root of its mean square.

    Computes, at the step number t (from 1), for a variable `w` with gradient `g`:

    - `m = beta_1 * m + (1 - beta_1) * g`
    - `v = beta_2 * v + (1 - beta_2) * g**2`
    - `w = w - learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)`

    With `amsgrad`, the largest `v` so far stands in the last line. `epsilon` is added before
    the bias correction (as in Keras); `torch.optim.Adam` adds it after.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        beta_1: float in [0, 1), decay of the average of gradients.
        beta_2: float in [0, 1), decay of the average of squares.
        epsilon: float, keeps the division finite.
        amsgrad: bool, whether to use the largest average of squares so far.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Kingma and Ba 2014, arXiv:1412.6980, the form before section 2.1, whose "epsilon
    hat" is our `epsilon`; Reddi et al. 2018, arXiv:1904.09237, for amsgrad.

    Example:

    >>> v = keras.Variable(1.0)
    >>> keras.optimizers.Adam(learning_rate=0.5).apply([torch.tensor(3.0)], [v])
    >>> round(float(v), 4)
    0.5
    """

    _state_names = ("_momentums", "_velocities", "_velocity_hats")
    _decays_in_kernel = True

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
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
        check_switch("amsgrad", amsgrad)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad
        self._velocity_hats = []

    def build(self, variables):
        """Make the averages `m` and `v` for each variable, and the largest `v` for amsgrad."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(variables, "velocity_hat")

    def _corrected(self, learning_rate, step):
        return learning_rate * (1 - self.beta_2**step) ** 0.5 / (1 - self.beta_1**step)

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        gradient = gradient.to(variable.value.dtype)
        i = self._get_variable_index(variable)
        m, v = self._momentums[i], self._velocities[i]
        m.assign(m.value + (gradient - m.value) * (1 - self.beta_1))
        v.assign(v.value + (gradient * gradient - v.value) * (1 - self.beta_2))
        if self.amsgrad:
            hat = self._velocity_hats[i]
            hat.assign(torch.maximum(hat.value, v.value))
            v = hat
        rate = self._corrected(learning_rate, self._step())
        variable.assign(variable.value - m.value * rate / (v.value.sqrt() + self.epsilon))

    def _can_use_kernels(self):
        return super()._can_use_kernels() and self.beta_1 < 1 and self.beta_2 < 1

    def _update_group(self, group, grads, learning_rate, step):
        states = group.states
        steps = group.cache.get("steps")
        if steps is None:
            endless = torch.tensor(_ENDLESS, dtype=torch.float32, device=group.params[0].device)
            steps = group.cache["steps"] = [endless] * len(group.params)
        rate = self._corrected(learning_rate, step)
        # The kernel decays by 1 - lr * weight_decay, with the corrected rate as lr.
        decay = 0.0
        if self.weight_decay is not None and group.decays and rate:
            decay = self.weight_decay * learning_rate / rate
        update = torch._fused_adamw_ if decay else torch._fused_adam_
        update(
            group.params,
            grads,
            states["_momentums"],
            states["_velocities"],
            states["_velocity_hats"] if self.amsgrad else [],
            steps,
            amsgrad=self.amsgrad,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            weight_decay=decay,
            eps=self.epsilon,
            maximize=False,
        )

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }
