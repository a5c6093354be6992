"""Muon: matrices move by their momentum with all singular values made equal."""

import re

import torch

from torchkeras.optimizers.optimizer import Optimizer


class Muon(Optimizer):
    """Muon: a matrix moves by its orthogonalized momentum, everything else by Adam's rule.

    Computes, for a matrix `w` with gradient `g`:

    - `m = momentum * m + g`, and with `nesterov` `d = g + momentum * m`, else `d = m`
    - `x = d / norm(d)`, then `ns_steps` times
      `x = a * x + (b * x @ x.T + c * x @ x.T @ x @ x.T) @ x`, which brings the singular values
      of `x` near 1
    - `w = w - learning_rate * rms_rate * sqrt(max(rows, columns)) * x`

    Adam's rule is for a variable that is no matrix, for one whose path holds "embedding", and for
    those of `exclude_layers`. The output layer should be one of these.

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        adam_beta_1: float in [0, 1), Adam's decay of the average of gradients.
        adam_beta_2: float in [0, 1), Adam's decay of the average of squares.
        adam_weight_decay: float or None, weight decay of what Adam's rule moves.
        epsilon: float, keeps Adam's division finite.
        weight_decay: float or None, weight decay of the matrices.
        exclude_layers: list of regular expressions; a variable goes by Adam's rule if one of them
            is found in its path. None for an empty list.
        exclude_embeddings: bool, whether a variable goes by Adam's rule if its path holds
            "embedding", in any case.
        muon_a, muon_b, muon_c: floats, the factors of the iteration.
        adam_lr_ratio: float, the learning rate of Adam's rule over that of the matrices.
        momentum: float in [0, 1), decay of the sum of gradients.
        ns_steps: int, number of iterations.
        nesterov: bool, whether to look one momentum step ahead.
        rms_rate: float, the root mean square of a step over the learning rate, which should be
            near Adam's; None for steps as the iteration gives them.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
            loss_scale_factor, gradient_accumulation_steps, name: as in `Optimizer`.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et
    al. 2025, arXiv:2502.16982, for `rms_rate`.

    Example:

    >>> v = keras.Variable([[1.0, 0.0], [0.0, 1.0]])
    >>> optimizer = keras.optimizers.Muon(learning_rate=1.0, weight_decay=None)
    >>> optimizer.apply([torch.tensor([[3.0, 0.0], [0.0, 3.0]])], [v])
    >>> bool(0.6 < v.numpy()[0, 0] < 0.9)
    True
    """

    _state_names = ("momentums",)
    _decays_in_kernel = True
    _reads_whole = True

    def __init__(
        self,
        learning_rate=0.001,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        adam_weight_decay=0.004,
        epsilon=1e-7,
        weight_decay=0.004,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        exclude_layers=None,
        exclude_embeddings=True,
        muon_a=3.4445,
        muon_b=-4.7750,
        muon_c=2.0315,
        adam_lr_ratio=1,
        momentum=0.95,
        ns_steps=5,
        nesterov=True,
        rms_rate=0.2,
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
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = exclude_layers or []
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _should_use_adamw(self, variable):
        """Whether Adam's rule moves the variable."""
        if len(variable.shape) != 2:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def build(self, variables):
        """Make the momentum of each variable, and after it the mean squares where Adam rules."""
        if self.built:
            return
        super().build(variables)
        self.momentums, self.adam_velocities = [], []
        for variable in variables:
            self.momentums += self.add_optimizer_variables([variable], "momentum")
            self.adam_velocities += (
                self.add_optimizer_variables([variable], "velocity")
                if self._should_use_adamw(variable)
                else [None]
            )

    def _decay_of(self, variable):
        """The weight decay of a variable: float, or None for none."""
        if not self._use_weight_decay(variable):
            return None
        return self.adam_weight_decay if self._should_use_adamw(variable) else self.weight_decay

    def _decay_plainly(self, variables, learning_rate):
        for variable in variables:
            decay = self._decay_of(variable)
            if decay is not None:
                variable.assign(variable.value * (1 - learning_rate * decay))

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        w = variable.value
        gradient = gradient.to(w.dtype)
        i = self._get_variable_index(variable)
        m, v = self.momentums[i], self.adam_velocities[i]
        if v is None:
            m.assign(m.value * self.momentum + gradient)
            direction = gradient + m.value * self.momentum if self.nesterov else m.value
            update = self._orthogonalized(direction) * self._length(w.shape)
            variable.assign(w - update * learning_rate)
            return
        m.assign(m.value + (gradient - m.value) * (1 - self.adam_beta_1))
        v.assign(v.value + (gradient * gradient - v.value) * (1 - self.adam_beta_2))
        rate = self._adam_rate(learning_rate, self._step())
        variable.assign(w - m.value * rate / (v.value.sqrt() + self.epsilon))

    def _adam_rate(self, learning_rate, step):
        corrections = (1 - self.adam_beta_2**step) ** 0.5 / (1 - self.adam_beta_1**step)
        return learning_rate * self.adam_lr_ratio * corrections

    def _length(self, shape):
        return 1.0 if self.rms_rate is None else max(shape) ** 0.5 * self.rms_rate

    def _orthogonalized(self, x):
        """Matrices with singular values near 1, from those with others; a batch or one."""
        is_high = x.shape[-2] > x.shape[-1]
        if is_high:
            x = x.mT
        x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
        for _ in range(self.ns_steps):
            squares = x @ x.mT
            factor = squares * self.muon_b + (squares * self.muon_c) @ squares
            x = x * self.muon_a + factor @ x
        return x.mT if is_high else x

    def _update_group(self, group, grads, learning_rate, step):
        cases = group.cache.get("cases")
        if cases is None:
            cases = group.cache["cases"] = self._cases(group)
        for (is_adam, decay), places in cases.items():
            params = [group.params[k] for k in places]
            m = [group.states["momentums"][k] for k in places]
            its_grads = [grads[k] for k in places]
            if decay is not None:
                torch._foreach_mul_(params, 1 - learning_rate * decay)
            if is_adam:
                velocities = [
                    self.adam_velocities[self._get_variable_index(group.variables[k])]
                    for k in places
                ]
                v = [velocity._store[velocity._key] for velocity in velocities]
                self._update_by_adam(params, its_grads, m, v, self._adam_rate(learning_rate, step))
            else:
                self._update_matrices(params, its_grads, m, learning_rate)

    def _cases(self, group):
        """The places in the group by whether Adam rules there, and by the weight decay."""
        cases = {}
        for k, variable in enumerate(group.variables):
            i = self._get_variable_index(variable)
            key = (self.adam_velocities[i] is not None, self._decay_of(variable))
            cases.setdefault(key, []).append(k)
        return cases

    def _update_by_adam(self, params, grads, m, v, rate):
        torch._foreach_lerp_(m, grads, 1 - self.adam_beta_1)
        torch._foreach_mul_(v, self.adam_beta_2)
        torch._foreach_addcmul_(v, grads, grads, 1 - self.adam_beta_2)
        roots = torch._foreach_sqrt(v)
        torch._foreach_add_(roots, self.epsilon)
        torch._foreach_addcdiv_(params, m, roots, -rate)

    def _update_matrices(self, params, grads, m, learning_rate):
        torch._foreach_mul_(m, self.momentum)
        torch._foreach_add_(m, grads)
        directions = m
        if self.nesterov:
            directions = torch._foreach_add(grads, m, alpha=self.momentum)
        alike = {}
        for k, param in enumerate(params):
            alike.setdefault(param.shape, []).append(k)
        for shape, places in alike.items():  # matrices of one shape in one batch
            rate = -learning_rate * self._length(shape)
            if len(places) == 1:
                params[places[0]].add_(self._orthogonalized(directions[places[0]]), alpha=rate)
                continue
            updates = self._orthogonalized(torch.stack([directions[k] for k in places]))
            torch._foreach_add_([params[k] for k in places], list(updates.unbind()), alpha=rate)

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "exclude_layers": self.exclude_layers,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "exclude_embeddings": self.exclude_embeddings,
            "adam_weight_decay": self.adam_weight_decay,
            "rms_rate": self.rms_rate,
        }
