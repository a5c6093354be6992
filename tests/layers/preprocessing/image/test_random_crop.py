import pytest
import torch

import torchkeras as keras
from tests.layers.preprocessing.image.support import image_case, sample
from tests.testing import layer_cases
from torchkeras import layers, ops

CASES = {
    "crop": image_case(
        layers.RandomCrop,
        {"height": 3, "width": 2},
        (2, 16, 25, 3),
        expected_output_shape=(2, 3, 2, 3),
    ),
    "one image": image_case(
        layers.RandomCrop,
        {"height": 3, "width": 4, "data_format": "channels_first"},
        (3, 26, 35),
        dynamic_batch=False,
    ),
}


@layer_cases(CASES)
def test_contract(check):
    check()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_every_place_is_as_likely_for_each_image(data_format):
    places = torch.stack(torch.meshgrid(torch.arange(5.0), torch.arange(4.0), indexing="ij"), -1)
    images = places.expand(100, 5, 4, 2)
    first = data_format == "channels_first"
    given = images.movedim(-1, 1) if first else images
    boxes = {"boxes": torch.tensor([[[2.0, 3, 3, 4]]] * 100), "labels": torch.ones(100, 1)}
    layer = layers.RandomCrop(3, 4, seed=1, bounding_box_format="xyxy", data_format=data_format)
    counts = dict.fromkeys(range(3), 0)
    for _ in range(3):
        out = layer({"images": given, "segmentation_masks": given, "bounding_boxes": boxes})
        assert torch.equal(out["segmentation_masks"], out["images"])
        found = out["images"].movedim(1, -1) if first else out["images"]
        for image, box in zip(found, out["bounding_boxes"]["boxes"], strict=True):
            top, left = image[0, 0].int().tolist()
            assert left == 0
            assert torch.equal(image, places[top : top + 3])
            assert box[0].tolist() == [2.0, min(3.0 - top, 3), 3.0, min(4.0 - top, 3)]
            counts[top] += 1
    assert all(70 < count < 130 for count in counts.values())  # 100 with a deviation of 8


def test_inference_and_smaller_images_are_resized():
    data = sample(size=(4, 8))
    for height, width, training in ((8, 8, True), (2, 2, False)):
        layer = layers.RandomCrop(height, width, bounding_box_format="xyxy")
        out = layer(data, training=training)
        expected = ops.image.resize(data["images"][:, :, 2:6], (height, width))
        torch.testing.assert_close(out["images"], expected)
        box = torch.tensor([0.0, 2.0, 2.0, 4.0]) * (height / 4)
        torch.testing.assert_close(out["bounding_boxes"]["boxes"][0, 0], box)


def test_a_model_has_one_shape_in_both_modes():
    model = keras.Sequential([keras.Input((9, 8, 1)), layers.RandomCrop(4, 6)])
    for training in (True, False):
        assert model(torch.ones(2, 9, 8, 1), training=training).shape == (2, 4, 6, 1)
