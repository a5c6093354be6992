"""SGD: gradient descent, with momentum or Nesterov momentum."""

import torch

from torchkeras.core.checks import check_switch
from torchkeras.optimizers.optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent, optionally with momentum.

    Computes, for a variable `w` with gradient `g`:

    - without momentum: `w = w - learning_rate * g`;
    - with momentum: `m = momentum * m - learning_rate * g`, then `w = w + m`;
    - with Nesterov momentum: the same `m`, then `w = w + momentum * m - learning_rate * g`.

    The learning rate is part of `m` (as in Keras); `torch.optim.SGD` leaves it out, so that
    the two differ while the learning rate changes.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        momentum: float in [0, 1].
        nesterov: bool, whether to use Nesterov momentum.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Raises:
        ValueError: `momentum` is not a float in [0, 1].

    Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning", eq. 3 and 4.

    Example:

    >>> v = keras.Variable(1.0)
    >>> optimizer = keras.optimizers.SGD(learning_rate=0.5, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([torch.tensor(1.0)], [v])
    >>> float(v)  # 1 - 0.5, then - 0.75
    -0.25
    """

    _state_names = ("momentums",)

    def __init__(
        self,
        learning_rate=0.01,
        momentum=0.0,
        nesterov=False,
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
        if not isinstance(momentum, float) or not 0 <= momentum <= 1:
            raise ValueError(
                f"`momentum` must be a float between [0, 1]. Received: momentum={momentum!r}."
            )
        check_switch("nesterov", nesterov)
        self.momentum = momentum
        self.nesterov = nesterov
        self.momentums = []

    def build(self, variables):
        """Make one momentum for each variable, unless `momentum` is 0."""
        if self.built:
            return
        super().build(variables)
        if self.momentum != 0:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        change = -learning_rate * gradient.to(variable.value.dtype)
        if self.momentum != 0:
            m = self.momentums[self._get_variable_index(variable)]
            m.assign(m.value * self.momentum + change)
            change = m.value * self.momentum + change if self.nesterov else m.value
        variable.assign(variable.value + change)

    def _update_group(self, group, grads, learning_rate, step):
        # Below 1e-6 the kernel's `1 - dampening` would round the learning rate.
        if self.momentum != 0 and (self.nesterov or learning_rate < 1e-6):
            m = group.states["momentums"]
            torch._foreach_mul_(m, self.momentum)
            torch._foreach_add_(m, grads, alpha=-learning_rate)
            if self.nesterov:
                torch._foreach_add_(group.params, m, alpha=self.momentum)
                torch._foreach_add_(group.params, grads, alpha=-learning_rate)
            else:
                torch._foreach_add_(group.params, m)
            return
        # The kernel computes m = momentum * m + (1 - dampening) * g, then w -= lr * m. With
        # these two arguments that is Keras's rule, where m holds the learning rate.
        momentums = group.states["momentums"] if self.momentum != 0 else []
        torch._fused_sgd_(
            group.params,
            grads,
            momentums,
            lr=-1.0 if momentums else learning_rate,
            dampening=1.0 + learning_rate if momentums else 0.0,
            momentum=self.momentum,
            weight_decay=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
