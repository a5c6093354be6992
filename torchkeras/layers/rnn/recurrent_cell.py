"""RecurrentCell: what the cells of SimpleRNN, LSTM, GRU and ConvLSTM have in common."""

import torch

from torchkeras import activations, random
from torchkeras.core import tree
from torchkeras.layers.layer import Layer
from torchkeras.layers.weight_arguments import set_weight_arguments, weight_config

# Of these, one call for several gates side by side is the same as one for each.
ELEMENTWISE = {
    activations.sigmoid,
    activations.hard_sigmoid,
    activations.tanh,
    activations.relu,
    activations.linear,
    torch.sigmoid,
    torch.tanh,
    torch.relu,
}


class RecurrentCell(Layer):
    """Base of cells whose step is a projection of the input, joined with one of the state.

    A subclass defines `_projected(inputs, kept)`, which holds for one step as for all steps at
    once, and `_step(kept)`, a function `(projected, *states) -> states` whose first state is the
    output. `call`, one step, is made of the two; a layer that reads a sequence projects all of
    it first. Its number of `_gates` says how many blocks stand side by side in the weights.
    """

    _gates = 1
    _names = ("units", "activation", "use_bias")  # of the arguments that are no weight's
    _plain_attributes = Layer._plain_attributes | {"_dropout_mask", "_recurrent_dropout_mask"}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        kinds = ("initializer", "regularizer", "constraint")
        weights = [f"{each}_{kind}" for kind in kinds for each in ("kernel", "recurrent", "bias")]
        cls._argument_names = (*cls._names, *weights, "dropout", "recurrent_dropout")

    def _set_arguments(self, arguments, implementation=2):
        """Make attributes of the constructor's arguments, a dict such as `locals()`."""
        for name in self._names:
            value = arguments[name]
            setattr(self, name, activations.get(value) if "activation" in name else value)
        set_weight_arguments(self, arguments, "kernel", "recurrent", "bias")
        self.dropout = min(1.0, max(0.0, arguments["dropout"]))
        self.recurrent_dropout = min(1.0, max(0.0, arguments["recurrent_dropout"]))
        self.seed = arguments["seed"]
        if self.dropout or self.recurrent_dropout:
            self.seed_generator = random.SeedGenerator(self.seed)
        # As in Keras: each gate has draws of its own where the gates are computed one by one.
        self._draws = self._gates if implementation == 1 or self.recurrent_dropout else 1
        self._dropout_mask = self._recurrent_dropout_mask = None

    def call(self, inputs, states, training=False):
        flat = list(states) if tree.is_nested(states) else [states]
        inputs = self._as_floats(inputs)
        kept = kept_states = None
        if training and self._drops(self.dropout):
            kept = self.get_dropout_mask(inputs)
        if training and self._drops(self.recurrent_dropout):
            kept_states = self.get_recurrent_dropout_mask(flat[0])
        projected = self._arranged(self._projected(inputs, kept), kept_states)
        new_states = list(self._step(kept_states)(projected, *flat))
        return new_states[0], new_states if tree.is_nested(states) else new_states[0]

    call._is_projection_and_step = True

    def _over_steps(self, sequences, states, training):
        """The projected steps of a sequence, each a tensor, and the function of a step."""
        kept = kept_states = None
        if training and self._drops(self.dropout):
            kept = self._drawn(torch.ones_like(sequences[:, 0]), self.dropout)
        if training and self._drops(self.recurrent_dropout):
            kept_states = self._drawn(torch.ones_like(states[0]), self.recurrent_dropout)
        # Steps first, so that each lies in one piece.
        projected = self._projected_steps(sequences.transpose(0, 1), kept)
        return self._arranged(projected, kept_states).unbind(0), self._step(kept_states)

    def _projected_steps(self, sequences, kept):
        """`_projected` of all steps, which are on the first axis."""
        return self._projected(sequences, kept)

    def _arranged(self, projected, kept):
        """What was projected, in the form that `_step(kept)` takes it."""
        return projected

    def _fused(self, sequences, states, mask, training, zero_output):
        """Last output, all outputs and last states by one call of torch; None where none fits."""
        return None

    def _as_floats(self, inputs):
        dtype = self.kernel.value.dtype
        return inputs if inputs.dtype is dtype else inputs.to(dtype)

    # Dropout

    def _drops(self, rate):
        return 0 < rate < 1

    def _drawn(self, ones, rate):
        """What dropout keeps of a step, scaled: a tensor, or a list of one for each gate."""
        drawn = [random.dropout(ones, rate, seed=self.seed_generator) for _ in range(self._draws)]
        return drawn if self._draws > 1 else drawn[0]

    def get_dropout_mask(self, step_input):
        """What dropout multiplies the input of each step by, drawn once until it is reset.

        Args:
            step_input: tensor, the input of a step.

        Returns:
            tensor, or a list of one for each gate; None without dropout.
        """
        if self.dropout and not _fits(self._dropout_mask, step_input):
            self._dropout_mask = self._drawn(torch.ones_like(step_input), self.dropout)
        return self._dropout_mask

    def get_recurrent_dropout_mask(self, step_input):
        """As `get_dropout_mask`, for the state.

        Args:
            step_input: tensor, the state before a step.
        """
        if self.recurrent_dropout and not _fits(self._recurrent_dropout_mask, step_input):
            ones = torch.ones_like(step_input)
            self._recurrent_dropout_mask = self._drawn(ones, self.recurrent_dropout)
        return self._recurrent_dropout_mask

    def reset_dropout_mask(self):
        """Have the next step draw anew: a sequence begins."""
        if self._dropout_mask is not None:
            self._dropout_mask = None

    def reset_recurrent_dropout_mask(self):
        """As `reset_dropout_mask`, for the state."""
        if self._recurrent_dropout_mask is not None:
            self._recurrent_dropout_mask = None

    def __getstate__(self):
        return {**super().__getstate__(), "_dropout_mask": None, "_recurrent_dropout_mask": None}

    # States and config

    def get_initial_state(self, batch_size=None):
        """Zeros for the states before the first step, a list.

        Args:
            batch_size: int.
        """
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [self._zeros((batch_size, size)) for size in sizes]

    def _zeros(self, shape):
        if not self.built:
            return torch.zeros(shape, dtype=self._compute_dtype)
        return self.kernel.value.new_zeros(shape, dtype=self._compute_dtype)

    def get_config(self):
        return {**super().get_config(), **self._config_of_arguments()}

    def _config_of_arguments(self):
        config = {}
        for name in self._names:
            value = getattr(self, name)
            config[name] = activations.serialize(value) if "activation" in name else value
        return {
            **config,
            **weight_config(self),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }


def _fits(kept, step_input):
    if isinstance(kept, list):
        kept = kept[0]
    return kept is not None and kept.shape == step_input.shape
