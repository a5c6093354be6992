"""What every layer does around `call`, against real Keras: the same class on both libraries."""

import json
import warnings

import numpy as np
import pytest
import torch

import torchkeras

keras = pytest.importorskip("keras")

X = np.linspace(-1, 1, 12).reshape(4, 3).astype("float32")


def numbers(structure):
    """Tensors and arrays in `structure` as nested lists, rounded to float32's digits."""
    if isinstance(structure, (list, tuple)):
        return [numbers(item) for item in structure]
    if isinstance(structure, dict):
        return {key: numbers(value) for key, value in structure.items()}
    if isinstance(structure, torch.Tensor):
        structure = structure.detach().float().cpu().numpy()
    if isinstance(structure, (np.ndarray, np.floating)):
        return np.round(np.asarray(structure, "float64"), 5).tolist()
    return structure


def same(function):
    """Run `function(library)` on both libraries and compare."""
    results = []
    for library in (keras, torchkeras):
        library.utils.clear_session(free_memory=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(numbers(function(library)))
    theirs, ours = results
    assert ours == theirs
    return ours


def classes(library):
    """The layers that the tests use, on `library`."""
    L = library.layers

    class Scale(L.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
            self.count = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="count"
            )
            self.built = True

        def call(self, x):
            return x * self.scale

    class Block(L.Layer):
        def __init__(self, units=2, **kwargs):
            super().__init__(**kwargs)
            self.early = self.add_weight(shape=(), initializer="ones", name="early")
            self.first = L.Dense(units, name="first")
            self.parts = [L.Dense(units), L.Dense(units)]
            self.scale = Scale()
            self.norm = {"a": Scale(name="named")}

        def call(self, x):
            x = self.first(x)
            for part in self.parts:
                x = part(x)
            return self.norm["a"](self.scale(x)) * self.early

    class Penalty(L.Layer):
        def call(self, x):
            self.add_loss(library.ops.mean(library.ops.square(x)))
            return x

    return Scale, Block, Penalty


def paths(layer):
    return {
        "weights": [w.path for w in layer.weights],
        "variables": [w.path for w in layer.variables],
        "trainable": [w.path for w in layer.trainable_variables],
        "others": [w.path for w in layer.non_trainable_variables],
        "shapes": [list(w.shape) for w in layer.weights],
    }


@pytest.mark.parametrize("build", ["call", "build", "symbol"])
def test_order_and_paths_of_nested_layers(build):
    def run(library):
        _, Block, _ = classes(library)
        layer = Block()
        if build == "call":
            layer(X)
        elif build == "symbol":
            layer(library.Input((3,)))
        else:
            layer(library.ops.convert_to_tensor(X))
        return paths(layer)

    assert len(same(run)["weights"]) == 11


@pytest.mark.parametrize("kind", ["sequential", "functional", "subclass", "nested", "shared"])
def test_order_and_paths_in_models(kind):
    def run(library):
        L = library.layers
        Scale, Block, _ = classes(library)
        if kind == "sequential":
            model = library.Sequential(
                [library.Input((3,)), L.Dense(2), Block(), Scale()], name="s"
            )
        elif kind == "functional":
            x = library.Input((3,))
            model = library.Model(x, Scale()(Block()(L.Dense(2)(x))), name="f")
        elif kind == "nested":
            x = library.Input((3,))
            inner = library.Sequential([L.Dense(2), Scale()], name="inner")
            model = library.Model(x, L.Dense(1)(inner(x)), name="outer")
        elif kind == "shared":
            x, dense = library.Input((3,)), L.Dense(3)
            model = library.Model(x, L.Dense(1)(dense(dense(x))))
        else:

            class Own(library.Model):
                def __init__(self):
                    super().__init__(name="own")
                    self.block, self.dense = Block(), L.Dense(1)

                def call(self, x):
                    return self.dense(self.block(x))

            model = Own()
        model(X)
        return paths(model)

    same(run)


def test_freezing():
    def run(library):
        _, Block, _ = classes(library)
        layer, found = Block(), []
        layer(X)
        for change in [
            lambda: setattr(layer.first, "trainable", False),
            lambda: setattr(layer.first.kernel, "trainable", True),
            lambda: setattr(layer, "trainable", False),
            lambda: setattr(layer.scale, "trainable", True),
            lambda: setattr(layer, "trainable", True),
        ]:
            change()
            found.append([w.path for w in layer.trainable_variables])
            found.append(len(layer.non_trainable_variables))
        late = Block(trainable=False)
        late(X)
        return [*found, len(late.trainable_weights), len(late.non_trainable_weights)]

    same(run)


def test_training_reaches_the_layers():
    def run(library):
        class Asks(library.layers.Layer):
            seen = []

            def call(self, x, training=False):
                self.seen.append(bool(training))
                return x

        class Outer(library.layers.Layer):
            def __init__(self):
                super().__init__()
                self.first, self.second = Asks(), Asks()

            def call(self, x, training=None):
                self.first(x)
                self.second(x, training=False)
                self.first(x, training=training)
                return self.second(x)

        layer = Outer()
        layer(X)
        Asks.seen.clear()  # Keras may run `call` once more to build
        layer(X), layer(X, training=True), layer(X, training=False)
        return Asks.seen

    same(run)


def test_losses():
    def run(library):
        _, _, Penalty = classes(library)
        L = library.layers

        class Outer(L.Layer):
            def __init__(self):
                super().__init__()
                self.penalty = Penalty()
                self.dense = L.Dense(
                    2,
                    kernel_initializer="ones",
                    kernel_regularizer=library.regularizers.L2(0.1),
                    activity_regularizer=library.regularizers.L1(0.2),
                )

            def call(self, x):
                return self.dense(self.penalty(self.penalty(x)))

        layer, found = Outer(), []
        for scale in (1, 2, 3):
            layer(X * scale)
            found.append(sorted(float(v) for v in layer.losses))
        layer.dense.trainable = False
        found.append(len(layer.losses))
        return np.array(found[0]), np.array(found[1]), np.array(found[2]), found[3]

    same(run)


def test_stateless_call():
    def run(library):
        class Counts(library.layers.Layer):
            def build(self, input_shape):
                self.scale = self.add_weight(shape=(3,), initializer="ones")
                self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

            def call(self, x):
                self.count.assign_add(1.0)
                self.add_loss(library.ops.sum(x))
                return x * self.scale

        layer = Counts()
        layer.build((None, 3))
        values = [np.array([1.0, 2.0, 3.0], "float32")], [np.array(5.0, "float32")]
        values = [[library.ops.convert_to_tensor(v) for v in part] for part in values]
        y, state = layer.stateless_call(*values, X)
        y2, state2, losses = layer.stateless_call(*values, X, return_losses=True)
        return [y, state, y2, state2, losses, layer.scale.numpy(), layer.count.numpy()]

    same(run)


def test_masks():
    def run(library):
        seen = []

        class Notes(library.layers.Layer):
            def __init__(self, supports):
                super().__init__()
                self.supports_masking = supports

            def call(self, x, mask=None):
                seen.append(None if mask is None else mask)
                return x + 0

        class Two(library.layers.Layer):
            def call(self, query, value, query_mask=None, value_mask=None):
                seen.append([query_mask, value_mask])
                return query + 0

        x = np.stack([X, X * 0, X], 1)
        masked = library.layers.Masking()(x)
        passing, dropping = Notes(True), Notes(False)
        y = passing(masked)
        z = dropping(y)
        own = passing(masked, mask=library.ops.ones((4, 3), "bool"))
        Two()(masked, y)
        Two()(masked, value=z)
        outputs = [getattr(t, "_keras_mask", None) for t in (masked, y, z, own)]
        return [seen, outputs]

    same(run)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16", "float64"])
def test_dtypes_inside_composites(policy):
    def run(library):
        seen = []

        class Notes(library.layers.Layer):
            def build(self, input_shape):
                self.w = self.add_weight(shape=(), initializer="ones")

            def call(self, x, other=None):
                dtypes = [x.dtype, self.w.dtype, (x * self.w).dtype]
                seen.append([library.utils.standardize_dtype(d) for d in dtypes])
                return x * library.ops.cast(self.w, x.dtype)

        class Outer(library.layers.Layer):
            def __init__(self):
                super().__init__(dtype=policy)
                self.same, self.whole = Notes(dtype=policy), Notes(dtype="float32")
                self.loose = Notes(dtype=policy, autocast=False)

            def call(self, x):
                return self.same(self.whole(self.same(x))) + self.loose(x)

        layer = Outer()
        layer(X)
        seen.clear()  # Keras may run `call` once more to build
        for _ in range(2):
            y = layer(X)
            seen.append(library.utils.standardize_dtype(y.dtype))
        notes = Notes(dtype=policy)
        notes.build((2,))
        ints = notes(np.array([1, 2], "int32"))
        seen.append(library.utils.standardize_dtype(ints.dtype))
        return [*seen, layer.same.w.dtype, layer.compute_dtype, layer.variable_dtype]

    same(run)


def test_build_arguments():
    def run(library):
        class Attend(library.layers.Layer):
            def build(self, query_shape, value_shape, key_shape=None):
                self.shapes = [list(query_shape), list(value_shape), key_shape]

            def call(self, query, value, key=None):
                return query

        layer = Attend()
        layer(X, value=X[:, :2])
        config = layer.get_build_config()
        return [layer.shapes, json.loads(json.dumps(config))]

    same(run)


def test_configs_of_own_layers():
    def run(library):
        class Own(library.layers.Layer):
            def __init__(self, units, activation="relu", **kwargs):
                super().__init__(**kwargs)
                self.units, self.activation = units, activation

            def build(self, input_shape):
                self.w = self.add_weight(shape=(input_shape[-1], self.units))

            def call(self, x):
                return x @ self.w

        layer = Own(3, name="o", dtype="mixed_float16", trainable=False)
        config = layer.get_config()
        config["name"] = "o"  # which Keras loses here
        again = Own.from_config(json.loads(json.dumps(config)))
        return [config, again.units, again.compute_dtype, again.trainable]

    same(run)


def test_a_base_layers_config():
    same(lambda library: library.layers.Layer(name="l", dtype="float16").get_config())


def errors_of(library):
    L = library.layers
    Scale, _, _ = classes(library)

    class NoSuper(L.Layer):
        def __init__(self):
            pass

    class OtherBuild(L.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(None, 2))

        def call(self, x):
            return x

    built = L.Dense(2)
    built(X)
    return {
        "unknown_argument": lambda: L.Dense(2, no_such=1),
        "slash": lambda: L.Layer(name="a/b"),
        "trainable": lambda: L.Layer(trainable=1),
        "no_call": lambda: L.Layer()(X),
        "no_super": lambda: NoSuper()(X),
        "unknown_size": lambda: OtherBuild()(X),
        "features": lambda: built(X[:, :2]),
        "rank": lambda: built(X[0]),
        "weights": lambda: built.set_weights([X]),
        "weight_shape": lambda: built.set_weights([X, X]),
        "unbuilt_count": lambda: L.Dense(2).count_params(),
        "stateless": lambda: L.Dense(2).stateless_call([], [], X),
        "stateless_number": lambda: built.stateless_call([], [], X),
        "build_twice": lambda: built.build((None, 3)),
    }


@pytest.mark.parametrize("name", errors_of(torchkeras))
def test_the_same_class_of_error(name):
    found = []
    for library in (keras, torchkeras):
        with pytest.raises(Exception) as caught:
            errors_of(library)[name]()
        found.append(type(caught.value))
    theirs, ours = found
    assert issubclass(ours, theirs) or issubclass(theirs, ours), found


def test_replacing_lists_and_changing_them():
    def run(library):
        L, found = library.layers, []

        class Holder(L.Layer):
            def __init__(self):
                super().__init__()
                self.parts = [L.Dense(1), L.Dense(1)]
                self.more = {"a": L.Dense(1)}

            def call(self, x):
                return x

        layer = Holder()
        layer.parts.append(L.Dense(1))
        layer.parts.pop(0)
        layer.parts.insert(0, L.Dense(1))
        layer.more["b"] = L.Dense(1)
        for part in [*layer.parts, *layer.more.values()]:
            part.build((None, 2))
        found.append(len(layer.weights))
        layer.parts.remove(layer.parts[0])
        found.append(len(layer.weights))
        return found

    same(run)
