import json

import pytest
import torch

import torchkeras as keras
from torchkeras.core.operation import OPS, FunctionOperation
from torchkeras.models import operation_configs

ops = keras.ops
allowed = operation_configs._torch_functions()


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
    assert operation_configs.torch_function(operation_configs.torch_name(function)) is function


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
        assert operation_configs._op_name(class_name) == name
