"""Wrong calls are refused by name, value and cure, before anything has moved; right ones are not.

The first table: a call, the type of its error, and words of its message. The second one: calls
that look odd and are right, each of which Keras takes too.
"""

import random

import numpy as np
import pytest
import torch

import torchkeras as keras
from torchkeras import callbacks, optimizers
from torchkeras.optimizers import schedules

X = np.linspace(-1, 1, 24).reshape(8, 3).astype("float32")
Y = X[:, :1]
LABELS = np.arange(8) % 3
NAN, INF = float("nan"), float("inf")


def make(sparse=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3 if sparse else 1),
        ]
    )
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", crossentropy if sparse else "mse", metrics=None if sparse else ["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, x=X, y=Y, **arguments):
    return model.fit(x, y, **{"verbose": 0, "epochs": 1, **arguments})


def fit_labels(model, y=LABELS, **arguments):
    return fit(model, y=y, **arguments)


def validate(model, x=X, y=Y):
    return fit(model, validation_data=(x, y), callbacks=[Never()])


class Never(callbacks.Callback):
    def on_train_begin(self, logs=None):
        raise AssertionError("the training has begun")


# Calls of methods of a model: (name, call, error, words). "labels" in the name: class numbers.
DATA = [
    (
        "labels half",
        lambda m: fit_labels(m, y=LABELS + 0.5),
        ValueError,
        "`y` .*class numbers.*0.5",
    ),
    ("labels nan", lambda m: fit_labels(m, y=LABELS * NAN), ValueError, "`y` .*class numbers.*nan"),
    ("labels list", lambda m: fit_labels(m, y=[0.5] * 8), ValueError, "`y` .*class numbers"),
    (
        "labels tensor",
        lambda m: m.train_on_batch(X, torch.full((8,), 0.5)),
        ValueError,
        "`y` .*class numbers.*integers",
    ),
    ("complex x", lambda m: fit(m, x=X + 1j), ValueError, "`x` .*real.*complex64"),
    ("complex y", lambda m: fit(m, y=Y + 1j), ValueError, "`y` .*real.*complex64"),
    ("complex tensor", lambda m: fit(m, y=torch.tensor(Y + 1j)), ValueError, "`y` .*real"),
    ("complex predict", lambda m: m.predict(X + 1j, verbose=0), ValueError, "`x` .*real"),
    ("complex batch", lambda m: m.train_on_batch(X + 1j, Y), ValueError, "`x` .*real"),
    ("complex weight", lambda m: fit(m, sample_weight=1j * np.ones(8)), ValueError, "real numbers"),
    (
        "nan weight",
        lambda m: fit(m, sample_weight=np.full(8, NAN)),
        ValueError,
        "finite.*nan.*Give 0",
    ),
    ("inf weight", lambda m: m.train_on_batch(X, Y, np.full(8, INF)), ValueError, "finite.*inf"),
    ("class labels 7", lambda m: fit_labels(m, class_weight={7: 1.0}), ValueError, "0 to 2.*key 7"),
    ("class labels -1", lambda m: fit_labels(m, class_weight={-1: 1.0}), ValueError, "from 0.*-1"),
    (
        "class labels .5",
        lambda m: fit_labels(m, class_weight={0.5: 1.0}),
        ValueError,
        "numbers.*0.5",
    ),
    (
        "class labels nan",
        lambda m: fit_labels(m, class_weight={0: NAN}),
        ValueError,
        r"\[0\].*=nan",
    ),
    ("class labels neg", lambda m: fit_labels(m, class_weight={0: -1.0}), ValueError, r"=-1.0"),
    ("class labels 3", lambda m: fit_labels(m, class_weight=3), TypeError, "class_weight=3"),
    (
        "class labels batch",
        lambda m: m.train_on_batch(X, LABELS, class_weight={0: NAN}),
        ValueError,
        "class_weight.*nan",
    ),
    ("y shape", lambda m: fit(m, y=np.ones((8, 5))), ValueError, "same shape"),
    ("y shape batch", lambda m: m.train_on_batch(X, np.ones((8, 5))), ValueError, "same shape"),
    ("x shape", lambda m: fit(m, x=np.ones((8, 5))), ValueError, "expects 3 features"),
    ("lengths", lambda m: fit(m, y=Y[:5]), ValueError, "x: 8, y: 5"),
    ("val x", lambda m: validate(m, x=np.ones((8, 4))), ValueError, "`validation_data`.*8, 4"),
    ("val y", lambda m: validate(m, y=np.ones((8, 5))), ValueError, "`validation_data`.*8, 5"),
    ("val y lengths", lambda m: validate(m, y=Y[:5]), ValueError, "x: 8, y: 5"),
    ("val no y", lambda m: fit(m, validation_data=(X,)), ValueError, "`validation_data`.*0 arrays"),
    ("val complex", lambda m: validate(m, y=Y + 1j), ValueError, "real numbers"),
    ("val int", lambda m: fit(m, validation_data=3), ValueError, "Received: x of type int"),
    ("val 4", lambda m: fit(m, validation_data=(X, Y, Y, Y)), ValueError, "tuple of 4"),
]


def _argument(name, value, error, words=None, method="fit"):
    def call(model):
        arguments = {"x": X, "y": Y, "verbose": 0, name: value}
        if method == "predict":
            del arguments["y"]
        return getattr(model, method)(**arguments)

    return (
        f"{method} {name}={value!r}"[:40],
        call,
        error,
        words or f"`{name}` .*Received: {name}=",
    )


ARGUMENTS = [
    _argument("batch_size", True, TypeError),
    _argument("batch_size", 2.0, TypeError),
    _argument("batch_size", 0, ValueError),
    _argument("epochs", "1", TypeError),
    _argument("epochs", True, TypeError),
    _argument("epochs", -1, ValueError),
    _argument("initial_epoch", 0.5, TypeError),
    _argument("steps_per_epoch", True, TypeError),
    _argument("steps_per_epoch", 0, ValueError),
    _argument("validation_steps", True, TypeError),
    _argument("validation_steps", 0, ValueError),
    _argument("validation_batch_size", 0, ValueError),
    _argument("validation_batch_size", True, TypeError),
    _argument("validation_freq", 0, ValueError),
    _argument("validation_freq", ["x"], TypeError),
    _argument("validation_split", "x", TypeError),
    _argument("validation_split", 1.0, ValueError),
    _argument("validation_split", NAN, ValueError),
    _argument("verbose", -1, ValueError),
    _argument("verbose", "x", ValueError),
    _argument("verbose", [1], TypeError),
    _argument("shuffle", [1], TypeError),
    _argument("shuffle", "x", ValueError),
    _argument("shuffle", 2, TypeError),
    _argument("callbacks", 3, TypeError, "`callbacks` .*Received: 3"),
    _argument("callbacks", [callbacks.History], TypeError, "class History. Call it"),
    _argument("resume", 3, TypeError),
    *[
        _argument(name, value, error, method=method)
        for method in ("evaluate", "predict")
        for name, value, error in [
            ("batch_size", True, TypeError),
            ("batch_size", 0, ValueError),
            ("steps", True, TypeError),
            ("steps", 0, ValueError),
            ("verbose", -1, ValueError),
            ("verbose", "x", ValueError),
        ]
    ],
]


def _of(cls, name, value, error, words=None, **others):
    return (
        f"{cls.__name__} {name}={value!r}",
        lambda: cls(**{**others, name: value}),
        error,
        words or f"`{name}` .*Received: {name}=",
    )


ADAM, SGD, RMS = optimizers.Adam, optimizers.SGD, optimizers.RMSprop
EXP = {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5}
COSINE = {"initial_learning_rate": 0.1, "decay_steps": 5}
OTHERS = [
    *[_of(ADAM, "learning_rate", v, ValueError) for v in (-1.0, NAN, INF, "x", None)],
    *[_of(ADAM, "beta_1", v, TypeError) for v in ("x", None, True, [0.9], 1j)],
    *[_of(ADAM, "beta_2", v, ValueError) for v in (1.5, -0.1, NAN)],
    *[
        _of(cls, name, value, error)
        for cls, name in [
            (ADAM, "epsilon"),
            (RMS, "rho"),
            (RMS, "momentum"),
            (RMS, "epsilon"),
            (optimizers.Adadelta, "rho"),
            (optimizers.Adadelta, "epsilon"),
            (optimizers.Adagrad, "initial_accumulator_value"),
            (optimizers.Adagrad, "epsilon"),
            (optimizers.Adamax, "beta_1"),
            (optimizers.Adamax, "beta_2"),
            (optimizers.Nadam, "beta_1"),
            (optimizers.Nadam, "beta_2"),
            (optimizers.AdamW, "beta_1"),
            (optimizers.AdamW, "weight_decay"),
            (SGD, "weight_decay"),
            (SGD, "clipnorm"),
            (SGD, "clipvalue"),
            (SGD, "global_clipnorm"),
            (SGD, "loss_scale_factor"),
        ]
        for value, error in [("x", TypeError), (-1.0, ValueError), (NAN, ValueError)]
    ],
    _of(SGD, "clipnorm", 0.0, ValueError),
    _of(SGD, "momentum", 2.0, ValueError),
    _of(SGD, "nesterov", "x", TypeError),
    _of(RMS, "centered", "x", TypeError),
    _of(ADAM, "amsgrad", "x", TypeError),
    _of(ADAM, "use_ema", "x", TypeError),
    _of(ADAM, "ema_momentum", 2.0, ValueError, use_ema=True),
    _of(ADAM, "gradient_accumulation_steps", 2.5, TypeError),
    _of(ADAM, "gradient_accumulation_steps", 1, ValueError),
    _of(ADAM, "name", 3, ValueError),
    *[
        _of(schedules.ExponentialDecay, name, value, error, **EXP)
        for name in EXP
        for value, error in [("x", TypeError), (NAN, ValueError)]
    ],
    _of(schedules.InverseTimeDecay, "decay_rate", "x", TypeError, **EXP),
    _of(schedules.CosineDecay, "alpha", "x", TypeError, **COSINE),
    _of(schedules.CosineDecayRestarts, "t_mul", "x", TypeError, initial_learning_rate=0.1,
        first_decay_steps=5),
    _of(schedules.PolynomialDecay, "power", NAN, ValueError, **COSINE),
    _of(schedules.PiecewiseConstantDecay, "boundaries", [2, 1], ValueError, values=[1.0, 2.0, 3.0]),
    _of(schedules.PiecewiseConstantDecay, "boundaries", ["a"], TypeError, r"`boundaries\[0\]`",
        values=[1.0, 2.0]),
    *[
        _of(callbacks.EarlyStopping, name, value, error)
        for name, value, error in [
            ("monitor", 3, TypeError),
            ("min_delta", "x", TypeError),
            ("min_delta", NAN, ValueError),
            ("patience", "x", TypeError),
            ("patience", -1, ValueError),
            ("verbose", -1, ValueError),
            ("baseline", "x", TypeError),
            ("restore_best_weights", "x", TypeError),
            ("start_from_epoch", "x", TypeError),
        ]
    ],
    *[
        _of(callbacks.ReduceLROnPlateau, name, value, error)
        for name, value, error in [
            ("factor", "x", TypeError),
            ("factor", -0.5, ValueError),
            ("patience", NAN, ValueError),
            ("cooldown", -1, ValueError),
            ("min_lr", "x", TypeError),
        ]
    ],
    _of(callbacks.ModelCheckpoint, "filepath", 3, TypeError),
    *[
        _of(callbacks.ModelCheckpoint, name, value, error, filepath="a.keras")
        for name, value, error in [
            ("save_freq", True, ValueError),
            ("save_freq", 0, ValueError),
            ("save_best_only", "x", TypeError),
            ("save_weights_only", "x", TypeError),
            ("initial_value_threshold", "x", TypeError),
            ("verbose", "x", ValueError),
        ]
    ],
    _of(callbacks.BackupAndRestore, "backup_dir", 3, TypeError),
    _of(callbacks.BackupAndRestore, "delete_checkpoint", "x", TypeError, backup_dir="a"),
    _of(callbacks.BackupAndRestore, "double_checkpoint", "x", TypeError, backup_dir="a"),
    _of(callbacks.LearningRateScheduler, "schedule", 3, TypeError),
    _of(callbacks.LambdaCallback, "on_epoch_end", 3, TypeError),
    _of(callbacks.CSVLogger, "filename", 3, TypeError),
    _of(callbacks.CSVLogger, "separator", 3, TypeError, filename="a"),
    _of(callbacks.CSVLogger, "append", "x", TypeError, filename="a"),
    _of(callbacks.TensorBoard, "log_dir", 3, TypeError),
    _of(callbacks.TensorBoard, "histogram_freq", "x", TypeError),
    _of(callbacks.TensorBoard, "write_graph", "x", TypeError),
    _of(callbacks.TensorBoard, "update_freq", "x", ValueError),
    _of(callbacks.RemoteMonitor, "root", 3, TypeError),
    _of(callbacks.RemoteMonitor, "headers", 3, TypeError),
    _of(callbacks.SwapEMAWeights, "swap_on_epoch", "x", TypeError),
    _of(callbacks.TerminateOnNaN, "raise_error", "x", TypeError),
    _of(keras.models.load_model, "filepath", 3, TypeError),
    _of(keras.models.load_model, "compile", "x", TypeError, filepath="a.keras"),
    _of(keras.models.load_model, "custom_objects", 3, TypeError, filepath="a.keras"),
    *[
        _of(keras.models.model_from_json, "json_string", value, error, "`json_string` .*to_json")
        for value, error in [("3", ValueError), ("{", ValueError), ({}, TypeError), (3, TypeError)]
    ],
    *[
        (f"{function.__name__} {value!r}", lambda f=function, v=value: f(v), error, "filepath=")
        for function in (make().save, make().save_weights, make().load_weights)
        for value, error in [(3, TypeError), (None, TypeError), ("a.txt", ValueError)]
    ],
    *[
        _of(make().compile, name, value, error)
        for name, value, error in [
            ("run_eagerly", "x", TypeError),
            ("auto_scale_loss", "x", TypeError),
            ("steps_per_execution", True, TypeError),
            ("steps_per_execution", 0, ValueError),
            ("jit_compile", "x", ValueError),
            ("jit_compile", 3, TypeError),
            ("jit_options", 3, TypeError),
        ]
    ],
    ("compile optimizer", lambda: make().compile(3), ValueError, "optimizer.*Received"),
    ("compile loss", lambda: make().compile("sgd", 3), ValueError, "loss .*Received: 3"),
    ("compile metrics", lambda: make().compile("sgd", "mse", metrics=3), ValueError, "list"),
]  # fmt: skip


def everything(model):
    state = [w.numpy() for w in model.weights] + [int(model.optimizer.iterations)]
    state += [v.numpy() for v in [*model.metrics_variables, *model.optimizer.variables]]
    state += [g.state.numpy() for m in model.modules() for g in getattr(m, "_seed_generators", ())]
    return state + [np.array(random.getstate()[1]), np.random.get_state()[1], torch.get_rng_state()]


@pytest.mark.parametrize(
    "name, call, error, words", DATA + ARGUMENTS, ids=[row[0] for row in DATA + ARGUMENTS]
)
@pytest.mark.parametrize("trained", [False, True])
def test_refused_calls_move_nothing(name, call, error, words, trained):
    model = make(sparse="labels" in name)
    if trained:
        model.fit(X, LABELS if "labels" in name else Y, verbose=0)
    before = everything(model)
    with pytest.raises(error, match=f"(?s){words}"):
        call(model)
    after = everything(model)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name, call, error, words", OTHERS, ids=[row[0] for row in OTHERS])
def test_refused_by_name_value_and_cure(name, call, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        call()


GOOD = {
    "epochs 0-d": lambda m: fit(m, epochs=np.array(1)),
    "epochs NumPy": lambda m: fit(m, epochs=np.int32(1), initial_epoch=np.int64(0)),
    "no epoch left": lambda m: fit(m, initial_epoch=5),
    "batch_size NumPy": lambda m: fit(m, batch_size=np.int64(4)),
    "batch_size 0-d": lambda m: fit(m, batch_size=np.array(4)),
    "batch_size tensor": lambda m: fit(m, batch_size=torch.tensor(4)),
    "steps NumPy": lambda m: fit(m, batch_size=4, steps_per_epoch=np.int32(2)),
    "shuffle None": lambda m: fit(m, shuffle=None),
    "shuffle 1": lambda m: fit(m, shuffle=1),
    "shuffle NumPy": lambda m: fit(m, shuffle=np.bool_(True)),
    "verbose None": lambda m: fit(m, verbose=None),
    "verbose False": lambda m: fit(m, verbose=False),
    "split NumPy": lambda m: fit(m, validation_split=np.float32(0.5)),
    "freq list": lambda m: fit(m, validation_data=(X, Y), validation_freq=[1, 3]),
    "freq NumPy": lambda m: fit(m, validation_data=(X, Y), validation_freq=np.int64(1)),
    "validation list": lambda m: fit(m, validation_data=[X, Y]),
    "validation y of one axis": lambda m: fit(m, validation_data=(X, Y[:, 0])),
    "labels as floats": lambda m: fit_labels(m, y=LABELS.astype("float32")),
    "labels of two axes": lambda m: fit_labels(m, y=LABELS[:, None].astype("float64")),
    "labels weights": lambda m: fit_labels(m, class_weight={0: np.float32(2), np.int64(1): 0}),
    "labels float keys": lambda m: fit_labels(m, class_weight={0.0: 2.0}),
    "labels some": lambda m: fit_labels(m, y=LABELS * 0, class_weight={0: 1.0, 2: 3.0}),
    # The advantages of policy gradients.
    "negative weights": lambda m: fit(m, sample_weight=np.linspace(-1, 1, 8)),
    "weights of zero": lambda m: fit(m, sample_weight=np.zeros(8)),
    "weights of ints": lambda m: fit(m, sample_weight=np.ones(8, int)),
    "evaluate": lambda m: m.evaluate(X, Y, verbose=None, steps=np.int64(1)),
    "predict": lambda m: m.predict(X, verbose=False, batch_size=np.int32(4)),
    "compile": lambda m: m.compile("sgd", "mse", steps_per_execution=np.int64(2), run_eagerly=0),
    "loss class": lambda m: m.compile("sgd", keras.losses.MeanSquaredError) or fit(m),
    "metric class": lambda m: (
        m.compile("sgd", "mse", metrics=[keras.metrics.MeanSquaredError]) or fit(m)
    ),
    "optimizer of NumPy": lambda m: optimizers.Adam(
        np.float64(0.1), beta_1=np.float32(0.9), beta_2=np.array(0.99), epsilon=0, clipnorm=1
    ),
    "beta of 0": lambda m: optimizers.Adam(0.0, beta_1=0, weight_decay=0),
    "beta a tensor": lambda m: optimizers.Adam(beta_1=torch.tensor(0.9)),
    "no limit": lambda m: optimizers.Adam(weight_decay=None, global_clipnorm=INF),
    "a function": lambda m: optimizers.Adam(lambda: 0.1),
    "float steps": lambda m: schedules.ExponentialDecay(np.float32(0.1), 10.5, np.array(0.5)),
    "falling below 0": lambda m: schedules.PolynomialDecay(0.1, 10, end_learning_rate=-0.1),
    "equal boundaries": lambda m: schedules.PiecewiseConstantDecay((1, 1), (1.0, 2, 3)),
    "endless patience": lambda m: callbacks.EarlyStopping(patience=INF, baseline=np.float32(1)),
    "patience NumPy": lambda m: callbacks.ReduceLROnPlateau(patience=np.int64(3), cooldown=1.5),
    "bytes as path": lambda m: callbacks.CSVLogger(b"a.csv", append=1),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*`verbose`")
@pytest.mark.parametrize("name", GOOD)
def test_right_calls_stay_accepted(name):
    GOOD[name](make(sparse="labels" in name))


def test_complex_numbers_where_they_are_meant():
    class Magnitude(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(torch.as_tensor(x).abs())

    model = Magnitude()
    model.compile("sgd", "mse")
    assert len(fit(model, x=X + 1j).epoch) == 1


@pytest.mark.parametrize("optimizer", ["adam", torch.optim.SGD])
def test_an_error_after_the_first_update_undoes_nothing(optimizer):
    class Stop(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                raise ArithmeticError

    model = make()
    model.compile(optimizer if isinstance(optimizer, str) else lambda p: optimizer(p, 0.1), "mse")
    before = [w.numpy().copy() for w in model.non_trainable_weights]
    with pytest.raises(ArithmeticError):
        fit(model, batch_size=4, callbacks=[Stop()])
    after = [w.numpy() for w in model.non_trainable_weights]
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
