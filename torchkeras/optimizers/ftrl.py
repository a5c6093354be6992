"""Ftrl: follow the regularized leader, with weights that are exactly 0."""

import torch

from torchkeras.optimizers.optimizer import Optimizer
from torchkeras.optimizers.traced import choose


class Ftrl(Optimizer):
    """FTRL: each entry is the best one for all gradients so far, under L1 and L2 penalties.

    Computes, for a variable `w` with gradient `g`, where `p` is `-learning_rate_power`:

    - `n_new = n + g**2`
    - `z = z + g + 2 * l2_shrinkage * w - (n_new**p - n**p) / learning_rate * w`
    - `q = (n_new**p + beta) / learning_rate + 2 * l2`, and `n = n_new`
    - `w = (clip(z, -l1, l1) - z) / q`

    An entry whose `|z|` is at most `l1` becomes 0. A step at a learning rate of 0 changes nothing
    (in Keras it makes every weight NaN).

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        learning_rate_power: float, at most 0: how the steps shrink; 0 for steps of one size.
        initial_accumulator_value: float, at least 0, the first `n`.
        l1_regularization_strength: float, at least 0.
        l2_regularization_strength: float, at least 0.
        l2_shrinkage_regularization_strength: float, at least 0: a penalty on the size of the
            weights, as if it were added to the loss.
        beta: float, as in the paper.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Raises:
        ValueError: an argument outside the ranges above.

    Source: McMahan et al. 2013, "Ad click prediction: a view from the trenches", algorithm 1, with
    twice its `l2`, and squares of `g` without shrinkage (as in Keras).

    Example:

    >>> v = keras.Variable([1.0, 1.0])
    >>> optimizer = keras.optimizers.Ftrl(learning_rate=0.5, l1_regularization_strength=3.0)
    >>> optimizer.apply([torch.tensor([3.0, -9.0])], [v])
    >>> [round(float(x), 3) for x in v.numpy()]
    [0.0, 1.298]
    """

    _state_names = ("_accumulators", "_linears")

    def __init__(
        self,
        learning_rate=0.001,
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
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
        if learning_rate_power > 0:
            raise ValueError(
                "Argument `learning_rate_power` must be 0 or less. Received: "
                f"learning_rate_power={learning_rate_power}."
            )
        for argument, value in (
            ("initial_accumulator_value", initial_accumulator_value),
            ("l1_regularization_strength", l1_regularization_strength),
            ("l2_regularization_strength", l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength),
        ):
            if value < 0:
                raise ValueError(
                    f"Argument `{argument}` must be 0 or more. Received: {argument}={value}."
                )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def build(self, variables):
        """Make the sum of squares `n` and the linear term `z` for each variable."""
        if self.built:
            return
        super().build(variables)
        self._accumulators, self._linears = self.add_optimizer_variables(
            variables,
            ["accumulator", "linear"],
            initializer=[float(self.initial_accumulator_value), "zeros"],
        )

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        w = variable.value
        gradient = gradient.to(w.dtype)
        i = self._get_variable_index(variable)
        n, z = self._accumulators[i], self._linears[i]
        power, l1 = -self.learning_rate_power, self.l1_regularization_strength
        moves = learning_rate != 0
        rate = learning_rate + (1.0 - moves * 1.0)  # what is divided by 0 would not be chosen
        n_new = n.value + gradient * gradient
        n_power = n_new**power
        shrunk = gradient + w * (2 * self.l2_shrinkage_regularization_strength)
        z_new = z.value + shrunk - (n_power - n.value**power) / rate * w
        q = (n_power + self.beta) / rate + 2 * self.l2_regularization_strength
        w_new = (z_new.clamp(-l1, l1) - z_new) / q
        for state, new in ((n, n_new), (z, z_new), (variable, w_new)):
            state.assign(choose(moves, new, state.value))

    def _update_group(self, group, grads, learning_rate, step):
        if not learning_rate:
            return
        n, z, params = group.states["_accumulators"], group.states["_linears"], group.params
        l1, shrinkage = self.l1_regularization_strength, self.l2_shrinkage_regularization_strength
        old_powers = self._powers(n)
        torch._foreach_addcmul_(n, grads, grads)
        powers = self._powers(n)
        torch._foreach_add_(z, grads)
        if shrinkage:
            torch._foreach_add_(z, params, alpha=2 * shrinkage)
        torch._foreach_sub_(old_powers, powers)
        torch._foreach_addcmul_(z, old_powers, params, 1 / learning_rate)
        if self.beta:
            torch._foreach_add_(powers, self.beta)
        torch._foreach_div_(powers, learning_rate)
        if self.l2_regularization_strength:
            torch._foreach_add_(powers, 2 * self.l2_regularization_strength)
        if l1:
            clipped = torch._foreach_clamp_max(z, l1)
            torch._foreach_clamp_min_(clipped, -l1)
            torch._foreach_sub_(clipped, z)
        else:
            clipped = torch._foreach_neg(z)
        torch._foreach_div_(clipped, powers)
        torch._foreach_copy_(params, clipped)

    def _powers(self, tensors):
        if self.learning_rate_power == -0.5:
            return list(torch._foreach_sqrt(tensors))
        return list(torch._foreach_pow(tensors, -self.learning_rate_power))

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
