"""Quantizer: an object that makes integers of floats, with a scale."""

from torchkeras.quantizers.abs_max import abs_max_quantize


class Quantizer:
    """Base class of quantizers.

    A quantizer is called as `quantizer(x, axis=None, to_numpy=False)` and gives integers and
    their scale: `integers / scale` is near `x`.

    Args:
        output_dtype: name of the dtype of the integers.

    Example:

    >>> keras.quantizers.Quantizer().output_dtype
    'int8'
    """

    def __init__(self, output_dtype="int8"):
        self.output_dtype = output_dtype

    def __call__(self, x):
        """`x` as it is; a subclass makes integers of it."""
        return x

    def get_config(self):
        """Constructor arguments that make the quantizer again; each subclass gives its own."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `get_config` to be put in a config. Received: "
            "a quantizer without one. Return its constructor's arguments there."
        )

    @classmethod
    def from_config(cls, config):
        """The quantizer that `get_config` described."""
        return cls(**config)


class AbsMaxQuantizer(Quantizer):
    """Integers `round(x * scale)`, with the scale at which the largest `|x|` fills the range.

    Args:
        axis: int or tuple of ints, along which values share a scale where a call says nothing;
            None for the last one.
        value_range: pair of the smallest and largest integer.
        epsilon: float, added to the largest value so that zeros have a scale, too.
        output_dtype: name of the dtype of the integers.

    Raises:
        ValueError: `value_range` is more than int8 holds, where that is the dtype.

    Example:

    >>> quantizer = keras.quantizers.AbsMaxQuantizer(axis=0)
    >>> x, scale = quantizer(torch.tensor([[1.0, 4.0], [-0.5, 2.0]]))
    >>> x.tolist(), scale.shape
    ([[127, 127], [-63, 64]], torch.Size([1, 2]))
    """

    def __init__(self, axis=None, value_range=(-127, 127), epsilon=1e-7, output_dtype="int8"):
        super().__init__(output_dtype)
        self.axis = (axis,) if isinstance(axis, int) else axis if axis is None else tuple(axis)
        self.value_range = tuple(value_range)
        self.epsilon = epsilon
        low, high = self.value_range
        if output_dtype == "int8" and (low < -128 or high > 127):
            raise ValueError(
                "`value_range` must lie within [-128, 127] for output_dtype='int8'. Received: "
                f"value_range={value_range}."
            )

    def __call__(self, x, axis=None, to_numpy=False):
        """The integers for `x`, and their scale with axes of size 1.

        Args:
            x: float tensor.
            axis: int or tuple of ints; None for that of the constructor.
            to_numpy: kept for Keras's signature.
        """
        if axis is None:
            axis = -1 if self.axis is None else self.axis
        return abs_max_quantize(
            x, axis, self.value_range, self.output_dtype, self.epsilon, to_numpy
        )

    def get_config(self):
        """The arguments."""
        config = {
            "value_range": self.value_range,
            "epsilon": self.epsilon,
            "output_dtype": self.output_dtype,
        }
        return config if self.axis is None else {**config, "axis": self.axis}
