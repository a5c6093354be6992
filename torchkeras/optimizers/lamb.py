"""Lamb: Adam's direction, at a length in proportion to the weight."""

import torch

from torchkeras.optimizers.clipping import norms_of
from torchkeras.optimizers.optimizer import Optimizer


class Lamb(Optimizer):
    """LAMB: Adam's direction, made as long as the learning rate's share of the variable itself.

    Computes, at the step number t (from 1), for a variable `w` with gradient `g`:

    - `m = beta_1 * m + (1 - beta_1) * g`
    - `v = beta_2 * v + (1 - beta_2) * g**2`
    - `u = m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)`
    - `w = w - learning_rate * norm(w) / norm(u) * u`

    Where one of the two norms is 0, their ratio counts as 1.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        beta_1: float in [0, 1), decay of the average of gradients.
        beta_2: float in [0, 1), decay of the average of squares.
        epsilon: float, keeps the division finite.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: You et al. 2019, arXiv:1904.00962, algorithm 2, with phi(x) = x. Weight decay comes
    before the step, as in every optimizer here, not into `u`.

    Example:

    >>> v = keras.Variable([3.0, 4.0])
    >>> keras.optimizers.Lamb(learning_rate=0.1).apply([torch.tensor([1.0, -1.0])], [v])
    >>> [round(float(x), 3) for x in v.numpy()]  # the norm of (3, 4) is 5, a tenth of it 0.5
    [2.646, 4.354]
    """

    _state_names = ("_momentums", "_velocities")
    _reads_whole = True

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
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        """Make the averages `m` and `v` for each variable."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        w = variable.value
        gradient = gradient.to(w.dtype)
        i = self._get_variable_index(variable)
        m, v = self._momentums[i], self._velocities[i]
        step = self._step()
        m.assign(m.value + (gradient - m.value) * (1 - self.beta_1))
        v.assign(v.value + (gradient * gradient - v.value) * (1 - self.beta_2))
        root = (v.value / (1 - self.beta_2**step)).sqrt() + self.epsilon
        update = m.value / (1 - self.beta_1**step) / root
        w_norm, u_norm = norms_of([w, update])
        variable.assign(w - update * (_ratio(w_norm, u_norm).to(w.dtype) * learning_rate))

    def _update_group(self, group, grads, learning_rate, step):
        m, v, params = group.states["_momentums"], group.states["_velocities"], group.params
        torch._foreach_lerp_(m, grads, 1 - self.beta_1)
        torch._foreach_mul_(v, self.beta_2)
        torch._foreach_addcmul_(v, grads, grads, 1 - self.beta_2)
        roots = torch._foreach_div(v, 1 - self.beta_2**step)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, self.epsilon)
        updates = torch._foreach_div(m, roots)
        torch._foreach_div_(updates, 1 - self.beta_1**step)
        w_norms = torch.stack(norms_of(params, foreach=True))
        u_norms = torch.stack(norms_of(updates, foreach=True))
        ratios = _ratio(w_norms, u_norms).to(params[0].dtype)
        torch._foreach_mul_(updates, list(ratios.unbind()))
        torch._foreach_add_(params, updates, alpha=-learning_rate)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def _ratio(w_norm, u_norm):
    """The one over the other; 1 where one of them is 0."""
    return torch.where((w_norm > 0) & (u_norm > 0), w_norm / u_norm, 1.0)
