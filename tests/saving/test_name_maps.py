"""Parts of files into models, and files whose weights have other names and orders of axes."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import torchkeras as keras
from torchkeras import layers


def encoder(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, name="a"), layers.BatchNormalization(name="n")],
        name="encoder",
    )


def whole(seed=1, units=2):
    inner = encoder(seed)
    inputs = keras.Input((4,))
    outputs = layers.Dense(units, name="head")(inner(inputs))
    return keras.Model(inputs, outputs)


def same(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


PREFIXES = {
    "m.safetensors": "encoder.",
    "m.weights.h5": "layers/sequential",
    "m.keras": "encoder.",
    "m.safetensors.index.json": "encoder.",
    "m.weights.json": "layers/sequential/",
}


def save(model, path):
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path, max_shard_size=1 if path.suffix == ".json" else None)


@pytest.mark.parametrize("name", PREFIXES)
def test_a_part_of_a_file_goes_into_a_part_of_a_model(tmp_path, name):
    model, part = whole(), encoder()
    save(model, tmp_path / name)
    assert not same(model.get_layer("encoder"), part)
    part.load_weights(tmp_path / name, prefix=PREFIXES[name])
    assert same(model.get_layer("encoder"), part)
    with pytest.raises(ValueError, match="unknown"):
        part.load_weights(tmp_path / name)  # which is that of the whole


@pytest.mark.parametrize("name", PREFIXES)
def test_a_file_of_a_part_goes_into_it(tmp_path, name):
    model, part = whole(), encoder(7)
    save(part, tmp_path / name)
    head = model.get_layer("head").get_weights()
    model.get_layer("encoder").load_weights(tmp_path / name)
    assert same(model.get_layer("encoder"), part)
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], head[0])


@pytest.mark.parametrize("name", ["m.safetensors", "m.weights.h5"])
def test_differences_under_a_prefix(tmp_path, name):
    save(whole(), tmp_path / name)
    other = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="a"), layers.Dense(3)])
    before = [w.copy() for w in other.get_weights()]
    with pytest.raises(ValueError, match="missing.*unknown"):
        other.load_weights(tmp_path / name, prefix=PREFIXES[name])
    assert all(np.array_equal(a, b) for a, b in zip(other.get_weights(), before, strict=True))
    with pytest.warns(UserWarning, match="skipped"):
        other.load_weights(tmp_path / name, skip_mismatch=True, prefix=PREFIXES[name])
    np.testing.assert_array_equal(other.get_weights()[0], encoder(1).get_weights()[0])
    with pytest.raises(ValueError, match="`prefix` must.*prefix='decoder'"):
        other.load_weights(tmp_path / name, prefix="decoder")


def test_an_optimizer_stays_as_it_is(tmp_path):
    model, part = whole(), encoder()
    for one in (model, part):
        one.compile("adam", "mse")
        one.train_on_batch(np.ones((2, 4), "f"), np.ones((2, one.output_shape[-1]), "f"))
    part.train_on_batch(np.ones((2, 4), "f"), np.ones((2, 5), "f"))
    model.save_weights(tmp_path / "m.weights.h5")
    part.load_weights(tmp_path / "m.weights.h5", prefix="layers/sequential")
    assert int(part.optimizer.iterations) == 2


class Linear(keras.Model):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3, 3))
        self.bias = torch.nn.Parameter(torch.zeros(3))

    def call(self, x):
        return torch.nn.functional.linear(x, self.weight, self.bias)


class Tied(keras.Model):
    def __init__(self):
        super().__init__()
        self.a, self.b = Linear(), Linear()
        self.a.weight = self.b.weight
        torch.nn.init.normal_(self.a.weight)
        torch.nn.init.normal_(self.b.bias)

    def call(self, x):
        return self.b(self.a(x))


@pytest.mark.parametrize("name", ["m.safetensors", "m.safetensors.index.json"])
def test_a_tied_weight_is_found_where_it_is_stored_under_its_other_name(tmp_path, name):
    model, part = Tied(), Linear()
    model(torch.ones(1, 3)), part(torch.ones(1, 3))
    save(model, tmp_path / name)
    part.load_weights(tmp_path / name, prefix="b.")
    assert torch.equal(part.weight, model.a.weight) and torch.equal(part.bias, model.b.bias)


def test_tied_weights_and_maps(tmp_path):
    model, other, path = Tied(), Tied(), tmp_path / "m.safetensors"
    model(torch.ones(1, 3)), other(torch.ones(1, 3))
    names = {name: f"x.{name}" for name in model.state_dict()}
    assert len(names) == 4
    model.save_weights(path, names=names)
    assert sorted(load_file(path)) == ["x.a.bias", "x.a.weight", "x.b.bias"]
    other.load_weights(path, names=names)
    assert same(model, other) and other.a.weight is other.b.weight


class Linears(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.conv = torch.nn.Conv1d(6, 4, 3)
        self.norm = torch.nn.LayerNorm(4, eps=1e-3)
        self.out = torch.nn.Linear(4, 2)

    def forward(self, x):
        x = self.conv(self.embed(x).transpose(1, 2)).transpose(1, 2)
        return self.out(self.norm(x))


def ours():
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(11, 6, name="embed"),
            layers.Conv1D(4, 3, name="conv"),
            layers.LayerNormalization(epsilon=1e-3, name="norm"),
            layers.Dense(2, name="out"),
        ]
    )


@pytest.mark.parametrize("name", ["m.safetensors", "m.safetensors.index.json"])
def test_weights_of_torch_and_back(tmp_path, name):
    theirs, model, x = Linears(), ours(), torch.randint(0, 11, (3, 5))
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    model.load_weights(tmp_path / "theirs.safetensors", names=keras.saving.torch_names(model))
    # Sums of some numbers around 1, in other orders.
    torch.testing.assert_close(model(x), theirs(x), rtol=1e-5, atol=1e-6)
    size = 1 if name.endswith("json") else None
    path = tmp_path / name
    model.save_weights(path, names=keras.saving.torch_names(model), max_shard_size=size)
    part = tmp_path / ("m-00001-of-00001.safetensors" if size else name)
    again = load_file(part)
    assert again.keys() == theirs.state_dict().keys()
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(again[key], tensor)
    other = ours()
    other.load_weights(path, names=keras.saving.torch_names(other))
    assert same(other, model)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("transpose", [False, True])
def test_kernels_of_convolutions_fit_those_of_torch(rank, transpose):
    kind = getattr(layers, f"Conv{rank}D{'Transpose' if transpose else ''}")
    layer = kind(4, tuple(range(2, 2 + rank)))
    model = keras.Sequential([keras.Input((*[9] * rank, 3)), layer])
    own = getattr(torch.nn, f"Conv{'Transpose' if transpose else ''}{rank}d")
    theirs = own(3, 4, tuple(range(2, 2 + rank)))
    state = {}
    for name, (place, axes) in keras.saving.torch_names(model).items():
        tensor = model.state_dict()[name]
        state[place.rpartition(".")[2]] = tensor if axes is None else tensor.permute(axes)
    theirs.load_state_dict(state)
    x = torch.randn(2, *[9] * rank, 3)
    expected = theirs(x.movedim(-1, 1)).movedim(1, -1)
    # Sums of up to 72 products of numbers around 1, in other orders.
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_norms_have_the_names_of_torch(tmp_path):
    stack = [layers.BatchNormalization(name="b"), layers.GroupNormalization(2, name="g")]
    model = keras.Sequential([keras.Input((4,)), *stack])
    places = {place for place, _ in keras.saving.torch_names(model).values()}
    state = {f"b.{n}" for n in torch.nn.BatchNorm1d(4).state_dict()} - {"b.num_batches_tracked"}
    assert places == state | {f"g.{n}" for n in torch.nn.GroupNorm(2, 4).state_dict()}


def test_a_function_and_weights_that_stay(tmp_path):
    model = encoder()
    path = tmp_path / "m.safetensors"
    save_file({"bert.a.kernel": torch.ones(4, 5), "bert.more": torch.ones(1)}, path)
    kept = model.get_layer("n").get_weights()
    model.load_weights(path, names=lambda n: f"bert.{n}" if n == "a.kernel" else None)
    assert (model.get_layer("a").kernel.numpy() == 1).all()
    for a, b in zip(model.get_layer("n").get_weights(), kept, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="missing: a.bias"):
        model.load_weights(path, names=lambda n: f"bert.{n}")
    with pytest.raises(ValueError, match="missing: a.bias"):
        model.load_weights(path, names={"a.kernel": "bert.a.kernel"})
    with pytest.warns(UserWarning, match="skipped"):
        model.load_weights(path, skip_mismatch=True, names={"a.kernel": "bert.a.kernel"})
    model.save_weights(path, names=lambda n: f"bert.{n}" if n.startswith("a.") else None)
    assert sorted(load_file(path)) == ["bert.a.bias", "bert.a.kernel"]


def test_shapes_are_those_after_the_change_of_axes(tmp_path):
    model, path = encoder(), tmp_path / "m.safetensors"
    tensors = {n: t.clone() for n, t in model.state_dict().items()}
    save_file({**tensors, "a.kernel": torch.randn(4, 5)}, path)  # which should be (5, 4)
    names = {n: (n, (1, 0) if n == "a.kernel" else None) for n in tensors}
    with pytest.raises(ValueError, match=r"a.kernel \(5, 4\) for \(4, 5\)"):
        model.load_weights(path, names=names)
    save_file({**tensors, "a.kernel": torch.randn(4, 5, 1)}, path)
    with pytest.raises(ValueError, match="a.kernel"):
        model.load_weights(path, names=names)


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        ("a.", TypeError, "a dict or a function"),
        ({"a.kernle": "x"}, ValueError, "'a.kernle', which is none"),
        (lambda n: 3, TypeError, "to a name"),
        (lambda n: (n, "T"), TypeError, "to a name"),
        (lambda n: (n, (1, 1)), ValueError, "order of them"),
        (lambda n: (n, (0, 2)), ValueError, "order of them"),
    ],
)
def test_wrong_maps(tmp_path, names, error, match):
    model, path = encoder(), tmp_path / "m.safetensors"
    model.save_weights(path)
    for action in (model.load_weights, model.save_weights):
        with pytest.raises(error, match=match):
            action(path, names=names)
    assert sorted(load_file(path)) == sorted(model.state_dict())


def test_wrong_choices(tmp_path):
    model, path = encoder(), tmp_path / "m.safetensors"
    model.save_weights(path)
    model.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="a name of its own"):
        model.save_weights(path, names=lambda n: "one")
    with pytest.raises(ValueError, match="nothing for 'a.bias'"):
        model.save_weights(path, names={"a.kernel": "x"})
    with pytest.raises(ValueError, match="one of them"):
        model.load_weights(path, prefix="a", names={})
    with pytest.raises(TypeError, match="`prefix` must be"):
        model.load_weights(path, prefix=3)
    for action in (model.load_weights, model.save_weights):
        with pytest.raises(ValueError, match="`names` is for files"):
            action(tmp_path / "m.weights.h5", names={})
