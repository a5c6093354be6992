import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import torchkeras as keras
from tests.processes import run_python
from tests.saved_files import without_checksums
from torchkeras.core.operation import OPS, FunctionOperation
from torchkeras.models import operation_configs, torch_functions

ops = keras.ops
allowed = torch_functions.torch_functions()


def through_json(model):
    return keras.models.model_from_json(json.dumps(json.loads(model.to_json())))


FUNCTIONS = {
    "sum": lambda x: ops.sum(x, axis=-1, keepdims=True),
    "positional": lambda x: ops.sum(x, -1, True),
    "reflected": lambda x: 1.0 / (2.0 - x),
    "slice": lambda x: x[:, 1:3],
    "ints": lambda x: x[1],
    "tuple of ints": lambda x: x[1, 2],
    "list of ints": lambda x: x[[1, 0]],
    "new axis": lambda x: x[:, None, ...],
    "einsum": lambda x: ops.einsum("ab,cb->ac", x, x),
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2)), constant_values=7.0),
    "split": lambda x: ops.split(x, [1], axis=1)[1],
    "where": lambda x: ops.where(x > 0, x, 0.0),
    "clip": lambda x: ops.clip(x, -0.5, 0.5),
    "transpose": lambda x: ops.transpose(x, (1, 0)),
    "reshape": lambda x: ops.reshape(x, (-1, 2, 2)),
    "take": lambda x: ops.take(x, [2, 0], axis=1),
    "one_hot": lambda x: ops.one_hot(ops.cast(ops.abs(x), "int32"), 4),
    "squareplus": lambda x: ops.squareplus(x, b=2),
    "isclose": lambda x: ops.isclose(x, x + 0.05, atol=0.1),
    "allclose": lambda x: ops.cast(ops.allclose(x, x + 0.05, atol=0.1), "float32"),
    "stack": lambda x: ops.stack([x, x * 2], axis=1),
    "softmax": lambda x: ops.softmax(x, axis=0),
    "abs": lambda x: ops.abs(x),
    "conv": lambda x: ops.conv(x[:, :, None], torch.ones(3, 1, 2), padding="same"),
    "batch_normalization": lambda x: ops.batch_normalization(x, torch.ones(4), torch.ones(4), -1),
    "attention": lambda x: ops.dot_product_attention(*[x[:, :, None, None]] * 3, is_causal=True),
    "clip_by_tensors": lambda x: ops.clip(x, x * 0.5, ops.maximum(x, 1.0)),
    "rearrange": lambda x: ops.rearrange(x, "a (b c) -> a c b", c=2),
    "rfft": lambda x: ops.rfft(x, fft_length=6)[0],
    "layer_normalization": lambda x: ops.layer_normalization(x, torch.arange(4.0)),
    "rot90": lambda x: ops.rot90(x, k=3),
    "max_pool": lambda x: ops.max_pool(x[:, :, None], 2, padding="same"),
    "cdist": lambda x: ops.cdist(x, x + 1),
    "constant tensor": lambda x: x + torch.arange(4.0),
    "torch": lambda x: torch.nn.functional.pad(torch.relu(x), (1, 1), value=3.0),
    "torch tuple": lambda x: torch.permute(x, (1, 0)).reshape((2, -1)),
    "torch list": lambda x: torch.cat([x, x], dim=1).chunk(2, dim=1)[1],
    "torch cast": lambda x: x.double().to(torch.float16).float(),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_come_back_from_json(function):
    x = keras.Input(batch_shape=(3, 4))
    model, batch = keras.Model(x, function(x)), torch.randn(3, 4)
    again = through_json(model)
    torch.testing.assert_close(again(batch), function(batch))
    assert again.to_json() == model.to_json()


class Scaled(keras.Operation):
    def __init__(self, factor, name=None):
        super().__init__(name=name)
        self.factor = factor

    def call(self, x, sizes=None):
        return x * self.factor

    def get_config(self):
        return {"factor": self.factor, "name": self.name}


def test_operation_of_a_user():
    x = keras.Input((2,))
    model = keras.Model(x, Scaled(3.0)(x, sizes=(1, 2)))
    again = keras.models.model_from_json(model.to_json(), custom_objects={"Scaled": Scaled})
    assert torch.equal(again(torch.ones(1, 2)), torch.full((1, 2), 3.0))
    assert keras.models.clone_model(model)(torch.ones(1, 2))[0, 0].item() == 3.0
    with pytest.raises(ValueError, match="'Scaled'.*neither"):
        keras.models.model_from_json(model.to_json())


def config_with(layer):
    """A model config in which the one step is described by `layer`."""
    x = keras.Input((2,), name="x")
    config = json.loads(keras.Model(x, torch.relu(x)).to_json())
    step = config["config"]["layers"][1]
    step.update({"name": "relu", **layer})
    return json.dumps(config)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.save",
        "torch.from_file",
        "torch.hub.load",
        "torch.ops.aten.relu",
        "torch.ops.load_library",
        "torch.Tensor.backward",
        "torch.Tensor.register_hook",
        "torch.Tensor.apply_",
        "torch.Tensor.map_",
        "torch.Tensor.resize_",
        "torch.Tensor.set_",
        "torch.Tensor.share_memory_",
        "torch.Tensor.add_",
        "torch.Tensor.numpy",
        "torch.Tensor.__reduce_ex__",
        "torch.Tensor.__setstate__",
        "torch.as_strided",
        "torch.empty_like",
        "torch.fbgemm_linear_int8_weight",
        "torch.quantized_lstm_cell",
        "torch.nn.functional.triplet_margin_with_distance_loss",
        "torchkeras.saving.load_model",
        "keras.utils.get_file",
        "relu",
        "",
        None,
        ["torch.relu"],
        {"class_name": "function"},
    ],
)
def test_a_file_cannot_name_other_functions(name):
    text = config_with(
        {"module": "torch", "class_name": "function", "config": {"function": name, "name": "relu"}}
    )
    with pytest.raises(ValueError, match="which is none of them"):
        keras.models.model_from_json(text)


@pytest.mark.parametrize(
    ("module", "class_name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch.nn", "Linear"),
        ("torchkeras.saving", "load_model"),
        ("keras.saving", "load_model"),
        ("keras.utils", "get_file"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras.src.ops.numpy", "LoadModel"),
        ("keras.src.ops.numpy", "Eval"),
        ("keras.src.ops.operation", "Operation"),
        ("torchkeras.core.operation", "TorchFunction"),
    ],
)
def test_a_file_cannot_name_other_classes(module, class_name):
    text = config_with({"module": module, "class_name": class_name, "registered_name": class_name})
    with pytest.raises(
        (ValueError, TypeError), match="(?s)neither|not a function of keras.ops|lay"
    ):
        keras.models.model_from_json(text)


@pytest.mark.parametrize(
    ("module", "class_name"), [("keras.optimizers", "SGD"), ("keras.initializers", "Zeros")]
)
def test_an_object_that_is_no_step_is_refused(module, class_name):
    text = config_with(
        {"module": module, "class_name": class_name, "config": {}, "registered_name": None}
    )
    with pytest.raises(ValueError, match=f"layers and operations. Received: .*'{class_name}'"):
        keras.models.model_from_json(text)


def test_no_allowed_function_writes_in_place_or_takes_code():
    for name in allowed:
        short = name.rpartition(".")[2]
        assert name.startswith("torch.")
        assert short.startswith("__") or not short.endswith("_"), name
        assert not short.startswith("_") or short.startswith("__"), name
    words = "load save file hook apply map_ backward storage numpy pickle reduce_ex setstate"
    for word in [*words.split(), "compile", "resize", "stride", "sparse", "fbgemm", "quantize"]:
        assert not [name for name in allowed if word in name], word


@pytest.mark.parametrize(
    "function",
    [torch.relu, torch.cat, torch.Tensor.view, torch.nn.functional.gelu, torch.linalg.norm],
)
def test_ordinary_functions_are_allowed(function):
    assert torch_functions.torch_function(torch_functions.torch_name(function)) is function


def test_a_step_that_cannot_be_saved_is_an_error_when_saving():
    x = keras.Input((2,))
    model = keras.Model(x, x.clone().add_(1))
    assert torch.equal(model(torch.ones(1, 2)), torch.full((1, 2), 2.0))
    with pytest.raises(ValueError, match="(?s)can be saved as steps.*add_.*into a layer"):
        model.get_config()


@pytest.mark.parametrize("extra", [{"axes": 1}, {"x": 3, "y": 4}])
def test_settings_that_a_function_does_not_have(extra):
    text = config_with(
        {
            "module": "keras.src.ops.numpy",
            "class_name": "Sum",
            "config": {"name": "relu", **extra},
        }
    )
    with pytest.raises(ValueError, match="keras.ops.sum takes the arguments"):
        keras.models.model_from_json(text)


def test_every_function_has_a_class_name_that_leads_back():
    for name in OPS:
        class_name = FunctionOperation(name).class_name
        found = operation_configs._op_name(class_name)
        # Keras has one class for `abs` and `absolute`, and for `conj` and `conjugate`.
        assert found == name or FunctionOperation(found).class_name == class_name


@pytest.mark.parametrize(
    "name",
    """torch.ctc_loss torch.nn.functional.ctc_loss torch.embedding_bag torch.repeat_interleave
    torch.Tensor.repeat_interleave torch.nn.functional.embedding_bag torch.searchsorted torch.lstm
    torch.gru torch.rnn_tanh torch.nn.functional.fractional_max_pool2d torch.lu_solve
    torch.linalg.ldl_solve torch.nn.functional.max_unpool2d torch.grid_sampler_2d torch.lu_unpack
    torch.ormqr torch.linalg.householder_product torch.put torch.masked_select torch.nonzero
    torch.nn.functional.multi_margin_loss torch.nn.functional.multilabel_margin_loss
    torch.native_batch_norm torch.histogramdd torch.convolution torch.view_copy""".split(),
)
def test_functions_that_trust_their_arguments_or_need_values_are_not_allowed(name):
    with pytest.raises(ValueError, match="which is none of them"):
        torch_functions.torch_function(name)


def test_every_name_of_the_list_stands_for_a_function():
    assert torch_functions._NAMES == {name.rpartition(".")[2] for name in allowed}


def step_of_torch(function, *args, **kwargs):
    """A model config in which the one step is a torch function on the input and constants."""
    config = json.loads(config_with({}))
    step = config["config"]["layers"][1]
    (node,) = step["inbound_nodes"]
    node["args"] += args
    node["kwargs"] = kwargs
    step["config"] = {"function": function, "name": "relu"}
    return json.dumps(config)


def constant(value, dtype="int64"):
    return {"class_name": "__tensor__", "config": {"value": value, "dtype": dtype}}


def test_functions_of_a_file_get_no_memory_to_read(monkeypatch):
    met = []

    def hostile(*args):
        met.extend(args)
        raise RuntimeError("needs values")

    monkeypatch.setattr(operation_configs, "torch_function", lambda name: hostile)
    text = step_of_torch("torch.add", constant([2**40]))
    with pytest.raises(ValueError, match="step 'relu', for which RuntimeError: needs values"):
        keras.models.model_from_json(text)
    # Not a last time on zeros, as a function that the program itself names.
    assert met and all(x.is_meta for x in met)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("torch.reshape", [[7, 7, 7]]),
        ("torch.Tensor.narrow", [0, 0, 10**9]),
        ("torch.index_select", [1, "x"]),
        ("torch.functional.split", [-1]),
        ("torch.add", [{"class_name": "__tuple__", "config": {"value": [1]}}]),
        ("torch.permute", [[0, 5]]),
    ],
)
def test_arguments_that_do_not_fit_are_a_value_error(function, args):
    with pytest.raises(ValueError, match="step in a model's config must be.*step 'relu'"):
        keras.models.model_from_json(step_of_torch(function, *args))


LOAD = """
import json, sys
import torchkeras as keras

for path in sys.argv[1:]:
    for load in (keras.models.load_model, keras.models.model_from_json):
        print(path, load, file=sys.stderr, flush=True)
        try:
            load(path if load is keras.models.load_model else open(path + ".json").read())
        except ValueError as error:
            print(str(error).replace(chr(10), " "))
"""


def test_hostile_arguments_in_a_file_are_a_value_error(tmp_path):
    far = constant([[10**9] * 3] * 48)
    lengths = constant([3] * 48)
    texts = {
        "ctc_loss": step_of_torch("torch.ctc_loss", far, lengths, lengths),
        "ctc_loss of constants": step_of_torch(
            "torch.nn.functional.ctc_loss", far, lengths, lengths
        ),
        "repeat_interleave": step_of_torch(
            "torch.repeat_interleave", constant([1, 10**6] * 24), 0, output_size=1
        ),
        "embedding_bag": step_of_torch("torch.embedding_bag", constant([10**9]), constant([0])),
        "repeat": config_with(
            {
                "module": "keras.src.ops.numpy",
                "class_name": "Repeat",
                "config": {"name": "relu", "repeats": [1, 10**6, -(10**6)], "axis": 0},
            }
        ).replace('"batch_shape": [null, 2]', '"batch_shape": [3, 2]'),
        "lu_solve": step_of_torch("torch.lu_solve", constant([[0.0]], "float32"), constant([9])),
    }
    paths = []
    x = keras.Input((2,), name="x")
    whole = tmp_path / "whole.safetensors"
    keras.Model(x, torch.relu(x)).save(whole)
    with safe_open(whole, "pt") as file:
        metadata = without_checksums(file.metadata())
    for name, text in texts.items():
        paths.append(tmp_path / f"{name}.safetensors")
        save_file({}, paths[-1], {**metadata, "config": text})
        paths[-1].with_name(paths[-1].name + ".json").write_text(text)
    told = run_python(LOAD, *paths).splitlines()
    assert len(told) == 2 * len(paths)
    for text in told:
        assert "which is none of them" in text or "`repeats` must not be negative" in text, text


@pytest.mark.parametrize("given, active", [({}, True), ({"training": False}, False)])
def test_a_mode_that_was_asked_for_comes_back_from_the_config_and_a_default_does_not(given, active):
    inputs = keras.Input((100,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs, **given))
    for _ in range(2):
        model = through_json(model)
        assert bool((model(torch.ones(2, 100), training=True) == 0).any()) is active
