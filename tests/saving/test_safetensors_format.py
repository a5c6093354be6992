"""What is in a file, and that a damaged or hostile one is an error that changes nothing."""

import errno
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from safetensors.torch import load_model as plain_load_model
from safetensors.torch import save_model as plain_save_model

import torchkeras as keras
from tests.saved_files import without_checksums
from torchkeras.saving import checksums, memory_limit, safetensors_format
from torchkeras.saving.memory_limit import MemoryLimit

register = keras.saving.register_keras_serializable


def small_model(compiled=False):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="relu", name="hidden"),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.Dense(2, name="head"),
        ],
        name="small",
    )
    if compiled:
        model.compile(keras.optimizers.Adam(), "mse")
        model.train_on_batch(torch.ones(4, 3), torch.ones(4, 2))
    return model


class Tied(keras.Model):
    """Two plain layers with one weight."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a = torch.nn.Linear(3, 3)
        self.b = torch.nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def call(self, x):
        return self.b(self.a(x))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.safetensors")


# What is in the file


def test_weights_file_is_exactly_the_state_dict(path):
    model = small_model()
    model.save_weights(path)
    tensors, state = load_file(path), model.state_dict()
    assert list(state) == ["hidden.kernel", "hidden.bias", "head.kernel", "head.bias"]
    assert sorted(tensors) == sorted(state)
    for name, tensor in state.items():
        assert tensors[name].dtype is tensor.dtype and torch.equal(tensors[name], tensor)
    other = small_model()
    assert not torch.equal(other.layers[0].kernel.value, model.layers[0].kernel.value)
    other.load_state_dict(tensors, strict=True)
    assert torch.equal(other.layers[0].kernel.value, model.layers[0].kernel.value)


def test_model_file_holds_the_same_beside_its_own_entries(path):
    model = small_model(compiled=True)
    model.save(path)
    tensors = load_file(path)
    assert set(model.state_dict()) == {n for n in tensors if "/" not in n}
    assert {n for n in tensors if n.startswith("seeds/")} == {"seeds/dropout.seed_generator_state"}
    # iteration, learning rate, and two moments for each of four weights
    assert sum(n.startswith("optimizer/") for n in tensors) == 10
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"  # what readers of torch's ecosystem look for
    config = json.loads(metadata["config"])
    assert config["class_name"] == "Sequential" and config["module"] == "keras"
    assert config["compile_config"]["loss"] == "mse"


def test_optimizer_that_has_no_state_yet_is_left_out(path):
    model = small_model()
    model.compile("adam", "mse")
    model.save(path)
    assert not [n for n in load_file(path) if n.startswith("optimizer/")]
    assert keras.saving.load_model(path).optimizer.built


def test_optimizer_left_out_on_request(path):
    model = small_model(compiled=True)
    model.save(path, include_optimizer=False)
    assert not [n for n in load_file(path) if n.startswith("optimizer/")]
    loaded = keras.saving.load_model(path)
    assert loaded.compiled and int(loaded.optimizer.iterations) == 0


def test_tied_weights_are_stored_once(path):
    model, x = Tied(), torch.randn(4, 3)
    expected = model(x)
    model.save_weights(path)
    assert sorted(load_file(path)) == ["a.bias", "a.weight", "b.bias"]
    other = Tied()
    other(x)
    other.load_weights(path)
    assert torch.equal(other(x), expected)
    assert other.b.weight is other.a.weight
    third = Tied()
    plain_load_model(third, path)  # safetensors' own reader knows this layout
    assert torch.equal(third(x), expected)


def test_tied_weights_of_another_writer(path):
    model, x = Tied(), torch.randn(4, 3)
    expected = model(x)
    plain_save_model(model, path)
    other = Tied()
    other(x)
    other.load_weights(path)
    assert torch.equal(other(x), expected)


def test_weights_tied_in_the_file_only(path):
    model, x = Tied(), torch.randn(4, 3)
    expected = model(x)
    model.save_weights(path)
    other = Tied()
    other.b.weight = torch.nn.Parameter(torch.zeros(3, 3))
    other(x)
    other.load_weights(path)
    assert torch.equal(other(x), expected)


def test_views_of_one_memory_are_stored_whole(path):
    class Views(keras.Model):
        def __init__(self):
            super().__init__()
            memory = torch.arange(12.0)
            self.register_buffer("first", memory[:6])
            self.register_buffer("turned", memory[6:].view(2, 3).t())

        def call(self, x):
            return x

    model = Views()
    model(torch.ones(1))
    model.save_weights(path)
    tensors = load_file(path)
    assert torch.equal(tensors["first"], torch.arange(6.0))
    assert torch.equal(tensors["turned"], torch.arange(6.0, 12).view(2, 3).t())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "mixed_bfloat16"])
def test_dtypes_are_kept(path, dtype):
    model, x = (
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)]),
        torch.randn(4, 3),
    )
    expected = model(x)
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.layers[0].dtype_policy == model.layers[0].dtype_policy
    assert load_file(path)["dense.kernel"].dtype is model.layers[0].kernel.value.dtype
    assert loaded(x).dtype is expected.dtype and torch.equal(loaded(x), expected)


def test_dtype_that_the_format_lacks(path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.register_buffer("spectrum", torch.zeros(2, dtype=torch.complex128))
    with pytest.raises(ValueError, match=r"complex128 in \['spectrum'\]"):
        model.save_weights(path)
    assert not os.path.exists(path)


def test_weights_without_values(path):
    model = small_model()
    model.to("meta")
    with pytest.raises(ValueError, match="'hidden.kernel', a meta tensor"):
        model.save_weights(path)


def test_permissions_follow_the_umask(path):
    old = os.umask(0o022)
    try:
        small_model().save(path)
    finally:
        os.umask(old)
    assert os.stat(path).st_mode & 0o777 == 0o644


def test_full_disk_leaves_the_old_file(path, monkeypatch):
    model = small_model()
    model.save(path)
    before = pathlib.Path(path).read_bytes()

    def save_file(tensors, filename, metadata):
        with open(filename, "wb") as file:
            file.write(b"half")
        raise SafetensorError(
            f"Error while serializing: I/O error: {os.strerror(errno.ENOSPC)} "
            f"(os error {errno.ENOSPC})"
        )

    monkeypatch.setattr(checksums, "save_file", save_file)
    with pytest.raises(OSError, match="could not be written.*No space left") as caught:
        model.save(path)
    assert caught.value.errno == errno.ENOSPC
    assert pathlib.Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["model.safetensors"]


def test_real_limit_on_the_file_size(path):
    resource = pytest.importorskip("resource")
    import signal

    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(100)])
    small = small_model()
    small.save(path)
    before = pathlib.Path(path).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            model.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert pathlib.Path(path).read_bytes() == before
    assert os.listdir(os.path.dirname(path)) == ["model.safetensors"]


# Loading weights


def test_load_weights_from_a_model_file(path):
    model = small_model(compiled=True)
    model.save(path)
    other = small_model()
    other.load_weights(path)
    for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_load_model_from_a_weights_file(path):
    small_model().save_weights(path)
    with pytest.raises(ValueError, match="weights only. Make the model and call"):
        keras.saving.load_model(path)


def wrong_file(path, model):
    tensors = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    tensors["head.bias"] = torch.zeros(5)
    tensors["strange"] = tensors.pop("hidden.bias")
    save_file(tensors, path)


def test_load_weights_names_every_difference_and_changes_nothing(path):
    model = small_model()
    wrong_file(path, model)
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(ValueError) as caught:
        model.load_weights(path)
    message = str(caught.value)
    assert "missing: hidden.bias" in message
    assert "unknown: strange" in message
    assert "of another shape: head.bias (5,) for (2,)" in message
    assert "skip_mismatch=True" in message
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_skip_mismatch_loads_the_rest(path):
    model = small_model()
    wrong_file(path, model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.warns(UserWarning, match="head.bias .*They were skipped") as caught:
        model.load_weights(path, skip_mismatch=True)
    assert caught[0].filename == __file__
    after = model.state_dict()
    for name in ("hidden.kernel", "head.kernel"):
        assert torch.equal(after[name], before[name] + 1)
    for name in ("hidden.bias", "head.bias"):
        assert torch.equal(after[name], before[name])


def test_long_lists_of_differences_are_cut(path):
    save_file({f"w{i}": torch.zeros(1) for i in range(100)}, path)
    with pytest.raises(ValueError, match="w0, w1, w10, w11, w12 and 95 more"):
        small_model().load_weights(path)


def test_weights_are_converted_to_the_models_dtypes(path):
    wide = small_model()
    wide.save_weights(path)
    narrow = small_model().to(torch.bfloat16)
    narrow.load_weights(path)
    for own, source in zip(narrow.weights, wide.weights, strict=True):
        assert own.value.dtype is torch.bfloat16
        assert torch.equal(own.value, source.value.bfloat16())


def test_loading_keeps_the_parameters_in_place(path):
    model = small_model()
    model.save_weights(path)
    parameters = list(model.parameters())
    model.layers[0].trainable = False
    model.load_weights(path)
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert [p.requires_grad for p in parameters] == [False, False, True, True]


@pytest.mark.parametrize("method", ["save", "save_weights", "load_weights"])
def test_unbuilt_model(path, method):
    small_model().save_weights(path)
    model = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"an unbuilt Sequential. Call it on data, or `build"):
        getattr(model, method)(path)


@pytest.mark.gpu
def test_loading_onto_another_device(path):
    model, x = small_model(), torch.randn(4, 3)
    model.save(path)
    other = small_model().to("cuda")
    other.load_weights(path)
    assert all(p.is_cuda for p in other.parameters())
    assert torch.equal(other.layers[0].kernel.value.cpu(), model.layers[0].kernel.value)
    other.save(path)
    assert torch.equal(keras.saving.load_model(path).to("cpu")(x), model(x))


# Damaged files


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"\x00" * 8,
        b"\xff" * 100,
        (100).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}" + b"trailing",
        (6).to_bytes(8, "little") + b'{"a":}',
        (4).to_bytes(8, "little") + b"\xff\xfe{}",
        (9).to_bytes(8, "little") + b'{"a": 1} ',
        b"PK\x03\x04" + b"\x00" * 50,
    ],
    ids=range(11),
)
@pytest.mark.parametrize("method", ["load_model", "load_weights"])
def test_bytes_that_are_no_file_of_ours(path, content, method):
    with open(path, "wb") as file:
        file.write(content)
    if method == "load_model":
        with pytest.raises(ValueError, match="A .safetensors file was expected"):
            keras.saving.load_model(path)
    else:
        with pytest.raises(ValueError, match="A .safetensors file was expected"):
            small_model().load_weights(path)


def test_every_truncation(path):
    model = small_model()
    model.save_weights(path)
    whole = pathlib.Path(path).read_bytes()
    before = [w.copy() for w in model.get_weights()]
    for size in range(0, len(whole), 7):
        with open(path, "wb") as file:
            file.write(whole[:size])
        with pytest.raises(ValueError, match="A .safetensors file was expected"):
            model.load_weights(path)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_declared_header_size_is_not_believed(path):
    for size in (100 * 2**20, 2**40, 2**63):
        with open(path, "wb") as file:
            file.write(size.to_bytes(8, "little") + b"{}")
        with pytest.raises(ValueError, match=f"its header has {size} bytes"):
            keras.saving.load_model(path)


def write_header(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)


def test_names_that_occur_twice(path):
    entry = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    write_header(path, b"{" + entry + b"," + entry + b"}", bytes(4))
    assert list(load_file(path)) == ["a"]  # safetensors takes the last
    with pytest.raises(ValueError, match="the name 'a' occurs twice"):
        keras.saving.load_model(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**50]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "OBJECT", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": "big", "data_offsets": [0, 4]},
    ],
    ids=range(7),
)
def test_entries_that_lie(path, entry):
    write_header(path, {"hidden.kernel": entry}, bytes(4))
    with pytest.raises(ValueError, match="A .safetensors file was expected"):
        small_model().load_weights(path)


def test_packed_elements(path):
    model = small_model()
    before = model.layers[0].kernel.value.clone()
    entry = {"dtype": "F4", "shape": [3, 4], "data_offsets": [0, 6]}
    write_header(path, {"hidden.kernel": entry}, bytes(6))  # torch reads this as (3, 2)
    with pytest.warns(UserWarning, match="missing"), pytest.raises(ValueError, match="float4"):
        model.load_weights(path, skip_mismatch=True)
    assert torch.equal(model.layers[0].kernel.value, before)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "int8", "bool", "uint8"])
def test_narrow_elements_are_widened(path, dtype):
    model = small_model()
    tensors = {
        k: torch.ones_like(v).to(getattr(torch, dtype)) for k, v in model.state_dict().items()
    }
    save_file(tensors, path)
    model.load_weights(path)
    assert all(torch.equal(w.value, torch.ones(w.shape)) for w in model.weights)


def test_complex_elements_are_no_weights_of_a_real_model(path):
    model = small_model()
    save_file({k: v.to(torch.complex64) for k, v in model.state_dict().items()}, path)
    with pytest.raises(ValueError, match="must be torch.float32.*Received: torch.complex64"):
        model.load_weights(path)


def test_floats_are_not_cut_to_integers(path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.register_buffer("count", torch.tensor(7))
    model.save_weights(path)
    save_file({**load_file(path), "count": torch.tensor(1.5)}, path)
    with pytest.raises(ValueError, match="'count' must be torch.int64.*Received: torch.float32"):
        model.load_weights(path)
    assert int(model.count) == 7


# Hostile configs


def tampered(path, change, model=None):
    """A model file in which `change(config)` has been at work, on the dict or returning text."""
    model = small_model() if model is None else model
    model.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = without_checksums(file.metadata())
    config = json.loads(metadata["config"])
    changed = change(config)
    metadata["config"] = changed if isinstance(changed, str) else json.dumps(config)
    save_file(load_file(path), path, metadata=metadata)
    return path


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """The path of a file that must not appear, and modules that must not be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    target = tmp_path / "canary"
    (tmp_path / "evil_module.py").write_text(f"open({str(target)!r}, 'w').close()\n")
    modules = set(sys.modules)
    yield str(target)
    assert not target.exists(), "code from a file ran"
    assert "evil_module" not in set(sys.modules) - modules


def as_class(module, class_name, config=None, registered_name=None):
    return {
        "module": module,
        "class_name": class_name,
        "config": {} if config is None else config,
        "registered_name": registered_name,
    }


GADGETS = [
    ("os", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("posix", "system"),
    ("evil_module", "Evil"),
    ("torch", "load"),
    ("torch.nn", "Linear"),
    ("torch.hub", "load"),
    ("pickle", "loads"),
    ("keras.saving", "load_model"),
    ("torchkeras.saving", "load_model"),
    ("keras.models", "load_model"),
    ("keras.utils", "get_file"),
    ("torchkeras.utils.file_utils", "get_file"),
    ("keras.config", "enable_unsafe_deserialization"),
    ("keras.layers", "os"),
    ("keras.layers", "__builtins__"),
    ("keras.layers", "TFSMLayer"),
    ("keras.src.layers", "../Dense"),
    ("keras.losses", "get"),
    ("keras.optimizers", "TorchOptimizer"),
    ("keras", "layers"),
]


@pytest.mark.parametrize("module, name", GADGETS)
@pytest.mark.parametrize("registered", [False, True])
def test_class_outside_the_allowed_ones(path, canary, module, name, registered):
    evil = as_class(module, name, {"filepath": canary}, name if registered else None)

    def as_layer(config):
        config["config"]["layers"][1] = evil

    def as_model(config):
        config.update(evil)

    def as_argument(config):
        config["config"]["layers"][1]["config"]["kernel_initializer"] = evil

    for change in (as_layer, as_model, as_argument):
        with pytest.raises(ValueError, match="cannot be made here"):
            keras.saving.load_model(tampered(path, change))


@pytest.mark.parametrize("module, name", GADGETS)
def test_function_outside_the_allowed_ones(path, canary, module, name):
    function = {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }

    def as_activation(config):
        config["config"]["layers"][1]["config"]["activation"] = function

    def as_activation_name(config):
        config["config"]["layers"][1]["config"]["activation"] = f"{module}.{name}"

    def as_lambda(config):
        config["config"]["layers"][2] = as_class("keras.layers", "Lambda", {"function": function})

    for change in (as_activation, as_activation_name, as_lambda):
        with pytest.raises(ValueError, match="cannot be made here"):
            keras.saving.load_model(tampered(path, change))


@pytest.mark.parametrize("part", ["loss", "optimizer", "metrics"])
def test_compile_config_outside_the_allowed_ones(path, canary, part):
    for evil in (as_class("os", "system"), as_class("builtins", "function", "system"), "os.system"):
        value = [evil] if part == "metrics" else evil

        def change(config, value=value):
            config["compile_config"] = {"optimizer": "sgd", "loss": "mse", part: value}

        with pytest.raises(ValueError, match="cannot be made here.*Pass compile=False"):
            model = keras.saving.load_model(tampered(path, change))
            model.train_on_batch(torch.ones(2, 3), torch.ones(2, 2))
        assert not keras.saving.load_model(path, compile=False).compiled


def test_code_of_a_lambda_is_never_read(path, canary):
    import base64
    import marshal

    code = compile(f"lambda x: open({canary!r}, 'w')", "f", "eval")
    payload = base64.b64encode(marshal.dumps(code)).decode()
    for function in (
        {"class_name": "__lambda__", "config": {"code": payload, "defaults": None}},
        [payload, None, None],
        payload,
    ):
        inner = {"name": "evil", "function": function, "arguments": {}}

        def change(config, inner=inner):
            config["config"]["layers"][2] = as_class("keras.layers", "Lambda", inner)

        for safe_mode in (True, False, None):
            with pytest.raises(ValueError, match="cannot be made here"):
                keras.saving.load_model(tampered(path, change), safe_mode=safe_mode)


def test_pickled_module_is_never_read(path, canary):
    class Evil:
        def __reduce__(self):
            return open, (canary, "w")

    import base64
    import io

    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    payload = base64.b64encode(buffer.getvalue()).decode()

    def change(config):
        inner = {"module": payload, "name": "evil"}
        config["config"]["layers"][2] = as_class("keras.layers", "TorchModuleWrapper", inner)

    with pytest.raises(ValueError, match="never runs code"):
        keras.saving.load_model(tampered(path, change))


WRONG_CONFIGS = [
    "",
    "nonsense",
    "[]",
    "null",
    '"keras"',
    "{}",
    "[" * 10_000 + "]" * 10_000,
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    '{"class_name": "Sequential"}',
    '{"class_name": "Sequential", "config": {}, "module": "keras", "class_name": "Model"}',
    json.dumps(as_class("keras", "Sequential", {"name": []})),
    json.dumps(as_class("keras", "Sequential", {"name": "a", "layers": {"x": 1}})),
    json.dumps(as_class("keras", "Sequential", {"name": "a", "layers": 5})),
    json.dumps(as_class("keras", "Sequential", {"name": "a", "layers": ["Dense", None, 3]})),
    json.dumps(as_class("keras", "Sequential", [1, 2])),
    json.dumps(as_class("keras", "Sequential", "text")),
    json.dumps(as_class("keras", ["Sequential"])),
    json.dumps(as_class(["keras"], "Sequential")),
    json.dumps(as_class("keras", "Sequential", {"name": "a"}, ["registered"])),
    json.dumps(as_class("keras.layers", "Dense", {"units": 2})),
    json.dumps(as_class("keras.initializers", "Zeros")),
    json.dumps(as_class("keras", "Model", {"layers": 1, "input_layers": 2, "output_layers": 3})),
    json.dumps(as_class("keras", "Model", {"layers": [], "input_layers": [], "output_layers": []})),
    json.dumps(as_class("keras", "Model", {"name": "../../etc/passwd"})),
    json.dumps(as_class("keras", "Functional", {"layers": [{}], "input_layers": [["a", 0, 0]]})),
    json.dumps({"class_name": "__tensor__", "config": {"value": [1], "dtype": "os"}}),
    json.dumps({"class_name": "__tuple__", "config": None}),
]


@pytest.mark.parametrize("text", WRONG_CONFIGS, ids=range(len(WRONG_CONFIGS)))
def test_config_of_wrong_structure(path, text):
    with pytest.raises(ValueError) as caught:
        keras.saving.load_model(tampered(path, lambda config: text))
    message = str(caught.value)
    assert path in message and len(message) < 4000


@pytest.mark.parametrize("depth", [100, 250, 350, 450, 1000])
def test_deep_config_that_json_may_still_read(path, depth):
    dense = '{"module": "keras.layers", "class_name": "Dense", "config": {"units": '

    def change(config):
        config["config"]["layers"][1] = "HERE"
        return json.dumps(config).replace('"HERE"', dense * depth + "1" + "}}" * depth)

    with pytest.raises(ValueError, match="cannot be made here|not JSON"):
        keras.saving.load_model(tampered(path, change))


@pytest.mark.parametrize(
    "key, value",
    [
        ("units", -1),
        ("units", "many"),
        ("units", [4]),
        ("units", None),
        ("units", 2**31),
        ("units", 2**62),
        ("units", 10**30),
        ("activation", 3),
        ("activation", {"class_name": "function", "config": {"a": 1}}),
        ("dtype", "os.system"),
        ("dtype", {"class_name": "DTypePolicy", "config": {"name": 3}, "module": "keras"}),
        ("name", "../../x"),
        ("no_such_argument", 1),
        ("kernel_initializer", ["a"]),
        ("kernel_constraint", 5),
    ],
    ids=str,
)
def test_layer_config_of_wrong_values(path, key, value):
    def change(config):
        config["config"]["layers"][1]["config"][key] = value

    with pytest.raises(ValueError, match="cannot be made here|must be those of 'small'"):
        keras.saving.load_model(tampered(path, change))


def test_weights_beyond_the_file_are_refused_before_memory_is_taken(path):
    def change(config):
        config["config"]["layers"][1]["config"]["units"] = 2**33

    with pytest.raises(ValueError, match="asks for 1030792151.. bytes, in a file of"):
        keras.saving.load_model(tampered(path, change))  # 3 * 2**33 floats


def test_many_weights_beyond_the_file(path, monkeypatch):
    monkeypatch.setattr(memory_limit, "_ALLOWANCE_BYTES", 2**20)

    def change(config):
        stack, head = config["config"]["layers"], config["config"]["layers"][3]
        del head["build_config"]
        config["config"]["layers"] = [stack[0]] + [
            {**head, "config": {**head["config"], "name": f"d{i}", "units": 200}} for i in range(9)
        ]  # 160 kB each

    with pytest.raises(ValueError, match="The file is damaged or hostile"):
        keras.saving.load_model(tampered(path, change))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.empty(n),
        lambda n: torch.zeros(n, dtype=torch.int8),
        lambda n: torch.randn(n),
        lambda n: torch.eye(n),
        lambda n: torch.ones(2, 2).new_zeros(n),
        lambda n: torch.nn.Linear(n, n),
        lambda n: torch.zeros(2**16, 2**16, n),
    ],
    ids=range(7),
)
def test_memory_limit_refuses(make):
    with MemoryLimit(1000), pytest.raises(ValueError, match="hostile"):
        make(2**34)


def test_memory_limit_adds_up_and_leaves_the_rest_alone(monkeypatch):
    monkeypatch.setattr(memory_limit, "_ALLOWANCE_BYTES", 8000)
    with MemoryLimit(0):
        torch.empty(2**40, device="meta").new_zeros(2**40)
        assert torch.zeros(1000).expand(2**40, 1000).T.shape == (1000, 2**40)
        with pytest.raises(ValueError, match="asks for 8004 bytes, in a file of 0"):
            torch.empty(1001)
    with MemoryLimit(0):
        torch.empty(1000).half()
        torch.zeros(2000, dtype=torch.bfloat16)
        with pytest.raises(ValueError, match="asks for 8001 bytes"):
            torch.empty(1, dtype=torch.bool)
    with MemoryLimit(1):
        torch.empty(2004)
    torch.empty(10_000)


def test_loading_does_not_import_the_compiler(path):
    small_model(compiled=True).save(path)
    script = (
        "import sys, torchkeras; torchkeras.saving.load_model(sys.argv[1]); "
        "print([m for m in ('torch._dynamo', 'torch._inductor') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stdout + done.stderr


def test_weights_of_wrong_shape_in_a_model_file(path):
    small_model().save(path)
    with safe_open(path, framework="pt") as file:
        metadata = without_checksums(file.metadata())
    tensors = load_file(path)
    tensors["hidden.kernel"] = torch.zeros(3, 5)
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"hidden.kernel \(3, 5\) for \(3, 4\)"):
        keras.saving.load_model(path)


@pytest.mark.parametrize(
    "seed", [torch.zeros(5, dtype=torch.int64), torch.zeros(2), torch.zeros((), dtype=torch.int64)]
)
def test_seed_of_wrong_kind(path, seed):
    small_model().save(path)
    with safe_open(path, framework="pt") as file:
        metadata = without_checksums(file.metadata())
    tensors = {**load_file(path), "seeds/dropout.seed_generator_state": seed}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match="The seed 'dropout.seed_generator_state' must be"):
        keras.saving.load_model(path)


@pytest.mark.parametrize(
    "aliases", ["[]", "no", '{"head.bias": ["hidden.bias"]}', '{"head.bias": "optimizer/0"}', "5"]
)
def test_hostile_aliases(path, aliases):
    model = small_model()
    tensors = model.state_dict()
    del tensors["head.bias"]
    save_file(tensors, path, metadata={"aliases": aliases})
    with pytest.raises(ValueError, match="is not JSON|not an object|missing: head.bias"):
        model.load_weights(path)


def test_aliases_do_not_hide_stored_weights(path):
    model = small_model()
    tensors = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={"aliases": '{"hidden.bias": "head.bias"}'})
    model.load_weights(path)
    assert torch.equal(model.layers[0].bias.value, torch.ones(4))


def test_header_is_read_once_within_its_limit(path, monkeypatch):
    monkeypatch.setattr(safetensors_format, "_MAX_HEADER_BYTES", 100)
    small_model().save(path)
    with pytest.raises(ValueError, match="its header has .* bytes, above 100"):
        keras.saving.load_model(path)


@pytest.mark.parametrize("ending", ["safetensors", "keras"])
def test_layer_shared_by_a_nested_and_the_outer_model_stays_one(tmp_path, ending):
    shared = keras.layers.Dense(3, name="shared")
    x = keras.Input((3,))
    inner = keras.Model(x, shared(x), name="inner")
    y = keras.Input((3,))
    model = keras.Model(y, shared(inner(y)))
    path = tmp_path / f"m.{ending}"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.get_layer("shared") is loaded.get_layer("inner").get_layer("shared")
    assert len(loaded.weights) == len(model.weights) == 2
    data = torch.randn(2, 3)
    assert torch.equal(loaded(data), model(data))
