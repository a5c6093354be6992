import json

import numpy as np
import pytest
import torch

import torchkeras as keras
from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers


def steps():
    return [layers.RandomBrightness(0.2, (-4, 4)), layers.Rescaling(2.0, 1.0)]


CASES = {
    "images": image_case(
        layers.Pipeline,
        lambda: {"layers": steps()},
        (2, 4, 5, 3),
        expected_output_dtype="float32",
        supports_mixed_precision=False,
        supports_half=False,
    ),
    "weights": image_case(
        layers.Pipeline,
        lambda: {"layers": [layers.Dense(4), layers.Dropout(0.5)], "name": "it"},
        (2, 3),
        mask_shape=None,
        expected_num_weights=2,
        supports_mixed_precision=False,
        supports_half=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_layers_follow_one_another_in_the_mode_of_the_pipeline():
    x = torch.ones(2, 4, 4, 3)
    pipeline = layers.Pipeline(steps())
    assert pipeline.layers == pipeline._pipeline_layers and len(pipeline.layers) == 2
    assert torch.equal(pipeline(x, training=False), x * 2 + 1)
    assert not torch.equal(pipeline(x), x * 2 + 1)
    assert torch.equal(pipeline.eval()(x), x * 2 + 1)
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, layers.Pipeline(steps())(inputs))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x * 2 + 1)


def test_training_loops_leave_the_mode_as_it_was():
    x = torch.ones(4, 4, 4, 3)
    pipeline = layers.Pipeline([*steps(), layers.Flatten()])
    dropout = layers.Dropout(0.5)
    model = keras.Sequential([pipeline, dropout, layers.Dense(1)])
    model.compile("sgd", "mse")
    for mode in (True, False):
        if not mode:
            pipeline.eval()
        model.fit(x, torch.zeros(4, 1), verbose=0)
        model.evaluate(x, torch.zeros(4, 1), verbose=0)
        assert pipeline.training is mode and pipeline.layers[0].training is mode
        assert torch.equal(pipeline(x), pipeline(x, training=False)) is not mode
        assert not dropout.training and not model.training


def test_data_with_labels_and_boxes():
    data = sample()
    pipeline = layers.Pipeline(
        [layers.AutoContrast(bounding_box_format="xyxy"), layers.MixUp(bounding_box_format="xyxy")]
    )
    labels = torch.eye(2)
    del data["segmentation_masks"]
    out = pipeline({**data, "labels": labels})
    assert out["bounding_boxes"]["boxes"].shape == (2, 4, 4)
    torch.testing.assert_close(out["labels"].sum(1), torch.ones(2))


def test_masks_reach_the_layers():
    x = torch.tensor([[1, 2, 0]])
    pipeline = layers.Pipeline([layers.Embedding(4, 2, mask_zero=True), layers.LSTM(3)])
    found = pipeline(x)
    embedding, lstm = pipeline.layers
    torch.testing.assert_close(found, lstm(embedding(x)))
    assert not torch.allclose(found, lstm(embedding(x).clone()))
    masked = layers.Pipeline([lstm])
    y = embedding(x).detach().clone()
    torch.testing.assert_close(masked(y, mask=x != 0), found)


def test_half_precision_is_that_of_the_layers():
    pipeline = layers.Pipeline([layers.Rescaling(2.0), layers.Dense(2, dtype="mixed_bfloat16")])
    assert pipeline(torch.ones(2, 3)).dtype is torch.bfloat16


def test_model_file(tmp_path):
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    pipeline = layers.Pipeline(
        [layers.RandAugment(seed=1), layers.Rescaling(1 / 255), layers.Dense(2)], name="augment"
    )
    model = keras.Model(inputs, layers.Flatten()(pipeline(inputs)))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = torch.randint(0, 256, (2, 8, 8, 3)).to(torch.uint8)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert [type(layer) for layer in again.get_layer("augment").layers] == [
        layers.RandAugment,
        layers.Rescaling,
        layers.Dense,
    ]


def test_config():
    config = layers.Pipeline(steps(), name="it").get_config()
    assert set(config) == {"layers", "name"}
    again = layers.Pipeline.from_config(json.loads(json.dumps(config)))
    assert [type(layer) for layer in again.layers] == [layers.RandomBrightness, layers.Rescaling]
    with pytest.raises(ValueError, match="under 'layers'"):
        layers.Pipeline.from_config({"name": "it"})
    with pytest.raises(ValueError, match="`layers` must be a list"):
        layers.Pipeline(layers.Rescaling(2.0))
