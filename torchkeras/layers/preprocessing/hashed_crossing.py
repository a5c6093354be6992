"""HashedCrossing: combinations of categorical features as one of a fixed number of bins."""

from torchkeras.core.dtypes import to_torch_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.layers.built_at_init import mark_built
from torchkeras.layers.layer import Layer
from torchkeras.layers.preprocessing.buckets import crossed_buckets, numbers_or_text
from torchkeras.layers.preprocessing.category_vectors import (
    category_vectors,
    check_dense,
    check_mode,
    vectors_shape,
)


class HashedCrossing(Layer):
    """Two or more features of a sample together as one of `num_bins` bins, by a hash.

    Args:
        num_bins: int of at least 1, number of bins.
        output_mode: `"int"` for the bins, or `"one_hot"` for vectors of zeros and a one.
        sparse: False.
        name: str; None for one made from the class.
        dtype: dtype name of the output; None for "int64" in the mode "int", else the default.
        **kwargs: `trainable`.

    Input shape:
        list or tuple of two or more texts or integers, all `(batch, 1)`, `(batch,)` or `()`.
    Output shape:
        that of one of them in the mode "int", else `(batch, num_bins)` or `(num_bins,)`.

    Raises:
        ValueError: an argument is out of its range; fewer than two inputs, or such of another
            or of different shapes; floats.

    Source:
        As Keras's layer on TensorFlow, whose op is `tf.sparse.cross_hashed`.

    Example:

    >>> layer = keras.layers.HashedCrossing(num_bins=5)
    >>> layer((np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102])))
    tensor([1, 4, 1, 1, 3])
    """

    takes_text = True

    def __init__(self, num_bins, output_mode="int", sparse=False, name=None, dtype=None, **kwargs):
        if not isinstance(num_bins, int) or num_bins < 1:
            raise ValueError(f"`num_bins` must be an int of at least 1. Received: {num_bins!r}.")
        output_mode = check_mode(output_mode, ("int", "one_hot"))
        check_dense(sparse)
        if output_mode == "int" and dtype is None:
            dtype = "int64"
        super().__init__(name=name, dtype=dtype, autocast=False, **kwargs)
        self.num_bins = num_bins
        self.output_mode = output_mode
        mark_built(self)

    def call(self, inputs):
        self._check_list(inputs)
        values = [numbers_or_text(self, x) for x in inputs]
        self._check_shapes([tuple(x.shape) for x in values])
        bins = crossed_buckets(values, self.num_bins)
        dtype = to_torch_dtype(self.compute_dtype)
        if self.output_mode == "int":
            return bins.to(dtype)
        return category_vectors(bins, self.output_mode, self.num_bins, dtype)

    def _check_list(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError(
                f"Layer '{self.name}' crosses a list of two or more inputs. Received: {inputs!r}."
            )

    def _check_shapes(self, shapes):
        first = shapes[0]
        if len(first) > 2 or len(first) == 2 and first[1] != 1:
            raise ValueError(
                "The inputs of HashedCrossing have shape (), (batch,) or (batch, 1). Received: "
                f"shapes {shapes}."
            )
        if any(len(a) != len(first) or _differ(a, first) for a in shapes):
            raise ValueError(
                f"The inputs of HashedCrossing have one shape. Received: shapes {shapes}."
            )

    def compute_output_shape(self, input_shape):
        self._check_list(input_shape)
        shapes = [tuple(shape) for shape in input_shape]
        self._check_shapes(shapes)
        return vectors_shape(shapes[0], self.output_mode, self.num_bins)

    def compute_output_spec(self, inputs):
        self._check_list(inputs)
        shape = self.compute_output_shape([tuple(x.shape) for x in inputs])
        return KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            "num_bins": self.num_bins,
            "output_mode": self.output_mode,
            "sparse": False,
            "name": self.name,
            "dtype": self.dtype,
        }


def _differ(a, b):
    return any(m != n for m, n in zip(a, b, strict=True) if None not in (m, n))
