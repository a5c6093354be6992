import copy

import pytest
import torch

import torchkeras as keras
from torchkeras import layers


def doubled(x):
    return 2 * x


def test_a_python_lambda_works_in_memory():
    layer = layers.Lambda(lambda x: x[:, :2] ** 2)
    x = torch.randn(3, 4)
    assert torch.equal(layer(x), x[:, :2] ** 2)
    assert layer(keras.Input((4,))).shape == (None, 2)
    assert layer.compute_output_shape((5, 4)) == (5, 2)
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


def test_a_lambda_in_a_model_survives_deepcopy():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Lambda(lambda x: x + 1)(layers.Dense(2)(inputs)))
    x = torch.randn(3, 4)
    assert torch.equal(copy.deepcopy(model)(x), model(x))


def test_a_lambda_cannot_be_serialized():
    with pytest.raises(ValueError, match="lambda cannot be saved.*Received"):
        layers.Lambda(lambda x: x).get_config()


def test_code_in_a_config_is_refused_whatever_safe_mode_says():
    config = layers.Lambda(doubled).get_config()
    for key in ("function", "output_shape", "mask"):
        code = {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None}}
        for safe_mode in (None, True, False):
            with pytest.raises(ValueError, match="never runs code"):
                layers.Lambda.from_config(
                    {**config, key: code},
                    custom_objects={"doubled": doubled},
                    safe_mode=safe_mode,
                )


def test_a_named_function_comes_back_through_custom_objects():
    config = layers.Lambda(doubled, output_shape=(4,)).get_config()
    layer = layers.Lambda.from_config(config, custom_objects={"doubled": doubled})
    assert layer.function is doubled
    assert layer.get_config() == config
    with pytest.raises(ValueError, match="not known here.*Received.*'doubled'.*custom_objects"):
        layers.Lambda.from_config(config)


def test_arguments_mask_and_training_reach_the_function():
    seen = {}

    def function(x, factor, mask=None, training=None):
        seen.update(mask=mask, training=training)
        return x * factor

    layer = layers.Lambda(function, arguments={"factor": 3})
    with pytest.warns(UserWarning, match="does not support masking"):
        y = layer(layers.Masking()(torch.tensor([[[1.0], [0.0]]])), training=True)
    assert y.flatten().tolist() == [3.0, 0.0]
    assert seen["mask"].tolist() == [[True, False]]
    assert seen["training"] is True


@pytest.mark.parametrize("given", [(7,), lambda shape: (shape[0], 7)])
def test_output_shape_is_believed(given):
    layer = layers.Lambda(doubled, output_shape=given)
    assert layer(keras.Input((4,))).shape == (None, 7)
    assert layer.compute_output_shape((2, 4)) == (2, 7)


def test_mask_function_makes_the_mask():
    layer = layers.Lambda(doubled, mask=lambda x, mask: x[..., 0] > 0)
    assert layer(torch.tensor([[1.0, 2.0], [-1.0, 2.0]]))._keras_mask.tolist() == [True, False]


def test_functions_written_in_c():
    assert layers.Lambda(torch.relu)(torch.tensor([-1.0, 1.0])).tolist() == [0.0, 1.0]


def test_not_a_function():
    with pytest.raises(TypeError, match="function.*Received"):
        layers.Lambda(3)


@pytest.mark.parametrize("function", [keras.ops.square, keras.activations.softplus, keras.ops.relu])
@pytest.mark.parametrize("ending", [".keras", ".safetensors"])
def test_a_function_of_this_package_is_saved_by_its_place(function, ending, tmp_path):
    x = torch.tensor([[-3.0, 2.0]])
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(function)])
    model.save(tmp_path / f"m{ending}")
    again = keras.models.load_model(tmp_path / f"m{ending}")
    torch.testing.assert_close(again(x), function(x))
    assert keras.models.model_from_json(model.to_json()).layers[0].function is function


def test_a_users_function_is_not_taken_for_one_of_the_same_name():
    def square(x):
        return x

    config = keras.layers.Lambda(square).get_config()
    with pytest.raises(ValueError, match="not known here"):
        keras.layers.Lambda.from_config(config)
    config["function"] = {**config["function"], "module": "keras.ops", "config": "_op_name"}
    with pytest.raises(ValueError, match="not known here"):
        keras.layers.Lambda.from_config(config)
