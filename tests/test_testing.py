"""check_layer must notice a layer that breaks its word."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import case, check_layer, layer_cases, make_inputs


class Good(keras.layers.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, x):
        return x @ self.kernel.value

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class WrongShape(Good):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units + 1)


class ForgetsUnits(Good):
    def get_config(self):
        config = super().get_config()
        del config["units"]
        return config


class NoGradient(Good):
    def call(self, x):
        return x @ self.kernel.value.detach() + 0 * self.kernel.value.sum()


class Float32Only(Good):
    def call(self, x):
        return super().call(x).float()


class Remembers(Good):
    def call(self, x):
        self.kernel.value.detach().add_(1)
        return super().call(x)


class HiddenWeight(Good):
    def build(self, input_shape):
        super().build(input_shape)
        self.__dict__["secret"] = [torch.randn(())]

    def call(self, x):
        return super().call(x) * self.secret[0]


class BreaksGraph(Good):
    def call(self, x):
        torch._dynamo.graph_break()
        return super().call(x)


class IgnoresTheSwap(Good):
    def build(self, input_shape):
        super().build(input_shape)
        self.__dict__["cached"] = self._parameters["kernel"]

    def call(self, x):
        return x @ self.cached if x.device.type != "meta" else super().call(x)


class Counter(Good):
    """A state that a call in training moves, as the statistics of BatchNormalization."""

    def build(self, input_shape):
        super().build(input_shape)
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x, training=False):
        if training:
            self.count.assign(self.count.value + 1)
        return super().call(x) * (self.count.value + 1)


class TrainsItself(Good):
    def call(self, x, training=False):
        if training:
            self.kernel.assign(self.kernel.value * 0.5)
        return super().call(x)


class CountsInInference(Counter):
    def call(self, x, training=False):
        return super().call(x, training=True)


class CountsInPlace(Counter):
    def call(self, x, training=False):
        if training:
            self.count.value.add_(1)
        return Good.call(self, x) * (self.count.value + 1)


class CountsInSecret(Counter):
    def call(self, x, training=False):
        self.__dict__["secret"] = self.__dict__.get("secret", 0) + bool(training)
        return Good.call(self, x) * (self.secret + 1)


class NoGradientInTraining(Counter):
    def call(self, x, training=False):
        y = super().call(x, training=training)
        return y.detach() + 0 * y if training else y


class BreaksGraphInTraining(Counter):
    def call(self, x, training=False):
        if training:
            torch._dynamo.graph_break()
        return super().call(x, training=training)


class RefusesUnknownSizes(Good):
    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError("every size must be known")
        super().build(input_shape)


class ForgetsThatASizeIsUnknown(Good):
    def compute_output_shape(self, input_shape):
        return (*[size or 3 for size in input_shape[:-1]], self.units)


class RunsCallForItsShape(Good):
    def compute_output_shape(self, input_shape):
        return tuple(self.call(torch.zeros(input_shape)).shape)


class NamesTheWrongDtype(Good):
    keeps_dtype = True  # of an integer input

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def call(self, x):
        return super().call(x.float())


class WantsTensors(Good):
    def _convert_arguments(self, args, kwargs):
        assert isinstance(args[0], (torch.Tensor, keras.KerasTensor))
        return super()._convert_arguments(args, kwargs)


class InvertsTheMask(Good):
    def compute_mask(self, inputs, previous_mask):
        return None if previous_mask is None else ~previous_mask


class LosesTheMask(Good):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def _build_and_run(self, spec, args, kwargs):
        outputs = super()._build_and_run(spec, args, kwargs)
        if isinstance(outputs, torch.Tensor) and hasattr(outputs, "_keras_mask"):
            del outputs._keras_mask
        return outputs


# Layers that break their word, with further arguments of `check_layer` that show it.
BROKEN = {
    WrongShape: {},
    ForgetsUnits: {},
    NoGradient: {},
    Float32Only: {},
    Remembers: {},
    HiddenWeight: {},
    BreaksGraph: {},
    IgnoresTheSwap: {},
    TrainsItself: {},
    CountsInInference: {},
    CountsInPlace: {},
    CountsInSecret: {},
    NoGradientInTraining: {},
    BreaksGraphInTraining: {},
    RefusesUnknownSizes: {},
    ForgetsThatASizeIsUnknown: {},
    RunsCallForItsShape: {},
    NamesTheWrongDtype: {"input_dtype": "int32"},
    WantsTensors: {},
    InvertsTheMask: {"expected_mask": lambda mask: mask},
    LosesTheMask: {},
}


def check(cls, shape=(2, 5, 3), **expected):
    return check_layer(cls, {"units": 4}, shape, custom_objects={cls.__name__: cls}, **expected)


def test_a_good_layer_passes_and_comes_back_built():
    assert check(Good, expected_output_shape=(2, 5, 4), expected_num_weights=1).built


@pytest.mark.parametrize("cls", BROKEN)
def test_a_broken_layer_is_noticed(cls):
    # torch's own errors count too: a graph break is one
    graphs = cls in (BreaksGraph, BreaksGraphInTraining)
    with pytest.raises((AssertionError, RuntimeError, TypeError)):
        check(cls, part="graphs" if graphs else "eager", **BROKEN[cls])


@pytest.mark.parametrize(
    "expected",
    [
        {"expected_output_shape": (2, 5, 5)},
        {"expected_num_weights": 2},
        {"expected_num_trainable_weights": 0},
        {"expected_num_non_trainable_weights": 1},
        {"expected_num_seed_generators": 1},
        {"expected_num_losses": 1},
        {"expected_output_dtype": "float16"},
        {"supports_masking": True},
    ],
)
def test_expectations_are_compared(expected):
    with pytest.raises(AssertionError):
        check(Good, part="eager", **expected)


# Layers of every kind that keep their word.


def test_state_may_move_in_training():
    layer = check(Counter, expected_num_non_trainable_weights=1)
    assert layer.count.value == 0  # the checks put back what they moved


class Stateful(Counter):
    """A state that every call moves, as that of a stateful RNN."""

    stateful = True

    def call(self, x):
        return super().call(x, training=True)


def test_state_may_move_in_every_call_of_a_stateful_layer():
    check(Stateful)


class Attention(keras.layers.Layer):
    """Weighted sums of `value`, and the weights."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, query_shape, value_shape):
        sizes = (query_shape[-1], value_shape[-1])
        self.kernel = self.add_weight(shape=sizes, name="kernel")

    def call(self, query, value, attention_mask=None):
        scores = query @ self.kernel.value @ value.mT
        if attention_mask is not None:
            scores = torch.where(attention_mask, scores, -1e4)
        weights = torch.softmax(scores, dim=-1)
        return weights @ value, [weights]

    def compute_mask(self, inputs, previous_mask):
        return [previous_mask, None]

    def compute_output_shape(self, query_shape, value_shape):
        steps = query_shape[:2]
        return (*steps, value_shape[-1]), [(*steps, value_shape[1])]


@pytest.mark.parametrize("with_mask", [False, True])
def test_several_tensors_and_several_outputs(with_mask):
    mask = {"attention_mask": torch.rand(2, 4, 5) > 0.3} if with_mask else {}
    value = make_inputs((2, 5, 6), seed=1)
    for by_place in (True, False):
        check_layer(
            Attention,
            {},
            (2, 4, 3),
            call_args=(value,) if by_place else (),
            call_kwargs=mask if by_place else {"value": value, **mask},
            expected_output_shape=((2, 4, 6), [(2, 4, 5)]),
            expected_num_weights=1,
            expected_mask=lambda query_mask: [query_mask, None],
            custom_objects={"Attention": Attention},
            part="all" if by_place and with_mask else "eager",
        )


class Recurrent(keras.layers.Layer):
    """Sums over time, from a given state on, where the mask says so; the last one comes too."""

    def call(self, sequence, initial_state=None, mask=None):
        if mask is not None:
            sequence = torch.where(mask.unsqueeze(-1), sequence, 0)
        sums = sequence.cumsum(1)
        if initial_state is not None:
            sums = sums + initial_state[0].unsqueeze(1)
        return [sums, sums[:, -1] + (0 if initial_state is None else initial_state[1])]


@pytest.mark.parametrize("kwargs", ["nothing", "initial_state", "mask", "both"])
def test_states_and_masks_as_arguments(kwargs):
    given = {}
    if kwargs in ("initial_state", "both"):
        given["initial_state"] = [make_inputs((2, 3), seed=1), make_inputs((2, 3), seed=2)]
    if kwargs in ("mask", "both"):
        given["mask"] = torch.tensor([[True, True, False, False], [True, True, True, True]])
    check_layer(
        Recurrent,
        {},
        (2, 4, 3),
        call_kwargs=given,
        expected_output_shape=[(2, 4, 3), (2, 3)],
        custom_objects={"Recurrent": Recurrent},
        part="all" if kwargs == "both" else "eager",
    )


class Lengths(keras.layers.Layer):
    """Numbers of characters; takes strings."""

    takes_text = True

    def call(self, texts):
        lengths = [[len(text) for text in row] for row in texts]
        return torch.tensor(lengths, dtype=getattr(torch, self.compute_dtype))

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("as_array", [False, True])
def test_text(as_array):
    texts = [["a", "bcd", ""], ["e", "fg", "h"]]
    check_layer(
        Lengths,
        {},
        input_data=np.array(texts) if as_array else texts,
        expected_output_shape=(2, 3),
        custom_objects={"Lengths": Lengths},
        supports_half=False,
    )


class Standardize(keras.layers.Layer):
    """Needs to see data before its first call."""

    def build(self, input_shape):
        self.mean = self.add_weight(shape=(input_shape[-1],), trainable=False, name="mean")
        self.adapted = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="adapted"
        )

    def adapt(self, data):
        self.build(tuple(data.shape))
        self.mean.assign(data.mean(0))
        self.adapted.assign(1.0)

    def call(self, x):
        return x - self.mean.value / self.adapted.value


def test_a_layer_that_is_prepared_before_its_first_call():
    def adapt(layer):
        if not layer.built:
            layer.adapt(torch.arange(12.0).reshape(4, 3))

    check_layer(
        Standardize,
        {},
        (2, 3),
        prepare=adapt,
        custom_objects={"Standardize": Standardize},
        expected_num_non_trainable_weights=2,
    )


class Around(keras.layers.Layer):
    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, x):
        return self.layer(x)


def test_a_layer_around_another_gets_a_new_one_each_time():
    made = []

    def init_kwargs():
        made.append(keras.layers.Dense(4))
        return {"layer": made[-1]}

    check_layer(Around, init_kwargs, (2, 3), custom_objects={"Around": Around}, part="eager")
    assert len(made) > 5


def test_integers():
    check_layer(keras.layers.Flatten, {}, (2, 3, 4), input_dtype="int64", part="eager")
    check_layer(keras.layers.Dense, {"units": 2}, (2, 3), input_dtype="int32", part="eager")


def test_graphs_of_the_first_case_of_a_class_are_quick_and_the_others_slow():
    dense, relu = keras.layers.Dense, keras.layers.ReLU
    cases = {"a": case(dense, {"units": 1}), "b": case(dense, {"units": 2}), "c": case(relu, {})}
    params = layer_cases(cases).args[1]
    found = {p.id: (p.values[0].keywords["part"], [m.name for m in p.marks]) for p in params}
    assert found == {
        "a": ("all", []),
        "b": ("eager", []),
        "b-graphs": ("graphs", ["slow"]),
        "c": ("all", []),
    }
