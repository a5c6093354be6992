"""ScheduleFreeAdamW: Adam's steps, averaged, in the place of a schedule."""

import torch

from torchkeras.optimizers.optimizer import Optimizer


class ScheduleFreeAdamW(Optimizer):
    """Schedule-free AdamW: gradients are taken between a moving point and its average.

    Computes, at the step number t (from 1), for a variable `w` with gradient `g`, where `z` is the
    moving point, at first `w`, and `x` the average of all its places:

    - `v = beta_2 * v + (1 - beta_2) * g**2`
    - `z = z - learning_rate * g / (sqrt(v / (1 - beta_2**t)) + epsilon)`
    - `x = (1 - 1/t) * x + z / t`
    - `w = (1 - beta_1) * z + beta_1 * x`

    `x` is not kept: it follows from `w` and `z`. In the first `warmup_steps` steps the learning
    rate rises linearly.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        beta_1: float in [0, 1], the part of the average in `w`.
        beta_2: float in [0, 1), decay of the average of squares.
        epsilon: float, keeps the division finite.
        warmup_steps: int, number of steps in which the learning rate rises; 0 for none.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Defazio et al. 2024, arXiv:2405.15682, algorithm 1, with every step of the same weight
    in the average (as in Keras).

    Example:

    >>> v = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.ScheduleFreeAdamW(learning_rate=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([torch.tensor(3.0)], [v])
    >>> round(float(v), 4)  # z was 0.5 and is 0.0; x is 0.25
    0.225
    """

    _state_names = ("_momentums", "_velocities")

    def __init__(
        self,
        learning_rate=0.0025,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        warmup_steps=0,
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
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables):
        """Make the moving point `z`, where the variable is now, and `v` for each variable."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        for point, variable in zip(self._momentums, variables, strict=True):
            if point is not None:
                point.assign(variable.value.detach())

    def _warmed_up(self, learning_rate, step):
        if not self.warmup_steps > 0:
            return learning_rate
        part = step / self.warmup_steps
        return learning_rate * (part.clamp(max=1.0) if torch.is_tensor(part) else min(part, 1.0))

    def _weights(self, step):
        """Factors of the old `w`, the old `z` and the new `z` in the new `w`.

        The average is gone from them, and with it the division by `beta_1` that finds it.
        """
        kept = 1 - 1 / step
        return kept, -kept * (1 - self.beta_1), 1 - self.beta_1 * kept

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        w = variable.value
        gradient = gradient.to(w.dtype)
        i = self._get_variable_index(variable)
        z, v = self._momentums[i], self._velocities[i]
        step = self._step()
        v.assign(v.value + (gradient * gradient - v.value) * (1 - self.beta_2))
        root = (v.value / (1 - self.beta_2**step)).sqrt() + self.epsilon
        old = z.value
        new = old - gradient * self._warmed_up(learning_rate, step) / root
        of_w, of_old, of_new = self._weights(step)
        variable.assign(w * of_w + old * of_old + new * of_new)
        z.assign(new)  # last: it writes into `old`

    def _update_group(self, group, grads, learning_rate, step):
        z, v, params = group.states["_momentums"], group.states["_velocities"], group.params
        torch._foreach_mul_(v, self.beta_2)
        torch._foreach_addcmul_(v, grads, grads, 1 - self.beta_2)
        roots = torch._foreach_div(v, 1 - self.beta_2**step)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, self.epsilon)
        of_w, of_old, of_new = self._weights(step)
        torch._foreach_mul_(params, of_w)
        torch._foreach_add_(params, z, alpha=of_old)
        torch._foreach_addcdiv_(z, grads, roots, -self._warmed_up(learning_rate, step))
        torch._foreach_add_(params, z, alpha=of_new)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "warmup_steps": self.warmup_steps,
        }
