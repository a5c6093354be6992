"""TimeDistributed: every step through the same layer."""

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.testing import assert_close, case, layer_cases
from torchkeras import layers
from torchkeras.layers import TimeDistributed


@keras.saving.register_keras_serializable("tests")
class Centred(layers.Layer):
    """Subtracts the mean of the batch: another layer for more samples."""

    keeps_shape = True

    def call(self, x):
        return x - x.mean(0)


@keras.saving.register_keras_serializable("tests")
class Masked(layers.Layer):
    """Zeros where the mask is False."""

    keeps_shape = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.calls = 0

    def call(self, x, mask=None):
        self.calls += 1
        return x if mask is None else x * mask.unsqueeze(-1)


def one_by_one(layer, x, **kwargs):
    return torch.stack([layer(x[:, i], **kwargs) for i in range(x.shape[1])], 1)


def test_example_of_keras():
    dense = layers.Dense(1, kernel_initializer=keras.initializers.Constant(0.01), use_bias=False)
    made = TimeDistributed(dense)(np.arange(24).reshape(3, 2, 4).astype("float32"))
    expected = [[[0.06], [0.22]], [[0.38], [0.54]], [[0.7], [0.86]]]
    torch.testing.assert_close(made, torch.tensor(expected))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Dense(2, activation="relu"), (3, 4, 5)),
        (lambda: layers.Conv2D(2, 3), (2, 3, 6, 5, 2)),
        (lambda: layers.LSTM(3), (2, 3, 4, 2)),
        (lambda: layers.BatchNormalization(), (4, 3, 2)),
        (lambda: keras.Sequential([layers.Conv1D(3, 2), layers.Flatten()]), (2, 3, 4, 2)),
        (lambda: layers.Lambda(lambda x: x - x.mean(0)), (3, 2, 4)),
        (Centred, (3, 2, 4)),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_gives_what_a_call_for_each_step_gives(make, shape, training):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    layer = TimeDistributed(make())
    layer.build(shape)
    weights = [w.numpy().copy() for w in layer.weights]
    made, after = layer(x, training=training), [w.numpy().copy() for w in layer.weights]
    for variable, value in zip(layer.weights, weights, strict=True):
        variable.assign(value)
    assert_close(made, one_by_one(layer.layer, x, training=training))
    for variable, value in zip(layer.weights, after, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-6)


def calls_of(layer, x, **kwargs):
    count = []
    handle = layer.layer.register_forward_hook(lambda *_: count.append(1))
    layer(x, **kwargs)
    handle.remove()
    return len(count)


def functional(function):
    inputs = keras.Input((4,))
    return keras.Model(inputs, function(inputs))


@pytest.mark.parametrize(
    ("make", "inference", "training"),
    [
        (lambda: layers.Dense(2), 1, 1),
        (lambda: layers.Dropout(0.5), 1, 1),
        (lambda: layers.BatchNormalization(), 1, 3),
        (lambda: functional(layers.Dense(2)), 1, 1),
        (lambda: functional(lambda x: x - keras.ops.mean(x, 0)), 3, 3),
        (lambda: layers.Lambda(lambda x: x), 3, 3),
        (Centred, 3, 3),
        (lambda: layers.TorchModuleWrapper(torch.nn.Linear(4, 2)), 1, 1),
        (lambda: layers.TorchModuleWrapper(torch.nn.BatchNorm1d(4)), 1, 3),
    ],
)
def test_steps_go_through_in_one_call_where_that_is_the_same(make, inference, training):
    layer, x = TimeDistributed(make()), torch.randn(2, 3, 4)
    layer.build((None, 3, 4))
    assert calls_of(layer, x) == inference
    assert calls_of(layer, x, training=True) == training


@pytest.mark.parametrize("within", [True, False])
def test_mask_reaches_the_layer_and_passes_on(within):
    """The example of Keras's tests, with a layer that sees all steps and one that sees each."""
    dense = layers.Dense(1, kernel_initializer=keras.initializers.Constant(0.01), use_bias=False)
    inner = Masked() if within else keras.Sequential([Masked()])
    x = torch.arange(24.0).reshape(3, 2, 4)
    mask = torch.tensor([[False, True], [True, False], [True, True]])
    x._keras_mask = mask
    made = TimeDistributed(inner)(TimeDistributed(dense)(x))
    expected = torch.tensor([[[0], [0.22]], [[0.38], [0]], [[0.7], [0.86]]])
    torch.testing.assert_close(made, expected)
    assert made._keras_mask is mask
    given = TimeDistributed(inner)(torch.ones(3, 2, 1), mask=mask)
    assert torch.equal(given[..., 0], mask.float())
    symbol = TimeDistributed(dense)(layers.Masking()(keras.Input((None, 4))))
    assert symbol._keras_mask.shape == (None, None)


def test_embedding_with_masks_trains():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Embedding(10, 5, mask_zero=True),
            TimeDistributed(layers.Dense(5, activation="softmax")),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    model.fit(rng.integers(0, 10, (8, 6)), rng.integers(0, 5, (8, 6)), verbose=0)


@pytest.mark.parametrize("shape", [(None, None, 4), (2, None, 4), (None, 3, 4), (2, 3, 4)])
def test_symbols_keep_what_is_unknown(shape):
    for layer in (layers.Dense(5), layers.BatchNormalization(), layers.Lambda(lambda x: 2 * x)):
        symbol = TimeDistributed(layer)(keras.Input(batch_shape=shape))
        assert symbol.shape == (*shape[:2], 5 if isinstance(layer, layers.Dense) else 4)
    ids = TimeDistributed(layers.IntegerLookup(vocabulary=[3]))(
        keras.Input(batch_shape=shape, dtype="int32")
    )
    assert (ids.shape, ids.dtype) == (shape, "int64")


def test_functional_model_over_steps_of_any_number(tmp_path):
    inputs = keras.Input((None, 8, 8, 1))
    frames = keras.Sequential(
        [layers.Conv2D(2, 3), layers.BatchNormalization(), layers.GlobalAveragePooling2D()]
    )
    model = keras.Model(inputs, layers.LSTM(2)(TimeDistributed(frames)(inputs)))
    for steps in (1, 4):
        assert model(torch.randn(2, steps, 8, 8, 1)).shape == (2, 2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = torch.randn(2, 3, 8, 8, 1)
    assert torch.equal(again(x), model(x))


def test_structures():
    """Several tensors in, several out."""

    @keras.saving.register_keras_serializable("tests")
    class Swapped(layers.Layer):
        def call(self, inputs):
            return {"a": inputs[1], "b": inputs[0] + 1}

    layer, x = TimeDistributed(Swapped()), [torch.zeros(2, 3, 4), torch.ones(2, 3, 5)]
    made = layer(x)
    assert torch.equal(made["a"], x[1]) and torch.equal(made["b"], torch.ones(2, 3, 4))
    symbols = TimeDistributed(Swapped())([keras.Input((None, 4)), keras.Input((None, 5))])
    assert symbols["a"].shape == (None, None, 5)
    made = TimeDistributed(layers.Add())([torch.ones(2, 3, 4)] * 2)
    assert torch.equal(made, torch.full((2, 3, 4), 2.0))


def test_losses_of_the_layer_count_once():
    layer = TimeDistributed(layers.Dense(2, activity_regularizer="l2", kernel_regularizer="l2"))
    y = layer(torch.randn(2, 3, 4))
    activity = 0.01 * y.square().sum() / 6  # a mean over samples and steps
    kernel = 0.01 * layer.layer.kernel.value.square().sum()
    torch.testing.assert_close(sum(layer.losses), activity + kernel)


def test_no_steps_are_no_error():
    for inner in (layers.Dense(2), Centred()):
        assert TimeDistributed(inner)(torch.ones(2, 0, 4)).shape[:2] == (2, 0)


@pytest.mark.parametrize("mask_shape", [(4, 6), (5, 5), (4,), (4, 6, 2)])
def test_masks_of_others_are_an_error(mask_shape):
    layer, x = TimeDistributed(layers.Dense(5)), np.zeros((4, 5, 3))
    for good in ((4, 5), (4, 5, 1), (4, 5, 2)):
        assert layer(x, mask=np.ones(good, bool)).shape == (4, 5, 5)
    with pytest.raises(ValueError, match="must begin with the samples and steps"):
        layer(x, mask=np.ones(mask_shape, bool))


def test_what_is_refused():
    with pytest.raises(ValueError, match="`layer` must be a Layer"):
        TimeDistributed(2)
    with pytest.raises(ValueError, match="three axes or more"):
        TimeDistributed(layers.Dense(2))(torch.ones(2, 3))
    with pytest.raises(ValueError, match="three axes or more"):
        TimeDistributed(layers.Dense(2)).compute_output_shape((2, 3))


def over(make, shape, expected, **more):
    return case(
        TimeDistributed,
        lambda: {"layer": make()},
        shape,
        expected_output_shape=expected,
        supports_masking=True,
        mask_shape=shape[:2],
        **more,
    )


@layer_cases(
    {
        "dense": over(
            lambda: layers.Dense(4, use_bias=False), (3, 2, 5), (3, 2, 4), expected_num_weights=1
        ),
        "conv2d": over(lambda: layers.Conv2D(3, 2), (2, 3, 5, 4, 2), (2, 3, 4, 3, 3)),
        "batch_normalization": over(
            layers.BatchNormalization, (5, 2, 3), (5, 2, 3), expected_num_weights=4
        ),
        "dropout": over(lambda: layers.Dropout(0.5), (3, 2, 5), (3, 2, 5)),
        "own": over(Centred, (3, 2, 5), (3, 2, 5), dynamic_dims=False),
    }
)
def test_holds_the_contract_of_layers(check):
    check()
