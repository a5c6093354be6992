"""What is trained as graphs in several processes; without Inductor, which takes seconds a graph."""

import warnings

import numpy as np
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.distribution import process_group
from torchkeras.trainers import graph

RNG = np.random.default_rng(0)
X = RNG.normal(size=(41, 5)).astype("float32")
LABELS = RNG.integers(0, 3, 41)
Y = (X @ RNG.normal(size=(5, 2)) + 0.1).astype("float32")
WEIGHTS = RNG.uniform(0.2, 2.0, 41).astype("float32")
WORDS = RNG.integers(0, 5, (41, 7))


def _trace_only(module, inputs, options):
    return torch._dynamo.lookup_backend("aot_eager")(module, inputs)


def train(model, *data, traces=True, batch_size=10, epochs=3, callbacks=(), **compilation):
    """Weights and logs; as graphs where there are several processes, which must be made."""
    compiler, graph.compile_module = graph.compile_module, _trace_only
    several = process_group.is_active()
    try:
        model.compile(**compilation, jit_compile=several)
        history = model.fit(
            *data, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=list(callbacks)
        )
        inputs, targets = data[:2]
        evaluated = model.evaluate(
            inputs, targets, batch_size=batch_size, verbose=0, return_dict=True
        )
        predicted = model.predict(inputs, batch_size=batch_size, verbose=0)
    finally:
        graph.compile_module = compiler
    if several:
        failures = {name: step.failure for name, step in model._graph_steps.items()}
        assert set(failures) == {"train_step", "test_step", "predict_step"}, failures
        assert (failures["train_step"] is None) == traces, failures
        made = model._graph_steps["train_step"]._graphs.values()
        assert not traces or any(isinstance(each, graph.Graph) for each in made)
    found = {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
    found.update({f"log_{k}": np.array(v) for k, v in history.history.items()})
    found.update({f"evaluated_{k}": np.array(v) for k, v in evaluated.items()})
    return {**found, "predicted": predicted}


def classifier(**output):
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, activation="tanh", kernel_regularizer="l2"),
            layers.Dense(3, **{"activation": "softmax", **output}),
        ]
    )


SPARSE = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}


def plain():
    return train(classifier(), X, LABELS, optimizer="adam", **SPARSE)


def clipped_and_averaged():
    optimizer = keras.optimizers.AdamW(
        0.01, global_clipnorm=0.3, use_ema=True, ema_overwrite_frequency=4
    )
    return train(classifier(), X, LABELS, optimizer=optimizer, **SPARSE)


def accumulated():
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)
    return train(classifier(), X, LABELS, optimizer=optimizer, **SPARSE)


def sums():
    loss = keras.losses.MeanSquaredError(reduction="sum")
    return train(_regressor(), X, Y, optimizer="sgd", loss=loss)


def _regressor():
    inputs = keras.Input((5,))
    hidden = layers.Dense(6, activation="tanh")(inputs)
    return keras.Model(inputs, layers.Dense(2)(hidden))


def small_batches():
    """One process of two has no row of the last batch."""
    return train(classifier(), X, LABELS, optimizer="adam", batch_size=4, **SPARSE)


def masks():
    """The loss divides by what all processes count, which no graph can: eagerly."""
    model = keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(5, 4, mask_zero=True),
            layers.Dense(5, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    return train(model, WORDS, (WORDS + 1) % 5, traces=False, optimizer="adam", loss=loss)


class Unused(keras.Model):
    def __init__(self):
        super().__init__()
        self.used, self.unused = layers.Dense(2), layers.Dense(3)

    def build(self, input_shape):
        self.used.build(input_shape)
        self.unused.build(input_shape)

    def call(self, x):
        return self.used(x)


def unused_weights():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(Unused(), X, Y, optimizer="adam", loss="mse")


class Meddler(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.optimizer.learning_rate = 0.01 / (batch + 1)

    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[1].trainable = epoch != 1


def meddled():
    return train(_regressor(), X, Y, optimizer="adam", loss="mse", callbacks=[Meddler()])


def without_and_with():
    """First as it is, by DDP; then as a graph; then as it is."""
    model, found = classifier(), {}
    for number, jit_compile in enumerate((False, True, False)):
        compiler, graph.compile_module = graph.compile_module, _trace_only
        try:
            model.compile("sgd", **SPARSE, jit_compile=jit_compile and process_group.is_active())
            model.fit(X, LABELS, batch_size=10, epochs=2, verbose=0)
        finally:
            graph.compile_module = compiler
        found.update({f"{number}_{i}": w for i, w in enumerate(model.get_weights())})
    return found


class Own(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


def own_step():
    """A step of the user's own has its model's call compiled alone."""
    inputs = keras.Input((5,))
    model = Own(inputs, layers.Dense(2)(inputs))
    several, compile_function = process_group.is_active(), torch.compile
    compiled = []
    torch.compile = lambda function, **_: compiled.append(function) or function
    try:
        model.compile("sgd", "mse", jit_compile=several)
        model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    finally:
        torch.compile = compile_function
    assert len(compiled) == several and not model._graph_steps
    return {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
