"""PiecewiseConstantDecay: a learning rate that is constant between given steps."""

import itertools

from torchkeras.core.checks import check_real
from torchkeras.optimizers.schedules.learning_rate_schedule import FormulaSchedule


class PiecewiseConstantDecay(FormulaSchedule):
    """Learning rate that takes the next value after each of the given steps.

    The rate is `values[0]` while `step <= boundaries[0]`, `values[i]` while
    `boundaries[i - 1] < step <= boundaries[i]`, and the last value after that.

    Args:
        boundaries: list of n strictly increasing ints, counted in steps.
        values: list of n + 1 floats, the learning rates.
        name: str, kept in the config.

    Raises:
        ValueError: `values` is not one longer than `boundaries`.

    Example:

    >>> schedule = keras.optimizers.schedules.PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.1])
    >>> schedule(100), schedule(101)
    (tensor(1.), tensor(0.5000))
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "`values` must have one entry more than `boundaries`: a learning rate before "
                f"the first boundary and one after each. Received: boundaries={boundaries} "
                f"(length {len(boundaries)}), values={values} (length {len(values)})."
            )
        for argument, numbers in (("boundaries", boundaries), ("values", values)):
            for i, number in enumerate(numbers):
                check_real(f"{argument}[{i}]", number, finite=False)
        if any(first > second for first, second in itertools.pairwise(boundaries)):
            raise ValueError(
                f"`boundaries` must rise. Received: boundaries={boundaries}. Sort them, and "
                "`values` with them."
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def _formula(self, step, m):
        rate = step * 0 + float(self.values[0])  # of the kind and dtype of `step`
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = m.where(step > boundary, float(value), rate)
        return rate

    def get_config(self):
        """The constructor arguments as a JSON-ready dict.

        Example:

        >>> keras.optimizers.schedules.PiecewiseConstantDecay([5], [1.0, 0.5]).get_config()
        {'boundaries': [5], 'values': [1.0, 0.5], 'name': 'PiecewiseConstant'}
        """
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}
