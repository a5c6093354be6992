import pytest
import torch

import torchkeras as keras
from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import check_symbol_dtype, layer_cases
from torchkeras import layers

CASES = {
    "smaller": image_case(
        layers.Resizing,
        {"height": 4, "width": 3, "antialias": True},
        (2, 6, 5, 3),
        expected_output_shape=(2, 4, 3, 3),
        expected_num_seed_generators=0,
    ),
    "integers": image_case(
        layers.Resizing,
        {"height": 9, "width": 8, "interpolation": "bicubic", "pad_to_aspect_ratio": True},
        (2, 6, 5, 3),
        input_dtype="uint8",
        expected_output_dtype="uint8",
        supports_mixed_precision=False,
    ),
    "one image": image_case(
        layers.Resizing,
        {
            "height": 4,
            "width": 9,
            "interpolation": "lanczos3",
            "crop_to_aspect_ratio": True,
            "data_format": "channels_first",
        },
        (3, 6, 5),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


def test_symbols_keep_integers():
    check_symbol_dtype(layers.Resizing(2, 3), torch.ones(1, 4, 4, 3, dtype=torch.uint8))
    check_symbol_dtype(layers.Resizing(2, 3), torch.ones(1, 4, 4, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, [2.0, 8.0, 8.0, 20.0]),
        # Padded to 8 by 8, the image begins one pixel, of 3, below the top.
        ({"pad_to_aspect_ratio": True}, [2.0, 9.0, 8.0, 18.0]),
        # Of the 8 columns 6 are taken: 4 pixels for each, from column 1.
        ({"crop_to_aspect_ratio": True}, [0.0, 8.0, 12.0, 20.0]),
    ],
    ids=["stretch", "pad", "crop"],
)
def test_boxes(kwargs, expected):
    data = sample(size=(6, 8))  # with a box [1, 2, 4, 5]
    sizes = {"pad_to_aspect_ratio": (24, 24), "crop_to_aspect_ratio": (24, 24)}
    height, width = sizes[next(iter(kwargs))] if kwargs else (24, 16)
    if "pad_to_aspect_ratio" in kwargs:
        expected = [3.0, 9.0, 12.0, 18.0]
    layer = layers.Resizing(height, width, bounding_box_format="xyxy", **kwargs)
    out = layer(data)
    assert out["bounding_boxes"]["boxes"][0, 0].tolist() == expected
    assert out["segmentation_masks"].dtype == data["segmentation_masks"].dtype
    found = set(out["segmentation_masks"].unique().tolist())
    assert found <= set(data["segmentation_masks"].unique().tolist()) | {0}


def test_boxes_that_stand_for_none_stay_none():
    boxes = {"boxes": torch.tensor([[[0.0] * 4, [-1.0] * 4]]), "labels": torch.tensor([[-1, -1]])}
    layer = layers.Resizing(9, 9, pad_to_aspect_ratio=True, bounding_box_format="xyxy")
    out = layer({"images": torch.ones(1, 3, 9, 1), "bounding_boxes": boxes})["bounding_boxes"]
    assert out["boxes"].tolist() == [[[0.0] * 4] * 2] and out["labels"].tolist() == [[-1, -1]]


def test_in_a_model_it_acts_in_both_modes():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.Resizing(4, 5)(inputs))
    assert model.output_shape == (None, 4, 5, 3)
    x = torch.rand(2, 8, 9, 3)
    assert torch.equal(model(x, training=True), model(x, training=False))


def test_errors():
    with pytest.raises(ValueError, match="`interpolation`"):
        layers.Resizing(2, 2, "area")
    with pytest.raises(ValueError, match="`height`"):
        layers.Resizing(0, 2)
    with pytest.raises(ValueError, match="Set one of them"):
        layers.Resizing(2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)
