"""UpdatePaths: the two ways in which an optimizer computes an update."""

import torch

from torchkeras.core.scopes import SCOPE
from torchkeras.core.sharding import is_sharded, local_part
from torchkeras.core.variable import Variable
from torchkeras.kernels import compiled
from torchkeras.optimizers import clipping
from torchkeras.optimizers.constrain import constrain
from torchkeras.optimizers.slot_plan import (
    SlotPlan,
    checked_gradient,
    each_tensor_once,
    has_ties,
    takes_kernels,
)
from torchkeras.optimizers.traced import choose


class UpdatePaths:
    """The part of `Optimizer` between checked gradients and updated variables.

    The fast way runs torch's multi-tensor kernels on the tensors in the slots, with scalars
    computed on the host; of sharded tensors, on the parts in this process. The plain way goes
    variable by variable through `update_step` and `assign`. It serves stateless scopes, where
    counter and learning rate are tensors that may be traced, and rules that a subclass defines.
    """

    # Names of the attributes that hold one state Variable for each trainable variable.
    _state_names = ()
    # The update of one Group by torch's multi-tensor kernels; None: `update_step` does it.
    _update_group = None
    _decays_in_kernel = False
    # Whether the kernels read a tensor as a whole; sharded ones then go the plain way.
    _reads_whole = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "update_step" in cls.__dict__ and "_update_group" not in cls.__dict__:
            cls._update_group = None  # the inherited kernel computes another rule

    def _apply(self, grads, variables):
        if any(v.overwrite_with_gradient for v in variables):
            grads, variables = self._overwrite_variables(grads, self._known(variables))
        if grads:
            plan = self._plan(variables)
            fitted = None if plan is None else plan.fit(grads)
            if fitted is not None:
                self._apply_with_kernels(plan, fitted)
            else:
                self._apply_plainly(grads, self._known(variables))
            constrain(variables)
        self._iterations.assign_add(1)

    def _clip_gradients(self, grads, foreach=False, whole_norms=None):
        if self.clipnorm and self.clipnorm > 0:
            return clipping.clip_by_norm(grads, self.clipnorm, foreach, whole_norms)
        if self.global_clipnorm and self.global_clipnorm > 0:
            limit = self.global_clipnorm
            return clipping.clip_by_global_norm(grads, limit, foreach, whole_norms)
        if self.clipvalue and self.clipvalue > 0:
            return clipping.clip_by_value(grads, self.clipvalue, foreach)
        return grads

    # The fast way

    def _can_use_kernels(self):
        return self._update_group is not None

    def _plan(self, variables):
        """The current SlotPlan of the variables, or None where kernels cannot be used."""
        if SCOPE.stateless is not None or SCOPE.meta or not self._can_use_kernels():
            return None
        key = tuple(map(id, variables))
        plan = self._plans.get(key)
        if plan is None or not plan.is_current():
            variables = self._known(variables)
            plan = None if has_ties(variables) else self._make_plan(variables)
            if len(self._plans) >= 8:
                self._plans.clear()
            # Under the optimizer's own handles: a passing handle's id may come again.
            self._plans[tuple(map(id, variables))] = plan
        return plan

    def _make_plan(self, variables):
        names = [
            name
            for name in (
                *self._state_names,
                "_accumulated_gradients",
                "_model_variables_moving_average",
            )
            if getattr(self, name, None)
        ]
        indices = [self._get_variable_index(v) for v in variables]
        states = {name: [getattr(self, name)[i] for i in indices] for name in names}
        self._place_state()
        if not all(takes_kernels(v) for v in variables):
            return None
        if self._reads_whole and any(is_sharded(v._store[v._key]) for v in variables):
            return None
        for name in names:
            if not all(map(_same_layout, states[name], variables)):
                return None
        return SlotPlan(variables, states, [self._use_weight_decay(v) for v in variables])

    def _apply_with_kernels(self, plan, grads):
        calls = self._iterations._store["value"].item()
        updates = calls
        if self.loss_scale_factor is not None:
            grads = torch._foreach_div(grads, self.loss_scale_factor)
        steps = self.gradient_accumulation_steps
        if steps:
            updates = calls // steps
            accumulators = plan.states["_accumulated_gradients"]
            if (calls + 1) % steps:
                torch._foreach_add_(accumulators, grads)
                grads = None
            else:
                grads = torch._foreach_add(accumulators, grads)
                torch._foreach_div_(grads, steps)
                self._reset_accumulators()
        if grads is not None:
            self._update_groups(plan, grads, self._host_learning_rate(calls), updates + 1)
        if self.use_ema:
            self._average_with_kernels(updates)

    def _update_groups(self, plan, grads, learning_rate, step):
        if self.clipnorm or self.global_clipnorm or self.clipvalue:
            grads = self._clip_gradients(grads, foreach=True, whole_norms=plan.whole_norms)
        flush = compiled.flush_denormals if plan.is_large_on_cpu else None
        if flush is None:
            self._run_kernels(plan, grads, learning_rate, step)
            return
        flush(True)  # a weight that no longer changes has averages that fade into denormal numbers
        try:
            self._run_kernels(plan, grads, learning_rate, step)
        finally:
            flush(False)

    def _run_kernels(self, plan, grads, learning_rate, step):
        for group in plan.groups:
            if len(plan.groups) > 1:
                group_grads = [grads[i] for i in group.positions]
            else:
                group_grads = grads
            if self.weight_decay is not None and group.decays and not self._decays_in_kernel:
                torch._foreach_mul_(group.params, 1 - self.weight_decay * learning_rate)
            self._update_group(group, group_grads, learning_rate, step)

    def _reset_accumulators(self):
        torch._foreach_zero_([local_part(a._store[a._key]) for a in self._accumulated_gradients])

    # The plain way

    def _apply_plainly(self, grads, variables):
        if SCOPE.stateless is None:
            self._place_state()
            # By state, `_has_ties` has told: two variables may be given one tensor.
            grads, variables = each_tensor_once(grads, variables)
        grads = [checked_gradient(g, v) for g, v in zip(grads, variables, strict=True)]
        calls = self._counted_calls()
        steps = self.gradient_accumulation_steps
        if self.loss_scale_factor is not None:
            grads = [grad / self.loss_scale_factor for grad in grads]
        if steps:
            self._accumulate_plainly(grads, variables, (calls + 1) % steps == 0)
        else:
            self._update_plainly(grads, variables)
        if self.use_ema:
            self._average_plainly(calls // steps if steps else calls)

    def _counted_calls(self):
        """The counter: an int, or a tensor in a stateless scope."""
        value = self._iterations._store["value"]
        return value.item() if SCOPE.stateless is None else value

    def _step(self):
        """Number of the update being made, from 1: an int, or a tensor in a stateless scope."""
        calls = self._counted_calls()
        steps = self.gradient_accumulation_steps
        step = (calls // steps if steps else calls) + 1
        # In float32, 1 - beta**step has few correct digits while the step is small.
        return step.to(torch.float64) if isinstance(step, torch.Tensor) else step

    def _update_plainly(self, grads, variables):
        grads = self._clip_gradients(grads)
        if SCOPE.stateless is None and self._update_group is not None:
            learning_rate = self._host_learning_rate(self._counted_calls())
        else:
            learning_rate = self.learning_rate
        self._decay_plainly(variables, _value(learning_rate))
        self._backend_update_step(grads, variables, learning_rate)

    def _decay_plainly(self, variables, learning_rate):
        if self.weight_decay is None:
            return
        factor = 1 - learning_rate * self.weight_decay
        for variable in variables:
            if self._use_weight_decay(variable):
                variable.assign(variable.value * factor)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for grad, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(grad, variable, learning_rate)

    def _accumulate_plainly(self, grads, variables, is_update):
        accumulators = [self._accumulated_gradients[self._get_variable_index(v)] for v in variables]
        totals = [
            grad.to(a.value.dtype) + a.value for grad, a in zip(grads, accumulators, strict=True)
        ]
        if is_update is False:
            for accumulator, total in zip(accumulators, totals, strict=True):
                accumulator.assign(total)
            return
        touched = [*variables, *self._variables]
        before = [v.value for v in touched]
        self._update_plainly([t / self.gradient_accumulation_steps for t in totals], variables)
        for accumulator in self._accumulated_gradients:
            accumulator.assign(torch.zeros_like(accumulator.value))
        if is_update is not True:
            for variable, old in zip(touched, before, strict=True):
                variable.assign(choose(is_update, variable.value, old))
            for accumulator, total in zip(accumulators, totals, strict=True):
                accumulator.assign(choose(is_update, accumulator.value, total))

    def _overwrite_variables(self, grads, variables):
        """Set the variables that want it to their gradients; returns the remaining pairs.

        While gradients are accumulated, it is their maximum (as in Keras).
        """
        steps = self.gradient_accumulation_steps
        rest = []
        for grad, variable in zip(grads, variables, strict=True):
            if not variable.overwrite_with_gradient:
                rest.append((grad, variable))
            elif not steps:
                variable.assign(grad)
            else:
                is_update = (self._counted_calls() + 1) % steps == 0
                accumulator = self._accumulated_gradients[self._get_variable_index(variable)]
                highest = torch.maximum(grad, accumulator.value)
                variable.assign(choose(is_update, highest, variable.value))
                accumulator.assign(choose(is_update, torch.zeros_like(highest), highest))
        return [grad for grad, _ in rest], [variable for _, variable in rest]


def _same_layout(state, variable):
    tensor, param = state._store[state._key], variable._store[variable._key]
    if is_sharded(param):
        if not is_sharded(tensor) or tensor.placements != param.placements:
            return False
        tensor, param = local_part(tensor), local_part(param)
        return tensor.shape == param.shape and tensor.stride() == param.stride()
    return type(tensor) is torch.Tensor and tensor.stride() == param.stride()


def _value(scalar):
    return scalar.value if isinstance(scalar, Variable) else scalar
