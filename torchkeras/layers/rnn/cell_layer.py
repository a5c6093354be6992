"""CellLayer: base of the recurrent layers that make their own cell."""

from torchkeras import regularizers
from torchkeras.layers.input_spec import InputSpec
from torchkeras.layers.layer import Layer
from torchkeras.layers.rnn.rnn import RNN


class CellLayer(RNN):
    """A recurrent layer whose arguments are those of its cell and those of `RNN`.

    A subclass says the class of its cell, `_cell_class`, and its name, `_cell_name`. All that the
    cell was given is an attribute of the layer too, to be read.
    """

    _cell_class = None
    _cell_name = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "_cell_class" in cls.__dict__:
            for name in cls._cell_class._argument_names:
                setattr(cls, name, _of_cell(name))

    def _set_cell(self, arguments, **more):
        """Make the cell, and attributes of the rest, of the constructor's arguments.

        Args:
            arguments: dict of the constructor's arguments, such as `locals()`.
            **more: further arguments of the cell.
        """
        kwargs = dict(arguments["kwargs"])
        if "implementation" in kwargs:
            more["implementation"] = kwargs.pop("implementation")
        cell = self._cell_class(
            **{name: arguments[name] for name in self._cell_class._argument_names},
            seed=arguments["seed"],
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name=self._cell_name,
            **more,
        )
        reading = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")
        given = {name: arguments[name] for name in reading if name in arguments}
        regularizer = arguments["activity_regularizer"]
        RNN.__init__(self, cell, **given, activity_regularizer=regularizer, **kwargs)

    def get_config(self):
        return {
            **Layer.get_config(self),
            **self.cell._config_of_arguments(),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            **self._reading_config(),
        }


def _of_cell(name):
    return property(lambda self: getattr(self.cell, name), doc=f"`{name}` of the cell.")


class DenseCellLayer(CellLayer):
    """A CellLayer that reads a vector at each step."""

    def _set_cell(self, arguments):
        super()._set_cell(arguments)
        self.input_spec = InputSpec(ndim=3)

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = InputSpec(ndim=3, axes={-1: sequences_shape[-1]})


def use_cudnn_argument(value):
    """`"auto"` or a bool; else a ValueError."""
    if value not in ("auto", True, False):
        raise ValueError(f'`use_cudnn` must be "auto" or a bool. Received: use_cudnn={value!r}.')
    return value
