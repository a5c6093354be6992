"""Adafactor: a matrix's mean squares, from those of its rows and of its columns."""

import torch

from torchkeras.core import config
from torchkeras.core.sharding import is_sharded, shard_like, whole_of
from torchkeras.core.variable import Variable
from torchkeras.optimizers.clipping import norms_of
from torchkeras.optimizers.optimizer import Optimizer


class Adafactor(Optimizer):
    """Adafactor: steps in proportion to the weights, scaled by factored mean squares.

    Computes, at the step number t (from 1), for a variable `w` with gradient `g`:

    - `b = 1 - t**beta_2_decay` and `s = g**2 + epsilon_1`
    - for a vector or scalar, `v = b * v + (1 - b) * s`
    - else `r = b * r + (1 - b) * mean(s, -1)`, `c = b * c + (1 - b) * mean(s, -2)`, and `v` is
      the outer product of `r / mean(r, -1)` and `c`, over the last two axes
    - `u = g / sqrt(v)`, and `u = u / max(1, rms(u) / clip_threshold)`
    - `w = w - max(epsilon_2, rms(w)) * min(learning_rate, 1 / sqrt(t)) * u`

    `v` is kept, as in Keras, so that files are exchanged; it takes the memory that the factors
    are known to save. Where `v` of a row and a column without gradients is too small for its
    dtype, the step there is 0 (in Keras it is NaN).

    Args:
        learning_rate: float, schedule or function; see `Optimizer`.
        beta_2_decay: float, below 0: the power of t by which the averages grow longer.
        epsilon_1: float, keeps `v` from 0.
        epsilon_2: float, the least `rms(w)` that counts.
        clip_threshold: float, the highest `rms(u)`.
        relative_step: bool, without effect, as in Keras: the rate is at most `1 / sqrt(t)` anyway.
        weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name: as in
            `Optimizer`.

    Source: Shazeer and Stern 2018, arXiv:1804.04235, algorithms 4 and 5.

    Example:

    >>> v = keras.Variable([[1.0, -1.0], [1.0, -1.0]])
    >>> optimizer = keras.optimizers.Adafactor(learning_rate=0.5)
    >>> optimizer.apply([torch.tensor([[2.0, 4.0], [4.0, 8.0]])], [v])
    >>> [round(float(x), 3) for x in v.numpy().flatten()]
    [0.5, -1.5, 0.5, -1.5]
    """

    _state_names = ("_v",)
    _reads_whole = True

    def __init__(
        self,
        learning_rate=0.001,
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        relative_step=True,
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
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables):
        """Make `r`, `c` and `v` for each variable; for a vector, `r` and `c` are unused zeros."""
        if self.built:
            return
        super().build(variables)
        self._r, self._c, self._v = [], [], []
        for variable in variables:
            for factors, axis in ((self._r, -1), (self._c, -2)):
                factors.append(self._make_factor(variable, axis))
            self._v += self.add_optimizer_variables([variable], "velocity")

    def _make_factor(self, variable, axis):
        """The Variable for means over an axis; for a vector, a 0 that keeps Keras's order."""
        with config.device(variable._store[variable._key].device):
            if len(variable.shape) < 2:
                unused = Variable(0, dtype="int32", trainable=False, name=variable.name)
                self._track_variable(unused)
                return unused
            if variable.overwrite_with_gradient:
                return None
            shape = list(variable.shape)
            del shape[axis]
            return self.add_variable(tuple(shape), dtype=variable.dtype, name=variable.name)

    def _place_state(self):
        super()._place_state()
        for variable, r, c in zip(self._trainable_variables, self._r, self._c, strict=True):
            if r is not None and len(variable.shape) >= 2:
                tensor = variable._store[variable._key]
                for state in (r, c):
                    old = state._store[state._key]
                    state._store[state._key] = old.to(tensor.device, tensor.dtype)

    def _decay_of_squares(self, step):
        return 1 - step**self.beta_2_decay

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable; see the class."""
        w = variable.value
        gradient = gradient.to(w.dtype)
        i = self._get_variable_index(variable)
        step = self._step()
        kept = self._decay_of_squares(step)
        squares = gradient * gradient + self.epsilon_1
        v = self._v[i]
        if w.dim() >= 2:
            self._average_factors(i, squares, 1 - kept)
            product = _product(self._r[i].value, self._c[i].value)
            v.assign(shard_like(product, w) if is_sharded(w) else product)
        else:
            v.assign(v.value + (squares - v.value) * (1 - kept))
        update = gradient / v.value.sqrt()
        w_rms, u_rms = (norm / max(w.numel(), 1) ** 0.5 for norm in norms_of([w, update]))
        factor = self._factor(w_rms, u_rms).to(w.dtype) * _lower(learning_rate, step)
        variable.assign(w - update * factor)

    def _average_factors(self, i, squares, share):
        for factor, axis in ((self._r[i], -1), (self._c[i], -2)):
            mean = whole_of(squares.mean(axis))
            factor.assign(factor.value + (mean - factor.value) * share)

    def _factor(self, w_rms, u_rms):
        """The length of a step at a learning rate of 1, before the limit on `u` is kept."""
        longest = w_rms.clamp(min=self.epsilon_2)
        return longest / (u_rms / self.clip_threshold).clamp(min=1.0)

    def _update_group(self, group, grads, learning_rate, step):
        params, v = group.params, group.states["_v"]
        share = 1 - self._decay_of_squares(step)
        squares = torch._foreach_mul(grads, grads)
        torch._foreach_add_(squares, self.epsilon_1)
        flat = [k for k, param in enumerate(params) if param.dim() < 2]
        if flat:
            torch._foreach_lerp_([v[k] for k in flat], [squares[k] for k in flat], share)
        self._update_factored(group, squares, share)
        updates = torch._foreach_sqrt(v)
        torch._foreach_reciprocal_(updates)
        torch._foreach_mul_(updates, grads)
        roots = group.cache.get("roots")
        if roots is None:
            dtype = torch.promote_types(params[0].dtype, torch.float32)
            sizes = torch.tensor([max(p.numel(), 1) for p in params], dtype=dtype)
            roots = group.cache["roots"] = sizes.sqrt().to(params[0].device)
        w_rms = torch.stack(norms_of(params, foreach=True)) / roots
        u_rms = torch.stack(norms_of(updates, foreach=True)) / roots
        factors = self._factor(w_rms, u_rms) * _lower(learning_rate, step)
        torch._foreach_mul_(updates, list(factors.to(params[0].dtype).unbind()))
        torch._foreach_sub_(params, updates)

    def _update_factored(self, group, squares, share):
        """`r`, `c` and `v` of what has two axes or more; tensors of one shape in one batch."""
        alike = group.cache.get("alike")
        if alike is None:
            alike = group.cache["alike"] = {}
            for k, param in enumerate(group.params):
                if param.dim() >= 2:
                    alike.setdefault(param.shape, []).append(k)
        for places in alike.values():
            indices = [self._get_variable_index(group.variables[k]) for k in places]
            r, c = (
                [factors[i]._store[factors[i]._key] for i in indices]
                for factors in (self._r, self._c)
            )
            batch = _batch([squares[k] for k in places])
            torch._foreach_lerp_(r, list(batch.mean(-1).unbind()), share)
            torch._foreach_lerp_(c, list(batch.mean(-2).unbind()), share)
            product = _product(_batch(r), _batch(c))
            v = [group.states["_v"][k] for k in places]
            torch._foreach_copy_(v, list(product.unbind()))

    def get_config(self):
        """The constructor arguments as a JSON-ready dict."""
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }


def _product(r, c):
    """Mean squares from those of rows and columns, never 0: 0 / 0 would be NaN."""
    rows = (r / r.mean(-1, keepdim=True)).unsqueeze(-1)
    return (rows * c.unsqueeze(-2)).clamp(min=torch.finfo(r.dtype).tiny)


def _batch(tensors):
    """Tensors of one shape as one; a single one is not copied."""
    return torch.stack(tensors) if len(tensors) > 1 else tensors[0].unsqueeze(0)


def _lower(learning_rate, step):
    """The learning rate, but at most one over the root of the step number."""
    limit = step**-0.5
    if isinstance(limit, float):
        return min(float(learning_rate), limit)
    return torch.minimum(torch.as_tensor(learning_rate * 1.0, dtype=limit.dtype), limit)
