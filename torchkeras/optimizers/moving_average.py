"""MovingAverage: exponential moving averages of the variables that an optimizer updates."""

import torch

from torchkeras.optimizers.traced import choose


class MovingAverage:
    """The part of `Optimizer` behind `use_ema`, `ema_momentum` and `ema_overwrite_frequency`.

    An average starts at the value after the first update, and follows at every further one: by
    torch's multi-tensor kernels, or variable by variable where the update went that way.
    """

    def finalize_variable_values(self, var_list):
        """Set the variables to their moving averages, where `use_ema` keeps them.

        `fit` does this at its end.

        Args:
            var_list: the list of Variables the optimizer was built on.

        Raises:
            ValueError: the list has another length.

        Example:

        >>> v = keras.Variable(1.0)
        >>> optimizer = keras.optimizers.SGD(learning_rate=1.0, use_ema=True, ema_momentum=0.5)
        >>> for _ in range(2):
        ...     optimizer.apply([torch.tensor(1.0)], [v])
        >>> optimizer.finalize_variable_values([v])
        >>> float(v)
        -0.5
        """
        if not self.use_ema:
            return
        averages = self._model_variables_moving_average
        if len(var_list) != len(averages):
            raise ValueError(
                f"The moving averages of optimizer '{self.name}' belong to {len(averages)} "
                f"variables. Received: a list of {len(var_list)}. Pass the variables that the "
                "optimizer was built on."
            )
        for variable, average in zip(var_list, averages, strict=True):
            if average is not None:
                variable.assign(average.value)

    def _average_with_kernels(self, updates):
        """Update the moving averages of all variables, and the variables from them."""
        pairs = [
            (variable, average)
            for variable, average in zip(
                self._trainable_variables, self._model_variables_moving_average, strict=True
            )
            if average is not None
        ]
        plan = self._plan([variable for variable, _ in pairs])
        if plan is None:
            self._average_plainly(updates)
            return
        averages = plan.states["_model_variables_moving_average"]
        if updates == 0:
            torch._foreach_copy_(averages, plan.params)
        else:
            torch._foreach_lerp_(averages, plan.params, 1 - self.ema_momentum)
        if self.ema_overwrite_frequency and (updates + 1) % self.ema_overwrite_frequency == 0:
            torch._foreach_copy_(plan.params, averages)

    def _average_plainly(self, updates):
        overwrite = bool(self.ema_overwrite_frequency) and (
            (updates + 1) % self.ema_overwrite_frequency == 0
        )
        for variable, average in zip(
            self._trainable_variables, self._model_variables_moving_average, strict=True
        ):
            if average is None:
                continue
            value = variable.value
            mixed = average.value + (value - average.value) * (1 - self.ema_momentum)
            average.assign(choose(updates == 0, value, mixed))
            if overwrite is not False:
                variable.assign(choose(overwrite, average.value, value))
