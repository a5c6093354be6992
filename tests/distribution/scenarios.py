"""What is trained in one process and in several, with the same results."""

import contextlib
import warnings
from functools import partial

import numpy as np
import torch

import torchkeras as keras
from torchkeras import layers
from torchkeras.distribution import process_group
from torchkeras.distribution.one_process import OneProcess
from torchkeras.distribution.replica import Replica
from torchkeras.layers.preprocessing.adaptable_layer import AdaptableLayer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(101, 5)).astype("float32")
LABELS = RNG.integers(0, 3, 101)
Y = (X @ RNG.normal(size=(5, 2)) + 0.1).astype("float32")
WEIGHTS = RNG.uniform(0.2, 2.0, 101).astype("float32")


def classifier(*extra, optimizer=None, loss=None, metrics=("accuracy",), **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.01)),
            *extra,
            layers.Dense(3),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.01),
        loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=list(metrics),
        **compile_arguments,
    )
    return model


def regressor(cls=keras.Model, units=2):
    inputs = keras.Input((5,))
    hidden = layers.Dense(6, activation="tanh", name="hidden")(inputs)
    return cls(inputs, layers.Dense(units, name="out")(hidden))


def outcome(model, history=None, **more):
    found = {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
    if history is not None:
        found.update({f"log_{k}": np.array(v) for k, v in history.history.items()})
    return {**found, **{k: np.asarray(v) for k, v in more.items()}}


# 200 steps and what they lead to


def adam_with_clipping():
    model = classifier(
        optimizer=keras.optimizers.Adam(0.01, global_clipnorm=0.3),
        weighted_metrics=["accuracy"],
    )
    validation = (X[:31], LABELS[:31], WEIGHTS[:31])
    history = model.fit(
        X,
        LABELS,
        sample_weight=WEIGHTS,
        batch_size=7,
        epochs=14,
        verbose=0,
        validation_data=validation,
    )
    evaluated = model.evaluate(X[:50], LABELS[:50], batch_size=16, verbose=0)
    return outcome(model, history, evaluated=evaluated, predicted=model.predict(X, verbose=0))


class TiedKernels(keras.Model):
    """Two layers that share one Parameter under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(5, 5), torch.nn.Linear(5, 5)
        self.out = layers.Dense(2)
        self.second.weight = self.first.weight

    def call(self, x):
        return self.out(self.second(torch.tanh(self.first(x))))


def loss_scale():
    """The first scales are too high in some process, or in all; then gradients are accumulated."""
    keras.config.set_dtype_policy("mixed_float16")
    found = {}
    try:
        for steps in (None, 2):
            model = regressor()
            inner = keras.optimizers.Adam(0.01, gradient_accumulation_steps=steps)
            optimizer = keras.optimizers.LossScaleOptimizer(inner, 2.0**30, dynamic_growth_steps=5)
            model.compile(optimizer, "mse")
            history = model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
            more = {"iterations": int(optimizer.iterations)}
            more["scale"] = float(optimizer.dynamic_scale)
            found.update({f"{steps}_{k}": v for k, v in outcome(model, history, **more).items()})
    finally:
        keras.config.set_dtype_policy(None)
    return found


class Words(keras.Model):
    """A plain embedding whose gradient holds the rows that a batch has used."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(20, 4, sparse=True)
        self.out = layers.Dense(1)

    def call(self, x):
        return self.out(self.table(x).mean(1))


class WordsInOwnSteps(Words):
    """By an optimizer for sparse gradients, and one for the others."""

    def train_step(self, data):
        x, y = data
        if "own" not in self.__dict__:
            self.__dict__["own"] = [
                torch.optim.SparseAdam(list(self.table.parameters()), lr=0.05),
                torch.optim.SGD(self.out.parameters(), lr=0.05),
            ]
        loss = ((self(x) - y) ** 2).mean()
        loss.backward()
        for optimizer in self.own:
            optimizer.step()
        self._loss_tracker.update_state(loss.detach(), sample_weight=len(x))
        return self.get_metrics_result()


def sparse_gradients():
    words = np.random.default_rng(1).integers(0, 18, (101, 3))
    targets = words.sum(1, keepdims=True).astype("float32") / 10
    found = {}
    for name, cls, optimizer in [
        ("sgd", Words, keras.optimizers.SGD(0.1, momentum=0.5)),
        ("adam", Words, keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)),
        ("torch", Words, lambda parameters: torch.optim.SGD(parameters, lr=0.1)),
        ("own", WordsInOwnSteps, None),
    ]:
        model = cls()
        model.compile(optimizer, "mse")
        history = model.fit(words, targets, batch_size=10, epochs=2, verbose=0)
        found.update({f"{name}_{k}": v for k, v in outcome(model, history).items()})
    return found


def closures():
    """An optimizer that computes the loss itself would do so in each process in its own way."""
    model = regressor()
    model.compile(lambda parameters: torch.optim.LBFGS(parameters), "mse")
    before = model.get_weights()
    try:
        model.fit(X, Y, batch_size=10, verbose=0)
        message = "none"
    except ValueError as error:
        message = str(error)
    same = all(map(np.array_equal, before, model.get_weights()))
    return {"message": np.array(message), "same": np.array(same)}


def tied_weights():
    found = {}
    for name, optimizer in {
        "clipped": keras.optimizers.Adam(0.01, global_clipnorm=0.1),
        "accumulated": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
        "torch": lambda parameters: torch.optim.SGD(parameters, lr=0.02),
    }.items():
        model = TiedKernels()
        model.compile(optimizer, "mse")
        history = model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
        assert len(model.weights) == 5
        found.update({f"{name}_{k}": v for k, v in outcome(model, history).items()})
    return found


def accumulation():
    """Four steps make an update; an epoch of 21 batches ends within one."""
    optimizer = keras.optimizers.SGD(
        0.1, momentum=0.9, clipnorm=0.5, gradient_accumulation_steps=4, loss_scale_factor=8.0
    )
    model = classifier(optimizer=optimizer)
    history = model.fit(X, LABELS, batch_size=5, epochs=10, verbose=0)
    history_2 = model.fit(X, LABELS, batch_size=5, epochs=2, verbose=0)
    return outcome(model, history, second=history_2.history["loss"])


def batch_normalization():
    extra = [layers.BatchNormalization(synchronized=True, momentum=0.9)]
    model = classifier(*extra, optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(X, LABELS, batch_size=8, epochs=16, verbose=0, validation_split=0.2)
    return outcome(model, history, predicted=model.predict(X, verbose=0))


def all_at_once():
    """210 steps of Adam with clipping, accumulation and synchronized moments, of 101 samples."""
    optimizer = keras.optimizers.Adam(0.01, global_clipnorm=0.3, gradient_accumulation_steps=2)
    extra = [layers.BatchNormalization(synchronized=True)]
    model = classifier(*extra, optimizer=optimizer)
    history = model.fit(X, LABELS, batch_size=7, epochs=14, verbose=0)
    evaluated = model.evaluate(X, LABELS, batch_size=8, verbose=0)
    return outcome(model, history, evaluated=evaluated, predicted=model.predict(X, verbose=0))


def batch_normalization_of_few():
    """The last batch has one row: the others' copies of it must not enter the moments."""
    model = classifier(layers.BatchNormalization(synchronized=True))
    model.fit(X, LABELS, batch_size=20, epochs=2, verbose=0)
    own = Plain(model.inputs, model.outputs)
    own.compile(keras.optimizers.SGD(0.1), model.loss)
    history = own.fit(X, LABELS, batch_size=20, epochs=2, verbose=0)
    return outcome(own, history)


def moving_averages_of_each():
    """Not synchronized: the statistics of training are those of each process's rows, then one."""
    model = classifier(layers.BatchNormalization())
    model.fit(X, LABELS, batch_size=16, epochs=2, verbose=0)
    first = model.evaluate(X, LABELS, verbose=0)
    return outcome(model, first=first, again=model.evaluate(X, LABELS, verbose=0))


def small_batches():
    """Batches with fewer rows than processes: some take part with nothing of their own."""
    model = classifier(optimizer=keras.optimizers.Adam(0.02), weighted_metrics=["accuracy"])
    history = model.fit(
        X[:13], LABELS[:13], batch_size=4, epochs=5, verbose=0, validation_data=(X[:5], LABELS[:5])
    )
    one = model.fit(X[:3], LABELS[:3], batch_size=1, epochs=2, verbose=0, shuffle=False)
    evaluated = model.evaluate(X[:5], LABELS[:5], batch_size=4, verbose=0)
    predicted = model.predict(X[:5], batch_size=4, verbose=0)
    single = model.predict(X[:1], verbose=0)
    return outcome(
        model, history, one=one.history["loss"], evaluated=evaluated, p=predicted, s=single
    )


# Losses and metrics


def reductions():
    found = {}
    for reduction in ("sum", "mean_with_sample_weight", "sum_over_batch_size"):
        keras.utils.set_random_seed(5)
        model = regressor()
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        model.compile(keras.optimizers.SGD(0.003), loss)
        history = model.fit(
            X, Y, sample_weight=WEIGHTS, batch_size=10, epochs=2, verbose=0, shuffle=False
        )
        evaluated = model.evaluate(X, Y, sample_weight=WEIGHTS, batch_size=10, verbose=0)
        found.update(
            {f"{reduction}_{k}": v for k, v in outcome(model, history, e=evaluated).items()}
        )
    return found


def torch_losses():
    """Sums, weights of classes, ignored classes, and losses of a whole batch."""
    weight = torch.tensor([0.2, 1.0, 3.0])
    ignored = LABELS.copy()
    ignored[::3] = 2
    cases = {
        "sum": (torch.nn.MSELoss(reduction="sum"), Y),
        "none": (torch.nn.MSELoss(reduction="none"), Y),
        "function": (torch.nn.functional.l1_loss, Y),
        "partial": (partial(torch.nn.functional.mse_loss, reduction="sum"), Y),
        "weight": (torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1), LABELS),
        "ignore": (torch.nn.CrossEntropyLoss(ignore_index=2), ignored),
        "both": (
            partial(torch.nn.functional.cross_entropy, weight=weight, ignore_index=2),
            ignored,
        ),
        "sum_of_both": (
            torch.nn.CrossEntropyLoss(weight=weight, ignore_index=2, reduction="sum"),
            ignored,
        ),
        "one_hot": (torch.nn.CrossEntropyLoss(weight=weight), np.eye(3, dtype="float32")[LABELS]),
        "kl": (torch.nn.KLDivLoss(reduction="batchmean"), np.abs(Y)),
        "dice": (keras.losses.Dice(), (Y > 0).astype("float32")),
        "tversky": (keras.losses.Tversky(0.3, 0.9), (Y > 0).astype("float32")),
        "dice_by_column": (keras.losses.Dice(axis=0), (Y > 0).astype("float32")),
    }
    found = {}
    for name, (loss, targets) in cases.items():
        keras.utils.set_random_seed(5)
        model = regressor(units=targets.shape[1] if targets.ndim > 1 else 3)
        model.compile(keras.optimizers.SGD(0.01), loss)
        history = model.fit(X, targets, batch_size=10, epochs=2, verbose=0, shuffle=False)
        evaluated = model.evaluate(X, targets, batch_size=10, verbose=0)
        found.update({f"{name}_{k}": v for k, v in outcome(model, history, e=evaluated).items()})
    return found


class Lengths(AdaptableLayer):
    takes_text = True
    keeps_shape = True

    def call(self, x):
        return torch.tensor([float(len(word)) for word in x.reshape(-1)]).reshape(x.shape)


def text():
    """Arrays and batches of strings, of which each process reads its rows."""
    words = ["x" * (1 + label * 2) for label in LABELS]

    def batches():
        for start in range(0, len(words), 20):
            yield {"words": words[start : start + 20]}, Y[start : start + 20, :1]

    found = {}
    for name, data in {
        "arrays": {"x": words, "y": Y[:, :1], "batch_size": 20, "shuffle": False},
        "batches": {"x": batches()},
    }.items():
        keras.utils.set_random_seed(5)
        inputs = keras.Input((1,), dtype="string", name="words")
        model = keras.Model(inputs, layers.Dense(1)(Lengths()(inputs)))
        model.compile(keras.optimizers.SGD(0.01), "mse", metrics=["mae"])
        history = model.fit(**data, verbose=0)
        more = {"predicted": model.predict(words, batch_size=20, verbose=0)}
        found.update({f"{name}_{k}": v for k, v in outcome(model, history, **more).items()})
    return found


class Extreme(keras.metrics.Metric):
    """The largest, or smallest, output."""

    def __init__(self, aggregation, name):
        super().__init__(name=name)
        self.sign = 1.0 if aggregation == "max" else -1.0
        start = keras.initializers.Constant(-100.0 * self.sign)
        self.value = self.add_weight(initializer=start, aggregation=aggregation)

    def update_state(self, y_true, y_pred, sample_weight=None):
        new = (self.sign * y_pred).max()
        self.value.assign(self.sign * torch.maximum(self.sign * self.value.value, new))

    def reset_state(self):
        self.value.assign(-100.0 * self.sign)

    def result(self):
        return self.value.value.clone()


def extremes():
    model = regressor()
    model.compile("sgd", "mse", metrics=[Extreme("max", "largest"), Extreme("min", "smallest")])
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append((logs["largest"], logs["smallest"]))
    )
    # The last batch has one row: the other processes run on a copy of it that counts for nothing.
    history = model.fit(X, Y, batch_size=20, epochs=2, verbose=0, callbacks=[watch])
    evaluated = model.evaluate(X, Y, batch_size=20, verbose=0)
    return outcome(model, history, evaluated=evaluated, seen=np.array(seen, dtype="float64"))


def torch_metrics():
    import torchmetrics

    warnings.filterwarnings("ignore", "Metric `Spearman")
    metrics = [
        torchmetrics.R2Score(),
        torchmetrics.MeanSquaredError(squared=False),
        torchmetrics.PearsonCorrCoef(),
        torchmetrics.SpearmanCorrCoef(),
        torchmetrics.MeanAbsolutePercentageError(),
        torchmetrics.MetricCollection(
            {"mae": torchmetrics.MeanAbsoluteError(), "top": torchmetrics.MinkowskiDistance(3)}
        ),
    ]
    model = regressor(units=1)
    model.compile("sgd", "mse", metrics=metrics)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append((logs["r2_score"], logs["mae"]))
    )
    history = model.fit(X, Y[:, :1], batch_size=20, epochs=2, verbose=0, callbacks=[watch])
    evaluated = model.evaluate(X, Y[:, :1], batch_size=20, verbose=0)
    return outcome(model, history, evaluated=evaluated, seen=np.array(seen, dtype="float64"))


def masks():
    class Masked(keras.losses.Loss):
        def call(self, y_true, y_pred):
            values = (y_true - y_pred).square()
            values._keras_mask = y_true > 0
            return values

    model = regressor()
    model.compile(keras.optimizers.SGD(0.05), Masked())
    history = model.fit(X, Y, batch_size=10, epochs=3, verbose=0)
    evaluated = model.evaluate(X, Y, batch_size=10, verbose=0)
    return outcome(model, history, evaluated=evaluated)


def all_metrics():
    metrics = [
        keras.metrics.AUC(name="auc", num_thresholds=50),
        keras.metrics.AUC(name="pr", curve="PR", multi_label=True),
        keras.metrics.Precision(name="precision"),
        keras.metrics.RecallAtPrecision(0.5, name="rap"),
        keras.metrics.F1Score("macro", name="f1"),
        keras.metrics.CosineSimilarity(name="cosine"),
        keras.metrics.RootMeanSquaredError(name="rmse"),
        keras.metrics.R2Score(name="r2"),
        keras.metrics.CategoricalCrossentropy(name="ce"),
        keras.metrics.TopKCategoricalAccuracy(2, name="top"),
        keras.metrics.OneHotMeanIoU(3, name="iou"),
        keras.metrics.PearsonCorrelation(name="pearson"),
        keras.metrics.CategoricalHinge(name="hinge"),
    ]
    inputs = keras.Input((5,))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(inputs))
    model.compile("sgd", "categorical_crossentropy", metrics=metrics)
    one_hot = np.eye(3, dtype="float32")[LABELS]
    history = model.fit(X, one_hot, batch_size=25, epochs=2, verbose=0)
    evaluated = model.evaluate(X, one_hot, batch_size=25, verbose=0)
    return outcome(model, history, evaluated=evaluated)


def several_outputs():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    both = layers.Concatenate()([a, b])
    outputs = {"p": layers.Dense(1, name="p")(both), "q": layers.Dense(2, name="q")(both)}
    model = keras.Model([a, b], outputs)
    model.compile("adam", {"p": "mse", "q": "mae"}, metrics={"p": ["mae"], "q": ["mse"]})
    x, y = {"a": X[:, :2], "b": X[:, 2:]}, {"p": Y[:, :1], "q": Y}
    history = model.fit(x, y, batch_size=9, epochs=2, verbose=0)
    predicted = model.predict(x, batch_size=9, verbose=0)
    return outcome(model, history, **predicted)


# Own steps


class Plain(keras.Model):
    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred)
        loss.backward()
        variables = self.trainable_variables
        torch.nn.utils.clip_grad_norm_([v.value for v in variables], 0.5)
        self.optimizer.apply([v.value.grad for v in variables], variables)
        self._loss_tracker.update_state(loss, sample_weight=x.shape[0])
        return {"loss": self._loss_tracker.result(), "raw": loss.detach()}


class Tape(keras.Model):
    def train_step(self, data):
        x, y = data
        with keras.autograd.GradientTape() as tape:
            loss = ((self(x, training=True) - y) ** 2).mean()
        grads = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
        return {"loss": loss}


class TwoOptimizers(keras.Model):
    """Two passes backward, over parts of the weights, with an optimizer of torch for one."""

    def train_step(self, data):
        x, y = data
        hidden, out = self.get_layer("hidden"), self.get_layer("out")
        ((hidden(x).sum(-1, keepdim=True) - y[:, :1]) ** 2).mean().backward()
        variables = hidden.trainable_variables
        self.optimizer.apply([v.value.grad for v in variables], variables)
        self.zero_grad()
        loss = ((out(hidden(x)) - y) ** 2).mean()
        loss.backward()
        if not hasattr(self, "second"):
            self.second = torch.optim.SGD(out.parameters(), 0.05, momentum=0.5)
        self.second.step()
        return {"loss": loss.detach()}


class GradientsByHand(keras.Model):
    def train_step(self, data):
        x, y = data
        loss = ((self(x) - y) ** 2).mean()
        parameters = list(self.parameters())
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = 0.5 * g
        if not hasattr(self, "own"):
            self.own = torch.optim.SGD(parameters, 0.1)
        self.own.step()
        return {"loss": loss.detach()}


class Stateless(keras.Model):
    def loss_of(self, trainable, non_trainable, x, y):
        y_pred, non_trainable = self.stateless_call(trainable, non_trainable, x, training=True)
        return self.compute_loss(x, y, y_pred), (y_pred, non_trainable)

    def train_step(self, state, data):
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        x, y = data
        gradient = keras.autograd.value_and_grad(self.loss_of, has_aux=True)
        (loss, (y_pred, non_trainable)), grads = gradient(trainable, non_trainable, x, y)
        trainable, optimizer_variables = self.optimizer.stateless_apply(
            optimizer_variables, grads, trainable
        )
        logs, updated, place = {}, [], 0
        for metric in self.metrics:
            part = metrics_variables[place : place + len(metric.variables)]
            place += len(metric.variables)
            if metric.name == "loss":
                part = metric.stateless_update_state(part, loss, sample_weight=x.shape[0])
            logs[metric.name] = metric.stateless_result(part)
            updated += part
        return logs, (trainable, non_trainable, optimizer_variables, updated)


def own_steps():
    found = {}
    for cls in (Plain, Tape, TwoOptimizers, GradientsByHand, Stateless):
        keras.utils.set_random_seed(5)
        model = regressor(cls)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        history = model.fit(X, Y, batch_size=10, epochs=3, verbose=0)
        parts = outcome(model, history)
        # The loss of the last step alone: of all its rows.
        found.update({f"{cls.__name__}_{k}": v for k, v in parts.items()})
    return found


class Branches(keras.Model):
    """A branch that is never used, and one that is used for some rows only."""

    def __init__(self):
        super().__init__()
        self.always, self.sometimes = layers.Dense(2), layers.Dense(2)
        self.never = layers.Dense(2)

    def build(self, input_shape):
        for layer in (self.always, self.sometimes, self.never):
            layer.build(input_shape)

    def call(self, x, training=False):
        y = self.always(x)
        if self.chance is not None and float(x[0, 0]) > self.chance:
            y = y + self.sometimes(x)
        return y


class OwnBranches(Branches):
    def train_step(self, data):
        return super().train_step(data)


def unused_weights():
    found = {}
    for cls, chance in ((Branches, None), (Branches, -100.0), (OwnBranches, None)):
        keras.utils.set_random_seed(5)
        model = cls()
        model.chance = chance
        model.build((None, 5))
        model.compile(keras.optimizers.AdamW(0.05, weight_decay=0.1), "mse")
        model.optimizer.build(model.trainable_variables)
        with _quiet():
            history = model.fit(X, Y, batch_size=10, epochs=3, verbose=0)
        name = f"{cls.__name__}_{chance}"
        found.update({f"{name}_{k}": v for k, v in outcome(model, history).items()})
    return found


class Alternating(keras.Model):
    """Its second layer takes part in every other batch of training only."""

    def __init__(self, first):
        super().__init__()
        self.always, self.sometimes = layers.Dense(2), layers.Dense(2)
        self.batches = first

    def call(self, x, training=False):
        self.batches += bool(training)
        y = self.always(x)
        return y + self.sometimes(x) if self.batches % 2 or not training else y


def accumulation_without_some_weights():
    """An update is of weights that its last batch has used, and nothing is lost of these."""
    found = {}
    for name in ("never", "at first", "at last"):
        keras.utils.set_random_seed(5)
        if name == "never":
            inputs = keras.Input((5,))
            hidden = layers.Dense(6, activation="tanh")(inputs)
            outputs = [layers.Dense(2, name="a")(hidden), layers.Dense(2, name="b")(hidden)]
            model, loss = keras.Model(inputs, outputs), ["mse", None]
        else:
            model, loss = Alternating(name == "at last"), "mse"
            model.build((None, 5))
        optimizer = keras.optimizers.AdamW(
            0.05, weight_decay=0.1, gradient_accumulation_steps=2, loss_scale_factor=4.0
        )
        model.compile(optimizer, loss)
        with _quiet():
            history = model.fit(X, Y, batch_size=9, epochs=3, verbose=0)
        found.update({f"{name}_{k}": v for k, v in outcome(model, history).items()})
    return found


def unused_in_some_processes():
    """The branch depends on the rows: its gradient exists in some processes only."""
    model = Branches()
    model.chance = 0.0
    model.build((None, 5))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    with _quiet():
        history = model.fit(X, Y, batch_size=10, epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    return outcome(model, history)


class Fading(Branches):
    """After three steps the branch is used in process 0 alone."""

    steps = 0

    def call(self, x, training=False):
        y = self.always(x) + 0 * self.never(x)
        self.__dict__["steps"] = self.steps + 1
        if self.steps <= 3 or process_group.rank() == 0:
            y = y + self.sometimes(x)
        return y


def unused_later():
    model = Fading()
    model.build((None, 5))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    with _quiet():
        history = model.fit(X, Y, batch_size=12, epochs=1, verbose=0)
    return outcome(model, history)


def frozen_on_the_way():
    class Freeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.get_layer("hidden").trainable = epoch != 1

    model = regressor()
    model.compile(keras.optimizers.SGD(0.05), "mse")
    with _quiet():
        history = model.fit(X, Y, batch_size=10, epochs=3, verbose=0, callbacks=[Freeze()])
    return outcome(model, history)


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Data


class Chunks(keras.utils.PyDataset):
    def __len__(self):
        return 11

    def __getitem__(self, index):
        rows = slice(index * 10, index * 10 + 10)
        return X[rows], Y[rows]


def _generator():
    while True:
        for start in range(0, 101, 10):
            yield X[start : start + 10], Y[start : start + 10]


class OwnOrder(torch.utils.data.Sampler):
    """Draws from a generator that nobody has seeded alike."""

    def __iter__(self):
        seed = 1 if process_group.rank() == 0 else 1000 + process_group.rank()
        return iter(np.random.default_rng(seed).permutation(101).tolist())

    def __len__(self):
        return 101


def _loaders():
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader
    yield "random", loader(data, batch_size=10, shuffle=True)
    yield "dropping", loader(data, batch_size=10, shuffle=True, drop_last=True)
    weighted = torch.utils.data.WeightedRandomSampler(torch.from_numpy(WEIGHTS).double(), 60)
    yield "weighted", loader(data, batch_size=9, sampler=weighted)
    batches = torch.utils.data.BatchSampler(OwnOrder(), 7, drop_last=False)
    yield "batches", loader(data, batch_sampler=batches)
    yield "workers", loader(data, batch_size=10, shuffle=True, num_workers=1)
    whole = torch.utils.data.DataLoader(_WholeBatches(), batch_size=None, shuffle=True)
    yield "whole", whole
    yield "stream", loader(_Stream(), batch_size=10)


class _WholeBatches(torch.utils.data.Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, index):
        rows = slice(index * 10, index * 10 + 10)
        return torch.from_numpy(X[rows]), torch.from_numpy(Y[rows])


class _Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return zip(torch.from_numpy(X), torch.from_numpy(Y), strict=True)


def sources():
    def train(name, *data, **arguments):
        keras.utils.set_random_seed(5)
        model = regressor()
        model.compile(keras.optimizers.SGD(0.05), "mse")
        history = model.fit(*data, epochs=2, verbose=0, **arguments)
        found.update({f"{name}_{k}": v for k, v in outcome(model, history).items()})
        return model

    found = {}
    train("tensors", torch.from_numpy(X), torch.from_numpy(Y), batch_size=13)
    train("in_batches", X, Y, batch_size=13, shuffle="batch")
    train("dataset", Chunks())
    train("threads", Chunks(workers=2))
    train("generator", _generator(), steps_per_epoch=7)
    for name, loader in _loaders():
        train(name, loader)
    model = train("some_steps", X, Y, batch_size=10, steps_per_epoch=4)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=10
    )
    found["e_loader"] = np.asarray(model.evaluate(loader, verbose=0))
    found["p_loader"] = model.predict(loader, verbose=0)
    found["p_dataset"] = model.predict(Chunks(), verbose=0)
    found["p_generator"] = model.predict(_generator(), steps=3, verbose=0)
    return found


def single_batches():
    model = classifier()
    logs = [model.train_on_batch(X[i : i + 7], LABELS[i : i + 7]) for i in range(0, 35, 7)]
    tested = model.test_on_batch(X[:11], LABELS[:11])
    predicted = model.predict_on_batch(X[:11])
    evaluated = model.evaluate(X, LABELS, verbose=0)
    return outcome(model, logs=logs, tested=tested, predicted=predicted, evaluated=evaluated)


def first_single_batches():
    """What process 0 has drawn is what all compute with, from the first call on."""
    found = {}
    for method, targets in (("test_on_batch", [LABELS[:11]]), ("predict_on_batch", [])):
        model = classifier()
        for variable in model.trainable_variables:
            variable.assign(variable.value * (1 + process_group.rank()))
        found[method] = np.asarray(getattr(model, method)(X[:11], *targets))
    return found


def single_batches_and_fit():
    """Whatever comes first: gradients accumulated and moving averages are those of all rows."""
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3)
    model = classifier(layers.BatchNormalization(synchronized=True), optimizer=optimizer)
    model.predict(X[:4], verbose=0)
    logs = [model.train_on_batch(X[i : i + 7], LABELS[i : i + 7]) for i in range(0, 28, 7)]
    tested = model.test_on_batch(X[:11], LABELS[:11])
    history = model.fit(X, LABELS, batch_size=10, epochs=2, verbose=0)
    more = [model.train_on_batch(X[i : i + 7], LABELS[i : i + 7]) for i in range(0, 28, 7)]
    return outcome(model, history, logs=logs, tested=tested, more=more)


def averages_after_single_batches():
    """Moving averages of each process's rows are one after each batch."""
    model = classifier(layers.BatchNormalization(momentum=0.5))
    model.train_on_batch(X[:7], LABELS[:7])
    return outcome(model, tested=model.test_on_batch(X[:11], LABELS[:11]))


def torch_optimizer():
    """Of torch; its state goes on from one fit to the next, and is that of process 0."""
    model = regressor()
    model.compile(torch.optim.AdamW(model.parameters(), lr=0.02, amsgrad=True), "mse")
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    history = model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    return outcome(model, history)


def weights_set_in_one_process():
    """What process 0 has is what all have, also if it has changed since the last time."""
    model = regressor()
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=20, verbose=0)
    before = model.predict(X[:5], verbose=0)
    sent = []
    broadcast = process_group.broadcast_
    process_group.broadcast_ = lambda tensors, *a: (
        sent.append(len(tensors)) or broadcast(tensors, *a)
    )
    again = model.predict(X[:5], verbose=0)
    untouched = sum(sent)
    if process_group.is_chief():
        with torch.no_grad():
            model.get_layer("out").bias.value.add_(1.0)
    changed = model.predict(X[:5], verbose=0)
    process_group.broadcast_ = broadcast
    np.testing.assert_array_equal(again, before)
    np.testing.assert_allclose(changed, before + 1.0, rtol=1e-5)
    assert not untouched, "weights that nobody has changed were sent"
    return outcome(model)


# Callbacks and decisions


class Reporting(keras.Model):
    """Reports its metric under another name, as the autoencoder of Keras's guides does."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)
        self.tracker = keras.metrics.Mean(name="total_loss")

    @property
    def metrics(self):
        return [self.tracker]

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        loss = ((self(x) - y) ** 2).mean()
        loss.backward()
        trainable = self.trainable_variables
        self.optimizer.apply([v.value.grad for v in trainable], trainable)
        self.tracker.update_state(loss.detach(), sample_weight=len(x))
        return {"loss": self.tracker.result(), "constant": 2.5}


def metric_by_another_name():
    model = Reporting()
    model.build((None, 5))
    model.compile(keras.optimizers.SGD(0.05))
    history = model.fit(X[:81], Y[:81], batch_size=16, epochs=2, verbose=0)  # at last one row
    assert history.history["constant"] == [2.5, 2.5]
    return outcome(model, history)


def evaluation_within_an_epoch():
    """A callback that evaluates a few rows changes nothing of the epoch's own logs."""

    class Evaluate(keras.callbacks.Callback):
        _supports_device_logs = True

        def on_train_batch_end(self, batch, logs=None):
            self.model.evaluate(X[:1], Y[:1], verbose=0)

    class Own(keras.Model):
        def train_step(self, data):
            super().train_step(data)
            return {"mean_of_targets": data[1].mean()}

    model = regressor(Own)
    model.compile("sgd", "mse")
    history = model.fit(
        X, Y, batch_size=10, epochs=2, verbose=0, shuffle=False, callbacks=[Evaluate()]
    )
    return outcome(model, history)


def stopped_from_outside():
    """One process's flag, set by no callback: all stop, at the end of the epoch."""

    class Stopping(keras.Model):
        def train_step(self, data):
            logs = super().train_step(data)
            if int(self.optimizer.iterations.value) == 13 and process_group.is_chief():
                self.stop_training = True
            return logs

    model = regressor(Stopping)
    model.compile("sgd", "mse")
    history = model.fit(X, Y, batch_size=10, epochs=5, verbose=0)
    return outcome(model, history, steps=int(model.optimizer.iterations.value))


def a_flag_set_while_processes_agree():
    """A signal comes while a process waits for the others: its word counts the next time."""
    model = regressor()
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=20, verbose=0)
    replica, reduce = model._replica, process_group.all_reduce_

    def interrupted(tensors, op="sum"):
        if process_group.is_chief():
            model.stop_training = True
        return reduce(tensors, op)

    model.stop_training = False
    process_group.all_reduce_ = interrupted
    first = replica.agree()
    process_group.all_reduce_ = reduce
    return {"first": np.array(first), "next": np.array(replica.agree())}


def decisions():
    """Every process has its callbacks; what one of them decides holds for all."""
    found, seen = {}, []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["loss"])

    class StopInTheLast(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1 and process_group.rank() == process_group.world_size() - 1:
                self.model.stop_training = True

    class StopAtBatch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3 and process_group.rank() == process_group.world_size() - 1:
                self.model.stop_training = True

    class HalveInTheFirst(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if process_group.rank() == 0:
                self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)

    model = classifier()
    callbacks = [Watch(), StopInTheLast(), HalveInTheFirst()]
    history = model.fit(X, LABELS, batch_size=10, epochs=5, verbose=0, callbacks=callbacks)
    found["epochs"] = len(history.epoch)
    found["rate"] = float(model.optimizer.learning_rate)
    found["batches"] = np.array(seen)
    # In the last process alone, with a prediction by all in between.
    callbacks = [StopAtBatch()] if process_group.rank() == process_group.world_size() - 1 else []

    class Predict(keras.callbacks.Callback):
        _supports_device_logs = True

        def on_train_batch_begin(self, batch, logs=None):
            self.model.predict(X[:3], verbose=0)

    callbacks.append(Predict())
    model.fit(X, LABELS, batch_size=10, epochs=5, verbose=0, callbacks=callbacks)
    found["iterations"] = int(model.optimizer.iterations.value)
    early = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1)
    history = model.fit(
        X,
        LABELS,
        batch_size=10,
        epochs=6,
        verbose=0,
        validation_data=(X[:20], LABELS[::-1][:20].copy()),
        callbacks=[early, plateau, keras.callbacks.TerminateOnNaN()],
    )
    return {**outcome(model, history), **found}


# How it comes about: facts, alike in all processes


def ways():
    """Which way gradients take, and how often processes talk in an epoch of accumulation."""
    found = {}

    def train(name, model, **arguments):
        steps = []

        class Watch(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                reducer = self.model._replica._reducer
                begin = type(reducer).begin
                reducer.begin = lambda *args: (begin(reducer, *args), steps.append(reducer._way))

        with _quiet():
            model.fit(X, Y, batch_size=12, epochs=1, verbose=0, callbacks=[Watch()], **arguments)
        found[name] = " ".join(str(step) for step in steps[:5])

    model = regressor()
    model.compile("sgd", "mse")
    train("plain", model)
    model = regressor(Plain)
    model.compile("sgd", "mse")
    train("own_step", model)
    model = regressor(TwoOptimizers)
    model.compile("sgd", "mse")
    train("two_optimizers", model)
    model = regressor()
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), "mse")
    train("accumulation", model)
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(find_unused_parameters=True)
    )
    model = Branches()
    model.chance = None
    model.build((None, 5))
    model.compile("sgd", "mse")
    train("unused", model)
    keras.distribution.set_distribution(None)
    return {key: np.array(value) for key, value in found.items()}


def random_numbers():
    """Dropout differs from process to process inside `fit`; outside all draw alike."""
    masks, seeded = [], []

    class Noise(layers.Layer):
        def call(self, x, training=False):
            if training:
                masks.append(float(torch.rand(())))
            return x

    class Seeded(layers.Layer):
        def __init__(self):
            super().__init__()
            self.generator = keras.random.SeedGenerator(3)

        def call(self, x, training=False):
            if training:
                seeded.append(float(keras.random.uniform((), seed=self.generator)))
            return x

    torch.manual_seed(process_group.rank())  # not even the weights agree
    model = keras.Sequential([keras.Input((5,)), Noise(), Seeded(), layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=50, verbose=0)
    before = process_group.all_gather_object((masks, seeded))
    after = float(torch.rand(()))
    states = process_group.all_gather_object(
        [v.value.tolist() for v in model.non_trainable_variables]
    )
    own = keras.distribution.random_state.gather_random_states()
    different = {str(s["cpu"].tolist()) for s in own}
    return {
        "masks": np.array(len({str(m) for m, _ in before})),
        "seeded": np.array(len({str(s) for _, s in before})),
        "after": np.array(after),
        "seed_states": np.array(len({str(s) for s in states})),
        "streams": np.array(len(different)),
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]),
    }


def masks_of_single_batches():
    """Single batches of training draw other numbers in each process, whatever ran before."""
    masks = []

    class Noise(layers.Layer):
        def call(self, x, training=False):
            if training:
                masks.append(torch.rand(2).tolist())
            return x

    model = keras.Sequential([keras.Input((5,)), Noise(), layers.Dense(2)])
    model.compile("sgd", "mse")
    model.predict(X[:4], verbose=0)
    model.train_on_batch(X[:8], Y[:8])
    model.fit(X[:8], Y[:8], verbose=0)
    model.train_on_batch(X[:8], Y[:8])
    everyone = process_group.all_gather_object(masks)
    return {
        "different": np.array([len(set(map(str, drawn))) for drawn in zip(*everyone, strict=True)])
    }


def model_is_untouched():
    """Names, copies and pickles of a model that was trained are those of one that was not."""
    import copy
    import pickle

    model = regressor()
    names = list(model.state_dict())
    modules = len(list(model.modules()))
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=20, epochs=2, verbose=0)
    assert list(model.state_dict()) == names and len(list(model.modules())) == modules
    hooks = [p._post_accumulate_grad_hooks for p in model.parameters()]
    assert not any(hooks), hooks
    copied = copy.deepcopy(model)
    assert type(model._replica) is (Replica if process_group.is_active() else OneProcess)
    assert type(copied._replica) is OneProcess and copied._replica.model is copied
    np.testing.assert_array_equal(copied.get_weights()[0], model.get_weights()[0])
    clone = keras.models.clone_model(model)
    assert list(clone.state_dict()) == names
    again = pickle.loads(pickle.dumps(copied.state_dict()))
    copied.fit(X, Y, batch_size=20, verbose=0)
    return outcome(copied, names=len(again))


def divided_data():
    """Each process has data of its own, of different length; none waits for another in vain."""
    rank, world_size = process_group.rank(), process_group.world_size()
    own = np.arange(101)[rank::world_size]
    own = own[: len(own) - 10 * rank]
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    model = regressor()
    model.compile("sgd", "mse")
    history = model.fit(X[own], Y[own], batch_size=8, epochs=2, verbose=0)
    loss = model.evaluate(X[own], Y[own], batch_size=8, verbose=0)
    predicted = model.predict(X[own], batch_size=8, verbose=0)
    keras.distribution.set_distribution(None)
    rows = np.concatenate(process_group.all_gather_object(own))
    all_predicted = model.predict(X[rows], verbose=0)
    np.testing.assert_allclose(predicted, all_predicted, rtol=1e-5, atol=1e-6)
    expected = ((all_predicted - Y[rows]) ** 2).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    sampler = torch.utils.data.DistributedSampler(data, world_size, rank, shuffle=True)
    loader = torch.utils.data.DataLoader(data, batch_size=8, sampler=sampler)
    model.fit(loader, epochs=1, verbose=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.evaluate(loader, verbose=0)
    repeats = -101 % world_size and rank == 0
    assert any("counts them twice" in str(w.message) for w in caught) == bool(repeats)
    try:
        model.predict(loader, verbose=0)
    except ValueError as error:
        assert "DistributedSampler" in str(error)
    else:
        raise AssertionError("predict took a DistributedSampler")
    return outcome(model, history)


def precisions():
    found = {}
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.utils.set_random_seed(5)
        inputs = keras.Input((5,))
        hidden = layers.Dense(6, activation="tanh", dtype=policy)(inputs)
        model = keras.Model(inputs, layers.Dense(2, dtype="float32")(hidden))
        model.compile(keras.optimizers.SGD(0.05, loss_scale_factor=64.0), "mse")
        history = model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
        found.update({f"{policy}_{k}": v for k, v in outcome(model, history).items()})
    return found


def compiled():
    model = regressor()
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=True)
    history = model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    return outcome(model, history)


def printed():
    """Only process 0 prints, whatever `verbose`."""
    model = regressor()
    model.summary()
    model.compile("sgd", "mse")
    for verbose in ("auto", 1, 2):
        model.fit(X, Y, batch_size=50, epochs=1, verbose=verbose)
        model.evaluate(X, Y, verbose=verbose)
    return {}
