"""Input and InputLayer: where data enters a functional model."""

from torchkeras.core import config
from torchkeras.core.dtypes import standardize_dtype
from torchkeras.core.keras_tensor import KerasTensor
from torchkeras.core.operation import Node
from torchkeras.layers.layer import Layer


class InputLayer(Layer):
    """The start of a graph: holds a symbol for one input of a model.

    `keras.Input` is the usual way to make one.

    Args:
        shape: tuple of sizes without the batch, None for an unknown size.
        batch_size: int, or None for any.
        dtype: dtype name; None for `floatx()`.
        sparse, ragged: kept for Keras's signature; only False works.
        batch_shape: tuple of sizes with the batch, instead of `shape`.
        input_tensor: a KerasTensor to start from.
        optional: bool, whether the model also takes None here.
        name: str, or None for an automatic name.

    Raises:
        ValueError: neither or both of `shape` and `batch_shape` are given.

    Example:

    >>> keras.layers.InputLayer(shape=(3,), name="x").output.shape
    (None, 3)
    """

    def __init__(
        self,
        shape=None,
        batch_size=None,
        dtype=None,
        sparse=None,
        ragged=None,
        batch_shape=None,
        input_tensor=None,
        optional=False,
        name=None,
        **kwargs,
    ):
        super().__init__(name=name)
        if "input_shape" in kwargs:
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if kwargs:
            raise ValueError(f"InputLayer takes no such arguments. Received: {kwargs}.")
        if sparse or ragged:
            raise ValueError(
                "Inputs are dense tensors. Received: "
                f"sparse={sparse}, ragged={ragged}. Convert the data to a dense tensor first."
            )
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(
                    "`input_tensor` must be a KerasTensor. Received: "
                    f"input_tensor={input_tensor!r} of type {type(input_tensor).__name__}."
                )
            batch_shape = input_tensor.shape
            dtype = input_tensor.dtype if dtype is None else dtype
        elif (shape is None) is (batch_shape is None):
            raise ValueError(
                "Give the shape of an input either without the batch, as `shape`, or with it, as "
                f"`batch_shape`. Received: shape={shape}, batch_shape={batch_shape}."
            )
        elif batch_shape is None:
            shape = (shape,) if isinstance(shape, int) else tuple(shape)
            batch_shape = (batch_size, *shape)
        elif batch_size is not None:
            raise ValueError(
                "`batch_size` goes with `shape`; `batch_shape` holds it already. Received: "
                f"batch_size={batch_size}, batch_shape={batch_shape}."
            )
        symbol = KerasTensor(batch_shape, dtype or config.floatx(), name=self.name)
        self._batch_shape = symbol.shape
        self._dtype = symbol.dtype
        self.optional = optional
        self.sparse = False
        self.ragged = False
        self.built = True
        Node(self, (), {}, symbol if input_tensor is None else input_tensor)

    def call(self):
        """Does nothing; a graph starts here."""
        return None

    @property
    def batch_shape(self):
        """Shape of the input with the batch."""
        return self._batch_shape

    @property
    def dtype(self):
        """Dtype name of the input."""
        return self._dtype

    def __setstate__(self, state):
        super().__setstate__(state)
        # A copy leaves the graph of its original behind, and begins one of its own.
        Node(self, (), {}, KerasTensor(self._batch_shape, self._dtype, name=self.name))

    def get_config(self):
        """The constructor's arguments."""
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": self.sparse,
            "ragged": self.ragged,
            "name": self.name,
            "optional": self.optional,
        }


def Input(
    shape=None,
    batch_size=None,
    dtype=None,
    sparse=None,
    ragged=None,
    batch_shape=None,
    name=None,
    tensor=None,
    optional=False,
):
    """A symbolic tensor for data that comes later, the start of a functional model.

    Args:
        shape: tuple of sizes without the batch, None for an unknown size.
        batch_size: int, or None for any.
        dtype: dtype name; None for `floatx()`.
        sparse, ragged: kept for Keras's signature; only False works.
        batch_shape: tuple of sizes with the batch, instead of `shape`.
        name: str, or None for an automatic name.
        tensor: a KerasTensor to start from.
        optional: bool, whether the model also takes None here.

    Returns:
        A KerasTensor of shape `(batch_size, *shape)`.

    Example:

    >>> x = keras.Input((3,))
    >>> model = keras.Model(x, keras.layers.Dense(1)(x))
    >>> model.output_shape
    (None, 1)
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=standardize_dtype(dtype) if dtype is not None else None,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        name=name,
        input_tensor=tensor,
        optional=optional,
    )
    return layer.output
